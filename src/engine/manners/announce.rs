//! Announcing: what is sent of our own accord, so that routers need not ask, nor believe what they
//! knew before. RFC 4861 §7.2.6, and §7.2.8 for proxies.
//!
//! An unsolicited advertisement changes an entry that a router has, and makes none where it has none
//! (§7.2.5); a solicitation that comes *from* the target's address makes one (§7.2.3), so the router
//! is sent one besides. It replies to the target, at our link-layer address, and the kernel treats
//! that as any packet to a guest: a reply from a link-local address is refused with an ICMPv6 error
//! (beyond scope), one from a global address reaches the guest with a hop limit of 254 and is ignored
//! there; one to an address of the host's own confirms the kernel's entry of the router. Measured, and
//! harmless.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::engine::answer;
use crate::engine::asker::Asker;
use crate::engine::effect::Output;
use crate::engine::facts::IfIndex;
use crate::engine::host::links::Links;
use crate::engine::limiter::Limiter;
use crate::engine::plan::bindings::Upstream;
use crate::engine::policy::{Announce, Limits, Override};
use crate::engine::time::Time;
use crate::wire::{Advertisement, Mac, Solicitation, solicited_node};

/// The targets that are being announced, or wait for it.
#[derive(Debug)]
pub struct Announcements {
    /// How many targets begin in a second.
    pace: Limiter,
    runs: BTreeMap<Ipv6Addr, Run>,
    /// Those that have not begun, by since when they are there; the newest is the last here, and the first to
    /// begin.
    waiting: BTreeMap<(Time, u64), Ipv6Addr>,
    /// Those that have, by when they go on.
    due: BTreeSet<(Time, Ipv6Addr)>,
    /// Counts those that began to wait.
    serial: u64,
    /// None begins before this.
    earliest: Time,
    limit: usize,
    /// The upstreams that were there when last looked at, and their addresses.
    stations: BTreeMap<IfIndex, Mac>,
    /// The host's own addresses that are announced, and where.
    own: BTreeMap<Ipv6Addr, IfIndex>,
}

/// How far the announcing of one target has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// It waits for its turn.
    Waiting((Time, u64)),
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
    /// An advertisement, and the routers' solicitations.
    First,
    /// An advertisement, so many more afterwards.
    Again(u8),
}

/// What an announcement has to know of the target and of the host.
pub trait Announced {
    /// The upstream on which the target may be announced at this moment.
    fn on(&self, target: Ipv6Addr, now: Time) -> Option<Upstream>;
    /// Whether the route of the target is on its way into the kernel.
    fn is_route_under_way(&self, target: Ipv6Addr) -> bool;
    /// The provider's routers on this upstream.
    fn routers(&self, upstream: IfIndex) -> Vec<Ipv6Addr>;
    /// The host's interfaces and addresses.
    fn links(&self) -> &Links;
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
            own: BTreeMap::new(),
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

    /// The target, which is there since then, is announced from the beginning, as soon as it is its turn.
    pub fn begin(&mut self, target: Ipv6Addr, since: Time, now: Time) {
        self.stop(target);
        if self.waiting.is_empty() {
            self.earliest = now + HEAD_START;
        }
        if self.runs.len() >= self.limit {
            // The one that has been there longest is the least worth announcing.
            let Some((_, oldest)) = self.waiting.pop_first() else { return };
            self.runs.remove(&oldest);
        }
        self.serial += 1;
        let turn = (since, self.serial);
        self.waiting.insert(turn, target);
        self.runs.insert(target, Run::Waiting(turn));
    }

    /// The target is not announced any more.
    pub fn stop(&mut self, target: Ipv6Addr) {
        match self.runs.remove(&target) {
            Some(Run::Waiting(turn)) => _ = self.waiting.remove(&turn),
            Some(Run::Next(due, _)) => _ = self.due.remove(&(due, target)),
            None => {}
        }
    }

