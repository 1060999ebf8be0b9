//! The answer to one asker: RFC 4861 §7.2.4, with §7.2.8 for proxies.

use core::net::Ipv6Addr;

use super::asker::Asker;
use super::host::links::Links;
use super::plan::bindings::Upstream;
use super::policy::{Override, Source};
use crate::wire::program::{Responder, Sources, Treatment};
use crate::wire::{Advertisement, Flags, Mac};

/// The answer, or none if the upstream has no address that it could come from.
pub fn advertisement(
    upstream: &Upstream,
    asker: &Asker,
    target: Ipv6Addr,
    links: &Links,
) -> Option<Advertisement> {
    let source = source(upstream, asker, target, links)?;
    let is_dad = asker.address.is_unspecified();
    // "If the source of the solicitation is the unspecified address, the node MUST set the
    // Solicited flag to zero and multicast the advertisement to the all-nodes address. Otherwise,
    // the node MUST set the Solicited flag to one and unicast the advertisement to the Source
    // Address of the solicitation."
    let (destination, destination_mac) =
        if is_dad { (ALL_NODES, Mac::multicast(ALL_NODES)) } else { (asker.address, asker.mac) };
    Some(Advertisement {
        source_mac: upstream.mac,
        destination_mac,
        source,
        destination,
        target,
        flags: Flags {
            router: upstream.router,
            solicited: !is_dad,
            // "If the Target Address is either an anycast address or a unicast address for which
            // the node is providing proxy service [...] the Override flag SHOULD be set to zero."
            override_entry: upstream.override_flag == Override::Always,
        },
        // "If the solicitation's IP Destination Address is not a multicast address, the Target
        // Link-Layer Address option MAY be omitted"; it is always there, because some routers
        // ignore an advertisement without it.
        target_link_layer: Some(upstream.mac),
    })
}

/// RFC 4861 §4.4: the source is "an address assigned to the interface from which the advertisement
/// is sent"; which one is the policy's choice. Where the wanted scope has none the other serves.
fn source(upstream: &Upstream, asker: &Asker, target: Ipv6Addr, links: &Links) -> Option<Ipv6Addr> {
    let link_local = upstream.link_local;
    let global = match upstream.has_several && !asker.address.is_unspecified() {
        true => links.global_towards(upstream.link, asker.address),
        false => upstream.global,
    };
    match upstream.source {
        Source::Auto | Source::Scope
            if asker.address.is_unspecified() || asker.address.is_unicast_link_local() =>
        {
            link_local.or(global)
        }
        Source::Auto | Source::Scope => global.or(link_local),
        Source::Target => Some(target),
        Source::LinkLocal => link_local,
        Source::Global => global,
        Source::Address(_) => upstream.fixed,
    }
}

/// The same as a program of the kernel: what it answers, [`advertisement`] answers alike. Where the asker decides which
/// of several addresses answers, it leaves that to us. None for an upstream that has no address for any asker.
pub fn responder(upstream: &Upstream) -> Option<Responder> {
    let Upstream { link_local, global, .. } = *upstream;
    let global = global.filter(|_| !upstream.has_several);
    let by_scope = |to_link_local, to_others| Sources::ByScope { to_link_local, to_others };
    let sources = match upstream.source {
        Source::Auto | Source::Scope => match upstream.has_several {
            true => by_scope(link_local, None),
            false => by_scope(link_local.or(global), global.or(link_local)),
        },
        Source::Target => Sources::Target,
        Source::LinkLocal => by_scope(link_local, link_local),
        Source::Global => by_scope(global, global),
        Source::Address(_) => by_scope(upstream.fixed, upstream.fixed),
    };
    if sources == by_scope(None, None) {
        return None;
    }
    Some(Responder {
        station: upstream.mac,
        router: upstream.router,
        override_entry: upstream.override_flag == Override::Always,
        sources,
        within: Vec::new(),
        // Which source an asker takes is found out by its questions.
        learns: upstream.source == Source::Auto,
        askers: Vec::new(),
    })
}

/// What this asker gets of a program, for which that source is kept: what [`advertisement`] answers it alike.
pub fn treatment(upstream: &Upstream, asker: &Asker, kept: Source, links: &Links) -> Treatment {
    let upstream = with_source(upstream, kept, links);
    if upstream.source == Source::Target {
        return Treatment::Target;
    }
    source(&upstream, asker, Ipv6Addr::UNSPECIFIED, links).map_or(Treatment::PassOn, Treatment::Source)
}

/// The sources that there are for this answer, in the order in which they are tried: what goes by scope, an address in
/// the asker's own prefix, the target, a link-local and a global address; each address once.
pub fn ways(upstream: &Upstream, asker: &Asker, target: Ipv6Addr, links: &Links) -> Vec<Source> {
    let near = links.in_prefix_of(upstream.link, asker.address).map(Source::Address);
    let all =
        [Some(Source::Scope), near, Some(Source::Target), Some(Source::LinkLocal), Some(Source::Global)];
    let (mut ways, mut addresses) = (Vec::new(), Vec::new());
    for way in all.into_iter().flatten() {
        let address = source(&with_source(upstream, way, links), asker, target, links);
        if let Some(address) = address.filter(|address| !addresses.contains(address)) {
            addresses.push(address);
            ways.push(way);
        }
    }
    ways
}

/// The upstream with another source. An address that it does not have any more is none: what goes by scope serves.
pub fn with_source(upstream: &Upstream, source: Source, links: &Links) -> Upstream {
    match source {
        Source::Address(address) if !links.can_use(upstream.link, address) => {
            Upstream { source: Source::Scope, ..*upstream }
        }
        Source::Address(address) => Upstream { source, fixed: Some(address), ..*upstream },
        _ => Upstream { source, ..*upstream },
    }
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
