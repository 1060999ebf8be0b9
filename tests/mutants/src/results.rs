//! What is known of mutants, one line of JSON for each, so that a run that is ended can be gone on with.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::list::Mutant;
use crate::trial::{Outcome, lock};

/// The outcome of each mutant that is known. The last line counts.
pub struct Results {
    known: HashMap<String, String>,
    file: Mutex<File>,
    digests: HashMap<String, String>,
}

impl Results {
    /// What `path` says of mutants in files that are still the same.
    pub fn open(path: &Path, tree: &Path, mutants: &[Mutant]) -> Self {
        let mut digests = HashMap::new();
        for mutant in mutants {
            digests.entry(mutant.file.clone()).or_insert_with(|| digest(&tree.join(&mutant.file)));
        }
        let mut known = HashMap::new();
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
            let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            if digests.get(&text("file")) == Some(&text("digest")) {
                known.insert(text("name"), text("outcome"));
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path).expect("results can be written");
        Self { known, file: Mutex::new(file), digests }
    }

    pub fn of(&self, mutant: &Mutant) -> Option<&str> {
        self.known.get(&mutant.name).map(String::as_str)
    }

    /// Notes what a mutant came to.
    pub fn note(&self, mutant: &Mutant, outcome: &str, by: &str) {
        let digest = &self.digests[&mutant.file];
        let line = json!({ "name": mutant.name, "file": mutant.file, "digest": digest, "outcome": outcome, "by": by });
        let _ = writeln!(lock(&self.file), "{line}");
    }
}

/// The words of an outcome, and what led to it.
pub fn words(outcome: &Outcome) -> (&'static str, String) {
    match outcome {
        Outcome::Found(by) => ("found", by.clone()),
        Outcome::Slow(by) => ("slow", by.clone()),
        Outcome::Survives(tests) => ("survives", format!("{tests} tests")),
        Outcome::Unreached => ("survives", "no test reaches it".to_owned()),
        Outcome::Undecided(done, left) => ("undecided", format!("{done} tests, {left} left")),
    }
}

/// What a file is told from its former self by.
pub fn digest(path: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    std::fs::read(path).unwrap_or_default().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
