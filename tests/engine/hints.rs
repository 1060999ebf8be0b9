//! Guests report to which groups they listen: their addresses are asked for there first.

mod many;

use std::net::Ipv6Addr;
use std::time::Duration;

use lone64::engine::facts::{Fact, IfIndex, Link, LinkLayer, LinkState};
use lone64::engine::policy::{Automatic, Downstream, Policy, RangeRoutes};
use lone64::engine::{Input, Output, State};
use lone64::wire::{Mac, MldQuery, MldRecord, MldRecordKind, MldReport, MldVersion, solicited_node};

use crate::host::*;

fn veth(number: u16) -> IfIndex {
    IfIndex(u32::from(number) + 100)
}

fn veth_link(number: u16, state: LinkState) -> Fact {
    let mac = LinkLayer::Ethernet(Mac([2, 0xee, 0, 0, 0, 1]));
    Fact::Link(Link { state, leads_to_one: true, ..link(veth(number), &format!("veth{number}"), mac) })
}

/// A range behind as many interfaces, one for each guest.
fn host_with_veths(count: u16, change: impl FnOnce(&mut Policy)) -> Host {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Matching(vec!["veth*".parse().unwrap()]);
        policy.ranges[0].routes = RangeRoutes::Guests;
        change(policy);
    }));
    let links =
        (0..count).flat_map(|number| [veth_link(number, LinkState::Up), has(veth(number), "fe80::ee/64")]);
    host.facts(links.collect());
    for number in 0..count {
        host.input(Input::EarChanged(veth(number), lone64::engine::Outcome::Done));
    }
    host.take();
    host
}

fn report(kind: MldRecordKind, mac: Mac, addresses: &[Ipv6Addr]) -> MldReport {
    let record = |address: &Ipv6Addr| MldRecord { kind, group: solicited_node(*address) };
    MldReport {
        source_mac: mac,
        source: address("fe80::99"),
        version: MldVersion::V2,
        records: addresses.iter().map(record).collect(),
    }
}

fn reports(host: &mut Host, link: IfIndex, number: u16) {
    let report = report(MldRecordKind::Begin, guest_mac(number), &[guest(number)]);
    host.input(Input::Report(link, report));
}

/// The interfaces on which this target is asked for.
fn asked(outputs: &[Output], target: Ipv6Addr) -> Vec<IfIndex> {
    let link = |output: &Output| match output {
        Output::Solicit(link, probe) if probe.target == target => Some(*link),
        _ => None,
    };
    outputs.iter().filter_map(link).collect()
}

#[test]
fn of_two_thousand_interfaces_the_one_is_asked_where_somebody_listens() {
    let mut host = host_with_veths(2_000, |_| {});
    reports(&mut host, veth(1_234), 5);
    assert_eq!(host.engine.target(guest(5)), None, "a hint makes nothing live");
    assert_eq!(asked(&host.ask(guest(5)), guest(5)), [veth(1_234)]);
    host.input(Input::Advertisement(veth(1_234), reply(guest(5), guest_mac(5))));
    host.pass(seconds(2));
    let outputs = host.take();
    assert_eq!(asked(&outputs, guest(5)), []);
    assert!(advertisements(&outputs).iter().any(|answer| answer.target == guest(5)));
}

#[test]
fn where_nobody_replies_there_the_others_are_asked_soon() {
    let mut host = host_with_veths(5, |_| {});
    reports(&mut host, veth(3), 5);
    assert_eq!(asked(&host.ask(guest(5)), guest(5)), [veth(3)]);
    host.pass(millis(300));
    assert_eq!(asked(&host.take(), guest(5)), [0, 1, 2, 3, 4].map(veth));
    host.input(Input::Advertisement(veth(1), reply(guest(5), guest_mac(5))));
    assert!(matches!(host.engine.target(guest(5)), Some(State::Live(live)) if live.link == veth(1)));
}

#[test]
fn interfaces_that_have_a_guest_are_asked_last() {
    let mut host = host_with_veths(4, |_| {});
    for number in [0, 2] {
        host.input(Input::Advertisement(veth(number), reply(guest(100 + number), guest_mac(number))));
        assert!(host.is_live(guest(100 + number)));
    }
    assert_eq!(asked(&host.ask(guest(5)), guest(5)), [1, 3, 0, 2].map(veth));
}

#[test]
fn who_does_not_listen_any_more_or_has_gone_is_not_asked_first() {
    let mut host = host_with_veths(3, |_| {});
    let everywhere = [0, 1, 2].map(veth);
    reports(&mut host, veth(2), 5);
    host.input(Input::Report(veth(2), report(MldRecordKind::End, guest_mac(5), &[guest(5)])));
    assert_eq!(asked(&host.ask(guest(5)), guest(5)), everywhere);
    reports(&mut host, veth(2), 6);
    host.facts(vec![veth_link(2, LinkState::NoCarrier)]);
    host.facts(vec![veth_link(2, LinkState::Up)]);
    assert_eq!(asked(&host.ask(guest(6)), guest(6)), everywhere);
}

