//! Multicast groups: the solicited-node groups of what is answered for, joined on its upstream.
//!
//! A switch that snoops MLD passes a solicitation on only to those who have reported its group
//! (RFC 4541 §3). RFC 4861 §7.2.8: "A proxy MUST join the solicited-node multicast address(es) that
//! correspond to the IP address(es) assigned to the node for which it is proxying."
//!
//! Counted are live targets that have replied. One that has merely announced itself is asked in a
//! moment anyway, while announcements from invented addresses cost their sender nothing: a join for
//! each would cost us a search through all groups of the link. One that moves to another downstream
//! keeps its group meanwhile. Counted as well are addresses of the host on other interfaces, and
//! every address of a small prefix that is answered for as a whole; and on downstreams on which guests
//! are answered, the gateway and the upstream's addresses.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;

use super::facts::{IfIndex, LinkLayer};
use super::output::Output;
use super::policy::{Answer, Downstream, RangePolicy};
use super::targets::{Live, Proof, State};
use super::{Engine, Event, Phase};
use crate::wire::solicited_node;

/// The groups of every upstream.
#[derive(Debug, Default)]
pub struct Groups {
    /// The upstream of each target that is counted.
    members: BTreeMap<Ipv6Addr, IfIndex>,
    /// What is counted because of what the host is, not of who is live.
    standing: BTreeSet<(IfIndex, Ipv6Net)>,
    /// What is answered for as a whole and has too many addresses.
    too_wide: BTreeSet<Ipv6Net>,
    /// For whom the members were counted: by range, the upstream on which groups are joined.
    served: Vec<(Ipv6Net, Option<IfIndex>)>,
    links: BTreeMap<IfIndex, LinkGroups>,
    outputs: Vec<Output>,
    /// As many are joined on one upstream.
    limit: usize,
}

/// The groups of one upstream.
#[derive(Debug, Default)]
struct LinkGroups {
    /// How many addresses each group is wanted for.
    wanted: BTreeMap<Ipv6Addr, usize>,
    /// Those of them for which there was no room.
    waiting: BTreeSet<Ipv6Addr>,
    was_full: bool,
}

impl Groups {
    /// None yet. The kernel keeps groups in a list and walks it for every multicast packet that arrives:
    /// in a flood, 4,096 make an answer two to four times as dear, 512 by a third. A Linux bridge gives up
    /// snooping at 4,096 (`mcast_hash_max`), and other switches have room for fewer.
    pub fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// From here on as many are joined: who waits comes, or the last ones wait again.
    pub fn change(&mut self, limit: usize) {
        self.limit = limit;
        for (link, groups) in &mut self.links {
            while groups.wanted.len() - groups.waiting.len() < limit
                && let Some(next) = groups.waiting.pop_first()
            {
                self.outputs.push(Output::Join(*link, next));
            }
            let joined = groups.wanted.keys().rev().filter(|group| !groups.waiting.contains(*group));
            let beyond = (groups.wanted.len() - groups.waiting.len()).saturating_sub(limit);
            let last: Vec<_> = joined.take(beyond).copied().collect();
            for group in last {
                groups.waiting.insert(group);
                self.outputs.push(Output::Leave(*link, group));
            }
        }
    }

    /// Counts one more address.
    fn add(&mut self, link: IfIndex, address: Ipv6Addr) {
        let group = solicited_node(address);
        let groups = self.links.entry(link).or_default();
        let count = groups.wanted.entry(group).or_default();
        *count += 1;
        if *count > 1 {
            return;
        }
        // The new one is among the wanted already.
        if groups.wanted.len() - groups.waiting.len() <= self.limit {
            self.outputs.push(Output::Join(link, group));
            return;
        }
        groups.waiting.insert(group);
        if !std::mem::replace(&mut groups.was_full, true) {
            self.outputs.push(Output::Event(Event::GroupsFull(link, self.limit)));
        }
    }

