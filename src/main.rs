//! The `lone64` binary: reads the command line, runs the command, tells why it failed.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use lone64::cli::{Cli, Command};
use lone64::commands::failure::{self, Form};
use lone64::commands::{self, terminal};

fn main() -> ExitCode {
    terminal::measure();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A program that asks for JSON gets nothing else on its standard output.
            let wants_json = std::env::args_os().any(|word| word == "--json");
            return failure::tell_usage(&error, if wants_json { Form::Json } else { Form::Text });
        }
    };
    let result = match &cli.command {
        Command::Run(args) => commands::run::run(args),
        Command::Check(args) => commands::check::run(args),
        Command::Import(args) => commands::import::run(args),
        Command::Man(args) => commands::man::run(args, Cli::command()),
        Command::Completions(args) => commands::completions::run(args, Cli::command()),
        Command::Status(args) => commands::status::run(args),
        Command::HandOver(args) => commands::hand_over::run(args),
        Command::Watch(args) => commands::watch::run(args),
        Command::Reload(args) => commands::reload::run(args),
        Command::Claim(args) => commands::claim::claim(args),
        Command::Release(args) => commands::claim::release(args),
        Command::Guest(args) => commands::guest::run(args),
        Command::Explain(args) => commands::explain::run(args),
        Command::Demo(args) => commands::demo::run(args),
        Command::Doctor(args) => commands::doctor::run(args),
    };
    result.unwrap_or_else(|error| failure::tell(&*error, cli.command.form()))
}
