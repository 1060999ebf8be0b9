//! Changes to the kernel's neighbor entries. Those of gateways: added only where there is none, revived
//! only where one has failed. Those of guests: removed where their station has gone, or another is about to
//! have the address. Pins of guests are in `pins`.

use core::net::Ipv6Addr;
use std::future::Future;
use std::io;

use futures_util::future::{BoxFuture, FutureExt};
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::neighbour::{
    NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState as Nud,
};

use super::convert::station;
use super::lab::neighbor_message;
use super::{NetlinkError, Requests};
use crate::engine::NeighborChange;
use crate::engine::facts::IfIndex;
use crate::wire::Mac;

impl Requests {
    /// Changes a neighbor entry. An entry that is not there is removed already.
    pub fn change_neighbor(&self, change: &NeighborChange) -> BoxFuture<'static, Result<(), NetlinkError>> {
        let (what, link, address, under_way) = match *change {
            NeighborChange::Add(link, address, mac) => {
                let under_way = self.gateway(link, address, mac, NLM_F_CREATE | NLM_F_EXCL).boxed();
                ("add", link, address, under_way)
            }
            NeighborChange::Revive(link, address, mac) => {
                ("revive", link, address, self.gateway(link, address, mac, 0).boxed())
            }
            NeighborChange::Remove(link, address) => {
                ("remove", link, address, self.remove(link, address).boxed())
            }
            NeighborChange::Forget(link, address, keep) => {
                ("forget", link, address, self.forget(link, address, keep).boxed())
            }
            NeighborChange::Pin(pin, over) => ("pin", pin.link, pin.address, self.pin(pin, over).boxed()),
            NeighborChange::Unpin(pin) => ("unpin", pin.link, pin.address, self.unpin(pin).boxed()),
        };
        async move {
            let what = format!("{what} the neighbor {address} on link {link}");
            under_way.await.map_err(|source| NetlinkError::Refused { what, source })
        }
        .boxed()
    }

    /// What is added or revived is as if the kernel had asked by itself: reachable for now, and to grow
    /// old. An address that the kernel holds to be valid is never overridden (no NLM_F_REPLACE).
    fn gateway(
        &self,
        link: IfIndex,
        address: Ipv6Addr,
        mac: Mac,
        flags: u16,
    ) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let mut message = neighbor_message(link, address);
        message.header.state = Nud::Reachable;
        message.header.flags = NeighbourFlags::Router;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        self.submit(RouteNetlinkMessage::NewNeighbour(message), flags)
    }

    /// Removes an entry, unless it holds the station to keep, or none, or was made by an administrator or a
    /// routing daemon. What the kernel learns between the question and the removal it learns again.
    fn forget(
        &self,
        link: IfIndex,
        address: Ipv6Addr,
        keep: Option<Mac>,
    ) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let entry = self.get(RouteNetlinkMessage::GetNeighbour(neighbor_message(link, address)));
        let requests = self.clone();
        async move {
            let entry = match entry.await {
                Ok(Some(RouteNetlinkMessage::NewNeighbour(entry))) => entry,
                Ok(_) => return Ok(()),
                Err(error) if is_missing(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            if !is_learnt(&entry) || station(&entry).is_none_or(|held| keep == Some(held)) {
                return Ok(());
            }
            requests.remove(link, address).await
        }
    }

    pub(super) fn remove(
        &self,
        link: IfIndex,
        address: Ipv6Addr,
    ) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let reply = self.submit(RouteNetlinkMessage::DelNeighbour(neighbor_message(link, address)), 0);
        async move { reply.await.or_else(|error| if is_missing(&error) { Ok(()) } else { Err(error) }) }
    }
}

/// True of what the kernel has found out by asking.
fn is_learnt(entry: &NeighbourMessage) -> bool {
    let is_dynamic = matches!(entry.header.state, Nud::Reachable | Nud::Stale | Nud::Delay | Nud::Probe);
    is_dynamic && !entry.header.flags.contains(NeighbourFlags::ExtLearned)
}

/// No entry, or no interface any more.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::ENXIO))
}
