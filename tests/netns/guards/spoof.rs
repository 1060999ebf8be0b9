//! What a guest can send, by hand: what is its own, and what is another's.

use std::net::Ipv6Addr;

use crate::frame::{Mac, checksum, group_mac, solicited_node};

pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub(super) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
pub(super) const ALL_DHCP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
pub(super) const ALL_MLD2: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// A sender: its MAC, and the address that it sends from.
#[derive(Clone, Copy)]
pub(super) struct From {
    pub(super) mac: Mac,
    pub(super) address: Ipv6Addr,
}

/// An IPv6 packet in an Ethernet frame: what follows its header, and of which kind that is.
pub(super) fn packet(from: From, to: (Mac, Ipv6Addr), next: u8, hops: u8, rest: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(to.0);
    frame.extend(from.mac);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend((rest.len() as u16).to_be_bytes());
    frame.extend([next, hops]);
    frame.extend(from.address.octets());
    frame.extend(to.1.octets());
    frame.extend(rest);
    frame
}

/// An ICMPv6 message to a group.
pub(super) fn to_group(from: From, group: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    icmp(from, (group_mac(group), group), message)
}

/// An ICMPv6 message.
pub(super) fn icmp(from: From, to: (Mac, Ipv6Addr), message: &[u8]) -> Vec<u8> {
    packet(from, to, 58, 255, &summed(from.address, to.1, message))
}

/// The same behind another header: a fragment's (44), or options for each hop (0).
pub(super) fn icmp_behind(
    from: From,
    group: Ipv6Addr,
    (kind, header): (u8, &[u8]),
    message: &[u8],
) -> Vec<u8> {
    let rest = [header, &summed(from.address, group, message)].concat();
    packet(from, (group_mac(group), group), kind, 255, &rest)
}

/// An MLD message: behind a router alert, with hop limit 1 (RFC 3810 §5).
pub(super) fn mld(from: From, group: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let rest = [&[58, 0, 5, 2, 0, 0, 1, 0][..], &summed(from.address, group, message)].concat();
    packet(from, (group_mac(group), group), 0, 1, &rest)
}

/// A UDP datagram without a word in it, to this port.
pub(super) fn udp(from: From, to: (Mac, Ipv6Addr), port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    packet(from, to, 17, 64, &[2, 0x22, high, low, 0, 8, 0, 0])
}

/// An echo request (RFC 4443 §4.1).
pub(super) fn echo(from: From, to: (Mac, Ipv6Addr), number: u8) -> Vec<u8> {
    icmp(from, to, &[128, 0, 0, 0, 0, 64, 0, number])
}

/// An advertisement to all nodes, with O=1.
pub(super) fn advertisement(from: From, target: Ipv6Addr, option: &[u8]) -> Vec<u8> {
    to_group(from, ALL_NODES, &[&[136, 0, 0, 0, 0x20, 0, 0, 0][..], &target.octets(), option].concat())
}

/// A solicitation.
pub(super) fn solicitation(from: From, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    to_group(
        from,
        solicited_node(target),
        &[&[135, 0, 0, 0, 0, 0, 0, 0][..], &target.octets(), options].concat(),
    )
}

/// Duplicate Address Detection, with the nonce of RFC 7527, as Linux sends it.
pub(super) fn dad(mac: Mac, target: Ipv6Addr) -> Vec<u8> {
    solicitation(From { mac, address: Ipv6Addr::UNSPECIFIED }, target, &[14, 1, 1, 2, 3, 4, 5, 6])
}

/// A link-layer address option of this type.
pub(super) fn link_layer(kind: u8, mac: Mac) -> Vec<u8> {
    [&[kind, 1][..], &mac].concat()
}

/// A Router Advertisement with a lifetime.
pub(super) const ROUTER_ADVERTISEMENT: [u8; 16] = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];

/// A Redirect: for this destination go to that one.
pub(super) fn redirect(to: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    [&[137, 0, 0, 0, 0, 0, 0, 0][..], &to.octets(), &destination.octets()].concat()
}

fn summed(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let sum = checksum(source, destination, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}
