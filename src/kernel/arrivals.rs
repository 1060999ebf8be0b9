//! Stations that say, on whatever interface, that they have arrived there: RARP and gratuitous ARP.
//!
//! One socket for each of both protocols hears all interfaces. The kernel hands it nothing but frames of that protocol, so
//! that all other traffic costs nothing, and ordinary ARP costs ten instructions of the filter.

use std::io;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::newcomers;
use super::packet::PacketSocket;
use super::ready::{Queue, Source};
use crate::engine::facts::IfIndex;
use crate::wire::{Mac, arrival, filter};

/// The two sockets, and what they heard.
#[derive(Debug, Default)]
pub struct Arrivals {
    sources: Vec<Source>,
    heard: Vec<(IfIndex, Mac)>,
    /// The upstreams that the filter leaves out.
    upstreams: Vec<u32>,
}

impl Arrivals {
    /// Listens from now on, if it does not yet: in the queue as [`SOCKETS`]. Needs CAP_NET_RAW.
    /// Without it guests that arrive are heard by IPv6 only.
    pub fn open(&mut self, queue: &Queue) {
        if self.sources.is_empty()
            && let Err(error) = self.try_to_open(queue)
        {
            tracing::warn!(%error, "cannot hear guests that arrive by RARP or ARP; they are heard by IPv6");
        }
    }

    fn try_to_open(&mut self, queue: &Queue) -> io::Result<()> {
        let open = |(link, protocol)| {
            let socket = PacketSocket::everywhere(protocol, &filter::arrivals(&self.upstreams))?;
            Source::new(Arc::new(socket), link, queue)
        };
        let both = SOCKETS.into_iter().zip([libc::ETH_P_RARP, libc::ETH_P_ARP]);
        self.sources = both.map(open).collect::<io::Result<_>>()?;
        Ok(())
    }

    /// Listens no more. The sockets, to be closed: the kernel takes its time for that.
    pub fn close(&mut self) -> Vec<Arc<PacketSocket>> {
        self.sources.drain(..).map(Source::into_socket).collect()
    }

    /// Reads what has come on one of them.
    pub fn read(&mut self, link: IfIndex) {
        let Some(source) =
            SOCKETS.iter().position(|socket| *socket == link).and_then(|at| self.sources.get(at))
        else {
            return;
        };
        let heard = &mut self.heard;
        source.read(|socket| {
            let keep = |link, frame: &[u8]| {
                // QEMU says it five times, and others say it of no guest: what is too much is said again, or was noise.
                if let Some(mac) = arrival::parse(frame).filter(|_| heard.len() < MOST) {
                    heard.push((link, mac));
                }
            };
            ((), newcomers::read(socket, keep))
        });
    }

    /// What was heard since the last look, and on which interfaces.
    pub fn take(&mut self) -> Vec<(IfIndex, Mac)> {
        std::mem::take(&mut self.heard)
    }

    /// Guests do not arrive on these.
    pub fn leave_out(&mut self, upstreams: impl Iterator<Item = IfIndex>) {
        let mut upstreams: Vec<_> = upstreams.map(|link| link.0).collect();
        upstreams.sort_unstable();
        if upstreams == self.upstreams {
            return;
        }
        self.upstreams = upstreams;
        for source in &self.sources {
            let (socket, program) = (Arc::clone(source.socket()), filter::arrivals(&self.upstreams));
            spawn_blocking(move || {
                if let Err(error) = socket.attach(&program) {
                    tracing::debug!(%error, "a socket that hears arrivals keeps its filter");
                }
            });
        }
    }
}

/// In place of an interface's number, which is never as high: for RARP, and for ARP.
pub const SOCKETS: [IfIndex; 2] = [IfIndex(u32::MAX), IfIndex(u32::MAX - 1)];
/// Arrivals that are kept until the next turn.
const MOST: usize = 1_024;
