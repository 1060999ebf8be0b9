//! What a configuration without mistakes says.
//!
//! May touch: nothing.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::engine::policy::Policy;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "/etc/lone64/lone64.toml";

/// The control socket, unless the configuration names another.
pub const DEFAULT_SOCKET: &str = "/run/lone64/control.sock";

/// A configuration without mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What the engine has to know.
    pub policy: Policy,
    /// Which of the kernel's settings are ours to change.
    pub sysctl: Sysctl,
    /// Where the daemon can be asked.
    pub control: Control,
    /// What is logged, and how.
    pub log: Log,
}

/// Which of the kernel's settings are ours to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sysctl {
    /// Whether forwarding and `accept_ra` are set while the daemon runs.
    pub manage: bool,
}

/// Where the daemon can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The path of the control socket.
    pub socket: PathBuf,
    /// Where its metrics are served; `None`: nowhere.
    pub metrics: Option<Endpoint>,
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// The path of a Unix socket.
    Socket(PathBuf),
    /// An address and a port of TCP.
    Port(SocketAddr),
}

impl Endpoint {
    /// The path, if it has one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Socket(path) => Some(path),
            Self::Port(_) => None,
        }
    }

    /// The address and the port, if it has them.
    pub fn port(&self) -> Option<SocketAddr> {
        match self {
            Self::Socket(_) => None,
            Self::Port(address) => Some(*address),
        }
    }
}

impl fmt::Display for Endpoint {
    /// As the configuration has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Port(address) => write!(f, "{address}"),
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self { socket: PathBuf::from(DEFAULT_SOCKET), metrics: None }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Log {
    /// The least important lines that are still written.
    pub level: LogLevel,
    /// What the lines look like.
    pub format: LogFormat,
}

/// How important a line of the log is, most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Something may not work.
    Warn,
    /// Something changed.
    #[default]
    Info,
    /// Why something was decided.
    Debug,
    /// Every packet.
    Trace,
}

/// What the lines of the log look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// [`LogFormat::Journal`] under systemd, else [`LogFormat::Terminal`].
    #[default]
    Auto,
    /// With the journal's priority in front, without time.
    Journal,
    /// With time, and colours on a terminal.
    Terminal,
    /// One JSON object per line.
    Json,
}

impl LogLevel {
    pub(super) const NAMES: [(&str, Self); 5] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

impl LogLevel {
    /// As a file has it, or in capitals.
    pub(super) fn named(text: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, level)| level)
    }
}

impl LogFormat {
    pub(super) const NAMES: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("journal", Self::Journal),
        ("terminal", Self::Terminal),
        ("json", Self::Json),
    ];
}
