//! What switches are told, so that solicitations for guests come through.

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::Policy;

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

impl Policy {
    /// Whether a range that both have is answered for in the same way, as many groups may be reported for it, and there is
    /// room for as many guests.
    pub fn serves_like(&self, other: &Self) -> bool {
        let limits = |policy: &Self| (policy.limits.groups, policy.limits.targets);
        self.upstreams == other.upstreams && limits(self) == limits(other)
    }
}

/// How many addresses a prefix has; more than fit are as many as fit.
pub fn addresses_of(prefix: &Ipv6Net) -> u128 {
    1_u128.checked_shl(u32::from(128 - prefix.prefix_len())).unwrap_or(u128::MAX)
}

/// As many addresses of one prefix have a group each, where so many groups may be reported on a link: more than 4,096
/// would take longer than one turn of the engine may.
pub fn most_of_prefix(groups: usize) -> usize {
    groups.min(4_096)
}
