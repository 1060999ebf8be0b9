//! Where in a file something is, and words as a person wrote them.

use std::ops::Range;

use super::Note;
use crate::config::problem::shortened;

/// A word, and the bytes that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// A text that can tell lines and columns, and holds the notes about it.
pub(super) struct Annotated<'t> {
    text: &'t str,
    /// Where each line begins.
    lines: Vec<usize>,
    left: usize,
}

impl<'t> Annotated<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, lines, left: MOST_NOTES }
    }

    /// A note about the word; `None` when there are more than anybody reads.
    pub(super) fn note(&mut self, word: &Word, message: impl Into<String>) -> Option<Note> {
        self.left = self.left.checked_sub(1)?;
        Some(self.place(word).beside(message))
    }

    /// Where the word is, with nothing said about it yet.
    pub(super) fn place(&self, word: &Word) -> Note {
        let line = self.lines.partition_point(|start| *start <= word.span.start);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..word.span.start).map(|before| before.chars().count() + 1);
        Note { line: Some(line), column, message: String::new() }
    }
}

impl Note {
    /// A note about no place in particular.
    pub(super) fn general(message: impl Into<String>) -> Self {
        Self { line: None, column: None, message: printable(&message.into()) }
    }

    /// The same about the place of another note.
    pub(super) fn beside(&self, message: impl Into<String>) -> Self {
        Self { message: printable(&message.into()), ..self.clone() }
    }
}

/// On one line, without anything that steers a terminal or ends a comment, and no longer than is read.
pub(super) fn printable(text: &str) -> String {
    shortened(&text.replace(char::is_control, "\u{fffd}"))
}

const MOST_NOTES: usize = 500;
