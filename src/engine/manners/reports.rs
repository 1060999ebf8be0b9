//! Reports of the groups that are listened to: Multicast Listener Discovery, written by ourselves (RFC 3810, RFC 2710).
//!
//! The kernel would report the groups that a socket has joined. It keeps them in a list, walks that for every multicast
//! packet that arrives, and holds a lock while it writes reports. What a switch wants is the report alone.
//!
//! A change is told at once, and once more within a second: "the Robustness Variable" is 2 (RFC 3810 §9.1). A query is
//! answered at random within the time that it gives, many groups to a packet. A group of an address that the kernel has
//! on that link is the kernel's to report.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::time::Duration;

use super::groups::{Groups, group};
use crate::engine::effect::Output;
use crate::engine::facts::IfIndex;
use crate::engine::limiter::Limiter;
use crate::engine::seed::Seed;
use crate::engine::time::Time;
use crate::wire::{Mac, MldQuery, MldRecord, MldRecordKind, MldReport, MldVersion};

/// What is told on every link, and when.
#[derive(Debug)]
pub struct Reports {
    links: BTreeMap<IfIndex, LinkReports>,
    /// What reports came from, when they were looked at last.
    stations: BTreeMap<IfIndex, Option<Station>>,
    pace: Limiter,
    seed: Seed,
    drawn: u64,
}

/// Whom reports come from: our own station, and its link-local address, or `::` while there is none.
pub type Station = (Mac, Ipv6Addr);

/// What reports have to know of the host.
pub trait Ground {
    /// Whom reports on this link come from; none where it is down or gone.
    fn station(&self, link: IfIndex) -> Option<Station>;
    /// Whether the kernel reports this group itself.
    fn is_kernels(&self, link: IfIndex, suffix: u32) -> bool;
}

#[derive(Debug, Default)]
struct LinkReports {
    /// By group, whether it is listened to: what has not been told yet.
    fresh: BTreeMap<u32, bool>,
    /// What has been told once.
    told: BTreeMap<u32, bool>,
    /// When that is told again.
    again: Option<Time>,
    /// All groups, one packet after the other.
    sweeps: Vec<Sweep>,
    /// Groups that a querier has asked for, and when each is answered.
    asked: BTreeMap<u32, Time>,
    /// A querier speaks the first version, until then.
    first_version_until: Option<Time>,
}

/// A walk over all groups.
#[derive(Debug, Clone, Copy)]
struct Sweep {
    kind: MldRecordKind,
    /// The next group.
    from: u32,
    due: Time,
    /// From one packet to the next.
    gap: Duration,
}

impl Reports {
    /// Nothing yet.
    pub fn new(seed: Seed) -> Self {
        let pace = Limiter::deep(PER_SECOND, AT_ONCE);
        Self { links: BTreeMap::new(), stations: BTreeMap::new(), pace, seed, drawn: 0 }
    }

    /// The group is listened to on this link from now on, or not any more.
    pub fn change(&mut self, link: IfIndex, suffix: u32, is_listened: bool) {
        let link = self.links.entry(link).or_default();
        link.told.remove(&suffix);
        link.fresh.insert(suffix, is_listened);
    }

    /// The host has changed. Where reports come from another station than before, or the link has been down, all is told
    /// again.
    pub fn settle(&mut self, groups: &Groups, ground: &impl Ground, now: Time) {
        self.stations.retain(|link, _| groups.has(*link));
        for link in groups.links() {
            let station = ground.station(link);
            let before = self.stations.insert(link, station);
            if before.is_some_and(|before| before != station) && station.is_some() {
                let reports = self.links.entry(link).or_default();
                let begin = Sweep { kind: MldRecordKind::Begin, from: 0, due: now, gap: Duration::ZERO };
                reports.sweeps = vec![begin, Sweep { due: now + UNSOLICITED_REPORT_INTERVAL, ..begin }];
            }
        }
    }

