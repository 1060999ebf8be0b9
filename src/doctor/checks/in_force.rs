//! Whether the running daemon serves by what the file says.

use std::path::Path;

use serde_json::Value;

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
    } else if let Some(mistakes) = &host.examined.mistakes {
        findings.push(mistaken(mistakes));
    } else if let Some(refusal) = config["last_refusal"].as_object() {
        let seconds = refusal["seconds"].as_u64().unwrap_or_default();
        let message = refusal["message"].as_str().unwrap_or_default();
        findings.push(refused(message, seconds));
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

/// The next start would end with it, too.
fn mistaken(mistakes: &str) -> Finding {
    let finding = Finding::warning(
        "the configuration has a mistake: lone64 goes on with what it has loaded before, and does not start again",
    );
    let lines = mistakes.lines().filter(|line| !line.trim().is_empty()).take(MOST_LINES);
    let finding = lines.fold(finding, |finding, line| finding.seen(line.trim_end()));
    finding.remedy(Remedy::Advice("correct it, and see with `lone64 check` that it is good".to_owned()))
}

fn refused(message: &str, seconds: u64) -> Finding {
    let sentence = "a reload was refused, so lone64 goes on with what it has loaded before";
    let finding = Finding::warning(sentence).seen(format!("lone64 status: refused {seconds} s ago"));
    let finding =
        message.lines().take(MOST_LINES).fold(finding, |finding, line| finding.seen(line.trim_end()));
    finding.run(Command::new("lone64 check && lone64 reload").lasting())
}

fn changed(config: &Value) -> Finding {
    let seconds = config["loaded_seconds"].as_u64().unwrap_or_default();
    let file = name(config["file"].as_str());
    let sentence = format!("{file} or a file beside it has changed since lone64 loaded it");
    let finding = Finding::warning(sentence).seen(format!("lone64 status: loaded {seconds} s ago"));
    finding.run(Command::new("lone64 reload").lasting())
}

/// Of a message that is shown.
const MOST_LINES: usize = 6;
