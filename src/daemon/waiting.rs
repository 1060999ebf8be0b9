//! What is waited for, in a few words: the service manager shows one line.

use std::collections::BTreeSet;

use super::Daemon;
use crate::engine::{Problem, RouteState};

impl Daemon {
    /// What is served and waited for at the start.
    pub(super) fn first_status_line(&self) -> String {
        self.waiting().into_iter().chain(self.idle()).chain(self.summary()).collect::<Vec<_>>().join("; ")
    }

    /// The same later.
    pub(super) fn status_line(&self) -> String {
        let (ranges, live) = (self.engine.policy().ranges.len(), self.engine.census().live);
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let counts = format!("{ranges} range{}, {live} guest{} live", plural(ranges), plural(live));
        let others: Vec<_> = self.engine.problems().iter().filter(|it| it.waits_for().is_none()).collect();
        let problem =
            others.first().map(|first| format!("{} problem{}: {first}", others.len(), plural(others.len())));
        self.waiting().into_iter().chain([counts]).chain(problem).collect::<Vec<_>>().join("; ")
    }

    /// "waiting for" everything that is; `None` if nothing is.
    fn waiting(&self) -> Option<String> {
        let kept_out = self.engine.count_routes(RouteState::Conflict);
        let routes = match kept_out {
            0 => None,
            1 => Some("a foreign route to go away".to_owned()),
            count => Some(format!("{count} foreign routes to go away")),
        };
        // One interface may be that of many ranges.
        let mut seen = BTreeSet::new();
        let problems = self.engine.problems().iter().filter_map(Problem::waits_for);
        let all: Vec<_> = problems.chain(routes).filter(|what| seen.insert(what.clone())).collect();
        let (told, left) = all.split_at(all.len().min(MOST_TOLD));
        let left = if left.is_empty() { String::new() } else { format!(" and {} more", left.len()) };
        (!told.is_empty()).then(|| format!("waiting for {}{left}", told.join(", ")))
    }
}

/// As many have a place in one line.
const MOST_TOLD: usize = 4;
