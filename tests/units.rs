//! The systemd units: as little exposed as contrib/docs/threat-model.md promises.
//!
//! That everything works within these limits is shown by `tests/engines`, which runs these units under systemd.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const UNITS: [&str; 2] = ["contrib/systemd/lone64.service", "contrib/hooks/lone64-hooks.service"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The values of a key of `[Service]`, in their order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let of_key = |line: &'a str| line.strip_prefix(key)?.strip_prefix('=');
    unit.lines().filter_map(of_key).collect()
}

/// The number in the row of a unit, such as `| lone64.service | 1.7 |`.
fn promised(unit: &str) -> f32 {
    let page = read("contrib/docs/threat-model.md");
    let start = format!("| {unit} | ");
    let row = page.lines().find_map(|line| line.strip_prefix(&start));
    row.and_then(|rest| rest.split(' ').next()).and_then(|number| number.parse().ok()).expect("a row")
}

/// `systemd-analyze security` of a unit file; `None` where there is no systemd that can do that.
fn exposure(file: &Path) -> Option<f32> {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--no-pager"]).arg(file);
    let output = command.output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, rest) = said.split_once("Overall exposure level for ")?;
    rest.split(": ").nth(1)?.split(' ').next()?.parse().ok()
}

#[test]
fn the_units_are_no_more_exposed_than_promised() {
    for file in UNITS {
        let path = root().join(file);
        let unit = path.file_name().unwrap().to_str().unwrap();
        let promise = promised(unit);
        assert!(promise <= 1.7, "{unit}: {promise}");
        // The demand of the issue holds with this systemd; another may know more settings, or weigh them differently.
        let found = exposure(&path).expect("systemd-analyze is one of the programs that tests/run installs");
        println!("{unit}: {found}");
        assert!(found <= promise, "{unit}: systemd-analyze says {found}, promised is {promise}");
    }
}

#[test]
fn no_unit_runs_as_root_and_their_user_is_made() {
    let users = read("contrib/sysusers.d/lone64.conf");
    assert!(users.lines().any(|line| line.starts_with("u lone64 - ")), "{users}");
    for file in UNITS {
        let unit = read(file);
        assert_eq!(values(&unit, "User"), ["lone64"], "{file}");
        assert_eq!(values(&unit, "Group"), ["lone64"], "{file}");
        assert_eq!(values(&unit, "NoNewPrivileges"), ["yes"], "{file}");
        // Of an unknown call the process hears; it is not killed.
        assert_eq!(values(&unit, "SystemCallErrorNumber"), ["EPERM"], "{file}");
    }
    let hooks = read("contrib/hooks/lone64-hooks.service");
    assert_eq!(values(&hooks, "CapabilityBoundingSet"), [""], "hooks have no privilege");
    let daemon = read("contrib/systemd/lone64.service");
    let bounding = values(&daemon, "CapabilityBoundingSet");
    assert_eq!(bounding, values(&daemon, "AmbientCapabilities"), "what it may have it has");
    assert_eq!(bounding, ["CAP_NET_RAW CAP_NET_ADMIN"]);
}

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    for file in UNITS {
        // The program is elsewhere here: a unit with another one in its place.
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("units");
        fs::create_dir_all(&place).unwrap();
        let copy = place.join(Path::new(file).file_name().unwrap());
        let text = read(file);
        let programs = ["/usr/local/sbin/lone64-hooks", "/usr/local/sbin/lone64"];
        let text = programs.iter().fold(text, |text, program| text.replace(program, "/bin/true"));
        fs::write(&copy, text).unwrap();
        let output =
            Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let name = copy.file_name().unwrap().to_str().unwrap();
        let about: Vec<_> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(about.is_empty() && output.status.success(), "{said}");
    }
}
