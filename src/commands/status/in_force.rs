//! Which configuration is in force, and whether it is still what the files say.

use serde::Deserialize;

use super::page::duration;
use crate::commands::terminal::{bad, folded};

/// The same, as the daemon says it.
#[derive(Debug, Deserialize)]
pub(super) struct InForce {
    file: Option<String>,
    files: Vec<String>,
    loaded_seconds: u64,
    changed_since: Option<bool>,
    /// Where it cannot be read again.
    unreadable: Option<Unreadable>,
    last_refusal: Option<Refused>,
    /// The socket of the metrics, where somebody has removed it.
    metrics_gone: Option<String>,
    /// What is wrong with files of guests.
    #[serde(default)]
    guest_files: Vec<Mistake>,
}

#[derive(Debug, Deserialize)]
struct Mistake {
    origin: String,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Unreadable {
    file: String,
    gone: bool,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Refused {
    seconds: u64,
    message: String,
}

impl InForce {
    /// Whether a start would serve what is served now.
    pub(super) fn is_well(&self) -> bool {
        self.last_refusal.is_none()
    }

    /// What is not as it should be.
    pub(super) fn problems(&self) -> String {
        let word = bad("config: ");
        let mut text = String::new();
        if let Some(Refused { seconds, message }) = &self.last_refusal {
            let first = message.lines().next().unwrap_or_default();
            let sentence = format!(
                "a reload was refused {} ago, and the old configuration stays in force: {first}",
                duration(*seconds)
            );
            text += &folded(&word, "    ", &sentence);
        }
        if let Some(Unreadable { file, gone, message }) = &self.unreadable {
            let (is_so, help) = if *gone {
                ("is gone".to_owned(), "put it back")
            } else {
                (format!("cannot be read: {message}"), "let lone64 read it")
            };
            let sentence = format!(
                "{file} {is_so}; lone64 goes on with what it has loaded before, until it is started again. So {help}, \
                 then run `lone64 reload`"
            );
            text += &folded(&word, "    ", &sentence);
        } else if self.changed_since == Some(true) && self.last_refusal.is_none() {
            let sentence = format!("{} has changed; `lone64 reload` loads it", self.name());
            text += &folded(&word, "    ", &sentence);
        }
        if let Some(socket) = &self.metrics_gone {
            let sentence = format!("the socket {socket} is gone: `lone64 reload` has it made again");
            text += &folded(&bad("metrics: "), "    ", &sentence);
        }
        for Mistake { origin, message } in self.guest_files.iter().take(MOST_MISTAKES) {
            let sentence = format!("{origin}: {message}; what it said before counts, if it was good");
            text += &folded(&word, "    ", &sentence);
        }
        if self.guest_files.len() > MOST_MISTAKES {
            text += &folded(&word, "    ", "more files of guests have mistakes; `lone64 check` shows all");
        }
        text
    }

    /// What is in force, and since when.
    pub(super) fn line(&self) -> String {
        let loaded = format!("{}, loaded {} ago", self.name(), duration(self.loaded_seconds));
        folded("config ", "    ", &loaded)
    }

    fn name(&self) -> String {
        let drop_ins = self.files.len() - usize::from(self.file.is_some()).min(self.files.len());
        let plural = if drop_ins == 1 { "" } else { "s" };
        match (&self.file, drop_ins) {
            (Some(file), 0) => file.clone(),
            (Some(file), _) => format!("{file} with {drop_ins} drop-in{plural}"),
            (None, 0) => "without a file".to_owned(),
            (None, _) => format!("{drop_ins} drop-in{plural}"),
        }
    }
}

/// Files of guests that are named.
const MOST_MISTAKES: usize = 4;
