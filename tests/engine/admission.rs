//! The provider's verdict on each guest: whether its gateway answers questions from the guest's address.

use std::net::Ipv6Addr;

use lone64::engine::facts::{Fact, LinkLayer};
use lone64::engine::policy::{Policy, Source};
use lone64::engine::{Asker, Event, Holds, Input, Output, Subject};
use lone64::wire::{Advertisement, Flags, Mac, Solicitation};

use crate::host::{
    Host, ROUTER_MAC, UP, UP_MAC, address, announcing, guest, guest_mac, link, millis, question,
    question_from, seconds,
};

const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// What the gateway answers to a question from this address.
fn answer_to(destination: Ipv6Addr) -> Advertisement {
    Advertisement {
        source_mac: ROUTER_MAC,
        destination_mac: UP_MAC,
        source: GATEWAY,
        destination,
        target: GATEWAY,
        flags: Flags { router: true, solicited: true, override_entry: true },
        target_link_layer: Some(ROUTER_MAC),
    }
}

/// A host with so many live guests, which are about to be announced.
fn host(guests: u16, policy: Policy) -> Host {
    let mut host = Host::new(policy);
    for number in 1..=guests {
        host = host.with_guest(guest(number), guest_mac(number));
        host.make_live(guest(number), guest_mac(number));
    }
    host
}

/// Time goes by behind a provider that lets these questions for the gateway through. The frames on the upstream, and
/// the events.
fn pass(
    host: &mut Host,
    so_many_seconds: u64,
    mut admits: impl FnMut(&Solicitation) -> bool,
) -> (Vec<Output>, Vec<Event>) {
    let (mut frames, mut events) = (Vec::new(), Vec::new());
    for _ in 0..so_many_seconds * 4 {
        host.pass(millis(250));
        for output in host.take() {
            match output {
                Output::Solicit(UP, question) => {
                    let is_admitted = admits(&question);
                    if question.target == GATEWAY && is_admitted {
                        host.input(Input::Advertisement(UP, answer_to(question.source)));
                    }
                    frames.push(output);
                }
                Output::Advertise(UP, _) => frames.push(output),
                Output::Event(event) => events.push(event),
                _ => {}
            }
        }
    }
    (frames, events)
}

fn is_verdict(event: &Event) -> bool {
    matches!(event, Event::NotAdmitted(..) | Event::Admitted(..) | Event::Forgets(..))
}

fn is_hosts(question: &Solicitation) -> bool {
    [address("fe80::5054:ff:fe00:1"), address("2001:db8:1:2::2")].contains(&question.source)
}

#[test]
fn a_router_that_takes_everything_sees_no_more_packets_than_before_in_75_minutes() {
    for guests in [1, 2, 40] {
        let sent = |source| {
            let mut policy = announcing();
            policy.upstreams[0].source = source;
            pass(&mut host(guests, policy), 4_500, |_| true).0
        };
        let frames = sent(Source::Auto);
        assert_eq!(frames, sent(Source::Scope));
        for number in 1..=guests {
            let is_of = |output: &&Output| match output {
                Output::Advertise(_, said) => said.target == guest(number),
                Output::Solicit(_, asked) => asked.source == guest(number) || asked.target == guest(number),
                _ => false,
            };
            // The detection of duplicates, three advertisements, a question for the gateway.
            assert_eq!(frames.iter().filter(is_of).count(), 5, "{number} of {guests}");
        }
        assert_eq!(frames.len(), 5 * usize::from(guests));
    }
}

#[test]
fn a_limit_of_three_addresses_is_told_for_each_guest_once_and_is_over_when_it_is_lifted() {
    let mut host = host(6, announcing());
    let takes_three = |question: &Solicitation| {
        is_hosts(question) || [guest(1), guest(2), guest(3)].contains(&question.source)
    };
    let (_, told) = pass(&mut host, 300, takes_three);
    let mut told: Vec<_> = told.into_iter().filter(is_verdict).collect();
    told.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(told, [4, 5, 6].map(|number| Event::NotAdmitted(guest(number), UP, GATEWAY)));
    assert_eq!(host.engine.count_refused(), 3);
    assert_eq!(host.engine.refused(9), [4, 5, 6].map(|number| (guest(number), UP)));
    let explained = host.engine.explain(guest(4), host.now);
    let step = explained.steps.iter().find(|step| step.subject == Subject::Provider);
    assert_eq!(step.map(|step| step.holds), Some(Holds::No));
    assert!(
        host.engine.explain(guest(1), host.now).steps.iter().all(|step| step.subject != Subject::Provider)
    );
    let (_, told) = pass(&mut host, 30, |_| true);
    assert_eq!(told.iter().filter(|event| matches!(event, Event::Admitted(..))).count(), 3);
    assert_eq!(host.engine.count_refused(), 0);
}

#[test]
fn a_guest_that_is_gone_is_not_refused_any_more() {
    let mut host = host(1, announcing());
    pass(&mut host, 10, is_hosts);
    assert!(host.engine.is_refused(guest(1)));
    host.guests.clear();
    pass(&mut host, 600, is_hosts);
    assert!(!host.is_live(guest(1)) && !host.engine.is_refused(guest(1)));
    assert_eq!(host.engine.count_refused(), 0);
}

