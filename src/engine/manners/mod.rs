//! How we behave on an upstream: what is announced, who disputes it, the router's entry in the kernel's neighbor
//! table, the groups that switches are told of, and what the kernel is kept from.

pub mod admission;
pub mod announce;
pub mod asked;
mod claims;
pub mod delivery;
pub mod filtered;
pub mod footing;
pub mod groups;
pub mod reports;
pub mod rivals;
mod rounds;
pub mod routers;
pub mod snoopers;
pub mod sources;
pub mod suppression;
mod waiting;

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;

use super::asker::Asker;
use super::change::NeighborChange;
use super::effect::Output;
use super::facts::{IfIndex, NeighborState};
use super::host::{Delta, Host};
use super::plan::bindings::Place;
use super::plan::{Changes, Plan};
use super::policy::{GatewaySource, Limits, RangePolicy};
use super::seed::Seed;
use super::time::Time;
use crate::wire::{Solicitation, group_suffix};
use admission::Admission;
use announce::Announcements;
use asked::Asked;
use delivery::Delivery;
use filtered::Filtered;
use groups::{Groups, Standing};
use reports::{Ground, Reports, Station};
use rivals::Rivals;
use routers::Routers;
use snoopers::Snoopers;
use sources::Sources;

/// Everything that concerns how we behave on upstreams.
#[derive(Debug)]
pub struct Manners {
    /// What is sent of our own accord.
    pub announcements: Announcements,
    /// Which targets the provider admits.
    pub admission: Admission,
    /// Who disputes what is ours.
    pub rivals: Rivals,
    /// What the link says of addresses that are no live guests.
    pub asked: Asked,
    /// Strangers that check whether a target is free, and wait until the link has been asked.
    pub checks: BTreeMap<Ipv6Addr, Vec<Asker>>,
    /// The routers whose entries are ours to keep.
    pub routers: Routers,
    /// Those that may not answer link-local questions.
    pub filtered: Filtered,
    /// The groups that are wanted.
    pub groups: Groups,
    /// What switches are told of them.
    pub reports: Reports,
    /// Where switches are told of a multicast router.
    pub snoopers: Snoopers,
    /// Whether questions come also where nobody has reported their group.
    pub delivery: Delivery,
    /// Which source of answers each asker takes.
    pub sources: Sources,
}

impl Manners {
    /// Nothing yet.
    pub fn new(limits: &Limits, seed: Seed) -> Self {
        Self {
            announcements: Announcements::new(limits),
            admission: Admission::default(),
            rivals: Rivals::default(),
            asked: Asked::new(seed),
            checks: BTreeMap::new(),
            routers: Routers::default(),
            filtered: Filtered::default(),
            groups: Groups::new(limits.groups),
            reports: Reports::new(seed),
            snoopers: Snoopers::new(seed),
            delivery: Delivery::default(),
            sources: Sources::new(seed),
        }
    }

    /// Brings announcements and groups in line with a plan, where the host has changed. The upstreams on which what
    /// is live is to be announced from the beginning, and whether each is new.
    pub fn settle(
        &mut self,
        plan: &Plan,
        host: &Host,
        delta: &Delta,
        on_downstreams: BTreeSet<(IfIndex, Ipv6Net)>,
        now: Time,
    ) -> BTreeMap<IfIndex, bool> {
        for (_, address) in &delta.addresses {
            self.settle_address(*address, plan, host, now);
        }
        for (range, place) in plan.served() {
            let has_link =
                !delta.links.is_empty() && place.downstreams.iter().any(|l| delta.links.contains(l));
            if has_link || delta.has_inside(&range.prefix) {
                self.settle_range(range, place, plan, host);
            }
        }
        self.groups.stand(Standing::Downstreams, on_downstreams);
        for (link, address) in &delta.addresses {
            // The kernel has left the group of an address that it has no more.
            if !host.links.has(*link, *address) && self.groups.is_joined(*link, group_suffix(*address)) {
                self.reports.change(*link, group_suffix(*address), true);
            }
        }
        self.reports.settle(&self.groups, &Listener { host }, now);
        let heard = plan.bindings.upstreams.iter().filter(|upstream| upstream.is_claimed_on());
        let up = heard.filter(|upstream| host.links.is_up(upstream.link));
        let new =
            self.announcements.new_stations(up.map(|upstream| (upstream.link, upstream.mac)).collect(), now);
        if !new.is_empty() {
            self.admission.renew();
        }
        self.settle_rounds(plan, &new, now);
        if new.values().any(|is_new| *is_new) {
            self.asked.forget();
        }
        new
    }

