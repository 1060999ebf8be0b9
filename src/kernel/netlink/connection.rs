//! The socket that requests go through: many of them in one datagram, answered in the order of their calls.
//!
//! The kernel carries out a request inside sendto(2), where it waits for the lock of all network
//! settings. So a task that must not wait has the connection on a thread of its own. Only the last request of a
//! datagram asks for an acknowledgement: the kernel takes them one after the other, and always tells of a
//! refusal, so that one acknowledgement confirms all before it that were not refused.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::thread;

use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{AsyncSocket, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};
use tokio::sync::{mpsc, oneshot};

use super::NetlinkError;
use super::table::{Dump, Listener};

/// A message of the kernel's, or to it.
pub(super) type Message = NetlinkMessage<RouteNetlinkMessage>;

/// Something to be asked of the kernel.
pub(super) enum Request {
    /// A change, or a question for one object: what the kernel has, if it has something to show.
    One(RouteNetlinkMessage, u16, oneshot::Sender<io::Result<Option<RouteNetlinkMessage>>>),
    /// A question for a whole table.
    Dump(RouteNetlinkMessage, Listener),
}

/// Where requests are handed in.
pub(super) type Queue = mpsc::UnboundedSender<Request>;

/// The socket, and what is under way on it.
struct Connection {
    socket: TokioSocket,
    queue: mpsc::UnboundedReceiver<Request>,
    sequence: u32,
    /// In the order in which the kernel takes them.
    under_way: VecDeque<UnderWay>,
    dump: Option<Dump>,
    /// The kernel lets a socket have one dump at a time.
    dumps: VecDeque<(RouteNetlinkMessage, Listener)>,
    buffer: Vec<u8>,
}

struct UnderWay {
    sequence: u32,
    object: Option<RouteNetlinkMessage>,
    verdict: oneshot::Sender<io::Result<Option<RouteNetlinkMessage>>>,
}

/// Opens one that is served by the Tokio runtime of this thread, in its network namespace.
pub(super) fn open() -> Result<Queue, NetlinkError> {
    let (connection, queue) = Connection::open()?;
    tokio::spawn(connection.serve());
    Ok(queue)
}

/// Opens one that is served by a thread of its own, in the network namespace of this one. The thread ends when
/// no requests can come any more.
pub(super) fn open_on_a_thread() -> Result<Queue, NetlinkError> {
    let (opened, is_opened) = std::sync::mpsc::channel();
    let serve = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(opened.send(Err(NetlinkError::Open(error)))),
        };
        runtime.block_on(async {
            match Connection::open() {
                Ok((connection, queue)) => {
                    let _ = opened.send(Ok(queue));
                    connection.serve().await;
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        });
    };
    thread::Builder::new().name("netlink".to_owned()).spawn(serve).map_err(NetlinkError::Open)?;
    is_opened.recv().map_err(|_| NetlinkError::Closed)?
}

