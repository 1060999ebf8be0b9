//! Kinds of interfaces and of loss that not every kernel has: each is tried where it is, and named where it is not.
//!
//! tests/kernel/run has a machine whose kernel has all of them.

use std::process::{Command, Stdio};

use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, PLAIN, UPSTREAM_GLOBAL, d};
use crate::namespace::{Namespace, eventually};
use crate::trials::Case;

/// What a kernel may lack: its name, and a line of a shell that makes one of it.
type Kind = (&'static str, &'static str);

pub(crate) const VLAN: Kind = ("VLAN interfaces", "ip link add link k0 name k2 type vlan id 7");
const BOND: Kind = ("bonds", "ip link add k2 type bond mode active-backup");
const VRF: Kind = ("VRFs", "ip link add k2 type vrf table 100");
const DUMMY: Kind = ("dummy interfaces", "ip link add k2 type dummy");
const WIREGUARD: Kind = ("WireGuard, or wg is not installed", "ip link add k2 type wireguard && wg show k2");
const NETEM: Kind = ("netem", "tc qdisc add dev k0 root netem delay 1ms");
const IPVLAN: Kind = ("ipvlan interfaces", "ip link add link k0 name k2 type ipvlan mode l2");
const FILTERING: Kind =
    ("VLANs on bridges", "ip link add k2 type bridge vlan_filtering 1 && bridge vlan add dev k2 vid 20 self");

/// Each with what the kernel has to have.
pub(crate) const CASES: &[(Kind, Case)] = &[
    (VLAN, ("serves_an_upstream_that_is_a_vlan", serves_an_upstream_that_is_a_vlan)),
    (BOND, ("serves_an_upstream_that_is_a_bond", serves_an_upstream_that_is_a_bond)),
    (VRF, ("serves_an_upstream_and_guests_in_a_vrf", serves_an_upstream_and_guests_in_a_vrf)),
    (DUMMY, ("serves_addresses_on_a_dummy", serves_addresses_on_a_dummy)),
    (WIREGUARD, ("serves_peers_of_wireguard", serves_peers_of_wireguard)),
    (NETEM, ("serves_behind_a_link_that_loses_delays_and_reorders", serves_behind_a_bad_link)),
    (IPVLAN, ("serves_a_guest_that_shares_the_mac_of_another", serves_a_guest_by_ipvlan)),
    (FILTERING, ("serves_a_vlan_of_a_bridge", serves_a_vlan_of_a_bridge)),
];

/// Why there is no such thing here, if so.
pub(crate) fn refusal((name, line): Kind) -> Option<String> {
    let namespace = Namespace::new();
    namespace.ip("link add k0 type veth peer name k1");
    let mut command = Command::new("sh");
    command.args(["-c", line]).stdout(Stdio::null()).stderr(Stdio::null());
    let is_made = namespace.spawn(&mut command).wait().is_ok_and(|status| status.success());
    (!is_made).then(|| format!("the kernel has no {name}"))
}

