//! Suppression: which unicast solicitations the kernel is kept from.
//!
//! A router confirms its neighbors by unicast (RFC 4861 §7.3.1). The kernel takes such a solicitation
//! for a packet on its way to the guest: a global asker's is forwarded with a hop limit that makes it
//! invalid, a link-local asker's is refused with an ICMPv6 error (facts.md, kernel 2). We answer all of
//! them, so nothing is lost if the kernel never sees them.

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::bindings::Upstream;
use super::facts::IfIndex;
use super::policy::Answer;
use super::{Engine, Output};

/// What becomes of the unicast solicitations that arrive on one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// The upstream.
    pub link: IfIndex,
    /// By destination, each prefix once; the first that matches decides. What matches none is kept.
    pub fates: Vec<(Ipv6Net, Fate)>,
}

/// Whether the kernel sees a solicitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It does not: we answer.
    Drop,
    /// It does: we do not answer.
    Keep,
}

impl Engine {
    /// What is served has changed, or the upstreams, or their addresses.
    pub(super) fn settle_suppression(&mut self) {
        let upstreams = self.bindings.upstreams.iter().filter(|upstream| upstream.suppress_kernel);
        let wanted: Vec<_> = upstreams.filter_map(|upstream| self.suppression(upstream)).collect();
        if wanted != self.suppressed {
            self.suppressed.clone_from(&wanted);
            self.outputs.push_back(Output::Suppress(wanted));
        }
    }

    /// The kernel gets everything again.
    pub(super) fn end_suppression(&mut self) {
        if !std::mem::take(&mut self.suppressed).is_empty() {
            self.outputs.push_back(Output::Suppress(Vec::new()));
        }
    }

    fn suppression(&self, upstream: &Upstream) -> Option<Suppression> {
        let mut fates = Vec::new();
        for (range, place) in self.policy.ranges.iter().zip(&self.bindings.ranges) {
            let is_ours = place.upstream == Some(upstream.link) && range.answer != Answer::Never;
            fates.push((range.prefix, if is_ours { Fate::Drop } else { Fate::Keep }));
            // An exclusion holds in its own range, not in a longer one that lies around or inside it.
            let own = |net: &&Ipv6Net| {
                let inner = self.policy.ranges.iter().map(|other| other.prefix);
                !inner.into_iter().any(|other| {
                    range.prefix.contains(&other) && range.prefix != other && other.contains(*net)
                })
            };
            fates.extend(range.exclude.iter().filter(own).map(|net| (*net, Fate::Keep)));
        }
        // "a valid unicast or anycast address assigned to the receiving interface" (RFC 4861 §7.2.3)
        // is for the kernel to answer.
        let own = self.links.addresses_of(upstream.link).map(|address| Ipv6Net::from(address.address));
        let own = own.filter(|address| self.ranges.find(address.addr()).is_some());
        fates.extend(own.map(|address| (address, Fate::Keep)));
        // The longest prefix first, and of two that are alike the one that keeps: an exclusion of the
        // whole range, or the upstream's own address.
        fates.sort_by_key(|(prefix, fate)| (128 - prefix.prefix_len(), *prefix, *fate == Fate::Drop));
        fates.dedup_by_key(|(prefix, _)| *prefix);
        let dropped: Vec<_> =
            fates.iter().filter(|(_, fate)| *fate == Fate::Drop).map(|(net, _)| *net).collect();
        fates.retain(|(prefix, _)| dropped.iter().any(|net| net.contains(prefix)));
        if fates.is_empty() {
            return None;
        }
        Some(Suppression { link: upstream.link, fates })
    }
}
