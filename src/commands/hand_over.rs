//! `lone64 hand-over`: another daemon follows the one that runs, which leaves everything to it.
//!
//! May touch: the control socket, standard output.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::control::Client;
use super::options::SocketArgs;
use super::{Outcome, print, show};

/// The options of `hand-over`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 hand-over && systemctl kill lone64
  lone64 hand-over --json

The unit lone64.service and the script for OpenRC do this at a restart.

Exit status: 0 told, 1 refused or not running, 2 wrong usage.")]
pub struct HandOverArgs {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Which daemon is meant.
    #[command(flatten)]
    pub of: SocketArgs,
}

/// Tells it to the daemon.
pub fn run(args: &HandOverArgs) -> Outcome {
    let result = Client::connect(&args.of.path())?.ask("hand_over", Value::Null)?;
    match args.json {
        true => print(&format!("{result:#}\n"))?,
        false => show(&format!(
            "A stop within {} s leaves everything in the kernel for the next start.\n",
            result["seconds"]
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}
