//! `lone64 import`: whole configurations beside what becomes of them, and the built binary.
//!
//! Each `tests/import/NAME.conf` has its `NAME.toml`. To see what a change does to all of them, run
//! this with `LONE64_WRITE=1`, and read the difference before it is committed.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use lone64::config;
use lone64::import::import;
use serde_json::Value;

fn configurations() -> Vec<PathBuf> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/import");
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    files
}

fn lone64(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lone64"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn every_configuration_becomes_what_is_beside_it() {
    let files = configurations();
    assert!(files.len() >= 27, "{files:?}");
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let expected = file.with_extension("toml");
        let imported = import(&fs::read_to_string(&file).unwrap(), name, None)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        if std::env::var_os("LONE64_WRITE").is_some() {
            fs::write(&expected, &imported.toml).unwrap();
        }
        assert_eq!(imported.toml, fs::read_to_string(&expected).unwrap(), "{name}");
        config::parse(&imported.toml, name).unwrap_or_else(|problems| panic!("{problems}"));
        let checked = lone64(&["check", "-"], &imported.toml);
        assert!(checked.status.success(), "{name}: {}", text(&checked.stderr));
        assert!(text(&checked.stdout).contains("<stdin> is good: "), "{name}: {}", text(&checked.stdout));
        assert!(imported.toml.lines().all(|line| line.chars().count() <= 80), "{name}");
    }
}

#[test]
fn prints_what_check_accepts() {
    for file in configurations() {
        let printed = lone64(&["import", file.to_str().unwrap()], "");
        assert_eq!(printed.status.code(), Some(0), "{}", text(&printed.stderr));
        assert_eq!(text(&printed.stderr), "");
        let checked = lone64(&["check", "-"], text(&printed.stdout));
        assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    }
}

#[test]
fn reads_standard_input_and_prints_the_same_as_json() {
    let conf = "proxy eth0 {\n  rule 2001:db8::/112 {\n    iface br0\n    autovia yes\n  }\n}\n";
    let plain = lone64(&["import", "-"], conf);
    let output = lone64(&["import", "--json", "-"], conf);
    assert_eq!(output.status.code(), Some(0));
    let json: Value = serde_json::from_str(text(&output.stdout)).unwrap();
    assert_eq!(json["toml"], text(&plain.stdout));
    assert_eq!((&json["origin"], &json["from"]), (&"<stdin>".into(), &"ndppd 0.2".into()));
    let autovia = json["notes"].as_array().unwrap().iter().find(|note| note["line"] == 4).unwrap();
    assert_eq!(autovia["column"], 5);
    assert!(autovia["message"].as_str().unwrap().starts_with("autovia has no equivalent"));
}

#[test]
fn tells_every_mistake_with_its_place_and_remedy() {
    let conf =
        "proxy eth0 {\n  rule 2001:db8:XX::/64 {\n    static\n  }\n  rule 2001:db8::/64 {\n    iface\n  }\n";
    let output = lone64(&["import", "-"], conf);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let expected = "\
<stdin>:1:12: the block of `proxy` is not closed
  1 | proxy eth0 {
    |            ^
  help: add a } where it ends

<stdin>:2:8: '2001:db8:XX::/64' is not an IPv6 prefix
  2 |   rule 2001:db8:XX::/64 {
    |        ^^^^^^^^^^^^^^^^
  help: write one such as 2001:db8:1:2:c::/112, inside your own addresses

<stdin>:6:5: `iface` without the name of an interface
  6 |     iface
    |     ^^^^^
  help: write one that `ip link` shows, as in `iface eth0`
";
    assert_eq!(text(&output.stderr), expected);
    let output = lone64(&["import", "--json", "-"], conf);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_str(text(&output.stdout)).unwrap();
    assert_eq!(json["error"]["code"], "configuration");
    assert_eq!(json["error"]["problems"].as_array().unwrap().len(), 3);
    assert_eq!(json["error"]["problems"][1]["line"], 2);
}

#[test]
fn takes_the_word_of_the_user_for_what_it_is() {
    let npd6 = "prefix=2001:db8:1:2:\ninterface=eth0\n";
    assert_eq!(lone64(&["import", "--from", "npd6", "-"], npd6).status.code(), Some(0));
    assert_eq!(lone64(&["import", "--from", "ndppd", "-"], npd6).status.code(), Some(1));
    let neither = lone64(&["import", "-"], "colour = blue\n");
    assert_eq!(neither.status.code(), Some(1));
    assert!(text(&neither.stderr).contains("--from ndppd or --from npd6"), "{}", text(&neither.stderr));
}

#[test]
fn refuses_wrong_usage_with_status_2_and_missing_files_with_1() {
    for arguments in [
        &["import"][..],
        &["import", "--kernel", "f"],
        &["import", "--from", "radvd", "f"],
        &["import", "--from", "npd6", "--kernel"],
    ] {
        assert_eq!(lone64(arguments, "").status.code(), Some(2), "{arguments:?}");
    }
    let missing = lone64(&["import", "/nonexistent/ndppd.conf"], "");
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).starts_with("lone64: cannot read /nonexistent/ndppd.conf"));
}

/// A device and a pipe without an end, for whatever reads a configuration.
#[test]
fn ends_with_what_has_no_end() {
    let [import, check] = [262_144, 4 << 20].map(|most| format!("longer than {most} bytes"));
    for (command, sentence) in [("import", import), ("check", check)] {
        let device = lone64(&[command, "/dev/zero"], "");
        let endless = fs::File::open("/dev/zero").unwrap();
        let pipe = Command::new(env!("CARGO_BIN_EXE_lone64")).args([command, "-"]).stdin(endless).output();
        for (output, name) in [(device, "/dev/zero"), (pipe.unwrap(), "<stdin>")] {
            assert_eq!(output.status.code(), Some(1));
            let said = text(&output.stderr);
            assert!(said.starts_with(&format!("{name}: {sentence}")) && said.contains("  help: "), "{said}");
        }
    }
}

#[test]
fn reads_a_file_that_begins_with_a_mark() {
    let conf = "proxy eth0 {\n  rule 2001:db8::/112 {\n    iface br0\n  }\n}\n";
    let toml = lone64(&["import", "-"], conf);
    let marked = lone64(&["import", "-"], &format!("\u{feff}{conf}"));
    assert_eq!((marked.status.code(), text(&marked.stdout)), (Some(0), text(&toml.stdout)));
    // The same of what was printed, when an editor has saved it.
    let checked = lone64(&["check", "-"], &format!("\u{feff}{}", text(&toml.stdout)));
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    let wrong = lone64(&["check", "-"], "\u{feff}what = 1\n");
    assert!(text(&wrong.stderr).starts_with("<stdin>:1:1: "), "{}", text(&wrong.stderr));
}
