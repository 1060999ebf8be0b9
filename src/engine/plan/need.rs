//! Which upstreams something is done on. A range that is never answered has routes only: it is served where there is
//! no upstream at all, and nothing about an upstream is a problem of it.

use crate::engine::policy::{Answer, GatewaySource, Policy, RangePolicy, UpstreamInterface, UpstreamPolicy};

impl RangePolicy {
    /// Whether it is served on an upstream: its guests are answered for there, or the neighbors there for its guests.
    pub fn needs_upstream(&self) -> bool {
        self.answer != Answer::Never || self.proxy_downstream
    }
}

impl Policy {
    /// Whether something is done on this upstream.
    pub fn needs(&self, upstream: &UpstreamPolicy) -> bool {
        let may_be_there = |range: &RangePolicy| match range.upstream {
            None => true,
            Some(name) => upstream.interface == UpstreamInterface::Named(name),
        };
        upstream.automatic.is_some()
            || upstream.gateway_source == GatewaySource::Global
            // Without its /64 there is no range.
            || self.suffixes.iter().any(may_be_there)
            || self.ranges.iter().any(|range| range.needs_upstream() && may_be_there(range))
    }

    /// Whether something is done on any.
    pub fn needs_upstream(&self) -> bool {
        self.upstreams.iter().any(|upstream| self.needs(upstream))
    }
}
