//! What `check` says of ranges that are all of the upstream's own link: a /128 for each guest, and no route of the
//! range. Of a suffix the configuration alone tells that; of a prefix this host does.

use ipnet::Ipv6Net;

use crate::engine::policy::{Answer, Downstream, Policy, RangePolicy, RangeRoutes};
use crate::engine::{Engine, Problem};

/// The policy as it is on this host: the routes of a range that is all of a link are those of its guests.
pub fn as_here(written: &Policy, here: &Engine) -> Policy {
    let mut policy = written.clone();
    for range in &mut policy.ranges {
        let is_it = |other: &&RangePolicy| other.prefix == range.prefix;
        let effective = here.policy().ranges.iter().find(is_it);
        if let Some(effective) = effective.filter(|effective| effective.routes != range.routes) {
            range.routes = effective.routes;
            range.backstop = false;
        }
    }
    policy
}

/// A sentence for each range that is all of a link, or could be; `here` is the same policy as [`as_here`] has it.
pub fn notes(written: &Policy, here: &Policy) -> Vec<String> {
    let ranges = written.ranges.iter().zip(&here.ranges).map(|(written, here)| {
        let is_whole = written.routes != here.routes && here.routes == RangeRoutes::Guests;
        let could_be = written.prefix.prefix_len() <= 64 && !written.has_written_routes;
        (here, is_whole, could_be && here.routes == RangeRoutes::Range)
    });
    let suffixes = here.suffixes.iter().map(|suffix| (suffix, suffix.prefix == WHOLE, false));
    let mut notes = Vec::new();
    for (range, is_whole, could_be) in ranges.chain(suffixes) {
        let prefix = range.prefix;
        let is_behind = match &range.downstream {
            Downstream::Named(name) => !name.is_loopback(),
            Downstream::Matching(_) => true,
            Downstream::Kernel => false,
        };
        if !is_behind || range.answer == Answer::Always {
            continue;
        }
        if is_whole {
            notes.push(format!(
                "{prefix} contains the router or other hosts of the upstream's own link: each live guest gets a \
                 /128, and the range has no route and no backstop, so that this host still reaches them"
            ));
        } else if could_be {
            notes.push(format!(
                "{prefix} has one route; if it is the whole of the upstream's own link, each live guest gets a /128 \
                 instead"
            ));
        }
        if is_whole && !range.proxy_downstream {
            notes.push(format!(
                "guests of {prefix} that see the whole /64 as their own link get no answer for other hosts there, \
                 unless `proxy-downstream = true`; guests with a /128 and a link-local gateway do not need that"
            ));
        }
    }
    notes
}

/// What this host says of them that is a mistake.
pub fn problems(here: &Engine) -> Vec<String> {
    let is_ours =
        |problem: &&Problem| matches!(problem, Problem::RouteOverLink(..) | Problem::AlwaysOverLink(..));
    here.problems().iter().filter(is_ours).map(ToString::to_string).collect()
}

/// The /64 of an upstream, as suffixes have it.
const WHOLE: Ipv6Net = Ipv6Net::new_assert(core::net::Ipv6Addr::UNSPECIFIED, 64);
