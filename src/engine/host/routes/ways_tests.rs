//! Rules and tables, without an engine.

use super::*;
use crate::engine::facts::{Condition, Fact, Link, LinkLayer, LinkState};
use crate::engine::host::Delta;

const UP: IfIndex = IfIndex(2);
const BRIDGE: IfIndex = IfIndex(3);
const PEERS: IfIndex = IfIndex(4);

fn net(text: &str) -> Ipv6Net {
    text.parse().expect("a prefix")
}

fn route(destination: &str, link: IfIndex, table: u32) -> KernelRoute {
    let (kind, next_hop) = (RouteKind::Unicast(link), NextHop::OnLink);
    KernelRoute {
        destination: net(destination),
        kind,
        next_hop,
        table,
        protocol: 3,
        metric: 1024,
        source: None,
    }
}

/// The main table leads 2001:db8::c:0/112 to the bridge, and everything else out of the upstream.
fn host(rules: Vec<KernelRule>, routes: Vec<KernelRoute>) -> Host {
    let (mut host, mut delta) = (Host::default(), Delta::default());
    let (layer, state) = (LinkLayer::None, LinkState::Up);
    for (index, name) in [(UP, "up0"), (BRIDGE, "br0"), (PEERS, "peers0")] {
        let name = name.parse().expect("a name");
        let (master, lower, is_bridge, leads_to_one, group, vrf) = (None, None, false, false, 0, None);
        let link = Link {
            index,
            name,
            state,
            layer,
            master,
            lower,
            peer: None,
            is_bridge,
            leads_to_one,
            group,
            vrf,
        };
        host.learn(Fact::Link(link), &mut delta);
    }
    let main = [route("::/0", UP, MAIN), route("2001:db8::c:0/112", BRIDGE, MAIN)];
    main.into_iter().chain(routes).for_each(|route| _ = host.learn(Fact::Route(route), &mut delta));
    rules.into_iter().for_each(|rule| _ = host.learn(Fact::Rule(rule), &mut delta));
    host
}

fn leads(host: &Host, target: &str) -> Option<IfIndex> {
    host.leads_to(target.parse().expect("an address"), Some(UP))
}

#[test]
fn the_longest_prefix_and_then_the_lowest_metric_lead() {
    let better = KernelRoute { metric: 256, ..route("2001:db8::/64", PEERS, MAIN) };
    let nowhere =
        KernelRoute { kind: RouteKind::Unreachable, metric: 1, ..route("2001:db8::c:0/112", UP, MAIN) };
    let host = host(Vec::new(), vec![route("2001:db8::/64", BRIDGE, MAIN), better, nowhere]);
    assert_eq!(leads(&host, "2001:db8::5"), Some(PEERS));
    assert_eq!(leads(&host, "2001:db8::c:5"), None);
    assert_eq!(leads(&host, "2001:db8:1::5"), Some(UP));
    assert_eq!(host.routes.default_links(), [UP]);
}

#[test]
fn a_table_counts_while_a_rule_names_it() {
    let mut host = host(vec![KernelRule::lookup(5270, 52)], vec![route("2001:db8::c:7/128", PEERS, 52)]);
    assert_eq!(leads(&host, "2001:db8::c:7"), Some(PEERS));
    assert_eq!(leads(&host, "2001:db8::c:8"), Some(BRIDGE));
    host.learn(Fact::RuleGone(KernelRule::lookup(5270, 52)), &mut Delta::default());
    assert_eq!(leads(&host, "2001:db8::c:7"), Some(BRIDGE));
    assert!(host.routes.rules.are_plain());
}

#[test]
fn the_first_rule_decides_not_the_longest_prefix() {
    let routes = vec![route("2001:db8::/64", PEERS, 52), route("2001:db8::c:9/128", PEERS, 99)];
    let host = host(vec![KernelRule::lookup(40_000, 99), KernelRule::lookup(5270, 52)], routes);
    assert_eq!(leads(&host, "2001:db8::c:8"), Some(PEERS));
    assert_eq!(leads(&host, "2001:db9::c:9"), Some(UP), "the main table leads everywhere");
}

