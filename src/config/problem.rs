//! What is wrong with a configuration, and where: collected, then shown all at once.
//!
//! May touch: nothing outside; text in, text out.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// Everything that is wrong with a configuration; never empty when returned as an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, or the option of the command line.
    pub origin: String,
    /// Counted from 1; `None` if the problem is not at one place of a file.
    pub line: Option<usize>,
    /// Counted from 1, in characters.
    pub column: Option<usize>,
    /// One sentence that names the object, without a full stop.
    pub message: String,
    /// The remedy, if there is one to tell; may have several lines.
    pub help: Option<String>,
    #[serde(skip)]
    excerpt: Option<Excerpt>,
}

/// A line of the file with the part of it that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    before: String,
    marked: String,
    after: String,
}

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// These bytes of the text.
    Text(Range<usize>),
    /// This option of the command line, with its value.
    Option(String),
    /// Nowhere in particular.
    Whole,
}

/// Collects problems while a configuration is read.
pub(crate) struct Report<'t> {
    origin: &'t str,
    text: &'t str,
    /// Where each line begins.
    lines: Vec<usize>,
    found: Vec<(usize, Problem)>,
}

impl Problems {
    /// Each problem, in the order of the file.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// A single problem that is not at one place of a file.
    pub(super) fn single(origin: &str, message: String, help: String) -> Self {
        let mut report = Report::new(origin, "");
        report.push(&Place::Whole, message).help(help);
        report.into_problems()
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        Ok(())
    }
}

impl Problem {
    pub(crate) fn help(&mut self, help: impl Into<String>) {
        self.help = Some(shortened(&shown(&help.into())));
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let (Some(line), Some(Excerpt { before, marked, after })) = (self.line, &self.excerpt) {
            let number = line.to_string();
            let gutter = " ".repeat(number.len());
            let indent = " ".repeat(cells(before));
            let carets = "^".repeat(cells(marked).max(1));
            write!(f, "\n  {number} | {before}{marked}{after}\n  {gutter} | {indent}{carets}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {}", help.replace('\n', "\n    ").replace("\n    \n", "\n\n"))?;
        }
        Ok(())
    }
}

impl<'t> Report<'t> {
    pub(crate) fn new(origin: &'t str, text: &'t str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { origin, text, lines, found: Vec::new() }
    }

