//! What a text has twice: a key of one table, or the table itself.
//!
//! May touch: nothing.

use std::ops::Range;

use toml::de::{DeTable, DeValue, Error};

use super::problem::Report;
use super::section::at;

/// Where keys and tables are written, of which the parser names the second place alone.
pub(super) struct Twice<'t> {
    text: &'t str,
    /// Each key that is kept, and where.
    kept: Vec<(String, usize)>,
    /// The name of each table, and where it is.
    headers: Vec<(&'t str, usize)>,
    /// The tables that are written once more.
    again: Vec<usize>,
}

impl<'t> Twice<'t> {
    /// What the parser says of each.
    pub(super) const MESSAGE: &'static str = "duplicate key";

    pub(super) fn of<'e>(
        text: &'t str,
        document: &DeTable<'_>,
        errors: impl Iterator<Item = &'e Error>,
    ) -> Self {
        let spans = errors.filter(|error| error.message() == Self::MESSAGE).filter_map(Error::span);
        let starts: Vec<usize> = spans.map(|span| span.start).collect();
        let mut twice = Self { text, kept: Vec::new(), headers: Vec::new(), again: Vec::new() };
        if !starts.is_empty() {
            collect(document, &mut twice.kept);
            twice.headers = headers(text);
            twice.again = starts.into_iter().filter(|start| twice.is_header(*start)).collect();
        }
        twice
    }

    /// Names both places. Of a table that is written twice that is told alone, and not every key that both have. Places
    /// of this text begin at `start`.
    pub(super) fn tell(&self, span: &Range<usize>, start: usize, report: &mut Report<'_>) {
        let name = self.text.get(span.clone()).unwrap_or_default().trim_matches(['"', '\'']);
        let is_same = |(other, at): &(&str, usize)| (*other == name && *at < span.start).then_some(*at);
        let (what, earlier, help) = if self.is_header(span.start) {
            let earlier = self.headers.iter().find_map(is_same);
            (format!("[{name}]"), earlier, "put the keys of both into one of them")
        } else {
            let kept = self.kept.iter().map(|(name, at)| (name.as_str(), *at));
            let earlier = kept.filter_map(|kept| is_same(&kept)).max();
            let header = self.headers.iter().rev().find(|(_, at)| *at < span.start).map(|(_, at)| *at);
            let again = header.filter(|header| self.again.contains(header));
            if again.is_some_and(|header| earlier.is_none_or(|earlier| earlier < header)) {
                return;
            }
            (format!("`{name}`"), earlier, "remove one of them")
        };
        let line = |place: usize| self.text[..place].matches('\n').count() + 1;
        let first = earlier.map(|place| format!(", first on line {}", line(place))).unwrap_or_default();
        report.push(&at(start, span.clone()), format!("{what} is written twice{first}")).help(help);
    }

    fn is_header(&self, place: usize) -> bool {
        self.headers.iter().any(|(_, at)| *at == place)
    }
}

fn collect(table: &DeTable<'_>, kept: &mut Vec<(String, usize)>) {
    for (name, value) in table.iter() {
        kept.push((name.get_ref().to_string(), name.span().start));
        collect_value(value.get_ref(), kept);
    }
}

fn collect_value(value: &DeValue<'_>, kept: &mut Vec<(String, usize)>) {
    match value {
        DeValue::Table(table) => collect(table, kept),
        DeValue::Array(items) => items.iter().for_each(|item| collect_value(item.get_ref(), kept)),
        _ => {}
    }
}

/// The names of the tables, each with where it begins.
fn headers(text: &str) -> Vec<(&str, usize)> {
    let mut start = 0;
    let mut headers = Vec::new();
    for line in text.split_inclusive('\n') {
        let name = line.trim_start().trim_start_matches('[').trim_start();
        if line.trim_start().starts_with('[') {
            let end = name.find(']').unwrap_or(name.len());
            headers.push((name[..end].trim_end(), start + line.len() - name.len()));
        }
        start += line.len();
    }
    headers
}

#[cfg(test)]
mod tests {
    fn said(text: &str) -> Vec<String> {
        let problems = crate::config::parse(text, "f").unwrap_err().into_vec();
        problems.iter().map(|problem| format!("{}: {}", problem.line.unwrap_or(0), problem.message)).collect()
    }

    const RANGE: &str = "[[range]]\nprefix = \"2001:db8::/112\"\ninterface = \"br0\"\n";

    #[test]
    fn a_table_that_is_written_twice_is_told_once_with_both_lines() {
        let text = format!(
            "{RANGE}[timers]\nabsent = \"3s\"\nretries = 4\n[timers]\nabsent = \"4s\"\nretries = 5\n"
        );
        assert_eq!(said(&text), ["7: [timers] is written twice, first on line 4"]);
        // Where it is indented, or has spaces in it, and where others are between.
        let text = format!("{RANGE}  [ log ]\nlevel = \"info\"\n[timers]\n  [ log ]\nlevel = \"warn\"\n");
        assert_eq!(said(&text), ["7: [log] is written twice, first on line 4"]);
    }

    #[test]
    fn a_key_names_both_lines_of_its_own_table() {
        let again = format!("{RANGE}{RANGE}interface = \"br1\"\n").replacen("::/112", "::1:0/112", 1);
        assert_eq!(said(&again), ["7: `interface` is written twice, first on line 6"]);
        // Also in the second of two tables, where the first has no such key.
        let text = format!("{RANGE}[timers]\nretries = 4\n[timers]\nabsent = \"4s\"\nabsent = \"5s\"\n");
        assert_eq!(
            said(&text),
            [
                "6: [timers] is written twice, first on line 4",
                "8: `absent` is written twice, first on line 7"
            ]
        );
    }
}
