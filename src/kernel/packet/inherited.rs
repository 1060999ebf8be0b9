//! Packet sockets that a predecessor has left with the service manager (sd_notify(3), `FDSTORE=1`), with the questions
//! that came while no daemon was there.
//!
//! May touch: the descriptors that the process was started with (sd_listen_fds(3)).

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{c_int, c_void, socklen_t};

use super::ring::Ring;
use super::{PROTOCOL_NONE, PacketSocket, RECEIVE_BUFFER, RECEIVE_BUFFER_EVERYWHERE, bind, check, unbound};
use crate::engine::facts::IfIndex;

impl PacketSocket {
    /// The descriptors of these names that the service manager has passed, as sockets of their interfaces: those with a
    /// queue, and those with a ring. The first call takes them all. What is no socket of an interface in the network
    /// namespace of this thread is closed, and so is what a lone64 of another version has left otherwise.
    pub fn inherited(with_queue: &str, with_ring: &str) -> Vec<(IfIndex, Self)> {
        let inherit = |(fd, has_ring)| Self::inherit(fd, has_ring).ok();
        passed([with_queue, with_ring]).into_iter().filter_map(inherit).collect()
    }

    /// Whether frames come into a ring.
    pub fn has_ring(&self) -> bool {
        self.ring.is_some()
    }

    /// Makes room for what comes until the next start reads it: the answer comes late then, and not never.
    pub fn wait_for_the_next_start(&self) -> io::Result<()> {
        self.make_room(RECEIVE_BUFFER_EVERYWHERE)
    }

    /// Its filter, its group memberships and what is in its queue stay.
    fn inherit(fd: OwnedFd, has_ring: bool) -> io::Result<(IfIndex, Self)> {
        let out = unbound()?;
        if cookie(&fd)? != cookie(&out)? {
            return Err(io::Error::other("it is of another network namespace"));
        }
        let address = bound_to(&fd)?;
        let is_ours = c_int::from(address.sll_family) == libc::AF_PACKET
            && address.sll_protocol == (libc::ETH_P_IPV6 as u16).to_be();
        // Where the interface is gone the kernel says -1.
        let link = u32::try_from(address.sll_ifindex).ok().filter(|index| is_ours && *index != 0);
        let link = IfIndex(link.ok_or_else(|| io::Error::other("it is bound to no interface"))?);
        bind(&out, address.sll_ifindex, PROTOCOL_NONE)?;
        let ring = if has_ring { Some(Ring::inherit(&fd)?) } else { None };
        let socket = Self { fd, out, ring };
        // What is in the queue stays there.
        socket.make_room(RECEIVE_BUFFER)?;
        Ok((link, socket))
    }
}

/// Each with whether it has the second name.
fn passed(names: [&str; 2]) -> Vec<(OwnedFd, bool)> {
    static ARE_TAKEN: AtomicBool = AtomicBool::new(false);
    if ARE_TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let Ok(all) = sd_notify::listen_fds_with_names() else { return Vec::new() };
    let named = all.filter_map(|(fd, its)| Some((fd, names.iter().position(|name| its == *name)? == 1)));
    // SAFETY: the service manager has opened them for this process, and they are taken once.
    named.map(|(fd, has_ring)| (unsafe { OwnedFd::from_raw_fd(fd) }, has_ring)).collect()
}

fn bound_to(socket: &OwnedFd) -> io::Result<libc::sockaddr_ll> {
    // SAFETY: a `sockaddr_ll` of zeros is a valid one.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    let mut length = size_of::<libc::sockaddr_ll>() as socklen_t;
    let pointer = (&raw mut address).cast::<libc::sockaddr>();
    // SAFETY: `address` has the size that `length` says, and lives through the call.
    check(unsafe { libc::getsockname(socket.as_raw_fd(), pointer, &raw mut length) })?;
    Ok(address)
}

/// Of the network namespace of a socket. Before Linux 5.14 there is none, and nothing is inherited.
fn cookie(socket: &OwnedFd) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as socklen_t;
    let pointer = (&raw mut cookie).cast::<c_void>();
    let (level, option) = (libc::SOL_SOCKET, SO_NETNS_COOKIE);
    // SAFETY: `cookie` has the size that `length` says, and lives through the call.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, pointer, &raw mut length) })?;
    Ok(cookie)
}

// asm-generic/socket.h
const SO_NETNS_COOKIE: c_int = 71;
