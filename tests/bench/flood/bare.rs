//! A responder that does not think. What it costs is what the kernel costs, for frames that are read from the queue of a
//! packet socket.

use std::convert::Infallible;
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsFd;

use lone64::kernel::packet::{PacketSocket, RecvBatch, SendBatch};
use lone64::wire::{Advertisement, Flags, filter};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::lab::{ASKER_MAC, HOST_MAC, UPSTREAM, index};
use super::responder::RANGE;

/// Answers whatever passes the filter, without a look at anything but who asks for what.
pub fn answer_for_ever() -> io::Result<Infallible> {
    let range = RANGE.parse().expect("a prefix");
    let socket = PacketSocket::open(index(UPSTREAM), &filter::upstream(&[range], &[]))?;
    let (mut received, mut answers) = (RecvBatch::new(), SendBatch::new());
    loop {
        match socket.recv_batch(&mut received) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
                continue;
            }
            other => other?,
        }
        for answer in received.frames().flatten().filter_map(|(frame, _)| answer(frame)) {
            answers.push(|buffer| answer.emit(buffer));
        }
        socket.send_batch(&mut answers)?;
    }
}

fn answer(question: &[u8]) -> Option<Advertisement> {
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(question.get(at..at + 16)?).ok()?));
    let target = address(62)?;
    Some(Advertisement {
        source_mac: HOST_MAC,
        destination_mac: ASKER_MAC,
        source: target,
        destination: address(22)?,
        target,
        flags: Flags { router: false, solicited: true, override_entry: false },
        target_link_layer: Some(HOST_MAC),
    })
}
