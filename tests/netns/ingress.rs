//! The program at the ingress of an interface of the real kernel, without a daemon: what it answers, whom it leaves alone,
//! how it is replaced and found again.
//!
//! bpf(2) is not to be had in a user namespace: these tests need root.

use std::collections::HashSet;
use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lone64::engine::facts::IfIndex;
use lone64::kernel::bpf::{BpfError, LoadedProgram, Maps, Pins, Table, TcxLink, tcx_programs};
use lone64::kernel::netlink::{Hook, Requests};
use lone64::wire::program::{Row, Verdict};

use crate::advertisement::Advertisement;
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, SOLICITATION, address, sender, target_of};
use crate::lab::{GUEST, Lab, ROUTER, UPSTREAM_GLOBAL, UPSTREAM_LINK_LOCAL, UPSTREAM_MAC};
use crate::machine::judge::Scene;
use crate::namespace::Namespace;
use crate::offload::{Offloading, Sum};
use crate::solicitation::{Asker, Checksum, Solicitation};
use crate::trials::Case;

crate::cases![
    answers_at_the_ingress_and_is_seen_there,
    is_replaced_and_found_again_by_its_pin,
    loses_no_question_and_answers_none_twice_while_it_is_replaced,
    leaves_a_program_of_others_its_place,
    passes_on_tags_and_checksums_that_are_not_computed_yet,
    answers_on_a_bridge,
    a_program_of_tcx_is_found_by_its_name,
];

/// What needs no tcx.
pub(crate) const BY_CLSACT: &[Case] = &[(
    "answers_by_clsact_and_leaves_what_others_have_there",
    answers_by_clsact_and_leaves_what_others_have_there,
)];

/// Why there is no place by tcx here, or none for pins, if so.
pub(crate) fn refusal() -> Option<String> {
    let lo = IfIndex(1);
    let (_table, program) = of_lab();
    let attached = TcxLink::attach(&program, lo).map(|_| ());
    attached.and(Pins::of(Path::new(Pins::FILE_SYSTEM), lo).map(|_| ())).err().map(|error| error.to_string())
}

/// The lab's upstream.
pub(crate) fn scene_of_lab() -> Scene {
    let mut scene = Scene::by_scope();
    scene.upstream.mac = lone64::wire::Mac(UPSTREAM_MAC);
    scene.upstream.link_local = Some(UPSTREAM_LINK_LOCAL);
    scene
}

/// The program of the lab's upstream, which answers for the guest.
fn of_lab() -> (Table, LoadedProgram) {
    let table = of_guest();
    let program =
        LoadedProgram::load(&scene_of_lab().program_for(table.maps().rows()), table.maps()).unwrap();
    (table, program)
}

/// A table that has the guest.
pub(crate) fn of_guest() -> Table {
    let mut table = Table::create(64, 64).unwrap();
    assert_eq!(table.change(&[(GUEST, Some(u64::MAX))]).done, [GUEST]);
    table
}

/// What was counted for the guest.
fn counted(maps: &Maps) -> Row {
    Table::row_of(maps, GUEST).unwrap().unwrap()
}

fn interface(host: &Namespace, name: &str) -> IfIndex {
    host.run(|| IfIndex(nix::net::if_::if_nametoindex(name).unwrap()))
}

/// The program's place by tcx.
fn attached(lab: &Lab, name: &str, program: &LoadedProgram) -> TcxLink {
    lab.host.run(|| TcxLink::attach(program, interface(&lab.host, name))).unwrap()
}

/// Every answer to one question, up to the kernel's own to others that are asked behind it. On two processors a frame may
/// overtake another, so there are several, each asked when the one before has its answer.
pub(crate) fn answers(router: &mut Endpoint, question: &Solicitation) -> Vec<Vec<u8>> {
    let mut heard = Vec::new();
    router.send(&question.frame());
    for round in 0..4 {
        let asker = Asker { address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0x1a57, 0, 0, round), ..ROUTER };
        router.send(&Solicitation::multicast(asker, UPSTREAM_GLOBAL).frame());
        router.receive_until("the kernel's own answer", PATIENCE, |frame| {
            let target = target_of(frame, ADVERTISEMENT);
            heard.extend((target == Some(question.target)).then(|| frame.to_vec()));
            (target == Some(UPSTREAM_GLOBAL) && address(frame, 38) == asker.address).then_some(())
        });
    }
    heard
}

