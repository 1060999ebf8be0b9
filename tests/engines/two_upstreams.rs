//! Two providers, each with a /64 of its own, which drops what is not from it.

use std::net::Ipv6Addr;

use crate::guide::Guide;
use crate::machine::Machine;
use crate::namespace::Namespace;
use crate::plugged;
use crate::provider::Provider;

crate::cases![guests_leave_by_the_provider_that_their_address_is_from];

const SECOND: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 2, 0xc, 0, 0, 5);

fn guests_leave_by_the_provider_that_their_address_is_from() {
    let provider = Provider::new();
    let second = Namespace::new();
    let host = with_two_providers(&provider, &second);
    let guest = plugged::follow(&Guide::read("two-upstreams"), &provider, &host, &|| {
        let guest = plugged::start(&host, "vnet5", 5, "br0");
        guest.sysctls(&[("net/ipv6/conf/eth0/accept_dad", "0")]);
        guest
    });
    second.ping(&SECOND.to_string());
    guest.ping("-I 2001:db8:1:2:c::5 2001:db8:ffff:2:c::1");
    assert_eq!(host.warnings(), "");
}

/// Behind either is the same Internet. Neither forwards what has a source of the other's.
fn with_two_providers(provider: &Provider, second: &Namespace) -> Machine {
    let host = provider.plug(2);
    second.sysctls(&[("net/ipv6/conf/all/forwarding", "1")]);
    second.ip(&format!(
        "link add port2 address 02:00:00:00:00:02 type veth peer name eth1 netns {}
         link set port2 up
         addr add fe80::1/64 dev port2 nodad
         addr add 2001:db8:ffff:2::1/64 dev port2 nodad
         link add wan type veth peer name eth1 netns {}
         link set wan up
         addr add fe80::1/64 dev wan nodad
         route add default via fe80::2 dev wan",
        host.path(),
        provider.beyond.path()
    ));
    provider.beyond.ip("link set eth1 up
         addr add fe80::2/64 dev eth1 nodad
         route add 2001:db8:ffff:2::/64 via fe80::1 dev eth1");
    second.ip("rule add from 2001:db8:1:2::/64 iif port2 blackhole");
    provider.router.ip("rule add from 2001:db8:ffff:2::/64 iif rt0 blackhole");
    host.ip("link set eth0 up
         link set eth1 up
         addr add 2001:db8:1:2::2/64 dev eth0 nodad
         addr add 2001:db8:ffff:2::2/64 dev eth1 nodad
         route add default via fe80::1 dev eth0");
    Machine::boot("host", host)
}
