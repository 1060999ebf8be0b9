//! The interfaces that are listened to: upstreams for questions, downstreams for their guests.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;

use super::keeper::{Keeper, Manner, Step};
use crate::engine::change::Outcome;
use crate::engine::effect::{Ear, Output, Role};
use crate::engine::facts::IfIndex;
use crate::engine::host::Host;
use crate::engine::plan::problem::Problem;
use crate::engine::plan::{Plan, Served};
use crate::engine::policy::Answer;
use crate::engine::seed::Seed;
use crate::engine::time::Time;

/// The ears that are wanted, and what becomes of them.
#[derive(Debug)]
pub struct Ears {
    kept: Keeper<IfIndex, Ear>,
    /// By range, the downstreams on which its guests are heard.
    by_range: BTreeMap<Ipv6Net, Vec<IfIndex>>,
    /// By downstream, for how many ranges.
    heard_for: BTreeMap<IfIndex, usize>,
    /// What has to be looked at again.
    touched: BTreeSet<IfIndex>,
    /// Those that the kernel refuses, and what it said last.
    refused: BTreeMap<IfIndex, String>,
}

impl Ears {
    /// None yet.
    pub fn new(seed: Seed) -> Self {
        Self {
            kept: Keeper::new(Manner::Assumed, seed),
            by_range: BTreeMap::new(),
            heard_for: BTreeMap::new(),
            touched: BTreeSet::new(),
            refused: BTreeMap::new(),
        }
    }

    /// The range is served like this now; `None` where it is gone.
    pub fn serve(&mut self, prefix: Ipv6Net, served: Option<&Served>, plan: &Plan, host: &Host) {
        let mut links = match served {
            Some((range, place)) if range.looks_for_guests() || range.proxy_downstream => {
                plan.downstreams_of(range, place, host)
            }
            _ => Vec::new(),
        };
        links.sort_unstable();
        links.dedup();
        let before = self.by_range.remove(&prefix).unwrap_or_default();
        for link in links.iter().filter(|link| before.binary_search(link).is_err()) {
            *self.heard_for.entry(*link).or_default() += 1;
            self.touched.insert(*link);
        }
        for link in before.iter().filter(|link| links.binary_search(link).is_err()) {
            if let Some(count) = self.heard_for.get_mut(link) {
                *count -= 1;
                if *count == 0 {
                    self.heard_for.remove(link);
                }
            }
            self.touched.insert(*link);
        }
        if !links.is_empty() {
            self.by_range.insert(prefix, links);
        }
    }

    /// Whether guests are heard on this interface, or will be soon.
    pub fn hears_guests_on(&self, link: IfIndex) -> bool {
        self.heard_for.contains_key(&link)
    }

    /// Something happened to this interface.
    pub fn touch(&mut self, link: IfIndex) {
        self.touched.insert(link);
    }

    /// Wants the ears that the plan asks for, where something happened: on a few interfaces at a time. `neighbors` are
    /// the prefixes on the link of an upstream that guests may ask for. How many interfaces that were.
    pub fn settle(&mut self, plan: &Plan, host: &Host, neighbors: impl Fn(IfIndex) -> Vec<Ipv6Net>) -> usize {
        let mut count = 0;
        while count < AT_ONCE
            && let Some(link) = self.touched.pop_first()
        {
            count += 1;
            // An upstream is never listened to as a downstream.
            let ear = match (plan.upstream(link), host.links.mac(link)) {
                (Some(upstream), _) => {
                    let served = plan.served().filter(|(range, place)| {
                        place.upstream == Some(link) && range.answer != Answer::Never
                    });
                    let ranges = served.map(|(range, _)| range.prefix);
                    let routers = plan.routers_to_hear(upstream, host).into_iter().map(Ipv6Net::from);
                    let mut neighbors = neighbors(link);
                    let answering = plan.routers_that_answer(upstream, host).into_iter().map(Ipv6Net::from);
                    let is_new = |router: &Ipv6Net| !neighbors.iter().any(|known| known.contains(router));
                    let answering: Vec<_> = answering.filter(is_new).collect();
                    neighbors.extend(answering);
                    let role = Role::Upstream { ranges: ranges.chain(routers).collect(), neighbors };
                    Some(Ear { mac: upstream.mac, role })
                }
                (None, Some(mac)) if self.heard_for.contains_key(&link) => {
                    Some(Ear { mac, role: Role::Downstream })
                }
                _ => None,
            };
            if ear.is_none() {
                self.refused.remove(&link);
            }
            self.kept.want(link, ear);
        }
        count
    }

    /// True if nothing has happened since the last look.
    pub fn is_quiet(&self) -> bool {
        self.kept.is_quiet()
    }

    /// The changes to ask for.
    pub fn changes(&mut self) -> impl Iterator<Item = Output> {
        self.kept.steps().into_iter().map(|(link, step)| match step {
            Step::Add(ear) => Output::Listen(link, ear),
            Step::Remove(_) => Output::Unlisten(link),
        })
    }

    /// What became of a change. True if that is another refusal than before, or none any more.
    pub fn outcome(&mut self, link: IfIndex, outcome: &Outcome, now: Time) -> bool {
        self.kept.outcome(link, true, outcome, now);
        match outcome {
            Outcome::Failed(said) if self.kept.wanted(&link).is_some() => {
                self.refused.insert(link, said.clone()).as_ref() != Some(said)
            }
            _ => self.refused.remove(&link).is_some(),
        }
    }

    /// The upstreams that are not heard. A downstream that is not heard is one among others, and may be about to go.
    pub fn problems(&self, plan: &Plan, host: &Host) -> impl Iterator<Item = Problem> {
        let is_needed = |link| {
            let upstream = plan.upstream(link).map(|upstream| &plan.policy.upstreams[upstream.policy]);
            upstream.is_some_and(|upstream| plan.policy.needs(upstream))
        };
        let upstreams = self.refused.iter().filter(move |(link, _)| is_needed(**link));
        upstreams.filter_map(|(link, said)| {
            Some(Problem::UpstreamNotHeard(host.links.get(*link)?.name, said.clone()))
        })
    }

    /// When something is tried again.
    pub fn next_due(&self) -> Option<Time> {
        self.kept.next_due()
    }

    /// Tries again what is due.
    pub fn tick(&mut self, now: Time) {
        self.kept.tick(now);
    }
}

/// On as many interfaces at a time.
const AT_ONCE: usize = 256;
