//! Asking: probes for targets of which nothing is known, and for live ones.

use core::net::Ipv6Addr;
use std::time::Duration;

use super::table::Id;
use super::{
    Budget, Evidence, Ground, HINTED, Kind, Live, Liveness, Out, Probing, Proof, Standing, State, Subject,
    UNASKED, Why,
};
use crate::engine::asker::Asker;
use crate::engine::time::Time;
use crate::wire::{DropReason, Mac};

/// How a target is asked for.
#[derive(Debug, Clone)]
pub struct Asking {
    /// Who waits for the answer.
    pub askers: Vec<Asker>,
    /// Whose share of the probes it counts for.
    pub share: usize,
}

impl Liveness {
    /// Asks for a target that is not live, within the limits of the one that caused it, and notes who waits.
    pub fn ask(
        &mut self,
        target: Ipv6Addr,
        Asking { askers, share }: Asking,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) -> Result<(), DropReason> {
        self.check_askable(target, ground)?;
        let askers = match self.ask_hinted(target, askers, ground, budget, now) {
            None => return Ok(()),
            Some(askers) => askers,
        };
        if self.is_full() && !self.give_up_one(share, now) {
            return Err(DropReason::PendingFull);
        }
        let half = self.pending.div_ceil(2);
        if self.table.probing_for(share) >= half.max(1) && self.pending > 1 && !self.give_up_one(share, now) {
            return Err(DropReason::PendingFull);
        }
        if !budget.grant(share, now) {
            return Err(DropReason::ProbeLimit);
        }
        let left = self.tries(target) - 1;
        self.begin(target, Probing { left, share, askers, ..Probing::default() }, ground, budget, now)
    }

    /// How many rounds of questions a target that is not live gets.
    pub(super) fn tries(&self, target: Ipv6Addr) -> u8 {
        match self.standing(target) {
            // One look for a target that was absent a moment ago: it costs little, and a guest that came up
            // without a word is found at the first question.
            Standing::Absent => 1,
            _ => self.timers.retries,
        }
    }

    /// Asks for a target of which nobody asked, within the same limits; one that is live is asked whether it
    /// still is.
    pub fn look(&mut self, target: Ipv6Addr, ground: &impl Ground, budget: &mut Budget, now: Time) {
        match self.standing(target) {
            Standing::Live(_) => self.doubt(target, super::Doubt::Wanted, ground, budget, now),
            Standing::Probing if !self.is_unasked(target) => {}
            _ => {
                let is_askable =
                    self.check_askable(target, ground).is_ok() && !self.is_full() && budget.take(now);
                if is_askable {
                    let probing = Probing { left: self.timers.retries - 1, ..Probing::default() };
                    // Nobody waits for it.
                    let _ = self.begin(target, probing, ground, budget, now);
                }
            }
        }
    }

    /// A guest that is not where it was may be on another link of its range, and silent there. While its neighbors hold
    /// an entry nobody asks for it, so it is asked for now, where there are few links and many probes left. The link
    /// that it moves to may be up a moment later only.
    pub(super) fn look_elsewhere(
        &mut self,
        target: Ipv6Addr,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) {
        let links = ground.behind(target).map_or(0, |behind| behind.as_slice().len());
        let is_worth_it = (2..=FEW).contains(&links) && self.has_room_for(target) && !self.is_full();
        if is_worth_it && budget.take_if_plenty(now) {
            let probing = Probing { left: self.timers.retries - 1, ..Probing::default() };
            // Nobody waits for it.
            let _ = self.begin(target, probing, ground, budget, now);
        }
    }

    /// Whether any of the links that the target may be on can be asked.
    pub fn can_be_asked(&self, target: Ipv6Addr, ground: &impl Ground) -> bool {
        let behind = ground.behind(target);
        behind.is_some_and(|behind| behind.iter().any(|link| ground.can_ask(*link)))
    }

    fn check_askable(&self, target: Ipv6Addr, ground: &impl Ground) -> Result<(), DropReason> {
        if !self.can_be_asked(target, ground) {
            return Err(ground.why_not_asked(target));
        }
        if self.has_room_for(target) { Ok(()) } else { Err(DropReason::TargetsFull) }
    }

    fn is_full(&self) -> bool {
        let outside = self.table.probing_for(HINTED) + self.table.probing_for(UNASKED);
        self.table.count(Kind::Probing) - outside >= self.pending
    }

