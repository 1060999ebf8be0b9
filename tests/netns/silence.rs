//! rules.md "Silence": every way in which a frame can be wrong, one row each.
//!
//! Every row is tried on a multicast and on a unicast solicitation for a target that is always
//! answered; first without its defect, which has to be answered, then with it.

use std::net::Ipv6Addr;

use crate::advertisement::Advertisement;
use crate::daemon::{Daemon, Settings};
use crate::frame::mac;
use crate::lab::{C, Lab, ROUTER, UPSTREAM_MAC, c};
use crate::link::Link;
use crate::solicitation::{Checksum, Solicitation, option, source_link_layer};

crate::cases![
    says_nothing_to_a_malformed_header,
    says_nothing_to_extension_headers,
    says_nothing_to_a_malformed_message,
    says_nothing_to_malformed_options,
    says_nothing_to_wrong_addresses,
    says_nothing_to_frames_that_are_not_for_this_link,
    says_nothing_to_frames_cut_at_any_length,
    survives_mutated_frames_by_the_thousand,
];

/// What is wrong, and how to make it so.
type Row = (&'static str, fn(&mut Solicitation));

/// Every row but those about the checksum, and those about targets that need a range of their own.
pub(crate) fn all_but_checksums() -> impl Iterator<Item = Row> {
    let rows = [HEADER, EXTENSIONS, MESSAGE, OPTIONS, LINK].into_iter().flatten().copied();
    rows.filter(|(name, _)| !name.starts_with("checksum"))
}

const HEADER: &[Row] = &[
    ("hop limit 254", |q| q.hop_limit = 254),
    ("hop limit 1", |q| q.hop_limit = 1),
    ("hop limit 0", |q| q.hop_limit = 0),
    ("version 4", |q| q.version = 4),
    ("version 5", |q| q.version = 5),
    ("version 7", |q| q.version = 7),
    ("version 0", |q| q.version = 0),
    ("version 15", |q| q.version = 15),
    ("payload length 0", |q| q.payload_length = Some(0)),
    ("payload length 1", |q| q.payload_length = Some(1)),
    ("payload length 23", |q| q.payload_length = Some(23)),
    ("payload length one short", |q| q.payload_length = Some(31)),
    ("payload length one beyond the frame", |q| q.payload_length = Some(33)),
    ("payload length far beyond the frame", |q| q.payload_length = Some(1400)),
    ("payload length 65535", |q| q.payload_length = Some(0xffff)),
    ("next header UDP", |q| q.next_header = 17),
    ("next header TCP", |q| q.next_header = 6),
    ("next header ICMPv4", |q| q.next_header = 1),
    ("next header none", |q| q.next_header = 59),
    ("next header hop-by-hop without one", |q| q.next_header = 0),
];

const EXTENSIONS: &[Row] = &[
    ("an atomic fragment", |q| extend(q, 44, &[58, 0, 0, 0, 1, 2, 3, 4])),
    ("a first fragment", |q| extend(q, 44, &[58, 0, 0, 1, 1, 2, 3, 4])),
    ("a last fragment", |q| extend(q, 44, &[58, 0, 0, 8, 1, 2, 3, 4])),
    ("a hop-by-hop header", |q| extend(q, 0, &[58, 0, 1, 4, 0, 0, 0, 0])),
    ("a router alert", |q| extend(q, 0, &[58, 0, 5, 2, 0, 0, 1, 0])),
    ("a destination header", |q| extend(q, 60, &[58, 0, 1, 4, 0, 0, 0, 0])),
    ("a routing header", |q| extend(q, 43, &[58, 0, 0, 0, 0, 0, 0, 0])),
    ("a segment routing header", |q| extend(q, 43, &[58, 0, 4, 0, 0, 0, 0, 0])),
    ("hop-by-hop and fragment", |q| {
        extend(q, 0, &[44, 0, 1, 4, 0, 0, 0, 0, 58, 0, 0, 0, 1, 2, 3, 4]);
    }),
    ("destination and hop-by-hop", |q| {
        extend(q, 60, &[0, 0, 1, 4, 0, 0, 0, 0, 58, 0, 1, 4, 0, 0, 0, 0]);
    }),
];

const MESSAGE: &[Row] = &[
    ("checksum wrong", |q| q.checksum = Checksum::Wrong),
    ("checksum zero", |q| q.checksum = Checksum::Zero),
    ("code 1", |q| q.code = 1),
    ("code 255", |q| q.code = 255),
    ("a router solicitation", |q| q.icmp_type = 133),
    ("a router advertisement", |q| q.icmp_type = 134),
    ("an advertisement", |q| q.icmp_type = 136),
    ("a redirect", |q| q.icmp_type = 137),
    ("an inverse solicitation", |q| q.icmp_type = 141),
    ("an echo request", |q| q.icmp_type = 128),
    ("type 7, 135 without its first bit", |q| q.icmp_type = 7),
    ("type 0", |q| q.icmp_type = 0),
    ("type 255", |q| q.icmp_type = 255),
    ("23 bytes, the 24th as padding", |q| shorten(q, 23)),
    ("16 bytes", |q| shorten(q, 16)),
    ("8 bytes", |q| shorten(q, 8)),
    ("4 bytes", |q| shorten(q, 4)),
];

const OPTIONS: &[Row] = &[
    ("only an option of length 0", |q| q.options = vec![1, 0, 2, 0, 0, 0, 0, 1]),
    ("an unknown option of length 0", |q| q.options = vec![253, 0, 0, 0, 0, 0, 0, 0]),
    ("length 0 first", |q| q.options.splice(0..0, [14, 0, 0, 0, 0, 0, 0, 0]).for_each(drop)),
    ("length 0 last", |q| q.options.extend([14, 0, 0, 0, 0, 0, 0, 0])),
    ("length 0 in the midst", |q| {
        q.options.extend([14, 0, 0, 0, 0, 0, 0, 0]);
        q.options.extend(option(14, &[1; 6]));
    }),
    ("length 0 behind twenty others", |q| {
        (0..20).for_each(|_| q.options.extend(option(253, &[1; 6])));
        q.options.extend([14, 0, 0, 0, 0, 0, 0, 0]);
    }),
    ("one longer than the message", |q| q.options[1] = 2),
    ("one of 255 units", |q| q.options[1] = 255),
    ("one of 32 units, which are 0 in eight bits", |q| q.options[1] = 32),
    ("the second longer than the message", |q| q.options.extend([253, 2, 0, 0, 0, 0, 0, 0])),
    ("longer than the message, not than the frame", |q| {
        q.options[1] = 2;
        q.padding = vec![0; 8];
    }),
    ("half an option", |q| q.options.extend([14, 1, 0, 0])),
];

const ADDRESSES: &[Row] = &[
    ("source all nodes", |q| q.source = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)),
    ("source global multicast", |q| q.source = Ipv6Addr::new(0xff0e, 0, 0, 0, 0, 0, 0, 5)),
    ("source loopback", |q| q.source = Ipv6Addr::LOCALHOST),
    ("source v4-mapped", |q| q.source = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201)),
    ("source the target", |q| q.source = q.target),
    ("source unspecified, with the option", |q| q.source = Ipv6Addr::UNSPECIFIED),
    ("target multicast", |q| retarget(q, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1))),
    ("target its own group", |q| retarget(q, crate::frame::solicited_node(q.target))),
    ("target unspecified", |q| retarget(q, Ipv6Addr::UNSPECIFIED)),
    ("target loopback", |q| retarget(q, Ipv6Addr::LOCALHOST)),
    ("target link-local", |q| retarget(q, Ipv6Addr::new(0xfe80, 0, 0, 0, 0xc, 0, 0, 5))),
    ("target v4-mapped", |q| retarget(q, Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201))),
];

