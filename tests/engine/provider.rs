//! `source = "auto"`: which source of answers a router takes is found out by itself.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use lone64::engine::facts::{AddressState, Fact, IfName, LinkLayer, Neighbor, NeighborState};
use lone64::engine::policy::Source;
use lone64::engine::{Asker, Event, Input, NotTaken, Output, Remembered};
use lone64::wire::{Advertisement, Mac, Solicitation};

use crate::host::{
    Host, ROUTER_MAC, UP, UP_MAC, address, advertisements, announcing, events, guest, guest_mac, has,
    host_address, link, live, millis, question, question_from, seconds, usual_facts, with,
};

const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const ROUTER: Asker = Asker { link: UP, mac: ROUTER_MAC, address: GATEWAY };
const GLOBAL: &str = "2001:db8:1:2::2";
const LINK_LOCAL: &str = "fe80::5054:ff:fe00:1";

/// What a router does with the answer for a target.
type Takes = Box<dyn Fn(Ipv6Addr, &Advertisement) -> bool>;

/// Which answers a provider lets through.
type Filter = fn(&Advertisement) -> bool;

/// A router with packets for guests all the time, which asks each second for those that it does not know.
struct Router {
    takes: Takes,
    known: BTreeSet<Ipv6Addr>,
    events: Vec<Event>,
    remembered: Option<Vec<Remembered>>,
}

impl Router {
    fn new(takes: impl Fn(Ipv6Addr, &Advertisement) -> bool + 'static) -> Self {
        Self { takes: Box::new(takes), known: BTreeSet::new(), events: Vec::new(), remembered: None }
    }

    fn run(&mut self, host: &mut Host, targets: &[Ipv6Addr], so_many: u64) {
        for _ in 0..so_many {
            for target in targets {
                if !self.known.contains(target) {
                    let outputs = host.ask(*target);
                    self.hear(&outputs);
                }
            }
            host.pass(seconds(1));
            let outputs = host.take();
            self.hear(&outputs);
        }
    }

    fn hear(&mut self, outputs: &[Output]) {
        for answer in advertisements(outputs) {
            assert_eq!((answer.destination, answer.destination_mac), (GATEWAY, ROUTER_MAC));
            if (self.takes)(answer.target, &answer) {
                self.known.insert(answer.target);
            }
        }
        self.events.extend(events(outputs).into_iter().filter(is_of_answers));
        for output in outputs {
            if let Output::Remember(all) = output {
                self.remembered = Some(all.clone());
            }
        }
    }
}

fn is_of_answers(event: &Event) -> bool {
    matches!(event, Event::SourceFound(..) | Event::NotTaken(_) | Event::TakenAgain(_))
}

/// One with six guests, which a router has asked for and taken.
fn host() -> Host {
    let mut host = Host::new(live());
    for number in 1..=6 {
        host = host.with_guest(guest(number), guest_mac(number));
        host.make_live(guest(number), guest_mac(number));
    }
    host.pass(seconds(10));
    host.take();
    host
}

fn source_of(host: &mut Host, solicitation: Solicitation) -> Option<Ipv6Addr> {
    host.answer_to(solicitation).map(|answer| answer.source)
}

fn remembered(source: Source) -> Remembered {
    let interface: IfName = "up0".parse().unwrap();
    Remembered { interface, mac: ROUTER_MAC, address: GATEWAY, source }
}

#[test]
fn a_router_that_drops_a_kind_of_source_gets_another_one_within_ten_seconds() {
    let filters: [(Filter, Source); 4] = [
        (|answer| !answer.source.is_unicast_link_local(), Source::Target),
        (|answer| answer.source == answer.target, Source::Target),
        (|answer| answer.source.segments()[..4] == address(GLOBAL).segments()[..4], Source::Target),
        (|answer| answer.source == address(GLOBAL), Source::Global),
    ];
    for (takes, expected) in filters {
        let mut host = host();
        let mut router = Router::new(move |_, answer| takes(answer));
        router.run(&mut host, &[guest(5)], 10);
        assert_eq!(router.events, [Event::SourceFound(ROUTER, expected)]);
        assert_eq!(router.remembered, Some(vec![remembered(expected)]));
        // Every other guest at once.
        router.run(&mut host, &[guest(1), guest(2)], 1);
        assert_eq!(router.known.len(), 3);
    }
}

