//! The commands room: one file per subcommand, each with a `run` that `main` calls.
//!
//! May touch: standard input, output and error, and whatever the rooms that it uses may.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

mod backstops;
pub mod check;
pub mod completions;
mod control;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod failure;
mod host;
pub mod import;
mod links;
pub mod man;
pub mod options;
mod reader;
pub mod reload;
pub mod run;
mod slips;
pub mod status;
mod switches;
mod unserved;
pub mod watch;
mod ways_out;

/// How a command ends: with its exit status, or with an error that [`failure::tell`] shows once, with status 1.
pub type Outcome = Result<ExitCode, Box<dyn Error>>;

/// The sentence behind `first`, in lines of 80 columns that are indented alike.
fn wrapped(first: &str, sentence: &str) -> String {
    const COLUMNS: usize = 80;
    let indent = " ".repeat(first.chars().count());
    let (mut text, mut line) = (String::new(), first.to_owned());
    let mut is_empty = true;
    for word in sentence.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            text += line.trim_end();
            text.push('\n');
            line.clone_from(&indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    text + line.trim_end() + "\n"
}

/// Writes to standard output; a reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
