//! What may be answered, told from the inputs alone.
//!
//! The rule, out of shared/rules.md ("Exactly one NA per NS", "Every asker gets its own answer") and RFC 4861
//! §7.2.8: an answer belongs to one question that waits, for a target that has shown itself. It leaves
//!
//! * with the question, or
//! * later, with what the question may have waited for: a sign of life of the target; what became of the target's
//!   own route; the host getting the target's address; another policy, under which the question is asked again; or
//!   with a timeout, if that is left over from one of these; or
//! * with the timeout at which somebody on the upstream link, who was known to have the address, has let a claim
//!   of a guest's pass in silence. ("A real owner of the address on the upstream link wins over us", so the guest's
//!   sign of life, which may be older than the question, counts only then); or
//! * with a timeout, if it checks whether the address is free: an owner on the link has some time to speak up first
//!   ("Before we claim").
//!
//! Anything else that happens answers nobody, also not for a target that is live.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::Duration;

use lone64::engine::facts::{Fact, IfIndex, LinkState, NeighborState};
use lone64::engine::{Asker, Change, Event, Input, Time};
use lone64::wire::Advertisement;

/// Follows the inputs, and judges the answers.
pub struct Oracle {
    upstream: IfIndex,
    downstream: IfIndex,
    now: Time,
    waiting: Vec<Waiting>,
    /// When each target last showed itself, if its link has been up since.
    alive: BTreeMap<Ipv6Addr, Time>,
    /// Who has advertised himself on the upstream.
    owners: BTreeSet<Ipv6Addr>,
    /// Since when a guest claims an address that somebody on the upstream was known to have.
    claims: BTreeMap<Ipv6Addr, Time>,
    /// The host's own addresses on the downstream.
    own: BTreeSet<Ipv6Addr>,
    is_upstream_there: bool,
    /// `None`: it is not there.
    downstream_state: Option<LinkState>,
    current: Current,
    /// The routes of targets that the kernel has been asked to change, and how often.
    under_way: BTreeMap<Ipv6Addr, usize>,
    /// When the kernel was last asked for one, or said what became of it. What it refuses is asked for again.
    asked_kernel: BTreeMap<Ipv6Addr, Time>,
    /// How many questions for each target have been asked, and have not ended.
    open: BTreeMap<Ipv6Addr, usize>,
    /// How many of them have ended with this input without an answer.
    dropped: BTreeMap<Ipv6Addr, usize>,
}

struct Waiting {
    target: Ipv6Addr,
    asker: Asker,
    since: Time,
    /// What it may have waited for has happened.
    is_due: bool,
}

/// What is being handled.
#[derive(Clone, PartialEq)]
enum Current {
    /// This question, which is the last of those that wait.
    Question,
    /// Something that concerns these targets.
    About(BTreeSet<Ipv6Addr>),
    /// Something that concerns all targets.
    AboutAll,
    Timeout,
    Other,
}

impl Oracle {
    /// Nothing is known yet.
    pub fn new(upstream: IfIndex, downstream: IfIndex) -> Self {
        Self {
            upstream,
            downstream,
            now: Time::ORIGIN,
            waiting: Vec::new(),
            alive: BTreeMap::new(),
            owners: BTreeSet::new(),
            claims: BTreeMap::new(),
            own: BTreeSet::new(),
            is_upstream_there: false,
            downstream_state: None,
            current: Current::Other,
            under_way: BTreeMap::new(),
            asked_kernel: BTreeMap::new(),
            open: BTreeMap::new(),
            dropped: BTreeMap::new(),
        }
    }

