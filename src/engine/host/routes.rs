//! The kernel's routes that concern us, and what they say about where things are.
//!
//! The routes of single guests that are ours are not here: they follow from who is live, there may be as
//! many as targets, and their keeper knows of them.

pub mod defaults;
pub mod ways;

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use ipnet::Ipv6Net;
use prefix_trie::PrefixSet;

use super::rules::Rules;
use crate::engine::facts::{IfIndex, KernelRoute, NextHop, RouteKind};

/// Every route of the kernel that concerns us.
#[derive(Debug, Default)]
pub struct Routes {
    /// By destination, in the order of the addresses, an outer prefix before those inside it.
    known: BTreeMap<Key, Vec<KernelRoute>>,
    /// Their destinations, so that those around an address are found.
    destinations: PrefixSet<Ipv6Net>,
    by_link: BTreeMap<IfIndex, BTreeSet<Ipv6Net>>,
    /// The destinations of those that lead through a router, but for default routes.
    behind_routers: BTreeSet<Ipv6Net>,
    /// Whether any of them is to everywhere.
    has_default: bool,
    /// The next hops of those to everywhere, in whatever table: no other address is a router.
    maybe_routers: Vec<Ipv6Addr>,
    /// Which tables are looked into.
    pub rules: Rules,
}

/// The first address of a prefix, and its length.
type Key = (Ipv6Addr, u8);

fn key(prefix: &Ipv6Net) -> Key {
    (prefix.network(), prefix.prefix_len())
}

/// What became of a place that a route was put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing was known there.
    Free,
    /// What was there is gone.
    Made,
    /// One of several is gone, and which one is a guess.
    Unsure,
}

impl Routes {
    /// Learns of a route. False if it was known.
    pub fn insert(&mut self, route: KernelRoute) -> bool {
        let at = self.known.entry(key(&route.destination)).or_default();
        if at.contains(&route) {
            return false;
        }
        if at.is_empty() {
            self.destinations.insert(route.destination);
        }
        if route.leads_behind_a_router() {
            self.behind_routers.insert(route.destination);
        }
        if let Some(link) = route.link() {
            self.by_link.entry(link).or_default().insert(route.destination);
        }
        let destination = route.destination;
        at.push(route);
        self.settle_defaults(&destination);
        true
    }

    /// Forgets a route. False if it was not known.
    pub fn remove(&mut self, route: &KernelRoute) -> bool {
        self.remove_where(route.destination, |known| known == route) > 0
    }

    /// Forgets what the kernel has put this one into the place of: same destination, table and metric. Of several
    /// such routes it takes the first of the same kind, else the first of all; one through a router goes with all
    /// that lead through routers beside it (net/ipv6/ip6_fib.c, fib6_add_rt2node).
    pub fn make_way(&mut self, route: &KernelRoute) -> Way {
        let places: Vec<_> =
            self.at(&route.destination).filter(|known| known.takes_the_place_of(route)).cloned().collect();
        let is_via = |known: &KernelRoute| known.next_hop != NextHop::OnLink;
        let same = places.iter().find(|known| is_via(known) == is_via(route));
        let Some(gone) = same.or(places.first()).cloned() else { return Way::Free };
        let is_certain = places.len() < 2 || places.iter().all(|known| is_via(known) && known.protocol != RA);
        if is_via(&gone) {
            self.remove_where(gone.destination, |known| is_via(known) && known.takes_the_place_of(&gone));
        } else {
            self.remove_where(gone.destination, |known| *known == gone);
        }
        if is_certain { Way::Made } else { Way::Unsure }
    }

