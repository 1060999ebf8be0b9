//! `lone64 completions`: what a shell has to know to complete a command line.
//!
//! May touch: standard output. Hidden; packaging calls it.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::Outcome;
use super::print;

/// The options of `completions`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 completions bash > lone64.bash
  lone64 completions zsh > _lone64
  lone64 completions fish > lone64.fish")]
pub struct CompletionsArgs {
    /// For which shell.
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// Prints the completions of the whole program for one shell.
pub fn run(args: &CompletionsArgs, mut program: Command) -> Outcome {
    let mut script = Vec::new();
    generate(args.shell, &mut program, "lone64", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
