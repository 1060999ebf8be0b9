//! The guests' gateway (`gateway` of a range): a link-local address that is kept on each of its downstreams, so
//! that guests without a layer 2 in common have the same next hop.
//!
//! Ours bear our protocol number (IFA_PROTO, Linux 5.18). They are added exclusively, so that an equal one of
//! another program stays as it is, and serves as well. A kernel that knows no such numbers tells none: there,
//! ours are those that this engine has put there itself.

use std::collections::{BTreeMap, BTreeSet};

use super::keeper::{Found, Keeper, Keeping, Manner, Step};
use crate::engine::change::{AddressChange, AddressOutcome, At, GatewayAddress, Obstacle, Outcome};
use crate::engine::facts::{Address, IfIndex, LinkState};
use crate::engine::host::links::Links;
use crate::engine::plan::problem::Problem;
use crate::engine::seed::Seed;
use crate::engine::time::Time;

/// What is wanted of gateways' addresses, and what becomes of it.
#[derive(Debug)]
pub struct Addresses {
    protocol: u8,
    /// The numbers that marked ours before.
    former: BTreeSet<u8>,
    /// The kernel keeps such numbers: it has told one.
    is_marking: bool,
    wanted: BTreeSet<At>,
    /// By place, the protocol number that ours bears.
    kept: Keeper<At, u8>,
    /// Changes under way: whether the address is added, and whether word of it has overtaken the outcome.
    asked: BTreeMap<At, (bool, bool)>,
    /// Answered, and the word of it is still to come: whether the address is there.
    answered: BTreeMap<At, bool>,
    /// Put there by us, and not known to bear our number.
    unmarked: BTreeSet<At>,
    obstacles: BTreeMap<At, Obstacle>,
}

impl Addresses {
    /// None yet.
    pub fn new(protocol: u8, seed: Seed) -> Self {
        Self {
            protocol,
            former: BTreeSet::new(),
            is_marking: false,
            wanted: BTreeSet::new(),
            kept: Keeper::new(Manner::Confirmed, seed),
            asked: BTreeMap::new(),
            answered: BTreeMap::new(),
            unmarked: BTreeSet::new(),
            obstacles: BTreeMap::new(),
        }
    }

    /// From here on ours bear this number. Those that are there already are put there again.
    pub fn set_protocol(&mut self, protocol: u8) {
        if protocol != self.protocol {
            self.former.insert(self.protocol);
            self.former.remove(&protocol);
            self.protocol = protocol;
        }
    }

    /// Where the addresses are wanted.
    pub fn want(&mut self, wanted: BTreeSet<At>, links: &Links) {
        let before = std::mem::replace(&mut self.wanted, wanted);
        let others: Vec<_> = before.symmetric_difference(&self.wanted).copied().collect();
        others.into_iter().for_each(|at| self.look(at, links));
    }

    /// Looks at every place at which something may be to be done.
    pub fn look_everywhere(&mut self, links: &Links) {
        let numbers = self.former.iter().chain([&self.protocol]);
        let marked: Vec<_> = numbers.flat_map(|number| marked(links, *number)).collect();
        let known = self.wanted.iter().chain(&self.unmarked).chain(self.obstacles.keys()).copied();
        let places: BTreeSet<_> = known.chain(self.kept.keys().copied()).chain(marked).collect();
        places.into_iter().for_each(|at| self.look(at, links));
    }

    /// True where nothing is wanted, and nothing is there that could be ours.
    pub fn is_idle(&self) -> bool {
        self.wanted.is_empty() && self.kept.keys().next().is_none()
    }

    /// The kernel has told of the address.
    pub fn heard(&mut self, known: &Address, links: &Links) {
        let at = (known.link, known.address);
        // Before word that ours is gone, this is of how it was.
        if self.answered.get(&at) == Some(&true) {
            self.answered.remove(&at);
        }
        self.told(at, true);
        self.is_marking |= known.protocol != 0;
        // From here on its number says whose it is.
        if self.is_marking {
            self.unmarked.remove(&at);
        }
        self.look(at, links);
    }

    /// The kernel has told that the address is gone.
    pub fn heard_gone(&mut self, at: At, links: &Links) {
        // Where word of ours is still to come, this may be of one before it, or of ours: Linux tells of an
        // address without DAD only when its link has a carrier. Asked again, the kernel says which.
        if self.answered.remove(&at) != Some(true) {
            self.unmarked.remove(&at);
        }
        self.told(at, false);
        self.look(at, links);
    }

    fn told(&mut self, at: At, is_there: bool) {
        if let Some((adds, is_told)) = self.asked.get_mut(&at) {
            *is_told |= *adds == is_there;
        }
        self.kept.touch(at);
    }

    /// The interface is gone, with everything on it.
    pub fn remove_link(&mut self, link: IfIndex, links: &Links) {
        self.answered.retain(|at, _| at.0 != link);
        self.unmarked.retain(|at| at.0 != link);
        self.obstacles.retain(|at, _| at.0 != link);
        self.try_again_on(link, links);
    }

    /// The interface has changed: what the kernel refused there may work now.
    pub fn try_again_on(&mut self, link: IfIndex, links: &Links) {
        let here: Vec<_> = self.kept.keys().chain(&self.wanted).filter(|at| at.0 == link).copied().collect();
        for at in here {
            self.kept.touch(at);
            self.look(at, links);
        }
    }

