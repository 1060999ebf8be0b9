//! Whether guests can have their addresses and prefixes: what of that can be told without the host.
//!
//! May touch: nothing.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::Around;
use crate::config::mirror::{Addresses, Guest};
use crate::config::problem::{Place, Report};
use crate::config::section::Field;
use crate::engine::facts::IfName;
use crate::engine::policy::{Downstream, IfPattern, RangePolicy};

/// Reports what cannot be.
pub(super) fn check(guest: &Guest, around: Around<'_>, report: &mut Report<'_>) {
    check_addresses(guest, around, report);
    check_delegate(guest, around, report);
}

fn check_addresses(guest: &Guest, around: Around<'_>, report: &mut Report<'_>) {
    match &guest.addresses {
        Field::Absent if guest.delegate == Field::Absent => {
            let problem = report.push(&guest.place, "this [[guest]] has no `addresses`");
            problem.help("add addresses = [\"2001:db8:1:2:c::5\"], or addresses = \"eui64\" in a /64");
        }
        Field::Is(Addresses::Eui64, place) => {
            if guest.mac == Field::Absent {
                let problem =
                    report.push(place, "\"eui64\" computes the address from the `mac`, which is missing");
                problem.help("add the `mac`, or list the addresses");
            }
            if !around.has_64() {
                let sentence = "\"eui64\" needs a range that is a /64, and there is none";
                let problem = report.push(place, sentence);
                problem.help("write a [[range]] with suffix = \"::/64\", or list the addresses");
            }
        }
        Field::Is(Addresses::Listed(listed), _) => {
            for (address, place) in listed {
                let net = Ipv6Net::from(*address);
                if around.is_outside(&net) {
                    let problem = report.push(place, format!("{address} is outside every range"));
                    problem.help("write a [[range]] that has it, or correct the address");
                } else if let Some(range) = around.decides_for(&net) {
                    check_in_range(&net, range, (guest, place), report);
                }
            }
        }
        Field::Absent | Field::Wrong => {}
    }
}

fn check_delegate(guest: &Guest, around: Around<'_>, report: &mut Report<'_>) {
    let Field::Is(prefixes, _) = &guest.delegate else { return };
    for (prefix, place) in prefixes {
        if !is_global(prefix.network()) || !is_global(prefix.broadcast()) {
            let problem = report.push(place, format!("{prefix} cannot be routed to a guest"));
            problem.help("delegate a global prefix inside a range");
        } else if let Some(range) = around.ranges.iter().find(|range| prefix.contains(&range.prefix)) {
            let problem = report.push(place, format!("{prefix} covers all of the range {}", range.prefix));
            problem.help("delegate a longer prefix inside the range");
        } else if around.is_outside(prefix) {
            let problem = report.push(place, format!("{prefix} is outside every range"));
            problem.help("write a [[range]] that has all of it, or correct the prefix");
        } else if let Some(range) = around.decides_for(prefix) {
            check_in_range(prefix, range, (guest, place), report);
        }
    }
}

/// Whether the range in which this is leaves it to this guest.
fn check_in_range(
    net: &Ipv6Net,
    range: &RangePolicy,
    (guest, place): (&Guest, &Place),
    report: &mut Report<'_>,
) {
    let shown = match net.prefix_len() {
        128 => net.addr().to_string(),
        _ => net.to_string(),
    };
    let prefix = range.prefix;
    if let Some(exclude) = range.exclude.iter().find(|exclude| exclude.contains(net)) {
        let problem =
            report.push(place, format!("{shown} is excluded from the range {prefix}, by {exclude}"));
        problem.help("take it out of `exclude`, or correct the guest");
    } else if net.prefix_len() == 128 && prefix.prefix_len() < 127 && net.addr() == prefix.network() {
        // RFC 4291 §2.6.1: "All routers are required to support the Subnet-Router anycast addresses for the subnets to
        // which they have interfaces."
        let problem = report.push(place, format!("{shown} is the subnet-router anycast address of {prefix}"));
        problem.help("give the guest another address of the range");
    } else if let (Some(name), Field::Absent) = (guest.interface.value(), &guest.mac)
        && !has_guests_on(range, name)
    {
        // With a MAC the name may be that of a port of the range's bridge, which the host alone knows.
        let sentence = format!("{shown} is in the range {prefix}, which has no guests behind {name}");
        let problem = report.push(place, sentence);
        problem.help("correct the `interface` of the guest or of the range");
    }
}

fn is_global(address: Ipv6Addr) -> bool {
    !address.is_multicast()
        && !address.is_unicast_link_local()
        && !address.is_loopback()
        && !address.is_unspecified()
        && address.to_ipv4_mapped().is_none()
}

fn has_guests_on(range: &RangePolicy, interface: &IfName) -> bool {
    match &range.downstream {
        Downstream::Kernel => true,
        Downstream::Named(name) => name == interface,
        Downstream::Matching(patterns) => {
            patterns.iter().any(|pattern: &IfPattern| pattern.matches(interface))
        }
    }
}

impl Around<'_> {
    /// Whether no range has all of this, as far as that can be told without the host.
    fn is_outside(&self, prefix: &Ipv6Net) -> bool {
        !self.follows_host() && !self.ranges.iter().any(|range| range.prefix.contains(prefix))
    }

    /// The range that decides for all of this, where that can be told without the host.
    fn decides_for(&self, prefix: &Ipv6Net) -> Option<&RangePolicy> {
        let around = self.ranges.iter().filter(|range| range.prefix.contains(prefix));
        around.filter(|_| !self.follows_host()).max_by_key(|range| range.prefix.prefix_len())
    }

    fn follows_host(&self) -> bool {
        !self.suffixes.is_empty() || self.upstreams.iter().any(|upstream| upstream.automatic.is_some())
    }

    fn has_64(&self) -> bool {
        let mut all = self.ranges.iter().chain(self.suffixes);
        self.upstreams.iter().any(|upstream| upstream.automatic.is_some())
            || all.any(|range| range.prefix.prefix_len() == 64)
    }
}
