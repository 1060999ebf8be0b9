//! Networks that nobody serves: what automatic would serve on an upstream where it is off, and no range does.
//!
//! The first range that is written turns automatic off, and guests that were reachable until then are not any more.
//! So these networks are named, each with the lines that serve it. That is no problem of the policy: the
//! administrator may mean it so, and then says it with `automatic = false`, a range with `answer = "never"`, or
//! `exclude`.

use std::fmt;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::Plan;
use super::automatic::Search;
use super::bindings::Upstream;
use super::derive::{Around, Effective};
use crate::engine::facts::{IfName, KernelRoute, Link, LinkLayer, LinkState};
use crate::engine::host::Host;
use crate::engine::host::links::Links;
use crate::engine::policy::{Answer, Automatic, Downstream, LeftOut, RangePolicy, UpstreamPolicy};

/// A network that the kernel routes inside an on-link prefix of an upstream, and that nobody serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unserved {
    /// Its addresses.
    pub prefix: Ipv6Net,
    /// Where the kernel routes it.
    pub interface: IfName,
    /// On which upstream its guests are asked for.
    pub upstream: IfName,
    /// What a range for it says of its guests.
    pub guests: Guests,
    /// True if a range for it has to name the upstream.
    pub names_upstream: bool,
    /// True if there are several upstreams with settings of their own.
    pub is_one_of_several: bool,
    /// The range around it, which has its guests behind other interfaces.
    pub around: Option<Ipv6Net>,
}

/// What a range says of its guests so that they are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Guests {
    /// They are behind this interface.
    OnInterface,
    /// They are where the kernel's routes lead: a route of ours would be kept out by the one that is there, or lead past
    /// the router that they are behind. Or it is an address of this host.
    ByRoutes,
}

/// The networks that nobody serves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks {
    /// The first of them, in the order of their addresses.
    pub first: Vec<Unserved>,
    /// How many there are, as far as they were counted.
    pub count: usize,
}

/// They are being looked for, upstream by upstream.
#[derive(Debug, Default)]
pub struct Lookout {
    /// What automatic would serve.
    found: Effective,
    /// The upstream that is being looked at.
    upstream: usize,
    search: Option<Search>,
}

impl Lookout {
    /// Whether there is an upstream for which they are to be named.
    pub fn is_needed(plan: &Plan) -> bool {
        plan.bindings.upstreams.iter().any(|upstream| names_them(upstream, plan))
    }

    /// Looks at `most` more routes. True at the end.
    pub fn go_on(&mut self, plan: &Plan, around: Around<'_>, most: usize) -> bool {
        let automatic = Automatic::default();
        while let Some(upstream) = plan.bindings.upstreams.get(self.upstream) {
            if names_them(upstream, plan) {
                let asked = (&automatic, upstream);
                let found = &mut self.found;
                let search = self.search.get_or_insert_with(|| Search::begin(found, asked, around));
                if !search.go_on(found, asked, around, |route| is_served(route, plan, around.host), most) {
                    return false;
                }
                search.take_own(found, asked, around, &plan.index);
            }
            (self.upstream, self.search) = (self.upstream + 1, None);
        }
        true
    }

    /// What was found.
    pub fn into_networks(self, plan: &Plan, around: Around<'_>) -> Networks {
        let mut found: Vec<_> =
            self.found.ranges.iter().filter(|range| is_named(range, &around.host.links)).collect();
        // Those of one upstream are in order. One that lies inside on-link prefixes of two is named once.
        found.sort_by_key(|range| range.prefix);
        found.dedup_by_key(|range| range.prefix);
        let named = found.iter().take(MOST_NAMED).filter_map(|range| named(range, plan, around));
        Networks { first: named.collect(), count: found.len() }
    }
}

/// Whether what automatic would serve there is to be named.
fn names_them(upstream: &Upstream, plan: &Plan) -> bool {
    let UpstreamPolicy { automatic, left_out, .. } = &plan.policy.upstreams[upstream.policy];
    automatic.is_none() && *left_out == LeftOut::Named
}

/// Whether there is nothing to be named: somebody is served where the route leads, nobody can be there, or all of its
/// destination is left alone on purpose.
fn is_served(route: &KernelRoute, plan: &Plan, host: &Host) -> bool {
    let net = route.destination;
    let is_own = net.prefix_len() == 128 && host.links.is_of_host(net.addr());
    if is_own || route.link_to_another_host().is_some() {
        return true;
    }
    let Some(id) = plan.index.around_all(&net) else { return false };
    let (range, place) = (plan.range(id), plan.place(id));
    // Where a range of this very prefix has its guests elsewhere, a second one would be a mistake.
    range.prefix == net
        || range.answer != Answer::Live
        || range.downstream == Downstream::Kernel
        || route.unicast_link().is_none_or(|link| place.downstreams.contains(&link))
        || plan.index.excludes_all(id, &net)
}

