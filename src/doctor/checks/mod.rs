//! The checks, one file for each subject.

mod forwarding;
mod other_responders;
mod path;

use super::Check;

/// Every check, in the order of the report.
pub static ALL: &[&Check] = &[
    &forwarding::CHECK,
    &path::unread::CHECK,
    &path::upstream_bridge::CHECK,
    &path::forward::CHECK,
    &path::prerouting::CHECK,
    &path::reverse_path::CHECK,
    &path::masquerade::CHECK,
    &path::packet_too_big::CHECK,
    &path::neighbour_discovery::CHECK,
    &path::bridge_filter::CHECK,
    &path::bridged::CHECK,
    &path::snooping::CHECK,
    &other_responders::CHECK,
];
