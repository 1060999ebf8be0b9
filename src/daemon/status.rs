//! The status of a running daemon, as `lone64 status --json` prints it.
//!
//! What there may be very much of comes in pages: a request costs one look at each target and each
//! route, and is written for one page only.

use core::net::Ipv6Addr;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::claiming::claim_value;
use super::control::{StatusParams, Truth};
use super::provider;
use super::unserved::{Network, Nothing, networks};
use crate::engine::bindings::{Place, Scope};
use crate::engine::facts::{IfIndex, KernelRoute, LinkState, RouteKind};
use crate::engine::guests::{Breach, Seen};
use crate::engine::policy::{Downstream, RangePolicy, UpstreamInterface};
use crate::engine::{Engine, Live, RouteState, State, Target, Time, Which, WideMask};
use crate::wire::{DropReason, Mac};

/// Everything, up to the limits of one page.
#[derive(Debug, Serialize)]
pub struct Status {
    version: &'static str,
    pid: u32,
    uptime_seconds: u64,
    /// What has no pages is on the first.
    #[serde(flatten)]
    whole: Option<Whole>,
    targets: Vec<TargetStatus>,
    routes: Vec<RouteStatus>,
    /// What to ask for as `after` and `routes_after` to get what this page has no room for.
    more: More,
}

#[derive(Debug, Serialize)]
struct Whole {
    upstreams: Vec<Value>,
    ranges: Vec<Value>,
    problems: Vec<Value>,
    notes: Vec<String>,
    conflicts: Vec<Value>,
    wide_masks: Vec<Value>,
    next_hops: Vec<Value>,
    guests: Vec<Value>,
    claims: Vec<Value>,
    askers: Vec<Value>,
    not_admitted: Vec<Value>,
    unserved: Vec<Network>,
    idle: Option<Nothing>,
    totals: Value,
}

#[derive(Debug, Serialize)]
struct More {
    after: Option<String>,
    routes_after: Option<String>,
}

