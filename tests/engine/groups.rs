//! Multicast groups: joined for what is answered for, counted, left with the last of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use lone64::engine::facts::{Fact, IfIndex, LinkLayer, RouteKind};
use lone64::engine::policy::Limits;
use lone64::engine::policy::{Answer, Downstream, Policy, RangeRoutes, UpstreamInterface};
use lone64::engine::{Event, Input, Output};
use lone64::wire::solicited_node;

use crate::host::{
    BRIDGE, Host, UP, UP_MAC, address, dad, guest, guest_mac, has, link, live, net, range, reply, route,
    seconds, upstream, with,
};

const OTHER: IfIndex = IfIndex(8);

/// The memberships of a host: no group is joined twice, and none left that was not joined.
#[derive(Default)]
struct Memberships(BTreeSet<(IfIndex, Ipv6Addr)>);

fn most_groups() -> usize {
    Limits::default().groups
}

impl Memberships {
    fn follow(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Join(link, group) => assert!(self.0.insert((*link, *group)), "twice: {group}"),
                Output::Leave(link, group) => assert!(self.0.remove(&(*link, *group)), "not joined: {group}"),
                _ => {}
            }
        }
        let mut count = BTreeMap::<_, usize>::new();
        self.0.iter().for_each(|(link, _)| *count.entry(link).or_default() += 1);
        assert!(count.values().all(|count| *count <= most_groups()), "{count:?}");
    }

    fn on(&self, link: IfIndex) -> Vec<Ipv6Addr> {
        self.0.iter().filter(|(on, _)| *on == link).map(|(_, group)| *group).collect()
    }
}

/// Joins and leaves only.
fn changes(outputs: Vec<Output>) -> Vec<Output> {
    outputs.into_iter().filter(|o| matches!(o, Output::Join(..) | Output::Leave(..))).collect()
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
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    assert_eq!(changes(host.ask(guest(5))), [Output::Join(UP, group(5))]);
    host.guests.clear();
    host.pass(seconds(600));
    assert_eq!(changes(host.take()), [Output::Leave(UP, group(5))]);
}

#[test]
fn being_asked_for_and_confirmed_changes_nothing() {
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    host.ask(guest(5));
    for _ in 0..100 {
        assert_eq!(changes(host.ask(guest(5))), []);
        host.pass(seconds(45));
        assert_eq!(changes(host.take()), []);
    }
}

#[test]
fn targets_that_share_a_group_join_it_once_and_leave_it_with_the_last() {
    let twin = address("2001:db8:1:2:d::5");
    let mut host = Host::new(two_ranges()).with_guest(guest(5), guest_mac(5)).with_guest(twin, guest_mac(6));
    assert_eq!(changes(host.ask(guest(5))), [Output::Join(UP, group(5))]);
    assert_eq!(changes(host.ask(twin)), []);
    host.guests.remove(&guest(5));
    host.pass(seconds(600));
    assert!(!host.is_live(guest(5)) && host.is_live(twin));
    assert_eq!(changes(host.take()), []);
    host.guests.clear();
    host.pass(seconds(600));
    assert_eq!(changes(host.take()), [Output::Leave(UP, group(5))]);
}

#[test]
fn an_announcement_alone_joins_nothing() {
    let mut host = Host::new(live());
    for number in 2..200 {
        host.input(Input::Solicitation(BRIDGE, dad(guest_mac(number), guest(number))));
        assert!(host.is_live(guest(number)));
    }
    host.pass(seconds(60));
    assert_eq!(changes(host.take()), []);
}

#[test]
fn an_announcement_that_is_confirmed_joins_its_group() {
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    assert_eq!(changes(host.take()), []);
    host.pass(seconds(3));
    assert_eq!(changes(host.take()), [Output::Join(UP, group(5))]);
}

#[test]
fn a_target_that_moves_keeps_its_group() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Matching(vec!["lxc*".parse().unwrap()]);
        policy.ranges[0].routes = RangeRoutes::Guests;
    }));
    let second = link(OTHER, "lxcbr1", LinkLayer::Ethernet(guest_mac(0xb1)));
    host.facts(vec![Fact::Link(second), has(OTHER, "fe80::b1/64")]);
    host.make_live(guest(5), guest_mac(5));
    host.input(Input::Advertisement(OTHER, reply(guest(5), guest_mac(6))));
    host.pass(seconds(2));
    let outputs = host.take();
    assert!(outputs.iter().any(|o| matches!(o, Output::Event(Event::Moved(..)))), "{outputs:?}");
    assert_eq!(changes(outputs), []);
    host.pass(seconds(600));
    assert_eq!(changes(host.take()), [Output::Leave(UP, group(5))], "nobody replies there either");
}

