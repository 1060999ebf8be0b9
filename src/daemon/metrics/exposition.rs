//! What a scrape gets: everything that was counted, at one moment, as text.

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
use super::accept::Format;
use super::catalog::{self, Kind, Metric};
use super::stopwatch::Answers;
use crate::engine::facts::IfIndex;
use crate::engine::guests::Breach;
use crate::engine::{Census, Engine, LinkCounters, PinCount, RouteState};
use crate::wire::DropReason;

/// What was counted, at one moment.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// Those that are there now: one that went takes its series along, so that names that come and
    /// go do not add up.
    pub(super) upstreams: Vec<(String, LinkCounters)>,
    pub(super) targets: Census,
    /// Upstreams that have a program.
    pub(super) programs: Vec<(String, u64)>,
    /// In the order of [`ROUTE_STATES`].
    pub(super) routes: [u64; ROUTE_STATES.len()],
    pub(super) probes: u64,
    pub(super) announcements: u64,
    pub(super) downstream_answers: u64,
    pub(super) rivals: u64,
    pub(super) resyncs: u64,
    pub(super) problems: u64,
    /// Those that are here, and those that wait.
    pub(super) guests: [u64; 2],
    /// Of guests of which something was dropped, and for which reason; [`MOST_GUESTS`] at most.
    pub(super) guards: Vec<(String, Breach, u64)>,
    /// Those that have come, and those that have left.
    pub(super) moves: [u64; 2],
    pub(super) flapping: u64,
    pub(super) claims: u64,
    pub(super) pins: PinCount,
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
        let (known, here, claims) = engine.identified().count();
        let (moves, flapping) = engine.identified().count_moves();
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
            programs: engine
                .upstream_links()
                .filter(|link| engine.has_program(*link))
                .filter_map(|link| Some((name(link)?, engine.count_mirrored_on(link) as u64)))
                .collect(),
            routes,
            probes: counters.probes,
            announcements: counters.announcements,
            downstream_answers: counters.downstream_answers,
            rivals: counters.conflicts,
            resyncs: counters.resyncs,
            problems: engine.problems().len() as u64,
            guests: [here as u64, (known - here) as u64],
            guards: guard_drops(engine),
            moves: [moves.arrived, moves.left],
            flapping: flapping as u64,
            claims: claims as u64,
            pins: engine.pins(),
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

    /// All of it, in this format.
    pub(super) fn text(&self, format: Format) -> String {
        let mut text = String::with_capacity(LIKELY_LENGTH);
        let written = match format {
            Format::Text => super::text::text(&self.families(), &mut text),
            Format::OpenMetrics => {
                let mut registry = Registry::default();
                registry.register_collector(Box::new(self.clone()));
                encode(&mut text, &registry)
            }
        };
        written.expect("a String takes everything");
        text
    }

    /// Every metric with its samples.
    pub(super) fn families(&self) -> Vec<Family<'_>> {
        let Census { live, probing, absent } = self.targets;
        let targets = [("live", live), ("probing", probing), ("absent", absent)];
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let guests = [("here", self.guests[0]), ("waiting", self.guests[1])];
        let guards = self.guards.iter().map(|(guest, breach, packets)| {
            (vec![("guest", guest.as_str()), ("reason", breach.as_str())], *packets)
        });
        let moves = [("arrived", self.moves[0]), ("left", self.moves[1])];
        let routes = ROUTE_STATES.iter().zip(self.routes);
        let drops = self.drops.iter();
        let verdicts = self.upstreams.iter().flat_map(|(upstream, counters)| {
            let dropped = DropReason::ALL.iter().map(|reason| (reason.as_str(), counters.dropped(*reason)));
            [(ANSWERED, counters.answered)]
                .into_iter()
                .chain(dropped)
                .map(|(verdict, count)| (vec![("upstream", upstream.as_str()), ("verdict", verdict)], count))
        });
        let PinCount { kept, kept_out, refused, put_back } = self.pins;
        let pins = [("kept", kept), ("kept_out", kept_out + refused)];
        let counts: [(&'static Metric, Vec<Sample<'_>>); 21] = [
            (&catalog::SOLICITATIONS, verdicts.collect()),
            (&catalog::TARGETS, targets.map(|(state, n)| (vec![("state", state)], n as u64)).to_vec()),
            (
                &catalog::PROGRAM_TARGETS,
                self.programs.iter().map(|(name, n)| (vec![("upstream", name.as_str())], *n)).collect(),
            ),
            (&catalog::ROUTES, routes.map(|((_, state), n)| (vec![("state", *state)], n)).collect()),
            (&catalog::GUESTS, guests.map(|(state, n)| (vec![("state", state)], n)).to_vec()),
            (&catalog::GUARD_DROPS, guards.collect()),
            (&catalog::MOVES, moves.map(|(way, n)| (vec![("direction", way)], n)).to_vec()),
            (&catalog::FLAPPING, alone(self.flapping)),
            (&catalog::CLAIMS, alone(self.claims)),
            (&catalog::PINS, pins.map(|(state, n)| (vec![("state", state)], n as u64)).to_vec()),
            (&catalog::PINS_PUT_BACK, alone(put_back)),
            (&catalog::PROBLEMS, alone(self.problems)),
            (&catalog::UNSERVED, alone(self.unserved)),
            (&catalog::NOT_ADMITTED, alone(self.not_admitted)),
            (&catalog::PROBES, alone(self.probes)),
            (&catalog::ANNOUNCEMENTS, alone(self.announcements)),
            (&catalog::DOWNSTREAM_ANSWERS, alone(self.downstream_answers)),
            (&catalog::RIVAL_ADVERTISEMENTS, alone(self.rivals)),
            (&catalog::NETLINK_RESYNCS, alone(self.resyncs)),
            (
                &catalog::PACKET_DROPS,
                drops.map(|(name, n)| (vec![("interface", name.as_str())], *n)).collect(),
            ),
            (&catalog::BUILD, vec![(vec![("version", env!("CARGO_PKG_VERSION"))], 1)]),
        ];
        let mut families: Vec<_> = counts
            .into_iter()
            .map(|(metric, counts)| Family { metric, samples: Samples::Counts(counts) })
            .collect();
        let answers = Family { metric: &catalog::ANSWER, samples: Samples::Histogram(&self.answers) };
        families.insert(families.len() - 1, answers);
        families.push(Family { metric: &catalog::START_TIME, samples: Samples::Seconds(started) });
        families
    }
}