fn serves_an_upstream_that_is_a_vlan() {
    let lab = Lab::veth();
    lab.host.ip(&format!(
        "addr flush dev up0
         link add link up0 name up0.7 type vlan id 7
         link set up0.7 up
         addr add fe80::2/64 dev up0.7 nodad
         addr add {UPSTREAM_GLOBAL}/64 dev up0.7 nodad
         route replace default via fe80::1 dev up0.7"
    ));
    lab.router.ip("addr flush dev rt0
         link add link rt0 name rt0.7 type vlan id 7
         link set rt0.7 up
         addr add fe80::1/64 dev rt0.7 nodad
         addr add 2001:db8:1:2::1/64 dev rt0.7 nodad");
    both_are_reached(&lab, "up0.7");
}

fn serves_an_upstream_that_is_a_bond() {
    let lab = Lab::veth();
    lab.host.ip(&format!(
        "addr flush dev up0
         link add bond0 type bond mode active-backup miimon 100
         link set up0 down
         link set up0 master bond0
         link set bond0 up
         addr add fe80::2/64 dev bond0 nodad
         addr add {UPSTREAM_GLOBAL}/64 dev bond0 nodad
         route replace default via fe80::1 dev bond0"
    ));
    both_are_reached(&lab, "bond0");
}

/// Routes of a VRF are in its table, and so are those of lone64 for guests in it.
fn serves_an_upstream_and_guests_in_a_vrf() {
    let lab = Lab::veth();
    lab.host.ip(&format!(
        "link add red type vrf table 100
         link set red up
         link set up0 master red
         link set br0 master red
         addr replace fe80::2/64 dev up0 nodad
         addr replace {UPSTREAM_GLOBAL}/64 dev up0 nodad
         addr replace fe80::b0/64 dev br0 nodad
         addr replace 2001:db8:1:2:c::1/112 dev br0 nodad
         route replace default via fe80::1 dev up0 table 100"
    ));
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").without_sentinels());
    reaches(&lab, &GUEST.to_string());
    daemon.stop();
}

/// It takes no part in Neighbor Discovery, so it joins no group of its addresses (which `addr add` would wait for).
fn serves_addresses_on_a_dummy() {
    let lab = Lab::veth();
    lab.host.ip("link add dm0 type dummy\nlink set dm0 up\naddr replace 2001:db8:1:2:f::1/112 dev dm0 nodad");
    let settings = Settings::default().range("2001:db8:1:2:f::/112", "dm0", "answer = \"always\"");
    let daemon = Daemon::start(&lab, settings.without_sentinels());
    reaches(&lab, "2001:db8:1:2:f::1");
    daemon.stop();
}

fn serves_peers_of_wireguard() {
    let lab = Lab::veth();
    let [(private, public), (peer_private, peer_public)] = [keys(&lab.host), keys(&lab.host)];
    let peer = d(0x20);
    // Over the link of the plain guest, by link-local addresses.
    lab.host.ip("link add wg0 type wireguard\nlink set wg0 up");
    lab.plain
        .ip(&format!("link add wg0 type wireguard\nlink set wg0 up\naddr replace {peer}/128 dev wg0 nodad"));
    set_up(&lab.host, &private, &peer_public, D, "[fe80::6%gv1]:51820");
    set_up(&lab.plain, &peer_private, &public, "::/0", "[fe80::b1%eth0]:51820");
    lab.host.ip(&format!("route add {D} dev wg0"));
    lab.plain.ip("route replace default dev wg0");
    let settings = Settings::default().range(D, "wg0", "answer = \"always\"").without_sentinels();
    let daemon = Daemon::start(&lab, settings);
    reaches(&lab, &peer.to_string());
    daemon.stop();
}

fn serves_behind_a_bad_link() {
    let lab = Lab::veth();
    for (namespace, link) in [(&lab.router, "rt0"), (&lab.host, "up0"), (&lab.guest, "eth0")] {
        namespace
            .output("tc", &format!("qdisc add dev {link} root netem delay 30ms 20ms loss 20% reorder 25%"));
    }
    both_are_reached(&lab, "up0");
}

/// The interfaces of an ipvlan have the MAC of the one that they are over.
fn serves_a_guest_by_ipvlan() {
    let lab = Lab::veth();
    let inner = Namespace::new();
    let address = d(6);
    lab.plain.ip(&format!("link add link eth0 name iv0 netns {} type ipvlan mode l2", inner.path()));
    inner.ip(&format!(
        "link set iv0 up
         addr add fe80::66/64 dev iv0 nodad
         addr add {address}/128 dev iv0 nodad
         route add default via fe80::b1 dev iv0"
    ));
    let daemon = Daemon::start(&lab, Settings::default().range(D, "gv1", "").without_sentinels());
    reaches(&lab, &address.to_string());
    reaches(&lab, &PLAIN.to_string());
    daemon.stop();
}

fn serves_a_vlan_of_a_bridge() {
    let lab = Lab::veth();
    lab.host.ip("addr flush dev br0
         link set br0 type bridge vlan_filtering 1
         link add link br0 name br0.20 type vlan id 20
         link set br0.20 up
         addr add fe80::b0/64 dev br0.20 nodad
         addr add 2001:db8:1:2:c::1/112 dev br0.20 nodad");
    lab.host.output("bridge", "vlan add dev br0 vid 20 self");
    lab.host.output("bridge", "vlan del dev gp0 vid 1");
    lab.host.output("bridge", "vlan add dev gp0 vid 20 pvid untagged");
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0.20", "").without_sentinels());
    reaches(&lab, &GUEST.to_string());
    daemon.stop();
}

fn both_are_reached(lab: &Lab, upstream: &str) {
    let settings = Settings::default().upstream_named(upstream).range(C, "br0", "").range(D, "gv1", "");
    let daemon = Daemon::start(lab, settings.without_sentinels());
    reaches(lab, &GUEST.to_string());
    reaches(lab, &PLAIN.to_string());
    daemon.stop();
}

/// The router's own kernel asks, and the guest replies to its ping.
fn reaches(lab: &Lab, address: &str) {
    eventually(&format!("the router reaches {address}"), PATIENCE, || {
        let mut ping = Command::new("ping");
        ping.args(["-c", "1", "-W", "2", address]).stdout(Stdio::null());
        lab.router.spawn(&mut ping).wait().unwrap().success().then_some(())
    });
}

/// A private key, and the public one to it.
fn keys(namespace: &Namespace) -> (String, String) {
    let mut command = Command::new("sh");
    command
        .args(["-c", "private=$(wg genkey); echo $private; echo $private | wg pubkey"])
        .stdout(Stdio::piped());
    let said = namespace.spawn(&mut command).wait_with_output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    let (private, public) = said.trim().split_once('\n').unwrap();
    (private.to_owned(), public.to_owned())
}

fn set_up(namespace: &Namespace, private: &str, peer: &str, allowed: &str, endpoint: &str) {
    let script = format!(
        "echo {private} | wg set wg0 listen-port 51820 private-key /dev/stdin peer {peer} allowed-ips {allowed} \
         endpoint '{endpoint}'"
    );
    let mut command = Command::new("sh");
    assert!(namespace.spawn(command.args(["-c", &script])).wait().unwrap().success(), "{script}");
}
