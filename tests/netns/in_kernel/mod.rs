//! `backend = "tc"`: the daemon with a program in the kernel beside it. Exactly one of both answers, whatever happens.
//!
//! bpf(2) is not to be had in a user namespace: these tests need root.

pub(crate) mod again;
mod continuity;
mod flood;
mod others;
mod ranges;

use std::net::Ipv6Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lone64::engine::facts::IfIndex;
use lone64::kernel::bpf::{Maps, Pins, Table};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{ask, lone64, status};
use crate::daemon::{BINARY, Daemon, Settings, directory};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, SOLICITATION, receiver, sender, target_of};
use crate::lab::{C, GUEST, Lab, ROUTER, ROUTER_MAC, UPSTREAM_MAC, c};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::{Solicitation, option};
use crate::trials::Case;
use flood::Flood;

/// Every test of this room.
pub(crate) fn cases() -> impl Iterator<Item = (&'static str, &'static Case)> {
    [CASES, continuity::CASES, others::CASES, ranges::CASES]
        .into_iter()
        .flatten()
        .map(|case| ("in_kernel", case))
}

crate::cases![
    answers_in_the_kernel_and_nowhere_else,
    is_seen_by_tcpdump_and_counted_as_if_the_daemon_had_answered,
    nothing_is_answered_twice_while_guests_come_and_go,
    a_guest_is_unknown_before_its_route_goes_and_known_after_it_came,
    a_reload_puts_another_program_in_and_loses_no_question,
    a_reload_turns_it_on_and_off,
    what_finds_no_room_in_the_kernel_the_daemon_answers,
    says_why_there_is_no_program,
];

/// The usual configuration, with a program on the upstream.
fn settings() -> Settings {
    on_tc().range(C, "br0", "")
}

fn on_tc() -> Settings {
    Settings::default().upstream("backend = \"tc\"\n")
}

/// The index of an interface of the host.
fn index(lab: &Lab, name: &str) -> IfIndex {
    lab.host.run(|| IfIndex(nix::net::if_::if_nametoindex(name).unwrap()))
}

/// Where the program on this interface is pinned.
fn pins(lab: &Lab, name: &str) -> Pins {
    let index = index(lab, name);
    lab.host.run(|| Pins::of(Path::new(Pins::FILE_SYSTEM), index)).unwrap()
}

/// The maps of the program on this interface, as they are pinned.
fn maps(lab: &Lab, name: &str) -> Option<Maps> {
    // The daemon may be taking them away at the moment.
    pins(lab, name).maps().ok().flatten()
}

/// How often the program has answered for the target, if it knows it.
fn hits(lab: &Lab, target: Ipv6Addr) -> Option<u32> {
    Table::row_of(&maps(lab, "up0")?, target).unwrap().map(|row| row.hits)
}

/// Asks for the guest until the program knows it.
fn until_known(lab: &Lab, link: &mut Link, guest: Ipv6Addr) {
    link.answered(&Solicitation::multicast(ROUTER, guest));
    eventually("the program knows the guest", PATIENCE, || hits(lab, guest));
}

/// Gives the guest behind the bridge more addresses, or takes them away.
fn change(lab: &Lab, what: &str, guests: impl IntoIterator<Item = Ipv6Addr>) {
    let lines: Vec<_> =
        guests.into_iter().map(|guest| format!("addr {what} {guest}/112 dev eth0 nodad")).collect();
    lab.guest.ip(&lines.join("\n"));
}

fn upstream(daemon: &Daemon) -> Value {
    status(daemon)["upstreams"][0].take()
}

fn answers_in_the_kernel_and_nowhere_else() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings());
    let mut link = Link::open(&lab);
    until_known(&lab, &mut link, GUEST);
    let before = hits(&lab, GUEST).unwrap();
    for n in 1..=10 {
        link.answered(&Solicitation::multicast(ROUTER, GUEST));
        link.answered(&Solicitation::unicast(ROUTER, GUEST, UPSTREAM_MAC));
        assert_eq!(hits(&lab, GUEST).unwrap(), before + 2 * n);
    }
    // What is not plain the daemon answers.
    let nonce = Solicitation::multicast(ROUTER, GUEST).with(|q| q.options.extend(option(14, &[7; 6])));
    link.answered(&nonce);
    assert_eq!(hits(&lab, GUEST).unwrap(), before + 20);
    assert_eq!(upstream(&daemon)["backend"], "tc");
    let explained = lone64(&daemon.socket(), &format!("explain {GUEST} --json"));
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(
        explained.contains("the program in the kernel answers plain solicitations for it"),
        "{explained}"
    );
    daemon.stop();
    assert!(maps(&lab, "up0").is_none());
    assert!(lab.host.run(|| Pins::all(Path::new(Pins::FILE_SYSTEM))).unwrap().is_empty());
}

