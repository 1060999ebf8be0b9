//! The guests' gateway: an address that every downstream of a range has, for as long as it is one, with
//! nothing but the configuration.

use std::net::Ipv6Addr;

use lone64::engine::facts::{Address, AddressState, Fact};
use lone64::kernel::netlink::Monitor;

use crate::client::{lone64, status};
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::ROUTER;
use crate::link::Link;
use crate::namespace::{Namespace, eventually};
use crate::rename::renames_what_is_up;
use crate::solicitation::Solicitation;
use crate::veths::{E, Veths, e};

crate::cases![
    guests_reach_beyond_the_router_by_the_configuration_alone,
    comes_and_goes_with_the_interface_and_its_name,
    is_put_back_whoever_removes_it,
    follows_a_reload,
    follows_the_kernel_s_routes,
    stays_on_exit_where_the_configuration_says_so,
    leaves_one_of_somebody_else,
    takes_over_what_a_killed_predecessor_left,
    tells_once_what_the_kernel_refuses_and_tries_again,
];

/// The gateway of every guest; the router's address on the upstream link is the same.
const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Somebody behind the router.
const BEYOND: &str = "2001:db8:ffff::1";

fn guests(count: usize) -> Veths {
    Veths::without_gateway(count, GATEWAY)
}

fn settings() -> Settings {
    Settings::default().range(E, "vg*", "gateway = \"fe80::1\"")
}

/// What the kernel tells lone64 at its start.
pub(crate) fn facts(host: &Namespace) -> Vec<Fact> {
    host.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { Monitor::start().unwrap().0.dump().await.unwrap() })
    })
}

/// The gateway's addresses, `interface number` each, in order. What ip(8) of Debian 12 prints has no
/// numbers in it.
fn there(host: &Namespace) -> Vec<String> {
    let facts = facts(host);
    let name = |address: &Address| {
        let mut links = facts.iter().filter_map(|fact| match fact {
            Fact::Link(link) if link.index == address.link => Some(link.name.to_string()),
            _ => None,
        });
        links.next().unwrap()
    };
    let mut found: Vec<_> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Address(address) if address.address == GATEWAY => Some(address),
            _ => None,
        })
        .inspect(|address| assert_eq!((address.prefix_len, address.state), (64, AddressState::Preferred)))
        .map(|address| format!("{} {}", name(address), address.protocol))
        .collect();
    found.sort();
    found
}

fn until(host: &Namespace, wanted: &[&str]) {
    eventually(&format!("the gateways are {wanted:?}"), PATIENCE, || (there(host) == wanted).then_some(()));
}

fn guests_reach_beyond_the_router_by_the_configuration_alone() {
    let veths = guests(2);
    let host = &veths.lab.host;
    veths.lab.router.ip(&format!("addr add {BEYOND}/128 dev lo"));
    let before = host.show("addr show");
    let daemon = Daemon::start(&veths.lab, settings());
    assert_eq!(there(host), ["vg0 64", "vg1 64"], "before it is ready");
    let shown = host.show("-o addr show dev vg0");
    assert!(shown.contains("fe80::1/64 scope link nodad") && !shown.contains("tentative"), "{shown}");
    for (number, address) in [e(5), e(6)].into_iter().enumerate() {
        veths.give_with_dad(number, address);
        veths.guests[number].ping(&format!("-I {address} {BEYOND}"));
    }
    // From outside, and from one to the other.
    veths.lab.router.ping(&format!("{}", e(5)));
    veths.guests[0].ping(&format!("-I {} {}", e(5), e(6)));
    let said = daemon.stop();
    assert_eq!(said.matches("the guests' gateway is added address=fe80::1").count(), 2, "{said}");
    assert_eq!(host.show("addr show"), before);
}

fn comes_and_goes_with_the_interface_and_its_name() {
    let veths = guests(2);
    let host = &veths.lab.host;
    host.rename("vg1", "other1", "");
    let _daemon = Daemon::start(&veths.lab, settings());
    assert_eq!(there(host), ["vg0 64"]);
    host.rename("other1", "vg1", "");
    until(host, &["vg0 64", "vg1 64"]);
    host.rename("vg0", "other0", "");
    host.ip("link del vg1");
    until(host, &[]);
    host.ip("link add vg2 type veth peer name peer2\nlink set vg2 up\nlink set peer2 up");
    until(host, &["vg2 64"]);
    // What arrives at a port of a bridge is the bridge's.
    host.ip("link set vg2 master br0");
    until(host, &[]);
}

fn is_put_back_whoever_removes_it() {
    let veths = guests(2);
    let host = &veths.lab.host;
    let _daemon = Daemon::start(&veths.lab, settings());
    host.ip("addr del fe80::1/64 dev vg0");
    until(host, &["vg0 64", "vg1 64"]);
    host.ip("link set vg1 down");
    until(host, &["vg0 64"]);
    host.ip("link set vg1 up");
    until(host, &["vg0 64", "vg1 64"]);
    veths.give(1, e(6));
    veths.guests[1].ping("fe80::1%eth0");
}

