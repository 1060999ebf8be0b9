//! Before we claim: the link is asked who has an address, and the station that has it wins.

use std::net::Ipv6Addr;

use lone64::engine::facts::{
    Fact, IfIndex, KernelRoute, KernelRule, LinkLayer, LinkState, Neighbor, NeighborState, NextHop, RouteKind,
};
use lone64::engine::policy::{Answer, Automatic, Downstream, Override, Policy, RangeRoutes};
use lone64::engine::{Event, Input, Output, State};
use lone64::wire::{Advertisement, DropReason, Flags, Mac, Solicitation};

use crate::host::*;

/// Another customer's machine on the provider's link. Its link-layer address is lower than ours.
const OWNER: Mac = Mac([0x02, 0, 0, 0, 0, 9]);
const VETH: IfIndex = IfIndex(4);
/// One whose link-layer address is higher.
const HIGHER: Mac = Mac([0xfe, 0, 0, 0, 0, 9]);

fn also(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = announcing();
    change(&mut policy);
    policy
}

/// What is sent on the upstream that rewrites what others believe of the target.
fn claims(outputs: &[Output], target: Ipv6Addr) -> usize {
    let is_claim = |output: &&Output| match output {
        Output::Advertise(UP, sent) => {
            sent.target == target && (sent.flags.override_entry || !sent.flags.solicited)
        }
        Output::Solicit(UP, sent) => sent.source == target,
        _ => false,
    };
    outputs.iter().filter(is_claim).count()
}

fn checks(outputs: &[Output], target: Ipv6Addr) -> usize {
    probes(outputs).iter().filter(|sent| sent.is_dad() && sent.target == target).count()
}

/// A host that is there defends its address: RFC 4862 §5.4.4.
fn defend(host: &mut Host, target: Ipv6Addr) {
    host.input(Input::Advertisement(UP, reply(target, OWNER)));
}

fn conflicts(host: &Host) -> Vec<(Ipv6Addr, Mac, bool)> {
    host.engine.conflicts().collect()
}

/// The range has its guests on the bridge, and on a veth.
fn with_two_downstreams() -> Host {
    let mut host = Host::new(also(|policy| {
        policy.ranges[0].downstream =
            Downstream::Matching(["lxcbr0", "veth*"].map(|pattern| pattern.parse().unwrap()).to_vec())
    }));
    host.facts(vec![
        Fact::Link(link(VETH, "veth0", LinkLayer::Ethernet(Mac([2; 6])))),
        has(VETH, "fe80::7/64"),
    ]);
    host
}

/// For so long; the owner defends the address as often as it is asked for. The claims that we made.
fn beside_an_owner(host: &mut Host, target: Ipv6Addr, ticks: u32) -> usize {
    let mut claimed = 0;
    for _ in 0..ticks {
        host.pass(millis(50));
        let outputs = host.take();
        claimed += claims(&outputs, target);
        for _ in 0..checks(&outputs, target) {
            defend(host, target);
        }
    }
    claimed
}

#[test]
fn an_address_of_the_host_that_another_station_has_is_neither_announced_nor_answered_for() {
    let mut policy = announcing();
    policy.ranges.clear();
    policy.upstreams[0].automatic = Some(Automatic::default());
    let mut host = Host::new(policy);
    let connected = KernelRoute { protocol: 2, ..route("2001:db8:1:2:c::/112", RouteKind::Unicast(BRIDGE)) };
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112"), Fact::Route(connected)]);
    assert_eq!(beside_an_owner(&mut host, guest(1), 20), 0);
    assert!(!host.answers_for(guest(1)));
    assert_eq!(host.dropped(DropReason::Conflict), 1);
    assert_eq!(conflicts(&host), [(guest(1), OWNER, true)]);
    // For ten minutes the owner is asked now and then, and nothing of it is ever claimed.
    assert_eq!(beside_an_owner(&mut host, guest(1), 12_000), 0);
    assert!(!host.answers_for(guest(1)));
    // It goes, and after a while the address is ours.
    host.pass(seconds(300));
    assert!(host.events().contains(&Event::ConflictOver(guest(1), UP)));
    assert!(host.answers_for(guest(1)));
    assert_eq!(conflicts(&host), []);
}

