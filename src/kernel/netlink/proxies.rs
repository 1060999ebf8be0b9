//! The addresses that the kernel itself answers for (`ip -6 neigh show proxy`).

use std::net::Ipv6Addr;

use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{NetlinkError, Requests};
use crate::engine::facts::IfIndex;

/// An address that the kernel answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proxy {
    /// Where it does.
    pub link: IfIndex,
    /// The address.
    pub address: Ipv6Addr,
    /// The R flag of the answers: the entry was made with `router`.
    pub is_router: bool,
}

impl Requests {
    /// Every proxy entry of the namespace, in no order. Needs no privileges.
    pub async fn proxies(&self) -> Result<Vec<Proxy>, NetlinkError> {
        let mut question = NeighbourMessage::default();
        question.header.family = AddressFamily::Inet6;
        // With exactly this flag the kernel lists these entries instead of its neighbors.
        question.header.flags = NeighbourFlags::Proxy;
        self.table("proxy entries", RouteNetlinkMessage::GetNeighbour(question), |message| match message {
            RouteNetlinkMessage::NewNeighbour(message) => entry(&message),
            _ => None,
        })
        .await
    }
}

fn entry(message: &NeighbourMessage) -> Option<Proxy> {
    let header = &message.header;
    if header.family != AddressFamily::Inet6 || !header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(*address),
        _ => None,
    })?;
    let is_router = header.flags.contains(NeighbourFlags::Router);
    Some(Proxy { link: IfIndex(header.ifindex), address, is_router })
}
