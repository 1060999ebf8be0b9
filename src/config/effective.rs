//! What is in force: every key with its value, and where that came from.
//!
//! May touch: nothing.

mod guests;

use std::fmt::Write;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::configuration::Config;
use super::duration::written;
use super::guest_keys::GuestKeys;
use super::key::{Key, KeyOrigin};
use super::mirror::{File, Upstream};
use super::problem::{Place, Report};
use super::schema::TABLES;
use super::words;
use super::written::Written;
use crate::engine::policy::{Origin, RangePolicy, UpstreamInterface, UpstreamPolicy};

/// Every key of a configuration: the tables in the order of the manual, those in two brackets in the order of the
/// file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effective {
    /// All but those of guests.
    keys: Vec<Key>,
    guests: Vec<GuestKeys>,
}

impl Serialize for Effective {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.keys().serialize(serializer)
    }
}

impl Effective {
    /// What `config` has, of which `file` tells what was written. `main` is what problems call the configuration
    /// itself; the other texts are drop-ins.
    pub(super) fn of(file: &File, config: &Config, report: &Report<'_>, main: Option<&str>) -> Self {
        let origins = Origins { report, main };
        let mut keys = Vec::new();
        for upstream in &config.policy.upstreams {
            let written = written_upstream(&file.upstreams, upstream).map(|written| &written.written);
            let of = words::upstream(&upstream.interface).as_str().map(str::to_owned);
            keys.extend(origins.keys("upstream", of, upstream_values(upstream), written));
        }
        let (mut ranges, mut suffixes) = (config.policy.ranges.iter(), config.policy.suffixes.iter());
        for range in &file.ranges {
            let is_suffix = range.suffix.value().is_some();
            // Each range that was written is one of the policy, in the same order.
            let Some(policy) = (if is_suffix { suffixes.next() } else { ranges.next() }) else { continue };
            keys.extend(origins.keys(
                "range",
                Some(name(policy)),
                range_values(policy),
                Some(&range.written),
            ));
        }
        for (table, values) in once_values(config) {
            keys.extend(origins.keys(table, None, values, file.written.get(table)));
        }
        Self { keys, guests: origins.guests(file, &config.policy.guests) }
    }

    /// Each key.
    pub fn keys(&self) -> Vec<Key> {
        let (before, behind) = self.keys.split_at(self.end_of_ranges());
        let guests = self.guests.iter().flat_map(GuestKeys::keys);
        before.iter().cloned().chain(guests).chain(behind.iter().cloned()).collect()
    }

    /// Where the keys of guests go.
    fn end_of_ranges(&self) -> usize {
        let end = self.keys.iter().rposition(|key| matches!(key.table, "range" | "upstream"));
        end.map_or(0, |end| end + 1)
    }

