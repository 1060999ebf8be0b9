//! The program in the real kernel, without a daemon: loaded, and tried over the vectors.
//!
//! bpf(2) is not to be had in a user namespace: these tests need root.

use std::env;
use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lone64::engine::facts::IfIndex;
use lone64::kernel::bpf::{BpfError, LoadedProgram, Maps, Pins, Table};
use lone64::wire::program::{
    Assembler, Instruction, Operand, Operation, Register, Size, Verdict, Width, range_key,
};
use nix::unistd::geteuid;

use crate::frames::Frame;
use crate::lab::{C, c};
use crate::machine::judge::{Expected, Scene, UNTIL};
use crate::machine::vectors;
use crate::namespace::took;

crate::cases![
    does_in_the_kernel_what_the_packet_path_would,
    needs_two_capabilities_and_no_more,
    the_program_that_learns_is_loaded,
    says_what_the_verifier_says,
    a_full_map_says_so_and_keeps_what_it_has,
    an_entry_comes_back_until_it_is_removed,
    hits_are_read_back_of_those_who_were_asked_for,
    a_full_table_takes_what_it_has_room_for,
    a_table_is_taken_over_with_what_it_knows,
    many_targets_are_told_and_read_at_once,
    names_a_file_system_that_is_none,
];

/// Why programs cannot be loaded here, if they cannot.
pub(crate) fn refusal() -> Option<String> {
    if !geteuid().is_root() {
        return Some("needs root: bpf(2) is not to be had in a user namespace".to_owned());
    }
    Maps::create(1, 1).err().map(|error| format!("bpf(2) does not work here: {error}"))
}

/// The scene, in the kernel. Where the time begins that the scene tells is long ago, and its end far off.
fn in_kernel(scene: &Scene) -> (Table, LoadedProgram) {
    let mut table = Table::create(64, 64).unwrap();
    let targets: Vec<_> = scene.targets.iter().map(|(target, until)| (*target, Some(real(*until)))).collect();
    assert!(table.change(&targets).failed.is_empty());
    let maps = table.maps();
    for (range, until) in &scene.ranges {
        maps.ranges.set(&range_key(*range), real(*until)).unwrap();
    }
    let program = LoadedProgram::load(&scene.program_for(maps.rows()), maps).unwrap();
    (table, program)
}

fn real(until: u64) -> u64 {
    match until {
        UNTIL => u64::MAX,
        0 => 0,
        _ => 1,
    }
}

/// Every vector, and as many of mutations of them, the same each time.
fn compare(count: usize) {
    let scene = Scene::by_scope();
    let (table, program) = in_kernel(&scene);
    let vectors: Vec<_> = vectors::all().into_iter().map(|(_, frame)| frame).collect();
    let mut random = 64_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let mutated: Vec<_> = (0..count)
        .map(|_| {
            let mut frame = vectors[next(vectors.len())].clone();
            for _ in 0..next(3) {
                let at = next(frame.len());
                frame[at] = next(256) as u8;
            }
            frame
        })
        .collect();
    let (mut answered, mut expected_counts) = (0, [0; Verdict::ALL.len()]);
    // The kernel tries no program on a frame that is cut within its headers.
    for frame in vectors.iter().chain(&mutated).filter(|frame| frame.len() >= 54) {
        let (expected, verdict) = scene.expect(frame);
        let run = program.test_run(frame, 1).unwrap_or_else(|error| panic!("{error}: {frame:02x?}"));
        let found = match run.returned {
            7 => Expected::Answered(run.frame),
            -1 => {
                assert_eq!(run.frame, *frame, "what is passed on is as it came");
                Expected::PassedOn
            }
            other => panic!("returned {other}: {frame:02x?}"),
        };
        answered += usize::from(matches!(found, Expected::Answered(_)));
        assert_eq!(found, expected, "{frame:02x?}");
        if let Some(verdict) = verdict {
            expected_counts[verdict as usize] += 1;
        }
    }
    assert!(answered > 10, "{answered}");
    assert_eq!(table.maps().verdicts.verdicts().unwrap(), expected_counts);
}

fn does_in_the_kernel_what_the_packet_path_would() {
    compare(20_000);
    tell_costs();
}