    /// Everything is about to be told again, and no word that is missing will come.
    pub fn forget_answers(&mut self) {
        self.answered.clear();
        self.asked.values_mut().for_each(|(_, is_told)| *is_told = true);
    }

    /// Compares what is wanted at a place with what is there.
    fn look(&mut self, at: At, links: &Links) {
        let is_there = self.answered.get(&at).copied().unwrap_or_else(|| links.has(at.0, at.1));
        let found = match self.former_number(at, links) {
            _ if !is_there => Found::Nothing,
            Some(former) => Found::Ours(former),
            None if self.is_ours(at, links) => Found::Ours(self.protocol),
            None => Found::Other,
        };
        // Going down takes every link-local address along. And another program's serves as well.
        let is_down = links.get(at.0).is_none_or(|link| link.state == LinkState::Down);
        let is_needed = self.wanted.contains(&at) && found != Found::Other;
        let wanted = is_needed && (is_there || !is_down);
        self.kept.want(at, wanted.then_some(self.protocol));
        self.kept.found(at, found);
        if !wanted {
            self.obstacles.remove(&at);
        }
    }

    fn is_ours(&self, at: At, links: &Links) -> bool {
        let bears_ours = links.address(at.0, at.1).is_some_and(|known| is_marked(known, self.protocol));
        self.unmarked.contains(&at) || bears_ours
    }

    /// What is known of it is how it is, and that is ours under a number that is not ours any more.
    fn former_number(&self, at: At, links: &Links) -> Option<u8> {
        let known = links.address(at.0, at.1).filter(|_| !self.answered.contains_key(&at))?;
        let is_former = self.former.contains(&known.protocol) && is_marked(known, known.protocol);
        is_former.then_some(known.protocol)
    }

    /// True if nothing has happened since the last look.
    pub fn is_quiet(&self) -> bool {
        self.kept.is_quiet()
    }

    /// The changes that lead from what there is to what is wanted, unless they are under way.
    pub fn changes(&mut self) -> Vec<AddressChange> {
        let mut changes = Vec::new();
        for (at, step) in self.kept.steps() {
            let ours = GatewayAddress { link: at.0, address: at.1, protocol: self.protocol };
            self.asked.insert(at, (matches!(step, Step::Add(_)), false));
            changes.push(match step {
                Step::Add(_) => AddressChange::Add(ours),
                Step::Remove(_) => AddressChange::Remove(ours),
            });
        }
        changes
    }

    /// Takes the outcome of a change to heart.
    pub fn outcome(&mut self, change: &AddressChange, outcome: &AddressOutcome, links: &Links, now: Time) {
        let (AddressChange::Add(ours) | AddressChange::Remove(ours)) = change;
        let (at, adds) = (ours.at(), matches!(change, AddressChange::Add(_)));
        let is_told = self.asked.remove(&at).is_none_or(|(_, is_told)| is_told);
        let kept = match outcome {
            AddressOutcome::Done | AddressOutcome::Exists => Outcome::Done,
            AddressOutcome::Refused(obstacle) => Outcome::Failed(format!("{obstacle:?}")),
        };
        self.kept.outcome(at, adds, &kept, now);
        // Of an interface that has gone nothing more will be told.
        if links.get(at.0).is_some() {
            match outcome {
                AddressOutcome::Refused(obstacle) => _ = self.obstacles.insert(at, obstacle.clone()),
                AddressOutcome::Done | AddressOutcome::Exists => {
                    self.obstacles.remove(&at);
                    if !is_told {
                        self.answered.insert(at, adds);
                    }
                    if !adds {
                        self.unmarked.remove(&at);
                    } else if *outcome == AddressOutcome::Done && (!is_told || !self.is_marking) {
                        self.unmarked.insert(at);
                    }
                }
            }
        }
        self.look(at, links);
    }

    /// When something that was refused is tried again: not everything that ends a refusal is told of.
    pub fn next_due(&self) -> Option<Time> {
        self.kept.next_due()
    }

    /// Tries again what is due.
    pub fn tick(&mut self, now: Time) {
        self.kept.tick(now);
    }

    /// What the kernel refuses.
    pub fn problems(&self, links: &Links) -> Vec<Problem> {
        let refused = |at: &At| self.kept.keeping(at) == Some(Keeping::Refused);
        let wanted = self.obstacles.iter().filter(|(at, _)| refused(at));
        let told = wanted.filter(|(_, obstacle)| **obstacle != Obstacle::NoDevice);
        let problem = |((link, address), obstacle): (&At, &Obstacle)| {
            let name = links.get(*link)?.name;
            Some(Problem::GatewayRefused(name, *address, obstacle.clone()))
        };
        told.filter_map(problem).take(MOST_TOLD).collect()
    }
}

/// The link-local addresses that bear this number.
fn marked(links: &Links, protocol: u8) -> impl Iterator<Item = At> {
    links
        .link_locals()
        .filter(move |known| is_marked(known, protocol))
        .map(|known| (known.link, known.address))
}

/// One of another length could not be removed as ours.
fn is_marked(known: &Address, protocol: u8) -> bool {
    known.protocol == protocol && known.prefix_len == GatewayAddress::PREFIX_LEN
}

/// Problems that are told at once: where IPv6 is off everywhere, a few say so.
const MOST_TOLD: usize = 16;
