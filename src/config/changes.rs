//! What is another in a new configuration: key by key, the value before and the one after.
//!
//! May touch: nothing.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::effective::{Effective, shown};
use super::key::Key;

/// One thing that is another than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The table, without brackets.
    pub table: &'static str,
    /// Which one of several, as [`Key::of`].
    pub of: Option<String>,
    /// The key; `None` if the whole table came or went.
    pub key: Option<&'static str>,
    /// The value before; null if the table was not there.
    pub old: Value,
    /// The value after; null if the table is not there any more.
    pub new: Value,
    #[serde(skip)]
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Added,
    Changed,
    Removed,
}

impl Effective {
    /// What is another in `new`: what it adds and changes in its order, and then what it has no more.
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        // There may be thousands of guests, and few of them others.
        let (was, is) = (self.without_guests_of(new).keys(), new.without_guests_of(self).keys());
        let (before, after) = (by_table(&was), by_table(&is));
        let mut changes = Vec::new();
        for keys in tables(&is) {
            let Some(known) = before.get(&id(&keys[0])) else {
                changes.push(Change::of_table(&keys[0], What::Added));
                continue;
            };
            for (old, new) in known.iter().zip(keys).filter(|(old, new)| old.value != new.value) {
                let (old, value) = (old.value.clone(), new.value.clone());
                let (table, of) = (new.table, new.of.clone());
                changes.push(Change { table, of, key: Some(new.key), old, new: value, what: What::Changed });
            }
        }
        let gone = tables(&was).filter(|keys| !after.contains_key(&id(&keys[0])));
        changes.extend(gone.map(|keys| Change::of_table(&keys[0], What::Removed)));
        changes
    }
}

impl Change {
    fn of_table(key: &Key, what: What) -> Self {
        let (table, of) = (key.table, key.of.clone());
        Self { table, of, key: None, old: Value::Null, new: Value::Null, what }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, of, key, old, new, what } = self;
        match (*table, of) {
            ("upstream", None) => f.write_str("upstream of the default route")?,
            ("upstream" | "range", Some(of)) => write!(f, "{table} {of}")?,
            _ => write!(f, "[{table}]")?,
        }
        match (what, key) {
            (What::Added, _) => f.write_str(" added"),
            (What::Removed, _) => f.write_str(" removed"),
            (What::Changed, key) => {
                write!(f, " {}: {} -> {}", key.unwrap_or_default(), shown(old), shown(new))
            }
        }
    }
}

type Id<'a> = (&'static str, Option<&'a str>);

fn id(key: &Key) -> Id<'_> {
    (key.table, key.of.as_deref())
}

fn tables(keys: &[Key]) -> impl Iterator<Item = &[Key]> {
    keys.chunk_by(|a, b| id(a) == id(b))
}

fn by_table(keys: &[Key]) -> HashMap<Id<'_>, &[Key]> {
    tables(keys).map(|keys| (id(&keys[0]), keys)).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::Overrides;

    fn changes(old: &str, new: &str) -> Vec<String> {
        let effective = |text: &str| {
            let read = Overrides::default().parse(text, "f");
            read.unwrap_or_else(|problems| panic!("{problems}")).effective
        };
        effective(old).changes(&effective(new)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tells_each_key_before_and_after() {
        let old =
            "[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\ninterface = \"br0\"\n[timers]\nabsent = \"5s\"";
        let new =
            old.replace("\"5s\"", "\"3s\"").replace("\"br0\"", "\"lo\"\nexclude = [\"2001:db8:1:2:c::1\"]");
        assert_eq!(changes(old, old), [""; 0]);
        assert_eq!(
            changes(old, &new),
            [
                "range 2001:db8:1:2:c::/112 interface: \"br0\" -> \"lo\"",
                "range 2001:db8:1:2:c::/112 answer: \"live\" -> \"always\"",
                "range 2001:db8:1:2:c::/112 exclude: [] -> [\"2001:db8:1:2:c::1/128\"]",
                "[timers] absent: \"5s\" -> \"3s\"",
            ]
        );
        let with_metrics = format!("{old}\n[control]\nmetrics = \"[::1]:9164\"");
        assert_eq!(changes(old, &with_metrics), ["[control] metrics: (none) -> \"[::1]:9164\""]);
    }

    #[test]
    fn tells_tables_that_come_and_go() {
        let range = |last: &str| format!("[[range]]\nprefix = \"2001:db8:1:2:{last}::/112\"\n");
        assert_eq!(
            changes(&range("c"), &range("d")),
            ["range 2001:db8:1:2:d::/112 added", "range 2001:db8:1:2:c::/112 removed"]
        );
        let named = format!("[[upstream]]\ninterface = \"eth0\"\n{}", range("c"));
        assert_eq!(
            changes(&range("c"), &named),
            ["upstream eth0 added", "upstream of the default route removed"]
        );
        // A default that is written is the same.
        assert_eq!(changes(&range("c"), &format!("{}answer = \"live\"", range("c"))), [""; 0]);
    }
}
