//! Where sockets are: paths of Unix sockets, and addresses with ports.
//!
//! May touch: nothing.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::problem::Report;
use super::section::{Field, Section, kind, refuse};
use super::synonyms;

/// An absolute path that a Unix socket can have.
pub(super) fn path(section: &Section<'_>, key: &str, report: &mut Report<'_>) -> Field<PathBuf> {
    const REMEDY: &str = "write an absolute path, such as \"/run/lone64/control.sock\"";
    /// `sun_path` without the zero at its end (unix(7)).
    const LONGEST: usize = 107;
    let Some((value, place)) = section.entry(key) else { return Field::Absent };
    match value.as_str() {
        None => refuse(report, &place, format!("`{key}` is {}", kind(value)), REMEDY),
        Some(text) if !text.starts_with('/') || text.ends_with('/') || text.contains('\0') => {
            refuse(report, &place, format!("`{key}` cannot be \"{}\"", text.escape_default()), REMEDY)
        }
        Some(text) if text.len() > LONGEST => {
            let sentence =
                format!("`{key}` has {} bytes, and the path of a socket may have {LONGEST}", text.len());
            refuse(report, &place, sentence, "write a shorter path")
        }
        Some(text) => Field::Is(PathBuf::from(text), place),
    }
}

/// An address and a port that can be listened on.
pub(super) fn address(section: &Section<'_>, key: &str, report: &mut Report<'_>) -> Field<SocketAddr> {
    const REMEDY: &str = "write an address and a port, such as \"[::1]:9164\"";
    let Some((value, place)) = section.entry(key) else { return Field::Absent };
    let Some(text) = value.as_str() else {
        return refuse(report, &place, format!("`{key}` is {}", kind(value)), REMEDY);
    };
    let cannot = |why: &str| format!("`{key}` cannot be \"{}\"{why}", text.escape_default());
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        let example = SocketAddr::new(address, 9164);
        return refuse(report, &place, format!("`{key}` has no port"), format!("write \"{example}\""));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_multicast() => {
            refuse(report, &place, cannot(", which is multicast"), REMEDY)
        }
        Ok(address) if address.port() == 0 => {
            refuse(report, &place, cannot(""), "write a port from 1 to 65535")
        }
        Ok(address) => Field::Is(address, place),
        Err(_) => match synonyms::of_endpoint(text) {
            Some(remedy) => refuse(report, &place, cannot(""), remedy),
            None => refuse(report, &place, cannot(""), REMEDY),
        },
    }
}
