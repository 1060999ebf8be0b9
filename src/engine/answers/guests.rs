//! Questions on a downstream (`proxy-downstream`): guests that believe more to be on their link than is
//! there are answered with this host's link-layer address, so that what they send comes here and is
//! forwarded. It is the other half of RFC 4389, and each kind of target has its own way:
//!
//! 1. the upstream's router, also a link-local one;
//! 2. addresses of the host on other interfaces;
//! 3. guests behind another downstream;
//! 4. what else is on the upstream's link.
//!
//! A guest's Duplicate Address Detection is never answered (it would fail), and neither is a question for what
//! is on the asker's own link: the one that is there answers for itself.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;
use prefix_trie::PrefixMap;

use super::{AlsoGuest, Because, Decision, Scene};
use crate::engine::asker::Asker;
use crate::engine::facts::IfIndex;
use crate::engine::host::Host;
use crate::engine::liveness::{Ground, Standing};
use crate::engine::ours::Ours;
use crate::engine::plan::bindings::Upstream;
use crate::engine::plan::{self, Plan, RangeId};
use crate::engine::policy::{Answer, Mld, Source};
use crate::wire::DropReason;

/// Where guests are answered on their own link, and what is on the upstreams' links.
#[derive(Debug, Default)]
pub struct Neighborhood {
    /// The downstreams on which guests are answered, and the upstreams whose neighbors they may mean.
    asked_on: BTreeMap<IfIndex, Vec<IfIndex>>,
    /// What is on-link at these upstreams.
    on_link: PrefixMap<Ipv6Net, IfIndex>,
}

impl Neighborhood {
    /// As the plan has it on this host.
    pub fn of(plan: &Plan, host: &Host, ours: &Ours) -> Self {
        let mut asked_on: BTreeMap<IfIndex, Vec<IfIndex>> = BTreeMap::new();
        for (range, place) in plan.served() {
            let Some(upstream) = place.upstream.filter(|_| range.proxy_downstream) else { continue };
            for link in plan.downstreams_of(range, place, host) {
                // Without a link layer nobody asks.
                if plan.upstream(link).is_none() && host.links.mac(link).is_some() {
                    let upstreams = asked_on.entry(link).or_default();
                    if !upstreams.contains(&upstream) {
                        upstreams.push(upstream);
                    }
                }
            }
        }
        let mut on_link = PrefixMap::new();
        for upstream in asked_on.values().flatten().copied().collect::<BTreeSet<_>>() {
            for prefix in plan::on_link(upstream, plan, host, ours) {
                on_link.entry(prefix).or_insert(upstream);
            }
        }
        Self { asked_on, on_link }
    }

    /// The upstreams for whose links guests on this one are answered; none where they are not.
    pub fn upstreams_of(&self, downstream: IfIndex) -> &[IfIndex] {
        self.asked_on.get(&downstream).map_or(&[], Vec::as_slice)
    }

    /// Every downstream on which guests are answered, and the upstreams for whose links.
    pub fn downstreams(&self) -> impl Iterator<Item = (IfIndex, &[IfIndex])> {
        self.asked_on.iter().map(|(link, upstreams)| (*link, upstreams.as_slice()))
    }

    /// The upstream on whose link the address is.
    pub fn link_of(&self, address: Ipv6Addr) -> Option<IfIndex> {
        self.on_link.get_lpm(&Ipv6Net::from(address)).map(|(_, upstream)| *upstream)
    }

    /// What is on the link of this upstream, as far as guests may ask for it.
    pub fn prefixes_of(&self, upstream: IfIndex) -> Vec<Ipv6Net> {
        self.on_link.iter().filter(|(_, link)| **link == upstream).map(|(prefix, _)| prefix).collect()
    }

    /// The upstream on whose link the target is, if packets for it leave by that.
    pub fn upstream_towards(&self, target: Ipv6Addr, host: &Host) -> Option<IfIndex> {
        self.link_of(target).filter(|upstream| host.leads_to(target, None) == Some(*upstream))
    }

    /// The groups that are joined on downstreams: of the router, which all guests ask for, and of the upstream's
    /// addresses. Which neighbors they will ask for nobody knows before.
    pub fn groups(&self, plan: &Plan, host: &Host) -> BTreeSet<(IfIndex, Ipv6Net)> {
        let mut groups = BTreeSet::new();
        for (downstream, upstreams) in self.downstreams() {
            let joined = |link: &IfIndex| plan.upstream(*link).is_some_and(|upstream| upstream.mld.reports());
            for upstream in upstreams.iter().copied().filter(joined) {
                let own = host.links.addresses_of(upstream).map(|known| known.address);
                let own = own.filter(|address| !address.is_unicast_link_local());
                let targets = own.chain(host.routes.routers(upstream));
                let elsewhere = targets.filter(|target| !host.links.has(downstream, *target));
                groups.extend(elsewhere.map(|target| (downstream, Ipv6Net::from(target))));
            }
        }
        groups
    }
}

impl Neighborhood {
    /// The links on which a multicast router is advertised: upstreams where that is wanted, and the downstreams on which
    /// guests ask for what is on those.
    pub fn snooped(&self, plan: &Plan) -> BTreeSet<IfIndex> {
        let is_told = |link: &IfIndex| plan.upstream(*link).is_some_and(|up| up.mld == Mld::Router);
        let downstreams = self.downstreams().filter(|(_, upstreams)| upstreams.iter().any(is_told));
        let upstreams = plan.bindings.upstreams.iter().map(|upstream| upstream.link).filter(is_told);
        downstreams.map(|(link, _)| link).chain(upstreams).collect()
    }
}

