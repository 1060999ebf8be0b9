//! What the programs in the kernel are told: exactly the live guests that an ordinary question would be answered for
//! at once.
//!
//! Everything else the programs pass on: what the host itself has, what is behind a next hop or on a link without Neighbor
//! Discovery. Ranges that are answered for as a whole they are told as such (`mirrored_ranges`).

use core::net::Ipv6Addr;

use super::{Desk, Phase};
use crate::engine::answers::Decision;
use crate::engine::asker::Asker;
use crate::engine::change::RouteState;
use crate::engine::export::Standing;
use crate::engine::facts::IfIndex;
use crate::engine::house::House;
use crate::engine::keep::Ask;
use crate::engine::policy::{OnStop, RangeRoutes};
use crate::engine::time::Time;
use crate::engine::work::Work;
use crate::wire::Mac;

impl Desk {
    /// The program of this upstream is a predecessor's, and knows these guests.
    pub fn inherit_mirrored(&mut self, link: IfIndex, guests: Vec<(Ipv6Addr, Time)>) -> Work {
        self.house.keep.mirror.inherit(link, guests);
        Work::Inherited(link)
    }

    /// At most so many of these: as far as they are guests still they are answered for at once, and asked whether they are
    /// still there; of all others the program knows nothing from here on. Whether that were the last.
    pub(super) fn meet_inherited(&mut self, link: IfIndex, most: usize, now: Time) -> bool {
        let met = self.house.keep.mirror.meet(link, most);
        for guest in &met {
            let House { plan, host, guests, .. } = &mut self.house;
            let Some(range) = plan.find(*guest) else { continue };
            // Where a guest has a route of its own, that says where it is, and whether it is.
            let is_unknown = guests.standing(*guest) == Standing::Unknown;
            if plan.range(range).routes == RangeRoutes::Guests || !is_unknown {
                continue;
            }
            if let [downstream] = *plan.behind(range, *guest, host).as_slice()
                && plan.may_live(*guest, downstream, host)
                && host.links.is_up(downstream)
            {
                guests.inherit(*guest, downstream, now);
            }
        }
        self.settle(now);
        met.iter().for_each(|guest| self.mirror_target(*guest, now));
        met.len() < most
    }

    /// The program of this upstream has answered so many questions, so many of them for these guests: what follows from
    /// an answer follows from those.
    pub fn answered_there(&mut self, link: IfIndex, all: u64, guests: Vec<(Ipv6Addr, u32)>, now: Time) {
        self.house.counters.answered(link, all);
        for (target, count) in guests {
            self.house.guests.count_answers(target, count);
            let (guests, ground, budget) = self.house.guests();
            if let Some(live) = guests.live(target) {
                guests.confirm_if_old(target, &live, &ground, budget, now);
                self.ask_link(target, link, now);
            }
        }
    }

    /// Asks the kernel for what is to change.
    pub fn ask_kernel(&mut self, now: Time) {
        self.mirror_touched(now);
        self.settle_guards(now);
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
        if ask == Ask::All {
            self.ask_for_pins(now);
        }
    }

    /// Looks at every guest to which something has happened: what it was, who disputes it, or its route.
    fn mirror_touched(&mut self, now: Time) {
        let House { keep, manners, .. } = &mut self.house;
        let disputed = manners.rivals.take_touched();
        if !keep.mirror.is_any_on() {
            return;
        }
        let mut touched = keep.mirror.take_touched();
        let is_disputed = !disputed.is_empty();
        touched.extend(disputed);
        touched.extend(keep.routes.touched_guests());
        touched.into_iter().for_each(|target| self.mirror_target(target, now));
        self.mirror_ranges(is_disputed, now);
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

/// A station that asks from an address of its own, as a router does. Which one makes no difference.
fn ordinary(link: IfIndex) -> Asker {
    Asker { link, mac: Mac([2, 0, 0, 0, 0, 0]), address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xffff) }
}
