//! Guests on the bridge that the host's card is on, of a provider that knows the host's MAC alone.

use std::net::Ipv6Addr;

use crate::guide::Guide;
use crate::machine::Machine;
use crate::plugged;
use crate::provider::Provider;

crate::cases![guests_on_the_providers_bridge_are_reached_by_the_hosts_mac];

const GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 0x64);

fn guests_on_the_providers_bridge_are_reached_by_the_hosts_mac() {
    let provider = Provider::new();
    let host = Machine::boot("host", provider.plug(2));
    provider.router.output(
        "nft",
        "add table netdev known ; \
         add chain netdev known in { type filter hook ingress device \"port2\" priority 0 ; } ; \
         add rule netdev known in ether saddr != 02:00:00:00:01:02 drop",
    );
    let start = || plugged::start(&host, "tap100i0", 100, "vmbr0");
    let _guest = plugged::follow(&Guide::read("upstream-bridge"), &provider, &host, &start);
    provider.pings(GUEST);
    let entry = provider.router.show(&format!("neigh show {GUEST}"));
    assert!(entry.contains("02:00:00:00:01:02"), "{entry}");
    assert_eq!(host.warnings(), "", "lone64 complained");
}
