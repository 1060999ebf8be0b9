//! What happens to the program when the daemon ends, in whatever way, and when the next one starts.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lone64::kernel::bpf::{Maps, Pins, boot_time};
use lone64::wire::program::daemon_key;

use super::flood::Flood;
use super::{change, hits, maps, on_tc, pins, settings, until_known, upstream};
use crate::client::ask;
use crate::daemon::{BINARY, Daemon, Settings, directory};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::ingress::answers;
use crate::lab::{C, GUEST, Lab, ROUTER, c};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    a_killed_daemon_and_its_successor_lose_no_question,
    a_restart_or_an_upgrade_loses_no_question_and_no_route,
    a_killed_daemon_is_missed_soon,
    a_stop_that_keeps_and_the_next_start_lose_no_question,
    a_guest_that_goes_without_a_daemon_is_forgotten_by_the_next,
    each_guest_is_answered_for_until_its_time_is_over,
    without_time_it_ends_with_the_daemon,
    a_start_without_a_program_takes_away_what_was_left,
    what_is_asked_again_is_answered_without_a_daemon,
    clsact_is_taken_over_and_taken_away,
    clsact_that_nothing_is_pinned_of_is_taken_away,
    a_start_makes_room_for_more_and_forgets_nobody,
    a_folder_in_the_place_of_a_map_is_in_nobodys_way,
];

fn question() -> Solicitation {
    Solicitation::multicast(ROUTER, GUEST)
}

/// A daemon with a program that knows the guest.
fn started(lab: &Lab, settings: Settings) -> Daemon {
    let daemon = Daemon::start(lab, settings);
    until_known(lab, &mut Link::open(lab), GUEST);
    daemon
}

fn a_killed_daemon_and_its_successor_lose_no_question() {
    let lab = Lab::veth();
    let guests: Vec<_> = (0x100..0x140).map(c).chain([GUEST]).collect();
    change(&lab, "add", guests.iter().copied().filter(|guest| *guest != GUEST));
    let mut daemon = started(&lab, settings());
    let mut link = Link::open(&lab);
    guests.iter().for_each(|guest| until_known(&lab, &mut link, *guest));
    let is_over = AtomicBool::new(false);
    let daemon = thread::scope(|scope| {
        let flood = scope.spawn(|| Flood::open(&lab, &guests, &[]).until(&is_over));
        for _ in 0..5 {
            let before = hits(&lab, GUEST).unwrap();
            daemon.kill();
            eventually("the kernel goes on", PATIENCE, || (hits(&lab, GUEST)? > before + 64).then_some(()));
            daemon = Daemon::start(&lab, settings());
            assert!(hits(&lab, GUEST).unwrap() > before, "it has the same map");
        }
        is_over.store(true, Ordering::Relaxed);
        flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        daemon
    });
    daemon.stop();
    assert!(maps(&lab, "up0").is_none());
}

