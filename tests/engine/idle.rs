//! Nothing is served: whether that is so, and the range that is proposed.

use lone64::engine::Idle;
use lone64::engine::facts::{Fact, IfIndex, KernelRoute, Link, LinkLayer, RouteKind};
use lone64::engine::policy::{Automatic, Policy};

use crate::host::{BRIDGE, Host, UP, guest_mac, has, link, live, net, route};

fn nothing() -> Policy {
    Policy { ranges: Vec::new(), ..live() }
}

fn connected(prefix: &str) -> Fact {
    Fact::Route(KernelRoute { protocol: 2, ..route(prefix, RouteKind::Unicast(UP)) })
}

fn idle(facts: Vec<Fact>) -> Idle {
    let mut host = Host::new(nothing());
    host.facts(facts);
    host.engine.idle().unwrap()
}

#[test]
fn a_part_of_what_is_on_the_upstreams_link_is_proposed_that_the_host_does_not_use() {
    let seen = idle(vec![connected("fe80::/64"), connected("ff00::/8"), connected("2001:db8:1:2::/64")]);
    assert_eq!(seen.on_link, Some(net("2001:db8:1:2::/64")), "nothing that is on every link");
    let (prefix, name) = seen.range.unwrap();
    assert_eq!((prefix, name), (net("2001:db8:1:2:c::/112"), "lxcbr0".parse().unwrap()));
    let taken = has(BRIDGE, "2001:db8:1:2:c::1/112");
    let seen = idle(vec![connected("2001:db8:1:2::/64"), taken]);
    assert_eq!(seen.range.unwrap().0, net("2001:db8:1:2:d::/112"));
    assert_eq!(idle(Vec::new()).range, None, "nothing is on the link");
}

#[test]
fn an_interface_that_guests_may_be_behind_is_proposed_a_bridge_first_and_the_last_of_these() {
    let of = |index: u32, name: &str| {
        link(IfIndex(index), name, LinkLayer::Ethernet(guest_mac(u16::try_from(index).unwrap())))
    };
    let name = |further: Vec<Link>| {
        let mut facts = vec![connected("2001:db8:1:2::/64")];
        facts.extend(further.into_iter().map(Fact::Link));
        idle(facts).range.map(|(_, name)| name.to_string()).unwrap()
    };
    assert_eq!(name(vec![of(9, "eth5")]), "eth5", "none is a bridge");
    let bridge = |index, name| Link { is_bridge: true, ..of(index, name) };
    assert_eq!(name(vec![bridge(8, "br8"), of(9, "eth5")]), "br8");
    assert_eq!(name(vec![bridge(8, "br8"), bridge(9, "br9")]), "br9");
    let port = Link { master: Some(BRIDGE), ..of(9, "tap9") };
    assert_eq!(name(vec![port, link(IfIndex(10), "wg0", LinkLayer::None)]), "lxcbr0", "a port, and a tunnel");
}

/// Guests are behind it, and none of them is served.
#[test]
fn the_hosts_own_address_on_a_bridge_that_automatic_has_found_serves_nobody() {
    let automatic = || {
        let mut policy = nothing();
        policy.upstreams[0].automatic = Some(Automatic::default());
        policy
    };
    let known = |is_bridge: bool| {
        let mut host = Host::new(automatic());
        let own = Link { is_bridge, ..link(BRIDGE, "lxcbr0", LinkLayer::Ethernet(crate::host::BRIDGE_MAC)) };
        host.facts(vec![
            Fact::Link(own),
            connected("2001:db8:1:2::/64"),
            has(BRIDGE, "2001:db8:1:2:c::1/128"),
        ]);
        host
    };
    let prefixes =
        |host: &Host| host.engine.policy().ranges.iter().map(|range| range.prefix).collect::<Vec<_>>();
    let host = known(true);
    assert_eq!(prefixes(&host), [net("2001:db8:1:2:c::1/128")]);
    assert!(host.engine.idle().is_some());
    // On another interface it is all that is wanted, as an address on lo is.
    assert_eq!(known(false).engine.idle(), None);
    let mut host = known(true);
    host.facts(vec![Fact::Route(KernelRoute {
        protocol: 3,
        ..route("2001:db8:1:2:d::/112", RouteKind::Unicast(BRIDGE))
    })]);
    assert!(prefixes(&host).len() == 2 && host.engine.idle().is_none(), "{:?}", prefixes(&host));
}
