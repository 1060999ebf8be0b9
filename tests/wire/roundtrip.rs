//! `parse(emit(x)) == x`, and what `emit` writes.

use std::net::Ipv6Addr;

use lone64::wire::{Advertisement, Flags, MAX_EMITTED, Mac, Message, Solicitation, solicited_node};
use proptest::prelude::*;

use super::frames::{Frame, STATION, address, emit, emit_advertisement};
use super::reference;

/// A station other than ours.
fn station() -> impl Strategy<Value = Mac> {
    any::<[u8; 6]>()
        .prop_map(|mut bytes| {
            bytes[0] &= 0xfe;
            Mac(bytes)
        })
        .prop_filter("a station other than ours", |mac| mac.is_station() && *mac != STATION)
}

fn global() -> impl Strategy<Value = Ipv6Addr> {
    any::<u128>().prop_map(|bits| Ipv6Addr::from(bits >> 3 | 0x2 << 124))
}

fn unicast() -> impl Strategy<Value = Ipv6Addr> {
    prop_oneof![global(), any::<u64>().prop_map(|id| Ipv6Addr::from(0xfe80 << 112 | u128::from(id)))]
}

prop_compose! {
    fn question()(
        source_mac in station(), source in unicast(), target in global(), link_layer in prop::option::of(station()),
        is_probe: bool, is_dad: bool,
    ) -> Solicitation {
        let destination = if is_probe && !is_dad { target } else { solicited_node(target) };
        let group = Mac::multicast(destination);
        Solicitation {
            source_mac,
            destination_mac: if destination == target { STATION } else { group },
            source: if is_dad { Ipv6Addr::UNSPECIFIED } else { source },
            destination,
            target,
            source_link_layer: link_layer.filter(|_| !is_dad),
        }
    }
}

prop_compose! {
    fn answer()(
        source_mac in station(), source in unicast(), to in unicast(), target in global(),
        link_layer in prop::option::of(station()), router: bool, override_entry: bool, is_to_all: bool,
    ) -> Advertisement {
        let all = address("ff02::1");
        Advertisement {
            source_mac,
            destination_mac: if is_to_all { Mac::multicast(all) } else { STATION },
            source,
            destination: if is_to_all { all } else { to },
            target,
            flags: Flags { router, solicited: !is_to_all, override_entry },
            target_link_layer: link_layer,
        }
    }
}

/// The IPv6 payload length, as the frame says it.
fn payload_length(frame: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([frame[18], frame[19]]))
}

proptest! {
    #[test]
    fn a_solicitation_comes_back_as_it_was_emitted(question in question()) {
        let frame = emit(&question);
        reference::check(&frame);
        prop_assert_eq!(Message::parse(&frame, STATION), Ok(Message::Solicitation(question)));
    }

    #[test]
    fn an_advertisement_comes_back_as_it_was_emitted(answer in answer()) {
        let frame = emit_advertisement(&answer);
        reference::check(&frame);
        prop_assert_eq!(Message::parse(&frame, STATION), Ok(Message::Advertisement(answer)));
    }

    #[test]
    fn what_is_emitted_ends_with_the_ipv6_payload(question in question(), answer in answer()) {
        for frame in [emit(&question), emit_advertisement(&answer)] {
            prop_assert_eq!(frame.len(), 14 + 40 + payload_length(&frame));
        }
    }

    #[test]
    fn emit_touches_nothing_behind_the_frame_and_leaves_nothing_of_what_was_before(
        question in question(), answer in answer(), before: u8,
    ) {
        let (mut buffer, mut other) = ([before; MAX_EMITTED + 9], [before; MAX_EMITTED + 9]);
        let (length, other_length) = (question.emit(&mut buffer), answer.emit(&mut other));
        prop_assert_eq!(&buffer[..length], &emit(&question)[..]);
        prop_assert_eq!(&other[..other_length], &emit_advertisement(&answer)[..]);
        prop_assert!(buffer[length..].iter().chain(&other[other_length..]).all(|byte| *byte == before));
    }
}

#[test]
fn a_solicitation_is_written_as_by_hand() {
    let frame = Frame::solicitation();
    assert_eq!(emit(&frame.parsed()), frame.bytes());
}

#[test]
fn a_duplicate_check_is_written_as_by_hand() {
    let frame = Frame::dad();
    assert_eq!(emit(&frame.parsed()), frame.bytes());
}

#[test]
fn an_advertisement_is_written_as_by_hand_with_every_flag() {
    for flags in [0x00, 0x20, 0x40, 0x80, 0xe0] {
        let frame = Frame { reserved: [flags, 0, 0, 0], ..Frame::advertisement() };
        assert_eq!(emit_advertisement(&frame.parsed_advertisement()), frame.bytes(), "{flags:02x}");
    }
}

#[test]
fn the_longest_frame_is_as_long_as_is_said() {
    assert_eq!(emit(&Frame::solicitation().parsed()).len(), MAX_EMITTED);
    assert_eq!(emit_advertisement(&Frame::advertisement().parsed_advertisement()).len(), MAX_EMITTED);
}
