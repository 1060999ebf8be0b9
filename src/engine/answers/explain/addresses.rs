//! A step of an explanation: what the address itself is, to this host and to the link.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::{Explainer, Step, Subject, no, open, yes};
use crate::engine::answers::Scene;
use crate::engine::facts::{IfIndex, KernelRoute};
use crate::engine::plan::RangeId;
use crate::engine::policy::Answer;

impl Explainer<'_> {
    /// The upstream has it itself.
    pub(super) fn own_address(&self, upstream: IfIndex, target: Ipv6Addr) -> Step {
        let name = self.name(upstream);
        if self.scene.host.links.can_use(upstream, target) {
            return yes(Subject::Address, format!("an address of {name} itself: the kernel answers for it"));
        }
        let value = format!(
            "a tentative address of {name}: the kernel answers for it once it knows that nobody has it"
        );
        let remedy = format!(
            "wait a second; if `ip -6 addr show dev {name}` says dadfailed then, another station on the link has {target}, \
             and one of the two has to give it up"
        );
        open(Subject::Address, value, Some(remedy))
    }

    /// "All routers are required to support the Subnet-Router anycast addresses for the subnets to which they have
    /// interfaces" (RFC 4291 §2.6.1), and this host is the router of its guests.
    pub(super) fn router_anycast(&self, range: RangeId, target: Ipv6Addr) -> Option<Step> {
        let Scene { plan, host, guests, .. } = self.scene;
        if guests.live(target).is_some() || plan.range(range).answer == Answer::Always {
            return None;
        }
        let links = plan.place(range).downstreams.iter();
        let nets =
            links.flat_map(|link| host.links.addresses_of(*link)).filter(|known| known.prefix_len < 127);
        let mut nets = nets.filter_map(|known| Ipv6Net::new(known.address, known.prefix_len).ok());
        let net = nets.find(|net| net.network() == target)?;
        let value = format!(
            "the subnet-router anycast address of {}: it is this host's, as the router there, and no guest can have it",
            net.trunc()
        );
        Some(no(Subject::Address, value, Some("give the guest another address".to_owned())))
    }

    /// What to do about an address that is in no range: a neighbor on the upstream link needs nothing.
    pub(super) fn remedy_for_no_range(&self, target: Ipv6Addr) -> String {
        let mut unserved = self.scene.plan.unserved.first.iter();
        if let Some(network) = unserved.find(|network| network.prefix.contains(&target)) {
            return network.remedy();
        }
        let ours = self.keep.routes.ours();
        let routes = &self.scene.host.routes;
        let is_on = |link: &IfIndex| {
            routes.on_link(*link, |route| ours.include(route)).any(|prefix| prefix.contains(&target))
        };
        let upstreams = || self.scene.plan.bindings.upstreams.iter().map(|upstream| upstream.link);
        if let Some(link) = upstreams().find(is_on) {
            let name = self.name(link);
            return format!(
                "nothing, if it is itself on the link of {name}; if it is behind the host, {NO_RANGE}"
            );
        }
        let is_net = |net: &Ipv6Net| (1..128).contains(&net.prefix_len());
        let has_link =
            |link: &IfIndex| routes.on_link(*link, |route| ours.include(route)).any(|net| is_net(&net));
        // Where nothing is known to be on the link, anything may be.
        let Some(first) = upstreams().find(has_link) else { return NO_RANGE.to_owned() };
        // Nobody asks for what is on no link: the router sends it to this host unasked, or elsewhere.
        let way = self.scene.host.way(&target.into(), Some(first)).route.and_then(KernelRoute::unicast_link);
        let name = self.name(first);
        match way.filter(|link| self.scene.plan.upstream(*link).is_none()) {
            Some(link) => format!(
                "nothing: it is in no prefix on the link of {name}, so it needs no answer; where the provider routes it to \
                 this host, the kernel forwards it by {}",
                self.name(link)
            ),
            None => format!(
                "it is in no prefix on the link of {name}, so nobody asks for it here: compare it with the prefix that the \
                 provider names"
            ),
        }
    }
}

const NO_RANGE: &str = "add a [[range]] whose prefix holds it, with the interface behind which it is";
