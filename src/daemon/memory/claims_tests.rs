//! What is claimed is read as it was written, and ends when it was to end.

use std::fs;

use super::*;
use crate::daemon::memory::Memory;
use crate::engine::Time;

const HOUR: Duration = Duration::from_secs(3_600);

fn clocks(wall: u64, own: u64) -> Clocks {
    let up = Duration::from_secs(wall - 1_699_999_000);
    Clocks { wall: Duration::from_secs(wall), up, boot: Some(1), own: Time::at(Duration::from_secs(own)) }
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
fn ends_at_its_time_whatever_the_wall_clock_is_set_to() {
    let before = clocks(1_700_000_000, 50);
    let text = String::from_utf8(text(claims(before.own).iter(), before)).unwrap();
    // Ten minutes later; and after that one claim of half an hour is over.
    for wall in [0, 1_600_000_000, 2_000_000_000].map(Duration::from_secs) {
        let later = Clocks { wall, ..clocks(1_700_000_600, 0) };
        let (read, over) = claims_of(&text, later).unwrap();
        assert_eq!(read[0].until, Some(later.own + (HOUR - HOUR / 6)), "{wall:?}");
        assert_eq!((read.len(), over), (3, 0), "{wall:?}");
        let later = Clocks { wall, ..clocks(1_700_001_801, 0) };
        assert_eq!(claims_of(&text, later).unwrap().1, 1, "{wall:?}");
    }
}

#[test]
fn ends_by_the_wall_clock_after_another_start_of_the_host() {
    let before = clocks(1_700_000_000, 50);
    let text = String::from_utf8(text(claims(before.own).iter(), before)).unwrap();
    for boot in [Some(2), None] {
        let later = Clocks { up: Duration::from_secs(7), boot, ..clocks(1_700_000_600, 0) };
        assert_eq!(claims_of(&text, later).unwrap().0[0].until, Some(later.own + (HOUR - HOUR / 6)));
        let later = Clocks { up: Duration::from_secs(7), boot, ..clocks(1_700_001_801, 0) };
        assert_eq!(claims_of(&text, later).unwrap().1, 1);
    }
}

#[test]
fn ends_each_at_its_time() {
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

/// The disk is full for a while, or the directory is not there yet.
#[test]
fn what_could_not_be_written_is_written_when_it_can() {
    let directory = std::env::temp_dir().join(format!("lone64-behind-{}", std::process::id()));
    let (file, now) = (directory.join("control.claims"), clocks(1_700_000_000, 0));
    let all = claims(now.own);
    let mut journal = Journal::default();
    journal.take(file.clone(), changed(all.clone()), now);
    assert!(journal.write().is_err() && journal.write().is_err() && journal.is_behind());
    fs::create_dir_all(&directory).unwrap();
    journal.write().unwrap();
    assert_eq!((read(&file, now).0, journal.is_behind()), (all, false));
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
