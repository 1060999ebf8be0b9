//! What a scrape gets: everything that was counted, at one moment, as OpenMetrics text.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::Measures;
use super::stopwatch::Answers;
use crate::engine::facts::IfIndex;
use crate::engine::{Census, Engine, LinkCounters, RouteState};
use crate::wire::DropReason;

/// What was counted, at one moment.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// Those that are there now: one that went takes its series along, so that names that come and
    /// go do not add up.
    pub(super) upstreams: Vec<(String, LinkCounters)>,
    pub(super) targets: Census,
    /// In the order of [`ROUTE_STATES`].
    pub(super) routes: [u64; ROUTE_STATES.len()],
    pub(super) probes: u64,
    pub(super) announcements: u64,
    pub(super) downstream_answers: u64,
    pub(super) rivals: u64,
    pub(super) resyncs: u64,
    pub(super) problems: u64,
    pub(super) unserved: u64,
    pub(super) not_admitted: u64,
    /// Upstreams, and whichever of the downstreams lost any; [`MOST_INTERFACES`] at most.
    pub(super) drops: Vec<(String, u64)>,
    pub(super) answers: Answers,
    pub(super) started: SystemTime,
}

impl Snapshot {
    /// What the engine has counted, how many frames were dropped before it, and what was measured.
    pub(super) fn of(engine: &Engine, drops: &BTreeMap<IfIndex, u64>, measures: &Measures) -> Self {
        let name = |link: IfIndex| engine.links().get(link).map(|link| link.name.to_string());
        let counters = engine.counters();
        let mut routes = [0; ROUTE_STATES.len()];
        for (_, state) in engine.routes() {
            if let Some(at) = ROUTE_STATES.iter().position(|(known, _)| *known == state) {
                routes[at] += 1;
            }
        }
        let upstreams = engine.upstream_links();
        let is_upstream = |link: &IfIndex| engine.upstream_links().any(|upstream| upstream == *link);
        let of_upstreams = upstreams.map(|link| (link, drops.get(&link).copied().unwrap_or(0)));
        let others = drops.iter().map(|(link, count)| (*link, *count)).filter(|(link, _)| !is_upstream(link));
        Self {
            upstreams: engine.upstream_links().filter_map(|l| Some((name(l)?, counters.of(l)))).collect(),
            targets: engine.census(),
            routes,
            probes: counters.probes,
            announcements: counters.announcements,
            downstream_answers: counters.downstream_answers,
            rivals: counters.conflicts,
            resyncs: counters.resyncs,
            problems: engine.problems().len() as u64,
            unserved: engine.count_unserved() as u64,
            not_admitted: engine.count_refused() as u64,
            drops: of_upstreams
                .chain(others)
                .filter_map(|(link, count)| Some((name(link)?, count)))
                .take(MOST_INTERFACES)
                .collect(),
            answers: measures.stopwatch.as_ref().map(|watch| watch.answers().clone()).unwrap_or_default(),
            started: measures.started,
        }
    }