fn is_seen_by_tcpdump_and_counted_as_if_the_daemon_had_answered() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings());
    let mut link = Link::open(&lab);
    until_known(&lab, &mut link, GUEST);
    let counted = |daemon: &Daemon| {
        let mut known = status(daemon);
        let all = known["upstreams"][0]["counters"]["answered"].as_u64().unwrap();
        let target = known["targets"].as_array_mut().unwrap();
        let target = target.iter().find(|target| target["address"] == GUEST.to_string()).unwrap();
        (all, target["answered"].as_u64().unwrap())
    };
    let mut observer = Endpoint::open(&lab.host, "up0");
    let before = (counted(&daemon), hits(&lab, GUEST).unwrap());
    for _ in 0..10 {
        link.answered(&Solicitation::unicast(ROUTER, GUEST, UPSTREAM_MAC));
    }
    let seen = observer.heard();
    // Beside what the daemon sends of its own accord: announcements, and before them a check of the link.
    for (kind, from, to) in
        [(SOLICITATION, ROUTER_MAC, UPSTREAM_MAC), (ADVERTISEMENT, UPSTREAM_MAC, ROUTER_MAC)]
    {
        let is_meant = |frame: &&Vec<u8>| {
            target_of(frame, kind) == Some(GUEST) && sender(frame) == from && receiver(frame) == to
        };
        assert_eq!(seen.iter().filter(is_meant).count(), 10, "the host's tcpdump sees type {kind}");
    }
    assert_eq!(hits(&lab, GUEST).unwrap() - before.1, 10);
    let ((_, of_guest), _) = before;
    eventually("the answers are counted", PATIENCE, || (counted(&daemon).1 >= of_guest + 10).then_some(()));
    assert_eq!(counted(&daemon).1, of_guest + 10);
    // Each answer to a sentinel is the daemon's own.
    assert!(counted(&daemon).0 >= before.0.0 + 10);
    daemon.stop();
}

