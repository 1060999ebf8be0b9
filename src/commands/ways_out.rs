//! Where guests' packets leave this host when it has several upstreams, and the lines that send them out by their own.
//!
//! A provider drops what has another provider's address. The kernel is asked, because rules, tables and
//! source-specific routes all decide.
//!
//! May touch: the kernel's tables, which it only reads.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use serde::Serialize;

use super::wrapped;
use crate::engine::facts::{Fact, IfIndex, IfName, Link, NextHop};
use crate::engine::policy::{Downstream, Policy, RangePolicy, UpstreamInterface};
use crate::kernel::netlink::{Requests, WayTo};

/// Guests whose packets do not leave by the upstream that their addresses are from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Astray {
    /// Their addresses.
    prefix: Ipv6Net,
    /// The upstream that they are from.
    upstream: String,
    /// Where they leave; `None`: nowhere.
    leaves_by: Option<String>,
    /// The commands that put it right.
    lines: Vec<String>,
}

/// All of them, on a host with several upstreams. None where the kernel cannot be asked, or has no such upstream.
pub(super) fn astray(policy: &Policy, facts: &[Fact]) -> Vec<Astray> {
    if policy.upstreams.len() < 2 {
        return Vec::new();
    }
    let host = Host { facts };
    let mut found = Vec::new();
    for guests in host.guests(policy) {
        if found.iter().any(|other: &Astray| other.prefix == guests.prefix) {
            continue;
        }
        let Ok(way) = way_out(guests.address, guests.downstream) else { continue };
        let leaves_by = match way {
            WayTo::Link { link, .. } if link == guests.upstream.index => continue,
            WayTo::Link { link, .. } => host.link(link).map(|link| link.name.to_string()),
            _ => None,
        };
        // The first line of all is one for all.
        let lines = host.lines(&guests, found.len());
        found.push(Astray {
            prefix: guests.prefix,
            upstream: guests.upstream.name.to_string(),
            leaves_by,
            lines,
        });
    }
    found
}

/// Behind the table: a note and its commands for each.
pub(super) fn text(all: &[Astray]) -> String {
    let mut text = String::new();
    for Astray { prefix, upstream, leaves_by, lines } in all {
        let now = match leaves_by {
            Some(other) => format!("leave through {other}, where they are dropped"),
            None => "have no way out of this host".to_owned(),
        };
        let sentence = format!(
            "guests in {prefix} must leave through {upstream}, whose provider gave the prefix, but their packets \
             {now}; these commands give them a route:"
        );
        text += &wrapped("note: ", &sentence);
        lines.iter().for_each(|line| text += &format!("          {line}\n"));
    }
    text
}

/// The guests of one upstream.
struct Guests<'a> {
    /// The upstream's on-link prefix, or that of their range.
    prefix: Ipv6Net,
    upstream: &'a Link,
    /// That of one of them.
    address: Ipv6Addr,
    /// The link that they are behind, if there is one.
    downstream: Option<IfIndex>,
}

struct Host<'a> {
    facts: &'a [Fact],
}

impl<'a> Host<'a> {
    fn links(&self) -> impl Iterator<Item = &'a Link> + use<'a> {
        self.facts.iter().filter_map(|fact| match fact {
            Fact::Link(link) => Some(link),
            _ => None,
        })
    }