/// What a run costs, where LONE64_TIMES is set. Each is a frame of its own, as an answer is no question.
fn tell_costs() {
    let (_table, program) = in_kernel(&Scene::by_scope());
    let cost = |frame: &[u8]| {
        let mut costs: Vec<_> = (0..2_001).map(|_| program.test_run(frame, 1).unwrap().nanoseconds).collect();
        costs.sort_unstable();
        Duration::from_nanos(costs[1_000].into())
    };
    took(
        "a UDP packet was passed on (median)",
        cost(&Frame { next_header: 17, ..Frame::solicitation() }.bytes()),
    );
    // What is passed on as it came can be run again and again, without the cost of beginning.
    for (name, frame) in [
        ("a UDP packet", Frame { next_header: 17, ..Frame::solicitation() }),
        ("a question outside the ranges", Frame { target: OUTSIDE, ..Frame::solicitation() }),
        ("a question for an unknown target", Frame { target: c(4), ..Frame::solicitation() }),
    ] {
        let run = program.test_run(&frame.bytes(), 200_000).unwrap();
        took(
            &format!("{name} was passed on (mean of 200,000)"),
            Duration::from_nanos(run.nanoseconds.into()),
        );
    }
    for (name, frame) in vectors::all().into_iter().take(24) {
        took(&format!("{name} (median)"), cost(&frame));
    }
}

/// This program again, with CAP_NET_ADMIN and CAP_BPF alone, and with CAP_PERFMON beside them: no CAP_SYS_ADMIN.
fn needs_two_capabilities_and_no_more() {
    let bare = |capabilities: &str| {
        let output = Command::new("setpriv")
            .args(["--bounding-set", capabilities, "--inh-caps", "-all"])
            .arg(env::current_exe().unwrap())
            .env(INNER, "1")
            .stdin(Stdio::null())
            .output()
            .expect("setpriv is there");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), text)
    };
    // Without CAP_PERFMON the verifier adds barriers to the program; with it, it does not.
    let lengths = ["-all,+net_admin,+cap_39", "-all,+net_admin,+cap_39,+cap_38"].map(|capabilities| {
        let (is_done, said) = bare(capabilities);
        assert!(is_done, "{said}");
        let length = said.lines().find_map(|line| line.strip_prefix(LENGTH)).expect("its length");
        length.trim().parse::<u32>().unwrap()
    });
    // Where the kernel interprets programs there is no machine code.
    assert!(lengths == [0, 0] || lengths[0] > lengths[1], "{lengths:?}");
    let (is_done, said) = bare("-all,+net_admin");
    assert!(!is_done && said.contains("CAP_BPF is missing"), "{said}");
    let (is_done, said) = bare("-all,+cap_39");
    assert!(!is_done && said.contains("CAP_NET_ADMIN is missing"), "{said}");
}

/// What is run with few capabilities. True if this process is to do just that.
pub(crate) fn is_inner() -> bool {
    let is_inner = env::var_os(INNER).is_some();
    if is_inner {
        let loaded = |scene: &Scene| {
            let maps = Maps::create(64, 64)?;
            LoadedProgram::load(&scene.program_for(maps.rows()), &maps)
        };
        match loaded(&Scene::by_scope()).and_then(|program| loaded(&Scene::usual()).map(|_| program)) {
            Ok(program) => eprintln!("{LENGTH}{}", program.compiled_length().unwrap_or_default()),
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(1);
            }
        }
        compare(500);
        tell_costs();
    }
    is_inner
}

/// In no range of the scene.
const OUTSIDE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xd, 0, 0, 4);
const LENGTH: &str = "bytes of the compiled program: ";
/// No interface has this number.
const PINNED: u32 = 2_000_000_001;
const INNER: &str = "LONE64_PROGRAM_WITH_FEW_CAPABILITIES";

/// The program that the default makes, too: what is asked for again it passes on.
fn the_program_that_learns_is_loaded() {
    let mut table = Table::create(1, 1).unwrap();
    table.change(&live([5]));
    let program =
        LoadedProgram::load(&Scene::usual().program_for(table.maps().rows()), table.maps()).unwrap();
    ask(&program, 5, 1);
}

