//! How long a single call of the engine holds everything else up.
//!
//! An input that is much work may be taken in slices: then the engine has something due at the same moment,
//! and the rest is done by [`Input::Timeout`], with questions in between. What counts is the longest slice,
//! its outputs included. Each input meets a fresh engine, three times: the best of them counts.

use std::hint::black_box;
use std::time::{Duration, Instant};

use lone64::engine::facts::{Fact, KernelRoute, Link, LinkState, NextHop, RouteKind};
use lone64::engine::policy::{Announce, Backend, Policy, RangeRoutes};
use lone64::engine::{Engine, Input, Outcome, RouteState, Time};
use lone64::wire::Mac;

use crate::host::{
    LATER, NOW, OTHER, Scene, UPSTREAM, connected, default_route, downstream, downstream_link, ethernet,
    target,
};
use crate::verdict;

/// What comes in, for a host and an engine that knows it.
type Make = fn(Scene, &Engine) -> Input;

pub(crate) fn print(is_quick: bool) {
    let (targets, links) = if is_quick { (512, 32) } else { (65_536, 4_096) };
    let scenes = [
        Scene::Guests(targets, RangeRoutes::Range),
        Scene::Guests(targets, RangeRoutes::Guests),
        Scene::Networks(links),
        Scene::Links(links),
    ];
    let rounds = (0..if is_quick { 1 } else { 3 }).map(|_| inherited(targets));
    let (longest, slices) = rounds.min().expect("some rounds");
    println!("the program of a predecessor knows {targets} guests");
    println!(
        "  {:<40} {:>9.3} ms {slices:>8}  {}",
        "all of them are met",
        longest.as_secs_f64() * 1e3,
        verdict(longest <= LONGEST)
    );
    for scene in scenes {
        println!("{}", title(scene));
        println!("  {:<40} {:>12} {:>8}", "the longest turn", "longest call", "slices");
        for (what, make) in INPUTS {
            // A machine that does something else in between only makes a call longer.
            let rounds = (0..if is_quick { 1 } else { 3 }).map(|_| round(scene, make));
            let (longest, slices) = rounds.min().expect("some rounds");
            let is_short = longest <= LONGEST;
            println!(
                "  {what:<40} {:>9.3} ms {slices:>8}  {}",
                longest.as_secs_f64() * 1e3,
                verdict(is_short)
            );
        }
    }
}

/// A program of a predecessor that knows so many guests, and an engine that knows none of them.
fn inherited(guests: u32) -> (Duration, u32) {
    let scene = Scene::Guests(0, RangeRoutes::Range);
    let mut policy = scene.policy();
    policy.upstreams[0].backend = Backend::Tc;
    let mut engine = scene.engine(policy);
    turn(&mut engine, Input::ProgramChanged(UPSTREAM, Outcome::Done), NOW);
    let until = NOW + Duration::from_secs(200);
    let known = (0..guests).map(|number| (target(number), until)).collect();
    turn(&mut engine, Input::Mirrored(UPSTREAM, known), NOW + Duration::from_secs(1))
}

/// The input meets a fresh engine: the longest call, and how many there were.
fn round(scene: Scene, make: Make) -> (Duration, u32) {
    let mut engine = scene.engine(scene.policy());
    let input = make(scene, &engine);
    let now = NOW + if input == Input::Timeout { LATER } else { Duration::from_secs(1) };
    if input != Input::Timeout {
        // What is left over from the start is not the input's.
        turn(&mut engine, Input::Timeout, now);
    }
    turn(&mut engine, input, now)
}

/// The longest call, and how many there were.
fn turn(engine: &mut Engine, mut input: Input, now: Time) -> (Duration, u32) {
    let mut longest = Duration::ZERO;
    for slices in 1.. {
        let start = Instant::now();
        engine.handle(input, now);
        while let Some(output) = engine.poll_output() {
            black_box(output);
        }
        longest = longest.max(start.elapsed());
        if !engine.is_behind() || slices == MOST_SLICES {
            return (longest, slices);
        }
        input = Input::Timeout;
    }
    unreachable!("it ends with the slices")
}

