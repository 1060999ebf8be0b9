//! What the daemon gives up at the start, as the kernel has it of every thread; and that it serves all the same.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::client::lone64;
use crate::daemon::{Daemon, Settings, directory};
use crate::lab::{C, GUEST, Lab, ROUTER};
use crate::link::Link;
use crate::solicitation::Solicitation;

crate::cases![
    gives_up_all_that_it_does_not_need_and_serves,
    gives_its_child_process_what_it_needs_without_root,
    keeps_the_right_to_read_a_configuration_that_only_root_may_read,
    keeps_the_right_to_read_what_lies_in_a_directory_of_another_user,
    writes_into_no_directory_but_those_of_the_start,
    has_its_socket_where_one_of_another_user_ran_before,
];

/// CAP_NET_ADMIN is 12, CAP_NET_RAW is 13, CAP_BPF is 39.
const NEEDED: u64 = 1 << 12 | 1 << 13 | 1 << 39;
const DAC_OVERRIDE: u64 = 1 << 1;

const FEATURES: &str = "suppress-kernel = true\nmld = true\n";

/// The status of each thread, as proc(5) has it.
fn threads(daemon: &Daemon) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    // One that ends at this moment says nothing.
    let status = |task: fs::DirEntry| fs::read_to_string(task.path().join("status")).ok();
    tasks.filter_map(|task| status(task.unwrap())).collect()
}

fn value<'a>(status: &'a str, key: &str) -> &'a str {
    let of_key = |line: &'a str| line.strip_prefix(key)?.strip_prefix(":\t");
    status.lines().find_map(of_key).unwrap_or_else(|| panic!("{key}: {status}"))
}

fn set(status: &str, key: &str) -> u64 {
    u64::from_str_radix(value(status, key), 16).unwrap()
}

fn gives_up_all_that_it_does_not_need_and_serves() {
    let lab = Lab::veth();
    let settings = Settings::default().upstream(FEATURES).range(C, "br0", "gateway = \"fe80::64\"");
    let daemon = Daemon::start(&lab, settings.rest("[sysctl]\nmanage = true\n"));
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    assert!(lab.host.output("nft", "list table ip6 lone64").contains(&format!("{C} drop")));
    assert!(lab.host.show("addr show dev br0").contains("fe80::64/64"));
    assert_eq!(lone64(&daemon.socket(), "reload").status.code(), Some(0));
    let threads = threads(&daemon);
    assert!(threads.len() > 1, "the log has a thread of its own");
    for status in threads {
        for key in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(set(&status, key) & !NEEDED, 0, "{key} of {status}");
        }
        assert_eq!(set(&status, "CapAmb"), 1 << 12, "{status}");
        assert_eq!((value(&status, "NoNewPrivs"), value(&status, "Seccomp")), ("1", "2"), "{status}");
    }
    daemon.stop();
}

/// As where the file of the program has its capabilities (setcap(8)): they are not handed on by themselves.
fn gives_its_child_process_what_it_needs_without_root() {
    let lab = Lab::veth();
    let wrapper = ["setpriv", "--securebits=+noroot,+noroot_locked", "--inh-caps=+net_admin,+net_raw"];
    let wrapper = [&wrapper[..], &["--ambient-caps=+net_admin,+net_raw", "--"]].concat();
    let settings = Settings::default().upstream(FEATURES).range(C, "br0", "");
    let daemon = Daemon::start_under(&lab, &wrapper, settings);
    assert!(lab.host.output("nft", "list table ip6 lone64").contains(&format!("{C} drop")));
    assert_eq!(set(&threads(&daemon)[0], "CapAmb"), 1 << 12);
    daemon.stop();
}

