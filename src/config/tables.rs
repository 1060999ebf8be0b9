//! The tables of the file, key by key: each value with its place, its bounds and its words.
//!
//! May touch: nothing.

use std::time::Duration;

use toml::de::DeValue;

use super::configuration::{Control, Log, LogFormat, LogLevel, Sysctl};
use super::downstreams::{self, Downstreams};
use super::duration;
use super::gateway;
use super::mirror::{Range, Upstream};
use super::problem::Report;
use super::section::{Field, Section, kind, refuse};
use super::{sockets, synonyms};
use crate::engine::policy::{
    Announce, Answer, Backend, GatewaySource, Limits, Mld, OnStop, Override, RangeRoutes, RoutePolicy,
    Source, Timers,
};

pub(super) fn upstream(section: &Section<'_>, report: &mut Report<'_>) -> Upstream {
    let default = Upstream::new(section.place.clone(), section.interface("interface", report));
    let overrides =
        [("takeover", Override::Takeover), ("always", Override::Always), ("never", Override::Never)];
    let sources = [
        ("auto", Source::Auto),
        ("scope", Source::Scope),
        ("target", Source::Target),
        ("link-local", Source::LinkLocal),
        ("global", Source::Global),
    ];
    let gateway_sources =
        [("auto", GatewaySource::Auto), ("kernel", GatewaySource::Kernel), ("global", GatewaySource::Global)];
    let backends = [Backend::Packet, Backend::Tc, Backend::Auto].map(|backend| (backend.as_str(), backend));
    Upstream {
        written: section.written(),
        automatic: section.flag("automatic", report),
        ignore: downstreams::patterns(section, "ignore", report),
        router: section.flag("router", report).or(default.router),
        override_flag: section.choice("override", &overrides, report).or(default.override_flag),
        source: section.choice_or_address("source", &sources, Source::Address, report).or(default.source),
        announce: announce(section, report).or(default.announce),
        gateway_source: section.choice("gateway-source", &gateway_sources, report).or(default.gateway_source),
        mld: mld(section, report).or(default.mld),
        suppress_kernel: section.flag("suppress-kernel", report).or(default.suppress_kernel),
        backend: section.choice("backend", &backends, report).or(default.backend),
        on_crash_answer: on_crash_answer(section, default.on_crash_answer, report),
        ..default
    }
}

/// A duration, which may be zero.
fn on_crash_answer(section: &Section<'_>, default: Duration, report: &mut Report<'_>) -> Duration {
    const KEY: &str = "on-crash-answer";
    let text = section.entry(KEY).and_then(|(value, _)| value.as_str());
    if text.is_some_and(|text| ["0", "0ms", "0s", "0m", "0h"].contains(&text)) {
        return Duration::ZERO;
    }
    section.duration(KEY, default, report)
}

/// A flag with a third value, or a period.
fn announce(section: &Section<'_>, report: &mut Report<'_>) -> Field<Announce> {
    const REMEDY: &str = "write true, false, \"dad\", or a period such as \"5m\"";
    let Some((value, place)) = section.entry("announce") else { return Field::Absent };
    match value {
        DeValue::Boolean(true) => Field::Is(Announce::Yes, place),
        DeValue::Boolean(false) => Field::Is(Announce::No, place),
        DeValue::String(text) if text == "dad" => Field::Is(Announce::Dad, place),
        DeValue::String(text) => {
            let is_period = text.starts_with(|first: char| first.is_ascii_digit());
            let remedy = match duration::parse(text) {
                Ok(period) if period >= Announce::SHORTEST => {
                    return Field::Is(Announce::Every(period), place);
                }
                Ok(_) => "write at least \"10s\"".to_owned(),
                Err(remedy) if is_period => synonyms::of_duration(text).unwrap_or_else(|| remedy.to_owned()),
                Err(_) => REMEDY.to_owned(),
            };
            refuse(report, &place, format!("`announce` cannot be \"{text}\""), remedy)
        }
        DeValue::Integer(number) => {
            let remedy = format!("write \"{}s\" for seconds, or true, false or \"dad\"", number.as_str());
            refuse(report, &place, "`announce` has no unit".to_owned(), remedy)
        }
        _ => refuse(report, &place, format!("`announce` is {}", kind(value)), REMEDY),
    }
}

/// A flag with a third value.
fn mld(section: &Section<'_>, report: &mut Report<'_>) -> Field<Mld> {
    const REMEDY: &str = "write true, false or \"router\"";
    let Some((value, place)) = section.entry("mld") else { return Field::Absent };
    match value {
        DeValue::Boolean(true) => Field::Is(Mld::Reports, place),
        DeValue::Boolean(false) => Field::Is(Mld::No, place),
        DeValue::String(text) if text == "router" => Field::Is(Mld::Router, place),
        DeValue::String(text) => refuse(report, &place, format!("`mld` cannot be \"{text}\""), REMEDY),
        _ => refuse(report, &place, format!("`mld` is {}", kind(value)), REMEDY),
    }
}

