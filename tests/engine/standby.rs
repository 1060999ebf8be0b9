//! Ranges that stand by: another host has them, until they are claimed here.

mod handed;

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use std::sync::Arc;

use lone64::engine::guests::{Claim, Missing, Object};
use lone64::engine::policy::{Announce, Answer, GuestAddresses, GuestPolicy, Policy};
use lone64::engine::{Claiming, Expected, Input, Output};
use lone64::wire::{Advertisement, DropReason, Flags, Mac};

use crate::host::{
    Host, ROUTER_MAC, UP, address, dad, guest, guest_mac, millis, net, probes, reply, seconds, with,
};

const RANGE: &str = "2001:db8:1:2:c::/112";
const MANY: u16 = 1_000;

fn policy() -> Policy {
    with(|policy| {
        policy.upstreams[0].announce = Announce::Yes;
        policy.ranges[0].standby = true;
        policy.guests = vec![Arc::new(GuestPolicy {
            name: "web".to_owned(),
            mac: None,
            interface: "lxcbr0".parse().ok(),
            addresses: GuestAddresses::Listed((0..MANY).map(|number| guest(0x1000 + number)).collect()),
            delegate: Vec::new(),
            pin: false,
            guard: None,
        })];
    })
}

fn object(what: &str) -> Object {
    match what.contains('/') {
        true => Object::Prefix(net(what)),
        false => Object::Guest(what.to_owned()),
    }
}

fn claim(host: &mut Host, objects: &[Object]) {
    let claim = |object: &Object| Claim {
        object: object.clone(),
        interface: None,
        mac: None,
        via: None,
        until: None,
    };
    let claims: Vec<_> = objects.iter().map(claim).collect();
    assert!(claims.iter().all(|claim| host.engine.may_claim(claim).is_ok()));
    host.take();
    host.input(Input::Claiming(Claiming::Several(claims)));
}

fn release(host: &mut Host, object: Object) {
    host.input(Input::Claiming(Claiming::Release(object)));
}

fn announced(outputs: &[Output]) -> BTreeSet<Ipv6Addr> {
    let said = outputs.iter().filter_map(|output| match output {
        Output::Advertise(UP, said) if said.flags.override_entry && !said.flags.solicited => {
            Some(said.target)
        }
        _ => None,
    });
    said.collect()
}

#[test]
fn nothing_is_answered_announced_or_defended_and_guests_are_known() {
    let mut host = Host::new(policy()).with_guest(guest(5), guest_mac(5));
    host.advertise(guest(5), guest_mac(5));
    host.pass(seconds(10));
    assert!(host.is_live(guest(5)) && host.is_live(guest(0x1000)));
    assert!(!host.answers_for(guest(5)) && !host.answers_for(guest(0x1000)) && !host.answers_for(guest(9)));
    assert_eq!(host.dropped(DropReason::Standby), 3);
    assert_eq!(host.engine.explain(guest(5), host.now).outcome, Expected::Dropped(DropReason::Standby));
    assert!(host.answer_to(dad(Mac([2, 9, 9, 9, 9, 9]), guest(5))).is_none());
    let outputs = host.take();
    assert!(announced(&outputs).is_empty());
    // What the other host says of it is no conflict.
    host.input(Input::Advertisement(UP, reply(guest(5), ROUTER_MAC)));
    assert_eq!(host.engine.conflicts().count(), 0);
    assert!(!host.kernel.is_empty(), "the route of the range is kept");
}

#[test]
fn a_thousand_guests_of_a_claimed_range_are_announced_within_half_a_second_and_all_of_it_is_answered() {
    let mut host = Host::new(policy()).with_guest(guest(5), guest_mac(5));
    host.advertise(guest(5), guest_mac(5));
    host.pass(seconds(10));
    claim(&mut host, &[object(RANGE)]);
    host.pass(millis(510));
    let outputs = host.take();
    assert_eq!(announced(&outputs).len(), usize::from(MANY) + 1);
    assert!(!probes(&outputs).iter().any(|asked| asked.is_dad()), "nobody is asked");
    assert!(host.answers_for(guest(5)) && host.answers_for(guest(0x13e7)));
    release(&mut host, object(RANGE));
    host.take();
    host.pass(seconds(10));
    assert!(announced(&host.take()).is_empty(), "what was to be repeated is not");
    assert!(!host.answers_for(guest(5)) && host.is_live(guest(5)));
}

