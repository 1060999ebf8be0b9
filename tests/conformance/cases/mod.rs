//! The clauses, in the order of the RFCs, each with what shows whether it is kept.
//!
//! A clause is here if it binds a node that answers for others, and if it can be seen from outside whether it is kept.
//! What concerns hosts that resolve for themselves, router discovery and redirects is not here; `tests/rfc4861` walks
//! through all of the sections.

mod answers;
mod guests;
mod silence;

use crate::bench::Bench;

/// How strongly it is asked (RFC 2119).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Must,
    Should,
    /// Said without one of these words.
    Said,
}

impl Level {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::Said => "",
        }
    }
}

/// What was seen.
pub(crate) enum Verdict {
    Kept,
    /// Why not.
    Broken(String),
    /// Why nothing was seen.
    Unseen(String),
}

/// One clause.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) section: &'static str,
    pub(crate) level: Level,
    /// What is expected, in a few words.
    pub(crate) about: &'static str,
    /// The words of the RFC; for RFC 4389, which describes a bridge, what its section means for a responder.
    pub(crate) clause: &'static str,
    pub(crate) judge: fn(&mut Bench) -> Verdict,
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    [answers::CASES, silence::CASES, guests::CASES].concat()
}
