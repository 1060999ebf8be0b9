//! The classic BPF program of a packet socket, as a table.
//!
//! It passes Neighbor Discovery that may concern this host. Everything else, also a scan outside the ranges,
//! costs the kernel a few instructions and wakes no process. It decides nothing: `Message::parse` makes
//! every check again.

use ipnet::Ipv6Net;

use super::{MldQuery, MldReport, MulticastRouterSolicitation};

/// One instruction, as the kernel's `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// How many instructions to skip if the comparison holds.
    pub if_true: u8,
    /// How many to skip if it does not.
    pub if_false: u8,
    /// Operand.
    pub operand: u32,
}

/// For an upstream: solicitations, and advertisements of rivals, whose target lies inside one of
/// `ranges`; and advertisements of `neighbors`.
///
/// More than [`MAX_RANGES`] are widened to the one prefix that covers them all. The engine then
/// drops what lies between them.
pub fn upstream(ranges: &[Ipv6Net], neighbors: &[Ipv6Net]) -> Vec<Instruction> {
    upstream_of_at_most(MAX_RANGES, ranges, neighbors)
}

/// The same in the least memory: the ranges are always widened to one prefix. For a kernel that has no room
/// for more (`net.core.optmem_max` was 20 KiB in older kernels).
pub fn upstream_in_brief(ranges: &[Ipv6Net], neighbors: &[Ipv6Net]) -> Vec<Instruction> {
    upstream_of_at_most(1, ranges, neighbors)
}

fn upstream_of_at_most(most: usize, ranges: &[Ipv6Net], neighbors: &[Ipv6Net]) -> Vec<Instruction> {
    let ranges = Ipv6Net::aggregate(&ranges.to_vec());
    // What covers a gateway's link-local address as well as global ranges is everything.
    let (gateways, mut ranges): (Vec<_>, Vec<_>) =
        ranges.into_iter().partition(|range| range.network().is_unicast_link_local());
    if ranges.len() > most {
        ranges = vec![common_prefix(&ranges)];
    }
    ranges.extend(gateways);
    let mut program = with_listeners(&[MldQuery::TYPE, MulticastRouterSolicitation::TYPE]);
    program.extend(advertisements_of(neighbors));
    program.extend(KINDS);
    for range in ranges {
        program.extend(inside(range));
    }
    program.push(DROP);
    program
}

/// For a downstream: every solicitation and every advertisement, queries for multicast listeners and what they report, and
/// questions for multicast routers.
pub fn downstream() -> Vec<Instruction> {
    let reports = [MldReport::TYPE, MldReport::V1_TYPE, MldReport::V1_DONE];
    let types = [&reports[..], &[MldQuery::TYPE, MulticastRouterSolicitation::TYPE]].concat();
    let mut program = with_listeners(&types);
    program.extend(KINDS);
    program.push(PASS);
    program
}

/// For all interfaces at once: the duplicate address detection of stations, and the groups that they listen to. Frames
/// that come on `upstreams` are left out, on at most [`MAX_UPSTREAMS`] of them.
pub fn newcomers(upstreams: &[u32]) -> Vec<Instruction> {
    let mut program = without(upstreams);
    program.extend(with_listeners(&[MldReport::TYPE, MldReport::V1_TYPE]));
    program.push(Instruction { code: JUMP_EQUAL, if_true: 1, if_false: 0, operand: SOLICITATION });
    program.push(DROP);
    for word in 0..4 {
        // RFC 4862 §5.4.2: "The IP source is set to the unspecified address".
        program.push(load(LOAD_WORD, SOURCE + 4 * word));
        program.push(Instruction { code: JUMP_EQUAL, if_true: 1, if_false: 0, operand: 0 });
        program.push(DROP);
    }
    program.push(PASS);
    program
}

/// For all interfaces at once, of what is RARP or ARP: stations that say they have arrived (RARP, and gratuitous ARP). Frames
/// that come on `upstreams` are left out, on at most [`MAX_UPSTREAMS`] of them.
pub fn arrivals(upstreams: &[u32]) -> Vec<Instruction> {
    let mut program = without(upstreams);
    program.extend([
        load(LOAD_WORD, PACKET_TYPE),
        Instruction { code: JUMP_GREATER, if_true: 6, if_false: 0, operand: PACKET_TO_GROUP },
        load(LOAD_HALF, 12),
        Instruction { code: JUMP_EQUAL, if_true: 5, if_false: 0, operand: ETHERTYPE_RARP },
        // Of ARP: the sender's address is the target's.
        load(LOAD_WORD, ARP_SENDER),
        Instruction { code: TO_INDEX, if_true: 0, if_false: 0, operand: 0 },
        load(LOAD_WORD, ARP_TARGET),
        Instruction { code: JUMP_EQUAL_INDEX, if_true: 1, if_false: 0, operand: 0 },
        DROP,
        PASS,
    ]);
    program
}

