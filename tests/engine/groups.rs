//! Multicast groups: joined for what is answered for, counted, left with the last of it.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use lone64::engine::facts::{Fact, IfIndex, LinkLayer, RouteKind};
use lone64::engine::policy::Limits;
use lone64::engine::policy::{Answer, Downstream, Policy, RangeRoutes, UpstreamInterface};
use lone64::engine::{Event, Input, Note, Output};
use lone64::wire::solicited_node;

use crate::host::reports::{Heard, Switch};
use crate::host::{
    BRIDGE, Host, UP, UP_MAC, address, dad, guest, guest_mac, has, link, live, millis, net, range, reply,
    route, seconds, upstream, with,
};

const OTHER: IfIndex = IfIndex(8);

fn most_groups() -> usize {
    Limits::default().groups
}

/// What is new to a switch that hears this.
fn follow(switch: &mut Switch, outputs: &[Output]) -> Vec<Heard> {
    let heard = switch.hear(outputs);
    let mut count = BTreeMap::<_, usize>::new();
    switch.0.iter().for_each(|(link, _)| *count.entry(link).or_default() += 1);
    assert!(count.values().all(|count| *count <= most_groups()), "{count:?}");
    heard
}

fn group(number: u16) -> Ipv6Addr {
    solicited_node(guest(number))
}

/// The range of the usual host, and another on the same bridge.
fn two_ranges() -> Policy {
    with(|policy| policy.ranges.push(range("2001:db8:1:2:d::/112", "lxcbr0")))
}

#[test]
fn a_target_that_replies_joins_its_group_before_it_is_told_and_leaves_it_when_it_is_gone() {
    let mut switch = Switch::default();
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    assert_eq!(switch.hear(&host.ask(guest(5))), [Heard::Begin(UP, group(5))]);
    host.guests.clear();
    host.pass(seconds(600));
    assert_eq!(switch.hear(&host.take()), [Heard::End(UP, group(5))]);
}

#[test]
fn being_asked_for_and_confirmed_changes_nothing() {
    let mut switch = Switch::default();
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    switch.hear(&host.ask(guest(5)));
    for _ in 0..100 {
        assert_eq!(switch.hear(&host.ask(guest(5))), []);
        host.pass(seconds(45));
        assert_eq!(switch.hear(&host.take()), []);
    }
}

#[test]
fn targets_that_share_a_group_join_it_once_and_leave_it_with_the_last() {
    let mut switch = Switch::default();
    let twin = address("2001:db8:1:2:d::5");
    let mut host = Host::new(two_ranges()).with_guest(guest(5), guest_mac(5)).with_guest(twin, guest_mac(6));
    assert_eq!(switch.hear(&host.ask(guest(5))), [Heard::Begin(UP, group(5))]);
    assert_eq!(switch.hear(&host.ask(twin)), []);
    host.guests.remove(&guest(5));
    host.pass(seconds(600));
    assert!(!host.is_live(guest(5)) && host.is_live(twin));
    assert_eq!(switch.hear(&host.take()), []);
    host.guests.clear();
    host.pass(seconds(600));
    assert_eq!(switch.hear(&host.take()), [Heard::End(UP, group(5))]);
}

#[test]
fn an_announcement_alone_joins_nothing() {
    let mut switch = Switch::default();
    let mut host = Host::new(live());
    for number in 2..200 {
        host.input(Input::Solicitation(BRIDGE, dad(guest_mac(number), guest(number))));
        assert!(host.is_live(guest(number)));
    }
    host.pass(seconds(60));
    assert_eq!(switch.hear(&host.take()), []);
}

#[test]
fn an_announcement_that_is_confirmed_joins_its_group() {
    let mut switch = Switch::default();
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    assert_eq!(switch.hear(&host.take()), []);
    host.pass(seconds(3));
    assert_eq!(switch.hear(&host.take()), [Heard::Begin(UP, group(5))]);
}

#[test]
fn a_target_that_moves_keeps_its_group() {
    let mut switch = Switch::default();
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Matching(vec!["lxc*".parse().unwrap()]);
        policy.ranges[0].routes = RangeRoutes::Guests;
    }));
    let second = link(OTHER, "lxcbr1", LinkLayer::Ethernet(guest_mac(0xb1)));
    host.facts(vec![Fact::Link(second), has(OTHER, "fe80::b1/64")]);
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(1));
    assert_eq!(switch.hear(&host.take()), [Heard::Begin(UP, group(5))]);
    host.input(Input::Advertisement(OTHER, reply(guest(5), guest_mac(6))));
    host.pass(seconds(2));
    let outputs = host.take();
    assert!(outputs.iter().any(|o| matches!(o, Output::Event(Event::Moved(..)))), "{outputs:?}");
    assert_eq!(switch.hear(&outputs), []);
    host.pass(seconds(600));
    assert_eq!(switch.hear(&host.take()), [Heard::End(UP, group(5))], "nobody replies there either");
}

