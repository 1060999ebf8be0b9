//! From rtnetlink messages to facts. Touches nothing: messages in, values out.
//!
//! What the kernel says of a replaced route, and what it leaves unsaid, is in `tests/netlink/`.

#[path = "rules.rs"]
mod rules;

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;
use rtnetlink::packet_core::NLM_F_REPLACE;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoKind, InfoPortData, InfoPortKind, InfoVrfPort, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType,
    LinkMessage,
};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState as Nud,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHop, RouteType,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::engine::facts::{
    Address, AddressState, Fact, IfIndex, KernelRoute, Link, LinkLayer, LinkState, Lower, Mark, Neighbor,
    NeighborState, NextHop, RouteKind,
};
use crate::wire::Mac;

/// The facts in one message with these flags in its header: none if it is about something else, several
/// for a multipath route.
pub(super) fn facts(message: &RouteNetlinkMessage, flags: u16) -> Vec<Fact> {
    match message {
        RouteNetlinkMessage::NewLink(m) => link(m).map(Fact::Link).into_iter().collect(),
        RouteNetlinkMessage::DelLink(m) => link_gone(m).into_iter().collect(),
        RouteNetlinkMessage::NewAddress(m) => address(m).map(Fact::Address).into_iter().collect(),
        RouteNetlinkMessage::DelAddress(m) => {
            address(m).map(|a| Fact::AddressGone { link: a.link, address: a.address }).into_iter().collect()
        }
        RouteNetlinkMessage::NewRoute(m) => new_route(routes(m), flags),
        RouteNetlinkMessage::DelRoute(m) => routes(m).into_iter().map(Fact::RouteGone).collect(),
        RouteNetlinkMessage::NewRule(m) => rules::rule(m).map(Fact::Rule).into_iter().collect(),
        RouteNetlinkMessage::DelRule(m) => rules::rule(m).map(Fact::RuleGone).into_iter().collect(),
        RouteNetlinkMessage::NewNeighbour(m) => {
            neighbor(m, Presence::Here).or_else(|| station_here(m)).into_iter().collect()
        }
        RouteNetlinkMessage::DelNeighbour(m) => {
            neighbor(m, Presence::Gone).or_else(|| station_gone(m)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Messages of family AF_BRIDGE are about a port, not about the link: RTM_DELLINK means "left the
/// bridge". Whatever they say of the link comes in a message of its own too.
fn is_about_the_link(message: &LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec && message.header.index != 0
}

fn link_gone(message: &LinkMessage) -> Option<Fact> {
    is_about_the_link(message).then_some(Fact::LinkGone(IfIndex(message.header.index)))
}

fn link(message: &LinkMessage) -> Option<Link> {
    if !is_about_the_link(message) {
        return None;
    }
    let mut name = None;
    let mut mac = None;
    let mut master = None;
    let (mut is_in_vrf, mut vrf, mut group) = (false, None, 0);
    let (mut on_top_of, mut namespace) = (None, None);
    let mut kind = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = text.parse().ok(),
            LinkAttribute::Address(bytes) => mac = <[u8; 6]>::try_from(&bytes[..]).ok().map(Mac),
            LinkAttribute::Controller(index) if *index != 0 => master = Some(IfIndex(*index)),
            LinkAttribute::LinkInfo(all) => {
                is_in_vrf |= all.contains(&LinkInfo::PortKind(InfoPortKind::Vrf));
                vrf = vrf.or_else(|| all.iter().find_map(table_of_vrf));
                kind = all.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind),
                    _ => None,
                });
            }
            LinkAttribute::Link(index) if *index != 0 => on_top_of = Some(IfIndex(*index)),
            LinkAttribute::Group(number) => group = *number,
            LinkAttribute::LinkNetNsId(id) => namespace = Some(*id),
            _ => {}
        }
    }
    // A VRF only chooses the routing table; frames arrive at its members.
    let master = master.filter(|_| !is_in_vrf);
    // The number of a VLAN's device is told in the same way; that is a link of its own.
    let lower = on_top_of.filter(|_| kind.is_some_and(shares_its_link)).map(|link| Lower { namespace, link });
    let peer = on_top_of.filter(|_| kind == Some(&InfoKind::Veth) && namespace.is_none());
    let flags = message.header.flags;
    // A dummy bears the flag too, and nobody is behind it.
    let has_discovery = !flags.contains(LinkFlags::Noarp) || kind == Some(&InfoKind::Dummy);
    let layer = match (message.header.link_layer_type, mac) {
        (LinkLayerType::Ether, Some(mac)) if has_discovery => LinkLayer::Ethernet(mac),
        (LinkLayerType::Ether, Some(mac)) => LinkLayer::NoDiscovery(mac),
        (LinkLayerType::Loopback, _) => LinkLayer::Loopback,
        _ => LinkLayer::None,
    };
    // The kernel sets RUNNING for operstate UP and for UNKNOWN (lo, tun, WireGuard), so that it
    // need not be looked at.
    let state = match (flags.contains(LinkFlags::Up), flags.contains(LinkFlags::Running)) {
        (true, true) => LinkState::Up,
        (true, false) => LinkState::NoCarrier,
        (false, _) => LinkState::Down,
    };
    Some(Link {
        index: IfIndex(message.header.index),
        name: name?,
        state,
        layer,
        master,
        lower,
        peer,
        is_bridge: kind == Some(&InfoKind::Bridge),
        leads_to_one: matches!(kind, Some(InfoKind::Veth | InfoKind::Tun)),
        group,
        vrf,
    })
}

