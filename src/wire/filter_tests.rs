//! The filter, run by an interpreter of the few instructions that it uses.

use core::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;
use crate::wire::{MAX_EMITTED, Mac, Solicitation, solicited_node};

/// What the kernel would return: how many bytes pass. A load beyond the frame drops the frame.
fn run(program: &[Instruction], frame: &[u8], packet_type: u32) -> u32 {
    let (mut accumulator, mut index) = (0, 0);
    let mut at = 0;
    loop {
        let Instruction { code, if_true, if_false, operand } = program[at];
        let load = |size: usize| {
            let start = operand as usize;
            let bytes = frame.get(start..start + size)?;
            Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
        };
        let holds = match code {
            LOAD_WORD if operand == INTERFACE => {
                accumulator = CAME_ON;
                None
            }
            LOAD_WORD if operand == PACKET_TYPE => {
                accumulator = packet_type;
                None
            }
            LOAD_WORD | LOAD_HALF | LOAD_BYTE => {
                let size = match code {
                    LOAD_WORD => 4,
                    LOAD_HALF => 2,
                    _ => 1,
                };
                let Some(value) = load(size) else { return 0 };
                accumulator = value;
                None
            }
            AND => {
                accumulator &= operand;
                None
            }
            TO_INDEX => {
                index = accumulator;
                None
            }
            JUMP_EQUAL_INDEX => Some(accumulator == index),
            JUMP_EQUAL => Some(accumulator == operand),
            JUMP_GREATER => Some(accumulator > operand),
            RETURN => return operand,
            other => panic!("instruction {at} has the unknown code {other:#x}"),
        };
        at += 1 + usize::from(holds.map_or(0, |holds| if holds { if_true } else { if_false }));
    }
}

#[test]
fn queries_for_listeners_pass_on_interfaces_and_nothing_like_them() {
    let query = crate::wire::MldQuery {
        source_mac: Mac([2, 0, 0, 0, 0, 9]),
        source: "fe80::9".parse().expect("an address"),
        version: crate::wire::MldVersion::V2,
        group: None,
        max_response: core::time::Duration::from_secs(10),
    };
    let mut frame = vec![0; 120];
    let length = query.emit(&mut frame);
    frame.truncate(length);
    let programs = [upstream(&[], &[]), upstream(&[net("2001:db8::/64")], &[]), downstream()];
    for program in &programs {
        assert_ne!(run(program, &frame, 2), 0);
        assert_eq!(run(program, &frame, 4), 0, "what this host sends");
        let mut switch = frame.clone();
        switch[62] = 152;
        assert_ne!(run(program, &switch, 2), 0, "who asks for multicast routers");
        // Another header, another protocol behind it, another message.
        for (at, value) in [(20, 60), (54, 17), (62, 144)] {
            let mut other = frame.clone();
            other[at] = value;
            assert_eq!(run(program, &other, 2), 0, "{at}");
        }
    }
    assert_eq!(run(&newcomers(&[]), &frame, 2), 0);
    // What guests report is heard where guests are, and at first on all interfaces.
    for (kind, is_beginning) in [(131, true), (143, true), (132, false)] {
        frame[62] = kind;
        assert_eq!(run(&downstream(), &frame, 2), u32::MAX, "{kind}");
        assert_eq!(run(&upstream(&[net("2001:db8::/64")], &[]), &frame, 2), 0, "{kind}");
        assert_eq!(run(&newcomers(&[1, CAME_ON + 1]), &frame, 2) != 0, is_beginning, "{kind}");
        assert_eq!(run(&newcomers(&[1, CAME_ON]), &frame, 2), 0, "{kind}");
    }
}

/// The interface that every frame comes on.
const CAME_ON: u32 = 7;

