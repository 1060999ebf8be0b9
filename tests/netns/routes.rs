//! What is owned in the kernel: routes of protocol 64, the interface's multicast filter, nothing else.

use crate::client::lone64;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, UPSTREAM_GLOBAL};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    has_the_range_s_route_and_its_backstop_in_when_it_is_ready,
    routes_a_range_on_lo_to_the_host,
    installs_what_the_keys_ask_for,
    removes_its_routes_and_restores_the_flags_when_it_stops,
    keeps_its_routes_if_told_so_and_adopts_them,
    adopts_the_routes_of_a_killed_predecessor,
    waits_for_a_foreign_route_in_its_place_to_go_and_serves_the_rest,
    never_touches_foreign_routes,
    falls_silent_when_it_stops,
];

/// Every interface with its flags, promiscuity and filters, without the clocks of the bridge.
fn links(lab: &Lab) -> Vec<String> {
    let text = lab.host.show("-d -o link show");
    let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    let is_clock = |at: usize| at > 0 && words[at - 1].ends_with("_timer");
    (0..words.len()).filter(|at| !is_clock(*at)).map(|at| words[at].clone()).collect()
}

/// All the routes that are ours, one line each.
fn ours(lab: &Lab) -> Vec<String> {
    let mut lines: Vec<_> = lab
        .host
        .show("-o route show table all proto 64")
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    lines.sort();
    lines
}

fn has(routes: &[String], words: &[&str]) -> bool {
    routes.iter().any(|route| words.iter().all(|word| route.contains(word)))
}

fn has_the_range_s_route_and_its_backstop_in_when_it_is_ready() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").range(D, "gv1", ""));
    let routes = ours(&lab);
    assert!(has(&routes, &[D, "dev gv1", "metric 1024"]), "{routes:#?}");
    for prefix in [C, D] {
        assert!(has(&routes, &["unreachable", prefix, "metric 16777215"]), "{routes:#?}");
    }
    // The kernel's own route leads to C already.
    assert_eq!(routes.len(), 3, "{routes:#?}");
    // The guest behind `gv1` has no other route than ours.
    lab.router.ping(&PLAIN.to_string());
    daemon.stop();
}

fn routes_a_range_on_lo_to_the_host() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range("2001:db8:1:2:a::/112", "lo", ""));
    let routes = ours(&lab);
    assert!(has(&routes, &["local", "2001:db8:1:2:a::/112", "dev lo"]), "{routes:#?}");
    daemon.stop();
    assert!(ours(&lab).is_empty());
}

fn installs_what_the_keys_ask_for() {
    let lab = Lab::veth();
    lab.host.ip("route add 2001:db8:1:2::/64 dev up0 table 100");
    let settings = Settings::default()
        .range(C, "br0", "routes = \"none\"\nbackstop = false")
        .range(D, "gv1", "answer = \"never\"\nbackstop = false")
        .range("2001:db8:1:2:e::/112", "gv1", "routes = \"none\"")
        .rest("[routes]\nprotocol = 65\ntable = 100\nmetric = 77\n");
    let daemon = Daemon::start(&lab, settings);
    assert!(ours(&lab).is_empty());
    let routes = lab.host.show("-o route show table all proto 65");
    let routes: Vec<_> = routes.lines().map(str::to_owned).collect();
    assert!(has(&routes, &[D, "dev gv1", "table 100", "metric 77"]), "{routes:#?}");
    assert!(has(&routes, &["unreachable", "2001:db8:1:2:e::/112", "table 100"]), "{routes:#?}");
    assert_eq!(routes.len(), 2, "{routes:#?}");
    daemon.stop();
    assert_eq!(lab.host.show("-o route show table all proto 65"), "");
}

fn removes_its_routes_and_restores_the_flags_when_it_stops() {
    for lab in [Lab::veth(), Lab::macvlan()] {
        let state =
            |lab: &Lab| (links(lab), lab.host.show("-o addr show"), lab.host.show("-o route show table all"));
        let before = state(&lab);
        let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").range(D, "gv1", ""));
        let during = state(&lab);
        assert_ne!(before.2, during.2, "its routes are in");
        assert_eq!(before.1, during.1, "addresses are never touched");
        Link::open(&lab).answered(&Solicitation::multicast(ROUTER, PLAIN));
        daemon.stop();
        let after = state(&lab);
        assert_eq!(before.2, after.2);
        assert_eq!(before.0, after.0);
    }
}

