//! Why an address is answered for, or why it is not: the decision of `question`, told step by step.
//!
//! Looks, and changes nothing. The steps are in the order of the decision (design.md §4), and the
//! outcome is what a solicitation from the router would come to at this moment; a test holds both to
//! what the engine then does.

mod place;

use core::net::Ipv6Addr;

use super::Engine;
use super::answer::{self, Asker};
use super::bindings::{Place, Upstream};
use super::facts::IfIndex;
use super::policy::Answer;
use super::ranges::RangeId;
use super::targets::{Live, State};
use super::time::Time;
use crate::wire::{DropReason, Mac};

/// Why an address is answered for, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The address.
    pub target: Ipv6Addr,
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
    /// Whether somebody else says that he has it.
    Rival,
    /// Where the answer comes from.
    Source,
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

/// A step that ends the decision.
type Ended = Expected;

impl Engine {
    /// Why the address is answered for, or not, at the time `now`.
    pub fn explain(&self, target: Ipv6Addr, now: Time) -> Explanation {
        let mut steps = Vec::new();
        let outcome = self.decide(target, now, &mut steps);
        Explanation { target, steps, outcome }
    }

    fn decide(&self, target: Ipv6Addr, now: Time, steps: &mut Vec<Step>) -> Ended {
        if let Some((reason, why)) = unanswerable(target) {
            steps.push(no(Subject::Address, why, None));
            return Expected::Dropped(reason);
        }
        steps.push(yes(Subject::Address, "a unicast address of more than this link".to_owned()));
        if let Some(upstream) = self.bindings.upstreams.iter().find(|up| self.links.has(up.link, target)) {
            let value = format!("an address of {} itself: the kernel answers", self.name(upstream.link));
            steps.push(no(Subject::Address, value, None));
            return Expected::Dropped(DropReason::UpstreamAddress);
        }
        let Some(range) = self.ranges.find(target) else {
            steps.push(no(Subject::Range, self.ranges_listed(), Some(self.remedy_for_no_range(target))));
            return Expected::Dropped(DropReason::NoRange);
        };
        let policy = &self.policy.ranges[range.0];
        steps.push(yes(Subject::Range, policy.prefix.to_string()));
        let upstream = match self.explain_upstream(range, steps) {
            Ok(upstream) => upstream,
            Err(ended) => return ended,
        };
        if self.ranges.excludes(range, target) {
            let remedy = "take it out of `exclude` of the range".to_owned();
            steps.push(no(Subject::Exclude, "excluded from its range".to_owned(), Some(remedy)));
            return Expected::Dropped(DropReason::Excluded);
        }
        let outcome = match policy.answer {
            Answer::Never => {
                let remedy = "write answer = \"live\" for the range".to_owned();
                steps.push(no(Subject::Mode, "never: the range has routes only".to_owned(), Some(remedy)));
                if policy.looks_for_guests() {
                    self.explain_routed(range, target, now, steps);
                }
                return Expected::Dropped(DropReason::NeverAnswered);
            }
            Answer::Always => {
                steps.push(yes(Subject::Mode, "always: for every address of the range".to_owned()));
                self.explain_always(range, target, steps)
            }
            Answer::Live => {
                steps.push(yes(Subject::Mode, "live: for guests that exist".to_owned()));
                self.explain_live(range, target, upstream.link, now, steps)
            }
        };
        // The source matters only where there is something to send.
        if outcome == Expected::Answered
            && let Some(ended) = no_source(upstream, target, steps)
        {
            return ended;
        }
        if !matches!(outcome, Expected::Dropped(_)) {
            steps.push(self.explain_route(range, target));
        }
        outcome
    }

    fn explain_upstream(&self, range: RangeId, steps: &mut Vec<Step>) -> Result<&Upstream, Ended> {
        let link = self.bindings.ranges.get(range.0).and_then(|place: &Place| place.upstream);
        let Some(upstream) = link.and_then(|link| self.bindings.upstream(link)) else {
            let problem = self.bindings.problems.first().map(ToString::to_string);
            let value = "the range has no upstream".to_owned();
            steps.push(no(Subject::Upstream, value, Some(problem.unwrap_or_else(|| NO_UPSTREAM.to_owned()))));
            return Err(Expected::Dropped(DropReason::NoRange));
        };
        let name = self.name(upstream.link);
        if self.links.is_up(upstream.link) {
            steps.push(yes(Subject::Upstream, format!("{name}, {}", upstream.mac)));
        } else {
            // What arrives is answered all the same; but nothing arrives.
            let remedy = format!("`ip link set {name} up`, and look at its cable or its other end");
            steps.push(no(Subject::Upstream, format!("{name} is down or has no carrier"), Some(remedy)));
        }
        Ok(upstream)
    }

