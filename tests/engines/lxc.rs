//! LXC: containers on a bridge, and routed without one.

use std::net::Ipv6Addr;

use crate::PATIENCE;
use crate::guide::{Guide, nowhere};
use crate::machine::Machine;
use crate::namespace::eventually;
use crate::provider::{BEYOND, Provider};
use crate::traffic::Traffic;

crate::cases![
    a_container_on_a_bridge_is_reachable_at_the_first_packet_after_its_dad,
    a_container_that_reboots_is_reachable_again,
    routed_containers_reach_each_other_and_are_reached_at_the_first_packet,
    a_routed_container_that_reboots_is_reachable_again,
    a_container_in_router_mode_keeps_the_route_that_lxc_makes,
];

const WEB: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 5);
const DB: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 6);

fn a_container_on_a_bridge_is_reachable_at_the_first_packet_after_its_dad() {
    let (provider, host) = followed("lxc-bridge");
    // With another on it the bridge keeps its carrier, and the kernel what it knows of those that left.
    a_second_one_is_started(&provider, &host);
    for _ in 0..3 {
        host.type_in("lxc-stop web\nlxc-start web");
        has_its_address(&host, "web", WEB);
        provider.pings(WEB);
    }
}

fn a_container_that_reboots_is_reachable_again() {
    let (provider, host) = followed("lxc-bridge");
    let pid = host.main_pid("lone64");
    let traffic = Traffic::start(&provider.router, WEB);
    host.type_in("lxc-stop --reboot web");
    has_its_address(&host, "web", WEB);
    traffic.flows();
    println!("a reboot of the container interrupted it for {:?}", traffic.longest_gap());
    assert_eq!(host.main_pid("lone64"), pid);
}

fn routed_containers_reach_each_other_and_are_reached_at_the_first_packet() {
    let (provider, host) = followed("lxc-routed");
    a_second_one_is_started(&provider, &host);
    host.type_in(&format!("lxc-attach web -- ping -c 1 -W 60 {DB}\nlxc-attach db -- ping -c 1 -W 5 {WEB}"));

    host.type_in("lxc-stop web");
    eventually("nothing of the container is left", PATIENCE, || {
        let status = host.type_in("lone64 status --json");
        let routes = host.type_in("ip -6 route show");
        (!status.contains(&format!("\"{WEB}\"")) && !routes.contains(&format!("{WEB} "))).then_some(())
    });
    provider.pings(DB);
    // What is gone is unreachable at the host, and not looped back to the router.
    let routed = host.ask(&format!("ip -6 route get {WEB}"));
    assert!(routed.contains("unreachable") || routed.contains("No route to host"), "{routed}");
}

fn a_routed_container_that_reboots_is_reachable_again() {
    let (provider, host) = followed("lxc-routed");
    let pid = host.main_pid("lone64");
    let traffic = Traffic::start(&provider.router, WEB);
    for reboot in ["lxc-stop --reboot web", "lxc-attach web -- reboot"] {
        let init = host.type_in("lxc-info -n web -pH");
        // The one that is typed inside ends with the container, and so not with status 0.
        host.ask(reboot);
        eventually("the container has another init", PATIENCE, || {
            let now = host.ask("lxc-info -n web -pH 2>/dev/null");
            let is_another =
                now.lines().any(|line| line.parse::<u32>().is_ok()) && !now.contains(init.trim());
            is_another.then_some(())
        });
        has_its_address(&host, "web", WEB);
        provider.pings(WEB);
        traffic.flows();
    }
    println!("two reboots of the container interrupted it for {:?} at most", traffic.longest_gap());
    assert_eq!(host.main_pid("lone64"), pid);
    assert_eq!(host.warnings(), "", "lone64 complained");
}

fn a_container_in_router_mode_keeps_the_route_that_lxc_makes() {
    let (provider, host) = followed("lxc-routed");
    let route = format!("ip -6 route show {WEB}");
    let ours = host.type_in(&route);
    // Installing lone64 gives its protocol a name.
    assert!(ours.contains("proto lone64") && ours.lines().count() == 1, "{ours}");
    host.type_in(
        "lxc-stop web
         echo 'lxc.net.0.veth.mode = router' >>/var/lib/lxc/web/config
         lxc-start web",
    );
    has_its_address(&host, "web", WEB);
    provider.pings(WEB);
    host.type_in(&format!("lxc-attach web -- ping -c 1 -W 60 {BEYOND}"));
    let theirs = host.type_in(&route);
    assert!(
        !theirs.contains("proto lone64") && !theirs.contains("proto 64") && theirs.lines().count() == 1,
        "{theirs}"
    );
    assert_eq!(host.warnings(), "", "lone64 complained");
}

fn followed(guide: &str) -> (Provider, Machine) {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    Guide::read(guide).follow(&provider, &host, &nowhere);
    (provider, host)
}

/// A copy of the container is started, then it is itself; each is reached at the first packet.
fn a_second_one_is_started(provider: &Provider, host: &Machine) {
    host.type_in(
        "lxc-stop web
         cp -a /var/lib/lxc/web /var/lib/lxc/db
         sed -i 's|lxc/web|lxc/db|; s|\"web\"|\"db\"|; s|c::5|c::6|' /var/lib/lxc/db/config
         lxc-start db
         lxc-start web",
    );
    for (name, address) in [("db", DB), ("web", WEB)] {
        has_its_address(host, name, address);
        provider.pings(address);
    }
}

/// The container has checked its address.
fn has_its_address(host: &Machine, name: &str, address: Ipv6Addr) {
    eventually("the container's address is valid", PATIENCE, || {
        let shown = host.ask(&format!("lxc-attach {name} -- ip -6 address show dev eth0 scope global"));
        (shown.contains(&format!("{address}/")) && !shown.contains("tentative")).then_some(())
    });
}
