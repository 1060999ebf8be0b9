//! Which guests the provider lets through: behind switches that learn who is there, forget it, or take few; with an
//! empty configuration.

use std::net::Ipv6Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::client::{ask, lone64, status};
use crate::daemon::{BINARY, Daemon, Settings, directory};
use crate::endpoint::PATIENCE;
use crate::lab::{D, FAR, GATEWAY, GUEST, Lab, PLAIN, UPSTREAM_GLOBAL, c, d};
use crate::namespace::{Namespace, eventually};
use crate::pings::Pings;
use crate::provider::reaches;

crate::cases![
    guests_are_reached_behind_a_switch_that_learns_from_detection_alone,
    guests_are_made_known_again_where_answers_show_that_the_switch_forgot_them,
    guests_are_made_known_again_where_nothing_shows_that_the_switch_forgets_after_a_minute,
    names_the_guests_that_are_too_many_for_a_switch_that_takes_three_addresses,
    names_the_guests_that_are_not_on_the_list_until_they_are,
];

/// As long as the slowest of these takes.
const LONG: Duration = Duration::from_secs(240);

/// A switch that drops from the host's port what is sent from an address that is not bound, and somebody behind
/// the router. `rules` come first; the host's own address is bound, as the provider has given it.
fn lab(set: &str, rules: &[&str]) -> (Lab, Namespace) {
    let lab = Lab::behind_a_switch();
    lab.host.ip(&format!("route add {D} dev gv1"));
    let nft = |line: &str| lab.switch().output("nft", line);
    nft("add table bridge provider");
    nft(&format!("add set bridge provider bound {{ typeof @nh,64,128 ; {set} }}"));
    nft("add chain bridge provider port { type filter hook forward priority 0 ; }");
    nft("add rule bridge provider port iifname != \"p1\" accept");
    nft("add rule bridge provider port ether type != ip6 accept");
    for rule in rules {
        nft(&format!("add rule bridge provider port {rule}"));
    }
    nft("add rule bridge provider port ip6 saddr fe80::/10 accept");
    nft("add rule bridge provider port ip6 saddr :: accept");
    nft(&format!("add rule bridge provider port ip6 saddr {UPSTREAM_GLOBAL} accept"));
    nft("add rule bridge provider port @nh,64,128 @bound accept");
    nft("add rule bridge provider port counter drop");
    let far = lab.far();
    (lab, far)
}

/// A guest is bound for so long by the last detection of duplicates that the host has sent for it.
fn learns(timeout: &str) -> String {
    format!("icmpv6 type nd-neighbor-solicit ip6 saddr :: update @bound {{ @th,64,128 {timeout} }}")
}

/// No advertisement of an address that is not bound.
const ADVERTISES: &str =
    "icmpv6 type nd-neighbor-advert ip6 daddr != ff02::1 @th,64,128 != @bound counter drop";

fn start(lab: &Lab) -> Daemon {
    Daemon::start(lab, Settings::default().without_upstream().without_sentinels())
}

fn reached(far: &Namespace, what: &str, guests: &[Ipv6Addr]) {
    for guest in guests {
        eventually(what, PATIENCE, || reaches(far, *guest).then_some(()));
    }
}

