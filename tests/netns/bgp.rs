//! Guests that move between two hosts whose FRR announces the routes of lone64 to the router by BGP.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::daemon::directory;
use crate::endpoint::PATIENCE;
use crate::lab::UPSTREAM_GLOBAL;
use crate::moves::{Cluster, GUEST, Program, measure};
use crate::namespace::{Namespace, eventually};

crate::cases![a_guest_moves_under_traffic_with_its_route];

const PROGRAMS: &str = "/usr/lib/frr";

/// Why FRR cannot be run here, if so.
pub(crate) fn refusal() -> Option<String> {
    if !Path::new(PROGRAMS).join("bgpd").exists() {
        return Some("FRR is not installed".to_owned());
    }
    // It gives up being root, for a user that a user namespace does not have.
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    (map.split_whitespace().nth(2) != Some("4294967295")).then(|| "FRR has to be started as root".to_owned())
}

/// zebra and bgpd in this namespace.
fn start(place: &Namespace, bgp: &str) -> [Program; 2] {
    let directory = directory();
    fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let sockets = directory.display();
    let run = |name: &str, config: String| {
        let mut command = Command::new(Path::new(PROGRAMS).join(name));
        command.args([
            "-f",
            &config,
            "-z",
            &format!("{sockets}/zebra.sock"),
            "-i",
            &format!("{sockets}/{name}.pid"),
        ]);
        command.args(["--vty_socket", &sockets.to_string(), "-A", "::1", "-P", "0"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Program(place.spawn(&mut command), directory.clone())
    };
    let zebra = run("zebra", file("zebra.conf", ""));
    eventually("zebra listens", PATIENCE, || directory.join("zebra.sock").exists().then_some(()));
    [zebra, run("bgpd", file("bgpd.conf", bgp))]
}

/// As contrib/guides/frr.md has it.
fn host_config(number: u8) -> String {
    format!(
        "ipv6 prefix-list guests permit 2001:db8:1:2:c::/112 ge 128
route-map guests permit 10
 match ipv6 address prefix-list guests
router bgp 65000
 bgp router-id 192.0.2.{number}
 neighbor 2001:db8:1:2::1 remote-as 65000
 neighbor 2001:db8:1:2::1 timers connect 1
 address-family ipv6
  redistribute kernel route-map guests
  neighbor 2001:db8:1:2::1 activate
"
    )
}

const ROUTER: &str = "router bgp 65000
 bgp router-id 192.0.2.1
 neighbor hosts peer-group
 neighbor hosts remote-as 65000
 bgp listen range 2001:db8:1:2::/64 peer-group hosts
 address-family ipv6
  neighbor hosts activate
  neighbor hosts route-reflector-client
";

fn routes(place: &Namespace) -> String {
    place.show(&format!("route show {GUEST}"))
}

/// The two hosts with the metric of contrib/guides/cluster.md, and all three speak BGP.
fn cluster() -> Cluster {
    let guest = "mac = \"02:00:00:00:00:55\"\n[routes]\nmetric = 16";
    let mut cluster = Cluster::new("routes = \"guests\"", guest);
    let places = [&cluster.first.router, &cluster.first.host, &cluster.second.host];
    let configs = [ROUTER.to_owned(), host_config(2), host_config(22)];
    let programs = places.into_iter().zip(configs).flat_map(|(place, config)| start(place, &config));
    cluster.programs = programs.collect();
    cluster
}

fn a_guest_moves_under_traffic_with_its_route() {
    assert_eq!(UPSTREAM_GLOBAL.segments()[7], 2);
    let leads = |cluster: &Cluster, to: usize| {
        eventually("the router has the guest's route from BGP, to its host alone", PATIENCE, || {
            let host = ["2", "22"][to];
            let ways = [format!("via 2001:db8:1:2::{host} "), format!("via fe80::{host} ")];
            let known = routes(&cluster.first.router);
            let is_there = ways.iter().any(|way| known.contains(way)) && known.contains("proto bgp");
            is_there.then_some(())
        });
        eventually("the other host has no route of its own", PATIENCE, || {
            let other = [&cluster.second.host, &cluster.first.host][to];
            (!routes(other).contains("proto 64")).then_some(())
        });
    };
    measure("a move under BGP", cluster, |cluster, _| cluster.announce(), leads);
}
