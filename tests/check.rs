//! `lone64 check`, and the help of every command, as a user meets them: the built binary.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use clap::CommandFactory;
use lone64::cli::Cli;
use serde_json::Value;

const FIVE_MISTAKES: &str = r#"[[range]]
prefix    = "2001:db8:1:2:c::1/112"
interfcae = "lxcbr0"
	exclude = ["fd00::1"]  # behind a tab

[[upstream]]
backend = "xdp"

[timers]
absent = "0s"

[routes]
protocol = 186
"#;

const GOOD: &str = r#"
[[range]]
prefix    = "2001:db8:1:2:c::/112"
interface = "lxcbr0"
exclude   = ["2001:db8:1:2:c::1"]

[[range]]
prefix    = "2001:db8:1:2:a::/120"
interface = "lo"
"#;

/// In a network namespace of its own, so that nothing of this host is told of.
fn lone64(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("unshare")
        .args(["-r", "-n", env!("CARGO_BIN_EXE_lone64")])
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
fn tells_five_mistakes_at_once_each_with_its_place() {
    let output = lone64(&["check", "-"], FIVE_MISTAKES);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let expected = r#"<stdin>:2:13: the prefix 2001:db8:1:2:c::1/112 has host bits
  2 | prefix    = "2001:db8:1:2:c::1/112"
    |             ^^^^^^^^^^^^^^^^^^^^^^^
  help: write "2001:db8:1:2:c::/112"

<stdin>:3:1: unknown key `interfcae` in [[range]]
  3 | interfcae = "lxcbr0"
    | ^^^^^^^^^
  help: did you mean `interface`?

<stdin>:4:13: the exclude fd00::1/128 is outside its range 2001:db8:1:2:c::/112
  4 |     exclude = ["fd00::1"]  # behind a tab
    |                ^^^^^^^^^
  help: move it to its own range, or remove it

<stdin>:7:11: `backend` cannot be "xdp"
  7 | backend = "xdp"
    |           ^^^^^
  help: write "packet", "tc" or "auto"

<stdin>:10:10: `absent` cannot be "0s"
  10 | absent = "0s"
     |          ^^^^
  help: write at least "1ms"

<stdin>:13:12: route protocol 186 belongs to zebra (FRR), which removes routes that it finds there
  13 | protocol = 186
     |            ^^^
  help: write a number that is free on this host; 64 is the default

6 problems in <stdin>
"#;
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn shows_what_would_be_served() {
    let output = lone64(&["check", "-"], GOOD);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
    let expected = "\
RANGE                 UPSTREAM       DOWNSTREAM  ANSWER  ROUTES  BACKSTOP  EXCL
2001:db8:1:2:c::/112  default route  lxcbr0      live    range   yes       1
2001:db8:1:2:a::/120  default route  lo          always  range   yes       0

<stdin> is good: 2 ranges on the upstream of the default route.
";
    assert_eq!(text(&output.stdout), expected);
    assert!(expected.lines().all(|line| line.len() <= 80));
}

#[test]
fn shows_patterns_and_lists_as_they_were_written() {
    let range = |prefix: &str, interface: &str| {
        format!("[[range]]\nprefix = \"2001:db8:1:2:{prefix}::/112\"\ninterface = {interface}\n")
    };
    let input = range("c", "\"veth*\"") + &range("d", "[\"lxcbr0\", \"tap[0-9]\"]");
    let output = lone64(&["check", "-"], &input);
    assert_eq!(text(&output.stderr), "");
    let expected = "\
RANGE                 UPSTREAM       DOWNSTREAM        ANSWER  ROUTES  BACKSTOP
2001:db8:1:2:c::/112  default route  veth*             live    guests  yes
2001:db8:1:2:d::/112  default route  lxcbr0, tap[0-9]  live    guests  yes

<stdin> is good: 2 ranges on the upstream of the default route.
";
    assert_eq!(text(&output.stdout), expected);
    let output = lone64(&["check", "--json", "-"], &input);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["ranges"][0]["interface"], serde_json::json!(["veth*"]));
    assert_eq!(value["ranges"][1]["interface"], serde_json::json!(["lxcbr0", "tap[0-9]"]));
    assert_eq!(value["ranges"][1]["routes"], "guests");
}

#[test]
fn shows_which_ranges_answer_their_guests_on_their_own_link() {
    let input = GOOD.replace("exclude   = [\"2001:db8:1:2:c::1\"]", "proxy-downstream = true");
    let output = lone64(&["check", "-"], &input);
    let expected = "\
RANGE                 UPSTREAM       DOWNSTREAM  ANSWER  ROUTES  BACKSTOP  PROXY
2001:db8:1:2:c::/112  default route  lxcbr0      live    range   yes       yes
2001:db8:1:2:a::/120  default route  lo          always  range   yes       no

<stdin> is good: 2 ranges on the upstream of the default route.
";
    assert_eq!(text(&output.stdout), expected);
    assert!(expected.lines().all(|line| line.len() <= 80));
    let output = lone64(&["check", "--json", "-"], &input);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["ranges"][0]["proxy_downstream"], true);
    assert_eq!(value["ranges"][1]["proxy_downstream"], false);
}

