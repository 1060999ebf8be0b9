//! The system calls that have no safe wrappers: capget(2), capset(2), prctl(2), landlock(7), seccomp(2).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_long, c_ulong};

/// The sets of this thread, a bit for each number in capabilities(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) effective: u64,
    pub(super) permitted: u64,
    pub(super) inheritable: u64,
}

/// `_LINUX_CAPABILITY_VERSION_3`, of this thread.
#[repr(C)]
struct Header {
    version: u32,
    pid: c_int,
}

/// The lower half of all sets, or the upper one.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// capget(2).
pub(super) fn capabilities() -> io::Result<Capabilities> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut halves = [Half::default(); 2];
    // SAFETY: version 3 writes two halves, and the kernel writes the version only.
    done(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) })?;
    let whole = |of: fn(&Half) -> u32| u64::from(of(&halves[0])) | u64::from(of(&halves[1])) << 32;
    Ok(Capabilities {
        effective: whole(|half| half.effective),
        permitted: whole(|half| half.permitted),
        inheritable: whole(|half| half.inheritable),
    })
}

/// capset(2).
pub(super) fn set_capabilities(sets: Capabilities) -> io::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let half = |shift: u32| Half {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let halves = [half(0), half(32)];
    // SAFETY: version 3 reads two halves, and the kernel writes the version only.
    done(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) }).map(drop)
}

/// Whether a capability is in the bounding set; an error where this kernel does not know it.
pub(super) fn is_bounded_by(capability: u32) -> io::Result<bool> {
    // SAFETY: PR_CAPBSET_READ takes a number.
    let answer = unsafe { libc::prctl(libc::PR_CAPBSET_READ, c_ulong::from(capability), 0, 0, 0) };
    done(answer.into()).map(|answer| answer == 1)
}

/// Takes a capability out of the bounding set.
pub(super) fn drop_from_bounds(capability: u32) -> io::Result<()> {
    // SAFETY: PR_CAPBSET_DROP takes a number.
    let answer = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, c_ulong::from(capability), 0, 0, 0) };
    done(answer.into()).map(drop)
}

/// Makes the ambient set one of this capability alone.
pub(super) fn make_ambient(capability: u32) -> io::Result<()> {
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as c_ulong;
    // SAFETY: PR_CAP_AMBIENT takes numbers.
    done(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, 0, 0, 0) }.into())?;
    let (raise, one) = (libc::PR_CAP_AMBIENT_RAISE as c_ulong, c_ulong::from(capability));
    // SAFETY: PR_CAP_AMBIENT takes numbers.
    done(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, raise, one, 0, 0) }.into()).map(drop)
}

/// `struct landlock_ruleset_attr`. Kernels that know less of it take zeros.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Handled {
    pub(super) files: u64,
    pub(super) network: u64,
    pub(super) scoped: u64,
}

/// The version of Landlock that this kernel has.
pub(super) fn landlock_version() -> io::Result<u64> {
    const VERSION: u32 = 1;
    let nothing = std::ptr::null::<Handled>();
    // SAFETY: with this flag the kernel reads no structure.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) };
    done(answer).map(|version| version as u64)
}

/// landlock_create_ruleset(2).
pub(super) fn create_ruleset(handled: Handled) -> io::Result<OwnedFd> {
    let size = size_of::<Handled>();
    // SAFETY: the kernel reads `size` bytes.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, size, 0_u32) };
    let descriptor = done(answer)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) })
}

/// landlock_add_rule(2): these rights hold below this file or directory.
pub(super) fn allow_beneath(ruleset: BorrowedFd<'_>, rights: u64, place: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C, packed)]
    struct PathBeneath {
        rights: u64,
        place: RawFd,
    }
    const PATH_BENEATH: c_int = 1;
    let rule = PathBeneath { rights, place: place.as_raw_fd() };
    let number = libc::SYS_landlock_add_rule;
    // SAFETY: the kernel reads the packed structure.
    let answer = unsafe { libc::syscall(number, ruleset.as_raw_fd(), PATH_BENEATH, &raw const rule, 0_u32) };
    done(answer).map(drop)
}

/// landlock_restrict_self(2).
pub(super) fn restrict_self(ruleset: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes numbers.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) };
    done(answer).map(drop)
}

/// seccomp(2) with SECCOMP_SET_MODE_FILTER. Before Linux 5.16 a filter would also switch off speculation, which is for
/// those that run the code of others, and slow.
pub(super) fn set_filter(filter: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(filter.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    let (number, mode, flags) =
        (libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW);
    // SAFETY: the kernel reads `len` instructions, and writes none.
    done(unsafe { libc::syscall(number, mode, flags, &raw const program) }).map(drop)
}

fn done(answer: c_long) -> io::Result<c_long> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