#[derive(Debug, Serialize)]
struct TargetStatus {
    address: String,
    state: &'static str,
    interface: Option<String>,
    mac: Option<String>,
    evidence: Option<&'static str>,
    guest: Option<String>,
    answered: u32,
    last_seen_seconds: Option<u64>,
    upstream: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct RouteStatus {
    destination: String,
    interface: Option<String>,
    kind: &'static str,
    state: &'static str,
}

impl Status {
    /// What the engine has to say.
    pub fn of(engine: &Engine, params: &StatusParams, now: Time) -> Self {
        let limit = params.limit.clamp(1, StatusParams::MOST);
        let which = if params.live_only == Truth::Yes { Which::Live } else { Which::All };
        // One more than is shown tells whether there is more.
        let mut page = engine.target_page(which, params.after, limit + 1);
        let more_targets = page.len() > limit;
        page.truncate(limit);
        let is_meant = |route: &KernelRoute, state| {
            params.routes_after.is_none_or(|after| route.destination > after)
                && (params.differing_only == Truth::No || state != RouteState::Installed)
        };
        let mut routes = engine.route_page(is_meant, limit + MOST_AT_ONE_DESTINATION);
        let more_routes = routes.len() > limit;
        // A page ends between two destinations, because the next one begins behind a destination.
        while routes.len() > limit
            || more_routes && routes.len() > 1 && same_destination(&routes[routes.len() - 2..])
        {
            routes.pop();
        }
        let more = More {
            after: page.last().filter(|_| more_targets).map(|(address, _)| address.to_string()),
            routes_after: routes.last().filter(|_| more_routes).map(|(r, _)| r.destination.to_string()),
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_seconds: now.since(Time::ORIGIN).as_secs(),
            whole: params.is_first().then(|| Whole::of(engine, now)),
            targets: page.into_iter().map(|(address, t)| target(address, &t, engine, now)).collect(),
            routes: routes.into_iter().map(|(known, state)| route(&known, state, engine)).collect(),
            more,
        }
    }
}

impl Whole {
    fn of(engine: &Engine, now: Time) -> Self {
        let conflict = |(address, mac, is_theirs): (_, Mac, bool)| json!({ "address": address, "mac": mac.to_string(), "answered": !is_theirs });
        let wide_mask = |(link, mask): (_, WideMask)| json!({ "interface": name(engine, link), "guest": mask.guest, "asked_for": mask.asked_for });
        Self {
            upstreams: upstreams(engine),
            ranges: ranges(engine),
            problems: problems(engine),
            notes: engine.notes().iter().map(ToString::to_string).collect(),
            conflicts: engine.conflicts().map(conflict).collect(),
            wide_masks: engine.wide_masks().map(wide_mask).collect(),
            next_hops: next_hops(engine, now),
            guests: engine.identified().iter().take(MOST_GUESTS).map(|seen| guest(engine, &seen)).collect(),
            claims: claims(engine, now),
            askers: provider::askers(engine, now),
            not_admitted: provider::all_not_admitted(engine),
            unserved: networks(engine),
            idle: engine.idle().map(Nothing::from),
            totals: totals(engine),
        }
    }
}

fn upstreams(engine: &Engine) -> Vec<Value> {
    let there = engine.bindings().upstreams.iter().map(|upstream| {
        let link = engine.links().get(upstream.link);
        let counters = engine.counters().of(upstream.link);
        let mut dropped = Map::new();
        for reason in DropReason::ALL {
            let count = counters.dropped(*reason);
            if count > 0 {
                dropped.insert(reason.as_str().to_owned(), count.into());
            }
        }
        json!({
            "interface": name(engine, upstream.link),
            "ifindex": upstream.link.0,
            "mac": upstream.mac.to_string(),
            "state": link.map_or("missing", |link| link_state(link.state)),
            "backend": if engine.has_program(upstream.link) { "tc" } else { "packet" },
            "no_program": engine.no_program(upstream.link).map(|why| why.to_string()),
            "known_in_kernel": engine.count_mirrored_on(upstream.link),
            "mld": mld(engine, upstream.link),
            "gateway_source": provider::gateway_source(engine, upstream),
            "announced_again_seconds": engine.announces_again(upstream.link).map(|period| period.as_secs()),
            "counters": { "answered": counters.answered, "dropped": dropped },
        })
    });
    let policy = engine.policy();
    let needed = policy.upstreams.iter().filter(|upstream| policy.needs(upstream));
    let missing = needed.filter_map(|upstream| match &upstream.interface {
        UpstreamInterface::Named(name) if engine.links().named(name).is_none() => Some(json!({
            "interface": name.as_str(), "ifindex": null, "mac": null, "state": "missing",
            "backend": "packet", "no_program": null, "known_in_kernel": 0, "mld": null, "gateway_source": null, "announced_again_seconds": null,
            "counters": { "answered": 0, "dropped": {} },
        })),
        _ => None,
    });
    there.chain(missing).collect()
}

/// What switches are told on this upstream, and what is known of them.
fn mld(engine: &Engine, link: IfIndex) -> Value {
    let (querier, delivers_all) = engine.querier(link).unzip();
    let (groups, waiting) = engine.count_groups(link);
    json!({ "querier": querier, "delivers_all": delivers_all, "groups": groups, "waiting": waiting })
}

fn ranges(engine: &Engine) -> Vec<Value> {
    let ranges = engine.policy().ranges.iter().zip(&engine.bindings().ranges);
    ranges.map(|(range, place)| range_status(range, place, engine)).collect()
}

fn range_status(range: &RangePolicy, place: &Place, engine: &Engine) -> Value {
    let follows_kernel = range.downstream == Downstream::Kernel;
    let has_upstream = place.upstream.is_some() || !range.needs_upstream();
    let is_served = has_upstream && (follows_kernel || !place.downstreams.is_empty());
    let shown = place.downstreams.iter().take(MOST_INTERFACES);
    json!({
        "prefix": range.prefix.to_string(),
        "upstream": place.upstream.and_then(|link| name(engine, link)),
        "interfaces": shown.filter_map(|link| name(engine, *link)).collect::<Vec<_>>(),
        "interface_count": place.downstreams.len(),
        "follows_kernel": follows_kernel,
        "answer": range.answer.to_string(),
        "routes": range.routes.to_string(),
        "gateway": range.gateway,
        "proxy_downstream": range.proxy_downstream,
        "origin": range.origin.as_str(),
        "state": if is_served { "serving" } else { "waiting" },
    })
}

/// The routers that guests are behind, the first of them.
fn next_hops(engine: &Engine, now: Time) -> Vec<Value> {
    let hops = engine.known_hops().take(MOST_HOPS);
    let shown = hops.map(|(hop, state)| {
        let live = match &state {
            Some(State::Live(live)) => Some(live),
            _ => None,
        };
        json!({
            "address": hop.address,
            "interface": name(engine, hop.link),
            "state": state.as_ref().map_or("unknown", state_name),
            "mac": live.and_then(|live| live.mac).map(|mac| mac.to_string()),
            "last_seen_seconds": live.map(|live| now.since(live.seen).as_secs()),
        })
    });
    shown.collect()
}

fn guest(engine: &Engine, seen: &Seen<'_>) -> Value {
    let Seen { policy, link, addresses, prefixes, missing, .. } = seen;
    json!({
        "name": policy.name,
        "mac": policy.mac.map(|mac| mac.to_string()),
        "interface": link.and_then(|link| name(engine, link)),
        "addresses": addresses,
        "delegated": prefixes,
        "state": if seen.is_here() { "here" } else { "waiting" },
        "missing": missing.map(ToString::to_string),
        "guard": guard_state(engine, seen),
        "dropped": dropped(seen),
    })
}

/// Whether it is held to its own addresses: it is to be, and nftables has it.
fn guard_state(engine: &Engine, seen: &Seen<'_>) -> &'static str {
    match seen.is_guarded {
        true if engine.keeps_guard(seen.id) => "on",
        true => "waiting",
        false => "off",
    }
}

/// Packets of it that its guard has dropped, for each reason for which there were any.
fn dropped(seen: &Seen<'_>) -> Value {
    let counted = Breach::ALL.iter().zip(seen.drops.into_iter().flatten());
    counted
        .filter(|(_, packets)| **packets > 0)
        .map(|(breach, packets)| (breach.as_str(), *packets))
        .collect()
}

fn claims(engine: &Engine, now: Time) -> Vec<Value> {
    let claims = engine.identified().claims().take(MOST_GUESTS);
    claims.map(|seen| claim_value(engine, &seen, now)).collect()
}

fn state_name(state: &State) -> &'static str {
    match state {
        State::Live(_) => "live",
        State::Probing(_) => "probing",
        State::Absent => "absent",
    }
}

fn target(address: Ipv6Addr, target: &Target, engine: &Engine, now: Time) -> TargetStatus {
    let live = match &target.state {
        State::Live(live) => Some(live),
        State::Probing(_) | State::Absent => None,
    };
    let word =
        engine.identified().words().of(address).filter(|word| live.is_some_and(|l| l.link == word.link));
    TargetStatus {
        address: address.to_string(),
        state: state_name(&target.state),
        interface: live.and_then(|live| name(engine, live.link)),
        mac: live.and_then(|live| live.mac).map(|mac| mac.to_string()),
        evidence: live.map(|live| word.map_or(live.evidence.as_str(), |word| word.by.as_str())),
        guest: word.and_then(|word| engine.identified().name(word.guest?)).map(str::to_owned),
        answered: target.answered,
        last_seen_seconds: live.map(|Live { seen, .. }| now.since(*seen).as_secs()),
        upstream: engine.is_refused(address).then_some("not admitted"),
    }
}

fn route(route: &KernelRoute, state: RouteState, engine: &Engine) -> RouteStatus {
    RouteStatus {
        destination: route.destination.to_string(),
        interface: route.link().and_then(|link| name(engine, link)),
        kind: match route.kind {
            RouteKind::Unicast(_) => "unicast",
            RouteKind::Local(_) => "local",
            RouteKind::Unreachable => "unreachable",
            RouteKind::Throw => "throw",
            RouteKind::Other => "other",
        },
        state: match state {
            RouteState::Installed => "installed",
            RouteState::Conflict => "conflict",
            RouteState::Pending => "pending",
            RouteState::Refused => "refused",
        },
    }
}

fn problems(engine: &Engine) -> Vec<Value> {
    let scope = |scope| match scope {
        Scope::Upstream => "upstream",
        Scope::Range => "range",
        Scope::Passing => "passing",
    };
    let all = engine.problems().iter();
    all.map(|problem| json!({ "scope": scope(problem.scope()), "message": problem.to_string() })).collect()
}

fn totals(engine: &Engine) -> Value {
    let census = engine.census();
    let mut routes = [0_usize; 4];
    for (_, state) in engine.routes() {
        routes[state as usize] += 1;
    }
    let count = |state: RouteState| routes[state as usize];
    let counters = engine.counters();
    let (known, here, claims) = engine.identified().count();
    json!({
        "targets": {
            "live": census.live, "probing": census.probing, "absent": census.absent,
            "limit": engine.policy().limits.targets,
        },
        "routes": {
            "installed": count(RouteState::Installed), "conflict": count(RouteState::Conflict),
            "pending": count(RouteState::Pending), "refused": count(RouteState::Refused),
        },
        "guests": { "known": known, "here": here },
        "claims": claims,
        "unserved": engine.count_unserved(),
        "not_admitted": engine.count_refused(),
        "probes": counters.probes,
        "downstream_answers": counters.downstream_answers,
        "rival_advertisements": counters.conflicts,
        "netlink_resyncs": counters.resyncs,
    })
}

fn name(engine: &Engine, link: IfIndex) -> Option<String> {
    engine.links().get(link).map(|link| link.name.to_string())
}

fn link_state(state: LinkState) -> &'static str {
    match state {
        LinkState::Up => "up",
        LinkState::NoCarrier => "no-carrier",
        LinkState::Down => "down",
    }
}

fn same_destination(two: &[(KernelRoute, RouteState)]) -> bool {
    two.iter().all(|(route, _)| route.destination == two[0].0.destination)
}

/// A range over thousands of interfaces is named by as many of them.
const MOST_INTERFACES: usize = 64;
/// As many guests with an identity are shown, and claims.
const MOST_GUESTS: usize = 256;
/// As many next hops are shown.
const MOST_HOPS: usize = 256;
/// A range has a route and a backstop.
const MOST_AT_ONE_DESTINATION: usize = 2;