    /// Counts one less; who waits takes the place of a group that nobody needs any more.
    fn remove(&mut self, link: IfIndex, address: Ipv6Addr) {
        let group = solicited_node(address);
        let Some(groups) = self.links.get_mut(&link) else { return };
        let Some(count) = groups.wanted.get_mut(&group) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        groups.wanted.remove(&group);
        if !groups.waiting.remove(&group) {
            self.outputs.push(Output::Leave(link, group));
            if let Some(next) = groups.waiting.pop_first() {
                self.outputs.push(Output::Join(link, next));
            }
        }
        if groups.wanted.is_empty() {
            self.links.remove(&link);
        }
    }

    fn add_member(&mut self, target: Ipv6Addr, link: IfIndex) {
        if self.members.insert(target, link).is_none() {
            self.add(link, target);
        }
    }

    fn remove_member(&mut self, target: Ipv6Addr) {
        if let Some(link) = self.members.remove(&target) {
            self.remove(link, target);
        }
    }

    fn set_members(&mut self, members: BTreeMap<Ipv6Addr, IfIndex>) {
        let before = std::mem::take(&mut self.members);
        // First what comes, so that a group that both have is not left in between.
        for (target, link) in members.iter().filter(|(target, link)| before.get(target) != Some(link)) {
            self.add(*link, *target);
        }
        for (target, link) in before.iter().filter(|(target, link)| members.get(target) != Some(link)) {
            self.remove(*link, *target);
        }
        self.members = members;
    }

    fn set_standing(&mut self, standing: BTreeSet<(IfIndex, Ipv6Net)>) {
        let before = std::mem::take(&mut self.standing);
        for (link, prefix) in standing.difference(&before) {
            prefix.hosts().for_each(|address| self.add(*link, address));
        }
        for (link, prefix) in before.difference(&standing) {
            prefix.hosts().for_each(|address| self.remove(*link, address));
        }
        self.standing = standing;
    }
}

impl Engine {
    /// A target has come, changed or ended. Called for changes only, never for a mere answer.
    pub(super) fn count_group(&mut self, target: Ipv6Addr, before: Option<Proof>, after: &State) {
        match (before, after) {
            // What there is by then is counted when serving begins.
            _ if self.phase == Phase::Learning => {}
            (Some(Proof::Replied), State::Live(_)) => {}
            (_, State::Live(Live { proof: Proof::Replied, .. })) => {
                if let Some(link) = self.group_link(target) {
                    self.groups.add_member(target, link);
                    self.outputs.extend(self.groups.outputs.drain(..));
                }
            }
            (_, State::Live(_)) | (None, _) => {}
            (Some(_), State::Probing(_) | State::Absent) => self.uncount_group(target),
        }
    }

    /// A target has ended.
    pub(super) fn uncount_group(&mut self, target: Ipv6Addr) {
        self.groups.remove_member(target);
        self.outputs.extend(self.groups.outputs.drain(..));
    }

    /// What the host is has changed, or what is served: counts anew whatever depends on it.
    pub(super) fn settle_groups(&mut self) {
        let served = self.served_groups();
        if served != self.groups.served {
            self.groups.served = served;
            let members: Vec<_> = self
                .targets
                .iter()
                .filter(|(target, state)| {
                    matches!(state, State::Live(Live { proof: Proof::Replied, .. }))
                        || matches!(state, State::Live(_)) && self.groups.members.contains_key(target)
                })
                .map(|(target, _)| target)
                .collect();
            let members = members.into_iter().filter_map(|target| Some((target, self.group_link(target)?)));
            let members = members.collect();
            self.groups.set_members(members);
        }
        let (standing, too_wide) = self.standing_groups();
        self.groups.set_standing(standing);
        self.outputs.extend(self.groups.outputs.drain(..));
        let new: Vec<_> = too_wide.difference(&self.groups.too_wide).copied().collect();
        self.groups.too_wide = too_wide;
        new.into_iter().for_each(|prefix| self.tell(Event::TooWideToJoin(prefix)));
    }

    /// Where the group of this target is to be joined, if anywhere.
    fn group_link(&self, target: Ipv6Addr) -> Option<IfIndex> {
        let range = self.ranges.find(target)?;
        self.joined_for(&self.policy.ranges[range.0], self.bindings.ranges.get(range.0)?.upstream)
    }

