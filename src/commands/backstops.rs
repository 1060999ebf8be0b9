//! What a configuration alone says about backstops: where there is none, and where that depends on the host.

use ipnet::Ipv6Net;

use crate::engine::policy::{Downstream, Policy, RangePolicy, RoutePolicy};

/// True if the range has no backstop on any host, although none is refused.
pub fn is_without(range: &RangePolicy, policy: &Policy) -> bool {
    range.backstop && (range.may_be_translated() || is_part_of_whole(range, &policy.suffixes, WHOLE))
}

/// A sentence for each range whose backstop is not there, or not always.
pub fn notes(policy: &Policy) -> Vec<String> {
    let mut notes = Vec::new();
    // Where the host owns all of it there is nothing to guard.
    let is_own = |range: &RangePolicy| matches!(&range.downstream, Downstream::Named(n) if n.is_loopback());
    let guarded = |range: &&RangePolicy| range.backstop && !is_own(range);
    for range in policy.ranges.iter().chain(&policy.suffixes).filter(guarded) {
        let prefix = range.prefix;
        if range.may_be_translated() {
            notes.push(format!(
                "no backstop for {prefix}: it has no interface, and lone64 answers for all of it, so its addresses \
                 may be translated, and this host must still reach them"
            ));
        } else if is_part_of_whole(range, &policy.suffixes, WHOLE) {
            notes.push(format!(
                "no backstop for {prefix}: it would cover the upstream's own link, alone or together with other \
                 ranges"
            ));
        } else if is_part_of_whole(range, &policy.ranges, slash_64(prefix)) {
            notes.push(format!(
                "no backstop for {prefix} if an address, the router or an on-link prefix of an upstream is inside it"
            ));
        }
    }
    let table = policy.routes.table;
    let is_main = table == RoutePolicy::default().table;
    if !is_main && policy.ranges.iter().chain(&policy.suffixes).any(|range| guarded(&range)) {
        notes.push(format!(
            "no backstop in table {table} as long as the upstream's own prefix is not in that table"
        ));
    }
    notes
}

/// Whether the range, alone or with the others, covers all of `whole`.
fn is_part_of_whole(range: &RangePolicy, all: &[RangePolicy], whole: Ipv6Net) -> bool {
    let is_there = all.iter().any(|other| other.prefix == range.prefix && other.origin == range.origin);
    let meant: Vec<_> = all.iter().filter(|other| other.backstop).map(|other| other.prefix).collect();
    let is_inner = meant.iter().any(|other| *other != range.prefix && other.contains(&range.prefix));
    is_there && !is_inner && Ipv6Net::aggregate(&meant).iter().any(|prefix| prefix.contains(&whole))
}

/// The link that a prefix is a part of, or the first one in it.
fn slash_64(prefix: Ipv6Net) -> Ipv6Net {
    Ipv6Net::new_assert(prefix.network(), 64).trunc()
}

/// The /64 of an upstream, as suffixes have it.
const WHOLE: Ipv6Net = Ipv6Net::new_assert(core::net::Ipv6Addr::UNSPECIFIED, 64);
