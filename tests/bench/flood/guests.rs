//! Guests without number: one thread that is all of them. Each has a MAC of its own, answers what is asked for its
//! address, and reports the group that it listens to, as the kernel of a real host does.

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lone64::kernel::packet::{PacketSocket, RecvBatch, SendBatch};
use lone64::wire::filter::Instruction;
use lone64::wire::{
    Advertisement, Flags, Mac, Message, MldQuery, MldRecord, MldRecordKind, MldReport, MldVersion,
    Solicitation, solicited_node,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::cpu;
use super::lab::{GUESTS, Lab, index};
use super::responder::{number, target};

/// Whether guests report the groups that they listen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// As every host does. RFC 4861 §7.2.1: "joining the solicited-node multicast address is done using a Multicast
    /// Listener Discovery protocol"; RFC 3810 §6.1: at once, and once more within a second.
    Reporting,
    /// They do not: a host with a filter in its way, or one behind a switch that keeps reports to itself.
    Silent,
}

impl Manner {
    /// As the tables name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reporting => "reporting",
            Self::Silent => "silent",
        }
    }
}

/// The guests; they end when dropped.
pub struct Guests {
    stop: Arc<AtomicBool>,
    wake: Sender<Wake>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// So many addresses are there from now on; what is sent when their guests have reported.
struct Wake {
    count: u32,
    done: Sender<()>,
}

/// Reports that are due: those of all guests, spread evenly over some time.
struct Sweep {
    kind: MldRecordKind,
    version: MldVersion,
    begun: Instant,
    lasts: Duration,
    /// The next one to report, and the last.
    next: u32,
    last: u32,
    done: Option<Sender<()>>,
}

impl Guests {
    /// Starts the thread. No address is there yet.
    pub fn start(lab: &Lab, cpu: usize, manner: Manner) -> io::Result<Self> {
        let socket = lab.guests.run(|| PacketSocket::open(index(GUESTS), FILTER))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (wake, woken) = mpsc::channel();
        let thread = lab.guests.spawn(move || {
            cpu::pin_this_thread(cpu)?;
            Crowd { socket, manner, count: 0, sweeps: Vec::new() }.live_until(&stopped, &woken)
        })?;
        Ok(Self { stop, wake, thread: Some(thread) })
    }

    /// Gives the addresses 1 to `count` to guests, and returns when they have reported.
    pub fn wake(&self, count: u32) -> io::Result<()> {
        let (done, is_done) = mpsc::channel();
        let failed = || io::Error::other("the guests have ended");
        self.wake.send(Wake { count, done }).map_err(|_| failed())?;
        is_done.recv().map_err(|_| failed())
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the guests failed: {error}");
        }
    }
}

/// What the thread has.
struct Crowd {
    socket: PacketSocket,
    manner: Manner,
    count: u32,
    sweeps: Vec<Sweep>,
}

impl Crowd {
    fn live_until(mut self, stopped: &AtomicBool, woken: &Receiver<Wake>) -> io::Result<()> {
        let (mut received, mut answers) = (RecvBatch::new(), SendBatch::new());
        while !stopped.load(Ordering::Relaxed) {
            match woken.try_recv() {
                Ok(wake) => self.begin(wake),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
            self.report()?;
            let patience = if self.sweeps.is_empty() { 5_u8 } else { 1 };
            poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], PollTimeout::from(patience))?;
            match self.socket.recv_batch(&mut received) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                other => other?,
            }
            for (frame, _) in received.frames().flatten() {
                match Message::parse(frame, station(frame)) {
                    Ok(Message::Solicitation(probe)) if !probe.is_dad() => {
                        if let Some(guest) = number(probe.target).filter(|guest| *guest <= self.count) {
                            answers.push(|buffer| reply(&probe, mac(guest)).emit(buffer));
                        }
                    }
                    Ok(Message::Query(query)) => self.hear(&query),
                    _ => {}
                }
            }
            if !answers.is_empty() {
                self.socket.send_batch(&mut answers)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, wake: Wake) {
        let first = self.count + 1;
        self.count = wake.count;
        if self.manner == Manner::Silent {
            // Nobody waits any more only if the turn is over.
            let _ = wake.done.send(());
            return;
        }
        let lasts = Duration::from_secs(1) * self.count.saturating_sub(first) / REPORTS_PER_SECOND;
        let now = Instant::now();
        for (begun, done) in [(now, None), (now + lasts, Some(wake.done))] {
            let kind = MldRecordKind::Begin;
            let sweep =
                Sweep { kind, version: MldVersion::V2, begun, lasts, next: first, last: wake.count, done };
            self.sweeps.push(sweep);
        }
    }