pub(super) fn range(section: &Section<'_>, report: &mut Report<'_>) -> Range {
    let interface = Downstreams::read(section, report);
    let default = Range::new(section.place.clone(), section.prefix("prefix", report), interface);
    let answers = [("live", Answer::Live), ("always", Answer::Always), ("never", Answer::Never)];
    let routes =
        [("range", RangeRoutes::Range), ("guests", RangeRoutes::Guests), ("none", RangeRoutes::None)];
    Range {
        written: section.written(),
        suffix: section.prefix("suffix", report),
        upstream: section.interface("upstream", report),
        answer: section.choice("answer", &answers, report),
        routes: section.choice("routes", &routes, report),
        backstop: section.flag("backstop", report).or(default.backstop),
        gateway: gateway::read(section, report),
        exclude: section.prefixes("exclude", report),
        proxy_downstream: section.flag("proxy-downstream", report),
        guard: section.flag("guard", report),
        standby: section.flag("standby", report),
        ..default
    }
}

pub(super) fn routes(section: &Section<'_>, report: &mut Report<'_>) -> RoutePolicy {
    let default = RoutePolicy::default();
    let on_stop = [("remove", OnStop::Remove), ("keep", OnStop::Keep)];
    RoutePolicy {
        protocol: protocol(section, report).or(default.protocol),
        table: table(section, report).or(default.table),
        metric: section.number("metric", 1..=RoutePolicy::BACKSTOP_METRIC - 1, report).or(default.metric),
        on_stop: section.choice("on-stop", &on_stop, report).or(default.on_stop),
    }
}

/// A number of a routing protocol that nobody else uses, since we remove whatever carries it.
fn protocol(section: &Section<'_>, report: &mut Report<'_>) -> Field<u8> {
    const REMEDY: &str = "write a number that is free on this host; 64 is the default";
    let Field::Is(number, place) = section.number("protocol", 0..=u32::from(u8::MAX), report) else {
        return Field::Absent;
    };
    let owner = match number {
        0..=4 => "the kernel and its administrator",
        11 | 186..=198 => "zebra (FRR), which removes routes that it finds there",
        12 => "BIRD",
        5..=18 => "the kernel's list of routing daemons",
        42 => "babeld",
        84 => "OVN",
        99 => "Open/R",
        _ => return u8::try_from(number).map_or(Field::Wrong, |number| Field::Is(number, place)),
    };
    refuse(report, &place, format!("route protocol {number} belongs to {owner}"), REMEDY)
}

fn table(section: &Section<'_>, report: &mut Report<'_>) -> Field<u32> {
    const REMEDY: &str = "write \"main\" or the number of a table";
    let Some((value, place)) = section.entry("table") else { return Field::Absent };
    match value {
        DeValue::String(name) if name == "main" => Field::Is(RoutePolicy::default().table, place),
        DeValue::String(name) => refuse(report, &place, format!("unknown routing table \"{name}\""), REMEDY),
        DeValue::Integer(_) => match section.number("table", 1..=u32::MAX, report) {
            Field::Is(255, place) => {
                let sentence = "table 255 (local) belongs to the kernel".to_owned();
                refuse(report, &place, sentence, REMEDY)
            }
            number => number,
        },
        _ => refuse(report, &place, format!("`table` is {}", kind(value)), REMEDY),
    }
}

pub(super) fn timers(section: &Section<'_>, report: &mut Report<'_>) -> Timers {
    let default = Timers::default();
    let retries = section.number("retries", 1..=u32::from(u8::MAX), report);
    Timers {
        reachable: section.duration("reachable", default.reachable, report),
        retransmit: section.duration("retransmit", default.retransmit, report),
        retries: retries.value().and_then(|n| u8::try_from(*n).ok()).unwrap_or(default.retries),
        absent: section.duration("absent", default.absent, report),
        keepalive: section.duration("keepalive", default.keepalive, report),
    }
}

pub(super) fn limits(section: &Section<'_>, report: &mut Report<'_>) -> Limits {
    /// A target costs memory, a probe costs the downstream; far more than either could bear.
    const MOST: u32 = 1 << 24;
    let default = Limits::default();
    let mut count = |key: &str, default: usize| {
        let number = section.number(key, 1..=MOST, report);
        number.value().and_then(|n| usize::try_from(*n).ok()).unwrap_or(default)
    };
    Limits {
        targets: count("targets", default.targets),
        pending: count("pending", default.pending),
        groups: count("groups", default.groups),
        probes_per_second: section
            .number("probes-per-second", 1..=MOST, report)
            .or(default.probes_per_second),
        announcements_per_second: section
            .number("announcements-per-second", 1..=MOST, report)
            .or(default.announcements_per_second),
    }
}

pub(super) fn sysctl(section: &Section<'_>, report: &mut Report<'_>) -> Sysctl {
    Sysctl { manage: section.flag("manage", report).or(false) }
}

pub(super) fn control(section: &Section<'_>, report: &mut Report<'_>) -> Control {
    let default = Control::default();
    let socket = sockets::path(section, "socket", report).or(default.socket);
    let metrics = sockets::endpoint(section, "metrics", &socket, report).value().cloned();
    Control { socket, metrics }
}

pub(super) fn log(section: &Section<'_>, report: &mut Report<'_>) -> Log {
    let default = Log::default();
    Log {
        level: section.choice("level", &LogLevel::NAMES, report).or(default.level),
        format: section.choice("format", &LogFormat::NAMES, report).or(default.format),
    }
}
