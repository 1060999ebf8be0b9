//! `lone64 run --record`: what the engine was told and what it did, and the same again without a network.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lone64::engine::{Change, Input, NeighborChange, Outcome, Output};
use lone64::trace::{Trace, replay};

use crate::client::lone64;
use crate::daemon::{Daemon, Settings, directory};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, c};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;
use crate::veths::Veths;

crate::cases![
    a_run_replays_to_the_same_outputs,
    every_kind_of_effect_has_its_outcome_in_the_trace,
    tells_the_engine_what_an_interface_did_not_take,
    tells_of_a_socket_that_cannot_be_opened_and_logs_it_once,
    notices_when_somebody_flushes_or_deletes_its_table,
    serves_without_a_trace_that_cannot_be_written,
];

/// The trace so far.
fn trace(file: &Path) -> Trace {
    let text = fs::read_to_string(file).unwrap();
    Trace::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn has(file: &Path, wanted: impl Fn(&Input) -> bool) -> bool {
    trace(file).entries.iter().any(|entry| wanted(&entry.input))
}

fn recording(settings: Settings, file: &Path) -> Settings {
    settings.arguments(&format!("--record {}", file.display()))
}

fn a_run_replays_to_the_same_outputs() {
    let (lab, place) = (Lab::veth(), directory());
    let file = place.join("trace");
    let settings = Settings::default().range(C, "br0", "").range(D, "gv1", "");
    let daemon = Daemon::start(&lab, recording(settings.clone(), &file));
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    link.answered(&Solicitation::multicast(ROUTER, PLAIN));
    link.unanswered(&Solicitation::multicast(ROUTER, c(0xdead)));
    // Things happen: an interface goes and comes, the policy changes, somebody takes a route away.
    lab.host.ip("link set gv1 down\nlink set gv1 up");
    settings.range("2001:db8:1:2:f::/112", "br0", "").write(&daemon.config());
    assert_eq!(lone64(&daemon.socket(), "reload").status.code(), Some(0));
    lab.host.ip(&format!("route del unreachable {C} dev lo proto 64"));
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    daemon.stop();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "it holds addresses");
    let trace = trace(&file);
    assert_eq!(trace.end, None);
    let inputs =
        |wanted: fn(&Input) -> bool| trace.entries.iter().filter(|entry| wanted(&entry.input)).count();
    assert!(inputs(|input| matches!(input, Input::Solicitation(..))) >= 4);
    assert_eq!(inputs(|input| matches!(input, Input::Reload(_))), 1);
    assert_eq!(inputs(|input| matches!(input, Input::Stop)), 1);
    let answers = trace.entries.iter().flat_map(|entry| entry.outputs.iter().flatten());
    assert!(answers.filter(|output| matches!(output, Output::Advertise(..))).count() >= 3);
    assert_eq!(replay(&trace), []);
    fs::remove_dir_all(place).unwrap();
}

fn every_kind_of_effect_has_its_outcome_in_the_trace() {
    let (lab, place) = (Lab::veth(), directory());
    let file = place.join("trace");
    let settings = Settings::default()
        .range(D, "gv1", "gateway = \"fe80::64\"")
        .range(C, "br0", "")
        .upstream("suppress-kernel = true\ngateway-source = \"global\"\n");
    lab.host.ip("neigh flush dev up0");
    let daemon = Daemon::start(&lab, recording(settings, &file));
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    let outcome = |what: &str, wanted: &dyn Fn(&Input) -> bool| {
        eventually(what, PATIENCE, || has(&file, wanted).then_some(()));
    };
    outcome("a route", &|input| matches!(input, Input::RouteChanged(Change::Add(_), Outcome::Done)));
    outcome("an address", &|input| matches!(input, Input::AddressChanged(..)));
    outcome("a socket", &|input| matches!(input, Input::EarChanged(_, Outcome::Done)));
    outcome("the table", &|input| matches!(input, Input::SuppressionChanged(Outcome::Done)));
    // The router answers, and the kernel is given its address.
    outcome("a neighbor", &|input| {
        matches!(input, Input::NeighborChanged(NeighborChange::Add(..) | NeighborChange::Revive(..), _))
    });
    lab.host.ip("link del gv1");
    daemon.stop();
    assert_eq!(replay(&trace(&file)), []);
    fs::remove_dir_all(place).unwrap();
}

