//! The program of the kernel, run by a machine of our own: it answers as the packet path would, or passes the frame on.

use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;
use std::sync::LazyLock;

use lone64::engine::policy::{Override, Source};
use lone64::wire::Mac;
use lone64::wire::program::{Exception, MAX_SLOTS, Row, Treatment, Verdict};
use proptest::prelude::*;

use super::frames::{Frame, SENDER, STATION, address, link_layer, refused};
use super::machine::judge::{Expected, NOW, Scene};
use super::machine::{Machine, bytes, rows, vectors};

/// The usual scene, and its program.
static USUAL: LazyLock<(Scene, Vec<[u8; 8]>)> = LazyLock::new(|| {
    let scene = Scene::usual();
    let program = bytes(&scene.program());
    (scene, program)
});

/// Holds the program to what is expected of a frame in the usual scene.
fn check(frame: &[u8]) -> Expected {
    USUAL.0.check(&USUAL.1, frame)
}

/// One frame, in the usual scene.
fn run(frame: &Frame) -> Expected {
    check(&frame.bytes())
}

fn is_answered(frame: &Frame) -> bool {
    matches!(run(frame), Expected::Answered(_))
}

#[test]
fn passes_on_everything_that_the_wire_room_refuses() {
    let scene = Scene::usual();
    let program = bytes(&scene.program());
    for (reason, frame) in refused::cases() {
        assert_eq!(scene.check(&program, &frame), Expected::PassedOn, "{reason}");
    }
}

#[test]
fn does_with_every_vector_what_the_packet_path_would() {
    let scene = Scene::usual();
    let program = bytes(&scene.program());
    let answered = vectors::all()
        .into_iter()
        .filter(|(name, frame)| {
            let found = scene.check(&program, frame);
            assert_eq!(matches!(found, Expected::Answered(_)), name.starts_with("answered"), "{name}");
            matches!(found, Expected::Answered(_))
        })
        .count();
    assert!(answered >= 10, "{answered} vectors are answered");
}

