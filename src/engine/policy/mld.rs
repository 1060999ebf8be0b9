//! What switches are told, so that solicitations for guests come through.

use serde::{Deserialize, Serialize};

/// How switches that snoop MLD learn to pass solicitations on (RFC 4541 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Mld {
    /// They do not.
    No,
    /// The solicited-node groups of live targets are reported.
    #[default]
    Reports,
    /// These are, and a multicast router is advertised (RFC 4286): a switch that knows this passes everything on.
    Router,
}

impl Mld {
    /// Whether groups are reported.
    pub const fn reports(self) -> bool {
        !matches!(self, Self::No)
    }
}
