//! Two steps of an explanation: where the guest can be, and where packets for it go.

use core::net::Ipv6Addr;

use super::{Expected, Explainer, Step, Subject, alive, no, open, yes};
use crate::engine::answers::Scene;
use crate::engine::change::RouteState;
use crate::engine::facts::{IfIndex, KernelRoute, KernelRule, LinkLayer, LinkState, TableName};
use crate::engine::host::routes::MAIN;
use crate::engine::host::routes::ways::Way;
use crate::engine::liveness::{Ground, Live, Standing};
use crate::engine::plan::RangeId;
use crate::engine::plan::problem::Problem;
use crate::engine::policy::{Answer, Downstream, RangePolicy, RangeRoutes};
use crate::engine::time::Time;
use crate::wire::{DropReason, group_suffix};

impl Explainer<'_> {
    /// Where guests share a bridge with the router: behind which port that is. What comes from elsewhere gets no answer.
    pub(super) fn tell_uplink(&self, bridge: IfIndex, steps: &mut Vec<Step>) -> bool {
        let name = self.name(bridge);
        let mut ports: Vec<_> =
            self.scene.host.stations.uplinks(bridge).map(|port| self.name(port)).collect();
        ports.dedup();
        if ports.is_empty() {
            let value = format!("it is not known behind which port of {name} the router is");
            let remedy = format!(
                "the router of the default route has to answer, and the bridge to learn its MAC: `bridge fdb show br {name}`"
            );
            steps.push(no(Subject::Upstream, value, Some(remedy)));
            return false;
        }
        let value = format!(
            "the router is behind {} of {name}: who asks from there is answered, others are guests",
            ports.join(" and ")
        );
        steps.push(yes(Subject::Upstream, value));
        true
    }

    /// Where a live guest is: of a bridge that it shares with the router, the port.
    pub(super) fn place_of(&self, live: &Live) -> String {
        let name = self.name(live.link);
        let stations = &self.scene.host.stations;
        match live.mac.filter(|_| self.scene.plan.is_shared(live.link)) {
            Some(mac) => match stations.port(live.link, mac) {
                Some(port) => format!("{name}, behind its port {}", self.name(port)),
                None => format!("{name}, behind a port that it has forgotten"),
            },
            None => name,
        }
    }

    /// Why none of the range's downstreams can be asked.
    pub(super) fn no_downstream(&self, RangeId(range): RangeId, target: Ipv6Addr) -> Step {
        let policy = &self.scene.plan.policy.ranges[range];
        if let Some(refused) = self.scene.plan.bindings.ranges[range].refused {
            let name = self.name(refused);
            let value = format!("{name} is on the upstream's own link, and its guests answer for themselves");
            let remedy = format!("take {name} out of the range, or put its guests on a bridge of their own");
            return no(Subject::Downstream, value, Some(remedy));
        }
        let (value, remedy) = match &policy.downstream {
            Downstream::Kernel => (
                "no route of the kernel leads to a guest".to_owned(),
                "add a route to the guest's interface, or name that in `interface` of the range".to_owned(),
            ),
            _ => match self.scene.plan.bindings.ranges[range].downstreams.as_slice() {
                [] => (
                    "no interface of the range is there".to_owned(),
                    "start what makes it; `ip link` lists those there are".to_owned(),
                ),
                [first, ..] => self.out_of_order(*first, target),
            },
        };
        no(Subject::Downstream, value, Some(remedy))
    }

    /// Why an address is not answered for although all of its range is.
    pub(super) fn routed_back(&self, range: RangeId, target: Ipv6Addr) -> Step {
        let way = self.way(range, target);
        let route = way.route;
        let value = match route.and_then(|route| Some((route, route.unicast_link()?))) {
            Some((route, link)) => format!(
                "the route to {} leads back out of {}{}: the station that has the address answers for itself",
                route.destination,
                self.name(link),
                by_table(way)
            ),
            None => nowhere(way),
        };
        let policy = self.scene.plan.range(range);
        // Where a range would lead the whole link elsewhere its route is left out, whatever is written.
        let is_left_out = self.scene.plan.bindings.problems.iter().any(|problem| match problem {
            Problem::AlwaysOverLink(prefix, ..) => *prefix == policy.prefix,
            _ => false,
        });
        let remedy = match &policy.downstream {
            Downstream::Kernel => format!(
                "nothing, if it is on that link; if it is behind this host, `ip -6 route add {target} dev` its \
                 interface, or a [[range]] that is smaller and has it"
            ),
            Downstream::Named(name) if policy.routes == RangeRoutes::None && !is_left_out => format!(
                "the range has `routes = \"none\"`, so routes are yours to set, as by \
                 `ip -6 route add {target} dev {name}`; without `routes` lone64 sets them"
            ),
            _ => "the route of the range to its `interface` is missing: `lone64 status` says why".to_owned(),
        };
        no(Subject::Route, value, Some(self.in_another_table(target, way).unwrap_or(remedy)))
    }

    /// What is wrong with a downstream that is there.
    pub(super) fn out_of_order(&self, link: IfIndex, target: Ipv6Addr) -> (String, String) {
        let name = self.name(link);
        let state = self.scene.host.links.get(link).map(|link| (link.state, link.layer));
        if self.scene.host.links.get(link).is_some_and(|link| link.name.holds_addresses_only()) {
            let value =
                format!("{name} is down on purpose: kube-proxy keeps the addresses of services there");
            return (
                value,
                format!("take {target} out of the range with `exclude`: this host has it itself"),
            );
        }
        match state {
            Some((LinkState::Down, _)) => (format!("{name} is down"), format!("`ip link set {name} up`")),
            Some((LinkState::NoCarrier, LinkLayer::None)) => (
                format!("{name} has no carrier: no program holds the tunnel"),
                format!("start the VPN's program for {name}"),
            ),
            Some((LinkState::NoCarrier, _)) => (
                format!("{name} has no carrier: no guest is plugged in"),
                format!("start a guest; `ip link show master {name}` lists the ports of a bridge"),
            ),
            Some((LinkState::Up, LinkLayer::Ethernet(_))) => (
                format!("{name} has no IPv6 address that a guest could be asked from"),
                format!(
                    "write gateway = \"fe80::1\" for the range, or `ip -6 addr add fe80::1/64 dev {name}`"
                ),
            ),
            _ => (
                format!("{name} has no Neighbor Discovery, and no route leads to this address there"),
                format!("`ip -6 route add {target} dev {name}`, or write answer = \"always\""),
            ),
        }
    }

    /// What is asked for with the next question.
    pub(super) fn tell_asking(&self, range: RangeId, target: Ipv6Addr, steps: &mut Vec<Step>) -> Expected {
        let Scene { plan, host, guests, neighbors, .. } = self.scene;
        if !guests.can_be_asked(target, &self.scene.downstreams()) {
            steps.push(self.no_downstream(range, target));
            return Expected::Dropped(plan.why_not_probed(range, target, host));
        }
        steps.push(yes(Subject::Downstream, self.downstream_named(range)));
        let remedy = "the guest has to be up, to have this address, and to be behind that interface";
        let behind = self.scene.downstreams();
        let listeners = self.scene.hints.known(group_suffix(target));
        let listeners = listeners.filter(|link| behind.behind(target).is_some_and(|all| all.contains(*link)));
        let first = listeners.map(|link| self.name(link)).collect::<Vec<_>>().join(" and ");
        let value = match guests.standing(target) {
            _ if neighbors.live(target).is_some() => {
                "a station on the upstream's own link has it, and answers there".to_owned()
            }
            Standing::Absent => "did not reply a moment ago; the next question asks it once more".to_owned(),
            _ if first.is_empty() => "nothing is known of it; the next question asks for it".to_owned(),
            _ => format!(
                "nothing is known of it, but somebody on {first} listens to its multicast group: the next question \
                 asks there first"
            ),
        };
        steps.push(open(Subject::Liveness, value, Some(remedy.to_owned())));
        if !guests.has_room_for(target) {
            let remedy = "raise `targets` in [limits]".to_owned();
            steps.push(no(Subject::Liveness, "no room for another target".to_owned(), Some(remedy)));
            return Expected::Dropped(DropReason::TargetsFull);
        }
        Expected::Probed
    }

    /// Of a guest that is only routed to.
    pub(super) fn explain_routed(&self, range: RangeId, target: Ipv6Addr, now: Time, steps: &mut Vec<Step>) {
        match self.scene.guests.live(target) {
            Some(live) => {
                steps.push(yes(Subject::Downstream, self.name(live.link)));
                steps.push(yes(Subject::Liveness, alive(&live, now)));
            }
            None => {
                let value = "nothing is known of it, until it says something of itself".to_owned();
                steps.push(open(Subject::Liveness, value, None));
            }
        }
        steps.push(self.explain_route(range, target));
    }

    /// Where the kernel sends packets for the target.
    pub(super) fn explain_route(&self, range: RangeId, target: Ipv6Addr) -> Step {
        let policy = &self.scene.plan.policy.ranges[range.0];
        if self.scene.host.links.is_of_host(target)
            || matches!(&policy.downstream, Downstream::Named(name) if name.is_loopback())
        {
            return yes(Subject::Route, "it is delivered on this host".to_owned());
        }
        if policy.routes == RangeRoutes::Guests
            && let Some((link, state)) = self.keep.routes.guest_state(target)
        {
            return match state {
                RouteState::Installed => {
                    yes(Subject::Route, format!("packets for it leave by {}", self.name(link)))
                }
                state => self.missing_route(&self.keep.routes.guest(target, link), state),
            };
        }
        let is_its_own =
            |route: &KernelRoute| route.destination == policy.prefix && route.unicast_link().is_some();
        let mut wanted = self.keep.routes.wanted();
        match wanted.find(|(route, state)| is_its_own(route) && *state != RouteState::Installed) {
            Some((route, state)) => self.missing_route(&route, state),
            None => self.other_route(range, target),
        }
    }

    fn missing_route(&self, route: &KernelRoute, state: RouteState) -> Step {
        match (state, self.keep.routes.in_the_way_of(route, self.scene.host)) {
            (RouteState::Pending, _) => open(Subject::Route, format!("{route} is to be added"), None),
            (_, Some(other)) => no(
                Subject::Route,
                format!("another program's route keeps ours out: {other}"),
                Some(
                    "give ours a smaller `metric` in [routes]; the other route is its program's to remove"
                        .to_owned(),
                ),
            ),
            (_, None) => no(Subject::Route, format!("the kernel refuses {route}"), None),
        }
    }

    /// What the kernel's rules and routes come to for what arrives on the upstream of the range.
    fn way(&self, range: RangeId, target: Ipv6Addr) -> Way<'_> {
        self.scene.host.way(&target.into(), self.scene.plan.place(range).upstream)
    }

    fn other_route(&self, range: RangeId, target: Ipv6Addr) -> Step {
        let policy = self.scene.plan.range(range);
        let way = self.way(range, target);
        let deciding = way.route;
        let elsewhere = self.in_another_table(target, way);
        let inside = deciding.filter(|route| policy.prefix.contains(&route.destination));
        if let Some(link) = inside.and_then(KernelRoute::link_to_another_host) {
            let value = format!("a routing daemon's route leads to another host, by {}", self.name(link));
            return open(Subject::Route, value, None);
        }
        match deciding.and_then(KernelRoute::unicast_link) {
            Some(link) if self.scene.plan.place(range).own_bridge() == Some(link) => yes(
                Subject::Route,
                format!("packets for it leave by {}, to the guest's port", self.name(link)),
            ),
            // The range is as wide as the upstream's own prefix.
            Some(link)
                if elsewhere.is_none()
                    && self.scene.plan.bindings.upstream(link).is_some()
                    && policy.routes == RangeRoutes::Guests =>
            {
                let name = self.name(link);
                let value = format!("its route is added once it is live; until then {name}'s own holds");
                open(Subject::Route, value, None)
            }
            Some(link) if self.scene.plan.bindings.upstream(link).is_some() && policy.may_be_translated() => {
                let value = format!(
                    "packets for it leave by the upstream {}{} again, unless they are translated or an IPsec policy \
                     takes them before",
                    self.name(link),
                    by_table(way)
                );
                open(Subject::Route, value, None)
            }
            Some(link) if self.scene.plan.bindings.upstream(link).is_some() => {
                let name = self.name(link);
                let value = format!("packets for it leave by the upstream {name} again{}", by_table(way));
                no(Subject::Route, value, Some(elsewhere.unwrap_or_else(|| routes_for(policy, target))))
            }
            Some(link) => {
                yes(Subject::Route, format!("packets for it leave by {}{}", self.name(link), by_table(way)))
            }
            None if way.rule.is_some() && deciding.is_none() => {
                let rule = way.rule.map(KernelRule::to_string).unwrap_or_default();
                let remedy = "change that rule, or add one before it that names the table of its route";
                no(Subject::Route, format!("a rule refuses packets for it: {rule}"), Some(remedy.to_owned()))
            }
            None if elsewhere.is_none() && policy.routes == RangeRoutes::Guests => {
                open(Subject::Route, "its route is added once it is live".to_owned(), None)
            }
            None => {
                let remedy = elsewhere.unwrap_or_else(|| routes_for(policy, target));
                no(Subject::Route, nowhere(way), Some(remedy))
            }
        }
    }

    /// What to do where a rule names a table before that of our routes: one of ours would change nothing.
    fn in_another_table(&self, target: Ipv6Addr, way: Way<'_>) -> Option<String> {
        let table = way.rule.and(way.route)?.table;
        (![MAIN, self.scene.plan.policy.routes.table].contains(&table)).then(|| {
            let table = TableName(table);
            format!("set a route to it in that table: `ip -6 route replace {target} table {table} dev` its interface")
        })
    }
}