#[test]
fn counts_each_question_and_remembers_when_it_was_last_asked() {
    let scene = Scene::usual();
    let program = bytes(&scene.program());
    let mut machine = scene.machine();
    let in_range = Frame { target: address("2001:db8:1:2:a::9"), ..Frame::solicitation() };
    for (time, frame) in [(3, Frame::solicitation()), (2, Frame::solicitation()), (1, in_range)] {
        machine.now = NOW - time;
        assert_eq!(machine.run(&program, &mut frame.bytes(), false), 7);
    }
    let target = machine.target(address("2001:db8:1:2:c::5")).unwrap();
    let last_asked = target.last_asked(NOW);
    assert_eq!((target.hits, last_asked / Row::UNIT), (2, (NOW - 2) / Row::UNIT));
    // Of a range it is remembered who asked last.
    let recent = machine.recent();
    assert_eq!(recent.iter().map(|question| question.asked).collect::<Vec<_>>(), [NOW - 1]);
    assert_eq!(machine.counts(), [2, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn falls_silent_when_the_lease_has_run_out() {
    let scene = Scene::usual();
    let program = bytes(&scene.program());
    let mut machine = scene.machine();
    machine.now = NOW + 1;
    let frame = Frame::solicitation().bytes();
    assert_eq!(machine.run(&program, &mut frame.clone(), false), -1);
    assert_eq!(machine.count(Verdict::Lapsed), 1);
    machine.now = NOW;
    assert_eq!(machine.run(&program, &mut frame.clone(), false), 7);
}

#[test]
fn passes_on_what_the_kernel_has_no_room_for() {
    let scene = Scene::usual();
    let program = bytes(&scene.program());
    let mut machine = scene.machine();
    machine.is_full = true;
    let mut frame = Frame::solicitation().bytes();
    assert_eq!(machine.run(&program, &mut frame, false), -1);
    assert_eq!(frame, Frame::solicitation().bytes());
    // One that was made longer already is the same question, with padding.
    let short = Frame { options: Vec::new(), ..Frame::solicitation() };
    let mut frame = short.bytes();
    assert_eq!(machine.run(&program, &mut frame, false), -1);
    assert_eq!(lone64::wire::Message::parse(&frame, STATION), short.parse());
    assert_eq!(machine.count(Verdict::NoRoom), 2);
    assert_eq!(machine.target(short.target).unwrap().hits, 0);
}

#[test]
fn what_is_not_within_its_prefixes_passes_at_the_first_look() {
    let mut scene = Scene::usual();
    let outside = Frame { target: address("2001:db8:1:2:d::5"), ..Frame::solicitation() }.bytes();
    let run = |machine: &mut Machine, scene: &Scene, frame: &[u8]| {
        machine.run(&bytes(&scene.program()), &mut frame.to_vec(), false)
    };
    let mut machine = scene.machine();
    assert_eq!(run(&mut machine, &scene, &outside), -1);
    assert_eq!(machine.counts(), [0; Verdict::ALL.len()]);
    // With more prefixes than it compares, and with none.
    for within in [(0..64).map(|n| format!("2001:db8:1:{n}::/64").parse().unwrap()).collect(), Vec::new()] {
        scene.within = within;
        let mut machine = scene.machine();
        assert_eq!(run(&mut machine, &scene, &Frame::solicitation().bytes()), 7);
        assert_eq!(run(&mut machine, &scene, &outside), -1);
        assert_eq!(machine.count(Verdict::Unknown), 1);
    }
}

#[test]
fn a_frame_in_pieces_gets_the_same() {
    let scene = Scene::usual();
    let program = bytes(&scene.program());
    for (name, frame) in vectors::all() {
        let mut machine = scene.machine();
        machine.is_in_pieces = true;
        let mut left = frame.clone();
        let found = match machine.run(&program, &mut left, false) {
            7 => Expected::Answered(left),
            _ => Expected::PassedOn,
        };
        assert_eq!(found, scene.expect(&frame).0, "{name}");
    }
}

/// What it was to see of this asker it does not: fe80::a1 gets what all others get.
#[test]
fn answers_an_asker_that_only_the_daemon_was_to_answer_where_there_is_none() {
    let mut scene = Scene::usual();
    let frame = Frame { source: address("fe80::a1"), ..Frame::solicitation() }.bytes();
    let run = |scene: &Scene| scene.machine().run(&bytes(&scene.program()), &mut frame.clone(), false);
    assert_eq!(run(&scene), -1);
    scene.ranges.retain(|(range, _)| range.prefix_len() < 128);
    assert_eq!(run(&scene), 7);
}

/// 128 of them: as many as the engine ever names.
#[test]
fn has_room_for_every_exception() {
    let mut scene = Scene::usual();
    let asker = |number: u16| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, number);
    scene.askers = (0..128)
        .map(|number| {
            let treatment = match number % 3 {
                0 => Treatment::PassOn,
                1 => Treatment::Target,
                _ => Treatment::Source(asker(number)),
            };
            Exception { mac: SENDER, address: asker(number), treatment }
        })
        .collect();
    let program = bytes(&scene.program());
    assert!(program.len() < MAX_SLOTS, "{}", program.len());
    for number in 0..=128 {
        scene.check(&program, &Frame { source: asker(number), ..Frame::solicitation() }.bytes());
    }
}

#[test]
fn passes_on_frames_with_a_tag() {
    let scene = Scene::usual();
    let mut machine = scene.machine();
    let mut frame = Frame::solicitation().bytes();
    assert_eq!(machine.run(&bytes(&scene.program()), &mut frame, true), -1);
    assert_eq!(frame, Frame::solicitation().bytes());
}

/// Every way of the upstream to answer: its flags, its sources, its addresses.
fn scenes() -> Vec<Scene> {
    let mut scenes = Vec::new();
    let fixed = address("2001:db8:1:2::77");
    let sources = [
        Source::Auto,
        Source::Scope,
        Source::Target,
        Source::LinkLocal,
        Source::Global,
        Source::Address(fixed),
    ];
    for source in sources {
        for (router, override_flag) in [(false, Override::Takeover), (true, Override::Always)] {
            for addresses in 0..4 {
                let mut scene = Scene::usual();
                let upstream = &mut scene.upstream;
                (upstream.source, upstream.router, upstream.override_flag) = (source, router, override_flag);
                upstream.fixed = matches!(source, Source::Address(_)).then_some(fixed);
                upstream.link_local = upstream.link_local.filter(|_| addresses & 1 == 0);
                upstream.global = upstream.global.filter(|_| addresses & 2 == 0);
                scenes.push(scene);
            }
        }
    }
    scenes
}

#[test]
fn answers_as_the_upstream_is_set_up_to() {
    let (mut programs, mut answered) = (0, 0);
    for scene in scenes() {
        let Some(responder) = lone64::engine::responder(&scene.upstream) else { continue };
        let program = responder.program(&rows()).unwrap();
        assert!((100..1_000).contains(&program.instructions().len()), "{}", program.instructions().len());
        programs += 1;
        for source in ["fe80::99", "febf::1", "fec0::1", "2001:db8:1:2::99"] {
            let frame = Frame { source: address(source), ..Frame::solicitation() };
            let found = scene.check(&bytes(&program), &frame.bytes());
            answered += usize::from(matches!(found, Expected::Answered(_)));
        }
    }
    assert_eq!((programs, answered), (36, 144), "all but where there is no address for it");
}

#[test]
fn leaves_the_choice_among_several_addresses_to_the_packet_path() {
    let mut scene = Scene::usual();
    scene.upstream.has_several = true;
    let program = bytes(&scene.program());
    let returned = |source: &str| {
        let mut frame = Frame { source: address(source), ..Frame::solicitation() }.bytes();
        scene.machine().run(&program, &mut frame, false)
    };
    assert_eq!([returned("fe80::99"), returned("2001:db8:1:2::99")], [7, -1]);
    scene.upstream.source = Source::Global;
    assert_eq!(lone64::engine::responder(&scene.upstream), None);
}

#[test]
fn there_is_no_program_without_a_source() {
    let mut scene = Scene::usual();
    (scene.upstream.link_local, scene.upstream.global) = (None, None);
    assert_eq!(lone64::engine::responder(&scene.upstream), None);
    scene.upstream.source = Source::Target;
    assert!(lone64::engine::responder(&scene.upstream).is_some());
}

#[test]
fn a_frame_to_a_station_is_answered_by_that_station_alone() {
    let to = |mac| Frame {
        destination_mac: mac,
        destination: Frame::solicitation().target,
        ..Frame::solicitation()
    };
    assert!(is_answered(&to(STATION)));
    for byte in 0..6 {
        let mut mac = STATION;
        mac.0[byte] ^= 2;
        assert!(!is_answered(&to(mac)), "{mac}");
        // It is its own frame only if all of its address is there.
        assert!(is_answered(&Frame { source_mac: mac, ..Frame::solicitation() }), "{mac}");
    }
}

#[test]
fn a_byte_of_a_station_is_enough_to_be_one() {
    for byte in 0..6 {
        let mut mac = Mac([0; 6]);
        mac.0[byte] = 2;
        let frame = Frame { source_mac: mac, options: link_layer(1, mac), ..Frame::solicitation() };
        assert!(is_answered(&frame), "{mac}");
    }
}

/// A change of the program shows here. `LONE64_BLESS=1 cargo test --test wire` writes it again.
#[cfg(target_endian = "little")]
#[test]
fn the_listing_is_the_one_that_was_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/responder.listing");
    let program = Scene::usual().program();
    let listing = program.to_string();
    if std::env::var_os("LONE64_BLESS").is_some() {
        fs::write(&path, &listing).unwrap();
    }
    assert_eq!(listing, fs::read_to_string(&path).unwrap());
    assert!(bytes(&program).len() < MAX_SLOTS);
}

/// A frame that is nearly plain, mutated: what is aimed at by chance is a byte that matters.
fn nearly_plain() -> impl Strategy<Value = Vec<u8>> {
    let frames: Vec<_> = vectors::all().into_iter().map(|(_, frame)| frame).collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (prop::sample::select(frames), changes, any::<bool>()).prop_map(|(mut frame, changes, is_sealed)| {
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        if is_sealed && frame.len() >= 78 {
            super::mutation::seal(&mut frame);
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn does_with_mutated_frames_what_the_packet_path_would(frame in nearly_plain()) {
        check(&frame);
    }

    #[test]
    fn answers_any_plain_question_byte_for_byte(
        source: u128, mac: [u8; 6], option in prop::option::of(any::<[u8; 6]>()), suffix: u16, is_in_range: bool,
        traffic_class: u8, reserved: [u8; 4],
    ) {
        let source = if source & 1 == 0 { source } else { 0xfe80 << 112 | source >> 64 };
        let target = if is_in_range { 0x2001_0db8_0001_0002_000a << 48 | u128::from(suffix) } else {
            address("2001:db8:1:2:c::5").to_bits()
        };
        let frame = Frame {
            source: source.into(),
            source_mac: Mac(mac),
            target: target.into(),
            options: option.map_or(Vec::new(), |mac| link_layer(1, Mac(mac))),
            traffic_class,
            reserved,
            ..Frame::solicitation()
        };
        check(&frame.bytes());
    }

    #[test]
    fn never_stops_at_arbitrary_bytes(frame in prop::collection::vec(any::<u8>(), 0..120)) {
        check(&frame);
    }
}
