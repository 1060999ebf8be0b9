//! The privileges of lone64's unit with `contrib/systemd/kernel-program.conf`: the kernel adds barriers to a program that is
//! loaded with no more than these, so what is measured has to be loaded so.
#![allow(unsafe_code)]

use std::{io, thread};

use libc::c_int;

/// What `work` returns, done with CAP_NET_ADMIN and CAP_BPF alone in force.
///
/// # Panics
/// If `work` does.
pub fn as_the_unit<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            keep_in_force(1 << NET_ADMIN | 1 << BPF)?;
            Ok(work())
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Of this thread; it ends with them.
fn keep_in_force(capabilities: u64) -> io::Result<()> {
    let mut header: [c_int; 2] = [VERSION_3, 0];
    let mut sets = [[0_u32; 3]; 2];
    // SAFETY: a header is a version and a process, and of version 3 there are two times three words.
    let answer = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) };
    check(answer)?;
    for (words, half) in sets.iter_mut().zip([capabilities as u32, (capabilities >> 32) as u32]) {
        words[0] &= half;
    }
    // SAFETY: as above; the sets are only read.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr()) })
}

fn check(answer: libc::c_long) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION_3: c_int = 0x2008_0522;
// linux/capability.h
const NET_ADMIN: u32 = 12;
const BPF: u32 = 39;
