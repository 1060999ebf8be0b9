//! `[sysctl] manage = true`: forwarding comes on without the loss of a default route from router
//! advertisements, and everything is put back.

use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;

use crate::client::lone64;
use crate::daemon::{Daemon, Settings, directory};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, target_of};
use crate::lab::{C, GUEST, Lab, PLAIN, ROUTER, ROUTER_MAC};
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    forwards_and_keeps_the_default_route_and_puts_everything_back,
    puts_back_what_one_that_crashed_has_changed,
    leaves_alone_what_somebody_else_has_changed,
    warns_of_what_is_missing_where_it_is_not_ours,
    forwards_only_when_the_default_route_is_there_that_it_waits_for,
    forwards_without_an_upstream_where_nobody_is_answered,
    serves_and_says_that_sysctls_are_read_only,
    follows_a_reload_and_an_upstream_that_is_made_anew,
];

const FORWARDING: &str = "net/ipv6/conf/all/forwarding";
const ACCEPT_RA: &str = "net/ipv6/conf/up0/accept_ra";

/// A host that does not forward yet, with a default route that its kernel has learned.
fn lab() -> Lab {
    let lab = Lab::veth();
    // One that says in its own advertisements that it is no router takes the route away again
    // (RFC 4861 §7.2.5).
    lab.router.sysctls(&[(FORWARDING, "1")]);
    lab.host.ip("route del default via fe80::1 dev up0");
    lab.host.sysctls(&[(FORWARDING, "0"), (ACCEPT_RA, "1")]);
    let mut router = Endpoint::open(&lab.router, "rt0");
    eventually("the default route is learned", PATIENCE, || {
        router.send(&advertisement().frame());
        lab.host.show("route show default").contains("proto ra").then_some(())
    });
    lab
}

/// RFC 4861 §4.2: a router lifetime of 1800 s, and the source link-layer address.
fn advertisement() -> Solicitation {
    Solicitation::multicast(ROUTER, PLAIN).with(|q| {
        let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        (q.destination, q.eth_dst) = (all_nodes, [0x33, 0x33, 0, 0, 0, 1]);
        (q.icmp_type, q.reserved) = (134, 64 << 24 | 1800);
        // Two timers of zero, and an option of 8 bytes, stand where a solicitation has its target.
        let mut rest = [0; 16];
        (rest[8], rest[9]) = (1, 1);
        rest[10..].copy_from_slice(&ROUTER_MAC);
        q.target = rest.into();
        q.options.clear();
    })
}

fn settings(socket: &Path) -> Settings {
    let rest = format!("[sysctl]\nmanage = true\n[control]\nsocket = \"{}\"\n", socket.display());
    Settings::default().range(C, "br0", "").without_upstream().rest(&rest)
}

/// Forwarding, and what the upstream does with advertisements.
fn values(lab: &Lab) -> [String; 2] {
    let read = |key: &str| fs::read_to_string(format!("/proc/sys/{key}")).unwrap().trim().to_owned();
    lab.host.run(|| [FORWARDING, ACCEPT_RA].map(read))
}

fn forwards_and_keeps_the_default_route_and_puts_everything_back() {
    let (lab, place) = (lab(), directory());
    let daemon = Daemon::start(&lab, settings(&place.join("control.sock")));
    assert_eq!(values(&lab), ["1", "2"]);
    assert!(lab.host.show("route show default").contains("proto ra"), "the default route was lost");
    assert!(place.join("control.sysctls").exists());
    let said = daemon.stop();
    assert_eq!(values(&lab), ["0", "1"], "{said}");
    let at = |what: &str| said.find(what).unwrap_or_else(|| panic!("{what}: {said}"));
    assert!(at("accept_ra: 1 -> 2") < at("forwarding: 0 -> 1"), "{said}");
    assert!(at("forwarding: 1 -> 0") < at("accept_ra: 2 -> 1"), "{said}");
    assert!(!place.join("control.sysctls").exists());
    fs::remove_dir_all(place).unwrap();
}

fn puts_back_what_one_that_crashed_has_changed() {
    let (lab, place) = (lab(), directory());
    let socket = place.join("control.sock");
    Daemon::start(&lab, settings(&socket)).kill();
    assert_eq!(values(&lab), ["1", "2"]);
    Daemon::start(&lab, settings(&socket)).stop();
    assert_eq!(values(&lab), ["0", "1"], "what was there before the first");
    // Also by one that does not manage them any more.
    Daemon::start(&lab, settings(&socket)).kill();
    let rest = format!("[control]\nsocket = \"{}\"\n", socket.display());
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").rest(&rest));
    assert_eq!(values(&lab), ["0", "1"]);
    daemon.stop();
    fs::remove_dir_all(place).unwrap();
}

fn leaves_alone_what_somebody_else_has_changed() {
    let (lab, place) = (lab(), directory());
    let daemon = Daemon::start(&lab, settings(&place.join("control.sock")));
    lab.host.sysctls(&[(ACCEPT_RA, "0")]);
    let said = daemon.stop();
    assert_eq!(values(&lab), ["0", "0"], "{said}");
    assert!(said.contains("conf/up0/accept_ra stays 0: another program has changed it"), "{said}");
    fs::remove_dir_all(place).unwrap();
}

fn warns_of_what_is_missing_where_it_is_not_ours() {
    let lab = lab();
    let said = Daemon::start(&lab, Settings::default().range(C, "br0", "").without_upstream()).stop();
    let commands =
        "`sysctl -w net/ipv6/conf/up0/accept_ra=2`, then `sysctl -w net/ipv6/conf/all/forwarding=1`";
    assert!(said.contains(commands), "{said}");
    assert_eq!(values(&lab), ["0", "1"]);
}

