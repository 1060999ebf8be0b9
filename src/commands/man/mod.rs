//! `lone64 man`: the manual pages, in roff, out of the same sources as `--help` and `check`.
//!
//! May touch: standard output. Hidden; packaging calls it.

mod claims;
mod file;
mod metrics;
mod page;
mod program;
mod socket;

use std::process::ExitCode;

use clap::{Args, Command, ValueEnum};

use super::Outcome;
use super::print;

/// The options of `man`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 man > lone64.8
  lone64 man lone64.toml > lone64.toml.5
  lone64 man lone64-metrics > lone64-metrics.7")]
pub struct ManArgs {
    /// The page to print.
    #[arg(value_name = "PAGE", value_enum, default_value = "lone64")]
    pub page: Page,
}

/// A manual page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Page {
    /// lone64(8): the program.
    #[value(name = "lone64")]
    Program,
    /// lone64.toml(5): the configuration.
    #[value(name = "lone64.toml")]
    File,
    /// lone64-metrics(7): the metrics and the verdicts.
    #[value(name = "lone64-metrics")]
    Metrics,
}

/// Prints one page; `program` is the command line that it tells of.
pub fn run(args: &ManArgs, program: Command) -> Outcome {
    print(&args.page.render(program))?;
    Ok(ExitCode::SUCCESS)
}

impl Page {
    /// The page in roff; `program` is the command line that it tells of.
    pub fn render(self, program: Command) -> String {
        match self {
            Self::Program => program::render(program),
            Self::File => file::render(),
            Self::Metrics => metrics::render(),
        }
    }
}
