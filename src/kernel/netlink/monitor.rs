//! What the kernel says, as it says it: subscribe first, dump second, then the queued events.
//!
//! Events wait in the socket's own receive buffer, so memory stays bounded while the daemon is busy. When the
//! buffer is full, the kernel says so once, and the reader dumps again.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;

use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::neighbour::NeighbourMessage;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::{AsyncSocket, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};

use super::NetlinkError;
use super::connection::LONGEST_DATAGRAM;
use super::convert::facts;
use super::requests::Requests;
use super::{datagram, groups};
use crate::engine::facts::Fact;

/// A subscription to every change of links, IPv6 addresses, IPv6 routes and rules, neighbors, and groups of bridges in
/// the network namespace of the thread that started it.
pub struct Monitor {
    socket: TokioSocket,
    requests: Requests,
    buffer: Vec<u8>,
    queue: VecDeque<Fact>,
}

/// Whether a dump has to tell which stations bridges know behind which ports. A host may have thousands of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// It has to.
    Wanted,
    /// It has not.
    LeftOut,
}

/// What [`Monitor::next`] has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Something changed.
    Fact(Fact),
    /// Changes were lost: [`Monitor::dump`] again. Those that are queued still come.
    Overrun,
    /// A group of nexthop objects has lost one of them, and so have the routes that lead by the group, of which the
    /// kernel says nothing (net/ipv4/nexthop.c, remove_nh_grp_entry): [`Monitor::dump`] again.
    GroupShrunk,
    /// There will be nothing more; start a new monitor.
    Closed,
}

impl Monitor {
    /// Subscribes, and opens the connection that dumps and requests go through. Must be called
    /// within a Tokio runtime with I/O.
    pub fn start() -> Result<(Self, Requests), NetlinkError> {
        Self::start_with(Requests::open()?)
    }

    /// The same, and the connection is served by a thread of its own.
    pub fn start_beside() -> Result<(Self, Requests), NetlinkError> {
        Self::start_with(Requests::open_on_a_thread()?)
    }

    fn start_with(requests: Requests) -> Result<(Self, Requests), NetlinkError> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(NetlinkError::Open)?;
        enlarge_receive_buffer(&socket);
        let groups = GROUPS.iter().fold(0, |mask, group| mask | 1 << (*group as u32 - 1));
        socket.socket_mut().bind(&SocketAddr::new(0, groups)).map_err(NetlinkError::Open)?;
        let monitor = Self {
            socket,
            requests: requests.clone(),
            buffer: Vec::with_capacity(LONGEST_DATAGRAM),
            queue: VecDeque::new(),
        };
        Ok((monitor, requests))
    }

    /// Everything that is, in the order groups of bridges, links, addresses, rules, routes (of all tables), neighbors.
    ///
    /// Changes made meanwhile are in the queue too: apply the dump first, then what
    /// [`Monitor::next`] brings. The dump begins with the first poll; what was queued before is older.
    pub fn dump(&self) -> impl Future<Output = Result<Vec<Fact>, NetlinkError>> + Send + use<> {
        self.dump_with(Ports::LeftOut)
    }

    /// The same, with the stations of bridges before the neighbors, where they are wanted.
    pub fn dump_with(
        &self,
        ports: Ports,
    ) -> impl Future<Output = Result<Vec<Fact>, NetlinkError>> + Send + use<> {
        let mut address = AddressMessage::default();
        address.header.family = AddressFamily::Inet6;
        let mut route = RouteMessage::default();
        route.header.address_family = AddressFamily::Inet6;
        let mut rule = RuleMessage::default();
        rule.header.family = AddressFamily::Inet6;
        let mut neighbor = NeighbourMessage::default();
        neighbor.header.family = AddressFamily::Inet6;
        let mut station = NeighbourMessage::default();
        station.header.family = AddressFamily::Bridge;
        let tables = [
            ("links", RouteNetlinkMessage::GetLink(LinkMessage::default())),
            ("addresses", RouteNetlinkMessage::GetAddress(address)),
            (RULES, RouteNetlinkMessage::GetRule(rule)),
            ("routes", RouteNetlinkMessage::GetRoute(route)),
            ("neighbors", RouteNetlinkMessage::GetNeighbour(neighbor)),
        ];
        let stations = ("MACs of bridges", RouteNetlinkMessage::GetNeighbour(station));
        let stations = (ports == Ports::Wanted).then_some(stations);
        let [links, addresses, rules, routes, neighbors] = tables;
        let tables = [links, addresses, rules, routes].into_iter().chain(stations).chain([neighbors]);
        let requests = self.requests.clone();
        async move {
            // Where guests may be is known before whatever else happens.
            let mut all = groups::dump().await;
            for (name, table) in tables {
                match requests.table(name, table, |message| facts(&message, 0)).await {
                    Ok(mut told) => all.append(&mut told),
                    Err(error) if name == RULES && has_none(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(all)
        }
    }

    /// The next change. Cancel-safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Notice {
        loop {
            if let Some(fact) = self.queue.pop_front() {
                return Notice::Fact(fact);
            }
            self.buffer.clear();
            let received = poll_fn(|cx| self.socket.poll_recv_from(cx, &mut self.buffer)).await;
            if let Some(notice) = self.take_in(received) {
                return notice;
            }
        }
    }

    /// The next change that is already there. Never waits.
    pub fn try_next(&mut self) -> Option<Notice> {
        loop {
            if let Some(fact) = self.queue.pop_front() {
                return Some(Notice::Fact(fact));
            }
            self.buffer.clear();
            let received = self.socket.socket_ref().recv_from(&mut self.buffer, 0).map(|(_, sender)| sender);
            if received.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return None;
            }
            if let Some(notice) = self.take_in(received) {
                return Some(notice);
            }
        }
    }

    /// Queues the facts of the datagram in the buffer.
    fn take_in(&mut self, received: io::Result<SocketAddr>) -> Option<Notice> {
        match received {
            // Anybody may send to a netlink socket; the kernel's port is 0.
            Ok(sender) if sender.port_number() == 0 => {
                self.queue.extend(datagram::facts(&self.buffer));
                datagram::has_shrunk_group(&self.buffer).then_some(Notice::GroupShrunk)
            }
            Ok(_) => None,
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Some(Notice::Overrun),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => {
                tracing::error!(%error, "the netlink socket broke");
                Some(Notice::Closed)
            }
        }
    }
}

/// Only root may pass the limit of `net.core.rmem_max`; less than wished for still works.
fn enlarge_receive_buffer(socket: &TokioSocket) {
    let socket = socket.socket_ref();
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
    }
}

/// A kernel without IPV6_MULTIPLE_TABLES has no rules.
fn has_none(error: &NetlinkError) -> bool {
    let NetlinkError::Refused { source, .. } = error else { return false };
    matches!(source.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT))
}

const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv6Rule,
    MulticastGroup::Neigh,
    MulticastGroup::Nexthop,
    MulticastGroup::Mdb,
];

const RULES: &str = "rules";

/// Bytes; some thousand events, as when a bridge with all its guests comes up.
const RECEIVE_BUFFER: usize = 4 << 20;
