//! A host of ifupdown's, in automatic mode.

use std::net::Ipv6Addr;

use crate::PATIENCE;
use crate::guide::Guide;
use crate::machine::Machine;
use crate::namespace::eventually;
use crate::plugged::{self, has_checked};
use crate::provider::Provider;
use crate::traffic::Traffic;

crate::cases![a_bridge_that_ifdown_and_ifup_make_anew_is_served_again];

const GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 5);

fn a_bridge_that_ifdown_and_ifup_make_anew_is_served_again() {
    let provider = Provider::new();
    let host = Machine::boot("host", provider.plug(2));
    let start = || plugged::start(&host, "veth5", 5, "br0");
    let guest = plugged::follow(&Guide::read("ifupdown"), &provider, &host, &start);
    let pid = host.main_pid("lone64");
    let traffic = Traffic::start(&provider.router, GUEST);
    host.type_in("ifdown br0");
    eventually("lone64 serves nothing", PATIENCE, || {
        let shown = host.ask("lone64 status --json");
        (shown.contains("\"ranges\": []") && shown.contains("\"targets\": []")).then_some(())
    });
    host.type_in("ip link delete veth5\nifup br0");
    drop(guest);
    let guest = start();
    guest.ip(&format!("addr add {GUEST}/112 dev eth0\nroute add default via 2001:db8:1:2:c::1"));
    has_checked(&guest, GUEST);
    provider.pings(GUEST);
    traffic.flows();
    println!("a new bridge and a new guest interrupted it for {:?}", traffic.longest_gap());
    assert_eq!(host.main_pid("lone64"), pid);
}
