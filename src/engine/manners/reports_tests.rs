//! The machine alone: what is told, when, and how often.

use super::*;
use crate::engine::policy::Limits;
use core::net::Ipv6Addr;
use std::collections::BTreeSet;

const UP: IfIndex = IfIndex(2);
const STATION: Station = (Mac([2, 0, 0, 0, 0, 1]), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));

struct Link {
    station: Option<Station>,
    kernels: BTreeSet<u32>,
}

impl Ground for Link {
    fn station(&self, _: IfIndex) -> Option<Station> {
        self.station
    }

    fn is_kernels(&self, _: IfIndex, suffix: u32) -> bool {
        self.kernels.contains(&suffix)
    }
}

/// A link, the groups on it, and a clock.
struct Lab {
    groups: Groups,
    reports: Reports,
    link: Link,
    now: Time,
}

impl Lab {
    fn new(seed: u64) -> Self {
        let link = Link { station: Some(STATION), kernels: BTreeSet::new() };
        let groups = Groups::new(Limits::default().targets);
        Self {
            groups,
            reports: Reports::new(Seed([seed, 2])),
            link,
            now: Time::at(Duration::from_secs(1_000)),
        }
    }

    fn join(&mut self, number: u32, is_joined: bool) {
        let target = Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(number));
        self.groups.count(number, target, is_joined.then_some(UP));
        for (link, suffix, is_joined) in self.groups.take_wishes() {
            self.reports.change(link, suffix, is_joined);
        }
    }

    fn ask(&mut self, version: MldVersion, group: Option<Ipv6Addr>) {
        let max_response = Duration::from_secs(10);
        let (source_mac, source) = (Mac([2, 0, 0, 0, 0, 9]), "fe80::9".parse().expect("an address"));
        let query = MldQuery { source_mac, source, version, group, max_response };
        self.reports.asked(UP, &query, &self.groups, self.now);
    }

    fn tick(&mut self) -> Vec<MldReport> {
        let mut out = Vec::new();
        self.reports.tick(&self.groups, &self.link, &mut out, self.now);
        let report = |output| match output {
            Output::Report(UP, report) => report,
            other => panic!("{other:?}"),
        };
        out.into_iter().map(report).collect()
    }

    /// Everything of so long, each with its time.
    fn pass(&mut self, time: Duration) -> Vec<(Time, MldReport)> {
        let until = self.now + time;
        let mut all = Vec::new();
        while let Some(due) = self.reports.next_due().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            let reports = self.tick();
            all.extend(reports.into_iter().map(|report| (self.now, report)));
        }
        self.now = until;
        all
    }
}

fn records(reports: &[MldReport]) -> Vec<(MldRecordKind, Ipv6Addr)> {
    reports.iter().flat_map(|report| &report.records).map(|record| (record.kind, record.group)).collect()
}

fn untimed(reports: Vec<(Time, MldReport)>) -> Vec<MldReport> {
    reports.into_iter().map(|(_, report)| report).collect()
}

#[test]
fn a_change_is_told_at_once_and_once_more_within_a_second() {
    for seed in 0..50 {
        let mut lab = Lab::new(seed);
        lab.join(5, true);
        let begun = (MldRecordKind::Begin, group(5));
        let told = lab.tick();
        assert_eq!(records(&told), [begun]);
        assert_eq!(
            (told[0].source_mac, told[0].source, told[0].version),
            (STATION.0, STATION.1, MldVersion::V2)
        );
        assert_eq!(records(&untimed(lab.pass(UNSOLICITED_REPORT_INTERVAL))), [begun]);
        assert_eq!(lab.pass(Duration::from_secs(10_000)), [], "then only when it is asked");
        lab.join(5, false);
        let ended = (MldRecordKind::End, group(5));
        assert_eq!(records(&lab.tick()), [ended]);
        assert_eq!(records(&untimed(lab.pass(UNSOLICITED_REPORT_INTERVAL))), [ended]);
        assert_eq!(lab.reports.next_due(), None);
    }
}