    /// These upstreams are up, with these addresses. Those that are new, or have another address: everything
    /// that is known behind them is to be announced there.
    pub fn new_stations(&mut self, stations: BTreeMap<IfIndex, Mac>, now: Time) -> BTreeSet<IfIndex> {
        let before = std::mem::replace(&mut self.stations, stations);
        let is_new = |link: &IfIndex| self.stations.get(link) != before.get(link);
        let new: BTreeSet<_> = self.stations.keys().copied().filter(is_new).collect();
        let own: Vec<_> =
            self.own.iter().filter(|(_, link)| new.contains(link)).map(|(target, _)| *target).collect();
        own.into_iter().for_each(|target| self.begin(target, now, now));
        new
    }

    /// The host has this address on an interface that is no upstream, and it is answered for on that upstream;
    /// or it is not any more.
    pub fn set_own(&mut self, address: Ipv6Addr, upstream: Option<IfIndex>, now: Time) {
        let before = match upstream {
            Some(upstream) => self.own.insert(address, upstream),
            None => self.own.remove(&address),
        };
        if let Some(upstream) = upstream.filter(|upstream| before != Some(*upstream))
            && self.stations.contains_key(&upstream)
        {
            self.begin(address, now, now);
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

    /// What is to be sent by now, for at most `most` targets. False if there is more.
    pub fn tick(&mut self, most: usize, ground: &impl Announced, out: &mut Vec<Output>, now: Time) -> bool {
        for _ in 0..most {
            let Some((target, step)) = self.first_due(now) else { break };
            match ground.on(target, now) {
                None => self.stop(target),
                Some(_) if step == Step::Pause => self.begin(target, now, now),
                Some(upstream) => self.send(&upstream, target, step, ground, out, now),
            }
        }
        for _ in 0..most {
            let newest = self.waiting.last_key_value().map(|(_, target)| *target);
            let Some(target) = newest.filter(|_| self.earliest <= now) else { break };
            let Some(upstream) = ground.on(target, now) else {
                self.stop(target);
                continue;
            };
            // As an answer, an announcement is a promise that the next packet arrives.
            if ground.is_route_under_way(target) {
                self.go_on(target, now + PAUSE, Step::Pause);
                continue;
            }
            if !self.pace.take(now) {
                break;
            }
            let first = if upstream.announce == Announce::Dad { Step::Dad } else { Step::First };
            self.send(&upstream, target, first, ground, out, now);
        }
        self.next_due().is_none_or(|due| due > now)
    }

    fn send(
        &mut self,
        upstream: &Upstream,
        target: Ipv6Addr,
        step: Step,
        ground: &impl Announced,
        out: &mut Vec<Output>,
        now: Time,
    ) {
        let advertise = |out: &mut Vec<Output>| {
            let unsolicited = unsolicited(upstream, target, ground.links());
            out.extend(unsolicited.map(|advertisement| Output::Advertise(upstream.link, advertisement)));
        };
        let next = match step {
            Step::Pause => None,
            // Its owner, if there is one, has a retransmission time to defend it (RFC 4862 §5.4), and
            // a switch has as long to let in what follows (RFC 6620, TENT_LT).
            Step::Dad => {
                out.push(Output::Solicit(upstream.link, dad(upstream, target)));
                Some(Step::First)
            }
            Step::First => {
                advertise(out);
                for router in ground.routers(upstream.link) {
                    let solicitation = solicitation_from(upstream, target, router);
                    out.push(Output::Solicit(upstream.link, solicitation));
                }
                Some(Step::Again(MAX_NEIGHBOR_ADVERTISEMENT - 1))
            }
            Step::Again(left) => {
                advertise(out);
                (left > 1).then(|| Step::Again(left - 1))
            }
        };
        match next {
            // "These advertisements MUST be separated by at least RetransTimer seconds."
            Some(step) => self.go_on(target, now + RETRANS_TIMER, step),
            None => self.stop(target),
        }
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
/// an asker with `::`, but that it may override.
fn unsolicited(upstream: &Upstream, target: Ipv6Addr, links: &Links) -> Option<Advertisement> {
    let nobody = Asker { link: upstream.link, mac: upstream.mac, address: Ipv6Addr::UNSPECIFIED };
    let mut advertisement = answer::advertisement(upstream, &nobody, target, links)?;
    // RFC 4861 §7.2.8: "A proxy MAY send unsolicited advertisements with the Override flag set to one".
    advertisement.flags.override_entry = upstream.override_flag != Override::Never;
    Some(advertisement)
}

/// As if the target asked for the router: RFC 4861 §7.2.3, "the recipient SHOULD create or update
/// the Neighbor Cache entry for the IP Source Address of the solicitation".
fn solicitation_from(upstream: &Upstream, target: Ipv6Addr, router: Ipv6Addr) -> Solicitation {
    let group = solicited_node(router);
    Solicitation {
        source_mac: upstream.mac,
        destination_mac: Mac::multicast(group),
        source: target,
        destination: group,
        target: router,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::policy::{GatewaySource, Source};

    const UP: IfIndex = IfIndex(2);
    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    /// An upstream on which everything may be announced, or nothing.
    struct Link {
        links: Links,
        announce: Option<Announce>,
    }

    impl Announced for Link {
        fn on(&self, _: Ipv6Addr, _: Time) -> Option<Upstream> {
            Some(Upstream {
                link: UP,
                policy: 0,
                mac: MAC,
                router: false,
                override_flag: Override::Takeover,
                source: Source::Target,
                announce: self.announce?,
                gateway_source: GatewaySource::Kernel,
                mld: true,
                suppress_kernel: false,
                link_local: None,
                global: None,
                has_several: false,
                fixed: None,
            })
        }

        fn is_route_under_way(&self, _: Ipv6Addr) -> bool {
            false
        }

        fn routers(&self, _: IfIndex) -> Vec<Ipv6Addr> {
            vec![Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)]
        }

        fn links(&self) -> &Links {
            &self.links
        }
    }

    /// What is sent until nothing is due any more, with the milliseconds at which it is.
    fn run(announcements: &mut Announcements, announce: Option<Announce>) -> Vec<(u128, bool)> {
        let ground = Link { links: Links::default(), announce };
        let mut sent = Vec::new();
        while let Some(due) = announcements.next_due() {
            let mut out = Vec::new();
            announcements.tick(9, &ground, &mut out, due);
            let at = due.since(Time::ORIGIN).as_millis();
            sent.extend(out.iter().map(|output| (at, matches!(output, Output::Advertise(..)))));
        }
        sent
    }

    #[test]
    fn a_target_is_advertised_three_times_and_the_router_solicited_once() {
        let mut announcements = Announcements::new(&Limits::default());
        announcements.begin(TARGET, Time::ORIGIN, Time::ORIGIN);
        let expected = [(1, true), (1, false), (1_001, true), (2_001, true)];
        assert_eq!(run(&mut announcements, Some(Announce::Yes)), expected);
    }

    #[test]
    fn duplicate_address_detection_comes_a_second_before() {
        let mut announcements = Announcements::new(&Limits::default());
        announcements.begin(TARGET, Time::ORIGIN, Time::ORIGIN);
        let sent = run(&mut announcements, Some(Announce::Dad));
        assert_eq!(sent[..2], [(1, false), (1_001, true)]);
    }

    #[test]
    fn what_may_not_be_announced_any_more_is_forgotten() {
        let mut announcements = Announcements::new(&Limits::default());
        announcements.begin(TARGET, Time::ORIGIN, Time::ORIGIN);
        assert_eq!(run(&mut announcements, None), []);
    }

    #[test]
    fn an_upstream_that_is_new_or_has_another_address_is_told_of() {
        let mut announcements = Announcements::new(&Limits::default());
        let mut new = |mac| announcements.new_stations(BTreeMap::from([(UP, mac)]), Time::ORIGIN).len();
        assert_eq!((new(MAC), new(MAC), new(Mac([2, 0, 0, 0, 0, 2]))), (1, 0, 1));
        announcements.set_own(TARGET, Some(UP), Time::ORIGIN);
        assert!(announcements.next_due().is_some(), "the host's own address is announced");
        announcements.stop(TARGET);
        announcements.set_own(TARGET, Some(UP), Time::ORIGIN);
        assert_eq!(announcements.next_due(), None, "once");
    }
}