/// The guests that the daemon says are not admitted.
fn refused(socket: &Path) -> Vec<Ipv6Addr> {
    let listed = ask(socket, r#"{"method":"status"}"#)["result"]["not_admitted"].take();
    let listed: Vec<Value> = serde_json::from_value(listed).unwrap();
    listed.iter().map(|one| one["address"].as_str().unwrap().parse().unwrap()).collect()
}

fn guests_are_reached_behind_a_switch_that_learns_from_detection_alone() {
    let (lab, far) = lab("flags dynamic ;", &[&learns(""), ADVERTISES]);
    let daemon = start(&lab);
    reached(&far, "the guests are reached", &[GUEST, PLAIN]);
    lab.guest.ping(&FAR.to_string());
    assert_eq!(refused(&daemon.socket()), [] as [Ipv6Addr; 0]);
    daemon.stop();
}

fn guests_are_made_known_again_where_answers_show_that_the_switch_forgot_them() {
    let (lab, far) = lab("flags dynamic ;", &[&learns(""), ADVERTISES]);
    lab.router.sysctls(&[
        ("net/ipv6/neigh/rt0/base_reachable_time_ms", "2000"),
        ("net/ipv6/neigh/rt0/delay_first_probe_time", "1"),
    ]);
    let daemon = start(&lab);
    reached(&far, "the guests are reached", &[GUEST, PLAIN]);
    lab.switch().output("nft", "flush set bridge provider bound");
    assert!(!reaches(&far, GUEST), "the switch has forgotten nothing");
    reached(&far, "a guest is reached again", &[GUEST, PLAIN]);
    let said = daemon.stop();
    assert!(!said.contains("source ="), "no source of answers is better: {said}");
}

fn guests_are_made_known_again_where_nothing_shows_that_the_switch_forgets_after_a_minute() {
    let (lab, far) = lab("flags dynamic,timeout ;", &[&learns("timeout 60s")]);
    let daemon = start(&lab);
    reached(&far, "the guests are reached", &[GUEST, PLAIN]);
    eventually("the switch forgets the guest", LONG, || (!reaches(&far, GUEST)).then_some(()));
    reached(&far, "the guest is reached again", &[GUEST, PLAIN]);
    let every = eventually("it is known how often to announce", PATIENCE, || {
        status(&daemon)["upstreams"][0]["announced_again_seconds"].as_u64()
    });
    assert!((10..=40).contains(&every), "{every}");
    // Longer than the switch remembers.
    let pings = [GUEST, PLAIN].map(|guest| Pings::start(&far, 700, &guest.to_string()));
    pings.into_iter().for_each(Pings::lose_none);
    let said = daemon.stop();
    assert!(said.contains(&format!("announce = \"{every}s\" in the [[upstream]] says the same")), "{said}");
}

fn names_the_guests_that_are_too_many_for_a_switch_that_takes_three_addresses() {
    let (lab, far) = lab("flags dynamic ; size 3 ;", &[&learns(""), ADVERTISES]);
    let more: Vec<_> = (6..=8).map(c).collect();
    more.iter().for_each(|guest| lab.guest.ip(&format!("addr add {guest}/112 dev eth0 nodad")));
    // The doctor finds the daemon by its configuration.
    let (settings, directory) = (Settings::default().without_upstream().without_sentinels(), directory());
    let socket = directory.join("control.sock");
    let daemon =
        Daemon::start(&lab, settings.rest(&format!("[control]\nsocket = \"{}\"\n", socket.display())));
    for guest in more.iter().chain([&GUEST]) {
        lab.guest.ping(&format!("-I {guest} {GATEWAY}"));
    }
    lab.plain.ping("2001:db8:1:2:d::1");
    let named = eventually("those that are not admitted are named", PATIENCE, || {
        // Five guests, and two addresses of the host's.
        Some(refused(&socket)).filter(|refused| refused.len() == 4)
    });
    for guest in more.iter().chain([&GUEST, &PLAIN]) {
        assert_eq!(reaches(&far, *guest), !named.contains(guest), "{guest} {named:?}");
    }
    let guest = more.iter().chain([&GUEST, &PLAIN]).find(|guest| named.contains(guest)).unwrap();
    let text = String::from_utf8(lone64(&socket, "status").stdout).unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("upstream: not admitted"), "{text}");
    let explained = lone64(&socket, &format!("explain {guest}"));
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains("not admitted"), "{explained}");
    let mut doctor = Command::new(BINARY);
    doctor.args(["doctor", "--json", "--config"]).arg(daemon.config()).stdout(Stdio::piped());
    let doctor = lab.host.spawn(&mut doctor).wait_with_output().unwrap();
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.contains("the provider does not admit"), "{doctor}");
    let said = daemon.stop();
    assert_eq!(said.matches("is not admitted by the provider").count(), 4, "{said}");
    std::fs::remove_dir_all(directory).unwrap();
}

fn names_the_guests_that_are_not_on_the_list_until_they_are() {
    let (lab, far) = lab("", &[ADVERTISES]);
    let admit = |guest: Ipv6Addr| {
        let element = format!("add element bridge provider bound {{ {:#034x} }}", guest.to_bits());
        lab.switch().output("nft", &element);
    };
    let other = c(6);
    lab.guest.ip(&format!("addr add {other}/112 dev eth0 nodad"));
    [GUEST, other].into_iter().for_each(admit);
    let daemon = start(&lab);
    for guest in [GUEST, other] {
        lab.guest.ping(&format!("-I {guest} {GATEWAY}"));
    }
    lab.plain.ping("2001:db8:1:2:d::1");
    let mut named = eventually("those that are not on the list are named", PATIENCE, || {
        // One guest, and two addresses of the host's.
        Some(refused(&daemon.socket())).filter(|refused| refused.len() == 3)
    });
    named.sort_unstable();
    assert_eq!(named, [GATEWAY, d(1), PLAIN]);
    reached(&far, "the guests on the list are reached", &[GUEST, other]);
    named.into_iter().for_each(admit);
    eventually("all are admitted", LONG, || refused(&daemon.socket()).is_empty().then_some(()));
    reached(&far, "all guests are reached", &[GUEST, other, PLAIN]);
    let said = daemon.stop();
    assert_eq!(said.matches("is not admitted by the provider").count(), 3, "{said}");
    assert_eq!(said.matches("the provider admits it now").count(), 3, "{said}");
}
