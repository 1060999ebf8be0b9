//! What is in force: which files, since when, whether they still say so, and what a reload changes, key by key.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Command;

use serde_json::Value;

use crate::client::{ask, ended, lone64, start, status};
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    tells_which_files_are_in_force_and_whether_they_still_are,
    tells_that_the_file_is_gone_and_goes_on,
    tells_every_key_with_where_it_came_from,
    tells_each_key_that_a_reload_changes_before_and_after,
    logs_as_much_as_options_and_environment_say,
    shows_a_part_of_the_status,
    fits_forty_columns,
    ends_when_its_reader_does,
];

fn timers(absent: &str) -> Settings {
    Settings::default().range(C, "br0", "").rest(&format!("[timers]\nabsent = \"{absent}\"\n"))
}

fn text(arguments: &str, daemon: &Daemon) -> (Option<i32>, String) {
    let output = lone64(&daemon.socket(), arguments);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn tells_which_files_are_in_force_and_whether_they_still_are() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, timers("3s"));
    let file = daemon.config().display().to_string();
    let config = || status(&daemon)["config"].clone();
    let first = config();
    assert_eq!((&first["file"], &first["files"]), (&file.as_str().into(), &vec![file.as_str()].into()));
    assert_eq!((&first["changed_since"], &first["last_refusal"]), (&false.into(), &Value::Null));
    assert!(first["loaded_seconds"].is_u64() && first["keys"].is_null(), "{first}");
    let (code, said) = text("status", &daemon);
    assert!(code == Some(0) && said.contains(&format!("config {file}")), "{said}");

    timers("0s").write(&daemon.config());
    assert_eq!(config()["changed_since"], true);
    let (code, said) = text("status", &daemon);
    assert!(code == Some(0) && said.contains("has changed;"), "{said}");

    assert_eq!(ask(&daemon.socket(), r#"{"method":"reload"}"#)["error"]["code"], "refused");
    let refused = config()["last_refusal"].clone();
    assert!(refused["message"].as_str().unwrap().contains("`absent` cannot be \"0s\""), "{refused}");
    assert_eq!(
        (&refused["problems"][0]["origin"], refused["seconds"].is_u64()),
        (&file.as_str().into(), true)
    );
    let (code, said) = text("status --problems", &daemon);
    assert!(code == Some(1) && said.contains("config: a reload was refused"), "{said}");

    // A drop-in is a change, too; and what is taken is in force.
    timers("3s").write(&daemon.config());
    let drop_ins = daemon.config().with_extension("d");
    fs::create_dir(&drop_ins).unwrap();
    let drop_in = drop_ins.join("10-plain.toml");
    fs::write(&drop_in, format!("[[range]]\nprefix = \"{D}\"\ninterface = \"gv1\"\n")).unwrap();
    assert_eq!(config()["changed_since"], true);
    let reply = ask(&daemon.socket(), r#"{"method":"reload"}"#);
    assert_eq!(reply["result"]["changes"], serde_json::json!([format!("range {D} added")]), "{reply}");
    let last = config();
    assert_eq!(last["files"], serde_json::json!([daemon.config(), drop_in]));
    assert_eq!((&last["changed_since"], &last["last_refusal"]), (&false.into(), &Value::Null));
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, PLAIN));
    // One that is removed again is one, too.
    fs::remove_file(&drop_in).unwrap();
    assert_eq!((&config()["changed_since"], &config()["unreadable"]), (&true.into(), &Value::Null));
}

fn tells_that_the_file_is_gone_and_goes_on() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, timers("3s"));
    assert_eq!(status(&daemon)["config"]["unreadable"], Value::Null);
    let file = daemon.config().display().to_string();
    fs::remove_file(daemon.config()).unwrap();
    let lost = status(&daemon)["config"]["unreadable"].clone();
    assert_eq!((&lost["file"], &lost["gone"]), (&file.as_str().into(), &true.into()), "{lost}");
    let is_said = || {
        let (_, said) = text("status", &daemon);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let sentence = format!("config: {file} is gone; lone64 goes on with what it has loaded before");
        assert!(
            said.contains(&sentence) && said.contains("So put it back, then run `lone64 reload`"),
            "{said}"
        );
        assert!(!said.contains("has changed"), "{said}");
    };
    is_said();
    // A reload changes nothing of that.
    assert_eq!(ask(&daemon.socket(), r#"{"method":"reload"}"#)["error"]["code"], "refused");
    is_said();
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    timers("3s").write(&daemon.config());
    assert_eq!(text("reload", &daemon), (Some(0), "Reloaded: nothing changed.\n".to_owned()));
    assert_eq!(status(&daemon)["config"]["unreadable"], Value::Null);
}

fn tells_every_key_with_where_it_came_from() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, timers("4s").arguments("-v"));
    let (_, printed) = text("status --json", &daemon);
    let known: Value = serde_json::from_str(&printed).unwrap();
    let keys = known["config"]["keys"].as_array().unwrap();
    let find =
        |table: &str, key: &str| keys.iter().rfind(|k| k["table"] == table && k["key"] == key).unwrap();
    let absent = find("timers", "absent");
    assert_eq!((&absent["value"], &absent["origin"]), (&"4s".into(), &"file".into()));
    assert_eq!((absent["file"].as_str(), absent["line"].is_u64()), (daemon.config().to_str(), true));
    let level = find("log", "level");
    assert_eq!((&level["value"], &level["option"]), (&"debug".into(), &"-v".into()));
    assert_eq!(find("control", "socket")["origin"], "command-line");
    assert_eq!(
        (&find("range", "answer")["origin"], &find("range", "answer")["of"]),
        (&"default".into(), &C.into())
    );
    assert_eq!(known["config"]["keys_left_out"], 0);
}

