//! RFC 4861 §7.1.2, Validation of Neighbor Advertisements.

use lone64::wire::{DropReason, Message};

use crate::frames::{Frame, SENDER, STATION, address, link_layer};

/// The frame that each test below spoils in one place.
fn good() -> Frame {
    Frame::advertisement()
}

#[test]
fn the_frame_that_the_tests_spoil_is_valid() {
    assert!(good().parse().is_ok());
}

// "A node MUST silently discard any received Neighbor Advertisement messages that do not satisfy all
// of the following validity checks:"

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

// "- Target Address is not a multicast address."

#[test]
fn a_multicast_target_is_discarded() {
    for target in ["ff02::1", "ff02::1:ff00:5", "ff0e::5"] {
        let frame = Frame { target: address(target), ..good() };
        assert_eq!(frame.parse(), Err(DropReason::TargetMulticast), "{target}");
    }
}

// "- If the IP Destination Address is a multicast address the Solicited flag is zero."

#[test]
fn a_solicited_advertisement_to_a_group_is_discarded() {
    let to_all = Frame { destination: address("ff02::1"), ..good() };
    assert_eq!(to_all.parse(), Err(DropReason::SolicitedToGroup));
    assert!(Frame { reserved: [0x20, 0, 0, 0], ..to_all }.parse().is_ok());
}

// "- All included options have a length that is greater than zero."

#[test]
fn an_option_of_length_zero_is_discarded_wherever_it_stands() {
    let (zero, fine) = (vec![5, 0, 0, 0, 0, 0, 0, 0], link_layer(2, SENDER));
    for options in [zero.clone(), [zero.clone(), fine.clone()].concat(), [fine, zero].concat()] {
        assert_eq!(Frame { options, ..good() }.parse(), Err(DropReason::OptionLengthZero));
    }
}

// "The contents of the Reserved field, and of any unrecognized options, MUST be ignored."

#[test]
fn the_contents_of_the_reserved_field_and_of_unrecognized_options_are_ignored() {
    for byte in [0, 1, 0xff] {
        let options = [vec![201, 1], vec![byte; 6], link_layer(2, SENDER)].concat();
        let frame = Frame { reserved: [0x60 | byte & 0x1f, byte, byte, byte], options, ..good() };
        assert_eq!(frame.parsed_advertisement(), good().parsed_advertisement(), "{byte:02x}");
    }
}

// "The contents of any defined options that are not specified to be used with Neighbor Advertisement
// messages MUST be ignored and the packet processed as normal. The only defined option that may
// appear is the Target Link-Layer Address option."

#[test]
fn defined_options_that_have_no_place_here_are_ignored() {
    // Source link-layer address, prefix information, redirected header, MTU: each with nonsense.
    for (kind, length) in [(1, 1), (3, 4), (4, 6), (5, 1)] {
        let mut options = vec![kind, length];
        options.resize(usize::from(length) * 8, 0xee);
        options.extend(link_layer(2, SENDER));
        let frame = Frame { options, ..good() };
        assert_eq!(frame.parsed_advertisement(), good().parsed_advertisement(), "option {kind}");
    }
}