    /// The ranges that the host's routes make besides.
    pub fn add_automatic<'a>(&mut self, ranges: impl IntoIterator<Item = &'a RangePolicy>) {
        let mut at = self.end_of_ranges();
        for range in ranges {
            for (key, value) in range_values(range) {
                let of = Some(name(range));
                self.keys.insert(at, Key { table: "range", of, key, value, origin: KeyOrigin::Automatic });
                at += 1;
            }
        }
    }

    /// What a key of a range comes to on this host, if that is something else than what the texts say.
    pub fn set_here(&mut self, range: &RangePolicy, key: &str, value: Value) {
        let of = name(range);
        let is_it = |one: &&mut Key| one.table == "range" && one.key == key && one.of.as_ref() == Some(&of);
        if let Some(one) = self.keys.iter_mut().find(is_it).filter(|one| one.value != value) {
            one.value = value;
            one.origin = KeyOrigin::Automatic;
        }
    }

    /// The interfaces of the default route, on this host.
    pub fn name_upstreams(&mut self, names: &[String]) {
        let value = match names {
            [] => return,
            [only] => json!(only),
            several => json!(several),
        };
        let unnamed = |key: &&mut Key| {
            (key.table, key.key) == ("upstream", "interface") && key.origin == KeyOrigin::Automatic
        };
        self.keys.iter_mut().filter(unnamed).for_each(|key| key.value = value.clone());
    }

    /// As a configuration that means the same, with a comment on each line that tells where it came from. What the
    /// host tells is a comment as a whole.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let same_table = |a: &Key, b: &Key| (a.table, &a.of) == (b.table, &b.of);
        for keys in self.keys().chunk_by(same_table) {
            if !text.is_empty() {
                text.push('\n');
            }
            let Some(table) = TABLES.into_iter().find(|table| table.name == keys[0].table) else { continue };
            let is_automatic = keys.iter().all(|key| key.origin == KeyOrigin::Automatic);
            let _ = writeln!(text, "{}{}", if is_automatic { "#" } else { "" }, table.header());
            let marked = |key: &Key| {
                let is_comment = key.origin == KeyOrigin::Automatic || key.value.is_null();
                format!("{}{}", if is_comment { "#" } else { "" }, key.key)
            };
            let name = keys.iter().map(|key| marked(key).len()).max().unwrap_or(0);
            let values: Vec<String> = keys.iter().map(|key| shown(&key.value)).collect();
            let width =
                values.iter().map(|value| value.chars().count()).filter(|width| *width <= WIDEST).max();
            for (key, value) in keys.iter().zip(&values) {
                let line = format!("{:<name$} = {value:<1$}", marked(key), width.unwrap_or(0));
                if line.chars().count() + key.origin.to_string().chars().count() + 4 > COLUMNS {
                    let _ = writeln!(text, "# {}:\n{}", key.origin, line.trim_end());
                } else {
                    let _ = writeln!(text, "{line}  # {}", key.origin);
                }
            }
        }
        text
    }
}

/// A value as it is written; "(none)" where there is none.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "(none)".to_owned(),
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// Tells where values came from.
struct Origins<'a, 't> {
    report: &'a Report<'t>,
    main: Option<&'a str>,
}

impl Origins<'_, '_> {
    fn keys(
        &self,
        table: &'static str,
        of: Option<String>,
        values: Vec<(&'static str, Value)>,
        written: Option<&Written>,
    ) -> Vec<Key> {
        let key = |(key, value): (&'static str, Value)| {
            let origin = match written.and_then(|written| written.place(key)) {
                Some(place) => self.of_place(place),
                None if value.is_null() && BY_THE_HOST.contains(&(table, key)) => KeyOrigin::Automatic,
                None => KeyOrigin::Default,
            };
            Key { table, of: of.clone(), key, value, origin }
        };
        values.into_iter().map(key).collect()
    }

    fn of_place(&self, place: &Place) -> KeyOrigin {
        match place {
            Place::Text(_) => match self.report.line(place) {
                Some((file, line)) if self.main == Some(file) => {
                    KeyOrigin::File { file: file.to_owned(), line }
                }
                Some((file, line)) => KeyOrigin::DropIn { file: file.to_owned(), line },
                None => KeyOrigin::Default,
            },
            Place::Option(option) => KeyOrigin::CommandLine { option: option.clone() },
            Place::Environment(variable) => KeyOrigin::Environment { variable: variable.clone() },
            Place::Whole => KeyOrigin::Default,
        }
    }
}

/// The `[[upstream]]` that a policy was made of, if one was written.
fn written_upstream<'a>(written: &'a [Upstream], policy: &UpstreamPolicy) -> Option<&'a Upstream> {
    let same = written.iter().find(|upstream| match &policy.interface {
        UpstreamInterface::Named(name) => upstream.interface.value() == Some(name),
        UpstreamInterface::DefaultRoute => false,
    });
    same.or_else(|| written.iter().find(|upstream| upstream.interface.value().is_none()))
}

/// What people call a range.
fn name(range: &RangePolicy) -> String {
    match &range.upstream {
        // The same suffix can be under the /64 of another upstream, too.
        Some(upstream) if range.origin == Origin::Suffix => format!("{} on {upstream}", range.prefix),
        _ => range.prefix.to_string(),
    }
}

