//! Announcing: what is sent of our own accord, so that routers need not ask, nor believe what they
//! knew before. RFC 4861 §7.2.6, and §7.2.8 for proxies.
//!
//! An unsolicited advertisement changes an entry that a router has, and makes none where it has none
//! (§7.2.5); a solicitation that comes *from* the target's address makes one (§7.2.3), so the gateway
//! is sent one besides. It replies to the target, at our link-layer address, and the kernel treats
//! that as any packet to a guest: a reply from a link-local address is refused with an ICMPv6 error
//! (beyond scope), one from a global address reaches the guest with a hop limit of 254 and is ignored
//! there; one to an address of the host's own confirms the kernel's entry of the gateway. Measured, and
//! harmless.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::answer::{self, Asker};
use super::bindings::Upstream;
use super::facts::IfIndex;
use super::limiter::Limiter;
use super::output::Output;
use super::policy::{Announce, Answer, Limits, Override};
use super::targets::Proof;
use super::time::Time;
use super::{Engine, Phase};
use crate::wire::{Advertisement, Mac, Solicitation, solicited_node};

/// The targets that are being announced, or wait for it.
#[derive(Debug)]
pub struct Announcements {
    /// How many targets begin in a second.
    pace: Limiter,
    runs: BTreeMap<Ipv6Addr, Run>,
    /// Those that have not begun; the newest is the last here, and the first to begin.
    waiting: BTreeMap<u64, Ipv6Addr>,
    /// Those that have, by when they go on.
    due: BTreeSet<(Time, Ipv6Addr)>,
    /// Counts those that began to wait.
    serial: u64,
    /// None begins before this.
    earliest: Time,
    limit: usize,
    /// The upstreams that were there when last looked at, and their addresses.
    stations: BTreeMap<IfIndex, Mac>,
    /// The host's own addresses that were there.
    own: BTreeSet<Ipv6Addr>,
}

/// How far the announcing of one target has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// It waits for its turn.
    Waiting(u64),
    /// At this moment, this comes.
    Next(Time, Step),
}

/// What is sent for a target in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing; then it waits for its turn again.
    Pause,
    /// The solicitation of Duplicate Address Detection.
    Dad,
    /// An advertisement, and the gateways' solicitations.
    First,
    /// An advertisement, so many more afterwards.
    Again(u8),
}

impl Announcements {
    /// None yet.
    pub fn new(limits: &Limits) -> Self {
        Self {
            pace: pace(limits),
            runs: BTreeMap::new(),
            waiting: BTreeMap::new(),
            due: BTreeSet::new(),
            serial: 0,
            earliest: Time::ORIGIN,
            limit: limits.targets,
            stations: BTreeMap::new(),
            own: BTreeSet::new(),
        }
    }

    /// From here on these are the limits; what is under way goes on.
    pub fn change(&mut self, limits: &Limits, now: Time) {
        self.pace.change(&pace(limits), now);
        self.limit = limits.targets;
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Time> {
        let begins = (!self.waiting.is_empty()).then(|| self.pace.ready_at().max(self.earliest));
        begins.into_iter().chain(self.due.first().map(|(due, _)| *due)).min()
    }

    /// The target is announced from the beginning, as soon as it is its turn.
    pub fn begin(&mut self, target: Ipv6Addr, now: Time) {
        self.stop(target);
        if self.waiting.is_empty() {
            self.earliest = now + HEAD_START;
        }
        if self.runs.len() >= self.limit {
            // The one that has waited longest is the least worth announcing.
            let Some((_, oldest)) = self.waiting.pop_first() else { return };
            self.runs.remove(&oldest);
        }
        self.serial += 1;
        self.waiting.insert(self.serial, target);
        self.runs.insert(target, Run::Waiting(self.serial));
    }

    /// The target is not announced any more.
    pub fn stop(&mut self, target: Ipv6Addr) {
        match self.runs.remove(&target) {
            Some(Run::Waiting(serial)) => _ = self.waiting.remove(&serial),
            Some(Run::Next(due, _)) => _ = self.due.remove(&(due, target)),
            None => {}
        }
    }

    fn go_on(&mut self, target: Ipv6Addr, due: Time, step: Step) {
        self.stop(target);
        self.due.insert((due, target));
        self.runs.insert(target, Run::Next(due, step));
    }

    fn first_due(&self, now: Time) -> Option<(Ipv6Addr, Step)> {
        let (_, target) = self.due.first().filter(|(due, _)| *due <= now)?;
        match self.runs.get(target)? {
            Run::Next(_, step) => Some((*target, *step)),
            Run::Waiting(_) => None,
        }
    }

    fn newest(&self) -> Option<Ipv6Addr> {
        self.waiting.last_key_value().map(|(_, target)| *target)
    }
}

impl Engine {
    /// A target is live: announces it if that has just been proved, or proved for another downstream.
    pub(super) fn announce_if_proved(&mut self, target: Ipv6Addr, was: Option<(IfIndex, Proof)>, now: Time) {
        let is = self.targets.live(target).map(|live| (live.link, live.proof));
        let upstream = self.upstream_of(target).and_then(|link| self.bindings.upstream(link));
        if upstream.is_none_or(|upstream| upstream.announce == Announce::No) {
            return;
        }
        if is.is_some_and(|(_, proof)| proof == Proof::Replied) && is != was {
            self.announcements.begin(target, now);
        }
    }

