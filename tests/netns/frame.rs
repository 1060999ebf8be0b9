//! Ethernet, IPv6 and ICMPv6 by hand.
//!
//! Not one line is shared with `lone64::wire`: an error there must not cancel out against itself.

use std::net::Ipv6Addr;

/// An Ethernet address.
pub(crate) type Mac = [u8; 6];

/// Where an IPv6 packet begins in an untagged frame.
pub(crate) const IP: usize = 14;
/// Where the ICMPv6 message begins if no extension header precedes it.
pub(crate) const ICMP: usize = 54;
/// RFC 4861 §4.3.
pub(crate) const SOLICITATION: u8 = 135;
/// RFC 4861 §4.4.
pub(crate) const ADVERTISEMENT: u8 = 136;

/// A MAC of the lab, told apart by its last byte.
pub(crate) const fn mac(last: u8) -> Mac {
    [2, 0, 0, 0, 0, last]
}

/// The Ethernet address of a multicast group (RFC 2464 §7).
pub(crate) fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// The solicited-node group of a target (RFC 4291 §2.7.1).
pub(crate) fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The ICMPv6 checksum (RFC 4443 §2.3) of a message whose checksum field counts as it stands.
pub(crate) fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let mut bytes = Vec::with_capacity(40 + message.len());
    bytes.extend(source.octets());
    bytes.extend(destination.octets());
    bytes.extend((message.len() as u32).to_be_bytes());
    bytes.extend([0, 0, 0, 58]);
    bytes.extend(message);
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The MAC that sent a frame.
pub(crate) fn sender(frame: &[u8]) -> Mac {
    frame[6..12].try_into().expect("a frame has a header")
}

/// The MAC that a frame is for.
pub(crate) fn receiver(frame: &[u8]) -> Mac {
    frame[..6].try_into().expect("a frame has a header")
}

/// The IPv6 address at an offset.
pub(crate) fn address(frame: &[u8], offset: usize) -> Ipv6Addr {
    let octets: [u8; 16] = frame[offset..offset + 16].try_into().expect("16 bytes");
    Ipv6Addr::from(octets)
}

/// The target of an ICMPv6 message of this type, however wrong the rest of the frame may be.
pub(crate) fn target_of(frame: &[u8], icmp_type: u8) -> Option<Ipv6Addr> {
    let fits = frame.len() >= ICMP + 24
        && frame[12..14] == [0x86, 0xdd]
        && frame[IP + 6] == 58
        && frame[ICMP] == icmp_type;
    fits.then(|| address(frame, ICMP + 8))
}