/// Half of the guests come and go, and the daemon is quick to notice. Each question has an asker of its own.
fn nothing_is_answered_twice_while_guests_come_and_go() {
    let lab = Lab::veth();
    let timers =
        "[timers]\nreachable = \"100ms\"\nretransmit = \"100ms\"\nabsent = \"50ms\"\nkeepalive = \"1s\"\n";
    let daemon = Daemon::start(&lab, settings().rest(timers));
    let (stable, fickle): (Vec<_>, Vec<_>) =
        (0..64).map(|n| c(0x100 + n)).partition(|guest| guest.octets()[15] % 2 == 0);
    change(&lab, "add", stable.iter().copied());
    let is_over = AtomicBool::new(false);
    let mut came_and_went = (0, 0);
    thread::scope(|scope| {
        let flood = scope.spawn(|| Flood::open(&lab, &stable, &fickle).until(&is_over));
        for _ in 0..8 {
            for (what, is_known) in [("add", true), ("del", false)] {
                change(&lab, what, fickle.iter().copied());
                eventually("the program knows who is there", PATIENCE, || {
                    let known = fickle.iter().filter(|guest| hits(&lab, **guest).is_some()).count();
                    (known == if is_known { fickle.len() } else { 0 }).then_some(())
                });
            }
        }
        is_over.store(true, Ordering::Relaxed);
        came_and_went = flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert!(came_and_went.0 > 0 && came_and_went.1 > 0, "{came_and_went:?}");
    assert!(stable.iter().all(|guest| hits(&lab, *guest).is_some_and(|hits| hits > 0)));
    daemon.stop();
}

fn a_guest_is_unknown_before_its_route_goes_and_known_after_it_came() {
    let lab = Lab::veth();
    let timers =
        "[timers]\nreachable = \"100ms\"\nretransmit = \"100ms\"\nabsent = \"50ms\"\nkeepalive = \"200ms\"\n";
    let daemon = Daemon::start(&lab, on_tc().range(C, "br0", "routes = \"guests\"").rest(timers));
    let mut link = Link::open(&lab);
    let guest = c(0x77);
    let has_route = || lab.host.show("route show table main proto 64").contains(&format!("{guest} dev br0"));
    for _ in 0..5 {
        change(&lab, "add", [guest]);
        link.send(&Solicitation::multicast(ROUTER, guest));
        eventually("the program knows the guest", PATIENCE, || hits(&lab, guest));
        assert!(has_route(), "it is answered for without a route");
        change(&lab, "del", [guest]);
        eventually("the route is gone", PATIENCE, || (!has_route()).then_some(()));
        assert_eq!(hits(&lab, guest), None, "it is answered for without a route");
    }
    daemon.stop();
}

fn a_reload_puts_another_program_in_and_loses_no_question() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings());
    let mut link = Link::open(&lab);
    until_known(&lab, &mut link, GUEST);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let flood = scope.spawn(|| Flood::open(&lab, &[GUEST], &[]).until(&is_over));
        for round in 0..20 {
            settings().upstream(&format!("router = {}\n", round % 2 == 0)).write(&daemon.config());
            let reply = ask(&daemon.socket(), r#"{"method":"reload"}"#);
            assert_eq!(reply["result"]["changes"].as_array().map(Vec::len), Some(1), "{reply}");
        }
        is_over.store(true, Ordering::Relaxed);
        flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert!(hits(&lab, GUEST).is_some());
    daemon.stop();
}

fn a_reload_turns_it_on_and_off() {
    let lab = Lab::veth();
    let packet = Settings::default().range(C, "br0", "");
    let daemon = Daemon::start(&lab, packet.clone());
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let flood = scope.spawn(|| Flood::open(&lab, &[GUEST], &[]).until(&is_over));
        for _ in 0..5 {
            settings().write(&daemon.config());
            daemon.signal(Signal::SIGHUP);
            eventually("the program answers", PATIENCE, || hits(&lab, GUEST).filter(|hits| *hits > 0));
            packet.write(&daemon.config());
            daemon.signal(Signal::SIGHUP);
            eventually("there is no program", PATIENCE, || maps(&lab, "up0").is_none().then_some(()));
        }
        is_over.store(true, Ordering::Relaxed);
        flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert_eq!(upstream(&daemon)["backend"], "packet");
    daemon.stop();
}

fn what_finds_no_room_in_the_kernel_the_daemon_answers() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings().rest("[limits]\ntargets = 8\n"));
    let mut link = Link::open(&lab);
    until_known(&lab, &mut link, GUEST);
    // The map keeps its size.
    settings().rest("[limits]\ntargets = 400\n").write(&daemon.config());
    let reply = ask(&daemon.socket(), r#"{"method":"reload"}"#);
    assert!(reply["result"].is_object(), "{reply}");
    let most = maps(&lab, "up0").unwrap().rows().capacity();
    let guests: Vec<_> = (0x100..0x114 + u16::try_from(most).unwrap()).map(c).collect();
    change(&lab, "add", guests.iter().copied());
    for _ in 0..3 {
        for guest in &guests {
            link.answered(&Solicitation::multicast(ROUTER, *guest));
        }
    }
    assert_eq!(upstream(&daemon)["known_in_kernel"], most);
    let log = daemon.stop();
    assert_eq!(log.matches("cannot be told of a guest").count(), 1, "{log}");
}

fn says_why_there_is_no_program() {
    let lab = crate::own_bridge::lab();
    let socket = directory().join("control.sock");
    let settings = crate::own_bridge::settings().upstream(
        "backend = \"tc\"
",
    );
    let settings = settings.rest(&format!(
        "[control]
socket = \"{}\"
",
        socket.display()
    ));
    let daemon = Daemon::start(&lab, settings);
    let known = ask(&socket, r#"{"method":"status"}"#)["result"]["upstreams"][0].take();
    assert_eq!(known["backend"], "packet");
    assert!(known["no_program"].as_str().unwrap().contains("on its own bridge"), "{known:?}");
    // So does the doctor.
    let config = daemon.config();
    let words = ["doctor", "--json", "--config", config.to_str().unwrap()];
    let mut doctor = Command::new(BINARY);
    doctor.args(words).stdout(Stdio::piped()).stderr(Stdio::null());
    let output = lab.host.spawn(&mut doctor).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.matches("no program answers in the kernel on vmbr0").count(), 1, "{said}");
    let log = daemon.stop();
    assert_eq!(log.matches("no program answers in the kernel on vmbr0").count(), 1, "{log}");
}
