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

    /// That nothing is served, if it is so, with what helps.
    pub fn idle(&self) -> Option<String> {
        let idle = self.engine.idle()?;
        // Its last words are "a [[range]]".
        let keys = idle.lines().map(|lines| lines.lines().skip(1).collect::<Vec<_>>().join(", "));
        Some(keys.map_or_else(|| idle.to_string(), |keys| format!("{idle} with {keys}")))
    }

    /// What is served, a line for each range. What is waited for has been told.
    pub fn summary(&self) -> Vec<String> {
        let bindings = self.engine.bindings();
        let name = |link: Option<IfIndex>| {
            link.and_then(|link| self.engine.links().get(link)).map(|link| link.name.to_string())
        };
        let ranges = &self.engine.policy().ranges;
        let line = |(range, place): (&RangePolicy, &Place)| {
            let is_there = !matches!(range.downstream, Downstream::Named(_)) || !place.downstreams.is_empty();
            if !is_there || place.upstream.is_none() && range.needs_upstream() {
                return None;
            }
            let on = name(place.upstream).map(|name| format!(" on {name}")).unwrap_or_default();
            let RangePolicy { prefix, downstream, answer, .. } = range;
            let standby = if range.standby { ", standby" } else { "" };
            let origin = match range.origin {
                Origin::Config => String::new(),
                origin => format!(", {}", origin.as_str()),
            };
            Some(format!("serving {prefix}{on} for {downstream} ({answer}{standby}{origin})"))
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
