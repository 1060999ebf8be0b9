//! The packet socket: whole Ethernet frames in and out of one interface, many at a time.
//!
//! `unsafe` is here, at bpf(2) and at `confinement` only: the options of packet(7), recvmmsg(2) and sendmmsg(2) have no safe
//! wrappers, and Tokio needs a promise about the descriptor that it waits for. A socket hears nothing
//! until it is bound, and it is bound last: after its filter is attached and its multicast membership is
//! held. So its queue never has a frame of another kind.
#![allow(unsafe_code)]

mod inherited;
mod said;

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use libc::{c_int, c_void, iovec, mmsghdr, sock_filter, socklen_t};
use nix::sys::epoll::Epoll;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::engine::facts::IfIndex;
use crate::wire::filter::Instruction;
use crate::wire::{Checksum, MAX_EMITTED};
use said::{CONTROL, Control, SO_TIMESTAMPNS_NEW, Said};

/// Whether frames come with the moment at which the kernel received them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stamps {
    /// They do not; the kernel need not look at a clock.
    #[default]
    Off,
    /// They do.
    On,
}

/// A packet socket that is bound to one interface.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    /// Frames leave by a second socket, which hears nothing and which no task waits for: each time a frame has left,
    /// the kernel wakes those who wait for its socket. They pass the queueing discipline: with `PACKET_QDISC_BYPASS`
    /// tcpdump on the host sees no answer, and an answer costs no less.
    out: OwnedFd,
}

impl PacketSocket {
    /// Opens a socket on the interface, behind the filter. Needs CAP_NET_RAW.
    pub fn open(link: IfIndex, filter: &[Instruction]) -> io::Result<Self> {
        let socket = Self { fd: unbound()?, out: unbound()? };
        socket.set(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1_i32)?;
        socket.begin(link, filter, libc::ETH_P_IPV6)
    }

    /// The same for an observer, which also hears all that leaves by the interface, and frames for other stations.
    /// Only a socket for every protocol hears that.
    pub fn observe(link: IfIndex, filter: &[Instruction]) -> io::Result<Self> {
        Self { fd: unbound()?, out: unbound()? }.begin(link, filter, libc::ETH_P_ALL)
    }

    /// The same for frames of this protocol on every interface there is or will be, as far as each takes such frames by
    /// itself. Nothing leaves by it.
    pub fn everywhere(protocol: c_int, filter: &[Instruction]) -> io::Result<Self> {
        let socket = Self { fd: unbound()?, out: unbound()? };
        socket.set(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1_i32)?;
        socket.attach(filter)?;
        socket.make_room(RECEIVE_BUFFER_EVERYWHERE)?;
        bind(&socket.fd, 0, protocol)?;
        Ok(socket)
    }

