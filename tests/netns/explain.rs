//! `lone64 explain`: what it says of guests, of nobody, and without a daemon; asked, not predicted.

use std::net::Ipv6Addr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::client::lone64;
use crate::daemon::{BINARY, Daemon, Settings, directory};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, ROUTER, UPSTREAM_GLOBAL, c};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    says_that_a_live_guest_is_answered_for,
    finds_a_guest_that_nobody_has_asked_for,
    finds_nobody_at_a_dead_address,
    names_the_range_that_is_missing,
    explains_without_a_daemon_from_the_configuration_and_the_kernel,
    leaves_the_hosts_own_address_to_the_kernel,
    waits_for_a_tentative_address,
    knows_that_no_guest_has_the_anycast_address_of_routers,
    gives_no_advice_for_a_prefix_that_is_routed_here,
    tells_what_the_kernel_does_with_table_and_rule,
    says_that_packets_do_not_arrive_although_it_is_answered_for,
];

fn says_that_a_live_guest_is_answered_for() {
    let lab = Lab::veth();
    let daemon = start(&lab);
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    let (status, text) = explain(&lab, &daemon, &GUEST.to_string());
    assert_eq!(status, 0, "{text}");
    assert!(text.ends_with("\nit is answered for; answers so far: 1.\n") && !text.contains('✗'), "{text}");
    let (status, text) = explain(&lab, &daemon, &format!("--json {GUEST}"));
    let explained: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &explained["outcome"]), (0, &"answered".into()), "{text}");
    assert_eq!((&explained["running"], &explained["answered"]), (&true.into(), &1.into()), "{text}");
    assert_eq!(value_of(&explained, "range"), C);
    assert!(value_of(&explained, "liveness").contains("02:00:00:00:00:05"), "{text}");
}

fn finds_a_guest_that_nobody_has_asked_for() {
    let lab = Lab::veth();
    // The group that it reports does not say which of 2^48 addresses it has.
    let guest: Ipv6Addr = "2001:db8:1:2:d:fa:7000:5".parse().unwrap();
    lab.plain.ip(&format!("addr add {guest}/128 dev eth0 nodad"));
    let daemon = Daemon::start(&lab, Settings::default().range("2001:db8:1:2:d::/80", "gv1", ""));
    let mut link = Link::open(&lab);
    let (status, text) = explain(&lab, &daemon, &guest.to_string());
    assert_eq!(status, 1, "nobody has asked for it: {text}");
    assert!(text.contains("\nnobody knows yet: "), "{text}");
    let (status, text) = explain(&lab, &daemon, &format!("--probe {guest}"));
    assert_eq!(status, 0, "{text}");
    assert!(text.ends_with("\nit is answered for.\n"), "{text}");
    link.answered(&Solicitation::multicast(ROUTER, guest));
}

fn finds_nobody_at_a_dead_address() {
    let lab = Lab::veth();
    let daemon = start(&lab);
    let (status, text) = explain(&lab, &daemon, &format!("--json --probe {}", c(0xdead)));
    let explained: Value = serde_json::from_str(&text).unwrap();
    // It has been asked for in vain, and the next question would ask once more.
    assert_eq!((status, &explained["outcome"]), (1, &"probed".into()), "{text}");
    assert!(value_of(&explained, "liveness").starts_with("did not reply a moment ago"), "{text}");
    assert_eq!(explained["answered"], 0);
    let (_, text) = explain(&lab, &daemon, &format!("--probe {}", c(0xdead)));
    assert!(text.ends_with("\nits guest was asked just now, and did not reply.\n"), "{text}");
    Link::open(&lab).unanswered(&Solicitation::multicast(ROUTER, c(0xdead)));
}

fn leaves_the_hosts_own_address_to_the_kernel() {
    let lab = Lab::veth();
    let daemon = start(&lab);
    let (status, text) = explain(&lab, &daemon, &UPSTREAM_GLOBAL.to_string());
    assert_eq!(status, 0, "{text}");
    assert!(text.ends_with("\nthe kernel answers for it.\n") && !text.contains('✗'), "{text}");
    lab.router.ping(&UPSTREAM_GLOBAL.to_string());
}

fn waits_for_a_tentative_address() {
    let lab = Lab::veth();
    let daemon = start(&lab);
    // A minute, in which nobody answers.
    lab.host.sysctls(&[("net/ipv6/conf/up0/accept_dad", "1"), ("net/ipv6/conf/up0/dad_transmits", "60")]);
    lab.host.run(|| {
        Command::new("ip").args("-6 addr add 2001:db8:1:2::77/64 dev up0".split(' ')).status().unwrap()
    });
    let (status, text) = eventually("the daemon knows it", PATIENCE, || {
        let said = explain(&lab, &daemon, "2001:db8:1:2::77");
        said.1.contains("a tentative address of up0").then_some(said)
    });
    assert_eq!(status, 1, "{text}");
    assert!(
        text.contains("dadfailed") && text.ends_with("it is not answered for (upstream_address).\n"),
        "{text}"
    );
}

fn knows_that_no_guest_has_the_anycast_address_of_routers() {
    let lab = Lab::veth();
    let daemon = start(&lab);
    let (status, text) = explain(&lab, &daemon, &c(0).to_string());
    assert_eq!(status, 1, "{text}");
    let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(&format!("the subnet-router anycast address of {C}")), "{text}");
    assert!(said.contains("do: give the guest another address"), "{text}");
}

