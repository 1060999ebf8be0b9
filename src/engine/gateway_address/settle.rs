//! Which gateways' addresses the policy asks for, and what the engine does about them.

use std::collections::BTreeSet;

use super::{AddressChange, AddressOutcome, At};
use crate::engine::facts::{IfIndex, LinkLayer};
use crate::engine::policy::OnStop;
use crate::engine::time::Time;
use crate::engine::{Engine, Event, Output, Phase, Problem};

impl Engine {
    /// Where the policy wants a gateway's address, on the host as it is.
    pub fn wanted_gateways(&self) -> BTreeSet<At> {
        let mut wanted = BTreeSet::new();
        for (range, place) in self.policy.ranges.iter().zip(&self.bindings.ranges) {
            let Some(address) = range.gateway else { continue };
            let links =
                self.downstreams_of(range, place).into_iter().filter(|link| self.takes_gateway(*link));
            wanted.extend(links.map(|link| (link, address)));
        }
        wanted
    }

    /// Asks for whatever has to change, wherever that may be.
    pub(in crate::engine) fn settle_gateway_addresses(&mut self) {
        self.gateway_addresses.wanted = match self.phase {
            Phase::Stopping => BTreeSet::new(),
            Phase::Learning | Phase::Serving => self.wanted_gateways(),
        };
        for at in self.gateway_addresses.places(&self.links) {
            self.reconcile_gateway(at);
        }
    }

    /// Brings the problems in line with what the kernel refuses.
    pub(in crate::engine) fn settle_gateway_problems(&mut self) {
        let is_of_gateways = |problem: &Problem| matches!(problem, Problem::GatewayRefused(..));
        self.bindings.problems.retain(|problem| !is_of_gateways(problem));
        self.bindings.problems.extend(self.gateway_addresses.problems(&self.links));
    }

    /// Takes in what became of a change.
    pub(in crate::engine) fn address_changed(
        &mut self,
        change: AddressChange,
        outcome: &AddressOutcome,
        now: Time,
    ) {
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
    pub(in crate::engine) fn gateways_due(&self) -> Option<Time> {
        self.gateway_addresses.retry_at
    }

    /// Tries again what was refused, if it is time.
    pub(in crate::engine) fn retry_gateways(&mut self, now: Time) {
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
