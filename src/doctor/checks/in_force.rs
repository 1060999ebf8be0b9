//! Whether the running daemon serves by what the file says.

use std::path::Path;

use serde_json::Value;

use crate::config::DEFAULT_FILE;
use crate::doctor::{Check, Command, Finding, Group, Host, Remedy};

/// The check.
pub static CHECK: Check = Check {
    name: "configuration",
    group: Group::Daemon,
    asks: "the running lone64 serves by its configuration as it is now",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let Some(config) = host.daemon.as_ref().map(|status| &status["config"]) else { return Vec::new() };
    let file = config["file"].as_str();
    let mut findings = Vec::new();
    let examined = host.examined.file.as_deref().and_then(|file| std::path::absolute(file).ok());
    if !host.examined.is_in_force && examined.as_deref() != file.map(Path::new) {
        findings.push(another(file, examined.as_deref()));
    } else if let Some(unreadable) = config["unreadable"].as_object() {
        let said = |key: &str| unreadable.get(key).and_then(Value::as_str).unwrap_or_default();
        let is_gone = unreadable.get("gone") == Some(&Value::Bool(true));
        findings.push(lost(said("file"), is_gone, said("message"), file));
    } else if let Some(mistakes) = &host.examined.mistakes {
        findings.push(mistaken(mistakes, file));
    } else if let Some(refusal) = config["last_refusal"].as_object() {
        let seconds = refusal["seconds"].as_u64().unwrap_or_default();
        let message = refusal["message"].as_str().unwrap_or_default();
        findings.push(refused(message, seconds, file));
    } else if config["changed_since"] == true {
        findings.push(changed(config));
    }
    findings
}

fn name(file: Option<&str>) -> String {
    file.map_or_else(|| "no file".to_owned(), str::to_owned)
}

fn another(file: Option<&str>, examined: Option<&Path>) -> Finding {
    let here = name(examined.and_then(Path::to_str));
    let sentence = format!("this report is about {here}, and the running lone64 has loaded {}", name(file));
    Finding::warning(sentence).remedy(Remedy::Advice(
        "run `lone64 doctor` without options: then it looks at what the running lone64 serves".to_owned(),
    ))
}

/// The running daemon has read it, and cannot again. `main` is the configuration that it belongs to.
fn lost(file: &str, is_gone: bool, message: &str, main: Option<&str>) -> Finding {
    let (is_so, help) =
        if is_gone { ("is gone", "put it back") } else { ("cannot be read", "let lone64 read it") };
    let sentence =
        format!("{file} {is_so}: lone64 goes on with what it has loaded before, until it is started again");
    let finding = Finding::warning(sentence).seen(format!("lone64 status: {file}: {message}"));
    let advice = format!("{help}, then run `lone64 reload{}`", named("--config ", main));
    finding.remedy(Remedy::Advice(advice))
}

/// The next start would end with it, too.
fn mistaken(mistakes: &str, file: Option<&str>) -> Finding {
    let finding = Finding::warning(
        "the configuration has a mistake: lone64 goes on with what it has loaded before, and does not start again",
    );
    let advice = format!("correct it, and see with `lone64 check{}` that it is good", named("", file));
    shown(finding, mistakes).remedy(Remedy::Advice(advice))
}

fn refused(message: &str, seconds: u64, file: Option<&str>) -> Finding {
    let sentence = "a reload was refused, so lone64 goes on with what it has loaded before";
    let finding = Finding::warning(sentence).seen(format!("lone64 status: refused {seconds}s ago"));
    let line = format!("lone64 check{} && lone64 reload{}", named("", file), named("--config ", file));
    shown(finding, message).run(Command::new(line).lasting())
}

/// The lines of a message, without the marks below what is quoted: they stand under nothing here.
fn shown(finding: Finding, message: &str) -> Finding {
    let message = message.strip_prefix("lone64: ").unwrap_or(message);
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('|'));
    lines.take(MOST_LINES).fold(finding, Finding::seen)
}

/// The file as an argument, where it is not the one that is read without.
pub(super) fn named(option: &str, file: Option<&str>) -> String {
    let file = file.filter(|file| *file != DEFAULT_FILE);
    file.map(|file| format!(" {option}{file}")).unwrap_or_default()
}

fn changed(config: &Value) -> Finding {
    let seconds = config["loaded_seconds"].as_u64().unwrap_or_default();
    let file = config["file"].as_str();
    let sentence = format!("{} or a file beside it has changed since lone64 loaded it", name(file));
    let finding = Finding::warning(sentence).seen(format!("lone64 status: loaded {seconds}s ago"));
    finding.run(Command::new(format!("lone64 reload{}", named("--config ", file))).lasting())
}

/// Of a message that is shown.
const MOST_LINES: usize = 6;
