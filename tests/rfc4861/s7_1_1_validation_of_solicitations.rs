//! RFC 4861 §7.1.1, Validation of Neighbor Solicitations.

use lone64::wire::{DropReason, Mac, Message};

use crate::frames::{Frame, SENDER, STATION, address, link_layer};

/// The frame that each test below spoils in one place.
fn good() -> Frame {
    Frame::solicitation()
}

#[test]
fn the_frame_that_the_tests_spoil_is_valid() {
    assert!(good().parse().is_ok() && Frame::dad().parse().is_ok());
}

// "A node MUST silently discard any received Neighbor Solicitation messages that do not satisfy all
// of the following validity checks:"

// Justification: *silently* holds for all of them, because a frame that `Message::parse` refuses is
// counted and goes no further: no answer, no ICMPv6 error, no log line can come of it.

// "- The IP Hop Limit field has a value of 255, i.e., the packet could not possibly have been
// forwarded by a router."

#[test]
fn a_hop_limit_other_than_255_is_discarded() {
    for hop_limit in 0..255 {
        assert_eq!(Frame { hop_limit, ..good() }.parse(), Err(DropReason::HopLimit), "{hop_limit}");
    }
}

// "- ICMP Checksum is valid."

#[test]
fn every_wrong_checksum_is_discarded() {
    let bytes = good().bytes();
    let right = u16::from_be_bytes([bytes[56], bytes[57]]);
    for checksum in (0..=u16::MAX).filter(|checksum| *checksum != right) {
        let frame = Frame { checksum: Some(checksum), ..good() };
        assert_eq!(frame.parse(), Err(DropReason::Checksum), "{checksum:04x}");
    }
}

// "- ICMP Code is 0."

#[test]
fn a_code_other_than_0_is_discarded() {
    for code in 1..=255 {
        assert_eq!(Frame { code, ..good() }.parse(), Err(DropReason::Code), "{code}");
    }
}

// "- ICMP length (derived from the IP length) is 24 or more octets."

#[test]
fn a_length_under_24_octets_is_discarded() {
    let message = &good().bytes()[54..];
    for length in 1..24 {
        let frame = good().around(&message[..length]);
        assert_eq!(Message::parse(&frame, STATION), Err(DropReason::MessageTruncated), "{length}");
    }
}

#[test]
fn the_length_is_that_of_the_ip_header_and_not_of_the_frame() {
    let frame = Frame { payload_length: Some(23), ..good() };
    assert_eq!(frame.parse(), Err(DropReason::MessageTruncated));
}

#[test]
fn a_length_of_24_octets_is_enough() {
    assert!(Frame { options: Vec::new(), ..good() }.parse().is_ok());
}

// "- Target Address is not a multicast address."

#[test]
fn a_multicast_target_is_discarded() {
    for target in ["ff00::", "ff02::1", "ff02::1:ff00:5", "ff0e::5", "ffff::5"] {
        let frame = Frame { target: address(target), ..good() };
        assert_eq!(frame.parse(), Err(DropReason::TargetMulticast), "{target}");
    }
}

// "- All included options have a length that is greater than zero."

#[test]
fn an_option_of_length_zero_is_discarded_wherever_it_stands() {
    let (zero, fine) = (vec![5, 0, 0, 0, 0, 0, 0, 0], link_layer(1, SENDER));
    for options in [zero.clone(), [zero.clone(), fine.clone()].concat(), [fine.clone(), zero, fine].concat()]
    {
        let frame = Frame { options, ..good() };
        assert_eq!(frame.parse(), Err(DropReason::OptionLengthZero), "{:?}", frame.options);
    }
}

// "- If the IP source address is the unspecified address, the IP destination address is a
// solicited-node multicast address."

#[test]
fn dad_to_anything_but_a_solicited_node_group_is_discarded() {
    for destination in ["2001:db8:1:2:c::5", "ff02::1", "ff02::2", "ff02::1:fe00:5", "ff05::1:ff00:5"] {
        let frame = Frame { destination: address(destination), ..Frame::dad() };
        assert_eq!(frame.parse(), Err(DropReason::DadDestination), "{destination}");
    }
}

#[test]
fn a_question_from_an_address_may_go_to_the_target_itself() {
    let frame = Frame { destination: good().target, destination_mac: STATION, ..good() };
    assert!(frame.parse().is_ok());
}

// "- If the IP source address is the unspecified address, there is no source link-layer address
// option in the message."

#[test]
fn dad_with_a_source_link_layer_option_is_discarded() {
    let other = link_layer(14, Mac([1, 2, 3, 4, 5, 6]));
    for options in [link_layer(1, SENDER), [other, link_layer(1, SENDER)].concat()] {
        let frame = Frame { options, ..Frame::dad() };
        assert_eq!(frame.parse(), Err(DropReason::DadLinkLayerOption));
    }
}

// "The contents of the Reserved field, and of any unrecognized options, MUST be ignored."

#[test]
fn the_contents_of_the_reserved_field_and_of_unrecognized_options_are_ignored() {
    for byte in [0, 1, 0x80, 0xff] {
        let options = [vec![201, 1], vec![byte; 6], link_layer(1, SENDER)].concat();
        let frame = Frame { reserved: [byte; 4], options, ..good() };
        assert_eq!(frame.parsed(), good().parsed(), "{byte:02x}");
    }
}

// "The contents of any defined options that are not specified to be used with Neighbor Solicitation
// messages MUST be ignored and the packet processed as normal. The only defined option that may
// appear is the Source Link-Layer Address option."

#[test]
fn defined_options_that_have_no_place_here_are_ignored() {
    // Target link-layer address, prefix information, redirected header, MTU: each with nonsense.
    for (kind, length) in [(2, 1), (3, 4), (4, 6), (5, 1)] {
        let mut options = vec![kind, length];
        options.resize(usize::from(length) * 8, 0xee);
        options.extend(link_layer(1, SENDER));
        assert_eq!(Frame { options, ..good() }.parsed(), good().parsed(), "option {kind}");
    }
}

// "A Neighbor Solicitation that passes the validity checks is called a "valid solicitation"."

// Justification: beyond the text an option that reaches beyond the message is discarded, too
// (it cannot be told what it says), and so are targets that nobody on a link can have and sources
// that nobody can be answered at: see tests/wire/drop_reasons.rs for each.

#[test]
fn an_option_beyond_the_message_is_discarded() {
    let frame = Frame { options: vec![1, 2, 2, 0, 0, 0, 0, 7], ..good() };
    assert_eq!(frame.parse(), Err(DropReason::OptionTruncated));
}
