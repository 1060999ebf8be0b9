//! The text of the file read into its mirror: what tables there are, and where TOML ends.
//!
//! May touch: nothing. TOML is walked by hand rather than deserialized, because serde stops at the
//! first mistake.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration;
use super::mirror::File;
use super::prefix::{self, Bare};
use super::problem::{Place, Report};
use super::schema::{self, LATER_TABLES, TABLES, Table, Times, nearest};
use super::section::{Section, kind, list, meant_table};
use super::tables;

/// Reads a file. Mistakes in the grammar are reported together with whatever else is wrong on
/// other lines.
pub(super) fn read(text: &str, report: &mut Report<'_>) -> (File, Grammar) {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors.iter().take(MOST_ERRORS) {
        let place = error.span().map_or(Place::Whole, Place::Text);
        grammar_problem(text, error.message(), &place, report);
    }
    if errors.is_empty() {
        return (walk(document.get_ref(), report), Grammar::Right);
    }
    let mut beside = report.empty();
    let file = walk(document.get_ref(), &mut beside);
    beside.retain_beside(report);
    report.absorb(beside);
    (file, Grammar::Wrong)
}

fn walk(document: &DeTable<'_>, report: &mut Report<'_>) -> File {
    let mut file = File::default();
    for (name, value) in document.iter() {
        let place = Place::Text(name.span());
        let known = TABLES.into_iter().find(|table| table.name == name.get_ref());
        let Some(table) = known.filter(|table| !table.keys.is_empty()) else {
            refuse_table(name.get_ref(), value.get_ref(), &place, report);
            continue;
        };
        for section in sections(table, value, &place, report) {
            section.refuse_the_rest(report);
            match table.name {
                "upstream" => file.upstreams.push(tables::upstream(&section, report)),
                "range" => file.ranges.push(tables::range(&section, report)),
                "routes" => file.routes = tables::routes(&section, report),
                "timers" => file.timers = tables::timers(&section, report),
                "limits" => file.limits = tables::limits(&section, report),
                "sysctl" => file.sysctl = tables::sysctl(&section, report),
                "control" => file.control = tables::control(&section, report),
                _ => file.log = tables::log(&section, report),
            }
        }
    }
    file
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
    if LATER_TABLES.contains(&name) || TABLES.iter().any(|table| table.name == name) {
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

/// Mistakes in the grammar that are told: a file with more of them is something else than TOML.
const MOST_ERRORS: usize = 1_000;