    /// What is announced again at a period follows the upstreams, of which those in `new` begin from the beginning, and
    /// what the provider forgets.
    pub fn settle_rounds(&mut self, plan: &Plan, new: &BTreeMap<IfIndex, bool>, now: Time) {
        let Self { announcements, admission, .. } = self;
        announcements.settle_rounds(plan.bindings.upstreams.iter(), |link| admission.period(link), new, now);
    }

    /// The same where ranges are others than before; the host's addresses in them follow with
    /// [`Self::settle_address`].
    pub fn serve(&mut self, plan: &Plan, host: &Host, changes: &Changes) {
        for (prefix, (_, served)) in &changes.ranges {
            match served {
                Some((range, place)) => self.settle_range(range, place, plan, host),
                None => self.groups.end_range(*prefix),
            }
        }
    }

    fn settle_range(&mut self, range: &RangePolicy, place: &Place, plan: &Plan, host: &Host) {
        match plan.joined_for(range, place) {
            Some(link) => {
                let whole = plan.answered_as_a_whole(range, place, host);
                self.groups.stand_for_range(range.prefix, link, whole);
            }
            None => self.groups.end_range(range.prefix),
        }
    }

    /// An address of the host has come or gone, or is served in another way: it is announced, and its group joined.
    pub fn settle_address(&mut self, address: Ipv6Addr, plan: &Plan, host: &Host, now: Time) {
        let own = plan.own_target(address, host);
        self.announcements.set_own(address, own, now);
        let range = plan.find(address).filter(|range| !plan.index.excludes(*range, address));
        let joined = range.and_then(|_| plan.group_link(address)).filter(|upstream| {
            !address.is_unicast_link_local() && host.links.owners(address).any(|owner| owner != *upstream)
        });
        let what = joined.map(|link| (link, Ipv6Net::from(address))).into_iter().collect();
        self.groups.stand(Standing::Address(address), what);
    }

    /// The routers whose entries are ours to keep, on the upstreams as they are. What the kernel is to be told.
    pub fn settle_routers(&mut self, plan: &Plan, host: &Host, now: Time) -> Vec<NeighborChange> {
        let (mut wanted, mut watched) = (BTreeMap::new(), BTreeMap::new());
        for upstream in plan.bindings.upstreams.iter().filter(|upstream| host.links.is_up(upstream.link)) {
            let into = match upstream.gateway_source {
                GatewaySource::Kernel => continue,
                GatewaySource::Auto => &mut watched,
                GatewaySource::Global => &mut wanted,
            };
            for router in host.routes.routers(upstream.link) {
                into.insert((upstream.link, router), upstream.mac);
            }
        }
        self.filtered.watch(&watched, now);
        wanted.extend(
            watched.into_iter().filter(|((link, router), _)| self.filtered.is_proved(*link, *router)),
        );
        self.keep_routers(wanted, host, now)
    }

    /// Nobody's entry is kept any more.
    pub fn give_back_routers(&mut self, host: &Host, now: Time) -> Vec<NeighborChange> {
        self.filtered.watch(&BTreeMap::new(), now);
        self.keep_routers(BTreeMap::new(), host, now)
    }