    /// Another report on the same text.
    pub(super) fn empty(&self) -> Self {
        Self::new(self.origin, self.text)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    /// Adds a problem; the remedy can be put on what is returned.
    pub(crate) fn push(&mut self, place: &Place, message: impl Into<String>) -> &mut Problem {
        let mut problem = Problem {
            origin: self.origin.to_owned(),
            line: None,
            column: None,
            message: shortened(&shown(&message.into()).replace('\n', "\u{fffd}")),
            help: None,
            excerpt: None,
        };
        let mut order = usize::MAX;
        match place {
            Place::Text(span) => {
                order = span.start;
                let start = floor(self.text, span.start);
                let (line, column) = self.position(start);
                problem.line = Some(line);
                problem.column = Some(column);
                problem.excerpt = Some(excerpt(self.text, start, floor(self.text, span.end)));
            }
            Place::Option(option) => problem.origin = option.clone(),
            Place::Whole => {}
        }
        self.found.push((order, problem));
        let (_, problem) = self.found.last_mut().expect("one was pushed in the line above");
        problem
    }

    /// How another problem refers to this place.
    pub(super) fn describe(&self, place: &Place) -> String {
        match place {
            Place::Text(span) => format!("line {}", self.position(floor(self.text, span.start)).0),
            Place::Option(option) => format!("'{option}'"),
            Place::Whole => self.origin.to_owned(),
        }
    }

    /// Forgets what may only follow from the mistakes in the grammar: whatever is on their lines,
    /// and everything behind a broken header, since nobody knows what table that is in.
    pub(super) fn retain_beside(&mut self, grammar: &Report<'_>) {
        let lines: HashSet<usize> = grammar.found.iter().filter_map(|(_, problem)| problem.line).collect();
        let is_header = |line: &usize| {
            let start = self.lines.get(line - 1).copied().unwrap_or(self.text.len());
            self.text[start..].trim_start_matches([' ', '\t']).starts_with('[')
        };
        let end = lines.iter().copied().filter(is_header).min().unwrap_or(usize::MAX);
        self.found
            .retain(|(_, problem)| problem.line.is_some_and(|line| line < end && !lines.contains(&line)));
    }

    pub(crate) fn into_problems(mut self) -> Problems {
        self.found.sort_by_key(|(order, _)| *order);
        Problems(self.found.into_iter().map(|(_, problem)| problem).collect())
    }

    /// Moves the problems of another report on the same text into this one.
    pub(super) fn absorb(&mut self, other: Report<'_>) {
        self.found.extend(other.found);
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        (line, self.text[start..offset].chars().count() + 1)
    }
}

/// The nearest boundary of a character at or before `offset`, so that no span can split one.
fn floor(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

fn excerpt(text: &str, start: usize, end: usize) -> Excerpt {
    let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    let line_end = line_start + text[line_start..line_end].trim_end_matches('\r').len();
    let start = start.min(line_end);
    let end = end.clamp(start, line_end);
    let (before, marked, after) = (&text[line_start..start], &text[start..end], &text[end..line_end]);
    Excerpt { before: shown(&cut_before(before)), marked: shown(&cut(marked)), after: shown(&cut(after)) }
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
fn shown(text: &str) -> String {
    text.replace('\t', "    ").replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

/// How many cells of a terminal the text takes.
fn cells(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
            0x1100..=0x115f
            | 0x2e80..=0xa4cf
            | 0xac00..=0xd7a3
            | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f
            | 0xff00..=0xff60
            | 0xffe0..=0xffe6
            | 0x1f300..=0x1faff
            | 0x20000..=0x3fffd => 2,
            _ => 1,
        })
        .sum()
}

/// Characters of a line on either side of what is meant, and of that itself.
const MOST_SHOWN: usize = 100;
/// Characters at the beginning and at the end of a sentence.
const MOST_SAID: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_at(text: &str, needle: &str) -> String {
        let start = text.find(needle).unwrap();
        let mut report = Report::new("f", text);
        report.push(&Place::Text(start..start + needle.len()), "wrong").help("right");
        report.into_problems().to_string()
    }

    #[test]
    fn shows_place_line_caret_and_remedy() {
        assert_eq!(
            shown_at("a = 1\nkey = bad # why\n", "bad"),
            "f:2:7: wrong\n  2 | key = bad # why\n    |       ^^^\n  help: right"
        );
    }

    #[test]
    fn aligns_the_caret_behind_tabs() {
        assert_eq!(
            shown_at("\tkey\t= bad", "bad"),
            "f:1:8: wrong\n  1 |     key    = bad\n    |              ^^^\n  help: right"
        );
    }

    #[test]
    fn aligns_the_caret_behind_and_under_wide_text() {
        assert_eq!(
            shown_at("a = \"网\" # é", "\"网\""),
            "f:1:5: wrong\n  1 | a = \"网\" # é\n    |     ^^^^\n  help: right"
        );
        assert!(shown_at("\"网é\" = bad", "bad").starts_with("f:1:8: "));
    }

    #[test]
    fn never_sends_control_characters_to_the_terminal() {
        assert!(!shown_at("a = \u{1b}[31mbad\r\n", "bad").contains(['\u{1b}', '\r']));
        let mut report = Report::new("f", "");
        report.push(&Place::Whole, "\u{1b}c").help("\u{7}\nrm");
        assert_eq!(report.into_problems().to_string(), "f: \u{fffd}c\n  help: \u{fffd}\n    rm");
    }

    #[test]
    fn survives_spans_outside_the_text_and_inside_a_character() {
        for span in [99..120, 1..2, 0..1, 2..2] {
            let mut report = Report::new("f", "网");
            report.push(&Place::Text(span), "wrong");
            assert!(report.into_problems().to_string().starts_with("f:1:"));
        }
    }

    #[test]
    fn marks_only_the_first_line_of_a_long_value() {
        assert!(shown_at("a = [\n1,\n]", "[\n1,\n]").ends_with("1 | a = [\n    |     ^\n  help: right"));
    }

    #[test]
    fn shows_of_an_endless_line_what_is_around_the_mistake() {
        let long = "é".repeat(MOST_SHOWN + 1);
        let (before, marked) = ("é".repeat(MOST_SHOWN), "^".repeat(MOST_SHOWN + 1));
        let around = shown_at(&format!("{long}bad{long}"), "bad");
        assert!(around.contains(&format!("| …{before}bad{before}…\n")), "{around}");
        let of_itself = shown_at(&format!("a = {long}"), &long);
        assert!(of_itself.contains(&format!("| a = {before}…\n    |     {marked}\n")), "{of_itself}");
        let whole = format!("{0}bad{0}", &before[2..]);
        assert!(shown_at(&whole, "bad").contains(&format!("| {whole}\n")));
    }

    #[test]
    fn says_of_an_endless_word_how_it_begins_and_what_is_wrong() {
        let mut report = Report::new("f", "");
        report.push(&Place::Whole, format!("'{}' is not a prefix", "é".repeat(100_000)));
        let said = report.into_problems().to_string();
        assert!(said.starts_with("f: 'éé") && said.ends_with("éé' is not a prefix"), "{said}");
        assert!(said.chars().count() < 700, "{said}");
        assert_eq!(shortened(&"é".repeat(2 * MOST_SAID)), "é".repeat(2 * MOST_SAID));
    }
}
