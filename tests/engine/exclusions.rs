//! Which range a target belongs to, and what is excluded from it.

use lone64::engine::policy::{Answer, RangeRoutes};
use lone64::wire::DropReason;

use crate::host::{BRIDGE, Host, address, guest, guest_mac, has, live, net, range, with};

fn always_but_short() -> crate::host::Host {
    Host::new(with(|policy| {
        let mut short = range("2001:db8:1:2::/64", "lxcbr0");
        short.answer = Answer::Never;
        policy.ranges[0].answer = Answer::Always;
        policy.ranges.push(short);
    }))
}

#[test]
fn the_longest_range_decides_and_the_shorter_one_around_it_does_not() {
    let mut host = always_but_short();
    assert!(host.answers_for(guest(5)));
    assert!(!host.answers_for(address("2001:db8:1:2:d::5")));
    assert_eq!(host.dropped(DropReason::NeverAnswered), 1);
}

#[test]
fn a_longer_range_that_is_never_answered_is_a_hole_in_the_shorter_one() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].answer = Answer::Never;
        let mut short = range("2001:db8:1:2::/64", "lxcbr0");
        short.answer = Answer::Always;
        policy.ranges.push(short);
    }));
    assert!(!host.answers_for(guest(5)));
    assert!(host.answers_for(address("2001:db8:1:2:d::5")));
}

#[test]
fn an_excluded_address_or_prefix_is_neither_answered_for_nor_probed() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::5/128"), net("2001:db8:1:2:c::100/120")];
    }));
    for number in [5, 0x100, 0x1ff] {
        host.advertise(guest(number), guest_mac(number));
        assert_eq!(host.ask(guest(number)), []);
    }
    assert_eq!((host.dropped(DropReason::Excluded), host.engine.known_targets()), (3, 0));
    for number in [4, 6, 0xff, 0x200] {
        host.make_live(guest(number), guest_mac(number));
        assert!(host.answers_for(guest(number)));
    }
}

#[test]
fn an_exclusion_holds_for_addresses_of_the_host_too() {
    let mut host = Host::new(with(|policy| policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::1/128")]));
    host.facts(vec![crate::host::has(crate::host::BRIDGE, "2001:db8:1:2:c::1/112")]);
    assert!(!host.answers_for(guest(1)));
}

#[test]
fn nothing_just_outside_a_range_of_any_length_is_answered_for() {
    for length in [64, 65, 80, 96, 112, 127, 128] {
        let prefix = ipnet::Ipv6Net::new(guest(0x40), length).unwrap().trunc();
        let mut host = Host::new(with(|policy| {
            policy.ranges[0].prefix = prefix;
            policy.ranges[0].answer = Answer::Always;
            policy.ranges[0].routes = RangeRoutes::None;
        }));
        let (first, last) = (u128::from(prefix.network()), u128::from(prefix.broadcast()));
        assert!(host.answers_for(first.into()) && host.answers_for(last.into()), "/{length}");
        assert!(!host.answers_for((first - 1).into()) && !host.answers_for((last + 1).into()), "/{length}");
    }
}

#[test]
fn a_target_that_is_live_in_one_range_says_nothing_of_its_neighbor_in_another() {
    let mut host = Host::new(with(|policy| policy.ranges.push(range("2001:db8:1:2:d::/112", "lxcbr0"))));
    host.make_live(guest(5), guest_mac(5));
    assert!(!host.answers_for(address("2001:db8:1:2:d::5")));
    assert_eq!(host.engine.policy().ranges.len(), live().ranges.len() + 1);
}

#[test]
fn more_may_be_excluded_than_there_are_links_routes_and_ranges() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].exclude = (0..100).map(|number| guest(number).into()).collect();
    }));
    for number in [99, 100] {
        host.advertise(guest(number), guest_mac(number));
        assert_eq!(host.answers_for(guest(number)), number == 100);
    }
}

#[test]
fn an_excluded_address_that_the_host_has_is_not_served_by_itself_either() {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::1/128")];
        policy.upstreams[0].automatic = Some(lone64::engine::policy::Automatic::default());
    }));
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112"), has(BRIDGE, "2001:db8:1:2:e::1/112")]);
    assert!(!host.answers_for(guest(1)));
    assert!(host.answers_for(address("2001:db8:1:2:e::1")), "others are");
}
