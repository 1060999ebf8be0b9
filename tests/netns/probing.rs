//! rules.md "Probing": the probes as the guests see them.

use std::net::Ipv6Addr;

use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{
    ICMP, IP, Mac, SOLICITATION, address, checksum, group_mac, mac, receiver, sender, solicited_node,
    target_of,
};
use crate::lab::{
    BRIDGE_MAC, C, D, GATEWAY, GUEST, GUEST_MAC, Lab, PLAIN, PLAIN_MAC, ROUTER, UPSTREAM_MAC, c, d,
};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::{Asker, Solicitation};

crate::cases![
    sends_probes_that_are_right_in_every_field,
    sends_one_probe_for_a_live_guest,
    sends_at_most_three_probes_for_a_dead_target,
    sends_one_round_of_probes_for_many_questions,
    sends_probes_only_on_the_downstream_of_the_range,
    sends_no_probe_upstream,
    sends_no_probe_for_invalid_or_out_of_range_questions,
    sends_no_probe_for_always_and_never,
    confirms_old_knowledge_behind_the_answer,
];

const BRIDGE_ADDRESSES: [Ipv6Addr; 2] = [Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xb0), GATEWAY];
const PLAIN_ADDRESSES: [Ipv6Addr; 2] = [Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xb1), d(1)];

fn live() -> Settings {
    Settings::default().range(C, "br0", "answer = \"live\"").range(D, "gv1", "answer = \"live\"")
}

fn quick() -> Settings {
    live().rest("[timers]\nretransmit = \"100ms\"\nabsent = \"60s\"\n")
}

fn sends_probes_that_are_right_in_every_field() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, quick());
    let mut link = Link::open(&lab);
    for (namespace, target, from, sources) in [
        (&lab.guest, c(0xdead), BRIDGE_MAC, BRIDGE_ADDRESSES),
        (&lab.guest, GUEST, BRIDGE_MAC, BRIDGE_ADDRESSES),
        (&lab.plain, d(0xdead), PLAIN_MAC, PLAIN_ADDRESSES),
        (&lab.plain, PLAIN, PLAIN_MAC, PLAIN_ADDRESSES),
    ] {
        let mut guest = Endpoint::open(namespace, "eth0");
        link.send(&Solicitation::multicast(ROUTER, target));
        let probe = guest.receive_until("a probe", PATIENCE, |frame| {
            (target_of(frame, SOLICITATION) == Some(target)).then(|| frame.to_vec())
        });
        check_probe(&probe, target, from, &sources);
    }
}

fn sends_one_probe_for_a_live_guest() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, live());
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    for _ in 0..5 {
        link.answered(&Solicitation::multicast(ROUTER, GUEST));
    }
    assert_eq!(probes(&guest.heard(), GUEST).len(), 1);
}

fn sends_at_most_three_probes_for_a_dead_target() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, quick());
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    // A fourth probe would come before the second target's third.
    let heard = ask_in_turn(&mut link, &mut guest, &[c(0xdead), c(0xdeae)]);
    assert_eq!(probes(&heard, c(0xdead)).len(), 3);
    for probe in probes(&heard, c(0xdead)) {
        check_probe(&probe, c(0xdead), BRIDGE_MAC, &BRIDGE_ADDRESSES);
    }
    // Absent: a further question is worth one look, not another three.
    link.unanswered(&Solicitation::multicast(ROUTER, c(0xdead)));
    let heard = ask_in_turn(&mut link, &mut guest, &[c(0xdeaf)]);
    assert!(probes(&heard, c(0xdead)).len() <= 1);
}

fn sends_one_round_of_probes_for_many_questions() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, quick());
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    for n in 0..50 {
        let asker = Asker { address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x70, n), ..ROUTER };
        link.send(&Solicitation::multicast(asker, c(0xdead)));
    }
    let heard = ask_in_turn(&mut link, &mut guest, &[c(0xdead), c(0xdeae)]);
    assert_eq!(probes(&heard, c(0xdead)).len(), 3);
}

