//! What is not there yet at the start is told, waited for, and served when it comes: as later.

use std::path::Path;

use serde_json::Value;

use crate::client::{lone64, status};
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GATEWAY, GUEST, Lab, PLAIN, ROUTER, d};
use crate::link::Link;
use crate::namespace::{Namespace, eventually};
use crate::solicitation::Solicitation;
use crate::trials::Case;

crate::cases![
    waits_for_its_downstream,
    waits_for_the_downstream_of_an_option,
    waits_for_its_upstream,
    waits_for_a_default_route,
    waits_for_an_upstream_that_is_no_port,
    waits_for_ipv6_on_its_upstream,
    waits_for_nothing_twice_and_serves_what_is_there,
    needs_no_upstream_where_nobody_is_answered,
];

/// What needs a limit of a namespace's own.
pub(crate) const BY_LIMIT: &[Case] = &[(
    "waits_for_a_packet_socket_that_the_kernel_refuses",
    waits_for_a_packet_socket_that_the_kernel_refuses,
)];

/// Why these cannot run here, if they cannot.
pub(crate) fn refusal() -> Option<String> {
    let is_there = || Path::new("/proc/sys/net/core/optmem_max").exists();
    let is_shared = !Namespace::untouched().run(is_there);
    is_shared.then(|| "net.core.optmem_max is no limit of a namespace's own (since Linux 6.9)".to_owned())
}

/// It is ready, and what it says then.
fn started(lab: &Lab, settings: Settings) -> (Daemon, String) {
    let mut daemon = Daemon::start_unready(lab, settings);
    let ready = daemon.notified("READY=1");
    (daemon, ready)
}

/// It stops, and has warned of this once.
fn warned_once(daemon: Daemon, sentence: &str) {
    let said = daemon.stop();
    let warnings = said.lines().filter(|line| line.contains("WARN") && line.contains(sentence));
    assert_eq!(warnings.count(), 1, "{sentence}: {said}");
}

fn exit_status(daemon: &Daemon) -> Option<i32> {
    lone64(&daemon.socket(), "status").status.code()
}

/// The guest's bridge, as the lab made it.
fn make_bridge(lab: &Lab) {
    lab.host.ip(&format!(
        "link add br0 address 02:00:00:00:00:b0 type bridge forward_delay 0 mcast_snooping 0
         link set gp0 master br0
         link set br0 up
         addr add fe80::b0/64 dev br0 nodad
         addr add {GATEWAY}/112 dev br0 nodad"
    ));
}

fn is_reached(lab: &Lab, guest: &str) -> bool {
    lab.router.ip("neigh flush all");
    let mut ping = std::process::Command::new("ping");
    ping.args(["-c", "1", "-W", "1", guest]).stdout(std::process::Stdio::null());
    lab.router.spawn(&mut ping).wait().unwrap().success()
}

fn eventually_reached(lab: &Lab, guest: &str) {
    eventually("the guest is reached", PATIENCE, || is_reached(lab, guest).then_some(()));
}

/// The last seconds of a boot: LXC makes its bridge long after lone64 has started.
fn waits_for_its_downstream() {
    let lab = Lab::veth();
    lab.host.ip("link del br0");
    let (daemon, ready) = started(&lab, Settings::default().range(C, "br0", "").without_sentinels());
    assert!(ready.contains("STATUS=waiting for br0\n"), "{ready}");
    let output = lone64(&daemon.socket(), "status");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("there is no interface br0") && text.contains("waiting"), "{text}");
    assert_eq!(status(&daemon)["ranges"][0]["state"], "waiting");
    make_bridge(&lab);
    eventually_reached(&lab, &GUEST.to_string());
    assert_eq!((&status(&daemon)["problems"], exit_status(&daemon)), (&Value::Array(vec![]), Some(0)));
    warned_once(daemon, "there is no interface br0");
    assert_eq!(lab.host.show("-o route show table all proto 64"), "");
}

fn waits_for_the_downstream_of_an_option() {
    let lab = Lab::veth();
    lab.host.rename("gv1", "gv2", "");
    let daemon = Daemon::start_with_options(&lab, &format!("--upstream up0 --range {D}=gv1"));
    assert!(!is_reached(&lab, &PLAIN.to_string()));
    lab.host.rename(
        "gv2",
        "gv1",
        &format!("addr add fe80::b1/64 dev gv1 nodad\naddr add {}/128 dev gv1 nodad", d(1)),
    );
    eventually_reached(&lab, &PLAIN.to_string());
    warned_once(daemon, "there is no interface gv1");
}

fn waits_for_its_upstream() {
    let lab = Lab::veth();
    lab.host.rename("up0", "up9", "");
    let (mut daemon, ready) = started(&lab, Settings::default().range(C, "br0", ""));
    assert!(ready.contains("STATUS=waiting for up0\n"), "{ready}");
    assert_eq!(exit_status(&daemon), Some(1));
    lab.host.rename(
        "up9",
        "up0",
        "addr add fe80::2/64 dev up0 nodad
         addr add 2001:db8:1:2::2/64 dev up0 nodad
         route add default via fe80::1 dev up0",
    );
    daemon.notified("STATUS=2 ranges, ");
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    assert_eq!(exit_status(&daemon), Some(0));
    warned_once(daemon, "upstream up0: there is no such interface");
}

