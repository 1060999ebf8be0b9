//! What the programs in the kernel are told: exactly the live guests that an ordinary question would be answered for
//! at once.
//!
//! Everything else the programs pass on: what a range is answered for as a whole, what the host itself has, what is
//! behind a next hop or on a link without Neighbor Discovery.

use core::net::Ipv6Addr;

use super::{Desk, Phase};
use crate::engine::answer::{responder, treatment};
use crate::engine::answers::Decision;
use crate::engine::asker::Asker;
use crate::engine::change::{Outcome, RouteState};
use crate::engine::facts::IfIndex;
use crate::engine::host::links::Links;
use crate::engine::house::House;
use crate::engine::keep::Ask;
use crate::engine::manners::sources::Sources;
use crate::engine::plan::bindings::Upstream;
use crate::engine::policy::{Backend, OnStop, RangeRoutes, Source};
use crate::engine::time::Time;
use crate::engine::work::Work;
use crate::wire::Mac;
use crate::wire::program::{Exception, Treatment};

impl Desk {
    /// Which upstreams have a program, and what each is made of, follows the plan.
    pub fn settle_programs(&mut self) {
        self.want_programs();
        self.house.keep.mirror.touch_all();
    }

    fn want_programs(&mut self) {
        let House { plan, host, keep, manners, .. } = &mut self.house;
        manners.sources.take_excepted();
        let has_program = |link| {
            let upstream = plan.upstream(link).filter(|upstream| {
                let policy = &plan.policy.upstreams[upstream.policy];
                // Where guests are on the upstream's own link, it depends on who asks.
                policy.backend == Backend::Tc && !plan.is_shared(link)
            });
            let upstream = upstream.filter(|_| host.links.is_up(link))?;
            let mut responder = responder(upstream)?;
            // Which source an asker takes is found out by its questions, of which a program passes on what is asked again.
            if upstream.source == Source::Auto {
                responder.askers = exceptions(upstream, &manners.sources, &host.links);
            }
            Some((link, responder))
        };
        let links = plan.bindings.upstreams.iter().map(|upstream| upstream.link);
        keep.mirror.want_programs(&links.filter_map(has_program).collect());
    }

    /// What became of a program.
    pub fn program_changed(&mut self, link: IfIndex, outcome: &Outcome, now: Time) {
        self.house.keep.mirror.program_changed(link, outcome, now);
    }

    /// Asks the kernel for what is to change.
    pub fn ask_kernel(&mut self, now: Time) {
        self.mirror_touched(now);
        let House { keep, manners, .. } = &mut self.house;
        if self.phase == Phase::Serving && keep.mirror.is_any_on() && manners.sources.take_excepted() {
            self.want_programs();
        }
        let House { keep, written, .. } = &mut self.house;
        if keep.is_quiet() {
            return;
        }
        let ask = match self.phase {
            Phase::Learning => Ask::Ears,
            Phase::Stopping if written.routes.on_stop == OnStop::Keep => Ask::AllButRoutes,
            Phase::Serving | Phase::Stopping => Ask::All,
        };
        keep.changes(ask, &mut self.outputs);
    }

    /// Looks at every guest to which something has happened: what it was, who disputes it, or its route.
    fn mirror_touched(&mut self, now: Time) {
        let House { keep, manners, .. } = &mut self.house;
        let disputed = manners.rivals.take_touched();
        if !keep.mirror.is_any_on() {
            return;
        }
        let mut touched = keep.mirror.take_touched();
        touched.extend(disputed);
        touched.extend(keep.routes.touched_guests());
        touched.into_iter().for_each(|target| self.mirror_target(target, now));
    }

    /// The walk over all guests that is to follow, if it is.
    pub fn mirror_all(&mut self) -> Option<Work> {
        self.house.keep.mirror.take_all_touched().then_some(Work::Mirror(0))
    }

    /// Goes on with that walk, for at most `most` guests. Where it goes on.
    pub(super) fn mirror_from(&mut self, from: u32, most: usize, now: Time) -> Option<u32> {
        let (live, next) = self.house.guests.live_from(from, most);
        live.into_iter().for_each(|(_, target, _)| self.mirror_target(target, now));
        next
    }

    fn mirror_target(&mut self, target: Ipv6Addr, now: Time) {
        let upstream = self.house.mirrored_on(target, now);
        self.house.keep.mirror.want(target, upstream, now);
    }
}

impl House {
    /// How many guests the kernel answers for by itself.
    pub fn count_mirrored(&self) -> usize {
        self.keep.mirror.count()
    }

    /// The upstream on which a program is to answer for this live guest.
    fn mirrored_on(&self, target: Ipv6Addr, now: Time) -> Option<IfIndex> {
        let Self { plan, keep, .. } = self;
        let range = plan.find(target)?;
        let link = plan.place(range).upstream.filter(|link| keep.mirror.is_on(*link))?;
        let Decision::AnswerLive(live) = self.scene().decide(&ordinary(link), target, now) else {
            return None;
        };
        let is_routed = match plan.range(range).routes {
            RangeRoutes::Guests => {
                keep.routes.guest_state(target) == Some((live.link, RouteState::Installed))
            }
            RangeRoutes::Range | RangeRoutes::None => !keep.routes.is_under_way(target, live.link),
        };
        (is_routed && live.link != link).then_some(link)
    }
}

/// The askers on this upstream that are treated otherwise than by its policy.
fn exceptions(upstream: &Upstream, sources: &Sources, links: &Links) -> Vec<Exception> {
    let Some(link) = links.get(upstream.link) else { return Vec::new() };
    let all = sources.exceptions(upstream.link, link.name).into_iter();
    all.map(|((mac, address), kept)| {
        let asker = Asker { link: upstream.link, mac, address };
        let treatment = kept.map_or(Treatment::PassOn, |kept| treatment(upstream, &asker, kept, links));
        Exception { mac, address, treatment }
    })
    .collect()
}

/// A station that asks from an address of its own, as a router does. Which one makes no difference.
fn ordinary(link: IfIndex) -> Asker {
    Asker { link, mac: Mac([2, 0, 0, 0, 0, 0]), address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xffff) }
}
