//! Packets that are nobody's business: solicitations outside the range, and UDP. What does each cost a host, over one
//! without responder?

use std::time::{Duration, Instant};
use std::{io, thread};

use lone64::kernel::packet::BATCH;

use super::asker::Asker;
use super::cpu;
use super::figures::{Figures, What};
use super::lab::{ASKER, ASKER_MAC};
use super::numbers::{median, text};
use super::responder::Responder;

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// A solicitation whose target is in the same /64 as the range, and behind it.
    Outside,
    /// UDP to a group that nobody listens to, as a shared link is full of.
    Udp,
}

/// What it came to.
#[derive(Debug, Clone, Copy)]
struct Turn {
    sent: u32,
    /// CPU time of the asker: sending, and the kernel's work up to the responder's socket.
    asker: Duration,
    /// CPU time of the responder, if it is a process.
    responder: Option<Duration>,
}

/// One responder's turns with one kind of packet.
#[derive(Debug)]
pub struct Noise {
    /// Whose host it is.
    pub responder: Responder,
    packet: Packet,
    turns: Vec<Turn>,
}

impl Noise {
    /// Nothing yet; both kinds of packets.
    pub fn both(responder: Responder) -> [Self; 2] {
        [Packet::Outside, Packet::Udp].map(|packet| Self { responder, packet, turns: Vec::new() })
    }

    /// Sends [`RATE`] packets a second. `spent` says how much CPU the responder has used by now.
    pub fn take(
        &mut self,
        asker: &mut Asker,
        duration: Duration,
        spent: impl Fn() -> io::Result<Option<Duration>>,
    ) -> io::Result<()> {
        let batch = BATCH as u32;
        let packet = udp();
        let at_first = spent()?;
        let (start, before) = (Instant::now(), cpu::time_of_this_thread()?);
        let mut sent = 0;
        while start.elapsed() < duration {
            match self.packet {
                Packet::Outside => asker.ask((sent..sent + batch).map(outside))?,
                Packet::Udp => asker.send(&packet, BATCH)?,
            }
            sent += batch;
            let due = Duration::from_secs(1) * sent / RATE;
            thread::sleep(due.saturating_sub(start.elapsed()));
        }
        let used = cpu::time_of_this_thread()?.saturating_sub(before);
        // What is still in the responder's queue belongs to the turn.
        thread::sleep(Duration::from_millis(20));
        let responder = spent()?.zip(at_first).map(|(after, before)| after.saturating_sub(before));
        self.turns.push(Turn { sent, asker: used, responder });
        Ok(())
    }

    fn in_kernel(&self) -> Option<f64> {
        median(self.turns.iter().map(|turn| each(turn.asker, turn)))
    }

    fn in_process(&self) -> Option<f64> {
        median(self.turns.iter().filter_map(|turn| Some(each(turn.responder?, turn))))
    }
}

fn each(spent: Duration, turn: &Turn) -> f64 {
    spent.as_secs_f64() * 1e9 / f64::from(turn.sent)
}

/// Prints both tables, and adds their numbers.
pub fn print(noises: &[Noise], figures: &mut Figures) {
    for (packet, title, what) in [
        (Packet::Outside, "solicitations outside the range", What::Outside),
        (Packet::Udp, "foreign UDP packets", What::Udp),
    ] {
        let of = |responder| {
            noises
                .iter()
                .filter(move |n| n.packet == packet && (n.responder == Responder::Nobody) == responder)
        };
        let Some(alone) = of(true).find_map(Noise::in_kernel) else { continue };
        println!("\n{title}, ns for each over a host without responder ({alone:.0} ns)");
        println!("{:<16} {:>12} {:>12} {:>12}", "responder", "in kernel", "in process", "together");
        for noise in of(false) {
            let (kernel, process) = (noise.in_kernel().map(|cost| cost - alone), noise.in_process());
            let together = kernel.map(|kernel| kernel + process.unwrap_or(0.0));
            println!(
                "{:<16} {:>12} {:>12} {:>12}",
                noise.responder,
                text(kernel, 0),
                text(process, 0),
                text(together, 0)
            );
            figures.add(noise.responder, what, "", together);
        }
    }
}

/// In the same /64 as the range, behind it.
fn outside(number: u32) -> std::net::Ipv6Addr {
    let [high, low] = [(number >> 16) as u16, number as u16];
    std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xd, 0, high, low)
}

/// A whole frame. The kernel drops it after a look at its groups, so that nothing but the sockets' filters differs; its
/// checksum is nobody's business.
fn udp() -> Vec<u8> {
    let mut frame = vec![0x33, 0x33, 0, 1, 0, 3];
    frame.extend(ASKER_MAC.0);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 17, 255]);
    frame.extend(ASKER.octets());
    // LLMNR's group (RFC 4795 §2).
    frame.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3]);
    frame.extend([20, 235, 20, 235, 0, 24, 0, 0]);
    frame.extend([0; 16]);
    frame
}

/// Packets per second: few enough that the slowest responder reads all of them, and what is measured is what one costs.
const RATE: u32 = 100_000;
