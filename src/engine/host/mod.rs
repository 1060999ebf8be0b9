//! What the kernel says of this host: its links, its addresses, and the routes that concern us.
//!
//! Facts come in the order in which the kernel said them, and what each changed is known at once. What
//! changed since the plan was last made is collected in a [`Delta`].

pub mod gateways;
pub mod links;
pub mod routes;
pub mod rules;
pub mod stations;

use core::net::Ipv6Addr;
use std::collections::BTreeSet;

use ipnet::Ipv6Net;
use prefix_trie::PrefixSet;

use super::facts::{Fact, IfIndex, KernelRoute, KernelRule, Link, LinkState};
use gateways::Gateways;
use links::Links;
use routes::{Routes, Way};
use stations::Stations;

/// The host, as the kernel last described it.
#[derive(Debug, Default)]
pub struct Host {
    /// Interfaces and addresses.
    pub links: Links,
    /// Routes, but for those of single guests that are ours.
    pub routes: Routes,
    /// Behind which ports stations are, on bridges that guests share with the provider's router.
    pub stations: Stations,
    /// Which stations the provider's routers are.
    pub gateways: Gateways,
}

/// What one fact changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nothing: it was known.
    Nothing,
    /// The link is new, or another than it was.
    Link(IfIndex),
    /// The link does not carry traffic any more.
    LinkDown(IfIndex),
    /// The link is gone, with everything on it.
    LinkGone(IfIndex),
    /// The host has the address, or another state of it.
    Address(IfIndex, Ipv6Addr),
    /// The host has the address no more.
    AddressGone(IfIndex, Ipv6Addr),
    /// A route to this destination is new, or gone, or a rule that packets for it are under.
    Route(Ipv6Net),
}

/// What has changed since the plan was last made.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Links that are new, gone or changed.
    pub links: BTreeSet<IfIndex>,
    /// Addresses that are new, gone or changed.
    pub addresses: BTreeSet<(IfIndex, Ipv6Addr)>,
    /// Destinations to which routes are new or gone.
    pub routes: BTreeSet<Ipv6Net>,
    /// What the kernel said leaves open which of several routes is gone: everything is to be told again.
    pub is_unsure: bool,
}

/// Everything that was known when a snapshot began, and whether the snapshot has told it.
#[derive(Debug)]
pub struct Untold {
    links: Known<IfIndex>,
    addresses: Known<(Ipv6Addr, IfIndex)>,
    routes: Known<KernelRoute>,
    rules: Known<KernelRule>,
    /// A kernel that has no rules says nothing of them, and has the two that all others begin with.
    has_told_rules: bool,
}

/// What was known of one kind, in order, and which of it was told.
#[derive(Debug)]
struct Known<T> {
    all: Vec<T>,
    told: Vec<bool>,
}

impl Host {
    /// Takes in a fact about links, addresses or routes, and adds what it changed. Other facts change nothing here.
    pub fn learn(&mut self, fact: Fact, delta: &mut Delta) -> News {
        let news = match fact {
            Fact::Link(link) => self.learn_link(link, delta),
            Fact::LinkGone(index) => {
                delta.addresses.extend(self.links.addresses_of(index).map(|known| (index, known.address)));
                delta.routes.extend(self.routes.remove_link(index));
                self.stations.check_port(index, None);
                let had_addresses = self.links.addresses_of(index).next().is_some();
                match self.links.remove(index) {
                    None if !had_addresses => News::Nothing,
                    _ => News::LinkGone(index),
                }
            }
            Fact::Address(address) => match self.links.insert_address(address) {
                Some(known) if known == address => News::Nothing,
                _ => News::Address(address.link, address.address),
            },
            Fact::AddressGone { link, address } => match self.links.remove_address(link, address) {
                None => News::Nothing,
                Some(_) => News::AddressGone(link, address),
            },
            Fact::Route(route) => {
                let destination = route.destination;
                if self.routes.insert(route) { News::Route(destination) } else { News::Nothing }
            }
            Fact::RouteReplaced(route) => {
                // Also where it is as it was: it has taken its own place.
                let destination = route.destination;
                delta.is_unsure |= self.routes.make_way(&route) == Way::Unsure;
                self.routes.insert(route);
                News::Route(destination)
            }
            Fact::RouteGone(route) => {
                if self.routes.remove(&route) {
                    News::Route(route.destination)
                } else {
                    News::Nothing
                }
            }
            Fact::Station { bridge, mac, port } => {
                self.stations.learn(bridge, mac, port);
                News::Nothing
            }
            Fact::Rule(rule) => {
                let concerned = rule.concerned();
                if self.routes.rules.insert(rule) { News::Route(concerned) } else { News::Nothing }
            }
            Fact::RuleGone(rule) => match self.routes.rules.remove(&rule) {
                true => News::Route(rule.concerned()),
                false => News::Nothing,
            },
            Fact::Neighbor(_)
            | Fact::Marked(..)
            | Fact::NeighborGone { .. }
            | Fact::StationGone { .. }
            | Fact::Group { .. }
            | Fact::GroupGone { .. } => News::Nothing,
        };
        delta.add(news);
        news
    }

