//! Announcing: which targets, when, in what order, and what stops it. What the frames hold is
//! tests/rfc4861, section 7.2.6.

use std::net::Ipv6Addr;
use std::time::Duration;

use lone64::engine::facts::{Fact, KernelRoute, LinkLayer, LinkState, NextHop, RouteKind};
use lone64::engine::policy::{Announce, Answer, Policy, RangeRoutes};
use lone64::engine::{Change, Engine, Input, Outcome, Output, Time};
use lone64::wire::{Mac, Solicitation};

use crate::host::{
    BRIDGE, Host, LO, ROUTER_MAC, UP, UP_MAC, address, advertisements, announcing, bridge, dad,
    default_route, guest, guest_mac, has, link, live, millis, net, probes, question, reply, route, seconds,
    usual_facts, with,
};

const NEW_MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 2]);

/// The targets that were advertised unasked, and after how long.
fn announced(host: &mut Host, since: Time) -> Vec<(Duration, Ipv6Addr)> {
    let announcement = |(at, output): (Time, Output)| match output {
        Output::Advertise(_, advertisement) if !advertisement.flags.solicited => {
            Some((at.since(since), advertisement.target))
        }
        _ => None,
    };
    host.take_timed().into_iter().filter_map(announcement).collect()
}

/// How often each of these targets is announced within ten seconds.
fn counts<const N: usize>(host: &mut Host, targets: [Ipv6Addr; N]) -> [usize; N] {
    let start = host.now;
    host.pass(seconds(10));
    let announced = announced(host, start);
    targets.map(|target| announced.iter().filter(|(_, announced)| *announced == target).count())
}

fn dads(outputs: &[Output]) -> Vec<Solicitation> {
    probes(outputs).into_iter().filter(Solicitation::is_dad).collect()
}

fn up(state: LinkState, mac: Mac) -> Fact {
    Fact::Link(lone64::engine::facts::Link { state, ..link(UP, "up0", LinkLayer::Ethernet(mac)) })
}

fn also(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = announcing();
    change(&mut policy);
    policy
}

#[test]
fn a_guest_that_is_proved_is_announced_three_times() {
    let mut host = Host::new(announcing());
    host.make_live(guest(5), guest_mac(5));
    assert_eq!(counts(&mut host, [guest(5)]), [3]);
    assert_eq!(host.engine.counters().announcements, 3);
    // Once it is known it is not announced again for being seen again.
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(counts(&mut host, [guest(5)]), [0]);
}

#[test]
fn a_guest_that_has_only_announced_itself_is_not_announced_before_it_replies() {
    let mut host = Host::new(announcing());
    host.advertise(guest(5), guest_mac(5));
    assert!(host.is_live(guest(5)));
    assert_eq!(counts(&mut host, [guest(5)]), [0]);
    let mut host = Host::new(announcing()).with_guest(guest(5), guest_mac(5));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    assert_eq!(counts(&mut host, [guest(5)]), [3]);
}

#[test]
fn nothing_is_announced_where_that_is_not_wanted() {
    for policy in [
        live(),
        also(|policy| policy.ranges[0].answer = Answer::Never),
        also(|policy| policy.ranges[0].exclude = vec![net("2001:db8:1:2:c::/124")]),
        also(|policy| policy.ranges[0].prefix = net("2001:db8:1:2:d::/112")),
    ] {
        let mut host = Host::new(policy);
        host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
        host.ask(guest(5));
        host.advertise(guest(5), guest_mac(5));
        host.facts(vec![up(LinkState::Up, NEW_MAC)]);
        assert_eq!(counts(&mut host, [guest(1), guest(5)]), [0, 0]);
    }
}

#[test]
fn addresses_of_the_host_behind_the_upstream_are_announced_when_they_are_there() {
    let mut facts = usual_facts();
    facts.push(has(BRIDGE, "2001:db8:1:2:c::1/112"));
    let mut host = Host::bare(announcing());
    host.facts(facts);
    host.input(Input::Synced);
    host.facts(vec![has(LO, "2001:db8:1:2:c::2/128"), has(UP, "2001:db8:1:2:c::3/64")]);
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::4/128"), has(UP, "2001:db8:1:2:c::4/64")]);
    assert_eq!(counts(&mut host, [guest(1), guest(2), guest(3), guest(4)]), [3, 3, 0, 0]);
    // What is merely told again is nothing new.
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    assert_eq!(counts(&mut host, [guest(1)]), [0]);
}

