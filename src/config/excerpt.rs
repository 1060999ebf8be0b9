//! What of a text is shown: the line with the part of it that is meant, short enough for a terminal and without
//! anything that steers one.
//!
//! May touch: nothing; text in, text out.

use std::borrow::Cow;

/// A line of the file with the part of it that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) before: String,
    pub(super) marked: String,
    pub(super) after: String,
}

impl Excerpt {
    /// The line of `text` in which these bytes begin.
    pub(super) fn of(text: &str, start: usize, end: usize) -> Self {
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let line_end = line_start + text[line_start..line_end].trim_end_matches('\r').len();
        let start = start.min(line_end);
        let end = end.clamp(start, line_end);
        let (before, marked, after) = (&text[line_start..start], &text[start..end], &text[end..line_end]);
        Self { before: shown(&cut_before(before)), marked: shown(&cut(marked)), after: shown(&cut(after)) }
    }
}

/// The nearest boundary of a character at or before `offset`, so that no span can split one.
pub(super) fn floor(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// The beginning of what is too long to be shown.
fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// The end of it.
fn cut_before(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth_back(MOST_SHOWN) {
        Some((at, last)) => Cow::Owned(format!("…{}", &text[at + last.len_utf8()..])),
        None => Cow::Borrowed(text),
    }
}

/// A sentence about something that is too long to be quoted, without the middle of it.
pub(crate) fn shortened(sentence: &str) -> String {
    match sentence.char_indices().nth(2 * MOST_SAID) {
        Some(_) => {
            let start = sentence.char_indices().nth(MOST_SAID).map_or(0, |(at, _)| at);
            let end = sentence.char_indices().nth_back(MOST_SAID - 1).map_or(0, |(at, _)| at);
            format!("{}…{}", &sentence[..start], &sentence[end..])
        }
        None => sentence.to_owned(),
    }
}

/// Text as a terminal can show it: tabs have a width, and nothing but a new line steers it.
pub(super) fn shown(text: &str) -> String {
    text.replace('\t', "    ").replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

/// Characters of a line on either side of what is meant, and of that itself.
pub(super) const MOST_SHOWN: usize = 100;
/// Characters at the beginning and at the end of a sentence.
pub(super) const MOST_SAID: usize = 300;
