//! The addresses that the kernel itself answers for (`ip -6 neigh show proxy`).

use std::io;
use std::net::Ipv6Addr;

use futures_util::StreamExt;
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::monitor::{DUMP_ATTEMPTS, NLM_F_DUMP_INTR};
use super::{NetlinkError, Requests};
use crate::engine::facts::IfIndex;

impl Requests {
    /// Every proxy entry of the namespace, in no order. Needs no privileges.
    pub async fn proxies(&self) -> Result<Vec<(IfIndex, Ipv6Addr)>, NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(entries) = self.proxies_once().await? {
                return Ok(entries);
            }
        }
        Err(NetlinkError::Unsettled("proxy entries"))
    }

    /// `None` if the table changed meanwhile, so that the kernel may have left something out.
    async fn proxies_once(&self) -> Result<Option<Vec<(IfIndex, Ipv6Addr)>>, NetlinkError> {
        let refused = |source| NetlinkError::Refused { what: "list its proxy entries".to_owned(), source };
        let mut question = NeighbourMessage::default();
        question.header.family = AddressFamily::Inet6;
        // With exactly this flag the kernel lists these entries instead of its neighbors.
        question.header.flags = NeighbourFlags::Proxy;
        let mut replies = Box::pin(self.dump_stream(RouteNetlinkMessage::GetNeighbour(question))?);
        let mut entries = Vec::new();
        let mut torn = false;
        while let Some(reply) = replies.next().await {
            torn |= reply.header.flags & NLM_F_DUMP_INTR != 0;
            match reply.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(message)) => {
                    entries.extend(entry(&message));
                }
                NetlinkPayload::Done(done) if done.code == 0 => return Ok((!torn).then_some(entries)),
                NetlinkPayload::Done(done) => {
                    return Err(refused(io::Error::from_raw_os_error(done.code.abs())));
                }
                NetlinkPayload::Error(error) => return Err(refused(error.to_io())),
                _ => {}
            }
        }
        Err(NetlinkError::Closed)
    }
}

fn entry(message: &NeighbourMessage) -> Option<(IfIndex, Ipv6Addr)> {
    let header = &message.header;
    if header.family != AddressFamily::Inet6 || !header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(*address),
        _ => None,
    })?;
    Some((IfIndex(header.ifindex), address))
}
