//! One table of the file: its values read one by one, and whatever nobody reads refused.
//!
//! May touch: nothing. Every method reports what is wrong and goes on, so that one reading finds
//! every mistake.

use std::net::Ipv6Addr;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use ipnet::Ipv6Net;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::prefix::{self, Bare};
use super::problem::{Place, Report};
use super::schema::{Table, nearest};
use super::written::Written;
use super::{duration, schema, synonyms};
use crate::engine::facts::IfName;
use crate::engine::policy::IfPattern;

/// What was written for a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Field<T> {
    /// Nothing.
    #[default]
    Absent,
    /// Something that has been reported already.
    Wrong,
    /// This value.
    Is(T, Place),
}

/// One table of the file, or of several files: of what is written twice, the last counts.
#[derive(Clone)]
pub(super) struct Section<'d> {
    table: &'static Table,
    /// Where its header is.
    pub(super) place: Place,
    entries: Vec<Entry<'d>>,
}

/// One key with its value.
#[derive(Clone)]
struct Entry<'d> {
    name: &'d str,
    place: Place,
    value: &'d Spanned<DeValue<'d>>,
    /// Where the text begins that it is in.
    start: usize,
}

impl<T: Clone> Field<T> {
    /// The value; the default stands in for one that has been reported.
    pub(super) fn or(&self, default: T) -> T {
        self.value().cloned().unwrap_or(default)
    }

    /// Where it was written.
    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Self::Is(_, place) => Some(place.clone()),
            Self::Absent | Self::Wrong => None,
        }
    }

    pub(super) fn value(&self) -> Option<&T> {
        match self {
            Self::Is(value, _) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }
}

impl<'d> Section<'d> {
    /// `start` is where the text begins that the table is in.
    pub(super) fn new(table: &'static Table, place: Place, entries: &'d DeTable<'d>, start: usize) -> Self {
        let entry = |(name, value): (&'d Spanned<_>, _)| {
            let place = at(start, name.span());
            let name: &'d toml::de::DeString<'d> = name.get_ref();
            Entry { name, place, value, start }
        };
        Self { table, place, entries: entries.iter().map(entry).collect() }
    }