#[test]
fn a_rule_is_for_what_it_selects() {
    let table = vec![route("::/0", PEERS, 52)];
    let with = |rule| leads(&host(vec![rule], table.clone()), "2001:db8::c:7");
    let to = |prefix| KernelRule { to: net(prefix), ..KernelRule::lookup(10, 52) };
    assert_eq!((with(to("2001:db8::c:7/128")), with(to("2001:db8::c:8/128"))), (Some(PEERS), Some(BRIDGE)));
    let iif = |name: &str| KernelRule { arrives_on: name.parse().ok(), ..KernelRule::lookup(10, 52) };
    assert_eq!((with(iif("up0")), with(iif("br0"))), (Some(PEERS), Some(BRIDGE)));
    let marked = KernelRule { condition: Condition::Unmet, ..KernelRule::lookup(10, 52) };
    assert_eq!(with(marked.clone()), Some(BRIDGE));
    assert_eq!(with(KernelRule { is_inverted: true, ..marked }), Some(PEERS), "as wg-quick has it");
    let from = KernelRule { from: net("2001:db8::/64"), ..KernelRule::lookup(10, 52) };
    assert_eq!(with(from), Some(BRIDGE));
    assert_eq!(with(KernelRule { action: RuleAction::Refuse, ..KernelRule::lookup(10, 52) }), None);
    assert_eq!(with(KernelRule { action: RuleAction::Nothing, ..KernelRule::lookup(10, 52) }), Some(BRIDGE));
}

#[test]
fn a_table_passes_on_what_it_throws_and_what_is_too_short() {
    let throw = KernelRoute { kind: RouteKind::Throw, ..route("2001:db8::c:7/128", UP, 52) };
    let host = host(vec![KernelRule::lookup(10, 52)], vec![throw, route("::/0", PEERS, 52)]);
    assert_eq!(leads(&host, "2001:db8::c:7"), Some(BRIDGE));
    assert_eq!(leads(&host, "2001:db8::c:8"), Some(PEERS));
    let longer = RuleAction::Lookup { table: MAIN, longer_than: Some(0), not_group: None };
    let rules =
        vec![KernelRule { action: longer, ..KernelRule::lookup(9, MAIN) }, KernelRule::lookup(10, 52)];
    let host = self::host(rules, vec![route("::/0", PEERS, 52)]);
    assert_eq!((leads(&host, "2001:db8::c:7"), leads(&host, "2001:db8::d:7")), (Some(BRIDGE), Some(PEERS)));
}

/// The interface changes so, and what is then to be looked at again.
fn change(host: &mut Host, index: IfIndex, how: impl Fn(&mut Link)) -> Delta {
    let (mut link, mut delta) = (host.links.get(index).expect("a link").clone(), Delta::default());
    how(&mut link);
    host.learn(Fact::Link(link), &mut delta);
    delta
}

#[test]
fn a_table_passes_on_what_leaves_by_an_interface_of_a_group() {
    let action = RuleAction::Lookup { table: 52, longer_than: None, not_group: Some(7) };
    let suppressing = KernelRule { action, ..KernelRule::lookup(10, 52) };
    let mut host = host(vec![suppressing], vec![route("::/0", PEERS, 52)]);
    assert_eq!(leads(&host, "2001:db8::c:7"), Some(PEERS));
    let delta = change(&mut host, PEERS, |link| link.group = 7);
    assert!(delta.routes.contains(&Ipv6Net::default()), "rules ask for the group");
    assert_eq!(leads(&host, "2001:db8::c:7"), Some(BRIDGE));
    assert!(host.way(&net("2001:db8::c:7/128"), Some(UP)).is_sure);
}

#[test]
fn the_table_of_a_vrf_is_for_what_arrives_in_it() {
    let of_vrf = KernelRule { condition: Condition::Vrf, ..KernelRule::lookup(1000, 0) };
    let mut host = host(vec![of_vrf], vec![route("::/0", PEERS, 10), route("::/0", BRIDGE, 11)]);
    assert_eq!(leads(&host, "2001:db8::c:7"), Some(BRIDGE), "by the main table");
    assert_eq!(leads(&host, "2001:db8:1::7"), Some(UP));
    let delta = change(&mut host, UP, |link| link.vrf = Some(10));
    assert!(delta.routes.contains(&Ipv6Net::default()));
    assert_eq!(leads(&host, "2001:db8:1::7"), Some(PEERS));
    assert!(host.routes.rules.read(10) && !host.routes.rules.read(11));
    assert!(host.way(&net("2001:db8::c:7/128"), Some(UP)).is_sure);
}

