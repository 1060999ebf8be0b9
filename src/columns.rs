//! Text on a terminal: how many columns it takes, and how a sentence is folded into lines.
//!
//! May touch: nothing; text in, text out.

use anstream::adapter::strip_str;
use unicode_width::UnicodeWidthStr;

/// Of a terminal that does not say how wide it is, and of what is not a terminal.
pub const USUAL: usize = 80;

/// The columns that a text takes. Colours take none.
pub fn width(text: &str) -> usize {
    strip_str(text).map(UnicodeWidthStr::width).sum()
}

/// The sentence in lines of at most `columns`, each with its end. The first line begins with `first`, the others with
/// `indent`. A word is never broken, and what stands in backticks is one word: it may be longer than a line, and then
/// has a line of its own.
pub fn folded(first: &str, indent: &str, sentence: &str, columns: usize) -> String {
    let mut text = String::new();
    let (mut line, mut used) = (first.to_owned(), width(first));
    let mut is_empty = true;
    let is_too_long = |word: &str| width(indent) + width(word) > columns && !word.contains('`');
    let words = words(sentence).into_iter().flat_map(|word| match is_too_long(word) {
        true => word.split(' ').collect(),
        false => vec![word],
    });
    for word in words {
        let wide = width(word);
        if !is_empty && used + 1 + wide > columns {
            text += line.trim_end();
            text.push('\n');
            indent.clone_into(&mut line);
            used = width(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
            used += 1;
        }
        line += word;
        used += wide;
        is_empty = false;
    }
    text + line.trim_end() + "\n"
}

/// Each line that is too long, folded under itself; the others as they are, and so is what is quoted of a file: `12 | …`
/// and the marks below it.
pub fn lines_folded(text: &str, columns: usize) -> String {
    let mut folded_text = String::new();
    for line in text.split_inclusive('\n') {
        if width(line.trim_end_matches('\n')) <= columns || is_quoted(line) {
            folded_text += line;
            continue;
        }
        let start = line.len() - line.trim_start_matches(' ').len();
        let (indent, sentence) = line.split_at(start);
        let folded = folded(indent, &format!("{indent}    "), sentence, columns);
        folded_text += folded.strip_suffix('\n').filter(|_| !line.ends_with('\n')).unwrap_or(&folded);
    }
    folded_text
}

fn is_quoted(line: &str) -> bool {
    let gutter = line.split_once(" | ").map(|(gutter, _)| gutter);
    gutter.is_some_and(|gutter| gutter.trim_start().bytes().all(|byte| byte.is_ascii_digit()))
}

/// The words of a sentence. A pair of backticks keeps what is between them, and what hangs on it, together, and so does an
/// equals sign: `key = "value"` is to be copied.
fn words(sentence: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = None;
    // A backtick without another keeps nothing together.
    let mut left = sentence.matches('`').count() & !1;
    let mut is_quoted = false;
    for (at, letter) in sentence.char_indices() {
        if letter == '`' && left > 0 {
            left -= 1;
            is_quoted = !is_quoted;
        }
        match start {
            None if !letter.is_whitespace() => start = Some(at),
            Some(_) if letter == ' ' && is_beside_equals(sentence, at) => {}
            Some(from) if letter.is_whitespace() && !is_quoted => {
                words.push(&sentence[from..at]);
                start = None;
            }
            _ => {}
        }
    }
    words.extend(start.map(|from| &sentence[from..]));
    words
}

/// Whether this space is one of those of ` = `.
fn is_beside_equals(sentence: &str, space: usize) -> bool {
    sentence[space..].starts_with(" = ") || sentence[..=space].ends_with(" = ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_between_words_and_under_the_indent() {
        assert_eq!(folded("note: ", "  ", "one two three four", 14), "note: one two\n  three four\n");
        assert_eq!(folded("", "", "  spaces \n and lines  ", 80), "spaces and lines\n");
        assert_eq!(folded("empty: ", "  ", "", 80), "empty:\n");
    }

    #[test]
    fn keeps_an_address_and_a_command_whole() {
        let sentence = "do `ip -6 route show` now";
        assert_eq!(folded("", "  ", sentence, 12), "do\n  `ip -6 route show`\n  now\n");
        let address = "2001:db8:1111:2222:3333:4444:5555:6666";
        assert_eq!(
            folded("at ", " ", &format!("the {address} end"), 10),
            format!("at the\n {address}\n end\n")
        );
        assert_eq!(folded("", "", "a ` b", 3), "a `\nb\n");
        assert_eq!(folded("", "", "write a = \"b\" or = c =", 8), "write\na = \"b\"\nor = c =\n");
        assert_eq!(
            folded("", "", "write abcd = \"efgh\"", 8),
            "write\nabcd =\n\"efgh\"\n",
            "no line has room for it"
        );
    }

    #[test]
    fn counts_columns_and_not_bytes() {
        assert_eq!(width("\u{1b}[31mred\u{1b}[0m"), 3);
        assert_eq!((width("é"), width("网"), width("✓")), (1, 2, 1));
        assert_eq!(folded("\u{1b}[31mno: \u{1b}[0m", "  ", "é网 b", 9), "\u{1b}[31mno: \u{1b}[0mé网 b\n");
    }

    #[test]
    fn folds_the_long_lines_of_a_text_only() {
        let text = "error: one two three\n\n  usage\n  four five six";
        assert_eq!(lines_folded(text, 14), "error: one two\n    three\n\n  usage\n  four five\n      six");
        assert_eq!(lines_folded("short\n", 5), "short\n");
        let quoted = "  12 | prefix    = \"2001:db8::/112\"\n     |             ^^^^^^^^^^^^^^\n";
        assert_eq!(lines_folded(quoted, 14), quoted);
    }
}
