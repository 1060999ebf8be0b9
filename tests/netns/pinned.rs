//! Pins on the real kernel: permanent neighbor entries for guests, put back when another program overwrites them. What
//! zebra does to an entry is done with `ip neigh replace ... extern_learn proto zebra`: it does so for EVPN, which needs
//! VXLAN.

use std::time::{Duration, Instant};

use crate::client::{lone64, status};
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, GUEST, Lab};
use crate::namespace::eventually;

crate::cases![
    a_guest_is_pinned_with_our_mark_as_long_as_it_is_written,
    a_pin_that_is_overwritten_is_back_and_not_more_than_once_a_second,
    pins_of_a_killed_daemon_are_adopted_and_those_of_nobody_removed,
    a_permanent_entry_that_was_there_first_stays_and_is_told,
];

const PIN: &str = "lladdr 02:00:00:00:00:05 PERMANENT proto 64";
const WRONG: &str = "02:00:00:00:00:99";

fn settings() -> Settings {
    Settings::default().range(C, "br0", "routes = \"guests\"")
}

fn guest(pin: bool) -> String {
    format!(
        "[[guest]]\nname = \"web1\"\nmac = \"02:00:00:00:00:05\"\ninterface = \"br0\"\naddresses = [\"{GUEST}\"]\n\
         pin = {pin}\n"
    )
}

fn entry(lab: &Lab) -> String {
    let shown = lab.host.show(&format!("neigh show {GUEST} dev br0"));
    shown.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

fn eventually_pinned(lab: &Lab) {
    eventually("it is pinned", PATIENCE, || (entry(lab) == PIN).then_some(()));
}

fn eventually_unpinned(lab: &Lab) {
    eventually("it is pinned no more", PATIENCE, || (!entry(lab).contains("PERMANENT")).then_some(()));
}

fn overwrite(lab: &Lab, marks: &str) {
    lab.host.ip(&format!("neigh replace {GUEST} lladdr {WRONG} dev br0 {marks}"));
}

fn put_back(daemon: &Daemon) -> u64 {
    status(daemon)["totals"]["pins"]["put_back"].as_u64().expect("a number")
}

fn a_guest_is_pinned_with_our_mark_as_long_as_it_is_written() {
    let lab = Lab::veth();
    // The kernel has learnt it already.
    lab.host.ping(&GUEST.to_string());
    assert!(!entry(&lab).contains("PERMANENT"), "{}", entry(&lab));
    let daemon = Daemon::start(&lab, settings().rest(&guest(true)));
    eventually_pinned(&lab);
    lab.router.ping(&GUEST.to_string());
    assert_eq!(status(&daemon)["guests"][0]["pinned"], true);
    // The kernel forgets it when the interface goes down, and it comes back with that.
    lab.host.ip("link set br0 down");
    eventually_unpinned(&lab);
    lab.host.ip("link set br0 up");
    eventually_pinned(&lab);
    let file = daemon.config();
    settings().rest(&guest(false)).write(&file);
    assert_eq!(lone64(&daemon.socket(), "reload").status.code(), Some(0));
    eventually_unpinned(&lab);
    settings().rest(&guest(true)).write(&file);
    assert_eq!(lone64(&daemon.socket(), "reload").status.code(), Some(0));
    eventually_pinned(&lab);
    daemon.stop();
    assert!(!entry(&lab).contains("PERMANENT"), "a stop gives it back: {}", entry(&lab));
}

fn a_pin_that_is_overwritten_is_back_and_not_more_than_once_a_second() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings().rest(&guest(true)));
    eventually_pinned(&lab);
    let others = [
        "nud noarp extern_learn proto zebra",
        "nud permanent extern_learn proto zebra",
        "nud permanent",
        "nud stale",
    ];
    for marks in others {
        overwrite(&lab, marks);
        let start = Instant::now();
        eventually_pinned(&lab);
        eprintln!("overwritten with {marks}: back after {:?}", start.elapsed());
    }
    lab.host.ip(&format!("neigh del {GUEST} dev br0"));
    eventually_pinned(&lab);
    lab.router.ping(&GUEST.to_string());
    // A routing daemon that insists.
    let (before, start) = (put_back(&daemon), Instant::now());
    while start.elapsed() < Duration::from_secs(5) {
        overwrite(&lab, others[0]);
    }
    eventually_pinned(&lab);
    let (times, seconds) = (put_back(&daemon) - before, start.elapsed().as_secs());
    eprintln!("{times} times in {seconds} seconds");
    assert!(times <= seconds + 1, "{times} times in {seconds} seconds");
    assert_eq!(status(&daemon)["guests"][0]["overwritten"][0], GUEST.to_string());
    let said = daemon.stop();
    assert!(said.contains("overwrote or removed the permanent neighbor entry"), "{said}");
}

fn pins_of_a_killed_daemon_are_adopted_and_those_of_nobody_removed() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings().rest(&guest(true)));
    eventually_pinned(&lab);
    daemon.kill();
    assert_eq!(entry(&lab), PIN, "it outlives the daemon");
    lab.host.ping(&GUEST.to_string());
    let daemon = Daemon::start(&lab, settings().rest(&guest(true)));
    assert_eq!(entry(&lab), PIN);
    assert_eq!((put_back(&daemon), &status(&daemon)["totals"]["pins"]["kept"]), (0, &1.into()));
    daemon.kill();
    let daemon = Daemon::start(&lab, settings());
    eventually_unpinned(&lab);
    daemon.stop();
}

fn a_permanent_entry_that_was_there_first_stays_and_is_told() {
    let lab = Lab::veth();
    lab.host.ip(&format!("neigh replace {GUEST} lladdr {WRONG} dev br0 nud permanent"));
    let daemon = Daemon::start(&lab, settings().rest(&guest(true)));
    let problem = |daemon: &Daemon| {
        let told = status(daemon);
        let messages = told["problems"].as_array().expect("a list").iter();
        messages.filter_map(|one| one["message"].as_str()).any(|message| message.contains("is not pinned"))
    };
    eventually("it is told", PATIENCE, || problem(&daemon).then_some(()));
    assert!(entry(&lab).contains(WRONG), "{}", entry(&lab));
    lab.host.ip(&format!("neigh del {GUEST} dev br0"));
    eventually_pinned(&lab);
    assert!(!problem(&daemon));
    daemon.stop();
}
