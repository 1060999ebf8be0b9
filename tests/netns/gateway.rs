//! Providers' peculiarities: routers that drop Neighbor Discovery from link-local addresses, and
//! routers that are not on the guests' prefix.

use std::net::Ipv6Addr;
use std::process::{Command, Stdio};

use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, PLAIN, UPSTREAM_GLOBAL, UPSTREAM_LINK_LOCAL};
use crate::namespace::{Namespace, eventually};
use crate::pings::Pings;

crate::cases![
    reaches_a_router_that_drops_link_local_advertisements_as_the_source_policy_says,
    keeps_the_guests_gateway_where_link_local_solicitations_are_dropped,
    serves_a_router_that_is_outside_the_prefix,
];

/// Somewhere behind the router.
const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1);

fn settings(keys: &str) -> Settings {
    Settings::default().range(C, "br0", "").range(D, "gv1", "").upstream(keys)
}

/// The router drops this kind of message if its source is link-local.
fn drop_link_local(router: &Namespace, kind: &str) {
    router.output("nft", "add table ip6 provider");
    router.output("nft", "add chain ip6 provider in { type filter hook prerouting priority -300 ; }");
    router.output("nft", &format!("add rule ip6 provider in icmpv6 type {kind} ip6 saddr fe80::/10 drop"));
}

/// For what is out of reach: a reply that comes later does not count.
fn reaches(namespace: &Namespace, target: Ipv6Addr) -> bool {
    let mut command = Command::new("ping");
    command.args(["-c", "1", "-W", "1", &target.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    namespace.spawn(&mut command).wait().unwrap().success()
}

fn reaches_a_router_that_drops_link_local_advertisements_as_the_source_policy_says() {
    for (source, is_reachable) in [("link-local", false), ("target", true), ("global", true)] {
        let lab = Lab::veth();
        drop_link_local(&lab.router, "nd-neighbor-advert");
        // Without announcements: the solicitation from the guest's address would be let in.
        let keys = format!("source = \"{source}\"\nannounce = false");
        let daemon = Daemon::start(&lab, settings(&keys));
        for guest in [GUEST, PLAIN] {
            if is_reachable {
                lab.router.ping(&guest.to_string());
            } else {
                assert!(!reaches(&lab.router, guest), "source = {source}");
            }
        }
        daemon.stop();
    }
}

fn keeps_the_guests_gateway_where_link_local_solicitations_are_dropped() {
    let seconds: u32 =
        std::env::var("LONE64_PING_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let lab = Lab::veth();
    drop_link_local(&lab.router, "nd-neighbor-solicit");
    lab.router.ip(&format!("addr add {FAR}/128 dev lo nodad"));
    // What the router asks would tell the host where the router is.
    for known in [GUEST, PLAIN, UPSTREAM_GLOBAL, UPSTREAM_LINK_LOCAL] {
        lab.router.ip(&format!("neigh replace {known} lladdr 02:00:00:00:00:02 dev rt0 nud permanent"));
    }
    lab.host.sysctls(&[
        ("net/ipv6/neigh/up0/base_reachable_time_ms", "1000"),
        ("net/ipv6/neigh/up0/delay_first_probe_time", "1"),
    ]);
    let entry = || lab.host.show("neigh show fe80::1 dev up0");

    // Without announcements: the gateway's answer to one for an address of the host's own would be
    // one to the kernel's question.
    let daemon = Daemon::start(&lab, settings("gateway-source = \"kernel\"\nannounce = false"));
    assert!(!reaches(&lab.guest, FAR), "with the kernel's solicitations: {}", entry());
    daemon.stop();
    // It forgets soon that it has failed.
    eventually("the kernel gives up", PATIENCE, || (!entry().contains("INCOMPLETE")).then_some(()));
    lab.host.ip("neigh replace fe80::1 dev up0 nud failed");

    let daemon = Daemon::start(&lab, settings("gateway-source = \"global\"\nannounce = false"));
    eventually("the failed entry is revived", PATIENCE, || {
        entry().contains("lladdr 02:00:00:00:00:01").then_some(())
    });
    let count = seconds * 10;
    Pings::start(&lab.guest, count, &FAR.to_string()).lose_none();
    // Also when it is gone altogether.
    lab.host.ip("neigh del fe80::1 dev up0");
    eventually("the kernel is told again", PATIENCE, || {
        entry().contains("lladdr 02:00:00:00:00:01").then_some(())
    });
    lab.guest.ping(&FAR.to_string());
    daemon.stop();
    assert_eq!(entry(), "", "what was changed is put back");
}

fn serves_a_router_that_is_outside_the_prefix() {
    let lab = Lab::veth();
    let router = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
    lab.router.ip(&format!(
        "addr del 2001:db8:1:2::1/64 dev rt0
         addr add {router}/128 dev rt0 nodad
         route add 2001:db8:1:2::/64 dev rt0 src {router}"
    ));
    lab.host.ip(&format!(
        "route add {router}/128 dev up0
         route replace default via {router} dev up0"
    ));
    for announce in [false, true] {
        lab.router.ip("neigh flush dev rt0");
        let daemon = Daemon::start(&lab, settings(&format!("announce = {announce}")));
        for guest in [GUEST, PLAIN] {
            lab.router.ping(&format!("-I {router} {guest}"));
        }
        lab.guest.ping(&router.to_string());
        lab.plain.ping(&router.to_string());
        daemon.stop();
    }
}
