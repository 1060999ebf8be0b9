//! Lines for lone64.toml that stand for a whole table.

use std::fmt::Write as _;

use crate::engine::policy::{Answer, Downstream, RangePolicy};

/// The table of a range, with an interface of its own choice or `interface` instead, and `more` keys.
pub fn range(range: &RangePolicy, interface: Option<&str>, more: &[(&str, String)]) -> String {
    let mut text = format!("[[range]]\nprefix = \"{}\"\n", range.prefix);
    let interface = interface.map(|name| format!("\"{name}\"")).or_else(|| match &range.downstream {
        Downstream::Kernel => None,
        Downstream::Named(name) => Some(format!("\"{name}\"")),
        Downstream::Matching(patterns) => {
            let all: Vec<_> = patterns.iter().map(|pattern| format!("\"{}\"", pattern.as_str())).collect();
            Some(format!("[{}]", all.join(", ")))
        }
    });
    if let Some(interface) = interface {
        let _ = writeln!(text, "interface = {interface}");
    }
    let is_changed = |key| more.iter().any(|(other, _)| *other == key);
    if range.answer != Answer::Live && !is_changed("answer") {
        let _ = writeln!(text, "answer = \"{}\"", range.answer);
    }
    for (key, value) in more {
        let _ = writeln!(text, "{key} = {value}");
    }
    text
}

/// A list of texts.
pub fn list(values: impl IntoIterator<Item = String>) -> String {
    let quoted: Vec<_> = values.into_iter().map(|value| format!("\"{value}\"")).collect();
    format!("[{}]", quoted.join(", "))
}
