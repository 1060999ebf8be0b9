//! RFC 4861 §7.2.5, Receipt of Neighbor Advertisements: here those of guests, on a downstream.
//!
//! What we keep is not a Neighbor Cache: no packet is sent by it, the kernel has its own for that.
//! It says which targets are live, and where to ask whether they still are.

use lone64::engine::{Evidence, Input, State};
use lone64::wire::{Advertisement, Flags, Mac};

use crate::host::{
    BRIDGE, Host, UP, address, advertisements, guest, guest_mac, live, probes, question, reply, seconds,
};

const OTHER: Mac = Mac([2, 0, 0, 0, 0xff, 0xff]);

/// The link-layer address at which the next question would find the target.
fn mac_of(host: &Host) -> Option<Mac> {
    match host.engine.target(guest(5)) {
        Some(State::Live(live)) => live.mac,
        _ => None,
    }
}

fn flags(solicited: bool, override_entry: bool) -> Flags {
    Flags { router: false, solicited, override_entry }
}

// "When a valid Neighbor Advertisement is received (either solicited or unsolicited), the Neighbor
// Cache is searched for the target's entry. If no entry exists, the advertisement SHOULD be silently
// discarded."

// Justification: a guest that announces itself, at its start or after a move, is live, and to know
// it before anybody asks saves the router's first packet the wait for a probe. Only inside a range
// whose guests are on that very downstream; everywhere else it is discarded.

#[test]
fn a_guest_that_advertises_itself_is_live_before_anybody_asks() {
    let mut host = Host::new(live());
    host.advertise(guest(5), guest_mac(5));
    let outputs = host.ask(guest(5));
    assert_eq!((advertisements(&outputs).len(), probes(&outputs).len()), (1, 0));
}

#[test]
fn an_advertisement_for_an_address_outside_the_ranges_is_discarded() {
    let mut host = Host::new(live());
    for target in ["2001:db8:1:2::1", "2001:db8:1:2:d::5", "2001:db8:1:3:c::5"] {
        host.advertise(address(target), guest_mac(5));
    }
    assert_eq!((host.engine.known_targets(), host.take()), (0, vec![]));
}

#[test]
fn an_advertisement_on_the_upstream_makes_nothing_live() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.input(Input::Advertisement(UP, reply(guest(5), guest_mac(5))));
    assert_eq!(host.take(), []);
    assert!(!host.is_live(guest(5)));
}

// "If the target's Neighbor Cache entry is in the INCOMPLETE state when the advertisement is
// received, one of two things happens. If the link layer has addresses and no Target Link-Layer
// Address option is included, the receiving node SHOULD silently discard the received advertisement."

// Justification: that somebody replied is what we want to know, and the frame's source says who; no
// packet depends on it. A guest that leaves the option out is reachable all the same once the
// kernel, which goes by this rule, gets it.

#[test]
fn a_reply_without_the_option_makes_live_at_the_source_of_its_frame() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    let reply = Advertisement { target_link_layer: None, ..reply(guest(5), guest_mac(5)) };
    host.input(Input::Advertisement(BRIDGE, reply));
    assert_eq!(mac_of(&host), Some(guest_mac(5)));
}

// "Otherwise, the receiving node performs the following steps:"
// "- It records the link-layer address in the Neighbor Cache entry."

#[test]
fn the_link_layer_address_of_the_reply_is_recorded_and_asked_next_time() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    let reply = Advertisement { target_link_layer: Some(OTHER), ..reply(guest(5), guest_mac(5)) };
    host.input(Input::Advertisement(BRIDGE, reply));
    host.take();
    host.pass(seconds(60));
    assert_eq!(host.probes()[0].destination_mac, OTHER);
}

// "- If the advertisement's Solicited flag is set, the state of the entry is set to REACHABLE;
// otherwise, it is set to STALE."

// Justification: STALE would mean to ask before the next use. Our next use is an answer, which does
// not wait for a probe in either case; it is behind the answer that knowledge is confirmed, by age.

#[test]
fn a_reply_makes_live_with_and_without_the_solicited_flag() {
    for solicited in [false, true] {
        let mut host = Host::new(live());
        host.ask(guest(5));
        let reply = Advertisement { flags: flags(solicited, true), ..reply(guest(5), guest_mac(5)) };
        host.input(Input::Advertisement(BRIDGE, reply));
        assert!(host.is_live(guest(5)));
    }
}

// "- It sets the IsRouter flag in the cache entry based on the Router flag in the received
// advertisement."

// Justification: nothing here depends on whether a guest is a router.

// "- It sends any packets queued for the neighbor awaiting address resolution."

