//! Announcing: what is sent of our own accord, so that routers need not ask, nor believe what they
//! knew before. RFC 4861 §7.2.6, and §7.2.8 for proxies.
//!
//! An announcement changes what others on the link believe, so the link is asked first (RFC 4862 §5.4): a
//! solicitation of duplicate address detection, and one retransmission time of silence. The station that has the
//! address already defends it in that time, and nothing is announced. What is not to be announced may be asked for, too.
//!
//! An unsolicited advertisement changes an entry that a router has, and makes none where it has none (§7.2.5); a
//! solicitation that comes *from* the target's address makes one (§7.2.3), so the router is sent one besides. It replies
//! to the target, at our link-layer address, and the kernel treats that as any packet to a guest: a reply from a
//! link-local address is refused with an ICMPv6 error (beyond scope), one from a global address reaches the guest with a
//! hop limit of 254 and is ignored there; one to an address of the host's own confirms the kernel's entry of the router.
//! Measured, and harmless.

mod again;
mod claimed;

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::claims::{dad, question, solicitation_from, unsolicited};
use super::footing::{Announced, Footing};
use super::rounds::Rounds;
use super::waiting::{Next, Turn, Waiting};
use crate::engine::effect::Output;
use crate::engine::facts::IfIndex;
use crate::engine::limiter::Limiter;
use crate::engine::policy::{Announce, Limits};
use crate::engine::time::Time;
use crate::wire::Mac;

/// The targets that are being announced, or wait for it; guests that wait have no run.
#[derive(Debug)]
pub struct Announcements {
    /// How many targets begin in a second.
    pace: Limiter,
    runs: BTreeMap<Ipv6Addr, Run>,
    /// Those that have not begun.
    waiting: Waiting,
    /// Those that have, by when they go on.
    due: BTreeSet<(Time, Ipv6Addr)>,
    /// None begins before this.
    earliest: Time,
    /// The next that is claimed does not begin before this.
    claimed_from: Time,
    /// The next that has waited for its route does not go on before this.
    routed_from: Time,
    limit: usize,
    /// The upstreams that were there when last looked at, and their addresses.
    stations: BTreeMap<IfIndex, Mac>,
    /// The host's own addresses that are announced, and where.
    own: BTreeMap<Ipv6Addr, IfIndex>,
    /// The link was asked for these, and nobody has spoken up.
    free: Vec<Ipv6Addr>,
    /// The routers that were asked for from the address of a target.
    asked: Vec<(Ipv6Addr, Ipv6Addr)>,
    /// What is announced again at a period.
    rounds: Rounds,
}

/// How far the announcing of one target has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// It waits for its turn.
    Waiting(Turn),
    /// At this moment, this comes.
    Next(Time, Step),
}

