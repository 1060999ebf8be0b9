//! Why an address is answered for, or why it is not: the decision, told step by step.
//!
//! Looks, and changes nothing. The steps are in the order of the decision, and the outcome is what a
//! solicitation from the router would come to at this moment; a test holds both to what the engine then does.

mod addresses;
mod backend;
mod hops;
mod identities;
mod place;

use core::net::Ipv6Addr;

use super::{Because, Decision, Scene};
use crate::engine::facts::IfIndex;
use crate::engine::liveness::Live;
use crate::engine::plan::{RangeId, bindings::Upstream};
use crate::engine::policy::Answer;
use crate::engine::time::Time;
use crate::engine::{answer, asker::Asker};
use crate::engine::{guests::Guests, keep::Keep};
use crate::wire::{DropReason, Mac};

/// Why an address is answered for, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The address.
    pub target: Ipv6Addr,
    /// The upstream that is asked for it.
    pub upstream: Option<IfIndex>,
    /// The decision, step by step, up to the one that ends it.
    pub steps: Vec<Step>,
    /// What it comes to.
    pub outcome: Expected,
}

/// One step of the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is looked at.
    pub subject: Subject,
    /// Whether it speaks for an answer.
    pub holds: Holds,
    /// What was found.
    pub value: String,
    /// What would turn a cross into a tick.
    pub remedy: Option<String>,
}

/// What a step looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The address itself.
    Address,
    /// The upstream that it is answered on.
    Upstream,
    /// The longest range that holds it.
    Range,
    /// The exceptions of that range.
    Exclude,
    /// For which addresses of the range there are answers.
    Mode,
    /// Where its guest can be.
    Downstream,
    /// Whether there is such a guest.
    Liveness,
    /// Whether another station says that it has it.
    Rival,
    /// Where the answer comes from.
    Source,
    /// Whether the program in the kernel answers, where there is one.
    Backend,
    /// Whether the provider admits it.
    Provider,
    /// Where the kernel sends packets for it.
    Route,
}

impl Subject {
    /// The name in tables and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Upstream => "upstream",
            Self::Range => "range",
            Self::Exclude => "exclude",
            Self::Mode => "answer",
            Self::Downstream => "downstream",
            Self::Liveness => "liveness",
            Self::Rival => "rival",
            Self::Source => "source",
            Self::Backend => "backend",
            Self::Provider => "provider",
            Self::Route => "route",
        }
    }
}

/// Whether a step speaks for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It is not known yet.
    Open,
}

/// What a solicitation from the router comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// An answer, at once.
    Answered,
    /// The guest is asked first.
    Probed,
    /// The guest is being asked at this moment.
    Probing,
    /// Silence.
    Dropped(DropReason),
}

/// What an explanation looks at.
#[derive(Debug, Clone, Copy)]
pub struct Explainer<'a> {
    /// What decisions look at.
    pub scene: Scene<'a>,
    /// What the kernel keeps for us.
    pub keep: &'a Keep,
    /// The gateway that answers the host, and not the target.
    pub refusing: Option<Ipv6Addr>,
    /// Guests with an identity, and claims.
    pub identities: &'a Guests,
}

