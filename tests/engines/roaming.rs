//! One prefix on two bridges, and a guest that moves between them without a word.

use std::net::Ipv6Addr;

use crate::PATIENCE;
use crate::guide::Guide;
use crate::namespace::eventually;
use crate::plugged;
use crate::provider::Provider;
use crate::traffic::Traffic;

crate::cases![a_guest_that_moves_to_the_other_bridge_stays_reachable];

const GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 5);

fn a_guest_that_moves_to_the_other_bridge_stays_reachable() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    let guest = plugged::follow(&Guide::read("roaming"), &provider, &host, &|| {
        plugged::start(&host, "vnet5", 5, "br0")
    });
    let traffic = Traffic::start(&provider.router, GUEST);
    for bridge in ["br0", "br1"] {
        host.type_in(&format!("ip link set vnet5 master {bridge}"));
        eventually("its route has followed", PATIENCE, || {
            let routes = host.type_in("ip -6 route show proto 64");
            routes.contains(&format!("{GUEST} dev {bridge}")).then_some(())
        });
        traffic.flows();
        provider.pings(GUEST);
        guest.ping("2001:7fd::1");
    }
    println!("two moves interrupted it for {:?} at most", traffic.longest_gap());
    assert_eq!(host.warnings(), "");
}
