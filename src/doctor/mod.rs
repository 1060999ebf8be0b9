//! The doctor's room: what is wrong with a host, why it matters, and how it is put right.
//!
//! Everything is read first, into a [`Host`] (`gather`, `gateway` and `guests` are the only files
//! that touch anything for that); the checks are pure functions of it. A finding names its evidence and the exact
//! remedy, which is a value with its effects. `--fix` applies only those that are a [`Fix`]: one setting that can be
//! set, and set back.
//! [`live`], for `--live`, sends a packet and watches what becomes of it.

pub mod checks;
pub mod firewall;
pub mod fix;
mod gateway;
pub mod gather;
mod guests;
mod host;
mod ini;
pub mod live;
mod remedy;
mod service;
mod sysctl_file;

pub use checks::forwarding::ALL as FORWARDING;
pub use firewall::Firewall;
pub use guests::{Guest, Replies};
pub use host::{Examined, Host, MAIN, Process, Text, has_neighbors};
pub use remedy::{Command, Fix, Lasts, Remedy};
pub use service::Service;

/// Something that is checked.
pub struct Check {
    /// Its name in `--json`, and in the documentation.
    pub name: &'static str,
    /// Where it stands in the report.
    pub group: Group,
    /// What it looks at, in the words of a line that says that all is well.
    pub asks: &'static str,
    /// Looks.
    pub examine: fn(&Host) -> Vec<Finding>,
}

/// The parts of a report, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The kernel's settings, and what is needed to run at all.
    Host,
    /// The interface towards the router, and what the provider does.
    Upstream,
    /// Ranges, downstreams and guests.
    Ranges,
    /// What stands between them: packet filters, bridges.
    Path,
    /// Who else is at work on this host.
    Others,
    /// lone64 itself: running, with which configuration, and what it serves.
    Daemon,
}

impl Group {
    /// Its heading, and its name in `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Upstream => "upstream",
            Self::Ranges => "ranges",
            Self::Path => "path",
            Self::Others => "others",
            Self::Daemon => "daemon",
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Guests cannot be reached because of it.
    Fault,
    /// Guests may not be reached because of it, at some time or some of them.
    Warning,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and what follows, in one sentence.
    pub sentence: String,
    /// What shows it: file, key, value, interface; one line each.
    pub evidence: Vec<String>,
    /// What puts it right: all of it, in this order.
    pub remedies: Vec<Remedy>,
}

impl Finding {
    /// Guests cannot be reached.
    pub fn fault(sentence: impl Into<String>) -> Self {
        let sentence = sentence.into();
        Self { severity: Severity::Fault, sentence, evidence: Vec::new(), remedies: Vec::new() }
    }

    /// Guests may not be reached.
    pub fn warning(sentence: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::fault(sentence) }
    }

    /// What shows it.
    pub fn seen(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    /// What puts it right.
    pub fn remedy(mut self, remedy: Remedy) -> Self {
        self.remedies.push(remedy);
        self
    }

    /// A sysctl that puts it right; `key` is a path below `/proc/sys`.
    pub fn set(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.remedy(Remedy::Fix(Fix { key: key.into(), value: value.into() }))
    }

    /// A line for the shell that puts it right.
    pub fn run(self, command: impl Into<Command>) -> Self {
        self.remedy(Remedy::Command(command.into()))
    }
}

/// Everything that is found, check by check, in the order of the report.
pub fn examine(host: &Host) -> Vec<(&'static Check, Vec<Finding>)> {
    checks::ALL.iter().map(|check| (*check, (check.examine)(host))).collect()
}
