//! What the doctor says of lone64 itself: running, with which configuration, and what it serves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::served::Served;
use super::{IDLE, Patient};
use crate::client::ask;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, GUEST, Lab, ROUTER_AT_LARGE};
use crate::namespace::eventually;

crate::cases![
    warns_where_no_lone64_runs,
    tells_what_systemd_says_of_the_unit,
    warns_where_the_unit_keeps_readers_of_the_metrics_away,
    finds_that_its_socket_is_gone,
    finds_that_the_socket_of_the_metrics_is_gone,
    finds_a_second_one,
    looks_at_what_the_running_daemon_serves,
    tells_that_the_file_has_changed_or_was_refused,
    tells_that_the_file_is_gone,
    tells_that_the_file_has_a_mistake_that_the_daemon_has_not_read,
    tells_of_another_configuration,
    warns_where_nothing_is_served_with_the_lines_that_do,
    warns_where_only_the_gateway_s_address_is_served,
    prints_one_json_value_whatever_fails,
];

fn one() -> Settings {
    Settings::default().without_sentinels().upstream("automatic = false\n").range(C, "br0", "")
}

fn warns_where_no_lone64_runs() {
    let patient = Patient::healthy();
    let (findings, status) = patient.all(&[], &[]);
    let [only] = &findings[..] else { panic!("{findings:#?}") };
    assert!(only.text.starts_with(IDLE) && only.severity == "warning" && status == 0, "{only:?}");
    assert!(only.remedies[0].text.contains("lone64 run"), "{only:?}");
    Served::start(Lab::veth(), one()).is_well();
}

/// A machine with systemd, as it looks to its readers.
fn with_systemd(patient: &Patient, says: &str) {
    patient.file("run/systemd/system/.keep", "");
    patient.file("usr/bin/systemctl", &format!("#!/bin/sh\ncat <<'END'\n{says}END\n"));
    let program = patient.directory().join("usr/bin/systemctl");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("our file");
}

fn tells_what_systemd_says_of_the_unit() {
    let patient = Patient::healthy();
    with_systemd(
        &patient,
        "LoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=disabled\nNRestarts=0\n",
    );
    let (findings, status) = patient.all(&[], &[]);
    assert_eq!((findings[0].check.as_str(), status), ("running", 0), "{findings:#?}");
    assert_eq!(findings[0].remedies[0].text, "systemctl enable --now lone64.service");

    with_systemd(
        &patient,
        "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled\nNRestarts=5\n",
    );
    let (findings, status) = patient.all(&[], &[]);
    assert_eq!((findings[0].severity.as_str(), status), ("fault", 1), "{findings:#?}");
    assert!(findings[0].text.contains("ends again as soon as it is started"), "{findings:#?}");

    let served = Served::start(Lab::veth(), one());
    with_systemd(
        &served.patient,
        "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=disabled\nNRestarts=0\n",
    );
    let warnings = served.has_no_fault();
    assert!(warnings[0].text.contains("the next boot does not start it"), "{warnings:#?}");
    assert_eq!(warnings[0].remedies[0].text, "systemctl enable lone64.service");
}

fn warns_where_the_unit_keeps_readers_of_the_metrics_away() {
    let active =
        "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nNRestarts=0\n";
    let alone = format!("{active}IPAddressDeny=::/0 0.0.0.0/0\nIPAddressAllow=127.0.0.0/8 ::1/128\n");
    let served = Served::start_with(Lab::veth(), one(), "metrics = \"[::]:9164\"\n");
    with_systemd(&served.patient, &alone);
    let warnings = served.has_no_fault();
    let [only] = &warnings[..] else { panic!("{warnings:#?}") };
    assert_eq!(only.check, "metrics");
    assert!(only.text.starts_with("no other host can read the metrics at [::]:9164: lone64.service drops"));
    assert!(only.remedies[0].text.contains("IPAddressAllow= with the address of the Prometheus"), "{only:?}");
    // As the remedy says.
    with_systemd(&served.patient, &format!("{} 2001:db8:9::9/128\n", alone.trim_end()));
    assert!(served.has_no_fault().is_empty());
    // On this host everyone can.
    let served = Served::start_with(Lab::veth(), one(), "metrics = \"[::1]:9164\"\n");
    with_systemd(&served.patient, &alone);
    assert!(served.has_no_fault().is_empty());
}

fn finds_that_its_socket_is_gone() {
    let served = Served::start(Lab::veth(), one());
    fs::remove_file(&served.socket).expect("it is there");
    let (warnings, status) = served.patient.all(&[], &[]);
    assert_eq!(status, 0, "{warnings:#?}");
    assert!(warnings[0].text.contains("but its control socket"), "{warnings:#?}");
    assert_eq!(warnings[0].remedies[0].text, format!("kill -HUP {}", served.daemon.pid()));
    served.patient.shell(&warnings[0].remedies[0].text);
    eventually("its socket is there again", PATIENCE, || served.socket.exists().then_some(()));
    served.is_well();
}