/// As a service manager does it, to this program and to another file.
fn a_restart_or_an_upgrade_loses_no_question_and_no_route() {
    let lab = Lab::veth();
    let settings = || on_tc().range(C, "br0", "routes = \"guests\"");
    let guests: Vec<_> = (0x100..0x140).map(c).chain([GUEST]).collect();
    change(&lab, "add", guests.iter().copied().filter(|guest| *guest != GUEST));
    let other = directory().join("lone64");
    let mut program = std::fs::read(BINARY).unwrap();
    program.extend(b"another build");
    std::fs::write(&other, program).unwrap();
    std::fs::set_permissions(&other, std::fs::metadata(BINARY).unwrap().permissions()).unwrap();
    let upgrade = format!("exec {} \"$@\"", other.display());
    let mut daemon = started(&lab, settings());
    let mut link = Link::open(&lab);
    guests.iter().for_each(|guest| until_known(&lab, &mut link, *guest));
    let routes = || lab.host.show("route show table main proto 64");
    let before_all = routes();
    assert_eq!(before_all.lines().count(), guests.len() + 1, "and the backstop: {before_all}");
    let is_over = AtomicBool::new(false);
    let daemon = thread::scope(|scope| {
        let flood = scope.spawn(|| Flood::open(&lab, &guests, &[]).until(&is_over));
        for wrapper in [&[][..], &["sh", "-c", &upgrade], &[], &["sh", "-c", &upgrade]] {
            let before = hits(&lab, GUEST).unwrap();
            ask(&daemon.socket(), r#"{"method":"hand_over"}"#);
            daemon.stop();
            let maps = maps(&lab, "up0").unwrap();
            let attendance = maps.ranges.get(&daemon_key()).unwrap().unwrap();
            assert_eq!(attendance, 0, "the program has nobody to pass a question on to");
            eventually("the kernel goes on", PATIENCE, || (hits(&lab, GUEST)? > before + 64).then_some(()));
            assert_eq!(routes(), before_all);
            daemon = Daemon::start_under(&lab, wrapper, settings());
            assert!(hits(&lab, GUEST).unwrap() > before, "it has the same map");
        }
        is_over.store(true, Ordering::Relaxed);
        flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        daemon
    });
    assert_eq!(routes(), before_all);
    daemon.stop();
    assert!(maps(&lab, "up0").is_none());
    assert_eq!(routes(), "");
    std::fs::remove_dir_all(other.parent().unwrap()).unwrap();
}

/// Until then what is asked again is passed on, to nobody.
fn a_killed_daemon_is_missed_soon() {
    let lab = Lab::veth();
    let daemon = started(&lab, settings());
    let left = || {
        let until = maps(&lab, "up0").unwrap().ranges.get(&daemon_key()).unwrap().unwrap();
        Duration::from_nanos(until.saturating_sub(boot_time()))
    };
    let (mut before, mut renewals) = (left(), 0);
    eventually("the daemon says again and again that it is there", PATIENCE, || {
        let now = left();
        renewals += u32::from(now > before);
        assert!(now <= Duration::from_secs(2));
        before = now;
        (renewals >= 3).then_some(())
    });
    daemon.kill();
    eventually("the program answers everything", PATIENCE, || left().is_zero().then_some(()));
    Daemon::start(&lab, settings()).stop();
}

fn a_stop_that_keeps_and_the_next_start_lose_no_question() {
    let lab = Lab::veth();
    let settings = || on_tc().range(C, "br0", "routes = \"guests\"").rest("[routes]\non-stop = \"keep\"\n");
    let mut daemon = started(&lab, settings());
    let is_over = AtomicBool::new(false);
    let daemon = thread::scope(|scope| {
        let flood = scope.spawn(|| Flood::open(&lab, &[GUEST], &[]).until(&is_over));
        for _ in 0..3 {
            daemon.stop();
            let before = hits(&lab, GUEST).unwrap();
            eventually("the kernel goes on", PATIENCE, || (hits(&lab, GUEST)? > before + 64).then_some(()));
            daemon = Daemon::start(&lab, settings());
        }
        is_over.store(true, Ordering::Relaxed);
        flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        daemon
    });
    daemon.kill();
}

fn a_guest_that_goes_without_a_daemon_is_forgotten_by_the_next() {
    let lab = Lab::veth();
    let gone = c(0x99);
    change(&lab, "add", [gone]);
    let daemon = started(&lab, settings());
    until_known(&lab, &mut Link::open(&lab), gone);
    daemon.kill();
    change(&lab, "del", [gone]);
    assert!(hits(&lab, gone).is_some());
    let daemon = Daemon::start(&lab, settings());
    // Its successor answers for both at once, and asks both.
    eventually("the guest is forgotten", PATIENCE, || hits(&lab, gone).is_none().then_some(()));
    let before = hits(&lab, GUEST).expect("the other is known");
    let mut router = Endpoint::open(&lab.router, "rt0");
    assert_eq!(answers(&mut router, &question()).len(), 1);
    assert_eq!(hits(&lab, GUEST), Some(before + 1));
    daemon.stop();
}

fn each_guest_is_answered_for_until_its_time_is_over() {
    let lab = Lab::veth();
    let daemon = started(&lab, settings().upstream("on-crash-answer = \"10s\"\n"));
    daemon.kill();
    let mut router = Endpoint::open(&lab.router, "rt0");
    assert_eq!(answers(&mut router, &question()).len(), 1);
    eventually("the kernel is silent", PATIENCE, || {
        answers(&mut router, &question()).is_empty().then_some(())
    });
    assert!(hits(&lab, GUEST).is_some(), "it is there still, and its time is over");
    let daemon = Daemon::start(&lab, settings());
    until_known(&lab, &mut Link::open(&lab), GUEST);
    daemon.stop();
}

/// One router after the other asks for the guest, each once a second: only a daemon could make anything of that.
fn what_is_asked_again_is_answered_without_a_daemon() {
    let lab = Lab::veth();
    let daemon = started(&lab, settings());
    daemon.kill();
    let mut router = Endpoint::open(&lab.router, "rt0");
    answers(&mut router, &question());
    for _ in 0..2 {
        let mut asked = Instant::now();
        eventually("the second question is answered", PATIENCE, || {
            if asked.elapsed() < Duration::from_secs(1) {
                return None;
            }
            asked = Instant::now();
            (answers(&mut router, &question()).len() == 1).then_some(())
        });
    }
    Daemon::start(&lab, settings()).stop();
}

fn without_time_it_ends_with_the_daemon() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings().upstream("on-crash-answer = \"0s\"\n"));
    let mut link = Link::open(&lab);
    link.answered(&question());
    eventually("the program knows the guest", PATIENCE, || {
        (upstream(&daemon)["known_in_kernel"] == 1).then_some(())
    });
    assert!(lab.host.run(|| Pins::all(Path::new(Pins::FILE_SYSTEM))).unwrap().is_empty());
    let mut router = Endpoint::open(&lab.router, "rt0");
    daemon.freeze();
    assert_eq!(answers(&mut router, &question()).len(), 1, "the kernel answers while the daemon is stopped");
    daemon.kill();
    eventually("the kernel is silent", PATIENCE, || {
        answers(&mut router, &question()).is_empty().then_some(())
    });
}