/// A filter behind the interface drops what leaves, and the kernel says so to whoever sends it.
fn tells_the_engine_what_an_interface_did_not_take() {
    let (lab, place) = (Lab::veth(), directory());
    let file = place.join("trace");
    let settings = Settings::default().range(C, "br0", "answer = \"always\"").without_sentinels();
    let daemon = Daemon::start(&lab, recording(settings, &file));
    let mut link = Link::open(&lab);
    let question = Solicitation::multicast(ROUTER, c(0x77));
    link.send(&question);
    link.hear(&question, PATIENCE);
    lab.host.output("nft", "add table netdev t");
    lab.host.output(
        "nft",
        "add chain netdev t out { type filter hook egress device up0 priority 0; policy drop; }",
    );
    link.send(&question);
    eventually("the engine is told", PATIENCE, || {
        let is_it = |input: &Input| matches!(input, Input::Unsent(_, answer) if answer.target == c(0x77));
        has(&file, is_it).then_some(())
    });
    lab.host.output("nft", "delete table netdev t");
    link.send(&question);
    link.hear(&question, PATIENCE);
    daemon.stop();
    fs::remove_dir_all(place).unwrap();
}

fn tells_of_a_socket_that_cannot_be_opened_and_logs_it_once() {
    let (veths, place) = (Veths::new(1), directory());
    let (lab, file) = (&veths.lab, place.join("trace"));
    let daemon = Daemon::start(lab, recording(Veths::settings(), &file));
    // It has more descriptors than that already: not one more is to be had, not even to ask for a name.
    let limit = |most: usize| {
        lab.host.output("prlimit", &format!("--pid {} --nofile={most}:", daemon.pid()));
    };
    limit(3);
    let failures = || {
        let is_failure = |input: &Input| matches!(input, Input::EarChanged(_, Outcome::Failed(_)));
        trace(&file).entries.iter().filter(|entry| is_failure(&entry.input)).count()
    };
    lab.host.ip("link add vg1 type veth peer name far1\nlink set far1 up\nlink set vg1 up");
    eventually("the engine is told", PATIENCE, || (failures() > 0).then_some(()));
    let before = failures();
    // Another MAC is another thing to listen for.
    lab.host.ip("link set vg1 address 02:00:00:00:00:77");
    eventually("it is told again", PATIENCE, || (failures() > before).then_some(()));
    limit(1_000);
    lab.host.ip("link set vg1 address 02:00:00:00:00:78");
    eventually("it is listened on", PATIENCE, || {
        let vg1 = trace(&file).entries.iter().rev().find_map(|entry| match &entry.input {
            Input::EarChanged(_, outcome) => Some(outcome.clone()),
            _ => None,
        });
        (vg1 == Some(Outcome::Done)).then_some(())
    });
    let said = daemon.stop();
    assert_eq!(said.matches("cannot open a packet socket on vg1").count(), 1, "{said}");
    fs::remove_dir_all(place).unwrap();
}

fn notices_when_somebody_flushes_or_deletes_its_table() {
    for command in ["flush table ip6 lone64", "delete table ip6 lone64", "flush ruleset"] {
        let (lab, place) = (Lab::veth(), directory());
        let file = place.join("trace");
        let settings = Settings::default().range(C, "br0", "").upstream("suppress-kernel = true\n");
        let daemon = Daemon::start(&lab, recording(settings, &file));
        let lost = || trace(&file).entries.iter().filter(|e| e.input == Input::SuppressionLost).count();
        // Its own changes, and those of others to their tables, are none.
        lab.host.ip(&format!("addr add {}/128 dev up0 nodad", c(0x99)));
        lab.host.output("nft", "add table ip6 foreign");
        eventually("the table has followed", PATIENCE, || {
            lab.host.output("nft", "list table ip6 lone64").contains("return").then_some(())
        });
        assert_eq!(lost(), 0);
        lab.host.output("nft", command);
        eventually("it is noticed", PATIENCE, || (lost() == 1).then_some(()));
        let said = daemon.stop();
        assert!(said.contains("another program changed or removed the table ip6 lone64"), "{said}");
        fs::remove_dir_all(place).unwrap();
    }
}

fn serves_without_a_trace_that_cannot_be_written() {
    let lab = Lab::veth();
    let settings = Settings::default().range(C, "br0", "").arguments("--record /nowhere/trace");
    let daemon = Daemon::start(&lab, settings);
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    let said = daemon.stop();
    assert!(said.contains("cannot write the trace /nowhere/trace"), "{said}");
}