/// Of the host's own addresses those are named that are where no guests are: on `lo`, or on a link that is down. On a
/// guests' link it is what the guests have as their gateway.
fn is_named(found: &RangePolicy, links: &Links) -> bool {
    let is_own = found.prefix.prefix_len() == 128 && links.is_of_host(found.prefix.addr());
    let is_among_guests = |link: &Link| link.layer != LinkLayer::Loopback && link.state == LinkState::Up;
    let mut owners = links.owners(found.prefix.addr()).filter_map(|owner| links.get(owner));
    !is_own || !owners.any(is_among_guests)
}

fn named(found: &RangePolicy, plan: &Plan, around: Around<'_>) -> Option<Unserved> {
    let Downstream::Named(interface) = found.downstream else { return None };
    let upstream = found.upstream?;
    let links = &around.host.links;
    let is_found = |link| links.is_on_link(link, &found.prefix);
    let names_upstream =
        plan.bindings.upstreams.len() > 1 && !links.named(&upstream).is_some_and(|up| is_found(up.index));
    let routes = &plan.policy.routes;
    let is_taken = |route: &KernelRoute| {
        let is_in_the_way = (route.table, route.metric) == (routes.table, routes.metric);
        let is_for_all = route.source.is_none();
        is_for_all && (is_in_the_way || route.leads_behind_a_router()) && !around.ours.include(route)
    };
    let is_own = found.prefix.prefix_len() == 128 && links.is_of_host(found.prefix.addr());
    let guests = match is_own || around.host.routes.at(&found.prefix).any(is_taken) {
        true => Guests::ByRoutes,
        false => Guests::OnInterface,
    };
    Some(Unserved {
        prefix: found.prefix,
        interface,
        upstream,
        guests,
        names_upstream,
        is_one_of_several: plan.policy.upstreams.len() > 1,
        around: plan.index.around_all(&found.prefix).map(|id| plan.range(id).prefix),
    })
}

impl Unserved {
    /// The keys of the range that serves it.
    fn keys(&self) -> Vec<String> {
        let mut keys = vec![format!("prefix = \"{}\"", self.prefix)];
        match self.guests {
            Guests::OnInterface => keys.push(format!("interface = \"{}\"", self.interface)),
            Guests::ByRoutes => {}
        }
        if self.names_upstream {
            keys.push(format!("upstream = \"{}\"", self.upstream));
        }
        keys
    }

    /// The lines of the configuration that serve it.
    pub fn lines(&self) -> String {
        format!("[[range]]\n{}\n", self.keys().join("\n"))
    }

    /// What serves all such networks instead, if it serves this one: and what leaves them alone.
    pub fn instead(&self) -> String {
        match self.around {
            Some(around) => {
                format!(
                    "the range {around} looks for its guests elsewhere; its `exclude` can leave {} out",
                    self.prefix
                )
            }
            None => format!(
                "automatic = true in {} serves all such networks, and automatic = false ignores them",
                self.section()
            ),
        }
    }

    /// All of that as one sentence.
    pub fn remedy(&self) -> String {
        let keys = self.keys().join(" and ");
        match self.around {
            Some(_) => format!("add a [[range]] with {keys}; {}", self.instead()),
            None => format!(
                "add a [[range]] with {keys}, or automatic = true in {} for all such networks; automatic = false \
                 ignores them",
                self.section()
            ),
        }
    }

    /// Where the settings of the upstream are.
    fn section(&self) -> String {
        match self.is_one_of_several {
            true => format!("the [[upstream]] of {}", self.upstream),
            false => "[[upstream]]".to_owned(),
        }
    }

    /// What to say when that is over.
    pub fn ended(&self, ended: Ended) -> String {
        let Self { prefix, interface, .. } = self;
        match ended {
            Ended::Served => format!("{prefix} on {interface} is served now"),
            Ended::Gone => format!("{prefix} on {interface} is gone, or is ignored now"),
        }
    }
}

/// In one line, for a log.
impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, interface, .. } = self;
        write!(f, "no range serves {prefix} on {interface}: {}", self.remedy())
    }
}

/// Why nothing is to be said of a network any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// A range serves it.
    Served,
    /// The kernel does not route it there any more, or it is left alone on purpose.
    Gone,
}

/// As many are named; the others are counted.
const MOST_NAMED: usize = 256;
