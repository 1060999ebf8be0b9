//! One frame for each `DropReason` that the wire room gives.

use std::time::Duration;

use lone64::wire::{DropReason, Mac, MldQuery, MldVersion, MulticastRouterSolicitation};

use super::{Frame, STATION, address, link_layer};

/// The frames that are refused, each for its reason. A test of the wire room fails if one is missing here.
pub fn cases() -> Vec<(DropReason, Vec<u8>)> {
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

fn hop_by_hop() -> Vec<u8> {
    vec![58, 0, 1, 4, 0, 0, 0, 0]
}

fn flipped(mut frame: Vec<u8>, at: usize) -> Vec<u8> {
    frame[at] ^= 1;
    frame
}