/// The table of the VRF that a link is in, as its port's part says.
fn table_of_vrf(info: &LinkInfo) -> Option<u32> {
    match info {
        LinkInfo::PortData(InfoPortData::VrfPort(all)) => all.iter().find_map(|one| match one {
            InfoVrfPort::TableId(table) => Some(*table),
            _ => None,
        }),
        _ => None,
    }
}

/// Whether a device of this kind has its stations on the link of the device that it is on top of.
fn shares_its_link(kind: &InfoKind) -> bool {
    matches!(kind, InfoKind::MacVlan | InfoKind::MacVtap | InfoKind::IpVlan | InfoKind::IpVtap)
}

fn address(message: &AddressMessage) -> Option<Address> {
    if message.header.family != AddressFamily::Inet6 {
        return None;
    }
    let mut local = None;
    let mut other = None;
    let mut protocol = 0;
    // The header has room for 8 of the flags only.
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(IpAddr::V6(address)) => local = Some(*address),
            // The peer's on a point-to-point link, where Local is there too.
            AddressAttribute::Address(IpAddr::V6(address)) => other = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            AddressAttribute::Protocol(number) => protocol = u8::from(*number),
            _ => {}
        }
    }
    Some(Address {
        link: IfIndex(message.header.index),
        address: local.or(other)?,
        prefix_len: message.header.prefix_len,
        state: address_state(flags),
        protocol,
    })
}

fn address_state(flags: AddressFlags) -> AddressState {
    if flags.contains(AddressFlags::Dadfailed) {
        return AddressState::Tentative;
    }
    // An optimistic address is tentative too, and may be used all the same (RFC 4429 §2.1).
    if flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic) {
        return AddressState::Tentative;
    }
    if flags.contains(AddressFlags::Deprecated) {
        return AddressState::Deprecated;
    }
    AddressState::Preferred
}

/// The kernel sets NLM_F_REPLACE only where there was something to replace, and says nothing of that. The
/// further next hops of the new route stand beside its first: they replace nothing.
fn new_route(routes: Vec<KernelRoute>, flags: u16) -> Vec<Fact> {
    let mut replaces = flags & NLM_F_REPLACE != 0;
    let fact =
        |route| if std::mem::take(&mut replaces) { Fact::RouteReplaced(route) } else { Fact::Route(route) };
    routes.into_iter().map(fact).collect()
}

fn routes(message: &RouteMessage) -> Vec<KernelRoute> {
    let header = &message.header;
    if header.address_family != AddressFamily::Inet6 || header.flags.contains(RouteFlags::Cloned) {
        return Vec::new();
    }
    let (mut destination, mut source) = (Ipv6Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
    let mut table = u32::from(header.table);
    let mut metric = 0;
    let mut hops: &[RouteNextHop] = &[];
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => destination = *address,
            RouteAttribute::Source(RouteAddress::Inet6(address)) => source = *address,
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::MultiPath(all) => hops = all,
            _ => {}
        }
    }
    let Ok(destination) = Ipv6Net::new(destination, header.destination_prefix_length) else {
        return Vec::new();
    };
    let source = Ipv6Net::new(source, header.source_prefix_length).ok().filter(|from| from.prefix_len() > 0);
    // Every link has these, and no guest is behind them.
    if destination.addr().is_multicast()
        || (destination.prefix_len() >= 10 && destination.addr().is_unicast_link_local())
    {
        return Vec::new();
    }
    let protocol = u8::from(header.protocol);
    let route = |link: Option<IfIndex>, next_hop| KernelRoute {
        destination,
        kind: route_kind(header.kind, link),
        next_hop,
        table,
        protocol,
        metric,
        source,
    };
    let with_interface: Vec<_> = hops
        .iter()
        .filter(|hop| hop.interface_index != 0)
        .map(|hop| route(Some(IfIndex(hop.interface_index)), next_hop(&hop.attributes)))
        .collect();
    if with_interface.is_empty() {
        vec![route(outgoing(&message.attributes), next_hop(&message.attributes))]
    } else {
        with_interface
    }
}