#[test]
fn a_downstream_that_goes_takes_its_groups_along() {
    let mut host = Host::new(live());
    let mut memberships = Memberships::default();
    for number in [2, 3, 4] {
        host.ask(guest(number));
        host.advertise(guest(number), guest_mac(number));
        memberships.follow(&host.take());
    }
    assert_eq!(memberships.on(UP), [group(2), group(3), group(4)]);
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    memberships.follow(&host.take());
    assert!(memberships.0.is_empty());
}

#[test]
fn nothing_is_joined_where_it_is_not_wanted() {
    let mut host = Host::new(with(|policy| policy.upstreams[0].mld = false));
    host.guests.insert(guest(5), guest_mac(5));
    assert_eq!(changes(host.ask(guest(5))), []);
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    assert_eq!(changes(host.take()), []);
}

#[test]
fn the_hosts_own_address_downstream_is_joined_and_the_upstreams_left_to_the_kernel() {
    let mut host = Host::new(live());
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    assert_eq!(changes(host.take()), [Output::Join(UP, group(1))]);
    host.facts(vec![has(UP, "2001:db8:1:2:c::7/64"), has(BRIDGE, "2001:db8:1:2:77::1/112")]);
    assert_eq!(changes(host.take()), []);
    host.facts(vec![Fact::AddressGone { link: BRIDGE, address: guest(1) }]);
    assert_eq!(changes(host.take()), [Output::Leave(UP, group(1))]);
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
    let mut memberships = Memberships::default();
    let outputs = always("2001:db8:1:2:c::/120");
    memberships.follow(&outputs);
    let groups: Vec<_> = (0..256).map(group).collect();
    assert_eq!(memberships.on(UP), groups);
    let prefix = "2001:db8:1:2:c::/119";
    let outputs = always(prefix);
    let told = Output::Event(Event::TooWideToJoin(net(prefix)));
    assert_eq!(outputs.iter().filter(|output| **output == told).count(), 1);
    assert_eq!(changes(outputs), []);
}

#[test]
fn behind_a_link_without_neighbor_discovery_the_peers_that_are_routed_there_are_joined() {
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
    assert_eq!(changes(host.take()), [Output::Join(UP, group(5))]);
    assert!(host.answers_for(guest(5)));
    host.facts(vec![Fact::RouteGone(peer)]);
    assert_eq!(changes(host.take()), [Output::Leave(UP, group(5))]);
}

#[test]
fn an_upstream_that_is_made_anew_is_joined_anew() {
    let mut host = Host::new(with(|policy| {
        policy.upstreams = vec![upstream(UpstreamInterface::Named("up0".parse().unwrap()))];
    }));
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![Fact::LinkGone(UP)]);
    assert_eq!(changes(host.take()), [Output::Leave(UP, group(5))]);
    let again = IfIndex(9);
    host.facts(vec![
        Fact::Link(link(again, "up0", LinkLayer::Ethernet(UP_MAC))),
        has(again, "fe80::5054:ff:fe00:1/64"),
    ]);
    assert_eq!(changes(host.take()), [Output::Join(again, group(5))]);
}

#[test]
fn no_more_than_so_many_are_joined_and_who_waits_comes_when_another_goes() {
    let most = u16::try_from(most_groups()).unwrap();
    let mut host = Host::new(live());
    let mut memberships = Memberships::default();
    let mut told = 0;
    for number in 1..=most + 20 {
        // As the kernel's table has it: found, without a question that costs a probe.
        host.facts(vec![found(number)]);
        let outputs = host.take();
        told += outputs.iter().filter(|o| matches!(o, Output::Event(Event::GroupsFull(UP, _)))).count();
        memberships.follow(&outputs);
    }
    assert_eq!((memberships.on(UP).len(), told), (most_groups(), 1));
    assert!(!memberships.0.contains(&(UP, group(most + 1))));
    // The host gets one of these addresses, so that it is no target any more.
    host.facts(vec![has(BRIDGE, &format!("{}/128", guest(3)))]);
    memberships.follow(&host.take());
    assert_eq!(memberships.on(UP).len(), most_groups());
    assert!(memberships.0.contains(&(UP, group(most + 1))));
    assert!(!memberships.0.contains(&(UP, group(3))), "who came last waits");
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    memberships.follow(&host.take());
    assert!(memberships.0.is_empty());
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
    let mut memberships = Memberships::default();
    for number in 1..=6 {
        host.facts(vec![found(number)]);
        memberships.follow(&host.take());
    }
    for (groups, joined) in [(5, 5), (2, 2), (9, 6)] {
        host.input(Input::Reload(Box::new(limited(groups))));
        memberships.follow(&host.take());
        assert_eq!(memberships.on(UP).len(), joined, "at most {groups}");
    }
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    memberships.follow(&host.take());
    assert!(memberships.0.is_empty());
}
