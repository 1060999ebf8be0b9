//! Walks over many targets, each a slice at a time.

use std::collections::BTreeSet;

use ipnet::Ipv6Net;

use super::follow::keeps_route;
use super::{Desk, Phase};
use crate::engine::effect::Output;
use crate::engine::export::{Standing, Why};
use crate::engine::facts::IfIndex;
use crate::engine::house::House;
use crate::engine::liveness::{ENDED, Owner};
use crate::engine::plan::{Changes, Plan};
use crate::engine::time::Time;
use crate::engine::work::{SLICE, Serving, Work};

impl Desk {
    /// Goes on with a walk, for at most `left` targets, and takes off what it has cost. What is left of it.
    pub fn walk(&mut self, work: Work, left: &mut usize, now: Time) -> Option<Work> {
        if let Work::Serve(mut serving) = work {
            let (is_done, cost) = self.serve(&mut serving, now);
            *left = left.saturating_sub(cost);
            return (!is_done).then_some(Work::Serve(serving));
        }
        let (most, known) = (*left, self.house.guests.len() + self.house.neighbors.len());
        let is_end = matches!(work, Work::EndLink(_) | Work::Shrink);
        let is_short = matches!(work, Work::TakenIn);
        let rest = self.walk_on(work, most, now);
        let cost = match &rest {
            None if is_short => SLICE / 32,
            Some(Work::Follow(0)) | None if is_end => {
                known - self.house.guests.len() - self.house.neighbors.len()
            }
            Some(Work::Follow(0)) | None => known,
            Some(_) => most,
        };
        *left -= cost.min(most);
        rest
    }

    fn walk_on(&mut self, work: Work, most: usize, now: Time) -> Option<Work> {
        match work {
            Work::EndLink(link) => {
                let most = most.div_ceil(ENDED);
                let (neighbors, ground, budget) = self.house.neighbors();
                let mut is_done = neighbors.end_on(link, most, &ground, budget, now);
                let (guests, ground, budget) = self.house.guests();
                is_done &= guests.end_on(link, most, &ground, budget, now);
                let (hops, ground, budget) = self.house.next_hops();
                is_done &= hops.end_on(link, most, &ground, budget, now);
                (!is_done).then_some(Work::EndLink(link))
            }
            Work::Stations(stations) => {
                stations.iter().for_each(|(bridge, mac)| self.house.host.stations.forget(*bridge, *mac));
                Some(Work::Doubt(stations, 0))
            }
            Work::Untold(mut gone, behind) => {
                match self.house.host.stations.forget_untold(behind, most, &mut gone) {
                    Some(next) => Some(Work::Untold(gone, Some(next))),
                    None => (!gone.is_empty()).then_some(Work::Doubt(gone, 0)),
                }
            }
            Work::Doubt(stations, from) => {
                let is_gone = |link, mac| stations.contains(&(link, mac));
                if from == 0 {
                    let (hops, ground, budget) = self.house.next_hops();
                    hops.doubt_stations(is_gone, (0, usize::MAX), &ground, budget, now);
                }
                let (guests, ground, budget) = self.house.guests();
                let next = guests.doubt_stations(is_gone, (from, most), &ground, budget, now);
                next.map(|next| Work::Doubt(stations, next))
            }
            Work::Review(changed, from) => match self.review(&changed, (from, most), now) {
                Some(next) => Some(Work::Review(changed, next)),
                None => Some(Work::Follow(0)),
            },
            Work::Follow(from) => self.follow_plan(from, most).map(Work::Follow),
            Work::Identities(from) => {
                self.review_identities(from, most.div_ceil(ENDED), now).map(Work::Identities)
            }
            Work::Mirror(from) => self.mirror_from(from, most, now).map(Work::Mirror),
            Work::Inherited(link) => {
                let is_done = self.meet_inherited(link, most.div_ceil(MET), now);
                (!is_done).then_some(Work::Inherited(link))
            }
            Work::Export(from) => self.export_from(from, most).map(Work::Export),
            Work::Wake(prefix, from) => {
                self.wake(prefix, from, most, now).map(|next| Work::Wake(prefix, next))
            }
            Work::Announce(upstreams, from) => {
                let (live, next) = self.house.guests.live_from(from, most);
                for (_, target, live) in live {
                    let upstream = self.house.plan.upstream_of(target);
                    let Some(is_new) = upstream.and_then(|up| upstreams.get(&up.link)) else { continue };
                    if *is_new {
                        self.house.guests.set_owner(target, Owner::Unknown);
                    }
                    if live.place().is_proved() {
                        self.begin_claim(target, live.since, now);
                    }
                }
                next.map(|next| Work::Announce(upstreams, next))
            }
            Work::Hasten(from) => {
                self.house.neighbors.hasten((from, most), now);
                self.house.guests.hasten((from, most), now).map(Work::Hasten)
            }
            Work::Shrink => {
                let mut is_done = self.house.guests.shrink(most);
                is_done &= self.house.neighbors.shrink(most);
                (!is_done).then_some(Work::Shrink)
            }
            Work::Reroute => {
                let House { keep, host, .. } = &mut self.house;
                (keep.routes.hand_over(host, most) == most).then_some(Work::Reroute)
            }
            Work::TakenIn => {
                let House { keep, host, .. } = &mut self.house;
                keep.routes.told_all(host);
                keep.pins.end_dump(now);
                host.stations.is_watching().then(|| Work::Untold(BTreeSet::new(), None))
            }
            Work::GiveBack => {
                let House { keep, host, .. } = &mut self.house;
                let pins = keep.pins.want_less(most);
                Some(match pins + keep.routes.want_less(host, most - pins) == most {
                    true => Work::GiveBack,
                    false => Work::EndReports(IfIndex(0), 0),
                })
            }
            Work::EndReports(link, from) => {
                let House { host, manners, .. } = &mut self.house;
                let mut out = Vec::new();
                let next = manners.end_reports(host, (link, from), &mut out, now);
                self.outputs.extend(out);
                next.map(|(link, from)| Work::EndReports(link, from))
            }
            other => Some(other),
        }
    }

