//! Chains before and behind routing may drop too, and nobody looks for it there.

use super::forward;
use crate::doctor::firewall::Hook;
use crate::doctor::{Check, Finding, Group, Host};

/// The check.
pub static CHECK: Check = Check {
    name: "prerouting-filter",
    group: Group::Path,
    asks: "nothing drops guests' packets before or behind routing (raw, mangle)",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    forward::findings(host, &[Hook::Prerouting, Hook::Postrouting])
}
