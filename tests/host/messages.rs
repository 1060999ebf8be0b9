//! What routers, strangers and guests say.

use std::net::Ipv6Addr;

use lone64::wire::{Advertisement, Flags, Mac, Solicitation, solicited_node};

use super::{BRIDGE_MAC, ROUTER_MAC, address};

/// The router asks for the target, from its link-local address.
pub fn question(target: Ipv6Addr) -> Solicitation {
    question_from(address("fe80::1"), ROUTER_MAC, target)
}

/// This asker asks for the target, as for a neighbor that it does not know.
pub fn question_from(source: Ipv6Addr, mac: Mac, target: Ipv6Addr) -> Solicitation {
    let group = solicited_node(target);
    Solicitation {
        source_mac: mac,
        destination_mac: Mac::multicast(group),
        source,
        destination: group,
        target,
        source_link_layer: Some(mac),
    }
}

/// Somebody checks that nobody else has the target.
pub fn dad(mac: Mac, target: Ipv6Addr) -> Solicitation {
    Solicitation { source_link_layer: None, ..question_from(Ipv6Addr::UNSPECIFIED, mac, target) }
}

/// What a guest replies to a probe.
pub fn reply(address: Ipv6Addr, mac: Mac) -> Advertisement {
    Advertisement {
        source_mac: mac,
        destination_mac: BRIDGE_MAC,
        source: address,
        destination: self::address("fe80::5054:ff:fe00:b0"),
        target: address,
        flags: Flags { router: false, solicited: true, override_entry: true },
        target_link_layer: Some(mac),
    }
}