fn answers_at_the_ingress_and_is_seen_there() {
    let lab = Lab::veth();
    let (mut table, program) = of_lab();
    let link = attached(&lab, "up0", &program);
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
        let answer = Advertisement::parse(&heard[0]).unwrap();
        answer.check(&question, UPSTREAM_MAC, &[UPSTREAM_LINK_LOCAL]);
        let seen = observer.heard();
        for kind in [SOLICITATION, ADVERTISEMENT] {
            let count = seen.iter().filter(|frame| target_of(frame, kind) == Some(GUEST)).count();
            assert_eq!(count, 1, "the host's tcpdump sees type {kind}: {seen:02x?}");
        }
    }
    let row = counted(table.maps());
    assert_eq!(row.hits, 3);
    assert!(row.asked > 0);
    // Withdrawn, it is not answered for; nor without the link.
    table.change(&[(GUEST, None)]);
    assert_eq!(answers(&mut router, &Solicitation::multicast(ROUTER, GUEST)).len(), 0);
    table.change(&[(GUEST, Some(u64::MAX))]);
    assert_eq!(answers(&mut router, &Solicitation::multicast(ROUTER, GUEST)).len(), 1);
    link.detach().unwrap();
    assert_eq!(answers(&mut router, &Solicitation::multicast(ROUTER, GUEST)).len(), 0);
}

fn is_replaced_and_found_again_by_its_pin() {
    let lab = Lab::veth();
    let (table, program) = of_lab();
    let interface = interface(&lab.host, "up0");
    let pins = lab.host.run(|| Pins::of(Path::new(Pins::FILE_SYSTEM), interface)).unwrap();
    let link = attached(&lab, "up0", &program);
    assert!(pins.maps().unwrap().is_none() && pins.link().unwrap().is_none());
    pins.pin(table.maps(), Some(&link)).unwrap();
    // Nobody has it open any more, as after kill -9: it goes on.
    drop((table, program, link));
    let mut router = Endpoint::open(&lab.router, "rt0");
    let question = Solicitation::multicast(ROUTER, GUEST);
    assert_eq!(answers(&mut router, &question).len(), 1);

    // The next one takes maps and link over, and puts a program of its own in.
    let maps = pins.maps().unwrap().expect("the maps");
    let link = pins.link().unwrap().expect("the link");
    assert_eq!(counted(&maps).hits, 1);
    let mut scene = scene_of_lab();
    scene.upstream.router = true;
    link.replace(&LoadedProgram::load(&scene.program_for(maps.rows()), &maps).unwrap()).unwrap();
    let heard = answers(&mut router, &question);
    assert_eq!(heard.iter().map(|frame| frame[58] & 0x80).collect::<Vec<_>>(), [0x80], "the R flag is new");

    pins.remove().unwrap();
    link.detach().unwrap();
    assert_eq!(answers(&mut router, &question).len(), 0);
    assert!(pins.maps().unwrap().is_none() && pins.link().unwrap().is_none());
    pins.remove().unwrap();

    // The interface goes, and the link with it.
    let program = LoadedProgram::load(&scene.program_for(maps.rows()), &maps).unwrap();
    let link = attached(&lab, "up0", &program);
    lab.host.ip("link del up0");
    let error = link.replace(&program).unwrap_err();
    assert!(matches!(error, BpfError::LinkGone), "{error}");
    link.detach().unwrap();
}

/// As on Linux before 6.6.
fn answers_by_clsact_and_leaves_what_others_have_there() {
    let lab = Lab::veth();
    let (_table, program) = of_lab();
    let interface = interface(&lab.host, "up0");
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
    let (other_table, other) = of_lab();
    change(Some(&other));
    assert_eq!((ours(), answers(&mut router, &question).len()), (1, 1), "{}", shown());
    assert_eq!(counted(other_table.maps()).hits, 1);
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

/// A thousand programs in turn, under a flood. Each question has an asker of its own, which is answered once.
fn loses_no_question_and_answers_none_twice_while_it_is_replaced() {
    let lab = Lab::veth();
    let (table, program) = of_lab();
    let maps = table.maps();
    let link = attached(&lab, "up0", &program);
    let is_over = AtomicBool::new(false);
    let asked = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut router = Endpoint::open(&lab.router, "rt0");
            let mut asked = 0;
            while !is_over.load(Ordering::Relaxed) {
                let asker = |n| Asker { address: Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 0, 0, n), ..ROUTER };
                for n in 0..64 {
                    router.send(
                        &Solicitation::multicast(asker(n), GUEST).with(|q| q.flow_label = asked).frame(),
                    );
                }
                let mut left: HashSet<_> = (0..64).map(|n| asker(n).address).collect();
                router.receive_until("an answer for every asker", PATIENCE, |frame| {
                    if target_of(frame, ADVERTISEMENT) == Some(GUEST) {
                        assert!(left.remove(&address(frame, 38)), "a second answer: {frame:02x?}");
                    }
                    left.is_empty().then_some(())
                });
                asked += 64;
            }
            assert!(router.heard().iter().all(|frame| target_of(frame, ADVERTISEMENT) != Some(GUEST)));
            asked
        });
        for n in 0..1_000 {
            let mut scene = scene_of_lab();
            scene.upstream.router = n % 2 == 1;
            link.replace(&LoadedProgram::load(&scene.program_for(maps.rows()), maps).unwrap()).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        flood.join().unwrap_or_else(|panic| resume_unwind(panic))
    });
    assert!(asked > 64, "{asked}");
    assert_eq!(counted(maps).hits, asked);
}