    /// Which table it is.
    pub(super) fn table(&self) -> &'static Table {
        self.table
    }

    /// What a later file says goes before what this one does.
    pub(super) fn replaced_by(&mut self, later: Section<'d>) {
        self.entries.extend(later.entries);
    }

    /// The keys that are read, and where each was written.
    pub(super) fn written(&self) -> Written {
        let mut written = Written::default();
        for key in self.table.keys {
            written.extend(self.entry(key).map(|(_, place)| (*key, place)));
        }
        written
    }

    /// Reports every key that the table does not have.
    pub(super) fn refuse_the_rest(&self, report: &mut Report<'_>) {
        for Entry { name, place, value, .. } in &self.entries {
            if self.table.keys.contains(name) {
                continue;
            }
            let problem = report.push(place, format!("unknown key `{name}` in {}", self.table.header()));
            if let Some(remedy) = synonyms::of_key(self.table, name, value.get_ref()) {
                problem.help(remedy);
            } else if let Some(near) = self.meant_by(name) {
                problem.help(format!("did you mean `{near}`?"));
            } else if let Some(table) = Table::with_key(name) {
                problem.help(format!("`{name}` belongs under {}", table.header()));
            } else {
                problem.help(format!("the keys here are {}", list(self.table.keys)));
            }
        }
    }

    /// What a key is that was not found: a slip of it, or another word for it, is reported as such, and is not
    /// missing too.
    pub(super) fn absent<T>(&self, key: &str) -> Field<T> {
        let is_slip = |written: &str| {
            !self.table.keys.contains(&written)
                && (synonyms::means(self.table, written, key) || self.meant_by(written) == Some(key))
        };
        if self.entries.iter().any(|entry| is_slip(entry.name)) { Field::Wrong } else { Field::Absent }
    }

    pub(super) fn flag(&self, key: &str, report: &mut Report<'_>) -> Field<bool> {
        let Some((value, place)) = self.entry(key) else { return Field::Absent };
        match value.as_bool() {
            Some(flag) => Field::Is(flag, place),
            None => refuse(report, &place, format!("`{key}` is {}", kind(value)), synonyms::of_flag(value)),
        }
    }

    /// One of these words.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
        report: &mut Report<'_>,
    ) -> Field<T> {
        let Some((value, place)) = self.entry(key) else { return Field::Absent };
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let Some(text) = value.as_str() else {
            return refuse(report, &place, format!("`{key}` is {}", kind(value)), quoted(&words));
        };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text) {
            return Field::Is(*choice, place);
        }
        let meant = synonyms::of_value(text, &words).or_else(|| nearest(text, words.iter().copied()));
        let remedy = match meant {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => quoted(&words),
        };
        refuse(report, &place, format!("`{key}` cannot be \"{text}\""), remedy)
    }

    pub(super) fn duration(&self, key: &str, default: Duration, report: &mut Report<'_>) -> Duration {
        let Some((value, place)) = self.entry(key) else { return default };
        if let Some(integer) = value.as_integer() {
            let remedy = format!("write \"{}s\" for seconds", integer.as_str());
            report.push(&place, format!("`{key}` has no unit")).help(remedy);
            return default;
        }
        let Some(text) = value.as_str() else {
            let remedy = "write a duration such as \"30s\"";
            report.push(&place, format!("`{key}` is {}", kind(value))).help(remedy);
            return default;
        };
        duration::parse(text).unwrap_or_else(|remedy| {
            let remedy = synonyms::of_duration(text).unwrap_or_else(|| remedy.to_owned());
            report.push(&place, format!("`{key}` cannot be \"{text}\"")).help(remedy);
            default
        })
    }

    /// A whole number in these bounds.
    pub(super) fn number(
        &self,
        key: &str,
        bounds: RangeInclusive<u32>,
        report: &mut Report<'_>,
    ) -> Field<u32> {
        let Some((value, place)) = self.entry(key) else { return Field::Absent };
        let remedy = format!("write a whole number from {} to {}", bounds.start(), bounds.end());
        let Some(integer) = value.as_integer() else {
            return refuse(report, &place, format!("`{key}` is {}", kind(value)), remedy);
        };
        match u32::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if bounds.contains(&number) => Field::Is(number, place),
            _ => refuse(report, &place, format!("`{key}` cannot be {}", integer.as_str()), remedy),
        }
    }

    /// The name of one interface.
    pub(super) fn interface(&self, key: &str, report: &mut Report<'_>) -> Field<IfName> {
        const REMEDY: &str = "write the name of one interface, such as \"eth0\"";
        let Some((value, place)) = self.entry(key) else { return self.absent(key) };
        let Some(text) = value.as_str() else {
            return refuse(report, &place, format!("`{key}` is {}", kind(value)), REMEDY);
        };
        if IfPattern::is_pattern(text) {
            let sentence = format!("`{key}` is a pattern of many names: \"{text}\"");
            return refuse(report, &place, sentence, REMEDY);
        }
        match text.parse() {
            Ok(name) => Field::Is(name, place),
            Err(error) => {
                let remedy = "`ip link` shows the names that there are";
                refuse(report, &place, error.to_string(), remedy)
            }
        }
    }

    /// A prefix; one with host bits is reported and read without them.
    pub(super) fn prefix(&self, key: &str, report: &mut Report<'_>) -> Field<Ipv6Net> {
        let Some((value, place)) = self.entry(key) else { return self.absent(key) };
        match prefix_of(value, &place, key, Bare::Refused, report) {
            Some(prefix) => Field::Is(prefix, place),
            None => Field::Wrong,
        }
    }

    /// A list of prefixes and addresses, and where the list is.
    pub(super) fn prefixes(&self, key: &str, report: &mut Report<'_>) -> Field<Vec<(Ipv6Net, Place)>> {
        let Some((value, place)) = self.entry(key) else { return Field::Absent };
        let Some(items) = self.items(key) else {
            let remedy =
                format!("write a list: {key} = [\"2001:db8:1:2:c::1\", \"2001:db8:1:2:c::100/120\"]");
            return refuse(report, &place, format!("`{key}` is {}", kind(value)), remedy);
        };
        let mut prefixes = Vec::new();
        for (item, item_place) in items {
            if let Some(prefix) = prefix_of(item, &item_place, key, Bare::OneAddress, report) {
                prefixes.push((prefix, item_place));
            }
        }
        Field::Is(prefixes, place)
    }

    /// One of these words, or an address.
    pub(super) fn choice_or_address<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
        address: impl Fn(Ipv6Addr) -> T,
        report: &mut Report<'_>,
    ) -> Field<T> {
        let written = self.entry(key).and_then(|(value, place)| Some((value.as_str()?, place)));
        let Some((text, place)) = written.filter(|(text, _)| text.contains(':')) else {
            return self.choice(key, choices, report);
        };
        let Ok(parsed) = text.parse::<Ipv6Addr>() else {
            let remedy = "write an address without a length, such as \"2001:db8:1:2::1\"";
            return refuse(report, &place, format!("`{key}` is not an IPv6 address: \"{text}\""), remedy);
        };
        match prefix::unusable_source(parsed) {
            None => Field::Is(address(parsed), place),
            Some(why) => {
                let remedy = "write an address that the upstream has";
                refuse(report, &place, format!("the address {parsed} {why}"), remedy)
            }
        }
    }

    /// The raw value of a key and its place.
    pub(super) fn entry(&self, key: &str) -> Option<(&'d DeValue<'d>, Place)> {
        let entry = self.last(key)?;
        Some((entry.value.get_ref(), at(entry.start, entry.value.span())))
    }

    /// The values of a list, each with its place; none if it is no list.
    pub(super) fn items(&self, key: &str) -> Option<Vec<(&'d DeValue<'d>, Place)>> {
        let entry = self.last(key)?;
        let items = entry.value.get_ref().as_array()?;
        Some(items.iter().map(|item| (item.get_ref(), at(entry.start, item.span()))).collect())
    }

    fn last(&self, key: &str) -> Option<&Entry<'d>> {
        let is_read = self.table.keys.contains(&key);
        self.entries.iter().rev().find(|entry| is_read && entry.name == key)
    }

    fn meant_by(&self, written: &str) -> Option<&'static str> {
        nearest(written, self.table.keys.iter().copied())
    }
}