/// A host that forwards takes no advertisement: what is waited for would never come.
fn forwards_only_when_the_default_route_is_there_that_it_waits_for() {
    for is_ours in [true, false] {
        let lab = lab();
        lab.host.ip("route del default");
        let rest = format!("[sysctl]\nmanage = {is_ours}\n");
        let settings = Settings::default().range(C, "br0", "").without_upstream().rest(&rest);
        let mut daemon = Daemon::start_unready(&lab, settings);
        let ready = daemon.notified("READY=1");
        assert!(ready.contains("STATUS=waiting for a default route"), "{ready}");
        assert_eq!(values(&lab), ["0", "1"]);
        let mut router = Endpoint::open(&lab.router, "rt0");
        eventually("the default route is learned", PATIENCE, || {
            router.send(&advertisement().frame());
            lab.host.show("route show default").contains("proto ra").then_some(())
        });
        daemon.notified("STATUS=2 ranges, ");
        if is_ours {
            eventually("it forwards", PATIENCE, || (values(&lab) == ["1", "2"]).then_some(()));
            assert!(lab.host.show("route show default").contains("proto ra"));
        }
        let said = daemon.stop();
        let command =
            "`sysctl -w net/ipv6/conf/up0/accept_ra=2`, then `sysctl -w net/ipv6/conf/all/forwarding=1`";
        assert_eq!(said.matches(command).count(), usize::from(!is_ours), "{said}");
        assert_eq!(said.contains("forwarding is off"), !is_ours, "{said}");
    }
}

/// The prefix is routed here, by a tunnel say. A router on another link is listened to all the same.
fn forwards_without_an_upstream_where_nobody_is_answered() {
    for is_ours in [true, false] {
        let lab = lab();
        lab.host.ip("route del default");
        let rest = format!("[sysctl]\nmanage = {is_ours}\n");
        let settings = Settings::default().without_upstream().without_sentinels();
        let daemon = Daemon::start(&lab, settings.range(C, "br0", "answer = \"never\"").rest(&rest));
        if is_ours {
            eventually("it forwards", PATIENCE, || (values(&lab) == ["1", "2"]).then_some(()));
            let mut router = Endpoint::open(&lab.router, "rt0");
            eventually("the default route is learned", PATIENCE, || {
                router.send(&advertisement().frame());
                lab.host.show("route show default").contains("proto ra").then_some(())
            });
        }
        let said = daemon.stop();
        assert_eq!(values(&lab), ["0", "1"], "{said}");
        let sentence = "IPv6 forwarding is off, so no packet reaches a guest or leaves it; \
                        `sysctl -w net/ipv6/conf/all/forwarding=1`";
        assert_eq!(said.contains(sentence), !is_ours, "{said}");
        if is_ours {
            let at = |what: &str| said.find(what).unwrap_or_else(|| panic!("{what}: {said}"));
            assert!(at("up0/accept_ra: 1 -> 2") < at("forwarding: 0 -> 1"), "{said}");
        }
    }
}

fn serves_and_says_that_sysctls_are_read_only() {
    let (lab, place) = (lab(), directory());
    // As in a container: a mount namespace in which /proc/sys cannot be written.
    let script = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec \"$@\"";
    let quoted = place.join("read-only");
    fs::write(&quoted, format!("#!/bin/sh\n{script}\n")).unwrap();
    let wrapper = ["unshare", "--mount", "sh", quoted.to_str().unwrap()];
    let daemon = Daemon::start_under(&lab, &wrapper, settings(&place.join("control.sock")));
    // What is missing may be set from outside at any time, and answers do not depend on it.
    let mut router = Endpoint::open(&lab.router, "rt0");
    router.send(&Solicitation::multicast(ROUTER, GUEST).frame());
    router.receive_until("the guest is answered for", PATIENCE, |frame| {
        (target_of(frame, ADVERTISEMENT) == Some(GUEST)).then_some(())
    });
    assert_eq!(values(&lab), ["0", "1"]);
    let said = daemon.stop();
    assert!(said.contains("conf/up0/accept_ra") && said.contains("/proc/sys is read-only"), "{said}");
    assert!(said.contains("by a file in /etc/sysctl.d"), "{said}");
    assert!(said.contains("then `sysctl -w net/ipv6/conf/all/forwarding=1`"), "{said}");
    fs::remove_dir_all(place).unwrap();
}

fn follows_a_reload_and_an_upstream_that_is_made_anew() {
    let lab = lab();
    let manage = |manage: bool| {
        Settings::default().range(C, "br0", "").rest(&format!("[sysctl]\nmanage = {manage}\n"))
    };
    let daemon = Daemon::start(&lab, manage(false));
    let reload = |settings: Settings| {
        settings.write(&daemon.config());
        assert_eq!(lone64(&daemon.socket(), "reload").status.code(), Some(0));
    };
    assert_eq!(values(&lab), ["0", "1"]);
    reload(manage(true));
    assert_eq!(values(&lab), ["1", "2"]);
    lab.host.sysctls(&[("net/ipv6/conf/default/accept_ra", "1")]);
    lab.host.ip("link del up0");
    lab.host.ip(&format!(
        "link add up0 type veth peer name rt0 netns {}
         link set up0 up",
        lab.router.path()
    ));
    eventually("the new one accepts advertisements, too", PATIENCE, || {
        (values(&lab) == ["1", "2"]).then_some(())
    });
    reload(manage(false));
    assert_eq!(values(&lab), ["0", "1"]);
}