#[test]
fn one_that_ends_before_it_was_told_twice_only_ends() {
    let mut lab = Lab::new(1);
    lab.join(5, true);
    lab.tick();
    lab.join(5, false);
    let all = [lab.tick(), untimed(lab.pass(Duration::from_secs(5)))].concat();
    assert!(records(&all).iter().all(|(kind, _)| *kind == MldRecordKind::End), "{all:?}");
}

#[test]
fn many_go_into_a_packet_and_packets_are_paced() {
    let mut lab = Lab::new(1);
    (0..61 * 100).for_each(|number| lab.join(number, true));
    let at_once = lab.tick();
    assert!(at_once.iter().all(|report| report.records.len() == MldReport::MOST));
    assert_eq!(at_once.len(), AT_ONCE as usize);
    let rest = lab.pass(Duration::from_secs(5));
    let told: BTreeSet<_> = records(&[at_once, untimed(rest)].concat()).into_iter().collect();
    assert_eq!(told.len(), 6_100);
}

#[test]
fn a_query_is_answered_for_all_groups_within_its_time_and_not_all_at_once() {
    for (count, seed) in [(1, 1), (61, 2), (62, 3), (6_100, 4), (6_100, 5), (65_536, 6)] {
        let mut lab = Lab::new(seed);
        (0..count).for_each(|number| lab.join(number, true));
        lab.pass(Duration::from_secs(60));
        let asked = lab.now;
        lab.ask(MldVersion::V2, None);
        let answers = lab.pass(Duration::from_secs(60));
        let last = answers.last().expect("an answer").0;
        assert!(last <= asked + Duration::from_secs(10), "{count}: {last:?}");
        let told = records(&untimed(answers));
        assert!(told.iter().all(|(kind, _)| *kind == MldRecordKind::IsListened));
        let distinct: BTreeSet<_> = told.iter().collect();
        assert_eq!((told.len(), distinct.len()), (count as usize, count as usize));
    }
}

#[test]
fn a_question_for_one_group_is_answered_if_it_is_listened_to() {
    let mut lab = Lab::new(1);
    lab.join(5, true);
    lab.pass(Duration::from_secs(60));
    for asked in [group(6), "ff02::fb".parse().expect("a group"), "ff05::1:ff00:5".parse().expect("a group")]
    {
        lab.ask(MldVersion::V2, Some(asked));
        assert_eq!(lab.pass(Duration::from_secs(60)), []);
    }
    lab.ask(MldVersion::V2, Some(group(5)));
    lab.ask(MldVersion::V2, Some(group(5)));
    let answers = untimed(lab.pass(Duration::from_secs(10)));
    assert_eq!(records(&answers), [(MldRecordKind::IsListened, group(5))]);
}

#[test]
fn an_old_querier_is_spoken_to_in_its_version_until_it_is_silent() {
    let mut lab = Lab::new(1);
    (1..=3).for_each(|number| lab.join(number, true));
    lab.pass(Duration::from_secs(60));
    lab.ask(MldVersion::V1, None);
    let answers = lab.pass(Duration::from_secs(20));
    assert_eq!(answers.len(), 3, "a report for each group");
    assert!(answers.iter().all(|(_, report)| report.version == MldVersion::V1 && report.records.len() == 1));
    lab.join(4, true);
    assert_eq!(lab.tick()[0].version, MldVersion::V1);
    lab.pass(ROBUSTNESS * QUERY_INTERVAL + Duration::from_secs(10));
    lab.join(5, true);
    assert_eq!(lab.tick()[0].version, MldVersion::V2);
}

#[test]
fn the_kernels_own_groups_are_never_reported() {
    let mut lab = Lab::new(1);
    lab.link.kernels.insert(5);
    (4..=6).for_each(|number| lab.join(number, true));
    lab.ask(MldVersion::V2, None);
    lab.ask(MldVersion::V2, Some(group(5)));
    lab.join(5, false);
    let all = untimed(lab.pass(Duration::from_secs(60)));
    assert!(!records(&all).iter().any(|(_, told)| *told == group(5)), "{all:?}");
    assert!(all.iter().all(|report| !report.records.is_empty()));
}

