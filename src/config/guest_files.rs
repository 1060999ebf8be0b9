//! The files of `guests.d`, the directory beside the configuration: guests that come and go without another reload, one
//! file each. A file with a mistake is left out, or stays as it was read last, and the others count.
//!
//! May touch: these files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bytes;
use super::effective::Effective;
use super::file::{self, Grammar, Source};
use super::files::{self, Document, Stamp};
use super::guest::{self, Around, Taken};
use super::guest_keys::GuestKeys;
use super::problem::{Place, Problem, Problems, Report};
use crate::engine::policy::{GuestPolicy, Policy, RangePolicy, UpstreamPolicy};

/// What the files say, and what is wrong with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestFiles {
    /// Beside which file the directory is; `None`: there is none, because that is a pipe or no file at all.
    named: Option<PathBuf>,
    /// The guests of the configuration itself.
    own: Arc<Vec<Arc<GuestPolicy>>>,
    /// What else was written when they were read.
    ground: Arc<Written>,
    files: BTreeMap<PathBuf, Arc<GuestFile>>,
    problems: Vec<Problem>,
}

/// What files of guests are judged by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Written {
    ranges: Vec<RangePolicy>,
    suffixes: Vec<RangePolicy>,
    upstreams: Vec<UpstreamPolicy>,
}

/// One file without mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GuestFile {
    guests: Box<[GuestKeys]>,
    /// How it looked when it was read; `None`: it may have been written since without looking different.
    stamp: Option<Stamp>,
}

impl GuestFiles {
    /// Those beside this configuration, which means this. `before` are those that are in force, if any are.
    pub(super) fn beside(named: &Path, policy: &Policy, before: &Self) -> Self {
        let named = files::is_regular(named).then(|| named.to_owned());
        Self { named, own: Arc::new(policy.guests.clone()), ..Self::default() }.read(policy, before)
    }

    /// The same as they are now. `policy` is what else is in force.
    pub fn read_again(&self, policy: &Policy) -> Self {
        let (named, own) = (self.named.clone(), Arc::clone(&self.own));
        Self { named, own, ..Self::default() }.read(policy, self)
    }

    /// What was not written since counts first, so that nobody takes anything from a guest that is in force. Of a file that
    /// has a mistake now, what was read of it before counts. So it does of all files while the directory itself cannot be
    /// read: nobody has taken a guest away then.
    fn read(mut self, policy: &Policy, before: &Self) -> Self {
        let Policy { ranges, suffixes, upstreams, .. } = policy;
        let (ranges, suffixes, upstreams) = (ranges.clone(), suffixes.clone(), upstreams.clone());
        self.ground = Arc::new(Written { ranges, suffixes, upstreams });
        let Some(directory) = self.directory() else { return self };
        let nothing = BTreeMap::new();
        let files = if before.named == self.named { &before.files } else { &nothing };
        let mut taken = self.taken();
        let paths = match files::toml_files(&directory, MOST_FILES) {
            Ok(paths) => paths,
            Err(error) => {
                let problems = files::unreadable(&directory.display().to_string(), &error, None);
                self.problems.extend(problems.into_vec());
                files.iter().for_each(|(path, file)| _ = self.retain(path, file, &mut taken));
                return self;
            }
        };
        let is_same_ground = before.ground == self.ground;
        let (mut written, mut new) = (Vec::new(), Vec::new());
        for path in paths {
            let Some(file) = files.get(&path).cloned() else {
                new.push(path);
                continue;
            };
            let is_as_it_was = file.stamp.is_some() && Stamp::of(&path) == file.stamp;
            let is_kept = is_same_ground && is_as_it_was && self.retain(&path, &file, &mut taken);
            written.extend((!is_kept).then_some((path, file)));
        }
        // One that looks as it did is only judged again.
        written.sort_by_cached_key(|(path, file)| file.stamp.is_none() || Stamp::of(path) != file.stamp);
        for (path, before) in written {
            if !self.take(&path, &mut taken) {
                self.retain(&path, &before, &mut taken);
            }
        }
        new.iter().for_each(|path| _ = self.take(path, &mut taken));
        self
    }