impl Explainer<'_> {
    /// Why the address is answered for, or not, at the time `now`.
    pub fn explain(&self, target: Ipv6Addr, now: Time) -> Explanation {
        let mut steps = Vec::new();
        let outcome = self.tell(target, now, &mut steps);
        let Scene { plan, .. } = self.scene;
        let upstream = plan.find(target).and_then(|range| plan.place(range).upstream);
        let upstream = upstream.or_else(|| plan.bindings.upstreams.first().map(|upstream| upstream.link));
        Explanation { target, upstream, steps, outcome }
    }

    fn tell(&self, target: Ipv6Addr, now: Time, steps: &mut Vec<Step>) -> Expected {
        let Scene { plan, host, .. } = self.scene;
        if let Some((reason, why)) = unanswerable(target) {
            steps.push(no(Subject::Address, why, None));
            return Expected::Dropped(reason);
        }
        steps.push(yes(Subject::Address, "a unicast address of more than this link".to_owned()));
        let asked_on = plan.find(target).and_then(|range| plan.place(range).upstream);
        let is_there =
            |link: &IfIndex| asked_on.is_none_or(|on| on == *link) && host.links.has(*link, target);
        if let Some(link) = plan.bindings.upstreams.iter().map(|up| up.link).find(is_there) {
            steps.push(self.own_address(link, target));
            return Expected::Dropped(DropReason::UpstreamAddress);
        }
        let Some(range) = plan.find(target) else {
            steps.push(no(Subject::Range, self.ranges_listed(), Some(self.remedy_for_no_range(target))));
            return Expected::Dropped(DropReason::NoRange);
        };
        steps.push(yes(Subject::Range, plan.range(range).prefix.to_string()));
        steps.extend(self.router_anycast(range, target));
        if plan.place(range).upstream.is_none() && !plan.range(range).needs_upstream() {
            self.tell_mode(range, target, now, steps);
            if !plan.range(range).looks_for_guests() {
                steps.push(self.explain_route(range, target));
            }
            return Expected::Dropped(DropReason::NeverAnswered);
        }
        let Some(upstream) = self.tell_upstream(range, steps) else {
            return Expected::Dropped(DropReason::NoRange);
        };
        if plan.is_shared(upstream.link) && !self.tell_uplink(upstream.link, steps) {
            return Expected::Dropped(DropReason::NotUpstream);
        }
        let decision = self.scene.decide(&router_on(upstream.link), target, now);
        if decision == Decision::Drop(DropReason::UpstreamAddress) {
            let value = "an address of an interface on the upstream's own link: the kernel answers there";
            steps.push(yes(Subject::Address, value.to_owned()));
            return Expected::Dropped(DropReason::UpstreamAddress);
        }
        if plan.index.excludes(range, target) {
            let remedy = "take it out of `exclude` of the range".to_owned();
            steps.push(no(Subject::Exclude, "excluded from its range".to_owned(), Some(remedy)));
            return Expected::Dropped(DropReason::Excluded);
        }
        self.tell_mode(range, target, now, steps);
        steps.extend(self.tell_identity(target));
        let outcome = self.tell_decision(decision, range, target, now, steps);
        // The source matters only where there is something to send.
        if outcome == Expected::Answered && !self.tell_source(upstream, target, steps) {
            return Expected::Dropped(DropReason::NoSource);
        }
        steps.extend(self.tell_backend(upstream.link, target).filter(|_| outcome == Expected::Answered));
        if !matches!(outcome, Expected::Dropped(_)) {
            steps.extend(self.refusing.map(not_admitted));
            steps.push(self.explain_route(range, target));
        }
        outcome
    }

    fn tell_upstream(&self, range: RangeId, steps: &mut Vec<Step>) -> Option<&Upstream> {
        let Scene { plan, host, .. } = self.scene;
        let Some(upstream) = plan.place(range).upstream.and_then(|link| plan.upstream(link)) else {
            let problem = plan.bindings.problems.first().map(ToString::to_string);
            let value = "the range has no upstream".to_owned();
            steps.push(no(Subject::Upstream, value, Some(problem.unwrap_or_else(|| NO_UPSTREAM.to_owned()))));
            return None;
        };
        let name = self.name(upstream.link);
        if host.links.is_up(upstream.link) {
            steps.push(yes(Subject::Upstream, format!("{name}, {}", upstream.mac)));
        } else {
            // What arrives is answered all the same; but nothing arrives.
            let remedy = format!("`ip link set {name} up`, and look at its cable or its other end");
            steps.push(no(Subject::Upstream, format!("{name} is down or has no carrier"), Some(remedy)));
        }
        Some(upstream)
    }

    fn tell_mode(&self, range: RangeId, target: Ipv6Addr, now: Time, steps: &mut Vec<Step>) {
        let policy = self.scene.plan.range(range);
        match policy.answer {
            Answer::Never => {
                let (value, remedy) = match self.scene.plan.place(range).upstream {
                    Some(_) => ("", Some("write answer = \"live\" for the range".to_owned())),
                    None => (
                        ", and no upstream, where somebody could ask: what is routed here is forwarded",
                        None,
                    ),
                };
                steps.push(no(Subject::Mode, format!("never: the range has routes only{value}"), remedy));
                if policy.looks_for_guests() {
                    self.explain_routed(range, target, now, steps);
                }
            }
            Answer::Always => {
                steps.push(yes(Subject::Mode, "always: for every address of the range".to_owned()));
            }
            Answer::Live => steps.push(yes(Subject::Mode, "live: for guests that exist".to_owned())),
        }
    }

    fn tell_decision(
        &self,
        decision: Decision,
        range: RangeId,
        target: Ipv6Addr,
        now: Time,
        steps: &mut Vec<Step>,
    ) -> Expected {
        let downstream = |link| yes(Subject::Downstream, self.name(link));
        match decision {
            Decision::Answer(because) => {
                match because {
                    Because::Always => steps.push(yes(Subject::Downstream, self.downstream_named(range))),
                    Because::Host(owner) => {
                        let value = format!("the host itself has it, on {}", self.name(owner));
                        steps.push(yes(Subject::Liveness, value));
                    }
                    Because::NextHop(hop) => steps.extend(self.behind_live_hop(&hop, now)),
                    Because::Layer3(link) => {
                        steps.push(downstream(link));
                        let value = "the kernel routes it to an interface without Neighbor Discovery";
                        steps.push(yes(Subject::Liveness, value.to_owned()));
                    }
                    Because::Router => {}
                }
                Expected::Answered
            }
            Decision::AnswerLive(live) | Decision::AskBefore(live) => {
                let place = yes(Subject::Downstream, self.place_of(&live));
                steps.extend([place, yes(Subject::Liveness, self.vouched(target, &live, now))]);
                Expected::Answered
            }
            Decision::Drop(DropReason::Conflict) => {
                if let Some(live) = self.scene.guests.live(target) {
                    steps.extend([downstream(live.link), yes(Subject::Liveness, alive(&live, now))]);
                }
                let rival = self.scene.rivals.owner(target).unwrap_or(Mac([0; 6]));
                let value = format!("{rival}, on the upstream link, says that it has this address");
                let remedy = "one of the two has to give the address up".to_owned();
                steps.push(no(Subject::Rival, value, Some(remedy)));
                Expected::Dropped(DropReason::Conflict)
            }
            Decision::Drop(DropReason::Excluded) => {
                let value = "the router of the default route has it, and answers for itself".to_owned();
                steps.push(no(Subject::Exclude, value, None));
                Expected::Dropped(DropReason::Excluded)
            }
            Decision::Drop(reason) => {
                match reason {
                    DropReason::NoDownstream => steps.push(self.no_downstream(range, target)),
                    DropReason::RoutedBack => steps.push(self.routed_back(range, target)),
                    DropReason::Standby => steps.push(self.stands_by(range)),
                    _ => {}
                }
                Expected::Dropped(reason)
            }
            // Of a stranger that checks for duplicates.
            Decision::Listen => Expected::Probing,
            Decision::Wait => {
                steps.push(yes(Subject::Downstream, self.downstream_named(range)));
                steps.push(open(Subject::Liveness, "being asked for at this moment".to_owned(), None));
                Expected::Probing
            }
            Decision::AskHops => self.tell_hops(range, target, steps),
            Decision::Ask | Decision::Neighbor(..) => self.tell_asking(range, target, steps),
        }
    }

    fn tell_source(&self, upstream: &Upstream, target: Ipv6Addr, steps: &mut Vec<Step>) -> bool {
        let links = &self.scene.host.links;
        match answer::advertisement(upstream, &router_on(upstream.link), target, links) {
            Some(advertisement) => {
                steps.push(yes(Subject::Source, format!("from {}", advertisement.source)));
                true
            }
            None => {
                let value = "the upstream has no address that an answer could come from".to_owned();
                let remedy = "give it one, or choose another `source` in [[upstream]]".to_owned();
                steps.push(no(Subject::Source, value, Some(remedy)));
                false
            }
        }
    }

    fn downstream_named(&self, RangeId(range): RangeId) -> String {
        match self.scene.plan.bindings.ranges[range].downstreams.as_slice() {
            [] => "by the kernel's routes".to_owned(),
            links @ [_, _, _, _, ..] => format!("{} interfaces", links.len()),
            links => links.iter().map(|link| self.name(*link)).collect::<Vec<_>>().join(", "),
        }
    }

    fn ranges_listed(&self) -> String {
        match self.scene.plan.policy.ranges.as_slice() {
            [] => "there is no range".to_owned(),
            [only] => format!("outside the only range, {}", only.prefix),
            all => format!("outside all {} ranges", all.len()),
        }
    }

    fn name(&self, link: IfIndex) -> String {
        self.scene.host.links.name(link)
    }
}

