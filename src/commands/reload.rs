//! `lone64 reload`: the daemon reads its configuration again, all of it or none.
//!
//! May touch: the control socket, standard output and error.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::control::{Client, ControlError};
use super::options::SocketArgs;
use super::terminal::{complain, folded};
use super::{Outcome, print, show};

/// The options of `reload`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 reload
  lone64 check && lone64 reload
  lone64 reload --json | jq '.keys[] | select(.table == \"timers\")'
  lone64 reload --json | jq '.error.problems[].message'

Exit status: 0 reloaded, 1 refused, not running, or a file in guests.d has a
mistake (the rest is in force), 2 wrong usage.")]
pub struct ReloadArgs {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Which daemon is meant.
    #[command(flatten)]
    pub of: SocketArgs,
}

/// Reloads; the status is 1 if the configuration has a mistake, and stays as it was.
pub fn run(args: &ReloadArgs) -> Outcome {
    let result = Client::connect(&args.of.path()).and_then(|mut client| client.ask("reload", Value::Null));
    match result {
        Ok(result) => {
            match args.json {
                true => print(&format!("{result:#}\n"))?,
                false => show(&changes(&result))?,
            }
            Ok(with_guests(&result, args.json))
        }
        Err(ControlError::Refused(fault)) if !args.json => {
            let count = fault["problems"].as_array().map_or(1, Vec::len);
            let message = fault["message"].as_str().unwrap_or_default();
            let plural = if count == 1 { "" } else { "s" };
            complain(&format!(
                "{message}\n\nnot reloaded: {count} problem{plural}; the old configuration stays in force\n"
            ));
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error.into()),
    }
}

/// Files of guests that have a mistake concern nobody but their guests; but their author wants to know.
fn with_guests(result: &Value, is_json: bool) -> ExitCode {
    let problems = result["problems"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |problem: &Value, key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    for problem in problems.iter().filter(|_| !is_json) {
        let place = match (problem["line"].as_u64(), problem["column"].as_u64()) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            _ => String::new(),
        };
        let (origin, message, help) =
            (text(problem, "origin"), text(problem, "message"), text(problem, "help"));
        complain(&format!("{origin}{place}: {message}\n  help: {help}\n"));
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn changes(result: &Value) -> String {
    let changes: Vec<_> =
        result["changes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match changes.as_slice() {
        [] => "Reloaded: nothing changed.\n".to_owned(),
        some => some.iter().map(|change| folded("", "    ", change)).collect(),
    }
}