fn guard_drops(engine: &Engine) -> Vec<(String, Breach, u64)> {
    let with_drops =
        engine.identified().iter().filter_map(|seen| Some((seen.policy.name.clone(), seen.drops?)));
    let all = with_drops.take(MOST_GUESTS).flat_map(|(name, drops)| {
        let counted = Breach::ALL.into_iter().zip(drops).filter(|(_, packets)| **packets > 0);
        counted.map(move |(breach, packets)| (name.clone(), breach, *packets))
    });
    all.collect()
}

/// A metric with its samples.
#[derive(Debug)]
pub(super) struct Family<'a> {
    pub(super) metric: &'static Metric,
    pub(super) samples: Samples<'a>,
}

/// What was counted or measured.
#[derive(Debug)]
pub(super) enum Samples<'a> {
    Counts(Vec<Sample<'a>>),
    Seconds(f64),
    Histogram(&'a Answers),
}

/// Its labels, and how much.
type Sample<'a> = (Vec<(&'a str, &'a str)>, u64);

/// The one sample of a metric without labels.
fn alone<'a>(count: u64) -> Vec<Sample<'a>> {
    vec![(Vec::new(), count)]
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.families().iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

impl Family<'_> {
    /// As OpenMetrics has it.
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Metric { name, kind, help, .. } = self.metric;
        let (name, unit) = match name.strip_suffix("_seconds") {
            Some(name) => (name, Some(&Unit::Seconds)),
            None => (*name, None),
        };
        let kind = match kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        };
        let mut metric = encoder.encode_descriptor(name, help, unit, kind)?;
        let counts = match &self.samples {
            Samples::Counts(counts) => counts,
            Samples::Seconds(seconds) => return metric.encode_gauge(seconds),
            Samples::Histogram(answers) => {
                let buckets = answers.buckets();
                return metric.encode_histogram::<NoLabelSet>(
                    answers.seconds(),
                    answers.count(),
                    &buckets,
                    None,
                );
            }
        };
        for (labels, count) in counts {
            match (self.metric.kind, labels.as_slice()) {
                (Kind::Info, _) => metric.encode_info(labels)?,
                // Not even the braces.
                (Kind::Counter, []) => metric.encode_counter(count, NO_EXEMPLAR)?,
                (Kind::Counter, _) => metric.encode_family(labels)?.encode_counter(count, NO_EXEMPLAR)?,
                (_, []) => metric.encode_gauge(count)?,
                _ => metric.encode_family(labels)?.encode_gauge(count)?,
            }
        }
        Ok(())
    }
}

/// The verdict of a frame that was answered. Each of the others is a [`DropReason`].
pub const ANSWERED: &str = "answered";
const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, u64>> = None;
const ROUTE_STATES: [(RouteState, &str); 4] = [
    (RouteState::Installed, "installed"),
    (RouteState::Conflict, "conflict"),
    (RouteState::Pending, "pending"),
    (RouteState::Refused, "refused"),
];
/// There may be thousands of downstreams; a flood of them must not become one of series.
const MOST_INTERFACES: usize = 256;
/// The same for guests that send what is not theirs.
const MOST_GUESTS: usize = 256;
/// Bytes.
const LIKELY_LENGTH: usize = 16 << 10;

#[cfg(test)]
#[path = "exposition_tests.rs"]
pub(super) mod tests;
