//! One frame for each `DropReason` that the wire room gives.

use lone64::wire::{Checksum, DropReason, Mac, Message};

use super::frames::refused::cases;
use super::frames::{Frame, STATION, address};

#[test]
fn every_reason_of_the_wire_room_has_its_frame() {
    for (reason, frame) in cases() {
        assert_eq!(Message::parse(&frame, STATION), Err(reason), "{frame:02x?}");
    }
}

#[test]
fn a_checksum_that_is_not_computed_yet_is_all_that_is_not_checked() {
    for (reason, frame) in cases() {
        let parsed = Message::parse_with(Checksum::Pending, &frame, STATION);
        match reason {
            DropReason::Checksum => assert!(parsed.is_ok(), "{parsed:?} of {frame:02x?}"),
            _ => assert_eq!(parsed, Err(reason), "{frame:02x?}"),
        }
    }
    // Also where the frame has both faults: none hides behind the sum that is not looked at.
    let is_plain = |frame: &Vec<u8>| frame.len() >= 78 && frame[20] != 0;
    for mut frame in cases().into_iter().map(|(_, frame)| frame).filter(is_plain) {
        let before = Message::parse_with(Checksum::Pending, &frame, STATION);
        frame[56] ^= 0x55;
        assert_eq!(Message::parse_with(Checksum::Pending, &frame, STATION), before, "{frame:02x?}");
    }
}

/// A target may begin with a byte that is the type of a message for listeners (130, 131, 132, 143) or routers (152) behind
/// a hop-by-hop header. Without that header it is no such message.
#[test]
fn a_target_that_looks_like_the_type_of_another_message_is_a_target() {
    for first in [130, 131, 132, 143, 152] {
        let target = address(&format!("{:x}::5", first << 8));
        let frame = Frame { target, ..Frame::solicitation() };
        assert_eq!(frame.parsed().target, target);
        let unknown = Frame { kind: 58, ..frame };
        assert_eq!(unknown.parse(), Err(DropReason::MessageType), "{target}");
    }
}

#[test]
fn no_reason_of_the_wire_room_is_without_a_frame() {
    // A frame longer than the receive buffer never becomes bytes: the packet socket says so.
    let elsewhere = [DropReason::FrameTooLong];
    let of_the_decision = |reason: DropReason| reason >= DropReason::NotUpstream;
    for reason in DropReason::ALL {
        let has_case = cases().iter().any(|(case, _)| case == reason);
        let needs_case = !elsewhere.contains(reason) && !of_the_decision(*reason);
        assert_eq!(has_case, needs_case, "{reason}");
    }
}

#[test]
fn the_frames_without_their_fault_are_valid() {
    for good in [Frame::solicitation(), Frame::dad(), Frame::advertisement()] {
        assert!(good.parse().is_ok(), "{good:?}");
    }
}

#[test]
fn an_advertisement_from_nobody_is_refused() {
    for source in ["::", "::1", "ff02::1"] {
        let frame = Frame { source: address(source), ..Frame::advertisement() };
        assert_eq!(frame.parse(), Err(DropReason::SourceNotUnicast), "{source}");
    }
}

#[test]
fn a_solicited_advertisement_from_nobody_to_a_group_is_refused_for_the_group() {
    let (source, destination) = (address("::"), address("ff02::1"));
    let frame = Frame { source, destination, ..Frame::advertisement() };
    assert_eq!(frame.parse(), Err(DropReason::SolicitedToGroup));
    assert!(DropReason::SolicitedToGroup < DropReason::SourceNotUnicast, "as they are checked");
}

#[test]
fn of_two_faults_the_reason_names_the_first_in_the_order_of_the_checks() {
    type Fault = (DropReason, fn(&mut Frame));
    let faults: [Fault; 15] = [
        (DropReason::NotIpv6, |f| f.ethertype = 0x8100),
        (DropReason::OtherStation, |f| f.destination_mac = Mac([2; 6])),
        (DropReason::SourceStation, |f| f.source_mac = Mac([0; 6])),
        (DropReason::IpVersion, |f| f.version = 7),
        (DropReason::PayloadLength, |f| f.payload_length = Some(0)),
        (DropReason::NotIcmpv6, |f| f.next_header = 17),
        (DropReason::HopLimit, |f| f.hop_limit = 64),
        (DropReason::Checksum, |f| f.checksum = Some(0xdead)),
        (DropReason::Code, |f| f.code = 1),
        (DropReason::MessageType, |f| f.kind = 134),
        (DropReason::OptionLengthZero, |f| f.options = vec![3, 0, 0, 0, 0, 0, 0, 0]),
        (DropReason::OptionTruncated, |f| f.options = vec![3, 9, 0, 0, 0, 0, 0, 0]),
        (DropReason::TargetMulticast, |f| f.target = address("ff02::5")),
        (DropReason::SourceNotUnicast, |f| f.source = address("ff02::1")),
        (DropReason::DadDestination, |f| {
            f.source = address("::");
            f.destination = address("ff02::1");
        }),
    ];
    for (i, (first, spoil)) in faults.iter().enumerate() {
        for (second, spoil_too) in &faults[i + 1..] {
            let mut frame = Frame::solicitation();
            spoil_too(&mut frame);
            spoil(&mut frame);
            assert!(first < second);
            assert_eq!(frame.parse(), Err(*first), "together with {second}");
        }
    }
}
