//! An array of the kernel's, read and written where it is: no system call for an entry.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// The entries of a map that was made with BPF_F_MMAPABLE, which the program goes on reading and writing.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<AtomicU64>,
    /// Numbers of 64 bits.
    length: usize,
}

impl Mapping {
    /// Maps so many numbers of 64 bits. The kernel refuses more than the map has.
    pub fn of(map: BorrowedFd<'_>, length: usize) -> io::Result<Self> {
        let bytes = length * size_of::<u64>();
        // SAFETY: the kernel chooses where, so nothing that was there before is lost.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at nothing"))?;
        Ok(Self { start, length })
    }

    /// The number at this place.
    ///
    /// # Panics
    /// If there is none.
    pub fn number(&self, place: usize) -> u64 {
        self.all()[place].load(Ordering::Relaxed)
    }

    /// Writes the number at this place. Who sees it sees what was written before it, too.
    ///
    /// # Panics
    /// If there is none.
    pub fn set(&mut self, place: usize, number: u64) {
        self.all()[place].store(number, Ordering::Release);
    }

    fn all(&self) -> &[AtomicU64] {
        // SAFETY: `length` numbers are mapped there, as pages begin at multiples of eight, until `self` is dropped.
        // What the program writes meanwhile it writes by single instructions, as atomic reads expect.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let bytes = self.length * size_of::<u64>();
        // SAFETY: this was mapped by `of`, and nobody has a reference into it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), bytes) };
    }
}

// SAFETY: what is mapped belongs to the process and no thread, and is read and written as atomic numbers alone.
unsafe impl Send for Mapping {}
