//! One range over very many downstreams, and a scan of it while its guests are asked for.

use std::collections::HashSet;
use std::fmt::Write;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::endpoint::PATIENCE;
use crate::frame::{ADVERTISEMENT, target_of};
use crate::lab::{Lab, ROUTER, ROUTER_AT_LARGE, UPSTREAM_MAC};
use crate::link::Link;
use crate::namespace::{Namespace, eventually};
use crate::solicitation::{Asker, Solicitation};
use crate::veths::{VETH_GATEWAY, Veths, e};

crate::cases![serves_a_guest_on_each_of_two_thousand_downstreams, loses_no_answer_while_it_is_scanned];

/// A number that somebody who has time can make larger.
fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn serves_a_guest_on_each_of_two_thousand_downstreams() {
    // 2,000 is the promise of the issue; a small machine may want fewer.
    let count = u16::try_from(number("LONE64_DOWNSTREAMS", 2000)).expect("fits the range");
    let lab = Lab::veth();
    let clock = Instant::now();
    let guests = Namespace::new();
    guests
        .sysctls(&[("net/ipv6/conf/default/accept_dad", "1"), ("net/ipv6/conf/default/dad_transmits", "1")]);
    build(&lab, &guests, count);
    let built = clock.elapsed();
    // Not enough for so many sockets, unless it helps itself.
    let wrapper = ["prlimit", "--nofile=128:", "--"];
    let settings = Veths::settings().rest("[timers]\nretransmit = \"1h\"\n");
    let daemon = Daemon::start_under(&lab, &wrapper, settings);
    let ready = clock.elapsed() - built;
    let mut link = Link::open(&lab);
    // Every guest gets its address, and checks that nobody else has it: so it is known.
    let targets: Vec<_> = (0..count).map(|n| e(0x1000 + n)).collect();
    let mut batch = String::new();
    for (n, target) in targets.iter().enumerate() {
        writeln!(batch, "addr add {target}/128 dev g{n}").unwrap();
    }
    let clock = Instant::now();
    guests.ip(&batch);
    eventually("every guest has its route", 3 * PATIENCE, || {
        let routes = lab.host.show("-o route show table all proto 64");
        let routed = routes.lines().filter(|line| line.contains(" dev vg")).count();
        (routed == targets.len()).then_some(())
    });
    let known = clock.elapsed();
    let clock = Instant::now();
    let mut missing: HashSet<Ipv6Addr> = targets.iter().copied().collect();
    for (n, target) in targets.iter().enumerate() {
        link.send(&Solicitation::multicast(ROUTER, *target));
        // A slow machine answers later, and drops what is asked faster than that.
        let not_asked = targets.len() - 1 - n;
        if !collect(&mut link, &mut missing, not_asked + AT_A_TIME) {
            break;
        }
    }
    collect(&mut link, &mut missing, 0);
    assert!(missing.is_empty(), "{} without an answer, {:?} …", missing.len(), missing.iter().next());
    let asked = clock.elapsed();
    let (memory, cpu) = (daemon.memory(), daemon.cpu());
    let clock = Instant::now();
    daemon.stop();
    eprintln!(
        "{count} downstreams: built in {built:.1?}, ready in {ready:.1?}, all known in {known:.1?}, all \
         answered in {asked:.1?}, stopped in {:.1?}; {memory} KiB, {cpu:.1?} of CPU",
        clock.elapsed()
    );
}

fn build(lab: &Lab, guests: &Namespace, count: u16) {
    // ip(8) of Debian 12 keeps a descriptor for each namespace that a line names, and may have 1,024 in many places.
    for first in (0..count).step_by(500) {
        let mut batch = String::new();
        for n in first..count.min(first + 500) {
            writeln!(batch, "link add vg{n} type veth peer name g{n} netns {}", guests.path()).unwrap();
            writeln!(batch, "link set vg{n} up").unwrap();
        }
        lab.host.ip(&batch);
    }
    let mut batch: String = (0..count).map(|n| format!("link set g{n} up\n")).collect();
    guests.ip(&batch);
    batch = (0..count).map(|n| format!("addr add {VETH_GATEWAY}/64 dev vg{n} nodad\n")).collect();
    lab.host.ip(&batch);
}

