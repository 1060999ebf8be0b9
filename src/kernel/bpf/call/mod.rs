//! The system call itself, one function for each command.
//!
//! The arguments of a command are a structure of the kernel's own (linux/bpf.h, `union bpf_attr`), whose pointers are
//! numbers of 64 bits. What a structure leaves out at its end the kernel takes for zero.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::c_long;

mod mapping;
mod maps;

pub(super) use mapping::Mapping;
pub(super) use maps::{ANY, MapShape, Sized, create_map, map_shape};

/// The arguments of BPF_OBJ_GET_INFO_BY_FD.
#[repr(C)]
struct InfoAttributes {
    fd: u32,
    length: u32,
    info: u64,
}

/// BPF_OBJ_GET_INFO_BY_FD, as many words of it as there is room for.
pub(super) fn info(object: BorrowedFd<'_>, words: &mut [u32]) -> io::Result<()> {
    let length = size_of_val(words) as u32;
    let mut attributes = InfoAttributes { fd: number(object), length, info: words.as_mut_ptr() as u64 };
    // SAFETY: the kernel writes at most `length` bytes to `words`, which has that size and lives through the call.
    unsafe { bpf(15, &mut attributes) }.map(|_| ())
}

/// BPF_PROG_LOAD of a classifier. What the verifier says is put into `log`, if there is room for anything.
pub(super) fn load_program(
    instructions: &[[u8; 8]],
    license: &CStr,
    name: &CStr,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; 16],
    }
    let has_log = !log.is_empty();
    let mut attributes = Attributes {
        kind: SCHED_CLS,
        count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: u32::from(has_log),
        log_size: u32::try_from(log.len()).map_err(io::Error::other)?,
        log: if has_log { log.as_mut_ptr() as u64 } else { 0 },
        kernel_version: 0,
        flags: 0,
        name: short_name(name),
    };
    // SAFETY: the kernel reads `count` instructions of eight bytes and a text that ends with a zero byte, and writes at
    // most `log_size` bytes to `log`; all of them live through the call.
    let mut load = || unsafe { bpf(5, &mut attributes) };
    // Where a signal comes while the verifier is at work, the kernel gives up and says EAGAIN (kernel/bpf/verifier.c,
    // do_check).
    let mut tried = 1;
    let fd = loop {
        match load() {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && tried < MOST_LOADS => tried += 1,
            result => break result?,
        }
    };
    Ok(owned(fd))
}

/// As often a program is loaded that a signal has interrupted.
const MOST_LOADS: u32 = 5;

/// BPF_PROG_TEST_RUN: runs the program so often on a frame. What it returned, how long the frame is then, and how many
/// nanoseconds one run took. The frame is written to `left` as far as it fits.
pub(super) fn test_run(
    program: BorrowedFd<'_>,
    frame: &[u8],
    left: &mut [u8],
    repeat: u32,
) -> io::Result<(u32, usize, u32)> {
    #[repr(C)]
    struct Attributes {
        program: u32,
        returned: u32,
        size_in: u32,
        size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }
    let mut attributes = Attributes {
        program: number(program),
        returned: 0,
        size_in: u32::try_from(frame.len()).map_err(io::Error::other)?,
        size_out: u32::try_from(left.len()).map_err(io::Error::other)?,
        data_in: frame.as_ptr() as u64,
        data_out: left.as_mut_ptr() as u64,
        repeat,
        duration: 0,
    };
    // SAFETY: the kernel reads `size_in` bytes of `frame` and writes at most `size_out` bytes to `left`; both live through
    // the call.
    unsafe { bpf(10, &mut attributes) }?;
    Ok((attributes.returned, attributes.size_out as usize, attributes.duration))
}

/// The arguments of BPF_OBJ_PIN and BPF_OBJ_GET.
#[repr(C)]
struct PinAttributes {
    path: u64,
    fd: u32,
    flags: u32,
}

/// BPF_OBJ_PIN.
pub(super) fn pin(object: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    let mut attributes = PinAttributes { path: path.as_ptr() as u64, fd: number(object), flags: 0 };
    // SAFETY: the kernel reads a text that ends with a zero byte and lives through the call.
    unsafe { bpf(6, &mut attributes) }.map(|_| ())
}

/// BPF_OBJ_GET: what is pinned there, whatever it is.
pub(super) fn pinned(path: &CStr) -> io::Result<OwnedFd> {
    let mut attributes = PinAttributes { path: path.as_ptr() as u64, fd: 0, flags: 0 };
    // SAFETY: the kernel reads a text that ends with a zero byte and lives through the call.
    let fd = unsafe { bpf(7, &mut attributes) }?;
    Ok(owned(fd))
}