    /// Reads a file. False if it has a mistake.
    fn take(&mut self, path: &Path, taken: &mut Taken) -> bool {
        let Written { ranges, suffixes, upstreams } = &*self.ground;
        match read(path, Around { ranges, suffixes, upstreams }, taken) {
            Ok(file) => {
                self.files.insert(path.to_owned(), Arc::new(file));
                true
            }
            Err(problems) => {
                self.problems.extend(problems.into_vec());
                false
            }
        }
    }

    /// What was read of a file before counts, unless others have taken a part of it.
    fn retain(&mut self, path: &Path, file: &Arc<GuestFile>, taken: &mut Taken) -> bool {
        let is_free = file.guests.iter().all(|guest| taken.clash(guest.policy()).is_none());
        if is_free {
            file.guests.iter().for_each(|guest| taken.take(guest.policy(), path.display().to_string()));
            self.files.insert(path.to_owned(), Arc::clone(file));
        }
        is_free
    }

    /// The directory, whether it is there or not.
    pub fn directory(&self) -> Option<PathBuf> {
        Some(self.named.as_ref()?.with_file_name("guests.d"))
    }

    /// What is read again: the directory, and each file without a mistake that is a link to elsewhere.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let is_link = |path: &&PathBuf| path.symlink_metadata().is_ok_and(|found| found.is_symlink());
        self.directory().into_iter().chain(self.files.keys().filter(is_link).cloned())
    }

    /// All guests: those of the configuration itself, and those of the files.
    pub fn guests(&self) -> Vec<Arc<GuestPolicy>> {
        self.own.iter().chain(self.keys().map(GuestKeys::policy)).cloned().collect()
    }

    /// The guests of a file with this text, beside a configuration that means this. For the fuzzers.
    #[doc(hidden)]
    pub fn parse(text: &str, origin: &str, policy: &Policy) -> Result<Vec<Arc<GuestPolicy>>, Problems> {
        let Policy { ranges, suffixes, upstreams, guests, .. } = policy;
        let mut taken = Taken::default();
        guests.iter().for_each(|guest| taken.take(guest, "the configuration".to_owned()));
        let document = Document { origin: origin.to_owned(), text: text.to_owned() };
        let guests = judge(&document, Around { ranges, suffixes, upstreams }, &mut taken)?;
        Ok(guests.iter().map(|guest| Arc::clone(guest.policy())).collect())
    }

    /// Keeps each guest of the configuration itself as this value. What files say is kept as long as they are as they were.
    pub(super) fn share(&mut self, share: impl Fn(&mut Arc<GuestPolicy>)) {
        Arc::make_mut(&mut self.own).iter_mut().for_each(share);
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

    /// Has these guests of `guests.d`, and no others, in what is in force.
    pub fn put_into(&self, effective: &mut Effective) {
        effective.take(self.keys());
    }

    /// Every guest of the files, with its keys.
    fn keys(&self) -> impl Iterator<Item = &GuestKeys> {
        self.files.values().flat_map(|file| &file.guests)
    }

    fn taken(&self) -> Taken {
        let mut taken = Taken::default();
        let place = self.named.as_ref().map(|named| named.display().to_string()).unwrap_or_default();
        self.own.iter().for_each(|guest| taken.take(guest, place.clone()));
        taken
    }
}

fn read(path: &Path, around: Around<'_>, taken: &mut Taken) -> Result<GuestFile, Problems> {
    // What is written while it is read looks different afterwards.
    let stamp = Stamp::of(path).filter(Stamp::is_old);
    let guests = judge(&files::read_one(path)?, around, taken)?;
    Ok(GuestFile { guests: guests.into_boxed_slice(), stamp })
}

/// The guests of one text.
fn judge(document: &Document, around: Around<'_>, taken: &mut Taken) -> Result<Vec<GuestKeys>, Problems> {
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
    Ok(Effective::of_guests(&file, &guests, &report))
}

/// Far more than one host has guests.
const MOST_FILES: usize = 65_536;
