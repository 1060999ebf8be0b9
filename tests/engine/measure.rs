//! Probes with measure: many downstreams, scarce probes, default limits.
use crate::host::*;
use lone64::engine::facts::*;
use lone64::engine::policy::*;
use lone64::engine::{Input, Output};
use std::net::Ipv6Addr;

const VETHS: u32 = 2_000;

fn many_veths() -> Host {
    let mut host = Host::new(with(|policy| {
        policy.ranges[0].downstream = Downstream::Matching(vec!["veth*".parse().unwrap()]);
        policy.ranges[0].routes = RangeRoutes::Guests;
    }));
    let mut facts = Vec::new();
    for number in 0..VETHS {
        let (index, mac) = (IfIndex(100 + number), guest_mac(number as u16));
        facts.push(Fact::Link(link(index, &format!("veth{number}"), LinkLayer::Ethernet(mac))));
        facts.push(has(index, "fe80::1/64"));
    }
    host.facts(facts);
    host.take();
    host
}

#[test]
fn a_dead_address_over_many_downstreams_costs_little_more_than_one_probe_each() {
    let mut host = many_veths();
    host.ask(guest(1_000));
    host.pass(seconds(10));
    let probes = host.engine.counters().probes;
    assert!((2_000..=2_300).contains(&probes), "{probes} probes");
}

/// Waits until the target is asked for on its link, and lets it reply. When it was answered for.
fn first_answer(host: &mut Host, target: Ipv6Addr, home: IfIndex) -> u128 {
    let asked_at = host.now;
    host.solicit(question(target));
    for _ in 0..10_000 {
        for output in host.take() {
            match output {
                Output::Solicit(link, probe) if link == home && probe.target == target => {
                    host.input(Input::Advertisement(home, reply(target, guest_mac(1))));
                }
                Output::Advertise(UP, answer) if answer.target == target => {
                    return host.now.since(asked_at).as_millis();
                }
                _ => {}
            }
        }
        host.pass(millis(1));
    }
    panic!("no answer")
}

#[test]
fn dead_addresses_do_not_keep_a_silent_guest_behind_many_downstreams_waiting() {
    let mut host = many_veths();
    for round in 0..20_u16 {
        host.solicit(question(guest(1_000 + round)));
        host.pass(seconds(2));
        let home = IfIndex(100 + u32::from(round) * 97 % VETHS);
        let waited = first_answer(&mut host, guest(5_000 + round), home);
        assert!(waited <= 1_000, "{waited} ms in round {round}");
    }
}

#[test]
fn every_try_is_a_probe_also_where_probes_are_scarce() {
    let mut host = Host::new(with(|policy| policy.limits.probes_per_second = 1));
    host.ask(guest(5));
    let (mut sent, mut number) = (1, 100);
    // Somebody scans: whatever probe there is, is taken by the next dead address.
    while !host.is_absent(guest(5)) {
        host.pass(millis(999));
        host.now = host.now + millis(1);
        number += 1;
        host.solicit(question_from(address("fe80::2"), guest_mac(9), guest(number)));
        host.input(Input::Timeout);
        sent += host.probes().iter().filter(|probe| probe.target == guest(5)).count();
        assert!(number < 1_000, "it is never over");
    }
    assert_eq!(sent, 3);
}

#[test]
fn the_default_limits_leave_most_probes_for_questions_when_all_targets_are_confirmed() {
    let (limits, timers) = (Limits::default(), Timers::default());
    let for_keepalive = limits.targets as f64 / timers.keepalive.as_secs_f64();
    assert!(for_keepalive <= f64::from(limits.probes_per_second) / 3.0, "{for_keepalive} a second");
}