fn not_admitted(gateway: Ipv6Addr) -> Step {
    let value =
        format!("not admitted: the gateway {gateway} answers the host, and nothing from this address");
    let remedy = "ask the provider for a routed prefix, for a second MAC, or to admit the address";
    no(Subject::Provider, value, Some(remedy.to_owned()))
}

/// A question as the provider's router asks it.
fn router_on(link: IfIndex) -> Asker {
    Asker { link, mac: Mac([0; 6]), address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1) }
}

/// Addresses that are never answered, whatever the configuration.
fn unanswerable(target: Ipv6Addr) -> Option<(DropReason, String)> {
    let (reason, why) = if target.is_multicast() {
        (DropReason::TargetMulticast, "a multicast address: nobody is asked for it")
    } else if target.is_unspecified() {
        (DropReason::TargetUnspecified, "the unspecified address: nobody can have it")
    } else if target.is_loopback() {
        (DropReason::TargetLoopback, "the loopback address: it never leaves a host")
    } else if target.to_ipv4_mapped().is_some() {
        (DropReason::TargetV4Mapped, "an IPv4-mapped address: it is never on a link")
    } else if target.is_unicast_link_local() {
        (DropReason::TargetLinkLocal, "a link-local address: it is valid on its own link only")
    } else {
        return None;
    };
    Some((reason, why.to_owned()))
}

fn alive(live: &Live, now: Time) -> String {
    let mac = live.mac.map_or_else(String::new, |mac| format!("{mac}, "));
    format!("live: {mac}known by {}, seen {} s ago", live.evidence.as_str(), now.since(live.seen).as_secs())
}

fn yes(subject: Subject, value: String) -> Step {
    Step { subject, holds: Holds::Yes, value, remedy: None }
}

fn no(subject: Subject, value: String, remedy: Option<String>) -> Step {
    Step { subject, holds: Holds::No, value, remedy }
}

fn open(subject: Subject, value: String, remedy: Option<String>) -> Step {
    Step { subject, holds: Holds::Open, value, remedy }
}

const NO_UPSTREAM: &str = "name one with `interface` in [[upstream]]";
