//! The configuration room: TOML text, and options of the command line, become a [`Config`].
//!
//! May touch: the file that [`load`] or [`socket_in`] is told to read, and its drop-ins (`files`), of which `bytes`
//! takes no more than a configuration can have. The way of the texts: `file` reads every
//! value with its place (`tables`, `section`, `schema`, `downstreams`, `duration`, `prefix`) into the `mirror`,
//! `overrides` puts the options over it, `validate` compares the values with each other and makes the
//! `configuration`; `effective` says of each key where its value came from, and `changes` what another one has
//! otherwise. Every mistake is reported, each with its place, and nothing is ever ignored silently.

pub(crate) mod bytes;
mod changes;
mod configuration;
mod downstreams;
mod duration;
mod effective;
mod excerpt;
mod file;
mod files;
mod gateway;
mod guest;
mod guest_files;
mod guest_keys;
mod key;
pub mod manual;
mod mirror;
mod notices;
mod overrides;
mod prefix;
pub(crate) mod problem;
mod schema;
mod section;
mod sockets;
mod synonyms;
mod tables;
mod twice;
mod validate;
pub(crate) mod words;
mod written;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use ipnet::Ipv6Net;

pub use changes::Change;
pub use configuration::{
    Config, Control, DEFAULT_FILE, DEFAULT_SOCKET, Endpoint, Log, LogFormat, LogLevel, Sysctl,
};
pub use duration::{lifetime, written};
pub use effective::Effective;
pub use files::{Compared, Files};
pub use guest_files::GuestFiles;
pub use key::{Key, KeyOrigin};
pub use overrides::{Loaded, Overrides, Read};
pub use problem::{Problem, Problems};

/// Why a range with this prefix could never work, if so.
pub fn unservable(prefix: Ipv6Net) -> Option<String> {
    prefix::unservable(prefix).map(|(why, _)| why)
}

/// The candidate that somebody who wrote `word` probably meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    schema::nearest(word, candidates)
}

/// Reads a configuration; `origin` is what its problems call it.
pub fn parse(text: &str, origin: &str) -> Result<Config, Problems> {
    Overrides::default().parse(text, origin).map(|read| read.config)
}

/// As [`parse`], of what may not even be text, nor have an end.
pub fn read(reader: impl io::Read, origin: &str) -> Result<Config, Problems> {
    Overrides::default().read(reader, origin).map(|read| read.config)
}

/// Reads the configuration in a file and its drop-ins.
pub fn load(path: &Path) -> Result<Config, Problems> {
    Overrides::default().load(Some(path)).map(|loaded| loaded.read.config)
}

/// Whether there is anything that a start without a file reads.
pub fn has_default() -> bool {
    // What cannot be looked at may be there: better an error than half a configuration.
    files::listed(Path::new(DEFAULT_FILE)).map_or(true, |paths| !paths.is_empty())
}

/// Where the daemon that has read this file and its drop-ins can be asked. Mistakes elsewhere in them do not
/// matter: it is those that make one want to ask.
pub fn socket_in(path: &Path) -> PathBuf {
    let paths = files::listed(path).unwrap_or_else(|_| vec![path.to_owned()]);
    paths.iter().rev().find_map(|path| named_socket(path)).unwrap_or_else(|| Control::default().socket)
}

fn named_socket(path: &Path) -> Option<PathBuf> {
    let bytes = File::open(path).and_then(|file| bytes::read(file, bytes::MOST)).ok()?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() <= bytes::MOST)?;
    // Mistakes of grammar in another table still leave this one readable.
    let (table, _) = toml::de::DeTable::parse_recoverable(&text);
    let socket = table.get_ref().get("control").and_then(|control| control.get_ref().get("socket"));
    socket.and_then(|socket| socket.get_ref().as_str()).map(PathBuf::from)
}