#[test]
fn a_switch_that_lost_its_table_is_told_the_guest_once_more_while_its_router_asks() {
    let mut host = host(1, announcing());
    pass(&mut host, 100, |_| true);
    assert_eq!(host.engine.announces_again(UP), None);
    let mut is_bound = false;
    let mut bindings = |question: &Solicitation| {
        is_bound |= question.is_dad();
        is_hosts(question) || is_bound
    };
    let mut asked = 0;
    let mut events = Vec::new();
    // The router's question comes through, and the answer does not.
    while !is_answered(&mut host, &mut bindings, &mut events) {
        host.solicit(question(guest(1)));
        asked += 1;
        assert!(asked < 9, "it is never told");
    }
    let told = events.iter().find_map(|event| match event {
        Event::Forgets(UP, period) => Some(*period),
        _ => None,
    });
    assert!(told.is_some() && host.engine.announces_again(UP) == told, "{events:?}");
    pass(&mut host, 60, |_| true);
    assert_eq!(host.engine.notable_askers(host.now), [], "no source of answers was found to be better");
}

#[test]
fn a_station_with_another_address_is_new_to_a_provider_and_that_one_has_forgotten_nothing() {
    let mut host = host(1, announcing());
    pass(&mut host, 20, |_| true);
    host.facts(vec![Fact::Link(link(UP, "up0", LinkLayer::Ethernet(guest_mac(0xfe))))]);
    // Its switch lets a guest through once it has seen the detection of duplicates.
    let (mut was_kept_back, mut is_bound) = (false, false);
    let (_, told) = pass(&mut host, 60, |question| {
        is_bound |= question.is_dad() && was_kept_back;
        was_kept_back |= question.source == guest(1);
        is_hosts(question) || is_bound
    });
    assert!(was_kept_back && is_bound);
    assert_eq!(told.into_iter().filter(is_verdict).collect::<Vec<_>>(), []);
    assert_eq!(host.engine.announces_again(UP), None);
}

fn is_answered(
    host: &mut Host,
    bindings: &mut impl FnMut(&Solicitation) -> bool,
    events: &mut Vec<Event>,
) -> bool {
    let mut is_told = false;
    let (_, told) = pass(host, 1, |question| {
        is_told |= question.is_dad();
        bindings(question)
    });
    events.extend(told);
    is_told && events.iter().any(|event| matches!(event, Event::Forgets(..)))
}

#[test]
fn a_stranger_that_asks_again_and_again_from_many_stations_brings_nothing_about() {
    let quiet = {
        let mut host = host(3, announcing());
        pass(&mut host, 10, |_| true);
        pass(&mut host, 300, |_| true).0.len()
    };
    let mut host = host(3, announcing());
    pass(&mut host, 10, |_| true);
    let before = host.answer_to(question(guest(1))).map(|answer| answer.source);
    let mut sent = Vec::new();
    for round in 0..300_u16 {
        for station in 0..40_u16 {
            let [high, low] = (station + 40 * (round % 50)).to_be_bytes();
            let mac = Mac([2, 0, 9, 9, high, low]);
            let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 9, station + 40 * (round % 50));
            host.solicit(question_from(from, mac, guest(1 + station % 3)));
        }
        host.take();
        sent.extend(pass(&mut host, 1, |_| true).0);
    }
    assert!(sent.len() <= quiet, "{} frames more than without", sent.len() - quiet);
    assert_eq!(host.answer_to(question(guest(1))).map(|answer| answer.source), before);
    let router = Asker { link: UP, mac: ROUTER_MAC, address: GATEWAY };
    assert!(host.engine.notable_askers(host.now).iter().all(|known| known.asker != router));
    assert!(host.engine.notable_askers(host.now).len() <= 64);
    host.pass(seconds(1));
}

#[test]
fn only_the_gateways_answer_says_that_a_guest_is_let_through() {
    let mut host = host(1, announcing());
    pass(&mut host, 10, is_hosts);
    assert!(host.engine.is_refused(guest(1)));
    let answer = answer_to(guest(1));
    let unasked = Advertisement { flags: Flags { solicited: false, ..answer.flags }, ..answer };
    let strangers = Advertisement { target: address("fe80::77"), source: address("fe80::77"), ..answer };
    for said in [unasked, strangers] {
        host.input(Input::Advertisement(UP, said));
        assert!(host.engine.is_refused(guest(1)), "{said:?}");
    }
    host.input(Input::Advertisement(UP, answer));
    assert!(!host.engine.is_refused(guest(1)));
}

#[test]
fn a_provider_that_forgets_a_guest_that_is_silent_for_a_minute_is_found_out() {
    let mut host = host(1, announcing());
    let (mut since, mut told) = (0, Vec::new());
    for second in 0..600_u64 {
        let (_, events) = pass(&mut host, 1, |question| {
            if question.is_dad() {
                since = second;
            }
            is_hosts(question) || second < since + 60
        });
        told.extend(events.into_iter().filter(is_verdict));
    }
    assert!(matches!(told[..], [Event::Forgets(UP, _)]), "{told:?}");
}
