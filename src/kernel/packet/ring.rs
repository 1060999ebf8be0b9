//! The receive ring of a packet socket (`PACKET_RX_RING` of packet(7), version 2 of its headers): memory into which the kernel
//! writes each frame as it comes, and which this process reads. To read one costs no system call then, and the kernel keeps
//! no queue.
//!
//! The ring is a row of slots. The kernel fills one after the other and sets `TP_STATUS_USER` in each; who has read
//! it takes that back. Both go around in the same order, so the reader needs nothing but the number of the next slot. Where that
//! slot is still the reader's, the kernel drops the frame and counts it. A frame that is too long for a slot is in the
//! socket's queue as a whole, and its slot says so (`TP_STATUS_COPY`).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use libc::{c_int, c_uint};

use super::batch::RecvBatch;
use super::said::Said;
use super::{Stamps, set_on};

/// The ring of one socket, mapped into this process.
#[derive(Debug)]
pub(super) struct Ring {
    slots: Slots,
    next: Mutex<Next>,
    has_stamps: AtomicBool,
}

/// The slot to be read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing is known of a predecessor's ring but that nothing was in it.
    Unknown,
    /// Of a ring that was full: only the moments of its frames say which is the first, and a clock may be set.
    Guessed(usize),
    Known(usize),
}

/// The memory. It is the kernel's where a slot does not say otherwise.
#[derive(Debug)]
struct Slots(NonNull<u8>);

// SAFETY: the memory stays where it is until the value is dropped, whichever thread has it.
unsafe impl Send for Slots {}
// SAFETY: a slot's status is atomic, and the rest of it is read under the lock of `Ring::next` alone.
unsafe impl Sync for Slots {}

