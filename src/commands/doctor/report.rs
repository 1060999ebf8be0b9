//! What the doctor found, for people and for programs.
//!
//! May touch: nothing.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::terminal::{bad, doubtful, folded};
use super::super::wrapped;
use super::{Results, fixes};
use crate::doctor::{Finding, Group, Remedy, Severity};

/// A line for each check; faults and warnings with all that is known of them.
pub(super) fn report(results: &Results, needs_upstream: bool, file: &str) -> String {
    let mut text = String::new();
    let mut group: Option<Group> = None;
    for (check, findings) in results {
        if group.replace(check.group) != Some(check.group) {
            let _ = writeln!(text, "{}", check.group.as_str());
        }
        let asks = match check.name {
            "upstream" if !needs_upstream => NO_UPSTREAM,
            "on-link" if !needs_upstream => continue,
            _ => check.asks,
        };
        if findings.is_empty() {
            text.push_str(&wrapped("  ok       ", asks));
        }
        for finding in findings {
            let word = match finding.severity {
                Severity::Fault => bad("FAULT    "),
                Severity::Warning => doubtful("warning  "),
            };
            text.push_str(&wrapped(&format!("  {word}"), &finding.sentence));
            for evidence in &finding.evidence {
                text.push_str(&wrapped("           seen: ", evidence));
            }
            text.push_str(&treatment("           ", &finding.remedies, file));
        }
    }
    text.push('\n');
    text += &summary(results);
    text
}

const NO_UPSTREAM: &str = "no upstream is needed: no range is answered for, and packets are only routed";

/// All that a finding says to do, and below it what that does besides, each thing once.
pub(super) fn treatment(indent: &str, remedies: &[Remedy], file: &str) -> String {
    let mut text = String::new();
    for (number, remedy) in remedies.iter().enumerate() {
        let word = if number == 0 { "do:" } else { "" };
        text += &shown(&format!("{indent}{word:<6} "), remedy);
    }
    let mut told = Vec::new();
    for effect in remedies.iter().flat_map(|remedy| remedy.effects(file)) {
        if !told.contains(&effect) {
            text += &wrapped(&format!("{indent}{:<6} ", effect.0), &effect.1);
            told.push(effect);
        }
    }
    text
}

fn shown(first: &str, remedy: &Remedy) -> String {
    match remedy {
        // Lines to be copied are never broken.
        Remedy::Fix(fix) => format!("{first}{}\n", fix.command()),
        Remedy::Command(command) => format!("{first}{}\n", command.line),
        Remedy::Config(lines) => {
            let mut text = format!("{first}in lone64.toml:\n");
            for line in lines.lines() {
                let _ = writeln!(text, "                    {line}");
            }
            text
        }
        Remedy::Advice(sentence) => wrapped(first, sentence),
    }
}

pub(super) fn summary(results: &Results) -> String {
    let (faults, warnings) = (count(results, Severity::Fault), count(results, Severity::Warning));
    let counted =
        |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let fixable = fixes(results).len();
    let mut text = match (faults, warnings) {
        (0, 0) => format!("{}: nothing is wrong.", counted(results.len(), "check")),
        (0, _) => format!("No fault, {}.", counted(warnings, "warning")),
        _ => format!("{}, {}.", counted(faults, "fault"), counted(warnings, "warning")),
    };
    if fixable > 0 {
        let _ = write!(text, " `lone64 doctor --fix` sets {}.", counted(fixable, "sysctl"));
    }
    folded("", "    ", &text)
}

pub(super) fn count(results: &Results, severity: Severity) -> usize {
    results.iter().flat_map(|(_, findings)| findings).filter(|finding| finding.severity == severity).count()
}

/// The same as JSON.
pub(super) fn described(results: &Results, file: &str) -> Value {
    let checks: Vec<Value> = results
        .iter()
        .map(|(check, findings)| {
            let state = findings.iter().map(|finding| finding.severity).min();
            json!({
                "name": check.name,
                "group": check.group.as_str(),
                "asks": check.asks,
                "state": state.map_or("ok", severity),
                "findings": findings.iter().map(|one| finding(one, file)).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "healthy": count(results, Severity::Fault) == 0, "checks": checks })
}

fn finding(finding: &Finding, file: &str) -> Value {
    let remedies: Vec<Value> = finding.remedies.iter().map(|remedy| remedy.to_json(file)).collect();
    json!({
        "severity": severity(finding.severity),
        "sentence": finding.sentence,
        "evidence": finding.evidence,
        "remedies": remedies,
    })
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Fault => "fault",
        Severity::Warning => "warning",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::checks::ALL;

    #[test]
    fn a_healthy_host_gets_lines_of_eighty_columns() {
        let results: Results = ALL.iter().map(|check| (*check, Vec::new())).collect();
        for needs_upstream in [true, false] {
            let text = report(&results, needs_upstream, "/etc/sysctl.d/zz-lone64.conf");
            let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(wide.is_empty(), "{wide:#?}");
        }
    }

    #[test]
    fn breaks_sentences_at_eighty_columns_and_commands_never() {
        let long = "word ".repeat(40);
        let text = wrapped("  FAULT    ", &long);
        assert!(text.lines().count() > 2 && text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("           word")), "{text}");
        let command = Remedy::Command(long.as_str().into());
        assert_eq!(shown("do: ", &command).lines().count(), 1);
    }
}