/// Drops what comes on these interfaces; everything else falls through.
fn without(upstreams: &[u32]) -> Vec<Instruction> {
    let upstreams = &upstreams[..upstreams.len().min(MAX_UPSTREAMS)];
    let mut program = Vec::new();
    if !upstreams.is_empty() {
        program.push(load(LOAD_WORD, INTERFACE));
    }
    for upstream in upstreams {
        program.push(Instruction { code: JUMP_EQUAL, if_true: 0, if_false: 1, operand: *upstream });
        program.push(DROP);
    }
    program
}

/// For an observer: every ICMPv6 message, from any sender to any destination.
pub fn observer() -> Vec<Instruction> {
    vec![
        load(LOAD_HALF, 12),
        Instruction { code: JUMP_EQUAL, if_true: 0, if_false: 3, operand: ETHERTYPE_IPV6 },
        load(LOAD_BYTE, 20),
        Instruction { code: JUMP_EQUAL, if_true: 0, if_false: 1, operand: ICMPV6 },
        PASS,
        DROP,
    ]
}

/// At most this many ranges are compared one by one. A linear list of this length costs under half a
/// microsecond. Each range takes some 500 bytes of the kernel's memory for such programs (`optmem_max`).
pub const MAX_RANGES: usize = 64;

/// At most this many upstreams are left out of [`newcomers`].
pub const MAX_UPSTREAMS: usize = 64;

/// Ethertype, next header, hop limit; leaves the ICMPv6 type in the accumulator. What is about multicast listeners
/// (RFC 3810) and routers (RFC 4286), which stands behind a hop-by-hop header, passes if it is of one of these types.
///
/// The first test is on the packet's kind. Packets to this host, to all or to a group (0, 1, 2) pass. A packet
/// to another host (3) does not pass. The kernel marks a frame of a VLAN without a device here in the same
/// way. A packet that this host sends (4) does not pass either.
fn with_listeners(types: &[u8]) -> Vec<Instruction> {
    let jump = |operand, if_true, if_false| Instruction { code: JUMP_EQUAL, if_true, if_false, operand };
    let count = u8::try_from(types.len()).expect("a few types");
    // From the first instruction behind the header to the one that drops.
    let to_drop = 7 + count;
    let mut program = vec![
        load(LOAD_WORD, PACKET_TYPE),
        Instruction { code: JUMP_GREATER, if_true: to_drop + 4, if_false: 0, operand: PACKET_TO_GROUP },
        load(LOAD_HALF, 12),
        jump(ETHERTYPE_IPV6, 0, to_drop + 2),
        load(LOAD_BYTE, 20),
        jump(ICMPV6, 5 + count, 0),
        jump(HOP_BY_HOP, 0, to_drop - 1),
        load(LOAD_BYTE, MESSAGE_TYPE),
        jump(ICMPV6, 0, to_drop - 3),
        load(LOAD_BYTE, MESSAGE_TYPE + 8),
    ];
    for (left, kind) in (0..count).rev().zip(types) {
        // The last one that does not match jumps over the one that passes.
        let if_false = if left == 0 { to_drop - 4 - count } else { 0 };
        program.push(jump(u32::from(*kind), left, if_false));
    }
    program.extend([PASS, load(LOAD_BYTE, 21), jump(HOP_LIMIT, 1, 0), DROP, load(LOAD_BYTE, MESSAGE_TYPE)]);
    program
}

/// Falls through for a solicitation or an advertisement.
const KINDS: [Instruction; 3] = [
    Instruction { code: JUMP_EQUAL, if_true: 2, if_false: 0, operand: SOLICITATION },
    Instruction { code: JUMP_EQUAL, if_true: 1, if_false: 0, operand: ADVERTISEMENT },
    DROP,
];

