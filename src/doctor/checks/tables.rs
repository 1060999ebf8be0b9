//! Whether the table of our routes is looked into: without a rule that names it, nothing there leads anywhere.

use crate::doctor::{Check, Finding, Group, Host};
use crate::engine::unread_table;

/// The check.
pub static CHECK: Check =
    Check { name: "tables", group: Group::Ranges, asks: "a rule names the table of our routes", examine };

fn examine(host: &Host) -> Vec<Finding> {
    let Some(unread) = unread_table(host.engine.policy(), host.engine.rules()) else { return Vec::new() };
    if host.ranges().all(|(range, _)| host.reaches(range)) {
        return Vec::new();
    }
    let finding =
        Finding::fault(unread.sentence()).seen(format!("ip -6 rule: nothing looks up {}", unread.table));
    vec![finding.run(unread.remedy())]
}
