//! Guests without number: one thread that answers every probe that comes down the wire.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use lone64::kernel::packet::{PacketSocket, RecvBatch, SendBatch};
use lone64::wire::{Advertisement, Flags, Mac, Message, Solicitation, filter};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::cpu;
use super::lab::{GUEST_MAC, GUESTS, Lab, index};

/// The guests; they end when dropped.
pub struct Guests {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Guests {
    /// Starts them.
    pub fn start(lab: &Lab, cpu: usize) -> io::Result<Self> {
        let socket = lab.guests.run(|| PacketSocket::open(index(GUESTS), &filter::downstream()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = lab.guests.spawn(move || {
            cpu::pin_this_thread(cpu)?;
            answer_until(&stopped, &socket)
        })?;
        Ok(Self { stop, thread: Some(thread) })
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

fn answer_until(stopped: &AtomicBool, socket: &PacketSocket) -> io::Result<()> {
    let (mut received, mut answers) = (RecvBatch::new(), SendBatch::new());
    while !stopped.load(Ordering::Relaxed) {
        let mut readable = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut readable, PollTimeout::from(20_u8))?;
        match socket.recv_batch(&mut received) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            other => other?,
        }
        for (frame, _) in received.frames().flatten() {
            if let Ok(Message::Solicitation(probe)) = Message::parse(frame, GUEST_MAC)
                && !probe.is_dad()
            {
                answers.push(|buffer| reply(&probe, GUEST_MAC).emit(buffer));
            }
        }
        if !answers.is_empty() {
            socket.send_batch(&mut answers)?;
        }
    }
    Ok(())
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