    fn link(&self, index: IfIndex) -> Option<&'a Link> {
        self.links().find(|link| link.index == index)
    }

    fn named(&self, name: &IfName) -> Option<&'a Link> {
        self.links().find(|link| link.name == *name)
    }

    /// The prefixes on the link of an interface.
    fn on_link(&self, link: IfIndex) -> impl Iterator<Item = Ipv6Net> {
        self.facts.iter().filter_map(move |fact| match fact {
            Fact::Address(address) if address.link == link && address.prefix_len < 128 => {
                Ipv6Net::new(address.address, address.prefix_len).ok().map(|net| net.trunc())
            }
            _ => None,
        })
    }

    /// Those of each range whose upstream is known and there. The host's own, on `lo`, are bound by programs.
    fn guests(&self, policy: &'a Policy) -> Vec<Guests<'a>> {
        let is_own =
            |range: &&RangePolicy| !matches!(&range.downstream, Downstream::Named(n) if n.is_loopback());
        let ranges = policy.ranges.iter().filter(is_own);
        ranges.filter_map(|range| self.guests_of(range, policy)).collect()
    }

    fn guests_of(&self, range: &'a RangePolicy, policy: &'a Policy) -> Option<Guests<'a>> {
        let names = policy.upstreams.iter().filter_map(|upstream| match &upstream.interface {
            UpstreamInterface::Named(name) => Some(name),
            UpstreamInterface::DefaultRoute => None,
        });
        let covering = |link: &Link| {
            self.on_link(link.index).filter(|net| net.contains(&range.prefix)).max_by_key(Ipv6Net::prefix_len)
        };
        let upstream = match &range.upstream {
            Some(name) => self.named(name)?,
            None => names.filter_map(|name| self.named(name)).find(|link| covering(link).is_some())?,
        };
        let prefix = covering(upstream).unwrap_or(range.prefix);
        let downstream = match &range.downstream {
            Downstream::Named(name) => self.named(name),
            Downstream::Matching(patterns) => {
                self.links().find(|link| patterns.iter().any(|pattern| pattern.matches(&link.name)))
            }
            Downstream::Kernel => None,
        };
        // Neither the first address nor a likely one of the host's own.
        let address = Ipv6Addr::from_bits(range.prefix.broadcast().to_bits().saturating_sub(1));
        Some(Guests { prefix, upstream, address, downstream: downstream.map(|link| link.index) })
    }

    /// A table of their own, and the rules that lead there.
    fn lines(&self, guests: &Guests, number: usize) -> Vec<String> {
        let name = &guests.upstream.name;
        let router = self.default_routes(guests.upstream.index).find_map(|(router, _)| router);
        let router = router.map_or_else(|| "ROUTER".to_owned(), |router| router.to_string());
        let ready =
            self.default_routes(guests.upstream.index).map(|(_, table)| table).find(|table| *table != MAIN);
        let table = ready.unwrap_or_else(|| self.free_table(number));
        let mut lines = Vec::new();
        if ready.is_none() {
            lines.push(format!("ip -6 route add default via {router} dev {name} table {table}"));
        }
        if number == 0 {
            // From one guest to another, and to the host: what main knows better than by its default route.
            lines.push(format!("ip -6 rule add pref {FIRST_RULE} lookup main suppress_prefixlength 0"));
        }
        let preference = FIRST_RULE + 1 + number;
        lines.push(format!("ip -6 rule add pref {preference} from {} lookup {table}", guests.prefix));
        lines
    }

    /// By which routers, and in which tables.
    fn default_routes(&self, link: IfIndex) -> impl Iterator<Item = (Option<Ipv6Addr>, u32)> {
        self.facts.iter().filter_map(move |fact| match fact {
            Fact::Route(route) if is_default(&route.destination) && route.unicast_link() == Some(link) => {
                let router = match route.next_hop {
                    NextHop::Via(router) => Some(router),
                    _ => None,
                };
                Some((router, route.table))
            }
            _ => None,
        })
    }

    /// One that no route is in.
    fn free_table(&self, number: usize) -> u32 {
        let is_used = |table: &u32| {
            self.facts.iter().any(|fact| matches!(fact, Fact::Route(route) if route.table == *table))
        };
        let free = (FIRST_TABLE..).filter(|table| !is_used(table));
        free.into_iter().nth(number).unwrap_or(FIRST_TABLE)
    }
}

/// Whether a route is there for the most that is far away: `::/0`, or what people write in its place, as `2000::/3` or
/// `::/1` beside `8000::/1`.
fn is_default(destination: &Ipv6Net) -> bool {
    destination.prefix_len() <= 3 && destination.contains(&FAR_AWAY)
}

/// Where the kernel sends a guest's packet that goes far away.
fn way_out(guest: Ipv6Addr, downstream: Option<IfIndex>) -> Result<WayTo, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    Ok(runtime.block_on(async { Requests::open()?.way_out(FAR_AWAY, guest, downstream).await })?)
}

/// A root server of the DNS (k.root-servers.net): far from everybody, and in no provider's own prefix.
const FAR_AWAY: Ipv6Addr = Ipv6Addr::new(0x2001, 0x7fd, 0, 0, 0, 0, 0, 1);
/// The kernel's table `main`.
const MAIN: u32 = 254;
const FIRST_TABLE: u32 = 102;
const FIRST_RULE: usize = 100;
