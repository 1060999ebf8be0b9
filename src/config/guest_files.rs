//! The files of `guests.d`, the directory beside the configuration: guests that come and go without another reload, one
//! file each. A file with a mistake is left out, or stays as it was read last, and the others count.
//!
//! May touch: these files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::bytes;
use super::effective::{Effective, Key};
use super::file::{self, Grammar, Source};
use super::files;
use super::guest::{self, Around, Taken};
use super::problem::{Place, Problem, Problems, Report};
use crate::engine::policy::{GuestPolicy, Policy};

/// What the files say, and what is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestFiles {
    /// Beside which file the directory is; `None`: there is none, because that is a pipe or no file at all.
    named: Option<PathBuf>,
    /// The guests of the configuration itself.
    own: Vec<GuestPolicy>,
    files: BTreeMap<PathBuf, GuestFile>,
    problems: Vec<Problem>,
}

/// One file without mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GuestFile {
    guests: Vec<GuestPolicy>,
    keys: Vec<Key>,
}

impl GuestFiles {
    /// Those beside this configuration, which means this.
    pub(super) fn beside(named: &Path, policy: &Policy) -> Self {
        let named = files::is_regular(named).then(|| named.to_owned());
        Self { named, own: policy.guests.clone(), ..Self::default() }.read_again(policy)
    }

    /// The same as they are now. `policy` is what else is in force.
    pub fn read_again(&self, policy: &Policy) -> Self {
        let mut now = Self { named: self.named.clone(), own: self.own.clone(), ..Self::default() };
        let Some(directory) = now.directory() else { return now };
        let paths = match files::toml_files(&directory, MOST_FILES) {
            Ok(paths) => paths,
            Err(error) => {
                let problems = files::unreadable(&directory.display().to_string(), &error, None);
                now.problems.extend(problems.into_vec());
                return now;
            }
        };
        let mut taken = now.taken();
        let Policy { ranges, suffixes, upstreams, .. } = policy;
        for path in paths {
            match read(&path, Around { ranges, suffixes, upstreams }, &mut taken) {
                Ok(file) => _ = now.files.insert(path, file),
                Err(problems) => now.problems.extend(problems.into_vec()),
            }
        }
        now
    }

    /// Of a file that has a mistake now, what was read of it before counts, unless others have taken a part of it. So it
    /// does of all files while the directory itself cannot be read: nobody has taken a guest away then.
    pub fn keep(&mut self, before: &Self) {
        let directory = self.directory();
        let mut taken = self.taken();
        for (path, file) in &self.files {
            file.guests.iter().for_each(|guest| taken.take(guest, path.display().to_string()));
        }
        for (path, file) in &before.files {
            let mut origins = self.problems.iter().map(|problem| Path::new(&problem.origin));
            let is_wrong = origins.any(|origin| origin == path || Some(origin) == directory.as_deref());
            let is_free = || file.guests.iter().all(|guest| taken.clash(guest).is_none());
            if is_wrong && !self.files.contains_key(path) && is_free() {
                file.guests.iter().for_each(|guest| taken.take(guest, path.display().to_string()));
                self.files.insert(path.clone(), file.clone());
            }
        }
    }

    /// The directory, whether it is there or not.
    pub fn directory(&self) -> Option<PathBuf> {
        Some(self.named.as_ref()?.with_file_name("guests.d"))
    }

    /// What is read again: the directory, and each file without a mistake.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.directory().into_iter().chain(self.files.keys().cloned())
    }

    /// All guests: those of the configuration itself, and those of the files.
    pub fn guests(&self) -> Vec<GuestPolicy> {
        let of_files = self.files.values().flat_map(|file| &file.guests);
        self.own.iter().chain(of_files).cloned().collect()
    }

    /// Of each file that is left out, or is as it was before, what is wrong with it.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The same as an error, if there is any.
    pub fn mistakes(&self) -> Option<Problems> {
        (!self.problems.is_empty()).then(|| Problems::of(self.problems.clone()))
    }

    /// How many files there are without a mistake.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// Every key that the files have.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.files.values().flat_map(|file| &file.keys)
    }

    fn taken(&self) -> Taken {
        let mut taken = Taken::default();
        let place = self.named.as_ref().map(|named| named.display().to_string()).unwrap_or_default();
        self.own.iter().for_each(|guest| taken.take(guest, place.clone()));
        taken
    }
}

fn read(path: &Path, around: Around<'_>, taken: &mut Taken) -> Result<GuestFile, Problems> {
    let document = files::read_one(path)?;
    let (origin, text) = (document.origin.as_str(), bytes::unmarked(&document.text));
    let mut report = Report::new(origin, text);
    let (file, grammar) = file::read(&[Source { origin, text, start: 0 }], &mut report);
    if grammar == Grammar::Wrong {
        return Err(report.into_problems());
    }
    let others = file.upstreams.iter().map(|upstream| &upstream.place);
    let others = others.chain(file.ranges.iter().map(|range| &range.place)).next().cloned();
    if others.is_some() || !file.written.is_empty() {
        let problem = report.push(&others.unwrap_or(Place::Whole), "a file in guests.d has only [[guest]]");
        problem.help("move the rest to the configuration, or to a drop-in beside it");
    } else if file.guests.is_empty() {
        let problem = report.push(&Place::Whole, "there is no [[guest]] in this file");
        problem.help("write [[guest]] and its keys, or remove the file");
    }
    let guests = guest::policies(&file.guests, around, taken, &mut report);
    if !report.is_empty() {
        return Err(report.into_problems());
    }
    let keys = Effective::of_guests(&file, &guests, &report);
    Ok(GuestFile { guests, keys })
}

/// Far more than one host has guests.
const MOST_FILES: usize = 65_536;
