//! `lone64 explain`: what it says of guests, of nobody, and without a daemon; asked, not predicted.

use std::net::Ipv6Addr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::client::lone64;
use crate::daemon::{BINARY, Daemon, Settings, directory};
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, c};
use crate::link::Link;
use crate::solicitation::Solicitation;

crate::cases![
    says_that_a_live_guest_is_answered_for,
    finds_a_guest_that_nobody_has_asked_for,
    finds_nobody_at_a_dead_address,
    names_the_range_that_is_missing,
    explains_without_a_daemon_from_the_configuration_and_the_kernel,
];

fn says_that_a_live_guest_is_answered_for() {
    let lab = Lab::veth();
    let daemon = start(&lab);
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    let (status, text) = explain(&lab, &daemon, &GUEST.to_string());
    assert_eq!(status, 0, "{text}");
    assert!(text.ends_with("\nit is answered for, and was once.\n") && !text.contains('✗'), "{text}");
    let (status, text) = explain(&lab, &daemon, &format!("--json {GUEST}"));
    let explained: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &explained["outcome"]), (0, &"answered".into()), "{text}");
    assert_eq!((&explained["running"], &explained["answered"]), (&true.into(), &1.into()), "{text}");
    assert_eq!(value_of(&explained, "range"), C);
    assert!(value_of(&explained, "liveness").contains("02:00:00:00:00:05"), "{text}");
}

fn finds_a_guest_that_nobody_has_asked_for() {
    let lab = Lab::veth();
    let daemon = start(&lab);
    let mut link = Link::open(&lab);
    let (status, text) = explain(&lab, &daemon, &PLAIN.to_string());
    assert_eq!(status, 1, "nobody has asked for it: {text}");
    assert!(text.contains("\nnobody knows yet: "), "{text}");
    let (status, text) = explain(&lab, &daemon, &format!("--probe {PLAIN}"));
    assert_eq!(status, 0, "{text}");
    assert!(text.ends_with("\nit is answered for.\n"), "{text}");
    link.answered(&Solicitation::multicast(ROUTER, PLAIN));
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
    Link::open(&lab).unanswered(&Solicitation::multicast(ROUTER, c(0xdead)));
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
