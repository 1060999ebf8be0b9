//! The program in the real kernel, without a daemon: loaded, tried over the vectors, attached, replaced, found again.
//!
//! bpf(2) is not to be had in a user namespace: these tests need root.

use std::env;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use lone64::engine::facts::IfIndex;
use lone64::kernel::bpf::{BpfError, LoadedProgram, Maps, Pins, TcxLink};
use lone64::kernel::netlink::Requests;
use lone64::wire::program::{
    Assembler, Entry, Instruction, Operand, Register, Size, Verdict, range_key, target_key,
};
use nix::unistd::geteuid;

use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, SOLICITATION, target_of};
use crate::frames::Frame;
use crate::lab::{C, GUEST, Lab, ROUTER, UPSTREAM_MAC, c};
use crate::machine::judge::{Expected, Scene};
use crate::machine::vectors;
use crate::namespace::{Namespace, took};
use crate::solicitation::Solicitation;

crate::cases![
    does_in_the_kernel_what_the_packet_path_would,
    needs_two_capabilities_and_no_more,
    says_what_the_verifier_says,
    a_full_map_says_so_and_keeps_what_it_has,
    an_entry_comes_back_until_it_is_removed,
    answers_at_the_ingress_and_is_seen_there,
    is_replaced_and_found_again_by_its_pin,
    names_a_file_system_that_is_none,
    answers_by_clsact_and_leaves_what_others_have_there,
];

/// Why programs cannot be loaded here, if they cannot.
pub(crate) fn refusal() -> Option<String> {
    if !geteuid().is_root() {
        return Some("needs root: bpf(2) is not to be had in a user namespace".to_owned());
    }
    Maps::create(1, 1).err().map(|error| format!("bpf(2) does not work here: {error}"))
}

/// The scene, in the kernel. Where the time begins that the scene tells is long ago, and its end far off.
fn in_kernel(scene: &Scene) -> (Maps, LoadedProgram) {
    let maps = Maps::create(64, 64).unwrap();
    for (target, until) in &scene.targets {
        maps.targets.set(&target_key(*target), Entry::until(real(*until))).unwrap();
    }
    for (range, until) in &scene.ranges {
        maps.ranges.set(&range_key(*range), Entry::until(real(*until))).unwrap();
    }
    let program = LoadedProgram::load(&scene.program(), &maps).unwrap();
    (maps, program)
}

fn real(until: u64) -> u64 {
    use crate::machine::judge::UNTIL;
    match until {
        UNTIL => u64::MAX,
        0 => 0,
        _ => 1,
    }
}

/// Every vector, and as many of mutations of them, the same each time.
fn compare(count: usize) {
    let scene = Scene::usual();
    let (maps, program) = in_kernel(&scene);
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
    assert_eq!(maps.verdicts.verdicts().unwrap(), expected_counts);
}

fn does_in_the_kernel_what_the_packet_path_would() {
    compare(20_000);
    // What a run costs is told to whoever wants to know.
    let (_maps, program) = in_kernel(&Scene::usual());
    let question = Frame::dad().bytes();
    let run = program.test_run(&question, 100_000).unwrap();
    took("a question was passed on, on average", std::time::Duration::from_nanos(run.nanoseconds.into()));
}

/// This program again, with CAP_NET_ADMIN and CAP_BPF alone: no CAP_PERFMON, no CAP_SYS_ADMIN.
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
    let (is_done, said) = bare("-all,+net_admin,+cap_39");
    assert!(is_done, "{said}");
    let (is_done, said) = bare("-all,+net_admin");
    assert!(!is_done && said.contains("CAP_BPF is missing"), "{said}");
    let (is_done, said) = bare("-all,+cap_39");
    assert!(!is_done && said.contains("CAP_NET_ADMIN is missing"), "{said}");
}

