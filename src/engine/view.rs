//! What others may look at: totals, and pages of what there may be very much of.
//!
//! Nothing here is on the way of a question; a page costs one look at each target, and memory for
//! itself only.

use core::net::Ipv6Addr;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::facts::{IfIndex, KernelRoute};
use super::policy::Policy;
use super::routes::RouteState;
use super::targets::{State, Target};
use super::{Bindings, Problem};

/// How many targets there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// Those that exist.
    pub live: usize,
    /// Those that are being asked for.
    pub probing: usize,
    /// Those that did not reply a moment ago.
    pub absent: usize,
}

/// Which targets are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All that something is known of.
    All,
    /// Those that exist.
    Live,
}

/// Whether every question is told of, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Watch {
    /// Changes only.
    #[default]
    Changes,
    /// Questions, too.
    Questions,
}

impl Engine {
    /// How many targets there are.
    pub fn census(&self) -> Census {
        self.targets.census()
    }

    /// The first `limit` targets behind `after`, in the order of their addresses.
    pub fn target_page(
        &self,
        which: Which,
        after: Option<Ipv6Addr>,
        limit: usize,
    ) -> Vec<(Ipv6Addr, &Target)> {
        let after = after.map(Ipv6Addr::to_bits);
        // The greatest is on top, so that one look decides whether an address belongs to the page.
        let mut page = BinaryHeap::with_capacity(limit.min(self.targets.len()) + 1);
        for (address, state) in self.targets.iter() {
            let is_meant = which == Which::All || matches!(state, State::Live(_));
            let address = address.to_bits();
            let is_near = page.len() < limit || page.peek().is_some_and(|last| address < *last);
            if is_meant && is_near && after.is_none_or(|after| address > after) {
                page.push(address);
                if page.len() > limit {
                    page.pop();
                }
            }
        }
        let addresses = page.into_sorted_vec().into_iter().map(Ipv6Addr::from_bits);
        addresses.filter_map(|address| Some((address, self.targets.target(address)?))).collect()
    }

    /// How many of the routes that we want are in this state.
    pub fn count_routes(&self, state: RouteState) -> usize {
        self.routes().filter(|(_, known)| *known == state).count()
    }

    /// The default routes of the main table.
    pub fn default_routes(&self) -> impl Iterator<Item = &KernelRoute> {
        self.routes.defaults()
    }

    /// The interfaces that are upstreams at this moment.
    pub fn upstream_links(&self) -> impl Iterator<Item = IfIndex> {
        self.bindings.upstreams.iter().map(|upstream| upstream.link)
    }

    /// What would be missing on this host, were this the policy, and how many ranges it would have.
    pub fn problems_of(&self, policy: &Policy) -> (Vec<Problem>, usize) {
        let defaults = self.routes.default_links();
        let resolve = |policy: &Policy| Bindings::resolve(policy, &self.links, &defaults, &self.bindings);
        let effective = policy.derive(self.host(&resolve(policy)));
        let count = effective.ranges.len();
        let next = Policy { ranges: effective.ranges, ..policy.clone() };
        let mut problems = resolve(&next).problems;
        problems.extend(effective.problems);
        (problems, count)
    }
}
