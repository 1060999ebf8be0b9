//! `lone64 man`: the manual pages, in roff, out of the same sources as `--help` and `check`.
//!
//! May touch: standard output. Hidden; packaging calls it.

mod file;
mod page;
mod program;
mod socket;

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::Outcome;
use super::print;

/// The options of `man`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 man > lone64.8
  lone64 man lone64.toml > lone64.toml.5")]
pub struct ManArgs {
    /// Which page.
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
}

/// Prints one page.
pub fn run(args: &ManArgs) -> Outcome {
    print(&args.page.render())?;
    Ok(ExitCode::SUCCESS)
}

impl Page {
    /// The page in roff.
    pub fn render(self) -> String {
        match self {
            Self::Program => program::render(),
            Self::File => file::render(),
        }
    }
}
