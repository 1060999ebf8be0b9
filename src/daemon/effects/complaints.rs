//! What is told of failures: once, until what failed succeeds.

use super::super::Error;
use super::{Effects, Mode, Object};

impl Effects {
    /// An interface that goes takes its groups along; the engine hears of it in a moment. No other failure is a
    /// reason not to start: switches that do not snoop pass everything on.
    pub(super) fn succeeded(&mut self, object: Object) {
        self.complaints.remove(&object);
    }

    pub(super) fn failed(&mut self, object: Object, error: Error) {
        let is_last = match self.mode {
            Mode::Starting => error.is_of_privilege(),
            Mode::Serving => false,
            Mode::Leaving => matches!(object, Object::Table | Object::GuardTables | Object::Program(_)),
        };
        if is_last {
            self.failure.get_or_insert(error);
        } else {
            self.complain(object, &error);
        }
    }

    /// A line of the log, once until it succeeds: what asked for it tries again.
    fn complain(&mut self, object: Object, error: &Error) {
        let text = crate::explanation::of(error);
        let text = text.strip_prefix("lone64: ").unwrap_or(&text);
        if self.complaints.len() < MOST_COMPLAINTS && self.complaints.insert(object) {
            tracing::warn!("{text}");
        } else {
            tracing::debug!("{text}");
        }
    }
}

/// Objects that were complained of, at most: interfaces come and go as often as guests like.
const MOST_COMPLAINTS: usize = 4_096;
