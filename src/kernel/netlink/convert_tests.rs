//! Hand-made messages, and the facts that they must become.

use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::InfoKind;
use rtnetlink::packet_route::route::RouteProtocol;

use super::*;

const GUEST: &str = "2001:db8:1:2:c::5";

/// The facts in a message that came without flags.
fn told(message: &RouteNetlinkMessage) -> Vec<Fact> {
    facts(message, 0)
}

fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn link_message(name: &str, kind: LinkLayerType, flags: LinkFlags) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = 7;
    message.header.link_layer_type = kind;
    message.header.flags = flags;
    message.attributes =
        vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::Address(vec![2, 0, 0, 0, 0, 7])];
    message
}

fn one_link(message: LinkMessage) -> Link {
    match &told(&RouteNetlinkMessage::NewLink(message))[..] {
        [Fact::Link(link)] => link.clone(),
        other => panic!("{other:?}"),
    }
}

fn state_of(header: AddressHeaderFlags, attribute: Option<AddressFlags>) -> AddressState {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.flags = header;
    message.attributes.push(AddressAttribute::Address(IpAddr::V6(ip(GUEST))));
    message.attributes.extend(attribute.map(AddressAttribute::Flags));
    match &told(&RouteNetlinkMessage::NewAddress(message))[..] {
        [Fact::Address(address)] => address.state,
        other => panic!("{other:?}"),
    }
}

fn route_to(destination: Option<&str>, prefix_len: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet6;
    message.header.destination_prefix_length = prefix_len;
    message.header.table = 254;
    message.header.kind = RouteType::Unicast;
    message.header.protocol = RouteProtocol::Static;
    message.attributes = vec![RouteAttribute::Priority(1024), RouteAttribute::Oif(7)];
    if let Some(destination) = destination {
        message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet6(ip(destination))));
    }
    message
}

fn kind_of(kind: RouteType) -> RouteKind {
    let mut message = route_to(Some("2001:db8:1:2:c::"), 112);
    message.header.kind = kind;
    routes(&message)[0].kind
}

fn neighbor_message(state: Nud, mac: &[u8]) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.ifindex = 7;
    message.header.state = state;
    message.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip(GUEST))),
        NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
    ];
    message
}

#[test]
fn a_link_is_up_when_it_is_up_and_running() {
    for (flags, state) in [
        (LinkFlags::Up | LinkFlags::Running, LinkState::Up),
        (LinkFlags::Up, LinkState::NoCarrier),
        (LinkFlags::Running, LinkState::Down),
        (LinkFlags::empty(), LinkState::Down),
    ] {
        assert_eq!(one_link(link_message("eth0", LinkLayerType::Ether, flags)).state, state, "{flags:?}");
    }
}

#[test]
fn the_layer_follows_the_link_type() {
    let layer = |kind| one_link(link_message("x", kind, LinkFlags::empty())).layer;
    assert_eq!(layer(LinkLayerType::Ether), LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0, 7])));
    assert_eq!(layer(LinkLayerType::Loopback), LinkLayer::Loopback);
    assert_eq!(layer(LinkLayerType::None), LinkLayer::None);
    assert_eq!(layer(LinkLayerType::Ppp), LinkLayer::None);
}

#[test]
fn ethernet_without_discovery_says_so_but_for_a_dummy_that_nobody_is_behind() {
    let mac = Mac([2, 0, 0, 0, 0, 7]);
    let layer = |kind| {
        let mut message = link_message("x", LinkLayerType::Ether, LinkFlags::Up | LinkFlags::Noarp);
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
        one_link(message).layer
    };
    assert_eq!(layer(InfoKind::Veth), LinkLayer::NoDiscovery(mac));
    assert_eq!(layer(InfoKind::Dummy), LinkLayer::Ethernet(mac));
    let tunnel = link_message("tun0", LinkLayerType::None, LinkFlags::Up | LinkFlags::Noarp);
    assert_eq!(one_link(tunnel).layer, LinkLayer::None);
}

/// What is told of a device of this kind that names link 2, in that namespace.
fn naming_another(kind: InfoKind, namespace: Option<i32>) -> Link {
    let mut message = link_message("x", LinkLayerType::Ether, LinkFlags::Up);
    message.attributes.push(LinkAttribute::Link(2));
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]));
    message.attributes.extend(namespace.map(LinkAttribute::LinkNetNsId));
    one_link(message)
}

