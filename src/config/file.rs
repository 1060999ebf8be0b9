//! The file as it was written: every value with its place, nothing yet compared with anything else.
//!
//! May touch: nothing. TOML is walked by hand rather than deserialized, because serde stops at the
//! first mistake.

use ipnet::Ipv6Net;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::downstreams::Downstreams;
use super::duration;
use super::prefix::{self, Bare};
use super::problem::{Place, Report};
use super::schema::{self, LATER_TABLES, TABLES, Table, Times, nearest};
use super::section::{Field, Section, kind, list, meant_table, refuse};
use super::{Log, LogFormat, LogLevel};
use crate::engine::facts::IfName;
use crate::engine::policy::{Answer, Limits, OnStop, Override, RangeRoutes, RoutePolicy, Source, Timers};

/// A whole file.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) upstreams: Vec<Upstream>,
    pub(super) ranges: Vec<Range>,
    pub(super) routes: RoutePolicy,
    pub(super) timers: Timers,
    pub(super) limits: Limits,
    pub(super) log: Log,
}

/// One `[[upstream]]`.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub(super) place: Place,
    pub(super) interface: Field<IfName>,
    pub(super) router: bool,
    pub(super) override_flag: Override,
    pub(super) source: Source,
}

/// One `[[range]]`.
#[derive(Debug, Clone)]
pub(super) struct Range {
    pub(super) place: Place,
    pub(super) prefix: Field<Ipv6Net>,
    pub(super) upstream: Field<IfName>,
    pub(super) interface: Field<Downstreams>,
    pub(super) answer: Field<Answer>,
    pub(super) routes: Field<RangeRoutes>,
    pub(super) backstop: bool,
    pub(super) exclude: Field<Vec<(Ipv6Net, Place)>>,
}

impl Upstream {
    /// With the default for everything.
    pub(super) fn new(place: Place, interface: Field<IfName>) -> Self {
        Self {
            place,
            interface,
            router: false,
            override_flag: Override::default(),
            source: Source::default(),
        }
    }
}

impl Range {
    /// With the default for everything.
    pub(super) fn new(place: Place, prefix: Field<Ipv6Net>, interface: Field<Downstreams>) -> Self {
        Self {
            place,
            prefix,
            upstream: Field::Absent,
            interface,
            answer: Field::Absent,
            routes: Field::Absent,
            backstop: true,
            exclude: Field::Absent,
        }
    }
}

impl File {
    /// Reads a file. Mistakes in the grammar are reported together with whatever else is wrong on
    /// other lines.
    pub(super) fn read(text: &str, report: &mut Report<'_>) -> (Self, Grammar) {
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let place = error.span().map_or(Place::Whole, Place::Text);
            grammar_problem(text, error.message(), &place, report);
        }
        if errors.is_empty() {
            return (Self::walk(document.get_ref(), report), Grammar::Right);
        }
        let mut beside = report.empty();
        let file = Self::walk(document.get_ref(), &mut beside);
        beside.retain_beside(report);
        report.absorb(beside);
        (file, Grammar::Wrong)
    }

    fn walk(document: &DeTable<'_>, report: &mut Report<'_>) -> Self {
        let mut file = Self::default();
        for (name, value) in document.iter() {
            let place = Place::Text(name.span());
            let Some(table) = TABLES.into_iter().find(|table| table.name == name.get_ref()) else {
                refuse_table(name.get_ref(), value.get_ref(), &place, report);
                continue;
            };
            for section in sections(table, value, &place, report) {
                section.refuse_the_rest(report);
                match table.name {
                    "upstream" => file.upstreams.push(upstream(&section, report)),
                    "range" => file.ranges.push(range(&section, report)),
                    "routes" => file.routes = routes(&section, report),
                    "timers" => file.timers = timers(&section, report),
                    "limits" => file.limits = limits(&section, report),
                    _ => file.log = log(&section, report),
                }
            }
        }
        file
    }
}

/// Whether the file is TOML at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grammar {
    Right,
    Wrong,
}

fn upstream(section: &Section<'_>, report: &mut Report<'_>) -> Upstream {
    let default = Upstream::new(section.place.clone(), section.interface("interface", report));
    let overrides =
        [("takeover", Override::Takeover), ("always", Override::Always), ("never", Override::Never)];
    let sources = [
        ("scope", Source::Scope),
        ("target", Source::Target),
        ("link-local", Source::LinkLocal),
        ("global", Source::Global),
    ];
    Upstream {
        router: section.flag("router", report).or(default.router),
        override_flag: section.choice("override", &overrides, report).or(default.override_flag),
        source: section.choice_or_address("source", &sources, Source::Address, report).or(default.source),
        ..default
    }
}

