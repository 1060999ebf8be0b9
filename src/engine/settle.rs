//! What follows from what the kernel says: names bound anew, routes reconciled, ears opened.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;

use super::bindings::Bindings;
use super::facts::{Fact, IfIndex, KernelRoute, LinkLayer, LinkState, RouteKind};
use super::output::{Ear, Output, Role};
use super::policy::{Answer, OnStop, RangePolicy, RangeRoutes, RoutePolicy};
use super::routes::{Change, Outcome};
use super::time::Time;
use super::{Engine, Event, Phase, Problem};

impl Engine {
    /// Takes in what the kernel says, and settles once for the whole burst.
    pub(super) fn facts(&mut self, facts: Vec<Fact>, now: Time) {
        let mut neighbors = Vec::new();
        let mut stations = BTreeSet::new();
        let mut ended = Vec::new();
        let mut were_routes_changed = false;
        let mut is_host_changed = false;
        for fact in facts {
            is_host_changed |= matches!(
                fact,
                Fact::Link(_) | Fact::LinkGone(_) | Fact::Address(_) | Fact::AddressGone { .. }
            );
            match fact {
                Fact::Link(link) => {
                    // A guest may be heard before the kernel says that its link has come up: what says
                    // once more that it had not ends nobody.
                    if link.state != LinkState::Up && self.links.is_up(link.index) {
                        ended.push(link.index);
                    }
                    self.gateway_addresses.try_again_on(link.index);
                    self.links.insert(link);
                    self.routes.retry_refused();
                }
                Fact::LinkGone(index) => {
                    self.links.remove(index);
                    self.masks.forget(index);
                    self.gateway_addresses.remove_link(index);
                    self.routes.remove_link(index);
                    ended.push(index);
                }
                Fact::Address(address) => {
                    // Whoever it was before, it is the host now.
                    self.forget(address.address);
                    self.neighbors.remove(address.address);
                    self.gateway_addresses.heard(&address);
                    self.links.insert_address(address);
                    // An interface gets addresses when IPv6 is switched on there.
                    self.routes.retry_refused();
                }
                Fact::AddressGone { link, address } => {
                    self.gateway_addresses.heard_gone((link, address));
                    self.links.remove_address(link, address);
                }
                Fact::Route(route) if self.concerns_us(&route) => {
                    were_routes_changed |= !self.is_of_a_guest(&route);
                    self.routes.insert(route);
                }
                Fact::RouteGone(route) if self.concerns_us(&route) || self.routes.has(&route) => {
                    were_routes_changed |= !self.is_of_a_guest(&route);
                    self.routes.remove(&route);
                }
                Fact::Neighbor(_) | Fact::NeighborGone { .. } => neighbors.push(fact),
                Fact::StationGone { bridge, mac } => _ = stations.insert((bridge, mac)),
                Fact::Route(_) | Fact::RouteReplaced(_) | Fact::RouteGone(_) => {}
            }
        }
        for link in ended {
            self.neighbors.end_link(link);
            self.end_link(link, now);
        }
        // Costs something for every link; neighbors and guests' own routes come by the thousand.
        if is_host_changed || were_routes_changed {
            let before = self.settle(now);
            self.end_misplaced(&before, were_routes_changed);
            self.settle_upstreams(now);
        }
        self.stations_gone(&stations, now);
        for fact in neighbors {
            match fact {
                Fact::Neighbor(neighbor) => self.neighbor(neighbor, now),
                Fact::NeighborGone { link, address } => self.gateway_entry(link, address, None, now),
                _ => {}
            }
        }
        self.settle_routes();
    }

