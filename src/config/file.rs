//! The text of the file read into its mirror: what tables there are, and where TOML ends.
//!
//! May touch: nothing. TOML is walked by hand rather than deserialized, because serde stops at the
//! first mistake.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration;
use super::guest;
use super::mirror::File;
use super::prefix::{self, Bare};
use super::problem::{Place, Report};
use super::schema::{self, TABLES, Table, Times};
use super::section::{Section, at, kind, list, meant_table};
use super::twice::Twice;
use super::{synonyms, tables};

/// One text of those that make a configuration.
pub(super) struct Source<'t> {
    /// What problems call it.
    pub(super) origin: &'t str,
    /// Without the mark that some editors put before it.
    pub(super) text: &'t str,
    /// Where its places begin.
    pub(super) start: usize,
}

/// Reads the texts as one file: a table in two brackets is one more, and of a key that several have in another
/// table the last counts. Mistakes in the grammar are reported together with whatever else is wrong on other lines.
pub(super) fn read(sources: &[Source<'_>], report: &mut Report<'_>) -> (File, Grammar) {
    let parsed: Vec<_> =
        sources.iter().map(|source| (source, DeTable::parse_recoverable(source.text))).collect();
    let (mut file, mut grammar) = (File::default(), Grammar::Right);
    let mut once: Vec<Section<'_>> = Vec::new();
    for (source, (document, errors)) in &parsed {
        if errors.is_empty() {
            walk(document.get_ref(), source.start, &mut file, &mut once, report);
            continue;
        }
        grammar = Grammar::Wrong;
        if let Some((whose, span)) = synonyms::foreign(source.text) {
            let file = if source.origin.starts_with('<') { "-" } else { source.origin };
            let problem = report.push(&at(source.start, span), format!("that is {whose}'s format"));
            problem.help(format!("`lone64 import {file}` prints it as a lone64.toml"));
            continue;
        }
        let (mut wrong, mut beside) = (report.empty(), report.empty());
        let twice = Twice::of(source.text, document.get_ref(), errors.iter().take(MOST_ERRORS));
        for error in errors.iter().take(MOST_ERRORS) {
            match error.span().filter(|_| error.message() == Twice::MESSAGE) {
                Some(span) => twice.tell(&span, source.start, &mut wrong),
                None => grammar_problem(source, error.message(), error.span(), &mut wrong),
            }
        }
        walk(document.get_ref(), source.start, &mut file, &mut once, &mut beside);
        beside.retain_beside(&wrong);
        report.absorb(wrong);
        report.absorb(beside);
    }
    // What each says by itself has been reported.
    let mut known = report.empty();
    for section in once {
        let name = section.table().name;
        file.written.insert(name, section.written());
        take_once(&section, &mut file, &mut known);
    }
    (file, grammar)
}

/// Takes what can be there several times, and puts the others together.
fn walk<'d>(
    document: &'d DeTable<'d>,
    start: usize,
    file: &mut File,
    once: &mut Vec<Section<'d>>,
    report: &mut Report<'_>,
) {
    for (name, value) in document.iter() {
        let place = at(start, name.span());
        let Some(table) = TABLES.into_iter().find(|table| table.name == name.get_ref()) else {
            refuse_table(name.get_ref(), value.get_ref(), &place, report);
            continue;
        };
        for section in sections(table, value, start, &place, report) {
            section.refuse_the_rest(report);
            match table.name {
                "upstream" => file.upstreams.push(tables::upstream(&section, report)),
                "range" => file.ranges.push(tables::range(&section, report)),
                "guest" => file.guests.push(guest::read(&section, report)),
                _ => {
                    take_once(&section, &mut File::default(), report);
                    match once.iter_mut().find(|earlier| earlier.table().name == table.name) {
                        Some(earlier) => earlier.replaced_by(section),
                        None => once.push(section),
                    }
                }
            }
        }
    }
}