    /// A querier asks what is listened to.
    pub fn asked(&mut self, link: IfIndex, query: &MldQuery, groups: &Groups, now: Time) {
        if !groups.has(link) {
            return;
        }
        let (any, half) = (self.draw(query.max_response), query.max_response / 2);
        let reports = self.links.entry(link).or_default();
        if query.version == MldVersion::V1 {
            // RFC 3810 §8.2.1: "Older Version Querier Present Timeout".
            reports.first_version_until = Some(now + ROBUSTNESS * QUERY_INTERVAL + query.max_response);
        }
        match query.group {
            Some(asked) => {
                let due = now + any;
                let suffix = suffix_of(asked).filter(|suffix| groups.is_joined(link, *suffix));
                let Some(suffix) = suffix.filter(|_| reports.asked.len() < MOST_ASKED) else { return };
                let before = reports.asked.entry(suffix).or_insert(due);
                *before = due.min(*before);
            }
            // One that is under way says the same.
            None if reports.sweeps.iter().any(|sweep| sweep.due <= now + half) => {}
            None => {
                let packets = groups.count_joined(link).div_ceil(reports.records_at(now));
                let gap = half / u32::try_from(packets.max(1)).unwrap_or(u32::MAX);
                // Several begin in the first half of the time, and fill the second.
                let due = now + if packets > 1 { any / 2 } else { any };
                let kind = MldRecordKind::IsListened;
                reports.sweeps = vec![Sweep { kind, from: 0, due, gap }];
            }
        }
    }

    /// When something is to be told next.
    pub fn next_due(&self) -> Option<Time> {
        let due = self.links.values().filter_map(LinkReports::next_due).min()?;
        Some(if due == Time::ORIGIN { self.pace.ready_at() } else { due.max(self.pace.ready_at()) })
    }

    /// Tells what is due.
    pub fn tick(&mut self, groups: &Groups, ground: &impl Ground, out: &mut Vec<Output>, now: Time) {
        let mut links = std::mem::take(&mut self.links);
        links.retain(|link, reports| {
            let Some(station) = ground.station(*link) else { return false };
            self.stations.insert(*link, Some(station));
            self.tell(*link, reports, (groups, ground), station, out, now);
            !reports.is_empty(now)
        });
        self.links = links;
    }

    /// At the end: what is listened to from this group on is not any more, as many packets at a time. Where to go on.
    pub fn end(
        &mut self,
        groups: &Groups,
        ground: &impl Ground,
        (link, from): (IfIndex, u32),
        out: &mut Vec<Output>,
        now: Time,
    ) -> Option<(IfIndex, u32)> {
        let link = groups.links().find(|known| *known >= link)?;
        let reports = self.links.entry(link).or_default();
        *reports = LinkReports { first_version_until: reports.first_version_until, ..LinkReports::default() };
        let (version, most) = (reports.version(now), reports.records_at(now));
        let mut suffixes = groups.joined_from(link, from, most * ENDED);
        let next = suffixes.last().map(|last| (link, last + 1)).unwrap_or((IfIndex(link.0 + 1), 0));
        if let Some(station) = ground.station(link) {
            suffixes.retain(|suffix| !ground.is_kernels(link, *suffix));
            for records in suffixes.chunks(most) {
                let all = records.iter().map(|suffix| (*suffix, MldRecordKind::End)).collect();
                let report = report(station, version, all);
                // There is no later time to say it once more.
                out.extend([report.clone(), report].map(|report| Output::Report(link, report)));
            }
        }
        Some(next)
    }

