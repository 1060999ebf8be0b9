//! The command line: what can be written, and what it says about itself.
//!
//! May touch: whether the default file is there.

use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use ipnet::Ipv6Net;

use crate::commands::completions::CompletionsArgs;
use crate::commands::import::ImportArgs;
use crate::commands::man::ManArgs;
use crate::config::{Config, DEFAULT_FILE, Overrides, Problems, socket_in};
use crate::daemon::Refusal;
use crate::engine::facts::IfName;

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

/// The options of `run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 run
  lone64 run --config ./lone64.toml
  lone64 run --range 2001:db8:1:2:c::/112=lxcbr0
  lone64 run --upstream eth0 --range 2001:db8:1:2:c::/112=lxcbr0 \\
             --range 2001:db8:1:2:d::/112=wg0
  lone64 run --record /var/tmp/lone64.trace")]
pub struct RunArgs {
    /// The configuration [default: /etc/lone64/lone64.toml].
    #[arg(long, value_name = "F")]
    pub config: Option<PathBuf>,
    /// The interface towards the provider's router, instead of the file's; can be repeated.
    #[arg(long, value_name = "IF")]
    pub upstream: Vec<IfName>,
    /// Serve this prefix for the guests behind this interface; can be repeated.
    #[arg(long, value_name = "PREFIX=IF", value_parser = parse_range)]
    pub range: Vec<(Ipv6Net, IfName)>,
    /// The control socket, instead of the file's.
    #[arg(long, value_name = "PATH", value_parser = parse_socket)]
    pub socket: Option<PathBuf>,
    /// Write what happens, and what is done about it, to this file, for a bug report.
    ///
    /// One JSON object per line, until the daemon ends or the file has 64 MiB: what the kernel says, every question,
    /// every answer. The same program makes the same of it again, without the network. It holds the addresses and
    /// MACs of this network and the configuration, so only its owner may read it; a file that is there is
    /// overwritten.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// The options of `check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 check
  lone64 check ./lone64.toml
  lone64 check --json ./lone64.toml | jq '.problems[].message'
  ssh host cat /etc/lone64/lone64.toml | lone64 check -

Exit status: 0 the configuration is good, 1 it is not, 2 wrong usage.")]
pub struct CheckArgs {
    /// The configuration, or - for standard input.
    #[arg(value_name = "F", default_value = DEFAULT_FILE)]
    pub file: PathBuf,
    /// Print one JSON object instead.
    #[arg(long)]
    pub json: bool,
}

/// Which daemon is meant.
#[derive(Debug, Clone, Args)]
pub struct SocketArgs {
    /// Its control socket [default: that of its configuration].
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Its configuration, which names the socket [default: /etc/lone64/lone64.toml].
    #[arg(long, value_name = "F", conflicts_with = "socket")]
    pub config: Option<PathBuf>,
}

/// The options of `status`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 status
  lone64 status --watch
  lone64 status --json | jq '.targets[] | select(.state == \"live\") | .address'

Exit status: 0 healthy, 1 not running or with problems, 2 wrong usage.")]
pub struct StatusArgs {
    /// Print one JSON object instead, with everything.
    #[arg(long)]
    pub json: bool,
    /// Show it again every second, in place, until interrupted.
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// Which daemon is meant.
    #[command(flatten)]
    pub of: SocketArgs,
}

/// The options of `watch`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 watch
  lone64 watch --json | jq 'select(.event == \"unanswered\") | .reason'

Exit status: 1 when the daemon ends or is not there, 2 wrong usage.")]
pub struct WatchArgs {
    /// Print one JSON object per line instead.
    #[arg(long)]
    pub json: bool,
    /// Which daemon is meant.
    #[command(flatten)]
    pub of: SocketArgs,
}

/// The options of `reload`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 reload
  lone64 check && lone64 reload
  lone64 reload --json | jq '.problems[].message'

Exit status: 0 reloaded, 1 refused or not running, 2 wrong usage.")]
pub struct ReloadArgs {
    /// Print one JSON object instead.
    #[arg(long)]
    pub json: bool,
    /// Which daemon is meant.
    #[command(flatten)]
    pub of: SocketArgs,
}

/// The options of `explain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 explain 2001:db8:1:2:c::5
  lone64 explain --probe 2001:db8:1:2:c::5
  lone64 explain --json 2001:db8:1:2:c::5 | jq '.steps[] | select(.holds == \"no\")'

Exit status: 0 it is answered for, 1 it is not or may not be, 2 wrong usage.")]
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

/// The options of `demo`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 demo")]
pub struct DemoArgs {}

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
    /// Apply the safe remedies, each after a question.
    #[arg(long)]
    pub fix: bool,
    /// Do not ask.
    #[arg(long, requires = "fix")]
    pub yes: bool,
    /// Put a temporary guest behind the host and follow a packet of its, out and back.
    ///
    /// Needs root. Tells the first of five legs at which the packet is lost, and the configuration
    /// that mends it. Nothing is left behind.
    #[arg(long)]
    pub live: bool,
    /// The temporary guest's address, instead of a free one at random.
    #[arg(long, value_name = "ADDRESS", requires = "live")]
    pub live_address: Option<Ipv6Addr>,
    /// Where it sends its packet, which ends at the first router if that answers.
    #[arg(long, value_name = "ADDRESS", requires = "live", default_value = "2001:7fd::1")]
    pub to: Ipv6Addr,
    /// Print one JSON object instead.
    #[arg(long)]
    pub json: bool,
    /// Where the files of the host are.
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

impl RunArgs {
    /// The configuration that these options and the file make.
    pub fn config(&self) -> Result<Config, Problems> {
        match self.file() {
            Some(path) => self.overrides().load(path),
            None => self.overrides().config(),
        }
    }