impl Connection {
    fn open() -> Result<(Self, Queue), NetlinkError> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(NetlinkError::Open)?;
        socket.socket_mut().bind_auto().map_err(NetlinkError::Open)?;
        // A refusal need not hold the whole request again. Every kernel since 4.3 knows that.
        let _ = socket.socket_ref().set_cap_ack(true);
        // Only root may pass net.core.rmem_max; the default has room for a datagram's refusals.
        let _ = setsockopt(socket.socket_ref(), sockopt::RcvBufForce, &RECEIVE_BUFFER);
        let (queue, requests) = mpsc::unbounded_channel();
        let connection = Self {
            socket,
            queue: requests,
            sequence: 0,
            under_way: VecDeque::new(),
            dump: None,
            dumps: VecDeque::new(),
            buffer: Vec::with_capacity(LONGEST_DATAGRAM),
        };
        Ok((connection, queue))
    }

    /// Serves until the socket breaks, or until no requests can come any more and all are answered. Tasks that still
    /// wait then find their channel closed.
    async fn serve(mut self) {
        let mut is_open = true;
        while is_open || !self.is_idle() {
            let may_send = is_open && self.under_way.is_empty();
            self.buffer.clear();
            let broken = tokio::select! {
                received = poll_fn(|cx| self.socket.poll_recv_from(cx, &mut self.buffer)) => {
                    self.received(received).await
                }
                request = self.queue.recv(), if may_send => match request {
                    Some(request) => self.send(request).await,
                    None => {
                        is_open = false;
                        Ok(())
                    }
                },
            };
            if let Err(error) = broken {
                tracing::error!(%error, "the netlink socket for requests broke");
                return;
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.under_way.is_empty() && self.dump.is_none() && self.dumps.is_empty()
    }

    /// Sends this and all else that waits, as much as goes into one datagram.
    async fn send(&mut self, first: Request) -> io::Result<()> {
        let mut datagram = Vec::new();
        let mut last = None;
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::One(message, flags, verdict) => {
                    self.sequence = self.sequence.wrapping_add(1);
                    last = Some(datagram.len());
                    write(&mut datagram, message, NLM_F_REQUEST | flags, self.sequence);
                    self.under_way.push_back(UnderWay { sequence: self.sequence, object: None, verdict });
                }
                Request::Dump(message, listener) => self.dumps.push_back((message, listener)),
            }
            let has_room = self.under_way.len() < AT_ONCE && datagram.len() < LONGEST_REQUEST;
            next = has_room.then(|| self.queue.try_recv().ok()).flatten();
        }
        if let Some(last) = last {
            acknowledge(&mut datagram[last..]);
            self.send_datagram(&datagram).await?;
        }
        self.start_dump().await
    }

    async fn start_dump(&mut self) -> io::Result<()> {
        if self.dump.is_some() {
            return Ok(());
        }
        let Some((message, listener)) = self.dumps.pop_front() else { return Ok(()) };
        self.sequence = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        write(&mut datagram, message, NLM_F_REQUEST | NLM_F_DUMP, self.sequence);
        self.dump = Some(Dump::new(self.sequence, listener));
        self.send_datagram(&datagram).await
    }

    async fn send_datagram(&mut self, datagram: &[u8]) -> io::Result<()> {
        let kernel = SocketAddr::new(0, 0);
        let sent = poll_fn(|cx| self.socket.poll_send_to(cx, datagram, &kernel)).await?;
        if sent == datagram.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    async fn received(&mut self, received: io::Result<SocketAddr>) -> io::Result<()> {
        match received {
            // Anybody may send to a netlink socket; the kernel's port is 0.
            Ok(sender) if sender.port_number() == 0 => {
                let datagram = std::mem::take(&mut self.buffer);
                messages(&datagram).for_each(|message| self.take_in(message));
                self.buffer = datagram;
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // An answer was lost, and nobody knows whose.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                let lost = || io::Error::from_raw_os_error(libc::ENOBUFS);
                self.under_way.drain(..).for_each(|one| drop(one.verdict.send(Err(lost()))));
                if let Some(dump) = self.dump.take() {
                    dump.tear();
                }
            }
            Err(error) => return Err(error),
        }
        self.start_dump().await
    }

    fn take_in(&mut self, message: Message) {
        let sequence = message.header.sequence_number;
        if let Some(dump) = self.dump.take_if(|dump| dump.sequence() == sequence) {
            self.dump = dump.take_in(message);
            return;
        }
        let Some(place) = self.under_way.iter().position(|one| one.sequence == sequence) else { return };
        match message.payload {
            NetlinkPayload::InnerMessage(object) => self.under_way[place].object = Some(object),
            NetlinkPayload::Error(error) => {
                // The kernel has carried out whatever came before.
                for UnderWay { object, verdict, .. } in self.under_way.drain(..place) {
                    // It may be that nobody waits for it any more.
                    let _ = verdict.send(Ok(object));
                }
                if let Some(UnderWay { object, verdict, .. }) = self.under_way.pop_front() {
                    let result = if error.code.is_none() { Ok(object) } else { Err(error.to_io()) };
                    let _ = verdict.send(result);
                }
            }
            _ => {}
        }
    }
}

/// The messages of one datagram. One that the library cannot read is left out.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message> {
    std::iter::from_fn(move || {
        while let Ok(header) = NetlinkBuffer::new_checked(datagram) {
            let length = header.length() as usize;
            let message = Message::deserialize(&datagram[..length]);
            datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
            match message {
                Ok(message) => return Some(message),
                Err(error) => tracing::debug!(%error, "left out a netlink message"),
            }
        }
        None
    })
}

fn write(datagram: &mut Vec<u8>, message: RouteNetlinkMessage, flags: u16, sequence: u32) {
    let mut message = Message::from(message);
    (message.header.flags, message.header.sequence_number) = (flags, sequence);
    message.finalize();
    let start = datagram.len();
    datagram.resize(start + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut datagram[start..start + message.buffer_len()]);
}

/// The flags of a message are its bytes 6 and 7 (struct nlmsghdr).
fn acknowledge(message: &mut [u8]) {
    let flags = u16::from_ne_bytes([message[6], message[7]]) | NLM_F_ACK;
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
}

/// Requests in one datagram. If the kernel refuses all of them, its answers fit into the smallest buffer.
const AT_ONCE: usize = 64;
/// Bytes of a datagram that is not added to any more.
const LONGEST_REQUEST: usize = 32 << 10;
/// Bytes.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Bytes; the kernel makes none longer than 32 KiB.
pub(super) const LONGEST_DATAGRAM: usize = 64 << 10;