#[test]
fn a_downstream_that_goes_takes_its_groups_along() {
    let mut host = Host::new(live());
    let mut switch = Switch::default();
    for number in [3, 4, 5] {
        host.ask(guest(number));
        host.advertise(guest(number), guest_mac(number));
        follow(&mut switch, &host.take());
    }
    assert_eq!(switch.on(UP), [group(3), group(4), group(5)]);
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    follow(&mut switch, &host.take());
    assert!(switch.0.is_empty());
}

#[test]
fn nothing_is_joined_where_it_is_not_wanted() {
    let mut switch = Switch::default();
    let mut host = Host::new(with(|policy| policy.upstreams[0].mld = lone64::engine::policy::Mld::No));
    host.guests.insert(guest(5), guest_mac(5));
    assert_eq!(switch.hear(&host.ask(guest(5))), []);
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    assert_eq!(switch.hear(&host.take()), []);
}

#[test]
fn the_hosts_own_address_downstream_is_joined_and_the_upstreams_left_to_the_kernel() {
    let mut switch = Switch::default();
    let mut host = Host::new(live());
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::11/112")]);
    assert_eq!(switch.hear(&host.take()), [Heard::Begin(UP, group(0x11))]);
    host.facts(vec![has(UP, "2001:db8:1:2:c::7/64"), has(BRIDGE, "2001:db8:1:2:77::1/112")]);
    assert_eq!(switch.hear(&host.take()), []);
    host.facts(vec![Fact::AddressGone { link: BRIDGE, address: guest(0x11) }]);
    assert_eq!(switch.hear(&host.take()), [Heard::End(UP, group(0x11))]);
}

#[test]
fn the_group_of_an_address_that_the_kernel_has_there_is_reported_while_it_has_it_not() {
    let mut switch = Switch::default();
    let mut host = Host::new(live());
    host.facts(vec![has(UP, "2001:db8:9:9::5/64")]);
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(2));
    assert_eq!(switch.hear(&host.take()), [], "the kernel reports it");
    host.facts(vec![Fact::AddressGone { link: UP, address: address("2001:db8:9:9::5") }]);
    assert_eq!(
        switch.hear(&host.take()),
        [Heard::Begin(UP, group(5))],
        "and has just said that it has ended"
    );
    host.facts(vec![has(UP, "2001:db8:9:9::5/64")]);
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    assert_eq!(switch.hear(&host.take()), [], "it would end for the kernel too");
}

#[test]
fn a_small_range_that_is_always_answered_is_joined_as_a_whole_and_a_large_one_not() {
    let always = |prefix: &str| {
        let mut host = Host::bare(with(|policy| {
            policy.ranges[0].prefix = net(prefix);
            policy.ranges[0].answer = Answer::Always;
        }));
        host.facts(crate::host::usual_facts());
        host.input(Input::Synced);
        host.facts(vec![has(UP, "2001:db8:1:2::9/64")]);
        host.take()
    };
    let mut switch = Switch::default();
    let outputs = always("2001:db8:1:2:c::/120");
    follow(&mut switch, &outputs);
    // Those of the upstream's own addresses are the kernel's.
    let groups: Vec<_> = (0..256).filter(|number| ![1, 2].contains(number)).map(group).collect();
    assert_eq!(switch.on(UP), groups);
    let prefix = "2001:db8:1:2:c::/117";
    let outputs = always(prefix);
    let told = Output::Event(Event::Note(Note::TooWideForGroups(net(prefix), most_groups())));
    assert_eq!(outputs.iter().filter(|output| **output == told).count(), 1);
    assert_eq!(switch.hear(&outputs), []);
}

#[test]
fn behind_a_link_without_neighbor_discovery_the_peers_that_are_routed_there_are_joined() {
    let mut switch = Switch::default();
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Named("wg0".parse().unwrap());
        policy.ranges[0].routes = RangeRoutes::None;
    }));
    host.facts(vec![Fact::Link(link(OTHER, "wg0", LinkLayer::None))]);
    let peer = lone64::engine::facts::KernelRoute {
        protocol: 3,
        ..route("2001:db8:1:2:c::5/128", RouteKind::Unicast(OTHER))
    };
    host.take();
    host.facts(vec![Fact::Route(peer.clone())]);
    assert_eq!(switch.hear(&host.take()), [Heard::Begin(UP, group(5))]);
    assert!(host.answers_for(guest(5)));
    host.facts(vec![Fact::RouteGone(peer)]);
    assert_eq!(switch.hear(&host.take()), [Heard::End(UP, group(5))]);
}

#[test]
fn peers_that_are_routed_to_a_downstream_are_joined_once_nobody_can_be_asked_there() {
    let mut switch = Switch::default();
    let mut host = Host::new(with(|policy| policy.ranges[0].routes = RangeRoutes::None));
    host.facts(vec![Fact::Route(lone64::engine::facts::KernelRoute {
        protocol: 3,
        ..route("2001:db8:1:2:c::5/128", RouteKind::Unicast(BRIDGE))
    })]);
    assert_eq!(switch.hear(&host.take()), []);
    let bridge = |layer| Fact::Link(link(BRIDGE, "lxcbr0", layer));
    host.facts(vec![bridge(LinkLayer::NoDiscovery(guest_mac(0xb0)))]);
    assert_eq!(switch.hear(&host.take()), [Heard::Begin(UP, group(5))]);
    host.facts(vec![bridge(LinkLayer::Ethernet(guest_mac(0xb0)))]);
    assert_eq!(switch.hear(&host.take()), [Heard::End(UP, group(5))]);
}

