//! What a run could leave behind on this machine, and does not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::guide::{Guide, nowhere};
use crate::provider::Provider;

crate::cases![two_identical_runs_leave_nothing_behind];

fn two_identical_runs_leave_nothing_behind() {
    let before = trace();
    for run in ["the first", "the second"] {
        let provider = Provider::new();
        let host = provider.host("host", 2);
        let init = host.network_namespace();
        Guide::read("lxc-bridge").follow(&provider, &host, &nowhere);
        assert!(processes_in(&init).len() > 5, "a host is seen while it is there");
        drop(host);
        assert_eq!(processes_in(&init), Vec::<String>::new(), "{run} run");
        drop(provider);
        let after = trace();
        let [new, gone] = [&after - &before, &before - &after];
        assert!(new.is_empty() && gone.is_empty(), "{run} run left {new:#?} and took {gone:#?}");
    }
}

/// Interfaces, addresses, routes, rules, mounts, and the files where engines keep theirs.
fn trace() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (program, arguments) in [
        ("ip", "-o link show"),
        ("ip", "-o address show"),
        ("ip", "-4 route show table all"),
        ("ip", "-6 route show table all"),
        ("ip", "netns list"),
        ("nft", "list ruleset"),
    ] {
        let output = Command::new(program).args(arguments.split(' ')).output().expect("it is installed");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        found.extend(printed.lines().map(|line| format!("{program} {arguments}: {line}")));
    }
    let mounts = fs::read_to_string("/proc/mounts").expect("/proc is mounted");
    found.extend(mounts.lines().map(|line| format!("mount: {line}")));
    for directory in ["/etc", "/run", "/var/lib", "/var/log", "/usr/local"] {
        walk(Path::new(directory), &mut found);
    }
    found
}

fn walk(directory: &Path, found: &mut BTreeSet<String>) {
    // What goes while it is looked at was nobody's trace.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        found.insert(entry.path().display().to_string());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), found);
        }
    }
}

/// The processes that have this network namespace.
fn processes_in(namespace: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let inside = processes
        .filter(|process| fs::read_link(process.path().join("ns/net")).is_ok_and(|its| its == namespace));
    inside.map(|process| fs::read_to_string(process.path().join("comm")).unwrap_or_default()).collect()
}
