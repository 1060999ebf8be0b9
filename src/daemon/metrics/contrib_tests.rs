//! The dashboard and the alerts under `contrib/` name only what a scrape has, and leave nothing out.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::accept::Format;
use super::catalog;
use super::exposition::tests::sample;
use crate::wire::DropReason;

const DASHBOARD: &str = include_str!("../../../contrib/grafana/lone64.json");
const RULES: &str = include_str!("../../../contrib/prometheus/lone64.rules.yml");
const PAGE: &str = include_str!("../../../contrib/docs/metrics.md");
/// What the scraper adds.
const OF_THE_SCRAPER: [&str; 2] = ["job", "instance"];
/// Metrics that need no panel.
const LEFT_OUT: [&str; 0] = [];

/// Of each metric its labels, and of each label its values.
type Metrics = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// What a scrape has, read from its text.
fn exposed() -> Metrics {
    let mut metrics = Metrics::new();
    for line in sample().text(Format::OpenMetrics).lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let known = metrics.entry(name.to_owned()).or_default();
        for label in labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once("=\"").unwrap();
            known.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
        }
    }
    metrics
}

/// Every text under one of these keys.
fn texts<'a>(value: &'a Value, keys: &[&str], found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value.as_str() {
                    Some(text) if keys.contains(&key.as_str()) => found.push(text),
                    _ => texts(value, keys, found),
                }
            }
        }
        Value::Array(array) => array.iter().for_each(|value| texts(value, keys, found)),
        _ => {}
    }
}

/// Whatever looks like the name of a metric of ours, and the matchers behind it.
fn mentions(text: &str) -> Vec<(&str, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = text.match_indices("lone64_").chain(text.match_indices("process_"));
    let mention = |(at, _): (usize, &str)| {
        if text[..at].ends_with(is_word) {
            return None;
        }
        let rest = &text[at..];
        let (name, behind) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
        let matchers = behind.strip_prefix('{').and_then(|behind| behind.split('}').next());
        Some((name, matchers.unwrap_or_default()))
    };
    starts.filter_map(mention).collect()
}

/// The labels in `by (…)`.
fn grouped_by(text: &str) -> impl Iterator<Item = &str> {
    let groups = text.split("by (").skip(1).map(|rest| rest.split(')').next().unwrap());
    groups.flat_map(|group| group.split(',').map(str::trim))
}

/// Checks an expression, and returns the metrics in it.
fn check(text: &str, exposed: &Metrics) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut labels: BTreeSet<&str> = OF_THE_SCRAPER.into();
    for (name, matchers) in mentions(text) {
        let known = exposed.get(name).unwrap_or_else(|| panic!("{name} is not exposed: {text}"));
        labels.extend(known.keys().map(String::as_str));
        for matcher in matchers.split("\",").filter(|matcher| !matcher.is_empty()) {
            let (label, values) = matcher.split_once('=').unwrap();
            let label = label.trim_end_matches('!');
            let values = values.trim_start_matches('~').trim_matches('"');
            if values.starts_with('$') || OF_THE_SCRAPER.contains(&label) {
                assert!(known.contains_key(label) || OF_THE_SCRAPER.contains(&label), "{label}: {text}");
                continue;
            }
            let values_known = known.get(label).unwrap_or_else(|| panic!("{name} has no {label}: {text}"));
            for value in values.split('|') {
                assert!(values_known.contains(value), "{label} of {name} is never {value}: {text}");
            }
        }
        names.insert(name.to_owned());
    }
    for label in grouped_by(text) {
        assert!(labels.contains(label), "nothing here has the label {label}: {text}");
    }
    names
}

#[test]
fn the_dashboard_shows_what_there_is_and_all_of_it() {
    let exposed = exposed();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut expressions = Vec::new();
    texts(&dashboard, &["expr", "definition", "query"], &mut expressions);
    assert!(expressions.len() > 15, "{expressions:?}");
    let shown: BTreeSet<String> = expressions.iter().flat_map(|text| check(text, &exposed)).collect();
    let missing: Vec<&String> =
        exposed.keys().filter(|name| !shown.contains(*name) && !LEFT_OUT.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "on no panel and not left out on purpose: {missing:?}");
    assert!(LEFT_OUT.iter().all(|name| exposed.contains_key(*name) && !shown.contains(*name)));
}

#[test]
fn the_legends_of_the_dashboard_name_labels_that_their_panels_have() {
    let exposed = exposed();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let targets =
        dashboard["panels"].as_array().unwrap().iter().flat_map(|p| p["targets"].as_array().unwrap());
    for target in targets {
        let expression = target["expr"].as_str().unwrap();
        let kept: Vec<&str> = grouped_by(expression).collect();
        for label in target["legendFormat"].as_str().unwrap().split("{{").skip(1) {
            let label = label.split("}}").next().unwrap();
            let is_there = if kept.is_empty() {
                let mut known = mentions(expression).into_iter().filter_map(|(name, _)| exposed.get(name));
                OF_THE_SCRAPER.contains(&label) || known.any(|labels| labels.contains_key(label))
            } else {
                kept.contains(&label)
            };
            assert!(is_there, "{label} in the legend of {expression}");
        }
    }
}

#[test]
fn no_two_panels_of_the_dashboard_have_one_number_or_one_place() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let numbers: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(numbers.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(x < 24 && taken.insert((x, y)), "{}", panel["title"]);
            }
        }
    }
}

#[test]
fn the_alerts_watch_what_there_is() {
    let exposed = exposed();
    let expressions: Vec<&str> =
        RULES.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    let alerts = RULES.lines().filter(|line| line.trim().starts_with("- alert: ")).count();
    assert_eq!(expressions.len(), alerts);
    let watched = expressions.iter().map(|text| check(text, &exposed).len()).sum::<usize>();
    assert_eq!(watched, alerts - 1, "each but `up` watches one metric of ours");
}

#[test]
fn the_page_has_every_metric_and_every_verdict() {
    let metric = |metric: &&catalog::Metric| format!("| `{}` | {} |", metric.series(), metric.help);
    let mut rows: Vec<_> = catalog::ALL.iter().map(metric).collect();
    rows.extend(DropReason::ALL.iter().map(|reason| format!("| `{reason}` | {} |", reason.about())));
    let missing: Vec<_> = rows.into_iter().filter(|row| !PAGE.lines().any(|line| line == row)).collect();
    assert!(missing.is_empty(), "not in contrib/docs/metrics.md:\n{}", missing.join("\n"));
}
