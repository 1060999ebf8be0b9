//! What a configuration said, in lone64's words, before it is known whether all of it fits.

use std::time::Duration;

use ipnet::Ipv6Net;

use super::Note;
use crate::engine::facts::IfName;
use crate::engine::policy::Answer;

/// What a whole configuration said.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// Whose it was.
    pub(super) from: &'static str,
    /// What is said once for the file.
    pub(super) preface: &'static str,
    /// Whether every rule that covers a target had its say, and not only the longest.
    pub(super) overlap: Overlap,
    pub(super) notes: Vec<Note>,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) timers: Timers,
}

/// What happens to a target that several ranges cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    /// One of them decides.
    One,
    /// It is answered for if any of them would.
    All,
}

/// Where solicitations arrived.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub(super) interface: IfName,
    /// Where it was written.
    pub(super) place: Note,
    pub(super) router: Router,
    pub(super) notes: Vec<Note>,
    pub(super) ranges: Vec<Range>,
}

/// The R flag of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Router {
    Set,
    Clear,
}

/// What was answered for.
#[derive(Debug, Clone)]
pub(super) struct Range {
    pub(super) prefix: Ipv6Net,
    /// Where it was written.
    pub(super) place: Note,
    /// Empty: by the kernel's routes.
    pub(super) interfaces: Vec<IfName>,
    pub(super) answer: Answer,
    pub(super) routes: Routes,
    pub(super) exclude: Vec<Ipv6Net>,
    /// Guests are answered on their own link, too.
    pub(super) proxy_downstream: bool,
    pub(super) notes: Vec<Note>,
}

/// Who made the routes to the guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Routes {
    /// Somebody else.
    Foreign,
    /// The responder: one for each live guest.
    Guests,
}

/// Timers that were set on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Timers {
    pub(super) reachable: Option<Duration>,
    pub(super) retransmit: Option<Duration>,
    pub(super) retries: Option<u8>,
    pub(super) absent: Option<Duration>,
}

impl Draft {
    /// Every note, in the order of the file; those about the whole of it first.
    pub(super) fn all_notes(&self) -> Vec<Note> {
        let ranges = self.upstreams.iter().flat_map(|upstream| &upstream.ranges);
        let mut notes: Vec<Note> = self
            .notes
            .iter()
            .chain(self.upstreams.iter().flat_map(|upstream| &upstream.notes))
            .chain(ranges.flat_map(|range| &range.notes))
            .cloned()
            .collect();
        notes.sort();
        notes
    }
}

impl Range {
    /// One whose guests are found by the kernel's routes.
    pub(super) fn new(prefix: Ipv6Net, answer: Answer, place: Note) -> Self {
        Self {
            prefix: prefix.trunc(),
            place,
            interfaces: Vec::new(),
            answer,
            routes: Routes::Foreign,
            exclude: Vec::new(),
            proxy_downstream: false,
            notes: Vec::new(),
        }
    }

    /// Whether it was for every address there is, as far as it exists: that is all of the upstream's /64.
    pub(super) fn is_whole_link(&self) -> bool {
        self.prefix.prefix_len() == 0 && (self.answer == Answer::Live || self.exclude.is_empty())
    }

    /// The same, wherever the kernel's routes lead.
    pub(super) fn is_automatic(&self) -> bool {
        self.is_whole_link() && self.answer == Answer::Live && self.interfaces.is_empty()
    }

    /// From now on every address of it is answered: there is nobody to look for any more.
    pub(super) fn answer_always(&mut self) {
        self.answer = Answer::Always;
        self.interfaces.clear();
        self.routes = Routes::Foreign;
    }
}
