//! What is served, in lines for the log and the service manager.

use super::Daemon;
use crate::engine::bindings::Place;
use crate::engine::facts::IfIndex;
use crate::engine::policy::{Downstream, Origin, RangePolicy};

impl Daemon {
    /// How many interfaces are listened to for their guests.
    pub fn downstreams(&self) -> usize {
        self.engine.bindings().ranges.iter().map(|place| place.downstreams.len()).sum()
    }

    /// What is served, a line for each range. What is waited for has been told.
    pub fn summary(&self) -> Vec<String> {
        let bindings = self.engine.bindings();
        let name = |link: Option<IfIndex>| {
            link.and_then(|link| self.engine.links().get(link)).map(|link| link.name.to_string())
        };
        let ranges = &self.engine.policy().ranges;
        if ranges.is_empty() {
            let upstreams = bindings.upstreams.iter().filter_map(|upstream| name(Some(upstream.link)));
            let upstreams: Vec<_> = upstreams.collect();
            if upstreams.is_empty() {
                return Vec::new();
            }
            let nothing = "nothing to serve yet: no range follows from the addresses and routes of";
            return vec![format!("{nothing} {}", upstreams.join(", "))];
        }
        let line = |(range, place): (&RangePolicy, &Place)| {
            let is_there = !matches!(range.downstream, Downstream::Named(_)) || !place.downstreams.is_empty();
            if !is_there || place.upstream.is_none() && range.needs_upstream() {
                return None;
            }
            let on = name(place.upstream).map(|name| format!(" on {name}")).unwrap_or_default();
            let RangePolicy { prefix, downstream, answer, .. } = range;
            let origin = match range.origin {
                Origin::Config => String::new(),
                origin => format!(", {}", origin.as_str()),
            };
            Some(format!("serving {prefix}{on} for {downstream} ({answer}{origin})"))
        };
        let mut lines: Vec<_> = ranges.iter().zip(&bindings.ranges).filter_map(line).collect();
        if lines.len() > SUMMARY {
            let left = lines.split_off(SUMMARY).len();
            lines.push(format!("and {left} more"));
        }
        lines
    }
}

/// As many ranges have a line each; automatic may serve thousands.
const SUMMARY: usize = 32;
