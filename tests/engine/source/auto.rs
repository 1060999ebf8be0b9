//! `source = "auto"`: what is found out of one asker is of no other, and ends with its interface.

use super::*;
use lone64::engine::facts::{KernelRoute, LinkLayer, NextHop};
use lone64::engine::policy::Announce;
use lone64::engine::{Event, Output};
use lone64::wire::{Advertisement, Mac};

use crate::host::{announcing, default_route, guest_mac, link, millis, seconds};

const STRANGER: Mac = Mac([2, 0, 0, 0, 0x5e, 9]);

fn auto() -> Host {
    let mut policy = announcing();
    policy.upstreams[0].source = Source::Auto;
    let mut host = Host::new(policy).with_guest(guest(1), guest_mac(1));
    host.advertise(guest(1), guest_mac(1));
    host.pass(seconds(10));
    host.take();
    host
}

/// The source of the answer to this one.
fn asked_by(host: &mut Host, mac: Mac, from: &str) -> Option<Ipv6Addr> {
    host.answer_to(question_from(address(from), mac, guest(1))).map(|answer| answer.source)
}

/// A stranger asks every second until it gets an answer from the global address.
fn takes_global_only(host: &mut Host) {
    let mut events = Vec::new();
    for _ in 0..60 {
        let answer = asked_by(host, STRANGER, "fe80::99");
        if answer == Some(address(GLOBAL)) {
            host.pass(seconds(5));
            events.extend(host.events());
            let is_found = |event: &Event| matches!(event, Event::SourceFound(..));
            assert!(events.iter().any(is_found), "{events:?}");
            return;
        }
        host.pass(seconds(1));
    }
    panic!("no other source was tried");
}

fn unsolicited(host: &mut Host) -> Vec<Advertisement> {
    let is_told = |output: &Output| match output {
        Output::Advertise(UP, said) if !said.flags.solicited => Some(*said),
        _ => None,
    };
    host.take().iter().filter_map(is_told).collect()
}

#[test]
fn what_a_stranger_takes_changes_neither_the_routers_answers_nor_what_is_said_to_all() {
    let mut host = auto();
    takes_global_only(&mut host);
    assert_eq!(asked_by(&mut host, STRANGER, "fe80::99"), Some(address(GLOBAL)));
    assert_eq!(asked_by(&mut host, ROUTER_MAC, "fe80::1"), Some(address(LINK_LOCAL)));
    host.guests.insert(guest(2), guest_mac(2));
    host.advertise(guest(2), guest_mac(2));
    host.pass(seconds(10));
    let told = unsolicited(&mut host);
    assert!(!told.is_empty() && told.iter().all(|said| said.source == address(LINK_LOCAL)), "{told:?}");
}

#[test]
fn another_interface_of_the_same_number_has_other_askers() {
    let mut host = auto();
    takes_global_only(&mut host);
    host.facts(vec![Fact::LinkGone(UP)]);
    let other = link(UP, "wan1", LinkLayer::Ethernet(crate::host::UP_MAC));
    let mut facts =
        vec![Fact::Link(other), has(UP, &format!("{LINK_LOCAL}/64")), has(UP, &format!("{GLOBAL}/64"))];
    facts.push(Fact::Route(default_route(UP)));
    host.facts(facts);
    host.pass(seconds(10));
    assert_eq!(asked_by(&mut host, STRANGER, "fe80::99"), Some(address(LINK_LOCAL)));
}

/// Who is silent then has learned it from the announcement.
#[test]
fn an_answer_that_an_announcement_follows_says_nothing_of_its_source() {
    for (announce, is_found) in [(Announce::Yes, true), (Announce::Every(seconds(60)), false)] {
        let mut policy = announcing();
        (policy.upstreams[0].source, policy.upstreams[0].announce) = (Source::Auto, announce);
        let mut host = Host::new(policy).with_guest(guest(1), guest_mac(1));
        // Without a router nothing but announcements is sent.
        let on_link = KernelRoute { next_hop: NextHop::OnLink, ..default_route(UP) };
        host.facts(vec![Fact::RouteReplaced(on_link)]);
        host.advertise(guest(1), guest_mac(1));
        host.pass(millis(53_500));
        let mut asked = (0..10).map(|_| {
            host.pass(seconds(1));
            asked_by(&mut host, STRANGER, "fe80::99")
        });
        assert!(asked.any(|answer| answer == Some(address(GLOBAL))));
        drop(asked);
        host.take();
        host.pass(seconds(5));
        let found = host.events().into_iter().any(|event| matches!(event, Event::SourceFound(..)));
        assert_eq!(found, is_found, "{announce:?}");
    }
}
