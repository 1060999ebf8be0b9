//! A router that asks for guests a thousand times a second, and counts what was answered.
//!
//! Each question comes from an address of its own, which its answer names, and is asked once: so each is known to be
//! answered once, twice or not at all. The answers come to the router's MAC, so nobody has an entry for these addresses.

use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use lone64::engine::facts::IfIndex;
use lone64::kernel::packet::{PacketSocket, RecvBatch, SendBatch};
use lone64::wire::{Advertisement, Mac, Solicitation, filter, solicited_node};
use nix::net::if_::if_nametoindex;

use crate::PATIENCE;
use crate::namespace::{Namespace, eventually};

/// Questions that go on until [`Questions::end`].
pub(crate) struct Questions {
    asked: Arc<AtomicUsize>,
    end: Sender<()>,
    asker: JoinHandle<Count>,
}

/// What became of them.
pub(crate) struct Count {
    pub(crate) asked: usize,
    pub(crate) unanswered: usize,
    pub(crate) twice: usize,
    /// Of the answers.
    pub(crate) slowest: Duration,
    elapsed: Duration,
}

impl Questions {
    /// The router asks for these targets in turn.
    pub(crate) fn start(router: &Namespace, targets: &[Ipv6Addr]) -> Self {
        let socket = router.run(|| {
            let link = IfIndex(if_nametoindex("rt0").expect("the router has it"));
            PacketSocket::open(link, &filter::downstream()).expect("the tests run as root")
        });
        let (end, is_over) = mpsc::channel();
        let asked = Arc::new(AtomicUsize::new(0));
        let (counter, targets) = (Arc::clone(&asked), targets.to_vec());
        let asker = thread::spawn(move || Asker::new(socket).ask(&targets, &counter, &is_over));
        let questions = Self { asked, end, asker };
        questions.go_on();
        questions
    }

    /// Waits until a second's worth of further ones was asked.
    pub(crate) fn go_on(&self) {
        let wanted = self.asked.load(Ordering::Relaxed) + RATE;
        eventually("the router asks", PATIENCE, || {
            thread::yield_now();
            (self.asked.load(Ordering::Relaxed) >= wanted).then_some(())
        });
    }

    /// Ends them, and waits for the answers that are still to come.
    pub(crate) fn end(self) -> Count {
        self.end.send(()).expect("it asks until then");
        self.asker.join().expect("it does not panic")
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} solicitations at {:.0} per second: {} unanswered, {} answered twice, the slowest after {:?}",
            self.asked,
            self.asked as f64 / self.elapsed.as_secs_f64(),
            self.unanswered,
            self.twice,
            self.slowest
        )
    }
}

struct Asker {
    socket: PacketSocket,
    received: RecvBatch,
    /// By number: when each question left, and how often it was answered.
    questions: Vec<(Instant, u8)>,
    unanswered: usize,
    slowest: Duration,
}

impl Asker {
    fn new(socket: PacketSocket) -> Self {
        let (received, questions) = (RecvBatch::new(), Vec::new());
        Self { socket, received, questions, unanswered: 0, slowest: Duration::ZERO }
    }

    fn ask(mut self, targets: &[Ipv6Addr], asked: &AtomicUsize, is_over: &Receiver<()>) -> Count {
        let (start, mut batch) = (Instant::now(), SendBatch::new());
        while is_over.recv_timeout(BREATH) == Err(RecvTimeoutError::Timeout) {
            let due = (start.elapsed().as_secs_f64() * RATE as f64) as usize;
            // What a busy machine has delayed does not come all at once.
            for _ in self.questions.len()..due.min(self.questions.len() + AT_ONCE) {
                let number = self.questions.len();
                let question = question(targets[number % targets.len()], number);
                batch.push(|buffer| question.emit(buffer));
                self.questions.push((Instant::now(), 0));
                self.unanswered += 1;
            }
            let sent = self.socket.send_batch(&mut batch).expect("the link takes it");
            assert!(sent <= AT_ONCE);
            asked.store(self.questions.len(), Ordering::Relaxed);
            self.hear();
        }
        let elapsed = start.elapsed();
        let end = Instant::now() + LOST_AFTER;
        while self.unanswered > 0 && Instant::now() < end {
            thread::yield_now();
            self.hear();
        }
        Count {
            asked: self.questions.len(),
            unanswered: self.unanswered,
            twice: self.questions.iter().filter(|(_, answered)| *answered > 1).count(),
            slowest: self.slowest,
            elapsed,
        }
    }

    fn hear(&mut self) {
        loop {
            match self.socket.recv_batch(&mut self.received) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                other => other.expect("the link is there"),
            }
            for (frame, _) in self.received.frames().flatten() {
                let Some((left, answered)) = number(frame).and_then(|number| self.questions.get_mut(number))
                else {
                    continue;
                };
                self.slowest = self.slowest.max(left.elapsed());
                self.unanswered -= usize::from(*answered == 0);
                *answered = answered.saturating_add(1);
            }
        }
    }
}

/// From the address with this number.
fn question(target: Ipv6Addr, number: usize) -> Solicitation {
    let group = solicited_node(target);
    Solicitation {
        source_mac: ROUTER_MAC,
        destination_mac: Mac::multicast(group),
        source: Ipv6Addr::from_bits(ASKERS | number as u128),
        destination: group,
        target,
        source_link_layer: Some(ROUTER_MAC),
    }
}

/// Of the question that this frame is the answer to.
fn number(frame: &[u8]) -> Option<usize> {
    let destination: &[u8; 16] = frame.get(38..)?.first_chunk()?;
    let is_answer = frame.get(54) == Some(&Advertisement::TYPE) && frame[..6] == ROUTER_MAC.0;
    let number = u128::from_be_bytes(*destination).checked_sub(ASKERS).filter(|_| is_answer)?;
    usize::try_from(number).ok()
}

/// Of rt0.
const ROUTER_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
/// fe80:0:0:0:2::
const ASKERS: u128 = 0xfe80_0000_0000_0000_0002 << 48;
/// Questions per second.
const RATE: usize = 1_000;
/// Between two looks at what is due.
const BREATH: Duration = Duration::from_micros(500);
/// Questions of one look, at most.
const AT_ONCE: usize = 20;
/// A question without an answer by then is lost.
const LOST_AFTER: Duration = Duration::from_secs(10);
