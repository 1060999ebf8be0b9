//! What the kernel's rules and tables say: peers in a table of their own, guests that a rule diverts, our own table.

use lone64::engine::Input;
use lone64::engine::facts::{
    Condition, Fact, IfIndex, KernelRoute, KernelRule, Link, LinkLayer, LinkState, RouteKind, RuleAction,
};
use lone64::engine::policy::{Answer, Automatic, Downstream, Policy, RangeRoutes};
use lone64::wire::DropReason;

use crate::host::{
    BRIDGE, Host, LO, UP, address, default_route, guest, guest_mac, has, link, live, net, route, usual_facts,
    with,
};

const PEERS: IfIndex = IfIndex(8);
/// What Tailscale uses.
const TABLE: u32 = 52;

/// A foreign route in a table.
fn foreign(prefix: &str, link: IfIndex, table: u32) -> KernelRoute {
    KernelRoute { protocol: 3, table, ..route(prefix, RouteKind::Unicast(link)) }
}

fn automatic() -> Policy {
    with(|policy| {
        policy.ranges.clear();
        policy.upstreams[0].automatic = Some(Automatic::default());
    })
}

/// A range whose guests are where the kernel's routes lead.
fn by_routes(answer: Answer) -> Policy {
    with(|policy| {
        let range = &mut policy.ranges[0];
        (range.downstream, range.routes, range.answer) = (Downstream::Kernel, RangeRoutes::None, answer);
    })
}

/// The usual host with a tunnel, the guests' bridge in the main table and these facts.
fn host(policy: Policy, facts: Vec<Fact>) -> Host {
    let mut host = Host::new(policy);
    host.facts(vec![
        Fact::Link(link(PEERS, "tailscale0", LinkLayer::None)),
        Fact::Route(foreign("2001:db8:1:2::/64", UP, 254)),
        Fact::Route(foreign("2001:db8:1:2:c::/112", BRIDGE, 254)),
    ]);
    host.facts(facts);
    host.take();
    host
}

fn served(host: &Host) -> Vec<(String, String)> {
    let ranges = &host.engine.policy().ranges;
    ranges.iter().map(|range| (range.prefix.to_string(), range.downstream.to_string())).collect()
}

#[test]
fn automatic_serves_peers_of_a_table_while_a_rule_names_it_and_the_route_is_there() {
    let peer = "2001:db8:1:2:d::7";
    let to_peer = Fact::Route(foreign("2001:db8:1:2:d::7/128", PEERS, TABLE));
    let mut host = host(automatic(), vec![to_peer.clone()]);
    assert!(!host.answers_for(address(peer)), "no rule names the table");
    host.facts(vec![Fact::Rule(KernelRule::lookup(5270, TABLE))]);
    assert!(host.answers_for(address(peer)));
    assert!(!host.answers_for(address("2001:db8:1:2:d::8")));
    host.facts(vec![Fact::RouteGone(foreign("2001:db8:1:2:d::7/128", PEERS, TABLE))]);
    assert!(!host.answers_for(address(peer)));
    host.facts(vec![to_peer]);
    assert!(host.answers_for(address(peer)));
    host.facts(vec![Fact::RuleGone(KernelRule::lookup(5270, TABLE))]);
    assert!(!host.answers_for(address(peer)));
}

#[test]
fn automatic_follows_a_rule_that_diverts_a_part() {
    let divert = KernelRule { to: net("2001:db8:1:2:c::8/125"), ..KernelRule::lookup(100, TABLE) };
    let mut host = host(automatic(), vec![Fact::Route(foreign("::/0", PEERS, TABLE)), Fact::Rule(divert)]);
    let expected = [("2001:db8:1:2:c::/112", "lxcbr0"), ("2001:db8:1:2:c::8/125", "tailscale0")];
    assert_eq!(served(&host), expected.map(|(range, link)| (range.to_owned(), link.to_owned())));
    assert!(host.answers_for(guest(9)), "it is there while the kernel routes it there");
}

#[test]
fn automatic_leaves_out_what_a_rule_refuses() {
    let refuse = KernelRule {
        to: net("2001:db8:1:2:c::8/125"),
        action: RuleAction::Refuse,
        ..KernelRule::lookup(100, 0)
    };
    let mut host = host(automatic(), vec![Fact::Rule(refuse)]);
    host.ask(guest(9));
    assert_eq!(host.dropped(DropReason::Excluded), 1);
}

