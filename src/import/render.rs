//! A settled draft as the text of a lone64.toml, with its notes as comments.

use std::fmt::Write;
use std::time::Duration;

use super::Note;
use super::draft::{Draft, Range, Router, Routes, Upstream};
use super::text::printable;
use crate::columns;
use crate::engine::facts::IfName;
use crate::engine::policy::Answer;

/// The text; `lone64 check` accepts it if the draft was settled.
pub(super) fn render(draft: &Draft, origin: &str) -> String {
    let mut text = String::new();
    comment(&mut text, &format!("lone64: the equivalent of {} ({}).", printable(origin), draft.from));
    text.push_str("#\n");
    for paragraph in draft.preface.split("\n\n") {
        comment(&mut text, paragraph);
    }
    if !draft.notes.is_empty() {
        text.push_str("#\n");
    }
    notes(&mut text, &draft.notes);
    for upstream in &draft.upstreams {
        table(&mut text, upstream);
        for range in upstream.ranges.iter().filter(|range| !range.is_automatic()) {
            let among_several = (draft.upstreams.len() > 1).then_some(&upstream.interface);
            range_table(&mut text, range, among_several);
        }
    }
    timers(&mut text, draft);
    text
}

fn table(text: &mut String, upstream: &Upstream) {
    text.push_str("\n[[upstream]]\n");
    notes(text, &upstream.notes);
    let automatic = upstream.ranges.iter().find(|range| range.is_automatic());
    automatic.iter().for_each(|range| notes(text, &range.notes));
    key(text, "interface", &quoted(&upstream.interface));
    if automatic.is_some() {
        key(text, "automatic", "true");
    }
    if upstream.router == Router::Set {
        key(text, "router", "true");
    }
}

fn range_table(text: &mut String, range: &Range, upstream: Option<&IfName>) {
    text.push_str("\n[[range]]\n");
    notes(text, &range.notes);
    match range.is_whole_link() {
        true => key(text, "suffix", "\"::/64\""),
        false => key(text, "prefix", &format!("\"{}\"", range.prefix)),
    }
    if let Some(upstream) = upstream {
        key(text, "upstream", &quoted(upstream));
    }
    match range.interfaces.as_slice() {
        [] => {}
        [only] => key(text, "interface", &quoted(only)),
        several => {
            let names: Vec<String> = several.iter().map(quoted).collect();
            key(text, "interface", &format!("[{}]", names.join(", ")));
        }
    }
    key(text, "answer", &format!("\"{}\"", range.answer));
    // All of the link has a /128 for each live guest, and no backstop, by default.
    if !range.is_whole_link() || range.answer == Answer::Always {
        let routes = if range.routes == Routes::Guests { "guests" } else { "none" };
        key(text, "routes", &format!("\"{routes}\""));
        key(text, "backstop", "false");
    }
    if range.proxy_downstream {
        key(text, "proxy-downstream", "true");
    }
    match range.exclude.as_slice() {
        [] => {}
        [only] => key(text, "exclude", &format!("[\"{only}\"]")),
        several => {
            let lines: Vec<String> = several.iter().map(|prefix| format!("    \"{prefix}\",\n")).collect();
            key(text, "exclude", &format!("[\n{}]", lines.concat()));
        }
    }
}

fn timers(text: &mut String, draft: &Draft) {
    let timers = draft.timers;
    if timers == Default::default() {
        return;
    }
    text.push_str("\n[timers]\n");
    let written = [
        ("reachable", timers.reachable.map(duration)),
        ("retransmit", timers.retransmit.map(duration)),
        ("retries", timers.retries.map(|number| number.to_string())),
        ("absent", timers.absent.map(duration)),
    ];
    for (name, value) in written {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:<10} = {value}");
        }
    }
}

fn duration(value: Duration) -> String {
    let millis = value.as_millis();
    if millis.is_multiple_of(1000) { format!("\"{}s\"", millis / 1000) } else { format!("\"{millis}ms\"") }
}

fn key(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{name:<9} = {value}");
}

fn quoted(name: &IfName) -> String {
    format!("\"{}\"", name.as_str().replace('\\', "\\\\").replace('"', "\\\""))
}

fn notes(text: &mut String, notes: &[Note]) {
    for note in notes {
        match note.line {
            Some(line) => comment(text, &format!("line {line}: {}.", note.message)),
            None => comment(text, &format!("{}.", note.message)),
        }
    }
}

/// In lines that fit a terminal of the usual width, with every command whole.
fn comment(text: &mut String, sentence: &str) {
    text.push_str(&columns::folded("# ", "# ", sentence, columns::USUAL));
}
