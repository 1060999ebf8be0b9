//! Configurations of ndppd and npd6, as they are, and told that they are one or the other.
//!
//! Held to: no panic. What is imported is a lone64.toml without mistakes, which says each of the notes in a comment. What is
//! refused is refused with a place and a sentence, or by the name of the file.

use lone64::config;
use lone64::import::{Format, ImportError, Note, import_bytes};

/// One input.
pub fn run(bytes: &[u8]) {
    for format in [None, Some(Format::Ndppd), Some(Format::Npd6)] {
        check(bytes, format);
    }
}

fn check(bytes: &[u8], format: Option<Format>) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    match import_bytes(bytes.to_vec(), ORIGIN, format) {
        Ok(imported) => {
            config::parse(&imported.toml, ORIGIN)
                .unwrap_or_else(|problems| panic!("{problems}\n{}", imported.toml));
            assert!(!imported.toml.contains(|c: char| c.is_control() && c != '\n'), "{}", imported.toml);
            let said = letters(&imported.toml);
            for note in &imported.notes {
                check_note(note, lines);
                assert!(said.contains(&letters(&note.message)), "{note:?}\n{}", imported.toml);
            }
        }
        Err(ImportError::Unreadable(problems)) => {
            assert!(!problems.as_slice().is_empty());
            for problem in problems.as_slice() {
                assert!(!problem.message.is_empty() && !problem.message.contains(char::is_control));
                assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem}");
                assert_eq!(problem.line.is_some(), problem.column.is_some());
            }
        }
        Err(ImportError::Nothing { origin, notes, remedy }) => {
            assert_eq!(origin, ORIGIN);
            assert!(!remedy.is_empty());
            notes.iter().for_each(|note| check_note(note, lines));
        }
    }
}

fn check_note(note: &Note, lines: usize) {
    assert!(!note.message.is_empty() && !note.message.contains(char::is_control), "{note:?}");
    assert!(note.line.is_none_or(|line| (1..=lines).contains(&line)), "{note:?}");
    assert_eq!(note.line.is_some(), note.column.is_some());
}

/// However it is folded, and whatever begins a line of a comment.
fn letters(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != '#').collect()
}

const ORIGIN: &str = "f";
