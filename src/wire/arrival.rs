//! Stations that say without IPv6 that they have arrived: RARP (RFC 903), which QEMU sends for a guest that has moved to
//! this host, and gratuitous ARP (RFC 5227 §3).

use super::Mac;

/// The station that a frame of RARP or ARP says has arrived, if that is what it says.
///
/// Both have one format: Ethernet header, types and lengths of addresses, an operation, and then the sender's and the
/// target's addresses (RFC 826).
pub fn parse(frame: &[u8]) -> Option<Mac> {
    let header = frame.get(..END)?;
    let half = |at: usize| Some(u16::from_be_bytes(header.get(at..at + 2)?.try_into().ok()?));
    let mac = |at: usize| Some(Mac(header.get(at..at + 6)?.try_into().ok()?));
    let address = |at: usize| header.get(at..at + 4);
    let is_of_ipv4 = half(14)? == HARDWARE_ETHERNET && half(16)? == PROTOCOL_IPV4 && header[18..20] == [6, 4];
    let (source, sender) = (mac(6)?, mac(SENDER)?);
    let says_so = match (half(12)?, half(20)?) {
        // "I want to know my own address": QEMU fills in nothing else.
        (ETHERTYPE_RARP, REVERSE_REQUEST) => mac(TARGET)? == sender,
        (ETHERTYPE_ARP, REQUEST | REPLY) => {
            address(SENDER + 6)? == address(TARGET + 6)? && address(SENDER + 6)? != [0; 4]
        }
        _ => false,
    };
    // What one station says of another is nothing.
    (is_of_ipv4 && says_so && source == sender && sender.is_station()).then_some(sender)
}

const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_RARP: u16 = 0x8035;
const HARDWARE_ETHERNET: u16 = 1;
const PROTOCOL_IPV4: u16 = 0x0800;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
const REVERSE_REQUEST: u16 = 3;
/// Offsets of the addresses in the frame.
const SENDER: usize = 22;
const TARGET: usize = 32;
const END: usize = 42;

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    const OTHER: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
    const IP: [u8; 4] = [192, 0, 2, 1];

    fn frame(ethertype: u16, operation: u16, sender: [u8; 10], target: [u8; 10]) -> Vec<u8> {
        let head = [&[0xff; 6][..], &GUEST, &ethertype.to_be_bytes(), &[0, 1, 8, 0, 6, 4]].concat();
        [head, operation.to_be_bytes().to_vec(), sender.to_vec(), target.to_vec()].concat()
    }

    fn pair(mac: [u8; 6], ip: [u8; 4]) -> [u8; 10] {
        [&mac[..], &ip].concat().try_into().unwrap()
    }

    #[test]
    fn takes_what_qemu_sends_and_gratuitous_arp() {
        let own = pair(GUEST, [0; 4]);
        let (asked, said) = (pair([0; 6], IP), pair(GUEST, IP));
        let frames =
            [frame(0x8035, 3, own, own), frame(0x0806, 1, said, asked), frame(0x0806, 2, said, said)];
        for mut frame in frames {
            assert_eq!(parse(&frame), Some(Mac(GUEST)), "{frame:02x?}");
            // To the shortest length of a frame.
            frame.resize(60, 0);
            assert_eq!(parse(&frame), Some(Mac(GUEST)));
        }
    }

    #[test]
    fn takes_nothing_else_and_nothing_that_is_cut() {
        let own = pair(GUEST, [0; 4]);
        let (said, asked) = (pair(GUEST, IP), pair([0; 6], [192, 0, 2, 2]));
        let frames = [
            frame(0x8035, 4, own, own),
            frame(0x8035, 3, own, pair(OTHER, [0; 4])),
            frame(0x0806, 3, said, said),
            // A question for another; a probe (RFC 5227 §2.1.1); one that says it of another station.
            frame(0x0806, 1, said, asked),
            frame(0x0806, 1, own, asked),
            frame(0x0806, 1, own, own),
            frame(0x0806, 1, pair(OTHER, IP), pair(OTHER, IP)),
            frame(0x86dd, 1, said, said),
        ];
        for frame in frames {
            assert_eq!(parse(&frame), None, "{frame:02x?}");
        }
        let whole = frame(0x8035, 3, own, own);
        assert!((0..whole.len()).all(|length| parse(&whole[..length]).is_none()));
        for at in 14..20 {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert_eq!(parse(&other), None, "{at}");
        }
    }
}
