//! The frames that claim an address on an upstream's link, and the one that asks who has it.

use core::net::Ipv6Addr;

use crate::engine::answer;
use crate::engine::asker::Asker;
use crate::engine::host::links::Links;
use crate::engine::plan::bindings::Upstream;
use crate::engine::policy::Override;
use crate::wire::{Advertisement, Mac, Solicitation, solicited_node};

/// "The Solicited flag MUST be set to zero", "to the all-nodes multicast address": as the answer to
/// an asker with `::`, but that it may override.
pub fn unsolicited(upstream: &Upstream, target: Ipv6Addr, links: &Links) -> Option<Advertisement> {
    let nobody = Asker { link: upstream.link, mac: upstream.mac, address: Ipv6Addr::UNSPECIFIED };
    let mut advertisement = answer::advertisement(upstream, &nobody, target, links)?;
    // RFC 4861 §7.2.8: "A proxy MAY send unsolicited advertisements with the Override flag set to one".
    advertisement.flags.override_entry = upstream.override_flag != Override::Never;
    Some(advertisement)
}

/// As if the target asked for the router: RFC 4861 §7.2.3, "the recipient SHOULD create or update
/// the Neighbor Cache entry for the IP Source Address of the solicitation".
pub fn solicitation_from(upstream: &Upstream, target: Ipv6Addr, router: Ipv6Addr) -> Solicitation {
    let group = solicited_node(router);
    Solicitation {
        source_mac: upstream.mac,
        destination_mac: Mac::multicast(group),
        source: target,
        destination: group,
        target: router,
        source_link_layer: Some(upstream.mac),
    }
}

/// Who has the target, as a host of the link asks.
pub fn question(upstream: &Upstream, target: Ipv6Addr) -> Option<Solicitation> {
    let source = upstream.link_local.or(upstream.global)?;
    Some(solicitation_from(upstream, source, target))
}

/// RFC 4862 §5.4.2. The interface does not hear what it sends, and a switch that sends it back is
/// ignored by its source; the defence of an owner arrives as a rival's advertisement.
pub fn dad(upstream: &Upstream, target: Ipv6Addr) -> Solicitation {
    let asked_by_nobody = solicitation_from(upstream, Ipv6Addr::UNSPECIFIED, target);
    Solicitation { source_link_layer: None, ..asked_by_nobody }
}