fn says_what_the_verifier_says() {
    let maps = Maps::create(1, 1).unwrap();
    let mut assembler = Assembler::default();
    // The stack was not written to there.
    assembler
        .push(Instruction::Load(Size::Double, Register::R1, Register::R9, 0))
        .push(Instruction::Compute(Width::Bits64, Operation::Move, Register::R0, Operand::Value(0)))
        .push(Instruction::Exit);
    let error = LoadedProgram::load(&assembler.assemble().unwrap(), &maps).unwrap_err();
    let BpfError::Load { log, .. } = &error else { panic!("{error}") };
    assert!(log.contains("R9 !read_ok"), "{log}");
    assert!(error.to_string().contains("R9 !read_ok"), "{error}");
}

fn a_full_map_says_so_and_keeps_what_it_has() {
    let maps = Maps::create(8, 2).unwrap();
    let set = |text: &str| maps.ranges.set(&range_key(text.parse().unwrap()), 1);
    set("2001:db8:1::/64").and(set("2001:db8:2::/64")).unwrap();
    assert!(matches!(set("2001:db8:3::/64"), Err(BpfError::Full("ranges"))));
    set("2001:db8:1::/64").unwrap();
    assert_eq!(maps.ranges.keys().unwrap().len(), 2);
}

fn an_entry_comes_back_until_it_is_removed() {
    let maps = Maps::create(8, 8).unwrap();
    let range = range_key(C.parse().unwrap());
    maps.ranges.set(&range, 3).unwrap();
    assert_eq!((maps.ranges.get(&range).unwrap(), maps.ranges.keys().unwrap().len()), (Some(3), 1));
    for _ in 0..2 {
        maps.ranges.remove(&range).unwrap();
        assert_eq!(maps.ranges.get(&range).unwrap(), None);
    }
    let mut table = Table::create(8, 1).unwrap();
    table.change(&[0, 1, 2].map(|n| (c(n), Some(u64::from(n) + 3))));
    let row = table.get(c(1)).unwrap();
    assert_eq!((row.target, row.until, row.hits), (Some(c(1)), 4, 0));
    for _ in 0..2 {
        assert_eq!(table.change(&[(c(1), None)]).done, [c(1)]);
        assert_eq!((table.get(c(1)), table.len()), (None, 2));
    }
    Table::clear(table.maps()).unwrap();
    assert_eq!(table.get(c(2)), None);
}

/// A question for this target, so often, at the program of this table.
fn ask(program: &LoadedProgram, number: u16, times: u32) {
    let question = Frame { target: c(number), ..Frame::solicitation() }.bytes();
    for _ in 0..times {
        assert_eq!(program.test_run(&question, 1).unwrap().returned, 7, "{number}");
    }
}

fn load(table: &Table) -> LoadedProgram {
    LoadedProgram::load(&Scene::by_scope().program_for(table.maps().rows()), table.maps()).unwrap()
}

fn asked(table: &mut Table) -> Vec<(Ipv6Addr, u32)> {
    let mut all = Vec::new();
    table.asked(|asked| {
        assert!(asked.last_asked > 0);
        all.push((asked.target, asked.hits));
    });
    all.sort();
    all
}

fn live(numbers: impl IntoIterator<Item = u16>) -> Vec<(Ipv6Addr, Option<u64>)> {
    numbers.into_iter().map(|number| (c(number), Some(u64::MAX))).collect()
}

fn hits_are_read_back_of_those_who_were_asked_for() {
    let mut table = Table::create(16, 1).unwrap();
    let program = load(&table);
    let changed = table.change(&live(1..5));
    assert_eq!((changed.done.len(), changed.failed.len(), table.len()), (4, 0, 4));
    ask(&program, 1, 3);
    ask(&program, 3, 1);
    assert_eq!(asked(&mut table), [(c(1), 3), (c(3), 1)]);
    assert_eq!(asked(&mut table), []);
    // Put off, it keeps its count; gone, its slot is another's, which begins with nothing.
    assert_eq!(table.change(&live([1])).done, [c(1)]);
    ask(&program, 1, 1);
    assert_eq!(asked(&mut table), [(c(1), 1)]);
    ask(&program, 1, 2);
    let changed = table.change(&[(c(1), None), (c(9), None), (c(6), Some(u64::MAX))]);
    assert_eq!((changed.done, table.len()), (vec![c(1), c(9), c(6)], 4));
    assert_eq!(asked(&mut table), []);
    ask(&program, 6, 1);
    assert_eq!(asked(&mut table), [(c(6), 1)]);
    let question = Frame { target: c(1), ..Frame::solicitation() }.bytes();
    assert_eq!(program.test_run(&question, 1).unwrap().returned, -1);
    // What is said last holds.
    table.change(&[(c(2), None), (c(2), Some(u64::MAX)), (c(3), Some(u64::MAX)), (c(3), None)]);
    ask(&program, 2, 1);
    assert_eq!((asked(&mut table), table.len()), (vec![(c(2), 1)], 3));
}

