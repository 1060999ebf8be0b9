//! `lone64 explain`: why an address is answered for, or why not.
//!
//! May touch: the control socket; without a daemon the configuration; the kernel's tables, which it
//! only reads; standard output.

mod kernel;

use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::control::{Client, ControlError};
use super::options::SocketArgs;
use super::terminal::{bad, good};
use super::{Outcome, host, print, show};
use crate::config::Overrides;
use crate::daemon::explained::{Explained, ExplainedStep};
use crate::engine::Time;
use crate::engine::facts::Fact;

/// The options of `explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 explain 2001:db8:1:2:c::5
  lone64 explain --probe 2001:db8:1:2:c::5
  lone64 explain --json 2001:db8::5 | jq '.steps[].remedy'

Exit status: 0 it is answered for and reached, or the kernel answers for it;
1 it is not, or may not be; 2 wrong usage.")]
pub struct ExplainArgs {
    /// The address that somebody cannot reach.
    #[arg(value_name = "ADDRESS")]
    pub address: Ipv6Addr,
    /// Have the running daemon ask the downstreams for it now.
    #[arg(long)]
    pub probe: bool,
    /// Print one JSON object instead.
    #[arg(long)]
    pub json: bool,
    /// Which daemon is meant.
    #[command(flatten)]
    pub of: SocketArgs,
}

