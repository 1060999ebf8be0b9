//! Datagrams of the kernel's, as lone64 takes them apart: links, addresses, routes, rules, neighbors, groups of bridges,
//! filters of tc, and tables and sets of nftables.
//!
//! Held to: no panic, and an end. The facts are no more than their bytes can say, and each can be what it says that it is.
//! A datagram says what its messages say. What is cut off says nothing more than what is left.

use lone64::engine::facts::{Fact, IfIndex, Link};
use lone64::kernel::netlink::{Hook, datagram};
use lone64::kernel::nft_dump::elements_in;
use lone64::kernel::nft_table::{Table, is_told_of};

/// One input: as a datagram, and as the rest of one message whose kind is the first byte, so that its length is right.
pub fn run(bytes: &[u8]) {
    check(bytes);
    let Some((kind, rest)) = bytes.split_first() else { return };
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    check(&message(kind, rest));
}

fn check(datagram: &[u8]) {
    let facts = datagram::facts(datagram);
    assert!(facts.len() * LEAST <= datagram.len(), "{} facts in {} bytes", facts.len(), datagram.len());
    facts.iter().for_each(is_possible);
    let links = datagram::links_with_fewer_filters(datagram);
    assert!(links.len() * LEAST <= datagram.len());
    let filters = datagram::classifiers(datagram, IfIndex(2), Hook::Ingress);
    assert!(filters.len() * LEAST <= datagram.len());
    let elements = elements_in(datagram);
    assert!(elements.iter().map(|element| LEAST + element.key.len()).sum::<usize>() <= datagram.len());

    let parts = split(datagram);
    let told = |one: fn(&[u8]) -> usize| parts.iter().map(|part| one(part)).sum::<usize>();
    assert_eq!(told(|part| datagram::facts(part).len()), facts.len());
    assert_eq!(told(|part| datagram::links_with_fewer_filters(part).len()), links.len());
    assert_eq!(told(|part| elements_in(part).len()), elements.len());
    for table in [Table::SUPPRESS, Table::GUARD_BRIDGE, Table::GUARD_ROUTED, Table::SETS] {
        assert_eq!(parts.iter().any(|part| is_told_of(table, part)), is_told_of(table, datagram));
    }
    let is_shrunk = |datagram: &[u8]| datagram::has_shrunk_group(datagram);
    assert_eq!(parts.iter().any(|part| is_shrunk(part)), is_shrunk(datagram));

    // The last message is incomplete, and says nothing.
    if let Some((last, whole)) = parts.split_last().filter(|_| parts.concat().len() == datagram.len()) {
        let padding = (4 - length(last) % 4) % 4;
        let cut = &datagram[..datagram.len().saturating_sub(1 + padding)];
        assert_eq!(datagram::facts(cut), datagram::facts(&whole.concat()));
    }
}

/// What the engine takes for granted.
fn is_possible(fact: &Fact) {
    match fact {
        Fact::Link(Link { index, name, .. }) => {
            assert!(index.0 != 0 && (1..=15).contains(&name.as_str().len()), "{fact:?}");
        }
        Fact::LinkGone(link) => assert!(link.0 != 0),
        Fact::Route(route) | Fact::RouteReplaced(route) | Fact::RouteGone(route) => {
            assert!(!route.destination.addr().is_multicast() && route.destination.prefix_len() <= 128);
            assert!(route.source.is_none_or(|source| source.prefix_len() > 0));
        }
        Fact::Neighbor(neighbor) | Fact::Marked(neighbor, _) => {
            assert!(!neighbor.address.is_multicast());
            assert!(neighbor.mac.is_none_or(|mac| mac.is_station()));
        }
        Fact::NeighborGone { address, .. } => assert!(!address.is_multicast()),
        Fact::Group { bridge, port, suffix } | Fact::GroupGone { bridge, port, suffix } => {
            assert!(bridge != port && *suffix < 1 << 24, "{fact:?}");
        }
        Fact::Station { mac, .. } | Fact::StationGone { mac, .. } => assert!(mac.is_station()),
        _ => {}
    }
}

/// The messages, each with its padding; what is behind the last that is whole is left out.
fn split(mut datagram: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    loop {
        let length = length(datagram);
        if !(HEADER..=datagram.len()).contains(&length) {
            break parts;
        }
        let (part, rest) = datagram.split_at(length.next_multiple_of(4).min(datagram.len()));
        parts.push(part);
        datagram = rest;
    }
}

/// As a message begins.
fn length(message: &[u8]) -> usize {
    message.first_chunk().map_or(0, |length| u32::from_ne_bytes(*length) as usize)
}

/// struct nlmsghdr, then this.
fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + payload.len()).expect("short").to_ne_bytes();
    [&length[..], &kind.to_ne_bytes(), &[0; 10], payload].concat()
}

/// Bytes of a header, and of the least that says something: a next hop, of which a route can have several.
const HEADER: usize = 16;
const LEAST: usize = 8;
/// linux/rtnetlink.h: links, addresses, routes, neighbors, rules, queueing disciplines, filters, groups of bridges, chains
/// of filters, nexthop objects. linux/netfilter/nf_tables.h: a table, a chain, a rule, a set, and elements of one.
const KINDS: [u16; 24] = [
    16, 17, 20, 21, 24, 25, 28, 29, 32, 33, 36, 37, 44, 45, 84, 85, 86, 101, 104, 0xa00, 0xa03, 0xa06, 0xa09,
    0xa0c,
];
