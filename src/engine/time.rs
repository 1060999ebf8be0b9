//! A moment, as the engine counts it: an argument, never read from a clock.

use std::ops::Add;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Microseconds since an origin that the caller chose, and that never moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time(u64);

impl Time {
    /// The origin.
    pub const ORIGIN: Self = Self(0);

    /// The moment at this distance from the origin.
    pub fn at(distance: Duration) -> Self {
        Self::ORIGIN + distance
    }

    /// The next moment that can be told from this one.
    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The same in steps of some sixteen milliseconds, for two years.
    pub(super) fn coarse(self) -> u32 {
        u32::try_from(self.0 >> COARSE).unwrap_or(u32::MAX)
    }

    /// The beginning of this step.
    pub(super) fn from_coarse(step: u32) -> Self {
        Self(u64::from(step) << COARSE)
    }

    /// How long ago `earlier` was; zero if it is still to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

const COARSE: u32 = 14;
