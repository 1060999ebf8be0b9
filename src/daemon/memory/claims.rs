//! What is claimed, and until when: a claim ends at its time also while no daemon runs, and whatever the wall
//! clock is set to meanwhile.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clocks::Clocks;
use crate::daemon::claiming::object_of;
use crate::engine::facts::IfName;
use crate::engine::guests::{Claim, Object};
use crate::wire::Mac;

/// One line of the file. Of several about the same the last counts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    claim: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interface: Option<IfName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mac: Option<Mac>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    via: Option<Ipv6Addr>,
    /// Milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    /// The same moment in milliseconds since the host started. It counts for the same start of it (`boot`); the wall
    /// clock counts after another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until_up: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<u32>,
    /// It is not claimed any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    released: bool,
}

/// What is claimed now; `None`: it is not any more.
pub(in crate::daemon) type Changed = (Object, Option<Claim>);

/// The file, as the thread that writes has it: what changes is written behind the rest, and all of it again only when
/// most of the file is of the past.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Journal {
    file: PathBuf,
    claims: BTreeMap<Object, Claim>,
    /// Not written yet.
    new: Vec<u8>,
    clocks: Option<Clocks>,
    /// The file, once all of it was written, and how many lines and bytes that has.
    opened: Option<(File, usize, u64)>,
}

impl Journal {
    /// This has changed, and is to be in that file.
    pub(in crate::daemon) fn take(&mut self, file: PathBuf, changed: Vec<Changed>, clocks: Clocks) {
        if file != self.file {
            // What was said there is said elsewhere now.
            if self.opened.take().is_some() {
                let _ = fs::remove_file(&self.file);
            }
            self.file = file;
        }
        self.clocks = Some(clocks);
        for (object, claim) in changed {
            append(&mut self.new, &object, claim.as_ref(), clocks);
            if let Some((_, lines, _)) = &mut self.opened {
                *lines += 1;
            }
            match claim {
                Some(claim) => _ = self.claims.insert(object, claim),
                None => _ = self.claims.remove(&object),
            }
        }
    }

    /// Where it is.
    pub(in crate::daemon) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether what was taken in could not be written.
    pub(in crate::daemon) fn is_behind(&self) -> bool {
        self.clocks.is_some()
    }

    /// Writes what was taken in. After an error all of it is still to be written.
    pub(in crate::daemon) fn write(&mut self) -> io::Result<()> {
        let Some(clocks) = self.clocks.take() else { return Ok(()) };
        let written = self.write_by(clocks);
        if written.is_err() {
            self.opened = None;
            self.clocks = Some(clocks);
        }
        written
    }

    fn write_by(&mut self, clocks: Clocks) -> io::Result<()> {
        let new = std::mem::take(&mut self.new);
        let is_mostly_past = |lines: usize| lines > 2 * self.claims.len() + FEW_LINES;
        if let Some((opened, lines, length)) = &mut self.opened
            && !is_mostly_past(*lines)
            && is_still_at(opened, *length, &self.file)
        {
            *length += new.len() as u64;
            return opened.write_all(&new);
        }
        self.opened = None;
        let text = text(self.claims.values(), clocks);
        let opened = super::replace(&self.file, &text)?;
        self.opened = Some((opened, self.claims.len(), text.len() as u64));
        Ok(())
    }
}

/// Nobody has removed it, changed it, or put another in its place.
fn is_still_at(opened: &File, length: u64, file: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (opened.metadata(), fs::symlink_metadata(file)) else { return false };
    (ours.dev(), ours.ino(), length) == (there.dev(), there.ino(), there.len())
}

fn text<'a>(all: impl Iterator<Item = &'a Claim>, clocks: Clocks) -> Vec<u8> {
    let mut text = Vec::new();
    all.for_each(|claim| append(&mut text, &claim.object, Some(claim), clocks));
    text
}

fn append(text: &mut Vec<u8>, object: &Object, claim: Option<&Claim>, clocks: Clocks) {
    let left = claim.and_then(|claim| claim.until).map(|until| until.since(clocks.own));
    let milliseconds = |until: Duration| u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
    let line = Line {
        claim: object.to_string(),
        interface: claim.and_then(|claim| claim.interface),
        mac: claim.and_then(|claim| claim.mac),
        via: claim.and_then(|claim| claim.via),
        until: left.map(|left| milliseconds(clocks.wall + left)),
        until_up: left.filter(|_| clocks.boot.is_some()).map(|left| milliseconds(clocks.up + left)),
        boot: clocks.boot.filter(|_| left.is_some()),
        released: claim.is_none(),
    };
    // Nothing of it can fail.
    text.extend(serde_json::to_vec(&line).unwrap_or_default());
    text.push(b'\n');
}

/// While no daemon runs: these are not claimed any more. Those that were.
pub(in crate::daemon) fn release(file: &Path, objects: &[Object], clocks: Clocks) -> io::Result<Vec<Object>> {
    let claims = claims_of(&super::read_text(file, LONGEST)?, clocks)?.0;
    let is_claimed = |object: &&Object| claims.iter().any(|claim| claim.object == **object);
    let released: Vec<_> = objects.iter().filter(is_claimed).cloned().collect();
    if released.is_empty() {
        return Ok(released);
    }
    let mut text = Vec::new();
    released.iter().for_each(|object| append(&mut text, object, None, clocks));
    // The directory may be another user's, so a link is not followed; and the file stays its owner's.
    let mut opened = File::options().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(file)?;
    // A line that was being written at a crash has no end.
    let mut before = Vec::new();
    opened.read_to_end(&mut before)?;
    let whole = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    opened.set_len(whole as u64)?;
    opened.seek(SeekFrom::End(0))?;
    opened.write_all(&text)?;
    Ok(released)
}

/// What the file says, but for the claims whose time is over; and how many those are.
pub(in crate::daemon) fn read(file: &Path, clocks: Clocks) -> (Vec<Claim>, usize) {
    super::read(file, LONGEST, "what was claimed has to be claimed again", |text| claims_of(text, clocks))
}

fn claims_of(text: &str, clocks: Clocks) -> io::Result<(Vec<Claim>, usize)> {
    let mut lines = BTreeMap::new();
    // Of a line that was being written at the end nobody was told.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let line: Line = serde_json::from_str(line)?;
        let object = object_of(&line.claim).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        match line.released {
            true => _ = lines.remove(&object),
            false => _ = lines.insert(object, line),
        }
    }
    let count = lines.len();
    let mut claims = Vec::new();
    for (object, Line { interface, mac, via, until, until_up, boot, .. }) in lines {
        let (until, now) = match until_up {
            Some(_) if boot.is_some() && boot == clocks.boot => (until_up, clocks.up),
            _ => (until, clocks.wall),
        };
        let left = until.map(|until| Duration::from_millis(until).saturating_sub(now));
        if left.is_none_or(|left| !left.is_zero()) {
            let until = left.map(|left| clocks.own + left);
            claims.push(Claim { object, interface, mac, via, until });
        }
    }
    let over = count - claims.len();
    Ok((claims, over))
}

/// As many lines of the past are left where there are hardly any others.
const FEW_LINES: usize = 64;
/// Some hundred bytes for each claim.
const LONGEST: u64 = 8 * 1_024 * 1_024;

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