#[test]
fn a_guest_that_reports_thousands_of_groups_gets_no_hints_and_others_keep_theirs() {
    let mut host = host_with_veths(3, |_| {});
    reports(&mut host, veth(1), 5);
    for first in (0..5_000_u16).step_by(50) {
        let addresses: Vec<_> = (first..first + 50).map(guest).collect();
        host.input(Input::Report(veth(2), report(MldRecordKind::Begin, guest_mac(9), &addresses)));
    }
    assert_eq!(asked(&host.ask(guest(7)), guest(7)), [0, 1, 2].map(veth));
    assert_eq!(asked(&host.ask(guest(5)), guest(5)), [veth(1)]);
}

#[test]
fn a_group_from_which_nobody_replies_costs_a_probe_a_second_at_most() {
    let mut host = Host::new(with(|policy| policy.limits.probes_per_second = 1));
    host.input(Input::Report(BRIDGE, report(MldRecordKind::Begin, guest_mac(5), &[guest(5)])));
    let mut count = 0;
    for _ in 0..1_000 {
        // It is forgotten in between, so that each question is a first one.
        count += asked(&host.ask(guest(5)), guest(5)).len();
        host.pass(millis(100));
        count += asked(&host.take(), guest(5)).len();
    }
    assert!(count <= 4 + 2 * 100, "{count} probes in 100 seconds");
}

#[test]
fn what_a_bridge_knows_of_its_ports_is_a_hint_too() {
    let mut host = Host::new(with(|policy| policy.limits.probes_per_second = 1));
    (1..50).for_each(|dead| host.solicit(question(guest(dead))));
    let (bridge, port, suffix) = (BRIDGE, IfIndex(77), 0x01_2345);
    let target = address("2001:db8:1:2:c::2345");
    assert_eq!(asked(&host.ask(target), target), [], "there are no probes left");
    host.facts(vec![Fact::Group { bridge, port, suffix: suffix & 0xffff }]);
    assert_eq!(asked(&host.ask(target), target), [BRIDGE]);
    host.facts(vec![Fact::GroupGone { bridge, port, suffix: suffix & 0xffff }]);
    host.pass(seconds(10));
    (1..50).for_each(|dead| host.solicit(question(guest(dead))));
    assert_eq!(asked(&host.ask(target), target), []);
}

#[test]
fn guests_that_report_are_found_at_the_first_question_however_fast_somebody_scans() {
    let mut host = Host::new(live());
    let guests: Vec<u16> = (60_000..60_050).collect();
    for number in &guests {
        host.guests.insert(guest(*number), guest_mac(*number));
        reports(&mut host, BRIDGE, *number);
    }
    let (step, mut scanned) = (Duration::from_secs(1) / 100_000, 0);
    let mut scan = |host: &mut Host, count: u32| {
        for _ in 0..count {
            scanned = scanned % 50_000 + 1;
            host.solicit(question(guest(scanned)));
            host.pass(step);
            host.take();
        }
    };
    // Whatever there is of probes and room has gone by then.
    scan(&mut host, 40_000);
    for number in guests {
        scan(&mut host, 500);
        let outputs = host.ask(guest(number));
        let is_answer =
            |output: &Output| matches!(output, Output::Advertise(UP, a) if a.target == guest(number));
        assert!(outputs.iter().any(is_answer), "{number}");
    }
}

fn queries(outputs: &[Output]) -> Vec<(IfIndex, MldQuery)> {
    let query = |output: &Output| match output {
        Output::Query(link, query) => Some((*link, *query)),
        _ => None,
    };
    outputs.iter().filter_map(query).collect()
}

/// It may have reported before anybody heard it. A bridge has heard its guests itself, and would take us for a querier.
#[test]
fn the_guest_at_the_end_of_a_pair_is_asked_once_to_which_groups_it_listens() {
    let policy = with(|policy| {
        policy.ranges[0].downstream =
            Downstream::Matching(["veth*", "lxcbr0"].map(|name| name.parse().unwrap()).to_vec());
        policy.ranges[0].routes = RangeRoutes::Guests;
    });
    let mut host = Host::new(policy);
    host.facts(vec![veth_link(1, LinkState::Up)]);
    host.input(Input::EarChanged(veth(1), lone64::engine::Outcome::Done));
    host.input(Input::EarChanged(BRIDGE, lone64::engine::Outcome::Done));
    assert_eq!(queries(&host.take()), [], "RFC 3810 §5.1.14: from a link-local address");
    host.facts(vec![has(veth(1), "fe80::ee/64")]);
    let asked = queries(&host.take());
    let [(link, query)] = asked[..] else { panic!("{asked:?}") };
    assert_eq!((link, query.source, query.group), (veth(1), address("fe80::ee"), None));
    host.facts(vec![has(veth(1), "2001:db8:1:2:c::ee/128")]);
    host.input(Input::EarChanged(veth(1), lone64::engine::Outcome::Done));
    assert_eq!(queries(&host.take()), []);
    // Another guest may be there now.
    host.facts(vec![veth_link(1, LinkState::NoCarrier)]);
    host.facts(vec![veth_link(1, LinkState::Up), has(veth(1), "fe80::ee/64")]);
    assert_eq!(queries(&host.take()).len(), 1);
}

