//! The observers of a journey, and what wakes them: frames on the upstream and at the guest, a packet
//! for the guest, the end of a wait; and Ctrl-C, which ends it all.

use std::io::{ErrorKind, Read};
use std::net::SocketAddrV6;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::Socket;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::LiveError;
use super::guest::Guest;
use super::sighting::{HOPS, NEAR, Reply, Request, Sighting, hop_limit};
use crate::engine::bindings::Upstream;
use crate::kernel::packet::{PacketSocket, RecvBatch, SendBatch, Waiter};
use crate::wire::{Advertisement, Solicitation, filter};

/// Where something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// A frame on the upstream.
    Upstream(Sighting),
    /// A frame at the guest's end of its wire.
    Guest(Sighting),
    /// A packet that the guest received.
    Received(Reply),
}

/// What is sent of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// A question.
    Solicitation(Solicitation),
    /// An answer.
    Advertisement(Advertisement),
}

/// Done when somebody wants it to end: with Ctrl-C, or by SIGTERM. From the call on neither kills it.
pub(super) fn interruption() -> Result<impl Future<Output = ()>, LiveError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_socket)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(no_socket)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The observers.
pub(super) struct Rig {
    upstream: PacketSocket,
    guest: Option<PacketSocket>,
    packets: Option<Socket>,
    epoll: AsyncFd<Waiter>,
    batch: RecvBatch,
}

impl Rig {
    /// Opens them. Must be called within a Tokio runtime with I/O and time.
    pub(super) fn open(upstream: &Upstream, guest: &Guest) -> Result<Self, LiveError> {
        let waiter =
            || -> std::io::Result<_> { Waiter(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?).register() };
        let rig = Self {
            upstream: PacketSocket::observe(upstream.link, &filter::observer()).map_err(no_socket)?,
            guest: guest.observe()?,
            packets: None,
            epoll: waiter().map_err(no_socket)?,
            batch: RecvBatch::new(),
        };
        let readable = EpollEvent::new(EpollFlags::EPOLLIN, 0);
        let epoll = &rig.epoll.get_ref().0;
        epoll.add(&rig.upstream, readable).map_err(no_socket)?;
        if let Some(guest) = &rig.guest {
            epoll.add(guest, readable).map_err(no_socket)?;
        }
        Ok(rig)
    }

    /// From here on, packets are sent and received by this socket of the guest's, and no earlier one.
    pub(super) fn take_guest(&mut self, socket: Socket) -> Result<(), LiveError> {
        let readable = EpollEvent::new(EpollFlags::EPOLLIN, 0);
        self.epoll.get_ref().0.add(&socket, readable).map_err(no_socket)?;
        self.packets = Some(socket);
        Ok(())
    }

    /// Has the guest send its packet, once with each hop limit; the host takes `on_the_way` off what it forwards.
    pub(super) fn send(&self, request: &Request, round: u16, on_the_way: u32) {
        self.packets.iter().for_each(|socket| send_all(socket, request, round, on_the_way));
    }

    /// Has it send the one that ends at the first router.
    pub(super) fn send_near(&self, request: &Request, on_the_way: u32) {
        self.packets.iter().for_each(|socket| send_one(socket, request, NEAR, on_the_way));
    }

    /// Sends a message of our own on the upstream.
    pub(super) fn tell(&self, own: Own) {
        send(&self.upstream, own);
    }

    /// Sends one from the guest's end of its wire.
    pub(super) fn tell_host(&self, own: Own) {
        self.guest.iter().for_each(|socket| send(socket, own));
    }

    /// Waits until something is there, and returns what is; nothing if the time is over.
    pub(super) async fn watch(&mut self, request: &Request, until: Instant) -> Result<Vec<Seen>, LiveError> {
        loop {
            let seen = self.drain(request);
            if !seen.is_empty() || Instant::now() >= until {
                return Ok(seen);
            }
            tokio::select! {
                guard = self.epoll.readable() => {
                    let mut guard = guard.map_err(no_socket)?;
                    let mut events = [EpollEvent::empty(); 3];
                    let ready = guard.get_inner().0.wait(&mut events, EpollTimeout::ZERO).map_err(no_socket)?;
                    if ready == 0 {
                        guard.clear_ready();
                    }
                }
                () = sleep_until(until) => {}
            }
        }
    }

    fn drain(&mut self, request: &Request) -> Vec<Seen> {
        let batch = &mut self.batch;
        let received = self.packets.as_ref().map(|socket| packets(socket, request)).unwrap_or_default();
        let guest = self.guest.as_ref().map(|socket| frames(socket, batch, request)).unwrap_or_default();
        // Last, and told first: what the guest has received was on the upstream before.
        let upstream = frames(&self.upstream, batch, request);
        let upstream = upstream.into_iter().map(Seen::Upstream);
        upstream
            .chain(guest.into_iter().map(Seen::Guest))
            .chain(received.into_iter().map(Seen::Received))
            .collect()
    }
}

fn frames(socket: &PacketSocket, batch: &mut RecvBatch, request: &Request) -> Vec<Sighting> {
    let mut all = Vec::new();
    // A storm on the link comes in turns.
    for _ in 0..MOST_BATCHES {
        // An interface that goes down says so once; what comes after it is heard.
        if socket.recv_batch(batch).is_err() || batch.is_empty() {
            break;
        }
        all.extend(
            batch.frames().flatten().filter_map(|(frame, checksum)| request.sighting(frame, checksum)),
        );
    }
    all
}

fn packets(mut socket: &Socket, request: &Request) -> Vec<Reply> {
    let mut all = Vec::new();
    let mut packet = [0; 1500];
    for _ in 0..MOST_PACKETS {
        match socket.read(&mut packet) {
            Ok(length) => all.extend(request.reply(&packet[..length])),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    all
}

/// The packets of one round, by a raw socket.
pub(super) fn send_all(socket: &Socket, request: &Request, round: u16, on_the_way: u32) {
    let each = u16::try_from(HOPS.len()).unwrap_or(1);
    (round * each..).take(HOPS.len()).for_each(|sequence| send_one(socket, request, sequence, on_the_way));
}

fn send_one(socket: &Socket, request: &Request, sequence: u16, on_the_way: u32) {
    // An error is what the kernel has to say of an earlier one; what leaves is seen.
    let _ = socket.set_unicast_hops_v6(hop_limit(sequence) + on_the_way);
    let to = SocketAddrV6::new(request.to, 0, 0, 0).into();
    let _ = socket.send_to(&request.message(sequence), &to);
}

fn send(socket: &PacketSocket, own: Own) {
    let mut batch = SendBatch::new();
    batch.push(|buffer| match own {
        Own::Solicitation(solicitation) => solicitation.emit(buffer),
        Own::Advertisement(advertisement) => advertisement.emit(buffer),
    });
    // What is not sent is not answered, and that is what is seen.
    let _ = socket.send_batch(&mut batch);
}

fn no_socket(error: impl Into<std::io::Error>) -> LiveError {
    LiveError::Guest("socket", error.into())
}

const MOST_BATCHES: usize = 16;
const MOST_PACKETS: usize = 64;
