//! CPUs: who runs on which, and how much of it was used.

use std::time::Duration;
use std::{fmt, io};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// The CPUs that the measurement uses.
#[derive(Debug, Clone, Copy)]
pub struct Cpus {
    /// Of the asker and the guests.
    pub asker: usize,
    /// Of the responder.
    pub responder: usize,
}

impl Cpus {
    /// The first two that this process may use.
    pub fn choose() -> io::Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let mut usable = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
        let asker = usable.next().ok_or_else(|| io::Error::other("this process may use no CPU"))?;
        Ok(Self { asker, responder: usable.next().unwrap_or(asker) })
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asker, responder } = self;
        if asker == responder {
            return write!(f, "only CPU {asker} is there, for asker and responder: the numbers mean little");
        }
        write!(f, "asker and guests on CPU {asker}, responder on CPU {responder}")
    }
}

/// Keeps the calling thread on one CPU.
pub fn pin_this_thread(cpu: usize) -> io::Result<()> {
    pin(Pid::from_raw(0), cpu)
}

/// Keeps a process on one CPU.
pub fn pin(process: Pid, cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(process, &set)?)
}

/// What a process has used, user and kernel, all its threads together, also those that have ended.
pub fn time_of(process: u32) -> io::Result<Duration> {
    let process = i32::try_from(process).map_err(io::Error::other)?;
    read(clock_getcpuclockid(Pid::from_raw(process))?)
}

/// What the calling thread has used.
pub fn time_of_this_thread() -> io::Result<Duration> {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// In nanoseconds; `stat` of proc(5) counts in clock ticks, too coarse for a short turn.
fn read(clock: ClockId) -> io::Result<Duration> {
    Ok(Duration::from(clock_gettime(clock)?))
}
