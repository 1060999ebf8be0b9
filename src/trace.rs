//! Traces: what entered an engine, when, and what left it. PURE: text in, values out.
//!
//! `lone64 run --record FILE` writes one, a JSON object per line: first a [`Header`], then an [`Entry`] for each
//! input. [`replay`] hands the same inputs, at the same times, to an engine of this program, and compares what it
//! puts out. So a bug report can be a file that shows the bug again, and a file can be a test.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde::{Deserialize, Serialize};

use crate::engine::policy::Policy;
use crate::engine::{Engine, Input, Output, Time};

/// A whole trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// What it begins with.
    pub header: Header,
    /// What happened, in its order.
    pub entries: Vec<Entry>,
    /// Why there is no more; `None` if the daemon ended, or was killed.
    pub end: Option<String>,
}

/// What an engine begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u32,
    /// Of the program that wrote it.
    pub version: String,
    /// What the engine makes its random choices of.
    pub seed: [u64; 2],
    /// What the configuration asks for.
    pub policy: Policy,
}

/// One input, and what followed from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in microseconds since the daemon began.
    pub at: Time,
    /// What entered.
    pub input: Input,
    /// What left; `None` if further inputs were handed in before anybody looked, as with a batch of frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Vec<Output>>,
}

/// The last line of a trace that was ended early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Why.
    pub end: String,
}

/// One place where an engine does something else than the trace says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The line of the trace, from 1.
    pub line: usize,
    /// What entered.
    pub input: Input,
    /// What left then.
    pub recorded: Vec<Output>,
    /// What leaves now.
    pub replayed: Vec<Output>,
}

/// Why a text is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// There is nothing in it.
    #[error("the trace is empty")]
    Empty,
    /// It is of another time.
    #[error(
        "the trace has format {0}, and this lone64 reads format {FORMAT}; use the version of lone64 that wrote it"
    )]
    Format(u32),
    /// A line is none of a trace.
    #[error("line {line} is not a line of a trace")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Header {
    /// For an engine of this program.
    pub fn new(policy: Policy, seed: [u64; 2]) -> Self {
        Self { format: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned(), seed, policy }
    }
}

impl Trace {
    /// Reads a trace. A last line that was cut off, because the daemon was killed, is left out.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let is_whole = text.ends_with('\n');
        let mut lines = text.lines().enumerate().map(|(number, line)| (number + 1, line)).peekable();
        let (_, first) = lines.next().ok_or(TraceError::Empty)?;
        let of_line = |line| move |source| TraceError::Line { line, source };
        let format: FormatOf = serde_json::from_str(first).map_err(of_line(1))?;
        if format.format != FORMAT {
            return Err(TraceError::Format(format.format));
        }
        let header = serde_json::from_str(first).map_err(of_line(1))?;
        let mut trace = Self { header, entries: Vec::new(), end: None };
        while let Some((number, line)) = lines.next() {
            match serde_json::from_str(line) {
                Ok(Line::Entry(entry)) => trace.entries.push(*entry),
                Ok(Line::End(End { end })) => trace.end = Some(end),
                Err(_) if !is_whole && lines.peek().is_none() => {}
                Err(source) => return Err(TraceError::Line { line: number, source }),
            }
        }
        Ok(trace)
    }
}

/// Hands in everything again, and returns where something else comes out; the first [`MOST_DIFFERENCES`] of it.
pub fn replay(trace: &Trace) -> Vec<Difference> {
    let Header { policy, seed, .. } = &trace.header;
    let mut engine = Engine::new(policy.clone(), *seed);
    let mut differences = Vec::new();
    for (number, Entry { at, input, outputs }) in trace.entries.iter().enumerate() {
        engine.handle(input.clone(), *at);
        let Some(recorded) = outputs else { continue };
        let replayed: Vec<_> = std::iter::from_fn(|| engine.poll_output()).collect();
        if replayed != *recorded {
            let (input, recorded) = (input.clone(), recorded.clone());
            differences.push(Difference { line: number + 2, input, recorded, replayed });
        }
        if differences.len() == MOST_DIFFERENCES {
            break;
        }
    }
    differences
}

/// A header of whatever time.
#[derive(Deserialize)]
struct FormatOf {
    format: u32,
}

/// Any line but the first.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Entry(Box<Entry>),
    End(End),
}

/// Counted up whenever an older program could not read what is written.
pub const FORMAT: u32 = 1;
/// What differs after as many differs because of them.
pub const MOST_DIFFERENCES: usize = 100;
