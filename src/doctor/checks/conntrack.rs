//! The table of connections: when it is full, the first packet of each new one is thrown away.

use crate::doctor::{Check, Finding, Group, Host};

/// The check.
pub static CHECK: Check = Check {
    name: "conntrack",
    group: Group::Host,
    asks: "the table of tracked connections has room",
    examine,
};

const COUNT: &str = "net/netfilter/nf_conntrack_count";
const MOST: &str = "net/netfilter/nf_conntrack_max";

fn examine(host: &Host) -> Vec<Finding> {
    let number = |key: &str| host.setting(key).and_then(|text| text.parse::<u64>().ok());
    let (Some(count), Some(most)) = (number(COUNT), number(MOST)) else { return Vec::new() };
    // Zero is no limit.
    if most == 0 || count * 10 < most * 9 {
        return Vec::new();
    }
    let sentence = format!(
        "the table of tracked connections is full or nearly so, {count} of {most}: then the kernel drops what begins a \
         new one, for guests and host"
    );
    let wanted = (most * 4).max(65_536).next_power_of_two();
    vec![
        Finding::fault(sentence)
            .seen(format!("{COUNT} = {count}, {MOST} = {most}"))
            .set(MOST, wanted.to_string()),
    ]
}