fn route_kind(kind: RouteType, link: Option<IfIndex>) -> RouteKind {
    match (kind, link) {
        (RouteType::Unicast, Some(link)) => RouteKind::Unicast(link),
        // An anycast address (RFC 4291 §2.6.1) is the host's own.
        (RouteType::Local | RouteType::Anycast, Some(link)) => RouteKind::Local(link),
        (RouteType::Unreachable, _) => RouteKind::Unreachable,
        (RouteType::Throw, _) => RouteKind::Throw,
        _ => RouteKind::Other,
    }
}

fn outgoing(attributes: &[RouteAttribute]) -> Option<IfIndex> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) if *index != 0 => Some(IfIndex(*index)),
        _ => None,
    })
}

fn next_hop(attributes: &[RouteAttribute]) -> NextHop {
    attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet6(router)) => Some(NextHop::Via(*router)),
            _ => None,
        })
        .unwrap_or(NextHop::OnLink)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Here,
    Gone,
}

fn neighbor(message: &NeighbourMessage, presence: Presence) -> Option<Fact> {
    let header = &message.header;
    // The same group carries ARP and the bridges' forwarding tables; proxy entries are answers
    // that the kernel gives, not neighbors that it has.
    if header.family != AddressFamily::Inet6 || header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let link = IfIndex(header.ifindex);
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(*address),
        _ => None,
    })?;
    if address.is_multicast() {
        return None;
    }
    let mac = station(message);
    Some(match (presence, neighbor_state(header.state)) {
        (Presence::Here, Some(state)) => {
            let neighbor = Neighbor { link, address, mac, state };
            mark(message).map_or(Fact::Neighbor(neighbor), |mark| Fact::Marked(neighbor, mark))
        }
        _ => Fact::NeighborGone { link, address },
    })
}

/// Where an entry says that it comes from, if it does.
pub(super) fn mark(message: &NeighbourMessage) -> Option<Mark> {
    let protocol = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Protocol(protocol) => Some(u8::from(*protocol)),
        _ => None,
    });
    let is_external = message.header.flags.contains(NeighbourFlags::ExtLearned);
    let protocol = protocol.unwrap_or_default();
    (protocol != 0 || is_external).then_some(Mark { protocol, is_external })
}

/// A bridge has learnt behind which port a station is, or been told.
fn station_here(message: &NeighbourMessage) -> Option<Fact> {
    let (bridge, mac) = station_of_bridge(message)?;
    Some(Fact::Station { bridge, mac, port: IfIndex(message.header.ifindex) })
}

/// A bridge has forgotten a station.
fn station_gone(message: &NeighbourMessage) -> Option<Fact> {
    let (bridge, mac) = station_of_bridge(message)?;
    Some(Fact::StationGone { bridge, mac })
}

/// The station that an entry of a bridge's forwarding table is about. Permanent entries are those of its ports' own
/// addresses.
fn station_of_bridge(message: &NeighbourMessage) -> Option<(IfIndex, Mac)> {
    let header = &message.header;
    if header.family != AddressFamily::Bridge || header.state == Nud::Permanent {
        return None;
    }
    let bridge = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Controller(index) => Some(IfIndex(*index)),
        _ => None,
    })?;
    Some((bridge, station(message)?))
}

pub(super) fn station(message: &NeighbourMessage) -> Option<Mac> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => {
            <[u8; 6]>::try_from(&bytes[..]).ok().map(Mac).filter(|mac| mac.is_station())
        }
        _ => None,
    })
}

/// `None` for an entry that holds no knowledge yet (NUD_NONE).
fn neighbor_state(state: Nud) -> Option<NeighborState> {
    Some(match state {
        Nud::Reachable => NeighborState::Reachable,
        Nud::Permanent => NeighborState::Permanent,
        Nud::Stale | Nud::Delay | Nud::Probe => NeighborState::Stale,
        Nud::Incomplete => NeighborState::Incomplete,
        Nud::Failed => NeighborState::Failed,
        Nud::Noarp => NeighborState::Noarp,
        _ => return None,
    })
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
