//! A veth of which both ends are on this host makes one link of two; and the names in a list of interfaces, one by one.

use lone64::engine::Problem;
use lone64::engine::facts::{Fact, IfIndex, KernelRoute, Link, LinkLayer, RouteKind};
use lone64::engine::policy::{Answer, Downstream, RangeRoutes};

use crate::host::{BRIDGE, Host, UP, UP_MAC, guest, guest_mac, has, link, live, net, range, route, with};

/// The end of a veth that the host uses, and the other one.
const LEG: IfIndex = IfIndex(7);
const PORT: IfIndex = IfIndex(8);
/// A bridge behind a port, as Proxmox makes one for a guest with a firewall.
const FIREWALL: IfIndex = IfIndex(9);

fn leg() -> Link {
    Link { peer: Some(PORT), ..link(LEG, "leg0", LinkLayer::Ethernet(guest_mac(7))) }
}

fn port(master: IfIndex) -> Link {
    let plain = link(PORT, "port0", LinkLayer::Ethernet(guest_mac(8)));
    Link { peer: Some(LEG), master: Some(master), ..plain }
}

fn upstream_bridge() -> Fact {
    Fact::Link(Link { is_bridge: true, ..link(UP, "up0", LinkLayer::Ethernet(UP_MAC)) })
}

fn problem(host: &Host) -> String {
    host.engine.problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_veth_into_the_upstreams_bridge_is_on_its_link_from_when_its_other_end_is_a_port() {
    let mut host = Host::new(with(|policy| policy.ranges = vec![range("2001:db8:1:2:c::/112", "leg0")]));
    host.facts(vec![upstream_bridge(), Fact::Link(leg()), has(LEG, "fe80::7/64")]);
    host.facts(vec![Fact::Link(port(BRIDGE))]);
    assert_eq!(host.engine.bindings().ranges[0].downstreams, [LEG], "into another bridge");
    host.facts(vec![Fact::Link(port(UP))]);
    assert_eq!(host.engine.bindings().ranges[0].downstreams, []);
    let told = problem(&host);
    assert!(told.contains("leg0 (a macvlan, macvtap, ipvlan or veth") && told.contains("up0"), "{told}");
    assert!(!host.answers_for(guest(5)));
    host.facts(vec![Fact::LinkGone(PORT), Fact::Link(Link { peer: None, ..leg() })]);
    assert_eq!(host.engine.problems(), []);
}

#[test]
fn a_bridge_behind_a_veth_is_on_the_upstreams_link_too() {
    let fwln = Link { master: Some(FIREWALL), ..leg() };
    let firewall = link(FIREWALL, "fwbr101i0", LinkLayer::Ethernet(guest_mac(9)));
    let mut host = Host::new(with(|policy| policy.ranges = vec![range("2001:db8:1:2:c::/112", "fwbr101i0")]));
    host.facts(vec![upstream_bridge(), Fact::Link(firewall), Fact::Link(fwln), Fact::Link(port(UP))]);
    assert!(problem(&host).contains("fwbr101i0"), "{}", problem(&host));
    assert_eq!(host.engine.bindings().ranges[0].downstreams, []);
}

#[test]
fn each_name_in_a_list_that_is_missing_or_refused_is_told_and_the_others_are_served() {
    let prefix = net("2001:db8:1:2:c::/112");
    let mut host = Host::new(with(|policy| {
        let names = ["lxcbr0", "nope0", "up0", "veth*"].map(|name| name.parse().unwrap());
        policy.ranges[0].downstream = Downstream::Matching(names.to_vec());
        policy.ranges[0].routes = RangeRoutes::Guests;
        policy.ranges[0].answer = Answer::Live;
    }));
    let [nope, up] = ["nope0", "up0"].map(|name| name.parse().unwrap());
    let told = [Problem::AlsoMissing(prefix, nope), Problem::AlsoOnUpstream(prefix, up, up)];
    assert_eq!(host.engine.problems(), told);
    assert_eq!(told[0].waits_for().as_deref(), Some("nope0"));
    assert_eq!(host.engine.bindings().ranges[0].downstreams, [BRIDGE]);
    host.make_live(guest(5), guest_mac(5));
    assert!(host.answers_for(guest(5)));
    host.facts(vec![Fact::Link(link(LEG, "nope0", LinkLayer::Ethernet(guest_mac(7))))]);
    assert_eq!(host.engine.problems(), &told[1..]);
}

#[test]
fn it_is_told_where_nobody_can_be_asked_and_no_route_says_who_is_there() {
    let prefix = net("2001:db8:1:2:c::/112");
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Matching(vec!["wg*".parse().unwrap()]);
        policy.ranges[0].routes = RangeRoutes::Guests;
        policy.ranges[0].answer = Answer::Live;
    }));
    assert_eq!(host.engine.problems(), [], "nobody is there yet");
    host.facts(vec![Fact::Link(link(LEG, "wg0", LinkLayer::None))]);
    assert_eq!(host.engine.problems(), [Problem::NobodyToAsk(prefix, "wg0".parse().unwrap())]);
    let peer = KernelRoute { protocol: 3, ..route("2001:db8:1:2:c::5/128", RouteKind::Unicast(LEG)) };
    host.facts(vec![Fact::Route(peer.clone())]);
    assert_eq!(host.engine.problems(), []);
    assert!(host.answers_for(guest(5)));
    host.facts(vec![Fact::RouteGone(peer)]);
    assert_eq!(host.engine.problems().len(), 1);
    // With an interface of its own, our route says that all of it is there.
    let mut own = live();
    own.ranges[0].downstream = Downstream::Named("wg0".parse().unwrap());
    host.input(lone64::engine::Input::Reload(Box::new(own)));
    assert_eq!(host.engine.problems(), []);
}