#[test]
fn of_a_range_that_is_always_answered_only_what_is_known_is_announced() {
    let mut host = Host::new(also(|policy| policy.ranges[0].answer = Answer::Always));
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    assert!(host.answers_for(guest(5)));
    assert_eq!(counts(&mut host, [guest(1), guest(5)]), [3, 0]);
}

#[test]
fn guests_of_a_predecessor_are_announced_at_the_start() {
    let mut host = Host::bare(also(|policy| policy.ranges[0].routes = RangeRoutes::Guests))
        .with_guest(guest(5), guest_mac(5));
    let left = route("2001:db8:1:2:c::5/128", RouteKind::Unicast(BRIDGE));
    host.kernel.insert(left.clone());
    let mut facts = usual_facts();
    facts.push(Fact::Route(left));
    host.facts(facts);
    host.input(Input::Synced);
    assert_eq!(counts(&mut host, [guest(5)]), [3]);
}

#[test]
fn all_are_announced_when_the_upstream_comes_up_or_gets_another_address() {
    for (down, up_again) in [
        (up(LinkState::NoCarrier, UP_MAC), up(LinkState::Up, UP_MAC)),
        (up(LinkState::Down, UP_MAC), up(LinkState::Up, UP_MAC)),
        (Fact::LinkGone(UP), up(LinkState::Up, UP_MAC)),
        (up(LinkState::Up, UP_MAC), up(LinkState::Up, NEW_MAC)),
    ] {
        let mut host = Host::new(announcing()).with_guest(guest(5), guest_mac(5));
        host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
        host.ask(guest(5));
        host.pass(seconds(10));
        host.take();
        host.facts(vec![down]);
        assert_eq!(counts(&mut host, [guest(1), guest(5)]), [0, 0]);
        host.facts(vec![
            up_again,
            has(UP, "fe80::5054:ff:fe00:1/64"),
            has(UP, "2001:db8:1:2::2/64"),
            Fact::Route(default_route(UP)),
        ]);
        assert_eq!(counts(&mut host, [guest(1), guest(5)]), [3, 3]);
    }
}

#[test]
fn a_guest_that_moved_is_announced_once_its_new_place_is_proved() {
    let mut policy = also(|policy| policy.ranges[0].routes = RangeRoutes::Guests);
    policy.ranges[0].downstream =
        lone64::engine::policy::Downstream::Matching(vec!["lxcbr0".parse().unwrap(), "gv1".parse().unwrap()]);
    let (plain, plain_mac) = (lone64::engine::facts::IfIndex(4), guest_mac(0x61));
    let mut host = Host::new(policy);
    host.facts(vec![
        Fact::Link(link(plain, "gv1", LinkLayer::Ethernet(plain_mac))),
        has(plain, "fe80::b1/64"),
    ]);
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(10));
    host.take();
    // It is heard elsewhere, and does not reply where it was.
    host.guests.insert(guest(5), guest_mac(5));
    host.input(Input::Advertisement(plain, reply(guest(5), guest_mac(5))));
    assert_eq!(counts(&mut host, [guest(5)]), [0], "it replies where it was");
    host.guests.clear();
    host.input(Input::Advertisement(plain, reply(guest(5), guest_mac(5))));
    host.pass(seconds(1));
    assert_eq!(announced(&mut host, Time::ORIGIN), []);
    host.guests.insert(guest(5), guest_mac(5));
    assert_eq!(counts(&mut host, [guest(5)]), [3]);
}

#[test]
fn a_rival_ends_it_and_so_do_the_loss_of_the_target_and_of_the_upstream() {
    for end in [
        Input::Advertisement(UP, reply(guest(5), ROUTER_MAC)),
        Input::Facts(vec![bridge(LinkState::Down)]),
        Input::Facts(vec![up(LinkState::NoCarrier, UP_MAC)]),
        Input::Facts(vec![has(UP, "2001:db8:1:2:c::5/64")]),
        Input::Stop,
    ] {
        let mut host = Host::new(announcing());
        host.make_live(guest(5), guest_mac(5));
        host.pass(millis(2_500));
        assert_eq!(announced(&mut host, Time::ORIGIN).len(), 2);
        host.input(end);
        assert_eq!(counts(&mut host, [guest(5)]), [0]);
    }
}

