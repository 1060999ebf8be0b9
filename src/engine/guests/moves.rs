//! Guests that move between hosts: all of them, each with its [`Course`](super::course::Course). Only those that have a
//! MAC move, as others cannot be told apart.

use core::net::Ipv6Addr;

use super::course::{Crossed, Doubted, News, Over, Sighting};
use super::words::By;
use super::{GuestId, Guests, Known, Out, Terrain};
use crate::engine::facts::IfIndex;
use crate::engine::time::Time;
use crate::wire::Mac;

/// How many guests have come and gone, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moves {
    /// They were announced here.
    pub arrived: u64,
    /// Another host has announced them, and they did not reply here.
    pub left: u64,
}

impl Guests {
    /// A frame of this MAC has come on this downstream. What else it says is heard before, with [`Self::hear`].
    pub fn sight(
        &mut self,
        (link, mac): (IfIndex, Mac),
        sighting: Sighting,
        terrain: &impl Terrain,
        now: Time,
    ) {
        let Some(id) = self.stations.get(&mac).copied() else { return };
        let Some(known) = self.known.get_mut(&id).filter(|known| known.is_on(link, terrain)) else { return };
        let due = known.course.next_due();
        let (was_away, was_late) = (known.course.away().is_some(), known.course.is_late());
        let news = known.course.heard(sighting, now);
        self.is_due_again(id, due);
        if was_away && news != News::Nothing {
            self.settle_guest(id, terrain);
        }
        if was_late {
            self.out.push(Out::Reroute(id));
        }
        match news {
            News::Nothing if sighting == Sighting::Arrival => self.out.push(Out::Again(id, link)),
            News::Nothing => {}
            News::Still => self.out.push(Out::Again(id, link)),
            News::Arrived => {
                self.moves.arrived += 1;
                self.out.push(Out::Arrived(id, link));
            }
            News::Stays => self.out.push(Out::Stays(id)),
            News::Flaps => {
                self.out.extend([Out::Again(id, link), Out::Flaps(id, link)]);
                if was_away {
                    self.wants_proof(id, now);
                }
            }
            News::Returns => {
                self.out.push(Out::Again(id, link));
                self.wants_proof(id, now);
            }
            News::Moved => self.out.extend([Out::Again(id, link), Out::Moved(id)]),
        }
    }

    /// It may have moved: that it replies here shows it.
    fn wants_proof(&mut self, id: GuestId, now: Time) {
        if let Some(known) = self.known.get_mut(&id) {
            known.course.wants_proof(now);
            self.ask(id);
        }
    }

    /// Asks the guest at one of its addresses.
    fn ask(&mut self, id: GuestId) {
        let Some(known) = self.known.get(&id) else { return };
        let words =
            known.given.addresses.iter().filter_map(|target| Some((*target, self.words.of(*target)?)));
        let own = words.into_iter().find(|(_, word)| word.by == By::Guest);
        if let (Some((target, word)), Some(mac)) = (own, known.policy.mac) {
            self.out.push(Out::Ask(target, word.link, mac));
        }
    }

    /// Another station announces this address on an upstream. If a guest has it here by the configuration's word, and
    /// can be told from others, it is asked.
    pub fn announced_elsewhere(&mut self, target: Ipv6Addr, by: Mac, crossed: Crossed, now: Time) {
        let Some(word) = self.words.of(target).filter(|word| word.by == By::Guest).copied() else { return };
        let (Some(id), Some(mac)) = (word.guest, word.mac) else { return };
        let Some(known) = self.known.get_mut(&id) else { return };
        let due = known.course.next_due();
        if known.course.announced_elsewhere(by, crossed, now) == Doubted::Now {
            self.out.push(Out::Ask(target, word.link, mac));
        }
        self.is_due_again(id, due);
    }

    /// What is due by now.
    pub fn tick_moves(&mut self, terrain: &impl Terrain, now: Time) {
        while let Some((due, id)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            let Some(known) = self.known.get_mut(&id) else {
                self.due.remove(&(due, id));
                continue;
            };
            let over = known.course.tick(now);
            let link = known.given.link;
            self.is_due_again(id, Some(due));
            match (over, link) {
                (Some(Over::Left(by)), Some(link)) => {
                    self.moves.left += 1;
                    self.out.push(Out::Left(id, link, by));
                    self.settle_guest(id, terrain);
                }
                (Some(Over::Ask), _) => self.ask(id),
                (Some(Over::Late), _) => self.out.push(Out::Reroute(id)),
                (Some(Over::Quiet), _) => self.out.push(Out::Quiet(id)),
                (Some(Over::Left(_)), None) | (None, _) => {}
            }
        }
    }

    /// Something else may be due of this guest than before.
    pub(super) fn is_due_again(&mut self, id: GuestId, before: Option<Time>) {
        let due = self.known.get(&id).and_then(|known| known.course.next_due());
        if due != before {
            before.into_iter().for_each(|before| _ = self.due.remove(&(before, id)));
            self.due.extend(due.map(|due| (due, id)));
        }
    }

    /// Whether the guest with this address has said here that it is here, and does not do so too often.
    pub fn has_come(&self, target: Ipv6Addr) -> bool {
        self.owner(target).is_some_and(|known| known.course.has_come())
    }

    /// Whether the guest with this address is behind another host, as far as is known.
    pub fn is_away(&self, target: Ipv6Addr) -> bool {
        self.owner(target).is_some_and(|known| known.course.away().is_some())
    }

    /// Whether the guest with this address does not reply, and may be behind another host.
    pub fn is_late(&self, target: Ipv6Addr) -> bool {
        !self.due.is_empty() && self.owner(target).is_some_and(|known| known.course.is_late())
    }

    /// The addresses and the MAC of a guest that is here.
    pub fn at_home(&self, id: GuestId) -> Option<(&[Ipv6Addr], Mac)> {
        let known = self.known.get(&id)?;
        Some((&known.given.addresses, known.policy.mac?))
    }

    /// Whether this guest comes and goes too often to be announced unasked.
    pub fn is_flapping(&self, id: GuestId) -> bool {
        self.known.get(&id).is_some_and(|known| known.course.is_flapping())
    }

    /// The guest of this name.
    pub fn named(&self, name: &str) -> Option<GuestId> {
        self.names.get(name).copied()
    }

    /// Whether any guest can be told by its MAC.
    pub fn has_stations(&self) -> bool {
        !self.stations.is_empty()
    }

    /// How many have come and gone, and how many come and go too often.
    pub fn count_moves(&self) -> (Moves, usize) {
        let flapping = self.known.values().filter(|known| known.course.is_flapping());
        (self.moves, flapping.count())
    }
}

impl Known {
    /// Whether it is, or would be, on this link.
    pub(super) fn is_on(&self, link: IfIndex, terrain: &impl Terrain) -> bool {
        match &self.policy.interface {
            Some(name) => terrain.named(name) == Some(link),
            None => self.seen == Some(link),
        }
    }
}
