//! The configuration room: TOML text, and options of the command line, become a [`Config`].
//!
//! May touch: the one file that [`load`] or [`socket_in`] is told to read, of which `bytes` takes no more than a
//! configuration can have. The way of a text: `file` reads every
//! value with its place (`tables`, `section`, `schema`, `downstreams`, `duration`, `prefix`) into the `mirror`,
//! `overrides` puts the options over it, `validate` compares the values with each other and makes the
//! `configuration`. Every mistake is reported, each with its place, and nothing is ever ignored silently.

pub(crate) mod bytes;
mod configuration;
mod downstreams;
mod duration;
mod excerpt;
mod file;
mod gateway;
pub mod manual;
mod mirror;
mod overrides;
mod prefix;
pub(crate) mod problem;
mod schema;
mod section;
mod synonyms;
mod tables;
mod validate;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ipnet::Ipv6Net;

pub use configuration::{Config, Control, DEFAULT_SOCKET, Log, LogFormat, LogLevel, Sysctl};
pub use duration::written;
pub use overrides::Overrides;
pub use problem::{Problem, Problems};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "/etc/lone64/lone64.toml";

/// Why a range with this prefix could never work, if so.
pub fn unservable(prefix: Ipv6Net) -> Option<String> {
    prefix::unservable(prefix).map(|(why, _)| why)
}

/// Reads a configuration; `origin` is what its problems call it.
pub fn parse(text: &str, origin: &str) -> Result<Config, Problems> {
    Overrides::default().parse(text, origin)
}

/// As [`parse`], of what may not even be text, nor have an end.
pub fn read(reader: impl Read, origin: &str) -> Result<Config, Problems> {
    Overrides::default().read(reader, origin)
}

/// Reads the configuration in a file.
pub fn load(path: &Path) -> Result<Config, Problems> {
    Overrides::default().load(path)
}

/// Where the daemon that has read this file can be asked. Mistakes elsewhere in the file do not
/// matter: it is those that make one want to ask.
pub fn socket_in(path: &Path) -> PathBuf {
    let bytes = File::open(path).and_then(|file| bytes::read(file, bytes::MOST)).unwrap_or_default();
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() <= bytes::MOST).unwrap_or_default();
    // Mistakes of grammar in another table still leave this one readable.
    let (table, _) = toml::de::DeTable::parse_recoverable(&text);
    let socket = table.get_ref().get("control").and_then(|control| control.get_ref().get("socket"));
    let named = socket.and_then(|socket| socket.get_ref().as_str()).map(PathBuf::from);
    named.unwrap_or_else(|| Control::default().socket)
}