/// Explains one address; the status is 0 if it is answered for.
pub fn run(args: &ExplainArgs) -> Outcome {
    let facts = host::facts()?;
    let (mut explained, is_running) = match from_daemon(args) {
        Ok(explained) => (explained, true),
        Err(ControlError::NotRunning(_)) if !args.probe => (without_daemon(args, &facts)?, false),
        Err(error) => return Err(error.into()),
    };
    let said = kernel::steps(&explained, &facts);
    explained.steps.extend(said);
    let verdict = Verdict::of(&explained, args.probe);
    if args.json {
        let mut object = serde_json::to_value(&explained)?;
        object["running"] = json!(is_running);
        object["verdict"] = json!(verdict.sentence());
        print(&format!("{object:#}\n"))?;
    } else {
        show(&text(&explained, is_running, &verdict))?;
    }
    Ok(if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What it comes to: the last line, and the exit status.
enum Verdict<'a> {
    /// A router gets an answer, and packets arrive.
    Answered,
    /// The host has it itself.
    ByKernel,
    /// A router gets an answer, and packets do not arrive because of this.
    AnsweredBut(&'a ExplainedStep),
    /// Whether a guest has it is open, and this keeps packets from it.
    UnknownBut(&'a ExplainedStep),
    /// The guest was asked a moment ago.
    Silent,
    /// The guest is asked at this moment.
    Asked,
    /// The guest is asked when somebody wants to know.
    Unknown,
    /// Silence, for this reason.
    Unanswered(&'a str),
}

impl<'a> Verdict<'a> {
    fn of(explained: &'a Explained, has_probed: bool) -> Self {
        match (explained.outcome.as_str(), explained.reason.as_deref()) {
            ("answered", _) => first_cross(explained).map_or(Self::Answered, Self::AnsweredBut),
            ("probing", _) => Self::Asked,
            ("probed", _) if has_probed => Self::Silent,
            ("probed", _) => first_cross(explained).map_or(Self::Unknown, Self::UnknownBut),
            (_, Some("upstream_address")) if explained.steps.iter().all(|step| step.holds == "yes") => {
                Self::ByKernel
            }
            (outcome, reason) => Self::Unanswered(reason.unwrap_or(outcome)),
        }
    }

    fn is_good(&self) -> bool {
        matches!(self, Self::Answered | Self::ByKernel)
    }

    fn sentence(&self) -> String {
        match self {
            Self::Answered => "it is answered for".to_owned(),
            Self::ByKernel => "the kernel answers for it".to_owned(),
            Self::AnsweredBut(step) => {
                format!("it is answered for, and packets may not reach it: see `{}`", step.subject)
            }
            Self::UnknownBut(step) => {
                format!("nobody knows yet, and packets may not reach it: see `{}`", step.subject)
            }
            Self::Silent => "its guest was asked just now, and did not reply".to_owned(),
            Self::Asked => "its guest is being asked at this moment".to_owned(),
            Self::Unknown => "nobody knows yet: its guest is asked when somebody asks for it".to_owned(),
            Self::Unanswered(reason) => format!("it is not answered for ({reason})"),
        }
    }
}

fn from_daemon(args: &ExplainArgs) -> Result<Explained, ControlError> {
    let mut client = Client::connect(&args.of.path())?;
    let mut ask = |probe: bool| {
        let reply = client.ask("explain", json!({ "address": args.address, "probe": probe }))?;
        serde_json::from_value::<Explained>(reply).map_err(|_| ControlError::Foreign(args.of.path()))
    };
    let mut explained = ask(args.probe)?;
    if args.probe {
        // The first says how it was before.
        explained = ask(false)?;
        for _ in 0..MOST_LOOKS {
            if explained.outcome != "probing" {
                break;
            }
            sleep(BETWEEN_LOOKS);
            explained = ask(false)?;
        }
    }
    Ok(explained)
}

/// What a daemon with this configuration would do on this host.
fn without_daemon(args: &ExplainArgs, facts: &[Fact]) -> Result<Explained, Box<dyn std::error::Error>> {
    let config = Overrides::default().load(args.of.config.as_deref())?.read.config;
    let engine = host::engine(config.policy, facts.to_vec());
    Ok(Explained::of(&engine, args.address, Time::ORIGIN))
}

fn first_cross(explained: &Explained) -> Option<&ExplainedStep> {
    explained.steps.iter().find(|step| step.holds == "no")
}

/// A line for each step; the first cross with its remedy.
fn text(explained: &Explained, is_running: bool, verdict: &Verdict<'_>) -> String {
    let mut text = format!("{}\n", explained.address);
    let cross = first_cross(explained);
    for step in &explained.steps {
        let mark = match step.holds.as_str() {
            "yes" => good("✓"),
            "no" => bad("✗"),
            _ => "?".to_owned(),
        };
        let first = format!("  {mark} {:<11} ", step.subject);
        text += &super::wrapped(&first, &step.value);
        let is_first_cross = cross.is_some_and(|cross| std::ptr::eq(cross, step));
        let is_open = step.holds == "open" && cross.is_none();
        if let Some(remedy) = step.remedy.as_ref().filter(|_| is_first_cross || is_open) {
            text += &super::wrapped("                do: ", remedy);
        }
    }
    let times = match explained.answered {
        0 => String::new(),
        times => format!("; answers so far: {times}"),
    };
    let running = if is_running { "" } else { "No lone64 is running; with one, " };
    text + "\n" + &super::wrapped("", &format!("{running}{}{times}.", verdict.sentence()))
}

/// From one look at what the daemon has found out to the next.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// Three probes a second apart, and some time to spare.
const MOST_LOOKS: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_remedy_of_the_first_cross_only() {
        let step = |subject: &str, holds: &str| ExplainedStep {
            subject: subject.to_owned(),
            holds: holds.to_owned(),
            value: "as it is".to_owned(),
            remedy: Some(format!("change {subject}")),
        };
        let explained = Explained {
            address: "2001:db8::5".parse().unwrap(),
            outcome: "dropped".to_owned(),
            upstream: None,
            reason: Some("no_range".to_owned()),
            steps: vec![step("upstream", "yes"), step("range", "no"), step("route", "no")],
            answered: 0,
        };
        let text = text(&explained, false, &Verdict::of(&explained, false));
        assert!(text.contains("do: change range") && !text.contains("change route"), "{text}");
        assert!(
            text.ends_with("No lone64 is running; with one, it is not answered for (no_range).\n"),
            "{text}"
        );
        let value = serde_json::to_value(&explained).unwrap();
        assert_eq!(value["steps"][1]["holds"], "no");
    }

    #[test]
    fn agrees_with_its_exit_status() {
        let step = |subject: &str, holds: &str| ExplainedStep {
            subject: subject.to_owned(),
            holds: holds.to_owned(),
            value: "as it is".to_owned(),
            remedy: None,
        };
        let explained = |outcome: &str, reason: Option<&str>, holds: &str| Explained {
            address: "2001:db8::5".parse().unwrap(),
            outcome: outcome.to_owned(),
            upstream: None,
            reason: reason.map(str::to_owned),
            steps: vec![step("range", "yes"), step("route", holds)],
            answered: 0,
        };
        for (outcome, reason, holds, has_probed, is_good, sentence) in [
            ("answered", None, "yes", false, true, "it is answered for"),
            (
                "answered",
                None,
                "no",
                false,
                false,
                "it is answered for, and packets may not reach it: see `route`",
            ),
            ("dropped", Some("upstream_address"), "yes", false, true, "the kernel answers for it"),
            (
                "dropped",
                Some("upstream_address"),
                "open",
                false,
                false,
                "it is not answered for (upstream_address)",
            ),
            (
                "probed",
                None,
                "open",
                false,
                false,
                "nobody knows yet: its guest is asked when somebody asks for it",
            ),
            (
                "probed",
                None,
                "no",
                false,
                false,
                "nobody knows yet, and packets may not reach it: see `route`",
            ),
            ("probed", None, "open", true, false, "its guest was asked just now, and did not reply"),
        ] {
            let explained = explained(outcome, reason, holds);
            let verdict = Verdict::of(&explained, has_probed);
            assert_eq!((verdict.is_good(), verdict.sentence().as_str()), (is_good, sentence));
        }
    }
}
