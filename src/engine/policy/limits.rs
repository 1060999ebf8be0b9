//! How many there may be of everything that strangers can make more of.

use serde::{Deserialize, Serialize};

/// How many there may be; every limit is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Targets known at once, in whatever state.
    pub targets: usize,
    /// Targets being probed at once.
    pub pending: usize,
    /// Probes sent per second, over all downstreams.
    pub probes_per_second: u32,
    /// Targets announced per second, over all upstreams.
    pub announcements_per_second: u32,
    /// Multicast groups reported on one upstream: switches have room for some thousands.
    pub groups: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let (probes_per_second, announcements_per_second) = (8_000, 100);
        Self { targets: 65_536, pending: 4_096, probes_per_second, announcements_per_second, groups: 1_024 }
    }
}