fn range(section: &Section<'_>, report: &mut Report<'_>) -> Range {
    let prefix = match section.prefix("prefix", report) {
        // Refused as not supported yet; that there is no `prefix` needs no second sentence.
        Field::Absent if section.entry("suffix").is_some() => Field::Wrong,
        prefix => prefix,
    };
    let interface = Downstreams::read(section, report);
    let default = Range::new(section.place.clone(), prefix, interface);
    let answers = [("live", Answer::Live), ("always", Answer::Always), ("never", Answer::Never)];
    let routes =
        [("range", RangeRoutes::Range), ("guests", RangeRoutes::Guests), ("none", RangeRoutes::None)];
    Range {
        upstream: section.interface("upstream", report),
        answer: section.choice("answer", &answers, report),
        routes: section.choice("routes", &routes, report),
        backstop: section.flag("backstop", report).or(default.backstop),
        exclude: section.prefixes("exclude", report),
        ..default
    }
}

fn routes(section: &Section<'_>, report: &mut Report<'_>) -> RoutePolicy {
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
        11 | 186..=198 => "zebra (FRR), which removes what it finds there",
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

fn timers(section: &Section<'_>, report: &mut Report<'_>) -> Timers {
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

fn limits(section: &Section<'_>, report: &mut Report<'_>) -> Limits {
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
        probes_per_second: section
            .number("probes-per-second", 1..=MOST, report)
            .or(default.probes_per_second),
    }
}

fn log(section: &Section<'_>, report: &mut Report<'_>) -> Log {
    let default = Log::default();
    Log {
        level: section.choice("level", &LogLevel::NAMES, report).or(default.level),
        format: section.choice("format", &LogFormat::NAMES, report).or(default.format),
    }
}

/// The tables of this name, each as often as it was written.
fn sections<'d>(
    table: &'static Table,
    value: &'d Spanned<DeValue<'d>>,
    place: &Place,
    report: &mut Report<'_>,
) -> Vec<Section<'d>> {
    match (value.get_ref(), table.times) {
        (DeValue::Array(items), Times::Many) => {
            let mut sections = Vec::new();
            for item in items.iter() {
                let item_place = Place::Text(item.span());
                match item.get_ref() {
                    DeValue::Table(entries) => sections.push(Section::new(table, item_place, entries)),
                    other => {
                        let sentence = format!("`{}` has {} where a table belongs", table.name, kind(other));
                        report.push(&item_place, sentence).help(format!("write {}", table.header()));
                    }
                }
            }
            sections
        }
        (DeValue::Table(entries), Times::Once) => vec![Section::new(table, place.clone(), entries)],
        // The content is read all the same, so that its own mistakes are not found only later.
        (DeValue::Table(entries), Times::Many) => {
            let sentence = format!("[{}] is written with two brackets", table.name);
            report.push(place, sentence).help(format!("write {}", table.header()));
            vec![Section::new(table, place.clone(), entries)]
        }
        (DeValue::Array(_), Times::Once) => {
            let sentence = format!("`{}` can be written only once", table.name);
            report.push(place, sentence).help(format!("write {}, with one bracket", table.header()));
            Vec::new()
        }
        (other, _) => {
            let sentence = format!("`{}` is {}, not a table", table.name, kind(other));
            report.push(place, sentence).help(format!("write {} on a line of its own", table.header()));
            Vec::new()
        }
    }
}

fn refuse_table(name: &str, value: &DeValue<'_>, place: &Place, report: &mut Report<'_>) {
    if LATER_TABLES.contains(&name) {
        report.push(place, format!("`{name}` is not supported yet")).help("remove it");
        return;
    }
    let is_table = match value {
        DeValue::Table(_) => true,
        DeValue::Array(items) => items.iter().all(|item| item.get_ref().is_table()) && !items.is_empty(),
        _ => false,
    };
    let problem = if is_table {
        report.push(place, format!("unknown table `{name}`"))
    } else {
        report.push(place, format!("unknown key `{name}` outside every table"))
    };
    if let Some(table) = Table::with_key(name) {
        problem.help(format!("`{name}` belongs under {}", table.header()));
    } else if let Some(table) = meant_table(name) {
        problem.help(format!("did you mean {}?", table.header()));
    } else if let Some(near) = nearest(name, LATER_TABLES) {
        problem.help(format!("did you mean `{near}`? It is not supported yet"));
    } else {
        let names: Vec<&str> = schema::TABLES.iter().map(|table| table.name).collect();
        problem.help(format!("the tables are {}", list(&names)));
    }
}

/// A mistake in the grammar. The most frequent one, a value without quotes, has its own words.
fn grammar_problem(text: &str, message: &str, place: &Place, report: &mut Report<'_>) {
    if let Place::Text(span) = place
        && let Some(rest) = text.get(span.start..)
    {
        let word = rest.split([' ', '\t', '\r', '\n', ',', ']', '}', '#']).next().unwrap_or_default();
        let value = prefix::parse(word, Bare::OneAddress).is_ok() || duration::parse(word).is_ok();
        if value || (message.contains("must be quoted") && !word.is_empty()) {
            let place = Place::Text(span.start..span.start + word.len());
            report.push(&place, format!("{word} is not in quotes")).help(format!("write \"{word}\""));
            return;
        }
    }
    match message {
        "duplicate key" => report.push(place, "this is written twice").help("leave one of them out"),
        _ => {
            report.push(place, format!("this is not TOML: {message}"));
        }
    }
}