fn question(target: Ipv6Addr) -> Vec<u8> {
    let source_mac = Mac([2, 0, 0, 0, 0, 1]);
    let solicitation = Solicitation {
        source_mac,
        destination_mac: Mac::multicast(solicited_node(target)),
        source: "fe80::1".parse().expect("an address"),
        destination: solicited_node(target),
        target,
        source_link_layer: Some(source_mac),
    };
    let mut frame = vec![0; MAX_EMITTED];
    let length = solicitation.emit(&mut frame);
    frame.truncate(length);
    frame
}

fn net(text: &str) -> Ipv6Net {
    text.parse().expect("a prefix")
}

fn passes(program: &[Instruction], target: &str) -> bool {
    run(program, &question(target.parse().expect("an address")), 2) != 0
}

#[test]
fn passes_what_is_inside_a_range_and_nothing_beside_it() {
    let program = upstream(&[net("2001:db8:1:2:c::/112"), net("2001:db8:1:2:d::5/128")], &[]);
    for inside in ["2001:db8:1:2:c::", "2001:db8:1:2:c::ffff", "2001:db8:1:2:d::5"] {
        assert!(passes(&program, inside), "{inside}");
    }
    for outside in
        ["2001:db8:1:2:b:ffff:ffff:ffff", "2001:db8:1:2:c:0:1:0", "2001:db8:1:2:d::4", "2001:db8:1:3:c::1"]
    {
        assert!(!passes(&program, outside), "{outside}");
    }
}

#[test]
fn drops_frames_to_other_stations_and_frames_of_our_own() {
    let program = upstream(&[net("2001:db8::/64")], &[]);
    let frame = question("2001:db8::1".parse().expect("an address"));
    assert_eq!(
        [0, 1, 2, 3, 4].map(|kind| run(&program, &frame, kind) != 0),
        [true, true, true, false, false]
    );
}

#[test]
fn drops_what_is_not_neighbor_discovery_with_hop_limit_255() {
    let program = upstream(&[net("2001:db8::/64")], &[]);
    let good = question("2001:db8::1".parse().expect("an address"));
    for (offset, value) in [(12, 0x08), (20, 17), (20, 44), (21, 254), (54, 134), (54, 133)] {
        let mut frame = good.clone();
        frame[offset] = value;
        assert_eq!(run(&program, &frame, 2), 0, "byte {offset} = {value}");
    }
}

#[test]
fn hears_solicitations_and_advertisements_downstream() {
    let mut frame = question("2001:db8::1".parse().expect("an address"));
    let verdicts = [135, 136, 134, 128].map(|kind| {
        frame[54] = kind;
        run(&downstream(), &frame, 0) != 0
    });
    assert_eq!(verdicts, [true, true, false, false]);
}

#[test]
fn without_ranges_nothing_passes() {
    assert!(!passes(&upstream(&[], &[]), "2001:db8::1"));
}

#[test]
fn the_whole_address_space_is_a_range_too() {
    assert!(passes(&upstream(&[net("::/0")], &[]), "2001:db8::1"));
}

#[test]
fn too_many_ranges_are_widened_to_what_covers_them() {
    let ranges: Vec<_> = (0..200u16).map(|n| net(&format!("2001:db8:1:2:{:x}::/112", n * 2))).collect();
    let program = upstream(&ranges, &[]);
    assert!(program.len() < 32, "{} instructions", program.len());
    for range in &ranges {
        assert!(passes(&program, &range.network().to_string()));
    }
    assert!(!passes(&program, "2001:db8:1:3::1"));
}