#[test]
fn a_range_without_interface_follows_rules() {
    let to_peer = Fact::Route(foreign("2001:db8:1:2:c::7/128", PEERS, TABLE));
    let mut host = host(by_routes(Answer::Live), vec![to_peer, Fact::Rule(KernelRule::lookup(5270, TABLE))]);
    assert!(host.answers_for(guest(7)));
    host.make_live(guest(8), guest_mac(8));
    host.facts(vec![Fact::RuleGone(KernelRule::lookup(5270, TABLE))]);
    assert!(!host.answers_for(guest(7)), "it is looked for on the bridge");
}

#[test]
fn a_live_guest_that_a_rule_diverts_is_not_where_it_was() {
    let mut host = host(by_routes(Answer::Live), vec![Fact::Route(foreign("::/0", PEERS, TABLE))]);
    host.make_live(guest(7), guest_mac(7));
    let divert = KernelRule { to: net("2001:db8:1:2:c::7/128"), ..KernelRule::lookup(100, TABLE) };
    host.facts(vec![Fact::Rule(divert)]);
    let at = host.engine.explain(guest(7), host.now);
    let text = format!("{at:?}");
    assert!(text.contains("tailscale0") && !text.contains("lxcbr0"), "{text}");
}

#[test]
fn always_is_silent_where_a_rule_leads_back() {
    let back = vec![Fact::Route(foreign("2001:db8:1:2::/64", UP, TABLE))];
    let mut host = host(by_routes(Answer::Always), back);
    assert!(host.answers_for(guest(7)));
    let whole = |policy: &mut Policy| policy.ranges[0].prefix = net("2001:db8:1:2::/64");
    let mut policy = by_routes(Answer::Always);
    whole(&mut policy);
    host.input(Input::Reload(Box::new(policy)));
    assert!(host.answers_for(guest(7)), "a route leads it to the bridge");
    host.facts(vec![Fact::Rule(KernelRule {
        to: net("2001:db8:1:2:c::7/128"),
        ..KernelRule::lookup(100, TABLE)
    })]);
    assert!(!host.answers_for(guest(7)));
    assert_eq!(host.dropped(DropReason::RoutedBack), 1);
    assert!(host.answers_for(guest(8)));
}

#[test]
fn a_default_route_of_a_table_names_the_upstream_where_main_has_none() {
    let facts = usual_facts().into_iter().filter(|fact| !matches!(fact, Fact::Route(_)));
    let mut host = Host::bare(automatic());
    host.facts(facts.collect());
    host.facts(vec![Fact::Route(KernelRoute { table: 200, ..default_route(UP) })]);
    host.input(Input::Synced);
    assert_eq!(host.engine.upstream_links().count(), 0, "no rule names the table");
    host.facts(vec![Fact::Rule(KernelRule::lookup(100, 200))]);
    assert_eq!(host.engine.upstream_links().collect::<Vec<_>>(), [UP]);
}

#[test]
fn a_default_route_of_a_table_makes_no_upstream_beside_that_of_main() {
    let vpn = KernelRoute { table: 200, ..default_route(BRIDGE) };
    let host = host(automatic(), vec![Fact::Route(vpn), Fact::Rule(KernelRule::lookup(100, 200))]);
    assert_eq!(host.engine.upstream_links().collect::<Vec<_>>(), [UP]);
}

#[test]
fn rules_that_a_snapshot_does_not_tell_are_gone_where_it_tells_any() {
    let to_peer = Fact::Route(foreign("2001:db8:1:2:d::7/128", PEERS, TABLE));
    let mut host = host(automatic(), vec![to_peer.clone(), Fact::Rule(KernelRule::lookup(5270, TABLE))]);
    let snapshot = |rules: Vec<Fact>| {
        let mut all = usual_facts();
        all.extend([
            Fact::Link(link(PEERS, "tailscale0", LinkLayer::None)),
            Fact::Route(foreign("2001:db8:1:2::/64", UP, 254)),
            to_peer.clone(),
        ]);
        all.extend(rules);
        Input::Snapshot(all)
    };
    host.input(snapshot(Vec::new()));
    assert!(host.answers_for(address("2001:db8:1:2:d::7")), "it says nothing of rules");
    host.input(snapshot(vec![Fact::Rule(KernelRule::lookup(32_766, 254))]));
    assert!(!host.answers_for(address("2001:db8:1:2:d::7")));
}

