//! What is claimed, and until when by the clock of the wall: a claim ends at its time also while no daemon runs.

use core::net::Ipv6Addr;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Note;
use crate::daemon::claiming::object_of;
use crate::engine::Time;
use crate::engine::facts::IfName;
use crate::engine::guests::Claim;
use crate::wire::Mac;

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    claim: String,
    interface: Option<IfName>,
    mac: Option<Mac>,
    via: Option<Ipv6Addr>,
    /// Milliseconds since 1970.
    until: Option<u64>,
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

/// As the file is to say it.
pub(in crate::daemon) fn note(all: Vec<Claim>, clocks: Clocks) -> Note {
    Note {
        text: Box::new(move || text(&all, clocks)),
        else_what: "the next start does not know what is claimed",
    }
}

fn text(all: &[Claim], clocks: Clocks) -> Vec<u8> {
    let until = |until: Time| {
        let until = clocks.wall + until.since(clocks.own);
        u64::try_from(until.as_millis()).unwrap_or(u64::MAX)
    };
    let line = |claim: &Claim| Line {
        claim: claim.object.to_string(),
        interface: claim.interface,
        mac: claim.mac,
        via: claim.via,
        until: claim.until.map(until),
    };
    let lines: Vec<_> = all.iter().map(line).collect();
    // Nothing of it can fail.
    serde_json::to_vec_pretty(&lines).unwrap_or_default()
}

/// What the file says, but for the claims whose time is over; and how many those are.
pub(in crate::daemon) fn read(file: &Path, clocks: Clocks) -> (Vec<Claim>, usize) {
    super::read(file, LONGEST, "what was claimed has to be claimed again", |text| claims_of(text, clocks))
}

fn claims_of(text: &str, clocks: Clocks) -> io::Result<(Vec<Claim>, usize)> {
    let lines: Vec<Line> = serde_json::from_str(text)?;
    let count = lines.len();
    let mut claims = Vec::new();
    for Line { claim, interface, mac, via, until } in lines {
        let object = object_of(&claim).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let left = until.map(|until| Duration::from_millis(until).saturating_sub(clocks.wall));
        if left.is_none_or(|left| !left.is_zero()) {
            let until = left.map(|left| clocks.own + left);
            claims.push(Claim { object, interface, mac, via, until });
        }
    }
    let over = count - claims.len();
    Ok((claims, over))
}

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
        let text = String::from_utf8(text(&claims(before.own), before)).unwrap();
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

    #[test]
    fn what_makes_no_sense_is_ignored_and_what_lies_in_the_way_replaced() {
        let directory = std::env::temp_dir().join(format!("lone64-claims-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("control.claims");
        let now = clocks(1_700_000_000, 0);
        assert_eq!(read(&file, now), (Vec::new(), 0), "there is none");
        let good = String::from_utf8(text(&claims(now.own), now)).unwrap();
        for text in [
            "",
            "{}",
            "[1]",
            &good[..good.len() - 9],
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
        memory.write(file.clone(), note(claims(now.own), now));
        drop(memory);
        assert_eq!(read(&file, now).0, claims(now.own));
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "untouched");
        fs::remove_dir_all(directory).unwrap();
    }
}
