//! RFC 4861 §7.1.1 and §7.1.2 a second time, as naively as it can be written.

use std::net::Ipv6Addr;

use super::frames::{STATION, sum};

/// Panics unless the frame is one that a responder may believe.
pub fn check(frame: &[u8]) {
    assert!(frame.len() >= 14 + 40 + 24, "it holds its headers and a message");
    assert_eq!(frame[12..14], [0x86, 0xdd], "the ethertype is IPv6");
    assert!(frame[0] & 1 == 1 || frame[0..6] == STATION.0, "it is addressed to this station or a group");
    assert!(frame[6] & 1 == 0 && frame[6..12] != STATION.0, "it comes from one other station");
    assert_eq!(frame[14] >> 4, 6, "the version is 6");
    assert_eq!(frame[20], 58, "ICMPv6 follows at once");
    assert_eq!(frame[21], 255, "the hop limit is 255");

    let length = usize::from(frame[18]) << 8 | usize::from(frame[19]);
    assert!(length >= 24, "the ICMPv6 length is 24 or more octets");
    let message = &frame[54..54 + length];
    let source = at(frame, 22);
    let destination = at(frame, 38);
    let target = at(message, 8);
    assert_eq!(sum(source, destination, message), 0xffff, "the checksum is valid");
    assert_eq!(message[1], 0, "the code is 0");
    assert!(!target.is_multicast(), "the target is not a multicast address");
    assert!(!target.is_unspecified() && !target.is_loopback(), "somebody can have the target");
    assert!(!source.is_multicast() && !source.is_loopback(), "the source is not a group");

    let options = options(&message[24..]);
    match message[0] {
        135 if source.is_unspecified() => {
            let prefix = &destination.octets()[..13];
            let is_solicited_node = prefix == [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff];
            assert!(is_solicited_node, "DAD is sent to a solicited-node multicast address");
            assert!(!options.contains(&1), "DAD has no source link-layer address option");
        }
        135 => assert_ne!(source, target, "nobody asks for itself"),
        136 => {
            assert!(!source.is_unspecified(), "an advertisement comes from somebody");
            let is_solicited = message[4] & 0x40 != 0;
            assert!(!(destination.is_multicast() && is_solicited), "to a group the solicited flag is zero");
        }
        kind => panic!("type {kind} is no Neighbor Solicitation or Advertisement"),
    }
}

/// The types of the options, each of which has a length and fits.
fn options(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while !bytes.is_empty() {
        assert!(bytes.len() >= 2 && bytes[1] > 0, "the option's length is greater than zero");
        kinds.push(bytes[0]);
        bytes = bytes.get(usize::from(bytes[1]) * 8..).expect("the option fits the message");
    }
    kinds
}

fn at(bytes: &[u8], from: usize) -> Ipv6Addr {
    let octets: [u8; 16] = bytes[from..from + 16].try_into().unwrap();
    octets.into()
}