#[test]
fn all_is_told_again_where_the_link_was_down_or_reports_come_from_another_station() {
    let mut lab = Lab::new(1);
    lab.join(5, true);
    lab.pass(Duration::from_secs(60));
    let again = |lab: &mut Lab, station: Option<Station>| {
        lab.link.station = station;
        lab.reports.settle(&lab.groups, &lab.link, lab.now);
        untimed(lab.pass(Duration::from_secs(60)))
    };
    assert_eq!(again(&mut lab, Some(STATION)), []);
    assert_eq!(again(&mut lab, None), []);
    let begun = (MldRecordKind::Begin, group(5));
    let told = again(&mut lab, Some((STATION.0, Ipv6Addr::UNSPECIFIED)));
    assert_eq!(records(&told), [begun, begun]);
    assert!(told[0].source.is_unspecified(), "RFC 3590");
    assert_eq!(again(&mut lab, Some(STATION))[0].source, STATION.1);
}

#[test]
fn at_the_end_everything_ends_in_the_version_of_the_querier() {
    for version in [MldVersion::V2, MldVersion::V1] {
        let mut lab = Lab::new(1);
        (0..500).for_each(|number| lab.join(number, true));
        lab.link.kernels.insert(7);
        lab.ask(version, None);
        let (mut out, mut from) = (Vec::new(), Some((IfIndex(0), 0)));
        while let Some(next) = from {
            let before = out.len();
            from = lab.reports.end(&lab.groups, &lab.link, next, &mut out, lab.now);
            assert!(out.len() - before <= 2 * ENDED);
        }
        let reports: Vec<_> = out
            .into_iter()
            .filter_map(|output| match output {
                Output::Report(UP, report) => Some(report),
                _ => None,
            })
            .collect();
        assert!(reports.iter().all(|report| report.version == version));
        let told = records(&reports);
        assert_eq!(told.len(), 2 * 499);
        assert!(told.iter().all(|(kind, _)| *kind == MldRecordKind::End));
    }
}

#[test]
fn a_report_of_all_that_is_under_way_is_not_put_off_by_another_question() {
    let half = Duration::from_secs(5);
    let mut late = 0;
    for seed in 0..20 {
        let mut lab = Lab::new(seed);
        lab.join(1, true);
        let mut due = || {
            lab.ask(MldVersion::V2, None);
            lab.reports.links[&UP].sweeps.iter().map(|sweep| sweep.due).collect::<Vec<_>>()
        };
        let (first, second) = (due(), due());
        let limit = Time::at(Duration::from_secs(1_000)) + half;
        if first[0] <= limit {
            assert_eq!(first, second);
        }
        late += usize::from(first[0] > limit);
    }
    // One packet has all of the time.
    assert!((1..20).contains(&late), "{late}");
}

#[test]
fn each_report_has_a_moment_of_its_own() {
    let mut lab = Lab::new(1);
    let groups: Vec<_> = (1..=3).map(|n: u32| lone_group(&mut lab, n)).collect();
    groups.iter().for_each(|group| lab.ask(MldVersion::V2, Some(*group)));
    let due: BTreeSet<_> = lab.reports.links[&UP].asked.values().copied().collect();
    assert_eq!(due.len(), 3);
}

/// The group of a target of this number, which is joined.
fn lone_group(lab: &mut Lab, number: u32) -> Ipv6Addr {
    lab.join(number, true);
    crate::wire::solicited_node(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(number)))
}

#[test]
fn a_change_is_told_once_more_at_another_moment_than_the_one_before() {
    let mut lab = Lab::new(1);
    let mut pause = |number| {
        lab.join(number, true);
        lab.tick();
        let due = lab.reports.next_due().expect("it is told once more");
        let pause = due.since(lab.now);
        lab.pass(UNSOLICITED_REPORT_INTERVAL);
        pause
    };
    let pauses = BTreeSet::from([1, 2, 3].map(&mut pause));
    assert_eq!(pauses.len(), 3, "{pauses:?}");
}
