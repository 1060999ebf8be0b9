//! What passes on a wire of the lab: solicitations and advertisements for the guest, both ways.
//!
//! An observer only; the daemon has a packet socket of its own, which this is not.

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pnet::packet::Packet;
use pnet::packet::ethernet::{EtherTypes, EthernetPacket};
use pnet::packet::icmpv6::ndp::{NeighborAdvertPacket, NeighborSolicitPacket};
use pnet::packet::icmpv6::{Icmpv6Packet, Icmpv6Types};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv6::Ipv6Packet;

use super::DemoError;
use super::topology::GUEST;
use crate::engine::facts::IfIndex;
use crate::kernel::netns::Namespace;
use crate::kernel::packet::{PacketSocket, RecvBatch, Stamps};
use crate::wire::{Mac, filter};

/// An observer at work.
pub struct Trace {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sighting>>,
}

/// A solicitation or advertisement for the guest that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// When the kernel had it on the wire, since 1970.
    pub at: Duration,
    from: Mac,
    to: Mac,
    source: Ipv6Addr,
    message: Message,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Solicitation,
    /// The flags, and the target link-layer address if there is one (RFC 4861 §4.4).
    Advertisement {
        router: bool,
        solicited: bool,
        overrides: bool,
        at: Option<Mac>,
    },
}

impl Trace {
    /// Starts to observe a link.
    pub fn start(namespace: &Namespace, link: &str) -> Result<Self, DemoError> {
        let socket = namespace
            .run(|| open(link))
            .map_err(|e| DemoError::Lab("no packet socket to observe with", e))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut seen, mut batch) = (Vec::new(), RecvBatch::new());
            loop {
                match socket.recv_batch(&mut batch) {
                    Ok(()) => seen.extend(sightings(&batch)),
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return seen,
                    // Only when nothing is left to read, so that nothing is missed.
                    Err(_) if stopped.load(Ordering::Relaxed) => return seen,
                    Err(_) => wait(&socket),
                }
            }
        });
        Ok(Self { stop, thread })
    }

    /// Ends, and tells what passed.
    pub fn stop(self) -> Vec<Sighting> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

impl Sighting {
    /// Two lines for people, with the time since `start`.
    pub fn describe(&self, start: Duration) -> String {
        let time = self.at.saturating_sub(start).as_secs_f64() * 1000.0;
        let (from, to, source) = (self.from, self.to, self.source);
        let (name, flags, what) = match self.message {
            Message::Solicitation if source.is_unspecified() => {
                ("solicitation", String::new(), format!("DAD for {GUEST}"))
            }
            Message::Solicitation => ("solicitation", String::new(), format!("{source} asks for {GUEST}")),
            Message::Advertisement { router, solicited, overrides, at } => {
                let [r, s, o] = [router, solicited, overrides].map(u8::from);
                let place = at.map_or_else(|| "here".to_owned(), |mac| format!("at {mac}"));
                ("advertisement", format!("  R={r} S={s} O={o}"), format!("{GUEST} is {place}"))
            }
        };
        format!("  {time:8.3} ms  {name:<13} {from} > {to}{flags}\n               {what}")
    }

    /// Whether it is a question, and not an answer.
    pub fn is_solicitation(&self) -> bool {
        self.message == Message::Solicitation
    }
}

/// From the last solicitation before the first advertisement to that advertisement.
pub fn time_to_answer(seen: &[Sighting]) -> Option<Duration> {
    let answer = seen.iter().position(|sighting| !sighting.is_solicitation())?;
    let asked = seen[..answer].last()?;
    Some(seen[answer].at - asked.at)
}

fn open(link: &str) -> io::Result<PacketSocket> {
    let link = nix::net::if_::if_nametoindex(link)?;
    let socket = PacketSocket::observe(IfIndex(link), &filter::observer())?;
    // A kernel that cannot tell the moment leaves it to the reader.
    let _ = socket.stamp(Stamps::On);
    Ok(socket)
}

/// Until there is a frame, or it is time to ask whether to stop. The next read tells what is wrong, if anything is.
fn wait(socket: &PacketSocket) {
    let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::from(20_u8));
}

/// The moments are the kernel's: a reader that is late would find a question and its answer at once.
fn sightings(batch: &RecvBatch) -> Vec<Sighting> {
    let read = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let frames = batch.frames().zip(batch.stamps());
    frames.filter_map(|(frame, stamp)| sighting(frame?.0, stamp.unwrap_or(read))).collect()
}