    /// All of it.
    pub(super) fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::with_capacity(LIKELY_LENGTH);
        encode(&mut text, &registry).expect("a String takes everything");
        text
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(&mut encoder);
        page.counters(
            "lone64_solicitations",
            "Frames on an upstream, by what became of them: answered, or the reason why not.",
            self.upstreams.iter().flat_map(|(upstream, counters)| {
                let dropped =
                    DropReason::ALL.iter().map(|reason| (reason.as_str(), counters.dropped(*reason)));
                let verdicts = [("answered", counters.answered)].into_iter().chain(dropped);
                verdicts
                    .map(|(verdict, count)| ([("upstream", upstream.as_str()), ("verdict", verdict)], count))
            }),
        )?;
        let Census { live, probing, absent } = self.targets;
        let targets = [("live", live), ("probing", probing), ("absent", absent)];
        let targets = targets.map(|(state, count)| ([("state", state)], count as u64));
        page.gauges("lone64_targets", "Targets that something is known of.", targets)?;
        let routes = ROUTE_STATES.iter().zip(self.routes);
        let routes = routes.map(|((_, state), count)| ([("state", *state)], count));
        page.gauges("lone64_routes", "Routes that are wanted in the kernel.", routes)?;
        page.gauges(
            "lone64_problems",
            "What the configuration asks for and the host does not have.",
            [([], self.problems)],
        )?;
        page.gauges(
            "lone64_unserved_networks",
            "Networks that the kernel routes inside an on-link prefix of an upstream, and that nobody serves.",
            [([], self.unserved)],
        )?;
        page.gauges(
            "lone64_not_admitted_targets",
            "Targets that the provider does not admit: its gateway answers the host, and not them.",
            [([], self.not_admitted)],
        )?;
        for (name, help, count) in [
            ("lone64_probes", "Probes sent.", self.probes),
            ("lone64_announcements", "Advertisements sent that nobody asked for.", self.announcements),
            (
                "lone64_downstream_answers",
                "Answers to guests on their own link (proxy-downstream).",
                self.downstream_answers,
            ),
            (
                "lone64_rival_advertisements",
                "Advertisements of others on an upstream for targets of ours.",
                self.rivals,
            ),
            ("lone64_netlink_resyncs", "How often everything was read again from the kernel.", self.resyncs),
        ] {
            page.counters(name, help, [([], count)])?;
        }
        page.counters(
            "lone64_packet_drops",
            "Frames that passed the filter and found the socket's queue full.",
            self.drops.iter().map(|(interface, count)| ([("interface", interface.as_str())], *count)),
        )?;
        page.histogram(
            "lone64_answer",
            "From the reception of a question to the answer, where that was known at once.",
            &self.answers,
        )?;
        page.info("lone64_build", "The version of lone64.", [("version", env!("CARGO_PKG_VERSION"))])?;
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        page.seconds("process_start_time", "When lone64 was started, since 1970.", started)
    }
}

/// Writes one metric after the other.
struct Page<'p, 'e>(&'p mut DescriptorEncoder<'e>);

/// A sample: its labels, and how much.
type Sample<'a, const LABELS: usize> = ([(&'a str, &'a str); LABELS], u64);

impl Page<'_, '_> {
    fn counters<'a, const LABELS: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'a, LABELS>>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in samples {
            match LABELS {
                // Not even the braces.
                0 => metric.encode_counter(&count, NO_EXEMPLAR)?,
                _ => metric.encode_family(&labels)?.encode_counter(&count, NO_EXEMPLAR)?,
            }
        }
        Ok(())
    }

    fn gauges<'a, const LABELS: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'a, LABELS>>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, count) in samples {
            match LABELS {
                0 => metric.encode_gauge(&count)?,
                _ => metric.encode_family(&labels)?.encode_gauge(&count)?,
            }
        }
        Ok(())
    }

    /// Its name ends in `_seconds`.
    fn histogram(&mut self, name: &str, help: &str, answers: &Answers) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(answers.seconds(), answers.count(), &answers.buckets(), None)
    }

    /// Its name ends in `_seconds`.
    fn seconds(&mut self, name: &str, help: &str, seconds: f64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
        metric.encode_gauge(&seconds)
    }

    /// Its name ends in `_info`.
    fn info(&mut self, name: &str, help: &str, labels: [(&str, &str); 1]) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }
}

const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, u64>> = None;
const ROUTE_STATES: [(RouteState, &str); 4] = [
    (RouteState::Installed, "installed"),
    (RouteState::Conflict, "conflict"),
    (RouteState::Pending, "pending"),
    (RouteState::Refused, "refused"),
];
/// There may be thousands of downstreams; a flood of them must not become one of series.
const MOST_INTERFACES: usize = 256;
/// Bytes.
const LIKELY_LENGTH: usize = 16 << 10;

#[cfg(test)]
#[path = "exposition_tests.rs"]
pub(super) mod tests;
