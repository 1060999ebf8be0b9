//! One frame for each `DropReason` that the wire room gives.

use std::time::Duration;

use lone64::wire::{Checksum, DropReason, Mac, Message, MldQuery, MldVersion, MulticastRouterSolicitation};

use super::frames::{Frame, STATION, address, link_layer};

/// The frames that are refused, each for its reason. The test below fails if one is missing here.
fn cases() -> Vec<(DropReason, Vec<u8>)> {
    let ask = Frame::solicitation;
    let headers = 14 + 40;
    vec![
        (DropReason::FrameTruncated, ask().bytes()[..13].to_vec()),
        // 802.1Q of another VLAN, ARP, IPv4.
        (DropReason::NotIpv6, Frame { ethertype: 0x8100, ..ask() }.bytes()),
        (DropReason::NotIpv6, Frame { ethertype: 0x0806, ..ask() }.bytes()),
        (DropReason::NotIpv6, Frame { ethertype: 0x0800, ..ask() }.bytes()),
        (DropReason::OtherStation, Frame { destination_mac: Mac([0x52, 0x54, 0, 0, 0, 2]), ..ask() }.bytes()),
        (DropReason::OwnFrame, Frame { source_mac: STATION, ..ask() }.bytes()),
        (DropReason::SourceStation, Frame { source_mac: Mac([0xff; 6]), ..ask() }.bytes()),
        (DropReason::SourceStation, Frame { source_mac: Mac([0; 6]), ..ask() }.bytes()),
        (DropReason::PacketTruncated, ask().bytes()[..headers - 1].to_vec()),
        (DropReason::PacketTruncated, ask().bytes()[..14].to_vec()),
        (DropReason::IpVersion, Frame { version: 4, ..ask() }.bytes()),
        (DropReason::PayloadLength, Frame { payload_length: Some(0), ..ask() }.bytes()),
        (DropReason::PayloadLength, Frame { payload_length: Some(33), ..ask() }.bytes()),
        (DropReason::Fragmented, Frame { next_header: 44, extension: vec![58; 8], ..ask() }.bytes()),
        (DropReason::ExtensionHeader, Frame { next_header: 0, extension: hop_by_hop(), ..ask() }.bytes()),
        (DropReason::ExtensionHeader, Frame { next_header: 43, extension: hop_by_hop(), ..ask() }.bytes()),
        (DropReason::ExtensionHeader, Frame { next_header: 60, extension: hop_by_hop(), ..ask() }.bytes()),
        (DropReason::NotIcmpv6, Frame { next_header: 17, ..ask() }.bytes()),
        (DropReason::HopLimit, Frame { hop_limit: 254, ..ask() }.bytes()),
        (DropReason::MessageTruncated, ask().around(&[135; 23])),
        (DropReason::MessageType, Frame { kind: 134, ..ask() }.bytes()),
        (DropReason::Checksum, Frame { checksum: Some(0), ..ask() }.bytes()),
        (DropReason::Checksum, flipped(ask().bytes(), headers + 20)),
        (DropReason::Code, Frame { code: 1, ..ask() }.bytes()),
        (DropReason::OptionLengthZero, Frame { options: vec![1, 0, 0, 0, 0, 0, 0, 0], ..ask() }.bytes()),
        (DropReason::OptionTruncated, Frame { options: vec![14, 2, 0, 0, 0, 0, 0, 0], ..ask() }.bytes()),
        (DropReason::OptionTruncated, Frame { options: vec![14], ..ask() }.bytes()),
        (DropReason::TargetMulticast, Frame { target: address("ff02::5"), ..ask() }.bytes()),
        (DropReason::TargetUnspecified, Frame { target: address("::"), ..ask() }.bytes()),
        (DropReason::TargetLoopback, Frame { target: address("::1"), ..ask() }.bytes()),
        (DropReason::TargetV4Mapped, Frame { target: address("::ffff:192.0.2.5"), ..ask() }.bytes()),
        (DropReason::SourceNotUnicast, Frame { source: address("ff02::1"), ..ask() }.bytes()),
        (DropReason::SourceNotUnicast, Frame { source: address("::1"), ..ask() }.bytes()),
        (DropReason::SourceNotUnicast, Frame { source: address("::ffff:192.0.2.5"), ..ask() }.bytes()),
        (DropReason::SourceNotLinkLocal, query_from("2001:db8::9")),
        (DropReason::SourceNotLinkLocal, query_from("::")),
        (DropReason::SourceNotLinkLocal, router_solicitation_from("2001:db8::9")),
        (DropReason::PayloadLength, router_solicitation_from("fe80::9")[..64].to_vec()),
        (DropReason::SourceIsTarget, Frame { source: ask().target, ..ask() }.bytes()),
        (DropReason::DadDestination, Frame { destination: address("ff02::1"), ..Frame::dad() }.bytes()),
        (DropReason::DadDestination, Frame { destination: ask().target, ..Frame::dad() }.bytes()),
        (DropReason::DadLinkLayerOption, Frame { options: link_layer(1, STATION), ..Frame::dad() }.bytes()),
        (
            DropReason::SolicitedToGroup,
            Frame { destination: address("ff02::1"), ..Frame::advertisement() }.bytes(),
        ),
    ]
}

/// A query for multicast listeners.
fn query_from(source: &str) -> Vec<u8> {
    let query = MldQuery {
        source_mac: Mac([2, 0, 0, 0, 0, 9]),
        source: address(source),
        version: MldVersion::V2,
        group: None,
        max_response: Duration::from_secs(10),
    };
    let mut frame = vec![0; 90];
    query.emit(&mut frame);
    frame
}

/// A question for multicast routers.
fn router_solicitation_from(source: &str) -> Vec<u8> {
    let asked = MulticastRouterSolicitation { source_mac: Mac([2, 0, 0, 0, 0, 9]), source: address(source) };
    let mut frame = vec![0; 66];
    asked.emit(&mut frame);
    frame
}

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

fn hop_by_hop() -> Vec<u8> {
    vec![58, 0, 1, 4, 0, 0, 0, 0]
}

fn flipped(mut frame: Vec<u8>, at: usize) -> Vec<u8> {
    frame[at] ^= 1;
    frame
}
