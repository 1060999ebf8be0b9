//! What a terminal gets: lines that fit, colors that can be turned off, and letters that it can show.
//!
//! The built binary runs on a terminal of script(1), in a network namespace of its own.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use lone64::columns;

/// Long names and prefixes, a setting that is worth a warning, and one that is worth a note.
const GOOD: &str = r#"
[[upstream]]
interface = "enp195s0f3np3v9"
announce  = "5m"

[[range]]
prefix    = "2001:1db8:1111:2222:3333:4444:5555:6600/120"
interface = ["enp195s0f3np3v8", "enp195s0f3np3v7"]
exclude   = ["2001:1db8:1111:2222:3333:4444:5555:6601"]

[[range]]
prefix    = "2001:1db8:1111:2222:3333:4444:5555:5500/120"
interface = "enp195s0f3np3v6"
gateway   = "fe80::1"
proxy-downstream = true

[timers]
retransmit = "5s"

[control]
socket = "/nonexistent/control.sock"
"#;

const WRONG: &str = r#"
[[range]]
prefix    = "2001:1db8:1111:2222:3333:4444:5555:6666/120"
interface = "enp195s0f3np3v8"
answer    = "never"
routes    = "none"
backstop  = false

[[range]]
suffix    = "::/64"
interface = "enp195s0f3np3v8"
routes    = "range"
gateway   = "2001:1db8:1111:2222:3333:4444:5555:6666"
"#;

