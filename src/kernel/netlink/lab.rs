//! Links, addresses and proxy entries in temporary namespaces, for `demo`, `doctor --live` and tests.
//!
//! Of all this the daemon itself makes only the gateways' addresses (`addresses`).

use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{NetlinkError, Requests};
use crate::engine::facts::{IfIndex, IfName};
use crate::wire::Mac;

impl Requests {
    /// Two virtual Ethernet links, each the other's wire.
    pub fn add_veth(
        &self,
        name: &IfName,
        peer: &IfName,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        let mut far = LinkMessage::default();
        far.attributes.push(LinkAttribute::IfName(peer.to_string()));
        let info = vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far)))];
        self.add_link(name, vec![LinkAttribute::LinkInfo(info)])
    }

    /// A bridge without ports.
    pub fn add_bridge(&self, name: &IfName) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        self.add_link(name, vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)])])
    }

    /// A macvlan in mode `bridge` on top of a link.
    pub fn add_macvlan(
        &self,
        name: &IfName,
        lower: IfIndex,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        let mode = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)]);
        let info = vec![LinkInfo::Kind(InfoKind::MacVlan), LinkInfo::Data(mode)];
        self.add_link(name, vec![LinkAttribute::Link(lower.0), LinkAttribute::LinkInfo(info)])
    }

    /// Brings a link up.
    pub fn set_up(&self, link: IfIndex) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.set_link(link, message, "bring up")
    }

    /// Takes a link down.
    pub fn set_down(&self, link: IfIndex) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        let mut message = LinkMessage::default();
        message.header.change_mask = LinkFlags::Up;
        self.set_link(link, message, "take down")
    }

    /// Gives a link another address.
    pub fn set_mac(
        &self,
        link: IfIndex,
        mac: Mac,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
        self.set_link(link, message, "change the address of")
    }

    /// Gives a link another MTU, in bytes.
    pub fn set_mtu(
        &self,
        link: IfIndex,
        mtu: u32,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.set_link(link, message, "change the MTU of")
    }

    /// Makes a link the port of a bridge; without one, takes it out of the one that it is in.
    pub fn set_master(
        &self,
        link: IfIndex,
        master: Option<IfIndex>,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Controller(master.map_or(0, |master| master.0)));
        self.set_link(link, message, "change the bridge of")
    }

    /// Moves a link to another network namespace, where it is down and has no addresses.
    pub fn move_to(
        &self,
        link: IfIndex,
        namespace: BorrowedFd<'_>,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
        self.set_link(link, message, "move to another namespace")
    }

    /// Removes a link, with the other end if it is one of a pair.
    pub fn remove_link(
        &self,
        link: IfIndex,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        let mut message = LinkMessage::default();
        message.header.index = link.0;
        self.ask(RouteNetlinkMessage::DelLink(message), 0, format!("remove link {link}"))
    }

    /// Adds an address that is usable at once, without DAD.
    pub fn add_address(
        &self,
        link: IfIndex,
        address: Ipv6Addr,
        prefix_len: u8,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        let message = address_message(link, address, prefix_len);
        self.ask(
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_CREATE | NLM_F_EXCL,
            format!("add {address}/{prefix_len} to link {link}"),
        )
    }

    /// Removes an address.
    pub fn remove_address(
        &self,
        link: IfIndex,
        address: Ipv6Addr,
        prefix_len: u8,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        let message = address_message(link, address, prefix_len);
        self.ask(
            RouteNetlinkMessage::DelAddress(message),
            0,
            format!("remove {address}/{prefix_len} from link {link}"),
        )
    }

    /// Makes the kernel itself answer for one address, as `ip -6 neigh add proxy` does.
    pub fn add_proxy(
        &self,
        link: IfIndex,
        target: Ipv6Addr,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        let mut message = neighbor_message(link, target);
        message.header.flags = NeighbourFlags::Proxy;
        self.ask(
            RouteNetlinkMessage::NewNeighbour(message),
            NLM_F_CREATE | NLM_F_EXCL,
            format!("add {target} as a proxy entry of link {link}"),
        )
    }

    /// Makes the kernel forget a neighbor, so that it asks again.
    pub fn remove_neighbor(
        &self,
        link: IfIndex,
        address: Ipv6Addr,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        self.ask(
            RouteNetlinkMessage::DelNeighbour(neighbor_message(link, address)),
            0,
            format!("forget the neighbor {address} on link {link}"),
        )
    }

    fn add_link(
        &self,
        name: &IfName,
        attributes: Vec<LinkAttribute>,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        let mut message = LinkMessage::default();
        message.attributes = attributes;
        message.attributes.push(LinkAttribute::IfName(name.to_string()));
        self.ask(
            RouteNetlinkMessage::NewLink(message),
            NLM_F_CREATE | NLM_F_EXCL,
            format!("create link {name}"),
        )
    }

    fn set_link(
        &self,
        link: IfIndex,
        mut message: LinkMessage,
        what: &str,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        message.header.index = link.0;
        self.ask(RouteNetlinkMessage::SetLink(message), 0, format!("{what} link {link}"))
    }

    fn ask(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        what: String,
    ) -> impl Future<Output = Result<(), NetlinkError>> + Send + use<> {
        let reply = self.submit(message, flags);
        async move { reply.await.map_err(|source| NetlinkError::Refused { what, source }) }
    }
}

pub(super) fn address_message(link: IfIndex, address: Ipv6Addr, prefix_len: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.index = link.0;
    message.header.prefix_len = prefix_len;
    message.attributes =
        vec![AddressAttribute::Local(IpAddr::V6(address)), AddressAttribute::Flags(AddressFlags::Nodad)];
    message
}

pub(super) fn neighbor_message(link: IfIndex, address: Ipv6Addr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.ifindex = link.0;
    message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)));
    message
}