/// BPF_LINK_CREATE: attaches a program to the ingress of an interface, behind all that are there.
pub(super) fn create_link(program: BorrowedFd<'_>, interface: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attributes {
        program: u32,
        interface: u32,
        attach_type: u32,
        flags: u32,
    }
    let mut attributes =
        Attributes { program: number(program), interface, attach_type: TCX_INGRESS, flags: 0 };
    // SAFETY: the command reads no pointer.
    let fd = unsafe { bpf(28, &mut attributes) }?;
    Ok(owned(fd))
}

/// BPF_LINK_UPDATE: another program in the place of the present one, between two frames.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        link: u32,
        program: u32,
        flags: u32,
        old_program: u32,
    }
    let mut attributes =
        Attributes { link: number(link), program: number(program), flags: 0, old_program: 0 };
    // SAFETY: the command reads no pointer.
    unsafe { bpf(29, &mut attributes) }.map(|_| ())
}

/// BPF_LINK_DETACH.
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Attributes {
        link: u32,
    }
    // SAFETY: the command reads no pointer.
    unsafe { bpf(34, &mut Attributes { link: number(link) }) }.map(|_| ())
}

/// BPF_PROG_QUERY of the ingress or egress of an interface: the numbers of the programs that tcx has there, in the order
/// in which they run, 64 at most.
pub(super) fn attached(interface: u32, attach_type: u32) -> io::Result<Vec<u32>> {
    #[repr(C)]
    struct Attributes {
        interface: u32,
        attach_type: u32,
        flags: u32,
        attach_flags: u32,
        numbers: u64,
        count: u32,
    }
    let mut numbers = [0_u32; 64];
    let mut attributes = Attributes {
        interface,
        attach_type,
        flags: 0,
        attach_flags: 0,
        numbers: numbers.as_mut_ptr() as u64,
        count: numbers.len() as u32,
    };
    // SAFETY: the kernel writes at most `count` numbers to `numbers`, which has room for them and lives through the call.
    unsafe { bpf(16, &mut attributes) }?;
    Ok(numbers.into_iter().take(attributes.count as usize).collect())
}

/// BPF_PROG_GET_FD_BY_ID and BPF_OBJ_GET_INFO_BY_FD: the name of a program. Needs CAP_SYS_ADMIN.
pub(super) fn program_name(number: u32) -> io::Result<String> {
    #[repr(C)]
    struct Attributes {
        number: u32,
        next: u32,
        flags: u32,
    }
    // SAFETY: the command reads no pointer.
    let fd = owned(unsafe { bpf(13, &mut Attributes { number, next: 0, flags: 0 }) }?);
    let info = program_info(fd.as_fd())?;
    let name = info[8..].iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0);
    Ok(String::from_utf8_lossy(&name.collect::<Vec<_>>()).into_owned())
}

/// How many bytes of machine code a program is; 0 where it is interpreted.
pub(super) fn compiled_length(program: BorrowedFd<'_>) -> io::Result<u32> {
    let [_, _, lengths, ..] = program_info(program)?;
    let [a, b, c, d, ..] = lengths.to_ne_bytes();
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

/// BPF_OBJ_GET_INFO_BY_FD of a program: struct bpf_prog_info up to the name.
fn program_info(program: BorrowedFd<'_>) -> io::Result<[u64; 10]> {
    // All that is zero asks for nothing to be written elsewhere.
    let mut info = [0_u64; 10];
    let length = size_of_val(&info) as u32;
    let mut attributes = InfoAttributes { fd: number(program), length, info: info.as_mut_ptr() as u64 };
    // SAFETY: the kernel writes at most `length` bytes to `info`, which has that size and lives through the call.
    unsafe { bpf(15, &mut attributes) }?;
    Ok(info)
}

/// The system call.
///
/// # Safety
/// `attributes` is laid out as the beginning of `union bpf_attr` for this command, and whatever the command reads or
/// writes by way of a pointer in it is there, and of the size that the command takes it to be, until it returns.
unsafe fn bpf<T>(command: i32, attributes: &mut T) -> io::Result<RawFd> {
    let size = size_of::<T>();
    // SAFETY: `attributes` has the size that is given, and the caller vouches for what it points at.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
    let failed: c_long = -1;
    if result == failed {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(io::Error::other)
}

/// A descriptor that a command has just made.
fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: bpf(2) returned it as new, so nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    u32::try_from(fd.as_raw_fd()).expect("a descriptor that is open is not negative")
}

/// As the kernel keeps names: 15 bytes at most, and a zero byte.
fn short_name(name: &CStr) -> [u8; 16] {
    let mut short = [0; 16];
    let bytes = name.to_bytes();
    let length = bytes.len().min(15);
    short[..length].copy_from_slice(&bytes[..length]);
    short
}

/// BPF_PROG_TYPE_SCHED_CLS.
const SCHED_CLS: u32 = 3;
/// BPF_TCX_INGRESS.
pub(super) const TCX_INGRESS: u32 = 46;
/// BPF_TCX_EGRESS.
pub(super) const TCX_EGRESS: u32 = 47;