/// What is run with few capabilities. True if this process is to do just that.
pub(crate) fn is_inner() -> bool {
    let is_inner = env::var_os(INNER).is_some();
    if is_inner {
        if let Err(error) =
            Maps::create(64, 64).and_then(|maps| LoadedProgram::load(&Scene::usual().program(), &maps))
        {
            eprintln!("{error}");
            std::process::exit(1);
        }
        compare(500);
    }
    is_inner
}

/// A program of classic BPF that passes everything on: TC_ACT_UNSPEC.
const PASS_ON: &str = "1,6 0 0 4294967295";
const INNER: &str = "LONE64_PROGRAM_WITH_FEW_CAPABILITIES";

fn says_what_the_verifier_says() {
    let maps = Maps::create(1, 1).unwrap();
    let mut assembler = Assembler::default();
    // The stack was not written to there.
    assembler
        .push(Instruction::Load(Size::Double, Register::R1, Register::R9, 0))
        .push(Instruction::Compute(
            lone64::wire::program::Width::Bits64,
            lone64::wire::program::Operation::Move,
            Register::R0,
            Operand::Value(0),
        ))
        .push(Instruction::Exit);
    let error = LoadedProgram::load(&assembler.assemble().unwrap(), &maps).unwrap_err();
    let BpfError::Load { log, .. } = &error else { panic!("{error}") };
    assert!(log.contains("R9 !read_ok"), "{log}");
    assert!(error.to_string().contains("R9 !read_ok"), "{error}");
}

fn a_full_map_says_so_and_keeps_what_it_has() {
    let maps = Maps::create(8, 2).unwrap();
    let set = |n: u16| maps.targets.set(&target_key(c(n)), Entry::until(u64::from(n) + 1));
    (0..8).for_each(|n| set(n).unwrap());
    let error = set(8).unwrap_err();
    assert!(matches!(error, BpfError::Full("targets")), "{error}");
    set(3).unwrap();
    let kept = (0..9).filter(|n| maps.targets.get(&target_key(c(*n))).unwrap().is_some()).count();
    assert_eq!(kept, 8);
    maps.targets.remove(&target_key(c(0))).unwrap();
    set(8).unwrap();

    let set = |text: &str| maps.ranges.set(&range_key(text.parse().unwrap()), Entry::until(1));
    set("2001:db8:1::/64").and(set("2001:db8:2::/64")).unwrap();
    assert!(matches!(set("2001:db8:3::/64"), Err(BpfError::Full("ranges"))));
}

fn an_entry_comes_back_until_it_is_removed() {
    let maps = Maps::create(8, 8).unwrap();
    let entry = Entry { until: 3, hits: 4, last_asked: 5 };
    for n in 0..3 {
        maps.targets.set(&target_key(c(n)), entry).unwrap();
    }
    assert_eq!(maps.targets.get(&target_key(c(1))).unwrap(), Some(entry));
    let mut keys = maps.targets.keys().unwrap();
    keys.sort();
    assert_eq!(keys, [0, 1, 2].map(|n| target_key(c(n)).to_vec()));
    for _ in 0..2 {
        maps.targets.remove(&target_key(c(1))).unwrap();
        assert_eq!(maps.targets.get(&target_key(c(1))).unwrap(), None);
    }
    let range = range_key(C.parse().unwrap());
    maps.ranges.set(&range, entry).unwrap();
    assert_eq!((maps.ranges.get(&range).unwrap(), maps.ranges.keys().unwrap().len()), (Some(entry), 1));
}

/// The program of the lab's upstream, which answers for the guest.
fn of_lab() -> (Maps, LoadedProgram) {
    let mut scene = Scene::usual();
    scene.upstream.mac = lone64::wire::Mac(UPSTREAM_MAC);
    scene.upstream.link_local = Some(crate::lab::UPSTREAM_LINK_LOCAL);
    let maps = Maps::create(64, 64).unwrap();
    maps.targets.set(&target_key(GUEST), Entry::until(u64::MAX)).unwrap();
    let program = LoadedProgram::load(&scene.program(), &maps).unwrap();
    (maps, program)
}

