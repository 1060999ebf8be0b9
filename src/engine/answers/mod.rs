//! What a question gets: a [`Decision`] as a value, made by looking alone. The engine carries it out, and
//! [`explain`] prints it.

pub mod explain;
pub mod guests;
pub mod held;
pub mod hops;
pub mod masks;

use core::net::Ipv6Addr;

use super::asker::Asker;
use super::facts::IfIndex;
use super::guests::Words;
use super::hints::Hints;
use super::host::Host;
use super::liveness::{Ground, Live, Liveness, Owner, Standing};
use super::manners::asked::Asked;
use super::manners::rivals::Rivals;
use super::next_hops::NextHops;
use super::plan::{Behind, Hop, Plan, RangeId};
use super::policy::Answer;
use super::time::Time;
use crate::wire::DropReason;
use guests::Neighborhood;

/// Everything that a decision looks at.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// What is served where.
    pub plan: &'a Plan,
    /// What the kernel says.
    pub host: &'a Host,
    /// Which guests are there.
    pub guests: &'a Liveness,
    /// Which neighbors on the upstreams are there.
    pub neighbors: &'a Liveness,
    /// Which next hops are there, that guests are behind.
    pub next_hops: &'a NextHops,
    /// Where guests are answered on their own link, and for whom.
    pub neighborhood: &'a Neighborhood,
    /// Who disputes what is ours.
    pub rivals: &'a Rivals,
    /// What the upstreams' links say of who has the others.
    pub asked: &'a Asked,
    /// Where somebody listens to the groups of addresses.
    pub hints: &'a Hints,
    /// What is there by the administrator's word.
    pub words: &'a Words,
}

/// What a question comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Silence.
    Drop(DropReason),
    /// An answer at once.
    Answer(Because),
    /// An answer, as soon as the route of this live guest is in the kernel.
    AnswerLive(Live),
    /// The guest is asked first: a stranger checks whether its address is free.
    AskBefore(Live),
    /// It is not known yet whether another station on the link has it: a stranger checks whether the address is free,
    /// or all of a range is answered for and its guests are on the upstream's own link.
    Listen,
    /// The target is being asked for already.
    Wait,
    /// The target is asked for on its downstreams.
    Ask,
    /// The next hops that the target is behind are asked whether they are there, or are being asked already.
    AskHops,
    /// The target is asked for on this upstream, and answered for there; it may be a guest as well, which is to
    /// be asked for too.
    Neighbor(IfIndex, AlsoGuest),
}

/// Why there is an answer at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// Every address of the range is answered for.
    Always,
    /// The host itself has the address, on this interface.
    Host(IfIndex),
    /// It is behind this next hop, which is there.
    NextHop(Hop),
    /// The kernel routes it to this interface, which has no Neighbor Discovery.
    Layer3(IfIndex),
    /// It is the provider's router, and a guest asks for it.
    Router,
}

/// Whether what is asked for on an upstream may be a guest as well, and is to be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlsoGuest {
    /// It may be.
    Yes,
    /// It is not, or is being looked for already.
    No,
}

impl<'a> Scene<'a> {
    /// What a question that arrives on an upstream comes to.
    pub fn decide(&self, asker: &Asker, target: Ipv6Addr, now: Time) -> Decision {
        let Self { plan, host, .. } = *self;
        if target.is_unicast_link_local() {
            return Decision::Drop(DropReason::TargetLinkLocal);
        }
        // RFC 4861 §7.2.3: for "a valid unicast or anycast address assigned to the receiving
        // interface" the kernel answers, and DAD that is under way must not be defended against.
        let is_known = host.links.know(target);
        if is_known && host.links.has(asker.link, target) || plan.is_beside(target, asker.link, host) {
            return Decision::Drop(DropReason::UpstreamAddress);
        }
        let Some(range) = plan.find(target) else { return Decision::Drop(DropReason::NoRange) };
        if plan.place(range).upstream != Some(asker.link) {
            return Decision::Drop(DropReason::NoRange);
        }
        if plan.index.excludes(range, target) {
            return Decision::Drop(DropReason::Excluded);
        }
        let answer = plan.range(range).answer;
        if answer == Answer::Never {
            return Decision::Drop(DropReason::NeverAnswered);
        }
        if plan.range(range).standby && !self.words.is_claimed(target) {
            return Decision::Drop(DropReason::Standby);
        }
        // The provider's router answers for itself, whatever the range says and whichever interface has its address. It
        // is no live guest: it ends as one when a route leads through it.
        let live = self.guests.live(target);
        if live.is_none() && plan.is_router(target, host) {
            return Decision::Drop(DropReason::Excluded);
        }
        if answer == Answer::Always {
            return match plan.check_whole(range, target, host) {
                Ok(()) => self.decide_there(asker, target, Because::Always, now),
                Err(reason) => Decision::Drop(reason),
            };
        }
        // Linux answers on the upstream for the upstream's addresses only.
        let owner = is_known.then(|| host.links.owners(target).find(|owner| *owner != asker.link));
        match owner.flatten() {
            Some(owner) => self.decide_there(asker, target, Because::Host(owner), now),
            None => self.decide_live(asker, target, (range, live), now),
        }
    }