fn gives_no_advice_for_a_prefix_that_is_routed_here() {
    let lab = Lab::veth();
    lab.router.ip("route add 2001:db8:77::/64 via fe80::2 dev rt0");
    lab.host.ip("addr add 2001:db8:77::1/64 dev br0 nodad");
    let daemon = start(&lab);
    let (status, text) = explain(&lab, &daemon, "2001:db8:77::5");
    assert_eq!(status, 1, "{text}");
    let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!said.contains("add a [[range]]"), "{text}");
    assert!(said.contains("it needs no answer") && said.contains("the kernel forwards it by br0"), "{text}");
    // Nor for what nobody sends here.
    let (_, text) = explain(&lab, &daemon, "2001:db8:99::5");
    let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!said.contains("add a [[range]]") && said.contains("nobody asks for it here"), "{text}");
}

fn tells_what_the_kernel_does_with_table_and_rule() {
    let lab = Lab::veth();
    lab.host.ip(&format!(
        "route add default via fe80::1 dev up0 table 100\nrule add from {C} lookup 100 priority 1000"
    ));
    let daemon = start(&lab);
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    let (status, text) = explain(&lab, &daemon, &GUEST.to_string());
    assert_eq!(status, 0, "{text}");
    let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("sends packets for it that arrive on up0 to br0 (table main, rule 32766)"),
        "{text}"
    );
    assert!(
        said.contains("sends what comes from it on br0 to up0 via fe80::1 (table 100, rule 1000)"),
        "{text}"
    );
}

fn says_that_packets_do_not_arrive_although_it_is_answered_for() {
    let lab = Lab::veth();
    let daemon = start(&lab);
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    lab.host
        .ip(&format!("route add unreachable default table 100\nrule add from {C} lookup 100 priority 1000"));
    let (status, text) = explain(&lab, &daemon, &GUEST.to_string());
    assert_eq!(status, 1, "{text}");
    let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("✗ kernel sends what comes from it on br0 nowhere"), "{text}");
    assert!(
        said.ends_with("it is answered for, and packets may not reach it: see `kernel`; answers so far: 1."),
        "{text}"
    );
}

fn names_the_range_that_is_missing() {
    let lab = Lab::veth();
    let daemon = start(&lab);
    let outside: Ipv6Addr = "2001:db8:1:2:bad::1".parse().unwrap();
    for words in [outside.to_string(), format!("--probe {outside}")] {
        let (status, text) = explain(&lab, &daemon, &words);
        assert_eq!(status, 1, "{text}");
        assert!(text.contains("✗ range       outside all 3 ranges"), "{text}");
        assert!(text.ends_with("\nit is not answered for (no_range).\n"), "{text}");
    }
    let (_, text) = explain(&lab, &daemon, &format!("--json {outside}"));
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["reason"], "no_range");
}

fn explains_without_a_daemon_from_the_configuration_and_the_kernel() {
    let lab = Lab::veth();
    let place = directory();
    let socket = format!("[control]\nsocket = \"{}\"\n", place.join("control.sock").display());
    let config = place.join("lone64.toml");
    settings().rest(&socket).write(&config);
    let explain = |words: &str| {
        let arguments = format!("explain --config {} {words}", config.display());
        let mut command = Command::new(BINARY);
        // Its marks are not those of every locale.
        command.env("LC_ALL", "C.UTF-8");
        command.args(arguments.split_whitespace()).stdin(Stdio::null());
        ended(lab.host.run(|| command.output()).unwrap())
    };
    // The configuration decides.
    let (status, text) = explain("2001:db8:1:2:bad::1");
    assert_eq!(status, 1, "{text}");
    assert!(
        text.ends_with("\nNo lone64 is running; with one, it is not answered for (no_range).\n"),
        "{text}"
    );
    // The kernel knows this one, and no other.
    lab.host.ip(&format!("neigh replace {GUEST} lladdr 02:00:00:00:00:05 dev br0 nud permanent"));
    let (status, text) = explain(&GUEST.to_string());
    assert_eq!(status, 0, "{text}");
    assert!(text.ends_with("\nNo lone64 is running; with one, it is answered for.\n"), "{text}");
    let (status, text) = explain(&format!("--json {}", c(6)));
    let explained: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &explained["outcome"]), (1, &"probed".into()), "{text}");
    assert_eq!(explained["running"], false);
    // Only a daemon can ask.
    let (status, text) = explain(&format!("--probe {GUEST}"));
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("no lone64 answers at "), "{text}");
    std::fs::remove_dir_all(place).unwrap();
}

fn settings() -> Settings {
    Settings::default().range(C, "br0", "").range(D, "gv1", "")
}

fn start(lab: &Lab) -> Daemon {
    Daemon::start(lab, settings().rest("[timers]\nretransmit = \"100ms\"\nabsent = \"60s\"\n"))
}

/// `lone64 explain …` on the host, asking its daemon.
fn explain(lab: &Lab, daemon: &Daemon, words: &str) -> (i32, String) {
    let socket = daemon.socket();
    ended(lab.host.run(|| lone64(&socket, &format!("explain {words}"))))
}

/// Its exit status, and all that it said.
fn ended(output: std::process::Output) -> (i32, String) {
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().expect("no signal"), String::from_utf8(text).unwrap())
}

/// What the step about this subject has found.
fn value_of<'a>(explained: &'a Value, subject: &str) -> &'a str {
    let steps = explained["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["subject"] == subject);
    step.unwrap_or_else(|| panic!("no {subject} in {explained}"))["value"].as_str().unwrap()
}
