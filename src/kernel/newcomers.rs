//! What is heard on interfaces that have no socket of their own yet.
//!
//! A guest checks its address milliseconds after its interface appears, and may then be silent for hours. On a busy
//! machine, a packet socket for that interface is open too late. So one socket hears the duplicate address detection
//! and the multicast reports of all interfaces from the start. What it heard is passed on when the interface's own
//! socket opens.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::socket::{LinkAddr, recvfrom};
use tokio::task::spawn_blocking;

use super::packet::PacketSocket;
use super::ready::{Left, Queue, Source};
use crate::engine::facts::IfIndex;
use crate::wire::filter;

/// The socket of all interfaces, and what it heard.
#[derive(Debug, Default)]
pub struct Newcomers {
    /// `None` while the kernel refuses it, or no guest is expected.
    source: Option<Source>,
    /// The oldest first.
    heard: VecDeque<Heard>,
    /// The upstreams that the filter leaves out.
    upstreams: Vec<u32>,
}

#[derive(Debug)]
struct Heard {
    link: IfIndex,
    at: Instant,
    frame: Vec<u8>,
}

impl Newcomers {
    /// Listens from now on, if it does not yet: in the queue as [`ALL_INTERFACES`]. Needs CAP_NET_RAW.
    pub fn open(&mut self, queue: &Queue) -> io::Result<()> {
        if self.source.is_none() {
            let socket = PacketSocket::everywhere(libc::ETH_P_IPV6, &filter::newcomers(&self.upstreams))?;
            self.source = Some(Source::new(Arc::new(socket), ALL_INTERFACES, queue)?);
        }
        Ok(())
    }

    /// Listens no more. The socket, to be closed: the kernel takes its time for that.
    pub fn close(&mut self) -> Option<Arc<PacketSocket>> {
        self.source.take().map(Source::into_socket)
    }

    /// Reads what has come, and keeps what came on interfaces that have no socket of their own.
    pub fn read(&mut self, has_own: impl Fn(IfIndex) -> bool) {
        let Some(source) = &self.source else { return };
        let heard = &mut self.heard;
        source.read(|socket| {
            (
                (),
                read(socket, |link, frame| {
                    if !has_own(link) {
                        keep(heard, link, frame.to_vec());
                    }
                }),
            )
        });
    }

    /// What was heard on this interface not long ago, the oldest first. It is forgotten.
    pub fn take(&mut self, link: IfIndex) -> Vec<Vec<u8>> {
        forget_old(&mut self.heard);
        let (here, elsewhere) =
            std::mem::take(&mut self.heard).into_iter().partition(|heard| heard.link == link);
        self.heard = elsewhere;
        let here: VecDeque<Heard> = here;
        here.into_iter().map(|heard| heard.frame).collect()
    }

    /// These interfaces have sockets of their own. Frames on them do not wake this socket.
    pub fn leave_out(&mut self, upstreams: impl Iterator<Item = IfIndex>) {
        let mut upstreams: Vec<_> = upstreams.map(|link| link.0).collect();
        upstreams.sort_unstable();
        if upstreams != self.upstreams {
            let program = filter::newcomers(&upstreams);
            self.upstreams = upstreams;
            let Some(source) = &self.source else { return };
            let socket = Arc::clone(source.socket());
            spawn_blocking(move || {
                if let Err(error) = socket.attach(&program) {
                    tracing::debug!(%error, "the socket of all interfaces keeps its filter");
                }
            });
        }
    }
}

/// Reads frames of all interfaces, some at a time, and tells where each came.
pub(super) fn read(socket: &PacketSocket, mut tell: impl FnMut(IfIndex, &[u8])) -> Left {
    let mut buffer = [0; LONGEST_FRAME];
    for _ in 0..READ_AT_ONCE {
        let (length, sender) = match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            Ok((length, Some(sender))) => (length, sender),
            Ok((_, None)) => continue,
            Err(_) => return Left::Nothing,
        };
        let link = u32::try_from(sender.ifindex()).map(IfIndex);
        // One that fills the buffer may be cut.
        if let (Ok(link), Some(frame)) = (link, buffer.get(..length).filter(|_| length < LONGEST_FRAME)) {
            tell(link, frame);
        }
    }
    Left::Perhaps
}

fn keep(all: &mut VecDeque<Heard>, link: IfIndex, frame: Vec<u8>) {
    forget_old(all);
    if all.iter().filter(|heard| heard.link == link).count() >= MOST_OF_ONE {
        return;
    }
    if all.len() == MOST {
        all.pop_front();
    }
    all.push_back(Heard { link, at: Instant::now(), frame });
}

fn forget_old(all: &mut VecDeque<Heard>) {
    while all.front().is_some_and(|heard| heard.at.elapsed() > OLDEST) {
        all.pop_front();
    }
}

/// In place of an interface's number, which is never 0.
pub const ALL_INTERFACES: IfIndex = IfIndex(0);
/// No duplicate address detection and no report of a guest is longer, except one that is padded on purpose.
const LONGEST_FRAME: usize = 1_600;
/// More is left for the next turn.
const READ_AT_ONCE: usize = 512;
/// Frames that are kept in all.
const MOST: usize = 1_024;
/// Frames of one interface that are kept: a guest checks some addresses of its own at once.
const MOST_OF_ONE: usize = 32;
/// What is older says nothing about who is there now.
const OLDEST: Duration = Duration::from_secs(10);