fn tells_each_key_that_a_reload_changes_before_and_after() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, timers("3s"));
    timers("5s").write(&daemon.config());
    let (code, said) = text("reload", &daemon);
    assert_eq!((code, said.as_str()), (Some(0), "[timers] absent: \"3s\" -> \"5s\"\n"));
    timers("6s").range(D, "gv1", "").write(&daemon.config());
    let (_, said) = text("reload --json", &daemon);
    let reply: Value = serde_json::from_str(&said).unwrap();
    let added = serde_json::json!({ "table": "range", "of": D, "key": null, "old": null, "new": null });
    let changed =
        serde_json::json!({ "table": "timers", "of": null, "key": "absent", "old": "5s", "new": "6s" });
    assert_eq!(reply["keys"], serde_json::json!([added, changed]));
    assert_eq!(text("reload", &daemon).1, "Reloaded: nothing changed.\n");
    let log = daemon.stop();
    assert!(log.contains("reloaded: [timers] absent: \"3s\" -> \"5s\""), "{log}");
}

fn logs_as_much_as_options_and_environment_say() {
    let lab = Lab::veth();
    let said = |wrapper: &[&str], arguments: &str| {
        Daemon::start_under(&lab, wrapper, timers("3s").arguments(arguments)).stop()
    };
    let quiet = said(&["env", "LONE64_LOG=error"], "");
    assert!(!quiet.contains("stopped"), "{quiet}");
    // The option goes before the variable.
    let loud = said(&["env", "LONE64_LOG=error"], "-v");
    assert!(loud.contains("stopped"), "{loud}");
    let quiet = said(&["env", "LONE64_LOG=info"], "-q");
    assert!(!quiet.contains("stopped"), "{quiet}");
}

fn shows_a_part_of_the_status() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").range(D, "gv1", ""));
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    link.answered(&Solicitation::multicast(ROUTER, PLAIN));
    let (guest, plain) = (format!("  {GUEST} "), format!("  {PLAIN} "));
    let (_, said) = text("status gv1", &daemon);
    assert!(
        said.contains(&plain) && !said.contains(&guest) && !said.contains(&format!("range {C}")),
        "{said}"
    );
    let (_, said) = text(&format!("status {C} --live"), &daemon);
    assert!(said.contains(&guest) && !said.contains(&plain) && !said.contains("\nrange "), "{said}");
    let (code, said) = text("status --problems", &daemon);
    assert!(code == Some(0) && !said.contains(&guest) && !said.contains("\nrange "), "{said}");
    let (_, said) = text(&format!("status --json {D}"), &daemon);
    let known: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (known["ranges"].as_array().map(Vec::len), &known["ranges"][0]["prefix"]),
        (Some(1), &D.into())
    );
}

/// Only what cannot be broken is longer: an address, a path, a command.
fn fits_forty_columns() {
    let lab = Lab::veth();
    let daemon =
        Daemon::start(&lab, Settings::default().range(C, "br0", "").range("2001:db8:9::/64", "br7", ""));
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    fs::remove_file(daemon.config()).unwrap();
    let (socket, guest) = (daemon.socket().display().to_string(), GUEST.to_string());
    let explained = ["explain", "--socket", &socket, &guest];
    for arguments in [&["status", "--socket", &socket][..], &explained[..], &["doctor"][..]] {
        let mut command = Command::new(crate::daemon::BINARY);
        command.args(arguments).env("COLUMNS", "40").env("LANG", "C");
        let output = lab.host.run(|| command.output()).unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.lines().count() > 10, "{arguments:?}: {said}");
        for line in said.lines().filter(|line| line.len() > 40) {
            let mut words: Vec<_> = line.split_whitespace().collect();
            let is_command = words.first() == Some(&"do:") || line.trim().starts_with('`');
            words.retain(|word| {
                !["config", "warning"].contains(word) && (!word.ends_with(':') || word.contains("::"))
            });
            assert!(words.len() < 2 || is_command, "{arguments:?}: {line}\n{said}");
        }
    }
}

fn ends_when_its_reader_does() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").without_sentinels());
    for command in ["status --watch", "watch", "watch --json"] {
        let mut child = start(&daemon.socket(), command);
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        assert!(!first.is_empty(), "{command}");
        drop(lines);
        // Nothing happens that it would have to tell.
        assert_eq!(ended(child), Some(0), "{command}");
    }
    eventually("nobody watches any more", PATIENCE, || {
        (status(&daemon)["pid"] == daemon.pid()).then_some(())
    });
}
