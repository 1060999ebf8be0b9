//! What is legal, and surely not what somebody wants.
//!
//! May touch: nothing.

use std::time::Duration;

use ipnet::Ipv6Net;

use super::configuration::Config;
use super::mirror::{Addresses, File};
use super::problem::{Place, Report};
use super::section::Field;
use crate::engine::guests::Object;
use crate::engine::policy::{Announce, Answer, Override, RangePolicy};

/// Tells of it, each with its place.
pub(super) fn notice(file: &File, config: &Config, report: &mut Report<'_>) {
    let (timers, limits) = (&config.policy.timers, &config.policy.limits);
    let place = |table, key| {
        let written = file.written.get(table).and_then(|written| written.place(key));
        written.cloned().unwrap_or(Place::Whole)
    };
    if timers.retransmit >= THREE_TRIES {
        let sentence = "the second probe is sent after three seconds, when the asker has stopped asking";
        report
            .push(&place("timers", "retransmit"), sentence)
            .help("write at most \"1s\", which is the default");
    }
    if timers.keepalive < timers.retransmit * u32::from(timers.retries) {
        let sentence = "a live target is probed again before its last probes are finished";
        let least = super::duration::written(timers.retransmit * u32::from(timers.retries));
        let help = format!("write at least \"{least}\", which is retransmit times retries");
        report.push(&place("timers", "keepalive"), sentence).help(help);
    }
    if limits.pending > limits.targets {
        let sentence = format!(
            "{} targets cannot be probed at the same time, because at most {} can be known",
            limits.pending, limits.targets
        );
        let written = [("limits", "targets"), ("limits", "pending")].map(|(table, key)| place(table, key));
        let place = written.into_iter().rfind(|place| *place != Place::Whole).unwrap_or(Place::Whole);
        report.push(&place, sentence).help("make `targets` the larger one");
    }
    of_guests(file, config, report);
    of_upstreams(file, report);
    of_ranges(file, config, report);
}

/// Guests where everything is answered for, whether it is there or not.
fn of_guests(file: &File, config: &Config, report: &mut Report<'_>) {
    for guest in file.guests.iter().take(MOST_COMPARED) {
        let addresses = match guest.addresses.value() {
            Some(Addresses::Listed(listed)) => listed.as_slice(),
            _ => &[],
        };
        let addresses = addresses.iter().map(|(address, place)| (Ipv6Net::from(*address), place));
        let prefixes = guest.delegate.value().into_iter().flatten().map(|(prefix, place)| (*prefix, place));
        for (net, place) in addresses.chain(prefixes) {
            let around = config.policy.ranges.iter().filter(|range| range.prefix.contains(&net));
            let range = around.max_by_key(|range| range.prefix.prefix_len());
            if let Some(range) = range.filter(|range| range.answer == Answer::Always) {
                let sentence = format!(
                    "{} is in the range {}, where every address is answered for: the [[guest]] has no effect on it",
                    Object::Prefix(net),
                    range.prefix
                );
                let help = "write answer = \"live\" in the [[range]], or another range for the guest";
                report.push(place, sentence).help(help);
            }
        }
    }
}

fn of_upstreams(file: &File, report: &mut Report<'_>) {
    for upstream in &file.upstreams {
        if let Field::Is(patterns, place) = &upstream.ignore
            && patterns.iter().any(|pattern| pattern.as_str() == "*")
        {
            let sentence = "`ignore` matches every interface, so nothing is served automatically";
            report.push(place, sentence).help("name the interfaces, or write automatic = false");
        }
        if upstream.override_flag == Override::Never
            && let Some(place) = upstream.written.place("announce")
            && upstream.announce != Announce::No
        {
            let sentence = "with override = \"never\" an announcement changes nothing for those who hear it";
            report.push(place, sentence).help("write override = \"takeover\", or announce = false");
        }
    }
}

/// A range in a wider one that says the same of it.
fn of_ranges(file: &File, config: &Config, report: &mut Report<'_>) {
    for range in &file.ranges {
        let Field::Is(excludes, _) = &range.exclude else { continue };
        if excludes.len() > MOST_COMPARED {
            continue;
        }
        for (i, (exclude, place)) in excludes.iter().enumerate() {
            let covers = |(j, other): (usize, &Ipv6Net)| {
                j != i && other.contains(exclude) && (other != exclude || j < i)
            };
            if let Some((_, wider)) = excludes.iter().map(|(net, _)| net).enumerate().find(|at| covers(*at)) {
                let sentence = format!("{exclude} is already excluded by {wider}");
                report.push(place, sentence).help("remove one of them");
            }
        }
    }
    let ranges = &config.policy.ranges;
    if ranges.len() > MOST_COMPARED {
        return;
    }
    let written = file.ranges.iter().filter(|range| range.suffix.value().is_none());
    for (range, written) in ranges.iter().zip(written) {
        let wider = ranges.iter().filter(|other| {
            other.prefix != range.prefix
                && other.prefix.contains(&range.prefix)
                && says_the_same(range, other)
        });
        let nearest = wider.max_by_key(|other| other.prefix.prefix_len());
        let is_nearest = |nearest: &&RangePolicy| {
            let between = |other: &RangePolicy| {
                other.prefix != range.prefix
                    && other.prefix != nearest.prefix
                    && other.prefix.contains(&range.prefix)
                    && nearest.prefix.contains(&other.prefix)
            };
            !ranges.iter().any(between)
        };
        if let Some(wider) = nearest.filter(is_nearest) {
            let sentence =
                format!("the range {} is inside {}, which has the same settings", range.prefix, wider.prefix);
            let place = written.written.place("prefix").unwrap_or(&written.place);
            report.push(place, sentence).help("remove one of them");
        }
    }
}

