//! The provider's verdict on each target: whether its gateway answers questions from the target's address.
//!
//! An announcement asks for the gateway from the target's address, and a network that drops what comes from there (a filter by
//! source, a limit of addresses per MAC, a switch without a binding, RFC 6620) keeps the answer back. Where it does not
//! come the gateway is asked from the target and right after it from the host. If the host alone is answered, the form of
//! duplicate address detection is sent once, from which switches learn, and both are asked again, and once more. If that
//! does not help the target is not admitted; it is tried again from time to time. The host comes last because of gateways
//! that answer so many questions a second: where the target's was too many, so is the one that follows at once.
//!
//! A gateway that answers is asked no more, with one exception that costs nothing: of four targets the last
//! advertisement is saved, and the gateway asked for once more after a while. If it does not answer any more and the detection
//! brings its answer back, the provider forgets targets, and all are announced again at a period.
//!
//! What is known takes half a byte for each guest. All else is bounded: what strangers cause is at most [`MOST_DOUBTS`]
//! looks in [`DOUBTED`].

mod course;
mod exam;
mod standing;

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::engine::effect::Output;
use crate::engine::facts::IfIndex;
use crate::engine::time::Time;
use exam::Exam;
use standing::{Place, Standings, Who};

pub use standing::Standing;

/// What is known of the provider's verdicts.
#[derive(Debug, Default)]
pub struct Admission {
    standings: Standings,
    /// Questions of announcements, by target and router.
    asked: BTreeMap<(Ipv6Addr, Ipv6Addr), Asked>,
    /// The same, by when an answer would have come.
    unanswered: VecDeque<(Time, (Ipv6Addr, Ipv6Addr))>,
    exams: BTreeMap<Ipv6Addr, Exam>,
    /// When routers were asked from the host's own addresses, and whether they have answered there.
    hosts: BTreeMap<(IfIndex, Ipv6Addr, Time), bool>,
    /// Those questions, which are sent after the targets' of the same moment: a router that answers so many a second answers
    /// the first ones.
    from_host: Vec<Output>,
    /// Upstreams on which no router answers anybody: nothing is found out there until one does.
    silent: BTreeSet<IfIndex>,
    /// When it is looked for those that wait, and from where on.
    begin: (Option<Time>, Place),
    /// When some that are refused are tried again, and from where on.
    again: (Option<Time>, Place),
    /// One of them is admitted now: more of them are tried, and sooner.
    is_over: bool,
    /// Targets that a router has asked for again and again, and until when they are not doubted once more.
    doubted: VecDeque<(Time, Ipv6Addr)>,
    /// When switches were last known to know these targets.
    bound: VecDeque<(Time, Ipv6Addr)>,
    /// Targets that are looked at once more.
    later: Vec<Later>,
    /// Upstreams whose provider forgets, and how often targets are announced there.
    forgetful: BTreeMap<IfIndex, Duration>,
    /// The router that has refused a target last, by upstream.
    refusing: BTreeMap<IfIndex, Ipv6Addr>,
    news: Vec<News>,
}

/// A question on its way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    due: Time,
    was_admitted: bool,
}

/// A target that is looked at once more.
#[derive(Debug, Clone, Copy)]
struct Later {
    link: IfIndex,
    router: Ipv6Addr,
    target: Ipv6Addr,
    due: Option<Time>,
}

/// What has come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// This router of the upstream answers the host, and not the target.
    Refused(Ipv6Addr, IfIndex, Ipv6Addr),
    /// That is over.
    Admitted(Ipv6Addr, IfIndex),
    /// The detection of duplicates has made the target known.
    Bound(Ipv6Addr),
    /// The provider forgets targets, which are announced at this period from now on.
    Forgets(IfIndex, Duration),
    /// The provider of this upstream has forgotten a target, and perhaps others.
    Forgot(IfIndex),
}

impl Admission {
    /// How the target, a live guest if it has a number, stands.
    pub fn standing(&self, target: Ipv6Addr, number: Option<u32>) -> Standing {
        self.standings.get(target, number)
    }

    /// How many targets are refused.
    pub fn count_refused(&self) -> usize {
        self.standings.count(Standing::Refused)
    }

