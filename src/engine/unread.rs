//! A table of our own that no rule names: what is put there leads nowhere.

use super::facts::KernelRule;
use super::policy::{Policy, RangeRoutes};

/// Our routes are in a table that nothing looks into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// Its number.
    pub table: u32,
}

/// The table of our routes, if there are any to be and no rule names it.
pub fn unread_table<'a>(policy: &Policy, mut rules: impl Iterator<Item = &'a KernelRule>) -> Option<Unread> {
    let table = policy.routes.table;
    let mut all = policy.ranges.iter().chain(&policy.suffixes);
    let has_routes = all.any(|range| range.routes != RangeRoutes::None);
    (has_routes && !rules.any(|rule| rule.table() == Some(table))).then_some(Unread { table })
}

impl Unread {
    /// What is wrong.
    pub fn sentence(&self) -> String {
        format!("no rule uses table {}, so the kernel ignores the routes that lone64 adds there", self.table)
    }

    /// The command that ends it: before the main table, so that a default route there does not decide first.
    pub fn remedy(&self) -> String {
        format!("ip -6 rule add pref 1064 lookup {}", self.table)
    }
}