    /// Takes in everything that there is, and with it the loss of everything else.
    pub(super) fn snapshot(&mut self, facts: Vec<Fact>, now: Time) {
        self.counters.resyncs += 1;
        let (mut links, mut addresses, mut routes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for fact in &facts {
            match fact {
                Fact::Link(link) => _ = links.insert(link.index),
                Fact::Address(address) => _ = addresses.insert((address.link, address.address)),
                Fact::Route(route) => _ = routes.insert(route),
                _ => {}
            }
        }
        // Also those of interfaces that nothing is known of: word of one may be lost, and not of its address.
        let lost_addresses = self.links.all_addresses().map(|known| (known.link, known.address));
        let lost_addresses = lost_addresses.filter(|at| !addresses.contains(at));
        let mut all: Vec<_> =
            lost_addresses.map(|(link, address)| Fact::AddressGone { link, address }).collect();
        let lost_links = self.links.iter().map(|link| link.index).filter(|link| !links.contains(link));
        all.extend(lost_links.map(Fact::LinkGone));
        let lost_routes = self.routes.known().filter(|route| !routes.contains(route));
        all.extend(lost_routes.cloned().map(Fact::RouteGone));
        all.extend(facts);
        self.gateways.forget_entries();
        self.gateway_addresses.forget_answers();
        self.facts(all, now);
        self.routes.told_all();
        self.settle_routes();
    }

    /// Brings bindings, ears and routes in line with what is known now.
    pub(super) fn settle(&mut self, now: Time) -> Bindings {
        let bindings = self.resolve();
        let mut before = std::mem::replace(&mut self.bindings, bindings);
        if self.written.is_derived() && self.phase != Phase::Stopping {
            self.follow(&mut before, now);
        }
        self.settle_from(&before);
        before
    }

    /// What the policy means on the host as it is.
    pub(super) fn resolve(&self) -> Bindings {
        let defaults = self.routes.default_links();
        Bindings::resolve(&self.policy, &self.links, &defaults, &self.bindings)
    }

    /// Carries out what the bindings ask for; `before` is what was bound so far.
    pub(super) fn settle_from(&mut self, before: &Bindings) {
        if self.phase == Phase::Stopping {
            return;
        }
        self.settle_neighbors();
        self.settle_ears();
        if self.phase == Phase::Serving {
            self.settle_gateway_addresses();
            self.settle_gateway_problems();
            self.tell_problems(&before.problems);
            let wish = self.wish();
            self.routes.set_wish(wish);
            self.settle_routes();
            self.settle_groups();
            self.settle_suppression();
        }
    }

    /// Takes in what became of a change of the routes.
    pub(super) fn route_changed(&mut self, change: Change, outcome: &Outcome, now: Time) {
        self.routes.changed(&change, outcome);
        self.settle_routes();
        if let Change::Add(route) = &change
            && route.destination.prefix_len() == 128
        {
            self.answer_held(route.destination.addr());
            self.answer_unreturned(route.destination.addr(), now);
        }
        let event = match (change, outcome) {
            (Change::Add(route), Outcome::Done) => Event::RouteInstalled(route),
            (Change::Remove(route), Outcome::Done) => Event::RouteRemoved(route),
            (Change::Add(route), Outcome::Exists) => {
                if !self.routes.is_kept_out(&route) {
                    return;
                }
                let other = self.routes.in_the_way_of(&route).cloned();
                Event::RouteConflict(route, other)
            }
            (Change::Add(route) | Change::Remove(route), Outcome::Failed(said)) => {
                Event::RouteFailed(route, said.clone())
            }
            (Change::Remove(_), Outcome::Exists) => return,
        };
        self.tell(event);
    }

    fn concerns_us(&self, route: &KernelRoute) -> bool {
        // A default route says which upstream is meant, also while there is no range.
        let is_default = route.destination.prefix_len() == 0;
        is_default
            || self.routes.is_ours(route)
            || self.ranges.touch(&route.destination)
            || self.written.could_follow(route)
    }

    /// One that came of a target, and from which nothing follows.
    fn is_of_a_guest(&self, route: &KernelRoute) -> bool {
        route.protocol == self.policy.routes.protocol && route.destination.prefix_len() == 128
    }

    /// Asks for whatever has to change at the destinations at which something happened.
    pub(super) fn settle_routes(&mut self) {
        let is_ours_to_settle = match self.phase {
            Phase::Learning => false,
            Phase::Serving => true,
            // What was still on its way in is taken out again.
            Phase::Stopping => self.policy.routes.on_stop == OnStop::Remove,
        };
        if !is_ours_to_settle {
            return;
        }
        let changes = self.routes.reconcile();
        self.outputs.extend(changes.into_iter().map(Output::ChangeRoute));
    }

    /// The routes that the policy asks for, on the host as it is, besides those of single guests.
    fn wish(&self) -> BTreeSet<KernelRoute> {
        let mut wish = BTreeSet::new();
        for (range, place) in self.policy.ranges.iter().zip(&self.bindings.ranges) {
            let route = place.downstreams.first().and_then(|link| self.range_route(range, *link));
            let owns_all = matches!(route, Some(KernelRoute { kind: RouteKind::Local(_), .. }));
            if range.backstop && !owns_all {
                let metric = RoutePolicy::BACKSTOP_METRIC;
                wish.insert(self.routes.our(range.prefix, RouteKind::Unreachable, metric));
            }
            wish.extend(route);
        }
        wish
    }

    fn range_route(&self, range: &RangePolicy, link: IfIndex) -> Option<KernelRoute> {
        if range.routes != RangeRoutes::Range {
            return None;
        }
        let link = self.links.get(link).filter(|link| link.state != LinkState::Down)?;
        let kind = match link.layer {
            LinkLayer::Loopback => RouteKind::Local(link.index),
            LinkLayer::Ethernet(_) | LinkLayer::None => RouteKind::Unicast(link.index),
        };
        // The kernel made an equal one for the interface's own prefix, or the administrator did.
        let is_there = self.routes.has_equal(&range.prefix, kind);
        (!is_there).then(|| self.routes.our(range.prefix, kind, self.policy.routes.metric))
    }

    fn settle_ears(&mut self) {
        let wanted = self.wanted_ears();
        let gone = self.ears.keys().filter(|link| !wanted.contains_key(link));
        self.outputs.extend(gone.map(|link| Output::Unlisten(*link)));
        let new = wanted.iter().filter(|(link, ear)| self.ears.get(link) != Some(ear));
        self.outputs.extend(new.map(|(link, ear)| Output::Listen(*link, ear.clone())));
        self.ears = wanted;
    }

    fn wanted_ears(&self) -> BTreeMap<IfIndex, Ear> {
        let mut ears = BTreeMap::new();
        let ranges = || self.policy.ranges.iter().zip(&self.bindings.ranges);
        let is_heard = |range: &RangePolicy| range.looks_for_guests() || range.proxy_downstream;
        for (range, place) in ranges().filter(|(range, _)| is_heard(range)) {
            for link in self.downstreams_of(range, place) {
                if let Some(mac) = self.links.mac(link) {
                    ears.insert(link, Ear { mac, role: Role::Downstream });
                }
            }
        }
        // Last, so that an upstream is never listened to as a downstream.
        for upstream in &self.bindings.upstreams {
            let served: Vec<_> = ranges()
                .filter(|(range, place)| {
                    place.upstream == Some(upstream.link) && range.answer != Answer::Never
                })
                .map(|(range, _)| range.prefix)
                .chain(self.gateways_to_keep(upstream).into_iter().map(Ipv6Net::from))
                .collect();
            let role =
                Role::Upstream { ranges: served, neighbors: self.neighbors.prefixes_of(upstream.link) };
            ears.insert(upstream.link, Ear { mac: upstream.mac, role });
        }
        ears
    }

    pub(super) fn tell_problems(&mut self, before: &[Problem]) {
        let new = self.bindings.problems.iter().filter(|problem| !before.contains(problem));
        let solved = before.iter().filter(|problem| !self.bindings.problems.contains(problem));
        let events: Vec<_> =
            new.cloned().map(Event::Problem).chain(solved.cloned().map(Event::Solved)).collect();
        events.into_iter().for_each(|event| self.tell(event));
    }
}
