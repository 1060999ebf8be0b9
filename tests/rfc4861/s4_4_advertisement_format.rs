//! RFC 4861 §4.4, Neighbor Advertisement Message Format: of the answers that we give.

use lone64::engine::policy::{Answer, Override, Source};
use lone64::wire::{Advertisement, Solicitation};

use crate::frames::{self, Frame};
use crate::host::{
    Host, ROUTER_MAC, UP_MAC, address, always, dad, guest, guest_mac, question, question_from, with,
};

fn answer(question: Solicitation) -> Advertisement {
    Host::new(always()).answer_to(question).unwrap()
}

fn unicast(question: Solicitation) -> Solicitation {
    Solicitation { destination: question.target, destination_mac: UP_MAC, ..question }
}

// "Source Address: An address assigned to the interface from which the advertisement is sent."

#[test]
fn an_answer_comes_from_an_address_of_the_upstream() {
    assert_eq!(answer(question(guest(5))).source, address("fe80::5054:ff:fe00:1"));
    let asker = address("2001:db8:1:2::1");
    assert_eq!(answer(question_from(asker, ROUTER_MAC, guest(5))).source, address("2001:db8:1:2::2"));
    assert_eq!(answer(dad(ROUTER_MAC, guest(5))).source, address("fe80::5054:ff:fe00:1"));
}

// Justification: `source = "target"` sends from the target itself, which is not an address of this
// interface. It is there for providers that drop neighbor discovery from any other source, has to
// be configured, and is what a guest on the link would send itself.

#[test]
fn only_if_it_is_asked_for_an_answer_comes_from_its_target() {
    let mut host = Host::new(with(|policy| policy.upstreams[0].source = Source::Target));
    host.make_live(guest(5), guest_mac(5));
    assert_eq!(host.answer_to(question(guest(5))).unwrap().source, guest(5));
}

// "Destination Address: For solicited advertisements, the Source Address of an invoking Neighbor
// Solicitation or, if the solicitation's Source Address is the unspecified address, the all-nodes
// multicast address."

#[test]
fn an_answer_goes_to_whoever_asked() {
    for asker in ["fe80::1", "2001:db8:1:2::1", "2001:db8:ffff::1"] {
        let asker = address(asker);
        assert_eq!(answer(question_from(asker, ROUTER_MAC, guest(5))).destination, asker);
    }
}

#[test]
fn the_answer_to_a_duplicate_check_goes_to_all_nodes() {
    let answer = answer(dad(ROUTER_MAC, guest(5)));
    assert_eq!(answer.destination, address("ff02::1"));
    assert_eq!(answer.destination_mac.to_string(), "33:33:00:00:00:01");
}

// "Hop Limit: 255", "Type: 136", "Code: 0", "Checksum: The ICMP checksum."

#[test]
fn an_answer_has_hop_limit_255_type_136_code_0_and_a_right_checksum() {
    for question in [question(guest(5)), dad(ROUTER_MAC, guest(5))] {
        let answer = answer(question);
        let frame = frames::emit_advertisement(&answer);
        assert_eq!((frame[21], frame[54], frame[55]), (255, 136, 0));
        assert_eq!(frames::sum(answer.source, answer.destination, &frame[54..]), 0xffff);
    }
}

// "R: Router flag. When set, the R-bit indicates that the sender is a router."

#[test]
fn the_router_flag_is_as_configured() {
    for router in [false, true] {
        let mut host = Host::new(with(|policy| {
            policy.ranges[0].answer = Answer::Always;
            policy.upstreams[0].router = router;
        }));
        assert_eq!(host.answer_to(question(guest(5))).unwrap().flags.router, router);
    }
}

// "S: Solicited flag. [...] It MUST NOT be set in multicast advertisements or in unsolicited unicast
// advertisements."

#[test]
fn the_solicited_flag_is_set_to_an_address_and_never_to_a_group() {
    assert!(answer(question(guest(5))).flags.solicited);
    assert!(answer(unicast(question(guest(5)))).flags.solicited);
    assert!(!answer(dad(ROUTER_MAC, guest(5))).flags.solicited);
}

