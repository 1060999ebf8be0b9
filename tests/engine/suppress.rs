//! Suppression: which unicast solicitations are kept from the kernel.

use lone64::engine::facts::{Fact, IfIndex, LinkLayer};
use lone64::engine::policy::{Answer, Policy, UpstreamInterface};
use lone64::engine::{Fate, Input, Output, Suppression};

use crate::host::{BRIDGE, Host, UP, UP_MAC, has, link, live, net, range, upstream, usual_facts, with};

/// The policy of [`live`] with `suppress-kernel`, but for this.
fn suppressing(change: impl FnOnce(&mut Policy)) -> Policy {
    with(|policy| {
        policy.upstreams = vec![upstream(UpstreamInterface::Named("up0".parse().unwrap()))];
        policy.upstreams[0].suppress_kernel = true;
        change(policy);
    })
}

/// What was asked for last, if anything was.
fn asked(outputs: &[Output]) -> Option<Vec<Suppression>> {
    let suppressions = |output: &Output| match output {
        Output::Suppress(suppressions) => Some(suppressions.clone()),
        _ => None,
    };
    outputs.iter().filter_map(suppressions).next_back()
}

fn at_start(policy: Policy) -> Option<Vec<Suppression>> {
    let mut host = Host::bare(policy);
    host.facts(usual_facts());
    host.input(Input::Synced);
    asked(&host.take())
}

fn on(link: IfIndex, fates: &[(&str, Fate)]) -> Vec<Suppression> {
    vec![Suppression { link, fates: fates.iter().map(|(prefix, fate)| (net(prefix), *fate)).collect() }]
}

const C: &str = "2001:db8:1:2:c::/112";

#[test]
fn nothing_is_suppressed_unless_it_is_asked_for() {
    assert_eq!(at_start(live()), None);
}

#[test]
fn solicitations_for_our_ranges_are_dropped() {
    assert_eq!(at_start(suppressing(|_| {})), Some(on(UP, &[(C, Fate::Drop)])));
}

#[test]
fn what_is_excluded_or_never_answered_is_left_to_the_kernel() {
    let policy = suppressing(|policy| {
        policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::10/124"), net("2001:db8:1:2:c::7/128")];
        policy.ranges.push(range("2001:db8:1:2:c::400/120", "lxcbr0"));
        policy.ranges[1].answer = Answer::Never;
        policy.ranges.push(range("2001:db8:1:2:d::/112", "lxcbr0"));
        policy.ranges[2].answer = Answer::Never;
    });
    let expected = [
        ("2001:db8:1:2:c::7/128", Fate::Keep),
        ("2001:db8:1:2:c::10/124", Fate::Keep),
        ("2001:db8:1:2:c::400/120", Fate::Keep),
        (C, Fate::Drop),
    ];
    assert_eq!(at_start(policy), Some(on(UP, &expected)));
}

#[test]
fn an_exclusion_holds_in_its_own_range_only() {
    let policy = suppressing(|policy| {
        policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::100/121"), net("2001:db8:1:2:c::200/119")];
        policy.ranges.push(range("2001:db8:1:2:c::100/120", "lxcbr0"));
        policy.ranges.push(range("2001:db8:1:2:c::200/120", "lxcbr0"));
    });
    let expected = [
        ("2001:db8:1:2:c::100/120", Fate::Drop),
        ("2001:db8:1:2:c::200/120", Fate::Drop),
        ("2001:db8:1:2:c::200/119", Fate::Keep),
        (C, Fate::Drop),
    ];
    assert_eq!(at_start(policy), Some(on(UP, &expected)));
}

#[test]
fn a_range_that_is_excluded_as_a_whole_is_left_to_the_kernel() {
    let policy = suppressing(|policy| policy.ranges[0].exclude = vec![net(C)]);
    assert_eq!(at_start(policy), None);
}

#[test]
fn addresses_of_the_upstream_are_left_to_the_kernel_as_they_come_and_those_of_the_gateway_are_not() {
    let mut host = Host::new(suppressing(|_| {}));
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    assert_eq!(asked(&host.take()), None);
    host.facts(vec![has(UP, "2001:db8:1:2:c::9/64")]);
    let with_own = [("2001:db8:1:2:c::9/128", Fate::Keep), (C, Fate::Drop)];
    assert_eq!(asked(&host.take()), Some(on(UP, &with_own)));
    host.facts(vec![Fact::AddressGone { link: UP, address: "2001:db8:1:2:c::9".parse().unwrap() }]);
    assert_eq!(asked(&host.take()), Some(on(UP, &[(C, Fate::Drop)])));
}

#[test]
fn the_table_follows_an_upstream_that_goes_and_comes_anew() {
    let mut host = Host::new(suppressing(|_| {}));
    host.facts(vec![Fact::LinkGone(UP)]);
    assert_eq!(asked(&host.take()), Some(Vec::new()));
    let again = IfIndex(9);
    host.facts(vec![Fact::Link(link(again, "up0", LinkLayer::Ethernet(UP_MAC)))]);
    assert_eq!(asked(&host.take()), Some(on(again, &[(C, Fate::Drop)])));
}

#[test]
fn the_table_is_taken_away_at_the_end_and_only_if_there_is_one() {
    let mut host = Host::new(suppressing(|_| {}));
    host.input(Input::Stop);
    assert_eq!(asked(&host.take()), Some(Vec::new()));
    let mut host = Host::new(live());
    host.input(Input::Stop);
    assert_eq!(asked(&host.take()), None);
}