fn sighting(frame: &[u8], at: Duration) -> Option<Sighting> {
    let ethernet = EthernetPacket::new(frame).filter(|frame| frame.get_ethertype() == EtherTypes::Ipv6)?;
    let ipv6 = Ipv6Packet::new(ethernet.payload())
        .filter(|packet| packet.get_next_header() == IpNextHeaderProtocols::Icmpv6)?;
    let icmpv6 = ipv6.payload();
    let (target, message) = match Icmpv6Packet::new(icmpv6)?.get_icmpv6_type() {
        Icmpv6Types::NeighborSolicit => {
            (NeighborSolicitPacket::new(icmpv6)?.get_target_addr(), Message::Solicitation)
        }
        Icmpv6Types::NeighborAdvert => {
            let advertisement = NeighborAdvertPacket::new(icmpv6)?;
            let flags = advertisement.get_flags();
            let message = Message::Advertisement {
                router: flags & 0x80 != 0,
                solicited: flags & 0x40 != 0,
                overrides: flags & 0x20 != 0,
                at: target_link_layer_address(icmpv6),
            };
            (advertisement.get_target_addr(), message)
        }
        _ => return None,
    };
    let mac = |address: pnet::util::MacAddr| Mac(address.octets());
    (target == GUEST).then(|| Sighting {
        at,
        from: mac(ethernet.get_source()),
        to: mac(ethernet.get_destination()),
        source: ipv6.get_source(),
        message,
    })
}

/// The first option, which is where everybody puts it (RFC 4861 §4.6.1).
fn target_link_layer_address(advertisement: &[u8]) -> Option<Mac> {
    match advertisement.get(24..32)? {
        [2, 1, mac @ ..] => mac.try_into().ok().map(Mac),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Sighting = Sighting {
        at: Duration::from_micros(1_500),
        from: Mac([2, 0, 0, 0, 0, 1]),
        to: Mac([0x33, 0x33, 0xff, 0, 0, 5]),
        source: super::super::topology::ROUTER,
        message: Message::Solicitation,
    };

    fn answered() -> Sighting {
        Sighting {
            at: Duration::from_micros(1_912),
            from: Mac([2, 0, 0, 0, 0, 2]),
            to: Mac([2, 0, 0, 0, 0, 1]),
            source: GUEST,
            message: Message::Advertisement {
                router: false,
                solicited: true,
                overrides: false,
                at: Some(Mac([2, 0, 0, 0, 0, 2])),
            },
        }
    }

    #[test]
    fn describes_who_asks_and_what_is_answered_within_80_columns() {
        let asked = ASKED.describe(ASKED.at);
        let answered = answered().describe(ASKED.at);
        assert_eq!(
            asked,
            "     0.000 ms  solicitation  02:00:00:00:00:01 > 33:33:ff:00:00:05\n               \
             2001:db8:1:2::1 asks for 2001:db8:1:2:c::5"
        );
        assert_eq!(
            answered,
            "     0.412 ms  advertisement 02:00:00:00:00:02 > 02:00:00:00:00:01  R=0 S=1 O=0\n               \
             2001:db8:1:2:c::5 is at 02:00:00:00:00:02"
        );
        for line in asked.lines().chain(answered.lines()) {
            assert!(line.len() <= 80, "{line}");
        }
    }

    #[test]
    fn takes_the_time_from_the_last_solicitation_to_the_first_answer() {
        let earlier = Sighting { at: Duration::ZERO, ..ASKED };
        assert_eq!(time_to_answer(&[earlier.clone(), ASKED, answered()]), Some(Duration::from_micros(412)));
        assert_eq!(time_to_answer(&[earlier, ASKED]), None);
        assert_eq!(time_to_answer(&[answered()]), None);
    }

    #[test]
    fn sees_nothing_in_frames_that_are_cut_short() {
        let mut frame = vec![0; 14 + 40 + 32];
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame[14 + 4..14 + 7].copy_from_slice(&[0, 32, 58]);
        frame[54] = 136;
        frame[54 + 8..54 + 24].copy_from_slice(&GUEST.octets());
        assert!(sighting(&frame, Duration::ZERO).is_some());
        for length in 0..54 + 24 {
            assert_eq!(sighting(&frame[..length], Duration::ZERO), None, "{length}");
        }
    }
}
