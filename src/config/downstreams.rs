//! Behind which interfaces the guests of a range are: `interface` of `[[range]]` as it was written.
//!
//! May touch: nothing.

use toml::de::DeValue;

use super::problem::{Place, Report};
use super::section::{Field, Section, kind, refuse};
use crate::engine::facts::IfName;
use crate::engine::policy::{Downstream, IfPattern};

/// What was written: a name, a pattern, or a list of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Downstreams {
    /// The one interface of this name.
    Named(IfName),
    /// Every interface whose name matches one of these, each with its place.
    Matching(Vec<(IfPattern, Place)>),
}

impl Downstreams {
    /// Reads `interface` of a range.
    pub(super) fn read(section: &Section<'_>, report: &mut Report<'_>) -> Field<Self> {
        let Some((value, place)) = section.entry(KEY) else { return section.absent(KEY) };
        match section.items(KEY) {
            Some(items) => Self::read_list(items, place, report),
            None => match value.as_str() {
                Some(text) if IfPattern::is_pattern(text) => match pattern(KEY, value, &place, report) {
                    Some(only) => Field::Is(Self::Matching(vec![(only, place.clone())]), place),
                    None => Field::Wrong,
                },
                _ => match section.interface(KEY, report) {
                    Field::Is(name, place) => Field::Is(Self::Named(name), place),
                    Field::Wrong | Field::Absent => Field::Wrong,
                },
            },
        }
    }

    /// What the engine makes of it.
    pub(super) fn policy(&self) -> Downstream {
        match self {
            Self::Named(name) => Downstream::Named(*name),
            Self::Matching(patterns) => {
                Downstream::Matching(patterns.iter().map(|(pattern, _)| pattern.clone()).collect())
            }
        }
    }

    /// Every interface that is named literally, and where.
    pub(super) fn names<'a>(&'a self, place: &'a Place) -> Vec<(&'a str, &'a Place)> {
        match self {
            Self::Named(name) => vec![(name.as_str(), place)],
            Self::Matching(patterns) => patterns
                .iter()
                .map(|(pattern, place)| (pattern.as_str(), place))
                .filter(|(text, _)| !IfPattern::is_pattern(text))
                .collect(),
        }
    }

    fn read_list(items: Vec<(&DeValue<'_>, Place)>, place: Place, report: &mut Report<'_>) -> Field<Self> {
        if items.is_empty() {
            let remedy = "name an interface in it, or remove it: without it the kernel's routes decide";
            return refuse(report, &place, format!("`{KEY}` is an empty list"), remedy);
        }
        let mut patterns: Vec<(IfPattern, Place)> = Vec::new();
        let mut all_right = true;
        for (value, item_place) in items {
            let Some(new) = pattern(KEY, value, &item_place, report) else {
                all_right = false;
                continue;
            };
            if new.as_str() == "lo" {
                let problem = report.push(&item_place, "`lo` cannot be in a list with other interfaces");
                problem.help(
                    "write interface = \"lo\" in a separate [[range]]: the host itself owns that range",
                );
                all_right = false;
            } else if patterns.iter().any(|(known, _)| *known == new) {
                let problem = report.push(&item_place, format!("`{new}` is in the list twice"));
                problem.help("remove one of them");
                all_right = false;
            } else {
                patterns.push((new, item_place));
            }
        }
        if all_right { Field::Is(Self::Matching(patterns), place) } else { Field::Wrong }
    }
}

/// A list of names and patterns that may be empty.
pub(super) fn patterns(section: &Section<'_>, key: &str, report: &mut Report<'_>) -> Field<Vec<IfPattern>> {
    let Some((value, place)) = section.entry(key) else { return Field::Absent };
    let Some(items) = section.items(key) else {
        let remedy = format!("write a list: {key} = [\"docker0\", \"veth*\"]");
        return refuse(report, &place, format!("`{key}` is {}", kind(value)), remedy);
    };
    let read: Vec<_> = items.iter().map(|(item, place)| pattern(key, item, place, report)).collect();
    // Every mistake in it has been reported.
    Field::Is(read.into_iter().flatten().collect(), place)
}

/// A name or a pattern.
fn pattern(key: &str, value: &DeValue<'_>, place: &Place, report: &mut Report<'_>) -> Option<IfPattern> {
    let Some(text) = value.as_str() else {
        let problem = report.push(place, format!("`{key}` has {} instead of a name", kind(value)));
        problem.help("write names or patterns in quotes: [\"lxcbr0\", \"veth*\"]");
        return None;
    };
    match text.parse() {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let problem = report.push(place, format!("{error}"));
            problem.help("write a name such as \"lxcbr0\", or a pattern such as \"veth*\"");
            None
        }
    }
}

const KEY: &str = "interface";
