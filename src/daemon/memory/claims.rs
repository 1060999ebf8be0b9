//! What is claimed, and until when by the clock of the wall: a claim ends at its time also while no daemon runs.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::daemon::claiming::object_of;
use crate::engine::Time;
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

/// What the clock of the wall shows, and the daemon's own at the same moment.
#[derive(Debug, Clone, Copy)]
pub(in crate::daemon) struct Clocks {
    wall: Duration,
    own: Time,
}

impl Clocks {
    /// At this moment.
    pub(in crate::daemon) fn at(own: Time) -> Self {
        Self { wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), own }
    }
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

    /// Writes what was taken in.
    pub(in crate::daemon) fn write(&mut self) -> io::Result<()> {
        let Some(clocks) = self.clocks.take() else { return Ok(()) };
        let new = std::mem::take(&mut self.new);
        let is_mostly_past = |lines: usize| lines > 2 * self.claims.len() + FEW_LINES;
        if let Some((opened, lines, length)) = &mut self.opened
            && !is_mostly_past(*lines)
            && is_still_at(opened, *length, &self.file)
        {
            *length += new.len() as u64;
            let written = opened.write_all(&new);
            if written.is_err() {
                self.opened = None;
            }
            return written;
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
    let until = |until: Time| {
        let until = clocks.wall + until.since(clocks.own);
        u64::try_from(until.as_millis()).unwrap_or(u64::MAX)
    };
    let line = Line {
        claim: object.to_string(),
        interface: claim.and_then(|claim| claim.interface),
        mac: claim.and_then(|claim| claim.mac),
        via: claim.and_then(|claim| claim.via),
        until: claim.and_then(|claim| claim.until).map(until),
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
    for (object, Line { interface, mac, via, until, .. }) in lines {
        let left = until.map(|until| Duration::from_millis(until).saturating_sub(clocks.wall));
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
mod tests {
    use std::fs;

    use super::*;
    use crate::daemon::memory::Memory;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn clocks(wall: u64, own: u64) -> Clocks {
        Clocks { wall: Duration::from_secs(wall), own: Time::at(Duration::from_secs(own)) }
    }

    fn claims(now: Time) -> Vec<Claim> {
        let claim = |object: &str, until| Claim {
            object: object_of(object).unwrap(),
            interface: "br0".parse().ok(),
            mac: Some(Mac([2, 0, 0, 0, 0, 5])),
            via: "fe80::5".parse().ok(),
            until,
        };
        vec![
            claim("2001:db8::5", Some(now + HOUR)),
            claim("2001:db8::c:0/116", None),
            claim("web1", Some(now + HOUR / 2)),
        ]
    }

    #[test]
    fn ends_each_at_its_time_by_the_clock_of_the_wall() {
        let before = clocks(1_700_000_000, 50);
        let text = String::from_utf8(text(claims(before.own).iter(), before)).unwrap();
        // Another daemon begins at zero, ten minutes later.
        let later = clocks(1_700_000_600, 0);
        let (read, over) = claims_of(&text, later).unwrap();
        let expected: Vec<_> = claims(before.own)
            .into_iter()
            .map(|claim| Claim {
                until: claim.until.map(|until| later.own + (until.since(before.own) - HOUR / 6)),
                ..claim
            })
            .collect();
        assert_eq!((read, over), (expected, 0));
        let (read, over) = claims_of(&text, clocks(1_700_001_800, 0)).unwrap();
        assert_eq!((read.len(), over), (2, 1), "that of half an hour is over");
        let (read, over) = claims_of(&text, clocks(1_700_009_999, 7)).unwrap();
        assert_eq!((read[0].object.to_string().as_str(), over), ("2001:db8::c:0/116", 2));
    }

    fn changed(claims: Vec<Claim>) -> Vec<Changed> {
        claims.into_iter().map(|claim| (claim.object.clone(), Some(claim))).collect()
    }

    #[test]
    fn what_changes_is_written_behind_the_rest_until_most_is_of_the_past() {
        let directory = std::env::temp_dir().join(format!("lone64-journal-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (file, now) = (directory.join("control.claims"), clocks(1_700_000_000, 0));
        let all = claims(now.own);
        let mut journal = Journal::default();
        let mut write = |changed| {
            journal.take(file.clone(), changed, now);
            journal.write().unwrap();
            (fs::read_to_string(&file).unwrap().lines().count(), read(&file, now).0)
        };
        assert_eq!(write(changed(all.clone())), (3, all.clone()));
        let object = all[1].object.clone();
        assert_eq!(write(vec![(object.clone(), None)]), (4, vec![all[0].clone(), all[2].clone()]));
        // Claimed and released for days.
        let longest = (0..500).map(|_| {
            write(changed(vec![all[1].clone()]));
            write(vec![(object.clone(), None)]).0
        });
        assert!(longest.max().unwrap() < 100);
        // Somebody has removed it, or cut it: all of it is written again.
        fs::remove_file(&file).unwrap();
        assert_eq!(write(changed(vec![all[1].clone()])), (3, all.clone()));
        fs::write(&file, "").unwrap();
        assert_eq!(write(vec![(object.clone(), None)]).1, [all[0].clone(), all[2].clone()]);
        // A crash while a line was being written.
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}{{\"claim\":\"2001:db8::7\"")).unwrap();
        assert_eq!(read(&file, now).0, [all[0].clone(), all[2].clone()]);
        // The socket is elsewhere now.
        let elsewhere = directory.join("other.claims");
        journal.take(elsewhere.clone(), Vec::new(), now);
        journal.write().unwrap();
        assert_eq!(read(&elsewhere, now).0, [all[0].clone(), all[2].clone()]);
        assert!(!file.exists());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_is_released_while_no_daemon_runs_is_not_claimed_at_the_next_start() {
        let directory = std::env::temp_dir().join(format!("lone64-released-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (file, now) = (directory.join("control.claims"), clocks(1_700_000_000, 0));
        let all = claims(now.own);
        let objects: Vec<_> = all.iter().map(|claim| claim.object.clone()).collect();
        assert_eq!(release(&file, &objects, now).unwrap_err().kind(), ErrorKind::NotFound);
        // The last line was being written at a crash.
        let whole = String::from_utf8(text(all.iter(), now)).unwrap();
        fs::write(&file, format!("{whole}{{\"claim\":\"2001:db8::7\"")).unwrap();
        let never = object_of("2001:db8::7").unwrap();
        assert_eq!(release(&file, &[never, objects[1].clone()], now).unwrap(), [objects[1].clone()]);
        assert_eq!(read(&file, now).0, [all[0].clone(), all[2].clone()]);
        assert_eq!(release(&file, &objects, now).unwrap(), [objects[0].clone(), objects[2].clone()]);
        assert_eq!((read(&file, now).0, release(&file, &objects, now).unwrap()), (Vec::new(), Vec::new()));
        // What a link leads to is nobody's claims.
        let elsewhere = directory.join("elsewhere");
        fs::write(&elsewhere, &whole).unwrap();
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        assert!(release(&file, &objects, now).is_err());
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), whole);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_makes_no_sense_is_ignored_and_what_lies_in_the_way_replaced() {
        let directory = std::env::temp_dir().join(format!("lone64-claims-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("control.claims");
        let now = clocks(1_700_000_000, 0);
        assert_eq!(read(&file, now), (Vec::new(), 0), "there is none");
        let good = String::from_utf8(text(claims(now.own).iter(), now)).unwrap();
        for text in [
            "",
            "{}\n",
            "[1]\n",
            &good.replacen('}', "", 1),
            &good.replace("web1", "we/b1"),
            &good.replace("\"via\"", "\"by\""),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(read(&file, now).0, [], "{text:.60}");
        }
        // Of a link, what it leads to stays as it is.
        let elsewhere = directory.join("elsewhere");
        fs::write(&elsewhere, "untouched").unwrap();
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        std::os::unix::fs::symlink(&elsewhere, directory.join("control.claims.new")).unwrap();
        let mut memory = Memory::default();
        memory.write_claims(file.clone(), changed(claims(now.own)), now);
        drop(memory);
        assert_eq!(read(&file, now).0, claims(now.own));
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "untouched");
        fs::remove_dir_all(directory).unwrap();
    }
}
