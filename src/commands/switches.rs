//! What a configuration alone says about switches that snoop MLD: which guests they cannot be told of.

use crate::engine::Note;
use crate::engine::policy::{
    Answer, Mld, Policy, RangePolicy, UpstreamInterface, addresses_of, most_of_prefix,
};

/// A sentence for each range that is answered for as a whole and has more addresses than groups may be reported.
pub fn notes(policy: &Policy) -> Vec<String> {
    let most = policy.limits.groups;
    let is_too_wide = |range: &&RangePolicy| {
        range.answer == Answer::Always
            && addresses_of(&range.prefix) > most_of_prefix(most) as u128
            && reports(range, policy)
    };
    let ranges = policy.ranges.iter().chain(&policy.suffixes).filter(is_too_wide);
    ranges.map(|range| Note::TooWideForGroups(range.prefix, most).to_string()).collect()
}

/// Whether its groups would be reported, and no multicast router is advertised, on the upstream that it names; without a
/// name it may be any.
fn reports(range: &RangePolicy, policy: &Policy) -> bool {
    let is_its = |interface: &UpstreamInterface| match (&range.upstream, interface) {
        (Some(name), UpstreamInterface::Named(other)) => name == other,
        (None, _) | (Some(_), UpstreamInterface::DefaultRoute) => true,
    };
    let mut upstreams = policy.upstreams.iter().filter(|upstream| is_its(&upstream.interface));
    upstreams.any(|upstream| upstream.mld == Mld::Reports)
}
