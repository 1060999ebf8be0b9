//! The first range turns automatic off: what no range serves then is named by `run`, `check`, `status` and `doctor`, each
//! remedy serves it, and none of them says so any more.

use std::net::Ipv6Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::client::{ask, lone64, status};
use crate::daemon::{BINARY, Daemon, Settings, directory};
use crate::doctor::Patient;
use crate::endpoint::PATIENCE;
use crate::lab::{C, GUEST, Lab};
use crate::namespace::{Namespace, eventually};

crate::cases![
    is_named_at_the_start_and_served_by_the_range_that_is_named,
    is_served_by_automatic_beside_the_range,
    is_named_when_it_comes_and_told_to_be_gone,
    is_not_named_where_it_is_left_alone,
    is_named_by_check_with_and_without_a_network_to_name,
    is_a_warning_of_the_doctor_that_its_lines_heal,
];

/// The network of Docker, as `fixed-cidr-v6` makes it.
const NETWORK: &str = "2001:db8:1:2:e::/80";
const CONTAINER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xe, 0, 0, 5);

fn one_range() -> Settings {
    Settings::default().without_upstream().without_sentinels().range(C, "br0", "")
}

/// A bridge with a routed /80 and a container on it.
pub(crate) fn make_docker(lab: &Lab) -> Namespace {
    let container = Namespace::new();
    lab.host.ip(&format!(
        "link add docker0 type bridge forward_delay 0 mcast_snooping 0
         link add gp9 type veth peer name eth0 netns {}
         link set gp9 master docker0
         link set gp9 up
         link set docker0 up
         addr add fe80::b9/64 dev docker0 nodad
         addr add 2001:db8:1:2:e::1/80 dev docker0 nodad",
        container.path()
    ));
    container.ip(&format!(
        "link set eth0 up
         addr add {CONTAINER}/80 dev eth0 nodad
         route add default via 2001:db8:1:2:e::1 dev eth0"
    ));
    container
}

/// What the status says of networks, in text and as an object; it is healthy.
fn named_by_status(daemon: &Daemon) -> (String, Value) {
    let output = lone64(&daemon.socket(), "status");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "it is no fault: {text}");
    let object = lone64(&daemon.socket(), "status --json");
    assert_eq!(object.status.code(), Some(0));
    let mut object: Value = serde_json::from_slice(&object.stdout).unwrap();
    let networks = object["unserved"].take();
    assert_eq!(object["totals"]["unserved"], networks.as_array().unwrap().len());
    (text, networks)
}

/// Takes another configuration, and the answers begin.
fn reload(daemon: &Daemon, settings: &Settings) {
    settings.write(&daemon.config());
    let reply = ask(&daemon.socket(), r#"{"method":"reload"}"#);
    assert!(reply["result"]["changes"].as_array().is_some_and(|all| !all.is_empty()), "{reply}");
}

fn is_named_at_the_start_and_served_by_the_range_that_is_named() {
    let lab = Lab::veth();
    let _container = make_docker(&lab);
    let daemon = Daemon::start(&lab, one_range());
    let (text, networks) = named_by_status(&daemon);
    assert!(
        text.contains(&format!("unserved: no range serves {NETWORK} on docker0; these lines do:\n")),
        "{text}"
    );
    let [network] = &networks.as_array().unwrap()[..] else { panic!("{networks}") };
    assert_eq!((&network["prefix"], &network["interface"]), (&NETWORK.into(), &"docker0".into()));
    assert_eq!(network["upstream"], "up0");
    let lines = network["lines"].as_str().unwrap();
    assert_eq!(lines, format!("[[range]]\nprefix = \"{NETWORK}\"\ninterface = \"docker0\"\n"));
    for line in lines.lines() {
        assert!(text.contains(&format!("    {line}\n")), "{text}");
    }
    assert_eq!(status(&daemon)["problems"], serde_json::json!([]));

    reload(&daemon, &one_range().rest(lines));
    assert_eq!(named_by_status(&daemon).1, serde_json::json!([]));
    lab.router.ping(&CONTAINER.to_string());
    lab.router.ping(&GUEST.to_string());
    let said = daemon.stop();
    let sentence = format!(
        "no range serves {NETWORK} on docker0: add a [[range]] with prefix = \"{NETWORK}\" and interface = \"docker0\", \
         or automatic = true in [[upstream]]"
    );
    assert_eq!(said.matches(&sentence).count(), 1, "{said}");
    assert_eq!(said.matches(&format!("{NETWORK} on docker0 is served now")).count(), 1, "{said}");
}

fn is_served_by_automatic_beside_the_range() {
    let lab = Lab::veth();
    let _container = make_docker(&lab);
    let daemon = Daemon::start(&lab, one_range());
    let instead = named_by_status(&daemon).1[0]["instead"].take();
    assert!(
        instead.as_str().unwrap().starts_with("automatic = true in [[upstream]] serves all"),
        "{instead}"
    );
    // As it is typed by somebody who has no such table yet.
    reload(&daemon, &one_range().rest("[[upstream]]\nautomatic = true\n"));
    assert_eq!(named_by_status(&daemon).1, serde_json::json!([]));
    lab.router.ping(&CONTAINER.to_string());
    lab.router.ping(&GUEST.to_string());
    daemon.stop();
}

fn is_named_when_it_comes_and_told_to_be_gone() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, one_range());
    assert_eq!(named_by_status(&daemon).1, serde_json::json!([]));
    for _ in 0..2 {
        let container = make_docker(&lab);
        eventually("it is named", PATIENCE, || {
            (named_by_status(&daemon).1[0]["prefix"] == NETWORK).then_some(())
        });
        lab.host.ip("link del docker0\nlink del gp9");
        eventually("it is gone", PATIENCE, || {
            (named_by_status(&daemon).1 == serde_json::json!([])).then_some(())
        });
        drop(container);
    }
    let said = daemon.stop();
    assert_eq!(said.matches(&format!("no range serves {NETWORK} on docker0")).count(), 2, "{said}");
    assert_eq!(said.matches(&format!("{NETWORK} on docker0 is gone")).count(), 2, "{said}");
}

