//! rules.md "Load".

use std::collections::HashSet;
use std::fmt::Write;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use crate::advertisement::Advertisement;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, IP, SOLICITATION, sender, target_of};
use crate::lab::{BRIDGE_MAC, C, D, GUEST, Lab, PLAIN, ROUTER, c};
use crate::link::Link;
use crate::solicitation::Solicitation;

crate::cases![
    answers_for_a_thousand_guests_asked_in_one_burst,
    answers_for_five_hundred_guests_a_second_at_the_first_question,
    answers_for_live_guests_during_a_flood_outside_the_ranges,
    answers_for_live_guests_during_a_flood_of_dead_targets,
];

/// A guest with a thousand addresses.
fn crowded() -> (Lab, Vec<Ipv6Addr>) {
    let lab = Lab::veth();
    let targets: Vec<_> = (0x1000..0x1000 + 1000).map(c).collect();
    let mut batch = String::new();
    for target in &targets {
        writeln!(batch, "addr add {target}/128 dev eth0 nodad").unwrap();
    }
    lab.guest.ip(&batch);
    (lab, targets)
}

fn answers_for_a_thousand_guests_asked_in_one_burst() {
    for mode in ["live", "always"] {
        let (lab, targets) = crowded();
        let _daemon =
            Daemon::start(&lab, Settings::default().range(C, "br0", &format!("answer = \"{mode}\"")));
        let mut link = Link::open(&lab);
        let mut missing: HashSet<Ipv6Addr> = targets.into_iter().collect();
        // A router asks three times, a second apart, and again when it has something to deliver.
        let (start, mut tries) = (Instant::now(), 0);
        while !missing.is_empty() && start.elapsed() < PATIENCE {
            for target in missing.clone() {
                link.send(&Solicitation::multicast(ROUTER, target));
                // The queue of an ordinary user holds some hundred answers only.
                collect(&mut link, Instant::now(), &mut missing);
            }
            collect(&mut link, Instant::now() + Duration::from_secs(1), &mut missing);
            tries += 1;
        }
        assert!(
            missing.is_empty(),
            "{mode}: {} without an answer, {:?} …",
            missing.len(),
            missing.iter().next()
        );
        println!("{mode}: a thousand guests answered for in {tries} tries and {:.1?}", start.elapsed());
    }
}

fn answers_for_five_hundred_guests_a_second_at_the_first_question() {
    let (lab, targets) = crowded();
    let _daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "answer = \"live\""));
    let mut link = Link::open(&lab);
    let mut missing: HashSet<Ipv6Addr> = targets.iter().copied().collect();
    let start = Instant::now();
    for (number, target) in targets.iter().enumerate() {
        link.send(&Solicitation::multicast(ROUTER, *target));
        // The next question is due 2 ms after this one; until then answers are listened to.
        let due = start + Duration::from_millis(2) * (number as u32 + 1);
        while let Some(frame) = link.receive(due) {
            take(&frame, &mut missing);
        }
    }
    collect(&mut link, Instant::now() + PATIENCE, &mut missing);
    assert!(missing.is_empty(), "{} without an answer", missing.len());
}

fn answers_for_live_guests_during_a_flood_outside_the_ranges() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "answer = \"live\""));
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    let before = daemon.memory();
    for round in 0..20_u16 {
        for n in 0..1000 {
            let outside = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xf, n, n ^ 0x5a5a, round);
            link.send(&Solicitation::multicast(ROUTER, outside));
        }
        link.answered(&Solicitation::multicast(ROUTER, GUEST));
    }
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown < 16 << 10, "memory grew by {grown} KiB");
    daemon.stop();
}

fn answers_for_live_guests_during_a_flood_of_dead_targets() {
    let lab = Lab::veth();
    let settings = Settings::default()
        .range(C, "br0", "answer = \"live\"")
        .range(D, "gv1", "answer = \"live\"")
        .rest("[limits]\ntargets = 4096\npending = 512\nprobes-per-second = 300\n");
    let daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    for live in [GUEST, PLAIN] {
        link.answered(&Solicitation::multicast(ROUTER, live));
    }
    guest.heard();
    let before = daemon.memory();
    let (start, mut probes) = (Instant::now(), 0);
    for round in 0..100 {
        for n in 0..200 {
            link.send(&Solicitation::multicast(ROUTER, c(0x2000 + round * 200 + n)));
        }
        for live in [GUEST, PLAIN] {
            link.answered(&Solicitation::multicast(ROUTER, live));
        }
        probes += guest.heard().iter().filter(|frame| is_probe(frame)).count();
    }
    probes += guest.heard().iter().filter(|frame| is_probe(frame)).count();
    // The bucket may be full at the start; what it holds and what flows in is all that may go out.
    let most = 300.0 * (start.elapsed().as_secs_f64() + 1.0) + 1.0;
    assert!(probes > 0, "dead targets are looked for");
    assert!(probes as f64 <= most, "{probes} probes, at most {most} are allowed");
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown < 16 << 10, "memory grew by {grown} KiB");
    daemon.stop();
}

fn is_probe(frame: &[u8]) -> bool {
    sender(frame) == BRIDGE_MAC && target_of(frame, SOLICITATION).is_some() && frame[IP + 7] == 255
}

/// Listens until nothing is missing any more, or until the deadline.
fn collect(link: &mut Link, deadline: Instant, missing: &mut HashSet<Ipv6Addr>) {
    while !missing.is_empty() {
        match link.receive(deadline) {
            Some(frame) => take(&frame, missing),
            None => return,
        }
    }
}

fn take(frame: &[u8], missing: &mut HashSet<Ipv6Addr>) {
    if target_of(frame, ADVERTISEMENT).is_some_and(|target| missing.contains(&target)) {
        let answer = Advertisement::parse(frame).unwrap();
        assert!(answer.solicited && answer.destination == ROUTER.address, "{answer:?}");
        missing.remove(&answer.target);
    }
}