/// One that was there before runs before it, and stays when it goes.
fn leaves_a_program_of_others_its_place() {
    let lab = Lab::veth();
    let others_maps = Maps::create(1, 1).unwrap();
    let other = LoadedProgram::load(&scene_of_lab().program_for(others_maps.rows()), &others_maps).unwrap();
    let _others = attached(&lab, "up0", &other);
    let unknown = || others_maps.verdicts.verdicts().unwrap()[Verdict::Unknown as usize];
    let (_table, program) = of_lab();
    let link = attached(&lab, "up0", &program);
    let mut router = Endpoint::open(&lab.router, "rt0");
    let question = Solicitation::multicast(ROUTER, GUEST);
    let before = unknown();
    assert_eq!(answers(&mut router, &question).len(), 1);
    // This question. Those for the kernel behind it are for an address that it does not look at.
    let seen = unknown() - before;
    assert_eq!(seen, 1);
    link.detach().unwrap();
    assert_eq!(answers(&mut router, &question).len(), 0);
    assert_eq!(unknown() - before, 2 * seen);
}

fn passes_on_tags_and_checksums_that_are_not_computed_yet() {
    let lab = Lab::veth();
    let (table, program) = of_lab();
    let maps = table.maps();
    let _link = attached(&lab, "up0", &program);
    let mut router = Endpoint::open(&lab.router, "rt0");
    let mut offloading = Offloading::open(&lab.router, "rt0");
    let counts = || maps.verdicts.verdicts().unwrap();
    let question = Solicitation::multicast(ROUTER, GUEST);
    let before = counts();
    assert_eq!(answers(&mut router, &question.clone().with(|q| q.tag = Some(5))).len(), 0);
    let tagged = counts();
    assert_eq!(tagged[Verdict::NotPlain as usize], before[Verdict::NotPlain as usize], "it is not counted");
    // The packet path is told that the sum is not there yet. The program cannot be.
    offloading.send(Sum::Pending, &question.clone().with(|q| q.checksum = Checksum::Wrong).frame());
    assert_eq!(answers(&mut router, &question).len(), 1, "the one whose sum is right");
    assert_eq!(counts()[Verdict::NotPlain as usize], tagged[Verdict::NotPlain as usize] + 1);
}

fn answers_on_a_bridge() {
    let lab = Lab::veth();
    let bridge_mac = crate::frame::mac(0x77);
    lab.host.ip(&format!(
        "addr flush dev up0
         link add ub0 address 02:00:00:00:00:77 type bridge forward_delay 0 mcast_snooping 0
         link set up0 master ub0
         link set ub0 up
         addr add {UPSTREAM_GLOBAL}/64 dev ub0 nodad"
    ));
    let mut scene = scene_of_lab();
    scene.upstream.mac = lone64::wire::Mac(bridge_mac);
    let table = of_guest();
    let program = LoadedProgram::load(&scene.program_for(table.maps().rows()), table.maps()).unwrap();
    let _link = attached(&lab, "ub0", &program);
    let mut router = Endpoint::open(&lab.router, "rt0");
    for question in [Solicitation::multicast(ROUTER, GUEST), Solicitation::unicast(ROUTER, GUEST, bridge_mac)]
    {
        let heard = answers(&mut router, &question);
        assert_eq!(heard.iter().map(|frame| sender(frame)).collect::<Vec<_>>(), [bridge_mac], "{question:?}");
    }
}

fn a_program_of_tcx_is_found_by_its_name() {
    let lab = Lab::veth();
    let (_table, program) = of_lab();
    let found = || {
        let links = ["up0", "br0"].map(|name| interface(&lab.host, name));
        let programs = lab.host.run(|| tcx_programs(&links));
        programs.into_iter().map(|one| (one.link, one.hook, one.program)).collect::<Vec<_>>()
    };
    assert_eq!(found(), []);
    let link = attached(&lab, "up0", &program);
    assert_eq!(found(), [(interface(&lab.host, "up0"), Hook::Ingress, Some("lone64".to_owned()))]);
    link.detach().unwrap();
    assert_eq!(found(), []);
}

/// A program of classic BPF that passes everything on: TC_ACT_UNSPEC.
pub(crate) const PASS_ON: &str = "1,6 0 0 4294967295";