    /// The kernel's neighbor table says something of a neighbor on an upstream; `None`: it has no entry any more.
    pub fn entry(&mut self, link: IfIndex, address: Ipv6Addr, state: Option<NeighborState>, now: Time) {
        self.routers.entry(link, address, state, now);
        if let Some(state) = state {
            self.filtered.entry(link, address, state, now);
        }
    }

    fn keep_routers(
        &mut self,
        wanted: BTreeMap<(IfIndex, Ipv6Addr), crate::wire::Mac>,
        host: &Host,
        now: Time,
    ) -> Vec<NeighborChange> {
        let mut changes = self.routers.keep(wanted, now);
        changes.retain(|change| {
            let NeighborChange::Remove(link, _) = change else { return true };
            host.links.get(*link).is_some()
        });
        changes
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Time> {
        let due = [self.announcements.next_due(), self.rivals.next_due(), self.routers.next_due()];
        let provider = [self.filtered.next_due(), self.sources.next_due(), self.admission.next_due()];
        due.into_iter().chain(provider).chain(self.switches_due()).flatten().min()
    }

    /// Whether there is something to tell switches.
    pub fn must_report(&self, now: Time) -> bool {
        self.has_news_for_switches() || self.switches_due().into_iter().flatten().any(|due| due <= now)
    }

    /// Whether something has happened of which switches are to be told, whatever the time is.
    pub fn has_news_for_switches(&self) -> bool {
        !self.groups.is_quiet() || self.delivery.has_news()
    }

    fn switches_due(&self) -> [Option<Time>; 3] {
        [self.reports.next_due(), self.snoopers.next_due(), self.delivery.next_due()]
    }

    /// A question has come on an upstream that has a querier.
    pub fn came(&mut self, link: IfIndex, question: &Solicitation, host: &Host, now: Time) {
        let suffix = group_suffix(question.target);
        let is_reported =
            || self.groups.is_joined(link, suffix) || Listener { host }.is_kernels(link, suffix);
        let is_unreported = question.destination.is_multicast() && !is_reported();
        self.delivery.came(link, is_unreported.then_some(suffix), now);
    }

    /// Tells switches what has changed, and what they have asked for.
    pub fn report(&mut self, host: &Host, out: &mut Vec<Output>, now: Time) {
        for (link, suffix, is_joined) in self.groups.take_wishes() {
            self.reports.change(link, suffix, is_joined);
            if !is_joined {
                self.delivery.ended(link, suffix, now);
            }
        }
        self.reports.tick(&self.groups, &Listener { host }, out, now);
        self.snoopers.tick(out, now);
    }

    /// A multicast router is advertised on these links from now on, and on no others.
    pub fn settle_snoopers(&mut self, wanted: &BTreeSet<IfIndex>, host: &Host, now: Time) -> Vec<Output> {
        let mut out = Vec::new();
        self.snoopers.settle(wanted, &Listener { host }, &mut out, now);
        out
    }

    /// Tells switches that nothing is listened to any more, as much as goes in one slice. Where to go on.
    pub fn end_reports(
        &mut self,
        host: &Host,
        from: (IfIndex, u32),
        out: &mut Vec<Output>,
        now: Time,
    ) -> Option<(IfIndex, u32)> {
        self.reports.end(&self.groups, &Listener { host }, from, out, now)
    }
}

/// The host as reports see it.
struct Listener<'a> {
    host: &'a Host,
}

impl Ground for Listener<'_> {
    fn station(&self, link: IfIndex) -> Option<Station> {
        let links = &self.host.links;
        let mac = links.mac(link).filter(|_| links.is_up(link))?;
        // RFC 3590 §4: without a link-local address a report comes from `::`.
        Some((mac, links.link_local(link).unwrap_or(Ipv6Addr::UNSPECIFIED)))
    }

    fn is_kernels(&self, link: IfIndex, suffix: u32) -> bool {
        self.host.links.addresses_of(link).any(|known| group_suffix(known.address) == suffix)
    }
}