#[test]
fn a_rule_can_jump_over_others() {
    let goto = |to| KernelRule { action: RuleAction::Goto(to), ..KernelRule::lookup(9, 0) };
    let with = |to| {
        let rules = vec![goto(to), KernelRule::lookup(10, 52), KernelRule::lookup(11, MAIN)];
        leads(&host(rules, vec![route("::/0", PEERS, 52)]), "2001:db8::c:7")
    };
    assert_eq!((with(10), with(11), with(12)), (Some(PEERS), Some(BRIDGE), Some(PEERS)));
}

#[test]
fn says_where_the_kernel_alone_knows() {
    let unknown = |priority| KernelRule { condition: Condition::Unknown, ..KernelRule::lookup(priority, 52) };
    let is_sure = |rules| host(rules, Vec::new()).way(&net("2001:db8::c:7/128"), Some(UP)).is_sure;
    assert!(!is_sure(vec![unknown(10)]));
    assert!(is_sure(vec![unknown(40_000)]), "another has decided before");
    assert!(is_sure(vec![KernelRule { to: net("2001:db9::/64"), ..unknown(10) }]));
}

#[test]
fn finds_what_routes_and_rules_say_inside_a_prefix() {
    let divert = KernelRule { to: net("2001:db8::c:7/128"), ..KernelRule::lookup(10, 52) };
    let refuse =
        KernelRule { to: net("2001:db8::d:0/112"), action: RuleAction::Refuse, ..KernelRule::lookup(11, 0) };
    let routes = vec![route("::/0", PEERS, 52), route("2001:db8::e:0/112", PEERS, 77)];
    let host = host(vec![divert, refuse], routes);
    let ways: Vec<_> = host.ways_inside(&net("2001:db8::/64"), None, UP, |_| false).collect();
    let found: Vec<_> =
        ways.iter().map(|(to, way)| (to.to_string(), way.as_ref().map(|way| way.kind))).collect();
    let expected = [
        ("2001:db8::c:0/112", Some(RouteKind::Unicast(BRIDGE))),
        ("2001:db8::c:7/128", Some(RouteKind::Unicast(PEERS))),
        ("2001:db8::d:0/112", Some(RouteKind::Unreachable)),
        ("2001:db8::e:0/112", None),
    ];
    assert_eq!(found, expected.map(|(to, way)| (to.to_owned(), way)));
    let after = ways[1].0;
    let rest: Vec<_> = host.ways_inside(&net("2001:db8::/64"), Some(&after), UP, |_| false).collect();
    assert_eq!(rest, ways[2..]);
}

#[test]
fn a_route_for_some_senders_decides_for_no_stranger_and_hides_the_one_to_the_same_destination() {
    let some = |destination, link| KernelRoute {
        source: Some(net("2001:db8::/48")),
        ..route(destination, link, MAIN)
    };
    let inner = host(Vec::new(), vec![some("2001:db8::c:0/120", PEERS)]);
    assert_eq!(leads(&inner, "2001:db8::c:5"), Some(BRIDGE));
    let same = host(Vec::new(), vec![some("2001:db8::c:0/112", PEERS)]);
    assert_eq!(leads(&same, "2001:db8::c:5"), Some(UP), "by the shorter one");
    let everywhere = host(Vec::new(), vec![some("::/0", PEERS)]);
    assert_eq!(leads(&everywhere, "2001:db8:9::5"), Some(UP), "behind which there is none");
}

