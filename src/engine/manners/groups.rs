//! Multicast groups: the solicited-node groups of what is answered for, on its upstream.
//!
//! A switch that snoops MLD passes a solicitation on only to those who have reported its group
//! (RFC 4541 §3). RFC 4861 §7.2.8: "A proxy MUST join the solicited-node multicast address(es) that
//! correspond to the IP address(es) assigned to the node for which it is proxying."
//!
//! Counted are live targets that have replied. One that has merely announced itself is asked in a
//! moment anyway, while announcements from invented addresses cost their sender nothing, and each group takes room in
//! every switch. One that moves to another downstream
//! keeps its group meanwhile. Counted as well are addresses of the host on other interfaces, and
//! every address of a small prefix that is answered for as a whole; and on downstreams on which guests
//! are answered, the router and the upstream's addresses.

mod counted;

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;

use self::counted::Counted;
use crate::engine::facts::IfIndex;
use crate::engine::policy::{addresses_of, most_of_prefix};
use crate::wire::{group_suffix, solicited_node};

/// The groups that are wanted on every upstream.
#[derive(Debug, Default)]
pub struct Groups {
    /// By the number of a target, the link on which it is counted: its position in `known_links`, from one on.
    members: Vec<u8>,
    known_links: Vec<IfIndex>,
    /// What is counted because of what the host is, not of who is live.
    standing: BTreeMap<Standing, BTreeSet<(IfIndex, Ipv6Net)>>,
    /// Prefixes that are answered for as a whole, and have too many addresses.
    too_wide: BTreeMap<Ipv6Net, IfIndex>,
    links: BTreeMap<IfIndex, Counted>,
    wishes: Vec<Wish>,
    /// Something waits for room that did not, or the other way round.
    is_news: bool,
    /// As many are joined on one upstream.
    limit: usize,
}

/// Why something is counted that is no live target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is an address of the host.
    Address(Ipv6Addr),
    /// It is in a range that is answered for as a whole.
    Range(Ipv6Net),
    /// Guests are answered on their own link.
    Downstreams,
}

/// By its last 24 bits, a group is listened to on a link, or no more.
pub type Wish = (IfIndex, u32, bool);

impl Groups {
    /// None yet. A Linux bridge gives up snooping at 4,096 groups (`mcast_hash_max`), and other switches have room for
    /// fewer.
    pub fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// From here on as many are joined: those that wait come, or the last ones wait again.
    pub fn change(&mut self, limit: usize) {
        self.is_news |= std::mem::replace(&mut self.limit, limit) != limit;
        for (link, groups) in &mut self.links {
            while groups.joined() < limit
                && let Some(next) = groups.join_next()
            {
                self.wishes.push((*link, next, true));
            }
            while groups.joined() > limit
                && let Some(last) = groups.leave_last()
            {
                self.wishes.push((*link, last, false));
            }
        }
    }

    /// The target of this number is counted on this link from here on, or nowhere.
    pub fn count(&mut self, number: u32, target: Ipv6Addr, link: Option<IfIndex>) {
        let at = number as usize;
        let before = self.members.get(at).copied().unwrap_or(0);
        let after = link.map_or(0, |link| self.position(link));
        if before == after {
            return;
        }
        if self.members.len() <= at {
            self.members.resize(at + 1, 0);
        }
        self.members[at] = after;
        // First what comes, so that a group that both have is not left in between.
        if let Some(link) = link {
            self.add(link, target);
        }
        if let Some(link) = usize::from(before).checked_sub(1).map(|position| self.known_links[position]) {
            self.remove(link, target);
        }
    }

    /// This is counted for that reason, and nothing else.
    pub fn stand(&mut self, reason: Standing, what: BTreeSet<(IfIndex, Ipv6Net)>) {
        let before = self.standing.remove(&reason).unwrap_or_default();
        for (link, prefix) in what.difference(&before) {
            prefix.hosts().for_each(|address| self.add(*link, address));
        }
        for (link, prefix) in before.difference(&what) {
            prefix.hosts().for_each(|address| self.remove(*link, address));
        }
        if !what.is_empty() {
            self.standing.insert(reason, what);
        }
    }

    /// Every address of the prefixes of this range is answered for. Those too wide to join a group for each are
    /// remembered.
    pub fn stand_for_range(&mut self, range: Ipv6Net, link: IfIndex, whole: Vec<Ipv6Net>) {
        let (narrow, wide): (Vec<_>, Vec<_>) =
            whole.into_iter().partition(|prefix| self.has_room_for(prefix));
        let before = self.too_wide.len();
        self.too_wide.retain(|prefix, _| !range.contains(prefix) || wide.contains(prefix));
        self.is_news |= self.too_wide.len() != before;
        for prefix in wide {
            self.is_news |= self.too_wide.insert(prefix, link) != Some(link);
        }
        self.stand(Standing::Range(range), narrow.into_iter().map(|prefix| (link, prefix)).collect());
    }