impl Scene<'_> {
    /// What a guest's question on its own link comes to, where guests are answered there.
    pub fn decide_for_guest(&self, asker: &Asker, target: Ipv6Addr) -> Decision {
        let Self { plan, host, neighborhood, .. } = *self;
        // RFC 4861 §7.2.3: for "a valid unicast or anycast address assigned to the receiving
        // interface" the kernel answers.
        if host.links.has(asker.link, target) {
            return NOT_OURS;
        }
        let upstreams = neighborhood.upstreams_of(asker.link);
        if upstreams.iter().any(|upstream| host.routes.is_router_of(*upstream, target)) {
            return Decision::Answer(Because::Router);
        }
        // Others of these are on the asker's own link.
        if target.is_unicast_link_local() {
            return NOT_OURS;
        }
        let is_on_link = neighborhood.link_of(target).is_some_and(|link| upstreams.contains(&link));
        if host.links.is_of_host(target) {
            return match host.links.owners(target).next().filter(|_| is_on_link) {
                Some(owner) => Decision::Answer(Because::Host(owner)),
                None => NOT_OURS,
            };
        }
        let upstream = neighborhood.upstream_towards(target, host).filter(|link| upstreams.contains(link));
        let neighbor =
            |reason| upstream.map_or(Decision::Drop(reason), |up| Decision::Neighbor(up, AlsoGuest::No));
        let Some(range) = plan.find(target) else { return neighbor(DropReason::NotUpstream) };
        if plan.index.excludes(range, target) {
            return Decision::Drop(DropReason::Excluded);
        }
        if plan.range(range).looks_for_guests() {
            return self.decide_other_guest(asker, target, range, upstream);
        }
        if plan.range(range).answer != Answer::Always {
            return neighbor(DropReason::NeverAnswered);
        }
        // All of it is behind its downstreams, also behind that of the asker if it is one.
        if plan.behind(range, target, host).contains(asker.link) {
            return NOT_OURS;
        }
        match plan.check_whole(range, target, host) {
            Err(DropReason::RoutedBack) => neighbor(DropReason::RoutedBack),
            Ok(()) => Decision::Answer(Because::Always),
            Err(reason) => Decision::Drop(reason),
        }
    }

    /// The target is of a range, so it may be a guest; where the upstream's link has the same prefix,
    /// it may be there as well.
    fn decide_other_guest(
        &self,
        asker: &Asker,
        target: Ipv6Addr,
        range: RangeId,
        upstream: Option<IfIndex>,
    ) -> Decision {
        if let Some(decision) = self.decide_behind_hops_for_guest(asker, target, range) {
            return decision;
        }
        let standing = self.guests.standing(target);
        if let Some(live) = self.guests.live(target) {
            let is_up = self.host.links.is_up(live.link);
            return if is_up { Decision::AnswerLive(live) } else { Decision::Drop(DropReason::NoDownstream) };
        }
        let is_being_asked = standing == Standing::Probing && !self.guests.is_unasked(target);
        let ground = self.downstreams();
        let behind = self.plan.behind(range, target, self.host);
        let layer_3 = self.plan.routed_to_layer_3(range, target, self.host);
        let may_be_elsewhere =
            layer_3.is_some() || behind.iter().any(|link| *link != asker.link && ground.can_ask(*link));
        match upstream {
            // The one that is found first is answered for. The asker waits in one place only, so that it gets
            // one answer.
            Some(upstream) => {
                let is_known = is_being_asked || self.neighbors.live(target).is_some();
                let also = if may_be_elsewhere && !is_known { AlsoGuest::Yes } else { AlsoGuest::No };
                Decision::Neighbor(upstream, also)
            }
            None if behind.contains(asker.link) && !may_be_elsewhere => NOT_OURS,
            None if is_being_asked => Decision::Wait,
            None => layer_3.map_or(Decision::Ask, |link| Decision::Answer(Because::Layer3(link))),
        }
    }

    /// What an answer on this downstream takes from it.
    ///
    /// The source follows the scope of the asker, whatever `source` says: that is about the provider. So
    /// does the upstream's R flag, for guests and neighbors, of which it is not known what they are. For
    /// the router, and for addresses of this host, the flag is set as they would set it themselves:
    /// RFC 4861 §7.2.5 has a host drop the default routes by a neighbor that is "no longer a router",
    /// and Linux sets it in its own answers while it forwards, which is what all of this is for.
    pub fn face_towards_guests(&self, link: IfIndex, target: Ipv6Addr) -> Option<Upstream> {
        let Self { plan, host, neighborhood, .. } = *self;
        let upstream =
            neighborhood.upstreams_of(link).iter().find_map(|upstream| plan.upstream(*upstream))?;
        Some(Upstream {
            link,
            mac: host.links.mac(link)?,
            router: upstream.router || host.routes.is_router(target) || host.links.is_of_host(target),
            source: Source::Scope,
            link_local: host.links.link_local(link),
            global: host.links.global(link),
            has_several: true,
            ..*upstream
        })
    }
}

/// The one that has it is on the asker's own link, or nobody's that is answered for.
const NOT_OURS: Decision = Decision::Drop(DropReason::NotUpstream);