    /// This is handed to the engine next.
    pub fn before(&mut self, input: &Input, now: Time) {
        self.now = now;
        self.current = match input {
            Input::Solicitation(link, question) if *link == self.upstream && self.is_upstream_there => {
                let asker = Asker::of(*link, question);
                *self.open.entry(question.target).or_default() += 1;
                self.waiting.push(Waiting { target: question.target, asker, since: now, is_due: false });
                Current::Question
            }
            Input::Solicitation(link, question) if *link == self.downstream => {
                let address = if question.is_dad() { question.target } else { question.source };
                self.sign(address);
                Current::About([address].into())
            }
            Input::Advertisement(link, advertisement) if *link == self.downstream => {
                self.sign(advertisement.target);
                Current::About([advertisement.target].into())
            }
            Input::Advertisement(_, advertisement) => {
                self.owners.insert(advertisement.target);
                self.claims.remove(&advertisement.target);
                Current::Other
            }
            Input::RouteChanged(Change::Add(route) | Change::Remove(route), _)
                if route.destination.prefix_len() == 128 =>
            {
                let target = route.destination.addr();
                if let Some(count) = self.under_way.get_mut(&target) {
                    *count = count.saturating_sub(1);
                }
                self.asked_kernel.insert(target, now);
                Current::About([target].into())
            }
            Input::Facts(facts) => Current::About(facts.iter().filter_map(|fact| self.fact(fact)).collect()),
            Input::Reload(_) => {
                // The question is asked again, and so is the guest.
                self.waiting.iter_mut().for_each(|waiting| waiting.since = now);
                Current::AboutAll
            }
            Input::Timeout => Current::Timeout,
            _ => Current::Other,
        };
        self.claims.retain(|_, since| now.since(*since) < LONGEST_WAIT);
        for waiting in &mut self.waiting {
            waiting.is_due |= match &self.current {
                Current::About(targets) => targets.contains(&waiting.target),
                Current::AboutAll => true,
                Current::Timeout => {
                    self.claims.contains_key(&waiting.target) || waiting.asker.address.is_unspecified()
                }
                Current::Question | Current::Other => false,
            };
        }
    }

    /// The engine wants this sent on the upstream, in answer to somebody.
    pub fn answer(&mut self, answer: &Advertisement) {
        assert!(self.is_upstream_there, "nothing is sent on an interface that is gone: {answer:?}");
        self.is_owned(answer);
        let is_to = |asker: &Asker| {
            let dad = asker.address.is_unspecified() && answer.destination.is_multicast();
            dad || (asker.address, asker.mac) == (answer.destination, answer.destination_mac)
        };
        let at = self.waiting.iter().rposition(|waiting| {
            waiting.target == answer.target && is_to(&waiting.asker) && self.is_time_for(waiting)
        });
        // Of those who may have it, the one who asks now comes first.
        let at = at.unwrap_or_else(|| panic!("nobody waits for {answer:?}"));
        let is_at_once = self.current == Current::Question && at + 1 == self.waiting.len();
        self.waiting.remove(at);
        self.end(answer.target);
        if is_at_once {
            self.current = Current::Other;
        }
    }

    /// The engine wants this sent on the upstream, unasked.
    pub fn announcement(&self, announcement: &Advertisement) {
        assert!(self.is_upstream_there, "nothing is sent on an interface that is gone: {announcement:?}");
        self.is_owned(announcement);
    }

    /// The engine wants this route changed.
    pub fn change(&mut self, (Change::Add(route) | Change::Remove(route)): &Change) {
        if route.destination.prefix_len() == 128 {
            *self.under_way.entry(route.destination.addr()).or_default() += 1;
            self.asked_kernel.insert(route.destination.addr(), self.now);
        }
    }

    /// The engine tells of this.
    pub fn event(&mut self, event: &Event) {
        if let Event::Dropped(Some(target), link, _) = event
            && *link == self.upstream
        {
            self.end(*target);
            // Another one may be given up for this question.
            let is_its = self.waiting.last().is_some_and(|last| last.target == *target);
            if self.current == Current::Question && is_its {
                self.waiting.pop();
                self.current = Current::Other;
            } else {
                *self.dropped.entry(*target).or_default() += 1;
            }
        }
    }