/// Targets between ranges concern nobody here, as long as the ranges are compared one by one.
#[test]
fn as_many_ranges_and_neighbors_as_have_room_are_not_widened() {
    let ranges: Vec<_> = (0..MAX_RANGES).map(|n| net(&format!("2001:db8:1:2:{:x}::/112", n * 2))).collect();
    let program = upstream(&ranges, &[]);
    assert!(passes(&program, "2001:db8:1:2:4::5") && !passes(&program, "2001:db8:1:2:5::5"));
    let neighbors: Vec<_> =
        (0..MAX_NEIGHBORS).map(|n| net(&format!("2001:db8:1:{:x}::5/128", n * 2))).collect();
    let program = upstream(&ranges, &neighbors);
    let heard = ["2001:db8:1:4::5", "2001:db8:1:5::5"].map(|target| {
        let mut frame = question(target.parse().expect("an address"));
        frame[54] = 136;
        run(&program, &frame, 0) != 0
    });
    assert_eq!(heard, [true, false]);
}

#[test]
fn in_brief_ranges_are_always_widened() {
    let ranges = [net("2001:db8:1:2:4::/112"), net("2001:db8:1:2:6::/112")];
    let (brief, long) = (upstream_in_brief(&ranges, &[]), upstream(&ranges, &[]));
    assert!(brief.len() < long.len());
    assert!(
        ["2001:db8:1:2:4::5", "2001:db8:1:2:5::5", "2001:db8:1:2:6::5"].iter().all(|t| passes(&brief, t))
    );
    assert!(!passes(&brief, "2001:db8:1:2:8::5"));
}

#[test]
fn a_link_local_gateway_does_not_widen_them_to_everything() {
    let ranges = (0..200u16).map(|n| net(&format!("2001:db8:1:2:{:x}::/112", n * 2)));
    let ranges: Vec<_> = ranges.chain([net("fe80::1/128")]).collect();
    let program = upstream(&ranges, &[]);
    assert!(passes(&program, "fe80::1") && passes(&program, "2001:db8:1:2:4::5"));
    assert!(!passes(&program, "fe80::2") && !passes(&program, "2001:db8:1:3::1"));
}

#[test]
fn the_longest_program_fits_the_kernels_limit() {
    let ranges: Vec<_> =
        (0..MAX_RANGES as u128).map(|n| Ipv6Net::from(Ipv6Addr::from(0x2001 << 112 | n << 9))).collect();
    assert!(upstream(&ranges, &[]).len() < 4096, "BPF_MAXINSNS");
}

#[test]
fn of_neighbors_only_their_advertisements_pass() {
    let program =
        upstream(&[net("2001:db8:1:2:c::/112")], &[net("2001:db8:1:2::/64"), net("2001:db8:7::/64")]);
    let verdicts = |target: &str| {
        let mut frame = question(target.parse().expect("an address"));
        [135, 136, 134].map(|kind| {
            frame[54] = kind;
            run(&program, &frame, 0) != 0
        })
    };
    assert_eq!(verdicts("2001:db8:1:2::77"), [false, true, false]);
    assert_eq!(verdicts("2001:db8:7::1"), [false, true, false]);
    assert_eq!(verdicts("2001:db8:1:2:c::5"), [true, true, false]);
    assert_eq!(verdicts("2001:db8:1:3::1"), [false, false, false]);
}

#[test]
fn neighbors_of_many_prefixes_are_widened_to_what_covers_them() {
    for count in [19, 20, 200] {
        let neighbors: Vec<_> =
            (0..count).map(|n: u16| net(&format!("2001:db8:1:{:x}::5/128", n * 2))).collect();
        let program = upstream(&[net("2001:db8:1:2:c::/112")], &neighbors);
        for address in &neighbors {
            let mut frame = question(address.addr());
            frame[54] = 136;
            assert_ne!(run(&program, &frame, 0), 0, "{address} of {count}");
        }
        assert!(passes(&program, "2001:db8:1:2:c::5") && !passes(&program, "2001:db8:1:4::5"));
    }
}

