//! The paths in a piece of Rust, found without a compiler.

/// A path as it is written: `["super", "facts", "IfIndex"]`.
pub(crate) type Written = Vec<String>;

/// The code without comments and without the tests at its end.
pub(crate) fn bare(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let opens_tests = |next: &&str| next.starts_with("mod ") && next.ends_with('{');
        if line == "#[cfg(test)]" && lines.peek().is_some_and(opens_tests) {
            // An inline module ends at the next brace without indentation.
            lines.by_ref().find(|line| *line == "}");
            continue;
        }
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// Every path that begins with one of these words, and every path behind `use`.
pub(crate) fn paths(code: &str, roots: &[String]) -> Vec<Written> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(word) = next_word(code, at) {
        let (text, end) = (&code[word.clone()], word.end);
        let rest = &code[end..];
        // The middle of a path that was read already begins with no root.
        let is_first = !code[..word.start].ends_with("::");
        at = end;
        if text == "use" {
            let statement = rest.split(';').next().unwrap_or_default();
            found.extend(tree(statement.trim()));
            at = end + statement.len();
        } else if is_first && rest.starts_with("::") && roots.iter().any(|root| root == text) {
            found.push(plain(&code[word.start..]));
        }
    }
    found
}

/// What `a::{b, c::{self, d as e}}` means, path by path.
fn tree(text: &str) -> Vec<Written> {
    let text = text.trim();
    let Some(open) = text.find('{') else {
        let path = text.split(" as ").next().unwrap_or_default();
        return vec![path.split("::").map(|segment| segment.trim().to_owned()).collect()];
    };
    let head: Written =
        text[..open].split("::").map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect();
    let inside = text[open + 1..].trim_end().strip_suffix('}').unwrap_or_default();
    let mut found = Vec::new();
    for part in top_level(inside) {
        for mut tail in tree(part) {
            tail.retain(|segment| segment != "self");
            found.push([head.clone(), tail].concat());
        }
    }
    found
}

/// Split at the commas that are inside no braces.
fn top_level(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// A path within an expression or a type.
fn plain(text: &str) -> Written {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    text[..end].split("::").filter(|segment| !segment.is_empty()).map(str::to_owned).collect()
}

fn next_word(code: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let start = from + code[from..].find(is_part)?;
    let end = code[start..].find(|c| !is_part(c)).map_or(code.len(), |length| start + length);
    Some(start..end)
}