#[test]
fn nothing_is_announced_while_a_rival_defends() {
    let mut host = Host::new(announcing());
    host.make_live(guest(5), guest_mac(5));
    host.input(Input::Advertisement(UP, reply(guest(5), ROUTER_MAC)));
    host.facts(vec![up(LinkState::Up, NEW_MAC)]);
    host.pass(millis(1));
    assert_eq!(dads(&host.take()).len(), 1, "it is asked again");
    host.input(Input::Advertisement(UP, reply(guest(5), ROUTER_MAC)));
    assert_eq!(counts(&mut host, [guest(5)]), [0]);
}

#[test]
fn an_address_of_the_host_that_somebody_defends_is_not_announced_further() {
    let mut host = Host::new(announcing());
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    host.pass(millis(500));
    host.input(Input::Advertisement(UP, reply(guest(1), ROUTER_MAC)));
    host.take();
    assert_eq!(counts(&mut host, [guest(1)]), [0]);
}

#[test]
fn a_target_that_is_lost_and_found_again_is_announced_from_the_beginning() {
    let mut host = Host::new(announcing());
    host.make_live(guest(5), guest_mac(5));
    host.pass(millis(1_500));
    host.facts(vec![bridge(LinkState::Down)]);
    host.facts(vec![bridge(LinkState::Up)]);
    host.make_live(guest(5), guest_mac(5));
    assert_eq!(counts(&mut host, [guest(5)]), [3]);
}

#[test]
fn three_hundred_at_once_do_not_exceed_the_limit_and_the_newest_come_first() {
    let mut host = Host::new(announcing());
    let (first, start) = (1, host.now);
    for number in first..=300 {
        host.ask(guest(number));
        host.advertise(guest(number), guest_mac(number));
    }
    host.pass(seconds(10));
    let mut seen = std::collections::BTreeSet::new();
    let all = announced(&mut host, start);
    let begun: Vec<_> = all.iter().filter(|(_, target)| seen.insert(*target)).copied().collect();
    let order: Vec<_> = begun.iter().map(|(_, target)| *target).collect();
    let newest_first: Vec<_> = (first..=300).rev().map(guest).collect();
    assert_eq!(order, newest_first);
    for (at, _) in &begun {
        let within = begun.iter().filter(|(other, _)| *other >= *at && *other < *at + seconds(1)).count();
        assert!(within <= 100, "{within} within a second from {at:?}");
    }
    assert!(begun.last().unwrap().0 < seconds(4), "and it is made use of");
    // A newcomer does not wait for those who have waited longer.
    host.facts(vec![up(LinkState::Up, NEW_MAC)]);
    host.pass(millis(500));
    host.make_live(guest(999), guest_mac(999));
    let start = host.now;
    host.pass(millis(1_050));
    assert!(announced(&mut host, start).iter().any(|(_, target)| *target == guest(999)));
}

#[test]
fn all_queue_with_the_newest_live_first_when_the_upstream_has_another_address() {
    let mut host = Host::new(announcing());
    for number in [7, 3, 9, 1] {
        host.make_live(guest(number), guest_mac(number));
        host.pass(seconds(5));
    }
    // Being seen again makes none of them newer.
    host.advertise(guest(7), guest_mac(7));
    host.take();
    host.facts(vec![up(LinkState::Up, NEW_MAC)]);
    host.pass(millis(500));
    let order: Vec<_> = announced(&mut host, Time::ORIGIN).into_iter().map(|(_, target)| target).collect();
    assert_eq!(order, [1, 9, 3, 7].map(guest));
}