#[test]
fn what_strangers_on_the_upstream_listen_to_says_nothing() {
    let mut host = Host::new(with(|policy| policy.limits.probes_per_second = 1));
    (1..50).for_each(|dead| host.solicit(question(guest(dead))));
    host.input(Input::Report(UP, report(MldRecordKind::Begin, ROUTER_MAC, &[guest(5)])));
    assert_eq!(asked(&host.ask(guest(5)), guest(5)), []);
}

/// Whether the socket of all interfaces is wanted, where that was said.
fn hears_newcomers(outputs: &[Output]) -> Option<bool> {
    let said = |output: &Output| match output {
        Output::HearNewcomers(are_heard) => Some(*are_heard),
        _ => None,
    };
    outputs.iter().filter_map(said).next_back()
}

#[test]
fn interfaces_that_may_come_are_heard_from_the_start_and_nothing_is_where_all_are_there() {
    let mut host = Host::bare(live());
    host.facts(usual_facts());
    host.input(Input::Synced);
    assert_eq!(hears_newcomers(&host.take()), Some(false));
    host.facts(vec![Fact::LinkGone(BRIDGE)]);
    assert_eq!(hears_newcomers(&host.take()), Some(true), "it may come back with its guests");
    host.facts(vec![bridge(LinkState::Up), has(BRIDGE, "fe80::5054:ff:fe00:b0/64")]);
    assert_eq!(hears_newcomers(&host.take()), Some(false));
    let veths = with(|policy| {
        policy.ranges[0].downstream = Downstream::Matching(vec!["veth*".parse().unwrap()]);
    });
    host.input(Input::Reload(Box::new(veths)));
    assert_eq!(hears_newcomers(&host.take()), Some(true));
    let mut host = Host::bare(with(|policy| policy.upstreams[0].automatic = Some(Automatic::default())));
    host.facts(usual_facts());
    host.input(Input::Synced);
    assert_ne!(hears_newcomers(&host.take()), Some(false), "others may get a range of their own");
}

/// rules.md, "Probing": "At most three per question for a dead target".
#[test]
fn where_there_is_one_interface_only_a_hint_costs_no_more_probes() {
    for retries in [1, 3] {
        let mut host = Host::new(with(|policy| policy.timers.retries = retries));
        host.input(Input::Report(BRIDGE, report(MldRecordKind::Begin, guest_mac(5), &[guest(5)])));
        let mut count = asked(&host.ask(guest(5)), guest(5)).len();
        host.pass(seconds(60));
        count += asked(&host.take(), guest(5)).len();
        assert_eq!(count, usize::from(retries));
    }
}

/// The same for a guest whose interface has gone, which is looked for on the others of its range.
#[test]
fn a_guest_that_went_with_its_interface_is_looked_for_elsewhere_with_as_many_probes() {
    for retries in [1, 3] {
        let mut host = host_with_veths(2, |policy| policy.timers.retries = retries);
        host.input(Input::Advertisement(veth(0), reply(guest(5), guest_mac(5))));
        assert!(host.is_live(guest(5)));
        host.take();
        host.facts(vec![veth_link(0, LinkState::NoCarrier)]);
        host.pass(seconds(60));
        assert_eq!(asked(&host.take(), guest(5)), vec![veth(1); usize::from(retries)]);
    }
}

/// The group of an address is that of all addresses with the same end, also of those of another range.
#[test]
fn who_listens_on_a_link_that_is_not_the_ranges_is_not_asked() {
    let mut policy = live();
    policy.ranges.push(range("2001:db8:1:2:d::/112", "br1"));
    let mut host = Host::new(policy);
    let other = IfIndex(9);
    host.facts(vec![
        Fact::Link(link(other, "br1", LinkLayer::Ethernet(guest_mac(0xb1)))),
        has(other, "fe80::b1/64"),
    ]);
    host.input(Input::EarChanged(other, lone64::engine::Outcome::Done));
    host.input(Input::Report(other, report(MldRecordKind::Begin, guest_mac(9), &[guest(5)])));
    assert_eq!(asked(&host.ask(guest(5)), guest(5)), [BRIDGE]);
    host.pass(seconds(10));
    assert!(asked(&host.take(), guest(5)).iter().all(|link| *link == BRIDGE));
    let theirs = address("2001:db8:1:2:d::5");
    assert_eq!(asked(&host.ask(theirs), theirs), [other], "there it is one");
}

