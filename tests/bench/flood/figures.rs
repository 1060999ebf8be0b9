//! Everything that was measured, as a list: for the goals, the picture and the file for programs.

use std::path::Path;
use std::{fs, io};

use serde::Serialize;

use super::machine::Machine;
use super::responder::Responder;

/// What a number is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Answers per second of the responder's CPU.
    AnswersPerCpuSecond,
    /// Answers per second, as fast as they came.
    AnswersPerSecond,
    /// How many of 1,000 questions at once were answered, in the worst round.
    Burst,
    /// From a lone question to its answer.
    LoneMedian,
    /// The same for the slowest of a hundred.
    LoneSlow,
    /// CPU of the responder for one lone question.
    LoneCpu,
    /// From the first question for a guest to its answer.
    ColdMedian,
    /// Guests that were answered for the first time, per second.
    ColdPerSecond,
    /// During a scan: guests that were never asked for before and were answered at the first question.
    ScanFirst,
    /// The same within a second.
    ScanInTime,
    /// What a solicitation outside the range costs, over a host without responder.
    Outside,
    /// What a UDP packet costs, over a host without responder.
    Udp,
    /// Resident memory.
    Resident,
}

/// One number.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Of whom.
    pub responder: &'static str,
    /// What it is of.
    pub what: What,
    /// Under which load; empty where there is only one.
    pub case: String,
    /// The number itself.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Figures(Vec<Figure>);

/// The file for programs.
#[derive(Debug, Serialize)]
struct File<'a> {
    machine: &'a Machine,
    rounds: u32,
    seconds: f64,
    figures: &'a [Figure],
}

impl What {
    /// The unit of its numbers.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::AnswersPerCpuSecond => "answers per CPU second",
            Self::AnswersPerSecond => "answers per second",
            Self::Burst => "answers to 1000 questions",
            Self::LoneMedian | Self::LoneSlow | Self::LoneCpu | Self::ColdMedian => "microseconds",
            Self::ColdPerSecond => "guests per second",
            Self::ScanFirst | Self::ScanInTime => "share of guests",
            Self::Outside | Self::Udp => "nanoseconds per packet",
            Self::Resident => "KiB",
        }
    }
}

impl Figures {
    /// Adds a number, if there is one.
    pub fn add(&mut self, responder: Responder, what: What, case: &str, value: Option<f64>) {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        let (responder, case, unit) = (responder.name(), case.to_owned(), what.unit());
        self.0.push(Figure { responder, what, case, value, unit });
    }

    /// One of them.
    pub fn of(&self, responder: Responder, what: What, case: &str) -> Option<f64> {
        let is_it = |f: &&Figure| f.responder == responder.name() && f.what == what && f.case == case;
        self.0.iter().find(is_it).map(|figure| figure.value)
    }

    /// Writes them for programs.
    pub fn write(&self, path: &Path, machine: &Machine, rounds: u32, seconds: f64) -> io::Result<()> {
        let file = File { machine, rounds, seconds, figures: &self.0 };
        fs::write(path, serde_json::to_string_pretty(&file).map_err(io::Error::other)? + "\n")
    }
}

/// The case of so many addresses.
pub fn addresses(count: u32) -> String {
    count.to_string()
}
