//! Hosts that stand by: a thousand addresses that one of two hosts has, by the script of keepalived alone. With keepalived
//! itself: `keepalived`.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::daemon::BINARY;
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, Mac, receiver, sender, target_of};
use crate::lab::{C, ROUTER, ROUTER_MAC, UPSTREAM_MAC, c};
use crate::moves::{Cluster, GUEST, SECOND_MAC};
use crate::namespace::{eventually, took};
use crate::solicitation::{Asker, Solicitation};

crate::cases![a_thousand_addresses_follow_the_master_of_keepalived];

/// Addresses of one guest, behind those of the lab.
pub(crate) const MANY: u16 = 1_000;

/// Two hosts that stand by with them, and the router's end, whose kernel hears nothing: they are not to fill the neighbor
/// table, which all namespaces share.
pub(crate) fn cluster() -> (Cluster, Endpoint) {
    let many: Vec<_> = (0..MANY).map(|number| format!("\"{}\"", c(0x1000 + number))).collect();
    let many = format!("mac = \"02:00:00:00:00:55\"\ninterface = \"br0\"\naddresses = [{}]", many.join(", "));
    let cluster = Cluster::with("routes = \"range\"\nstandby = true", &many);
    cluster.first.router.sysctls(&[("net/ipv6/conf/rt0/disable_ipv6", "1")]);
    let router = Endpoint::open(&cluster.first.router, "rt0");
    (cluster, router)
}

/// The script, with the control socket of this host.
pub(crate) fn script(cluster: &Cluster, at: usize) -> String {
    let socket = cluster.daemons[at].socket();
    let script = include_str!("../../contrib/hooks/keepalived");
    format!("lone64() {{ {BINARY} \"$@\" --socket {} >&2; }}\n{script}", socket.display())
}

/// This host announces all of them.
pub(crate) fn announces_all(router: &mut Endpoint, station: Mac) {
    let mut told = BTreeSet::new();
    router.receive_until("the announcement of the last address", PATIENCE, |frame| {
        let target = target_of(frame, ADVERTISEMENT).filter(|_| sender(frame) == station);
        told.extend(target.filter(|target| *target != GUEST));
        (told.len() == usize::from(MANY)).then_some(())
    });
}

/// It alone answers, from a moment on.
pub(crate) fn answers_alone(router: &mut Endpoint, station: Mac) {
    let host = Asker { mac: ROUTER_MAC, address: ROUTER.address };
    eventually("the new master alone answers", PATIENCE, || {
        router.heard();
        router.send(&Solicitation::multicast(host, c(0x1000)).frame());
        router.receive_until("an answer", PATIENCE, |frame| {
            let is_answer =
                target_of(frame, ADVERTISEMENT) == Some(c(0x1000)) && receiver(frame) == ROUTER_MAC;
            is_answer.then(|| (sender(frame) == station).then_some(()))
        })
    });
}

fn a_thousand_addresses_follow_the_master_of_keepalived() {
    let (cluster, mut router) = cluster();
    let notify = |at: usize, state: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &script(&cluster, at), "keepalived", C, "INSTANCE", "VI_1", state, "100"]);
        assert!(shell.stderr(Stdio::null()).status().expect("sh").success(), "{state}");
    };
    for (at, station) in [UPSTREAM_MAC, SECOND_MAC, UPSTREAM_MAC].into_iter().enumerate() {
        let (at, begin) = (at % 2, Instant::now());
        router.heard();
        notify(1 - at, "BACKUP");
        notify(at, "MASTER");
        announces_all(&mut router, station);
        took(&format!("{MANY} addresses are announced after the notify of keepalived"), begin.elapsed());
        answers_alone(&mut router, station);
    }
}
