//! Requests to the kernel, and changes to its routes: exclusively added, and removed only if they are ours.

use std::future::Future;
use std::io;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteScope, RouteType,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use tokio::sync::oneshot;

use super::NetlinkError;
use super::connection::{self, Request};
use crate::engine::facts::{IfIndex, KernelRoute, NextHop, RouteKind};

/// Asks the kernel of one network namespace for changes. Cheap to clone.
///
/// A request is queued by the call itself, not by the first poll of its future: the order of the
/// calls is the order in the kernel, and many may be under way at once.
#[derive(Debug, Clone)]
pub struct Requests {
    queue: connection::Queue,
}

/// Why a route was not added or removed.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// Another program's route with this destination, table and metric is in the way.
    #[error("a route to the same destination with the same metric exists")]
    Exists,
    /// There is no such route of ours.
    #[error("there is no such route")]
    Missing,
    /// It cannot lead to an interface that is gone or down.
    #[error("its interface is gone or down")]
    NoDevice,
    /// It cannot lead to an interface on which IPv6 is off: the kernel says EACCES of that.
    #[error(
        "IPv6 is off on its interface; turn it on with the sysctl net/ipv6/conf/INTERFACE/disable_ipv6=0"
    )]
    SwitchedOff,
    /// Not privileged.
    #[error("not permitted; run as root or with CAP_NET_ADMIN")]
    Denied,
    /// Whatever else the kernel has to say.
    #[error(transparent)]
    Other(io::Error),
}

impl Requests {
    /// A connection of its own, in the network namespace of this thread. Must be called within a
    /// Tokio runtime with I/O.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self { queue: connection::open()? })
    }

    /// The same, served by a thread of its own: this one waits for nothing that the kernel does.
    pub fn open_on_a_thread() -> Result<Self, NetlinkError> {
        Ok(Self { queue: connection::open_on_a_thread()? })
    }

    /// Adds a route, and never replaces one: [`RouteError::Exists`] if any with its destination,
    /// table and metric is there.
    pub fn add_route(
        &self,
        route: &KernelRoute,
    ) -> impl Future<Output = Result<(), RouteError>> + Send + use<> {
        let message = RouteNetlinkMessage::NewRoute(route_message(route));
        let reply = self.submit(message, NLM_F_CREATE | NLM_F_EXCL);
        async move { reply.await.map_err(RouteError::from) }
    }

    /// Removes exactly this route. A route of another protocol is never touched, even if all else is the same:
    /// [`RouteError::Missing`].
    pub fn remove_route(
        &self,
        route: &KernelRoute,
    ) -> impl Future<Output = Result<(), RouteError>> + Send + use<> {
        let mut message = route_message(route);
        // IPv6 keeps unreachable routes on lo. Without an interface, the request would match any
        // route of ours to that destination with that metric.
        if route.kind == RouteKind::Unreachable {
            message.attributes.push(RouteAttribute::Oif(LOOPBACK.0));
        }
        let reply = self.submit(RouteNetlinkMessage::DelRoute(message), 0);
        async move { reply.await.map_err(RouteError::from) }
    }

    /// Queues a request, and returns the kernel's verdict.
    pub(super) fn submit(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let reply = self.send(message, flags);
        async move { reply.await.map(|_| ()) }
    }

    /// Queues a question for one object, and returns what the kernel has.
    pub(super) fn get(
        &self,
        message: RouteNetlinkMessage,
    ) -> impl Future<Output = io::Result<Option<RouteNetlinkMessage>>> + Send + use<> {
        self.send(message, 0)
    }

    /// Queues any request.
    pub(super) fn hand_in(&self, request: Request) -> Result<(), NetlinkError> {
        self.queue.send(request).map_err(|_| NetlinkError::Closed)
    }

    fn send(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> impl Future<Output = io::Result<Option<RouteNetlinkMessage>>> + Send + use<> {
        let (verdict, reply) = oneshot::channel();
        // One that cannot be queued drops its sender, and is found closed.
        let _ = self.queue.send(Request::One(message, flags, verdict));
        async move { reply.await.unwrap_or_else(|_| Err(closed())) }
    }
}

impl From<io::Error> for RouteError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EEXIST) => Self::Exists,
            Some(libc::ESRCH) => Self::Missing,
            Some(libc::ENODEV | libc::ENXIO | libc::ENETDOWN) => Self::NoDevice,
            Some(libc::EACCES) => Self::SwitchedOff,
            Some(libc::EPERM) => Self::Denied,
            _ => Self::Other(error),
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the netlink socket is closed")
}

fn route_message(route: &KernelRoute) -> RouteMessage {
    let (kind, link) = match route.kind {
        RouteKind::Unicast(link) => (RouteType::Unicast, Some(link)),
        RouteKind::Local(link) => (RouteType::Local, Some(link)),
        RouteKind::Unreachable => (RouteType::Unreachable, None),
        RouteKind::Throw => (RouteType::Throw, None),
        RouteKind::Other => (RouteType::Unspec, None),
    };
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: AddressFamily::Inet6,
        destination_prefix_length: route.destination.prefix_len(),
        // The attribute below holds the number, whether it fits in here or not.
        table: u8::try_from(route.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC),
        protocol: route.protocol.into(),
        scope: RouteScope::Universe,
        kind,
        ..RouteHeader::default()
    };
    message.attributes = vec![
        RouteAttribute::Destination(RouteAddress::Inet6(route.destination.network())),
        RouteAttribute::Table(route.table),
        RouteAttribute::Priority(route.metric),
    ];
    if let Some(source) = route.source {
        message.header.source_prefix_length = source.prefix_len();
        message.attributes.push(RouteAttribute::Source(RouteAddress::Inet6(source.network())));
    }
    if let Some(link) = link {
        message.attributes.push(RouteAttribute::Oif(link.0));
    }
    if let NextHop::Via(router) = route.next_hop {
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet6(router)));
    }
    message
}

/// The index of `lo` in every namespace; the kernel refuses to start with another.
const LOOPBACK: IfIndex = IfIndex(1);
