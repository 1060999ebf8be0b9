//! What `lone64 doctor` wants to know of links beyond what the engine does: kinds, bridges, the
//! entries for which the kernel itself is a proxy, routers, and addresses that another station has too.

use std::net::{IpAddr, Ipv6Addr};

use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    BridgeStpState, InfoBridge, InfoData, LinkAttribute, LinkInfo, LinkMessage, LinkXdp, Prop,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{NetlinkError, Requests};
use crate::engine::facts::IfIndex;

/// What a link is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Make {
    /// The link.
    pub link: IfIndex,
    /// As in `ip link add type`: `bridge`, `veth`; empty for hardware.
    pub kind: String,
    /// Bytes.
    pub mtu: u32,
    /// The settings of a bridge.
    pub bridge: Option<Bridge>,
    /// The number of the XDP program that sees its frames first.
    pub xdp: Option<u32>,
    /// Its other names (`ip link property add altname`).
    pub other_names: Vec<String>,
}

/// The settings of a bridge that decide what reaches its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bridge {
    /// Multicast goes only to ports that are known to want it.
    pub snooping: bool,
    /// The bridge asks its ports what they want.
    pub querier: bool,
    /// What it forwards is shown to ip6tables and nftables' forward chains too (br_netfilter).
    pub filtered: bool,
    /// It speaks the spanning tree protocol.
    pub spanning_tree: bool,
    /// Hundredths of a second for which a new port listens, and then learns, if it does.
    pub forward_delay: u32,
}

impl Requests {
    /// What every link is made of.
    pub async fn makes(&self) -> Result<Vec<Make>, NetlinkError> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.table("links", request, |message| match message {
            RouteNetlinkMessage::NewLink(message) => Some(make(&message)),
            _ => None,
        })
        .await
    }

    /// The neighbors that the kernel knows for routers (RFC 4861 §6.2.1, IsRouter).
    pub async fn routers(&self) -> Result<Vec<(IfIndex, Ipv6Addr)>, NetlinkError> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet6;
        self.table("neighbors", RouteNetlinkMessage::GetNeighbour(message), |message| match message {
            RouteNetlinkMessage::NewNeighbour(message) => flagged(&message, NeighbourFlags::Router),
            _ => None,
        })
        .await
    }

    /// The addresses that another station was found to have (RFC 4862 §5.4.5).
    pub async fn duplicates(&self) -> Result<Vec<(IfIndex, Ipv6Addr)>, NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet6;
        self.table("addresses", RouteNetlinkMessage::GetAddress(message), |message| match message {
            RouteNetlinkMessage::NewAddress(message) => duplicate(&message),
            _ => None,
        })
        .await
    }
}

fn make(message: &LinkMessage) -> Make {
    let mut made = Make {
        link: IfIndex(message.header.index),
        kind: String::new(),
        mtu: 0,
        bridge: None,
        xdp: None,
        other_names: Vec::new(),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Mtu(bytes) => made.mtu = *bytes,
            LinkAttribute::Xdp(all) => made.xdp = xdp(all),
            LinkAttribute::PropList(all) => made.other_names = all.iter().filter_map(other_name).collect(),
            LinkAttribute::LinkInfo(all) => all.iter().for_each(|info| match info {
                LinkInfo::Kind(kind) => made.kind = kind.to_string(),
                LinkInfo::Data(InfoData::Bridge(settings)) => made.bridge = Some(bridge(settings)),
                _ => {}
            }),
            _ => {}
        }
    }
    made
}

/// Some kernels name it once, those with several at a link once for each (linux/if_link.h, IFLA_XDP).
fn xdp(attributes: &[LinkXdp]) -> Option<u32> {
    attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id) => {
            Some(*id)
        }
        _ => None,
    })
}

fn other_name(property: &Prop) -> Option<String> {
    match property {
        Prop::AltIfName(name) => Some(name.clone()),
        _ => None,
    }
}

fn bridge(settings: &[InfoBridge]) -> Bridge {
    let mut bridge = Bridge::default();
    for setting in settings {
        match setting {
            InfoBridge::MulticastSnooping(on) => bridge.snooping = *on,
            InfoBridge::MulticastQuerier(on) => bridge.querier = *on,
            InfoBridge::NfCallIp6Tables(on) => bridge.filtered = *on,
            InfoBridge::StpState(state) => bridge.spanning_tree = *state != BridgeStpState::Disabled,
            InfoBridge::ForwardDelay(hundredths) => bridge.forward_delay = *hundredths,
            _ => {}
        }
    }
    bridge
}

fn flagged(message: &NeighbourMessage, flag: NeighbourFlags) -> Option<(IfIndex, Ipv6Addr)> {
    if !message.header.flags.contains(flag) {
        return None;
    }
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
            Some((IfIndex(message.header.ifindex), *address))
        }
        _ => None,
    })
}

fn duplicate(message: &AddressMessage) -> Option<(IfIndex, Ipv6Addr)> {
    let failed = |attribute: &AddressAttribute| matches!(attribute, AddressAttribute::Flags(flags) if flags.contains(AddressFlags::Dadfailed));
    if !message.attributes.iter().any(failed) {
        return None;
    }
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(IpAddr::V6(address)) => Some((IfIndex(message.header.index), *address)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use rtnetlink::packet_route::link::XdpAttached;

    use super::*;

    #[test]
    fn knows_the_program_that_sees_frames_first() {
        let read = |attributes| {
            let mut message = LinkMessage::default();
            message.attributes.push(LinkAttribute::Xdp(attributes));
            make(&message).xdp
        };
        assert_eq!(read(vec![LinkXdp::Attached(XdpAttached::None)]), None);
        assert_eq!(read(vec![LinkXdp::Attached(XdpAttached::SocketBuffer), LinkXdp::ProgId(7)]), Some(7));
        let several =
            vec![LinkXdp::Attached(XdpAttached::Multiple), LinkXdp::DrvProgId(8), LinkXdp::SkbProgId(9)];
        assert_eq!(read(several), Some(8));
    }
}