#[test]
fn a_macvlan_or_ipvlan_shares_the_link_below_and_a_vlan_or_veth_does_not() {
    let lower = |kind, namespace| naming_another(kind, namespace).lower;
    for kind in [InfoKind::MacVlan, InfoKind::MacVtap, InfoKind::IpVlan, InfoKind::IpVtap] {
        assert_eq!(lower(kind.clone(), None), Some(Lower { namespace: None, link: IfIndex(2) }), "{kind}");
        let elsewhere = Lower { namespace: Some(4), link: IfIndex(2) };
        assert_eq!(lower(kind, Some(4)), Some(elsewhere), "in another namespace");
    }
    for kind in [InfoKind::Vlan, InfoKind::Veth, InfoKind::Bridge] {
        assert_eq!(lower(kind.clone(), None), None, "{kind}");
    }
}

#[test]
fn the_other_end_of_a_veth_is_known_in_the_same_namespace_alone() {
    assert_eq!(naming_another(InfoKind::Veth, None).peer, Some(IfIndex(2)));
    assert_eq!(naming_another(InfoKind::Veth, Some(0)).peer, None);
    assert_eq!(naming_another(InfoKind::Vlan, None).peer, None);
}

#[test]
fn the_master_is_the_bridge_and_0_is_none() {
    let mut message = link_message("eth0", LinkLayerType::Ether, LinkFlags::empty());
    assert_eq!(one_link(message.clone()).master, None);
    message.attributes.push(LinkAttribute::Controller(3));
    assert_eq!(one_link(message.clone()).master, Some(IfIndex(3)));
    message.attributes.push(LinkAttribute::Controller(0));
    message.attributes.remove(2);
    assert_eq!(one_link(message).master, None);
}

#[test]
fn a_port_of_a_bridge_bond_or_team_has_a_master_and_a_member_of_a_vrf_has_none() {
    for (kind, master) in [
        (InfoPortKind::Bridge, Some(IfIndex(3))),
        (InfoPortKind::Bond, Some(IfIndex(3))),
        (InfoPortKind::Team, Some(IfIndex(3))),
        (InfoPortKind::Other("openvswitch".to_owned()), Some(IfIndex(3))),
        (InfoPortKind::Vrf, None),
    ] {
        // In either order: the kernel promises none.
        for is_turned in [false, true] {
            let mut message = link_message("eth0", LinkLayerType::Ether, LinkFlags::empty());
            let mut attributes = [
                LinkAttribute::Controller(3),
                LinkAttribute::LinkInfo(vec![LinkInfo::PortKind(kind.clone())]),
            ];
            if is_turned {
                attributes.reverse();
            }
            message.attributes.extend(attributes);
            assert_eq!(one_link(message).master, master, "{kind}");
        }
    }
}

#[test]
fn a_bridge_bond_vlan_or_macvlan_is_a_link_like_any_other() {
    for kind in [InfoKind::Bridge, InfoKind::Bond, InfoKind::Vlan, InfoKind::MacVlan, InfoKind::Vrf] {
        let mut message = link_message("bond0.5", LinkLayerType::Ether, LinkFlags::Up | LinkFlags::Running);
        // The device that a VLAN or macvlan is on top of is not its master.
        message.attributes.push(LinkAttribute::Link(2));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind.clone())]));
        let link = one_link(message);
        assert_eq!(link.layer, LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0, 7])), "{kind}");
        assert_eq!((link.state, link.master), (LinkState::Up, None), "{kind}");
    }
}

#[test]
fn leaving_a_bridge_is_not_going_away() {
    let mut message = link_message("eth0", LinkLayerType::Ether, LinkFlags::Up);
    message.header.interface_family = AddressFamily::Bridge;
    assert_eq!(told(&RouteNetlinkMessage::DelLink(message.clone())), []);
    assert_eq!(told(&RouteNetlinkMessage::NewLink(message.clone())), []);
    message.header.interface_family = AddressFamily::Unspec;
    assert_eq!(told(&RouteNetlinkMessage::DelLink(message)), [Fact::LinkGone(IfIndex(7))]);
}

#[test]
fn address_flags_become_states() {
    let wide = |flags| state_of(AddressHeaderFlags::empty(), Some(flags));
    assert_eq!(wide(AddressFlags::Permanent), AddressState::Preferred);
    assert_eq!(wide(AddressFlags::Deprecated), AddressState::Deprecated);
    assert_eq!(wide(AddressFlags::Tentative), AddressState::Tentative);
    assert_eq!(wide(AddressFlags::Tentative | AddressFlags::Optimistic), AddressState::Preferred);
    assert_eq!(wide(AddressFlags::Dadfailed | AddressFlags::Permanent), AddressState::Tentative);
}