fn upstream(host: &Namespace) -> IfIndex {
    host.run(|| IfIndex(nix::net::if_::if_nametoindex("up0").unwrap()))
}

/// The answers to one question, up to the kernel's own answer to another one, which comes behind them.
fn answers(router: &mut Endpoint, question: &Solicitation) -> Vec<Vec<u8>> {
    let last = Solicitation::multicast(ROUTER, crate::lab::UPSTREAM_GLOBAL);
    router.send(&question.frame());
    router.send(&last.frame());
    let mut heard = Vec::new();
    router.receive_until("the kernel's own answer", PATIENCE, |frame| {
        heard.extend((target_of(frame, ADVERTISEMENT) == Some(question.target)).then(|| frame.to_vec()));
        (target_of(frame, ADVERTISEMENT) == Some(last.target)).then_some(())
    });
    heard
}

fn answers_at_the_ingress_and_is_seen_there() {
    let lab = Lab::veth();
    let (maps, program) = of_lab();
    let link = lab.host.run(|| TcxLink::attach(&program, upstream(&lab.host)));
    let link = match link {
        Err(BpfError::NoTcx) => return eprintln!("this kernel has no tcx"),
        link => link.unwrap(),
    };
    let mut router = Endpoint::open(&lab.router, "rt0");
    // As tcpdump does: every frame of the interface, in both directions.
    let mut observer = Endpoint::open(&lab.host, "up0");
    for question in [
        Solicitation::multicast(ROUTER, GUEST),
        Solicitation::unicast(ROUTER, GUEST, UPSTREAM_MAC),
        Solicitation::multicast(ROUTER, GUEST).with(|q| q.options = Vec::new()),
    ] {
        let heard = answers(&mut router, &question);
        assert_eq!(heard.len(), 1, "{question:?}: {heard:02x?}");
        let answer = crate::advertisement::Advertisement::parse(&heard[0]).unwrap();
        answer.check(&question, UPSTREAM_MAC, &[crate::lab::UPSTREAM_LINK_LOCAL]);
        let seen = observer.heard();
        for kind in [SOLICITATION, ADVERTISEMENT] {
            let count = seen.iter().filter(|frame| target_of(frame, kind) == Some(GUEST)).count();
            assert_eq!(count, 1, "the host's tcpdump sees type {kind}: {seen:02x?}");
        }
    }
    let entry = maps.targets.get(&target_key(GUEST)).unwrap().unwrap();
    assert_eq!(entry.hits, 3);
    assert!(entry.last_asked > 0);
    // Withdrawn, it is not answered for; nor without the link.
    maps.targets.remove(&target_key(GUEST)).unwrap();
    assert_eq!(answers(&mut router, &Solicitation::multicast(ROUTER, GUEST)).len(), 0);
    maps.targets.set(&target_key(GUEST), Entry::until(u64::MAX)).unwrap();
    assert_eq!(answers(&mut router, &Solicitation::multicast(ROUTER, GUEST)).len(), 1);
    drop(link);
    assert_eq!(answers(&mut router, &Solicitation::multicast(ROUTER, GUEST)).len(), 0);
}