impl Ring {
    /// Gives the socket a ring, which has to hear nothing yet. An error is no reason to do without the socket.
    pub(super) fn make(socket: &OwnedFd) -> io::Result<Self> {
        if RINGS.load(Ordering::Relaxed) >= MOST_RINGS {
            return Err(io::Error::other("enough sockets have one"));
        }
        let sol = libc::SOL_PACKET;
        set_on(socket, sol, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V2 as c_int))?;
        set_on(socket, sol, libc::PACKET_COPY_THRESH, &1_i32)?;
        let request = libc::tpacket_req {
            tp_block_size: BLOCK as c_uint,
            tp_block_nr: (LENGTH / BLOCK) as c_uint,
            tp_frame_size: SLOT as c_uint,
            tp_frame_nr: SLOTS as c_uint,
        };
        set_on(socket, sol, libc::PACKET_RX_RING, &request)?;
        Ok(Self::over(Slots::map(socket)?, Next::Known(0)))
    }

    /// The ring that a predecessor has given to the socket, with what is in it. One of another size is an error.
    pub(super) fn inherit(socket: &OwnedFd) -> io::Result<Self> {
        Ok(Self::over(Slots::map(socket)?, Next::Unknown))
    }

    fn over(slots: Slots, next: Next) -> Self {
        RINGS.fetch_add(1, Ordering::Relaxed);
        Self { slots, next: Mutex::new(next), has_stamps: AtomicBool::new(false) }
    }

    pub(super) fn bytes_of_all() -> usize {
        RINGS.load(Ordering::Relaxed) * LENGTH
    }

    /// From now on frames come with their moment, or without.
    pub(super) fn stamp(&self, stamps: Stamps) {
        self.has_stamps.store(stamps == Stamps::On, Ordering::Relaxed);
    }

    /// Whether another frame has come. It costs no system call.
    pub(super) fn has_more(&self) -> bool {
        let next = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(next, Next::Known(number) if self.slots.filled(number).is_some())
    }

    /// Takes as many frames as are there and fit. `from_queue` adds the next one of the socket's queue.
    pub(super) fn take(
        &self,
        batch: &mut RecvBatch,
        mut from_queue: impl FnMut(&mut RecvBatch) -> io::Result<()>,
    ) -> io::Result<()> {
        // Nothing that is done with it panics.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let has_stamps = self.has_stamps.load(Ordering::Relaxed);
        if *next == Next::Unknown {
            *next = self.slots.oldest();
        }
        while let Next::Known(number) | Next::Guessed(number) = *next
            && !batch.is_full()
        {
            let Some((status, header)) = self.slots.filled(number) else {
                // A wrong guess would wait where the kernel writes nothing for a long time.
                if *next == Next::Guessed(number) {
                    *next = Next::Unknown;
                }
                break;
            };
            let mut said = Said::of_status(status);
            said.stamp = has_stamps.then(|| Said::moment(header.tp_sec, header.tp_nsec));
            if status & TP_STATUS_COPY == 0 {
                batch.push(self.slots.frame(number, &header), said);
            } else if from_queue(batch).is_err() {
                batch.push(None, said);
            }
            self.slots.give_back(number);
            let following = (number + 1) % SLOTS;
            *next =
                if *next == Next::Known(number) { Next::Known(following) } else { Next::Guessed(following) };
        }
        // As the queue says it.
        if batch.is_empty() { Err(io::Error::from_raw_os_error(libc::EAGAIN)) } else { Ok(()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        RINGS.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slots {
    fn map(socket: &OwnedFd) -> io::Result<Self> {
        Self::mapped(libc::MAP_SHARED, socket.as_raw_fd())
    }

    fn mapped(flags: c_int, fd: c_int) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses a place where nothing is, and a socket without a ring of this length refuses.
        let memory = unsafe { libc::mmap(null_mut(), LENGTH, access, flags, fd, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(memory.cast()).map(Self).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// # Panics
    /// If there is no such slot.
    fn at(&self, number: usize) -> NonNull<u8> {
        assert!(number < SLOTS, "slot {number} of {SLOTS}");
        // SAFETY: it is inside the memory.
        unsafe { self.0.add(number * SLOT) }
    }

    fn status(&self, number: usize) -> &AtomicU32 {
        // SAFETY: a slot begins with its status, at a multiple of 256, and the memory lives as long as `self`. The
        // kernel and we read and write it as a whole.
        unsafe { AtomicU32::from_ptr(self.at(number).as_ptr().cast()) }
    }

    /// Status and header of a slot that the kernel has filled.
    fn filled(&self, number: usize) -> Option<(u32, libc::tpacket2_hdr)> {
        // What the kernel wrote before the status is there to be seen.
        let status = self.status(number).load(Ordering::Acquire);
        // SAFETY: a slot is longer than a header, all bytes make a valid one, and until it is given back the kernel does
        // not touch it.
        (status & TP_STATUS_USER != 0).then(|| (status, unsafe { self.at(number).cast().read() }))
    }

    /// The frame of a slot that is filled; `None` where it is not whole.
    fn frame(&self, number: usize, header: &libc::tpacket2_hdr) -> Option<&[u8]> {
        // SAFETY: it is inside the memory, and the kernel does not touch it until it is given back, which the caller does
        // later, under the lock.
        let slot = unsafe { std::slice::from_raw_parts(self.at(number).as_ptr(), SLOT) };
        let from = usize::from(header.tp_mac);
        let whole = from.checked_add(usize::try_from(header.tp_len).ok()?)?;
        slot.get(from..whole).filter(|_| header.tp_snaplen == header.tp_len)
    }

    /// The kernel may fill it again.
    fn give_back(&self, number: usize) {
        // What we read before has been read.
        self.status(number).store(TP_STATUS_KERNEL, Ordering::Release);
    }

    /// The slot that was filled first, of those that are.
    fn oldest(&self) -> Next {
        let Some(some) = (0..SLOTS).find(|number| self.filled(*number).is_some()) else {
            return Next::Unknown;
        };
        // The kernel fills them in order, also while we look.
        let mut before = (1..SLOTS).map(|steps| (some + SLOTS - steps) % SLOTS);
        if let Some(empty) = before.find(|number| self.filled(*number).is_none()) {
            return Next::Known((empty + 1) % SLOTS);
        }
        let moment = |number: &usize| self.filled(*number).map(|(_, its)| (its.tp_sec, its.tp_nsec));
        (0..SLOTS).min_by_key(moment).map_or(Next::Unknown, Next::Guessed)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing that was read from it is borrowed any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), LENGTH) };
    }
}

/// Bytes of a slot: header, address, and a frame of 190 bytes; a solicitation has 86.
const SLOT: usize = 256;
/// As many frames as a queue of [`super::RECEIVE_BUFFER`] holds, or more.
const SLOTS: usize = 4_096;
/// 1 MiB, which counts as memory of this process.
const LENGTH: usize = SLOT * SLOTS;
/// Bytes that the kernel takes at a time: a page of any architecture.
const BLOCK: usize = 1 << 16;
/// Rings that are mapped in this process.
static RINGS: AtomicUsize = AtomicUsize::new(0);
/// Upstreams that have one. With more, memory would grow, and each has less to do.
const MOST_RINGS: usize = 4;
// linux/if_packet.h
const TP_STATUS_KERNEL: u32 = 0;
const TP_STATUS_USER: u32 = 1;
const TP_STATUS_COPY: u32 = 1 << 1;

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
