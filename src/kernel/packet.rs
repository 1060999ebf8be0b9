//! The packet socket: whole Ethernet frames in and out of one interface, many at a time.
//!
//! `unsafe` is here, at bpf(2) and at `confinement` only: the options of packet(7), recvmmsg(2) and sendmmsg(2) have no safe
//! wrappers, and Tokio needs a promise about the descriptor that it waits for. A socket hears nothing
//! until it is bound, and it is bound last: after its filter is attached and its multicast membership is
//! held. So its queue never has a frame of another kind.
#![allow(unsafe_code)]

mod batch;
mod inherited;
mod ring;
mod said;

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_void, sock_filter, socklen_t};
use nix::sys::epoll::Epoll;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::engine::facts::IfIndex;
use crate::wire::filter::Instruction;
pub use batch::{BATCH, RecvBatch, SendBatch};
use ring::Ring;
use said::SO_TIMESTAMPNS_NEW;

/// Whether frames come with the moment at which the kernel received them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stamps {
    /// They do not; the kernel need not look at a clock.
    #[default]
    Off,
    /// They do.
    On,
}

/// The memory of all rings that this process has mapped, in bytes.
pub fn bytes_of_rings() -> usize {
    Ring::bytes_of_all()
}

/// A packet socket that is bound to one interface.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    /// Frames leave by a second socket, which hears nothing and which no task waits for: each time a frame has left,
    /// the kernel wakes those who wait for its socket. They pass the queueing discipline: with `PACKET_QDISC_BYPASS`
    /// tcpdump on the host sees no answer, and an answer costs no less.
    out: OwnedFd,
    /// Where frames are written as they come. Without one they wait in the queue of the socket.
    ring: Option<Ring>,
}

impl PacketSocket {
    /// Opens a socket on the interface, behind the filter. Needs CAP_NET_RAW.
    pub fn open(link: IfIndex, filter: &[Instruction]) -> io::Result<Self> {
        let socket = Self { fd: unbound()?, out: unbound()?, ring: None };
        socket.set(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1_i32)?;
        socket.begin(link, filter, libc::ETH_P_IPV6)
    }

    /// The same with a ring, for an interface that is asked often; without, where the kernel gives none.
    pub fn open_with_ring(link: IfIndex, filter: &[Instruction]) -> io::Result<Self> {
        let mut socket = Self { fd: unbound()?, out: unbound()?, ring: None };
        match Ring::make(&socket.fd) {
            Ok(ring) => socket.ring = Some(ring),
            Err(error) => {
                tracing::debug!(%link, %error, "the socket has no ring");
                socket.fd = unbound()?;
            }
        }
        socket.set(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1_i32)?;
        socket.begin(link, filter, libc::ETH_P_IPV6)
    }

    /// The same for an observer, which also hears all that leaves by the interface, and frames for other stations.
    /// Only a socket for every protocol hears that.
    pub fn observe(link: IfIndex, filter: &[Instruction]) -> io::Result<Self> {
        Self { fd: unbound()?, out: unbound()?, ring: None }.begin(link, filter, libc::ETH_P_ALL)
    }

    /// The same for frames of this protocol on every interface there is or will be, as far as each takes such frames by
    /// itself. Nothing leaves by it.
    pub fn everywhere(protocol: c_int, filter: &[Instruction]) -> io::Result<Self> {
        let socket = Self { fd: unbound()?, out: unbound()?, ring: None };
        socket.set(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1_i32)?;
        socket.attach(filter)?;
        socket.make_room(RECEIVE_BUFFER_EVERYWHERE)?;
        bind(&socket.fd, 0, protocol)?;
        Ok(socket)
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
        if let Some(ring) = &self.ring {
            ring.stamp(stamps);
        }
        self.set(libc::SOL_SOCKET, SO_TIMESTAMPNS_NEW, &c_int::from(stamps == Stamps::On))
    }

    /// Takes as many frames as are there and fit; `WouldBlock` if there are none.
    pub fn recv_batch(&self, batch: &mut RecvBatch) -> io::Result<()> {
        batch.clear();
        match &self.ring {
            Some(ring) => ring.take(batch, |batch| match self.recv_queued(batch, 1) {
                // That an interface went down is told once, and the frame lies behind that.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => self.recv_queued(batch, 1),
                other => other,
            }),
            None => self.recv_queued(batch, BATCH),
        }
    }

    /// Whether another frame is known to be there, without a system call: only a ring tells.
    pub fn has_more(&self) -> bool {
        self.ring.as_ref().is_some_and(Ring::has_more)
    }

    /// Adds as many frames of the queue, if there is room for them.
    fn recv_queued(&self, batch: &mut RecvBatch, most: usize) -> io::Result<()> {
        let room = batch.room(most);
        let (headers, count) = (room.as_mut_ptr(), u32::try_from(room.len()).expect("at most BATCH"));
        // SAFETY: every header points at one buffer and at one room for control messages of its own inside
        // `batch`, which outlives the call and is borrowed mutably for it.
        let received = unsafe {
            libc::recvmmsg(self.fd.as_raw_fd(), headers, count, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        batch.written(usize::try_from(check(received)?).expect("checked to be positive"));
        Ok(())
    }

    /// Sends all frames of the batch, and empties it. Frames that the interface has no room for are dropped, because
    /// the asker asks again. Returns how many were sent.
    pub fn send_batch(&self, batch: &mut SendBatch) -> io::Result<usize> {
        let mut sent = 0;
        let all = batch.take();
        while sent < all.len() {
            let rest = &mut all[sent..];
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
        set_on(&self.fd, level, option, value)
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

fn set_on<T>(socket: &OwnedFd, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    let pointer = std::ptr::from_ref(value).cast::<c_void>();
    let length = socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: `value` has the size that `length` says, and it lives through the call, as does
    // what it points at.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, pointer, length) })?;
    Ok(())
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

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

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
