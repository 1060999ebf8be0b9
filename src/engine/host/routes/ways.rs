//! Where the kernel sends a packet: the rules in their order, and in each table that they name the longest prefix and
//! then the lowest metric (net/ipv6/fib6_rules.c, fib6_rule_action). A route for some senders only (`from`) decides for
//! none of what is looked at here: the senders are strangers.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{MAIN, Routes, key};
use crate::engine::facts::{Condition, IfIndex, KernelRoute, KernelRule, NextHop, RouteKind, RuleAction};
use crate::engine::host::Host;
use crate::engine::host::rules::Arrival;

/// What decides where packets are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way<'a> {
    /// The route; none where there is none, or a rule refuses.
    pub route: Option<&'a KernelRoute>,
    /// The rule that names its table, or refuses. None where the main table decides for everything.
    pub rule: Option<&'a KernelRule>,
    /// False if there is a rule before of which the kernel alone knows whether it is for such packets.
    pub is_sure: bool,
}

impl Way<'_> {
    /// The interface that they leave by.
    pub fn link(&self) -> Option<IfIndex> {
        self.route.and_then(KernelRoute::unicast_link)
    }
}

impl Host {
    /// Where packets to all of `prefix` are sent that arrive on the interface `from`, where nothing decides for a
    /// part of it.
    pub fn way(&self, prefix: &Ipv6Net, from: Option<IfIndex>) -> Way<'_> {
        self.way_among(prefix, self.arrival(from), &|_| true)
    }

    /// The same, as if our routes were not there.
    pub fn way_without(
        &self,
        prefix: &Ipv6Net,
        from: Option<IfIndex>,
        is_ours: impl Fn(&KernelRoute) -> bool,
    ) -> Way<'_> {
        self.way_among(prefix, self.arrival(from), &|route| !is_ours(route))
    }

    /// The interface that a packet to `target` leaves by that arrived on the interface `from`.
    pub fn leads_to(&self, target: Ipv6Addr, from: Option<IfIndex>) -> Option<IfIndex> {
        self.way(&target.into(), from).link()
    }

    /// Each destination inside `prefix` that a route or a rule names, and what decides there, rather than around it,
    /// for packets that arrive on the interface `from`: a route to this very destination, as if ours were not there.
    /// In the order of the addresses; those after this one.
    pub fn ways_inside<'a>(
        &'a self,
        prefix: &Ipv6Net,
        after: Option<&Ipv6Net>,
        from: IfIndex,
        is_ours: impl Fn(&KernelRoute) -> bool + 'a,
    ) -> impl Iterator<Item = (Ipv6Net, Option<KernelRoute>)> + 'a {
        let routes = &self.routes;
        let arrival = self.arrival(Some(from));
        let of_routes = routes.children(prefix, after).filter_map(|at| Some(at.first()?.destination));
        let after = after.map(key);
        let of_rules = routes.rules.destinations_inside(*prefix);
        let of_rules = of_rules.filter(move |to| after.is_none_or(|after| key(to) > after));
        let counts = move |route: &KernelRoute| !is_ours(route);
        merged(of_routes, of_rules).map(move |net| (net, self.way_at(&net, arrival, &counts)))
    }

    /// Where packets come from matters only to rules.
    fn arrival(&self, from: Option<IfIndex>) -> Option<Arrival<'_>> {
        let is_asked = !self.routes.rules.are_plain();
        let link = from.filter(|_| is_asked).and_then(|from| self.links.get(from))?;
        Some(Arrival { on: &link.name, vrf: link.vrf })
    }

    fn way_among(
        &self,
        prefix: &Ipv6Net,
        from: Option<Arrival<'_>>,
        counts: &impl Fn(&KernelRoute) -> bool,
    ) -> Way<'_> {
        let Routes { rules, .. } = &self.routes;
        if rules.are_plain() {
            return Way { route: self.routes.deciding_in(MAIN, prefix, counts), rule: None, is_sure: true };
        }
        let (mut next, mut is_sure) = (0, true);
        while let Some(rule) = rules.next_for(prefix, from, &mut next, &mut is_sure) {
            let RuleAction::Lookup { table, longer_than, not_group } = rule.action else {
                return Way { route: None, rule: Some(rule), is_sure };
            };
            let vrf = from.and_then(|from| from.vrf).filter(|_| rule.condition == Condition::Vrf);
            let group = |route: &KernelRoute| Some(self.links.get(route.link()?)?.group);
            // net/ipv6/fib6_rules.c, fib6_rule_suppress.
            let is_passed_on = |route: &KernelRoute| {
                route.kind == RouteKind::Throw
                    || longer_than.is_some_and(|length| route.destination.prefix_len() <= length)
                    || not_group.is_some_and(|out| group(route) == Some(out))
            };
            let found = self.routes.deciding_in(vrf.unwrap_or(table), prefix, counts);
            if let Some(route) = found.filter(|route| !is_passed_on(route)) {
                return Way { route: Some(route), rule: Some(rule), is_sure };
            }
        }
        Way { route: None, rule: None, is_sure }
    }

    /// What decides at this destination rather than around it.
    fn way_at(
        &self,
        net: &Ipv6Net,
        from: Option<Arrival<'_>>,
        counts: &impl Fn(&KernelRoute) -> bool,
    ) -> Option<KernelRoute> {
        if self.routes.rules.are_plain() {
            return self.routes.best_at(net, MAIN, counts).cloned();
        }
        let way = self.way_among(net, from, counts);
        match (way.route, way.rule) {
            (Some(route), _) if route.destination == *net => Some(route.clone()),
            // By a shorter route, into whose table a rule for this very destination leads.
            (Some(route), Some(rule)) if rule.to == *net => {
                Some(KernelRoute { destination: *net, ..route.clone() })
            }
            (None, Some(rule)) => Some(refused(*net, rule)),
            _ => None,
        }
    }
}

impl Routes {
    /// Whether the route can decide for what strangers send: a rule looks into its table, and it is not for some senders
    /// only.
    pub fn is_read(&self, route: &KernelRoute) -> bool {
        route.source.is_none() && self.rules.read(route.table)
    }
}

/// As a route says it.
fn refused(destination: Ipv6Net, rule: &KernelRule) -> KernelRoute {
    let (kind, next_hop) = (RouteKind::Unreachable, NextHop::OnLink);
    KernelRoute { destination, kind, next_hop, table: MAIN, protocol: 0, metric: rule.priority, source: None }
}

/// Both in one order, each once.
fn merged(
    some: impl Iterator<Item = Ipv6Net>,
    others: impl Iterator<Item = Ipv6Net>,
) -> impl Iterator<Item = Ipv6Net> {
    let (mut some, mut others) = (some.peekable(), others.peekable());
    std::iter::from_fn(move || match (some.peek().map(key), others.peek().map(key)) {
        (Some(one), Some(other)) if one == other => {
            others.next();
            some.next()
        }
        (Some(one), Some(other)) if one < other => some.next(),
        (Some(_), None) => some.next(),
        _ => others.next(),
    })
}

#[cfg(test)]
#[path = "ways_tests.rs"]
mod tests;
