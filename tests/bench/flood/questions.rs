//! Questions for `--continuity`: each from an address of its own, which its answer names, so each is known to be answered
//! once, twice or not at all.

use std::io;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ipnet::Ipv6Net;
use lone64::kernel::packet::{PacketSocket, RecvBatch, SendBatch};
use lone64::wire::{Advertisement, Mac, Solicitation, filter, solicited_node};

use super::lab::{ASKER_MAC, ASKING, Lab, index};

/// What became of questions.
pub(crate) struct Tally {
    asked: usize,
    elapsed: Duration,
    unanswered: usize,
    /// Those of the unanswered that came again so late that a program leaves them to the daemon.
    again: usize,
    twice: usize,
    /// Of the answers that were waited for longest.
    latest: Duration,
    /// Frames that the asker's own socket had no room for.
    overrun: u32,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = self.asked as f64 / self.elapsed.as_secs_f64();
        let latest = self.latest.as_secs_f64() * 1_000.0;
        write!(
            f,
            "{:>9} {rate:>9.0} {:>10} {:>10} {:>7} {latest:>7.1}",
            self.asked, self.unanswered, self.again, self.twice
        )?;
        if self.overrun > 0 {
            write!(f, "  ({} answers did not fit into the asker's socket)", self.overrun)?;
        }
        Ok(())
    }
}

/// Questions each from an address of its own.
pub(crate) struct Questions {
    socket: PacketSocket,
    received: RecvBatch,
    /// By number: how often it was answered.
    answered: Vec<u8>,
    /// When each batch left, by the number of its first question.
    left: Vec<Instant>,
    /// Whether each batch came so late behind the last one for the same targets.
    is_again: Vec<bool>,
    latest: Duration,
}

impl Questions {
    pub(crate) fn open(lab: &Lab) -> io::Result<Self> {
        let socket = lab.asker.run(|| PacketSocket::open(index(ASKING), &filter::downstream()))?;
        let (answered, left, is_again) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { socket, received: RecvBatch::new(), answered, left, is_again, latest: Duration::ZERO })
    }

    /// Asks at this rate, as far as the answers follow, until it is over and the last answers have come.
    pub(crate) fn ask(
        mut self,
        targets: &[Ipv6Addr],
        rate: f64,
        is_over: &AtomicBool,
        asked: &AtomicU64,
    ) -> io::Result<Tally> {
        let mut questions = SendBatch::new();
        let mut turn = targets.iter().copied().cycle();
        let (start, mut waiting, mut last_sign) = (Instant::now(), 0_usize, Instant::now());
        while !is_over.load(Ordering::Relaxed) {
            let due = (start.elapsed().as_secs_f64() * rate) as usize;
            let more = due.saturating_sub(self.answered.len()).min(AT_ONCE);
            if more == AT_ONCE && waiting + AT_ONCE <= WINDOW {
                let now = Instant::now();
                let before = self.left.len().checked_sub(targets.len().div_ceil(AT_ONCE));
                self.is_again.push(before.is_some_and(|before| now - self.left[before] > NEARLY_AGAIN));
                self.left.push(now);
                for target in turn.by_ref().take(AT_ONCE) {
                    let question = question(target, self.answered.len() as u64);
                    questions.push(|buffer| question.emit(buffer));
                    self.answered.push(0);
                }
                self.socket.send_batch(&mut questions)?;
                waiting += AT_ONCE;
                asked.store(self.answered.len() as u64, Ordering::Relaxed);
            }
            match self.hear()? {
                0 if waiting > 0 && last_sign.elapsed() > LOST_AFTER => waiting = 0,
                0 => continue,
                heard => waiting = waiting.saturating_sub(heard),
            }
            last_sign = Instant::now();
        }
        let elapsed = start.elapsed();
        let end = Instant::now() + LOST_AFTER;
        while Instant::now() < end {
            self.hear()?;
        }
        let unanswered = || self.answered.iter().enumerate().filter(|(_, count)| **count == 0);
        Ok(Tally {
            asked: self.answered.len(),
            elapsed,
            unanswered: unanswered().count(),
            again: unanswered().filter(|(number, _)| self.is_again[number / AT_ONCE]).count(),
            twice: self.answered.iter().filter(|count| **count > 1).count(),
            latest: self.latest,
            overrun: self.socket.drops()?,
        })
    }

    fn hear(&mut self) -> io::Result<usize> {
        match self.socket.recv_batch(&mut self.received) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            other => other?,
        }
        let (mut count, now) = (0, Instant::now());
        for (frame, _) in self.received.frames().flatten() {
            let Some(number) = number_of_answer(frame) else { continue };
            if let Some(answered) = self.answered.get_mut(number) {
                *answered += 1;
                count += 1;
                self.latest = self.latest.max(now - self.left[number / AT_ONCE]);
            }
        }
        Ok(count)
    }
}

/// Sends, and hears nothing.
pub(crate) struct PacketSender {
    socket: PacketSocket,
    batch: SendBatch,
}

impl PacketSender {
    pub(crate) fn open(lab: &Lab) -> io::Result<Self> {
        // Nothing passes this filter: no such target is asked for.
        let nothing = filter::upstream(&[Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)], &[]);
        let socket = lab.asker.run(|| PacketSocket::open(index(ASKING), &nothing))?;
        Ok(Self { socket, batch: SendBatch::new() })
    }

    pub(crate) fn send(&mut self, targets: impl Iterator<Item = Ipv6Addr>) -> io::Result<()> {
        targets.for_each(|target| self.batch.push(|buffer| question(target, 0).emit(buffer)));
        self.socket.send_batch(&mut self.batch).map(|_| ())
    }
}

/// From the address with this number.
fn question(target: Ipv6Addr, number: u64) -> Solicitation {
    let group = solicited_node(target);
    Solicitation {
        source_mac: ASKER_MAC,
        destination_mac: Mac::multicast(group),
        source: Ipv6Addr::from_bits(ASKERS | u128::from(number)),
        destination: group,
        target,
        source_link_layer: Some(ASKER_MAC),
    }
}

/// Of the question that this frame is the answer to.
fn number_of_answer(frame: &[u8]) -> Option<usize> {
    let destination: &[u8; 16] = frame.get(38..)?.first_chunk()?;
    let number = u128::from_be_bytes(*destination).checked_sub(ASKERS)?;
    let is_answer = frame.get(54) == Some(&Advertisement::TYPE) && frame[0] == ASKER_MAC.0[0];
    usize::try_from(number).ok().filter(|_| is_answer)
}

/// fe80:0:0:0:2::
const ASKERS: u128 = 0xfe80_0000_0000_0000_0002 << 48;
/// Half a second, as the asker sees it.
const NEARLY_AGAIN: Duration = Duration::from_millis(450);
/// Questions in one system call.
const AT_ONCE: usize = 20;
/// Questions that wait for an answer, at most.
const WINDOW: usize = 500;
/// An answer that has not come by then is lost.
const LOST_AFTER: Duration = Duration::from_secs(1);
