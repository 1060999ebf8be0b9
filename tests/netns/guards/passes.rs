//! What guests need passes: by hand, and as the kernel sends it whose link-local address is of one kind or another.

use std::net::Ipv6Addr;
use std::process::{Command, Stdio};

use super::spoof::{
    ALL_DHCP, ALL_MLD2, ALL_ROUTERS, From, advertisement, dad, echo, link_layer, mld, solicitation, to_group,
    udp,
};
use super::{OTHER, eventually_guarded, guest, other_on_the_bridge};
use crate::client::status;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{group_mac, mac, solicited_node};
use crate::lab::{BRIDGE_MAC, C, D, GATEWAY, GUEST, GUEST_MAC, Lab, PLAIN_MAC, ROUTER_AT_LARGE, c, d};
use crate::namespace::{Namespace, eventually};

crate::cases![
    passes_what_a_guest_needs_and_all_that_is_not_ipv6,
    passes_every_kind_of_link_local_address_and_mldv1_behind_a_bridge,
    passes_every_kind_of_link_local_address_and_mldv1_on_routed_veths,
    passes_what_is_delegated,
];

const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5);

/// Nothing was dropped of any guest.
fn nothing_dropped(daemon: &Daemon) {
    let told = status(daemon);
    for guest in told["guests"].as_array().unwrap() {
        assert_eq!(guest["dropped"], serde_json::json!({}), "{guest}");
    }
}

