//! What is wrong with a configuration, and where: collected, then shown all at once.
//!
//! May touch: nothing outside; text in, text out.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::excerpt::{Excerpt, floor, shown};
use crate::columns;

pub(crate) use super::excerpt::shortened;

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

/// Where something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// These bytes of the texts, which are counted through from the first to the last.
    Text(Range<usize>),
    /// This option of the command line, with its value.
    Option(String),
    /// This variable of the environment, with its value.
    Environment(String),
    /// Nowhere in particular.
    Whole,
}

/// Collects problems while a configuration is read.
pub(crate) struct Report<'t> {
    /// Never empty.
    texts: Vec<Text<'t>>,
    found: Vec<(usize, Problem)>,
}

/// One text of those that make a configuration.
#[derive(Debug, Clone)]
struct Text<'t> {
    origin: &'t str,
    text: &'t str,
    /// Of its first byte, in the count through all of them.
    start: usize,
    /// Where each line begins, in the count of this text.
    lines: Vec<usize>,
}

impl Problems {
    /// Each problem, in the order of the file.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// The same as a list.
    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    /// These, at least one.
    pub(super) fn of(problems: Vec<Problem>) -> Self {
        Self(problems)
    }

    /// Those of several files.
    pub(super) fn all(problems: impl IntoIterator<Item = Self>) -> Self {
        Self(problems.into_iter().flat_map(|problems| problems.0).collect())
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
            let indent = " ".repeat(columns::width(before));
            let carets = "^".repeat(columns::width(marked).max(1));
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
        Self { texts: vec![Text::new(origin, text, 0)], found: Vec::new() }
    }

    /// One more text. Returns where its places begin.
    pub(super) fn add(&mut self, origin: &'t str, text: &'t str) -> usize {
        let start = self.texts.last().map_or(0, |last| last.start + last.text.len() + 1);
        self.texts.push(Text::new(origin, text, start));
        start
    }

    /// Another report on the same texts.
    pub(super) fn empty(&self) -> Self {
        Self { texts: self.texts.clone(), found: Vec::new() }
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
            origin: self.texts[0].origin.to_owned(),
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
                let text = self.text_at(span.start);
                let (start, end) = (text.floor(span.start), text.floor(span.end));
                let (line, column) = text.position(start);
                problem.origin = text.origin.to_owned();
                problem.line = Some(line);
                problem.column = Some(column);
                problem.excerpt = Some(Excerpt::of(text.text, start, end));
            }
            Place::Option(written) | Place::Environment(written) => problem.origin = written.clone(),
            Place::Whole => {}
        }
        self.found.push((order, problem));
        let (_, problem) = self.found.last_mut().expect("one was pushed in the line above");
        problem
    }

    /// Whether there is a problem that begins at this place.
    pub(super) fn has(&self, place: &Place) -> bool {
        matches!(place, Place::Text(span) if self.found.iter().any(|(order, _)| *order == span.start))
    }

    /// How another problem refers to this place.
    pub(super) fn describe(&self, place: &Place) -> String {
        match place {
            Place::Text(_) => match (self.line(place), self.texts.len()) {
                (Some((_, line)), 1) => format!("line {line}"),
                (Some((origin, line)), _) => format!("line {line} of {origin}"),
                (None, _) => self.texts[0].origin.to_owned(),
            },
            Place::Option(written) | Place::Environment(written) => format!("'{written}'"),
            Place::Whole => self.texts[0].origin.to_owned(),
        }
    }

    /// The text that a place is in, and its line there, counted from 1.
    pub(super) fn line(&self, place: &Place) -> Option<(&'t str, usize)> {
        let Place::Text(span) = place else { return None };
        let text = self.text_at(span.start);
        Some((text.origin, text.position(text.floor(span.start)).0))
    }

    /// Forgets what may only follow from the mistakes in the grammar of one text: whatever is on their lines,
    /// and everything behind a broken header, since nobody knows what table that is in.
    pub(super) fn retain_beside(&mut self, grammar: &Report<'_>) {
        let Some((first, _)) = grammar.found.first() else { return };
        let text = self.text_at(*first).clone();
        let lines: HashSet<usize> = grammar.found.iter().filter_map(|(_, problem)| problem.line).collect();
        let is_header = |line: &usize| {
            let start = text.lines.get(line - 1).copied().unwrap_or(text.text.len());
            text.text[start..].trim_start_matches([' ', '\t']).starts_with('[')
        };
        let end = lines.iter().copied().filter(is_header).min().unwrap_or(usize::MAX);
        self.found
            .retain(|(_, problem)| problem.line.is_some_and(|line| line < end && !lines.contains(&line)));
    }

    pub(crate) fn into_problems(mut self) -> Problems {
        self.found.sort_by_key(|(order, _)| *order);
        Problems(self.found.into_iter().map(|(_, problem)| problem).collect())
    }

    /// Moves the problems of another report on the same texts into this one.
    pub(super) fn absorb(&mut self, other: Report<'_>) {
        self.found.extend(other.found);
    }

    fn text_at(&self, offset: usize) -> &Text<'t> {
        let behind = self.texts.partition_point(|text| text.start <= offset);
        &self.texts[behind.saturating_sub(1)]
    }
}

impl<'t> Text<'t> {
    fn new(origin: &'t str, text: &'t str, start: usize) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { origin, text, start, lines }
    }

    /// A place of the count through all texts in the count of this one, where a character begins.
    fn floor(&self, offset: usize) -> usize {
        floor(self.text, offset.saturating_sub(self.start))
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        (line, self.text[start..offset].chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::excerpt::{MOST_SAID, MOST_SHOWN};

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

    #[test]
    fn names_the_text_that_a_place_is_in() {
        let mut report = Report::new("a", "one\n");
        let start = report.add("b", "\nkey = bad\n");
        report.push(&Place::Text(start + 7..start + 10), "wrong");
        report.push(&Place::Text(0..3), "first");
        assert_eq!(report.describe(&Place::Text(start + 7..start + 10)), "line 2 of b");
        let shown = report.into_problems().to_string();
        let first = "a:1:1: first\n  1 | one\n    | ^^^";
        assert_eq!(shown, format!("{first}\n\nb:2:7: wrong\n  2 | key = bad\n    |       ^^^"));
    }
}
