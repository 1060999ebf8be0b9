//! Where sockets are: paths of Unix sockets, and addresses with ports.
//!
//! May touch: nothing.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::Endpoint;
use super::problem::Report;
use super::section::{Field, Section, kind, refuse};
use super::synonyms;

/// An absolute path that a Unix socket can have.
pub(super) fn path(section: &Section<'_>, key: &str, report: &mut Report<'_>) -> Field<PathBuf> {
    let remedy = format!("write an absolute path, such as \"/run/lone64/{}.sock\"", of_key(key));
    /// `sun_path` without the zero at its end (unix(7)).
    const LONGEST: usize = 107;
    let Some((value, place)) = section.entry(key) else { return Field::Absent };
    match value.as_str() {
        None => refuse(report, &place, format!("`{key}` is {}", kind(value)), remedy),
        Some(text) if !text.starts_with('/') || text.ends_with('/') || text.contains('\0') => {
            refuse(report, &place, format!("`{key}` cannot be \"{}\"", text.escape_default()), remedy)
        }
        Some(text) if text.len() > LONGEST => {
            let sentence =
                format!("`{key}` has {} bytes, and the path of a socket may have {LONGEST}", text.len());
            refuse(report, &place, sentence, "write a shorter path")
        }
        Some(text) => Field::Is(PathBuf::from(text), place),
    }
}

/// What has this key, as its path names it by default.
fn of_key(key: &str) -> &str {
    if key == "socket" { "control" } else { key }
}

/// Where metrics are served: a path, or an address and a port. `control` is the path of the control socket.
pub(super) fn endpoint(
    section: &Section<'_>,
    key: &str,
    control: &Path,
    report: &mut Report<'_>,
) -> Field<Endpoint> {
    const REMEDY: &str =
        "write a path or an address and a port: \"/run/lone64/metrics.sock\" or \"[::1]:9164\"";
    let Some((value, place)) = section.entry(key) else { return Field::Absent };
    // As other programs write it.
    if let Some((text, path)) = value.as_str().and_then(|text| Some((text, text.strip_prefix("unix:/")?))) {
        let sentence = format!("`{key}` cannot be \"{}\"", text.escape_default());
        let path = path.trim_start_matches('/').escape_default();
        return refuse(report, &place, sentence, format!("write \"/{path}\""));
    }
    if value.as_str().is_some_and(|text| text.starts_with('/')) {
        return match path(section, key, report) {
            Field::Is(path, place) if path == control => {
                let sentence = format!("`{key}` and `socket` are the same path");
                refuse(report, &place, sentence, "write another path, such as \"/run/lone64/metrics.sock\"")
            }
            Field::Is(path, place) => Field::Is(Endpoint::Socket(path), place),
            Field::Absent => Field::Absent,
            Field::Wrong => Field::Wrong,
        };
    }
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
        Ok(address) => Field::Is(Endpoint::Port(address), place),
        Err(_) => match synonyms::of_endpoint(text) {
            Some(remedy) => refuse(report, &place, cannot(""), remedy),
            None => refuse(report, &place, cannot(""), REMEDY),
        },
    }
}