proptest! {
    #[test]
    fn agrees_with_the_prefixes(target: u128, prefixes in prop::collection::vec((any::<u128>(), 0u8..=128), 1..20)) {
        let nets: Vec<_> =
            prefixes.into_iter().map(|(a, l)| Ipv6Net::new(a.into(), l).expect("a prefix").trunc()).collect();
        let program = upstream(&nets, &[]);
        // Half of the time ask for an address inside, or chance would never find one.
        let inside = Ipv6Addr::from(u128::from(nets[0].network()) | (target & u128::from(nets[0].hostmask())));
        for target in [Ipv6Addr::from(target), inside] {
            let expected = nets.iter().any(|net| net.contains(&target));
            prop_assert_eq!(run(&program, &question(target), 2) != 0, expected, "{}", target);
        }
    }

    #[test]
    fn never_runs_off_the_end(frame in prop::collection::vec(any::<u8>(), 0..100), kind in 0u32..6) {
        run(&upstream(&[net("2001:db8::/64")], &[]), &frame, kind);
        run(&downstream(), &frame, kind);
    }
}

#[test]
fn an_observer_hears_every_icmpv6_message_and_nothing_else() {
    let frame = question("2001:db8::5".parse().expect("an address"));
    for packet_type in 0..5 {
        assert_ne!(run(&observer(), &frame, packet_type), 0, "{packet_type}");
    }
    for (at, other) in [(13, 0), (20, 17)] {
        let mut frame = frame.clone();
        frame[at] = other;
        assert_eq!(run(&observer(), &frame, 0), 0, "byte {at}");
    }
}

#[test]
fn of_newcomers_only_duplicate_address_detection_passes() {
    let asked = question("2001:db8::1".parse().expect("an address"));
    let mut checked = asked.clone();
    checked[22..38].fill(0);
    let program = newcomers(&[]);
    assert!(run(&program, &checked, 2) != 0);
    assert_eq!(run(&program, &asked, 2), 0, "a question from an address");
    for byte in 22..38 {
        let mut frame = checked.clone();
        frame[byte] = 1;
        assert_eq!(run(&program, &frame, 2), 0, "byte {byte} of the source");
    }
    for (offset, value) in [(12, 0x08), (20, 17), (21, 254), (54, 136), (54, 133)] {
        let mut frame = checked.clone();
        frame[offset] = value;
        assert_eq!(run(&program, &frame, 2), 0, "byte {offset} = {value}");
    }
}

#[test]
fn newcomers_of_upstreams_do_not_pass() {
    let mut checked = question("2001:db8::1".parse().expect("an address"));
    checked[22..38].fill(0);
    for (upstreams, is_heard) in
        [(vec![], true), (vec![8, 9], true), (vec![CAME_ON], false), (vec![3, CAME_ON, 9], false)]
    {
        assert_eq!(run(&newcomers(&upstreams), &checked, 2) != 0, is_heard, "{upstreams:?}");
    }
    let many: Vec<_> = (100..400).collect();
    assert!(newcomers(&many).len() < 256, "more upstreams than the program has room for");
    assert!(run(&newcomers(&many), &checked, 2) != 0);
}

#[test]
fn stations_that_have_arrived_say_so_by_rarp_or_gratuitous_arp() {
    let frame = |ethertype: u16, sender: [u8; 4], target: [u8; 4]| {
        let mut frame = vec![0; 60];
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
        frame[28..32].copy_from_slice(&sender);
        frame[38..42].copy_from_slice(&target);
        frame
    };
    let (one, other) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let rarp = frame(0x8035, [0; 4], one);
    for (upstreams, is_heard) in [(vec![], true), (vec![8], true), (vec![3, CAME_ON], false)] {
        let heard = |frame: &[u8], kind| run(&arrivals(&upstreams), frame, kind) != 0;
        assert_eq!(heard(&rarp, 1), is_heard, "{upstreams:?}");
        assert_eq!(heard(&frame(0x0806, one, one), 1), is_heard, "{upstreams:?}");
        assert!(!heard(&frame(0x0806, one, other), 1), "a question of one station for another");
        assert!(!heard(&rarp, 3) && !heard(&rarp, 4), "to another host, and from this one");
    }
}