    fn served_groups(&self) -> Vec<(Ipv6Net, Option<IfIndex>)> {
        let ranges = self.policy.ranges.iter().zip(&self.bindings.ranges);
        ranges.map(|(range, place)| (range.prefix, self.joined_for(range, place.upstream))).collect()
    }

    /// The upstream of the range, if groups are joined there for what is answered in it.
    fn joined_for(&self, range: &RangePolicy, upstream: Option<IfIndex>) -> Option<IfIndex> {
        upstream.filter(|link| range.answer != Answer::Never && self.joins_on(*link))
    }

    fn joins_on(&self, upstream: IfIndex) -> bool {
        self.bindings.upstream(upstream).is_some_and(|upstream| upstream.mld)
    }

    /// What is answered for whoever is live: addresses of the host on other interfaces, and prefixes
    /// as a whole; these last apart if they are too wide.
    fn standing_groups(&self) -> (BTreeSet<(IfIndex, Ipv6Net)>, BTreeSet<Ipv6Net>) {
        let (mut standing, mut too_wide) = (BTreeSet::new(), BTreeSet::new());
        for (position, range) in self.policy.ranges.iter().enumerate() {
            let place = &self.bindings.ranges[position];
            let Some(upstream) = self.joined_for(range, place.upstream) else { continue };
            for prefix in self.answered_as_a_whole(range, &place.downstreams) {
                if prefix.prefix_len() >= WIDEST {
                    standing.insert((upstream, prefix));
                } else {
                    too_wide.insert(prefix);
                }
            }
        }
        for address in self.links.addresses().filter(|address| !address.is_unicast_link_local()) {
            let Some(range) = self.ranges.find(address) else { continue };
            let is_answered = !self.ranges.excludes(range, address);
            if let Some(upstream) = self.group_link(address).filter(|_| is_answered)
                && self.links.owners(address).any(|owner| owner != upstream)
            {
                standing.insert((upstream, Ipv6Net::from(address)));
            }
        }
        standing.extend(self.groups_on_downstreams());
        (standing, too_wide)
    }

    /// Where guests are answered on their own link: the gateway, which they all ask for, and the upstream's
    /// addresses. Which neighbors they will ask for nobody knows before.
    fn groups_on_downstreams(&self) -> BTreeSet<(IfIndex, Ipv6Net)> {
        let mut groups = BTreeSet::new();
        for (downstream, upstreams) in self.neighbors.downstreams() {
            for upstream in upstreams.iter().copied().filter(|link| self.joins_on(*link)) {
                let own = self.links.addresses_of(upstream).map(|known| known.address);
                let own = own.filter(|address| !address.is_unicast_link_local());
                let targets = own.chain(self.routes.gateways(upstream));
                let elsewhere = targets.filter(|target| !self.links.has(downstream, *target));
                groups.extend(elsewhere.map(|target| (downstream, Ipv6Net::from(target))));
            }
        }
        groups
    }

    /// Without Neighbor Discovery downstream, whatever is routed there is answered for.
    fn answered_as_a_whole(&self, range: &RangePolicy, downstreams: &[IfIndex]) -> Vec<Ipv6Net> {
        // Of thousands of downstreams, most are Ethernet; they are in ascending order.
        let is_layer_3 = |link: &IfIndex| {
            self.links.get(*link).is_some_and(|link| link.layer == LinkLayer::None)
                && (downstreams.binary_search(link).is_ok() || range.downstream == Downstream::Kernel)
        };
        match range.answer {
            Answer::Always => vec![range.prefix],
            Answer::Never => Vec::new(),
            Answer::Live if !self.links.iter().any(|link| is_layer_3(&link.index)) => Vec::new(),
            Answer::Live => {
                let routes = self.routes.known().filter(|route| {
                    range.prefix.contains(&route.destination)
                        && route.unicast_link().is_some_and(|l| is_layer_3(&l))
                });
                routes.map(|route| route.destination).collect()
            }
        }
    }
}

/// The length of the widest prefix for whose addresses, 256, a group each is joined.
const WIDEST: u8 = 120;