/// Sent by the guest, heard by the other one on the bridge.
fn passes_what_a_guest_needs_and_all_that_is_not_ipv6() {
    let lab = Lab::veth();
    let other = other_on_the_bridge(&lab);
    let settings = Settings::default().range(C, "br0", "routes = \"guests\"").rest(&guest(
        "a",
        5,
        "gp0",
        GUEST,
        "guard = true\ndelegate = [\"2001:db8:1:2:c::4000/116\"]",
    ));
    let daemon = Daemon::start(&lab, settings);
    eventually_guarded(&daemon, &["a"]);
    let mut sender = Endpoint::open(&lab.guest, "eth0");
    let mut heard = Endpoint::open(&other, "eth0");
    let nobody = From { mac: GUEST_MAC, address: Ipv6Addr::UNSPECIFIED };
    let local = From { mac: GUEST_MAC, address: LINK_LOCAL };
    let own = From { mac: GUEST_MAC, address: GUEST };
    let routed = From { mac: GUEST_MAC, address: c(0x4001) };
    let to = |group: Ipv6Addr| (group_mac(group), group);
    let group = solicited_node(LINK_LOCAL);
    let report = [&[143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0][..], &group.octets()].concat();
    let old = |kind: u8| [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &group.octets()].concat();
    let solicit_router = [133, 0, 0, 0, 0, 0, 0, 0];
    let with_option = [&solicit_router[..], &link_layer(1, GUEST_MAC)].concat();
    let mut arp = [&[0xff; 6][..], &GUEST_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
    arp.extend([&GUEST_MAC[..], &[192, 0, 2, 5], &[0; 6], &[192, 0, 2, 9]].concat());
    let mut strange = arp.clone();
    strange[6..12].copy_from_slice(&mac(0x55));
    let all = vec![
        mld(nobody, ALL_MLD2, &report),
        mld(nobody, group, &old(131)),
        dad(GUEST_MAC, LINK_LOCAL),
        dad(GUEST_MAC, GUEST),
        dad(GUEST_MAC, c(0x4001)),
        to_group(nobody, ALL_ROUTERS, &solicit_router),
        to_group(local, ALL_ROUTERS, &with_option),
        mld(local, ALL_MLD2, &report),
        mld(local, group, &old(131)),
        mld(local, ALL_ROUTERS, &old(132)),
        solicitation(local, OTHER, &link_layer(1, GUEST_MAC)),
        solicitation(own, OTHER, &[link_layer(1, GUEST_MAC), [14, 1, 1, 2, 3, 4, 5, 6].to_vec()].concat()),
        advertisement(local, LINK_LOCAL, &link_layer(2, GUEST_MAC)),
        advertisement(local, GUEST, &link_layer(2, GUEST_MAC)),
        advertisement(own, c(0x4001), &link_layer(2, GUEST_MAC)),
        advertisement(own, GUEST, &[]),
        echo(local, to(ALL_ROUTERS), 1),
        udp(local, to(ALL_DHCP), 547),
        udp(own, to(ALL_DHCP), 4_000),
        udp(routed, to(ALL_DHCP), 4_001),
        arp,
        // The MAC of another does not matter in what is not IPv6.
        strange,
    ];
    for (at, frame) in all.iter().enumerate() {
        sender.send(frame);
        heard.receive_until(&format!("frame {at}"), PATIENCE, |received| {
            (received == &frame[..]).then_some(())
        });
    }
    // Others on the bridge are not looked at.
    let foreign = advertisement(From { mac: mac(7), address: OTHER }, c(9), &link_layer(2, mac(8)));
    let mut heard = Endpoint::open(&lab.guest, "eth0");
    Endpoint::open(&other, "eth0").send(&foreign);
    heard.receive_until("another guest's", PATIENCE, |received| (received == &foreign[..]).then_some(()));
    nothing_dropped(&daemon);
    daemon.stop();
}

/// A guest as the kernel makes it: how its link-local address is made (`addr_gen_mode`), and which version of MLD it
/// speaks, 0 for both.
struct Stack {
    name: &'static str,
    number: u8,
    mode: &'static str,
    mld: &'static str,
}

/// Linux by its MAC; Windows and NetworkManager by a secret; and one that speaks MLDv1 only.
const STACKS: [Stack; 3] = [
    Stack { name: "linux", number: 0x21, mode: "0", mld: "0" },
    Stack { name: "windows", number: 0x22, mode: "3", mld: "0" },
    Stack { name: "old", number: 0x23, mode: "3", mld: "1" },
];

fn passes_every_kind_of_link_local_address_and_mldv1_behind_a_bridge() {
    stacks(C, c, |name| format!("link set {name} master br0"), &GATEWAY.to_string());
}

fn passes_every_kind_of_link_local_address_and_mldv1_on_routed_veths() {
    stacks(D, d, |name| format!("addr add fe80::b9/64 dev {name} nodad"), "fe80::b9");
}

/// The guard is there before the guests' interfaces are; each guest does what the kernel does when a link comes up.
fn stacks(range: &str, address: fn(u16) -> Ipv6Addr, attach: impl Fn(&str) -> String, gateway: &str) {
    let lab = Lab::veth();
    let interfaces = if range == C { "br0" } else { "st*" };
    let mut settings = Settings::default().range(range, interfaces, "routes = \"guests\"");
    for Stack { name, number, .. } in &STACKS {
        let own = address(u16::from(*number));
        settings = settings.rest(&guest(name, *number, &format!("st{number}"), own, "guard = true"));
    }
    let daemon = Daemon::start(&lab, settings);
    eventually_guarded(&daemon, &STACKS.map(|stack| stack.name));
    for Stack { name, number, mode, mld } in STACKS {
        let port = format!("st{number}");
        let namespace = Namespace::untouched();
        namespace.sysctls(&[
            ("net/ipv6/conf/default/addr_gen_mode", mode),
            ("net/ipv6/conf/default/force_mld_version", mld),
            ("net/ipv6/conf/default/router_solicitation_delay", "0"),
        ]);
        lab.host.ip(&format!(
            "link add {port} type veth peer name eth0 address 02:00:00:00:00:{number:02x} netns {}
             link set {port} up
             {}",
            namespace.path(),
            attach(&port)
        ));
        namespace.ip("link set eth0 up");
        namespace.output("ip", &format!("-6 addr add {}/112 dev eth0", address(u16::from(number))));
        eventually(&format!("the addresses of {name} are checked"), PATIENCE, || {
            let shown = namespace.show("-o addr show dev eth0");
            assert!(!shown.contains("dadfailed"), "{shown}");
            let is_checked =
                shown.contains("fe80") && shown.lines().count() == 2 && !shown.contains("tentative");
            is_checked.then_some(())
        });
        namespace.ip(&format!("route add default via {gateway} dev eth0"));
        namespace.ping(&ROUTER_AT_LARGE.address.to_string());
        lab.router.ping(&address(u16::from(number)).to_string());
        if gateway.starts_with("fe80") {
            namespace.ping(&format!("{gateway}%eth0"));
        } else {
            namespace.ping("fe80::b0%eth0");
        }
    }
    nothing_dropped(&daemon);
    daemon.stop();
}

/// From a prefix that is routed to the guest, behind a port and on a routed veth.
fn passes_what_is_delegated() {
    let lab = Lab::veth();
    let settings = Settings::default()
        .range(C, "br0", "routes = \"guests\"")
        .range(D, "gv*", "routes = \"guests\"")
        .rest(&guest("a", 5, "gp0", GUEST, "guard = true\ndelegate = [\"2001:db8:1:2:c::4000/116\"]"))
        .rest(&guest("b", 6, "gv1", d(5), "guard = true\ndelegate = [\"2001:db8:1:2:d::4000/116\"]"));
    let daemon = Daemon::start(&lab, settings);
    eventually_guarded(&daemon, &["a", "b"]);
    for (namespace, address) in [(&lab.guest, c(0x4001)), (&lab.plain, d(0x4001))] {
        namespace.output("ip", &format!("-6 addr add {address}/128 dev lo nodad"));
        // The next hop is the link-local address that is heard.
        namespace.ping("ff02::2%eth0");
        eventually("there is a route", PATIENCE, || {
            let routes = lab.host.show("-o route show proto 64");
            routes.contains(&format!("{}", Ipv6Addr::from_bits(address.to_bits() & !0xfff))).then_some(())
        });
        // The router may ask before the guest is known, and gives the packet up that waits for the answer.
        eventually("it is reached", PATIENCE, || {
            let mut ping = Command::new("ping");
            let to = ROUTER_AT_LARGE.address.to_string();
            ping.args(["-c", "1", "-W", "2", "-I", &address.to_string(), &to]).stdout(Stdio::null());
            namespace.spawn(&mut ping).wait().unwrap().success().then_some(())
        });
        lab.router.ping(&address.to_string());
    }
    nothing_dropped(&daemon);
    // An address that is not in the prefix is not its own.
    let (mut endpoint, other) = (Endpoint::open(&lab.plain, "eth0"), d(0x5001));
    endpoint.send(&echo(From { mac: super::PLAIN_GUEST_MAC, address: other }, (PLAIN_MAC, GATEWAY), 1));
    super::eventually_dropped(&daemon, "b", "source", 1);
    assert_ne!(BRIDGE_MAC, PLAIN_MAC);
    daemon.stop();
}