fn sends_probes_only_on_the_downstream_of_the_range() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, quick());
    let mut link = Link::open(&lab);
    let (mut guest, mut plain) = (Endpoint::open(&lab.guest, "eth0"), Endpoint::open(&lab.plain, "eth0"));
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    link.answered(&Solicitation::multicast(ROUTER, PLAIN));
    let behind_bridge = [guest.heard(), ask_in_turn(&mut link, &mut guest, &[c(0xdead)])].concat();
    let behind_veth = [plain.heard(), ask_in_turn(&mut link, &mut plain, &[d(0xdead)])].concat();
    let behind_bridge = [behind_bridge, guest.heard()].concat();
    for (heard, there, elsewhere) in [
        (&behind_bridge, [GUEST, c(0xdead)], [PLAIN, d(0xdead)]),
        (&behind_veth, [PLAIN, d(0xdead)], [GUEST, c(0xdead)]),
    ] {
        assert!(there.iter().all(|target| !probes(heard, *target).is_empty()), "{there:?}");
        assert!(elsewhere.iter().all(|target| probes(heard, *target).is_empty()), "{elsewhere:?}");
    }
}

fn sends_no_probe_upstream() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, quick());
    let mut link = Link::open(&lab);
    let mut router = Endpoint::open(&lab.router, "rt0");
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    ask_in_turn(&mut link, &mut guest, &[c(0xdead)]);
    link.settle();
    let asked: Vec<_> = router
        .heard()
        .into_iter()
        .filter(|frame| sender(frame) == UPSTREAM_MAC && target_of(frame, SOLICITATION).is_some())
        .collect();
    assert!(probes(&asked, c(0xdead)).is_empty(), "{asked:02x?}");
}

fn sends_no_probe_for_invalid_or_out_of_range_questions() {
    let lab = Lab::veth();
    let _daemon =
        Daemon::start(&lab, quick().upstream("").range("2001:db8:1:2:e::/112", "gv1", "answer = \"never\""));
    let mut link = Link::open(&lab);
    let (mut guest, mut plain) = (Endpoint::open(&lab.guest, "eth0"), Endpoint::open(&lab.plain, "eth0"));
    let wrong: [fn(&mut Solicitation); 7] = [
        |q| q.hop_limit = 254,
        |q| q.checksum = crate::solicitation::Checksum::Wrong,
        |q| q.code = 1,
        |q| q.options[1] = 0,
        |q| q.source = Ipv6Addr::LOCALHOST,
        |q| q.source = Ipv6Addr::UNSPECIFIED,
        |q| (q.next_header, q.extension) = (44, vec![58, 0, 0, 0, 1, 2, 3, 4]),
    ];
    for change in wrong {
        link.send(&Solicitation::multicast(ROUTER, c(0xdead)).with(change));
        link.send(&Solicitation::multicast(ROUTER, d(0xdead)).with(change));
    }
    let outside = [
        Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 1, 0),
        Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xf, 0, 0, 5),
        Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xe, 0, 0, 5),
    ];
    outside.iter().for_each(|target| link.send(&Solicitation::multicast(ROUTER, *target)));
    link.settle();
    // Real ones at the end show that probes would have been seen.
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    link.answered(&Solicitation::multicast(ROUTER, PLAIN));
    for (heard, live) in [(guest.heard(), GUEST), (plain.heard(), PLAIN)] {
        let ours = |frame: &&Vec<u8>| [BRIDGE_MAC, PLAIN_MAC].contains(&sender(frame));
        let asked: Vec<_> =
            heard.iter().filter(ours).filter_map(|frame| target_of(frame, SOLICITATION)).collect();
        assert!(asked.contains(&live), "{asked:?}");
        let not_asked =
            |target: &Ipv6Addr| !outside.contains(target) && ![c(0xdead), d(0xdead)].contains(target);
        assert!(asked.iter().all(not_asked), "{asked:?}");
    }
}