#[test]
fn the_flags_attribute_wins_over_the_header() {
    assert_eq!(state_of(AddressHeaderFlags::Tentative, None), AddressState::Tentative);
    assert_eq!(
        state_of(AddressHeaderFlags::Tentative, Some(AddressFlags::Permanent)),
        AddressState::Preferred
    );
}

#[test]
fn the_local_address_wins_over_the_peer() {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.attributes = vec![
        AddressAttribute::Address(IpAddr::V6(ip("2001:db8::99"))),
        AddressAttribute::Local(IpAddr::V6(ip(GUEST))),
    ];
    assert_eq!(
        told(&RouteNetlinkMessage::DelAddress(message)),
        [Fact::AddressGone { link: IfIndex(0), address: ip(GUEST) }]
    );
}

#[test]
fn a_route_without_destination_is_the_default() {
    let mut message = route_to(None, 0);
    message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet6(ip("fe80::1"))));
    assert_eq!(
        told(&RouteNetlinkMessage::NewRoute(message)),
        [Fact::Route(KernelRoute {
            destination: "::/0".parse().expect("a prefix"),
            kind: RouteKind::Unicast(IfIndex(7)),
            next_hop: NextHop::Via(ip("fe80::1")),
            table: 254,
            protocol: 4,
            metric: 1024,
            source: None
        })]
    );
}

#[test]
fn the_table_attribute_wins_over_the_header() {
    let mut message = route_to(Some("2001:db8::"), 32);
    message.attributes.push(RouteAttribute::Table(100_000));
    assert_eq!(routes(&message)[0].table, 100_000);
}

#[test]
fn route_types_become_kinds() {
    assert_eq!(kind_of(RouteType::Unicast), RouteKind::Unicast(IfIndex(7)));
    assert_eq!(kind_of(RouteType::Local), RouteKind::Local(IfIndex(7)));
    assert_eq!(kind_of(RouteType::Anycast), RouteKind::Local(IfIndex(7)));
    assert_eq!(kind_of(RouteType::Unreachable), RouteKind::Unreachable);
    assert_eq!(kind_of(RouteType::Throw), RouteKind::Throw);
    for other in [RouteType::BlackHole, RouteType::Prohibit] {
        assert_eq!(kind_of(other), RouteKind::Other);
    }
}

#[test]
fn cloned_multicast_link_local_and_ipv4_routes_are_left_out() {
    let mut cloned = route_to(Some("2001:db8::5"), 128);
    cloned.header.flags = RouteFlags::Cloned;
    let mut ipv4 = route_to(None, 0);
    ipv4.header.address_family = AddressFamily::Inet;
    for message in [cloned, ipv4, route_to(Some("ff00::"), 8), route_to(Some("fe80::"), 64)] {
        assert_eq!(routes(&message), []);
    }
    assert_eq!(routes(&route_to(Some("fc00::"), 7)).len(), 1);
}

fn multipath(legs: &[(u32, &str)]) -> RouteMessage {
    let hop = |(index, router): &(u32, &str)| {
        let mut hop = RouteNextHop::default();
        hop.interface_index = *index;
        hop.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet6(ip(router)))];
        hop
    };
    let mut message = route_to(None, 0);
    message.attributes = vec![RouteAttribute::MultiPath(legs.iter().map(hop).collect())];
    message
}

#[test]
fn the_header_says_that_a_route_replaces_another() {
    let message = route_to(Some("2001:db8:1:2:c::"), 112);
    let route = routes(&message).remove(0);
    let message = RouteNetlinkMessage::NewRoute(message);
    assert_eq!(facts(&message, NLM_F_REPLACE), [Fact::RouteReplaced(route.clone())]);
    // NLM_F_EXCL | NLM_F_CREATE, NLM_F_CREATE | NLM_F_APPEND, NLM_F_MULTI: what comes with the others.
    for flags in [0, 0x600, 0xc00, 0x2] {
        assert_eq!(facts(&message, flags), [Fact::Route(route.clone())], "{flags:#x}");
    }
}