fn says_the_same(range: &RangePolicy, other: &RangePolicy) -> bool {
    // What is excluded of the wider one may be what this one is for.
    let alike =
        RangePolicy { prefix: other.prefix, has_written_routes: other.has_written_routes, ..range.clone() };
    range.exclude.is_empty() && alike == *other
}

/// Each with each; nobody writes more by hand.
const MOST_COMPARED: usize = 2_000;
/// RFC 4861 §10: MAX_MULTICAST_SOLICIT transmissions, RETRANS_TIMER apart.
const THREE_TRIES: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use crate::config::Overrides;

    fn notices(text: &str) -> Vec<String> {
        let read = Overrides::default().parse(text, "f").unwrap_or_else(|problems| panic!("{problems}"));
        let shown = read.notices.iter().map(|one| format!("{}: {}", one.line.unwrap_or(0), one.message));
        shown.collect()
    }

    #[test]
    fn tells_of_probes_that_come_too_late() {
        let told = notices("[timers]\nretransmit = \"3s\"");
        assert_eq!(
            told,
            ["2: the second probe is sent after three seconds, when the asker has stopped asking"]
        );
        assert_eq!(notices("[timers]\nretransmit = \"2s\""), [""; 0]);
    }

    #[test]
    fn tells_of_probes_that_never_end_and_of_limits_that_are_not_reached() {
        let told = notices("[timers]\nkeepalive = \"2s\"\n[limits]\ntargets = 100");
        assert_eq!(
            told,
            [
                "2: a live target is probed again before its last probes are finished",
                "4: 4096 targets cannot be probed at the same time, because at most 100 can be known",
            ]
        );
    }

    #[test]
    fn tells_of_announcements_without_effect() {
        let text = |announce: &str| format!("[[upstream]]\noverride = \"never\"\n{announce}");
        assert_eq!(notices(&text("announce = \"5m\"")).len(), 1);
        assert_eq!(notices(&text("announce = false")), [""; 0]);
        assert_eq!(notices(&text("")), [""; 0]);
    }

    #[test]
    fn tells_of_guests_where_everything_is_answered_for() {
        let text = |answer: &str| {
            format!(
                "[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\ninterface = \"br0\"\nanswer = \"{answer}\"\n\
                 [[guest]]\nname = \"a\"\ninterface = \"br0\"\naddresses = [\"2001:db8:1:2:c::5\"]\n\
                 delegate = [\"2001:db8:1:2:c::1000/116\"]\n"
            )
        };
        let told = notices(&text("always"));
        assert!(told.len() == 2 && told[0].starts_with("8: 2001:db8:1:2:c::5 is in the range"), "{told:?}");
        assert_eq!(notices(&text("live")), [""; 0]);
    }

    #[test]
    fn tells_of_what_leaves_nothing_to_do() {
        let told = notices("[[upstream]]\nignore = [\"docker0\", \"*\"]");
        assert_eq!(told, ["2: `ignore` matches every interface, so nothing is served automatically"]);
        let exclude =
            |list: &str| notices(&format!("[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\nexclude = {list}"));
        let wide = "\"2001:db8:1:2:c::/124\"";
        let (one, other) = ("\"2001:db8:1:2:c::1\"", "\"2001:db8:1:2:c::11\"");
        assert_eq!(exclude(&format!("[{wide}, {other}]")), [""; 0]);
        assert_eq!(
            exclude(&format!("[{one}, {other}, {wide}]")),
            ["3: 2001:db8:1:2:c::1/128 is already excluded by 2001:db8:1:2:c::/124"]
        );
        assert_eq!(exclude(&format!("[{one}, {one}]")).len(), 1);
    }

    #[test]
    fn tells_of_a_range_in_one_that_says_the_same() {
        let range = |prefix: &str, rest: &str| format!("[[range]]\nprefix = \"{prefix}\"\n{rest}\n");
        let wide = range("2001:db8:1:2:c::/80", "interface = \"br0\"");
        let inside = |rest: &str| format!("{wide}{}", range("2001:db8:1:2:c::/112", rest));
        assert_eq!(
            notices(&inside("interface = \"br0\"")),
            ["5: the range 2001:db8:1:2:c::/112 is inside 2001:db8:1:2:c::/80, which has the same settings"]
        );
        assert_eq!(notices(&inside("interface = \"br1\"")), [""; 0]);
        // One between them makes it different.
        let between = range("2001:db8:1:2:c::/96", "interface = \"br1\"");
        assert_eq!(notices(&format!("{between}{}", inside("interface = \"br0\""))), [""; 0]);
    }
}