    /// The first of them, as many as `most`, guests by their numbers.
    pub fn refused(&self, most: usize, guest: impl Fn(u32) -> Option<Ipv6Addr>) -> Vec<Ipv6Addr> {
        let mut place = Place::default();
        let all = std::iter::from_fn(|| self.standings.next(&[Standing::Refused], &mut place));
        let targets = all.filter_map(|who| match who {
            Who::Guest(number) => guest(number),
            Who::Other(target) => Some(target),
        });
        targets.take(most).collect()
    }

    /// The router that refuses targets on this upstream.
    pub fn refusing(&self, link: IfIndex) -> Option<Ipv6Addr> {
        self.refusing.get(&link).copied()
    }

    /// How often everything is announced again on this upstream, because its provider forgets.
    pub fn period(&self, link: IfIndex) -> Option<Duration> {
        self.forgetful.get(&link).copied()
    }

    /// What is to be told since the last look.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Time> {
        let unanswered = self.unanswered.front().map(|(due, _)| *due);
        let exams = self.exams.values().map(|exam| exam.due).min();
        let later = self.later.iter().filter_map(|later| later.due).min();
        [unanswered, exams, later, self.begin.0, self.again.0].into_iter().flatten().min()
    }

    /// An announcement of the target, a live guest if it has a number, has asked for the router.
    pub fn asked(&mut self, target: Ipv6Addr, number: Option<u32>, router: Ipv6Addr, now: Time) {
        if self.asked.len() >= MOST_ASKED || self.exams.contains_key(&target) {
            return;
        }
        let was_admitted = self.standings.get(target, number) == Standing::Admitted;
        let due = now + RETRANS_TIMER;
        self.asked.insert((target, router), Asked { due, was_admitted });
        self.unanswered.push_back((due, (target, router)));
    }

    /// A router answers a question from this address, which is one of the host's if `is_hosts`. True if it has answered
    /// an announcement of the target, and may be asked once more later.
    pub fn heard(
        &mut self,
        link: IfIndex,
        router: Ipv6Addr,
        (address, number, is_hosts): (Ipv6Addr, Option<u32>, bool),
        now: Time,
    ) -> bool {
        if is_hosts {
            let asked = self.hosts.range_mut((link, router, Time::ORIGIN)..=(link, router, now));
            if let Some((_, is_answered)) = asked.last() {
                *is_answered = true;
            }
            if self.silent.remove(&link) {
                self.begin.0 = Some(now);
            }
            return false;
        }
        if let Some(exam) = self.exams.get_mut(&address) {
            exam.heard(router);
            return false;
        }
        let was_asked = self.asked.remove(&(address, router));
        while self.unanswered.front().is_some_and(|(_, key)| !self.asked.contains_key(key)) {
            self.unanswered.pop_front();
        }
        let standing = self.standings.get(address, number);
        if was_asked.is_none() && standing != Standing::Refused {
            return false;
        }
        if matches!(standing, Standing::Unknown | Standing::Refused) {
            self.admit(address, number, link, now);
        }
        let is_first = was_asked.is_some_and(|asked| !asked.was_admitted) && number.is_some();
        let looks = self.later.iter().filter(|later| later.link == link);
        is_first && !self.forgetful.contains_key(&link) && looks.count() < LATER.len()
    }

    /// This target, which the router has just answered, is looked at once more.
    pub fn look_later(&mut self, link: IfIndex, router: Ipv6Addr, target: Ipv6Addr, now: Time) {
        let looks = self.later.iter().filter(|later| later.link == link).count();
        let Some(pause) = LATER.get(looks) else { return };
        self.later.retain(|later| later.target != target);
        self.later.push(Later { link, router, target, due: Some(now + *pause) });
        self.note_bound(target, now);
    }

    /// A router that was answered for the target, a live guest if it has a number, asks again at once.
    pub fn doubt(&mut self, target: Ipv6Addr, number: Option<u32>, now: Time) {
        self.doubted.retain(|(until, _)| *until > now);
        let is_known = self.doubted.iter().any(|(_, known)| *known == target);
        if is_known || self.doubted.len() >= MOST_DOUBTS || self.exams.contains_key(&target) {
            return;
        }
        let next = match self.standings.get(target, number) {
            Standing::Unknown => Standing::Waiting,
            Standing::Admitted => Standing::Lost,
            Standing::Waiting | Standing::Lost | Standing::Refused => return,
        };
        self.doubted.push_back((now + DOUBTED, target));
        self.standings.set(target, number, next);
        self.begin.0 = Some(now);
    }

    /// The guest of this number is live no more; another may have the number later.
    pub fn forget(&mut self, number: u32) {
        self.standings.set(Ipv6Addr::UNSPECIFIED, Some(number), Standing::Unknown);
    }

    /// Everything is announced from the beginning on some upstreams: what was admitted is found out once more.
    pub fn renew(&mut self) {
        self.standings.renew();
        self.later.clear();
    }

    /// The interface is gone; another may get its number.
    pub fn end_link(&mut self, link: IfIndex) {
        self.exams.retain(|_, exam| exam.link != link);
        self.hosts.retain(|(known, _, _), _| *known != link);
        self.later.retain(|later| later.link != link);
        self.silent.remove(&link);
        self.forgetful.remove(&link);
        self.refusing.remove(&link);
    }

    fn admit(&mut self, target: Ipv6Addr, number: Option<u32>, link: IfIndex, now: Time) {
        if self.standings.get(target, number) == Standing::Refused {
            self.news.push(News::Admitted(target, link));
            // The others may be, too.
            (self.is_over, self.again.0) = (true, Some(now + RETRANS_TIMER));
        }
        self.standings.set(target, number, Standing::Admitted);
    }

    /// The target was admitted, then not, and the detection of duplicates has brought that back.
    fn forgets(&mut self, link: IfIndex, target: Ipv6Addr, now: Time) {
        let bound = self.bound.iter().rev().find(|(_, known)| *known == target);
        let period = bound.map_or(LONGEST, |(bound, _)| now.since(*bound) / 3).clamp(SHORTEST, LONGEST);
        if self.forgetful.get(&link).is_none_or(|known| *known > period) {
            self.forgetful.insert(link, period);
            self.news.push(News::Forgets(link, period));
        }
        self.news.push(News::Forgot(link));
    }

    fn trust(&mut self, target: Ipv6Addr, now: Time) {
        let doubted = self.doubted.iter_mut().filter(|(_, known)| *known == target);
        doubted.for_each(|(until, _)| *until = now + UNFOUNDED);
    }

    fn note_bound(&mut self, target: Ipv6Addr, now: Time) {
        self.bound.retain(|(_, known)| *known != target);
        if self.bound.len() >= MOST_BOUND {
            self.bound.pop_front();
        }
        self.bound.push_back((now, target));
    }
}

