//! Drop-ins beside a configuration: read behind it in the order of their names, with their mistakes where they are.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lone64::config::{self, Compared, GuestFiles, KeyOrigin, Loaded, Overrides};

const MAIN: &str = "[[range]]
prefix = \"2001:db8:1:2:c::/112\"
interface = \"lxcbr0\"
[timers]
absent = \"5s\"
retries = 4
";

/// A directory with these files; gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lone64-drop-ins-{}-{number}", std::process::id()));
        let folder = Self(path);
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn load(&self) -> Result<Loaded, config::Problems> {
        Overrides::default().load(Some(&self.path("lone64.toml")))
    }

    fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The same where these files of guests are in force.
    fn loaded_after(&self, before: &GuestFiles) -> Loaded {
        let path = self.path("lone64.toml");
        Overrides::default().load_after(Some(&path), before).unwrap_or_else(|problems| panic!("{problems}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_range_adds_one_and_a_key_replaces_that_of_the_files_before() {
    let range = "[[range]]\nprefix = \"2001:db8:1:2:d::/112\"\ninterface = \"wg0\"\n";
    let folder = Folder::with(&[
        ("lone64.toml", MAIN),
        ("lone64.d/20-last.toml", "[timers]\nabsent = \"7s\"\n"),
        ("lone64.d/10-first.toml", &format!("[timers]\nabsent = \"6s\"\nkeepalive = \"2m\"\n{range}")),
        // An editor's, one that is hidden, and something else.
        ("lone64.d/10-first.toml~", "no toml"),
        ("lone64.d/.hidden.toml", "no toml"),
        ("lone64.d/README", "no toml"),
    ]);
    let Loaded { read, files, .. } = folder.loaded();
    let policy = &read.config.policy;
    let prefixes: Vec<String> = policy.ranges.iter().map(|range| range.prefix.to_string()).collect();
    assert_eq!(prefixes, ["2001:db8:1:2:c::/112", "2001:db8:1:2:d::/112"]);
    let timers = policy.timers;
    assert_eq!((timers.absent, timers.keepalive), (Duration::from_secs(7), Duration::from_secs(120)));
    assert_eq!(timers.retries, 4, "what no drop-in has is that of the file");
    let names: Vec<PathBuf> = files.paths().map(Path::to_owned).collect();
    let expected = ["lone64.toml", "lone64.d/10-first.toml", "lone64.d/20-last.toml"];
    assert_eq!(names, expected.map(|name| folder.path(name)));
    let origin = |table: &str, key: &str| {
        let all = read.effective.keys();
        let mut keys = all.iter();
        keys.rfind(|one| (one.table, one.key) == (table, key)).unwrap().origin.clone()
    };
    let file = |name: &str| folder.path(name).display().to_string();
    assert_eq!(
        origin("timers", "absent"),
        KeyOrigin::DropIn { file: file("lone64.d/20-last.toml"), line: 2 }
    );
    assert_eq!(origin("timers", "retries"), KeyOrigin::File { file: file("lone64.toml"), line: 6 });
    assert_eq!(
        origin("range", "interface"),
        KeyOrigin::DropIn { file: file("lone64.d/10-first.toml"), line: 6 }
    );
}

#[test]
fn a_mistake_is_told_with_its_file_line_and_caret() {
    let folder = Folder::with(&[
        ("lone64.toml", MAIN),
        ("lone64.d/a.toml", "[timers]\nabsent = 3\n"),
        ("lone64.d/b.toml", "[log]\nlevel = debug\n[timers]\nabsnet = \"3s\"\n"),
        ("lone64.d/c.toml", "\n[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\n"),
    ]);
    let said = folder.load().unwrap_err().to_string();
    let file = |name: &str| folder.path(name).display().to_string();
    let a = format!(
        "{}:2:10: `absent` has no unit\n  2 | absent = 3\n    |          ^\n",
        file("lone64.d/a.toml")
    );
    assert!(said.contains(&a), "{said}");
    let b = format!("{}:2:9: debug has no quotes", file("lone64.d/b.toml"));
    assert!(said.contains(&b) && said.contains(&format!("{}:4:1: ", file("lone64.d/b.toml"))), "{said}");
    // Two files that are right by themselves.
    folder.write("lone64.d/a.toml", "");
    folder.write("lone64.d/b.toml", "");
    let said = folder.load().unwrap_err().to_string();
    let c = format!("{}:3:10: the range 2001:db8:1:2:c::/112 is configured twice", file("lone64.d/c.toml"));
    assert!(said.starts_with(&c), "{said}");
    assert!(said.contains(&format!("merge it with the one at line 1 of {}", file("lone64.toml"))), "{said}");
}

#[test]
fn a_mistake_in_a_value_that_another_file_replaces_is_told_too() {
    let folder = Folder::with(&[
        ("lone64.toml", "[timers]\nabsent = 3\n"),
        ("lone64.d/a.toml", "[timers]\nabsent = \"3s\"\n"),
    ]);
    let problems = folder.load().unwrap_err();
    assert_eq!(problems.as_slice().len(), 1);
    assert!(problems.as_slice()[0].origin.ends_with("lone64.toml"), "{problems}");
}

#[test]
fn a_drop_in_that_cannot_be_read_is_a_mistake() {
    let folder = Folder::with(&[("lone64.toml", MAIN)]);
    fs::create_dir_all(folder.path("lone64.d")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", folder.path("lone64.d/gone.toml")).unwrap();
    nix::unistd::mkfifo(&folder.path("lone64.d/pipe.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let said = folder.load().unwrap_err().to_string();
    assert!(said.contains("gone.toml: the configuration cannot be read: No such file"), "{said}");
    assert!(said.contains("pipe.toml: the configuration cannot be read: it is a pipe"), "{said}");
    // A link to /dev/null takes a file of a package out.
    fs::remove_file(folder.path("lone64.d/pipe.toml")).unwrap();
    fs::remove_file(folder.path("lone64.d/gone.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/null", folder.path("lone64.d/gone.toml")).unwrap();
    assert_eq!(folder.loaded().read.config.policy.ranges.len(), 1);
    fs::remove_dir_all(folder.path("lone64.d")).unwrap();
    fs::write(folder.path("lone64.d"), "").unwrap();
    let said = folder.load().unwrap_err().to_string();
    assert!(said.contains("lone64.d: the configuration cannot be read: "), "{said}");
}

#[test]
fn the_files_say_whether_they_have_changed() {
    let folder = Folder::with(&[("lone64.toml", MAIN), ("lone64.d/a.toml", "[log]\nlevel = \"debug\"\n")]);
    let files = folder.loaded().files;
    let is = |compared: Compared| {
        let now = files.compared().unwrap();
        assert_eq!(format!("{now:?}"), format!("{compared:?}"));
    };
    is(Compared::Same);
    folder.write("lone64.toml", MAIN);
    is(Compared::Same);
    // One more, one with other bytes, and one less.
    folder.write("lone64.d/b.toml", "");
    is(Compared::Changed);
    fs::remove_file(folder.path("lone64.d/b.toml")).unwrap();
    folder.write("lone64.d/a.toml", "[log]\nlevel = \"trace\"\n");
    is(Compared::Changed);
    fs::remove_file(folder.path("lone64.d/a.toml")).unwrap();
    is(Compared::Changed);
    // One that cannot be read says nothing.
    let link = folder.path("lone64.d/c.toml");
    std::os::unix::fs::symlink(folder.path("nowhere"), &link).unwrap();
    is(Compared::Unreadable(link.clone(), std::io::Error::from_raw_os_error(2)));
    // Whatever there is beside it, and whether the directory is there: the configuration itself is gone.
    fs::remove_file(folder.path("lone64.toml")).unwrap();
    is(Compared::Gone(folder.path("lone64.toml")));
    fs::remove_dir_all(&folder.0).unwrap();
    is(Compared::Gone(folder.path("lone64.toml")));
    folder.write("lone64.toml/x", "");
    is(Compared::Unreadable(folder.path("lone64.toml"), std::io::Error::from_raw_os_error(21)));
}

/// What was not there at the start cannot be gone.
#[test]
fn drop_ins_alone_can_change_and_not_be_gone() {
    let folder = Folder::with(&[("lone64.toml", MAIN), ("lone64.d/a.toml", "[log]\nlevel = \"debug\"\n")]);
    let files = folder.loaded().files;
    fs::remove_file(folder.path("lone64.d/a.toml")).unwrap();
    assert!(matches!(files.compared(), Some(Compared::Changed)), "{:?}", files.compared());
}

#[test]
fn the_socket_is_found_in_a_drop_in() {
    let folder = Folder::with(&[
        ("lone64.toml", "[control]\nsocket = \"/run/main.sock\"\n"),
        ("lone64.d/a.toml", "[control]\nsocket = \"/run/a.sock\"\n"),
        ("lone64.d/b.toml", "[log]\nlevel = debug\n"),
    ]);
    assert_eq!(config::socket_in(&folder.path("lone64.toml")), Path::new("/run/a.sock"));
}

fn guest(name: &str, last: u8) -> String {
    format!(
        "[[guest]]\nname = \"{name}\"\ninterface = \"lxcbr0\"\naddresses = [\"2001:db8:1:2:c::{last:x}\"]\n"
    )
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.read.config.policy.guests.iter().map(|guest| guest.name.as_str()).collect()
}

#[test]
fn guests_have_files_of_their_own_and_a_mistake_in_one_leaves_the_others() {
    let main = format!("{MAIN}{}", guest("own", 1));
    let folder = Folder::with(&[
        ("lone64.toml", &main),
        ("guests.d/b.toml", &guest("b", 3)),
        ("guests.d/a.toml", &guest("a", 2)),
        ("guests.d/c.toml", &guest("c", 3)),
        ("guests.d/d.toml", "[[guest]]\nname = "),
        ("guests.d/e.toml", "[timers]\nabsent = \"9s\"\n"),
        ("guests.d/f.toml", ""),
        ("guests.d/g.toml", &guest("own", 9)),
        ("guests.d/notes.txt", "not read"),
    ]);
    let loaded = folder.loaded();
    assert_eq!(names(&loaded), ["own", "a", "b"]);
    assert_eq!(loaded.read.config.policy.timers.absent, Duration::from_secs(5));
    let said: Vec<_> = loaded.guests.problems().iter().map(|problem| problem.to_string()).collect();
    for (file, words) in [
        ("c.toml", "2001:db8:1:2:c::3 belongs to two guests, `b` and `c`"),
        ("d.toml", "this is not TOML"),
        ("e.toml", "a file in guests.d has only [[guest]]"),
        ("f.toml", "there is no [[guest]] in this file"),
        ("g.toml", "two guests with the name `own`"),
    ] {
        let path = folder.path("guests.d").join(file).display().to_string();
        assert!(said.iter().any(|one| one.starts_with(&path) && one.contains(words)), "{file}: {said:?}");
    }
    assert!(said[0].contains(&folder.path("guests.d/b.toml").display().to_string()), "{}", said[0]);
    let of_b = |key: &&lone64::config::Key| key.of.as_deref() == Some("b") && key.key == "addresses";
    let keys = loaded.read.effective.keys();
    let key = keys.iter().find(of_b).unwrap();
    let file = folder.path("guests.d/b.toml").display().to_string();
    assert_eq!(key.origin, KeyOrigin::DropIn { file, line: 4 });
}

#[test]
fn a_file_that_gets_a_mistake_counts_as_it_was_until_it_is_removed() {
    let folder = Folder::with(&[("lone64.toml", MAIN), ("guests.d/a.toml", &guest("a", 2))]);
    let before = folder.loaded().guests;
    folder.write("guests.d/a.toml", "[[guest]]\n");
    let kept = folder.loaded_after(&before);
    assert!(names(&kept) == ["a"] && !kept.guests.problems().is_empty());
    folder.write("guests.d/b.toml", &guest("b", 2));
    // A guest in force loses nothing by it.
    let still = folder.loaded_after(&kept.guests);
    assert_eq!(names(&still), ["a"]);
    let said: Vec<_> = still.guests.problems().iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|one| one.contains("belongs to two guests, `a` and `b`")), "{said:?}");
    fs::remove_file(folder.path("guests.d/a.toml")).unwrap();
    let gone = folder.loaded_after(&before);
    assert_eq!(names(&gone), ["b"]);
    assert!(gone.guests.problems().is_empty() && gone.guests.guests().len() == 1);
}

#[test]
fn nobody_takes_an_address_from_a_guest_in_force() {
    let folder = Folder::with(&[("lone64.toml", MAIN), ("guests.d/web.toml", &guest("web", 2))]);
    let before = folder.loaded().guests;
    // By a file that is read before it, in the order of names.
    folder.write("guests.d/a.toml", &guest("a", 2));
    let after = folder.loaded_after(&before);
    assert_eq!(names(&after), ["web"]);
    let said = after.guests.problems()[0].to_string();
    let place = folder.path("guests.d/a.toml").display().to_string();
    assert!(said.starts_with(&place), "{said}");
    assert!(said.contains("2001:db8:1:2:c::2 belongs to two guests, `web` and `a`"), "{said}");
    assert!(said.contains(&folder.path("guests.d/web.toml").display().to_string()), "{said}");
    // Both change at once: what one gives up the other may have.
    folder.write("guests.d/web.toml", &guest("web", 3));
    let after = folder.loaded_after(&after.guests);
    assert_eq!(names(&after), ["a", "web"]);
    assert!(after.guests.problems().is_empty());
}

#[test]
fn a_file_that_looks_as_it_did_is_judged_again_where_the_ranges_are_others() {
    let folder = Folder::with(&[("lone64.toml", MAIN), ("guests.d/a.toml", &guest("a", 2))]);
    let before = folder.loaded().guests;
    folder.write("lone64.toml", &MAIN.replace("2001:db8:1:2:c::", "2001:db8:1:2:d::"));
    let after = folder.loaded_after(&before);
    assert!(after.guests.problems()[0].to_string().contains("is outside every range"));
}

#[test]
fn a_directory_that_cannot_be_read_takes_no_guest_away() {
    let folder = Folder::with(&[("lone64.toml", MAIN), ("guests.d/a.toml", &guest("a", 2))]);
    let before = folder.loaded().guests;
    let [directory, aside] = ["guests.d", "aside"].map(|name| folder.path(name));
    fs::rename(&directory, &aside).unwrap();
    // Root reads every directory, so it is none.
    fs::write(&directory, "").unwrap();
    let kept = folder.loaded_after(&before);
    assert!(names(&kept) == ["a"] && !kept.guests.problems().is_empty());
    fs::remove_file(&directory).unwrap();
    let gone = folder.loaded_after(&kept.guests);
    assert!(gone.guests.guests().is_empty() && gone.guests.problems().is_empty());
}

#[test]
fn without_the_directory_there_are_no_guests_of_files() {
    let folder = Folder::with(&[("lone64.toml", MAIN)]);
    let loaded = folder.loaded();
    assert!(loaded.guests.guests().is_empty() && loaded.guests.mistakes().is_none());
    assert_eq!(loaded.guests.directory(), Some(folder.path("guests.d")));
    folder.write("guests.d/a.toml", &guest("a", 2));
    let read = loaded.guests.read_again(&loaded.read.config.policy);
    assert_eq!((read.guests().len(), read.count()), (1, 1));
}
