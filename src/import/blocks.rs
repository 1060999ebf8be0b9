//! The grammar of ndppd.conf, of both versions at once: keys with values and blocks in braces.
//!
//! `#`, `//` and `/* */` begin comments where a word could begin; `=` before a value may be left out;
//! values may be in quotes; a block may hold blocks. What the keys mean is for `ndppd` to say.

use crate::config::problem::{Place, Report};

use super::text::Word;

/// One key with what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Word,
    /// Empty if nothing follows on the line.
    pub(super) value: Word,
    pub(super) block: Option<Vec<Entry>>,
}

/// Reads a file. Whatever cannot be read is reported.
pub(super) fn parse(text: &str, report: &mut Report<'_>) -> Vec<Entry> {
    let mut parser = Parser { text, at: 0, report };
    let mut all = Vec::new();
    loop {
        all.append(&mut parser.entries(0));
        if parser.at >= text.len() {
            return all;
        }
        let place = Place::Text(parser.at..parser.at + 1);
        parser.report.push(&place, "a } without a {").help("remove it, or add the { that it closes");
        parser.at += 1;
        if parser.report.len() >= MOST_PROBLEMS {
            return all;
        }
    }
}

struct Parser<'t, 'r, 'o> {
    text: &'t str,
    at: usize,
    report: &'r mut Report<'o>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Newlines {
    Skipped,
    Kept,
}

impl Parser<'_, '_, '_> {
    /// Up to the end of the block or of the file.
    fn entries(&mut self, depth: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        loop {
            self.skip(Newlines::Skipped);
            match self.peek() {
                None | Some('}') => return entries,
                Some(';') => self.at += 1,
                Some(_) => entries.push(self.entry(depth)),
            }
        }
    }

    fn entry(&mut self, depth: usize) -> Entry {
        let mut key = self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if key.text.is_empty() {
            // No key begins like this; whatever it is, it is told as unknown.
            key = self.take(|c| !c.is_whitespace() && !matches!(c, '{' | '}'));
        }
        self.skip(Newlines::Kept);
        if self.peek() == Some('=') {
            self.at += 1;
            self.skip(Newlines::Kept);
        }
        let value = self.value();
        self.skip(Newlines::Kept);
        let block = self.block(&key, depth);
        Entry { key, value, block }
    }

    fn value(&mut self) -> Word {
        if let Some(quote @ ('"' | '\'')) = self.peek() {
            self.at += 1;
            let value = self.take(|c| c != quote && c != '\n');
            if self.peek() == Some(quote) {
                self.at += 1;
            }
            return value;
        }
        let mut value = self.take(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '{' | '}'));
        // Written by those who are used to other files.
        let length = value.text.trim_end_matches(';').len();
        value.text.truncate(length);
        value.span.end = value.span.start + length;
        value
    }

    /// ndppd wants the brace on the line of its key; what is meant is clear on the next one too.
    fn block(&mut self, key: &Word, depth: usize) -> Option<Vec<Entry>> {
        if matches!(&*key.text, "proxy" | "rule") {
            let before = self.at;
            self.skip(Newlines::Skipped);
            if self.peek() != Some('{') {
                self.at = before;
            }
        }
        if self.peek() != Some('{') {
            return None;
        }
        let open = self.at;
        self.at += 1;
        if depth >= DEEPEST {
            let problem =
                self.report.push(&Place::Text(open..open + 1), "a block inside a block inside a block");
            problem.help("ndppd knows `proxy`, and `rule` inside it");
            self.at = self.text.len();
            return None;
        }
        let entries = self.entries(depth + 1);
        if self.peek() == Some('}') {
            self.at += 1;
        } else {
            let message = format!("the block of `{}` is not closed", key.text);
            self.report.push(&Place::Text(open..open + 1), message).help("add a } where it ends");
        }
        Some(entries)
    }

    fn skip(&mut self, newlines: Newlines) {
        loop {
            let blank = |c: char| c.is_whitespace() && (c != '\n' || newlines == Newlines::Skipped);
            let rest = &self.text[self.at..];
            self.at += rest.len() - rest.trim_start_matches(blank).len();
            let rest = &self.text[self.at..];
            if rest.starts_with('#') || rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                match rest.find("*/") {
                    Some(end) => self.at += end + 2,
                    None => {
                        let place = Place::Text(self.at..self.at + 2);
                        self.report
                            .push(&place, "a comment that is not closed")
                            .help("add a */ where it ends");
                        self.at = self.text.len();
                    }
                }
            } else {
                return;
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> Word {
        let rest = &self.text[self.at..];
        let length = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        let span = self.at..self.at + length;
        self.at = span.end;
        Word { text: rest[..length].to_owned(), span }
    }
}

const DEEPEST: usize = 8;

const MOST_PROBLEMS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(entries: &[Entry]) -> String {
        let shown = entries.iter().map(|entry| {
            let block = entry.block.as_ref().map(|block| format!("{{{}}}", shape(block)));
            format!("{}={}{}", entry.key.text, entry.value.text, block.unwrap_or_default())
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    fn good(text: &str) -> String {
        let mut report = Report::new("f", text);
        let entries = parse(text, &mut report);
        assert!(report.is_empty(), "{}", report.into_problems());
        shape(&entries)
    }

    fn problems(text: &str) -> String {
        let mut report = Report::new("f", text);
        parse(text, &mut report);
        report.into_problems().to_string()
    }

    #[test]
    fn reads_keys_values_and_blocks() {
        let text = "ttl 5\nproxy eth0 {\n  router = no\n  rule 2001:db8::/64 {\n    static\n  }\n}\n";
        assert_eq!(good(text), "ttl=5 proxy=eth0{router=no rule=2001:db8::/64{static=}}");
    }

    #[test]
    fn reads_a_whole_proxy_on_one_line() {
        assert_eq!(good("proxy eth0{rule 2001:db8::1{static}}"), "proxy=eth0{rule=2001:db8::1{static=}}");
    }

    #[test]
    fn takes_a_brace_on_the_next_line() {
        assert_eq!(good("proxy eth0\n{\n rule ::1 # c\n {\n auto\n }\n}"), "proxy=eth0{rule=::1{auto=}}");
    }

    #[test]
    fn leaves_out_every_kind_of_comment() {
        let text = "# a\n// b\n/* c\n } */ ttl /* d */ 5 # e\nproxy 'eth 0' { } // f {";
        assert_eq!(good(text), "ttl=5 proxy=eth 0{}");
    }

    #[test]
    fn takes_semicolons_for_what_they_are_elsewhere() {
        assert_eq!(good("ttl 5;\nproxy e { static; };"), "ttl=5 proxy=e{static=}");
    }

    #[test]
    fn tells_where_a_block_was_opened_that_is_not_closed() {
        assert!(
            problems("proxy eth0 {\n  rule ::1 {\n static\n }\n").starts_with("f:1:12: the block of `proxy`")
        );
        assert!(problems("proxy e {\n}\n}\n").starts_with("f:3:1: a } without a {"));
        assert!(problems("ttl 5 /* c").starts_with("f:1:7: a comment that is not closed"));
        assert!(problems(&"a {".repeat(100_000)).contains("a block inside a block"));
    }
}
