//! RFC 4861 §7.2.3, Receipt of Neighbor Solicitations.

use lone64::engine::facts::{AddressState, Fact};
use lone64::wire::{DropReason, Mac, Solicitation};

use crate::host::{
    BRIDGE, Host, LO, ROUTER_MAC, UP, UP_MAC, address, advertisements, always, dad, guest, guest_mac, has,
    host_address, live, question, question_from,
};

// "A valid Neighbor Solicitation that does not meet any of the following requirements MUST be
// silently discarded:"

#[test]
fn a_target_outside_the_ranges_is_discarded() {
    let mut host = Host::new(always());
    // One below, one above, another /64 with the same interface identifier, the router's own.
    for target in
        ["2001:db8:1:2:b:ffff:ffff:ffff", "2001:db8:1:2:c:0:1:0", "2001:db8:1:3:c::5", "2001:db8:1:2::1"]
    {
        assert_eq!(host.ask(address(target)), [], "{target}");
    }
    assert_eq!(host.dropped(DropReason::NoRange), 4);
    assert!(host.answers_for(guest(0)) && host.answers_for(guest(0xffff)), "its ends belong to the range");
}

// "- The Target Address is a "valid" unicast or anycast address assigned to the receiving interface
// [ADDRCONF],"

// Justification: it is not discarded by the host, but it is by us: the kernel answers for the
// addresses of the upstream, and a second answer with another O flag would only confuse.

#[test]
fn an_address_of_the_upstream_is_left_to_the_kernel() {
    let mut host = Host::new(always());
    host.facts(vec![has(UP, "2001:db8:1:2:c::7/128")]);
    assert_eq!(host.ask(guest(7)), []);
    assert_eq!(host.dropped(DropReason::UpstreamAddress), 1);
    host.facts(vec![Fact::AddressGone { link: UP, address: guest(7) }]);
    assert!(host.answers_for(guest(7)));
}

// "- The Target Address is a unicast or anycast address for which the node is offering proxy
// service, or"

#[test]
fn a_target_inside_a_range_is_answered_for() {
    let mut host = Host::new(always());
    assert_eq!(host.answer_to(question(guest(5))).unwrap().target, guest(5));
}

#[test]
fn an_address_of_the_host_on_another_interface_is_answered_for_without_a_probe() {
    for link in [BRIDGE, LO] {
        let mut host = Host::new(live());
        host.facts(vec![has(link, "2001:db8:1:2:c::1/128")]);
        let outputs = host.ask(guest(1));
        assert_eq!(outputs.len(), 1, "{outputs:?}");
        assert_eq!(advertisements(&outputs)[0].target, guest(1));
    }
}

// "- The Target Address is a "tentative" address on which Duplicate Address Detection is being
// performed [ADDRCONF]."
// "If the Target Address is tentative, the Neighbor Solicitation should be processed as described in
// [ADDRCONF]."

// Justification: an address is tentative on the interface that it is assigned to. On the upstream
// that is the kernel's to process, and must not be defended against by us; see RFC 4862 beside.

#[test]
fn a_tentative_address_of_the_upstream_is_left_to_the_kernel() {
    let mut host = Host::new(always());
    host.facts(vec![Fact::Address(host_address(UP, "2001:db8:1:2:c::7/64", AddressState::Tentative))]);
    assert_eq!(host.ask(guest(7)), []);
    host.solicit(dad(ROUTER_MAC, guest(7)));
    assert_eq!(host.take(), []);
    assert_eq!(host.dropped(DropReason::UpstreamAddress), 2);
}

// "If the Source Address is not the unspecified address and, on link layers that have addresses, the
// solicitation includes a Source Link-Layer Address option, then the recipient SHOULD create or
// update the Neighbor Cache entry for the IP Source Address of the solicitation. If an entry does
// not already exist, the node SHOULD create a new one and set its reachability state to STALE as
// specified in Section 7.3.3. If an entry already exists, and the cached link-layer address differs
// from the one in the received Source Link-Layer option, the cached address should be replaced by
// the received address, and the entry's reachability state MUST be set to STALE."
// "If a Neighbor Cache entry is created, the IsRouter flag SHOULD be set to FALSE. [...] If a Neighbor
// Cache entry already exists, its IsRouter flag MUST NOT be modified."
// "If the Source Address is the unspecified address, the node MUST NOT create or update the Neighbor
// Cache entry."

// Justification: we have no cache of the upstream's neighbors. An answer goes to where its question
// says that it came from, and whatever the host itself sends is resolved by the kernel, which hears
// the same solicitations and does all of the above. What we know are the targets behind the
// downstreams, and no solicitation on the upstream creates or changes one:

#[test]
fn an_asker_on_the_upstream_with_an_address_of_the_range_makes_nothing_live() {
    let mut host = Host::new(live());
    host.solicit(question_from(guest(9), guest_mac(9), guest(5)));
    host.solicit(dad(guest_mac(9), guest(9)));
    host.take();
    assert!(!host.is_live(guest(9)));
}

#[test]
fn an_answer_goes_to_the_source_link_layer_option_of_its_own_question() {
    let mut host = Host::new(always());
    let (first, second) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
    for mac in [first, second, first] {
        let question = Solicitation { source_link_layer: Some(mac), ..question(guest(5)) };
        assert_eq!(host.answer_to(question).unwrap().destination_mac, mac);
    }
}

#[test]
fn without_the_option_it_goes_to_whoever_sent_the_frame() {
    let mut host = Host::new(always());
    let question = Solicitation { source_link_layer: None, ..question(guest(5)) };
    assert_eq!(host.answer_to(question).unwrap().destination_mac, ROUTER_MAC);
}

// "After any updates to the Neighbor Cache, the node sends a Neighbor Advertisement response as
// described in the next section."

#[test]
fn each_question_has_its_own_answer_also_within_one_instant() {
    let mut host = Host::new(always());
    for _ in 0..5 {
        host.solicit(question(guest(5)));
    }
    assert_eq!(host.answers().len(), 5);
}

#[test]
fn a_unicast_question_is_answered_as_a_multicast_one_is() {
    let mut host = Host::new(always());
    let multicast = question(guest(5));
    let unicast = Solicitation { destination: guest(5), destination_mac: UP_MAC, ..multicast };
    assert_eq!(host.answer_to(unicast), host.answer_to(multicast));
}