#[test]
fn no_more_wait_than_there_may_be_targets_and_the_oldest_go() {
    let mut host = Host::new(also(|policy| {
        policy.limits.targets = 2;
        policy.limits.announcements_per_second = 1;
    }));
    for address in ["2001:db8:1:2:c::1/128", "2001:db8:1:2:c::2/128", "2001:db8:1:2:c::3/128"] {
        host.facts(vec![has(BRIDGE, address)]);
    }
    assert_eq!(counts(&mut host, [guest(1), guest(2), guest(3)]), [0, 3, 3]);
}

#[test]
fn each_of_two_gateways_is_asked_and_a_third_is_not() {
    let mut host = Host::new(announcing());
    let via = |last: u16, metric| KernelRoute {
        next_hop: NextHop::Via(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last)),
        metric,
        ..default_route(UP)
    };
    host.facts(vec![Fact::Route(via(2, 2000)), Fact::Route(via(3, 3000))]);
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(10));
    let asked: Vec<_> =
        host.probes().iter().filter(|ask| ask.source == guest(5)).map(|ask| ask.target).collect();
    // They answer nobody, so that they are asked once more.
    assert_eq!(asked, ["fe80::1", "fe80::2"].repeat(2).into_iter().map(address).collect::<Vec<_>>());
}

#[test]
fn duplicate_address_detection_comes_a_retransmission_time_before_if_it_is_wanted() {
    let mut host = Host::new(also(|policy| policy.upstreams[0].announce = Announce::Dad));
    host.make_live(guest(5), guest_mac(5));
    host.pass(millis(999));
    let outputs = host.take();
    assert_eq!((dads(&outputs), advertisements(&outputs)), (vec![dad(UP_MAC, guest(5))], vec![]));
    host.pass(seconds(10));
    let outputs = host.take();
    assert_eq!((dads(&outputs).len(), advertisements(&outputs).len()), (0, 3));
}

#[test]
fn an_owner_that_defends_itself_against_the_detection_is_never_overridden() {
    let mut host = Host::new(also(|policy| policy.upstreams[0].announce = Announce::Dad));
    host.make_live(guest(5), guest_mac(5));
    host.pass(millis(1));
    host.input(Input::Advertisement(UP, reply(guest(5), ROUTER_MAC)));
    host.take();
    assert_eq!(counts(&mut host, [guest(5)]), [0]);
    assert!(!host.answers_for(guest(5)));
}

#[test]
fn an_announcement_waits_for_the_route_of_its_guest() {
    let policy = also(|policy| {
        policy.ranges[0].routes = RangeRoutes::Guests;
        policy.upstreams[0].mld = lone64::engine::policy::Mld::No;
    });
    let mut engine = Engine::new(policy, [17, 4]);
    let mut now = Time::at(seconds(1_000));
    let step = |engine: &mut Engine, now: Time, input: Input| -> Vec<Output> {
        engine.handle(input, now);
        std::iter::from_fn(|| engine.poll_output()).collect()
    };
    step(&mut engine, now, Input::Facts(usual_facts()));
    step(&mut engine, now, Input::Synced);
    step(&mut engine, now, Input::Solicitation(UP, question(guest(5))));
    let outputs = step(&mut engine, now, Input::Advertisement(BRIDGE, reply(guest(5), guest_mac(5))));
    let change = outputs.iter().find_map(|output| match output {
        Output::ChangeRoute(change @ Change::Add(_)) => Some(change.clone()),
        _ => None,
    });
    for _ in 0..20 {
        now = engine.next_timeout().unwrap();
        assert_eq!(advertisements(&step(&mut engine, now, Input::Timeout)), []);
    }
    step(&mut engine, now, Input::RouteChanged(change.unwrap(), Outcome::Done));
    now = now + millis(50);
    assert_eq!(dads(&step(&mut engine, now, Input::Timeout)).len(), 1, "the link is asked");
    now = now + seconds(1);
    assert_eq!(advertisements(&step(&mut engine, now, Input::Timeout)).len(), 1);
}

#[test]
fn a_host_without_announcements_has_none_to_wait_for() {
    let mut host = Host::new(with(|policy| {
        policy.upstreams[0].announce = Announce::No;
        policy.upstreams[0].mld = lone64::engine::policy::Mld::No;
    }));
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112"), up(LinkState::Up, NEW_MAC)]);
    assert_eq!(host.engine.next_timeout(), None);
}
