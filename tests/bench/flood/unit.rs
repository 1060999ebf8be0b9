//! The privileges of lone64's unit with `contrib/systemd/kernel-program.conf`: the kernel adds barriers to a program that is
//! loaded with no more than these, so what is measured has to be loaded so.

use std::{io, thread};

use lone64::kernel::confinement::keep_in_force;

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

// linux/capability.h
const NET_ADMIN: u32 = 12;
const BPF: u32 = 39;