#[test]
fn automatic_serves_the_services_of_kube_proxy_and_of_lo() {
    // kube-ipvs0 is a dummy that is down, and has every service's address.
    let ipvs = IfIndex(9);
    let dummy = link(ipvs, "kube-ipvs0", LinkLayer::Ethernet(guest_mac(99)));
    for (owner, state) in [(ipvs, LinkState::Down), (ipvs, LinkState::Up), (LO, LinkState::Up)] {
        let made = Fact::Link(Link { state, ..dummy.clone() });
        let mut host = host(automatic(), vec![made, has(owner, "2001:db8:1:2:e::1/128")]);
        assert!(host.answers_for(address("2001:db8:1:2:e::1")), "{owner} {state:?}");
        assert!(!host.answers_for(address("2001:db8:1:2:e::2")));
        host.facts(vec![Fact::AddressGone { link: owner, address: address("2001:db8:1:2:e::1") }]);
        assert!(!host.answers_for(address("2001:db8:1:2:e::1")));
    }
}

#[test]
fn a_pool_without_route_or_interface_is_answered_for() {
    let pool = |policy: &mut Policy| {
        policy.ranges[0].prefix = net("2001:db8:1:2:f::/112");
    };
    let mut policy = by_routes(Answer::Always);
    pool(&mut policy);
    let mut host = host(policy, Vec::new());
    assert!(host.answers_for(address("2001:db8:1:2:f::5")), "an IPsec policy may take it");
    assert!(!host.kernel.iter().any(|route| route.kind == RouteKind::Unreachable), "no backstop");
    assert_eq!(host.engine.problems(), []);
}

#[test]
fn a_rule_for_all_but_some_is_for_the_others() {
    let mut host = host(live(), vec![Fact::Route(foreign("::/0", PEERS, TABLE))]);
    let but =
        KernelRule { to: net("2001:db8:1:2:c::/112"), is_inverted: true, ..KernelRule::lookup(100, TABLE) };
    host.facts(vec![Fact::Rule(but)]);
    assert_eq!(host.engine.leads_to(guest(7), UP), Some(BRIDGE));
    assert_eq!(host.engine.leads_to(address("2001:db8:1:2:d::7"), UP), Some(PEERS));
}

#[test]
fn what_decides_for_a_guest_is_told_with_the_rule_that_names_its_table() {
    let rule = KernelRule { to: net("2001:db8:1:2:c::5/128"), ..KernelRule::lookup(10, TABLE) };
    let there = foreign("::/0", PEERS, TABLE);
    let host = host(automatic(), vec![Fact::Rule(rule.clone()), Fact::Route(there.clone())]);
    assert_eq!(host.engine.way(guest(5), UP), (Some(&there), Some(&rule)));
    let (route, rule) = host.engine.way(guest(6), UP);
    assert_eq!(
        (route.and_then(KernelRoute::link), rule.map(|rule| rule.priority)),
        (Some(BRIDGE), Some(32_766))
    );
}

#[test]
fn the_rule_for_vrfs_is_written_as_ip_prints_it() {
    let of_vrf = KernelRule { condition: Condition::Vrf, ..KernelRule::lookup(1000, 0) };
    assert_eq!(of_vrf.to_string(), "1000: from all lookup [l3mdev-table]");
}

#[test]
fn a_table_of_ours_that_no_rule_names_is_told_with_the_rule_that_it_needs() {
    let in_table = |table, routes| {
        with(|policy| {
            policy.routes.table = table;
            policy.ranges[0].routes = routes;
        })
    };
    let rules = [KernelRule::lookup(0, 255), KernelRule::lookup(32_766, 254)];
    let unread = |policy: &Policy, rules: &[KernelRule]| lone64::engine::unread_table(policy, rules.iter());
    let ours = in_table(100, RangeRoutes::Range);
    let told = unread(&ours, &rules).unwrap();
    assert!(told.sentence().contains("no rule uses table 100"), "{}", told.sentence());
    assert_eq!(told.remedy(), "ip -6 rule add pref 1064 lookup 100");
    assert_eq!(unread(&ours, &[KernelRule::lookup(1064, 100)]), None);
    assert_eq!(unread(&in_table(254, RangeRoutes::Range), &rules), None);
    assert_eq!(unread(&in_table(100, RangeRoutes::None), &rules), None, "it has none");
}
