//! Reload: the configuration is read again, and all of it is taken, or none.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::Ipv6Net;
use serde_json::json;

use super::control::{Fault, Reply, SocketError};
use super::metrics::MetricsError;
use crate::config::{Config, Problems};
use crate::engine;
use crate::engine::policy::RangePolicy;
use crate::kernel::sysctl::SysctlError;

/// Reads the configuration as it was read at the start, on a thread of its own.
#[derive(Clone)]
pub struct Source(Arc<dyn Fn() -> Result<Config, Refusal> + Send + Sync>);

/// Why the configuration stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no file.
    #[error(
        "there is nothing to read again: this lone64 runs on its options alone; write \
         /etc/lone64/lone64.toml, or restart it with others"
    )]
    NoFile,
    /// A pipe, say, which has been read already.
    #[error("{} is no file that could be read again; restart lone64 to change what it says", .0.display())]
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
    /// Its reader came to an unexpected end.
    #[error("reading the configuration ended unexpectedly; please report this")]
    Broken,
}

impl Source {
    /// Whatever this returns is the configuration.
    pub fn new(read: impl Fn() -> Result<Config, Refusal> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    pub(super) fn read(&self) -> Result<Config, Refusal> {
        (self.0)()
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

impl Refusal {
    /// As a client gets it.
    pub(super) fn reply(&self) -> Reply {
        let problems = match self {
            Self::Mistakes(problems) => json!(problems.as_slice()),
            _ => serde_json::Value::Null,
        };
        let message = crate::explanation::of(self);
        Reply::Fault(Fault { code: "refused", message, problems })
    }

    /// As lines of the log: one for each problem, each with its place.
    pub(super) fn lines(&self) -> Vec<String> {
        let Self::Mistakes(problems) = self else { return vec![self.to_string()] };
        let line = |problem: &crate::config::Problem| {
            let mut line = problem.origin.clone();
            if let (Some(row), Some(column)) = (problem.line, problem.column) {
                let _ = write!(line, ":{row}:{column}");
            }
            let _ = write!(line, ": {}", problem.message);
            if let Some(help) = problem.help.as_deref().and_then(|help| help.lines().next()) {
                let _ = write!(line, "; {help}");
            }
            line
        };
        problems.as_slice().iter().map(line).collect()
    }
}

/// What is another in the new configuration, a sentence each.
pub(super) fn differences(old: &Config, new: &Config) -> Vec<String> {
    let mut sentences = Vec::new();
    let find = |ranges: &'_ [RangePolicy], prefix: Ipv6Net| ranges.iter().position(|r| r.prefix == prefix);
    let (before, after) = (&old.policy.ranges, &new.policy.ranges);
    for range in after {
        match find(before, range.prefix).map(|at| &before[at]) {
            None => sentences.push(format!("range {} added", range.prefix)),
            Some(known) if known != range => sentences.push(format!("range {} changed", range.prefix)),
            Some(_) => {}
        }
    }
    for range in before.iter().filter(|range| find(after, range.prefix).is_none()) {
        sentences.push(format!("range {} removed", range.prefix));
    }
    for (is_other, what) in [
        (old.policy.upstreams != new.policy.upstreams, "upstreams changed"),
        (old.policy.suffixes != new.policy.suffixes, "ranges with a suffix changed"),
        (old.policy.routes != new.policy.routes, "[routes] changed"),
        (old.policy.timers != new.policy.timers, "[timers] changed"),
        (old.policy.limits != new.policy.limits, "[limits] changed"),
        (old.sysctl != new.sysctl, "[sysctl] changed"),
        (old.control != new.control, "[control] changed"),
        (old.log != new.log, "[log] changed"),
    ] {
        if is_other {
            sentences.push(what.to_owned());
        }
    }
    sentences
}

fn sentences(problems: &[engine::Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