#[test]
fn a_small_range_that_is_always_answered_is_joined_anew_on_an_upstream_that_is_made_anew() {
    let mut host = Host::new(with(|policy| {
        policy.upstreams = vec![upstream(UpstreamInterface::Named("up0".parse().unwrap()))];
        policy.ranges[0].prefix = net("2001:db8:1:2:c::8/125");
        policy.ranges[0].answer = Answer::Always;
    }));
    host.facts(vec![Fact::LinkGone(UP)]);
    host.take();
    let again = IfIndex(9);
    host.facts(vec![
        Fact::Link(link(again, "up0", LinkLayer::Ethernet(UP_MAC))),
        has(again, "fe80::5054:ff:fe00:1/64"),
    ]);
    let mut switch = Switch::default();
    switch.hear(&host.take());
    assert_eq!(switch.on(again), (8..16).map(group).collect::<Vec<_>>());
}

#[test]
fn an_upstream_that_is_made_anew_is_joined_anew() {
    let mut switch = Switch::default();
    let mut host = Host::new(with(|policy| {
        policy.upstreams = vec![upstream(UpstreamInterface::Named("up0".parse().unwrap()))];
    }));
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![Fact::LinkGone(UP)]);
    assert_eq!(switch.hear(&host.take()), [], "nothing can be said there any more");
    let again = IfIndex(9);
    host.facts(vec![
        Fact::Link(link(again, "up0", LinkLayer::Ethernet(UP_MAC))),
        has(again, "fe80::5054:ff:fe00:1/64"),
    ]);
    assert_eq!(switch.hear(&host.take()), [Heard::Begin(again, group(5))]);
}

#[test]
fn no_more_than_so_many_are_joined_and_who_waits_comes_when_another_goes() {
    let most = u16::try_from(most_groups()).unwrap();
    let mut host = Host::new(live());
    let mut switch = Switch::default();
    let mut told = 0;
    for number in 3..=most + 22 {
        // As the kernel's table has it: found, without a question that costs a probe.
        host.facts(vec![found(number)]);
        let outputs = host.take();
        told +=
            outputs.iter().filter(|o| matches!(o, Output::Event(Event::Note(Note::GroupsFull(..))))).count();
        follow(&mut switch, &outputs);
        host.pass(millis(5));
    }
    assert_eq!((switch.on(UP).len(), told), (most_groups(), 1));
    assert!(!switch.0.contains(&(UP, group(most + 3))));
    // The host gets one of these addresses, so that it is no target any more.
    host.facts(vec![has(BRIDGE, &format!("{}/128", guest(7)))]);
    host.pass(seconds(1));
    follow(&mut switch, &host.take());
    assert_eq!(switch.on(UP).len(), most_groups());
    assert!(switch.0.contains(&(UP, group(most + 3))));
    assert!(!switch.0.contains(&(UP, group(7))), "who came last waits");
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    host.pass(seconds(1));
    follow(&mut switch, &host.take());
    assert!(switch.0.is_empty());
}

fn found(number: u16) -> Fact {
    use lone64::engine::facts::{Neighbor, NeighborState};
    let (address, mac) = (guest(number), Some(guest_mac(number)));
    Fact::Neighbor(Neighbor { link: BRIDGE, address, mac, state: NeighborState::Reachable })
}

#[test]
fn another_limit_lets_in_who_waits_or_sends_the_last_ones_back() {
    let limited = |groups| with(|policy| policy.limits.groups = groups);
    let mut host = Host::new(limited(3));
    let mut switch = Switch::default();
    for number in 3..=8 {
        host.facts(vec![found(number)]);
        follow(&mut switch, &host.take());
    }
    for (groups, joined) in [(5, 5), (2, 2), (9, 6)] {
        host.input(Input::Reload(Box::new(limited(groups))));
        follow(&mut switch, &host.take());
        assert_eq!(switch.on(UP).len(), joined, "at most {groups}");
    }
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    follow(&mut switch, &host.take());
    assert!(switch.0.is_empty());
}

/// What it says of itself proves nothing, however often it does.
#[test]
fn one_that_nobody_has_asked_joins_no_group_by_its_own_word() {
    let mut switch = Switch::default();
    let mut host = Host::new(live());
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    for _ in 0..3 {
        host.input(Input::Advertisement(BRIDGE, reply(guest(5), guest_mac(5))));
        assert_eq!(switch.hear(&host.take()), []);
    }
    let gateway = address("fe80::5054:ff:fe00:b0");
    let question = crate::host::question_from(guest(5), guest_mac(5), gateway);
    host.input(Input::Solicitation(BRIDGE, question));
    assert_eq!(switch.hear(&host.take()), []);
    host.guests.insert(guest(5), guest_mac(5));
    host.pass(seconds(3));
    assert_eq!(switch.hear(&host.take()), [Heard::Begin(UP, group(5))]);
}
