//! Every metric: its name, its type, its labels and what it means. The two text formats and lone64-metrics(7) are made
//! of this table.
//!
//! May touch: nothing.

/// One metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name of the family, without the ending that its type adds to it.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means: one sentence.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows while the daemon runs.
    Counter,
    /// A number that can also shrink.
    Gauge,
    /// Counts of durations in seconds, by upper bounds.
    Histogram,
    /// Always 1: the labels have the information.
    Info,
}

impl Metric {
    /// The name of its samples; a histogram has samples with `_bucket`, `_sum` and `_count` behind it.
    pub fn series(&self) -> String {
        format!("{}{}", self.name, self.kind.ending())
    }
}

impl Kind {
    /// Its name for people, and in Prometheus' text format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            // The text format has no type for information.
            Self::Gauge | Self::Info => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// What is behind the name of the family in that of its samples.
    const fn ending(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Info => "_info",
            Self::Gauge | Self::Histogram => "",
        }
    }
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(pub(super) const $constant: Metric =
            Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)+

        /// Every metric, in the order of a scrape.
        pub const ALL: &[&Metric] = &[$(&$constant),+];
    };
}

metrics! {
    SOLICITATIONS = Counter "lone64_solicitations" ["upstream", "verdict"]
        "Frames that arrived on an upstream, by verdict.";
    TARGETS = Gauge "lone64_targets" ["state"]
        "Targets that lone64 knows, by state.";
    PROGRAM_TARGETS = Gauge "lone64_program_targets" ["upstream"]
        "Live targets that the program in the kernel answers for. None where there is no program.";
    ROUTES = Gauge "lone64_routes" ["state"]
        "Routes that lone64 wants in the kernel, by state.";
    GUESTS = Gauge "lone64_guests" ["state"]
        "Guests of [[guest]], by state: here, or waiting for their interface or their MAC.";
    GUARD_DROPS = Counter "lone64_guard_drops" ["guest", "reason"]
        "Packets of a guest that its guard dropped, by reason.";
    MOVES = Counter "lone64_guest_moves" ["direction"]
        "Guests of [[guest]] that have come to this host, or left it for another one.";
    FLAPPING = Gauge "lone64_flapping_guests" []
        "Guests of [[guest]] that come and go too often to be announced at once.";
    CLAIMS = Gauge "lone64_claims" []
        "Addresses, prefixes and guests that are claimed.";
    PINS = Gauge "lone64_pins" ["state"]
        "Permanent neighbor entries of guests, by state: kept, or kept out by another program or the kernel.";
    PINS_PUT_BACK = Counter "lone64_pins_put_back" []
        "Times that such an entry was put back after another program had overwritten or removed it.";
    PROBLEMS = Gauge "lone64_problems" []
        "Problems: the configuration asks for something that the host does not have.";
    UNSERVED = Gauge "lone64_unserved_networks" []
        "Networks inside an on-link prefix of an upstream that no range serves.";
    NOT_ADMITTED = Gauge "lone64_not_admitted_targets" []
        "Targets that the provider does not admit: the gateway answers the host and not them.";
    PROBES = Counter "lone64_probes" []
        "Probes sent.";
    ANNOUNCEMENTS = Counter "lone64_announcements" []
        "Unsolicited advertisements sent.";
    DOWNSTREAM_ANSWERS = Counter "lone64_downstream_answers" []
        "Answers sent to guests on their own link (proxy-downstream).";
    RIVAL_ADVERTISEMENTS = Counter "lone64_rival_advertisements" []
        "Advertisements that another host on an upstream sent for our targets.";
    NETLINK_RESYNCS = Counter "lone64_netlink_resyncs" []
        "Times that lone64 read everything from the kernel again.";
    PACKET_DROPS = Counter "lone64_packet_drops" ["interface"]
        "Frames lost because the queue of the packet socket, or its ring, was full.";
    ANSWER = Histogram "lone64_answer_seconds" []
        "Time from receiving a solicitation to sending the answer, for live targets.";
    BUILD = Info "lone64_build" ["version"]
        "The version of lone64.";
    START_TIME = Gauge "process_start_time_seconds" []
        "Time when lone64 started, in seconds since 1970.";
}