fn waits_for_a_default_route() {
    let lab = Lab::veth();
    lab.host.ip("route del default");
    let (mut daemon, ready) = started(&lab, Settings::default().range(C, "br0", "").without_upstream());
    assert!(ready.contains("STATUS=waiting for a default route\n"), "{ready}");
    lab.host.ip("route add default via fe80::1 dev up0");
    daemon.notified("STATUS=2 ranges, ");
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    warned_once(daemon, "there is no IPv6 default route");
}

/// A packet socket on a port hears nothing: the bridge takes the frames first (facts.md 9).
fn waits_for_an_upstream_that_is_no_port() {
    let lab = Lab::veth();
    lab.host.ip("link add br9 type bridge\nlink set up0 master br9\nlink set br9 up");
    let (mut daemon, ready) = started(&lab, Settings::default().range(C, "br0", ""));
    assert!(ready.contains("STATUS=waiting for up0 to leave br9\n"), "{ready}");
    lab.host.ip("link set up0 nomaster");
    daemon.notified("STATUS=2 ranges, ");
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    warned_once(daemon, "up0 is a port of br9");
}

fn waits_for_ipv6_on_its_upstream() {
    let lab = Lab::veth();
    lab.host.sysctls(&[("net/ipv6/conf/up0/disable_ipv6", "1")]);
    let (daemon, ready) = started(&lab, Settings::default().range(C, "br0", ""));
    assert!(ready.contains("STATUS=waiting for an IPv6 address on up0; "), "{ready}");
    assert_eq!(exit_status(&daemon), Some(1));
    lab.host.sysctls(&[("net/ipv6/conf/up0/disable_ipv6", "0")]);
    lab.host.ip("addr add fe80::2/64 dev up0 nodad
                 addr add 2001:db8:1:2::2/64 dev up0 nodad
                 route add default via fe80::1 dev up0");
    eventually("it is well", PATIENCE, || (exit_status(&daemon) == Some(0)).then_some(()));
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    warned_once(daemon, "disable_ipv6=0");
}

/// A limit may be raised at any time.
fn waits_for_a_packet_socket_that_the_kernel_refuses() {
    let lab = Lab::veth();
    lab.host.sysctls(&[("net/core/optmem_max", "1000")]);
    let (daemon, ready) = started(&lab, Settings::default().range(C, "br0", ""));
    assert!(ready.contains("STATUS=waiting for a packet socket on up0; "), "{ready}");
    assert_eq!(exit_status(&daemon), Some(1));
    lab.host.sysctls(&[("net/core/optmem_max", "131072")]);
    eventually("it is well", PATIENCE, || (exit_status(&daemon) == Some(0)).then_some(()));
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    warned_once(daemon, "upstream up0 cannot be heard");
}

fn waits_for_nothing_twice_and_serves_what_is_there() {
    let lab = Lab::veth();
    let settings = Settings::default()
        .range("2001:db8:1:2:e::/112", "late0", "")
        .range("2001:db8:1:2:f::/112", "late0", "answer = \"always\"")
        .range(D, "gv1", "");
    let (daemon, ready) = started(&lab, settings);
    assert!(ready.contains("STATUS=waiting for late0; serving "), "{ready}");
    assert!(ready.contains(&format!("serving {D} on up0 for gv1")) && !ready.contains("2:e::"), "{ready}");
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, PLAIN));
    daemon.stop();
}

/// A prefix that is routed to this host, through a tunnel say: there is no upstream, and none is missed.
fn needs_no_upstream_where_nobody_is_answered() {
    let lab = Lab::veth();
    lab.host.ip("link del up0");
    let routed = Settings::default().without_upstream().without_sentinels();
    let routed = routed.range(C, "br0", "answer = \"never\"\nroutes = \"guests\"");
    let (daemon, ready) = started(&lab, routed);
    assert!(ready.contains(&format!("STATUS=serving {C} for br0 (never)\n")), "{ready}");
    eventually("the guest has its route", PATIENCE, || {
        // It looks for its gateway, and is heard.
        lab.guest.ip("neigh flush all");
        let mut ping = std::process::Command::new("ping");
        ping.args(["-c", "1", "-W", "1", &GATEWAY.to_string()]).stdout(std::process::Stdio::null());
        lab.guest.spawn(&mut ping).wait().unwrap();
        lab.host.show("route show proto 64").contains(&GUEST.to_string()).then_some(())
    });
    assert!(lab.host.show("route show table all proto 64").contains("unreachable"));
    assert_eq!((&status(&daemon)["problems"], exit_status(&daemon)), (&Value::Array(vec![]), Some(0)));
    assert_eq!(status(&daemon)["ranges"][0]["state"], "serving");
    let said = daemon.stop();
    assert!(!said.contains("default route") && !said.contains("upstream"), "{said}");
}