    /// Forgets what goes with an interface that is switched off: all but one of several ways through routers, which
    /// the kernel keeps as long as another interface has one. The destinations, and whether that leaves something open:
    /// it keeps none that is of a nexthop object.
    pub fn switch_off(&mut self, link: IfIndex) -> (BTreeSet<Ipv6Net>, bool) {
        let destinations = self.by_link.get(&link).cloned().unwrap_or_default();
        let mut is_unsure = false;
        for destination in &destinations {
            let stays = |route: &KernelRoute| {
                let is_via = |known: &KernelRoute| known.next_hop != NextHop::OnLink;
                let mut beside = self.at(destination).filter(|other| other.takes_the_place_of(route));
                is_via(route) && beside.any(|other| is_via(other) && other.link() != Some(link))
            };
            let here = self.at(destination).filter(|route| route.link() == Some(link));
            let (kept, gone): (Vec<_>, Vec<_>) = here.cloned().partition(stays);
            is_unsure |= !kept.is_empty();
            gone.iter().for_each(|route| _ = self.remove(route));
        }
        (destinations, is_unsure)
    }

    /// Forgets the routes of an interface. The destinations that they had.
    pub fn remove_link(&mut self, link: IfIndex) -> BTreeSet<Ipv6Net> {
        let destinations = self.by_link.remove(&link).unwrap_or_default();
        for destination in &destinations {
            self.remove_where(*destination, |route| route.link() == Some(link));
        }
        destinations
    }

    fn remove_where(&mut self, destination: Ipv6Net, goes: impl Fn(&KernelRoute) -> bool) -> usize {
        let Some(at) = self.known.get_mut(&key(&destination)) else { return 0 };
        let before = at.len();
        let links: BTreeSet<_> = at.iter().filter_map(KernelRoute::link).collect();
        at.retain(|route| !goes(route));
        let gone = before - at.len();
        for link in links.into_iter().filter(|link| !at.iter().any(|route| route.link() == Some(*link))) {
            if let Some(known) = self.by_link.get_mut(&link) {
                known.remove(&destination);
                if known.is_empty() {
                    self.by_link.remove(&link);
                }
            }
        }
        if !at.iter().any(KernelRoute::leads_behind_a_router) {
            self.behind_routers.remove(&destination);
        }
        if at.is_empty() {
            self.known.remove(&key(&destination));
            self.destinations.remove(&destination);
        }
        self.settle_defaults(&destination);
        gone
    }

    /// How many destinations there are.
    pub fn destinations(&self) -> usize {
        self.known.len()
    }

    /// Whether any route leaves by this interface.
    pub fn has_any_on(&self, link: IfIndex) -> bool {
        self.by_link.contains_key(&link)
    }

    /// Every route that concerns us.
    pub fn iter(&self) -> impl Iterator<Item = &KernelRoute> {
        self.known.values().flatten()
    }

    /// Those that lead through a router, but for default routes.
    pub fn behind_routers(&self) -> impl Iterator<Item = &KernelRoute> {
        let at = self.behind_routers.iter().flat_map(|destination| self.at(destination));
        at.filter(|route| route.leads_behind_a_router())
    }

    /// True if it is in the kernel, as far as is known.
    pub fn has(&self, route: &KernelRoute) -> bool {
        self.at(&route.destination).any(|known| known == route)
    }

    /// The first destination of all, or the one that comes after this.
    pub fn destination_after(&self, before: Option<&Ipv6Net>) -> Option<Ipv6Net> {
        let from = before.map_or(Bound::Unbounded, |before| Bound::Excluded(key(before)));
        let (_, routes) = self.known.range((from, Bound::Unbounded)).next()?;
        routes.first().map(|route| route.destination)
    }

    /// The routes to exactly this destination.
    pub fn at(&self, destination: &Ipv6Net) -> impl Iterator<Item = &KernelRoute> {
        self.known.get(&key(destination)).into_iter().flatten()
    }

    /// The route of this table that decides for a whole prefix, where none inside it does, among those that count.
    fn deciding_in(
        &self,
        table: u32,
        prefix: &Ipv6Net,
        counts: &impl Fn(&KernelRoute) -> bool,
    ) -> Option<&KernelRoute> {
        let best = |net| self.best_at(&net, table, counts);
        self.destinations.cover(prefix).filter_map(best).last()
    }