/// Passes advertisements whose target is inside one of `neighbors`; everything else falls through,
/// with the ICMPv6 type in the accumulator. A scan of the link consists of solicitations, so it wakes no
/// process here.
fn advertisements_of(neighbors: &[Ipv6Net]) -> Vec<Instruction> {
    let mut neighbors = Ipv6Net::aggregate(&neighbors.to_vec());
    if neighbors.len() > MAX_NEIGHBORS {
        neighbors = vec![common_prefix(&neighbors)];
    }
    if neighbors.is_empty() {
        return Vec::new();
    }
    let block: Vec<_> = neighbors.into_iter().flat_map(inside).collect();
    let skip = u8::try_from(block.len()).expect("MAX_NEIGHBORS times 13 instructions at most");
    let mut program =
        vec![Instruction { code: JUMP_EQUAL, if_true: 0, if_false: skip, operand: ADVERTISEMENT }];
    program.extend(block);
    program.push(load(LOAD_BYTE, MESSAGE_TYPE));
    program
}

/// Passes the packet if its target is inside `range`, else falls through to what follows.
fn inside(range: Ipv6Net) -> Vec<Instruction> {
    let network = u128::from(range.network());
    let mask = u128::from(range.netmask());
    let words = usize::from(range.prefix_len()).div_ceil(32);
    // Each word is a load, a mask where the prefix ends inside it, and a comparison that on
    // failure skips the rest, up to and with PASS. Written from the back, so that the distance to
    // the end is known.
    let mut reversed = vec![PASS];
    for word in (0..words).rev() {
        let shift = 96 - 32 * word;
        let (want, mask) = (low_word(network >> shift), low_word(mask >> shift));
        let skip = u8::try_from(reversed.len()).expect("at most 13 instructions");
        reversed.push(Instruction { code: JUMP_EQUAL, if_true: 0, if_false: skip, operand: want });
        if mask != u32::MAX {
            reversed.push(Instruction { code: AND, if_true: 0, if_false: 0, operand: mask });
        }
        let offset = TARGET + 4 * u32::try_from(word).expect("one of four words");
        reversed.push(load(LOAD_WORD, offset));
    }
    reversed.reverse();
    reversed
}

/// The longest prefix that covers all of `ranges`.
fn common_prefix(ranges: &[Ipv6Net]) -> Ipv6Net {
    let all = |f: fn(u128, u128) -> u128, start| {
        ranges.iter().map(|range| u128::from(range.network())).fold(start, f)
    };
    let differing = all(|a, b| a | b, 0) ^ all(|a, b| a & b, u128::MAX);
    let shortest = ranges.iter().map(Ipv6Net::prefix_len).min().unwrap_or(0);
    let length = shortest.min(u8::try_from(differing.leading_zeros()).expect("at most 128"));
    let first = ranges.first().map_or(core::net::Ipv6Addr::UNSPECIFIED, Ipv6Net::network);
    Ipv6Net::new(first, length).expect("at most 128").trunc()
}

const fn load(code: u16, offset: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 0, operand: offset }
}

fn low_word(value: u128) -> u32 {
    u32::try_from(value & u128::from(u32::MAX)).expect("masked to 32 bits")
}

const PASS: Instruction = Instruction { code: RETURN, if_true: 0, if_false: 0, operand: u32::MAX };
const DROP: Instruction = Instruction { code: RETURN, if_true: 0, if_false: 0, operand: 0 };

// linux/bpf_common.h: class | size | mode.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const AND: u16 = 0x54;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;
/// Accumulator to index, and a comparison with that.
const TO_INDEX: u16 = 0x07;
const JUMP_EQUAL_INDEX: u16 = 0x1d;
/// linux/filter.h: SKF_AD_OFF + SKF_AD_PKTTYPE, the `sll_pkttype` of packet(7).
const PACKET_TYPE: u32 = 0xffff_f004;
const PACKET_TO_GROUP: u32 = 2;
/// SKF_AD_OFF + SKF_AD_IFINDEX: the interface that the frame came on.
const INTERFACE: u32 = 0xffff_f008;
const ETHERTYPE_IPV6: u32 = 0x86dd;
const ETHERTYPE_RARP: u32 = 0x8035;
/// Offsets of the IPv4 addresses in a frame of ARP.
const ARP_SENDER: u32 = 28;
const ARP_TARGET: u32 = 38;
const ICMPV6: u32 = 58;
const HOP_LIMIT: u32 = 255;
const SOLICITATION: u32 = 135;
const ADVERTISEMENT: u32 = 136;
/// The next header before a hop-by-hop options header.
const HOP_BY_HOP: u32 = 0;
/// A jump reaches over 255 instructions, and a prefix takes up to 13.
const MAX_NEIGHBORS: usize = 19;
/// Offset of the source address in the frame.
const SOURCE: u32 = 14 + 8;
/// Offset of the ICMPv6 type in the frame.
const MESSAGE_TYPE: u32 = 14 + 40;
/// Offset of the target address in the frame.
const TARGET: u32 = 14 + 40 + 8;

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