    /// Every output of this input was seen.
    pub fn after(&mut self) {
        for (target, count) in std::mem::take(&mut self.dropped) {
            let waiting = self.waiting.iter().filter(|waiting| waiting.target == target);
            let mut askers = waiting.map(|waiting| waiting.asker);
            // Whose question it was is told only where one alone waits; his oldest go first.
            if askers.next().is_some_and(|first| askers.all(|asker| asker == first)) {
                let mut left = count;
                self.waiting.retain(|waiting| {
                    let goes = waiting.target == target && left > 0;
                    left -= usize::from(goes);
                    !goes
                });
            }
        }
        // Nobody waits longer, but for the kernel. (One who has asked twice meanwhile may have got one answer.)
        let is_under_way = |target: &Ipv6Addr| {
            let asked = self.asked_kernel.get(target);
            self.under_way.get(target).is_some_and(|count| *count > 0)
                || asked.is_some_and(|asked| self.now.since(*asked) < LONGEST_WAIT)
        };
        self.waiting
            .retain(|waiting| self.now.since(waiting.since) < LONGEST_WAIT || is_under_way(&waiting.target));
    }

    /// A question for this target has its answer, or gets none.
    fn end(&mut self, target: Ipv6Addr) {
        let open = self.open.get_mut(&target).filter(|open| **open > 0);
        *open.unwrap_or_else(|| panic!("more questions for {target} have ended than were asked")) -= 1;
    }

    fn is_time_for(&self, waiting: &Waiting) -> bool {
        match &self.current {
            Current::Question => std::ptr::eq(waiting, self.waiting.last().expect("the question waits")),
            Current::About(_) | Current::AboutAll | Current::Timeout => waiting.is_due,
            Current::Other => false,
        }
    }

    fn is_owned(&self, said: &Advertisement) {
        let seen = self.alive.get(&said.target);
        let is_fresh = seen.is_some_and(|seen| self.now.since(*seen) < OLDEST);
        assert!(is_fresh || self.own.contains(&said.target), "it has not shown itself: {said:?}");
    }

    fn sign(&mut self, address: Ipv6Addr) {
        if self.downstream_state.is_some() && !self.own.contains(&address) {
            self.alive.insert(address, self.now);
            if self.owners.contains(&address) {
                self.claims.entry(address).or_insert(self.now);
            }
        }
    }

    /// The target that this may concern.
    fn fact(&mut self, fact: &Fact) -> Option<Ipv6Addr> {
        match fact {
            Fact::Link(link) if link.index == self.upstream => self.is_upstream_there = true,
            Fact::Link(link) if link.index == self.downstream => {
                // A guest may be heard before the kernel says that its link is up.
                if self.downstream_state == Some(LinkState::Up) && link.state != LinkState::Up {
                    self.alive.clear();
                }
                self.downstream_state = Some(link.state);
            }
            Fact::LinkGone(link) if *link == self.upstream => self.is_upstream_there = false,
            Fact::LinkGone(link) if *link == self.downstream => {
                self.alive.clear();
                self.own.clear();
                self.downstream_state = None;
            }
            Fact::Address(address) if address.link == self.downstream => {
                // Whoever it was before, it is the host now.
                self.alive.remove(&address.address);
                self.own.insert(address.address);
                return Some(address.address);
            }
            Fact::AddressGone { link, address } if *link == self.downstream => {
                self.own.remove(address);
            }
            Fact::Neighbor(neighbor)
                if neighbor.link == self.downstream
                    && neighbor.mac.is_some()
                    && neighbor.state != NeighborState::Failed =>
            {
                self.sign(neighbor.address);
                return Some(neighbor.address);
            }
            _ => {}
        }
        None
    }
}

/// Twice what a silent guest is answered for by the default timers, where every timeout comes 17 seconds late.
const OLDEST: Duration = Duration::from_secs(300);

/// Three tries, and where the host gets the address meanwhile, the link is asked whether it is free: each step ends with
/// a timeout that comes 17 seconds late.
const LONGEST_WAIT: Duration = Duration::from_secs(90);