#[test]
fn single_addresses_and_guests_are_claimed_as_well() {
    let mut host = Host::new(policy());
    claim(&mut host, &[object("web")]);
    host.pass(millis(510));
    assert_eq!(announced(&host.take()).len(), usize::from(MANY));
    assert!(host.answers_for(guest(0x1000)) && !host.answers_for(guest(5)));
    release(&mut host, object("web"));
    assert!(!host.answers_for(guest(0x1000)));
    let some: Vec<_> = (0..3).map(|number| Object::Prefix(guest(0x20 + number).into())).collect();
    claim(&mut host, &some);
    host.pass(millis(100));
    assert_eq!(announced(&host.take()).len(), 3);
    assert!(host.answers_for(guest(0x20)) && !host.answers_for(guest(0x23)));
    claim(&mut host, &[object("2001:db8:1:2:c::1000/118")]);
    assert!(host.answers_for(guest(0x1000)) && !host.answers_for(guest(5)));
}

#[test]
fn a_range_that_is_answered_for_as_a_whole_is_announced_address_by_address() {
    let mut policy = policy();
    policy.ranges[0].answer = Answer::Always;
    policy.guests.clear();
    let mut host = Host::new(policy);
    assert!(!host.answers_for(guest(5)));
    claim(&mut host, &[object("2001:db8:1:2:c::100/120")]);
    host.pass(millis(510));
    assert_eq!(announced(&host.take()).len(), 256);
    assert!(host.answers_for(guest(0x105)) && !host.answers_for(guest(5)));
}

#[test]
fn single_addresses_of_such_a_range_are_claimed_as_well() {
    let mut policy = policy();
    policy.ranges[0].answer = Answer::Always;
    policy.guests.clear();
    let mut host = Host::new(policy);
    claim(&mut host, &[Object::Prefix(guest(5).into()), Object::Prefix(guest(6).into())]);
    host.pass(millis(510));
    assert_eq!(announced(&host.take()), [guest(5), guest(6)].into());
    assert!(host.answers_for(guest(5)) && host.answers_for(guest(6)) && !host.answers_for(guest(7)));
    release(&mut host, Object::Prefix(guest(5).into()));
    assert!(!host.answers_for(guest(5)) && host.answers_for(guest(6)));
}

#[test]
fn a_range_that_does_not_stand_by_is_not_claimed() {
    let mut policy = policy();
    policy.ranges[0].standby = false;
    let host = Host::new(policy);
    let claim = Claim { object: object(RANGE), interface: None, mac: None, via: None, until: None };
    assert!(matches!(host.engine.may_claim(&claim), Err(Missing::Via(_) | Missing::Covers(..))));
}

#[test]
fn two_hosts_that_claim_the_same_do_not_go_on_announcing_it() {
    let mut host = Host::new(policy());
    claim(&mut host, &[object("2001:db8:1:2:c::1000/120")]);
    host.pass(millis(200));
    host.take();
    let other = Mac([2, 9, 9, 9, 9, 9]);
    let unsolicited = Advertisement {
        destination: address("ff02::1"),
        flags: Flags { router: false, solicited: false, override_entry: true },
        ..reply(guest(0x1000), other)
    };
    let mut count = 0;
    for _ in 0..50 {
        host.input(Input::Advertisement(UP, unsolicited));
        host.pass(millis(10));
        let of_it =
            |output: &&Output| matches!(output, Output::Advertise(UP, said) if said.target == guest(0x1000));
        count += host.take().iter().filter(of_it).count();
    }
    assert_eq!(count, 1);
    assert!(!host.answers_for(guest(0x1000)) && host.answers_for(guest(0x1001)));
}

