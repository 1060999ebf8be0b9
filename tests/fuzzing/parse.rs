//! The parser against arbitrary frames.
//!
//! Each input is tried twice: as it is, and as the message of a frame whose headers and checksum are
//! right, because chance does not find a checksum. What is held to: `parse` never panics, and what it
//! accepted comes back the same from `emit` and `parse`. With a checksum that is not computed yet all this is so
//! too, and nothing but the checksum makes a difference.

use lone64::wire::{Checksum, DropReason, Mac, Message, MldReport};

/// One input.
pub fn run(bytes: &[u8]) {
    check(bytes);
    check(&framed(bytes));
}

/// One frame.
pub fn check(frame: &[u8]) {
    let pending = Message::parse_with(Checksum::Pending, frame, STATION);
    match Message::parse(frame, STATION) {
        Err(DropReason::Checksum) => {}
        written => assert_eq!(pending, written),
    }
    let Ok(message) = pending else { return };
    let mut buffer = [0; MldReport::MAX_EMITTED];
    let length = match &message {
        Message::Solicitation(solicitation) => solicitation.emit(&mut buffer),
        Message::Advertisement(advertisement) => advertisement.emit(&mut buffer),
        Message::Query(query) => query.emit(&mut buffer),
        Message::RouterSolicitation(asked) => asked.emit(&mut buffer),
        // Others may say more in one report than we do, or nothing that matters.
        Message::Report(report) if !(1..=MldReport::MOST).contains(&report.records.len()) => return,
        Message::Report(report) => report.emit(&mut buffer),
    };
    assert_eq!(Message::parse(&buffer[..length], STATION), Ok(message));
}

/// The first bytes choose the addresses, the rest is the message.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let (choice, message) = bytes.split_at(bytes.len().min(2));
    let [source, destination] = [0, 1].map(|at| choice.get(at).copied().unwrap_or(0));
    // Also offers solicitations that everything but the fuzzed part is right about.
    let target: [u8; 16] = message.get(8..24).and_then(|t| t.try_into().ok()).unwrap_or_default();
    let group = [&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff], &target[13..]].concat();
    let source = match source % 4 {
        0 => [0; 16].to_vec(),
        1 => [&[0xfe, 0x80][..], &[0; 13], &[1]].concat(),
        2 => target.to_vec(),
        _ => [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1]].concat(),
    };
    let destination = match destination % 4 {
        0 => group,
        1 => [&[0xff, 2][..], &[0; 13], &[1]].concat(),
        2 => target.to_vec(),
        _ => source.clone(),
    };
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut frame = [
        &STATION.0[..],
        &[2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0],
        &length,
        &[58, 255],
        &source,
        &destination,
        message,
    ]
    .concat();
    if let Some(sum) = frame.get_mut(CHECKSUM..CHECKSUM + 2) {
        sum.fill(0);
        let sum = checksum(&frame[ADDRESSES..], message.len());
        frame[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

/// RFC 4443 §2.3, over the addresses, the message, its length and its type.
pub fn checksum(addresses_and_message: &[u8], length: usize) -> u16 {
    let words =
        addresses_and_message.chunks(2).map(|w| u64::from(w[0]) << 8 | u64::from(*w.get(1).unwrap_or(&0)));
    let mut sum = words.sum::<u64>() + length as u64 + 58;
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// Who hears the frames.
pub const STATION: Mac = Mac([2, 0, 0, 0, 0, 2]);
/// Where the IPv6 addresses begin in a frame.
const ADDRESSES: usize = 22;
/// Where the ICMPv6 checksum stands in a frame.
const CHECKSUM: usize = 56;
