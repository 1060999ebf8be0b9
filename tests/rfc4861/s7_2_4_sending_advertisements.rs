//! RFC 4861 §7.2.4, Sending Solicited Neighbor Advertisements.

use lone64::engine::policy::{Answer, Override};
use lone64::wire::{Mac, Solicitation};

use crate::host::{
    Host, ROUTER_MAC, UP_MAC, address, advertisements, always, dad, guest, guest_mac, live, question,
    question_from, seconds, with,
};

// "A node sends a Neighbor Advertisement in response to a valid Neighbor Solicitation targeting one
// of the node's assigned addresses. The Target Address of the advertisement is copied from the
// Target Address of the solicitation."

#[test]
fn the_target_is_copied_from_the_question() {
    let mut host = Host::new(always());
    for number in [0, 5, 0xffff] {
        assert_eq!(host.answer_to(question(guest(number))).unwrap().target, guest(number));
    }
}

// "If the solicitation's IP Destination Address is not a multicast address, the Target Link-Layer
// Address option MAY be omitted; [...] If the solicitation's IP Destination Address is a multicast
// address, the Target Link-Layer option MUST be included in the advertisement."

#[test]
fn the_target_link_layer_option_is_in_every_answer() {
    let mut host = Host::new(always());
    let multicast = question(guest(5));
    let unicast = Solicitation { destination: guest(5), destination_mac: UP_MAC, ..multicast };
    for question in [multicast, unicast, dad(ROUTER_MAC, guest(5))] {
        assert_eq!(host.answer_to(question).unwrap().target_link_layer, Some(UP_MAC));
    }
}

// "Furthermore, if the node is a router, it MUST set the Router flag to one; otherwise, it MUST set
// the flag to zero."

// Justification: "the node" is here the guest that is answered for, and it is no router for the
// upstream's link. So the flag is zero, although the host does forward; `router = true` sets it,
// where the provider's equipment wants to see that. In either case it is the same in every answer,
// so that nobody sees a router that turns into a host.

#[test]
fn the_router_flag_is_the_same_in_every_answer() {
    for router in [false, true] {
        let mut host = Host::new(with(|policy| {
            policy.ranges[0].answer = Answer::Always;
            policy.upstreams[0].router = router;
        }));
        for question in [question(guest(5)), question(guest(6)), dad(ROUTER_MAC, guest(5))] {
            assert_eq!(host.answer_to(question).unwrap().flags.router, router);
        }
    }
}

// "If the Target Address is either an anycast address or a unicast address for which the node is
// providing proxy service, or the Target Link-Layer Address option is not included, the Override
// flag SHOULD be set to zero. Otherwise, the Override flag SHOULD be set to one."

#[test]
fn the_override_flag_is_zero_unless_it_is_configured_otherwise() {
    for (policy, expected) in [(None, false), (Some(Override::Never), false), (Some(Override::Always), true)]
    {
        let mut host = Host::new(with(|p| {
            p.ranges[0].answer = Answer::Always;
            p.upstreams[0].override_flag = policy.unwrap_or_default();
        }));
        assert_eq!(host.answer_to(question(guest(5))).unwrap().flags.override_entry, expected);
    }
}

// "If the source of the solicitation is the unspecified address, the node MUST set the Solicited flag
// to zero and multicast the advertisement to the all-nodes address."

#[test]
fn a_duplicate_check_is_answered_to_all_nodes_without_the_solicited_flag() {
    let answer = Host::new(always()).answer_to(dad(guest_mac(9), guest(5))).unwrap();
    assert_eq!(answer.destination, address("ff02::1"));
    assert_eq!(answer.destination_mac, Mac([0x33, 0x33, 0, 0, 0, 1]));
    assert!(!answer.flags.solicited);
}

// "Otherwise, the node MUST set the Solicited flag to one and unicast the advertisement to the Source
// Address of the solicitation."

#[test]
fn a_question_from_an_address_is_answered_to_it_with_the_solicited_flag() {
    let mut host = Host::new(always());
    for source in ["fe80::1", "2001:db8:1:2::1", "2001:db8:ffff::9"] {
        let answer = host.answer_to(question_from(address(source), ROUTER_MAC, guest(5))).unwrap();
        assert_eq!((answer.destination, answer.destination_mac), (address(source), ROUTER_MAC));
        assert!(answer.flags.solicited);
    }
}

#[test]
fn so_are_those_who_had_to_wait_for_a_probe() {
    let mut host = Host::new(live());
    host.ask(guest(5));
    host.solicit(dad(guest_mac(9), guest(5)));
    host.take();
    host.advertise(guest(5), guest_mac(5));
    let answers = host.answers();
    let seen: Vec<_> = answers.iter().map(|a| (a.destination, a.flags.solicited)).collect();
    assert_eq!(seen, [(address("fe80::1"), true), (address("ff02::1"), false)]);
}

// "If the Target Address is an anycast address, the sender SHOULD delay sending a response for a
// random time between 0 and MAX_ANYCAST_DELAY_TIME seconds."

// Justification: an anycast address cannot be told from a unicast one. The delay exists to keep
// several owners apart, and there is one of us; see §7.2.8.

#[test]
fn what_is_known_is_answered_in_the_instant_of_the_question() {
    let mut host = Host::new(live());
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(20));
    assert_eq!(advertisements(&host.ask(guest(5))).len(), 1);
}

// "Because unicast Neighbor Solicitations are not required to include a Source Link-Layer Address, it
// is possible that a node sending a solicited Neighbor Advertisement does not have a corresponding
// link-layer address for its neighbor in its Neighbor Cache. In such situations, a node will first
// have to use Neighbor Discovery to determine the link-layer address of its neighbor (i.e., send out
// a multicast Neighbor Solicitation)."

// Justification: the frame that the question came in has a source, and that is answered to. So also
// an asker is answered that never answers solicitations itself.

#[test]
fn a_unicast_question_without_the_option_is_answered_at_once_to_the_source_of_its_frame() {
    let mut host = Host::new(always());
    let bare = Solicitation {
        destination: guest(5),
        destination_mac: UP_MAC,
        source_link_layer: None,
        ..question(guest(5))
    };
    assert_eq!(host.answer_to(bare).unwrap().destination_mac, ROUTER_MAC);
}
