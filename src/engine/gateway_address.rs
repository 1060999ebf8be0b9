//! The guests' gateway (`gateway` of a range): a link-local address that is kept on each of its
//! downstreams, so that guests without a layer 2 in common have the same next hop.
//!
//! What there is, is heard as facts, and is in [`Links`]; here is what is wanted, what is under way, and
//! whose an address is. Ours bear our protocol number (IFA_PROTO, Linux 5.18). They are added
//! exclusively, so that an equal one of somebody else stays his, and serves as well. A kernel that
//! knows no such numbers tells none: there, ours are those that this engine has put there itself.

use core::net::Ipv6Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::facts::{Address, IfIndex, IfName, LinkLayer, LinkState};
use super::links::Links;
use super::policy::OnStop;
use super::time::Time;
use super::{Engine, Event, Output, Phase, Problem};

/// A link-local address on an interface.
pub type At = (IfIndex, Ipv6Addr);

/// The gateway's address on one downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressChange {
    /// Add it, exclusively, for use at once: guests by the thousand have the same gateway, each on a
    /// link of its own, and nobody is to be asked for it (no DAD).
    Add(GatewayAddress),
    /// Remove it, if it is there.
    Remove(GatewayAddress),
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressOutcome {
    /// It is as it was asked for.
    Done,
    /// The interface has the address already.
    Exists,
    /// The kernel refused.
    Refused(Obstacle),
}