#[test]
fn an_address_in_the_askers_own_prefix_is_tried_before_others() {
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    // By scope the answer comes from the preferred one of several addresses.
    let near = "2001:db8:ffff::2";
    host.facts(vec![Fact::Address(host_address(UP, &format!("{near}/64"), AddressState::Deprecated))]);
    let mut from = Vec::new();
    for _ in 0..7 {
        from.extend(source_of(&mut host, question_from(address("2001:db8:ffff::1"), ROUTER_MAC, guest(5))));
        host.pass(seconds(1));
    }
    assert_eq!((from[2], from[3], from[6]), (address(GLOBAL), address(near), guest(5)));
}

#[test]
fn what_is_announced_comes_from_the_source_that_the_gateway_takes() {
    let mut host = Host::new(announcing()).with_guest(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(10));
    let mut router = Router::new(|_, answer| !answer.flags.solicited || answer.source == address(GLOBAL));
    host.take();
    router.run(&mut host, &[guest(5)], 10);
    assert_eq!(router.events, [Event::SourceFound(ROUTER, Source::Global)]);
    let mac = Mac([0x52, 0x54, 0, 0, 0, 0x77]);
    host.facts(vec![Fact::Link(link(UP, "up0", LinkLayer::Ethernet(mac)))]);
    host.pass(seconds(10));
    let announced = host.answers();
    assert_eq!(announced.len(), 3);
    assert!(announced.iter().all(|said| said.source == address(GLOBAL) && !said.flags.solicited));
}

#[test]
fn a_router_that_takes_everything_sees_what_it_saw_before() {
    let sent = |source| {
        let mut host = Host::new(with(|policy| policy.upstreams[0].source = source));
        host = host.with_guest(guest(5), guest_mac(5));
        host.make_live(guest(5), guest_mac(5));
        for round in 0..120 {
            host.solicit(question(guest(5)));
            host.pass(seconds(2));
            if round % 3 == 0 {
                let (destination, destination_mac) = (guest(5), UP_MAC);
                host.solicit(Solicitation { destination, destination_mac, ..question(guest(5)) });
            }
            host.pass(seconds(15));
        }
        let is_frame = |output: &Output| matches!(output, Output::Advertise(UP, _) | Output::Solicit(UP, _));
        host.take_timed().into_iter().filter(|(_, output)| is_frame(output)).collect::<Vec<_>>()
    };
    let auto = sent(Source::Auto);
    assert_eq!(auto, sent(Source::Scope));
    assert_eq!(auto.len(), 160);
}

#[test]
fn a_limit_of_addresses_and_a_list_are_told_with_those_that_are_concerned() {
    let all: Vec<_> = (1..=6).map(guest).collect();
    for is_listed in [false, true] {
        let mut host = host();
        let admitted = [guest(1), guest(2), guest(3)];
        let mut router = Router::new(move |target, _| admitted.contains(&target));
        if !is_listed {
            router.run(&mut host, &admitted, 5);
        }
        router.run(&mut host, &all, 30);
        let not_taken = NotTaken { asker: ROUTER, taken: 3, targets: all[3..].to_vec() };
        assert_eq!(router.events, [Event::NotTaken(Box::new(not_taken))]);
        assert_eq!(router.remembered, None);
        let notable = host.engine.notable_askers(host.now);
        assert_eq!((notable.len(), notable[0].taken, &notable[0].refused[..]), (1, 3, &all[3..]));
        // The provider admits the others.
        router.takes = Box::new(|_, _| true);
        router.run(&mut host, &all, 10);
        assert_eq!(router.events.last(), Some(&Event::TakenAgain(ROUTER)));
        assert_eq!(host.engine.notable_askers(host.now), []);
    }
}