fn finds_that_the_socket_of_the_metrics_is_gone() {
    let socket = crate::daemon::directory().join("metrics.sock");
    let served = Served::start_with(Lab::veth(), one(), &format!("metrics = \"{}\"\n", socket.display()));
    served.is_well();
    fs::remove_file(&socket).expect("it is there");
    let warnings = served.has_no_fault();
    let [only] = &warnings[..] else { panic!("{warnings:#?}") };
    assert!(only.check == "metrics" && only.text.contains("is gone: nobody can read them"), "{only:?}");
    let remedy = format!("lone64 reload --config {}", served.daemon.config().display());
    assert_eq!(only.remedies[0].text, remedy);
    let words: Vec<_> = remedy.split(' ').skip(1).collect();
    let reload = Command::new(crate::daemon::BINARY).args(words).output().expect("it ends");
    assert!(reload.status.success(), "{reload:?}");
    served.is_well();
}

/// One that waits, under the name of a daemon: a real one ends where another serves.
fn finds_a_second_one() {
    let served = Served::start(Lab::veth(), one());
    let shell =
        ["/bin/dash", "/bin/bash", "/bin/sh"].into_iter().find(|path| fs::exists(path).unwrap_or(false));
    let program = served.patient.directory().join("lone64");
    fs::copy(shell.expect("a shell"), &program).expect("a temporary file");
    let mut command = Command::new(program);
    command.args(["-c", "read x", "run"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut second = served.patient.lab.host.spawn(&mut command);
    let (warnings, number) = eventually("it runs", PATIENCE, || {
        let warnings = served.has_no_fault();
        (!warnings.is_empty()).then(|| (warnings, second.id().to_string()))
    });
    assert!(
        warnings[0].text.contains("2 processes of lone64 run in this network namespace"),
        "{warnings:#?}"
    );
    assert!(warnings[0].text.contains(&number), "{warnings:#?}");
    second.kill().expect("our child");
    second.wait().expect("our child");
    served.is_well();
}

/// Started with options alone, it is found by its command line; its ranges are examined, and not those of a file.
fn looks_at_what_the_running_daemon_serves() {
    let lab = Lab::veth();
    let daemon = Daemon::start_with_options(&lab, &format!("--upstream up0 --range {C}=br0"));
    let patient = Patient::with(lab, "");
    let examine = || {
        let mut command = Command::new(crate::daemon::BINARY);
        command.args(["doctor", "--json", "--root"]).arg(patient.directory());
        let output = patient.lab.host.run(|| command.output()).expect("it ends");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("one object")
    };
    let found = |report: &serde_json::Value, check: &str| {
        let checks = report["checks"].as_array().expect("checks");
        checks.iter().find(|one| one["name"] == check).expect("the check")["findings"].to_string()
    };
    let report = examine();
    assert_eq!(found(&report, "running"), "[]", "{report:#}");
    assert_eq!(found(&report, "lookups"), "[]", "{report:#}");
    // It is the range of the option that is looked at.
    patient.lab.host.ip("route add 2001:db8:1:2:c::10/124 dev gv1 proto static");
    let report = examine();
    assert!(found(&report, "lookups").contains("2001:db8:1:2:c::10/124"), "{report:#}");
    daemon.stop();
}

fn tells_that_the_file_has_changed_or_was_refused() {
    let served = Served::start(Lab::veth(), one());
    let file = served.daemon.config();
    let before = fs::read_to_string(&file).expect("its file");
    fs::write(&file, format!("{before}\n[timers]\nabsent = \"4s\"\n")).expect("its file");
    let warnings = served.has_no_fault();
    assert!(warnings[0].text.contains("has changed since lone64 loaded it"), "{warnings:#?}");
    let named = file.display();
    assert_eq!(warnings[0].remedies[0].text, format!("lone64 reload --config {named}"));

    let control =
        before.lines().find_map(|line| line.strip_prefix("socket = ")).expect("a socket").trim_matches('"');
    fs::write(&file, format!("{before}\n[timers]\nabsent = \"0s\"\n")).expect("its file");
    assert_eq!(ask(control.as_ref(), r#"{"method":"reload"}"#)["error"]["code"], "refused");
    fs::write(&file, &before).expect("its file");
    let warnings = served.has_no_fault();
    assert!(
        warnings[0].text.contains("a reload was refused") && warnings[0].text.contains("absent"),
        "{warnings:#?}"
    );
    let line = format!("lone64 check {named} && lone64 reload --config {named}");
    assert_eq!(warnings[0].remedies[0].text, line);
    assert!(!warnings[0].text.contains('^'), "marks stand under nothing: {warnings:#?}");
}

/// Also where the doctor has to find the daemon by the command line of its process.
fn tells_that_the_file_is_gone() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, one());
    let patient = Patient::with(lab, "");
    let file = daemon.config();
    fs::remove_file(&file).expect("its file");
    let mut command = Command::new(crate::daemon::BINARY);
    command.args(["doctor", "--json", "--root"]).arg(patient.directory());
    let output = patient.lab.host.run(|| command.output()).expect("it ends");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    let checks = report["checks"].as_array().expect("checks");
    let check = checks.iter().find(|one| one["name"] == "configuration").expect("the check");
    let finding = &check["findings"][0];
    let file = file.display();
    assert_eq!(
        finding["sentence"],
        format!("{file} is gone: lone64 goes on with what it has loaded before, until it is started again"),
        "{report:#}"
    );
    let advice = finding["remedies"][0].to_string();
    assert!(advice.contains(&format!("put it back, then run `lone64 reload --config {file}`")), "{finding}");
}

fn tells_that_the_file_has_a_mistake_that_the_daemon_has_not_read() {
    let served = Served::start(Lab::veth(), one());
    let file = served.daemon.config();
    let before = fs::read_to_string(&file).expect("its file");
    fs::write(&file, format!("{before}\n[timers]\nabsent = \"0s\"\n")).expect("its file");
    let warnings = served.has_no_fault();
    assert!(warnings[0].text.contains("the configuration has a mistake"), "{warnings:#?}");
    assert!(warnings[0].text.contains("`absent` cannot be"), "{warnings:#?}");
}

fn tells_of_another_configuration() {
    let mut served = Served::start(Lab::veth(), one());
    let config = fs::read_to_string(served.daemon.config()).expect("its file");
    served.patient.configure(&config);
    let other = served.patient.directory().join("lone64.toml");
    served.patient.reads(other);
    let warnings = served.has_no_fault();
    assert!(warnings[0].text.contains("the running lone64 has loaded"), "{warnings:#?}");
}

/// The lab without what automatic serves, but with a bridge that has no address.
fn bare() -> Lab {
    let lab = Lab::veth();
    lab.host.ip("link del gv1\naddr flush dev br0 scope global");
    lab.guest.ip("route replace default via fe80::1 dev eth0");
    lab
}

fn warns_where_nothing_is_served_with_the_lines_that_do() {
    let sentence = "nothing to serve yet: give the guests' interface a prefix out of 2001:db8:1:2::/64";
    let served = Served::start(bare(), Settings::default().without_sentinels());
    let warnings = served.has_no_fault();
    let [only] = &warnings[..] else { panic!("{warnings:#?}") };
    assert!(only.text.contains(sentence), "{only:?}");
    let lines = only.remedies[0].text.clone();
    let text = |command: &str| {
        let mut program = Command::new(crate::daemon::BINARY);
        program.args(command.split_whitespace()).arg(served.daemon.config());
        let output = served.patient.lab.host.run(|| program.output()).expect("it ends");
        String::from_utf8(output.stdout).expect("text")
    };
    let status = text("status --config");
    assert!(
        status.contains("warning: nothing to serve yet")
            && status.contains(lines.lines().next().unwrap_or("?")),
        "{status}"
    );
    let check = text("check");
    assert!(
        check.contains("warning: nothing to serve yet") && check.contains("interface = \"br0\""),
        "{check}"
    );
    // The lines serve.
    let before = fs::read_to_string(served.daemon.config()).expect("its file");
    fs::write(served.daemon.config(), before + &lines).expect("its file");
    let reload = Command::new(crate::daemon::BINARY)
        .args(["reload", "--config"])
        .arg(served.daemon.config())
        .output()
        .expect("it ends");
    assert!(reload.status.success(), "{reload:?}");
    served.patient.lab.router.ping(&GUEST.to_string());
    served.patient.lab.guest.ping(&format!("-I {GUEST} {}", ROUTER_AT_LARGE.address));
    served.is_well();
    let Served { daemon, .. } = served;
    let said = daemon.stop();
    assert!(said.contains("WARN") && said.contains("nothing to serve yet"), "{said}");
}

/// The bridge has an address out of the upstream's /64, with its mask: no guest is served, before and after the mask is
/// corrected.
fn warns_where_only_the_gateway_s_address_is_served() {
    let lab = bare();
    lab.host.ip("addr add 2001:db8:1:2::c/64 dev br0 nodad");
    let served = Served::start(lab, Settings::default().without_sentinels());
    let (findings, _) = served.patient.all(&[], &[]);
    let checks: Vec<_> = findings.iter().map(|finding| finding.check.as_str()).collect();
    assert_eq!(checks, ["shared-prefix", "serving"], "{findings:#?}");
    served.patient.shell(&findings[0].remedies[0].text);
    let warnings = served.has_no_fault();
    let [only] = &warnings[..] else { panic!("{warnings:#?}") };
    assert!(only.check == "serving" && only.text.contains("nothing to serve yet"), "{only:?}");
    assert!(only.remedies[0].text.contains("interface = \"br0\""), "{only:?}");
}

fn prints_one_json_value_whatever_fails() {
    // Nobody can be followed where nothing is served.
    let patient = Patient::with(bare(), "");
    let output = patient.output(&["--json", "--live"]);
    let mut values = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<serde_json::Value>();
    let first = values.next().expect("a value").expect("JSON");
    assert!(values.next().is_none(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(1));
    assert!(first["checks"].is_array() && first["error"]["message"].is_string(), "{first:#}");
    assert_eq!(first["healthy"], false);
}