fn loses_no_answer_while_it_is_scanned() {
    // By hand, with LONE64_SCAN_SECONDS=60, this is the promise of the issue.
    let seconds = number("LONE64_SCAN_SECONDS", 5);
    let veths = Veths::new(10);
    let daemon = Daemon::start(&veths.lab, Veths::settings());
    let mut link = Link::open(&veths.lab);
    let live: Vec<_> = (0..10).map(|number| (e(5 + number), usize::from(number))).collect();
    for (address, number) in &live {
        veths.give(*number, *address);
        link.answered(&Solicitation::multicast(ROUTER, *address));
    }
    let idle = latencies(&mut link, &live, seconds * 100, |_| {});
    let (memory, mut random) = (daemon.memory(), 0x2545_f491_4f6c_dd1d_u64);
    let cpu = daemon.cpu();
    let during = latencies(&mut link, &live, seconds * 100, |link| {
        // Half of them inside the range, and some packets from somebody who waits for no answer.
        for n in 0..50_u32 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let target = match n % 2 {
                0 => e(0x1000 | random as u16),
                _ => Ipv6Addr::from_bits(0x2001_0db8_0001_0002 << 64 | u128::from(random)),
            };
            link.send(&Solicitation::multicast(ROUTER, target));
            if n % 10 == 0 {
                link.send_frame(&echo_request(target));
            }
        }
    });
    let cpu = daemon.cpu() - cpu;
    let neighbors = veths.neighbors();
    let grown = daemon.memory().saturating_sub(memory);
    let p99 = |latencies: &[Duration]| latencies[latencies.len() * 99 / 100];
    eprintln!(
        "scanned for {seconds} s: p99 {:.1?} idle, {:.1?} during; {neighbors} neighbors, \
         memory grew by {grown} KiB, {cpu:.1?} of CPU",
        p99(&idle),
        p99(&during)
    );
    assert!(neighbors < 64, "{neighbors} neighbors");
    assert!(grown < 16 << 10, "memory grew by {grown} KiB");
    assert_eq!(veths.routes(), Veths::wanted(&live));
    daemon.stop();
}

/// A hundred times a second one of the guests is asked for, in turn, with `beside` in between; every
/// question has to be answered. Returns how long each took, in ascending order.
fn latencies(
    link: &mut Link,
    live: &[(Ipv6Addr, usize)],
    rounds: u32,
    mut beside: impl FnMut(&mut Link),
) -> Vec<Duration> {
    let mut latencies = Vec::new();
    let start = Instant::now();
    for (round, (address, _)) in (1..=rounds).zip(live.iter().cycle()) {
        beside(link);
        let sent = Instant::now();
        let question = Solicitation::multicast(ROUTER, *address);
        link.send(&question);
        link.hear(&question, PATIENCE);
        latencies.push(sent.elapsed());
        // Until the next round is due nothing more is expected.
        while link.receive(start + Duration::from_millis(10) * round).is_some() {}
    }
    latencies.sort();
    latencies
}

/// A ping from the router, whether the host has answered for the target or not.
fn echo_request(to: Ipv6Addr) -> Vec<u8> {
    let asker = Asker { mac: ROUTER.mac, address: ROUTER_AT_LARGE.address };
    let request = Solicitation::unicast(asker, to, UPSTREAM_MAC);
    request
        .with(|q| {
            q.icmp_type = 128;
            q.hop_limit = 64;
            q.options.clear();
        })
        .frame()
}

/// Listens until no more than so many are missing. False if that never comes.
fn collect(link: &mut Link, missing: &mut HashSet<Ipv6Addr>, most: usize) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while missing.len() > most {
        match link.receive(deadline) {
            Some(frame) => target_of(&frame, ADVERTISEMENT).is_some_and(|target| missing.remove(&target)),
            None => return false,
        };
    }
    true
}

/// So many questions wait for an answer at a time.
const AT_A_TIME: usize = 200;
