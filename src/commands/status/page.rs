//! The status as text: problems first, in lines that fit the terminal.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Deserialize;

use super::askers::{self, Asker};
use super::in_force::InForce;
use super::in_kernel::in_kernel;
use super::parts::{Claim, Guest, NextHop, range_state};
use crate::columns;
use crate::commands::terminal::{self, bad, folded, good};
use crate::commands::unserved;
use crate::daemon::unserved::{Network, Nothing};
use crate::wire::Mac;

/// What the daemon says, as far as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    version: String,
    pid: u32,
    uptime_seconds: u64,
    upstreams: Vec<Upstream>,
    ranges: Vec<Range>,
    targets: Vec<Target>,
    routes: Vec<Route>,
    problems: Vec<Problem>,
    #[serde(default)]
    notes: Vec<String>,
    conflicts: Vec<Conflict>,
    #[serde(default)]
    wide_masks: Vec<WideMask>,
    #[serde(default)]
    next_hops: Vec<NextHop>,
    #[serde(default)]
    guests: Vec<Guest>,
    #[serde(default)]
    claims: Vec<Claim>,
    #[serde(default)]
    askers: Vec<Asker>,
    #[serde(default)]
    not_admitted: Vec<NotAdmitted>,
    #[serde(default)]
    unserved: Vec<Network>,
    idle: Option<Nothing>,
    config: Option<InForce>,
    totals: Totals,
    /// Whether it was asked for as it is, without a part being left out.
    #[serde(skip)]
    pub(super) is_whole: bool,
    /// That nothing here is what was asked for; empty if something is.
    #[serde(skip)]
    pub(super) missed: String,
}

#[derive(Debug, Deserialize)]
struct Upstream {
    interface: Option<String>,
    mac: Option<String>,
    state: String,
    #[serde(default)]
    mld: Option<Mld>,
    #[serde(default)]
    backend: String,
    #[serde(default)]
    known_in_kernel: u64,
    #[serde(default)]
    ranges_in_kernel: u64,
    #[serde(default)]
    gateway_source: Option<String>,
    #[serde(default)]
    announced_again_seconds: Option<u64>,
    counters: Counters,
}

#[derive(Debug, Deserialize)]
struct Mld {
    querier: Option<Ipv6Addr>,
    delivers_all: Option<bool>,
    groups: usize,
    waiting: usize,
}

#[derive(Debug, Deserialize)]
struct Counters {
    answered: u64,
    dropped: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
struct Range {
    prefix: String,
    upstream: Option<String>,
    interfaces: Vec<String>,
    interface_count: usize,
    follows_kernel: bool,
    answer: String,
    routes: String,
    #[serde(default)]
    gateway: Option<Ipv6Addr>,
    #[serde(default)]
    proxy_downstream: bool,
    #[serde(default)]
    standby: bool,
    origin: String,
    state: String,
}

#[derive(Debug, Deserialize)]
struct Target {
    address: String,
    state: String,
    interface: Option<String>,
    mac: Option<String>,
    evidence: Option<String>,
    guest: Option<String>,
    answered: u64,
    last_seen_seconds: Option<u64>,
    #[serde(default)]
    upstream: Option<String>,
}

/// A target that the provider does not admit.
#[derive(Debug, Deserialize)]
struct NotAdmitted {
    address: String,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Route {
    destination: String,
    interface: Option<String>,
    kind: String,
    state: String,
}

#[derive(Debug, Deserialize)]
struct Problem {
    message: String,
}

#[derive(Debug, Deserialize)]
struct Conflict {
    address: String,
    mac: String,
    answered: bool,
}

#[derive(Debug, Deserialize)]
struct WideMask {
    interface: String,
    guest: String,
    asked_for: String,
}

#[derive(Debug, Deserialize)]
struct Totals {
    targets: TargetTotals,
    #[serde(default)]
    unserved: usize,
    #[serde(default)]
    not_admitted: usize,
}

#[derive(Debug, Deserialize)]
struct TargetTotals {
    live: usize,
    probing: usize,
    absent: usize,
}

impl Page {
    /// 1 if something is not as it should be.
    pub(super) fn health(&self) -> ExitCode {
        let is_kept_out = |route: &Route| matches!(route.state.as_str(), "conflict" | "refused");
        let is_in_force = self.config.as_ref().is_none_or(InForce::is_well);
        let is_well = is_in_force && self.problems.is_empty() && !self.routes.iter().any(is_kept_out);
        if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let TargetTotals { live, probing, absent } = self.totals.targets;
        let up = duration(self.uptime_seconds);
        let head =
            format!("lone64 {} (pid {}), up {up}: {}", self.version, self.pid, counted(live, "live guest"));
        let others = [(probing, "probing"), (absent, "absent")].into_iter().filter(|(count, _)| *count > 0);
        let others: String = others.map(|(count, what)| format!(", {count} {what}")).collect();
        text += &folded("", "    ", &format!("{head}{others}"));
        for Problem { message } in &self.problems {
            text += &folded(&bad("problem: "), "    ", message);
        }
        text.extend(self.config.iter().map(|config| config.problems()));
        for Conflict { address, mac, answered } in &self.conflicts {
            let sentence = match answered {
                false => {
                    format!(
                        "another host on the upstream ({mac}) has {address}: lone64 does not answer for it"
                    )
                }
                true => format!("another host on the upstream ({mac}) wanted {address} and was refused"),
            };
            text += &folded(&bad("conflict: "), "    ", &sentence);
        }
        for WideMask { interface, guest, asked_for } in &self.wide_masks {
            let sentence = format!(
                "{guest} asks {interface} for {asked_for}, which is not on that link: its mask is too short"
            );
            text += &folded(&bad("mask: "), "    ", &sentence);
        }
        text += &askers::lines(&self.askers);
        text += &self.refused();
        for route in self.routes.iter().filter(|route| route.state != "installed") {
            text += &route.line();
        }
        text.extend(self.idle.iter().map(unserved::nothing));
        self.notes.iter().for_each(|note| text += &folded("note: ", "    ", note));
        text += &unserved::text(&self.unserved, self.count_unserved());
        text.extend(self.config.iter().map(InForce::line));
        text += &self.missed;
        self.upstreams.iter().for_each(|upstream| text += &upstream.lines());
        self.ranges.iter().for_each(|range| text += &range.lines());
        self.next_hops.iter().for_each(|hop| text += &hop.line());
        text.extend(self.guests.iter().filter_map(Guest::line).take(MOST_GUESTS));
        text.extend(self.claims.iter().map(Claim::line).take(MOST_GUESTS));
        text + &self.guests()
    }