    /// Announces everything that is known behind an upstream that has come up or has another
    /// address, and the addresses that the host has got on its other interfaces.
    pub(super) fn announce_what_is_new(&mut self, now: Time) {
        if self.phase != Phase::Serving {
            return;
        }
        let upstreams = self.bindings.upstreams.iter();
        let stations: BTreeMap<_, _> = upstreams
            .filter(|upstream| upstream.announce != Announce::No && self.links.is_up(upstream.link))
            .map(|upstream| (upstream.link, upstream.mac))
            .collect();
        let before = std::mem::replace(&mut self.announcements.stations, stations);
        let stations = &self.announcements.stations;
        let is_new = |link: &IfIndex| stations.get(link) != before.get(link);
        let mut new: Vec<(Time, Ipv6Addr)> = Vec::new();
        if stations.keys().any(is_new) {
            let live =
                self.targets.iter().filter_map(|(target, _)| Some((target, self.targets.live(target)?)));
            let proved = live.filter(|(_, live)| live.proof == Proof::Replied);
            let here =
                proved.filter(|(target, _)| self.upstream_of(*target).is_some_and(|link| is_new(&link)));
            new.extend(here.map(|(target, live)| (live.since, target)));
        }
        let own = self.own_targets();
        for (target, link) in &own {
            let is_heard = stations.contains_key(link);
            if is_heard && (is_new(link) || !self.announcements.own.contains(target)) {
                new.push((now, *target));
            }
        }
        self.announcements.own = own.into_iter().map(|(target, _)| target).collect();
        // The newest is the last to wait, and so the first to begin.
        new.sort_unstable();
        new.into_iter().for_each(|(_, target)| self.announcements.begin(target, now));
    }

    /// Sends what is due.
    pub(super) fn announce_due(&mut self, now: Time) {
        while let Some((target, step)) = self.announcements.first_due(now) {
            match self.announced_on(target, now) {
                None => self.announcements.stop(target),
                Some(_) if step == Step::Pause => self.announcements.begin(target, now),
                Some(upstream) => self.announce(&upstream, target, step, now),
            }
        }
        while let Some(target) = self.announcements.newest() {
            let Some(upstream) = self.announced_on(target, now) else {
                self.announcements.stop(target);
                continue;
            };
            // As an answer, an announcement is a promise that the next packet arrives.
            if self.is_route_under_way(target) {
                self.announcements.go_on(target, now + PAUSE, Step::Pause);
                continue;
            }
            if !self.announcements.pace.take(now) {
                break;
            }
            let first = if upstream.announce == Announce::Dad { Step::Dad } else { Step::First };
            self.announce(&upstream, target, first, now);
        }
    }

    fn announce(&mut self, upstream: &Upstream, target: Ipv6Addr, step: Step, now: Time) {
        let next = match step {
            Step::Pause => None,
            // Its owner, if there is one, has a retransmission time to defend it (RFC 4862 §5.4), and
            // a switch has as long to let in what follows (RFC 6620, TENT_LT).
            Step::Dad => {
                self.outputs.push_back(Output::Solicit(upstream.link, dad(upstream, target)));
                Some(Step::First)
            }
            Step::First => {
                self.advertise_unasked(upstream, target);
                for gateway in self.routes.gateways(upstream.link) {
                    let solicitation = solicitation_from(upstream, target, gateway);
                    self.outputs.push_back(Output::Solicit(upstream.link, solicitation));
                }
                Some(Step::Again(MAX_NEIGHBOR_ADVERTISEMENT - 1))
            }
            Step::Again(left) => {
                self.advertise_unasked(upstream, target);
                (left > 1).then(|| Step::Again(left - 1))
            }
        };
        match next {
            // "These advertisements MUST be separated by at least RetransTimer seconds."
            Some(step) => self.announcements.go_on(target, now + RETRANS_TIMER, step),
            None => self.announcements.stop(target),
        }
    }

    fn advertise_unasked(&mut self, upstream: &Upstream, target: Ipv6Addr) {
        if let Some(advertisement) = unsolicited(upstream, target) {
            self.counters.announcements += 1;
            self.outputs.push_back(Output::Advertise(upstream.link, advertisement));
        }
    }

