//! RFC 4862 §5.4.3–5.4.5, Duplicate Address Detection, as far as it concerns a proxy.

use lone64::engine::facts::{AddressState, Fact};
use lone64::engine::{Evidence, Input, Output, State};
use lone64::wire::{DropReason, Mac};

use crate::frames::{Frame, STATION};
use crate::host::{
    BRIDGE, Host, UP, UP_MAC, address, always, dad, guest, guest_mac, has, host_address, live, question,
    seconds, with,
};

/// A station on the upstream's link that would like to have a guest's address.
const RIVAL: Mac = Mac([2, 0, 0, 0, 0xaa, 0xaa]);

// §5.4.3

// "If the target address is not tentative (i.e., it is assigned to the receiving interface), the
// solicitation is processed as described in [RFC4861]."

#[test]
fn a_rivals_check_for_a_live_guests_address_is_answered_to_all_nodes() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    let defence = host.answer_to(dad(RIVAL, guest(5))).unwrap();
    assert_eq!((defence.destination, defence.target), (address("ff02::1"), guest(5)));
    assert_eq!((defence.flags.solicited, defence.target_link_layer), (false, Some(UP_MAC)));
}

#[test]
fn the_address_of_a_guest_that_does_not_exist_is_free_to_take() {
    let mut host = Host::new(live());
    host.solicit(dad(RIVAL, guest(5)));
    host.pass(seconds(10));
    assert_eq!(host.answers(), []);
}

#[test]
fn a_guest_that_is_found_while_a_rival_checks_is_defended() {
    let mut host = Host::new(live());
    host.solicit(dad(RIVAL, guest(5)));
    host.take();
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(host.answers()[0].destination, address("ff02::1"));
}

// "If the target address is tentative, and the source address is a unicast address, the
// solicitation's sender is performing address resolution on the target; the solicitation should be
// silently ignored. Otherwise, processing takes place as described below. In all cases, a node MUST
// NOT respond to a Neighbor Solicitation for a tentative address."

#[test]
fn an_address_that_is_tentative_on_the_upstream_is_not_answered_for() {
    let mut host = Host::new(always());
    host.facts(vec![Fact::Address(host_address(UP, "2001:db8:1:2:c::7/64", AddressState::Tentative))]);
    for asked in [question(guest(7)), dad(RIVAL, guest(7))] {
        assert_eq!(host.answer_to(asked), None);
    }
}

#[test]
fn nor_is_one_that_is_tentative_on_a_downstream_until_it_is_not() {
    let mut host = Host::new(live());
    host.facts(vec![Fact::Address(host_address(BRIDGE, "2001:db8:1:2:c::7/112", AddressState::Tentative))]);
    assert!(!host.answers_for(guest(7)));
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::7/112")]);
    assert!(host.answers_for(guest(7)));
}

// "If the source address of the Neighbor Solicitation is the unspecified address, the solicitation is
// from a node performing Duplicate Address Detection. If the solicitation is from another node, the
// tentative address is a duplicate and should not be used (by either node). If the solicitation is
// from the node itself (because the node loops back multicast packets), the solicitation does not
// indicate the presence of a duplicate address."

// Justification: whether an address of the host is a duplicate is for the kernel to find out. For us
// it means that the host's own check must not be answered, also if a switch loops it back: it comes
// from our own link-layer address, and such frames are not even looked at.

#[test]
fn the_hosts_own_check_looped_back_is_not_looked_at() {
    let frame = Frame { source_mac: STATION, ..Frame::dad() };
    assert_eq!(frame.parse(), Err(DropReason::OwnFrame));
}

// A guest's check is from another node, on a link where the address is not assigned to us. To answer
// it would take the address from the guest that we are here for.

#[test]
fn a_guests_own_check_is_never_answered_on_its_downstream() {
    let proxying = with(|policy| policy.ranges[0].proxy_downstream = true);
    for policy in [live(), always(), proxying] {
        let mut host = Host::new(policy);
        host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
        let outputs = host.take();
        assert!(
            !outputs.iter().any(|o| matches!(o, Output::Advertise(..) | Output::Solicit(..))),
            "{outputs:?}"
        );
        assert_eq!(host.engine.counters().of(BRIDGE).dropped(DropReason::NotUpstream), 1);
    }
}

#[test]
fn nor_is_it_answered_while_the_router_asks_for_that_address() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    let outputs = host.take();
    assert!(outputs.iter().all(|o| !matches!(o, Output::Advertise(BRIDGE, _))), "{outputs:?}");
}

#[test]
fn nor_when_it_was_live_a_moment_ago() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    assert_eq!(host.answers(), []);
}

#[test]
fn a_guests_own_check_shows_that_it_lives() {
    let mut host = Host::new(live());
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), guest(5))));
    let Some(State::Live(live)) = host.engine.target(guest(5)) else { panic!("it is not live") };
    assert_eq!((live.evidence, live.mac), (Evidence::Dad, Some(guest_mac(5))));
}

// §5.4.4

// "On receipt of a valid Neighbor Advertisement message on an interface, node behavior depends on
// whether the target address is tentative or matches a unicast or anycast address assigned to the
// interface:"
// "1. If the target address is tentative, the tentative address is not unique."
// "2. If the target address matches a unicast address assigned to the receiving interface, it would
// possibly indicate that the address is a duplicate but it has not been detected by the Duplicate
// Address Detection procedure [...]. How to handle such a case is beyond the scope of this document."
// "3. Otherwise, the advertisement is processed as described in [RFC4861]."

// Justification: 1 and 2 concern addresses of the host, which are the kernel's; 3 is §7.2.5. For us
// it means that no advertisement makes an address of the host a guest's.

#[test]
fn an_advertisement_for_an_address_of_the_host_makes_no_guest_of_it() {
    let mut host = Host::new(live());
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    host.advertise(guest(1), guest_mac(1));
    assert_eq!(host.engine.target(guest(1)), None);
}

// §5.4.5

// "A tentative address that is determined to be a duplicate as described above MUST NOT be assigned to
// an interface, and the node SHOULD log a system management error."

// Justification: we assign no addresses. An address of the host whose check has failed stays
// tentative as far as the engine is told, and is not answered for, as above.
