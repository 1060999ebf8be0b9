//! Reload: the configuration is read again, and all of it is taken, or none.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::Daemon;
use super::control::{Control, Fault};
use super::metrics::MetricsError;
use super::socket::SocketError;
use crate::config::{Change, GuestFiles, Loaded, Problems};
use crate::engine;
use crate::engine::bindings::Scope;
use crate::kernel::sysctl::SysctlError;

/// Reads the configuration as it was read at the start, on a thread of its own.
#[derive(Clone)]
pub struct Source(Arc<Read>);

type Read = dyn Fn(&GuestFiles) -> Result<Loaded, Refusal> + Send + Sync;

/// Why the configuration stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no file.
    #[error(
        "there is nothing to read again: there is no /etc/lone64/lone64.toml; write it, or restart lone64 with other \
         options"
    )]
    NoFile,
    /// A pipe, say, which has been read already.
    #[error("{} is not a regular file, so lone64 cannot read it again; restart lone64 to change the configuration", .0.display())]
    NotAFile(PathBuf),
    /// It has mistakes.
    #[error(transparent)]
    Mistakes(#[from] Problems),
    /// Nothing of it could work on this host.
    #[error("{}", sentences(.0))]
    Unusable(Vec<engine::Problem>),
    /// Its control socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Its metrics cannot be served.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Its sysctls cannot be set.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// Its programs in the kernel cannot be had.
    #[error(transparent)]
    Backend(Box<super::Error>),
    /// Its reader came to an unexpected end.
    #[error("reading the configuration ended unexpectedly; please report this")]
    Broken,
}

impl Daemon {
    /// Sockets that were not to be had at the start may be now, also where nothing else is taken of a reload.
    pub(super) fn open_absent(&mut self) {
        if self.operator.control.is_none() {
            let opened = Control::open(&self.config.control.socket);
            self.operator.control = opened.inspect_err(|error| tracing::warn!("{error}")).ok();
        }
        if self.operator.metrics.is_none() {
            self.serve_metrics();
        }
    }
}

impl Source {
    /// Whatever this returns is the configuration. It is told which files of guests are in force.
    pub fn new(read: impl Fn(&GuestFiles) -> Result<Loaded, Refusal> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(super) fn read(&self, before: &GuestFiles) -> Result<Loaded, Refusal> {
        (self.0)(before)
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

impl Refusal {
    /// Whether there was something to read, and it is not taken.
    pub(super) fn is_of_content(&self) -> bool {
        !matches!(self, Self::NoFile | Self::NotAFile(_))
    }

    /// As a client gets it.
    pub(super) fn fault(&self) -> Fault {
        let problems = match self {
            Self::Mistakes(problems) => json!(problems.as_slice()),
            _ => serde_json::Value::Null,
        };
        let message = crate::explanation::of(self);
        Fault { code: "refused", message, problems }
    }

    /// As lines of the log: one for each problem, each with its place.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self::Mistakes(problems) = self else { return vec![self.to_string()] };
        problems.as_slice().iter().map(line_of).collect()
    }
}

/// A mistake with its place and its remedy, as one line of the log.
pub(super) fn line_of(problem: &crate::config::Problem) -> String {
    let mut line = problem.origin.clone();
    if let (Some(row), Some(column)) = (problem.line, problem.column) {
        let _ = write!(line, ":{row}:{column}");
    }
    let _ = write!(line, ": {}", problem.message);
    if let Some(help) = problem.help.as_deref().and_then(|help| help.lines().next()) {
        let _ = write!(line, "; {help}");
    }
    line
}

/// What is another, as one line of the log.
pub(super) fn line(changes: &[Change]) -> String {
    let mut shown: Vec<String> = changes.iter().take(MOST_IN_A_LINE).map(Change::to_string).collect();
    if changes.len() > MOST_IN_A_LINE {
        shown.push(format!("and {} more", changes.len() - MOST_IN_A_LINE));
    }
    shown.join(", ")
}

/// Whether nothing of a policy with so many ranges can work at this moment.
pub(super) fn is_unusable(problems: &[engine::Problem], ranges: usize) -> bool {
    let count = |scope| problems.iter().filter(|problem| problem.scope() == scope).count();
    count(Scope::Upstream) > 0 || ranges > 0 && count(Scope::Range) == ranges
}

fn sentences(problems: &[engine::Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// More cannot be read.
const MOST_IN_A_LINE: usize = 32;
