//! Multicast Listener Discovery and Multicast Router Discovery, behind a hop-by-hop header, and arrivals without IPv6.
//!
//! Each input is tried as it is, as a frame of RARP or ARP, and as the message of a frame whose headers and checksum are
//! right. Held to, beside what holds for every frame (tests/fuzzing/parse.rs): what is accepted has the headers that the
//! RFCs ask for, what is behind the packet makes no difference, and a frame without its last byte is none. A report of
//! others is a report of ours, part by part, and names solicited-node groups only.

use std::net::Ipv6Addr;
use std::time::Duration;

use lone64::wire::{Mac, Message, MldReport, MulticastRouter, arrival, solicited_node};

use super::parse;

/// One input.
pub fn run(bytes: &[u8]) {
    arrive(bytes);
    let Some((choice, message)) = bytes.split_first_chunk() else { return };
    let frame = framed(*choice, message);
    parse::check(&frame);
    if let Ok(message) = Message::parse(&frame, parse::STATION) {
        accepted(&frame, &message);
    }
    advertised(choice[0]);
}

fn accepted(frame: &[u8], message: &Message) {
    // RFC 3810 §5: "All MLDv2 messages [...] are sent with a link-local IPv6 Source Address, an IPv6 Hop Limit of 1".
    let source: Ipv6Addr = <[u8; 16]>::try_from(&frame[22..38]).expect("16 bytes").into();
    assert!(frame[20] == 0 && frame[21] == 1 && frame[54] == 58, "{message:?}");
    let is_local = source.is_unicast_link_local();
    match message {
        Message::Query(_) => assert!(is_local),
        Message::Report(report) => {
            assert!(is_local || source.is_unspecified());
            assert!(report.records.len() <= (frame.len() - 62) / 20 + 1, "each has its bytes");
            assert!(report.records.iter().all(|record| solicited_node(record.group) == record.group));
            for records in report.records.chunks(MldReport::MOST) {
                let part = MldReport { records: records.to_vec(), ..report.clone() };
                let mut buffer = [0; MldReport::MAX_EMITTED];
                let length = part.emit(&mut buffer);
                assert_eq!(Message::parse(&buffer[..length], parse::STATION), Ok(Message::Report(part)));
            }
        }
        Message::RouterSolicitation(_) => {
            let to: [u8; 16] = [&[0xff, 2][..], &[0; 13], &[2]].concat().try_into().expect("16 bytes");
            assert_eq!(frame[38..54], to);
        }
        other => panic!("it has a hop-by-hop header: {other:?}"),
    }
    // RFC 1042: Ethernet fills what is short; the packet says how long it is.
    let filled = [frame, &[0xa5; 9]].concat();
    assert_eq!(Message::parse(&filled, parse::STATION).as_ref(), Ok(message));
    assert!(Message::parse(&frame[..frame.len() - 1], parse::STATION).is_err());
}

/// The station that arrives is the one that sent the frame.
fn arrive(bytes: &[u8]) {
    for head in [&[0x08, 0x06, 0, 1, 8, 0, 6, 4, 0][..], &[0x80, 0x35, 0, 1, 8, 0, 6, 4, 0]] {
        let frame =
            [&[0xff; 6], bytes.get(..6).unwrap_or_default(), head, bytes.get(6..).unwrap_or_default()];
        let frame = frame.concat();
        for frame in [bytes, &frame] {
            let Some(mac) = arrival::parse(frame) else { continue };
            assert!(mac.is_station() && mac.0 == frame[6..12], "{mac}");
            assert_eq!(arrival::parse(&[frame, &[0xa5; 9]].concat()), Some(mac));
            assert_eq!(arrival::parse(&frame[..41]), None);
        }
    }
}

/// RFC 4286 §3.2: 4 to 180 seconds in one byte. What we say to switches is no message to us.
fn advertised(seconds: u8) {
    let interval = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
    let router = MulticastRouter { source_mac: SENDER, source: Ipv6Addr::LOCALHOST, interval };
    let mut buffer = [0; MulticastRouter::MAX_EMITTED];
    let length = router.emit(&mut buffer);
    assert_eq!(buffer[63], seconds);
    assert!(Message::parse(&buffer[..length], parse::STATION).is_err());
}

/// The first bytes choose addresses and what stands before the Router Alert, the rest is the message.
fn framed([source, destination, options]: [u8; 3], message: &[u8]) -> Vec<u8> {
    let group: [u8; 16] = message.get(8..24).and_then(|group| group.try_into().ok()).unwrap_or_default();
    let source = match source % 8 {
        0 => [0; 16].to_vec(),
        1 => [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1]].concat(),
        last => [&[0xfe, 0x80][..], &[0; 13], &[last]].concat(),
    };
    let destination = match destination % 4 {
        0 => group.to_vec(),
        1 => [&[0xff, 2][..], &[0; 13], &[1]].concat(),
        2 => [&[0xff, 2][..], &[0; 13], &[2]].concat(),
        _ => [&[0xff, 2][..], &[0; 13], &[0x16]].concat(),
    };
    let options: [u8; 6] = match options {
        0..=199 => [5, 2, 0, 0, 1, 0],
        200..=219 => [1, 0, 5, 2, 0, 0],
        220..=239 => [0, 0, 5, 2, 0, 0],
        other => [5, other % 3, 0, 1, 1, other],
    };
    let length = u16::try_from(8 + message.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head = [&[0x33, 0x33, 0, 0, 0, 1][..], &SENDER.0, &[0x86, 0xdd, 0x60, 0, 0, 0], &length, &[0, 1]];
    let mut frame = [&head.concat()[..], &source, &destination, &[58, 0], &options, message].concat();
    if let Some(sum) = frame.get_mut(64..66) {
        sum.fill(0);
        let sum = parse::checksum(&[&frame[22..54], message_of(&frame)].concat(), message.len());
        frame[64..66].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

/// Behind Ethernet, IPv6 and eight bytes of a hop-by-hop header.
fn message_of(frame: &[u8]) -> &[u8] {
    &frame[62..]
}

const SENDER: Mac = Mac([2, 0, 0, 0, 0, 1]);