    /// Of those that are being asked the one that has been silent longest is given up, so that a question for another has
    /// its turn: a guest that is there replies within milliseconds. Not one that an asker has asked for who has fewer.
    fn give_up_one(&mut self, share: usize, now: Time) -> bool {
        let is_hinted = |id: &Id| self.table.probing(*id).is_some_and(|probing| probing.share >= HINTED);
        let Some(id) = self.table.early_ones(Kind::Probing).find(|id| !is_hinted(id)) else { return false };
        let target = self.table.address(id);
        let Some(probing) = self.table.probing_mut(id) else { return false };
        let (theirs, was_asked) = (probing.share, probing.spent > 0);
        // It was asked a retransmission time before the next probe is due.
        let has_had_time = self.table.due(id) <= now + self.timers.retransmit.saturating_sub(REPLIES_WITHIN);
        let is_fair = theirs == share || self.table.probing_for(theirs) > self.table.probing_for(share);
        let is_given_up = is_fair && was_asked && has_had_time;
        if is_given_up {
            self.put(target, State::Absent, Why::Unanswered, now);
        }
        is_given_up
    }

    /// Begins to ask; the first probe is paid.
    fn begin(
        &mut self,
        target: Ipv6Addr,
        probing: Probing,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) -> Result<(), DropReason> {
        if !self.put(target, State::Probing(probing), Why::Asked, now) {
            return Err(DropReason::TargetsFull);
        }
        self.ask_round(target, Paid::First, ground, budget, now);
        Ok(())
    }

    /// Asks the target's links, as many as the limit allows in one turn; the rest follow. A round counts as a
    /// try when its first probe is sent, or when there is no link to send one on.
    pub(super) fn ask_round(
        &mut self,
        target: Ipv6Addr,
        paid: Paid,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) {
        let Some(id) = self.table.find(target) else { return };
        let Some(behind) = ground.behind(target) else { return };
        let Some((probing, on_links)) = self.table.probing_and_links(id) else { return };
        let links = behind.as_slice();
        // Each link once, and a few questions more: many links make a second round too dear.
        let most = u32::try_from(links.len()).unwrap_or(u32::MAX).saturating_add(RETRIES);
        let is_new_round = probing.asked == 0 && paid == Paid::None;
        let mut paid = paid == Paid::First;
        let (mut sent, mut is_cut_short) = (0, false);
        // First the links that nobody is known on, then the others: mostly each guest has a link of its own.
        let passes = if links.len() > 1 { 2 } else { 1 };
        let all = passes * links.len();
        let turn = probing.asked..all.min(probing.asked + LOOKED_AT);
        for place in turn {
            let link = &links[place % links.len()];
            let is_its_turn = passes == 1 || on_links.has(*link) == (place >= links.len());
            if sent == TURN {
                break;
            }
            if is_its_turn && ground.can_ask(*link) {
                if probing.spent >= most {
                    probing.asked = all;
                    break;
                }
                // One that has not been asked everywhere yet and has waited long goes before new questions; one that
                // was and is silent comes after them.
                let is_first_round = (probing.spent as usize) < links.len();
                let granted = match (is_first_round, probing.starved) {
                    (true, ..PATIENCE) => std::mem::take(&mut paid) || budget.take(now),
                    (true, _) => budget.take_in_debt(now),
                    (false, ..LONG_PATIENCE) => std::mem::take(&mut paid) || budget.take_if_plenty(now),
                    (false, _) => budget.take_in_debt(now),
                };
                if !granted {
                    probing.starved = probing.starved.saturating_add(1);
                    is_cut_short = true;
                    break;
                }
                probing.spent += 1;
                probing.starved = 0;
                sent += 1;
                self.out.push(Out::Ask(target, *link, None));
            }
            probing.asked += 1;
        }
        if is_new_round && (sent > 0 || !is_cut_short) {
            probing.left = probing.left.saturating_sub(1);
        }
        let is_done = probing.asked >= all && !is_cut_short;
        if is_done {
            probing.asked = 0;
        }
        let retransmit = self.timers.retransmit;
        let pause = match (is_done, is_cut_short) {
            (true, _) => retransmit,
            // Thousands may wait for probes: each comes back as often as there are some to be had.
            (false, true) => SCARCE.min(retransmit / 4),
            (false, false) => PAUSE.min(retransmit),
        };
        self.table.postpone(id, now + pause);
    }

