//! ndppd.conf, of 0.2 and of 1.0: what each key means in lone64's words.

use std::time::Duration;

use ipnet::Ipv6Net;

use super::blocks::{Entry, parse};
use super::draft::{Draft, Overlap, Range, Router, Routes, Timers, Upstream};
use super::settle::interface;
use super::text::{Annotated, Word};
use crate::config::problem::{Place, Report};
use crate::engine::facts::IfName;
use crate::engine::policy::Answer;

/// Reads a configuration. The draft is worth something only if nothing was reported.
pub(super) fn read(text: &str, report: &mut Report<'_>) -> Draft {
    let entries = parse(text, report);
    let version = version(&entries);
    let mut reader = Reader {
        version,
        report,
        text: Annotated::new(text),
        draft: Draft {
            from: if version == Version::One { "ndppd 1.0" } else { "ndppd 0.2" },
            preface: PREFACE,
            overlap: if version == Version::One { Overlap::One } else { Overlap::All },
            notes: Vec::new(),
            upstreams: Vec::new(),
            timers: Timers::default(),
        },
    };
    reader.top(&entries);
    reader.draft
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    /// 0.2.0 to 0.2.5.
    Zero,
    /// The development versions of 1.0.
    One,
}

/// Only 1.0 has these; it has no others than 0.2 has without which it would not start.
fn version(entries: &[Entry]) -> Version {
    let proxies =
        || entries.iter().filter(|entry| entry.key.text == "proxy").flat_map(|e| e.block.iter().flatten());
    let mut rules = proxies().filter(|entry| entry.key.text == "rule").flat_map(|e| e.block.iter().flatten());
    let top =
        ["valid-ttl", "invalid-ttl", "stale-ttl", "retrans-time", "retrans-limit", "renew", "keepalive"];
    let in_rule = ["autowire", "rewrite", "table", "target"];
    let is_one = entries.iter().any(|entry| top.contains(&&*entry.key.text))
        || proxies().any(|entry| matches!(&*entry.key.text, "promisc" | "target"))
        || rules.any(|entry| in_rule.contains(&&*entry.key.text));
    if is_one { Version::One } else { Version::Zero }
}

struct Reader<'t, 'r, 'o> {
    version: Version,
    report: &'r mut Report<'o>,
    text: Annotated<'t>,
    draft: Draft,
}

