//! What is announced again at a period, and what is saved where the router has shown that it knows the target.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;
use std::time::Duration;

use super::{Announcements, RETRANS_TIMER, Run, Step};
use crate::engine::effect::Output;
use crate::engine::event::Event;
use crate::engine::facts::IfIndex;
use crate::engine::manners::claims::dad;
use crate::engine::manners::footing::{Announced, Footing};
use crate::engine::manners::rounds::Visit;
use crate::engine::plan::bindings::Upstream;
use crate::engine::policy::Announce;
use crate::engine::time::Time;

impl Announcements {
    /// The upstreams are these, and those in `new` have everything announced from the beginning: what is announced
    /// again, and when, follows. `forgetful` has the period of those whose provider forgets.
    pub fn settle_rounds<'a>(
        &mut self,
        upstreams: impl Iterator<Item = &'a Upstream>,
        forgetful: impl Fn(IfIndex) -> Option<Duration>,
        new: &BTreeMap<IfIndex, bool>,
        now: Time,
    ) {
        let up = upstreams.filter(|upstream| self.stations.contains_key(&upstream.link));
        let periods = up.filter(|upstream| upstream.announce != Announce::No).filter_map(|upstream| {
            let period = upstream.announce.period().into_iter().chain(forgetful(upstream.link)).min();
            Some((upstream.link, period?))
        });
        self.rounds.settle(&periods.collect(), new, now);
    }

    /// Everything on this upstream is announced again at once, where it is announced at a period.
    pub fn hasten(&mut self, link: IfIndex, now: Time) {
        self.rounds.hasten(link, now);
    }

    /// One of the target's advertisements that are still to come on this upstream is not sent. False if there is but one,
    /// or if it is announced again anyway.
    pub fn spare(&mut self, upstream: IfIndex, target: Ipv6Addr) -> bool {
        match self.runs.get_mut(&target) {
            Some(Run::Next(_, Step::Again(left))) if *left > 1 && !self.rounds.has(upstream) => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    /// What rounds have to send by now, for at most `most` targets. Newcomers have had their turn. The link is asked
    /// each time, so that a station which has taken the address meanwhile is not overridden; but we do not give way
    /// to one that wants it.
    pub(super) fn renew(&mut self, most: usize, ground: &impl Announced, out: &mut Vec<Output>, now: Time) {
        for _ in 0..most {
            let Some(target) = self.rounds.next_asked(now) else { break };
            if let Some(footing) = self.renewable(target, ground, now) {
                if !footing.is_free {
                    self.free.push(target);
                }
                self.tell(target, &footing, ground, out);
            }
        }
        for _ in 0..most {
            if self.pace.ready_at() > now {
                return;
            }
            match self.rounds.visit(&self.own, |number| ground.live_at(number), now) {
                None => return,
                Some(Visit::Nobody) => {}
                Some(Visit::Late(link, period, took)) => {
                    out.push(Output::Event(Event::RoundLate(link, period, took)));
                }
                Some(Visit::Target(link, target)) => {
                    let footing = self.renewable(target, ground, now);
                    if let Some(footing) = footing.filter(|footing| footing.upstream.link == link)
                        && self.pace.take(now)
                    {
                        out.push(Output::Solicit(link, dad(&footing.upstream, target)));
                        self.rounds.ask(target, now + RETRANS_TIMER);
                    }
                }
            }
        }
    }

    /// Nothing that is disputed, and nothing that is being announced anyway.
    fn renewable(&self, target: Ipv6Addr, ground: &impl Announced, now: Time) -> Option<Footing> {
        let footing = ground.footing(target, now)?;
        let is_wanted = footing.is_announced && self.rounds.has(footing.upstream.link);
        let is_busy = self.runs.contains_key(&target)
            || self.will_ask(target, ground.number(target))
            || ground.is_route_under_way(target);
        (is_wanted && !footing.is_disputed && !is_busy).then_some(footing)
    }
}
