//! The guests' gateway (`gateway` of a range): a link-local address that is kept on each of its
//! downstreams, so that guests without a layer 2 in common have the same next hop.
//!
//! What there is, is heard as facts, and is in [`Links`]; here is what is wanted, what is under way, and
//! whose an address is. Ours bear our protocol number (IFA_PROTO, Linux 5.18). They are added
//! exclusively, so that an equal one of somebody else stays his, and serves as well. A kernel that
//! knows no such numbers tells none: there, ours are those that this engine has put there itself.

mod settle;

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Problem;
use super::facts::{Address, IfIndex, IfName, LinkState};
use super::links::Links;
use super::time::Time;

/// A link-local address on an interface.
pub type At = (IfIndex, Ipv6Addr);

/// The gateway's address on one downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayAddress {
    /// The downstream.
    pub link: IfIndex,
    /// The address.
    pub address: Ipv6Addr,
    /// What marks it as ours.
    pub protocol: u8,
}

impl GatewayAddress {
    /// With it comes the route to the guests' own link-local addresses, which an interface whose
    /// addresses are all written by hand (`addrgenmode none`) has from nowhere else.
    pub const PREFIX_LEN: u8 = 64;

    fn at(&self) -> At {
        (self.link, self.address)
    }
}

/// A change of the kernel's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressChange {
    /// Add it, exclusively, for use at once: guests by the thousand have the same gateway, each on a
    /// link of its own, and nobody is to be asked for it (no DAD).
    Add(GatewayAddress),
    /// Remove it, if it is there.
    Remove(GatewayAddress),
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressOutcome {
    /// It is as it was asked for.
    Done,
    /// The interface has the address already.
    Exists,
    /// The kernel refused.
    Refused(Obstacle),
}

/// Why the kernel takes no address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Obstacle {
    /// The interface is gone, and word of it under way.
    NoDevice,
    /// IPv6 is switched off on the interface (`disable_ipv6`).
    SwitchedOff,
    /// The kernel has no IPv6 there: "IPv6 requires that every link in the Internet have an MTU of
    /// 1280 octets or greater" (RFC 8200 §5).
    NoIpv6,
    /// Whatever else it said.
    Other(String),
}

impl Obstacle {
    /// What it is on this interface, and what to do about it.
    pub(super) fn on(&self, name: &IfName) -> String {
        match self {
            Self::NoDevice => format!("there is no {name} any more"),
            Self::SwitchedOff => format!(
                "IPv6 is switched off there; `sysctl -w net/ipv6/conf/{name}/disable_ipv6=0` switches it on"
            ),
            Self::NoIpv6 => format!(
                "the kernel has no IPv6 there, as where the MTU is below 1280; `ip link set {name} mtu 1500` \
                 mends that"
            ),
            Self::Other(said) => format!("the kernel refuses it ({said})"),
        }
    }
}

/// What is wanted of gateways' addresses, and what becomes of it.
#[derive(Debug)]
pub struct GatewayAddresses {
    protocol: u8,
    /// The numbers that marked ours before.
    former: BTreeSet<u8>,
    /// The kernel keeps such numbers: it has told one.
    is_marking: bool,
    wanted: BTreeSet<At>,
    /// What the kernel was asked to change and has not answered yet.
    under_way: BTreeMap<At, UnderWay>,
    /// Answered, and the word of it is still to come: whether the address is there.
    answered: BTreeMap<At, bool>,
    /// Put there by us, and not known to bear our number.
    unmarked: BTreeSet<At>,
    refused: BTreeMap<At, Refusal>,
    retry_at: Option<Time>,
}

#[derive(Debug)]
struct UnderWay {
    adds: bool,
    /// Word of it has overtaken the answer.
    is_told: bool,
}

#[derive(Debug)]
struct Refusal {
    obstacle: Obstacle,
    /// Something has happened since that may have removed it.
    may_work: bool,
}

impl GatewayAddresses {
    /// None yet.
    pub fn new(protocol: u8) -> Self {
        Self {
            protocol,
            former: BTreeSet::new(),
            is_marking: false,
            wanted: BTreeSet::new(),
            under_way: BTreeMap::new(),
            answered: BTreeMap::new(),
            unmarked: BTreeSet::new(),
            refused: BTreeMap::new(),
            retry_at: None,
        }
    }

    /// From here on ours bear this number. Those that are there already are put there anew.
    pub fn set_protocol(&mut self, protocol: u8) {
        self.former.insert(self.protocol);
        self.former.remove(&protocol);
        self.protocol = protocol;
    }

    /// The kernel has told of the address.
    pub fn heard(&mut self, known: &Address) {
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
    }

    /// The kernel has told that the address is gone.
    pub fn heard_gone(&mut self, at: At) {
        // Where word of ours is still to come, this may be of one before it, or of ours: Linux tells of an
        // address without DAD only when its link has a carrier. Asked again, the kernel says which.
        if self.answered.remove(&at) != Some(true) {
            self.unmarked.remove(&at);
        }
        self.told(at, false);
    }