/// What gives a target a route: only what `check` takes for its range.
fn routes_for(policy: &RangePolicy, target: Ipv6Addr) -> String {
    let values = match (&policy.downstream, policy.answer) {
        (Downstream::Kernel, _) => {
            return format!(
                "name the guests' interface in `interface` of its range, or `ip -6 route add {target} dev` that interface"
            );
        }
        (Downstream::Named(_), Answer::Always) => "routes = \"range\"",
        (Downstream::Matching(_), Answer::Always) => {
            return "write answer = \"live\" and routes = \"guests\" for its range, or add a route"
                .to_owned();
        }
        (Downstream::Named(_) | Downstream::Matching(_), Answer::Live | Answer::Never) => {
            "routes = \"guests\""
        }
    };
    format!("write {values} for its range, or add a route")
}

/// That no route leads to a target, or which one of a rule's table refuses it.
fn nowhere(way: Way<'_>) -> String {
    match way.route.filter(|route| way.rule.is_some() && route.table != MAIN) {
        Some(route) => format!("a route refuses packets for it: {route}{}", by_table(way)),
        None => "no route leads to it".to_owned(),
    }
}

/// The table and the rule, where it is not the main table's of its own accord.
fn by_table(way: Way<'_>) -> String {
    let unless =
        if way.is_sure { "" } else { ", unless a rule that only the kernel understands says otherwise" };
    match (way.rule, way.route.filter(|route| route.table != MAIN)) {
        (Some(rule), Some(route)) => {
            format!(", by table {} (rule {}){unless}", TableName(route.table), rule.priority)
        }
        _ => unless.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::policy::Origin;

    /// `routes` needs an interface, one route for the range no more than one, and `answer = "always"` finds no guest.
    #[test]
    fn tells_to_write_only_what_check_takes() {
        let remedy = |downstream, answer| {
            let range = RangePolicy {
                prefix: "2001:db8::/64".parse().unwrap(),
                upstream: None,
                downstream,
                answer,
                routes: RangeRoutes::None,
                has_written_routes: false,
                backstop: false,
                gateway: None,
                exclude: Vec::new(),
                proxy_downstream: false,
                guard: false,
                standby: false,
                origin: Origin::Config,
            };
            routes_for(&range, "2001:db8::5".parse().unwrap())
        };
        let by_routes = remedy(Downstream::Kernel, Answer::Live);
        assert!(!by_routes.contains("routes =") && by_routes.contains("`interface`"), "{by_routes}");
        let several = || Downstream::Matching(vec!["br*".parse().unwrap()]);
        assert!(remedy(several(), Answer::Live).starts_with("write routes = \"guests\""));
        assert!(
            remedy(several(), Answer::Always).starts_with("write answer = \"live\" and routes = \"guests\"")
        );
        let one = Downstream::Named("br0".parse().unwrap());
        assert!(remedy(one, Answer::Always).starts_with("write routes = \"range\""));
    }
}
