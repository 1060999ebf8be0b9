//! The command line: what can be written, and what it says about itself.
//!
//! May touch: nothing. What a command takes is told in the command's own file.

use clap::{Parser, Subcommand};

use crate::commands::check::CheckArgs;
use crate::commands::completions::CompletionsArgs;
use crate::commands::demo::DemoArgs;
use crate::commands::doctor::DoctorArgs;
use crate::commands::explain::ExplainArgs;
use crate::commands::failure::Form;
use crate::commands::import::ImportArgs;
use crate::commands::man::ManArgs;
use crate::commands::options::RunArgs;
use crate::commands::reload::ReloadArgs;
use crate::commands::status::StatusArgs;
use crate::commands::watch::WatchArgs;

/// Proxy-NDP responder: one on-link IPv6 /64, every guest behind the host reachable.
///
/// lone64 answers the router's neighbor solicitations for the guests (containers, virtual machines,
/// VPN peers) of a host that was given a single on-link IPv6 /64, and keeps the kernel's routes to
/// them.
#[derive(Debug, Parser)]
#[command(
    name = "lone64",
    version,
    max_term_width = 80,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  lone64 demo                         see what it does; no root, no network
  lone64 check                        validate /etc/lone64/lone64.toml
  lone64 run --range 2001:db8:1:2:c::/112=lxcbr0
  lone64 status                       what is served, and for whom

Exit status: 0 done or healthy, 1 failed or unhealthy, 2 wrong usage."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon, in the foreground.
    ///
    /// Options override the file. Without --config the default file may be absent: with no range at all,
    /// whatever the kernel routes to another interface out of the upstream's prefix is served.
    ///
    /// What is not there yet (interfaces, a default route) is waited for, and a foreign route in the way is a
    /// conflict: both are told, and the rest is served. It ends by itself only for a mistake in the
    /// configuration, a missing privilege, or another lone64 in the same network namespace.
    Run(RunArgs),
    /// Validate a configuration and show what it would serve.
    ///
    /// Every problem is printed with its place and its remedy. Nothing is changed and nothing is
    /// sent; neither root nor the interfaces are needed.
    Check(CheckArgs),
    /// Print another responder's configuration as a lone64.toml.
    ///
    /// Whatever has no equivalent is a comment in it. Nothing is changed; the file that is read and
    /// the responder that uses it stay as they are. `lone64 check -` accepts what is printed.
    Import(ImportArgs),
    /// Show what a running daemon serves, and for whom.
    /// Problems come first, then the upstreams, the ranges, the routes that are not as they should
    /// be, and the guests by the interface that they are behind.
    Status(StatusArgs),
    /// Show what happens in a running daemon, a line each, until interrupted.
    /// Every question and what became of it, guests that come, go and move, routes, problems.
    Watch(WatchArgs),
    /// Make a running daemon read its configuration again.
    /// All of it is taken or, on a mistake, none: every problem is printed with its place, and what
    /// was running goes on. Nothing is lost for ranges that stay.
    Reload(ReloadArgs),
    /// Tell step by step why an address is answered for, or why not.
    ///
    /// Asks the running daemon; without one, the configuration and the kernel tell what it would do.
    Explain(ExplainArgs),
    /// Show a guest unreachable, then reachable, in throw-away namespaces.
    ///
    /// A router, a host and a guest are built out of network namespaces that nobody else sees; they
    /// are gone when the demo ends. Neither root nor a network is needed.
    Demo(DemoArgs),
    /// Print a manual page, in roff.
    #[command(hide = true)]
    Man(ManArgs),
    /// Print completions for a shell.
    #[command(hide = true)]
    Completions(CompletionsArgs),
    /// Find what is wrong with this host, and how it is put right.
    ///
    /// Reads the kernel, its settings, the packet filters and the configuration; changes nothing
    /// without --fix. Without --live it sends nothing but, to a gateway that the kernel has not
    /// resolved, one empty datagram. Some of it only root can read.
    Doctor(DoctorArgs),
}

impl Command {
    /// In which form it says what it says.
    pub fn form(&self) -> Form {
        let is_json = match self {
            Self::Check(args) => args.json,
            Self::Import(args) => args.json,
            Self::Status(args) => args.json,
            Self::Reload(args) => args.json,
            Self::Explain(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Watch(args) if args.json => return Form::JsonLines,
            Self::Watch(_) | Self::Run(_) | Self::Demo(_) | Self::Man(_) | Self::Completions(_) => false,
        };
        if is_json { Form::Json } else { Form::Text }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn is_a_consistent_command_line() {
        Cli::command().debug_assert();
    }
}