    fn learn_link(&mut self, link: Link, delta: &mut Delta) -> News {
        let (index, state) = (link.index, link.state);
        self.stations.check_port(index, link.master);
        if self.links.get(index) == Some(&link) {
            return News::Nothing;
        }
        let (group, vrf) = (link.group, link.vrf);
        let before = self.links.insert(link);
        let said = before.as_ref().map(|known| (known.group, known.vrf));
        if said.map_or(vrf.is_some(), |said| said != (group, vrf)) {
            self.routes.rules.know_vrfs(self.links.iter().filter_map(|link| link.vrf));
            // Rules look at both, whatever the destination is.
            delta.routes.extend((!self.routes.rules.are_plain()).then(Ipv6Net::default));
        }
        let before = before.map(|known| known.state);
        // The kernel drops the routes of an interface that is switched off, and with the sysctl
        // skip_notify_on_dev_down it does so without a word.
        if state == LinkState::Down && before.is_some_and(|before| before != LinkState::Down) {
            let (destinations, is_unsure) = self.routes.switch_off(index);
            delta.routes.extend(destinations);
            delta.is_unsure |= is_unsure;
        }
        let was_up = before == Some(LinkState::Up);
        if was_up && state != LinkState::Up { News::LinkDown(index) } else { News::Link(index) }
    }

    /// Everything that is known, to be ticked off as a snapshot is taken in.
    pub fn untold(&self) -> Untold {
        Untold {
            links: Known::new(self.links.iter().map(|link| link.index)),
            addresses: Known::new(self.links.all_addresses().map(|known| (known.address, known.link))),
            routes: Known::new(self.routes.iter().cloned()),
            rules: Known::new(self.routes.rules.iter().cloned()),
            has_told_rules: false,
        }
    }
}

impl Untold {
    /// The snapshot has told this.
    pub fn tick_off(&mut self, fact: &Fact) {
        match fact {
            Fact::Link(link) => self.links.tick_off(&link.index),
            Fact::Address(address) => self.addresses.tick_off(&(address.address, address.link)),
            Fact::Route(route) => self.routes.tick_off(route),
            Fact::Rule(rule) => {
                self.rules.tick_off(rule);
                self.has_told_rules = true;
            }
            _ => {}
        }
    }

    /// What the snapshot did not tell, so that it is gone: addresses first, also those of interfaces that nothing
    /// is known of, then links, then routes, then rules.
    pub fn gone(self) -> impl Iterator<Item = Fact> {
        let addresses = self.addresses.untold().map(|(address, link)| Fact::AddressGone { link, address });
        let (links, routes) = (self.links.untold(), self.routes.untold());
        let rules = self.rules.untold().filter(move |_| self.has_told_rules).map(Fact::RuleGone);
        addresses.chain(links.map(Fact::LinkGone)).chain(routes.map(Fact::RouteGone)).chain(rules)
    }
}

impl<T: Ord> Known<T> {
    fn new(all: impl Iterator<Item = T>) -> Self {
        let mut all: Vec<_> = all.collect();
        // In order already, but for several routes to one destination.
        all.sort();
        Self { told: vec![false; all.len()], all }
    }

    fn tick_off(&mut self, one: &T) {
        if let Ok(at) = self.all.binary_search(one) {
            self.told[at] = true;
        }
    }

    fn untold(self) -> impl Iterator<Item = T> {
        self.all.into_iter().zip(self.told).filter(|(_, told)| !told).map(|(one, _)| one)
    }
}

impl Delta {
    /// Nothing has changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These changes, too.
    pub fn merge(&mut self, other: Self) {
        // `append` would make each set again, however few the others are.
        self.links.extend(other.links);
        self.addresses.extend(other.addresses);
        self.routes.extend(other.routes);
        self.is_unsure |= other.is_unsure;
    }

    /// One more change.
    fn add(&mut self, news: News) {
        match news {
            News::Nothing => {}
            News::Link(link) | News::LinkDown(link) | News::LinkGone(link) => _ = self.links.insert(link),
            News::Address(link, address) | News::AddressGone(link, address) => {
                self.addresses.insert((link, address));
            }
            News::Route(destination) => _ = self.routes.insert(destination),
        }
    }

    /// What routes to `prefix`, to parts of it and to what is around it could say has changed.
    pub fn touched(&self) -> impl Fn(&Ipv6Net) -> bool {
        let destinations: PrefixSet<Ipv6Net> = self.routes.iter().copied().collect();
        move |prefix| destinations.get_lpm(prefix).is_some() || destinations.children(prefix).next().is_some()
    }

