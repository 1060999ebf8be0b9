//! The commands room: one file per subcommand, each with a `run` that `main` calls.
//!
//! May touch: standard input, output and error, and whatever the rooms that it uses may.

use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;

use crate::config::Problems;

pub mod check;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod import;
pub mod man;
mod print;
pub mod run;

/// How a command ends: with its exit status, or with an error that is shown once, with status 1.
pub type Outcome = Result<ExitCode, Box<dyn Error>>;

/// An error and everything that it came from, as it is shown to the user.
pub fn explanation(error: &(dyn Error + 'static)) -> String {
    // These begin with their places, as a compiler's do, so that editors can jump there.
    if let Some(problems) = error.downcast_ref::<Problems>() {
        return problems.to_string();
    }
    let mut text = format!("lone64: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