fn take_once(section: &Section<'_>, file: &mut File, report: &mut Report<'_>) {
    match section.table().name {
        "routes" => file.routes = tables::routes(section, report),
        "timers" => file.timers = tables::timers(section, report),
        "limits" => file.limits = tables::limits(section, report),
        "sysctl" => file.sysctl = tables::sysctl(section, report),
        "control" => file.control = tables::control(section, report),
        "export" => file.nft_sets = section.flag("nft-sets", report).or(false),
        _ => file.log = tables::log(section, report),
    }
}

/// Whether the file is TOML at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grammar {
    Right,
    Wrong,
}

/// The tables of this name, each as often as it was written.
fn sections<'d>(
    table: &'static Table,
    value: &'d Spanned<DeValue<'d>>,
    start: usize,
    place: &Place,
    report: &mut Report<'_>,
) -> Vec<Section<'d>> {
    match (value.get_ref(), table.times) {
        (DeValue::Array(items), Times::Many) => {
            let mut sections = Vec::new();
            for item in items.iter() {
                let item_place = at(start, item.span());
                match item.get_ref() {
                    DeValue::Table(entries) => sections.push(Section::new(table, item_place, entries, start)),
                    other => {
                        let sentence = format!("`{}` has {} instead of a table", table.name, kind(other));
                        report.push(&item_place, sentence).help(format!("write {}", table.header()));
                    }
                }
            }
            sections
        }
        (DeValue::Table(entries), Times::Once) => vec![Section::new(table, place.clone(), entries, start)],
        // The content is read all the same, so that its own mistakes are not found only later.
        (DeValue::Table(entries), Times::Many) => {
            let sentence = format!("[{}] is written with two brackets", table.name);
            report.push(place, sentence).help(format!("write {}", table.header()));
            vec![Section::new(table, place.clone(), entries, start)]
        }
        (DeValue::Array(_), Times::Once) => {
            let sentence = format!("`{}` can be written only once", table.name);
            report.push(place, sentence).help(format!("write {}, with one bracket", table.header()));
            Vec::new()
        }
        (other, _) => {
            let sentence = format!("`{}` is {}, not a table", table.name, kind(other));
            report.push(place, sentence).help(format!("write {} alone on a line", table.header()));
            Vec::new()
        }
    }
}

fn refuse_table(name: &str, value: &DeValue<'_>, place: &Place, report: &mut Report<'_>) {
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
    } else if let Some(table) = synonyms::of_table(name).or_else(|| meant_table(name)) {
        problem.help(format!("did you mean {}?", table.header()));
    } else {
        let names: Vec<&str> = schema::TABLES.iter().map(|table| table.name).collect();
        problem.help(format!("the tables are {}", list(&names)));
    }
}

/// A mistake in the grammar. The most frequent ones, a value without quotes and quotes of a word processor, have
/// their own words.
fn grammar_problem(source: &Source<'_>, message: &str, span: Option<Range<usize>>, report: &mut Report<'_>) {
    let place = span.clone().map_or(Place::Whole, |span| at(source.start, span));
    if let Some(span) = span
        && let Some(rest) = source.text.get(span.start..)
    {
        let line = source.text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let text = source.text[line..].lines().next().unwrap_or_default();
        if let Some((curly, straight)) = synonyms::curly(text) {
            let place = at(source.start, line + curly.start..line + curly.end);
            // One such value may be several mistakes to the parser.
            if !report.has(&place) {
                let sentence = format!("{} has typographic quotes", &text[curly]);
                report.push(&place, sentence).help(format!("write {straight}"));
            }
            return;
        }
        let word = rest.split([' ', '\t', '\r', '\n', ',', ']', '}', '#']).next().unwrap_or_default();
        let place = at(source.start, span.start..span.start + word.len());
        let value = prefix::parse(word, Bare::OneAddress).is_ok() || duration::parse(word).is_ok();
        if value || (message.contains("must be quoted") && !word.is_empty()) {
            report.push(&place, format!("{word} has no quotes")).help(format!("write \"{word}\""));
            return;
        }
    }
    report.push(&place, format!("this is not TOML: {message}"));
}

/// Mistakes in the grammar that are told: a file with more of them is something else than TOML.
const MOST_ERRORS: usize = 1_000;
