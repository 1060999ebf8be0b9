//! The upstream is a bridge, as on most nodes with Proxmox: the card is a port of it, and guests may be.

use std::process::{Command, Stdio};

use crate::client::{lone64, status};
use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, mac, sender, target_of};
use crate::lab::{C, GUEST, GUEST_MAC, Lab, UPSTREAM_MAC, c};
use crate::moves::{Cluster, measure, rarp};
use crate::namespace::eventually;
use crate::own_bridge;

crate::cases![
    a_guest_moves_between_hosts_whose_upstream_is_a_bridge,
    guests_on_the_bridge_itself_answer_for_themselves,
];

fn a_guest_moves_between_hosts_whose_upstream_is_a_bridge() {
    let keys = format!("addresses = [\"{}\"]\nmac = \"02:00:00:00:00:55\"", crate::moves::GUEST);
    let cluster = || Cluster::on("vmbr0", "routes = \"guests\"", &keys);
    let announce = |cluster: &mut Cluster, _: usize| cluster.announce();
    measure("a move by its tap, upstream a bridge", cluster, announce, |_, _| {});
}

/// A guest by its MAC alone, and one by the port that it is behind.
const GUESTS: &str = "[[guest]]
name = \"web\"
mac = \"02:00:00:00:00:05\"
addresses = [\"2001:db8:1:2:c::5\"]
[[guest]]
name = \"port\"
mac = \"02:00:00:00:00:06\"
interface = \"gv1\"
addresses = [\"2001:db8:1:2:c::6\"]
";

fn codes(daemon: &Daemon) -> Vec<String> {
    let told = status(daemon);
    let all = told["guests"].as_array().expect("a list");
    all.iter().map(|guest| guest["code"].as_str().unwrap_or("none").to_owned()).collect()
}

fn answered(daemon: &Daemon) -> u64 {
    status(daemon)["upstreams"][0]["counters"]["answered"].as_u64().expect("a number")
}

fn neighbor(lab: &Lab) -> String {
    lab.router.show(&format!("neigh show {GUEST}"))
}

fn guests_on_the_bridge_itself_answer_for_themselves() {
    assert_eq!((GUEST, GUEST_MAC), (c(5), mac(5)));
    let lab = own_bridge::lab();
    own_bridge::nft(&lab.router, "delete table netdev own");
    lab.guest.ip(&format!(
        "addr flush dev eth0
         addr add fe80::5/64 dev eth0 nodad
         addr add {GUEST}/128 dev eth0 nodad
         route replace default via fe80::1 dev eth0"
    ));
    // The other downstream has a carrier.
    lab.host.ip(
        "link add pv0 type veth peer name pv1\nlink set pv0 master br0\nlink set pv0 up\nlink set pv1 up",
    );
    let keys = "routes = \"guests\"\ngateway = \"fe80::1\"";
    let settings = Settings::default().without_sentinels().upstream_named("vmbr0").range(C, "br0", keys);
    let daemon = Daemon::start(&lab, settings.rest(GUESTS));
    // The host's kernel finds it there; the guest replies through its router.
    lab.host.ip(&format!("route add {GUEST}/128 dev vmbr0"));
    let mut ping = Command::new("ping");
    ping.args(["-c", "1", "-W", "1", &GUEST.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = lab.host.spawn(&mut ping).wait();
    lab.host.ip(&format!("route del {GUEST}/128 dev vmbr0"));
    eventually("both are said to be on the link", PATIENCE, || {
        (codes(&daemon) == ["on_link", "on_link"]).then_some(())
    });
    lab.router.ping(&GUEST.to_string());
    assert!(neighbor(&lab).contains("02:00:00:00:00:05"), "{}", neighbor(&lab));
    assert_eq!(answered(&daemon), 0);
    assert_eq!(lab.host.show("-o route show proto 64 table main type unicast"), "");
    let explained = lone64(&daemon.socket(), &format!("explain {GUEST}")).stdout;
    let explained = String::from_utf8(explained).unwrap();
    let words: Vec<_> = explained.split_whitespace().collect();
    assert!(words.join(" ").contains("answers there for itself"), "{explained}");
    // It comes behind the other bridge.
    let mut router = Endpoint::open(&lab.router, "rt0");
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    lab.host.ip("link set gp0 nomaster\nlink set gp0 master br0");
    guest.send(&rarp(GUEST_MAC));
    router.receive_until("the announcement", PATIENCE, |frame| {
        (target_of(frame, ADVERTISEMENT)? == GUEST && sender(frame) == UPSTREAM_MAC).then_some(())
    });
    assert_eq!(codes(&daemon), ["none", "on_link"], "{}", status(&daemon)["guests"]);
    lab.router.ping(&GUEST.to_string());
    assert!(neighbor(&lab).contains("02:00:00:00:00:02"), "{}", neighbor(&lab));
    // And goes back.
    lab.host.ip("link set gp0 nomaster\nlink set gp0 master vmbr0");
    guest.send(&rarp(GUEST_MAC));
    eventually("it is said to be on the link again", PATIENCE, || {
        (codes(&daemon) == ["on_link", "on_link"]).then_some(())
    });
    let before = answered(&daemon);
    lab.router.ip("neigh flush dev rt0");
    // It has to find out where its gateway is now.
    eventually("the router reaches it", PATIENCE, || own_bridge::is_reached(&lab).then_some(()));
    assert!(neighbor(&lab).contains("02:00:00:00:00:05"), "{}", neighbor(&lab));
    assert_eq!(answered(&daemon), before);
    daemon.stop();
}