fn keeps_its_routes_if_told_so_and_adopts_them() {
    let lab = Lab::veth();
    let settings = Settings::default().range(D, "gv1", "").rest("[routes]\non-stop = \"keep\"\n");
    Daemon::start(&lab, settings).stop();
    assert_eq!(ours(&lab).len(), 2, "{:#?}", ours(&lab));
    Daemon::start(&lab, Settings::default().range(D, "gv1", "")).stop();
    assert!(ours(&lab).is_empty());
}

fn adopts_the_routes_of_a_killed_predecessor() {
    let lab = Lab::veth();
    let (first, other) = (Settings::default().range(D, "gv1", ""), Settings::default().range(C, "br0", ""));
    Daemon::start(&lab, first.clone()).kill();
    let left = ours(&lab);
    assert_eq!(left.len(), 2, "{left:#?}");
    Daemon::start(&lab, first).kill();
    assert_eq!(ours(&lab), left);
    // Whatever is ours and not wanted any more goes.
    let daemon = Daemon::start(&lab, other);
    eventually("the old range's routes are gone", PATIENCE, || (!has(&ours(&lab), &[D])).then_some(()));
    assert_eq!(ours(&lab).len(), 1, "{:#?}", ours(&lab));
    daemon.stop();
    assert!(ours(&lab).is_empty());
}

fn waits_for_a_foreign_route_in_its_place_to_go_and_serves_the_rest() {
    for foreign in [
        format!("{D} dev br0 proto static metric 1024"),
        format!("unreachable {D} dev lo proto static metric 1024"),
        format!("unreachable {D} dev lo proto static metric 16777215"),
    ] {
        let lab = Lab::veth();
        lab.host.ip(&format!("route add {foreign}"));
        let theirs = || lab.host.show(&format!("-o route show table all proto static root {D}"));
        let before = theirs();
        let settings = Settings::default().range(C, "br0", "").range(D, "gv1", "");
        let mut daemon = Daemon::start_unready(&lab, settings);
        let ready = daemon.notified("READY=1");
        assert!(ready.contains("STATUS=waiting for a foreign route to go"), "{ready}");
        Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
        let output = lone64(&daemon.socket(), "status");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(": conflict") && text.contains(D), "{text}");
        assert_eq!(theirs(), before);
        lab.host.ip(&format!("route del {foreign}"));
        eventually("its routes are there", PATIENCE, || {
            let ours = ours(&lab);
            (has(&ours, &[D]) && ours.iter().filter(|route| route.contains(D)).count() == 2).then_some(())
        });
        assert_eq!(lone64(&daemon.socket(), "status").status.code(), Some(0));
        let said = daemon.stop();
        assert_eq!(said.matches("is in the way").count(), 1, "{said}");
        assert!(said.contains("remove it with `ip -6 route del ") && said.contains(D), "{said}");
    }
}

fn never_touches_foreign_routes() {
    let lab = Lab::veth();
    // The same prefix at another metric, other prefixes around and inside, another table.
    lab.host.ip(&format!(
        "route add {D} dev br0 proto static metric 2000
         route add {D} dev br0 proto bird metric 512
         route add unreachable {D} proto static metric 16777000
         route add 2001:db8:1:2:d::70/128 dev br0 proto static metric 1024
         route add 2001:db8:1:2:d::/96 dev br0 proto static metric 1024
         route add {D} dev br0 proto static metric 1024 table 77"
    ));
    let before = lab.host.show("-o route show table all");
    let daemon = Daemon::start(&lab, Settings::default().range(D, "gv1", ""));
    let during = lab.host.show("-o route show table all");
    assert!(before.lines().all(|line| during.contains(line)), "{before}\n{during}");
    assert_eq!(ours(&lab).len(), 2);
    daemon.stop();
    assert_eq!(lab.host.show("-o route show table all"), before);
}

fn falls_silent_when_it_stops() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(D, "gv1", ""));
    let mut link = Link::open(&lab);
    let question = Solicitation::multicast(ROUTER, PLAIN);
    link.answered(&question);
    daemon.stop();
    link.send(&question);
    // The kernel's own answer is the sentinel now.
    link.send(&Solicitation::multicast(ROUTER, UPSTREAM_GLOBAL));
    loop {
        let frame = link.receive(std::time::Instant::now() + PATIENCE).expect("the kernel answers");
        match crate::frame::target_of(&frame, crate::frame::ADVERTISEMENT) {
            Some(UPSTREAM_GLOBAL) => return,
            Some(target) => assert_ne!(target, PLAIN, "answered after its end"),
            None => {}
        }
    }
}