    /// Asks a live target whether it is still there; `unanswered` counts from here on.
    pub(super) fn confirm(
        &mut self,
        target: Ipv6Addr,
        live: Live,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) {
        let retransmit = self.timers.retransmit;
        // The last try goes to the group: the guest may have another link-layer address now.
        let is_last = live.unanswered + 1 >= self.timers.retries;
        // So does the first after a guest's DAD, for the kernel that may be asking for it as well: RFC 4861
        // §7.2.4, "If the IP Destination Address is a multicast address, the Target Link-Layer option MUST
        // be included in the advertisement", and without one the kernel learns nothing (§7.2.5).
        let is_new = live.evidence == Evidence::Dad && live.proof == Proof::Announced;
        let known = live.mac.filter(|_| !is_last && !is_new);
        // Linux ends a guest's DAD up to 80 ms late. What is asked until then may be too early, so it is
        // asked a few times, as long as probes are plenty, and none of them counts as unanswered.
        let is_unknown = live.unanswered == 0 && (is_new || live.mac.is_none());
        if self.subject == Subject::Guests
            && is_unknown
            && (retransmit..retransmit + retransmit / 8).contains(&now.since(live.seen))
            && ground.has_source(live.link)
            && budget.take(now)
        {
            self.out.push(Out::Ask(target, live.link, None));
            self.set(target, Some(State::Live(live)), now + retransmit / 32, Why::Asked);
            return;
        }
        self.ask_live(target, (live, known, retransmit), ground, budget, now);
    }

    /// Knowledge that has grown old is confirmed behind an answer; answers never wait for it.
    pub fn confirm_if_old(
        &mut self,
        target: Ipv6Addr,
        live: &Live,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) {
        if now.since(live.seen) > self.timers.reachable && live.is_idle() {
            self.confirm(target, *live, ground, budget, now);
        }
    }

    /// Another station says that it has the target's address: asks the one that had it. The first question goes to the
    /// station, which replies at once if it is there; the second soon after it to the group, and it has more time: a
    /// proxy that stands before a guest replies to no other, and up to 0.8 s late. A guest that moved is followed
    /// within a second.
    pub(super) fn challenge(
        &mut self,
        target: Ipv6Addr,
        live: Live,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) {
        let retransmit = self.timers.retransmit;
        let (known, pause) = match live.unanswered {
            0 => (live.mac, retransmit / 64),
            _ => (None, retransmit / 32 * 27),
        };
        self.ask_live(target, (live, known, pause), ground, budget, now);
    }

    /// There is a sign that the target has gone: asks it a last time, whichever station has its address now,
    /// and gives it half of a retransmission time.
    pub(super) fn ask_once_more(
        &mut self,
        target: Ipv6Addr,
        live: Live,
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) {
        let live = Live { unanswered: self.timers.retries - 1, ..live };
        self.ask_live(target, (live, None, self.timers.retransmit / 2), ground, budget, now);
    }

    fn ask_live(
        &mut self,
        target: Ipv6Addr,
        (live, known, pause): (Live, Option<Mac>, Duration),
        ground: &impl Ground,
        budget: &mut Budget,
        now: Time,
    ) {
        // A link without an address: nobody behind it can be reached any more. And what was not asked for want
        // of probes is no silence of the target's.
        let has_source = ground.has_source(live.link);
        if has_source && budget.take_in_debt(now) {
            return self.ask_paid(target, live, known, pause, now);
        }
        let unanswered = live.unanswered.saturating_add(u8::from(!has_source));
        self.set(target, Some(State::Live(Live { unanswered, ..live })), now + pause, Why::Asked);
    }

    /// Sends a live target a probe that is paid.
    pub(super) fn ask_paid(
        &mut self,
        target: Ipv6Addr,
        live: Live,
        known: Option<Mac>,
        pause: Duration,
        now: Time,
    ) {
        self.out.push(Out::Ask(target, live.link, known));
        let asked = Live { unanswered: live.unanswered.saturating_add(1), ..live };
        self.set(target, Some(State::Live(asked)), now + pause, Why::Asked);
    }
}

/// Whether the budget was asked already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paid {
    /// For the first probe.
    First,
    /// For none.
    None,
}

/// On so many links at most a guest that has left one is looked for: bridges between which guests move. With a link for
/// each guest, the end of each would be asked for on all of the others.
const FEW: usize = 8;
/// As many links are asked in one turn; a range may have thousands.
const TURN: usize = 64;
/// As many are looked at in one turn.
const LOOKED_AT: usize = 16 * TURN;
/// Until the next turn.
const PAUSE: Duration = Duration::from_millis(10);
/// Until the next turn where there were not enough probes for this one.
const SCARCE: Duration = Duration::from_millis(250);
/// A guest that is there has replied by then.
const REPLIES_WITHIN: Duration = Duration::from_millis(100);
/// As often in a row a target waits for its first probe, which new questions may have.
const PATIENCE: u8 = 2;
/// The same for a target that has been silent so far.
const LONG_PATIENCE: u8 = 8;
/// Over many links, as many probes more than there are links are sent for one question.
const RETRIES: u32 = 256;