#[test]
fn a_guest_that_has_the_address_of_another_station_is_not_answered_for() {
    let mut host = Host::new(announcing()).with_guest(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    assert_eq!(beside_an_owner(&mut host, guest(5), 100), 0);
    assert!(!host.answers_for(guest(5)));
    let told = host.events();
    assert_eq!(
        told.iter().filter(|event| matches!(event, Event::Conflict(..))).count(),
        0,
        "once is enough: {told:?}"
    );
}

#[test]
fn meanwhile_questions_are_answered_without_overriding() {
    for flag in [Override::Takeover, Override::Never] {
        let mut host = Host::new(also(|policy| policy.upstreams[0].override_flag = flag));
        host.make_live(guest(5), guest_mac(5));
        let answer = host.answer_to(question(guest(5))).expect("the first answer waits for nothing");
        assert!(!answer.flags.override_entry);
        host.pass(millis(900));
        assert_eq!(claims(&host.take(), guest(5)), 0);
        host.pass(millis(200));
        assert!(claims(&host.take(), guest(5)) > 0, "nobody has spoken up for a second");
    }
}

#[test]
fn the_link_is_asked_again_after_it_was_down_and_not_for_another_link_layer_address() {
    let up = |state, mac| {
        Fact::Link(lone64::engine::facts::Link { state, ..link(UP, "up0", LinkLayer::Ethernet(mac)) })
    };
    let mut host = Host::new(announcing()).with_guest(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(10));
    host.take();
    host.facts(vec![up(LinkState::Up, HIGHER)]);
    host.pass(millis(100));
    let outputs = host.take();
    assert_eq!(checks(&outputs, guest(5)), 0);
    assert!(claims(&outputs, guest(5)) > 0, "the router is to know of it at once");
    host.facts(vec![up(LinkState::NoCarrier, HIGHER)]);
    host.facts(vec![up(LinkState::Up, HIGHER)]);
    host.pass(millis(900));
    let outputs = host.take();
    assert_eq!((checks(&outputs, guest(5)), claims(&outputs, guest(5))), (1, 0));
    host.pass(seconds(1));
    assert!(claims(&host.take(), guest(5)) > 0);
}

#[test]
fn a_guest_that_moves_is_announced_at_once() {
    let mut host = with_two_downstreams();
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(10));
    host.take();
    // It is heard elsewhere, and does not reply where it was.
    host.input(Input::Advertisement(VETH, reply(guest(5), guest_mac(5))));
    host.pass(seconds(1));
    host.guests.insert(guest(5), guest_mac(5));
    host.pass(seconds(1));
    let outputs = host.take();
    assert_eq!(checks(&outputs, guest(5)), 0, "the same address was ours a moment ago");
    assert!(claims(&outputs, guest(5)) > 0);
}