#[test]
fn shows_what_is_announced_again_and_for_how_many_targets_the_pace_is_enough() {
    let input = format!("[[upstream]]\nannounce = \"5m\"\n{GOOD}");
    let output = lone64(&["check", "-"], &input);
    let shown = text(&output.stdout);
    let expected = "
announce: every live target is announced again every 5m on the interface of the
          default route, if there are at most 30000 of them (100 per second)
";
    assert!(shown.contains(expected), "{shown}");
    let output = lone64(&["check", "--json", "-"], &input);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["upstreams"][0]["announce"], "5m");
}

#[test]
fn shows_which_ranges_have_a_gateway() {
    let input = GOOD.replace("exclude   = [\"2001:db8:1:2:c::1\"]", "gateway   = \"fe80::1\"");
    let output = lone64(&["check", "-"], &input);
    let expected = "\
RANGE                 UPSTREAM       DOWNSTREAM  ANSWER  ROUTES  BACKSTOP
2001:db8:1:2:c::/112  default route  lxcbr0      live    range   yes
2001:db8:1:2:a::/120  default route  lo          always  range   yes

gateway: fe80::1 on every downstream of 2001:db8:1:2:c::/112

<stdin> is good: 2 ranges on the upstream of the default route.
";
    assert_eq!(text(&output.stdout), expected);
    let output = lone64(&["check", "--json", "-"], &input);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["ranges"][0]["gateway"], "fe80::1");
    assert_eq!(value["ranges"][1]["gateway"], Value::Null);
}

#[test]
fn says_where_there_is_no_backstop() {
    let range = |keys: &str| format!("[[range]]\n{keys}\n");
    let on_bridge = |keys: &str| range(&format!("{keys}\ninterface = \"br0\""));
    let translated = range("prefix = \"2001:db8:1:2:c::/112\"\nanswer = \"always\"");
    let lo = range("prefix = \"2001:db8:1:2::/64\"\ninterface = \"lo\"");
    let upper = on_bridge("suffix = \"::8000:0:0:0/65\"");
    for (input, flag, notes) in [
        (translated, false, &["may be translated"][..]),
        (
            on_bridge("suffix = \"::/65\"") + &upper,
            false,
            &["no backstop for ::/65: it would cover the", "no backstop for ::8000:"],
        ),
        (upper, true, &[]),
        (on_bridge("prefix = \"2001:db8:1:2::/64\""), true, &["2001:db8:1:2::/64 if an address, the router"]),
        (
            on_bridge("prefix = \"2001:db8:1:2:c::/112\"") + "[routes]\ntable = 100\n",
            true,
            &["in table 100 as long as"],
        ),
        (on_bridge("prefix = \"2001:db8:1:2::/64\"\nbackstop = false"), false, &[]),
        (lo, true, &[]),
    ] {
        let output = lone64(&["check", "--json", "-"], &input);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["ranges"][0]["backstop"], flag, "{input}");
        let told: Vec<_> =
            value["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
        let told: Vec<_> = told.into_iter().filter(|note| note.starts_with("no backstop")).collect();
        assert_eq!(told.len(), notes.len(), "{input}{told:?}");
        assert!(told.iter().zip(notes).all(|(told, note)| told.contains(note)), "{input}{told:?}");
        let output = lone64(&["check", "-"], &input);
        let printed = text(&output.stdout);
        assert_eq!(printed.matches("\nnote: no backstop").count(), notes.len(), "{printed}");
        assert!(printed.lines().all(|line| line.len() <= 80), "{printed}");
    }
}

#[test]
fn says_which_ranges_switches_cannot_be_told_of() {
    let always =
        |length: u8| format!("[[range]]\nprefix = \"2001:db8:1:2:c::/{length}\"\nanswer = \"always\"\n");
    let router = "[[upstream]]\nmld = \"router\"\n";
    for (input, is_told) in [
        (always(118), false),
        (always(117), true),
        (format!("[limits]\ngroups = 2048\n{}", always(117)), false),
        (format!("[limits]\ngroups = 65536\n{}", always(112)), true),
        (router.to_owned() + &always(112), false),
        ("[[upstream]]\nmld = false\n".to_owned() + &always(112), false),
        (always(112).replace("\"always\"", "\"live\""), false),
        // Of two upstreams one advertises a multicast router.
        (
            format!(
                "{router}interface = \"a0\"\n[[upstream]]\ninterface = \"b0\"\n{}upstream = \"a0\"\n",
                always(112)
            ),
            false,
        ),
        (
            format!(
                "{router}interface = \"a0\"\n[[upstream]]\ninterface = \"b0\"\n{}upstream = \"b0\"\n",
                always(112)
            ),
            true,
        ),
    ] {
        let value: Value = serde_json::from_slice(&lone64(&["check", "--json", "-"], &input).stdout).unwrap();
        let told = value["notes"].as_array().unwrap().iter().filter_map(Value::as_str);
        let told: Vec<_> = told.filter(|note| note.contains("reports no multicast groups")).collect();
        assert_eq!(told.len(), usize::from(is_told), "{input}{value}");
        assert!(told.iter().all(|note| note.contains("mld = \"router\"")), "{told:?}");
    }
}