    /// Has the Tokio runtime of this thread wait for frames.
    pub fn register(self: Arc<Self>) -> io::Result<AsyncFd<Arc<Self>>> {
        // SAFETY: the descriptor is owned by the socket, and stays open and the same as long as that lives.
        Ok(unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }?)
    }

    fn begin(self, link: IfIndex, filter: &[Instruction], protocol: c_int) -> io::Result<Self> {
        self.attach(filter)?;
        self.set(libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32)?;
        self.make_room(RECEIVE_BUFFER)?;
        let ifindex = c_int::try_from(link.0).map_err(io::Error::other)?;
        let all_multicast = libc::packet_mreq {
            mr_ifindex: ifindex,
            mr_type: PACKET_MR_ALLMULTI,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        // Ends with the socket, however the process ends.
        self.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &all_multicast)?;
        bind(&self.out, ifindex, PROTOCOL_NONE)?;
        bind(&self.fd, ifindex, protocol)?;
        Ok(self)
    }

    /// From now on frames come with their moment, or without. Before Linux 5.1 there is none to be had.
    pub fn stamp(&self, stamps: Stamps) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, SO_TIMESTAMPNS_NEW, &c_int::from(stamps == Stamps::On))
    }

    /// Takes as many frames as are there and fit; `WouldBlock` if there are none.
    pub fn recv_batch(&self, batch: &mut RecvBatch) -> io::Result<()> {
        batch.make_room_for_controls();
        batch.received = 0;
        let (fd, headers) = (self.fd.as_raw_fd(), batch.headers.as_mut_ptr());
        // SAFETY: every header points at one buffer and at one room for control messages of its own inside
        // `batch`, which outlives the call and is borrowed mutably for it.
        let received =
            unsafe { libc::recvmmsg(fd, headers, BATCH as u32, libc::MSG_DONTWAIT, std::ptr::null_mut()) };
        batch.received = usize::try_from(check(received)?).expect("checked to be positive");
        Ok(())
    }

    /// Sends all frames of the batch, and empties it. Frames that the interface has no room for are dropped, because
    /// the asker asks again. Returns how many were sent.
    pub fn send_batch(&self, batch: &mut SendBatch) -> io::Result<usize> {
        let mut sent = 0;
        let count = std::mem::take(&mut batch.filled);
        while sent < count {
            let rest = &mut batch.headers[sent..count];
            let (headers, count) = (rest.as_mut_ptr(), u32::try_from(rest.len()).expect("at most BATCH"));
            // SAFETY: every header points at one buffer of its own inside `batch`, which outlives
            // the call and is borrowed mutably for it.
            let result = unsafe { libc::sendmmsg(self.out.as_raw_fd(), headers, count, libc::MSG_DONTWAIT) };
            match check(result) {
                Ok(more) => sent += usize::try_from(more).expect("checked to be positive"),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if sent > 0 => return Ok(sent),
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Sends one frame at once.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the frame lives through the call, and its length is its own.
        let result = unsafe {
            libc::send(self.out.as_raw_fd(), frame.as_ptr().cast(), frame.len(), libc::MSG_DONTWAIT)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// How many frames passed the filter and found the queue full, since the last call.
    pub fn drops(&self) -> io::Result<u32> {
        let mut stats = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut length = size_of::<libc::tpacket_stats>() as socklen_t;
        // SAFETY: `stats` has the size that `length` says, and lives through the call.
        check(unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast::<c_void>(),
                &raw mut length,
            )
        })?;
        Ok(stats.tp_drops)
    }

    /// Puts another filter in the place of the present one, which is in force until then; what is in
    /// the queue stays there.
    pub fn attach(&self, filter: &[Instruction]) -> io::Result<()> {
        let mut program: Vec<_> = filter
            .iter()
            .map(|i| sock_filter { code: i.code, jt: i.if_true, jf: i.if_false, k: i.operand })
            .collect();
        let len = u16::try_from(program.len()).map_err(io::Error::other)?;
        let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    /// Forced where the privilege is there, else as far as net.core.rmem_max goes.
    fn make_room(&self, bytes: c_int) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes)
            .or_else(|_| self.set(libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes))
    }

    fn set<T>(&self, level: c_int, option: c_int, value: &T) -> io::Result<()> {
        let pointer = std::ptr::from_ref(value).cast::<c_void>();
        let length = socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
        // SAFETY: `value` has the size that `length` says, and it lives through the call, as does
        // what it points at.
        check(unsafe { libc::setsockopt(self.fd.as_raw_fd(), level, option, pointer, length) })?;
        Ok(())
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Room for the frames of one reception. Made once and used again.
pub struct RecvBatch {
    buffer: Box<[[u8; LONGEST_FRAME]]>,
    /// What `headers` points at, which in turn points into `buffer`. All four stay where they are
    /// on the heap, wherever the batch itself moves.
    _vectors: Box<[iovec]>,
    headers: Box<[mmsghdr]>,
    /// What the kernel says of each frame; `headers` points at it, too.
    controls: Box<[Control]>,
    received: usize,
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
        Self { buffer, _vectors: vectors, headers, controls, received: 0 }
    }

    /// How many frames came.
    pub fn len(&self) -> usize {
        self.received
    }

    /// True if none came.
    pub fn is_empty(&self) -> bool {
        self.received == 0
    }

    /// The frames that came, each with whether its checksum is there; `None` for one that was longer than the
    /// buffer.
    pub fn frames(&self) -> impl Iterator<Item = Option<(&[u8], Checksum)>> {
        self.headers[..self.received].iter().zip(&self.buffer).zip(self.said()).map(
            |((header, buffer), said)| {
                let was_cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
                let frame = (!was_cut).then(|| buffer.get(..header.msg_len as usize)).flatten();
                frame.map(|frame| (frame, said.checksum))
            },
        )
    }

    /// When the kernel received each of them, since 1970; `None` where it did not say.
    pub fn stamps(&self) -> impl Iterator<Item = Option<Duration>> {
        self.said().map(|said| said.stamp)
    }

    fn said(&self) -> impl Iterator<Item = Said> {
        self.headers[..self.received].iter().zip(&self.controls).map(|(header, control)| {
            #[allow(clippy::unnecessary_cast, reason = "another C library has another type")]
            let length = header.msg_hdr.msg_controllen as usize;
            Said::read(control.0.get(..length).unwrap_or_default())
        })
    }

    /// The kernel has left there how much it wrote the last time.
    fn make_room_for_controls(&mut self) {
        for header in &mut self.headers[..self.received] {
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
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
}

impl Default for SendBatch {
    fn default() -> Self {
        Self::new()
    }
}

/// An epoll instance over many sockets, for Tokio to wait on.
#[derive(Debug)]
pub struct Waiter(pub Epoll);

impl Waiter {
    /// Hands the instance to the Tokio runtime of this thread.
    pub fn register(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: the descriptor is owned by the epoll instance inside the AsyncFd, so it stays open
        // and the same as long as that lives; nothing gives it away.
        let registered = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) };
        Ok(registered?)
    }
}

impl AsRawFd for Waiter {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

/// A packet socket that hears nothing yet.
fn unbound() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; a negative result is checked before it is used.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | FLAGS, PROTOCOL_NONE) };
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(check(fd)?) })
}

/// Binds to an interface; with [`PROTOCOL_NONE`], to send there and to hear nothing.
fn bind(socket: &OwnedFd, ifindex: c_int, protocol: c_int) -> io::Result<()> {
    // SAFETY: a `sockaddr_ll` of zeros is a valid one.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (protocol as u16).to_be();
    address.sll_ifindex = ifindex;
    let length = size_of::<libc::sockaddr_ll>() as socklen_t;
    let pointer = (&raw const address).cast::<libc::sockaddr>();
    // SAFETY: `address` has the size that `length` says, and lives through the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), pointer, length) })?;
    Ok(())
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

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Frames per system call.
pub const BATCH: usize = 64;
/// No solicitation is longer, except a jumbo frame that is filled with options on purpose.
const LONGEST_FRAME: usize = 4096;
/// Bytes: a thousand solicitations. More would be answered too late to be of use.
const RECEIVE_BUFFER: c_int = 1 << 20;
/// Hundreds of guests come at once, and each of their reports takes more than 2 KiB.
const RECEIVE_BUFFER_EVERYWHERE: c_int = 8 << 20;
/// Protocol 0: nothing is received before bind(2) names one.
const PROTOCOL_NONE: c_int = 0;
const FLAGS: c_int = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
// linux/if_packet.h
const PACKET_IGNORE_OUTGOING: c_int = 23;
const PACKET_MR_ALLMULTI: u16 = 2;
