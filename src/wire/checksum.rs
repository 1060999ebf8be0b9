//! The checksum of ICMPv6, RFC 4443 §2.3: "the 16-bit one's complement of the one's complement sum of the entire ICMPv6
//! message, starting with the ICMPv6 message type field, and prepended with a "pseudo-header" of IPv6 header fields".
//!
//! Each question is summed once, and each answer. Four bytes at a time take a third of what two at a time do.

use core::net::Ipv6Addr;

/// The checksum of a message between these addresses whose checksum field is zero. Of one that has its checksum in
/// place it is zero, exactly if that is right.
pub(super) fn checksum(message: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> u16 {
    // RFC 8200 §8.1: the addresses, the length of the packet, three zeros and the next header.
    let total = sum(&source.octets()) + sum(&destination.octets()) + message.len() as u64 + ICMPV6;
    !fold(total + sum(message))
}

/// The sum of all 32-bit words; what is left over is filled up with zeros. It cannot overflow: a packet has at most
/// 2^14 of them.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(4);
    let mut rest = [0; 4];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    let whole: u64 =
        words.map(|word| u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]))).sum();
    whole + u64::from(u32::from_be_bytes(rest))
}

/// The one's complement sum of 16-bit words, out of one of longer words (RFC 1071 §2 (B)).
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Next header of ICMPv6.
const ICMPV6: u64 = 58;

#[cfg(test)]
mod tests {
    use pnet::packet::ip::IpNextHeaderProtocols;
    use pnet::packet::util::ipv6_checksum;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sums_as_pnet_does(
            message in prop::collection::vec(any::<u8>(), 4..200),
            source: [u8; 16],
            destination: [u8; 16],
        ) {
            let (source, destination) = (Ipv6Addr::from(source), Ipv6Addr::from(destination));
            let theirs =
                ipv6_checksum(&message, usize::MAX, &[], &source, &destination, IpNextHeaderProtocols::Icmpv6);
            prop_assert_eq!(checksum(&message, source, destination), theirs);
        }
    }

    #[test]
    fn carries_go_round_as_often_as_there_are_any() {
        let all = Ipv6Addr::from([0xff; 16]);
        assert_eq!(checksum(&[0xff; 65_532], all, all), !fold(0xffff + 65_532 + ICMPV6));
    }
}
