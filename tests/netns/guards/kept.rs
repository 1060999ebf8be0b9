//! The tables of guards: made in one transaction, changed by element, put back, taken over, and gone with the daemon and with
//! the guest.

use std::process::{Command, Stdio};

use super::spoof::{From, echo};
use super::{dropped, eventually_dropped, eventually_guarded, guest, other_on_the_bridge};
use crate::client::{ask, lone64, status};
use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::lab::{BRIDGE_MAC, C, D, GATEWAY, GUEST, GUEST_MAC, Lab, PLAIN, c};
use crate::namespace::eventually;

crate::cases![
    are_put_back_when_somebody_flushes_them_and_leave_the_tables_of_others_alone,
    are_taken_over_after_a_kill_and_gone_where_nobody_is_guarded_any_more,
    are_gone_also_where_a_child_of_a_killed_daemon_has_made_them_afterwards,
    stay_with_routes_that_are_kept,
    go_with_the_guest_and_change_by_element,
    follow_the_link_local_addresses_of_the_host_where_one_family_has_guards,
    say_what_is_missing_where_nft_is_not_there,
    tell_what_they_drop_in_status_metrics_and_events,
];

fn settings() -> Settings {
    Settings::default().range(C, "br0", "routes = \"guests\"")
}

fn guarded() -> Settings {
    settings().rest(&guest("a", 5, "gp0", GUEST, "guard = true"))
}

fn tables(lab: &Lab) -> String {
    lab.host.output("nft", "list tables")
}

/// A packet with the address of nobody.
fn spoof(endpoint: &mut Endpoint) {
    endpoint.send(&echo(From { mac: GUEST_MAC, address: c(0x99) }, (BRIDGE_MAC, GATEWAY), 1));
}

fn are_put_back_when_somebody_flushes_them_and_leave_the_tables_of_others_alone() {
    let lab = Lab::veth();
    lab.host.output("nft", "add table bridge others");
    lab.host.output("nft", "add table ip6 others");
    let daemon = Daemon::start(&lab, guarded());
    eventually_guarded(&daemon, &["a"]);
    let mut endpoint = Endpoint::open(&lab.guest, "eth0");
    let whole = |lab: &Lab| {
        let list = |what| lab.host.output("nft", what);
        tables(lab).contains("bridge lone64_guard")
            && list("list chain bridge lone64_guard guest").contains("drop_source")
            && list("list set bridge lone64_guard own").contains("elements")
    };
    for change in
        ["flush ruleset", "flush chain bridge lone64_guard guest", "flush set bridge lone64_guard own"]
    {
        lab.host.output("nft", change);
        eventually(change, PATIENCE, || whole(&lab).then_some(()));
        let counted = dropped(&status(&daemon), "a", "source");
        spoof(&mut endpoint);
        eventually_dropped(&daemon, "a", "source", counted + 1);
    }
    lab.host.output("nft", "add table bridge others");
    daemon.stop();
    assert_eq!(tables(&lab).trim(), "table bridge others");
}

fn are_taken_over_after_a_kill_and_gone_where_nobody_is_guarded_any_more() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, guarded());
    eventually_guarded(&daemon, &["a"]);
    daemon.kill();
    assert!(tables(&lab).contains("bridge lone64_guard"), "a guest is held to its addresses meanwhile");
    let daemon = Daemon::start(&lab, guarded());
    eventually_guarded(&daemon, &["a"]);
    spoof(&mut Endpoint::open(&lab.guest, "eth0"));
    eventually_dropped(&daemon, "a", "source", 1);
    daemon.kill();
    let daemon = Daemon::start(&lab, settings());
    eventually("what the killed one left is gone", PATIENCE, || {
        (!tables(&lab).contains("lone64_guard")).then_some(())
    });
    daemon.stop();
}

/// The nft of one that was killed goes on.
fn are_gone_also_where_a_child_of_a_killed_daemon_has_made_them_afterwards() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings());
    lab.host.output("nft", "add table bridge lone64_guard");
    eventually("nobody is guarded", PATIENCE, || (!tables(&lab).contains("lone64_guard")).then_some(()));
    daemon.stop();
}

fn stay_with_routes_that_are_kept() {
    let lab = Lab::veth();
    let keeping = || guarded().rest("[routes]\non-stop = \"keep\"\n");
    let daemon = Daemon::start(&lab, keeping());
    eventually_guarded(&daemon, &["a"]);
    daemon.stop();
    assert!(tables(&lab).contains("bridge lone64_guard"));
    let daemon = Daemon::start(&lab, guarded());
    eventually_guarded(&daemon, &["a"]);
    daemon.stop();
    assert!(!tables(&lab).contains("lone64_guard"));
}