    /// The upstream on which the target may be announced at this moment: it exists behind us beyond
    /// its own word, answers for it are asked for, and nobody else says that it is his.
    fn announced_on(&mut self, target: Ipv6Addr, now: Time) -> Option<Upstream> {
        let range = self.ranges.find(target)?;
        let upstream = *self.bindings.upstream(self.upstream_of(target)?)?;
        let is_known = match self.policy.ranges[range.0].answer {
            Answer::Never => false,
            Answer::Always => self.is_own(target),
            Answer::Live => {
                self.is_own(target)
                    || self.targets.live(target).is_some_and(|live| live.proof == Proof::Replied)
            }
        };
        let is_wanted = self.phase == Phase::Serving
            && upstream.announce != Announce::No
            && self.links.is_up(upstream.link)
            && !self.ranges.excludes(range, target)
            && !self.links.has(upstream.link, target)
            && !self.routes.is_gateway(target)
            && !self.rivals.defend(target, now);
        (is_known && is_wanted).then_some(upstream)
    }

    fn upstream_of(&self, target: Ipv6Addr) -> Option<IfIndex> {
        let range = self.ranges.find(target)?;
        self.bindings.ranges.get(range.0)?.upstream
    }

    /// True for an address of the host on an interface that is no upstream.
    fn is_own(&self, target: Ipv6Addr) -> bool {
        self.links.owners(target).any(|owner| self.bindings.upstream(owner).is_none())
    }

    /// The host's addresses inside ranges (the guests' gateway, say), and where they are announced.
    fn own_targets(&self) -> Vec<(Ipv6Addr, IfIndex)> {
        let addresses = self.links.iter().flat_map(|link| self.links.addresses_of(link.index));
        let inside = addresses.filter(|address| !address.address.is_unicast_link_local());
        let served = inside.filter_map(|known| Some((known.address, self.upstream_of(known.address)?)));
        served.filter(|(target, _)| self.is_own(*target)).collect()
    }

    fn is_route_under_way(&self, target: Ipv6Addr) -> bool {
        let live = self.targets.live(target);
        live.is_some_and(|live| self.routes.is_under_way(&self.routes.guest(target, live.link)))
    }
}

/// RFC 4861 §7.2.6: "the node SHOULD introduce a small delay between the sending of each advertisement
/// to reduce the probability of the advertisements being lost due to congestion": so many at once as
/// come within ten milliseconds.
fn pace(limits: &Limits) -> Limiter {
    let rate = limits.announcements_per_second;
    Limiter::deep(rate, rate.div_ceil(100))
}

/// "The Solicited flag MUST be set to zero", "to the all-nodes multicast address": as the answer to
/// one who asks from `::`, but that it may override.
fn unsolicited(upstream: &Upstream, target: Ipv6Addr) -> Option<Advertisement> {
    let nobody = Asker { link: upstream.link, mac: upstream.mac, address: Ipv6Addr::UNSPECIFIED };
    let mut advertisement = answer::advertisement(upstream, &nobody, target)?;
    // RFC 4861 §7.2.8: "A proxy MAY send unsolicited advertisements with the Override flag set to one".
    advertisement.flags.override_entry = upstream.override_flag != Override::Never;
    Some(advertisement)
}

/// As if the target asked for the gateway: RFC 4861 §7.2.3, "the recipient SHOULD create or update
/// the Neighbor Cache entry for the IP Source Address of the solicitation".
fn solicitation_from(upstream: &Upstream, target: Ipv6Addr, gateway: Ipv6Addr) -> Solicitation {
    let group = solicited_node(gateway);
    Solicitation {
        source_mac: upstream.mac,
        destination_mac: Mac::multicast(group),
        source: target,
        destination: group,
        target: gateway,
        source_link_layer: Some(upstream.mac),
    }
}

/// RFC 4862 §5.4.2. The interface does not hear what it sends, and a switch that sends it back is
/// ignored by its source; the defence of an owner arrives as a rival's advertisement.
fn dad(upstream: &Upstream, target: Ipv6Addr) -> Solicitation {
    let asked_by_nobody = solicitation_from(upstream, Ipv6Addr::UNSPECIFIED, target);
    Solicitation { source_link_layer: None, ..asked_by_nobody }
}

/// RFC 4861 §10.
const MAX_NEIGHBOR_ADVERTISEMENT: u8 = 3;
/// RFC 4861 §10; the upstream's, and not that of our probes.
const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// Those who have asked are answered first.
const HEAD_START: Duration = Duration::from_millis(1);
/// The kernel takes a route within milliseconds.
const PAUSE: Duration = Duration::from_millis(20);