fn follows_a_reload() {
    let veths = guests(1);
    let host = &veths.lab.host;
    let daemon = Daemon::start(&veths.lab, Veths::settings());
    assert_eq!(there(host), [""; 0]);
    let reload = |settings: Settings, wanted: &[&str]| {
        settings.write(&daemon.config());
        let output = lone64(&daemon.socket(), "reload");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        until(host, wanted);
    };
    reload(settings(), &["vg0 64"]);
    assert_eq!(status(&daemon)["ranges"][1]["gateway"], "fe80::1");
    reload(settings().rest("[routes]\nprotocol = 65\n"), &["vg0 65"]);
    reload(Veths::settings().rest("[routes]\nprotocol = 65\n"), &[]);
    reload(settings(), &["vg0 64"]);
}

fn follows_the_kernel_s_routes() {
    let veths = guests(1);
    let host = &veths.lab.host;
    veths.give(0, e(5));
    let by_kernel = format!("[[range]]\nprefix = \"{E}\"\ngateway = \"fe80::1\"\n");
    let _daemon = Daemon::start(&veths.lab, Settings::default().rest(&by_kernel));
    assert_eq!(there(host), [""; 0]);
    host.ip(&format!("route add {}/128 dev vg0", e(5)));
    until(host, &["vg0 64"]);
    let mut link = Link::open(&veths.lab);
    eventually("the guest is found", PATIENCE, || {
        (!link.advertisements(&Solicitation::multicast(ROUTER, e(5))).is_empty()).then_some(())
    });
    host.ip(&format!("route del {}/128 dev vg0", e(5)));
    until(host, &[]);
}

fn stays_on_exit_where_the_configuration_says_so() {
    let veths = guests(2);
    let host = &veths.lab.host;
    Daemon::start(&veths.lab, settings().rest("[routes]\non-stop = \"keep\"\n")).stop();
    assert_eq!(there(host), ["vg0 64", "vg1 64"]);
    Daemon::start(&veths.lab, settings()).stop();
    assert_eq!(there(host), [""; 0]);
}

fn leaves_one_of_somebody_else() {
    let veths = guests(2);
    let host = &veths.lab.host;
    host.ip("addr add fe80::1/64 dev vg0 nodad");
    let daemon = Daemon::start(&veths.lab, settings());
    assert_eq!(there(host), ["vg0 0", "vg1 64"]);
    assert_eq!(status(&daemon)["problems"].as_array().map(Vec::len), Some(0), "it serves");
    veths.give(0, e(5));
    Link::open(&veths.lab).answered(&Solicitation::multicast(ROUTER, e(5)));
    // When he takes it away it is missing, like any other.
    host.ip("addr del fe80::1/64 dev vg0");
    until(host, &["vg0 64", "vg1 64"]);
    // And one that takes the place of ours is his.
    host.ip("addr replace fe80::1/64 dev vg1 nodad");
    until(host, &["vg0 64", "vg1 0"]);
    assert!(status(&daemon)["problems"].as_array().is_some_and(Vec::is_empty));
    daemon.stop();
    assert_eq!(there(host), ["vg1 0"]);
}

fn takes_over_what_a_killed_predecessor_left() {
    let veths = guests(3);
    let host = &veths.lab.host;
    Daemon::start(&veths.lab, settings()).kill();
    assert_eq!(there(host), ["vg0 64", "vg1 64", "vg2 64"], "nobody has removed them");
    // One is no downstream any more.
    let settings = match renames_what_is_up() {
        true => {
            host.ip("link set vg2 name other2");
            settings()
        }
        // With another name it would have lost its addresses.
        false => Settings::default().rest(&format!(
            "[[range]]\nprefix = \"{E}\"\ninterface = [\"vg0\", \"vg1\"]\ngateway = \"fe80::1\"\n"
        )),
    };
    let daemon = Daemon::start(&veths.lab, settings);
    assert_eq!(there(host), ["vg0 64", "vg1 64"]);
    let said = daemon.stop();
    assert!(!said.contains("the guests' gateway is added"), "adopted, and not added anew: {said}");
    assert_eq!(there(host), [""; 0]);
}

fn tells_once_what_the_kernel_refuses_and_tries_again() {
    let veths = guests(2);
    let host = &veths.lab.host;
    host.sysctls(&[("net/ipv6/conf/vg0/disable_ipv6", "1")]);
    let daemon = Daemon::start(&veths.lab, settings());
    assert_eq!(there(host), ["vg1 64"]);
    let output = lone64(&daemon.socket(), "status");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("vg0 have no gateway fe80::1") && text.contains("conf/vg0/disable_ipv6=0"),
        "{text}"
    );
    // Tried again, and refused again.
    for mtu in 1400..1410 {
        host.ip(&format!("link set vg0 mtu {mtu}"));
        // What has been done before this is told was done.
        veths.give(1, e(0x100 + mtu));
        Link::open(&veths.lab).answered(&Solicitation::multicast(ROUTER, e(0x100 + mtu)));
    }
    host.sysctls(&[("net/ipv6/conf/vg0/disable_ipv6", "0")]);
    host.ip("link set vg0 mtu 1500");
    until(host, &["vg0 64", "vg1 64"]);
    eventually("the problem is over", PATIENCE, || {
        status(&daemon)["problems"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    let said = daemon.stop();
    assert_eq!(said.matches("vg0 have no gateway").count(), 1, "{said}");
    assert_eq!(said.matches("is on vg0 now").count(), 1, "{said}");
}