#[test]
fn whoever_waited_is_answered() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.advertise(guest(5), guest_mac(5));
    assert_eq!(host.answers().len(), 1);
}

// "Note that the Override flag is ignored if the entry is in the INCOMPLETE state."

#[test]
fn a_reply_makes_live_with_and_without_the_override_flag() {
    for override_entry in [false, true] {
        let mut host = Host::new(live());
        host.ask(guest(5));
        let reply = Advertisement { flags: flags(true, override_entry), ..reply(guest(5), guest_mac(5)) };
        host.input(Input::Advertisement(BRIDGE, reply));
        assert!(host.is_live(guest(5)));
    }
}

// "If the target's Neighbor Cache entry is in any state other than INCOMPLETE when the advertisement
// is received, the following actions take place:"
// "I. If the Override flag is clear and the supplied link-layer address differs from that in the
// cache, then one of two actions takes place: a. If the state of the entry is REACHABLE, set it to
// STALE, but do not update the entry in any other way. b. Otherwise, the received advertisement
// should be ignored and MUST NOT update the cache."

// Justification: the rule keeps packets from going to the wrong station, and we send none but
// probes. Whichever of two stations spoke last is asked next, and the last probe goes to the group,
// so that the other one is found as well:

#[test]
fn whichever_station_spoke_last_is_asked_next_and_at_last_the_group() {
    for override_entry in [false, true] {
        let mut host = Host::new(live());
        host.make_live(guest(5), guest_mac(5));
        let reply = Advertisement { flags: flags(true, override_entry), ..reply(guest(5), OTHER) };
        host.input(Input::Advertisement(BRIDGE, reply));
        host.pass(seconds(62));
        let asked: Vec<_> = host.probes().iter().map(|probe| probe.destination_mac).collect();
        assert_eq!(asked, [OTHER, OTHER, Mac([0x33, 0x33, 0xff, 0, 0, 5])]);
    }
}

// "II. If the Override flag is set, or the supplied link-layer address is the same as that in the
// cache, or no Target Link-Layer Address option was supplied, the received advertisement MUST update
// the Neighbor Cache entry as follows:"
// "- The link-layer address in the Target Link-Layer Address option MUST be inserted in the cache (if
// one is supplied and differs from the already recorded address)."

#[test]
fn an_override_advertisement_with_another_link_layer_address_is_inserted() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    let moved = Advertisement { flags: flags(false, true), ..reply(guest(5), OTHER) };
    host.input(Input::Advertisement(BRIDGE, moved));
    assert_eq!(mac_of(&host), Some(OTHER));
}

// "- If the Solicited flag is set, the state of the entry MUST be set to REACHABLE. If the Solicited
// flag is zero and the link-layer address was updated with a different address, the state MUST be
// set to STALE. Otherwise, the entry's state remains unchanged."

#[test]
fn a_solicited_advertisement_makes_knowledge_new_again() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(50));
    host.advertise(guest(5), guest_mac(5));
    host.pass(seconds(30));
    host.take();
    assert_eq!(probes(&host.ask(guest(5))), [], "it is 30 s old, and not older");
    assert!(matches!(host.engine.target(guest(5)), Some(State::Live(l)) if l.evidence == Evidence::Probe));
}

// Justification: as above, STALE is not a state here; an unsolicited advertisement counts as a sign
// of life, although it shows one direction only (§7.3.1). It cannot make us answer for long for a
// guest that does not hear us: once it is silent, probes ask it by its address.

#[test]
fn a_guest_that_only_ever_speaks_is_absent_soon_after_it_falls_silent() {
    let mut host = Host::new(live());
    let unsolicited = Advertisement { flags: flags(false, true), ..reply(guest(5), guest_mac(5)) };
    host.input(Input::Advertisement(BRIDGE, unsolicited));
    host.pass(seconds(4));
    assert!(host.is_absent(guest(5)));
}

// "- The IsRouter flag in the cache entry MUST be set based on the Router flag in the received
// advertisement. In those cases where the IsRouter flag changes from TRUE to FALSE as a result of
// this update, the node MUST remove that router from the Default Router List and update the
// Destination Cache entries for all destinations using that neighbor as a router as specified in
// Section 7.3.3."

// Justification: the Default Router List and the Destination Cache are the kernel's, and it hears
// the same advertisements.

// "An advertisement's Solicited flag should only be set if the advertisement is a response to a
// Neighbor Solicitation."

#[test]
fn no_advertisement_leaves_without_a_question() {
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    host.advertise(guest(5), guest_mac(5));
    host.pass(seconds(600));
    assert_eq!(host.answers(), []);
    assert!(host.answer_to(question(guest(5))).unwrap().flags.solicited);
}
