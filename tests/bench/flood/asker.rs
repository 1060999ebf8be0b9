//! The asker: questions out, answers in, as many or as few as a measurement wants.

use std::collections::HashSet;
use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use std::{io, thread};

use lone64::kernel::packet::{BATCH, PacketSocket, RecvBatch, SendBatch};
use lone64::wire::{Advertisement, Mac, Message, Solicitation, filter, solicited_node};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::guests::reply;
use super::lab::{ASKER, ASKER_MAC, ASKING, Lab, index};

/// Whoever asks.
pub struct Asker {
    socket: PacketSocket,
    received: RecvBatch,
    questions: SendBatch,
    asked: u64,
}

/// What a flood came to.
#[derive(Debug, Clone, Copy)]
pub struct Flood {
    /// Questions.
    pub asked: u64,
    /// Answers.
    pub answered: u64,
    /// From the first question to the last answer.
    pub elapsed: Duration,
}

impl Asker {
    /// At the far end of the host's upstream.
    pub fn open(lab: &Lab) -> io::Result<Self> {
        let socket = lab.asker.run(|| PacketSocket::open(index(ASKING), &filter::downstream()))?;
        Ok(Self { socket, received: RecvBatch::new(), questions: SendBatch::new(), asked: 0 })
    }

    /// Asks for all that did not answer yet, again and again, until each has answered properly.
    pub fn ask_until_all_answer(&mut self, targets: &[Ipv6Addr], patience: Duration) -> io::Result<()> {
        let mut silent: HashSet<_> = targets.iter().copied().collect();
        let deadline = Instant::now() + patience;
        while !silent.is_empty() {
            if Instant::now() > deadline {
                let all = targets.len();
                return Err(io::Error::other(format!("no answer for {} of {all} addresses", silent.len())));
            }
            let asked: Vec<_> = silent.iter().copied().collect();
            for batch in asked.chunks(BATCH) {
                self.ask(batch.iter().copied())?;
                self.hear_for(Duration::from_millis(5), |answer| {
                    silent.remove(&answer.target);
                })?;
            }
            self.hear_for(Duration::from_millis(20), |answer| {
                silent.remove(&answer.target);
            })?;
        }
        // Answers to questions that were asked twice must not count as answers to later ones.
        self.hear_for(Duration::from_millis(50), |_| {})
    }

    /// Asks `count` questions at once, and returns how many were answered.
    pub fn burst(&mut self, targets: &[Ipv6Addr], count: usize) -> io::Result<usize> {
        let questions: Vec<_> = targets.iter().copied().cycle().take(count).collect();
        for batch in questions.chunks(BATCH) {
            self.ask(batch.iter().copied())?;
        }
        let mut answered = 0;
        let mut last = Instant::now();
        while answered < count && last.elapsed() < LOST_AFTER {
            match self.hear()? {
                0 => {}
                more => (answered, last) = (answered + more, Instant::now()),
            }
        }
        Ok(answered)
    }

    /// Asks for the targets in turn, as fast as answers come, with `window` questions unanswered at
    /// most; waits for the last answers. Lasts up to four times as long where that is needed to ask for each once.
    ///
    /// Never sleeps meanwhile, so that the responder's answers have nobody to wake.
    pub fn flood(&mut self, targets: &[Ipv6Addr], duration: Duration, window: usize) -> io::Result<Flood> {
        self.ask_for_all(targets.iter().copied().cycle(), duration, window, targets.len() as u64)
    }

    /// The same, with one question for each target.
    pub fn once(&mut self, targets: &[Ipv6Addr], window: usize) -> io::Result<Flood> {
        self.ask_for_all(targets.iter().copied(), Duration::MAX, window, 0)
    }

    fn ask_for_all(
        &mut self,
        mut turn: impl Iterator<Item = Ipv6Addr>,
        duration: Duration,
        window: usize,
        once_each: u64,
    ) -> io::Result<Flood> {
        let start = Instant::now();
        let mut is_at_end = false;
        let (mut asked, mut answered, mut waiting) = (0, 0, 0_usize);
        let (mut last_answer, mut last_sign) = (start, start);
        loop {
            let elapsed = start.elapsed();
            let is_over = is_at_end || elapsed >= duration && (asked >= once_each || elapsed >= duration * 4);
            if !is_over && waiting + AT_ONCE <= window {
                let next: Vec<_> = turn.by_ref().take(AT_ONCE).collect();
                is_at_end = next.len() < AT_ONCE;
                waiting += next.len();
                asked += next.len() as u64;
                self.ask(next.into_iter())?;
            }
            match self.hear()? {
                0 if waiting > 0 && last_sign.elapsed() > LOST_AFTER => {
                    waiting = 0;
                    last_sign = Instant::now();
                }
                0 => {}
                more => {
                    answered += more as u64;
                    // More than were waited for: the late ones of those given up.
                    waiting = waiting.saturating_sub(more);
                    last_answer = Instant::now();
                    last_sign = last_answer;
                }
            }
            if is_over && waiting == 0 {
                return Ok(Flood { asked, answered, elapsed: last_answer - start });
            }
        }
    }

