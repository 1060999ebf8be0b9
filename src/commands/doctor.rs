//! `lone64 doctor`: what is wrong with this host, and how it is put right.
//!
//! May touch: standard input, output and error, and whatever the doctor's room may.

mod live;

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write};
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use ipnet::Ipv6Net;
use serde_json::{Value, json};

use super::control::Client;
use super::options::{RunArgs, parse_range};
use super::terminal::{bad, doubtful};
use super::{Outcome, print, show, wrapped};
use crate::config::Config;
use crate::doctor::{Check, FORWARDING, Finding, Fix, Group, Host, Remedy, Severity, examine, fix, gather};
use crate::engine::facts::IfName;

type Results = Vec<(&'static Check, Vec<Finding>)>;

/// The options of `doctor`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 doctor
  lone64 doctor --fix
  lone64 doctor --live
  lone64 doctor --range 2001:db8:1:2:c::/112=lxcbr0
  lone64 doctor --json | jq '.checks[] | select(.state != \"ok\")'

Exit status: 0 no fault, 1 a fault or a lost packet, 2 wrong usage.")]
pub struct DoctorArgs {
    /// The configuration [default: /etc/lone64/lone64.toml].
    #[arg(long, value_name = "F")]
    pub config: Option<PathBuf>,
    /// As for `run`.
    #[arg(long, value_name = "IF")]
    pub upstream: Vec<IfName>,
    /// As for `run`.
    #[arg(long, value_name = "PREFIX=IF", value_parser = parse_range)]
    pub range: Vec<(Ipv6Net, IfName)>,
    /// Set what is safe to set, each after a question: now, and in /etc/sysctl.d/zz-lone64.conf.
    #[arg(long)]
    pub fix: bool,
    /// Do not ask.
    #[arg(long, requires = "fix")]
    pub yes: bool,
    /// Put a temporary guest behind the host and follow its packet, out and back.
    ///
    /// Needs root. Tells the first of five legs at which the packet is lost, and the configuration
    /// that repairs it, or what to ask the provider for. Nothing is left behind.
    #[arg(long)]
    pub live: bool,
    /// The temporary guest's address, instead of a free one at random.
    #[arg(long, value_name = "ADDRESS", requires = "live")]
    pub live_address: Option<Ipv6Addr>,
    /// Where it sends its packet: something behind the provider's router that answers pings.
    #[arg(long, value_name = "ADDRESS", requires = "live", default_value = "2001:7fd::1")]
    pub to: Ipv6Addr,
    /// Print one JSON object instead.
    #[arg(long)]
    pub json: bool,
    /// Where the files of the host are.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// Examines the host; the status is 1 if there is a fault, or if a packet is lost.
pub fn run(args: &DoctorArgs) -> Outcome {
    let source = RunArgs {
        config: args.config.clone(),
        upstream: args.upstream.clone(),
        range: args.range.clone(),
        socket: None,
        verbose: 0,
        quiet: 0,
        record: None,
    };
    let config = source.config()?;
    let (mut host, mut results) = look(&config, &args.root)?;
    let file = fix::file(&args.root).display().to_string();
    if !args.json {
        show(&report(&results, needs_upstream(&host), &file))?;
    }
    let mut fixed = Fixed { applied: Vec::new(), failed: None };
    if args.fix {
        fixed = apply(&fixes(&results), args)?;
        if !fixed.applied.is_empty() {
            let asked_for = std::mem::take(&mut host.asked_for);
            (host, results) = look(&config, &args.root)?;
            host.asked_for.extend(asked_for);
            if !args.json {
                print(&format!("\n{}\n", summary(&results)))?;
            }
        }
    }
    // As it is now: what was fixed is no finding any more.
    let mut object = described(&results, &file);
    if args.fix {
        object["fixed"] =
            fixed.applied.iter().map(|fix| json!({ "text": fix.command(), "file": file })).collect();
    }
    // After what can be fixed was fixed: a packet is lost for every fault that is left.
    let live = args.live.then(|| live::follow(args, &config, &host)).transpose();
    if let Ok(Some(live)) = &live {
        object["healthy"] = json!(live.holds() && count(&results, Severity::Fault) == 0);
        object["live"] = live::described(live, &file);
    }
    match &live {
        _ if args.json => print(&format!("{object:#}\n"))?,
        Ok(Some(live)) => show(&format!("\n{}", live::report(live, &file)))?,
        _ => {}
    }
    fixed.failed.map_or(Ok(()), Err)?;
    Ok(status(&results, live?.is_none_or(|live| live.holds())))
}

/// What `--fix` has done.
struct Fixed {
    applied: Vec<Fix>,
    /// At which it stopped.
    failed: Option<fix::FixError>,
}

fn status(results: &Results, came_back: bool) -> ExitCode {
    let is_healthy = came_back && count(results, Severity::Fault) == 0;
    if is_healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn look(config: &Config, root: &Path) -> Result<(Host, Results), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let mut host = runtime.block_on(gather::host(config.clone(), root))?;
    // It has heard what cannot be read anywhere. Without one, that is not known.
    let running = Client::connect(&config.control.socket);
    host.daemon = running.and_then(|mut client| client.ask("status", json!({ "limit": 1 }))).ok();
    let results = examine(&host);
    Ok((host, results))
}

/// Whether there is an upstream, or should be.
fn needs_upstream(host: &Host) -> bool {
    !host.upstreams().is_empty() || host.config.policy.needs_upstream()
}

/// A line for each check; faults and warnings with all that is known of them.
fn report(results: &Results, needs_upstream: bool, file: &str) -> String {
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
            let _ = writeln!(text, "  ok       {asks}");
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
    let _ = writeln!(text, "\n{}", summary(results));
    text
}

const NO_UPSTREAM: &str = "no upstream is needed: no range is answered for, and packets are only routed";

/// All that a finding says to do, and below it what that does besides, each thing once.
fn treatment(indent: &str, remedies: &[Remedy], file: &str) -> String {
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

fn summary(results: &Results) -> String {
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
    text
}

fn count(results: &Results, severity: Severity) -> usize {
    results.iter().flat_map(|(_, findings)| findings).filter(|finding| finding.severity == severity).count()
}

fn fixes(results: &Results) -> Vec<Fix> {
    let mut fixes: Vec<Fix> = Vec::new();
    for remedy in results.iter().flat_map(|(_, findings)| findings).flat_map(|finding| &finding.remedies) {
        if let Remedy::Fix(fix) = remedy
            && !fixes.contains(fix)
        {
            fixes.push(fix.clone());
        }
    }
    fixes
}

/// Applies the safe remedies in order, each after it was agreed to.
fn apply(fixes: &[Fix], args: &DoctorArgs) -> Result<Fixed, Box<dyn std::error::Error>> {
    if !args.yes && !fixes.is_empty() && (args.json || !io::stdin().is_terminal()) {
        let why = if args.json { "with --json it cannot ask" } else { "there is no terminal to ask on" };
        return Err(format!("--fix asks before each change, and {why}; add --yes").into());
    }
    let file = fix::file(&args.root).display().to_string();
    let (mut applied, mut is_refused) = (Vec::new(), false);
    for fix in fixes {
        // Once the host forwards, it takes router advertisements only with the setting that was refused.
        if is_refused && fix.key == FORWARDING {
            print(&format!(
                "not done: {}: without the setting before it the default route is lost\n",
                fix.command()
            ))?;
            continue;
        }
        if !args.yes {
            print(&format!("{}, now and in {file}? [y/N] ", fix.command()))?;
            io::stdout().flush()?;
            let mut answer = String::new();
            io::stdin().lock().read_line(&mut answer)?;
            if !matches!(answer.trim(), "y" | "Y" | "yes") {
                is_refused |= fix.key.ends_with("/accept_ra");
                continue;
            }
        }
        if let Err(error) = fix::apply(fix, &args.root) {
            return Ok(Fixed { applied, failed: Some(error) });
        }
        applied.push(fix.clone());
        if !args.json {
            print(&format!("done: {}, and written to {file}\n", fix.command()))?;
        }
    }
    Ok(Fixed { applied, failed: None })
}

fn described(results: &Results, file: &str) -> Value {
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