#[test]
fn of_a_multipath_route_only_the_first_next_hop_replaces() {
    let message = multipath(&[(3, "fe80::3"), (4, "fe80::4"), (5, "fe80::5")]);
    let [third, fourth, fifth] = <[KernelRoute; 3]>::try_from(routes(&message)).expect("three next hops");
    assert_eq!(
        facts(&RouteNetlinkMessage::NewRoute(message), NLM_F_REPLACE),
        [Fact::RouteReplaced(third), Fact::Route(fourth), Fact::Route(fifth)]
    );
}

#[test]
fn a_multipath_route_is_one_route_per_interface() {
    let message = multipath(&[(3, "fe80::3"), (4, "fe80::4")]);
    let found: Vec<_> = routes(&message).into_iter().map(|route| (route.kind, route.next_hop)).collect();
    assert_eq!(
        found,
        [
            (RouteKind::Unicast(IfIndex(3)), NextHop::Via(ip("fe80::3"))),
            (RouteKind::Unicast(IfIndex(4)), NextHop::Via(ip("fe80::4"))),
        ]
    );
}

#[test]
fn neighbors_keep_their_state_and_their_address() {
    let mac = [2, 0, 0, 0, 0, 5];
    for (nud, state) in [
        (Nud::Reachable, NeighborState::Reachable),
        (Nud::Permanent, NeighborState::Permanent),
        (Nud::Stale, NeighborState::Stale),
        (Nud::Delay, NeighborState::Stale),
        (Nud::Probe, NeighborState::Stale),
        (Nud::Incomplete, NeighborState::Incomplete),
        (Nud::Failed, NeighborState::Failed),
        (Nud::Noarp, NeighborState::Noarp),
    ] {
        let neighbor = Neighbor { link: IfIndex(7), address: ip(GUEST), mac: Some(Mac(mac)), state };
        assert_eq!(
            told(&RouteNetlinkMessage::NewNeighbour(neighbor_message(nud, &mac))),
            [Fact::Neighbor(neighbor)]
        );
    }
}

#[test]
fn a_neighbor_without_knowledge_is_gone() {
    let gone = [Fact::NeighborGone { link: IfIndex(7), address: ip(GUEST) }];
    let message = neighbor_message(Nud::None, &[]);
    assert_eq!(told(&RouteNetlinkMessage::NewNeighbour(message.clone())), gone);
    assert_eq!(told(&RouteNetlinkMessage::DelNeighbour(message)), gone);
}

#[test]
fn a_station_that_a_bridge_learns_or_forgets_is_told_with_the_bridge() {
    let mac = [2, 0, 0, 0, 0, 5];
    let mut message = neighbor_message(Nud::Reachable, &mac);
    message.header.family = AddressFamily::Bridge;
    message.attributes.push(NeighbourAttribute::Controller(3));
    assert_eq!(
        told(&RouteNetlinkMessage::DelNeighbour(message.clone())),
        [Fact::StationGone { bridge: IfIndex(3), mac: Mac(mac) }]
    );
    let (bridge, port) = (IfIndex(3), IfIndex(message.header.ifindex));
    assert_eq!(
        told(&RouteNetlinkMessage::NewNeighbour(message.clone())),
        [Fact::Station { bridge, mac: Mac(mac), port }]
    );
    message.header.state = Nud::Permanent;
    assert_eq!(told(&RouteNetlinkMessage::NewNeighbour(message.clone())), [], "the port's own address");
    assert_eq!(told(&RouteNetlinkMessage::DelNeighbour(message)), [], "the port's own address");
}

#[test]
fn proxy_entries_and_bridge_entries_are_not_neighbors() {
    let mut proxy = neighbor_message(Nud::Permanent, &[]);
    proxy.header.flags = NeighbourFlags::Proxy;
    let mut bridge = neighbor_message(Nud::Permanent, &[2, 0, 0, 0, 0, 5]);
    bridge.header.family = AddressFamily::Bridge;
    for message in [proxy, bridge] {
        assert_eq!(told(&RouteNetlinkMessage::NewNeighbour(message)), []);
    }
}

#[test]
fn a_route_is_for_all_senders_or_for_those_that_it_names() {
    let mut message = route_to(Some("2001:db8:1:2:c::"), 112);
    assert_eq!(routes(&message)[0].source, None);
    message.header.source_prefix_length = 48;
    message.attributes.push(RouteAttribute::Source(RouteAddress::Inet6(ip("2001:db8:7::"))));
    assert_eq!(routes(&message)[0].source, Some("2001:db8:7::/48".parse().unwrap()));
}