    /// RFC 3810 §6.2: a general query is answered after a random delay up to its maximum. Here the delays of all guests
    /// together are even.
    fn hear(&mut self, query: &MldQuery) {
        if self.manner == Manner::Silent || query.group.is_some() {
            return;
        }
        self.sweeps.retain(|sweep| sweep.kind != MldRecordKind::IsListened);
        self.sweeps.push(Sweep {
            kind: MldRecordKind::IsListened,
            version: query.version,
            begun: Instant::now(),
            lasts: query.max_response,
            next: 1,
            last: self.count,
            done: None,
        });
    }

    /// Sends what is due by now.
    fn report(&mut self) -> io::Result<()> {
        let mut buffer = [0; MldReport::MAX_EMITTED];
        for sweep in &mut self.sweeps {
            let mut at_once = 0;
            while at_once < AT_ONCE && sweep.is_due() {
                let report = report_of(sweep.next, sweep.version, sweep.kind);
                let length = report.emit(&mut buffer);
                self.socket.send(&buffer[..length])?;
                (sweep.next, at_once) = (sweep.next + 1, at_once + 1);
            }
        }
        self.sweeps.retain(|sweep| sweep.next <= sweep.last);
        Ok(())
    }
}

impl Sweep {
    fn is_due(&self) -> bool {
        let share = |part: u32| self.lasts.mul_f64(f64::from(part) / f64::from(self.last.max(1)));
        self.next <= self.last
            && self.begun.checked_add(share(self.next)).is_some_and(|due| due <= Instant::now())
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        // Nobody waits any more only if the turn is over.
        self.done.take().map(|done| done.send(()));
    }
}

/// What the station that has the target replies.
pub fn reply(probe: &Solicitation, mac: Mac) -> Advertisement {
    Advertisement {
        source_mac: mac,
        destination_mac: probe.asker_mac(),
        source: probe.target,
        destination: probe.source,
        target: probe.target,
        flags: Flags { router: false, solicited: true, override_entry: true },
        target_link_layer: Some(mac),
    }
}

/// One group: a guest's link-local address ends in the same three bytes as its global one, as EUI-64 has it.
fn report_of(guest: u32, version: MldVersion, kind: MldRecordKind) -> MldReport {
    let [.., a, b, c] = guest.to_be_bytes();
    let identifier = u64::from_be_bytes([0, 0, 5, 0xff, 0xfe, a, b, c]);
    let source = Ipv6Addr::from((0xfe80_u128 << 112) | u128::from(identifier));
    let records = vec![MldRecord { kind, group: solicited_node(target(guest)) }];
    MldReport { source_mac: mac(guest), source, version, records }
}

fn mac(guest: u32) -> Mac {
    let [.., a, b, c] = guest.to_be_bytes();
    Mac([2, 0, 5, a, b, c])
}

/// Whom the frame is for: every guest takes what goes to its own MAC.
fn station(frame: &[u8]) -> Mac {
    let to = frame.first_chunk().copied().map(Mac);
    to.filter(|to| !to.is_group()).unwrap_or(mac(0))
}

/// Reports of guests that come up: a host with thousands of containers starts them over minutes, and this many at
/// most fit into a socket's queue.
const REPORTS_PER_SECOND: u32 = 50_000;
/// Reports before the next look at what came in.
const AT_ONCE: u32 = 64;

/// ICMPv6, also behind a hop-by-hop header, to whatever MAC: the interface stands for many stations.
const FILTER: &[Instruction] = &[
    // The ethertype is IPv6's.
    Instruction { code: 0x28, if_true: 0, if_false: 0, operand: 12 },
    Instruction { code: 0x15, if_true: 0, if_false: 3, operand: 0x86dd },
    // The next header is ICMPv6, or hop-by-hop options.
    Instruction { code: 0x30, if_true: 0, if_false: 0, operand: 20 },
    Instruction { code: 0x15, if_true: 2, if_false: 0, operand: 58 },
    Instruction { code: 0x15, if_true: 1, if_false: 0, operand: 0 },
    Instruction { code: 0x06, if_true: 0, if_false: 0, operand: 0 },
    Instruction { code: 0x06, if_true: 0, if_false: 0, operand: 0xffff },
];
