//! One table of neighbors serves the whole host; when it is full, nobody new can be reached.

use crate::doctor::{Check, Finding, Group, Host};
use crate::engine::facts::NeighborState;

/// The check.
pub static CHECK: Check = Check {
    name: "neighbor-table",
    group: Group::Host,
    asks: "the kernel's neighbor table has room for the guests",
    examine,
};

const LIMIT: &str = "net/ipv6/neigh/default/gc_thresh3";
const EAGER: &str = "net/ipv6/neigh/default/gc_thresh2";

fn examine(host: &Host) -> Vec<Finding> {
    let setting = |key: &str| host.setting(key).and_then(|text| text.parse::<usize>().ok());
    let Some(limit) = setting(LIMIT) else { return Vec::new() };
    // Those that an administrator made, or that need no asking, do not count.
    let counts = |state: NeighborState| !matches!(state, NeighborState::Permanent | NeighborState::Noarp);
    let used = host.neighbors.iter().filter(|neighbor| counts(neighbor.state)).count();
    let downstreams = host.downstreams().len();
    let finding = if used * 10 >= limit * 9 {
        let sentence = format!(
            "the kernel's neighbor table is full or nearly so: {used} of {limit} entries are taken in this \
             namespace alone, and then neither guests nor the gateway can be resolved"
        );
        Finding::fault(sentence)
    } else if limit < 4 * downstreams {
        // Guests that are containers have an entry for the host, in the same table.
        Finding::warning(format!(
            "the kernel's neighbor table holds {limit} entries, too few for guests on {downstreams} \
             interfaces, who then seem to be gone"
        ))
    } else {
        return Vec::new();
    };
    let needed = (8 * downstreams).max(4 * used).max(4096).next_power_of_two();
    let mut finding = finding.seen(format!("{LIMIT} = {limit}")).set(LIMIT, needed.to_string());
    // From here on the kernel sweeps at every new entry.
    if setting(EAGER).is_some_and(|eager| eager < needed / 2) {
        finding = finding.set(EAGER, (needed / 2).to_string());
    }
    vec![finding]
}