    /// Nothing that the kernel holds for us is wanted any more; its routes follow with [`Work::GiveBack`].
    pub fn give_back(&mut self, now: Time) {
        self.phase = Phase::Stopping;
        let House { keep, host, manners, .. } = &mut self.house;
        let told = manners.give_back_routers(host, now);
        // Said twice, as there is no later time to say it once more.
        let ended = manners.settle_snoopers(&BTreeSet::new(), host, now);
        self.outputs.extend(ended.iter().chain(&ended).cloned());
        keep.want_nothing(host);
        self.outputs.extend(told.into_iter().map(Output::ChangeNeighbor));
    }

    /// What the kernel keeps and how we behave follows the plan, as many ranges or addresses as go in one slice.
    /// Whether that is all, and what it has cost.
    fn serve(&mut self, serving: &mut Serving, now: Time) -> (bool, usize) {
        let House { plan, host, keep, manners, neighborhood, .. } = &mut self.house;
        if !serving.addresses.is_empty() {
            let left = serving.addresses.len().saturating_sub(ADDRESSES);
            let cost = (serving.addresses.len() - left) / 2;
            for address in serving.addresses.drain(left..) {
                manners.settle_address(address, plan, host, now);
            }
            return (false, cost);
        }
        if serving.changes.ranges.is_empty() {
            let Some(from) = serving.all_from.take() else {
                let cost = keep.serve_rest(plan, host, |upstream| neighborhood.prefixes_of(upstream));
                return (cost == 0, cost);
            };
            serving.changes = Changes::none_but(plan, from, RANGES);
            serving.all_from = Some(from + RANGES).filter(|next| *next < plan.policy.ranges.len());
        }
        let rest = serving.changes.split_off(RANGES).unwrap_or_default();
        let changes = std::mem::replace(&mut serving.changes, rest);
        keep.serve(plan, host, &changes, |upstream| neighborhood.prefixes_of(upstream));
        if self.phase == Phase::Serving {
            manners.serve(plan, host, &changes);
            let inside = changes.ranges.keys().flat_map(|prefix| host.links.addresses_inside(prefix));
            serving.addresses = inside.map(|known| known.address).collect();
            serving.addresses.dedup();
        }
        self.tell_changes(&changes);
        let served = changes.iter().flat_map(|(before, after)| before.into_iter().chain(after));
        let downstreams: usize = served.map(|(_, place)| place.downstreams.len()).sum();
        (false, 2 * changes.ranges.len() + downstreams / DOWNSTREAMS)
    }

    /// Ends targets that the plan has no place for. Those who wait for one that is asked for in a range that is
    /// another now have asked for something else: they ask again.
    fn review(&mut self, changed: &BTreeSet<Ipv6Net>, slice: (u32, usize), now: Time) -> Option<u32> {
        let House { guests, plan, host, .. } = &mut self.house;
        let (plan, host): (&Plan, _) = (plan, host);
        let verdict = |target, standing: Standing| {
            let range = plan.find(target).filter(|range| {
                plan.range(*range).looks_for_guests() && !plan.index.excludes(*range, target)
            });
            let Some(range) = range else { return Some(Why::Policy) };
            if plan.is_behind_a_hop(range, target, host) {
                return Some(Why::Elsewhere);
            }
            let is_changed = changed.contains(&plan.range(range).prefix);
            match standing {
                Standing::Live(place) if plan.behind(range, target, host).contains(place.link) => None,
                Standing::Live(_) if is_changed => Some(Why::Policy),
                Standing::Live(_) => Some(Why::Downstream),
                Standing::Probing => is_changed.then_some(Why::Policy),
                Standing::Absent | Standing::Unknown => None,
            }
        };
        guests.review(verdict, slice, now)
    }

    /// Wants routes and counts groups of live targets as the plan has it.
    fn follow_plan(&mut self, from: u32, most: usize) -> Option<u32> {
        let House { guests, plan, host, keep, manners, identities, .. } = &mut self.house;
        let (live, next) = guests.live_from(from, most);
        for (number, target, live) in live {
            match keeps_route(target, plan, &manners.rivals) && !identities.is_late(target) {
                true => keep.routes.want_guest(target, live.link, host),
                false => keep.routes.unwant_guest(target),
            }
            if self.phase == Phase::Serving {
                let joined = plan.group_link(target).filter(|_| live.was_proved);
                manners.groups.count(number, target, joined);
            }
        }
        next
    }
}

/// Ranges that are served in one slice.
const RANGES: usize = 128;
/// As many downstreams of a range cost as much as one target.
const DOWNSTREAMS: usize = 16;
/// A guest that a predecessor's program knew costs as much as so many targets of a walk.
const MET: usize = 8;
/// Addresses of the host that follow in one slice.
const ADDRESSES: usize = 512;