const LINK: &[Row] = &[
    ("of VLAN 5", |q| q.tag = Some(5)),
    ("of VLAN 5, with a priority", |q| q.tag = Some(7 << 13 | 5)),
    ("of VLAN 4094", |q| q.tag = Some(4094)),
    ("ethertype IPv4", |q| q.ethertype = 0x0800),
    ("ethertype ARP", |q| q.ethertype = 0x0806),
    ("ethertype experimental", |q| q.ethertype = 0x88b5),
    ("a length for an ethertype", |q| q.ethertype = 72),
    ("for another station", |q| q.eth_dst = mac(0x77)),
    ("from a group", |q| {
        q.eth_src = [0x33, 0x33, 0, 0, 0, 1];
        q.options.clear();
    }),
];

fn says_nothing_to_a_malformed_header() {
    silent(HEADER);
}

fn says_nothing_to_extension_headers() {
    silent(EXTENSIONS);
}

fn says_nothing_to_a_malformed_message() {
    silent(MESSAGE);
}

fn says_nothing_to_malformed_options() {
    silent(OPTIONS);
}

fn says_nothing_to_wrong_addresses() {
    // A range that holds ::, ::1 and the v4-mapped addresses; the configuration refuses one of
    // link-local or multicast addresses.
    let settings = always().range("::/32", "br0", "answer = \"always\"\nroutes = \"none\"\nbackstop = false");
    silent_with(settings, ADDRESSES, &[Ipv6Addr::new(0, 0, 0, 0, 0, 0xfffe, 0, 1)]);
}

