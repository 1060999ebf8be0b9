//! The commands room: one file per subcommand, each with a `run` that `main` calls.
//!
//! May touch: standard input, output and error, and whatever the rooms that it uses may.

use std::error::Error;
use std::process::ExitCode;

mod backends;
mod backstops;
pub mod check;
pub mod claim;
pub mod completions;
mod control;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod failure;
pub mod guest;
pub mod hand_over;
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
pub mod terminal;
mod unserved;
pub mod watch;
mod ways_out;

use terminal::{print, show, wrapped};

/// How a command ends: with its exit status, or with an error that [`failure::tell`] shows once, with status 1.
pub type Outcome = Result<ExitCode, Box<dyn Error>>;
