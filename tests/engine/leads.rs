//! A guest that reports its group is asked for before anybody wants it: the first question for it is answered at once.

use std::net::Ipv6Addr;

use lone64::engine::facts::{Fact, IfIndex, Link, LinkLayer};
use lone64::engine::policy::{Answer, Downstream, Policy, RangeRoutes};
use lone64::engine::{Input, Outcome, Output, State};
use lone64::wire::{Mac, MldRecord, MldRecordKind, MldReport, MldVersion, solicited_node};

use crate::host::*;

fn veth(number: u16) -> IfIndex {
    IfIndex(u32::from(number) + 100)
}

fn listens(host: &mut Host, link: IfIndex) {
    host.input(Input::EarChanged(link, Outcome::Done));
}

/// A range behind as many interfaces, one for each guest.
fn host_with_veths(count: u16) -> Host {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Matching(vec!["veth*".parse().unwrap()]);
        policy.ranges[0].routes = RangeRoutes::Guests;
    }));
    for number in 0..count {
        let mac = LinkLayer::Ethernet(Mac([2, 0xee, 0, 0, 0, 1]));
        let known = Link { leads_to_one: true, ..link(veth(number), &format!("veth{number}"), mac) };
        host.facts(vec![Fact::Link(known), has(veth(number), "fe80::ee/64")]);
        listens(&mut host, veth(number));
    }
    host.take();
    host
}

/// The usual host, which hears its guests.
fn host(change: impl FnOnce(&mut Policy)) -> Host {
    let mut host = Host::new(with(change));
    listens(&mut host, BRIDGE);
    host.take();
    host
}

fn says(host: &mut Host, link: IfIndex, kind: MldRecordKind, mac: Mac, addresses: &[Ipv6Addr]) {
    let record = |address: &Ipv6Addr| MldRecord { kind, group: solicited_node(*address) };
    let records = addresses.iter().map(record).collect();
    let (source, version) = (address("fe80::99"), MldVersion::V2);
    host.input(Input::Report(link, MldReport { source_mac: mac, source, version, records }));
}

fn reports(host: &mut Host, link: IfIndex, number: u16) {
    says(host, link, MldRecordKind::Begin, guest_mac(number), &[guest(number)]);
}

/// The interfaces on which this target is asked for.
fn asked(outputs: &[Output], target: Ipv6Addr) -> Vec<IfIndex> {
    let link = |output: &Output| match output {
        Output::Solicit(link, probe) if probe.target == target => Some(*link),
        _ => None,
    };
    outputs.iter().filter_map(link).collect()
}

fn all_asked(outputs: &[Output]) -> Vec<(IfIndex, Ipv6Addr)> {
    let probe = |output: &Output| match output {
        Output::Solicit(link, probe) => Some((*link, probe.target)),
        _ => None,
    };
    outputs.iter().filter_map(probe).collect()
}

#[test]
fn of_two_thousand_interfaces_one_is_asked_and_the_first_question_is_answered_at_once() {
    let mut host = host_with_veths(2_000).with_guest(guest(5), guest_mac(5));
    reports(&mut host, veth(1_234), 5);
    assert_eq!(host.engine.target(guest(5)), None, "a report alone makes nothing live");
    host.pass(millis(1));
    assert_eq!(all_asked(&host.take()), [(veth(1_234), guest(5))]);
    assert!(matches!(host.engine.target(guest(5)), Some(State::Live(live)) if live.link == veth(1_234)));
    assert!(host.answers_for(guest(5)));
    // It is known: that it reports again costs nothing.
    reports(&mut host, veth(1_234), 5);
    host.pass(millis(100));
    assert_eq!(all_asked(&host.take()), []);
}