#[test]
fn what_is_released_before_it_was_announced_is_not_announced_and_the_rest_is() {
    let mut host = Host::new(policy());
    for number in [0x2001, 0x3001] {
        host.guests.insert(guest(number), guest_mac(number));
        host.advertise(guest(number), guest_mac(number));
    }
    host.pass(seconds(10));
    let (first, second) = (object("2001:db8:1:2:c::2000/120"), object("2001:db8:1:2:c::3000/120"));
    claim(&mut host, &[]);
    // All in one turn: the walk over what is there has not begun.
    for object in [&first, &second] {
        let claim = Claim { object: object.clone(), interface: None, mac: None, via: None, until: None };
        host.engine.handle(Input::Claiming(Claiming::Claim(claim)), host.now);
    }
    host.engine.handle(Input::Claiming(Claiming::Release(first)), host.now);
    host.pass(seconds(1));
    assert_eq!(announced(&host.take()), [guest(0x3001)].into());
}

#[test]
fn of_a_claimed_range_only_guests_that_are_there_are_announced() {
    let mut host = Host::new(policy()).with_guest(guest(0x2005), guest_mac(5));
    host.advertise(guest(0x2005), guest_mac(5));
    host.pass(seconds(10));
    claim(&mut host, &[object("2001:db8:1:2:c::2000/120")]);
    host.pass(millis(510));
    assert_eq!(announced(&host.take()), [guest(0x2005)].into());
    // Too many to announce each.
    let mut policy = policy();
    policy.ranges[0].answer = Answer::Always;
    policy.guests.clear();
    let mut host = Host::new(policy);
    claim(&mut host, &[object(RANGE)]);
    host.pass(seconds(1));
    assert!(announced(&host.take()).is_empty() && host.answers_for(guest(5)));
}

/// What is routed to a guest is as little ours as the rest of the range, until it is claimed.
#[test]
fn a_prefix_that_is_routed_to_a_guest_is_answered_for_once_it_is_claimed() {
    let mut policy = policy();
    std::sync::Arc::make_mut(&mut policy.guests[0]).mac = Some(guest_mac(7));
    std::sync::Arc::make_mut(&mut policy.guests[0]).delegate = vec![net("2001:db8:1:2:c::4000/116")];
    let mut host = Host::new(policy).with_guest(address("fe80::7"), guest_mac(7));
    host.input(Input::Solicitation(
        crate::host::BRIDGE,
        crate::host::question_from(address("fe80::7"), guest_mac(7), address("fe80::1")),
    ));
    host.input(Input::Solicitation(
        crate::host::BRIDGE,
        crate::host::question_from(address("fe80::8"), guest_mac(8), address("fe80::1")),
    ));
    host.guests.insert(address("fe80::8"), guest_mac(8));
    host.pass(seconds(2));
    assert!(host.kernel.iter().any(|route| route.destination == net("2001:db8:1:2:c::4000/116")));
    assert!(!host.answers_for(guest(0x4001)));
    let part = |prefix: &str| Claim {
        object: object(prefix),
        interface: "lxcbr0".parse().ok(),
        mac: None,
        via: Some(address("fe80::8")),
        until: None,
    };
    host.input(Input::Claiming(Claiming::Claim(part("2001:db8:1:2:c::8000/120"))));
    host.ask(guest(0x8001));
    host.pass(seconds(2));
    assert!(host.answers_for(guest(0x8001)));
    assert!(!host.answers_for(guest(0x8101)) && !host.answers_for(guest(0x4001)), "beside it");
}

/// The other host announces what it has, and that is nothing to this one.
#[test]
fn a_guest_that_another_host_announces_is_not_asked_whether_it_has_gone() {
    let mut host = Host::new(policy());
    assert!(host.is_live(guest(0x1000)));
    host.pass(seconds(10));
    host.take();
    host.input(Input::Advertisement(
        UP,
        Advertisement {
            destination: address("ff02::1"),
            flags: Flags { router: false, solicited: false, override_entry: true },
            ..reply(guest(0x1000), Mac([2, 9, 9, 9, 9, 9]))
        },
    ));
    host.pass(seconds(5));
    assert!(host.is_live(guest(0x1000)));
    assert!(probes(&host.take()).iter().all(|probe| probe.target != guest(0x1000)));
}
