//! Suppression: which unicast solicitations the kernel is kept from.
//!
//! A router confirms its neighbors by unicast (RFC 4861 §7.3.1). The kernel takes such a solicitation
//! for a packet on its way to the guest: a global asker's is forwarded with a hop limit that makes it
//! invalid, a link-local asker's is refused with an ICMPv6 error. We answer all of them, so nothing is lost if
//! the kernel never sees them.

use ipnet::Ipv6Net;

use crate::engine::change::{Fate, Suppression};
use crate::engine::host::Host;
use crate::engine::plan::Plan;
use crate::engine::plan::bindings::Upstream;
use crate::engine::policy::Answer;

/// What is to be suppressed on every upstream that asks for it.
pub fn wanted(plan: &Plan, host: &Host) -> Vec<Suppression> {
    let upstreams = plan.bindings.upstreams.iter().filter(|upstream| upstream.suppress_kernel);
    upstreams.filter_map(|upstream| on(upstream, plan, host)).collect()
}

fn on(upstream: &Upstream, plan: &Plan, host: &Host) -> Option<Suppression> {
    let mut fates = Vec::new();
    for (range, place) in plan.served() {
        let is_ours = place.upstream == Some(upstream.link) && range.answer != Answer::Never;
        fates.push((range.prefix, if is_ours { Fate::Drop } else { Fate::Keep }));
        // An exclusion holds in its own range, not in a longer one that lies around or inside it.
        let own = |net: &&Ipv6Net| {
            let inner = plan.policy.ranges.iter().map(|other| other.prefix);
            !inner
                .into_iter()
                .any(|other| range.prefix.contains(&other) && range.prefix != other && other.contains(*net))
        };
        fates.extend(range.exclude.iter().filter(own).map(|net| (*net, Fate::Keep)));
    }
    // "a valid unicast or anycast address assigned to the receiving interface" (RFC 4861 §7.2.3)
    // is for the kernel to answer.
    let own = host.links.addresses_of(upstream.link).map(|address| Ipv6Net::from(address.address));
    let own = own.filter(|address| plan.find(address.addr()).is_some());
    fates.extend(own.map(|address| (address, Fate::Keep)));
    // The longest prefix first, and of two that are alike the one that keeps: an exclusion of the
    // whole range, or the upstream's own address.
    fates.sort_by_key(|(prefix, fate)| (128 - prefix.prefix_len(), *prefix, *fate == Fate::Drop));
    fates.dedup_by_key(|(prefix, _)| *prefix);
    let dropped: Vec<_> = fates.iter().filter(|(_, fate)| *fate == Fate::Drop).map(|(net, _)| *net).collect();
    fates.retain(|(prefix, _)| dropped.iter().any(|net| net.contains(prefix)));
    (!fates.is_empty()).then_some(Suppression { link: upstream.link, fates })
}
