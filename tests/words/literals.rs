//! The texts that stand in the sources: every string in code that is not a test.

use std::fs;
use std::path::{Path, PathBuf};

/// A string of the sources.
#[derive(Debug)]
pub struct Literal {
    /// Below `src`, with its line.
    pub place: String,
    /// As the program has it, with its placeholders.
    pub text: String,
}

impl Literal {
    /// Whether people read it: it is of several words.
    fn is_sentence(&self) -> bool {
        self.text.split_whitespace().count() >= 3
    }

    /// The same with long values in the place of its placeholders.
    pub fn filled(&self) -> String {
        let mut filled = String::new();
        let mut rest = self.text.replace("{{", "\u{1}").replace("}}", "\u{2}");
        while let Some((before, behind)) = rest.split_once('{') {
            let Some((name, after)) = behind.split_once('}') else { break };
            filled += before;
            // A part of its own, which may be empty.
            if filled.ends_with(|c: char| c.is_ascii_alphanumeric()) {
                filled.push(' ');
            }
            let is_length = before.ends_with(['/', '=']);
            filled += if is_length { "128" } else { value(name.split(':').next().unwrap_or_default()) };
            rest = after.to_owned();
        }
        (filled + &rest).replace('\u{1}', "{").replace('\u{2}', "}")
    }
}

/// Every sentence that the program can print.
pub fn sentences() -> Vec<Literal> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in files(&root) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        found.extend(literals(code, &name).into_iter().filter(Literal::is_sentence));
    }
    found
}

/// The lines of a file that are comments: what they are about, and what they say.
pub fn comments() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in files(&root) {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            if let Some((_, comment)) = line.split_once("//") {
                found.push((format!("{name}:{}", number + 1), comment.to_owned()));
            }
        }
    }
    found
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path));
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What a reader may meet at its longest: by the name of the placeholder.
fn value(name: &str) -> &'static str {
    let is_one_of = |names: &[&str]| names.iter().any(|known| name.contains(known));
    if is_one_of(&["prefix", "suffix", "range", "destination", "exclude", "around", "wider"]) {
        "2001:1db8:1111:2222:3333:4444:5555:6666/128"
    } else if is_one_of(&["mac"]) {
        "fe:dc:ba:98:76:54"
    } else if is_one_of(&["name", "interface", "link", "stream", "master", "up", "key", "method"]) {
        "fifteen-bytes-x"
    } else if is_one_of(&["path", "file", "origin"]) {
        "/etc/lone64/lone64.d/10-guests.toml"
    } else if name.is_empty()
        || is_one_of(&["address", "router", "guest", "gateway", "who", "asked_for", "target"])
    {
        "2001:1db8:1111:2222:3333:4444:5555:6666"
    } else {
        "4294967295"
    }
}

fn literals(code: &str, name: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let rest = &code[at..];
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(length) = character(rest) {
            length
        } else if let Some((text, length)) = raw(rest).or_else(|| plain(rest)) {
            let line = code[..at].matches('\n').count() + 1;
            found.push(Literal { place: format!("{name}:{line}"), text });
            length
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        at += length;
    }
    found
}

/// `'x'`, and not the beginning of a lifetime.
fn character(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    let mut letters = body.char_indices();
    let end = match letters.next()?.1 {
        '\\' => body.get(2..)?.find('\'')? + 2,
        letter => letter.len_utf8(),
    };
    body.get(end..)?.starts_with('\'').then_some(end + 2)
}

/// `r#"x"#`
fn raw(rest: &str) -> Option<(String, usize)> {
    let body = rest.strip_prefix('r')?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let text = body[hashes..].strip_prefix('"')?;
    let end = text.find(&format!("\"{}", "#".repeat(hashes)))?;
    Some((text[..end].to_owned(), 1 + hashes + 1 + end + 1 + hashes))
}

/// `"x"`
fn plain(rest: &str) -> Option<(String, usize)> {
    let body = rest.strip_prefix('"')?;
    let mut text = String::new();
    let mut letters = body.char_indices();
    loop {
        let (at, letter) = letters.next()?;
        match letter {
            '"' => return Some((text, at + 2)),
            '\\' => match letters.next()?.1 {
                'n' => text.push('\n'),
                '\n' => {
                    // The blanks that follow are not of the string.
                    let behind = &body[at + 2..];
                    let blanks = behind.len() - behind.trim_start().len();
                    (0..blanks).for_each(|_| _ = letters.next());
                }
                letter => text.push(letter),
            },
            letter => text.push(letter),
        }
    }
}