    /// Asks at a low rate, one question after the other; the time to each answer, or `None`.
    pub fn latencies(
        &mut self,
        targets: &[Ipv6Addr],
        duration: Duration,
        rate: u32,
    ) -> io::Result<Vec<Option<Duration>>> {
        let pause = Duration::from_secs(1) / rate;
        let count = (duration.as_secs_f64() * f64::from(rate)).ceil() as usize;
        let mut latencies = Vec::with_capacity(count);
        for target in targets.iter().copied().cycle().take(count) {
            let start = Instant::now();
            self.ask([target].into_iter())?;
            let mut latency = None;
            while latency.is_none() && start.elapsed() < LOST_AFTER {
                // The guests live on the same processor: a busy loop would keep them from it.
                poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], PollTimeout::from(10_u8))?;
                if self.hear()? > 0 && self.heard().any(|answered| answered == target) {
                    latency = Some(start.elapsed());
                }
            }
            latencies.push(latency);
            thread::sleep(pause.saturating_sub(start.elapsed()));
        }
        Ok(latencies)
    }

    /// Sends a question for each of the targets, at most [`BATCH`] of them.
    pub fn ask(&mut self, targets: impl Iterator<Item = Ipv6Addr>) -> io::Result<()> {
        for target in targets {
            self.questions.push(|buffer| question(target).emit(buffer));
            self.asked += 1;
        }
        self.socket.send_batch(&mut self.questions)?;
        Ok(())
    }

    /// How many questions it has asked.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// How many answers have come by now. Whoever asks for the asker gets a reply: its kernel is silent,
    /// and responders that leave the frames to the host's kernel need to know where it is.
    pub fn hear(&mut self) -> io::Result<usize> {
        match self.socket.recv_batch(&mut self.received) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        }
        let mut answers = 0;
        for (frame, _) in self.received.frames().flatten() {
            if is_answer(frame) {
                answers += 1;
            } else if let Ok(Message::Solicitation(probe)) = Message::parse(frame, ASKER_MAC)
                && probe.target == ASKER
                && !probe.is_dad()
            {
                self.questions.push(|buffer| reply(&probe, ASKER_MAC).emit(buffer));
            }
        }
        if !self.questions.is_empty() {
            self.socket.send_batch(&mut self.questions)?;
        }
        Ok(answers)
    }

    /// The targets of the answers that the last [`Asker::hear`] found.
    pub fn heard(&self) -> impl Iterator<Item = Ipv6Addr> {
        let frames = self.received.frames().flatten().map(|(frame, _)| frame);
        frames
            .filter(|frame| is_answer(frame))
            .filter_map(|frame| Some(Ipv6Addr::from(*frame.get(TARGET_AT..)?.first_chunk::<16>()?)))
    }

    /// Sends a frame of another kind, many times at once.
    pub fn send(&mut self, frame: &[u8], times: usize) -> io::Result<()> {
        for _ in 0..times {
            self.questions.push(|buffer| {
                buffer[..frame.len()].copy_from_slice(frame);
                frame.len()
            });
        }
        self.socket.send_batch(&mut self.questions)?;
        Ok(())
    }

    fn hear_for(&mut self, duration: Duration, mut tell: impl FnMut(Advertisement)) -> io::Result<()> {
        let deadline = Instant::now() + duration;
        while Instant::now() < deadline {
            if self.hear()? == 0 {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            for (frame, _) in self.received.frames().flatten() {
                if let Ok(Message::Advertisement(answer)) = Message::parse(frame, ASKER_MAC) {
                    tell(answer);
                }
            }
        }
        Ok(())
    }
}

/// As a router asks that knows nothing: to the solicited-node group, with its own address.
fn question(target: Ipv6Addr) -> Solicitation {
    let group = solicited_node(target);
    Solicitation {
        source_mac: ASKER_MAC,
        destination_mac: Mac::multicast(group),
        source: ASKER,
        destination: group,
        target,
        source_link_layer: Some(ASKER_MAC),
    }
}

/// A cheap look, because the asker must not be the bottleneck: the filter passed solicitations and
/// advertisements only, and in the range there are no others. An announcement goes to a group, and is no answer.
fn is_answer(frame: &[u8]) -> bool {
    let is_to_asker = frame.first() == Some(&ASKER_MAC.0[0]);
    is_to_asker && frame.get(MESSAGE_TYPE) == Some(&Advertisement::TYPE) && frame.get(RANGE_AT) == Some(&0xc)
}

/// Where the ICMPv6 type stands in a frame.
const MESSAGE_TYPE: usize = 54;
/// Where the target stands.
const TARGET_AT: usize = 62;
/// Where the byte stands that tells the range's addresses from those around it.
const RANGE_AT: usize = TARGET_AT + 9;
/// Questions in one system call.
const AT_ONCE: usize = 32;
/// An answer that has not come by then is lost.
const LOST_AFTER: Duration = Duration::from_millis(200);
