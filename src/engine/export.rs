//! What others may look at: totals, and pages of what there may be very much of.
//!
//! Nothing here is on the way of a question; a page costs one look at each target, and memory for
//! itself only.

use core::net::Ipv6Addr;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use super::liveness::{Kind, Liveness, State};

pub use super::liveness::{Place, Standing, Transition, Why};
pub use super::manners::sources::Notable;

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

/// A target, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What is known of it.
    pub state: State,
    /// How many questions for it were answered since something is known of it.
    pub answered: u32,
}

/// How many targets there are.
pub fn census(targets: &Liveness) -> Census {
    Census {
        live: targets.count(Kind::Live) + targets.count(Kind::Announced),
        probing: targets.count(Kind::Probing),
        absent: targets.count(Kind::Absent),
    }
}

/// The first `limit` targets behind `after`, in the order of their addresses.
pub fn page(
    targets: &Liveness,
    which: Which,
    after: Option<Ipv6Addr>,
    limit: usize,
) -> Vec<(Ipv6Addr, Target)> {
    let is_meant = |(address, is_live): &(Ipv6Addr, bool)| {
        (*is_live || which == Which::All) && after.is_none_or(|after| *address > after)
    };
    let addresses = first(targets.addresses().filter(is_meant).map(|(address, _)| address), limit);
    let target = |address| {
        let state = targets.get(address)?;
        Some((address, Target { state, answered: targets.answered(address) }))
    };
    addresses.into_iter().filter_map(target).collect()
}

/// The first `limit` of all, in order.
pub fn first<T: Ord>(all: impl Iterator<Item = T>, limit: usize) -> Vec<T> {
    // The greatest is on top, so that one look decides whether another belongs to the page.
    let mut page = BinaryHeap::new();
    for one in all {
        if page.len() < limit || page.peek().is_some_and(|last| one < *last) {
            page.push(one);
            if page.len() > limit {
                page.pop();
            }
        }
    }
    page.into_sorted_vec()
}