fn is_not_named_where_it_is_left_alone() {
    let lab = Lab::veth();
    let _container = make_docker(&lab);
    for silent in [
        one_range().rest("[[upstream]]\nautomatic = false\n"),
        one_range().rest("[[upstream]]\nautomatic = true\nignore = [\"docker0\"]\n"),
        one_range().range(NETWORK, "docker0", "answer = \"never\"\n"),
    ] {
        let daemon = Daemon::start(&lab, silent);
        let (text, networks) = named_by_status(&daemon);
        assert!(!text.contains("unserved") && networks == serde_json::json!([]), "{text}");
        let said = daemon.stop();
        assert!(!said.contains("no range serves"), "{said}");
    }
}

/// What `check` prints on the host, and its object.
fn check(lab: &Lab, file: &Path) -> (String, Value) {
    let run = |json: bool| {
        let mut command = Command::new(BINARY);
        command.arg("check").args(json.then_some("--json")).arg(file);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let output = lab.host.spawn(&mut command).wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "the configuration is good");
        String::from_utf8(output.stdout).unwrap()
    };
    (run(false), serde_json::from_str(&run(true)).unwrap())
}

fn is_named_by_check_with_and_without_a_network_to_name() {
    let lab = Lab::veth();
    let directory = directory();
    let file = directory.join("lone64.toml");
    one_range().write(&file);
    let (text, object) = check(&lab, &file);
    assert!(!text.contains("unserved"), "{text}");
    assert_eq!(object["unserved"], serde_json::json!([]));

    let _container = make_docker(&lab);
    let (text, object) = check(&lab, &file);
    assert!(
        text.contains(&format!("unserved: no range serves {NETWORK} on docker0; these lines do:\n")),
        "{text}"
    );
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.ends_with("lone64.toml is good: 1 range on the upstream of the default route."), "{text}");
    let lines = object["unserved"][0]["lines"].as_str().unwrap();
    one_range().rest(lines).write(&file);
    let (text, object) = check(&lab, &file);
    assert!(!text.contains("unserved"), "{text}");
    assert_eq!(object["unserved"], serde_json::json!([]));
    std::fs::remove_dir_all(directory).unwrap();
}

fn is_a_warning_of_the_doctor_that_its_lines_heal() {
    let one = one_range().text();
    let patient = Patient::with(Lab::veth(), &one);
    patient.is_well();
    let _container = make_docker(&patient.lab);
    let finding = patient.suffers_from("unserved", "warning", &[NETWORK, "docker0", "up0"]);
    let kinds: Vec<_> = finding.remedies.iter().map(|remedy| remedy.kind.as_str()).collect();
    assert_eq!(kinds, ["config", "advice"], "{finding:#?}");
    assert!(finding.remedies[1].text.contains("automatic = true in [[upstream]]"), "{finding:#?}");
    for remedy in [finding.remedies[0].text.as_str(), "[[upstream]]\nautomatic = true\n"] {
        patient.configure(&format!("{one}{remedy}"));
        patient.is_well();
    }
}