/// The place of these bytes of the text that begins there.
pub(super) fn at(start: usize, span: Range<usize>) -> Place {
    Place::Text(start + span.start..start + span.end)
}

/// Reports and is [`Field::Wrong`].
pub(super) fn refuse<T>(
    report: &mut Report<'_>,
    place: &Place,
    sentence: String,
    remedy: impl Into<String>,
) -> Field<T> {
    report.push(place, sentence).help(remedy);
    Field::Wrong
}

/// What a value is, in words that fit behind "is".
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text in quotes",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Names in backticks, as in a sentence.
pub(super) fn list(words: &[&str]) -> String {
    join(words.iter().map(|word| format!("`{word}`")).collect(), "and")
}

fn quoted(words: &[&str]) -> String {
    format!("write {}", join(words.iter().map(|word| format!("\"{word}\"")).collect(), "or"))
}

fn join(mut words: Vec<String>, conjunction: &str) -> String {
    match words.pop() {
        Some(last) if !words.is_empty() => format!("{} {conjunction} {last}", words.join(", ")),
        Some(last) => last,
        None => String::new(),
    }
}

fn prefix_of(
    value: &DeValue<'_>,
    place: &Place,
    key: &str,
    bare: Bare,
    report: &mut Report<'_>,
) -> Option<Ipv6Net> {
    let Some(text) = value.as_str() else {
        let sentence = format!("`{key}` has {} instead of a prefix", kind(value));
        let remedy = match value {
            DeValue::Array(_) => "write a [[range]] for each prefix",
            _ => "write it in quotes, such as \"2001:db8:1:2:c::/112\"",
        };
        report.push(place, sentence).help(remedy);
        return None;
    };
    let prefix = match prefix::parse(text, bare) {
        Ok(prefix) => prefix,
        Err((sentence, remedy)) => {
            let problem = report.push(place, sentence);
            if let Some(remedy) = remedy {
                problem.help(remedy);
            }
            return None;
        }
    };
    if let Some((sentence, remedy)) = prefix::host_bits(prefix) {
        report.push(place, sentence).help(remedy);
    }
    Some(prefix.trunc())
}

/// The table that somebody who wrote this name at the top of the file probably meant.
pub(super) fn meant_table(written: &str) -> Option<&'static Table> {
    let near = nearest(written, schema::TABLES.iter().map(|table| table.name))?;
    schema::TABLES.into_iter().find(|table| table.name == near)
}