fn a_full_table_takes_what_it_has_room_for() {
    let mut table = Table::create(8, 1).unwrap();
    let program = load(&table);
    let most = u16::try_from(table.maps().rows().capacity()).unwrap();
    let changed = table.change(&live(0..most + 4));
    assert_eq!((changed.done.len(), changed.failed), (usize::from(most), (most..most + 4).map(c).collect()));
    assert!(matches!(changed.error, Some(BpfError::Full("targets"))), "{:?}", changed.error);
    // Those that it has are put off all the same, and one makes room for another.
    let other = most + 1;
    let changed = table.change(&live([other, 3, 3, other, 7]));
    assert_eq!((changed.done, changed.failed), (vec![c(3), c(3), c(7)], vec![c(other), c(other)]));
    let changed = table.change(&[(c(0), None), (c(other), Some(u64::MAX))]);
    assert_eq!((changed.failed.len(), table.len()), (0, usize::from(most)));
    (1..most).chain([other]).for_each(|number| ask(&program, number, 1));
    assert_eq!(asked(&mut table).len(), usize::from(most));
}

/// The same maps, by other descriptors, as a successor has them: by their pins.
fn pinned_again(table: &Table, name: &str) -> Maps {
    let pins = Pins::of(Path::new(Pins::FILE_SYSTEM), IfIndex(PINNED)).unwrap();
    pins.pin(table.maps(), None).unwrap();
    let maps = pins.maps().unwrap().expect(name);
    pins.remove().unwrap();
    maps
}

fn a_table_is_taken_over_with_what_it_knows() {
    let mut table = Table::create(8, 2).unwrap();
    let program = load(&table);
    table.change(&live(1..6));
    ask(&program, 2, 5);
    table.change(&[(c(5), Some(7))]);
    let (mut heir, mut known) = Table::adopt(pinned_again(&table, "the maps"), 8).unwrap();
    assert_eq!(heir.maps().rows(), table.maps().rows());
    known.sort();
    assert_eq!(known, [1, 2, 3, 4].map(|number| (c(number), u64::MAX)), "without the one that was over");
    assert_eq!((heir.len(), asked(&mut heir)), (4, vec![]));
    (1..5).for_each(|number| ask(&program, number, u32::from(number)));
    assert_eq!(asked(&mut heir), [1, 2, 3, 4].map(|number| (c(number), u32::from(number))));
}

/// As many as a /112 has, and what that costs where LONE64_TIMES is set.
fn many_targets_are_told_and_read_at_once() {
    let mut table = Table::create(65_536, 1).unwrap();
    let program = load(&table);
    let all = live(0..=u16::MAX);
    let told = Instant::now();
    assert!(table.change(&all).failed.is_empty());
    took("65,536 targets were told", told.elapsed());
    [0, 1, 300, u16::MAX].into_iter().for_each(|number| ask(&program, number, 2));
    let read = Instant::now();
    let found = asked(&mut table);
    took("the hits of 65,536 targets were read", read.elapsed());
    assert_eq!(found, [0, 1, 300, u16::MAX].map(|number| (c(number), 2)));
    let put_off = Instant::now();
    assert_eq!(table.change(&all).done.len(), 65_536);
    took("65,536 targets were put off", put_off.elapsed());
    let taken: Vec<_> = all.iter().map(|(target, _)| (*target, None)).collect();
    let removed = Instant::now();
    assert_eq!((table.change(&taken).done.len(), table.len()), (65_536, 0));
    took("65,536 targets were taken away", removed.elapsed());
    assert!(all.iter().all(|(target, _)| table.get(*target).is_none()));
}

fn names_a_file_system_that_is_none() {
    let folder = env::temp_dir().join(format!("lone64-no-bpf-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let error = Pins::of(&folder, IfIndex(1)).unwrap_err();
    assert!(error.to_string().contains("mount -t bpf bpf"), "{error}");
    fs::remove_dir(&folder).unwrap();
}