#[test]
fn says_what_becomes_of_all_of_the_upstreams_64() {
    let range = |key: &str| format!("[[range]]\n{key}\ninterface = \"br0\"\n");
    let whole = lone64(&["check", "-"], &range("suffix = \"::/64\""));
    let said = text(&whole.stdout);
    assert!(said.contains("live    guests  no"), "{said}");
    for note in ["live guest gets a /128, and", "`proxy-downstream = true`", "no backstop for ::/64"] {
        assert!(said.split_whitespace().collect::<Vec<_>>().join(" ").contains(note), "{note}: {said}");
    }
    // Of a prefix nobody knows that but a host.
    let output = lone64(&["check", "-"], &range("prefix = \"2001:db8:1:2::/64\""));
    let said = text(&output.stdout);
    assert!(
        said.contains("live    range   yes") && said.contains("each live guest gets a /128 instead"),
        "{said}"
    );
}

#[test]
fn prints_one_json_object_for_a_good_file() {
    let output = lone64(&["check", "--json", "-"], GOOD);
    assert_eq!(output.status.code(), Some(0));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["valid"], true);
    assert_eq!(value["ranges"][0]["prefix"], "2001:db8:1:2:c::/112");
    assert_eq!(value["ranges"][0]["exclude"][0], "2001:db8:1:2:c::1/128");
    assert_eq!(value["ranges"][1]["answer"], "always");
    assert_eq!(value["upstreams"][0]["interface"], Value::Null);
    assert_eq!(value["problems"].as_array().unwrap().len(), 0);
}

#[test]
fn prints_one_json_object_for_a_bad_file() {
    let output = lone64(&["check", "--json", "-"], FIVE_MISTAKES);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["valid"], false);
    let problems = value["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 6);
    assert_eq!((&problems[0]["line"], &problems[0]["column"]), (&2.into(), &13.into()));
    assert_eq!(problems[3]["message"], "`backend` cannot be \"xdp\"");
    assert_eq!(problems[3]["help"], "write \"packet\", \"tc\" or \"auto\"");
}

#[test]
fn says_which_file_cannot_be_read() {
    let output = lone64(&["check", "/nonexistent/lone64.toml"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("/nonexistent/lone64.toml: the configuration cannot be read: "));
}

#[test]
fn refuses_wrong_usage_with_status_2() {
    for arguments in [
        &[][..],
        &["chekc"],
        &["check", "a", "b"],
        &["run", "--range", "2001:db8::1/112=eth0"],
        &["run", "--range", "eth0"],
        &["run", "--upstream", "sixteen-bytes-16"],
        &["run", "--socket", "control.sock"],
        &["status", "--live", "--problems"],
        &["status", "192.0.2.0/24"],
        &["reload", "--socket", "/a", "--config", "/b"],
    ] {
        let output = lone64(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }
}

#[test]
fn refuses_options_of_run_that_cannot_work_with_status_1() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/lone64.toml");
    let output = lone64(&["run", "--config", file, "--range", "ff02::/16=eth0"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("--range ff02::/16=eth0: the range ff02::/16 is multicast"));
}

#[test]
fn says_that_no_daemon_answers() {
    for command in ["status", "watch", "reload"] {
        let output = lone64(&[command, "--socket", "/nonexistent/control.sock"], "");
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert_eq!(
            text(&output.stderr),
            "lone64: no lone64 answers at /nonexistent/control.sock: is it running? `systemctl status lone64` \
             shows it\n"
        );
    }
}

#[test]
fn tells_its_version() {
    let output = lone64(&["--version"], "");
    assert_eq!(text(&output.stdout), concat!("lone64 ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn every_help_has_an_example_and_fits_80_columns() {
    let commands = Cli::command();
    // The hidden ones too.
    let names: Vec<&str> = commands.get_subcommands().map(clap::Command::get_name).collect();
    assert!(names.contains(&"run") && names.contains(&"completions"), "{names:?}");
    for name in [None].into_iter().chain(names.into_iter().map(Some)) {
        for option in ["--help", "-h"] {
            let arguments: Vec<&str> = name.into_iter().chain([option]).collect();
            let output = lone64(&arguments, "");
            assert_eq!(output.status.code(), Some(0), "{arguments:?}");
            let help = text(&output.stdout);
            assert!(help.contains("Examples:\n  lone64 "), "{arguments:?}: {help}");
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
            }
        }
    }
}

#[test]
fn tells_a_thousand_mistakes_of_a_file_that_is_no_toml_and_no_more() {
    let output = lone64(&["check", "-"], &"x\n".repeat(50_000));
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr).matches("<stdin>:").count();
    assert_eq!(told, 1_000);
}