fn upstream_values(upstream: &UpstreamPolicy) -> Vec<(&'static str, Value)> {
    let ignored: Vec<&str> =
        upstream.automatic.iter().flat_map(|automatic| &automatic.ignore).map(|name| name.as_str()).collect();
    vec![
        ("interface", words::upstream(&upstream.interface)),
        ("automatic", json!(upstream.automatic.is_some())),
        ("ignore", json!(ignored)),
        ("router", json!(upstream.router)),
        ("override", json!(words::override_flag(upstream.override_flag))),
        ("source", json!(upstream.source.written())),
        ("announce", words::announce(upstream.announce)),
        ("gateway-source", json!(upstream.gateway_source.written())),
        ("mld", words::mld(upstream.mld)),
        ("suppress-kernel", json!(upstream.suppress_kernel)),
        ("backend", json!(upstream.backend.as_str())),
        ("on-crash-answer", json!(written(upstream.on_crash_answer))),
    ]
}

fn range_values(range: &RangePolicy) -> Vec<(&'static str, Value)> {
    let (prefix, suffix) = match range.origin {
        Origin::Suffix => (Value::Null, json!(range.prefix)),
        Origin::Config | Origin::Automatic => (json!(range.prefix), Value::Null),
    };
    vec![
        ("prefix", prefix),
        ("suffix", suffix),
        ("upstream", json!(range.upstream.as_ref().map(|name| name.as_str()))),
        ("interface", words::downstream(&range.downstream)),
        ("answer", json!(range.answer.to_string())),
        ("routes", json!(range.routes.to_string())),
        ("backstop", json!(range.backstop)),
        ("exclude", json!(range.exclude)),
        ("gateway", json!(range.gateway)),
        ("proxy-downstream", json!(range.proxy_downstream)),
        ("guard", json!(range.guard)),
        ("standby", json!(range.standby)),
    ]
}

fn once_values(config: &Config) -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
    let (routes, timers, limits) = (&config.policy.routes, &config.policy.timers, &config.policy.limits);
    vec![
        (
            "routes",
            vec![
                ("protocol", json!(routes.protocol)),
                ("table", words::table(routes.table)),
                ("metric", json!(routes.metric)),
                ("on-stop", json!(words::on_stop(routes.on_stop))),
            ],
        ),
        (
            "timers",
            vec![
                ("reachable", json!(written(timers.reachable))),
                ("retransmit", json!(written(timers.retransmit))),
                ("retries", json!(timers.retries)),
                ("absent", json!(written(timers.absent))),
                ("keepalive", json!(written(timers.keepalive))),
            ],
        ),
        (
            "limits",
            vec![
                ("targets", json!(limits.targets)),
                ("pending", json!(limits.pending)),
                ("probes-per-second", json!(limits.probes_per_second)),
                ("announcements-per-second", json!(limits.announcements_per_second)),
                ("groups", json!(limits.groups)),
            ],
        ),
        ("sysctl", vec![("manage", json!(config.sysctl.manage))]),
        (
            "control",
            vec![
                ("socket", json!(config.control.socket.to_string_lossy())),
                ("metrics", json!(config.control.metrics.as_ref().map(ToString::to_string))),
            ],
        ),
        ("export", vec![("nft-sets", json!(config.policy.nft_sets))]),
        (
            "log",
            vec![
                ("level", json!(words::level(config.log.level))),
                ("format", json!(words::format(config.log.format))),
            ],
        ),
    ]
}

/// What the host tells where nobody writes it.
const BY_THE_HOST: [(&str, &str); 4] =
    [("upstream", "interface"), ("range", "upstream"), ("range", "interface"), ("guest", "interface")];
const COLUMNS: usize = 80;
/// Of a value that the others are aligned with.
const WIDEST: usize = 32;

#[cfg(test)]
#[path = "effective_tests.rs"]
mod tests;
