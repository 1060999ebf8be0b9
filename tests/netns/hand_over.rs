//! A daemon that another one follows: what the kernel holds for it stays, and the next one takes it over.

use std::fs;
use std::path::Path;

use crate::client::{ask, lone64};
use crate::daemon::{Daemon, Settings, directory};
use crate::lab::{C, D, GUEST, Lab, ROUTER};
use crate::link::Link;
use crate::solicitation::Solicitation;

crate::cases![everything_stays_for_the_next_start, a_stop_that_nobody_announced_removes_everything];

const FORWARDING: &str = "net/ipv6/conf/all/forwarding";

fn settings(socket: &Path) -> Settings {
    let rest = format!("[sysctl]\nmanage = true\n[control]\nsocket = \"{}\"\n", socket.display());
    Settings::default()
        .range(C, "br0", "routes = \"guests\"")
        .range(D, "gv1", "gateway = \"fe80::64\"")
        .upstream("suppress-kernel = true\n")
        .rest(&rest)
}

/// What the kernel holds: routes, addresses, tables, and whether it forwards.
fn state(lab: &Lab) -> [String; 4] {
    let forwarding = lab.host.run(|| fs::read_to_string(format!("/proc/sys/{FORWARDING}")).unwrap());
    [
        lab.host.show("-o route show table all proto 64"),
        lab.host.show("-o addr show to fe80::64"),
        lab.host.output("nft", "list tables"),
        forwarding.trim().to_owned(),
    ]
}

fn everything_stays_for_the_next_start() {
    let (lab, place) = (Lab::veth(), directory());
    lab.host.sysctls(&[(FORWARDING, "0")]);
    let socket = place.join("control.sock");
    let before = state(&lab);
    let mut daemon = Daemon::start(&lab, settings(&socket));
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    let during = state(&lab);
    assert!(during[0].contains(&format!("{GUEST} dev br0")) && during[1].contains("fe80::64"), "{during:?}");
    assert!(during[2].contains("lone64") && during[3] == "1", "{during:?}");
    for _ in 0..2 {
        let told = lone64(&socket, "hand-over --json");
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!(told["seconds"], 30);
        let said = daemon.stop();
        assert!(said.contains("stay in the kernel for the next start"), "{said}");
        assert_eq!(state(&lab), during, "{said}");
        daemon = Daemon::start(&lab, settings(&socket));
        link.answered(&Solicitation::multicast(ROUTER, GUEST));
        assert_eq!(state(&lab), during);
    }
    daemon.stop();
    assert_eq!(state(&lab), before);
    fs::remove_dir_all(place).unwrap();
}

/// The word of one daemon's end says nothing of the next one's.
fn a_stop_that_nobody_announced_removes_everything() {
    let (lab, place) = (Lab::veth(), directory());
    let socket = place.join("control.sock");
    let before = state(&lab);
    let daemon = Daemon::start(&lab, settings(&socket));
    let refused = ask(&socket, r#"{"method":"hand_over","params":{"now":true}}"#);
    assert_eq!(refused["error"]["code"], "wrong_params");
    ask(&socket, r#"{"method":"hand_over"}"#);
    daemon.stop();
    assert_ne!(state(&lab), before);
    Daemon::start(&lab, settings(&socket)).stop();
    assert_eq!(state(&lab)[..3], before[..3]);
    fs::remove_dir_all(place).unwrap();
}
