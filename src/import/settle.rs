//! A draft made into one that lone64 accepts, with a note for whatever that takes.
//!
//! lone64 tells upstreams from downstreams, serves each prefix once, and lets the longest prefix that
//! covers a target decide. Others let every interface be both, and every rule have its say.

use std::collections::{HashMap, HashSet};

use ipnet::Ipv6Net;

use super::Note;
use super::draft::{Draft, Overlap, Range, Upstream};
use crate::config;
use crate::engine::facts::IfName;
use crate::engine::policy::{Answer, IfPattern};

/// The draft as it can be written.
pub(super) fn settle(mut draft: Draft) -> Draft {
    for upstream in &mut draft.upstreams {
        leave_out_unservable(upstream, &mut draft.notes);
        merge_same_prefixes(upstream);
    }
    merge_same_interfaces(&mut draft);
    tell_upstreams_from_downstreams(&mut draft);
    serve_each_prefix_once(&mut draft);
    for upstream in &mut draft.upstreams {
        if draft.overlap == Overlap::All {
            let_every_range_have_its_say(upstream);
        }
        upstream.ranges.retain(|range| is_more_than_its_excludes(range, &mut draft.notes));
    }
    limit(&mut draft);
    draft.upstreams.retain(|upstream| {
        if upstream.ranges.is_empty() {
            let message = format!("no range is left for {}, so it is left out", upstream.interface);
            draft.notes.push(upstream.place.beside(message));
            draft.notes.extend(upstream.notes.iter().cloned());
        }
        !upstream.ranges.is_empty()
    });
    for range in draft.upstreams.iter_mut().flat_map(|upstream| &mut upstream.ranges) {
        warn_of_whole_links(range);
    }
    draft.notes.sort();
    draft.notes.dedup();
    draft
}

fn leave_out_unservable(upstream: &mut Upstream, notes: &mut Vec<Note>) {
    upstream.ranges.retain_mut(|range| {
        let own = upstream.interface;
        let asks_itself = range.interfaces.contains(&own);
        range.interfaces.retain(|name| *name != own);
        let why = if let Some(why) = config::unservable(range.prefix).filter(|_| !range.is_whole_link()) {
            why
        } else if asks_itself && range.interfaces.is_empty() {
            format!("{} would be behind {own}, the interface on which its solicitations arrive", range.prefix)
        } else {
            return true;
        };
        notes.push(range.place.beside(format!("left out: {why}")));
        notes.append(&mut range.notes);
        false
    });
}

/// Several rules for one prefix: a target is asked for on the interfaces of all of them.
fn merge_same_prefixes(upstream: &mut Upstream) {
    let mut merged: Vec<Range> = Vec::new();
    let mut known: HashMap<Ipv6Net, usize> = HashMap::new();
    for range in upstream.ranges.drain(..) {
        match known.get(&range.prefix) {
            Some(first) => merge(&mut merged[*first], range),
            None => {
                known.insert(range.prefix, merged.len());
                merged.push(range);
            }
        }
    }
    upstream.ranges = merged;
}

fn merge(first: &mut Range, mut second: Range) {
    let by_routes = first.interfaces.is_empty() != second.interfaces.is_empty();
    if by_routes && first.answer == Answer::Live && second.answer == Answer::Live {
        let message = "of several rules for one prefix, the ones with an interface are kept; lone64 uses either \
                       interfaces or the kernel's routes";
        first.notes.push(second.place.beside(message));
    }
    for name in second.interfaces {
        if !first.interfaces.contains(&name) {
            first.interfaces.push(name);
        }
    }
    first.notes.append(&mut second.notes);
    first.exclude.retain(|prefix| second.exclude.contains(prefix));
    if first.answer == Answer::Always || second.answer == Answer::Always {
        first.answer_always();
    }
}

/// Several sections for one interface.
fn merge_same_interfaces(draft: &mut Draft) {
    let mut merged: Vec<Upstream> = Vec::new();
    for upstream in draft.upstreams.drain(..) {
        match merged.iter_mut().find(|first| first.interface == upstream.interface) {
            Some(first) => {
                let message = format!("merged with the other section for {}", upstream.interface);
                first.notes.push(upstream.place.beside(message));
                first.notes.extend(upstream.notes);
                first.ranges.extend(upstream.ranges);
                merge_same_prefixes(first);
            }
            None => merged.push(upstream),
        }
    }
    draft.upstreams = merged;
}