fn a_start_without_a_program_takes_away_what_was_left() {
    let lab = Lab::veth();
    started(&lab, settings()).kill();
    assert!(hits(&lab, GUEST).is_some());
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    assert!(maps(&lab, "up0").is_none());
    Link::open(&lab).answered(&question());
    daemon.stop();
}

/// Where a predecessor has pinned maps and no link of tcx, as on Linux before 6.6, its program is one of clsact.
fn clsact_is_taken_over_and_taken_away() {
    let lab = Lab::veth();
    let shown =
        || lab.host.output("tc", "filter show dev up0 ingress").matches(" lone64 direct-action").count();
    pins(&lab, "up0").pin(&Maps::create(64, 64).unwrap(), None).unwrap();
    let daemon = started(&lab, settings());
    assert_eq!(shown(), 1);
    let before = hits(&lab, GUEST).unwrap();
    let mut router = Endpoint::open(&lab.router, "rt0");
    assert_eq!(answers(&mut router, &question()).len(), 1);
    assert_eq!(hits(&lab, GUEST), Some(before + 1));
    daemon.kill();
    assert_eq!((answers(&mut router, &question()).len(), shown()), (1, 1));
    let daemon = Daemon::start(&lab, settings());
    assert_eq!(shown(), 1);
    assert!(hits(&lab, GUEST).unwrap() > before, "it has the same map");
    // Somebody removes it: until it is back the daemon answers.
    lab.host.output("tc", "qdisc del dev up0 clsact");
    Link::open(&lab).answered(&question());
    eventually("it is back", PATIENCE, || (shown() == 1).then_some(()));
    until_known(&lab, &mut Link::open(&lab), GUEST);
    let log = daemon.stop();
    assert!(log.contains("another program removed the program of lone64 from up0"), "{log}");
    assert_eq!(shown(), 0);
    assert!(maps(&lab, "up0").is_none());
}

fn clsact_that_nothing_is_pinned_of_is_taken_away() {
    let lab = Lab::veth();
    let shown =
        || lab.host.output("tc", "filter show dev up0 ingress").matches(" lone64 direct-action").count();
    let leave = || {
        pins(&lab, "up0").pin(&Maps::create(64, 64).unwrap(), None).unwrap();
        let daemon = Daemon::start(&lab, settings().upstream("on-crash-answer = \"0s\"\n"));
        Link::open(&lab).answered(&question());
        eventually("the program is there", PATIENCE, || (shown() == 1).then_some(()));
        daemon.kill();
        assert!(maps(&lab, "up0").is_none());
        assert_eq!(shown(), 1);
    };
    leave();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    assert_eq!(shown(), 0);
    daemon.stop();
    leave();
    let daemon = started(&lab, settings());
    assert_eq!(shown(), 0, "it has its place by tcx");
    daemon.stop();
}

fn a_start_makes_room_for_more_and_forgets_nobody() {
    let lab = Lab::veth();
    let with = |targets| settings().rest(&format!("[limits]\ntargets = {targets}\n"));
    let capacity = || maps(&lab, "up0").unwrap().rows().capacity();
    started(&lab, with(8)).kill();
    let before = capacity();
    let is_over = AtomicBool::new(false);
    let daemon = thread::scope(|scope| {
        let flood = scope.spawn(|| Flood::open(&lab, &[GUEST], &[]).until(&is_over));
        let daemon = Daemon::start(&lab, with(2 * before));
        assert_eq!(capacity(), 2 * before);
        eventually("the program knows the guest", PATIENCE, || hits(&lab, GUEST).filter(|hits| *hits > 0));
        is_over.store(true, Ordering::Relaxed);
        flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        daemon
    });
    daemon.stop();
}

fn a_folder_in_the_place_of_a_map_is_in_nobodys_way() {
    let lab = Lab::veth();
    std::fs::create_dir_all(pins(&lab, "up0").folder().join("targets").join("deep")).unwrap();
    let daemon = started(&lab, settings());
    assert!(upstream(&daemon)["no_program"].is_null());
    daemon.stop();
    assert!(!pins(&lab, "up0").folder().exists());
}