// Justification: no unsolicited advertisement is sent to an address; those to all nodes are §7.2.6.

// "O: Override flag. [...] It SHOULD NOT be set in solicited advertisements for anycast addresses
// and in solicited proxy advertisements."

#[test]
fn the_override_flag_is_not_set_in_answers() {
    assert!(!answer(question(guest(5))).flags.override_entry);
    assert!(!answer(dad(ROUTER_MAC, guest(5))).flags.override_entry);
}

// "It SHOULD be set in other solicited advertisements and in unsolicited advertisements."

// Justification: every answer of ours is a proxy's. Also for an address of the host on another
// interface, which the upstream link cannot tell from one of a guest.

// "Reserved: 29-bit unused field. It MUST be initialized to zero by the sender [...]"

#[test]
fn the_reserved_field_of_an_answer_is_zero() {
    let frame = frames::emit_advertisement(&answer(question(guest(5))));
    assert_eq!((frame[58] & 0x1f, &frame[59..62]), (0, &[0; 3][..]));
}

// "[...] and MUST be ignored by the receiver."

#[test]
fn the_reserved_field_of_an_advertisement_is_ignored() {
    let plain = Frame::advertisement();
    let frame = Frame { reserved: [0x7f, 0xff, 0xff, 0xff], ..plain.clone() };
    assert_eq!(frame.parsed_advertisement(), plain.parsed_advertisement());
}

// "Target Address: For solicited advertisements, the Target Address field in the Neighbor
// Solicitation message that prompted this advertisement. [...] The Target Address MUST NOT be a
// multicast address."

#[test]
fn the_target_of_the_answer_is_the_target_of_the_question() {
    for number in [0, 1, 5, 0xffff] {
        assert_eq!(answer(question(guest(number))).target, guest(number));
    }
}

// Justification: a question for a multicast address is never valid (§7.1.1), and no range holds one.

// "Target link-layer address: The link-layer address for the target, i.e., the sender of the
// advertisement. This option MUST be included on link layers that have addresses when responding to
// multicast solicitations."

#[test]
fn the_answer_to_a_multicast_question_says_the_upstreams_link_layer_address() {
    let answer = answer(question(guest(5)));
    assert_eq!((answer.target_link_layer, answer.source_mac), (Some(UP_MAC), UP_MAC));
    assert_eq!(frames::emit_advertisement(&answer)[78..], [2, 1, 0x52, 0x54, 0, 0, 0, 1]);
}

// "When responding to a unicast Neighbor Solicitation this option SHOULD be included."

#[test]
fn so_does_the_answer_to_a_unicast_question() {
    assert_eq!(answer(unicast(question(guest(5)))).target_link_layer, Some(UP_MAC));
}

// "Receivers MUST silently ignore any options they do not recognize and continue processing the
// message."

#[test]
fn unknown_options_of_an_advertisement_are_ignored() {
    let plain = Frame::advertisement();
    for kind in [0, 14, 24, 38, 138, 253, 255] {
        let mut options = vec![kind, 2];
        options.extend([0xaa; 14]);
        options.extend(&plain.options);
        let frame = Frame { options, ..plain.clone() };
        assert_eq!(frame.parsed_advertisement(), plain.parsed_advertisement(), "option {kind}");
    }
}

// Justification: `override = "always"` sets the O flag against the SHOULD NOT above; it has to be
// configured, for switches and routers that hold on to an old entry.

#[test]
fn only_if_it_is_asked_for_the_override_flag_is_set_in_answers() {
    for (policy, expected) in
        [(Override::Takeover, false), (Override::Never, false), (Override::Always, true)]
    {
        let mut host = Host::new(with(|p| {
            p.ranges[0].answer = Answer::Always;
            p.upstreams[0].override_flag = policy;
        }));
        assert_eq!(host.answer_to(question(guest(5))).unwrap().flags.override_entry, expected, "{policy:?}");
    }
}
