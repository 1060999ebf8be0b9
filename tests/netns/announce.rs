//! Announcing: what is sent unasked on the upstream, and what a Linux router makes of it.

use std::net::Ipv6Addr;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::advertisement::Advertisement;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, IP, SOLICITATION, address, mac, sender, target_of};
use crate::lab::{C, D, GATEWAY, GUEST, GUEST_MAC, Lab, ROUTER, UPSTREAM_LINK_LOCAL, UPSTREAM_MAC, c};
use crate::link::{Link, is_announcement};
use crate::namespace::{Namespace, eventually};
use crate::solicitation::Solicitation;

crate::cases![
    takes_over_from_an_old_entry_of_the_router,
    gives_the_router_an_entry_before_the_first_packet,
    announces_a_new_guest_and_the_guests_gateway_in_form,
    announces_all_when_the_upstream_gets_another_mac,
    sends_a_detection_of_duplicates_before_if_that_is_wanted,
    overrides_no_owner_that_defends_himself_against_the_detection,
    announces_all_again_at_a_period,
];

fn settings(announce: &str) -> Settings {
    Settings::default().range(C, "br0", "").upstream(&format!("announce = {announce}"))
}

/// Whether one ping gets there.
/// For what is out of reach: a reply that comes later does not count.
fn reaches(namespace: &Namespace, target: Ipv6Addr) -> bool {
    let mut command = Command::new("ping");
    command.args(["-c", "1", "-W", "1", &target.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    namespace.spawn(&mut command).wait().unwrap().success()
}

fn entry(lab: &Lab, target: Ipv6Addr) -> String {
    lab.router.show(&format!("neigh show {target} dev rt0"))
}

/// The guest says something, so that it is known, asked and proved.
fn wake(lab: &Lab) {
    lab.guest.ping(&GATEWAY.to_string());
}

fn takes_over_from_an_old_entry_of_the_router() {
    for state in ["stale", "reachable"] {
        let lab = Lab::veth();
        // The host knows its guest, as after a restart of the daemon.
        lab.host.ping(&GUEST.to_string());
        // Somebody else had the address, and the router will not ask for a while.
        lab.router.sysctls(&[("net/ipv6/neigh/rt0/delay_first_probe_time", "60")]);
        let old = format!("neigh replace {GUEST} lladdr 02:00:00:00:00:99 dev rt0 nud {state}");
        lab.router.ip(&old);
        let silent = Daemon::start(&lab, settings("false"));
        assert!(!reaches(&lab.router, GUEST), "reachable all the same: nothing can be shown");
        silent.stop();

        lab.router.ip(&old);
        let start = Instant::now();
        let daemon = Daemon::start(&lab, settings("true"));
        let ready = start.elapsed();
        eventually("the router has the new entry", PATIENCE, || {
            entry(&lab, GUEST).contains("02:00:00:00:00:02").then_some(())
        });
        println!("{state}: ready after {ready:?}, taken over after {:?}", start.elapsed());
        lab.router.ping(&GUEST.to_string());
        daemon.stop();
    }
}

fn gives_the_router_an_entry_before_the_first_packet() {
    for (announce, is_ready) in [("true", true), ("false", false)] {
        let lab = Lab::veth();
        let daemon = Daemon::start(&lab, settings(announce));
        let mut guest = Endpoint::open(&lab.guest, "eth0");
        wake(&lab);
        let is_probe = |frame: &[u8]| (target_of(frame, SOLICITATION)? == GUEST).then_some(());
        guest.receive_until("a probe", PATIENCE, is_probe);
        // It has been proved when the guest has replied, and the daemon has read that.
        Link::open(&lab).settle();
        if is_ready {
            eventually("the router has an entry", PATIENCE, || {
                entry(&lab, GUEST).contains("02:00:00:00:00:02").then_some(())
            });
        }
        let mut upstream = Endpoint::open(&lab.host, "up0");
        lab.router.ping(&GUEST.to_string());
        let asked = upstream
            .heard()
            .iter()
            .filter(|frame| target_of(frame, SOLICITATION) == Some(GUEST) && frame[0] == 0x33)
            .count();
        assert_eq!(asked == 0, is_ready, "announce = {announce}: the router asked {asked} times");
        daemon.stop();
    }
}

fn announces_a_new_guest_and_the_guests_gateway_in_form() {
    let lab = Lab::veth();
    let mut router = Endpoint::open(&lab.router, "rt0");
    let _daemon = Daemon::start(&lab, settings("true"));
    wake(&lab);
    let mut heard = Vec::new();
    let mut asked = Vec::new();
    let count = |heard: &[Vec<u8>], target| {
        heard.iter().filter(|frame| target_of(frame, ADVERTISEMENT) == Some(target)).count()
    };
    // The router has shown that it knows the guest, and the third is saved for a question.
    router.receive_until("announcements of each", PATIENCE, |frame| {
        if is_announcement(frame) && sender(frame) == UPSTREAM_MAC {
            heard.push(frame.to_vec());
        }
        if target_of(frame, SOLICITATION) == Some(ROUTER.address) {
            asked.push(address(frame, IP + 8));
        }
        (count(&heard, GUEST) >= 2 && count(&heard, GATEWAY) >= 3).then_some(())
    });
    for frame in &heard {
        let announcement = Advertisement::parse(frame).unwrap();
        assert_eq!(announcement.eth_dst, [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(announcement.destination, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        assert_eq!(announcement.source, UPSTREAM_LINK_LOCAL);
        assert!(!announcement.router && !announcement.solicited && announcement.override_flag);
    }
    asked.sort_unstable();
    asked.dedup();
    // The kernel's own questions for its gateway come from the upstream's addresses.
    asked.retain(|source| [GATEWAY, GUEST].contains(source));
    assert_eq!(asked, [GATEWAY, GUEST]);
}

fn announces_all_when_the_upstream_gets_another_mac() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, settings("true"));
    lab.router.ping(&GUEST.to_string());
    lab.host.ip("link set up0 address 02:00:00:00:00:44");
    eventually("the router knows the new address", PATIENCE, || {
        entry(&lab, GUEST).contains("02:00:00:00:00:44").then_some(())
    });
    lab.router.ping(&GUEST.to_string());
}

fn sends_a_detection_of_duplicates_before_if_that_is_wanted() {
    let lab = Lab::veth();
    let mut router = Endpoint::open(&lab.router, "rt0");
    let _daemon = Daemon::start(&lab, settings("\"dad\""));
    wake(&lab);
    let mut is_detected = false;
    router.receive_until("an announcement", PATIENCE, |frame| {
        is_detected |= *frame == Solicitation::dad(UPSTREAM_MAC, GUEST).frame();
        let is_it = is_announcement(frame) && target_of(frame, ADVERTISEMENT) == Some(GUEST);
        is_it.then_some(())
    });
    assert!(is_detected);
}

fn overrides_no_owner_that_defends_himself_against_the_detection() {
    let lab = Lab::veth();
    let mut link = Link::open_for_all(&lab);
    let daemon = Daemon::start(&lab, settings("\"dad\"").range(D, "gv1", ""));
    wake(&lab);
    // The other owner, at whose link-layer address it is (RFC 4862 §5.4.4).
    let owner = crate::solicitation::Asker { mac: mac(0x77), address: c(5) };
    let defence = Solicitation::defence(owner, GUEST, true);
    let deadline = Instant::now() + PATIENCE;
    let detection = Solicitation::dad(UPSTREAM_MAC, GUEST).frame();
    while link.receive(deadline).expect("a detection comes") != detection {}
    link.send(&defence);
    // Those that began later come later: when a second target has been announced twice, the
    // first would have been.
    lab.plain.ping("2001:db8:1:2:d::1");
    let mut others = 0;
    while others < 2 {
        let frame = link.receive(deadline).expect("the other guest is announced");
        if is_announcement(&frame) && sender(&frame) == UPSTREAM_MAC {
            assert_ne!(target_of(&frame, ADVERTISEMENT), Some(GUEST), "overridden");
            others += usize::from(target_of(&frame, ADVERTISEMENT) == Some(crate::lab::PLAIN));
        }
    }
    let said = daemon.stop();
    assert!(said.contains("conflict"), "{said}");
    assert_ne!(GUEST_MAC, mac(0x77));
}

fn announces_all_again_at_a_period() {
    /// Two of the shortest periods, and what precedes the first.
    const ROUNDS: std::time::Duration = std::time::Duration::from_secs(40);
    let lab = Lab::veth();
    let mut link = Link::open_for_all(&lab);
    let _daemon = Daemon::start(&lab, settings("\"10s\""));
    wake(&lab);
    let mut heard = std::collections::BTreeMap::new();
    let (deadline, detection) = (Instant::now() + ROUNDS, Solicitation::dad(UPSTREAM_MAC, GUEST).frame());
    // Three as every newcomer has them, and one in each of two rounds.
    while [GUEST, GATEWAY].iter().any(|target| heard.get(target).is_none_or(|count| *count < 5)) {
        let frame = link.receive(deadline).expect("it is announced again");
        if is_announcement(&frame) && sender(&frame) == UPSTREAM_MAC {
            *heard.entry(target_of(&frame, ADVERTISEMENT).expect("a target")).or_insert(0) += 1;
        }
        if frame == detection {
            *heard.entry(Ipv6Addr::UNSPECIFIED).or_insert(0) += 1;
        }
    }
    assert_eq!(heard.get(&Ipv6Addr::UNSPECIFIED), Some(&3), "the link is asked each time: {heard:?}");
}
