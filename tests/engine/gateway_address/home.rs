//! A host with guests behind veths, and a kernel that takes gateways' addresses.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use lone64::engine::facts::{Address, AddressState, Fact, IfIndex, Link, LinkLayer, LinkState};
use lone64::engine::policy::{Downstream, Policy, RangePolicy, RangeRoutes};
use lone64::engine::{AddressChange, AddressOutcome, Event, Input, Obstacle, Output};
use lone64::wire::Mac;

use crate::host::{Host, address, link, range, usual_facts, with};

pub const VETHS: [IfIndex; 2] = [IfIndex(10), IfIndex(11)];

/// A host, and the gateways' addresses in its kernel, each with the number that it bears.
pub struct Home {
    pub host: Host,
    pub kernel: BTreeMap<(IfIndex, Ipv6Addr), u8>,
    keeps_numbers: bool,
    pub refuses: Option<Obstacle>,
    changes: Vec<AddressChange>,
    pub events: Vec<Event>,
}

impl Home {
    pub fn new(policy: Policy) -> Self {
        Self::found(policy, &[])
    }

    /// A host on which somebody has put these already.
    pub fn found(policy: Policy, there: &[(IfIndex, u8)]) -> Self {
        Self::under(true, policy, there)
    }

    /// The same under a kernel that keeps nobody's number.
    pub fn before_5_18(policy: Policy, there: &[IfIndex]) -> Self {
        let there: Vec<_> = there.iter().map(|link| (*link, 0)).collect();
        Self::under(false, policy, &there)
    }

    fn under(keeps_numbers: bool, policy: Policy, there: &[(IfIndex, u8)]) -> Self {
        let mut home = Self {
            host: Host::bare(policy),
            kernel: there.iter().map(|(link, protocol)| ((*link, gateway()), *protocol)).collect(),
            keeps_numbers,
            refuses: None,
            changes: Vec::new(),
            events: Vec::new(),
        };
        let mut facts = usual_facts();
        facts.extend(VETHS.map(|veth| Fact::Link(veth_link(veth, LinkState::Up))));
        facts.extend(there.iter().map(|(link, protocol)| fact(*link, *protocol)));
        home.host.facts(facts);
        home.input(Input::Synced);
        home
    }

    pub fn input(&mut self, input: Input) {
        self.host.input(input);
        self.carry_out();
    }

    pub fn facts(&mut self, facts: Vec<Fact>) {
        self.input(Input::Facts(facts));
    }

    /// The kernel does what it is asked for, or not, and tells of it.
    pub fn carry_out(&mut self) {
        loop {
            let outputs = self.host.take();
            self.events.extend(crate::host::events(&outputs));
            let asked = outputs.into_iter().filter_map(|output| match output {
                Output::ChangeAddress(change) => Some(change),
                _ => None,
            });
            let asked: Vec<_> = asked.collect();
            if asked.is_empty() {
                return;
            }
            for change in asked {
                assert!(self.changes.len() < 1_000, "no end of it");
                self.changes.push(change);
                let (outcome, fact) = self.kernel_does(change);
                self.host.input(Input::AddressChanged(change, outcome));
                self.host.facts(fact.into_iter().collect());
            }
        }
    }

    fn kernel_does(&mut self, change: AddressChange) -> (AddressOutcome, Option<Fact>) {
        if let Some(obstacle) = &self.refuses {
            return (AddressOutcome::Refused(obstacle.clone()), None);
        }
        match change {
            AddressChange::Add(ours) if self.kernel.contains_key(&(ours.link, ours.address)) => {
                (AddressOutcome::Exists, None)
            }
            AddressChange::Add(ours) => {
                let protocol = if self.keeps_numbers { ours.protocol } else { 0 };
                self.kernel.insert((ours.link, ours.address), protocol);
                (AddressOutcome::Done, Some(fact_of(ours.link, ours.address, protocol)))
            }
            AddressChange::Remove(ours) => {
                let was_there = self.kernel.remove(&(ours.link, ours.address)).is_some();
                let gone = Fact::AddressGone { link: ours.link, address: ours.address };
                (AddressOutcome::Done, was_there.then_some(gone))
            }
        }
    }

    /// Somebody else puts it there, or takes it away.
    pub fn somebody_puts(&mut self, link: IfIndex, protocol: u8) {
        self.kernel.insert((link, gateway()), protocol);
        self.facts(vec![fact(link, protocol)]);
    }

    pub fn somebody_removes(&mut self, link: IfIndex) {
        self.kernel.remove(&(link, gateway()));
        self.facts(vec![Fact::AddressGone { link, address: gateway() }]);
    }

    pub fn stop(&mut self) {
        self.input(Input::Stop);
    }

    /// Where the gateway is, and whose number it bears.
    pub fn there(&self) -> Vec<(IfIndex, u8)> {
        self.kernel.iter().map(|((link, _), protocol)| (*link, *protocol)).collect()
    }

    pub fn changed(&mut self) -> usize {
        std::mem::take(&mut self.changes).len()
    }
}

pub fn gateway() -> Ipv6Addr {
    address("fe80::1")
}

pub fn fact(link: IfIndex, protocol: u8) -> Fact {
    fact_of(link, gateway(), protocol)
}

pub fn fact_of(link: IfIndex, address: Ipv6Addr, protocol: u8) -> Fact {
    Fact::Address(Address { link, address, prefix_len: 64, state: AddressState::Preferred, protocol })
}

pub fn veth_link(index: IfIndex, state: LinkState) -> Link {
    let layer = LinkLayer::Ethernet(Mac([2, 0, 0, 0, 1, index.0 as u8]));
    Link { state, ..link(index, &format!("veth{index}"), layer) }
}

/// Guests with a veth each.
pub fn routed() -> Policy {
    with(|policy| {
        let downstream = Downstream::Matching(vec!["veth*".parse().unwrap()]);
        policy.ranges[0] =
            RangePolicy { downstream, routes: RangeRoutes::Guests, gateway: Some(gateway()), ..on_bridge() };
    })
}

pub fn on_bridge() -> RangePolicy {
    RangePolicy { gateway: Some(gateway()), ..range("2001:db8:1:2:c::/112", "lxcbr0") }
}

pub fn changed(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = routed();
    change(&mut policy);
    policy
}