    /// Guests that the provider does not admit, the first of them with a sentence each.
    fn refused(&self) -> String {
        let (word, listed) = (bad("provider: "), self.not_admitted.len());
        let sentence = |NotAdmitted { address, message }: &NotAdmitted| {
            format!("{address} {}", message.as_deref().unwrap_or("is not admitted by the provider"))
        };
        let first = self.not_admitted.iter().take(MOST_REFUSED).map(sentence);
        let mut text: String = first.map(|sentence| folded(&word, "    ", &sentence)).collect();
        let count = if self.is_whole { self.totals.not_admitted.max(listed) } else { listed };
        let more = count.saturating_sub(MOST_REFUSED);
        if more > 0 {
            let sentence = format!("{more} more are not admitted; `lone64 status --json` names them");
            text += &folded(&word, "    ", &sentence);
        }
        text
    }

    /// How many there are of what is shown.
    fn count_unserved(&self) -> usize {
        if self.is_whole { self.totals.unserved } else { self.unserved.len() }
    }

    /// The guests, by the downstream that they are behind.
    fn guests(&self) -> String {
        let mut by_interface: BTreeMap<&str, Vec<&Target>> = BTreeMap::new();
        for target in self.targets.iter().filter(|target| target.state == "live") {
            by_interface.entry(target.interface.as_deref().unwrap_or("?")).or_default().push(target);
        }
        let mut text = String::new();
        let mut shown = 0;
        for (interface, targets) in by_interface {
            text += &format!("{interface}: {}\n", counted(targets.len(), "guest"));
            let width = targets.iter().map(|target| target.address.len()).max().unwrap_or(0);
            shown += targets.len();
            targets.iter().for_each(|target| text += &target.lines(interface, width));
        }
        let left = self.totals.targets.live.saturating_sub(shown);
        if left > 0 && self.is_whole {
            text += &folded("", "    ", &format!("{left} more; `lone64 status --json` lists all"));
        }
        text
    }
}

impl Mld {
    /// Of an upstream on which switches may keep something back.
    fn line(&self) -> String {
        let Some(querier) = self.querier else { return String::new() };
        let waiting =
            if self.waiting == 0 { String::new() } else { format!(", {} do not fit", self.waiting) };
        let others = match self.delivers_all {
            Some(true) => "solicitations for other groups arrive too",
            _ => "no solicitation for another group has arrived",
        };
        let line =
            format!("MLD querier {querier}; {} reported{waiting}; {others}", counted(self.groups, "group"));
        folded("    ", "        ", &line)
    }
}

impl Upstream {
    fn lines(&self) -> String {
        let name = self.interface.as_deref().unwrap_or("?");
        let mac = self.mac.as_ref().map(|mac| format!(" {mac}")).unwrap_or_default();
        let mut dropped: Vec<_> = self.counters.dropped.iter().collect();
        dropped.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let sum: u64 = dropped.iter().map(|(_, count)| **count).sum();
        let reasons: Vec<_> = dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let reasons = if sum == 0 { String::new() } else { format!(": {}", reasons.join(", ")) };
        let is_asked = self.gateway_source.as_deref() == Some("global");
        let gateway = if is_asked { "; lone64 asks the gateway from a global address" } else { "" };
        let again = self.announced_again_seconds.map(|seconds| {
            format!("; the provider forgets guests: lone64 announces all again each {}", duration(seconds))
        });
        let again = again.unwrap_or_default();
        let counts = format!("{} answered, {sum} not{reasons}", self.counters.answered);
        let kernel = in_kernel(&self.backend, self.known_in_kernel as usize, self.ranges_in_kernel as usize);
        folded("upstream ", "    ", &format!("{name}{mac} {}", painted(&self.state)))
            + &folded("    ", "        ", &format!("{counts}{kernel}{gateway}{again}"))
            + &self.mld.as_ref().map(Mld::line).unwrap_or_default()
    }
}

impl Range {
    fn lines(&self) -> String {
        let on = self.upstream.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
        let behind = match (self.follows_kernel, self.interface_count) {
            (true, _) => "by the kernel's routes".to_owned(),
            (false, 0) => "no interface yet".to_owned(),
            (false, count) if count > MOST_NAMES => format!("{count} interfaces"),
            (false, _) => self.interfaces.join(", "),
        };
        let origin = if self.origin == "config" { String::new() } else { format!(", {}", self.origin) };
        let gateway = self.gateway.map(|address| format!(", gateway {address}")).unwrap_or_default();
        let proxy = if self.proxy_downstream { ", proxy downstream" } else { "" };
        let how = format!("{behind}; answer {}, routes {}{gateway}{proxy}{origin}", self.answer, self.routes);
        folded("range ", "    ", &format!("{}{on}: {}", self.prefix, range_state(&self.state, self.standby)))
            + &folded("    ", "        ", &how)
    }
}

impl Route {
    fn line(&self) -> String {
        let kind = if self.kind == "unicast" { String::new() } else { format!("{} ", self.kind) };
        let dev = self.interface.as_ref().map(|name| format!(" dev {name}")).unwrap_or_default();
        folded(&bad("route "), "    ", &format!("{kind}{}{dev}: {}", self.destination, self.state))
    }
}

impl Target {
    /// What is known of it, and how to reach it by an address that needs no route.
    fn lines(&self, interface: &str, width: usize) -> String {
        let mac = self.mac.as_deref().unwrap_or("-");
        let seen = self.last_seen_seconds.map_or_else(|| "-".to_owned(), |s| format!("{} ago", duration(s)));
        let live = painted(&self.state);
        let first = format!("  {:width$}  {mac:17}  {live}  {seen}", self.address);
        let mut facts = Vec::new();
        facts.extend(self.guest.clone());
        facts.push(format!("seen by {}", self.evidence.as_deref().unwrap_or("-")));
        facts.push(counted(usize::try_from(self.answered).unwrap_or(usize::MAX), "answer"));
        facts.extend(self.upstream.as_ref().map(|verdict| format!("upstream: {verdict}")));
        if let Some(address) = self.mac.as_deref().and_then(|mac| mac.parse::<Mac>().ok()).map(link_local) {
            facts.push(format!("{address}%{interface} (EUI-64)"));
        }
        // Alone on its line, an address and what belongs to it are not in columns.
        let is_wide = columns::width(first.trim_end()) > terminal::columns();
        let first = if is_wide { folded("  ", "      ", &first) } else { format!("{}\n", first.trim_end()) };
        format!("{first}{}", folded("      ", "      ", &facts.join(", ")))
    }
}

/// What is well, and what is not.
pub(super) fn painted(state: &str) -> String {
    if matches!(state, "live" | "up" | "serving" | "installed" | "here") { good(state) } else { bad(state) }
}

/// The address that a guest gives itself, if it does as RFC 4862 §5.3 with RFC 2464 §4 has it:
/// many do, but those with privacy or stable addresses do not.
fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0.map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
}

pub(super) fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The two largest units.
pub(super) fn duration(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}min {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}min"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

/// Guests that the provider does not admit, each with a sentence.
const MOST_REFUSED: usize = 4;
/// Guests and claims that have a line.
const MOST_GUESTS: usize = 64;
/// Interfaces of one range that are named.
const MOST_NAMES: usize = 8;

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
