//! Frames that come or leave together: one system call for many, recvmmsg(2) and sendmmsg(2).

use std::mem::zeroed;
use std::time::Duration;

use libc::{iovec, mmsghdr};

use super::said::{CONTROL, Control, Said};
use crate::wire::{Checksum, MAX_EMITTED};

/// Room for the frames of one reception. Made once and used again.
pub struct RecvBatch {
    buffer: Box<[[u8; LONGEST_FRAME]]>,
    /// What `headers` points at, which in turn points into `buffer`. All four stay where they are
    /// on the heap, wherever the batch itself moves.
    _vectors: Box<[iovec]>,
    headers: Box<[mmsghdr]>,
    /// What the kernel says of each frame; `headers` points at it, too.
    controls: Box<[Control]>,
    /// Frames that came otherwise and are short, as nearly all are: beside each other, because rows of `buffer` are a page
    /// apart and take the same few sets of the processor's cache.
    short: Box<[[u8; SHORT_FRAME]]>,
    frames: Vec<Frame>,
}

/// One of the frames that came; its bytes are in the row that has its number.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// `None` for one that did not fit.
    length: Option<usize>,
    is_short: bool,
    said: Said,
}

impl RecvBatch {
    /// An empty batch.
    pub fn new() -> Self {
        let mut buffer = vec![[0; LONGEST_FRAME]; BATCH].into_boxed_slice();
        let (vectors, mut headers) = point_at(&mut buffer);
        let mut controls = vec![Control([0; CONTROL]); BATCH].into_boxed_slice();
        for (header, control) in headers.iter_mut().zip(&mut controls) {
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
        let short = vec![[0; SHORT_FRAME]; BATCH].into_boxed_slice();
        Self { buffer, _vectors: vectors, headers, controls, short, frames: Vec::with_capacity(BATCH) }
    }

    /// How many frames came.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// True if none came.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// True if more may wait.
    pub fn is_full(&self) -> bool {
        self.frames.len() == BATCH
    }

    /// The frames that came, each with whether its checksum is there; `None` for one that was longer than the
    /// buffer.
    pub fn frames(&self) -> impl Iterator<Item = Option<(&[u8], Checksum)>> {
        self.frames.iter().enumerate().map(|(row, frame)| {
            let bytes = if frame.is_short {
                self.short[row].get(..frame.length?)
            } else {
                self.buffer[row].get(..frame.length?)
            };
            bytes.map(|bytes| (bytes, frame.said.checksum))
        })
    }

    /// When the kernel received each of them, since 1970; `None` where it did not say.
    pub fn stamps(&self) -> impl Iterator<Item = Option<Duration>> {
        self.frames.iter().map(|frame| frame.said.stamp)
    }

    pub(super) fn clear(&mut self) {
        self.frames.clear();
    }

    /// Where the kernel may write so many more frames, if there is room for them; see [`Self::written`].
    pub(super) fn room(&mut self, most: usize) -> &mut [mmsghdr] {
        let first = self.frames.len();
        &mut self.headers[first..BATCH.min(first + most)]
    }

    /// The kernel has written so many more.
    pub(super) fn written(&mut self, count: usize) {
        let first = self.frames.len();
        let written = self.headers.iter_mut().zip(&self.controls).skip(first).take(count);
        self.frames.extend(written.map(|(header, control)| {
            let was_cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            // It has left there how much it wrote.
            let length = std::mem::replace(&mut header.msg_hdr.msg_controllen, CONTROL as _);
            #[allow(clippy::unnecessary_cast, reason = "another C library has another type")]
            let control = control.0.get(..length as usize).unwrap_or_default();
            let wrote = (!was_cut).then_some(header.msg_len as usize);
            Frame { length: wrote, is_short: false, said: Said::read(control) }
        }));
    }

    /// One more, from elsewhere; `None` for one that is not whole there.
    ///
    /// # Panics
    /// If the batch is full.
    pub(super) fn push(&mut self, bytes: Option<&[u8]>, said: Said) {
        let row = self.frames.len();
        let is_short = bytes.is_none_or(|bytes| bytes.len() <= SHORT_FRAME);
        let (short, long) = (&mut self.short[row], &mut self.buffer[row]);
        let room = if is_short { short.as_mut_slice() } else { long.as_mut_slice() };
        let length = bytes.and_then(|bytes| {
            room.get_mut(..bytes.len())?.copy_from_slice(bytes);
            Some(bytes.len())
        });
        self.frames.push(Frame { length, is_short, said });
    }
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self::new()
    }
}

/// Frames that wait to be sent together. Made once and used again.
pub struct SendBatch {
    buffer: Box<[[u8; MAX_EMITTED]]>,
    vectors: Box<[iovec]>,
    headers: Box<[mmsghdr]>,
    filled: usize,
}

impl SendBatch {
    /// An empty batch.
    pub fn new() -> Self {
        let mut buffer = vec![[0; MAX_EMITTED]; BATCH].into_boxed_slice();
        let (vectors, headers) = point_at(&mut buffer);
        Self { buffer, vectors, headers, filled: 0 }
    }

    /// True if there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// True if the batch must be sent before another frame fits.
    pub fn is_full(&self) -> bool {
        self.filled == BATCH
    }

    /// Forgets what was to be sent.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// Adds the frame that `emit` writes; it returns its length.
    ///
    /// # Panics
    /// If the batch is full.
    pub fn push(&mut self, emit: impl FnOnce(&mut [u8]) -> usize) {
        let length = emit(&mut self.buffer[self.filled]).min(MAX_EMITTED);
        self.vectors[self.filled].iov_len = length;
        self.filled += 1;
    }

    /// All that were added; none are there afterwards. What is returned holds until the next call.
    pub(super) fn take(&mut self) -> &mut [mmsghdr] {
        let count = std::mem::take(&mut self.filled);
        &mut self.headers[..count]
    }
}

impl Default for SendBatch {
    fn default() -> Self {
        Self::new()
    }
}

/// One header for each row of the buffer. The pointers hold as long as the three do.
fn point_at<const LENGTH: usize>(buffer: &mut [[u8; LENGTH]]) -> (Box<[iovec]>, Box<[mmsghdr]>) {
    let mut vectors: Box<[_]> =
        buffer.iter_mut().map(|row| iovec { iov_base: row.as_mut_ptr().cast(), iov_len: LENGTH }).collect();
    let headers = vectors
        .iter_mut()
        .map(|vector| {
            // SAFETY: an `mmsghdr` of zeros is a valid one, without name, control or vectors.
            let mut header: mmsghdr = unsafe { zeroed() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header
        })
        .collect();
    (vectors, headers)
}

/// Frames per system call.
pub const BATCH: usize = 64;
/// No solicitation is longer, except a jumbo frame that is filled with options on purpose.
const LONGEST_FRAME: usize = 4096;
/// A solicitation has 86 bytes, and a slot of a ring no more than this.
const SHORT_FRAME: usize = 256;
