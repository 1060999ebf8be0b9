//! What must not be answered.

use super::{Case, Level};
use crate::frame::{group_mac, mac};
use crate::lab::{GUEST, UPSTREAM_MAC, c};
use crate::solicitation::{Asker, Checksum, Solicitation, source_link_layer};

use std::net::Ipv6Addr;

macro_rules! invalid {
    ($about:literal, $check:literal, $question:ident => $change:expr) => {
        Case {
            section: "RFC 4861 §7.1.1",
            level: Level::Must,
            about: $about,
            clause: $check,
            judge: |bench| {
                let $question = &mut bench.question(GUEST);
                $change;
                bench.is_silent_to($question)
            },
        }
    };
}

pub(super) const CASES: &[Case] = &[
    invalid!(
        "hop limit 254 is discarded",
        "The IP Hop Limit field has a value of 255, i.e., the packet could not possibly have been forwarded by a router.",
        q => q.hop_limit = 254
    ),
    invalid!("a wrong checksum is discarded", "ICMP Checksum is valid.", q => q.checksum = Checksum::Wrong),
    invalid!("checksum zero is discarded", "ICMP Checksum is valid.", q => q.checksum = Checksum::Zero),
    invalid!("code 1 is discarded", "ICMP Code is 0.", q => q.code = 1),
    invalid!(
        "a message of 20 octets is discarded",
        "ICMP length (derived from the IP length) is 24 or more octets.",
        q => { q.icmp_length = Some(20); q.payload_length = Some(20); }
    ),
    invalid!(
        "a multicast target is discarded",
        "Target Address is not a multicast address.",
        q => q.target = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 5)
    ),
    invalid!(
        "an option of length 0 is discarded",
        "All included options have a length that is greater than zero.",
        q => q.options.extend([253, 0, 0, 0, 0, 0, 0, 0])
    ),
    invalid!(
        "a check that is not sent to the solicited-node group is discarded",
        "If the IP source address is the unspecified address, the IP destination address is a solicited-node multicast \
         address.",
        q => *q = Solicitation {
            destination: ALL_NODES,
            eth_dst: group_mac(ALL_NODES),
            ..Solicitation::dad(mac(0x78), GUEST)
        }
    ),
    invalid!(
        "a check with a source link-layer option is discarded",
        "If the IP source address is the unspecified address, there is no source link-layer address option in the message.",
        q => *q = Solicitation::dad(mac(0x78), GUEST).with(|q| q.options = source_link_layer(mac(0x78)))
    ),
    Case {
        section: "RFC 4861 §7.2.3",
        level: Level::Must,
        about: "an address that nobody is proxied for is not answered",
        clause: "A valid Neighbor Solicitation that does not meet any of the following requirements MUST be silently \
                 discarded: [...] The Target Address is a unicast or anycast address for which the node is offering \
                 proxy service",
        judge: |bench| {
            let question = bench.question(Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xdead, 0, 0, 5));
            bench.is_silent_to(&question)
        },
    },
    Case {
        section: "RFC 4389 §4.1.3.1",
        level: Level::Said,
        about: "an address of the prefix that no guest has is not answered",
        clause: "A proxy passes a solicitation on, and sends no advertisement by itself: so nobody is answered for who is \
                 not there.",
        judge: |bench| {
            let question = bench.question(c(0xdead));
            bench.is_silent_to(&question)
        },
    },
    Case {
        section: "RFC 6980 §5",
        level: Level::Must,
        about: "a solicitation with a fragment header is ignored",
        clause: "Nodes MUST silently ignore the following Neighbor Discovery and SEcure Neighbor Discovery messages if the \
                 packets carrying them include an IPv6 Fragmentation Header: o Neighbor Solicitation",
        judge: |bench| {
            let asker: Asker = bench.asker();
            // A whole packet in one fragment (RFC 8200 §4.5), to the interface itself, so that nobody's filter loses it.
            let question = Solicitation::unicast(asker, GUEST, UPSTREAM_MAC).with(|q| {
                q.next_header = 44;
                q.extension = vec![58, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef];
            });
            bench.is_silent_to(&question)
        },
    },
];

const ALL_NODES: Ipv6Addr = crate::bench::ALL_NODES;
