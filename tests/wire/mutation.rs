//! Frames cut at any length and mutated by the thousand: never a panic, and nothing wrong accepted.

use lone64::wire::{DropReason, Message};
use proptest::prelude::*;

use super::frames::{Frame, STATION, checksum};
use super::reference;

fn valid() -> impl Strategy<Value = Frame> {
    prop_oneof![Just(Frame::solicitation()), Just(Frame::dad()), Just(Frame::advertisement())]
}

/// Parses, and holds what is accepted to the reference.
fn parse(frame: &[u8]) -> Result<Message, DropReason> {
    let parsed = Message::parse(frame, STATION);
    if parsed.is_ok() {
        reference::check(frame);
    }
    parsed
}

/// Writes the checksum anew, so that a mutation is seen by the checks behind it.
pub(super) fn seal(frame: &mut [u8]) {
    let at = |from: usize| -> [u8; 16] { frame[from..from + 16].try_into().unwrap() };
    let (source, destination) = (at(22).into(), at(38).into());
    frame[56..58].fill(0);
    let sum = checksum(source, destination, &frame[54..]);
    frame[56..58].copy_from_slice(&sum.to_be_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]

    #[test]
    fn arbitrary_bytes_never_panic(frame in prop::collection::vec(any::<u8>(), 0..2_048)) {
        let _ = parse(&frame);
    }

    #[test]
    fn arbitrary_messages_in_good_headers_never_panic(message in prop::collection::vec(any::<u8>(), 4..1_500)) {
        let mut frame = Frame::solicitation().around(&message);
        frame[54] = 135 + (message[0] & 1);
        frame[55] = 0;
        seal(&mut frame);
        let _ = parse(&frame);
    }

    #[test]
    fn frames_with_flipped_bits_are_refused_or_still_right(
        frame in valid(), flips in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
    ) {
        let mut frame = frame.bytes();
        for flip in flips {
            let bit = flip.index(frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        let _ = parse(&frame);
        seal(&mut frame);
        let _ = parse(&frame);
    }

    #[test]
    fn frames_with_foreign_bytes_are_refused_or_still_right(
        frame in valid(), bytes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut frame = frame.bytes();
        for (at, byte) in bytes {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        seal(&mut frame);
        let _ = parse(&frame);
    }

    #[test]
    fn traffic_class_flow_label_reserved_and_padding_change_nothing(
        traffic_class: u8, flow_label in 0u32..1 << 20, reserved: [u8; 4],
        padding in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let plain = Frame::solicitation();
        let frame = Frame { traffic_class, flow_label, reserved, padding, ..plain.clone() };
        prop_assert_eq!(frame.parsed(), plain.parsed());
    }
}

#[test]
fn a_frame_cut_at_any_length_is_refused() {
    for frame in [Frame::solicitation(), Frame::dad(), Frame::advertisement()] {
        let frame = frame.bytes();
        for length in 0..frame.len() {
            assert!(parse(&frame[..length]).is_err(), "{length} of {} bytes", frame.len());
        }
    }
}

#[test]
fn a_packet_cut_at_any_length_with_headers_that_agree_is_refused_or_still_right() {
    let frame = Frame::solicitation().bytes();
    for length in 0..=frame.len() - 54 {
        let mut cut = frame[..54 + length].to_vec();
        cut[18..20].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        if length >= 4 {
            seal(&mut cut);
        }
        // Without its option, and with it, the message is whole.
        assert_eq!(parse(&cut).is_ok(), length == 24 || length == 32, "{length} bytes of message");
    }
}

#[test]
fn one_flipped_bit_anywhere_in_the_packet_is_noticed_or_does_not_matter() {
    let good = Frame::solicitation();
    let frame = good.bytes();
    for bit in 14 * 8..frame.len() * 8 {
        let mut flipped = frame.clone();
        flipped[bit / 8] ^= 0x80 >> (bit % 8);
        // Traffic class and flow label are nobody's business; all else the checksum covers.
        let may_pass = (14 * 8 + 4..18 * 8).contains(&bit);
        let parsed = parse(&flipped);
        assert!(parsed.is_err() || may_pass, "bit {bit}");
        assert!(parsed.is_err() || parsed == good.parse(), "bit {bit}");
    }
}