    /// The route of this table that decides at this destination. Where one there is for some senders, the kernel does not
    /// come to that for all (net/ipv6/ip6_fib.c, fib6_node_lookup_1): others follow a shorter prefix, also for the senders
    /// of whom nothing is known. But the default route is what all ends with.
    fn best_at(
        &self,
        net: &Ipv6Net,
        table: u32,
        counts: &impl Fn(&KernelRoute) -> bool,
    ) -> Option<&KernelRoute> {
        let at = self.known.get(&key(net))?;
        let is_hidden =
            net.prefix_len() > 0 && at.iter().any(|route| route.table == table && route.source.is_some());
        let decides = |route: &&KernelRoute| route.table == table && route.source.is_none() && counts(route);
        if is_hidden { None } else { at.iter().filter(decides).min_by_key(|route| route.metric) }
    }

    /// True for an address that the table `local`, which comes before all others, gives to the host itself.
    pub fn is_local(&self, address: Ipv6Addr) -> bool {
        self.is_all_local(&address.into())
    }

    /// True if one route of that table gives all of the prefix to the host.
    pub fn is_all_local(&self, prefix: &Ipv6Net) -> bool {
        let is_local = |r: &KernelRoute| r.table == LOCAL && matches!(r.kind, RouteKind::Local(_));
        self.destinations.cover(prefix).any(|net| self.at(&net).any(is_local))
    }

    /// The routes to destinations inside `prefix`, in the order of the addresses.
    pub fn inside<'a>(&'a self, prefix: &Ipv6Net) -> impl Iterator<Item = &'a KernelRoute> + 'a {
        self.children(prefix, None).flatten()
    }

    /// The routes to each destination inside `prefix`, in the order of the addresses; those after this one.
    fn children(
        &self,
        prefix: &Ipv6Net,
        after: Option<&Ipv6Net>,
    ) -> impl Iterator<Item = &Vec<KernelRoute>> + use<'_> {
        let first = after.map_or(Bound::Included(key(prefix)), |after| Bound::Excluded(key(after)));
        let last = Bound::Included((prefix.broadcast(), 128));
        self.known.range((first, last)).map(|(_, routes)| routes)
    }

    /// The interfaces on which `prefix` itself is on-link by foreign routes, the upstreams among them.
    pub fn links_of(
        &self,
        prefix: &Ipv6Net,
        is_ours: impl Fn(&KernelRoute) -> bool,
    ) -> impl Iterator<Item = IfIndex> {
        let foreign = self.at(prefix).filter(move |route| !is_ours(route));
        foreign.filter(|route| self.is_on_link(route)).filter_map(KernelRoute::unicast_link)
    }

    /// The prefixes that foreign routes say are on this link itself, in the order of the addresses.
    pub fn on_link(
        &self,
        link: IfIndex,
        is_ours: impl Fn(&KernelRoute) -> bool,
    ) -> impl Iterator<Item = Ipv6Net> {
        let is_on_link = move |destination: &&Ipv6Net| {
            let foreign = self.at(destination).filter(|route| !is_ours(route));
            foreign.filter(|route| self.is_on_link(route)).any(|route| route.unicast_link() == Some(link))
        };
        self.by_link.get(&link).into_iter().flatten().filter(is_on_link).copied()
    }

    /// Whether it says that what it leads to is on its link itself, for every sender: in the main table, or in another
    /// that a rule names.
    fn is_on_link(&self, route: &KernelRoute) -> bool {
        route.next_hop == NextHop::OnLink
            && route.source.is_none()
            && (route.table == MAIN || self.rules.read(route.table))
    }
}