/// A file of the test's own.
fn written(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

/// All that a terminal gets of this command line.
fn on_terminal(columns: usize, variables: &[(&str, &str)], command: &str) -> String {
    let lone64 = env!("CARGO_BIN_EXE_lone64");
    let line = format!("stty cols {columns} rows 50; unshare -r -n {lone64} {command}");
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env_clear()
        .envs([("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("TERM", "xterm"), ("LANG", "C.UTF-8")])
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

fn in_pipe(arguments: &[&str]) -> Output {
    let mut command = Command::new("unshare");
    command.args(["-r", "-n", env!("CARGO_BIN_EXE_lone64")]).args(arguments).output().unwrap()
}

/// Commands that have much to say, of which each is on one line.
fn commands(name: &str) -> Vec<String> {
    let good = written(&format!("{name}-good.toml"), GOOD).display().to_string();
    let wrong = written(&format!("{name}-wrong.toml"), WRONG).display().to_string();
    vec![
        format!("check {good}"),
        format!("check {wrong}"),
        format!("status --config {good}"),
        format!("explain --config {good} 2001:1db8:1111:2222:3333:4444:5555:6602"),
        format!("doctor --config {good}"),
        "import /nonexistent/directory/with/a/long/name/ndppd.conf".to_owned(),
        "run --range 2001:1db8:1111:2222:3333:4444:5555:6666/120=enp195s0f3np3v8".to_owned(),
        "status 2001:1db8:1111:2222:3333:4444:5555:6666/129".to_owned(),
        "run --help".to_owned(),
        "check -h".to_owned(),
    ]
}

#[test]
fn lines_fit_the_terminal() {
    for columns in [40, 60, 80, 120] {
        for command in commands("fits") {
            let said = on_terminal(columns, &[], &command);
            assert!(said.lines().count() >= 1, "{command}: {said}");
            for line in said.lines().filter(|line| columns::width(line) > columns) {
                let plain: String = anstream::adapter::strip_str(line).collect();
                let is_quoted = plain.contains(" | ");
                // An address, a path, or what is to be copied: behind what the line begins with, or alone.
                let begins = ["seen: ", "do:", "gateway:", "or:"];
                let word = plain.trim_start();
                // A mark, and the subject of a step.
                let word = word.strip_prefix(['✓', '✗', '?']).map_or(word, |step| {
                    step.trim_start().split_once(' ').map_or(step, |(_, word)| word.trim_start())
                });
                let word =
                    begins.iter().find_map(|begin| word.strip_prefix(begin)).unwrap_or(word).trim_start();
                let is_command = word.starts_with("sysctl -w ") || word.matches('`').count() >= 2;
                let is_one_word = word.split_whitespace().count() == 1 || is_command || is_setting(word);
                // Help is laid out for 80 columns: its examples are lines to be copied.
                let is_example = columns < 80 && plain.starts_with("  ");
                let is_help = command.ends_with("help") || command.ends_with("-h");
                assert!(
                    is_quoted || is_one_word || (is_help && is_example),
                    "{columns} columns, {command}: {plain}\n{said}"
                );
            }
        }
    }
}

/// `key = "value"`, as a file has it.
fn is_setting(word: &str) -> bool {
    word.split_once(" = ").is_some_and(|(key, value)| !key.contains(' ') && !value.contains(' '))
}

/// As watch(1) has it, which reads what others print.
#[test]
fn a_pipe_is_as_wide_as_columns_says() {
    let good = written("pipe-good.toml", GOOD);
    let lines = |variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lone64"));
        command.args(["explain", "2001:db8::5", "--config"]).arg(&good).env_remove("COLUMNS");
        let output = command.envs(variables.iter().copied()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::len).max().unwrap()
    };
    assert!(lines(&[("COLUMNS", "40")]) <= 40 && lines(&[]) > 40);
    // What is no number of columns says nothing, and a terminal knows better.
    assert_eq!(lines(&[("COLUMNS", "0")]), lines(&[]));
    assert_eq!(lines(&[("COLUMNS", "wide")]), lines(&[]));
    let command = format!("explain --config {} 2001:db8::5", good.display());
    assert_eq!(on_terminal(80, &[("COLUMNS", "40")], &command), on_terminal(80, &[], &command));
}

#[test]
fn sentences_are_as_wide_as_the_terminal() {
    let wrong = written("wide-wrong.toml", WRONG);
    let command = format!("check {}", wrong.display());
    let lines = |columns| on_terminal(columns, &[], &command).lines().count();
    assert!(lines(50) > lines(80) && lines(80) > lines(400), "{}", on_terminal(50, &[], &command));
    // In a file, and for a program that reads it, one problem is as it was always.
    let output = in_pipe(&["check", wrong.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().any(|line| line.len() > 80), "{said}");
}

#[test]
fn colors_are_for_terminals_that_have_some_and_people_who_want_them() {
    let good = written("colors-good.toml", GOOD).display().to_string();
    for command in
        [format!("check {good}"), format!("explain --config {good} 2001:db8::5"), "--help".to_owned()]
    {
        let has_color = |variables: &[(&str, &str)]| on_terminal(80, variables, &command).contains("\u{1b}[");
        assert!(has_color(&[]), "{command}");
        assert!(!has_color(&[("NO_COLOR", "1")]), "{command}");
        assert!(!has_color(&[("TERM", "dumb")]), "{command}");
        let words: Vec<_> = command.split(' ').collect();
        let output = in_pipe(&words);
        assert!(![output.stdout, output.stderr].concat().contains(&0x1b), "{command}");
    }
}

#[test]
fn letters_are_those_of_the_locale() {
    let good = written("letters-good.toml", GOOD).display().to_string();
    let command = format!("explain --config {good} 2001:db8::5");
    let said = on_terminal(80, &[], &command);
    assert!(said.contains('✗'), "{said}");
    for locale in [("LANG", "C"), ("LC_ALL", "POSIX"), ("LC_CTYPE", "en_US.ISO-8859-1")] {
        let said = on_terminal(80, &[locale], &command);
        assert!(said.is_ascii() && said.contains("x "), "{locale:?}: {said}");
    }
    // JSON is UTF-8 everywhere, and whole.
    let said = on_terminal(80, &[("LANG", "C")], &format!("{command} --json"));
    let value: serde_json::Value =
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(value["steps"].is_array(), "{value}");
}

/// What is said on standard error, and the exit status, where the output goes there.
fn into(output: impl Into<Stdio>, command: &str) -> (String, Option<i32>) {
    let mut lone64 = Command::new(env!("CARGO_BIN_EXE_lone64"));
    let output = lone64.args(command.split(' ')).stdin(Stdio::null()).stdout(output).output().unwrap();
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[test]
fn what_cannot_be_written_is_said_with_its_remedy() {
    let good = written("full-good.toml", GOOD).display().to_string();
    let ndppd = written("full-ndppd.conf", "proxy eth0 {\n  rule 2001:db8::/64 {\n    static\n  }\n}\n")
        .display()
        .to_string();
    let sentence = "lone64: cannot write to standard output: No space left on device; free some space there, or let it \
                    go elsewhere";
    for (command, status) in [
        ("--help", 1),
        ("-h", 1),
        ("--version", 1),
        ("help status", 1),
        ("check --help", 1),
        ("man", 1),
        ("completions bash", 1),
        (&format!("check {good}"), 1),
        (&format!("check --json {good}"), 1),
        (&format!("explain --config {good} 2001:db8::5"), 1),
        (&format!("explain --json --config {good} 2001:db8::5"), 1),
        (&format!("import {ndppd}"), 1),
        (&format!("doctor --config {good}"), 1),
        (&format!("doctor --json --config {good}"), 1),
        // Beside what failed before.
        (&format!("status --json --config {good}"), 1),
        (&format!("reload --json --config {good}"), 1),
        ("--json --nonsense", 2),
    ] {
        let (said, code) = into(fs::File::options().write(true).open("/dev/full").unwrap(), command);
        assert_eq!((said.matches(sentence).count(), code), (1, Some(status)), "{command}: {said}");
        let has_failed_before = command.contains("status --json") || command.contains("reload");
        assert_eq!(said.contains("no lone64 answers at"), has_failed_before, "{command}: {said}");
    }
    // Nobody is told where nobody reads.
    for command in ["--help", "man", "import --help", &format!("explain --config {good} 2001:db8::5")] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(into(writer, command).0, "", "{command}");
    }
}
