//! `lone64 doctor`: what is wrong with this host, and how it is put right.
//!
//! May touch: standard input, output and error, and whatever the doctor's room may.

mod live;
mod report;
mod running;

use std::error::Error;
use std::io::{self, BufRead, IsTerminal};
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ipnet::Ipv6Net;
use serde_json::json;

use super::options::parse_range;
use super::terminal::folded;
use super::{Outcome, failure, print, show};
use crate::doctor::{Check, FORWARDING, Finding, Fix, Host, Remedy, Severity, examine, fix, gather};
use crate::engine::facts::IfName;
use report::{count, described, report, summary};
use running::{Meant, meant};

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
    let (mut host, mut results) = look(args)?;
    let file = fix::file(&args.root).display().to_string();
    if !args.json {
        show(&report(&results, needs_upstream(&host), &file))?;
    }
    let mut fixed = Fixed { applied: Vec::new(), failed: None };
    if args.fix {
        fixed = apply(&fixes(&results), args)?;
        if !fixed.applied.is_empty() {
            let asked_for = std::mem::take(&mut host.asked_for);
            (host, results) = look(args)?;
            host.asked_for.extend(asked_for);
            if !args.json {
                show(&format!("\n{}", summary(&results)))?;
            }
        }
    }
    // As it is now: what was fixed is no finding any more.
    let mut object = described(&results, &file);
    if args.fix {
        object["fixed"] =
            fixed.applied.iter().map(|fix| json!({ "text": fix.command(), "file": file })).collect();
    }
    let mut error: Option<Box<dyn Error>> = fixed.failed.map(Into::into);
    let mut came_back = true;
    // After what can be fixed was fixed: a packet is lost for every fault that is left.
    match args.live.then(|| live::follow(args, &host)) {
        Some(Ok(live)) => {
            came_back = live.holds();
            object["live"] = live::described(&live, &file);
            if !args.json {
                show(&format!("\n{}", live::report(&live, &file)))?;
            }
        }
        Some(Err(failed)) => error = error.or(Some(failed.into())),
        None => {}
    }
    let is_healthy = came_back && count(&results, Severity::Fault) == 0 && error.is_none();
    object["healthy"] = json!(is_healthy);
    match error {
        Some(error) if !args.json => return Err(error),
        // A program reads one object, with what was found in it.
        Some(error) => object["error"] = failure::described(&*error),
        None => {}
    }
    if args.json {
        print(&format!("{object:#}\n"))?;
    }
    Ok(if is_healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `--fix` has done.
struct Fixed {
    applied: Vec<Fix>,
    /// At which it stopped.
    failed: Option<fix::FixError>,
}

fn look(args: &DoctorArgs) -> Result<(Host, Results), Box<dyn Error>> {
    let Meant { config, examined, daemon } = meant(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let host = runtime.block_on(gather::host(config, &args.root, examined, daemon))?;
    let results = examine(&host);
    Ok((host, results))
}

/// Whether there is an upstream, or should be.
fn needs_upstream(host: &Host) -> bool {
    !host.upstreams().is_empty() || host.config.policy.needs_upstream()
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
fn apply(fixes: &[Fix], args: &DoctorArgs) -> Result<Fixed, Box<dyn Error>> {
    if !args.yes && !fixes.is_empty() && (args.json || !io::stdin().is_terminal()) {
        let why = if args.json { "with --json it cannot ask" } else { "there is no terminal to ask on" };
        return Err(format!("--fix asks before each change, and {why}; add --yes").into());
    }
    let file = fix::file(&args.root).display().to_string();
    let (mut applied, mut is_refused) = (Vec::new(), false);
    for fix in fixes {
        // Once the host forwards, it takes router advertisements only with the setting that was refused.
        if is_refused && fix.key == FORWARDING {
            if !args.json {
                let command = fix.command();
                let sentence =
                    format!("`{command}`: without the setting before it the default route is lost");
                show(&folded("not done: ", "    ", &sentence))?;
            }
            continue;
        }
        if !args.yes {
            let question = folded("", "    ", &format!("`{}`, now and in {file}? [y/N]", fix.command()));
            show(&format!("{} ", question.trim_end()))?;
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
            let sentence = format!("`{}`, and written to {file}", fix.command());
            show(&folded("done: ", "    ", &sentence))?;
        }
    }
    Ok(Fixed { applied, failed: None })
}