fn says_nothing_to_frames_that_are_not_for_this_link() {
    silent(LINK);
}

fn silent(rows: &[Row]) {
    silent_with(always(), rows, &[]);
}

fn silent_with(settings: Settings, rows: &[Row], answered: &[Ipv6Addr]) {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    for target in answered {
        link.answered(&Solicitation::multicast(ROUTER, *target));
    }
    let mut faults = Vec::new();
    for (number, (name, defect)) in rows.iter().enumerate() {
        let target = c(0x100 + number as u16);
        for right in
            [Solicitation::multicast(ROUTER, target), Solicitation::unicast(ROUTER, target, UPSTREAM_MAC)]
        {
            link.answered(&right);
            let wrong = right.clone().with(defect);
            assert_ne!(wrong.frame(), right.frame(), "{name} is no defect");
            if !link.advertisements(&wrong).is_empty() {
                faults.push((*name, right.destination));
            }
        }
    }
    assert!(faults.is_empty(), "answered: {faults:#?}");
    daemon.stop();
}

fn says_nothing_to_frames_cut_at_any_length() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, always());
    let mut link = Link::open(&lab);
    let target = c(0x200);
    for right in [
        Solicitation::multicast(ROUTER, target),
        Solicitation::unicast(ROUTER, target, UPSTREAM_MAC),
        Solicitation::dad(mac(0x61), target),
        Solicitation::multicast(ROUTER, target).with(|q| q.options.clear()),
    ] {
        link.answered(&right);
        let frame = right.frame();
        // Less than an Ethernet header cannot be sent.
        (15..frame.len()).for_each(|length| link.send_frame(&frame[..length]));
        assert!(link.settle().is_empty());
    }
}

fn survives_mutated_frames_by_the_thousand() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, always().range("2001:db8:1:2:d::/112", "gv1", "answer = \"live\""));
    let mut link = Link::open(&lab);
    let bases = [
        Solicitation::multicast(ROUTER, c(0x300)).frame(),
        Solicitation::unicast(ROUTER, c(0x300), UPSTREAM_MAC).frame(),
        Solicitation::dad(mac(0x61), c(0x300)).frame(),
        Solicitation::multicast(ROUTER, c(0x300))
            .with(|q| q.options.extend([option(14, &[1; 6]), source_link_layer(mac(0x62))].concat()))
            .frame(),
    ];
    // xorshift64: the same frames in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for round in 0..50 {
        for _ in 0..100 {
            let mut frame = bases[random(bases.len())].clone();
            for _ in 0..=random(4) {
                let at = random(frame.len());
                frame[at] = random(256) as u8;
            }
            if random(4) == 0 {
                frame.truncate(15 + random(frame.len() - 15));
            }
            link.send_frame(&frame);
        }
        // What survived its mutation may be answered, but then in form, and as always in range.
        for answer in link.settle() {
            let answer = Advertisement::parse(&answer).unwrap();
            assert_eq!(answer.target.segments()[..7], c(0).segments()[..7], "round {round}");
            assert_eq!(answer.eth_src, UPSTREAM_MAC);
        }
    }
    link.answered(&Solicitation::multicast(ROUTER, c(0x300)));
    daemon.stop();
}

fn always() -> Settings {
    Settings::default().range(C, "br0", "answer = \"always\"")
}

fn extend(q: &mut Solicitation, next_header: u8, headers: &[u8]) {
    q.next_header = next_header;
    q.extension = headers.to_vec();
}

/// Ends the message early; the rest of it stays in the frame, where only a careless parser looks.
fn shorten(q: &mut Solicitation, length: usize) {
    q.icmp_length = Some(length);
}

fn retarget(q: &mut Solicitation, target: Ipv6Addr) {
    q.target = target;
}
