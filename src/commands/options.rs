//! The options that several commands take: what to run with, and which daemon is meant.
//!
//! May touch: the configuration that they name, and whether the default file is there.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};
use ipnet::Ipv6Net;

use crate::config::{
    DEFAULT_FILE, GuestFiles, Loaded, LogLevel, Overrides, Problems, has_default, socket_in,
};
use crate::daemon::Refusal;
use crate::engine::facts::IfName;

/// The options of `run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 run
  lone64 run --config ./lone64.toml
  lone64 run --range 2001:db8:1:2:c::/112=lxcbr0
  lone64 run --upstream eth0 --range 2001:db8:1:2:c::/112=lxcbr0 \\
             --range 2001:db8:1:2:d::/112=wg0
  lone64 run -v
  lone64 run --record /var/tmp/lone64.trace

After F, run reads the drop-ins in the directory beside it, in the order of
their names: lone64.d/*.toml beside lone64.toml. A table in two brackets adds a
range or an upstream. A key in another table replaces the same key of an earlier
file.

-v sets level = \"debug\" of [log], -vv \"trace\", -q \"warn\" and -qq \"error\".
The environment variable LONE64_LOG is error, warn, info, debug or trace. It
overrides the level in the files, and -v and -q override both.")]
pub struct RunArgs {
    /// The configuration [default: /etc/lone64/lone64.toml].
    #[arg(long, value_name = "F")]
    pub config: Option<PathBuf>,
    /// The interface towards the provider's router; replaces those of the file; can be repeated.
    #[arg(long, value_name = "IF")]
    pub upstream: Vec<IfName>,
    /// Serve this prefix for the guests behind this interface; can be repeated.
    #[arg(long, value_name = "PREFIX=IF", value_parser = parse_range)]
    pub range: Vec<(Ipv6Net, IfName)>,
    /// The path of the control socket; replaces that of the file.
    #[arg(long, value_name = "PATH", value_parser = parse_socket)]
    pub socket: Option<PathBuf>,
    /// Log the reasons of decisions; twice: also every packet.
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Log only warnings and errors; twice: only errors.
    #[arg(short, long, action = ArgAction::Count)]
    pub quiet: u8,
    /// Write everything that happens to this file, for a bug report.
    ///
    /// The file has one JSON object per line: what the kernel says, every solicitation, every answer. It ends when
    /// the daemon ends, or at 64 MiB. The same version of lone64 can replay it without the network. It contains the
    /// configuration and the addresses and MACs of this network, so only its owner may read it. An existing file is
    /// overwritten.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// Which daemon is meant.
#[derive(Debug, Clone, Args)]
pub struct SocketArgs {
    /// The control socket of the daemon [default: the one in its configuration].
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The configuration of the daemon, which names the socket [default: /etc/lone64/lone64.toml].
    #[arg(long, value_name = "F", conflicts_with = "socket")]
    pub config: Option<PathBuf>,
}

impl RunArgs {
    /// The configuration that these options and the files make, and where it came from.
    pub fn load_plain(&self) -> Result<Loaded, Problems> {
        self.overrides(None).load(self.config.as_deref())
    }

    /// The same with the environment of this process.
    pub fn load(&self) -> Result<Loaded, Problems> {
        self.load_after(&GuestFiles::default())
    }

    fn load_after(&self, before: &GuestFiles) -> Result<Loaded, Problems> {
        let environment = std::env::var_os("LONE64_LOG").map(|text| text.to_string_lossy().into_owned());
        self.overrides(environment).load_after(self.config.as_deref(), before)
    }

    /// The same later, when the files may be others. These files of guests are in force.
    pub fn load_again(&self, before: &GuestFiles) -> Result<Loaded, Refusal> {
        if self.config.is_none() && !has_default() {
            return Err(Refusal::NoFile);
        }
        let path = self.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        // A pipe has been read already, and to open it could wait for ever.
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(Refusal::NotAFile(path.to_owned()));
        }
        Ok(self.load_after(before)?)
    }

    fn overrides(&self, environment: Option<String>) -> Overrides {
        let level = match (self.verbose, self.quiet) {
            (0, 0) => None,
            (0, 1) => Some((LogLevel::Warn, "-q")),
            (0, _) => Some((LogLevel::Error, "-qq")),
            (1, _) => Some((LogLevel::Debug, "-v")),
            (_, _) => Some((LogLevel::Trace, "-vv")),
        };
        Overrides {
            upstreams: self.upstream.clone(),
            ranges: self.range.clone(),
            socket: self.socket.clone(),
            level,
            environment,
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

pub(super) fn parse_range(text: &str) -> Result<(Ipv6Net, IfName), String> {
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
    use super::*;

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