#[test]
fn a_guest_that_joins_and_leaves_all_day_keeps_its_hints_as_one_with_many_does() {
    let mut host = Host::new(with(|policy| policy.limits.probes_per_second = 1));
    let say = |host: &mut Host, kind, number| {
        host.input(Input::Report(BRIDGE, report(kind, guest_mac(5), &[guest(number)])));
    };
    say(&mut host, MldRecordKind::Begin, 5);
    for _ in 0..3_000 {
        say(&mut host, MldRecordKind::Begin, 6);
        say(&mut host, MldRecordKind::End, 6);
    }
    (1_000..1_050).for_each(|dead| host.solicit(question(guest(dead))));
    assert_eq!(asked(&host.ask(guest(5)), guest(5)), [BRIDGE]);
    // It has one by now; with 2,047 more it still gets hints, and with another not.
    (10_000..12_047).for_each(|number| say(&mut host, MldRecordKind::Begin, number));
    assert_eq!(asked(&host.ask(guest(12_046)), guest(12_046)), [BRIDGE]);
    say(&mut host, MldRecordKind::Begin, 12_047);
    assert_eq!(asked(&host.ask(guest(12_045)), guest(12_045)), []);
}

/// All of these are in the same group, which has the last 24 bits of an address.
#[test]
fn a_group_in_which_guests_reply_is_asked_first_every_time() {
    let mut host = host_with_veths(3, |policy| policy.ranges[0].prefix = net("2001:db8:1:2:c::/80"));
    reports(&mut host, veth(2), 5);
    for number in 1..20 {
        let target = address(&format!("2001:db8:1:2:c:0:{number:x}00:5"));
        assert_eq!(asked(&host.ask(target), target), [veth(2)], "{number}");
        host.input(Input::Advertisement(veth(2), reply(target, guest_mac(number))));
    }
    // Where nobody replies it is so a few times, and then once a second.
    let silent = |number| address(&format!("2001:db8:1:2:c:0:{number:x}00:5"));
    let first = (30..40).filter(|number| asked(&host.ask(silent(*number)), silent(*number)) == [veth(2)]);
    assert_eq!(first.count(), 4);
}

/// "Stations and ports of one link": a thousand and some are enough.
#[test]
fn what_too_many_stations_of_one_link_say_is_not_heard_and_what_others_said_holds() {
    let mut host = host_with_veths(3, |_| {});
    for number in 0..1_025 {
        reports(&mut host, veth(2), number);
    }
    assert_eq!(asked(&host.ask(guest(1_024)), guest(1_024)), [0, 1, 2].map(veth));
    assert_eq!(asked(&host.ask(guest(1_023)), guest(1_023)), [veth(2)]);
    let more = report(MldRecordKind::Begin, guest_mac(7), &[guest(2_000)]);
    host.input(Input::Report(veth(2), more));
    assert_eq!(asked(&host.ask(guest(2_000)), guest(2_000)), [veth(2)], "of one that is known");
}

#[test]
fn a_group_is_remembered_on_eight_links_alone() {
    let mut host = host_with_veths(12, |_| {});
    for link in 0..12 {
        host.input(Input::Report(veth(link), report(MldRecordKind::Begin, guest_mac(link), &[guest(5)])));
    }
    for link in 0..8 {
        host.input(Input::Report(veth(link), report(MldRecordKind::End, guest_mac(link), &[guest(5)])));
    }
    assert_eq!(asked(&host.ask(guest(5)), guest(5)).len(), 12, "nobody listens there who is known");
}

/// One that listens to more groups than anybody does is not heard, and the others of its link are.
#[test]
fn who_listens_to_too_many_groups_takes_those_of_others_along_to_nowhere() {
    let mut host = host_with_veths(1, |_| {});
    let begin = |host: &mut Host, kind, mac, from: u32, count: u32| {
        for from in (from..from + count).step_by(250) {
            let addresses: Vec<_> = (from..from + 250)
                .map(|n| address(&format!("2001:db8:1:2:c::{:x}:{:x}", n >> 16, n & 0xffff)))
                .collect();
            host.input(Input::Report(veth(0), report(kind, mac, &addresses)));
        }
    };
    begin(&mut host, MldRecordKind::Begin, guest_mac(1), 1, 250);
    begin(&mut host, MldRecordKind::Begin, guest_mac(2), 1_001, 2_250);
    begin(&mut host, MldRecordKind::End, guest_mac(1), 1, 250);
    host.facts(vec![Fact::LinkGone(veth(0))]);
}