    fn told(&mut self, at: At, is_there: bool) {
        if let Some(under_way) = self.under_way.get_mut(&at) {
            under_way.is_told |= under_way.adds == is_there;
        }
        self.try_again_on(at.0);
    }

    /// The interface is gone, with everything on it.
    pub fn remove_link(&mut self, link: IfIndex) {
        self.answered.retain(|at, _| at.0 != link);
        self.unmarked.retain(|at| at.0 != link);
        self.refused.retain(|at, _| at.0 != link);
    }

    /// The interface has changed: what the kernel refused there may work now.
    pub fn try_again_on(&mut self, link: IfIndex) {
        let here = self.refused.iter_mut().filter(|(at, _)| at.0 == link);
        here.for_each(|(_, refusal)| refusal.may_work = true);
    }

    /// Everything is about to be told anew, and no word that is missing will come.
    pub fn forget_answers(&mut self) {
        self.answered.clear();
        self.under_way.values_mut().for_each(|under_way| under_way.is_told = true);
    }

    /// Every place at which something may be to be done.
    fn places(&self, links: &Links) -> BTreeSet<At> {
        let all = self.wanted.iter().chain(&self.unmarked).chain(self.refused.keys());
        let numbers = self.former.iter().chain([&self.protocol]);
        all.copied().chain(numbers.flat_map(|number| marked(links, *number))).collect()
    }

    /// The change that leads from what there is to what is wanted, unless one is under way.
    fn reconcile(&mut self, at: At, links: &Links) -> Option<AddressChange> {
        if self.under_way.contains_key(&at) {
            return None;
        }
        let is_there = self.answered.get(&at).copied().unwrap_or_else(|| links.has(at.0, at.1));
        let is_down = links.get(at.0).is_none_or(|link| link.state == LinkState::Down);
        let ours = GatewayAddress { link: at.0, address: at.1, protocol: self.protocol };
        let change = match (self.wanted.contains(&at), is_there) {
            (true, true) if self.bears_former(at, links) => AddressChange::Remove(ours),
            (false, true) if self.is_ours(at, links) => AddressChange::Remove(ours),
            // Going down takes every link-local address along.
            (true, false) if !is_down => AddressChange::Add(ours),
            _ => {
                self.refused.remove(&at);
                return None;
            }
        };
        if let Some(refusal) = self.refused.get_mut(&at)
            && !std::mem::take(&mut refusal.may_work)
        {
            return None;
        }
        let adds = matches!(change, AddressChange::Add(_));
        self.under_way.insert(at, UnderWay { adds, is_told: false });
        Some(change)
    }

    /// Takes the outcome of a change to heart.
    fn changed(&mut self, change: &AddressChange, outcome: &AddressOutcome, links: &Links, now: Time) {
        let (AddressChange::Add(ours) | AddressChange::Remove(ours)) = change;
        let at = ours.at();
        let is_told = self.under_way.remove(&at).is_none_or(|under_way| under_way.is_told);
        let is_added = matches!(change, AddressChange::Add(_)) && *outcome == AddressOutcome::Done;
        // Of an interface that has gone nothing more will be told.
        if links.get(at.0).is_none() {
            return;
        }
        if let AddressOutcome::Refused(obstacle) = outcome {
            self.refused.insert(at, Refusal { obstacle: obstacle.clone(), may_work: false });
            self.retry_at.get_or_insert(now + RETRY);
            return;
        }
        self.refused.remove(&at);
        let is_there = matches!(change, AddressChange::Add(_));
        if !is_told {
            self.answered.insert(at, is_there);
        }
        if !is_there {
            self.unmarked.remove(&at);
        } else if is_added && (!is_told || !self.is_marking) {
            self.unmarked.insert(at);
        }
    }

    fn is_ours(&self, at: At, links: &Links) -> bool {
        let bears_ours = links.address(at.0, at.1).is_some_and(|known| is_marked(known, self.protocol));
        self.unmarked.contains(&at) || bears_ours || self.bears_former(at, links)
    }

    /// What is known of it is how it is, and that is ours under a number that is not ours any more.
    fn bears_former(&self, at: At, links: &Links) -> bool {
        let known = links.address(at.0, at.1).filter(|_| !self.answered.contains_key(&at));
        known.is_some_and(|known| self.former.contains(&known.protocol) && is_marked(known, known.protocol))
    }

    fn problems(&self, links: &Links) -> Vec<Problem> {
        let wanted = self.refused.iter().filter(|(at, _)| self.wanted.contains(at));
        let told = wanted.filter(|(_, refusal)| refusal.obstacle != Obstacle::NoDevice);
        let problem = |((link, address), refusal): (&At, &Refusal)| {
            let name = links.get(*link)?.name.clone();
            Some(Problem::GatewayRefused(name, *address, refusal.obstacle.clone()))
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
/// The kernel tells of an interface whose `disable_ipv6` is cleared only if it gets addresses by that.
const RETRY: Duration = Duration::from_secs(30);