impl Reader<'_, '_, '_> {
    fn top(&mut self, entries: &[Entry]) {
        for entry in entries {
            let key = &entry.key;
            match &*key.text {
                "proxy" => self.proxy(entry),
                "route-ttl" | "address-ttl" => {
                    let message = format!("{} is not needed: lone64 sees every change at once", key.text);
                    self.note(key, message);
                }
                "valid-ttl" => self.reachable(entry, DEFAULT_TTL),
                "invalid-ttl" => self.absent(entry),
                "retrans-time" => self.retransmit(entry, 1000),
                "retrans-limit" => self.retries(entry),
                "stale-ttl" | "renew" => self.note(
                    key,
                    format!(
                        "{} has no equivalent: lone64 probes again after the answer, when `reachable` is over",
                        key.text
                    ),
                ),
                "keepalive" => self.keepalive(entry),
                _ => self.unknown(entry, "outside every block"),
            }
        }
    }

    fn proxy(&mut self, entry: &Entry) {
        let Some(name) = self.name(&entry.value, &entry.key, "proxy") else { return };
        let place = self.text.place(&entry.key);
        let mut upstream =
            Upstream { interface: name, place, router: Router::Clear, notes: Vec::new(), ranges: Vec::new() };
        let mut router = None;
        let mut autowire = Routes::Foreign;
        for entry in entry.block.iter().flatten() {
            let key = &entry.key;
            match &*key.text {
                "rule" => {
                    if let Some(range) = self.rule(entry) {
                        upstream.ranges.push(range);
                    }
                }
                "router" => router = Some(self.flag(entry)),
                "autowire" if self.flag(entry) => autowire = Routes::Guests,
                "autowire" => {}
                "ttl" => self.reachable(entry, DEFAULT_TTL),
                "deadtime" => self.absent(entry),
                "timeout" => self.retransmit(entry, DEFAULT_TIMEOUT),
                "retries" => self.retries(entry),
                "keepalive" => self.keepalive(entry),
                "promiscuous" | "promisc" => {
                    let message = "promiscuous mode is not needed: lone64 opens only the multicast filter of the \
                                   interface";
                    self.note(key, message);
                }
                "target" => self.note(key, "target has no equivalent: answers carry the upstream's own MAC"),
                _ => self.unknown(entry, "in `proxy`"),
            }
        }
        if autowire == Routes::Guests {
            for range in upstream.ranges.iter_mut().filter(|range| !range.interfaces.is_empty()) {
                range.routes = Routes::Guests;
            }
        }
        // Without the key, 0.2 sets the flag and 1.0 does not.
        if router.unwrap_or(self.version == Version::Zero) {
            upstream.router = Router::Set;
            if router.is_none() {
                let message = "ndppd sets the R flag (`router`) by default; lone64 sets it only with the line below, \
                               and a host that only forwards does not need it";
                upstream.notes.push(upstream.place.beside(message));
            }
        }
        self.draft.upstreams.push(upstream);
    }

    fn rule(&mut self, entry: &Entry) -> Option<Range> {
        let prefix = self.prefix(entry)?;
        let mut range = Range::new(prefix, Answer::Live, self.text.place(&entry.key));
        let mut methods: Vec<&Word> = Vec::new();
        for entry in entry.block.iter().flatten() {
            let key = &entry.key;
            match &*key.text {
                "static" => {
                    methods.push(key);
                    range.answer = Answer::Always;
                }
                "auto" => methods.push(key),
                "iface" => {
                    methods.push(key);
                    self.iface(entry, &mut range);
                }
                "autowire" if self.flag(entry) => range.routes = Routes::Guests,
                "autowire" => {}
                "autovia" if self.flag(entry) => {
                    let message = "autovia has no equivalent: the routes of live guests lead directly to them; for \
                                   guests behind another router, route the prefix to that router, and remove the \
                                   interface";
                    range.notes.extend(self.text.note(key, message));
                }
                "autovia" => {}
                "rewrite" => {
                    let message = "rewrite has no equivalent: lone64 does not probe guests for another address, so \
                                   it answers for every address instead";
                    range.notes.extend(self.text.note(key, message));
                    range.answer = Answer::Always;
                }
                "table" => {
                    let message =
                        "table has no equivalent for one range; `table` in [routes] is for all ranges";
                    range.notes.extend(self.text.note(key, message));
                }
                "target" => {
                    let message = "target has no equivalent: answers carry the upstream's own MAC";
                    range.notes.extend(self.text.note(key, message));
                }
                _ => self.unknown(entry, "in `rule`"),
            }
        }
        if let [_, second, ..] = methods.as_slice() {
            let problem = self.report.push(&Place::Text(second.span.clone()), "a second method for one rule");
            problem.help(
                "keep only one of `static`, `auto` and `iface`; ndppd does not start with more than one",
            );
        }
        if methods.is_empty() {
            let message = "no method: older versions take this for `static`, newer ones do not start";
            range.notes.extend(self.text.note(&entry.key, message));
            range.answer = Answer::Always;
        }
        if range.is_whole_link() {
            let message = match range.answer {
                Answer::Live if range.is_automatic() => {
                    "for all addresses, by the kernel's routes: `automatic` does the same"
                }
                Answer::Always => {
                    "for all addresses: lone64 answers for the addresses of the upstream's /64 that the kernel \
                     routes elsewhere"
                }
                _ => {
                    "for all addresses: lone64 serves the whole /64 of the upstream, and keeps a /128 for each live \
                     guest there"
                }
            };
            range.notes.extend(self.text.note(&entry.key, message));
        }
        if range.answer == Answer::Always {
            range.answer_always();
        } else if range.interfaces.is_empty() {
            range.routes = Routes::Foreign;
        }
        Some(range)
    }

    fn iface(&mut self, entry: &Entry, range: &mut Range) {
        if entry.value.text == "lo" {
            let message =
                "the addresses of the host itself need no interface: lone64 finds them by the routes";
            range.notes.extend(self.text.note(&entry.key, message));
        } else if let Some(name) = self.name(&entry.value, &entry.key, "iface") {
            range.interfaces.push(name);
        }
    }

    fn name(&mut self, value: &Word, key: &Word, what: &str) -> Option<IfName> {
        let (place, message) = if value.text.is_empty() {
            (key, format!("`{what}` without the name of an interface"))
        } else {
            match interface(&value.text) {
                Ok(name) => return Some(name),
                Err(message) => (value, message),
            }
        };
        let problem = self.report.push(&Place::Text(place.span.clone()), message);
        problem.help(format!("write one that `ip link` shows, as in `{what} eth0`"));
        None
    }

    fn prefix(&mut self, entry: &Entry) -> Option<Ipv6Net> {
        let value = &entry.value;
        let read = match value.text.contains('/') {
            true => value.text.parse().ok(),
            false => value.text.parse().ok().map(|address| Ipv6Net::new_assert(address, 128)),
        };
        if read.is_none() {
            let (place, message) = if value.text.is_empty() {
                (&entry.key, "`rule` without a prefix".to_owned())
            } else {
                (value, format!("'{}' is not an IPv6 prefix", value.text))
            };
            let problem = self.report.push(&Place::Text(place.span.clone()), message);
            problem.help("write one such as 2001:db8:1:2:c::/112, inside your own addresses");
        }
        read
    }

    fn reachable(&mut self, entry: &Entry, default: u64) {
        if let Some(value) = self.milliseconds(entry, default) {
            // Shorter, each answer would set off a probe.
            let value = value.max(Duration::from_secs(1));
            self.set(&entry.key, "reachable", value, |timers| &mut timers.reachable);
        }
    }

    fn absent(&mut self, entry: &Entry) {
        if let Some(value) = self.milliseconds(entry, u64::MAX) {
            self.set(&entry.key, "absent", value, |timers| &mut timers.absent);
        }
    }

    fn retransmit(&mut self, entry: &Entry, default: u64) {
        if let Some(value) = self.milliseconds(entry, default) {
            self.set(&entry.key, "retransmit", value, |timers| &mut timers.retransmit);
        }
    }

    fn retries(&mut self, entry: &Entry) {
        match entry.value.text.parse::<u8>() {
            Ok(3) => {}
            Ok(number @ 1..) => self.set(&entry.key, "retries", number, |timers| &mut timers.retries),
            _ => {
                let message = format!(
                    "{} stays at the default of lone64: possible values are 1 to 255",
                    entry.key.text
                );
                self.note(&entry.key, message);
            }
        }
    }

    fn keepalive(&mut self, entry: &Entry) {
        if !self.flag(entry) {
            let message = "keepalive cannot be turned off: lone64 probes a live target once in each `keepalive` \
                           ([timers]), even if nobody asks for it";
            self.note(&entry.key, message);
        }
    }

    /// `None` if it is the peer's default, which nobody chose.
    fn milliseconds(&mut self, entry: &Entry, default: u64) -> Option<Duration> {
        let longest = 24 * 60 * 60 * 1000;
        match entry.value.text.parse::<u64>() {
            Ok(value) if value == default => None,
            Ok(value) if (1..=longest).contains(&value) => Some(Duration::from_millis(value)),
            _ => {
                let message = format!(
                    "{} stays at the default of lone64: possible values are 1 ms to one day",
                    entry.key.text
                );
                self.note(&entry.key, message);
                None
            }
        }
    }

    /// lone64 has one value for the whole file.
    fn set<T: PartialEq + Copy>(
        &mut self,
        key: &Word,
        name: &str,
        value: T,
        timer: impl Fn(&mut Timers) -> &mut Option<T>,
    ) {
        let slot = timer(&mut self.draft.timers);
        match slot {
            None => *slot = Some(value),
            Some(first) if *first == value => {}
            Some(_) => {
                let message =
                    format!("{} differs from an earlier one; lone64 has one `{name}` for all", key.text);
                self.note(key, message);
            }
        }
    }

    /// As ndppd reads it: whatever is not yes is no, and the key alone is no in 0.2 and yes in 1.0.
    fn flag(&self, entry: &Entry) -> bool {
        match &*entry.value.text.to_ascii_lowercase() {
            "yes" | "true" => true,
            bare => bare.is_empty() && self.version == Version::One,
        }
    }

    fn unknown(&mut self, entry: &Entry, place: &str) {
        let message =
            format!("`{}` {place} has no equivalent: ndppd does not know it, either", entry.key.text);
        self.note(&entry.key, message);
    }

    fn note(&mut self, word: &Word, message: impl Into<String>) {
        self.draft.notes.extend(self.text.note(word, message));
    }
}

/// Milliseconds.
const DEFAULT_TTL: u64 = 30_000;
const DEFAULT_TIMEOUT: u64 = 500;

const PREFACE: &str = "Except with `autowire`, ndppd leaves the routes to other programs, so lone64 adds none and \
                       keeps no backstop. If one interface has all guests of a range, remove `routes` and \
                       `backstop`: then lone64 routes the range there, and packets for unknown addresses end here. \
                       Timers at the defaults of ndppd become the defaults of lone64.";

#[cfg(test)]
#[path = "ndppd_tests.rs"]
mod tests;
