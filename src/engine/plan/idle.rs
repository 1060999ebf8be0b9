//! That nothing is served, although there is an upstream: no range is written, and automatic finds none, or only the
//! host's own address on a bridge. And the lines that would serve.

use std::fmt;

use ipnet::Ipv6Net;

use super::Plan;
use crate::engine::facts::{IfName, KernelRoute, LinkLayer};
use crate::engine::host::Host;
use crate::engine::policy::{Origin, RangePolicy};

/// Nothing is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    /// The upstream.
    pub upstream: IfName,
    /// A prefix that is on its link, if there is one.
    pub on_link: Option<Ipv6Net>,
    /// A range that would serve: its prefix, and an interface that guests may be behind.
    pub range: Option<(Ipv6Net, IfName)>,
}

impl Idle {
    /// Whether it is so on this host.
    pub fn of(plan: &Plan, host: &Host, is_ours: impl Fn(&KernelRoute) -> bool) -> Option<Self> {
        let is_gateway = |range: &RangePolicy| is_gateway_on_a_bridge(range, plan, host);
        if !plan.policy.ranges.iter().all(is_gateway) {
            return None;
        }
        let upstream = plan.bindings.upstreams.first()?.link;
        let name = host.links.get(upstream)?.name;
        let nets = host.routes.on_link(upstream, is_ours);
        let nets = nets.filter(|net| (1..128).contains(&net.prefix_len()));
        let on_link = nets.max_by_key(Ipv6Net::prefix_len);
        let is_free = |net: &Ipv6Net| host.links.addresses_inside(net).next().is_none();
        let prefix = on_link.and_then(|net| part(net, is_free));
        // Bridges come first, and of these the one that was made last.
        let links = host.links.iter().filter(|link| {
            let is_guests = matches!(link.layer, LinkLayer::Ethernet(_)) && link.master.is_none();
            is_guests && plan.bindings.upstream(link.index).is_none()
        });
        let likely = links.max_by_key(|link| (link.is_bridge, link.index)).map(|link| link.name);
        Some(Self { upstream: name, on_link, range: prefix.zip(likely) })
    }

    /// The lines of the configuration that serve, if the host has what it takes.
    pub fn lines(&self) -> Option<String> {
        let (prefix, interface) = self.range?;
        Some(format!(
            "[[range]]\nprefix = \"{prefix}\"\ninterface = \"{interface}\"\ngateway = \"fe80::1\"\n"
        ))
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.on_link {
            Some(net) => write!(
                f,
                "nothing to serve yet: give the guests' interface a prefix out of {net}, or add a [[range]]"
            ),
            None => write!(
                f,
                "nothing to serve yet: no prefix is on the link of {}; give it an address with the prefix length of the \
                 provider, or add a [[range]]",
                self.upstream
            ),
        }
    }
}

/// An address that the host itself has on a bridge, found automatically: guests are behind it, and none of them is
/// served.
fn is_gateway_on_a_bridge(range: &RangePolicy, plan: &Plan, host: &Host) -> bool {
    let mut owners = host.links.owners(range.prefix.addr()).filter_map(|owner| host.links.get(owner));
    range.origin == Origin::Automatic
        && range.prefix.prefix_len() == 128
        && owners.any(|link| link.is_bridge && plan.bindings.upstream(link.index).is_none())
}

/// A /112 inside the prefix that has no address of the host in it.
fn part(net: Ipv6Net, is_free: impl Fn(&Ipv6Net) -> bool) -> Option<Ipv6Net> {
    // The group of four digits that tells one part from the next.
    let shift = match net.prefix_len() {
        0..=64 => 48,
        65..=108 => 16,
        _ => return None,
    };
    let parts = (0xc_u128..0x10)
        .filter_map(|number| Ipv6Net::new((u128::from(net.network()) | number << shift).into(), 112).ok());
    parts.into_iter().find(is_free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_part_that_is_free() {
        let net = |text: &str| text.parse::<Ipv6Net>().expect("a prefix");
        let taken = net("2001:db8:1:2:c::/112");
        assert_eq!(part(net("2001:db8:1:2::/64"), |_| true), Some(taken));
        assert_eq!(part(net("2001:db8:1:2::/64"), |part| *part != taken), Some(net("2001:db8:1:2:d::/112")));
        assert_eq!(part(net("2001:db8:1:2::/80"), |_| true), Some(net("2001:db8:1:2::c:0/112")));
        assert_eq!(part(net("2001:db8:1:2::/112"), |_| true), None);
    }

    #[test]
    fn has_lines_only_where_there_is_an_interface_for_guests() {
        let name = |text: &str| text.parse().expect("a name");
        let on_link = Some("2001:db8:1:2::/64".parse().expect("a prefix"));
        let mut idle = Idle { upstream: name("up0"), on_link, range: None };
        assert_eq!(idle.lines(), None);
        assert!(idle.to_string().contains("out of 2001:db8:1:2::/64"));
        idle.range = Some(("2001:db8:1:2:c::/112".parse().expect("a prefix"), name("br0")));
        assert!(idle.lines().expect("lines").contains("interface = \"br0\""));
        idle.on_link = None;
        assert!(idle.to_string().contains("no prefix is on the link of up0"));
    }
}