#[test]
fn one_that_does_not_reply_is_asked_twice_and_is_then_as_unknown_as_before() {
    let mut host = host_with_veths(3);
    reports(&mut host, veth(1), 5);
    host.pass(millis(900));
    assert_eq!(all_asked(&host.take()), [(veth(1), guest(5))]);
    host.pass(seconds(60));
    assert_eq!(
        all_asked(&host.take()),
        [(veth(1), guest(5))],
        "one that was checking its address has it by now"
    );
    assert_eq!(host.engine.target(guest(5)), None);
    // Its first question costs as many probes as ever: where it was reported, and then everywhere.
    assert_eq!(asked(&host.ask(guest(5)), guest(5)), [veth(1)]);
    host.pass(seconds(60));
    assert_eq!(asked(&host.take(), guest(5)).len(), 3 * 3);
}

/// The probe that went out before may be long gone: the group of a guest's link-local address may have caused it, and the
/// guest that has the target have come since.
#[test]
fn a_question_that_comes_meanwhile_is_asked_at_once_and_has_as_many_probes_as_any_other() {
    let mut host = host_with_veths(3);
    reports(&mut host, veth(1), 5);
    host.pass(millis(500));
    assert_eq!(asked(&host.take(), guest(5)), [veth(1)]);
    assert_eq!(asked(&host.ask(guest(5)), guest(5)), [veth(1)]);
    host.pass(millis(300));
    assert_eq!(asked(&host.take(), guest(5)), [0, 1, 2].map(veth));
    host.input(Input::Advertisement(veth(2), reply(guest(5), guest_mac(5))));
    let answers = host.answers();
    assert!(matches!(&answers[..], [answer] if answer.target == guest(5)), "{answers:?}");
    // Where there is no other interface it is asked again a second later.
    let mut host = self::host(|_| {});
    reports(&mut host, BRIDGE, 6);
    host.pass(millis(500));
    assert_eq!(asked(&host.take(), guest(6)), [BRIDGE]);
    assert_eq!(asked(&host.ask(guest(6)), guest(6)), [BRIDGE]);
    host.pass(millis(900));
    assert_eq!(asked(&host.take(), guest(6)), []);
    host.pass(seconds(60));
    assert_eq!(asked(&host.take(), guest(6)).len(), 2);
}

/// Where a guest asks for it, too.
#[test]
fn another_guest_that_asks_meanwhile_is_answered() {
    let mut host = host(|policy| {
        policy.ranges[0].proxy_downstream = true;
        policy.ranges.push(range("2001:db8:1:2:d::/112", "br1"));
        policy.ranges[1].proxy_downstream = true;
    });
    let other = IfIndex(9);
    let br1 = Fact::Link(link(other, "br1", LinkLayer::Ethernet(guest_mac(0xb1))));
    host.facts(vec![br1, has(other, "fe80::b1/64")]);
    listens(&mut host, other);
    reports(&mut host, BRIDGE, 5);
    host.pass(millis(500));
    host.take();
    let question = lone64::wire::Solicitation { source: address("2001:db8:1:2:d::7"), ..question(guest(5)) };
    host.input(Input::Solicitation(other, question));
    assert_eq!(asked(&host.take(), guest(5)), [BRIDGE]);
    host.advertise(guest(5), guest_mac(5));
    let outputs = host.take();
    let answered = |output: &Output| matches!(output, Output::Advertise(link, _) if *link == other);
    assert!(outputs.iter().any(answered), "{outputs:?}");
}

#[test]
fn what_bridges_heard_before_the_start_is_asked_for_when_everything_has_been_told() {
    let mut host = Host::bare(live()).with_guest(guest(0x2345), guest_mac(5));
    host.facts(usual_facts());
    host.facts(vec![Fact::Group { bridge: BRIDGE, port: IfIndex(77), suffix: 0x2345 }]);
    host.pass(seconds(1));
    assert_eq!(all_asked(&host.take()), [], "the kernel is still telling what there is");
    host.input(Input::Synced);
    listens(&mut host, BRIDGE);
    host.pass(millis(300));
    assert_eq!(all_asked(&host.take()), [(BRIDGE, guest(0x2345))]);
    assert!(host.answers_for(guest(0x2345)));
}