/// What is sent for a target in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing; then it waits for its turn again.
    Pause,
    /// It is claimed, and does not wait.
    Claimed,
    /// The link is asked once more.
    Ask,
    /// Nothing more: the link was asked a retransmission time ago.
    Asked,
    /// An advertisement, and the routers' solicitations.
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
            waiting: Waiting::default(),
            due: BTreeSet::new(),
            earliest: Time::ORIGIN,
            claimed_from: Time::ORIGIN,
            routed_from: Time::ORIGIN,
            limit: limits.targets,
            stations: BTreeMap::new(),
            own: BTreeMap::new(),
            free: Vec::new(),
            asked: Vec::new(),
            rounds: Rounds::default(),
        }
    }

    /// Those for which the link was asked since the last look, and nobody has spoken up.
    pub fn take_free(&mut self) -> Vec<Ipv6Addr> {
        std::mem::take(&mut self.free)
    }

    /// The routers that were asked for since the last look, each from the address of a target.
    pub fn take_asked(&mut self) -> Vec<(Ipv6Addr, Ipv6Addr)> {
        std::mem::take(&mut self.asked)
    }

    /// How many are being announced, or asked for, or wait for that.
    pub fn len(&self) -> usize {
        self.runs.len() + self.waiting.guests()
    }

    /// True while the link is being asked for the target.
    pub fn is_asking(&self, target: Ipv6Addr) -> bool {
        matches!(self.runs.get(&target), Some(Run::Next(_, Step::Ask | Step::Asked)))
    }

    /// True while the link is being asked for the target, a live guest if it has a number, or will be.
    pub fn will_ask(&self, target: Ipv6Addr, number: Option<u32>) -> bool {
        self.is_asking(target)
            || number.is_some_and(|number| self.waiting.has(number))
            || matches!(self.runs.get(&target), Some(Run::Waiting(_)))
    }

    /// A stranger asks the link for the target: that serves us as well, but its time is up sooner than ours would be.
    pub fn listen(&mut self, target: Ipv6Addr, number: Option<u32>, now: Time) {
        number.into_iter().for_each(|number| self.forget(number));
        let until = now + RETRANS_TIMER / 2;
        match self.runs.get(&target) {
            Some(Run::Next(due, Step::Asked)) if *due <= until => {}
            _ => self.go_on(target, until, Step::Asked),
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
        let (round, asked) = self.rounds.next_due();
        let round = round.map(|begins| begins.max(self.pace.ready_at()));
        [begins, round, asked, self.due.first().map(|(due, _)| *due)].into_iter().flatten().min()
    }

    /// The target, a live guest if it has a number, is there since then: it is announced, as soon as it is its turn.
    pub fn begin(&mut self, target: Ipv6Addr, number: Option<u32>, since: Time, now: Time) {
        if self.is_claimed(target) {
            return;
        }
        self.stop(target, number);
        if self.waiting.is_empty() {
            self.earliest = now + HEAD_START;
        }
        if let Some(number) = number {
            return self.waiting.add(number, since == now);
        }
        if self.runs.len() >= self.limit {
            // The one that has been there longest is the least worth announcing.
            let Some(oldest) = self.waiting.pop_oldest_other() else { return };
            self.runs.remove(&oldest);
        }
        let turn = self.waiting.add_other(target, since);
        self.runs.insert(target, Run::Waiting(turn));
    }

    /// The target, a live guest if it has a number, is not announced any more.
    pub fn stop(&mut self, target: Ipv6Addr, number: Option<u32>) {
        number.into_iter().for_each(|number| self.forget(number));
        match self.runs.remove(&target) {
            Some(Run::Waiting(turn)) => self.waiting.remove_other(turn),
            Some(Run::Next(due, _)) => _ = self.due.remove(&(due, target)),
            None => {}
        }
    }

    /// The guest of this number is live no more; another may have the number later.
    pub fn forget(&mut self, number: u32) {
        self.waiting.remove(number);
    }

    /// These upstreams are up, with these addresses. Those that are new, or have another address: everything
    /// that is known behind them is to be announced there. Whether each is new: what its link has said was said before.
    pub fn new_stations(&mut self, stations: BTreeMap<IfIndex, Mac>, now: Time) -> BTreeMap<IfIndex, bool> {
        let before = std::mem::replace(&mut self.stations, stations);
        let other = self.stations.iter().filter(|(link, mac)| before.get(link) != Some(mac));
        let new: BTreeMap<_, _> = other.map(|(link, _)| (*link, !before.contains_key(link))).collect();
        let own: Vec<_> =
            self.own.iter().filter(|(_, link)| new.contains_key(link)).map(|(target, _)| *target).collect();
        own.into_iter().for_each(|target| self.begin(target, None, now, now));
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
            self.begin(address, None, now, now);
        }
    }

    fn go_on(&mut self, target: Ipv6Addr, due: Time, step: Step) {
        self.stop(target, None);
        self.due.insert((due, target));
        self.runs.insert(target, Run::Next(due, step));
    }

    /// It has had its turn.
    fn leave(&mut self, next: Next) {
        match next {
            Next::Guest(number) => self.waiting.remove(number),
            Next::Other(target) => self.stop(target, None),
        }
        self.waiting.took(next);
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
            match ground.footing(target, now) {
                None => self.stop(target, None),
                Some(_) if step == Step::Pause => self.begin(target, ground.number(target), now, now),
                Some(footing) if step == Step::Claimed => self.claimed(target, &footing, ground, out, now),
                Some(footing) if step == Step::Ask => self.ask(target, &footing, Step::Asked, out, now),
                Some(footing) => self.go_through(step, target, &footing, ground, out, now),
            }
        }
        for _ in 0..most {
            let Some(next) = self.waiting.next().filter(|_| self.earliest <= now) else { break };
            let target = match next {
                Next::Guest(number) => ground.guest(number),
                Next::Other(target) => Some(target),
            };
            let Some((target, footing)) = target.and_then(|it| Some((it, ground.footing(it, now)?))) else {
                self.leave(next);
                continue;
            };
            // As an answer, an announcement is a promise that the next packet arrives.
            if ground.is_route_under_way(target) {
                self.leave(next);
                self.go_on(target, now + PAUSE, Step::Pause);
                continue;
            }
            if !self.pace.take(now) {
                break;
            }
            self.leave(next);
            let is_asked = footing.is_free && footing.upstream.announce != Announce::Dad;
            match (is_asked, footing.is_disputed) {
                (true, _) => self.go_through(Step::First, target, &footing, ground, out, now),
                (false, true) => self.ask(target, &footing, Step::Ask, out, now),
                (false, false) => self.ask(target, &footing, Step::Asked, out, now),
            }
        }
        self.renew(most, ground, out, now);
        self.next_due().is_none_or(|due| due > now)
    }

    /// An advertisement, and a solicitation for each router.
    fn tell(&mut self, target: Ipv6Addr, footing: &Footing, ground: &impl Announced, out: &mut Vec<Output>) {
        let upstream = &footing.upstream;
        let advertisement = unsolicited(upstream, target, ground.links());
        out.extend(advertisement.map(|advertisement| Output::Advertise(upstream.link, advertisement)));
        for router in ground.routers(upstream.link) {
            out.push(Output::Solicit(upstream.link, solicitation_from(upstream, target, router)));
            self.asked.push((target, router));
        }
    }

    /// Its owner, if there is one, has a retransmission time to defend it (RFC 4862 §5.4), and a switch has as long
    /// to let in what follows (RFC 6620, TENT_LT).
    fn ask(&mut self, target: Ipv6Addr, footing: &Footing, next: Step, out: &mut Vec<Output>, now: Time) {
        let asked = match footing.is_shared {
            true => question(&footing.upstream, target),
            false => Some(dad(&footing.upstream, target)),
        };
        out.extend(asked.map(|asked| Output::Solicit(footing.upstream.link, asked)));
        self.go_on(target, now + RETRANS_TIMER, next);
    }

    fn go_through(
        &mut self,
        step: Step,
        target: Ipv6Addr,
        footing: &Footing,
        ground: &impl Announced,
        out: &mut Vec<Output>,
        now: Time,
    ) {
        let Footing { upstream, is_announced, .. } = footing;
        if step == Step::Asked {
            self.free.push(target);
        }
        if !is_announced || footing.is_kept {
            return self.stop(target, None);
        }
        let left = match step {
            Step::Again(left) => {
                let advertisement = unsolicited(upstream, target, ground.links());
                out.extend(advertisement.map(|said| Output::Advertise(upstream.link, said)));
                left - 1
            }
            Step::Pause | Step::Claimed | Step::Ask | Step::Asked | Step::First => {
                self.tell(target, footing, ground, out);
                MAX_NEIGHBOR_ADVERTISEMENT - 1
            }
        };
        // "These advertisements MUST be separated by at least RetransTimer seconds."
        match left {
            0 => self.stop(target, None),
            left => self.go_on(target, now + RETRANS_TIMER, Step::Again(left)),
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

/// RFC 4861 §10.
const MAX_NEIGHBOR_ADVERTISEMENT: u8 = 3;
/// RFC 4861 §10; the upstream's, and not that of our probes.
const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// Those who have asked are answered first.
const HEAD_START: Duration = Duration::from_millis(1);
/// The kernel takes a route within milliseconds.
const PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
#[path = "announce_tests.rs"]
mod tests;
