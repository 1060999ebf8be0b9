//! The import room: what other responders were told, as the lone64.toml that says the same.
//!
//! May touch: nothing. Text or values in, text and notes out. The way of a file: `ndppd` (over
//! `blocks`) or `npd6` read it into a `Draft`; `settle` makes the draft one that lone64 accepts, and
//! tells of whatever that takes; `render` writes it.

mod blocks;
mod draft;
pub mod kernel;
mod ndppd;
mod npd6;
mod render;
mod settle;
mod text;

use serde::Serialize;

use crate::config::problem::{Place, Report};
use crate::config::{Problems, bytes};
use draft::Draft;

/// Whose configuration it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// ndppd 0.2 or 1.0: blocks in braces.
    Ndppd,
    /// npd6: a line for each key.
    Npd6,
}

/// The equivalent of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What it was: `ndppd 0.2`, `ndppd 1.0`, `npd6` or `kernel`.
    pub from: &'static str,
    /// A lone64.toml without mistakes; the notes are comments in it.
    pub toml: String,
    /// What has no equivalent, or one that is worth a word, in the order of the file.
    pub notes: Vec<Note>,
}

/// One thing that is different from what it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// Counted from 1; `None` if it is not about one place of a file.
    pub line: Option<usize>,
    /// Counted from 1, in characters.
    pub column: Option<usize>,
    /// One sentence or two, without the full stop at the end.
    pub message: String,
}

/// Why there is no equivalent.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be read: each reason with its place and remedy.
    #[error(transparent)]
    Unreadable(#[from] Problems),
    /// It has nothing that lone64 could serve.
    #[error("{origin} has nothing that lone64 can serve{}; {remedy}", because(.notes))]
    Nothing {
        /// What it is called.
        origin: String,
        /// What was left out, if anything.
        notes: Vec<Note>,
        /// What to do.
        remedy: &'static str,
    },
}

/// Reads another responder's configuration; `origin` is what problems call it. Without a format it
/// is told by what is in it. Bytes that are no text are shown as such.
pub fn import_bytes(bytes: Vec<u8>, origin: &str, format: Option<Format>) -> Result<Imported, ImportError> {
    let bytes = bytes::plain(bytes, LONGEST, origin, "name a configuration of ndppd or npd6")?;
    import(&String::from_utf8_lossy(&bytes), origin, format)
}

/// The same of a text.
pub fn import(text: &str, origin: &str, format: Option<Format>) -> Result<Imported, ImportError> {
    let text = bytes::unmarked(text);
    let mut report = Report::new(origin, text);
    let draft = match format.or_else(|| recognized(text)) {
        Some(Format::Ndppd) => ndppd::read(text, &mut report),
        Some(Format::Npd6) => npd6::read(text, &mut report),
        None => {
            let problem = report.push(&Place::Whole, "this is not a configuration of ndppd or npd6");
            problem.help("name such a file, or say which of the two it is: --from ndppd or --from npd6");
            return Err(report.into_problems().into());
        }
    };
    if !report.is_empty() {
        return Err(report.into_problems().into());
    }
    finish(draft, origin, "write the ranges by hand, as `man lone64.toml` shows")
}

/// The same for a draft that comes from anywhere.
fn finish(draft: Draft, origin: &str, remedy: &'static str) -> Result<Imported, ImportError> {
    let from = draft.from;
    let draft = settle::settle(draft);
    let notes = draft.all_notes();
    if draft.upstreams.is_empty() {
        return Err(ImportError::Nothing { origin: origin.to_owned(), notes, remedy });
    }
    Ok(Imported { from, toml: render::render(&draft, origin), notes })
}

/// Braces make it ndppd's; a key of npd6 before an equals sign makes it npd6's.
fn recognized(text: &str) -> Option<Format> {
    let mut keys = 0;
    for line in text.lines() {
        let line = line.trim_start();
        if line.starts_with('#') || line.starts_with("//") {
            continue;
        }
        if line.contains(['{', '}']) || line.split_whitespace().next() == Some("proxy") {
            return Some(Format::Ndppd);
        }
        keys += usize::from(npd6::key_of(line).is_some());
    }
    (keys > 0).then_some(Format::Npd6)
}

fn because(notes: &[Note]) -> String {
    let shown = notes.iter().take(3).map(|note| match note.line {
        Some(line) => format!("line {line}: {}", note.message),
        None => note.message.clone(),
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { String::new() } else { format!(" ({})", shown.join("; ")) }
}

/// Bytes that a configuration may have; the largest that anybody posted has some thousand.
pub(crate) const LONGEST: usize = 256 << 10;

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