#[test]
fn what_was_remembered_is_used_from_the_first_answer_on() {
    let mut host = Host::bare(live()).with_guest(guest(5), guest_mac(5));
    host.input(Input::Remembered(vec![remembered(Source::Target)]));
    host.facts(usual_facts());
    host.input(Input::Synced);
    assert_eq!(source_of(&mut host, question(guest(5))), Some(guest(5)));
    // Another station is another asker.
    let other = question_from(GATEWAY, Mac([0, 0, 0x5e, 0, 0x53, 7]), guest(5));
    assert_eq!(source_of(&mut host, other), Some(address(LINK_LOCAL)));
}

#[test]
fn an_address_that_was_found_and_is_gone_is_no_source() {
    let own = "2001:db8:1:2::7";
    let mut host = Host::bare(live()).with_guest(guest(5), guest_mac(5));
    host.input(Input::Remembered(vec![remembered(Source::Address(address(own)))]));
    host.facts(usual_facts());
    host.input(Input::Synced);
    assert_eq!(source_of(&mut host, question(guest(5))), Some(address(LINK_LOCAL)));
    host.facts(vec![has(UP, &format!("{own}/64"))]);
    assert_eq!(source_of(&mut host, question(guest(5))), Some(address(own)));
}

#[test]
fn a_guest_that_replies_late_makes_nobody_an_asker_that_takes_nothing() {
    let mut host = Host::new(live());
    for _ in 0..3 {
        host.solicit(question(guest(5)));
        host.pass(millis(900));
    }
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(host.answers().len(), 1);
    // One that was on its way, and then the router is content.
    host.solicit(question(guest(5)));
    host.pass(seconds(60));
    assert!(!host.events().iter().any(is_of_answers));
    assert_eq!(host.engine.notable_askers(host.now), []);
}

#[test]
fn a_stranger_that_names_the_routers_station_as_its_own_changes_nothing_for_the_router() {
    let mut host = host();
    let forged = Solicitation { source_mac: Mac([2, 0, 0, 0, 9, 9]), ..question(guest(5)) };
    for _ in 0..60 {
        host.solicit(forged);
        host.pass(seconds(1));
    }
    assert_eq!(source_of(&mut host, question(guest(5))), Some(address(LINK_LOCAL)));
    assert_eq!(host.engine.notable_askers(host.now), []);
}

#[test]
fn a_source_that_is_written_is_the_source() {
    let mut host = Host::new(with(|policy| policy.upstreams[0].source = Source::Scope));
    host = host.with_guest(guest(5), guest_mac(5));
    host.make_live(guest(5), guest_mac(5));
    for _ in 0..60 {
        assert_eq!(source_of(&mut host, question(guest(5))), Some(address(LINK_LOCAL)));
        host.pass(seconds(1));
    }
}

#[test]
fn gateways_come_first_among_those_of_which_there_is_something_to_say() {
    let mut host = Host::bare(live()).with_guest(guest(1), guest_mac(1));
    let other =
        Remembered { address: address("fe80::77"), mac: guest_mac(0x77), ..remembered(Source::Target) };
    // It asks from another address before it is known that its station is a gateway's.
    let second = address("2001:db8:1:2::99");
    let again = Remembered { address: second, ..remembered(Source::Target) };
    host.input(Input::Remembered(vec![other, again, remembered(Source::Global)]));
    host.facts(usual_facts());
    host.input(Input::Synced);
    let stranger = (address("fe80::77"), guest_mac(0x77));
    for (address, mac) in [stranger, (second, ROUTER_MAC), (GATEWAY, ROUTER_MAC)] {
        source_of(&mut host, question_from(address, mac, guest(1)));
    }
    let entry = |state| Neighbor { link: UP, address: GATEWAY, mac: Some(ROUTER_MAC), state };
    host.facts(vec![Fact::Neighbor(entry(NeighborState::Reachable))]);
    let notable = host.engine.notable_askers(host.now);
    let seen: Vec<_> = notable.iter().map(|notable| (notable.asker.address, notable.is_gateway)).collect();
    assert_eq!(seen, [(second, true), (GATEWAY, true), (address("fe80::77"), false)]);
}
