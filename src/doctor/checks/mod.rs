//! The checks, one file for each subject.

pub mod addresses;
mod allowed_ips;
mod backend;
mod conntrack;
mod default_route;
mod downstreams;
pub mod forwarding;
mod gateway_addresses;
mod guarded;
pub mod guests;
mod heard;
mod in_force;
mod ipv6_disabled;
mod keepers;
mod kernel;
mod limits;
mod lines;
mod lookups;
mod metrics;
mod named_guests;
mod neighbor_table;
mod networkd;
mod on_link;
mod other_responders;
pub mod path;
mod privileges;
mod provider;
mod reserved;
mod running;
mod serving;
mod shared_prefix;
mod sysctl_files;
mod tables;
mod unserved;
mod unsolicited;
mod upstream;

use super::Check;

/// Every check, in the order of the report.
pub static ALL: &[&Check] = &[
    &kernel::CHECK,
    &privileges::CHECK,
    &limits::CHECK,
    &sysctl_files::CHECK,
    &forwarding::CHECK,
    &neighbor_table::CHECK,
    &conntrack::CHECK,
    // Before whatever follows from it: gateways and guests that do not answer.
    &path::neighbor_discovery::CHECK,
    &path::programs::CHECK,
    &unsolicited::CHECK,
    &upstream::CHECK,
    &ipv6_disabled::CHECK,
    &addresses::CHECK,
    &default_route::CHECK,
    &on_link::CHECK,
    &downstreams::CHECK,
    &gateway_addresses::CHECK,
    &shared_prefix::CHECK,
    &reserved::CHECK,
    &tables::CHECK,
    &lookups::CHECK,
    &guests::WAYS,
    &allowed_ips::CHECK,
    &heard::MASKS,
    &named_guests::CHECK,
    &guests::REPLIES,
    &unserved::CHECK,
    &path::unread::CHECK,
    &path::upstream_bridge::CHECK,
    &path::forward::CHECK,
    &path::prerouting::CHECK,
    &path::reverse_path::CHECK,
    &path::masquerade::CHECK,
    &path::packet_too_big::CHECK,
    &path::bridge_filter::CHECK,
    &path::bridged::CHECK,
    &path::guests_bridges::DELAY,
    &path::guests_bridges::MAC,
    &path::snooping::CHECK,
    &path::reports::CHECK,
    &other_responders::CHECK,
    &heard::RIVALS,
    &provider::CHECK,
    &networkd::ADVERTISEMENTS,
    &provider::ADMITTED,
    &networkd::CHECK,
    // What the others have found may be the cause of these.
    &running::CHECK,
    &in_force::CHECK,
    &named_guests::FILES,
    &backend::CHECK,
    &metrics::CHECK,
    &guarded::CHECK,
    &serving::CHECK,
];
