//! radvd: guests that configure themselves out of the upstream's /64, and some that do it wrong.

use std::net::Ipv6Addr;
use std::process::Command;

use crate::guide::Guide;
use crate::machine::Machine;
use crate::namespace::{Namespace, eventually};
use crate::plugged;
use crate::provider::{BEYOND, Provider};
use crate::traffic::Traffic;
use crate::{PATIENCE, typed};

crate::cases![
    guests_configure_themselves_out_of_the_hosts_own_64,
    guests_that_take_the_64_for_their_own_link_reach_what_is_on_the_upstreams,
];

/// What a guest with the MAC bc:24:11:00:00:05 makes of it.
const EUI_64: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xbe24, 0x11ff, 0xfe00, 5);
/// Another host on the provider's link.
const NEIGHBOR: &str = "2001:db8:1:2::9";

fn guests_configure_themselves_out_of_the_hosts_own_64() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    let guest = followed(&provider, &host, |guest| {
        guest.sysctls(&[("net/ipv6/conf/eth0/use_tempaddr", "2")]);
        guest.ip("link set eth0 up");
    });
    let pid = host.main_pid("lone64");

    // From its MAC, and a temporary one.
    let addresses = global_addresses(&guest, 2);
    assert!(addresses.contains(&EUI_64), "{addresses:?}");
    reach(&provider, &guest, &addresses);

    // RFC 7217: stable, and nothing to do with the MAC. The first packet to it comes right after its DAD.
    let private = plug(&host, 6);
    private.sysctls(&[("net/ipv6/conf/eth0/addr_gen_mode", "3")]);
    private.ip("link set eth0 up");
    let stable = global_addresses(&private, 1);
    reach(&provider, &private, &stable);

    // Each has a route of its own, and they meet at the host.
    let routes = host.type_in("ip -6 route show proto 64");
    for address in addresses.iter().chain(&stable) {
        assert!(routes.contains(&format!("{address} dev br0")), "{address}: {routes}");
    }
    private.output("ping", &format!("-c 3 {EUI_64}"));

    let traffic = Traffic::start(&provider.router, EUI_64);
    host.type_in("systemctl restart radvd");
    traffic.flows();
    println!("a restart of radvd interrupted a guest for {:?}", traffic.longest_gap());
    assert_eq!(host.main_pid("lone64"), pid);

    // A guest that goes is not answered for, and has no route.
    drop(private);
    let gone = stable[0];
    eventually("its route is gone", PATIENCE, || {
        (!host.ask("ip -6 route show proto 64").contains(&gone.to_string())).then_some(())
    });
}

fn guests_that_take_the_64_for_their_own_link_reach_what_is_on_the_upstreams() {
    let provider = Provider::new();
    let neighbor = provider.plug(9);
    neighbor.ip(&format!("link set eth0 up\naddr add {NEIGHBOR}/64 dev eth0 nodad"));
    let host = provider.host("host", 2);
    let by_the_book = followed(&provider, &host, |guest| guest.ip("link set eth0 up"));

    // The provider's own instructions, typed into guests: once with the gateway's global address, and
    // once with its link-local one.
    for (number, gateway) in [(0x70, "2001:db8:1:2::1"), (0x71, "fe80::1")] {
        let guest = plug(&host, number);
        let address: Ipv6Addr = format!("2001:db8:1:2::{number:x}").parse().unwrap();
        guest.sysctls(&[("net/ipv6/conf/eth0/accept_ra", "0")]);
        guest.ip(&format!(
            "link set eth0 up
             addr add {address}/64 dev eth0
             route add default via {gateway} dev eth0"
        ));
        assert_eq!(global_addresses(&guest, 1), [address], "its DAD succeeds, though we answer there");
        reach(&provider, &guest, &[address]);
        for other in ["2001:db8:1:2::1", "2001:db8:1:2::2", NEIGHBOR, &EUI_64.to_string()] {
            guest.output("ping", &format!("-c 3 {other}"));
        }
        neighbor.output("ping", &format!("-c 3 {address}"));
        by_the_book.output("ping", &format!("-c 3 {address}"));
    }
}

/// Types the guide, with one guest that comes up as soon as it has been plugged in.
fn followed(provider: &Provider, host: &Machine, comes_up: impl Fn(&Namespace)) -> Namespace {
    let guest = std::cell::OnceCell::new();
    Guide::read("slaac").follow_with(
        provider,
        host,
        &|place, lines| {
            assert_eq!(place, "guest");
            let mut shell = Command::new("bash");
            let guest: &Namespace = guest.get().expect("it was plugged in before the pings");
            guest.run(|| typed(place, lines, shell.args(["-exc", lines])));
        },
        &|| {
            let plugged = plug(host, 5);
            comes_up(&plugged);
            global_addresses(&plugged, 1);
            assert!(guest.set(plugged).is_ok());
        },
    );
    guest.into_inner().expect("it was plugged in")
}

/// A guest on br0, whose eth0 is not up yet.
fn plug(host: &Machine, number: u8) -> Namespace {
    plugged::plug(host, &format!("vnet{number}"), number, "br0")
}

/// The guest's addresses, once so many have been checked for duplicates.
fn global_addresses(guest: &Namespace, number: usize) -> Vec<Ipv6Addr> {
    eventually("the guest has its addresses", PATIENCE, || {
        let shown = guest.show("-o address show dev eth0 scope global -tentative -dadfailed");
        let words = shown.lines().filter_map(|line| line.split_whitespace().nth(3));
        let addresses: Vec<Ipv6Addr> =
            words.map(|word| word.split('/').next().unwrap().parse().unwrap()).collect();
        (addresses.len() >= number).then_some(addresses)
    })
}

/// Both ways, with each address: the first packet comes from outside.
fn reach(provider: &Provider, guest: &Namespace, addresses: &[Ipv6Addr]) {
    for address in addresses {
        provider.pings(*address);
        guest.ping(&format!("-I {address} {BEYOND}"));
    }
}
