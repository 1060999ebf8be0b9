//! What is in force, and how commands fail for programs: the built binary.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const FILE: &str = "[[range]]
prefix = \"2001:db8:1:2:c::/112\"
interface = \"lxcbr0\"
[timers]
absent = \"5s\"
";

fn lone64(arguments: &[&str], input: &str) -> Output {
    fed(Command::new(env!("CARGO_BIN_EXE_lone64")).args(arguments), input)
}

fn fed(command: &mut Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// A shell with an /etc of its own that has nothing in it, in user and mount namespaces that nobody else sees.
fn with_empty_etc(script: &str) -> Output {
    let script = format!("mount -t tmpfs none /etc && mkdir /etc/lone64 && {script}");
    let binary = env!("CARGO_BIN_EXE_lone64");
    fed(Command::new("unshare").args(["-r", "-m", "-n", "sh", "-ec", &script, "sh", binary]), "")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn prints_every_key_and_where_it_came_from() {
    let output = lone64(&["check", "--effective", "-"], FILE);
    let printed = text(&output.stdout);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{printed}");
    for line in [
        "prefix           = \"2001:db8:1:2:c::/112\"  # <stdin>:2\n",
        "answer           = \"live\"                  # default\n",
        "absent     = \"5s\"   # <stdin>:5\n",
        "#metrics = (none)",
    ] {
        assert!(printed.contains(line), "{line}{printed}");
    }
    let again = lone64(&["check", "-"], printed);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
}

#[test]
fn tells_what_a_key_comes_to_where_others_decide() {
    let input = "[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\nanswer = \"always\"\n";
    let output = lone64(&["check", "--effective", "--json", "-"], input);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = value["effective"].as_array().unwrap();
    let backstop = keys.iter().find(|key| key["key"] == "backstop").unwrap();
    assert_eq!((&backstop["value"], &backstop["origin"]), (&false.into(), &"automatic".into()));
}

#[test]
fn prints_the_same_as_json() {
    let output = lone64(&["check", "--effective", "--json", "-"], FILE);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = value["effective"].as_array().unwrap();
    let found =
        |table: &str, key: &str| keys.iter().find(|k| k["table"] == table && k["key"] == key).unwrap();
    let absent = found("timers", "absent");
    assert_eq!((&absent["value"], &absent["origin"]), (&"5s".into(), &"file".into()));
    assert_eq!(
        (&absent["file"], &absent["line"], &absent["of"]),
        (&"<stdin>".into(), &5.into(), &Value::Null)
    );
    assert_eq!(found("range", "routes")["origin"], "default");
    assert_eq!(found("range", "routes")["of"], "2001:db8:1:2:c::/112");
    assert_eq!(found("range", "upstream")["origin"], "automatic");
    let plain = lone64(&["check", "--json", "-"], FILE);
    let value: Value = serde_json::from_slice(&plain.stdout).unwrap();
    assert_eq!((&value["effective"], &value["warnings"]), (&Value::Null, &Value::Array(vec![])));
}

#[test]
fn without_a_file_checks_what_run_does_then() {
    let output = with_empty_etc("\"$1\" check");
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(printed.starts_with("automatic: "), "{printed}");
    let last = "no configuration (/etc/lone64/lone64.toml does not exist) is good: automatic on\n    the upstream of the default route.\n";
    assert!(printed.ends_with(last), "{printed}");
    // One that is named has to be there.
    let output = with_empty_etc("\"$1\" check /etc/lone64/lone64.toml");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn without_a_file_there_may_be_drop_ins() {
    let script =
        "mkdir /etc/lone64/lone64.d; printf '[timers]\nabsent = \"9s\"\n' > /etc/lone64/lone64.d/a.toml; ";
    let output = with_empty_etc(&format!("{script} \"$1\" check --effective"));
    let printed = text(&output.stdout);
    assert!(printed.contains("absent     = \"9s\"   # /etc/lone64/lone64.d/a.toml:2\n"), "{printed}");
    let output = with_empty_etc(&format!("{script} \"$1\" check"));
    assert!(text(&output.stdout).contains("1 drop-in of /etc/lone64/lone64.toml is good"), "{output:?}");
}

#[test]
fn warns_of_what_is_legal_and_surely_wrong() {
    let wrong = format!("{FILE}retransmit = \"4s\"\n");
    let output = lone64(&["check", "-"], &wrong);
    assert_eq!(output.status.code(), Some(0));
    let warned = text(&output.stderr);
    assert!(warned.starts_with("warning: <stdin>:6:14: the second probe"), "{warned}");
    assert!(warned.contains("6 | retransmit = \"4s\"\n    |              ^^^^\n"), "{warned}");
    let output = lone64(&["check", "--json", "-"], &wrong);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&value["valid"], &value["warnings"][0]["line"]), (&true.into(), &6.into()));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn names_an_interface_that_is_almost_there_and_a_prefix_of_the_documentation() {
    let host = "ip link add up0 type veth peer name rt0; ip link set rt0 up; ip link set up0 up; ip link add lxcbr0 type bridge; \
                ip addr add 2a00:1450::2/64 dev up0 nodad; ip -6 route add default via fe80::1 dev up0; ";
    let file = "printf '[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\ninterface = \"lxdbr0\"\n'";
    let output = with_empty_etc(&format!("{host} {file} | \"$1\" check --json -"));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let notes: Vec<&str> = value["notes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(
        notes.iter().any(|note| note.contains("no interface lxdbr0") && note.ends_with("lxcbr0?")),
        "{notes:?}"
    );
    assert!(notes.iter().any(|note| note.contains("is for documentation")), "{notes:?}");
    let output = with_empty_etc(&format!("{host} {file} | \"$1\" check --effective -"));
    let printed = text(&output.stdout);
    assert!(printed.contains("#interface      = \"up0\""), "{printed}");
}

#[test]
fn knows_the_formats_of_others() {
    let ndppd = "# mine\nroute-ttl 30000\nproxy eth0 {\n  rule 2001:db8:1:2::/64 {\n    auto\n  }\n}\n";
    let place = std::env::temp_dir().join(format!("lone64-ndppd-{}.conf", std::process::id()));
    fs::write(&place, ndppd).unwrap();
    let file = place.display().to_string();
    let output = lone64(&["check", &file], "");
    fs::remove_file(&place).unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with(&format!("{file}:3:1: that is ndppd's format\n")), "{said}");
    assert!(said.contains(&format!("`lone64 import {file}`")) && said.contains("1 problem in"), "{said}");
    let output = lone64(&["check", "-"], "prefix=2001:db8:1:2:\ninterface = eth0\nlisttype = none\n");
    assert!(text(&output.stderr).contains("that is npd6's format"), "{output:?}");
}

#[test]
fn every_command_with_json_fails_with_one_object() {
    let socket = ["--socket", "/nonexistent/control.sock"];
    for (command, code) in [
        (&["status", "--json"][..], "not_running"),
        (&["status", "--json", "--live"], "not_running"),
        (&["watch", "--json"], "not_running"),
        (&["reload", "--json"], "not_running"),
        (&["explain", "--json", "--probe", "2001:db8::5"], "not_running"),
    ] {
        let output = lone64(&[command, &socket].concat(), "");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), ""), "{command:?}");
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["error"]["code"], code, "{command:?}");
        assert!(value["error"]["message"].as_str().unwrap().starts_with("no lone64 answers"), "{command:?}");
    }
    for (command, code) in [
        (&["doctor", "--json", "--config", "/nonexistent/lone64.toml"][..], "configuration"),
        (&["explain", "--json", "--config", "/nonexistent/lone64.toml", "2001:db8::5"], "configuration"),
        (&["import", "--json", "/nonexistent/ndppd.conf"], "failed"),
        (&["import", "--json", "-"], "configuration"),
    ] {
        let output = lone64(command, "nothing");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), ""), "{command:?}");
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["error"]["code"], code, "{command:?} {value}");
        let is_placed = value["error"]["problems"][0]["origin"].is_string();
        assert_eq!(is_placed, code == "configuration", "{command:?}");
    }
    let output = lone64(&["status", "--json", "--wathc"], "");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(2), ""));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["error"]["code"], "usage");
    let output = lone64(&["status", "--json", "--help"], "");
    assert!(output.status.success() && text(&output.stdout).contains("Examples:"));
}

#[test]
fn tells_what_is_wrong_with_the_environment() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lone64"));
    command.args(["run", "--config", "/dev/null"]).env("LONE64_LOG", "warning");
    let output = fed(&mut command, "");
    assert_eq!(output.status.code(), Some(1));
    let said = "LONE64_LOG=warning: this is not a log level\n  help: did you mean LONE64_LOG=warn?\n";
    assert_eq!(text(&output.stderr), said);
    let output = lone64(&["run", "-v", "-q"], "");
    assert_eq!(output.status.code(), Some(2), "both at once mean nothing");
}