    fn explain_always(&self, range: RangeId, target: Ipv6Addr, steps: &mut Vec<Step>) -> Ended {
        match self.check_downstream(range) {
            Ok(()) => {
                steps.push(yes(Subject::Downstream, self.downstream_named(range)));
                Expected::Answered
            }
            Err(reason) => {
                steps.push(self.no_downstream(range, target));
                Expected::Dropped(reason)
            }
        }
    }

    fn explain_live(
        &self,
        range: RangeId,
        target: Ipv6Addr,
        upstream: IfIndex,
        now: Time,
        steps: &mut Vec<Step>,
    ) -> Ended {
        if let Some(owner) = self.links.owners(target).find(|owner| *owner != upstream) {
            let value = format!("the host itself has it, on {}", self.name(owner));
            steps.push(yes(Subject::Liveness, value));
            return Expected::Answered;
        }
        if let Some(State::Live(live)) = self.targets.get(target) {
            steps.push(yes(Subject::Downstream, self.name(live.link)));
            steps.push(yes(Subject::Liveness, alive(live, now)));
            return match self.rivals.speaks_for(target, now) {
                None => Expected::Answered,
                Some(rival) => {
                    let value = format!("{rival}, on the upstream link, says that it is his");
                    let remedy = "one of the two has to give the address up".to_owned();
                    steps.push(no(Subject::Rival, value, Some(remedy)));
                    Expected::Dropped(DropReason::Conflict)
                }
            };
        }
        if self.routes.is_gateway(target) {
            let value = "the gateway of the default route has it, and answers for itself".to_owned();
            steps.push(no(Subject::Exclude, value, None));
            return Expected::Dropped(DropReason::Excluded);
        }
        if self.is_routed_to_layer_3(range, target) {
            let link = self.routes.leads_to(target).expect("a route leads there");
            steps.push(yes(Subject::Downstream, self.name(link)));
            let value = "the kernel routes it to an interface without Neighbor Discovery".to_owned();
            steps.push(yes(Subject::Liveness, value));
            return Expected::Answered;
        }
        if matches!(self.targets.get(target), Some(State::Probing(_))) {
            steps.push(yes(Subject::Downstream, self.downstream_named(range)));
            steps.push(open(Subject::Liveness, "being asked for at this moment".to_owned(), None));
            return Expected::Probing;
        }
        if !self.behind(range, target).iter().any(|link| self.can_probe(*link)) {
            steps.push(self.no_downstream(range, target));
            return Expected::Dropped(self.why_not_probed(range, target));
        }
        steps.push(yes(Subject::Downstream, self.downstream_named(range)));
        let remedy = "the guest has to be up, to have this address, and to be behind that interface";
        let value = match self.targets.get(target) {
            _ if self.neighbors.is_live(target) => {
                "somebody on the upstream's own link has it, and answers there"
            }
            Some(State::Absent) => "did not reply a moment ago; the next question asks it once more",
            _ => "nothing is known of it; the next question asks for it",
        };
        steps.push(open(Subject::Liveness, value.to_owned(), Some(remedy.to_owned())));
        if !self.targets.has_room_for(target) {
            let remedy = "raise `targets` in [limits]".to_owned();
            steps.push(no(Subject::Liveness, "no room for another target".to_owned(), Some(remedy)));
            return Expected::Dropped(DropReason::TargetsFull);
        }
        Expected::Probed
    }

    fn downstream_named(&self, RangeId(range): RangeId) -> String {
        match self.bindings.ranges[range].downstreams.as_slice() {
            [] => "by the kernel's routes".to_owned(),
            links @ [_, _, _, _, ..] => format!("{} interfaces", links.len()),
            links => links.iter().map(|link| self.name(*link)).collect::<Vec<_>>().join(", "),
        }
    }

    fn ranges_listed(&self) -> String {
        match self.policy.ranges.as_slice() {
            [] => "there is no range".to_owned(),
            [only] => format!("outside the only range, {}", only.prefix),
            all => format!("outside all {} ranges", all.len()),
        }
    }

    fn name(&self, link: IfIndex) -> String {
        self.links.get(link).map_or_else(|| format!("#{link}"), |link| link.name.to_string())
    }
}

fn no_source(upstream: &Upstream, target: Ipv6Addr, steps: &mut Vec<Step>) -> Option<Ended> {
    let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let asker = Asker { link: upstream.link, mac: Mac([0; 6]), address: router };
    match answer::advertisement(upstream, &asker, target) {
        Some(advertisement) => {
            steps.push(yes(Subject::Source, format!("from {}", advertisement.source)));
            None
        }
        None => {
            let value = "the upstream has no address that an answer could come from".to_owned();
            let remedy = "give it one, or choose another `source` in [[upstream]]".to_owned();
            steps.push(no(Subject::Source, value, Some(remedy)));
            Some(Expected::Dropped(DropReason::NoSource))
        }
    }
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
    let seen = now.since(live.seen).as_secs();
    format!("live: {mac}known by {}, seen {seen} s ago", live.evidence.as_str())
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