    /// The same later, when the file may be another.
    pub fn config_again(&self) -> Result<Config, Refusal> {
        let path = self.file().ok_or(Refusal::NoFile)?;
        // A pipe has been read already, and to open it could wait for ever.
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(Refusal::NotAFile(path.to_owned()));
        }
        Ok(self.overrides().load(path)?)
    }

    fn file(&self) -> Option<&Path> {
        let default = Path::new(DEFAULT_FILE);
        // One that cannot be looked at may be there: better an error than half a configuration.
        let has_default = || default.try_exists().unwrap_or(true).then_some(default);
        self.config.as_deref().or_else(has_default)
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            upstreams: self.upstream.clone(),
            ranges: self.range.clone(),
            socket: self.socket.clone(),
        }
    }
}

impl SocketArgs {
    /// The path of the socket.
    pub fn path(&self) -> PathBuf {
        let file = self.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        self.socket.clone().unwrap_or_else(|| socket_in(file))
    }
}

fn parse_socket(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    // A reload finds it where the start did, and the daemon runs in `/`.
    if path.is_absolute() { Ok(path) } else { Err("write an absolute path".to_owned()) }
}

fn parse_range(text: &str) -> Result<(Ipv6Net, IfName), String> {
    let Some((prefix, interface)) = text.split_once('=') else {
        return Err("write a prefix and an interface, such as 2001:db8:1:2:c::/112=lxcbr0".to_owned());
    };
    let interface = interface.parse::<IfName>().map_err(|error| error.to_string())?;
    let prefix = prefix
        .parse::<Ipv6Net>()
        .map_err(|_| format!("'{prefix}' is not an IPv6 prefix; write one such as 2001:db8:1:2:c::/112"))?;
    if prefix.trunc() != prefix {
        return Err(format!("{prefix} has host bits; write {}={interface}", prefix.trunc()));
    }
    Ok((prefix, interface))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn is_a_consistent_command_line() {
        Cli::command().debug_assert();
    }

    #[test]
    fn reads_ranges_with_their_interfaces() {
        let (prefix, interface) = parse_range("2001:db8::/112=lxcbr0").unwrap();
        assert_eq!((prefix.to_string().as_str(), interface.as_str()), ("2001:db8::/112", "lxcbr0"));
    }

    #[test]
    fn says_how_to_write_a_range_that_is_wrong() {
        for (text, remedy) in [
            ("2001:db8::/112", "2001:db8:1:2:c::/112=lxcbr0"),
            ("2001:db8::/200=eth0", "write one such as"),
            ("2001:db8::1/112=eth0", "write 2001:db8::/112=eth0"),
            ("2001:db8::/112=", "1 to 15 bytes"),
        ] {
            let error = parse_range(text).unwrap_err();
            assert!(error.contains(remedy), "{text}: {error}");
        }
    }
}