/// What a router's advertisement has brought (`RTPROT_RA`).
const RA: u8 = 9;
/// The number of the table `main`.
pub const MAIN: u32 = 254;
/// The number of the table `local`.
pub const LOCAL: u32 = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(text: &str, link: u32, metric: u32) -> KernelRoute {
        let (destination, kind) = (text.parse().expect("a prefix"), RouteKind::Unicast(IfIndex(link)));
        let (next_hop, table, protocol) = (NextHop::OnLink, MAIN, 3);
        KernelRoute { destination, kind, next_hop, table, protocol, metric, source: None }
    }

    #[test]
    fn a_link_that_goes_takes_its_routes_along() {
        let mut routes = Routes::default();
        routes.insert(foreign("2001:db8::/112", 3, 1024));
        routes.insert(foreign("2001:db8::/112", 4, 256));
        assert_eq!(routes.remove_link(IfIndex(3)).len(), 1);
        let left: Vec<_> = routes.iter().map(KernelRoute::link).collect();
        assert_eq!(left, [Some(IfIndex(4))]);
        assert_eq!(routes.remove_link(IfIndex(3)).len(), 0);
    }

    #[test]
    fn a_route_that_takes_a_place_makes_the_one_before_unknown() {
        let (old, new) = (foreign("2001:db8::/112", 3, 1024), foreign("2001:db8::/112", 4, 1024));
        let mut routes = Routes::default();
        routes.insert(old.clone());
        routes.insert(foreign("2001:db8::/112", 3, 7));
        assert_eq!(routes.make_way(&new), Way::Made);
        routes.insert(new.clone());
        assert!(routes.has(&new) && !routes.has(&old));
        assert_eq!(routes.at(&new.destination).count(), 2);
        assert_eq!(routes.make_way(&foreign("2001:db8:1::/112", 4, 1024)), Way::Free);
    }

    #[test]
    fn of_several_routes_in_one_place_the_kernel_takes_the_first_of_the_same_kind() {
        let via = |link, router: &str| KernelRoute {
            next_hop: NextHop::Via(router.parse().expect("an address")),
            ..foreign("2001:db8::/112", link, 7)
        };
        let on_link = |link| foreign("2001:db8::/112", link, 7);
        let with = |known: &[KernelRoute]| {
            let mut routes = Routes::default();
            known.iter().cloned().for_each(|route| _ = routes.insert(route));
            routes
        };
        let mut routes = with(&[via(3, "fe80::1"), via(4, "fe80::2")]);
        assert_eq!((routes.make_way(&on_link(5)), routes.iter().count()), (Way::Made, 0));
        let mut routes = with(&[on_link(3), via(4, "fe80::2")]);
        assert_eq!(routes.make_way(&via(5, "fe80::3")), Way::Unsure);
        assert_eq!(routes.iter().cloned().collect::<Vec<_>>(), [on_link(3)]);
    }

    #[test]
    fn an_interface_that_is_switched_off_keeps_one_of_several_ways() {
        let via = |link| KernelRoute {
            next_hop: NextHop::Via("fe80::1".parse().expect("an address")),
            ..foreign("2001:db8:1::/64", link, 7)
        };
        let mut routes = Routes::default();
        [via(3), via(4), foreign("2001:db8::/112", 3, 7)].into_iter().for_each(|r| _ = routes.insert(r));
        assert_eq!(routes.switch_off(IfIndex(3)).0.len(), 2);
        assert_eq!(routes.iter().cloned().collect::<Vec<_>>(), [via(3), via(4)]);
        routes.switch_off(IfIndex(4));
        assert_eq!(routes.iter().count(), 2);
    }

    #[test]
    fn knows_the_router() {
        let mut routes = Routes::default();
        let router = "2001:db8::1".parse().expect("an address");
        routes.insert(KernelRoute { next_hop: NextHop::Via(router), ..foreign("::/0", 2, 1024) });
        assert!(routes.is_router(router) && routes.is_router_of(IfIndex(2), router));
        assert!(!routes.is_router_of(IfIndex(3), router));
        assert_eq!(routes.routers(IfIndex(2)), [router]);
    }
}