/// What `nft monitor` says until a mark.
fn go_with_the_guest_and_change_by_element() {
    let lab = Lab::veth();
    let _other = other_on_the_bridge(&lab);
    let both = |other: u16| guarded().rest(&guest("b", 7, "gp2", c(other), "guard = true"));
    let daemon = Daemon::start(&lab, both(7));
    eventually_guarded(&daemon, &["a", "b"]);
    let monitor = lab.host.spawn(
        Command::new("nft")
            .args(["monitor"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    );
    // It tells of a mark when it listens.
    eventually("the monitor listens", PATIENCE, || {
        lab.host.output("nft", "add table ip6 a_mark");
        lab.host.output("nft", "delete table ip6 a_mark");
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", monitor.id())).ok()?.count();
        (descriptors > 3).then_some(())
    });
    both(8).write(&daemon.config());
    assert_eq!(lone64(&daemon.socket(), "reload").status.code(), Some(0));
    eventually("the element is another", PATIENCE, || {
        let set = lab.host.output("nft", "list set bridge lone64_guard own");
        let (new, old) = (format!("0x{:032x}", c(8).to_bits()), format!("0x{:032x}", c(7).to_bits()));
        (set.contains(&new[2..].trim_start_matches('0').to_owned()) && !set.contains(&old[2..])).then_some(())
    });
    lab.host.output("nft", "add table ip6 end_of_it");
    let said = until_end(monitor);
    let ours: Vec<_> = said.lines().filter(|line| line.contains("lone64_guard")).collect();
    assert!(ours.iter().all(|line| line.contains(" element ")), "{said}");
    assert!(
        !ours.iter().any(|line| line.contains("02:00:00:00:00:05")),
        "the other guest's are left alone: {said}"
    );
    assert!(ours.len() <= 4, "{said}");
    settings().write(&daemon.config());
    assert_eq!(lone64(&daemon.socket(), "reload").status.code(), Some(0));
    eventually("the tables are gone with the guests", PATIENCE, || {
        (!tables(&lab).contains("lone64_guard")).then_some(())
    });
    daemon.stop();
}

fn until_end(mut monitor: std::process::Child) -> String {
    use std::io::{BufRead, BufReader};
    let mut text = String::new();
    for line in BufReader::new(monitor.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("end_of_it") {
            break;
        }
        text += &line;
        text.push('\n');
    }
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    text
}

fn say_what_is_missing_where_nft_is_not_there() {
    let lab = Lab::veth();
    // Only the daemon's mounts are without it.
    let hide = "for at in /usr/sbin /sbin /usr/local/sbin; do mount -t tmpfs none $at; done; exec \"$@\"";
    let daemon = Daemon::start_under(&lab, &["unshare", "-m", "sh", "-c", hide, "sh"], guarded());
    let problem = eventually("the problem is told", PATIENCE, || {
        let told = status(&daemon);
        let problems = told["problems"].as_array()?.iter().map(ToString::to_string).collect::<String>();
        problems.contains("not guarded").then_some(problems)
    });
    assert!(problem.contains("install the Debian package nftables"), "{problem}");
    assert_eq!(status(&daemon)["guests"][0]["guard"], "waiting");
    let log = daemon.stop();
    assert!(log.contains("guests with `guard` are not guarded"), "{log}");
}

fn tell_what_they_drop_in_status_metrics_and_events() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, guarded());
    eventually_guarded(&daemon, &["a"]);
    let mut endpoint = Endpoint::open(&lab.guest, "eth0");
    for _ in 0..3 {
        spoof(&mut endpoint);
    }
    eventually_dropped(&daemon, "a", "source", 3);
    let page = lone64(&daemon.socket(), "status");
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.contains("guarded, dropped source 3"), "{page}");
    let told = ask(&daemon.socket(), r#"{"method":"status"}"#);
    assert_eq!(told["result"]["guests"][0]["dropped"]["source"], 3);
    let log = daemon.stop();
    assert!(log.contains("dropped by the guard"), "{log}");
}

/// Each tap of a new guest gives the host one.
fn follow_the_link_local_addresses_of_the_host_where_one_family_has_guards() {
    for (family, guard) in [
        ("bridge", guest("a", 5, "gp0", GUEST, "guard = true")),
        ("ip6", guest("a", 6, "gv1", PLAIN, "guard = true")),
    ] {
        let lab = Lab::veth();
        let daemon = Daemon::start(&lab, settings().range(D, "gv1", "routes = \"guests\"").rest(&guard));
        eventually_guarded(&daemon, &["a"]);
        lab.host.ip("addr add fe80::7777/64 dev gv1 nodad");
        eventually("nobody may take it", PATIENCE, || {
            let reserved = lab.host.output("nft", &format!("list set {family} lone64_guard reserved"));
            reserved.contains("7777").then_some(())
        });
        let said = daemon.stop();
        assert!(!said.contains("WARN"), "{said}");
    }
}