/// Of two interfaces that answer for each other, the first that has anything to serve is towards the
/// router.
fn tell_upstreams_from_downstreams(draft: &mut Draft) {
    let mut downstreams: HashSet<IfName> = HashSet::new();
    let mut kept: HashSet<IfName> = HashSet::new();
    // A rule for all addresses alone may well be there for the guests, who ask for the router.
    let has_prefix = |upstream: &&Upstream| upstream.ranges.iter().any(|range| !range.is_whole_link());
    let (first, then): (Vec<_>, Vec<_>) = draft.upstreams.iter().partition(has_prefix);
    for upstream in first.into_iter().chain(then).filter(|upstream| !upstream.ranges.is_empty()) {
        if !downstreams.contains(&upstream.interface) {
            kept.insert(upstream.interface);
            downstreams.extend(upstream.ranges.iter().flat_map(|range| range.interfaces.iter().cloned()));
        }
    }
    let notes = &mut draft.notes;
    draft.upstreams.retain(|upstream| {
        let stays = kept.contains(&upstream.interface);
        if !stays && !upstream.ranges.is_empty() {
            let message = format!(
                "left out: the guests are behind {0}, and lone64 answers only towards the router; give the guests \
                 this host as their gateway. If the router is on {0}, move its section to the top",
                upstream.interface
            );
            notes.push(upstream.place.beside(message));
        }
        stays || upstream.ranges.is_empty()
    });
    for upstream in &mut draft.upstreams {
        upstream.ranges.retain_mut(|range| {
            let had_any = !range.interfaces.is_empty();
            range.interfaces.retain(|name| !kept.contains(name));
            let lost_all = had_any && range.interfaces.is_empty();
            if lost_all {
                let message = format!(
                    "left out: {} would be behind an upstream, and only routers are there",
                    range.prefix
                );
                notes.push(range.place.beside(message));
            }
            !lost_all
        });
    }
}

fn serve_each_prefix_once(draft: &mut Draft) {
    let mut served: HashMap<Ipv6Net, IfName> = HashMap::new();
    let notes = &mut draft.notes;
    for upstream in &mut draft.upstreams {
        let own = &upstream.interface;
        upstream.ranges.retain(|range| match served.get(&range.prefix) {
            Some(first) => {
                let message = format!(
                    "left out: {first} already answers for {}, and lone64 serves a range on one upstream; if both \
                     upstreams need it, write one half of it for each",
                    range.prefix
                );
                notes.push(range.place.beside(message));
                false
            }
            None => served.insert(range.prefix, *own).is_none(),
        });
    }
}

/// The longest prefix decides alone, so it takes over what those around it would have done.
fn let_every_range_have_its_say(upstream: &mut Upstream) {
    let at: HashMap<Ipv6Net, usize> =
        upstream.ranges.iter().enumerate().map(|(at, range)| (range.prefix, at)).collect();
    // From the outside to the inside: what was taken over is handed on.
    let mut order: Vec<usize> = (0..upstream.ranges.len()).collect();
    order.sort_by_key(|at| upstream.ranges[*at].prefix.prefix_len());
    for inner in order {
        let prefix = upstream.ranges[inner].prefix;
        let around = std::iter::successors(prefix.supernet(), Ipv6Net::supernet).find_map(|net| at.get(&net));
        let Some(outer) = around.map(|outer| upstream.ranges[*outer].clone()) else { continue };
        let range = &mut upstream.ranges[inner];
        if range.answer != Answer::Live {
            continue;
        }
        if outer.answer == Answer::Always {
            range.answer_always();
            let message =
                format!("lone64 always answers for {} around it, so this was answered, too", outer.prefix);
            range.notes.push(range.place.beside(message));
        } else if !range.interfaces.is_empty() && !outer.interfaces.is_empty() {
            let before = range.interfaces.len();
            for name in outer.interfaces {
                if !range.interfaces.contains(&name) {
                    range.interfaces.push(name);
                }
            }
            if range.interfaces.len() > before {
                let message = format!("its guests can also be where those of {} around it are", outer.prefix);
                range.notes.push(range.place.beside(message));
            }
        }
    }
}

fn is_more_than_its_excludes(range: &Range, notes: &mut Vec<Note>) -> bool {
    let something = !Ipv6Net::aggregate(&range.exclude).contains(&range.prefix);
    if !something {
        let message = format!("left out: every address of {} is excluded", range.prefix);
        notes.push(range.place.beside(message));
    }
    something
}

fn limit(draft: &mut Draft) {
    let mut room = MOST_RANGES;
    for upstream in &mut draft.upstreams {
        let more = upstream.ranges.len().saturating_sub(room);
        upstream.ranges.truncate(room);
        room -= upstream.ranges.len();
        if more > 0 {
            let message = format!(
                "{more} more ranges on {} are left out: serve the prefix that covers them",
                upstream.interface
            );
            draft.notes.push(Note::general(message));
        }
    }
}

fn warn_of_whole_links(range: &mut Range) {
    if range.answer == Answer::Always && range.prefix.prefix_len() <= 64 && !range.is_whole_link() {
        let message = format!(
            "lone64 answers for every address of {}, also for guests that do not exist, and also if another host on \
             the link takes one of them: it is better to serve only the part with the guests (a /112), or to write \
             answer = \"live\"",
            range.prefix
        );
        range.notes.push(range.place.beside(message));
    }
}

/// A name that can be written for an upstream or a downstream, if it is one.
pub(super) fn interface(text: &str) -> Result<IfName, String> {
    let name: IfName = text.parse().map_err(|error| format!("{error}"))?;
    if name.is_loopback() {
        return Err("`lo` is not an interface with neighbors".to_owned());
    }
    if IfPattern::is_pattern(text) || text.parse::<IfPattern>().is_err() {
        return Err(format!("'{text}' is a pattern, not the name of one interface"));
    }
    Ok(name)
}

/// As many as somebody could have written by hand, and far more.
const MOST_RANGES: usize = 4096;
