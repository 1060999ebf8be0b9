//! Guests that a reload writes differently: what was heard of their MAC counts on.

use lone64::engine::facts::LinkState;
use lone64::engine::guests::Missing;
use lone64::engine::policy::{GuestAddresses, GuestPolicy};
use lone64::engine::{Evidence, Input, Output, State};

use super::delegated::{PREFIX, heard, via, with_prefix};
use super::{TAP, has_route, identity, missing, on_two_links, place, policy, tap};
use crate::host::{BRIDGE, Host, address, guest, guest_mac, net, question_from};

fn reload(host: &mut Host, guests: Vec<GuestPolicy>) {
    let mut written = policy(guests);
    written.ranges[0].downstream = host.engine.policy().ranges[0].downstream.clone();
    host.input(Input::Reload(Box::new(written)));
}

/// All that can be written differently of one that keeps its MAC.
fn variants(one: &GuestPolicy) -> [GuestPolicy; 4] {
    [
        GuestPolicy { pin: true, ..one.clone() },
        GuestPolicy { guard: Some(true), ..one.clone() },
        GuestPolicy { addresses: GuestAddresses::Listed(vec![guest(5), guest(9)]), ..one.clone() },
        GuestPolicy { name: "another".to_owned(), ..one.clone() },
    ]
}

#[test]
fn its_prefixes_keep_their_next_hop() {
    for other in variants(&with_prefix(5, PREFIX)) {
        let mut host = Host::new(policy(vec![with_prefix(5, PREFIX)]));
        host.guests.insert(address("fe80::55"), guest_mac(5));
        heard(&mut host, "fe80::55", 5);
        reload(&mut host, vec![other.clone()]);
        assert!(host.kernel.contains(&via(PREFIX, "fe80::55")), "{other:?}");
        assert_eq!(missing(&host, &other.name), None, "{other:?}");
    }
    // And other prefixes have it.
    let mut host = Host::new(policy(vec![with_prefix(5, PREFIX)]));
    heard(&mut host, "fe80::55", 5);
    reload(&mut host, vec![with_prefix(5, "2001:db8:1:2:c::2000/117")]);
    assert!(host.kernel.contains(&via("2001:db8:1:2:c::2000/117", "fe80::55")));
    assert!(!host.kernel.iter().any(|route| route.destination == net(PREFIX)));
}

#[test]
fn one_without_an_interface_stays_where_it_was_heard() {
    let unplaced = GuestPolicy { interface: None, ..identity(5) };
    for other in variants(&unplaced) {
        let mut host = on_two_links(vec![unplaced.clone()]);
        host.input(Input::Solicitation(
            TAP,
            question_from(address("fe80::55"), guest_mac(5), address("fe80::1")),
        ));
        reload(&mut host, vec![other.clone()]);
        assert_eq!((place(&host, guest(5)), missing(&host, &other.name)), (Some(TAP), None), "{other:?}");
        assert!(has_route(&host, guest(5), TAP) && host.answers_for(guest(5)), "{other:?}");
    }
}

#[test]
fn what_the_kernel_may_know_of_a_new_one_is_read_again() {
    let is_read = |guests: Vec<GuestPolicy>| {
        let mut host = Host::new(policy(vec![identity(5)]));
        host.take();
        reload(&mut host, [vec![identity(5)], guests].concat());
        host.take().contains(&Output::Resync)
    };
    assert!(is_read(vec![with_prefix(6, PREFIX)]));
    assert!(is_read(vec![GuestPolicy { interface: None, ..identity(6) }]));
    assert!(!is_read(vec![identity(6)]) && !is_read(vec![]), "nothing is to be heard of these");
}

#[test]
fn one_with_another_mac_has_to_be_heard() {
    let mut host = Host::new(policy(vec![with_prefix(5, PREFIX)]));
    heard(&mut host, "fe80::55", 5);
    assert!(host.kernel.contains(&via(PREFIX, "fe80::55")));
    let other = GuestPolicy { mac: Some(guest_mac(6)), ..with_prefix(5, PREFIX) };
    reload(&mut host, vec![other]);
    assert!(!host.kernel.contains(&via(PREFIX, "fe80::55")));
    assert!(matches!(missing(&host, "web5"), Some(Missing::LinkLocal(mac, _)) if mac == guest_mac(6)));
    heard(&mut host, "fe80::66", 6);
    assert!(host.kernel.contains(&via(PREFIX, "fe80::66")));
    assert_eq!(place(&host, guest(5)), Some(BRIDGE));
}

#[test]
fn what_was_heard_of_one_stays_where_another_is_written_and_what_had_no_room_is_there_once_it_has() {
    let three = |targets: usize| {
        let mut policy = policy((1..=3).map(identity).collect());
        policy.limits.targets = targets;
        policy
    };
    let live = |host: &Host| (1..=3).filter(|number| host.is_live(guest(*number))).count();
    let mut host = Host::new(three(2));
    assert_eq!(live(&host), 2);
    host.input(Input::Reload(Box::new(three(10))));
    assert_eq!(live(&host), 3);
    host.advertise(guest(1), guest_mac(1));
    let evidence = |host: &Host| match host.engine.target(guest(1)) {
        Some(State::Live(live)) => Some(live.evidence),
        _ => None,
    };
    assert_eq!(evidence(&host), Some(Evidence::Probe));
    host.facts(vec![tap(LinkState::Up)]);
    host.input(Input::Reload(Box::new(three(11))));
    assert_eq!(evidence(&host), Some(Evidence::Probe));
}
