//! What the kernel says of the place of a program, and of the namespace that it is in.
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::{Domain, Socket, Type};

use super::call;
use crate::engine::facts::IfIndex;

/// The interface that a link of tcx is attached to; none if it is not attached any more, because the interface has gone or
/// somebody has detached it.
pub(super) fn attached_to(link: BorrowedFd<'_>) -> io::Result<Option<IfIndex>> {
    // struct bpf_link_info as far as it is looked at: kind, number, number of the program, then what the kind says.
    let mut info = [0_u32; 6];
    call::info(link, &mut info)?;
    // BPF_LINK_TYPE_TCX.
    Ok((info[0] == 11 && info[4] != 0).then_some(IfIndex(info[4])))
}

/// What no other network namespace has had since the host started (SO_NETNS_COOKIE); none before Linux 5.14.
pub(super) fn namespace_cookie() -> io::Result<Option<u64>> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    let (mut cookie, mut length) = (0_u64, size_of::<u64>() as libc::socklen_t);
    // SAFETY: the kernel writes at most `length` bytes to `cookie`, which has that size; both live through the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    match result {
        0 => Ok(Some(cookie)),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(None),
            error => Err(error),
        },
    }
}

/// Nanoseconds since the host started, those in which it slept among them, as a program reads them.
pub fn boot_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec`, which lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

/// asm-generic/socket.h.
const SO_NETNS_COOKIE: libc::c_int = 71;
