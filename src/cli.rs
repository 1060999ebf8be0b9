//! The command line: what can be written, and what it says about itself.
//!
//! May touch: nothing. What a command takes is told in the command's own file.

use clap::{Parser, Subcommand};

use crate::commands::check::CheckArgs;
use crate::commands::claim::{ClaimArgs, ReleaseArgs};
use crate::commands::completions::CompletionsArgs;
use crate::commands::demo::DemoArgs;
use crate::commands::doctor::DoctorArgs;
use crate::commands::explain::ExplainArgs;
use crate::commands::failure::Form;
use crate::commands::guest::GuestArgs;
use crate::commands::hand_over::HandOverArgs;
use crate::commands::import::ImportArgs;
use crate::commands::man::ManArgs;
use crate::commands::options::RunArgs;
use crate::commands::reload::ReloadArgs;
use crate::commands::status::StatusArgs;
use crate::commands::watch::WatchArgs;

/// Proxy-NDP responder: one on-link IPv6 /64, every guest behind the host reachable.
///
/// lone64 is for a host with a single on-link IPv6 /64. It answers the router's neighbor solicitations for
/// the guests of the host (containers, virtual machines, VPN peers), and keeps the kernel's routes to them.
#[derive(Debug, Parser)]
#[command(
    name = "lone64",
    version,
    max_term_width = 80,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  lone64 demo                         see what lone64 does; no root, no network
  lone64 check                        validate /etc/lone64/lone64.toml
  lone64 run --range 2001:db8:1:2:c::/112=lxcbr0
  lone64 status                       see what a running daemon serves

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
    /// Options override the file. Without --config the default file may be missing. If there is no range at
    /// all, lone64 serves everything that the kernel routes from the upstream's prefix to another interface.
    ///
    /// lone64 waits for interfaces or a default route that do not exist yet. A foreign route in the way is a
    /// conflict. It reports both, and serves the rest. It ends by itself only after a mistake in the
    /// configuration, without a needed privilege, or if another lone64 runs in the same network namespace.
    Run(RunArgs),
    /// Validate a configuration and show what it would serve.
    ///
    /// Prints every problem with its place and its remedy. Changes nothing and sends nothing. Needs neither
    /// root nor the interfaces.
    Check(CheckArgs),
    /// Print the configuration of another responder as a lone64.toml.
    ///
    /// Settings without an equivalent become comments. Changes nothing: the file and the other responder
    /// stay as they are. `lone64 check -` accepts the output.
    Import(ImportArgs),
    /// Show what a running daemon serves.
    ///
    /// Problems come first, then the upstreams, the ranges, the routes with a problem, and the guests,
    /// grouped by interface.
    Status(StatusArgs),
    /// Show the events of a running daemon, one per line, until interrupted.
    ///
    /// Events are solicitations and their answers, guests that come, go or move, routes, and problems.
    Watch(WatchArgs),
    /// Make a running daemon read its configuration again.
    ///
    /// The daemon loads all of it or, if it has a mistake, none of it. Then every problem is printed with
    /// its place, and the old configuration stays in force. Ranges that do not change lose nothing.
    Reload(ReloadArgs),
    /// Tell a running daemon that another one takes its place.
    ///
    /// A stop within the next 30 seconds then leaves everything in the kernel, as a crash does: routes,
    /// addresses, settings, and the program of `backend = "tc"`, which goes on answering. The next start takes
    /// all of it over, so that guests stay reachable. Without this a stop removes everything.
    HandOver(HandOverArgs),
    /// Explain step by step why lone64 answers for an address, or why not.
    ///
    /// Asks the running daemon. Without one, it reads the configuration and the kernel, and says what a
    /// daemon would do.
    Explain(ExplainArgs),
    /// Tell a running daemon that an address, a prefix or a guest is here from now on.
    ///
    /// lone64 answers for it at once, routes it, and announces it without asking the upstream's link first. The
    /// claim ends after its time, or with `lone64 release`. It survives a restart of the daemon. For the hooks
    /// of VPN servers, DHCPv6 servers, keepalived and hypervisors.
    Claim(ClaimArgs),
    /// Tell a running daemon that a claimed address, prefix or guest is no longer here.
    ///
    /// lone64 withdraws its route and answers at once. A guest that is there all the same is found again with
    /// the next solicitation.
    Release(ReleaseArgs),
    /// Show what follows from the MAC of a guest.
    Guest(GuestArgs),
    /// Show a guest that is unreachable without lone64 and reachable with it.
    ///
    /// Builds a router, a host and a guest in temporary network namespaces, and removes them at the end.
    /// Needs neither root nor a network.
    Demo(DemoArgs),
    /// Print a manual page, in roff.
    #[command(hide = true)]
    Man(ManArgs),
    /// Print completions for a shell.
    #[command(hide = true)]
    Completions(CompletionsArgs),
    /// Find what is wrong with this host, and how to repair it.
    ///
    /// Reads the kernel, its settings, the packet filters and the configuration. Changes nothing without
    /// --fix. Without --live it sends at most one empty datagram, to a gateway whose MAC the kernel does not
    /// know. Only root can read everything.
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
            Self::HandOver(args) => args.json,
            Self::Explain(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Claim(args) => args.json,
            Self::Release(args) => args.json,
            Self::Guest(args) => args.json(),
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