/// Why the kernel takes no address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The kernel keeps such numbers: it has told one.
    is_marking: bool,
    wanted: BTreeSet<At>,
    /// What the kernel was asked to change and has not answered yet; true if meanwhile it said that the
    /// address is gone, which may be older than its answer.
    under_way: BTreeMap<At, bool>,
    /// Answered, and the word of it is still to come: whether the address is there.
    answered: BTreeMap<At, bool>,
    /// Put there by us, and not known to bear our number.
    unmarked: BTreeSet<At>,
    /// Ours under a number that is ours no more.
    leaving: BTreeSet<At>,
    refused: BTreeMap<At, Refusal>,
    retry_at: Option<Time>,
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
            is_marking: false,
            wanted: BTreeSet::new(),
            under_way: BTreeMap::new(),
            answered: BTreeMap::new(),
            unmarked: BTreeSet::new(),
            leaving: BTreeSet::new(),
            refused: BTreeMap::new(),
            retry_at: None,
        }
    }

    /// From here on ours bear this number. Those that are there already are put there anew.
    pub fn set_protocol(&mut self, protocol: u8, links: &Links) {
        if protocol != self.protocol {
            self.leaving.extend(marked(links, self.protocol));
            self.leaving.append(&mut self.unmarked);
            marked(links, protocol).for_each(|at| _ = self.leaving.remove(&at));
            self.protocol = protocol;
        }
    }

    /// The kernel has told of the address.
    pub fn heard(&mut self, known: &Address) {
        let at = (known.link, known.address);
        self.answered.remove(&at);
        self.is_marking |= known.protocol != 0;
        if known.protocol == self.protocol {
            self.leaving.remove(&at);
        }
        // From here on its number says whose it is.
        if self.is_marking {
            self.unmarked.remove(&at);
        }
        self.try_again_on(known.link);
    }

    /// The kernel has told that the address is gone.
    pub fn heard_gone(&mut self, at: At) {
        self.answered.remove(&at);
        self.unmarked.remove(&at);
        self.leaving.remove(&at);
        self.under_way.entry(at).and_modify(|is_gone| *is_gone = true);
        self.try_again_on(at.0);
    }

    /// The interface is gone, with everything on it.
    pub fn remove_link(&mut self, link: IfIndex) {
        self.answered.retain(|at, _| at.0 != link);
        self.unmarked.retain(|at| at.0 != link);
        self.leaving.retain(|at| at.0 != link);
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
        self.under_way.values_mut().for_each(|is_gone| *is_gone = true);
    }

    /// Every place at which something may be to be done.
    fn places(&self, links: &Links) -> BTreeSet<At> {
        let ours = self.unmarked.iter().chain(&self.leaving);
        let all = self.wanted.iter().chain(ours).chain(self.refused.keys());
        all.copied().chain(marked(links, self.protocol)).collect()
    }

    /// The change that leads from what there is to what is wanted, unless one is under way.
    fn reconcile(&mut self, at: At, links: &Links) -> Option<AddressChange> {
        let is_there = self.answered.get(&at).copied().unwrap_or_else(|| links.has(at.0, at.1));
        let is_down = links.get(at.0).is_none_or(|link| link.state == LinkState::Down);
        let ours = GatewayAddress { link: at.0, address: at.1, protocol: self.protocol };
        let change = match (self.wanted.contains(&at), is_there) {
            (true, true) if self.leaving.contains(&at) => Some(AddressChange::Remove(ours)),
            (false, true) if self.is_ours(at, links) => Some(AddressChange::Remove(ours)),
            // Going down takes every link-local address along.
            (true, false) if !is_down => Some(AddressChange::Add(ours)),
            _ => None,
        };
        if self.under_way.contains_key(&at) {
            return None;
        }
        if change.is_none() {
            self.refused.remove(&at);
        } else if let Some(refusal) = self.refused.get_mut(&at)
            && !std::mem::take(&mut refusal.may_work)
        {
            return None;
        }
        if change.is_some() {
            self.under_way.insert(at, false);
        }
        change
    }

    /// Takes the outcome of a change to heart.
    fn changed(&mut self, change: &AddressChange, outcome: &AddressOutcome, links: &Links, now: Time) {
        let (AddressChange::Add(ours) | AddressChange::Remove(ours)) = change;
        let at = ours.at();
        let was_heard_gone = self.under_way.remove(&at).unwrap_or(false);
        let is_link_known = links.get(at.0).is_some();
        if let AddressOutcome::Refused(obstacle) = outcome {
            if is_link_known {
                self.refused.insert(at, Refusal { obstacle: obstacle.clone(), may_work: false });
                self.retry_at.get_or_insert(now + RETRY);
            }
            return;
        }
        self.refused.remove(&at);
        let is_added = *outcome == AddressOutcome::Done;
        match change {
            // Nobody will know it as ours by its number.
            AddressChange::Add(_) if is_added && ours.protocol != self.protocol => {
                self.answered.insert(at, true);
                self.leaving.insert(at);
            }
            AddressChange::Add(_) => {
                if is_added && !is_marked(at, links, self.protocol) {
                    self.unmarked.insert(at);
                }
                // Whether this one is gone or another before it, the kernel knows: it is asked again.
                if !was_heard_gone {
                    self.answered.insert(at, true);
                }
            }
            AddressChange::Remove(_) => {
                self.answered.insert(at, false);
                self.unmarked.remove(&at);
                self.leaving.remove(&at);
            }
        }
        // Of an interface that has gone nothing more will be told.
        if !is_link_known && !self.leaving.contains(&at) && !self.unmarked.contains(&at) {
            self.answered.remove(&at);
        }
    }

    fn is_ours(&self, at: At, links: &Links) -> bool {
        self.unmarked.contains(&at) || self.leaving.contains(&at) || is_marked(at, links, self.protocol)
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

impl Engine {
    /// Where the policy wants a gateway's address, on the host as it is.
    pub fn wanted_gateways(&self) -> BTreeSet<At> {
        let mut wanted = BTreeSet::new();
        for (range, place) in self.policy.ranges.iter().zip(&self.bindings.ranges) {
            let Some(address) = range.gateway else { continue };
            let links = self.links_behind(range, place).into_iter().filter(|link| self.takes_gateway(*link));
            wanted.extend(links.map(|link| (link, address)));
        }
        wanted
    }

    /// Asks for whatever has to change, wherever that may be.
    pub(super) fn settle_gateway_addresses(&mut self) {
        self.gateway_addresses.wanted = match self.phase {
            Phase::Stopping => BTreeSet::new(),
            Phase::Learning | Phase::Serving => self.wanted_gateways(),
        };
        for at in self.gateway_addresses.places(&self.links) {
            self.reconcile_gateway(at);
        }
    }

    /// Brings the problems in line with what the kernel refuses.
    pub(super) fn settle_gateway_problems(&mut self) {
        let is_of_gateways = |problem: &Problem| matches!(problem, Problem::GatewayRefused(..));
        self.bindings.problems.retain(|problem| !is_of_gateways(problem));
        self.bindings.problems.extend(self.gateway_addresses.problems(&self.links));
    }

    /// Takes in what became of a change.
    pub(super) fn address_changed(&mut self, change: AddressChange, outcome: &AddressOutcome, now: Time) {
        self.gateway_addresses.changed(&change, outcome, &self.links, now);
        match (change, outcome) {
            (AddressChange::Add(ours), AddressOutcome::Done) => {
                self.tell(Event::GatewayAdded(ours.link, ours.address));
            }
            (AddressChange::Remove(ours), AddressOutcome::Done) => {
                self.tell(Event::GatewayRemoved(ours.link, ours.address));
            }
            _ => {}
        }
        let (AddressChange::Add(ours) | AddressChange::Remove(ours)) = change;
        self.reconcile_gateway(ours.at());
        if self.phase == Phase::Serving {
            let before = self.bindings.problems.clone();
            self.settle_gateway_problems();
            self.tell_problems(&before);
        }
    }

    /// When refusals are looked at again, at the latest: not everything that ends one is told of.
    pub(super) fn gateways_due(&self) -> Option<Time> {
        self.gateway_addresses.retry_at
    }

    /// Tries again what was refused, if it is time.
    pub(super) fn retry_gateways(&mut self, now: Time) {
        if self.gateway_addresses.retry_at.is_some_and(|due| due <= now) {
            self.gateway_addresses.retry_at = None;
            let refused: Vec<_> = self.gateway_addresses.refused.keys().copied().collect();
            for at in refused {
                self.gateway_addresses.try_again_on(at.0);
                self.reconcile_gateway(at);
            }
        }
    }

    fn reconcile_gateway(&mut self, at: At) {
        let is_ours_to_settle = match self.phase {
            Phase::Learning => false,
            Phase::Serving => true,
            Phase::Stopping => self.policy.routes.on_stop == OnStop::Remove,
        };
        if is_ours_to_settle {
            let change = self.gateway_addresses.reconcile(at, &self.links);
            self.outputs.extend(change.map(Output::ChangeAddress));
        }
    }

    /// A gateway is asked for by Neighbor Discovery, which a tunnel has not; and what arrives at a port
    /// is its master's.
    fn takes_gateway(&self, link: IfIndex) -> bool {
        let is_upstream = self.bindings.upstream(link).is_some();
        self.links.get(link).is_some_and(|link| {
            matches!(link.layer, LinkLayer::Ethernet(_)) && link.master.is_none() && !is_upstream
        })
    }
}

/// The link-local addresses that bear this number.
fn marked(links: &Links, protocol: u8) -> impl Iterator<Item = At> {
    links
        .link_locals()
        .filter(move |known| known.protocol == protocol)
        .map(|known| (known.link, known.address))
}

fn is_marked(at: At, links: &Links, protocol: u8) -> bool {
    links.address(at.0, at.1).is_some_and(|known| known.protocol == protocol)
}

/// Problems that are told at once: where IPv6 is off everywhere, a few say so.
const MOST_TOLD: usize = 16;
/// The kernel tells of an interface whose `disable_ipv6` is cleared only if it gets addresses by that.
const RETRY: Duration = Duration::from_secs(30);