    /// Whether a group for each of its addresses may be joined.
    fn has_room_for(&self, prefix: &Ipv6Net) -> bool {
        addresses_of(prefix) <= most_of_prefix(self.limit) as u128
    }

    /// The range is gone, or nothing of it is answered for as a whole.
    pub fn end_range(&mut self, range: Ipv6Net) {
        let before = self.too_wide.len();
        self.too_wide.retain(|prefix, _| !range.contains(prefix));
        self.is_news |= self.too_wide.len() != before;
        self.stand(Standing::Range(range), BTreeSet::new());
    }

    /// True if nothing has happened since the last look.
    pub fn is_quiet(&self) -> bool {
        self.wishes.is_empty() && !self.is_news
    }

    /// What is to be joined and left since the last look, in order.
    pub fn take_wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    /// Whether something waits for room now that did not at the last look, or the other way round.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }

    /// The links on which groups wait for room.
    pub fn full(&self) -> impl Iterator<Item = IfIndex> {
        self.links.iter().filter(|(_, groups)| groups.waiting() > 0).map(|(link, _)| *link)
    }

    /// How many wait on this link.
    pub fn count_waiting(&self, link: IfIndex) -> usize {
        self.links.get(&link).map_or(0, Counted::waiting)
    }

    /// The prefixes that are answered for as a whole, and have too many addresses for a group each.
    pub fn too_wide(&self) -> impl Iterator<Item = (Ipv6Net, IfIndex)> {
        self.too_wide.iter().map(|(prefix, link)| (*prefix, *link))
    }

    /// The links on which groups are wanted.
    pub fn links(&self) -> impl Iterator<Item = IfIndex> {
        self.links.keys().copied()
    }

    /// Whether any are wanted on this link.
    pub fn has(&self, link: IfIndex) -> bool {
        self.links.contains_key(&link)
    }

    /// All that are joined.
    pub fn listened(&self) -> impl Iterator<Item = (IfIndex, Ipv6Addr)> {
        self.links
            .iter()
            .flat_map(|(link, groups)| groups.joined_from(0).map(|suffix| (*link, group(suffix))))
    }

    /// How many are joined on this link.
    pub fn count_joined(&self, link: IfIndex) -> usize {
        self.links.get(&link).map_or(0, Counted::joined)
    }

    /// Whether this one is.
    pub fn is_joined(&self, link: IfIndex, suffix: u32) -> bool {
        self.links.get(&link).is_some_and(|groups| groups.is_joined(suffix))
    }

    /// Those that are, from this one on, at most so many.
    pub fn joined_from(&self, link: IfIndex, from: u32, most: usize) -> Vec<u32> {
        self.links.get(&link).map_or_else(Vec::new, |groups| groups.joined_from(from).take(most).collect())
    }

    fn position(&mut self, link: IfIndex) -> u8 {
        let known = self.known_links.iter().position(|known| *known == link);
        let position = known.unwrap_or_else(|| {
            // One that counts nothing any more makes room: interfaces come and go.
            let free = self.known_links.iter().position(|known| !self.links.contains_key(known));
            match free.filter(|_| self.known_links.len() >= MOST_LINKS) {
                Some(free) => {
                    self.known_links[free] = link;
                    free
                }
                None => {
                    self.known_links.push(link);
                    self.known_links.len() - 1
                }
            }
        });
        u8::try_from(position + 1).unwrap_or(0)
    }

    /// Counts one more address.
    fn add(&mut self, link: IfIndex, address: Ipv6Addr) {
        let suffix = group_suffix(address);
        let groups = self.links.entry(link).or_default();
        if !groups.add(suffix) {
            return;
        }
        if groups.joined() < self.limit {
            groups.join(suffix);
            self.wishes.push((link, suffix, true));
        } else {
            self.is_news |= groups.waiting() == 1;
        }
    }

    /// Counts one less; one that waits takes the place of a group that nobody needs any more.
    fn remove(&mut self, link: IfIndex, address: Ipv6Addr) {
        let suffix = group_suffix(address);
        let Some(groups) = self.links.get_mut(&link) else { return };
        let was_full = groups.waiting() > 0;
        let Some(was_joined) = groups.remove(suffix) else { return };
        if was_joined {
            self.wishes.push((link, suffix, false));
            if let Some(next) = groups.join_next() {
                self.wishes.push((link, next, true));
            }
        }
        self.is_news |= was_full && groups.waiting() == 0;
        if groups.is_empty() {
            self.links.remove(&link);
        }
    }
}

/// The group of the addresses that end like this.
pub fn group(suffix: u32) -> Ipv6Addr {
    solicited_node(Ipv6Addr::from_bits(suffix.into()))
}

/// Upstreams that are told apart.
const MOST_LINKS: usize = 255;

#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