#[test]
fn a_rule_for_what_is_in_a_vrf_decides_for_nothing_else() {
    let of_vrf = KernelRule { condition: Condition::Vrf, ..KernelRule::lookup(1000, 0) };
    let refuse = KernelRule { action: RuleAction::Refuse, ..of_vrf.clone() };
    let outside = host(vec![refuse.clone()], Vec::new());
    assert_eq!(leads(&outside, "2001:db8::c:7"), Some(BRIDGE));
    let inside = |rules| {
        let mut host = host(rules, Vec::new());
        change(&mut host, UP, |link| link.vrf = Some(10));
        leads(&host, "2001:db8::c:7")
    };
    assert_eq!(inside(vec![refuse]), None);
    // In its own table there is nothing, so the next rule decides.
    assert_eq!(inside(vec![of_vrf.clone()]), Some(BRIDGE));
    // Which table one for all others means the kernel alone knows.
    let inverted = host(vec![KernelRule { is_inverted: true, ..of_vrf }], Vec::new());
    assert!(!inverted.way(&net("2001:db8::c:7/128"), Some(UP)).is_sure);
}

#[test]
fn a_destination_of_a_route_and_a_rule_is_found_once_and_none_of_a_rule_that_is_elsewhere() {
    let to = |to, priority| KernelRule { to: net(to), ..KernelRule::lookup(priority, 52) };
    let rules = vec![to("2001:db8::c:0/112", 10), to("2001:db9::/64", 11), to("2001:db8::/64", 12)];
    let host = host(rules, vec![route("::/0", PEERS, 52)]);
    let ways = host.ways_inside(&net("2001:db8::/64"), None, UP, |_| false);
    assert_eq!(ways.map(|(to, _)| to).collect::<Vec<_>>(), [net("2001:db8::c:0/112")]);
}

#[test]
fn one_way_alone_goes_with_its_interface_and_one_beside_it_that_is_no_router_keeps_none() {
    let via = |link| KernelRoute {
        next_hop: NextHop::Via("fe80::1".parse().expect("an address")),
        ..route("2001:db8:1::/64", link, MAIN)
    };
    for beside in [None, Some(route("2001:db8:1::/64", PEERS, MAIN))] {
        let mut routes = Routes::default();
        routes.insert(via(BRIDGE));
        beside.clone().into_iter().for_each(|route| _ = routes.insert(route));
        let (destinations, is_unsure) = routes.switch_off(BRIDGE);
        assert_eq!((destinations.len(), is_unsure), (1, false));
        assert!(routes.iter().eq(&beside));
    }
}

#[test]
fn what_was_not_known_does_not_go_and_takes_nothing_along() {
    let via = |link| KernelRoute {
        next_hop: NextHop::Via("fe80::1".parse().expect("an address")),
        ..route("2001:db8:1::/64", link, MAIN)
    };
    let mut routes = Routes::default();
    routes.insert(via(BRIDGE));
    routes.insert(via(PEERS));
    assert!(!routes.remove(&via(UP)) && !routes.remove(&route("2001:db8:2::/64", PEERS, MAIN)));
    assert!(routes.remove(&via(BRIDGE)) && routes.behind_routers().eq(&[via(PEERS)]));
    assert!(routes.remove(&via(PEERS)) && routes.iter().next().is_none());
}

#[test]
fn a_table_decides_behind_the_main_one_and_in_the_place_of_it() {
    let mut host = host(vec![KernelRule::lookup(40_000, 52)], vec![route("2001:db9::/64", PEERS, 52)]);
    host.learn(Fact::RouteGone(route("::/0", UP, MAIN)), &mut Delta::default());
    assert_eq!((leads(&host, "2001:db8::c:7"), leads(&host, "2001:db9::7")), (Some(BRIDGE), Some(PEERS)));
    host.learn(Fact::RuleGone(KernelRule::lookup(32_766, MAIN)), &mut Delta::default());
    assert_eq!((leads(&host, "2001:db8::c:7"), leads(&host, "2001:db9::7")), (None, Some(PEERS)));
}

#[test]
fn no_table_of_a_vrf_counts_without_the_rule_for_vrfs() {
    let mut host = host(Vec::new(), vec![route("2001:db9::/64", PEERS, 10)]);
    change(&mut host, UP, |link| link.vrf = Some(10));
    assert!(!host.routes.is_read(&route("2001:db9::/64", PEERS, 10)));
}