#[test]
fn the_kernels_own_entry_of_another_station_is_evidence() {
    let entry = |mac| {
        Fact::Neighbor(Neighbor {
            link: UP,
            address: guest(5),
            mac: Some(mac),
            state: NeighborState::Reachable,
        })
    };
    let mut host = Host::new(announcing()).with_guest(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    host.facts(vec![entry(UP_MAC)]);
    assert!(host.answers_for(guest(5)), "our own is none");
    host.facts(vec![entry(OWNER)]);
    assert!(!host.answers_for(guest(5)));
    // What the kernel has found may have gone since: the link is asked at once, twice.
    host.pass(seconds(3));
    assert!(host.answers_for(guest(5)));
}

#[test]
fn the_providers_router_is_never_answered_for_in_any_mode_whoever_has_its_address() {
    let via = |router| KernelRoute { next_hop: NextHop::Via(router), ..default_route(UP) };
    for answer in [Answer::Live, Answer::Always] {
        let mut host =
            Host::new(also(|policy| policy.ranges[0].answer = answer)).with_guest(guest(5), guest_mac(5));
        host.facts(vec![Fact::Route(via(guest(1))), Fact::Route(KernelRoute { metric: 7, ..via(guest(5)) })]);
        host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
        host.take();
        for router in [guest(1), guest(5)] {
            assert_eq!(host.answer_to(question(router)), None);
            assert_eq!(
                host.answer_to(dad(ROUTER_MAC, router)),
                None,
                "its own check for duplicates succeeds"
            );
        }
        host.pass(seconds(10));
        let outputs = host.take();
        assert_eq!((claims(&outputs, guest(1)), claims(&outputs, guest(5))), (0, 0));
    }
}

#[test]
fn a_second_upstreams_router_is_none_of_ours_and_a_guest_that_others_leave_by_is_served() {
    // Its default route is in a table of its own, which a rule names.
    let from = net("2001:db8:1:2:e::/80");
    let rule = KernelRule { from, ..KernelRule::lookup(100, 101) };
    for (link, is_served) in [(UP, false), (BRIDGE, true)] {
        let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
        let via = KernelRoute { next_hop: NextHop::Via(guest(5)), table: 101, ..default_route(link) };
        host.facts(vec![Fact::Route(default_route(UP)), Fact::Rule(rule.clone()), Fact::Route(via)]);
        host.solicit(question(guest(5)));
        host.pass(seconds(1));
        assert_eq!(host.answers_for(guest(5)), is_served);
    }
}

#[test]
fn the_router_gets_an_address_back_that_it_did_not_have_when_the_link_was_asked() {
    // It has more addresses than the one that the route leads through.
    let mut host = Host::new(announcing());
    let fe80 = address("fe80::1");
    let entry = Neighbor { link: UP, address: fe80, mac: Some(ROUTER_MAC), state: NeighborState::Stale };
    host.facts(vec![
        Fact::Route(KernelRoute { next_hop: NextHop::Via(fe80), ..default_route(UP) }),
        Fact::Neighbor(entry),
        has(BRIDGE, "2001:db8:1:2:c::1/112"),
    ]);
    host.pass(seconds(10));
    assert!(claims(&host.take(), guest(1)) > 0, "nobody else has it");
    assert!(host.answer_to(dad(OWNER, guest(1))).is_some(), "another customer does not get it");
    assert_eq!(host.answer_to(dad(ROUTER_MAC, guest(1))), None);
    assert_eq!(conflicts(&host), [(guest(1), ROUTER_MAC, true)]);
    // Its kernel may still ask for the one that it took for the owner before.
    assert_eq!(host.answer_to(question_from(fe80, ROUTER_MAC, guest(1))), None);
    assert_eq!(conflicts(&host), [(guest(1), ROUTER_MAC, true)]);
    host.pass(seconds(100));
    assert_eq!(claims(&host.take(), guest(1)), 0, "it may be away, while it starts again");
    assert_eq!(host.answer_to(dad(ROUTER_MAC, guest(1))), None);
    host.pass(seconds(1_200));
    assert!(host.answers_for(guest(1)), "it has given it up");
    // A guest that is there keeps its own.
    host.guests.insert(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(10));
    assert!(host.answer_to(dad(ROUTER_MAC, guest(5))).is_some());
}

#[test]
fn a_station_that_asks_for_an_address_does_not_have_it() {
    // A router that answers for its whole link, also for what we ask for.
    let mut host = Host::new(announcing()).with_guest(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    host.pass(millis(10));
    let proxied = |target| Advertisement { flags: Flags::default(), ..reply(target, ROUTER_MAC) };
    host.input(Input::Advertisement(UP, proxied(guest(5))));
    assert_eq!(conflicts(&host), [(guest(5), ROUTER_MAC, true)]);
    assert!(host.answer_to(question_from(address("fe80::1"), ROUTER_MAC, guest(5))).is_some());
    assert_eq!(conflicts(&host), []);
    // It cannot have what it asks for, whatever flags its word has.
    host.input(Input::Advertisement(UP, reply(guest(5), ROUTER_MAC)));
    assert_eq!(conflicts(&host), []);
    // From then on its word for others counts only if it says that it is no proxy's.
    host.guests.insert(guest(6), guest_mac(6));
    host.make_live(guest(6), guest_mac(6));
    host.pass(millis(10));
    host.input(Input::Advertisement(UP, proxied(guest(6))));
    assert_eq!(conflicts(&host), []);
    host.input(Input::Advertisement(UP, reply(guest(6), ROUTER_MAC)));
    assert_eq!(conflicts(&host).len(), 1);
}

#[test]
fn two_that_ask_the_link_at_the_same_moment_agree_on_one() {
    let both = |stranger| {
        let mut host = Host::new(announcing()).with_guest(guest(5), guest_mac(5));
        host.make_live(guest(5), guest_mac(5));
        host.pass(millis(10));
        assert_eq!(checks(&host.take(), guest(5)), 1, "the link is being asked");
        host.solicit(dad(stranger, guest(5)));
        host.pass(seconds(5));
        host
    };
    let mut lower = both(HIGHER);
    assert!(lower.answers().iter().any(|answer| answer.destination.is_multicast()), "it is defended");
    assert!(lower.answers_for(guest(5)));
    assert_eq!(conflicts(&lower), [(guest(5), HIGHER, false)], "and that is told");
    let mut higher = both(OWNER);
    assert_eq!((higher.answers(), higher.answers_for(guest(5))), (vec![], false));
    assert_eq!(conflicts(&higher), [(guest(5), OWNER, true)]);
}

#[test]
fn a_strangers_question_asks_the_link_for_us_and_an_owner_is_left_to_defend_itself() {
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    host.take();
    host.solicit(dad(HIGHER, guest(5)));
    assert_eq!(host.answers(), []);
    host.pass(millis(100));
    defend(&mut host, guest(5));
    host.pass(seconds(2));
    assert_eq!(host.answers(), []);
    assert_eq!(host.dropped(DropReason::Conflict), 1, "the stranger's question");
}

#[test]
fn a_range_that_is_answered_as_a_whole_asks_the_link_once_and_gives_way() {
    let mut host = Host::new(also(|policy| policy.ranges[0].answer = Answer::Always));
    assert!(host.answers_for(guest(7)));
    host.pass(millis(10));
    assert_eq!(checks(&host.take(), guest(7)), 1);
    defend(&mut host, guest(7));
    assert!(!host.answers_for(guest(7)) && host.answers_for(guest(8)));
    for expected in [1, 0] {
        host.pass(seconds(5));
        let asked = host.take();
        assert_eq!(
            (checks(&asked, guest(8)), claims(&asked, guest(8))),
            (expected, 0),
            "once, and not announced"
        );
        assert!(host.answers_for(guest(8)));
    }
}

#[test]
fn a_stranger_gets_what_is_answered_for_as_a_whole_and_is_looked_for_on_its_link() {
    // A part of the link, which nothing routes to this host.
    let mut host = Host::new(also(|policy| {
        policy.ranges[0].answer = Answer::Always;
        policy.ranges[0].downstream = Downstream::Kernel;
        policy.ranges[0].routes = RangeRoutes::None;
    }));
    let kernels = |to, link| {
        Fact::Route(KernelRoute { protocol: 2, metric: 256, ..route(to, RouteKind::Unicast(link)) })
    };
    host.facts(vec![kernels("2001:db8:1:2::/64", UP)]);
    assert!(host.answers_for(guest(5)), "it may be translated, or taken by an IPsec policy");
    assert_eq!(host.answer_to(dad(OWNER, guest(6))), None);
    host.pass(seconds(3));
    assert_eq!(host.answers(), [], "nor later");
    assert_eq!(conflicts(&host), [(guest(6), OWNER, true)]);
    assert!(!host.answers_for(guest(6)) && host.answers_for(guest(5)));
    host.pass(seconds(300));
    assert!(host.answers_for(guest(6)), "it has left");
    // What is routed to this host is defended.
    host.facts(vec![kernels("2001:db8:1:2:c::/112", BRIDGE)]);
    assert!(host.answer_to(dad(OWNER, guest(7))).is_some());
}

#[test]
fn a_scan_of_such_a_range_is_not_asked_on_to_the_link() {
    let mut host = Host::new(also(|policy| policy.ranges[0].answer = Answer::Always));
    for number in 0..5_000 {
        host.solicit(question(guest(number)));
    }
    host.take();
    host.pass(seconds(5));
    let asked = probes(&host.take()).iter().filter(|sent: &&Solicitation| sent.is_dad()).count();
    assert!(asked <= 64, "{asked} questions");
}

#[test]
fn a_guest_behind_a_proxy_that_replies_late_and_to_its_group_alone_keeps_its_address() {
    let mut host = with_two_downstreams();
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(10));
    for _ in 0..3 {
        host.take();
        host.input(Input::Advertisement(VETH, reply(guest(5), guest_mac(66))));
        host.pass(millis(200));
        let asked = host.probes();
        let to_group = asked.iter().filter(|probe| probe.destination.is_multicast()).count();
        assert_eq!((asked.len(), to_group), (2, 1), "its station, and its group");
        host.pass(millis(616));
        host.advertise(guest(5), guest_mac(5));
        host.pass(seconds(5));
        let place = host.engine.targets().find(|(target, _)| *target == guest(5));
        assert!(matches!(place, Some((_, State::Live(live))) if live.link == BRIDGE));
    }
}

/// What would not be answered for is no conflict.
#[test]
fn who_has_an_address_that_leads_nowhere_here_is_no_rival() {
    let mut host = Host::new(always());
    host.facts(vec![bridge(LinkState::Down)]);
    host.input(Input::Advertisement(UP, reply(guest(5), OWNER)));
    assert_eq!(host.engine.conflicts().count(), 0);
}