fn keeps_the_right_to_read_a_configuration_that_only_root_may_read() {
    let (lab, place) = (Lab::veth(), directory());
    let file = place.join("lone64.toml");
    Settings::default().range(C, "br0", "").write(&file);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let daemon = Daemon::start_with_options(&lab, &format!("--config {}", file.display()));
    assert_eq!(set(&threads(&daemon)[0], "CapEff") & !NEEDED, DAC_OVERRIDE);
    let reloaded = lone64(&daemon.socket(), "reload");
    assert_eq!(reloaded.status.code(), Some(0), "{reloaded:?}");
    let said = daemon.stop();
    assert!(said.contains("keeps CAP_DAC_OVERRIDE") && said.contains("lone64.toml"), "{said}");
    fs::remove_dir_all(place).unwrap();
}

/// The directory of the guests, and the one around everything.
fn keeps_the_right_to_read_what_lies_in_a_directory_of_another_user() {
    for shut in ["guests.d", "."] {
        let (lab, place) = (Lab::veth(), directory());
        let (file, guests) = (place.join("lone64.toml"), place.join("guests.d"));
        Settings::default().range(C, "br0", "").write(&file);
        fs::create_dir(&guests).unwrap();
        let shut = place.join(shut);
        std::os::unix::fs::chown(&shut, Some(65_534), None).unwrap();
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();
        let daemon = Daemon::start_with_options(&lab, &format!("--config {}", file.display()));
        assert_eq!(set(&threads(&daemon)[0], "CapEff") & !NEEDED, DAC_OVERRIDE, "{}", shut.display());
        let guest = format!("[[guest]]\nname = \"web1\"\ninterface = \"br0\"\naddresses = [\"{GUEST}\"]\n");
        fs::write(guests.join("web1.toml"), guest).unwrap();
        let reloaded = lone64(&daemon.socket(), "reload");
        assert_eq!(reloaded.status.code(), Some(0), "{reloaded:?}");
        let said = lone64(&daemon.socket(), "status");
        assert!(String::from_utf8_lossy(&said.stdout).contains("web1, seen by guest"), "{said:?}");
        daemon.stop();
        fs::remove_dir_all(place).unwrap();
    }
}

fn writes_into_no_directory_but_those_of_the_start() {
    let (lab, elsewhere) = (Lab::veth(), directory());
    let (socket, place) = (elsewhere.join("moved.sock"), directory());
    let settings = |socket: &std::path::Path| {
        let rest = format!("[log]\nlevel = \"debug\"\n[control]\nsocket = \"{}\"\n", socket.display());
        Settings::default().range(C, "br0", "").rest(&rest)
    };
    let first = place.join("first.sock");
    let daemon = Daemon::start(&lab, settings(&first));
    settings(&socket).write(&daemon.config());
    let moved = lone64(&first, "reload");
    let told = String::from_utf8_lossy(&moved.stderr).into_owned();
    let is_served = socket.exists();
    let said = daemon.stop();
    // A kernel without Landlock refuses nothing, and the log says so.
    let is_confined = !said.contains("not confined by Landlock");
    assert!(said.contains("confined by Landlock"), "{said}");
    assert_eq!(is_served, !is_confined, "{told}");
    assert_eq!(moved.status.success(), !is_confined, "{told}");
    assert!(!is_confined || told.contains("restart it if `socket`"), "{told}");
    fs::remove_dir_all(place).unwrap();
    fs::remove_dir_all(elsewhere).unwrap();
}

/// A lone64 that ran as root, by hand, and one that its unit starts as a user have one directory.
fn has_its_socket_where_one_of_another_user_ran_before() {
    let (lab, place) = (Lab::veth(), directory());
    let lock = place.join("control.sock.lock");
    fs::write(&lock, "1\n").unwrap();
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o000)).unwrap();
    let socket = place.join("control.sock");
    let rest = format!("[control]\nsocket = \"{}\"\n", socket.display());
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").rest(&rest));
    assert_eq!(lone64(&socket, "status").status.code(), Some(0));
    // Its own is no other's to take.
    let second = Daemon::refusal(&lab, &[], Settings::default().range(C, "br0", "").rest(&rest));
    assert!(second.contains("another lone64 is running"), "{second}");
    daemon.stop();
    fs::remove_dir_all(place).unwrap();
}
