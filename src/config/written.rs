//! Which keys of a table were written, and where.
//!
//! May touch: nothing.

use super::problem::Place;

/// Each key with its place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Written(Vec<(&'static str, Place)>);

impl Written {
    /// Where this key was written; none where it has its default.
    pub(super) fn place(&self, key: &str) -> Option<&Place> {
        self.0.iter().rev().find(|(name, _)| *name == key).map(|(_, place)| place)
    }
}

/// Of a key that is written again, the last place counts.
impl Extend<(&'static str, Place)> for Written {
    fn extend<I: IntoIterator<Item = (&'static str, Place)>>(&mut self, written: I) {
        self.0.extend(written);
    }
}
