//! The kernel's own lookup: where it sends what arrives on an interface, by all rules and tables that it has.

use std::future::Future;
use std::io;
use std::net::Ipv6Addr;

use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::convert;
use super::{NetlinkError, Requests};
use crate::engine::facts::{Fact, IfIndex, KernelRoute, Link, NextHop};

/// What the kernel does with a packet for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayTo {
    /// It leaves by this interface.
    Link {
        /// The interface.
        link: IfIndex,
        /// To the address itself, or to a router.
        next_hop: NextHop,
        /// The table that the route was found in.
        table: u32,
    },
    /// The host has the address.
    Host,
    /// The host takes every address of a prefix that this one is in (AnyIP).
    HostPrefix,
    /// It goes nowhere: there is no route, or one that refuses.
    Nowhere,
}

impl Requests {
    /// Where the kernel sends a packet for `target` that arrives on the interface `from`. Needs no privileges; many
    /// may be asked for at once.
    pub fn way_to(
        &self,
        target: Ipv6Addr,
        from: IfIndex,
    ) -> impl Future<Output = Result<WayTo, NetlinkError>> + Send + use<> {
        self.look_up(target, question(target, None, Some(from)))
    }

    /// Whether the route that decides for a packet for `target`, which arrives on the interface `from`, is a default route
    /// or as short as one.
    pub async fn is_by_default(&self, target: Ipv6Addr, from: IfIndex) -> Result<bool, NetlinkError> {
        let mut question = question(target, None, Some(from));
        // The reply is the route itself then, and not what it comes to for this address.
        question.header.flags = RouteFlags::FibMatch;
        let refused = |source| NetlinkError::Refused { what: format!("look {target} up"), source };
        match self.get(RouteNetlinkMessage::GetRoute(question)).await {
            Ok(Some(RouteNetlinkMessage::NewRoute(route))) => {
                Ok(route.header.destination_prefix_length <= KernelRoute::WIDEST)
            }
            Ok(_) => Err(refused(io::ErrorKind::InvalidData.into())),
            Err(error) if is_no_way(&error) => Ok(false),
            Err(error) => Err(refused(error)),
        }
    }

    /// Where the kernel sends a packet from `source`, which need not be an address of the host, to `target`. It arrives
    /// on the interface `from`; `None`: it is the host's own.
    pub fn way_out(
        &self,
        target: Ipv6Addr,
        source: Ipv6Addr,
        from: Option<IfIndex>,
    ) -> impl Future<Output = Result<WayTo, NetlinkError>> + Send + use<> {
        self.look_up(target, question(target, Some(source), from))
    }

    fn look_up(
        &self,
        target: Ipv6Addr,
        question: RouteMessage,
    ) -> impl Future<Output = Result<WayTo, NetlinkError>> + Send + use<> {
        let reply = self.get(RouteNetlinkMessage::GetRoute(question));
        async move {
            let refused = |source| NetlinkError::Refused { what: format!("look {target} up"), source };
            match reply.await {
                Ok(Some(RouteNetlinkMessage::NewRoute(route))) => Ok(way(&route)),
                Ok(_) => Err(refused(io::ErrorKind::InvalidData.into())),
                Err(error) if is_no_way(&error) => Ok(WayTo::Nowhere),
                Err(error) => Err(refused(error)),
            }
        }
    }

    /// Every link of the namespace.
    pub async fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.table("links", question, |message| {
            convert::facts(&message, 0).into_iter().filter_map(|fact| match fact {
                Fact::Link(link) => Some(link),
                _ => None,
            })
        })
        .await
    }
}

fn question(target: Ipv6Addr, source: Option<Ipv6Addr>, from: Option<IfIndex>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: AddressFamily::Inet6,
        destination_prefix_length: 128,
        source_prefix_length: if source.is_some() { 128 } else { 0 },
        ..RouteHeader::default()
    };
    message.attributes = vec![RouteAttribute::Destination(RouteAddress::Inet6(target))];
    message.attributes.extend(source.map(|source| RouteAttribute::Source(RouteAddress::Inet6(source))));
    message.attributes.extend(from.map(|from| RouteAttribute::Iif(from.0)));
    message
}

fn way(route: &RouteMessage) -> WayTo {
    let (mut link, mut next_hop) = (None, NextHop::OnLink);
    let mut table = u32::from(route.header.table);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => link = Some(IfIndex(*index)),
            RouteAttribute::Gateway(RouteAddress::Inet6(router)) => next_hop = NextHop::Via(*router),
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    match (route.header.kind, link) {
        (RouteType::Unicast, Some(link)) => WayTo::Link { link, next_hop, table },
        // The kernel makes one for each address that the host has; everybody else makes one for a prefix.
        (RouteType::Local | RouteType::Anycast, _) if route.header.protocol == RouteProtocol::Kernel => {
            WayTo::Host
        }
        (RouteType::Local | RouteType::Anycast, _) => WayTo::HostPrefix,
        _ => WayTo::Nowhere,
    }
}

/// The kernel answers with the error that a sender would get: for no route, and for `unreachable`, `prohibit` and
/// `blackhole` routes (rtm(7), net/ipv6/route.c).
fn is_no_way(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL))
}
