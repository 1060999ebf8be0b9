//! The configuration room: TOML text, and options of the command line, become a [`Config`].
//!
//! May touch: the one file that [`load`] or [`socket_in`] is told to read. The way of a text: `file` reads every
//! value with its place (`tables`, `section`, `schema`, `downstreams`, `duration`, `prefix`), `overrides` puts
//! the options over it, `validate` compares the values with each other. Every mistake is reported,
//! each with its place, and nothing is ever ignored silently.

mod downstreams;
mod duration;
mod file;
mod gateway;
pub mod manual;
mod overrides;
mod prefix;
pub(crate) mod problem;
mod schema;
mod section;
mod tables;
mod validate;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::Ipv6Net;
pub use overrides::Overrides;
pub use problem::{Problem, Problems};

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
    pub metrics: Option<SocketAddr>,
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
    const NAMES: [(&str, Self); 5] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

impl LogFormat {
    const NAMES: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("journal", Self::Journal),
        ("terminal", Self::Terminal),
        ("json", Self::Json),
    ];
}

/// Why a range with this prefix could never work, if so.
pub fn unservable(prefix: Ipv6Net) -> Option<String> {
    prefix::unservable(prefix).map(|(why, _)| why)
}

/// Reads a configuration; `origin` is what its problems call it.
pub fn parse(text: &str, origin: &str) -> Result<Config, Problems> {
    Overrides::default().parse(text, origin)
}

/// As [`parse`], of what may not even be text.
pub fn parse_bytes(bytes: Vec<u8>, origin: &str) -> Result<Config, Problems> {
    Overrides::default().parse_bytes(bytes, origin)
}

/// Reads the configuration in a file.
pub fn load(path: &Path) -> Result<Config, Problems> {
    Overrides::default().load(path)
}

/// Where the daemon that has read this file can be asked. Mistakes elsewhere in the file do not
/// matter: it is those that make one want to ask.
pub fn socket_in(path: &Path) -> PathBuf {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // Mistakes of grammar in another table still leave this one readable.
    let (table, _) = toml::de::DeTable::parse_recoverable(&text);
    let socket = table.get_ref().get("control").and_then(|control| control.get_ref().get("socket"));
    let named = socket.and_then(|socket| socket.get_ref().as_str()).map(PathBuf::from);
    named.unwrap_or_else(|| Control::default().socket)
}