    fn tell(
        &mut self,
        link: IfIndex,
        reports: &mut LinkReports,
        (groups, ground): (&Groups, &impl Ground),
        station: Station,
        out: &mut Vec<Output>,
        now: Time,
    ) {
        reports.first_version_until = reports.first_version_until.filter(|until| *until > now);
        let (version, most) = (reports.version(now), reports.records_at(now));
        let mut send = |pace: &mut Limiter, records: Vec<(u32, MldRecordKind)>| {
            let records: Vec<_> =
                records.into_iter().filter(|(suffix, _)| !ground.is_kernels(link, *suffix)).collect();
            if !records.is_empty() {
                pace.take_in_debt(now);
                out.push(Output::Report(link, report(station, version, records)));
            }
        };
        let changed = |(suffix, is_listened): (u32, bool)| {
            (suffix, if is_listened { MldRecordKind::Begin } else { MldRecordKind::End })
        };
        while !reports.fresh.is_empty() && self.pace.ready_at() <= now {
            let next: Vec<_> = std::iter::from_fn(|| reports.fresh.pop_first()).take(most).collect();
            reports.told.extend(next.iter().copied());
            send(&mut self.pace, next.into_iter().map(changed).collect());
            if reports.again.is_none() {
                self.drawn += 1;
                reports.again = Some(now + drawn(self.seed, self.drawn, UNSOLICITED_REPORT_INTERVAL));
            }
        }
        while reports.again.is_some_and(|again| again <= now) && self.pace.ready_at() <= now {
            let next: Vec<_> = std::iter::from_fn(|| reports.told.pop_first()).take(most).collect();
            send(&mut self.pace, next.into_iter().map(changed).collect());
            reports.again = reports.again.filter(|_| !reports.told.is_empty());
        }
        let due: Vec<_> = reports.asked.iter().filter(|(_, due)| **due <= now).map(|(s, _)| *s).collect();
        for suffixes in due.chunks(most) {
            suffixes.iter().for_each(|suffix| _ = reports.asked.remove(suffix));
            let listened = suffixes.iter().filter(|suffix| groups.is_joined(link, **suffix));
            send(&mut self.pace, listened.map(|suffix| (*suffix, MldRecordKind::IsListened)).collect());
        }
        while let Some(sweep) = reports.sweeps.first_mut().filter(|sweep| sweep.due <= now)
            && self.pace.ready_at() <= now
        {
            let next = groups.joined_from(link, sweep.from, most);
            match next.last().filter(|_| next.len() == most) {
                Some(last) => {
                    sweep.from = last + 1;
                    sweep.due = sweep.due.max(now) + sweep.gap;
                    let kind = sweep.kind;
                    send(&mut self.pace, next.into_iter().map(|suffix| (suffix, kind)).collect());
                }
                None => {
                    let kind = reports.sweeps.remove(0).kind;
                    send(&mut self.pace, next.into_iter().map(|suffix| (suffix, kind)).collect());
                }
            }
        }
    }

    /// A time at random, up to this one.
    fn draw(&mut self, most: Duration) -> Duration {
        self.drawn += 1;
        drawn(self.seed, self.drawn, most)
    }
}

impl LinkReports {
    fn next_due(&self) -> Option<Time> {
        let fresh = (!self.fresh.is_empty()).then_some(Time::ORIGIN);
        let sweep = self.sweeps.first().map(|sweep| sweep.due);
        let asked = self.asked.values().min().copied();
        [fresh, self.again, sweep, asked].into_iter().flatten().min()
    }

    fn is_empty(&self, now: Time) -> bool {
        self.next_due().is_none() && self.version(now) == MldVersion::V2
    }

    fn version(&self, now: Time) -> MldVersion {
        match self.first_version_until.is_some_and(|until| until > now) {
            true => MldVersion::V1,
            false => MldVersion::V2,
        }
    }

    fn records_at(&self, now: Time) -> usize {
        if self.version(now) == MldVersion::V1 { 1 } else { MldReport::MOST }
    }
}

fn report(
    (source_mac, source): Station,
    version: MldVersion,
    records: Vec<(u32, MldRecordKind)>,
) -> MldReport {
    let records =
        records.into_iter().map(|(suffix, kind)| MldRecord { kind, group: group(suffix) }).collect();
    MldReport { source_mac, source, version, records }
}

/// A time at random, up to this one: another for each number.
pub(super) fn drawn(seed: Seed, number: u64, most: Duration) -> Duration {
    let share = seed.hash_one(number) >> 32;
    let micros = (u128::from(share) * most.as_micros()) >> 32;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// The low 24 bits of a solicited-node group; none for another group.
fn suffix_of(asked: Ipv6Addr) -> Option<u32> {
    let suffix = (asked.to_bits() & 0xff_ffff) as u32;
    (group(suffix) == asked).then_some(suffix)
}

/// RFC 3810 §9.1.
const ROBUSTNESS: u32 = 2;
/// RFC 3810 §9.2.
const QUERY_INTERVAL: Duration = Duration::from_secs(125);
/// RFC 3810 §9.11.
const UNSOLICITED_REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Packets with reports, each with up to 61 groups.
const PER_SECOND: u32 = 200;
/// As many of them at once.
const AT_ONCE: u32 = 32;
/// Groups that queriers may have asked for one by one.
const MOST_ASKED: usize = 1_024;
/// Packets of one slice at the end.
const ENDED: usize = 4;

#[cfg(test)]
#[path = "reports_tests.rs"]
mod tests;