    /// True if a route to `prefix` or to a part of it is new or gone.
    pub fn has_inside(&self, prefix: &Ipv6Net) -> bool {
        let first = Ipv6Net::new_assert(prefix.network(), 0);
        let last = Ipv6Net::new_assert(prefix.broadcast(), 128);
        self.routes.range(first..=last).any(|destination| prefix.contains(destination))
    }

    /// True for a fact about something that has changed already since the plan was last made. What the
    /// first change brought about comes first, so that a burst ends as its facts would one by one.
    pub fn has_seen(&self, fact: &Fact) -> bool {
        match fact {
            Fact::Link(link) => self.links.contains(&link.index),
            Fact::LinkGone(link) => self.links.contains(link),
            Fact::Address(address) => self.addresses.contains(&(address.link, address.address)),
            Fact::AddressGone { link, address } => self.addresses.contains(&(*link, *address)),
            Fact::Route(route) | Fact::RouteReplaced(route) | Fact::RouteGone(route) => {
                self.routes.contains(&route.destination)
            }
            Fact::Station { .. } | Fact::Group { .. } | Fact::GroupGone { .. } => false,
            Fact::Rule(rule) | Fact::RuleGone(rule) => self.routes.contains(&rule.concerned()),
            Fact::Neighbor(_) | Fact::Marked(..) | Fact::NeighborGone { .. } | Fact::StationGone { .. } => {
                !self.is_empty()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::facts::{Address, AddressState, IfName, LinkLayer};

    fn link(index: u32, state: LinkState) -> Fact {
        let name: IfName = "br0".parse().expect("a name");
        Fact::Link(Link {
            index: IfIndex(index),
            name,
            state,
            layer: LinkLayer::None,
            master: None,
            lower: None,
            peer: None,
            is_bridge: false,
            leads_to_one: false,
            group: 0,
            vrf: None,
        })
    }

    #[test]
    fn what_says_nothing_new_is_no_news() {
        let (mut host, mut delta) = (Host::default(), Delta::default());
        let mut learn = |fact| host.learn(fact, &mut delta);
        assert_eq!(learn(link(3, LinkState::Up)), News::Link(IfIndex(3)));
        assert_eq!(learn(link(3, LinkState::Up)), News::Nothing);
        assert_eq!(learn(link(3, LinkState::NoCarrier)), News::LinkDown(IfIndex(3)));
        assert_eq!(learn(link(3, LinkState::Down)), News::Link(IfIndex(3)));
        assert_eq!(learn(Fact::LinkGone(IfIndex(3))), News::LinkGone(IfIndex(3)));
        assert_eq!(learn(Fact::LinkGone(IfIndex(3))), News::Nothing);
        let (link, address) = (IfIndex(4), Ipv6Addr::LOCALHOST);
        let has = Address { link, address, prefix_len: 64, state: AddressState::Preferred, protocol: 0 };
        assert_eq!(learn(Fact::Address(has)), News::Address(link, address));
        assert_eq!(learn(Fact::Address(has)), News::Nothing);
        assert_eq!(learn(Fact::LinkGone(link)), News::LinkGone(link), "with its address");
    }

    #[test]
    fn a_rule_is_news_of_what_it_is_for_and_one_for_all_but_some_of_everything() {
        let (mut host, mut delta) = (Host::default(), Delta::default());
        let some: Ipv6Net = "2001:db8::/64".parse().expect("a prefix");
        let rule = KernelRule { to: some, ..KernelRule::lookup(10, 52) };
        let others = KernelRule { is_inverted: true, ..rule.clone() };
        assert_eq!(host.learn(Fact::Rule(rule.clone()), &mut delta), News::Route(some));
        assert_eq!(host.learn(Fact::RuleGone(rule), &mut delta), News::Route(some));
        assert_eq!(host.learn(Fact::Rule(others), &mut delta), News::Route(Ipv6Net::default()));
    }

    #[test]
    fn what_changes_twice_is_seen() {
        let mut delta = Delta::default();
        let neighbor = Fact::NeighborGone { link: IfIndex(9), address: Ipv6Addr::LOCALHOST };
        assert!(!delta.has_seen(&neighbor));
        delta.add(News::LinkDown(IfIndex(3)));
        assert!(delta.has_seen(&link(3, LinkState::Up)) && !delta.has_seen(&link(4, LinkState::Up)));
        assert!(delta.has_seen(&neighbor), "where a neighbor counts is the plan's to say");
    }

    #[test]
    fn what_a_snapshot_does_not_tell_is_gone() {
        let (mut host, mut delta) = (Host::default(), Delta::default());
        host.learn(link(3, LinkState::Up), &mut delta);
        host.learn(link(4, LinkState::Up), &mut delta);
        let mut untold = host.untold();
        untold.tick_off(&link(3, LinkState::Down));
        assert_eq!(untold.gone().collect::<Vec<_>>(), [Fact::LinkGone(IfIndex(4))]);
    }
}