    /// A target that is there without being asked for, unless a rival has it.
    fn decide_there(&self, asker: &Asker, target: Ipv6Addr, because: Because, now: Time) -> Decision {
        if self.rivals.defend(target) {
            return Decision::Drop(DropReason::Conflict);
        }
        // Guests on the upstream's own bridge are among other stations of that link.
        let is_shared = because == Because::Always && self.plan.is_shared(asker.link);
        let is_unsure = asker.address.is_unspecified() || is_shared;
        match is_unsure && self.owner(target, now) != Owner::Nobody {
            true => Decision::Listen,
            false => Decision::Answer(because),
        }
    }

    /// What the upstream's link says of who has the target.
    pub fn owner(&self, target: Ipv6Addr, now: Time) -> Owner {
        self.guests.owner(target).unwrap_or_else(|| self.asked.owner(target, now))
    }

    fn decide_live(
        &self,
        asker: &Asker,
        target: Ipv6Addr,
        (range, live): (RangeId, Option<Live>),
        now: Time,
    ) -> Decision {
        if let Some(decision) = self.decide_behind_hops(asker, target, range, now) {
            return decision;
        }
        if let Some(live) = live {
            // It was heard there before its link came up, or its end is still to be told of.
            if !self.host.links.is_up(live.link) {
                return Decision::Drop(DropReason::NoDownstream);
            }
            if self.rivals.defend(target) {
                return Decision::Drop(DropReason::Conflict);
            }
            let is_check = asker.address.is_unspecified();
            return match is_check && self.guests.owner(target) != Some(Owner::Nobody) {
                true => Decision::Listen,
                false if is_check && !self.words.keep(target, live.link) => Decision::AskBefore(live),
                false => Decision::AnswerLive(live),
            };
        }
        match self.guests.standing(target) {
            Standing::Probing if !self.guests.is_unasked(target) => Decision::Wait,
            // A probe that went out before anybody asked may be long gone.
            _ => match self.plan.routed_to_layer_3(range, target, self.host) {
                Some(link) => self.decide_there(asker, target, Because::Layer3(link), now),
                None => Decision::Ask,
            },
        }
    }

    /// The links that guests can be on, as [`Liveness`] wants to know them.
    pub fn downstreams(&self) -> Downstreams<'a> {
        Downstreams { plan: self.plan, host: self.host, words: self.words }
    }
}

/// Where guests can be.
#[derive(Debug, Clone, Copy)]
pub struct Downstreams<'a> {
    /// What is served where.
    pub plan: &'a Plan,
    /// What the kernel says.
    pub host: &'a Host,
    /// What is there by the administrator's word.
    pub words: &'a Words,
}

/// Where neighbors can be.
#[derive(Debug, Clone, Copy)]
pub struct Upstreams<'a> {
    /// What is on the links of the upstreams.
    pub neighborhood: &'a Neighborhood,
    /// What the kernel says.
    pub host: &'a Host,
}

impl Ground for Downstreams<'_> {
    fn behind(&self, target: Ipv6Addr) -> Option<Behind<'_>> {
        let range = self.plan.find(target)?;
        // There it is on no link: it is not looked for.
        let is_on_a_link = !self.plan.is_behind_a_hop(range, target, self.host);
        is_on_a_link.then(|| self.plan.behind(range, target, self.host))
    }

    fn has_source(&self, link: IfIndex) -> bool {
        self.host.links.has_source(link) && !self.host.links.is_layer_3(link)
    }

    fn is_up(&self, link: IfIndex) -> bool {
        self.host.links.is_up(link)
    }

    fn vouches(&self, target: Ipv6Addr, link: IfIndex) -> bool {
        self.words.place(target, link)
    }

    fn fixes(&self, target: Ipv6Addr, link: IfIndex) -> bool {
        self.words.fix(target, link)
    }

    fn why_not_asked(&self, target: Ipv6Addr) -> DropReason {
        let range = self.plan.find(target);
        range.map_or(DropReason::NoRange, |range| self.plan.why_not_probed(range, target, self.host))
    }
}

impl Ground for Upstreams<'_> {
    fn behind(&self, target: Ipv6Addr) -> Option<Behind<'_>> {
        Some(Behind::Route(self.neighborhood.upstream_towards(target, self.host)))
    }

    fn has_source(&self, link: IfIndex) -> bool {
        self.host.links.has_source(link)
    }

    fn is_up(&self, link: IfIndex) -> bool {
        self.host.links.is_up(link)
    }

    fn why_not_asked(&self, _: Ipv6Addr) -> DropReason {
        DropReason::Absent
    }
}
