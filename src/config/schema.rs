//! Which tables and keys there are, and the nearest one to a word that is none of them.
//!
//! May touch: nothing.

/// A table of the file.
pub(super) struct Table {
    /// Its name, without brackets.
    pub(super) name: &'static str,
    /// How often it can be written.
    pub(super) times: Times,
    /// Its keys.
    pub(super) keys: &'static [&'static str],
}

/// How often a table can be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    Once,
    Many,
}

impl Table {
    /// The table as it is written in a file.
    pub(super) fn header(&self) -> String {
        match self.times {
            Times::Once => format!("[{}]", self.name),
            Times::Many => format!("[[{}]]", self.name),
        }
    }

    /// The table that has this key, if there is one.
    pub(super) fn with_key(key: &str) -> Option<&'static Table> {
        TABLES.into_iter().find(|table| table.keys.contains(&key))
    }
}

pub(super) static UPSTREAM: Table = Table {
    name: "upstream",
    times: Times::Many,
    keys: &[
        "interface",
        "automatic",
        "ignore",
        "router",
        "override",
        "source",
        "announce",
        "gateway-source",
        "mld",
        "suppress-kernel",
        "backend",
        "on-crash-answer",
    ],
};

pub(super) static RANGE: Table = Table {
    name: "range",
    times: Times::Many,
    keys: &[
        "prefix",
        "suffix",
        "upstream",
        "interface",
        "answer",
        "routes",
        "backstop",
        "exclude",
        "gateway",
        "proxy-downstream",
        "guard",
        "standby",
    ],
};

pub(super) static GUEST: Table = Table {
    name: "guest",
    times: Times::Many,
    keys: &["name", "mac", "interface", "addresses", "delegate", "pin", "guard"],
};

pub(super) static ROUTES: Table =
    Table { name: "routes", times: Times::Once, keys: &["protocol", "table", "metric", "on-stop"] };

pub(super) static TIMERS: Table = Table {
    name: "timers",
    times: Times::Once,
    keys: &["reachable", "retransmit", "retries", "absent", "keepalive"],
};

pub(super) static LIMITS: Table = Table {
    name: "limits",
    times: Times::Once,
    keys: &["targets", "pending", "probes-per-second", "announcements-per-second", "groups"],
};

pub(super) static SYSCTL: Table = Table { name: "sysctl", times: Times::Once, keys: &["manage"] };

pub(super) static CONTROL: Table =
    Table { name: "control", times: Times::Once, keys: &["socket", "metrics"] };

pub(super) static EXPORT: Table = Table { name: "export", times: Times::Once, keys: &["nft-sets"] };

pub(super) static LOG: Table = Table { name: "log", times: Times::Once, keys: &["level", "format"] };

/// Every table.
pub(super) static TABLES: [&Table; 10] =
    [&UPSTREAM, &RANGE, &GUEST, &ROUTES, &TIMERS, &LIMITS, &SYSCTL, &CONTROL, &EXPORT, &LOG];

/// The candidate that somebody who wrote `word` probably meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 32;
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase().replace('_', "-");
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).clamp(1, 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_key_behind_a_slip() {
        for (slip, meant) in [
            ("prefx", "prefix"),
            ("interfcae", "interface"),
            ("Backstop", "backstop"),
            ("excludes", "exclude"),
            ("anwser", "answer"),
        ] {
            assert_eq!(nearest(slip, RANGE.keys.iter().copied()), Some(meant));
        }
    }

    #[test]
    fn suggests_nothing_for_a_word_that_is_near_to_nothing() {
        for word in ["", "colour", "x", &"prefix".repeat(1000)] {
            assert_eq!(nearest(word, RANGE.keys.iter().copied()), None, "{word:.20}");
        }
    }

    #[test]
    fn explains_every_key_in_the_annotated_file() {
        let text = include_str!("../../config/lone64.toml");
        for table in TABLES.into_iter().filter(|table| !table.keys.is_empty()) {
            assert!(text.contains(&table.header()), "{} is not explained", table.header());
            for key in table.keys {
                assert!(text.lines().any(|line| word(line) == Some(*key)), "{key} is not explained");
            }
        }
    }

    /// The key of a line, commented out or not.
    fn word(line: &str) -> Option<&str> {
        Some(line.trim_start_matches(['#', ' ']).split_once('=')?.0.trim())
    }
}