/// RFC 4861 §10.
const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// Those that begin to wait in this time begin together, and share the questions from the host.
const SHARED: Duration = Duration::from_millis(500);
/// When a target is looked at once more: switches forget after a minute, after five, after half an hour, or after one.
const LATER: [Duration; 4] = [
    Duration::from_secs(75),
    Duration::from_secs(330),
    Duration::from_secs(1_900),
    Duration::from_secs(3_900),
];
/// Until some that are refused are tried again: what is over is known half a minute later, with the two seconds that it
/// takes to find out.
const AGAIN: Duration = Duration::from_secs(25);
/// A target is doubted no more often, and as many targets are meanwhile.
const DOUBTED: Duration = Duration::from_secs(10);
const MOST_DOUBTS: usize = 64;
/// A doubt that came to nothing is not raised before this. The question has told the router where the target is, and would
/// hide for some seconds that the answers are what it does not take (tests/engine/filters.rs has the bound).
const UNFOUNDED: Duration = Duration::from_secs(12);
/// Everything is announced again no more often, and no more seldom, where the provider forgets.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
/// Questions on their way.
const MOST_ASKED: usize = 1_024;
/// Targets of which it is found out at a time, and those that are tried again together.
const MOST_EXAMS: usize = 32;
const MOST_AGAIN: usize = 16;
const MOST_BOUND: usize = 64;
/// Those that wait and are looked at in one go.
const SLICE: usize = 256;

#[cfg(test)]
#[path = "../admission_tests.rs"]
mod tests;