fn title(scene: Scene) -> String {
    match scene {
        Scene::Guests(count, routes) => format!("{count} live targets, routes = {routes}"),
        Scene::Networks(count) => format!("{count} automatic networks with a guest each"),
        Scene::Links(count) => format!("a pattern over {count} links with a guest each"),
    }
}

const INPUTS: [(&str, Make); 15] = [
    ("all keepalives are due", |_, _| Input::Timeout),
    ("a reload that announces all again", |scene, _| {
        let mut policy = scene.policy();
        policy.upstreams[0].announce = Announce::Every(Announce::SHORTEST);
        reload(policy)
    }),
    ("a snapshot with everything", |scene, engine| Input::Snapshot(everything(scene, engine))),
    ("a link message that says nothing new", |_, _| fact(Fact::Link(downstream_link(0)))),
    ("one more network", |scene, _| Input::Facts(one_more(scene))),
    ("one network less", |scene, _| fact(one_less(scene))),
    ("the bridge goes down", |_, _| fact(Fact::Link(Link { state: LinkState::Down, ..downstream_link(0) }))),
    ("a station of nobody is gone", |_, _| {
        fact(Fact::StationGone { bridge: downstream(0), mac: Mac([2, 9, 9, 9, 9, 9]) })
    }),
    ("a reload with another keepalive", |scene, _| {
        let mut policy = scene.policy();
        policy.timers.keepalive *= 2;
        reload(policy)
    }),
    ("a reload that excludes half", |scene, _| reload(scene.half())),
    ("a reload with another metric", |scene, _| {
        let mut policy = scene.policy();
        policy.routes.metric += 1;
        reload(policy)
    }),
    ("the default route is replaced", |_, _| fact(Fact::RouteReplaced(default_route(OTHER)))),
    ("the default route goes, another comes", |_, _| {
        Input::Facts(vec![Fact::RouteGone(default_route(UPSTREAM)), Fact::Route(default_route(OTHER))])
    }),
    ("the upstream has another MAC", |_, _| {
        fact(Fact::Link(ethernet(UPSTREAM, "up0", Mac([2, 0, 0, 0, 0, 0x22]))))
    }),
    ("the end", |_, _| Input::Stop),
];

fn fact(fact: Fact) -> Input {
    Input::Facts(vec![fact])
}

fn reload(policy: Policy) -> Input {
    Input::Reload(Box::new(policy))
}

/// All that a dump tells, our own routes included.
fn everything(scene: Scene, engine: &Engine) -> Vec<Fact> {
    let mut facts = scene.facts();
    let ours = engine.routes().filter(|(_, state)| *state == RouteState::Installed);
    facts.extend(ours.map(|(route, _)| Fact::Route(route.clone())));
    facts.extend(scene.neighbors());
    facts
}

fn one_more(scene: Scene) -> Vec<Fact> {
    match scene {
        // A network that is none of ours.
        Scene::Guests(..) => vec![Fact::Route(elsewhere())],
        Scene::Networks(count) | Scene::Links(count) => scene.downstream(count),
    }
}

fn one_less(scene: Scene) -> Fact {
    match scene {
        Scene::Guests(..) => Fact::RouteGone(elsewhere()),
        Scene::Networks(_) => Fact::RouteGone(connected(1)),
        Scene::Links(_) => Fact::LinkGone(downstream(1)),
    }
}

fn elsewhere() -> KernelRoute {
    let kind = RouteKind::Unicast(downstream(0));
    KernelRoute { kind, next_hop: NextHop::OnLink, ..connected(0xe000) }
}

/// What one call may take.
const LONGEST: Duration = Duration::from_millis(1);
/// An engine that always has something due at once would never end.
const MOST_SLICES: u32 = 1_000_000;
