//! bpf(2), and of it only what the responder's program needs: maps, the program, its place at a link's ingress, pins.
//!
//! `unsafe` is confined to `call`: each of its functions is one command of the system call, takes slices and
//! descriptors, and hands the kernel no pointer that is not one of theirs; and it maps one array, to be read. The other
//! files are safe.
//!
//! CAP_BPF and CAP_NET_ADMIN suffice (Linux 5.8). CAP_PERFMON, which spares the program a few barriers, is not needed.
//! Objects are found again by their pins alone: to look for them by their numbers takes CAP_SYS_ADMIN. In a user
//! namespace none of this works. The doctor asks which programs others have by tcx, and for their names, if it may.

mod available;
mod call;
mod ended;
mod link;
mod look;
mod map;
mod pins;
mod program;
mod ranges;
mod table;
mod targets;

use std::io;
use std::path::PathBuf;

pub use available::{Outlives, check_available};
pub use link::{TcxLink, tcx_programs};
pub use look::boot_time;
pub use map::ProgramMap;
pub use pins::Pins;
pub use program::{LoadedProgram, Maps, TestRun};
pub use table::{Asked, Changed, RangesChanged, Table};

use crate::wire::program::AssembleError;

/// What the kernel refuses. Each says what is missing, as far as the kernel's answer tells.
#[derive(Debug, thiserror::Error)]
pub enum BpfError {
    /// A map is not made.
    #[error("the kernel does not make the map '{0}'{remedy}: {1}", remedy = missing(.1, "CAP_BPF"))]
    Map(&'static str, #[source] io::Error),
    /// An entry of a map is not read or written.
    #[error("an entry of the map '{0}' is not to be had: {1}")]
    Entry(&'static str, #[source] io::Error),
    /// There is no room for one more entry.
    #[error("the map '{0}' is full; a restart gives it the room that `targets` in [limits] says")]
    Full(&'static str),
    /// What is pinned under the name of a map is something else.
    #[error("what is pinned at {0} is not a map of this program; remove it")]
    OtherMap(PathBuf),
    /// The instructions are no program.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The program is not loaded. The verifier's last words stand behind.
    #[error(
        "the kernel does not load the program{remedy}: {source}{log}",
        remedy = missing(.source, "CAP_NET_ADMIN"),
        log = behind(.log)
    )]
    Load {
        /// What bpf(2) returned.
        source: io::Error,
        /// What the verifier wrote, if it got that far.
        log: String,
    },
    /// The kernel is older than tcx, which came with Linux 6.6.
    #[error("the kernel has no tcx, which came with Linux 6.6")]
    NoTcx,
    /// The program does not get its place.
    #[error("the program cannot be attached to the interface: {0}")]
    Attach(#[source] io::Error),
    /// The link is there and its interface is not any more.
    #[error("the interface of the attached program is gone")]
    LinkGone,
    /// The program is not run.
    #[error("the program cannot be tried: {0}")]
    TestRun(#[source] io::Error),
    /// The file system in which objects are pinned is not there.
    #[error("{0} is no BPF file system; mount it with: mount -t bpf bpf {0}")]
    NoFileSystem(PathBuf),
    /// bpf(2) is not to be had in a user namespace.
    #[error("a BPF program cannot be loaded in a container with a user namespace")]
    UserNamespace,
    /// An object is not pinned, or not found where it was.
    #[error("{0}: {1}{remedy}", remedy = writable(.1))]
    Pin(PathBuf, #[source] io::Error),
}

/// The capability that is missing where the kernel says EPERM at this point.
fn missing(error: &io::Error, capability: &str) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied if error.raw_os_error() == Some(libc::EPERM) => {
            format!(" ({capability} is missing, or this is a container)")
        }
        _ => String::new(),
    }
}

/// How an object can be pinned after all, where that is plain.
fn writable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("; make it writable with: mount -o remount,rw {}", Pins::FILE_SYSTEM)
        }
        _ => String::new(),
    }
}

/// The end of the verifier's log, which names the instruction and what is wrong with it.
fn behind(log: &str) -> String {
    let last: Vec<_> = log.lines().filter(|line| !line.starts_with("processed ")).collect();
    let shown = last[last.len().saturating_sub(3)..].join("; ");
    if shown.is_empty() { shown } else { format!(": {shown}") }
}
