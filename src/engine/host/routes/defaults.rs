//! Which of the kernel's routes are default routes, and through which routers they lead.
//!
//! Some hosts have `2000::/3`, or `::/1` and `8000::/1`, and no `::/0`: the whole of what is handed out is in these. They
//! are default routes where there is no other; beside one they are what VPNs have that take over all traffic. One that is
//! for some senders only (`default from PREFIX`) is one: behind it is a router, and the guests reply by it.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{MAIN, Routes};
use crate::engine::facts::{IfIndex, KernelRoute, NextHop};

impl KernelRoute {
    /// All addresses that are handed out are `2000::/3`.
    pub const WIDEST: u8 = 3;

    /// Whether it leads to everywhere, or to so much that it is a default route by another name.
    pub fn leads_everywhere(&self) -> bool {
        self.destination.prefix_len() <= Self::WIDEST
    }

    /// Whether a router stands before what it leads to, and it is no default route.
    pub fn leads_behind_a_router(&self) -> bool {
        self.unicast_link().is_some() && self.next_hop != NextHop::OnLink && !self.leads_everywhere()
    }
}

impl Routes {
    /// A route to this destination has come or gone: where default routes lead to.
    pub(super) fn settle_defaults(&mut self, destination: &Ipv6Net) {
        if !EVERYWHERE.contains(destination) {
            return;
        }
        let has_default = self.at(&DEFAULT).any(|route| route.unicast_link().is_some());
        let routes = EVERYWHERE.iter().flat_map(|destination| self.at(destination));
        let via = routes.filter_map(|route| match route.next_hop {
            NextHop::Via(router) => Some(router),
            NextHop::OnLink => None,
        });
        (self.maybe_routers, self.has_default) = (via.collect(), has_default);
    }

    /// The destinations of default routes.
    fn everywhere(&self) -> &'static [Ipv6Net] {
        if self.has_default { &[DEFAULT] } else { &EVERYWHERE }
    }

    /// The interfaces that default routes leave by, the preferred first.
    pub fn default_links(&self) -> Vec<IfIndex> {
        let mut defaults: Vec<_> =
            self.defaults().filter_map(|route| Some((route.metric, route.unicast_link()?))).collect();
        defaults.sort_unstable();
        let mut links = Vec::new();
        for (_, link) in defaults {
            if !links.contains(&link) {
                links.push(link);
            }
        }
        links
    }

    /// The routers that default routes out of this interface lead through, the preferred first.
    pub fn routers(&self, link: IfIndex) -> Vec<Ipv6Addr> {
        let via = |route: &KernelRoute| match route.next_hop {
            NextHop::Via(router) if route.unicast_link() == Some(link) => Some((route.metric, router)),
            NextHop::Via(_) | NextHop::OnLink => None,
        };
        let mut found: Vec<_> = self.all_defaults().filter_map(via).collect();
        found.sort_unstable();
        let mut routers: Vec<Ipv6Addr> = Vec::new();
        for (_, router) in found {
            if !routers.contains(&router) && routers.len() < MOST_ROUTERS {
                routers.push(router);
            }
        }
        routers
    }

    /// Every router that a default route leads through.
    pub fn all_routers(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.defaults().filter_map(|route| match route.next_hop {
            NextHop::Via(router) => Some(router),
            NextHop::OnLink => None,
        })
    }

    /// True if a default route leads through this address.
    pub fn is_router(&self, address: Ipv6Addr) -> bool {
        self.maybe_routers.contains(&address)
            && self.defaults().any(|route| route.next_hop == NextHop::Via(address))
    }

    /// True if a default route out of this interface leads through this address.
    pub fn is_router_of(&self, link: IfIndex, address: Ipv6Addr) -> bool {
        if !self.maybe_routers.contains(&address) {
            return false;
        }
        let mut out_of = self.all_defaults().filter(|route| route.unicast_link() == Some(link));
        out_of.any(|route| route.next_hop == NextHop::Via(address))
    }

    /// The default routes: those of the main table; where it has none, those of the tables that rules name.
    pub fn defaults(&self) -> impl Iterator<Item = &KernelRoute> {
        let all = || self.everywhere().iter().flat_map(|destination| self.at(destination));
        let has_main = all().any(|route| route.table == MAIN);
        let tables = move |table| if has_main { table == MAIN } else { self.rules.read(table) };
        all().filter(move |route| tables(route.table))
    }

    /// Those of every table that a rule names.
    fn all_defaults(&self) -> impl Iterator<Item = &KernelRoute> {
        let all = EVERYWHERE.iter().flat_map(|destination| self.at(destination));
        all.filter(|route| self.rules.read(route.table))
    }
}

/// A link has one router or two; each costs a frame for every target that is announced.
const MOST_ROUTERS: usize = 2;
/// `::/0`
const DEFAULT: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0);
/// Itself, and each part of it that has all of `2000::/3`. With `::/1` goes `8000::/1`, where nobody is.
const EVERYWHERE: [Ipv6Net; 4] = [
    DEFAULT,
    Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 1),
    Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 2),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::facts::RouteKind;

    fn to(destination: &str, link: u32) -> KernelRoute {
        let (next_hop, kind) = (NextHop::Via(router(link)), RouteKind::Unicast(IfIndex(link)));
        let destination = destination.parse().expect("a prefix");
        KernelRoute { destination, kind, next_hop, table: MAIN, protocol: 3, metric: 1024, source: None }
    }

    /// The router behind this interface.
    fn router(link: u32) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, link as u16)
    }

    fn routes(all: &[KernelRoute]) -> Routes {
        let mut routes = Routes::default();
        all.iter().cloned().for_each(|route| _ = routes.insert(route));
        routes
    }

    #[test]
    fn what_has_all_that_is_handed_out_is_a_default_route_where_there_is_no_other() {
        for wide in [&["2000::/3"][..], &["::/1", "8000::/1"]] {
            let all: Vec<_> = wide.iter().map(|destination| to(destination, 2)).collect();
            let mut routes = routes(&all);
            assert_eq!(routes.default_links(), [IfIndex(2)], "{wide:?}");
            assert!(routes.is_router(router(2)) && routes.is_router_of(IfIndex(2), router(2)));
            assert_eq!(routes.routers(IfIndex(2)), [router(2)]);
            // A VPN beside it takes over all traffic, and is no upstream.
            let default = to("::/0", 3);
            routes.insert(default.clone());
            assert_eq!(routes.default_links(), [IfIndex(3)], "{wide:?}");
            assert!(!routes.is_router(router(2)), "it may be a guest");
            assert_eq!(routes.routers(IfIndex(2)), [router(2)]);
            routes.remove(&default);
            assert_eq!(routes.default_links(), [IfIndex(2)], "{wide:?}");
        }
    }

    #[test]
    fn a_part_of_it_is_no_default_route_and_a_refusal_is_none_either() {
        let refusal =
            KernelRoute { kind: RouteKind::Unreachable, next_hop: NextHop::OnLink, ..to("::/0", 2) };
        let routes = routes(&[to("8000::/1", 2), to("2000::/4", 2), to("2001:db8::/32", 2), refusal]);
        assert_eq!(routes.default_links(), []);
    }

    #[test]
    fn those_of_the_tables_that_rules_name_count_as_well() {
        let routes = routes(&[KernelRoute { table: 200, ..to("2000::/3", 2) }]);
        assert_eq!(routes.default_links(), []);
        assert!(!routes.is_router_of(IfIndex(2), router(2)), "no rule names the table");
    }
}