#[test]
fn an_interface_gets_some_seconds_until_it_has_an_address_to_ask_from() {
    for (seconds_later, is_found) in [(4, true), (20, false)] {
        let mut host = host(|_| {}).with_guest(guest(5), guest_mac(5));
        let gone = Fact::AddressGone { link: BRIDGE, address: address("fe80::5054:ff:fe00:b0") };
        host.facts(vec![gone]);
        reports(&mut host, BRIDGE, 5);
        host.pass(seconds(seconds_later));
        assert_eq!(all_asked(&host.take()), []);
        host.facts(vec![has(BRIDGE, "fe80::5054:ff:fe00:b0/64")]);
        host.pass(seconds(2));
        assert_eq!(host.is_live(guest(5)), is_found);
    }
}

#[test]
fn nobody_is_asked_for_whom_there_is_no_answer_to_give() {
    let of_others = [
        (Answer::Always, RangeRoutes::Range, false),
        (Answer::Never, RangeRoutes::None, false),
        (Answer::Never, RangeRoutes::Guests, true),
    ];
    for (answer, routes, is_asked) in of_others {
        let mut host = host(|policy| {
            (policy.ranges[0].answer, policy.ranges[0].routes) = (answer, routes);
        });
        reports(&mut host, BRIDGE, 5);
        host.pass(seconds(5));
        assert_eq!(!all_asked(&host.take()).is_empty(), is_asked, "{answer:?} {routes:?}");
    }
    let mut host = host(|policy| policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::5/128")]);
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::6/112")]);
    host.take();
    // One is excluded, one is the host itself, and one has another range's end.
    let others = [guest(5), guest(6), address("2001:db8:1:2:c::1:7")];
    says(&mut host, BRIDGE, MldRecordKind::Begin, guest_mac(5), &others);
    // On an upstream, and where no range is.
    says(&mut host, UP, MldRecordKind::Begin, guest_mac(5), &[guest(8)]);
    says(&mut host, IfIndex(99), MldRecordKind::Begin, guest_mac(5), &[guest(8)]);
    host.pass(seconds(5));
    assert_eq!(all_asked(&host.take()), []);
    reports(&mut host, BRIDGE, 8);
    host.pass(millis(1));
    assert_eq!(all_asked(&host.take()), [(BRIDGE, guest(8))]);
}

#[test]
fn who_has_left_meanwhile_or_reports_thousands_is_not_asked() {
    let mut host = host(|_| {});
    reports(&mut host, BRIDGE, 5);
    says(&mut host, BRIDGE, MldRecordKind::End, guest_mac(5), &[guest(5)]);
    for first in (0..5_000_u16).step_by(50) {
        let addresses: Vec<_> = (first..first + 50).map(guest).collect();
        says(&mut host, BRIDGE, MldRecordKind::Begin, guest_mac(9), &addresses);
    }
    host.pass(seconds(60));
    assert_eq!(all_asked(&host.take()), []);
}

/// rules.md, "Probing": who is asked for comes first, however many report.
#[test]
fn thousands_of_reports_leave_half_of_the_probes_to_questions_and_are_followed_in_time() {
    let mut host = host(|policy| policy.limits.probes_per_second = 100);
    let numbers = 1..=400_u16;
    for number in numbers.clone() {
        reports(&mut host, BRIDGE, number);
    }
    host.pass(millis(1));
    let at_once = all_asked(&host.take()).len();
    assert!((40..=60).contains(&at_once), "{at_once} probes");
    for dead in 1_000..1_040 {
        assert_eq!(asked(&host.ask(guest(dead)), guest(dead)), [BRIDGE], "{dead}");
    }
    numbers.clone().for_each(|number| _ = host.guests.insert(guest(number), guest_mac(number)));
    host.pass(seconds(30));
    let live = numbers.filter(|number| host.is_live(guest(*number))).count();
    assert_eq!(live, 400);
}

/// Who reports what nobody has holds up others that report, and those who ask for somebody not at all.
#[test]
fn those_that_nobody_asked_for_take_no_room_from_questions() {
    let mut host = host(|policy| policy.limits.pending = 16);
    (1..=100).for_each(|number| reports(&mut host, BRIDGE, number));
    host.pass(millis(1));
    assert_eq!(all_asked(&host.take()).len(), 2);
    // Strangers on the upstream may have half of it.
    for dead in 1_000..1_008 {
        assert_eq!(asked(&host.ask(guest(dead)), guest(dead)), [BRIDGE], "{dead}");
    }
    host.guests.insert(guest(50), guest_mac(50));
    assert!(host.answers_for(guest(50)), "it has reported, and comes first");
}

#[test]
fn where_there_is_no_room_nothing_that_is_known_goes_for_it() {
    let mut host = host(|policy| policy.limits.targets = 2);
    host.make_live(guest(1), guest_mac(1));
    host.ask(guest(2));
    reports(&mut host, BRIDGE, 5);
    host.pass(millis(100));
    assert_eq!(asked(&host.take(), guest(5)), []);
    assert!(host.engine.target(guest(2)).is_some() && host.is_live(guest(1)));
}

#[test]
fn in_a_64_a_guest_is_asked_for_by_the_address_that_its_mac_makes() {
    let mut host = host(|policy| policy.ranges[0].prefix = net("2001:db8:1:3::/64"));
    let mac = Mac([0x52, 0x54, 0, 0xaa, 0xbb, 0xcc]);
    let target = address("2001:db8:1:3:5054:ff:feaa:bbcc");
    host.guests.insert(target, mac);
    says(&mut host, BRIDGE, MldRecordKind::IsListened, mac, &[target]);
    host.pass(millis(1));
    assert!(host.is_live(target));
}

#[test]
fn nothing_is_asked_while_the_host_gives_everything_back() {
    let mut host = host(|_| {});
    host.input(Input::Stop);
    host.take();
    reports(&mut host, BRIDGE, 5);
    host.pass(seconds(5));
    assert_eq!(all_asked(&host.take()), []);
    assert_eq!(host.engine.next_timeout(), None);
}

#[test]
fn ranges_behind_other_interfaces_take_no_room_from_those_behind_this_one() {
    let mut host = host(|policy| {
        let others = (0..9).map(|number| range(&format!("2001:db8:1:2:d{number}::/112"), "br1"));
        policy.ranges = others.chain(std::mem::take(&mut policy.ranges)).collect();
    });
    reports(&mut host, BRIDGE, 5);
    host.pass(millis(1));
    assert_eq!(asked(&host.take(), guest(5)), [BRIDGE]);
}

#[test]
fn one_that_others_report_too_is_asked_once_more_behind_its_range_alone() {
    let mut host = host_with_veths(3);
    listens(&mut host, BRIDGE);
    reports(&mut host, BRIDGE, 5);
    reports(&mut host, veth(1), 5);
    host.pass(seconds(60));
    assert_eq!(all_asked(&host.take()), [(veth(1), guest(5)); 2]);
}

#[test]
fn one_that_nobody_has_asked_for_takes_no_probe_that_is_scarce_when_it_is_asked_once_more() {
    let mut host = host(|policy| policy.limits.probes_per_second = 4);
    reports(&mut host, BRIDGE, 5);
    host.pass(millis(990));
    assert_eq!(asked(&host.take(), guest(5)), [BRIDGE]);
    (100..120).for_each(|number| _ = host.ask(guest(number)));
    host.pass(millis(100));
    assert_eq!(asked(&host.take(), guest(5)), []);
}

#[test]
fn those_that_are_asked_where_they_reported_take_no_room_from_others() {
    let mut host = host(|policy| policy.limits.pending = 8);
    for number in 1..=8 {
        reports(&mut host, BRIDGE, number);
        assert_eq!(asked(&host.ask(guest(number)), guest(number)), [BRIDGE]);
    }
    assert_eq!(asked(&host.ask(guest(99)), guest(99)), [BRIDGE]);
}