fn sends_no_probe_for_always_and_never() {
    let lab = Lab::veth();
    let settings =
        Settings::default().range(C, "br0", "answer = \"always\"").range(D, "gv1", "answer = \"never\"");
    let _daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    let (mut guest, mut plain) = (Endpoint::open(&lab.guest, "eth0"), Endpoint::open(&lab.plain, "eth0"));
    link.answered(&Solicitation::multicast(ROUTER, c(0xdead)));
    link.answered(&Solicitation::dad(mac(0x61), c(0xdead)));
    link.unanswered(&Solicitation::multicast(ROUTER, PLAIN));
    assert!(probes(&guest.heard(), c(0xdead)).is_empty());
    assert!(probes(&plain.heard(), PLAIN).is_empty());
}

fn confirms_old_knowledge_behind_the_answer() {
    let lab = Lab::veth();
    let settings = live().rest("[timers]\nreachable = \"10ms\"\nretransmit = \"100ms\"\n");
    let _daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    let question = Solicitation::multicast(ROUTER, GUEST);
    link.answered(&question);
    guest.heard();
    let probe = eventually("its knowledge is confirmed", PATIENCE, || {
        link.answered(&question);
        probes(&guest.heard(), GUEST).pop()
    });
    check_probe(&probe, GUEST, BRIDGE_MAC, &BRIDGE_ADDRESSES);
}

/// Asks for one dead target after the other, each when the one before has had three probes;
/// returns what the guest heard.
fn ask_in_turn(link: &mut Link, guest: &mut Endpoint, targets: &[Ipv6Addr]) -> Vec<Vec<u8>> {
    let mut heard = Vec::new();
    for &target in targets {
        link.send(&Solicitation::multicast(ROUTER, target));
        let mut count = 0;
        guest.receive_until(&format!("three probes for {target}"), PATIENCE, |frame| {
            heard.push(frame.to_vec());
            count += usize::from(!probes(&[frame.to_vec()], target).is_empty());
            (count == 3).then_some(())
        });
    }
    link.settle();
    heard.extend(guest.heard());
    heard
}

/// The solicitations for a target that one of the host's downstreams sent of its own: those that
/// the kernel forwards have lost a hop.
fn probes(heard: &[Vec<u8>], target: Ipv6Addr) -> Vec<Vec<u8>> {
    let ours = |frame: &&Vec<u8>| {
        target_of(frame, SOLICITATION) == Some(target)
            && [BRIDGE_MAC, PLAIN_MAC, UPSTREAM_MAC].contains(&sender(frame))
            && frame[IP + 7] == 255
    };
    heard.iter().filter(ours).cloned().collect()
}

fn check_probe(frame: &[u8], target: Ipv6Addr, from: Mac, sources: &[Ipv6Addr]) {
    let (source, destination) = (address(frame, IP + 8), address(frame, IP + 24));
    assert_eq!(frame.len(), ICMP + 32, "a header, an NS and one option: {frame:02x?}");
    assert_eq!(sender(frame), from);
    assert!(sources.contains(&source), "{source} is no address of that downstream");
    match destination.is_multicast() {
        true => {
            assert_eq!(destination, solicited_node(target));
            assert_eq!(receiver(frame), group_mac(destination));
        }
        false => {
            assert_eq!(destination, target);
            assert!([GUEST_MAC, mac(6)].contains(&receiver(frame)), "a known neighbor");
        }
    }
    assert_eq!(frame[12..14], [0x86, 0xdd]);
    assert_eq!(frame[IP] >> 4, 6);
    assert_eq!(frame[IP + 4..IP + 8], [0, 32, 58, 255], "length, next header, hop limit");
    assert_eq!(frame[ICMP..ICMP + 2], [SOLICITATION, 0], "type, code");
    assert_eq!(frame[ICMP + 4..ICMP + 8], [0; 4], "reserved");
    assert_eq!(checksum(source, destination, &frame[ICMP..]), 0, "checksum");
    assert_eq!(frame[ICMP + 24..ICMP + 26], [1, 1], "source link-layer option");
    assert_eq!(frame[ICMP + 26..], from);
}