fn is_replaced_and_found_again_by_its_pin() {
    let lab = Lab::veth();
    let (maps, program) = of_lab();
    let interface = upstream(&lab.host);
    let pins = match lab.host.run(|| Pins::of(Path::new(Pins::FILE_SYSTEM), interface)) {
        Err(BpfError::NoFileSystem(_)) => return eprintln!("no BPF file system is mounted"),
        pins => pins.unwrap(),
    };
    let link = match lab.host.run(|| TcxLink::attach(&program, interface)) {
        Err(BpfError::NoTcx) => return eprintln!("this kernel has no tcx"),
        link => link.unwrap(),
    };
    assert!(pins.maps().unwrap().is_none() && pins.link().unwrap().is_none());
    pins.pin(&maps, &link).unwrap();
    // Nobody has it open any more, as after kill -9: it goes on.
    drop((maps, program, link));
    let mut router = Endpoint::open(&lab.router, "rt0");
    let question = Solicitation::multicast(ROUTER, GUEST);
    assert_eq!(answers(&mut router, &question).len(), 1);

    // The next one takes maps and link over, and puts a program of its own in.
    let maps = pins.maps().unwrap().expect("the maps");
    let link = pins.link().unwrap().expect("the link");
    assert_eq!(maps.targets.get(&target_key(GUEST)).unwrap().unwrap().hits, 1);
    let mut scene = Scene::usual();
    scene.upstream.mac = lone64::wire::Mac(UPSTREAM_MAC);
    scene.upstream.router = true;
    link.replace(&LoadedProgram::load(&scene.program(), &maps).unwrap()).unwrap();
    let heard = answers(&mut router, &question);
    assert_eq!(heard.iter().map(|frame| frame[58] & 0x80).collect::<Vec<_>>(), [0x80], "the R flag is new");

    pins.remove().unwrap();
    drop(link);
    assert_eq!(answers(&mut router, &question).len(), 0);
    assert!(pins.maps().unwrap().is_none() && pins.link().unwrap().is_none());
    pins.remove().unwrap();

    // The interface goes, and the link with it.
    let link =
        lab.host.run(|| TcxLink::attach(&LoadedProgram::load(&scene.program(), &maps).unwrap(), interface));
    let link = link.unwrap();
    lab.host.ip("link del up0");
    let error = link.replace(&LoadedProgram::load(&scene.program(), &maps).unwrap()).unwrap_err();
    assert!(matches!(error, BpfError::LinkGone), "{error}");
}

/// As on Linux before 6.6.
fn answers_by_clsact_and_leaves_what_others_have_there() {
    let lab = Lab::veth();
    let (_maps, program) = of_lab();
    let interface = upstream(&lab.host);
    let change = |program: Option<&LoadedProgram>| {
        lab.host.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let requests = Requests::open().unwrap();
                match program {
                    Some(program) => requests.put_responder(interface, program.as_fd()).await.unwrap(),
                    None => requests.remove_responder(interface).await.unwrap(),
                }
            });
        });
    };
    let shown = || lab.host.output("tc", "filter show dev up0 ingress");
    let ours = || shown().matches(" lone64 direct-action").count();
    let mut router = Endpoint::open(&lab.router, "rt0");
    let question = Solicitation::multicast(ROUTER, GUEST);
    // Where there is nothing, nothing is removed.
    change(None);
    change(Some(&program));
    assert_eq!((ours(), answers(&mut router, &question).len()), (1, 1), "{}", shown());
    // Another one takes its place.
    let (other_maps, other) = of_lab();
    change(Some(&other));
    assert_eq!((ours(), answers(&mut router, &question).len()), (1, 1), "{}", shown());
    assert_eq!(other_maps.targets.get(&target_key(GUEST)).unwrap().unwrap().hits, 1);
    change(None);
    assert_eq!((ours(), answers(&mut router, &question).len()), (0, 0), "{}", shown());
    assert!(lab.host.output("tc", "qdisc show dev up0").contains("clsact"), "a qdisc may be another's");

    // Programs of others, before it and behind it.
    for preference in ["1", "60000"] {
        let arguments =
            ["filter", "add", "dev", "up0", "ingress", "pref", preference, "bpf", "da", "bytecode", PASS_ON];
        assert!(lab.host.spawn(Command::new("tc").args(arguments)).wait().unwrap().success());
    }
    let before = shown();
    change(Some(&program));
    assert_eq!((ours(), answers(&mut router, &question).len()), (1, 1), "{}", shown());
    change(None);
    assert_eq!(shown(), before);
}

fn names_a_file_system_that_is_none() {
    let folder = env::temp_dir().join(format!("lone64-no-bpf-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let error = Pins::of(&folder, IfIndex(1)).unwrap_err();
    assert!(error.to_string().contains("mount -t bpf bpf"), "{error}");
    fs::remove_dir(&folder).unwrap();
}
