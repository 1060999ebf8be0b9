//! What is mapped of the program's file is given back when it is not needed, and the daemon serves all the same.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::client::lone64;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, ROUTER};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![gives_back_code_after_a_reload_and_serves];

fn gives_back_code_after_a_reload_and_serves() {
    let lab = Lab::veth();
    let settings = || Settings::default().range(C, "br0", "");
    let daemon = Daemon::start(&lab, settings());
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    let code = code(&daemon);
    assert!(code.len() > 100, "it is mapped in pieces, so that few neighbors of what is used are resident");
    for more in [Some(D), None] {
        code.iter().for_each(|(start, end)| touch(&daemon, *start, *end));
        let full = resident(&daemon);
        let changed = more.iter().fold(settings(), |settings, range| settings.range(range, "br0", ""));
        changed.write(&daemon.config());
        assert_eq!(lone64(&daemon.socket(), "reload").status.code(), Some(0));
        eventually("most of the code is given back", PATIENCE, || {
            (resident(&daemon) < full / 2).then_some(())
        });
        link.answered(&Solicitation::multicast(ROUTER, GUEST));
        assert_eq!(lone64(&daemon.socket(), "status").status.code(), Some(0));
    }
    daemon.stop();
}

/// Where the code of the program is.
fn code(daemon: &Daemon) -> Vec<(u64, u64)> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).unwrap();
    let of_the_program = maps.lines().filter(|line| line.contains(" r-xp ") && line.ends_with("/lone64"));
    let address = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let ends = |line: &str| line.split([' ', '-']).map(str::to_owned).take(2).collect::<Vec<_>>();
    of_the_program.map(ends).map(|ends| (address(&ends[0]), address(&ends[1]))).collect()
}

/// Reads all of it, which maps it as if the daemon had used it.
fn touch(daemon: &Daemon, start: u64, end: u64) {
    let memory = File::open(format!("/proc/{}/mem", daemon.pid())).unwrap();
    memory.read_exact_at(&mut vec![0; (end - start) as usize], start).unwrap();
}

/// What is resident of files, in KiB.
fn resident(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
