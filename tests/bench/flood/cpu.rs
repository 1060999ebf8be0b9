//! CPUs: who runs on which, and how much of it was used.

use std::time::Duration;
use std::{fmt, fs, io};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
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

/// What all threads of a process have used, user and kernel.
pub fn time_of(process: u32) -> io::Result<Duration> {
    let tasks = fs::read_dir(format!("/proc/{process}/task"))?;
    tasks.map(|task| read(&task?.path().join("schedstat").to_string_lossy())).sum()
}

/// What the calling thread has used.
pub fn time_of_this_thread() -> io::Result<Duration> {
    read("/proc/thread-self/schedstat")
}

/// proc(5): the first number is the time on the CPU in nanoseconds. `stat` counts in clock ticks,
/// too coarse for a short turn.
fn read(schedstat: &str) -> io::Result<Duration> {
    let text = fs::read_to_string(schedstat)?;
    let nanoseconds = text.split_whitespace().next().and_then(|number| number.parse().ok());
    nanoseconds.map(Duration::from_nanos).ok_or_else(|| {
        io::Error::other(format!("{schedstat} holds no number: the kernel does not count CPU time"))
    })
}
