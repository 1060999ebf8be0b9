//! What announcing has to know: of a target, on what it stands on its upstream's link, and of the host.

use core::net::Ipv6Addr;

use crate::engine::facts::IfIndex;
use crate::engine::host::links::Links;
use crate::engine::plan::bindings::Upstream;
use crate::engine::time::Time;

/// On what a target stands on its upstream's link.
#[derive(Debug, Clone, Copy)]
pub struct Footing {
    /// The upstream.
    pub upstream: Upstream,
    /// The link was asked, and nobody else has the target.
    pub is_free: bool,
    /// A rival has it, as far as is known: the link is asked twice, because a frame may be lost.
    pub is_disputed: bool,
    /// That is a router which may only be away: nothing is announced if the link is silent.
    pub is_kept: bool,
    /// Announcing is wanted, and the target is there beyond its own word.
    pub is_announced: bool,
    /// The target is a guest on the upstream's own link. It takes a check of its address for one against itself, if it is
    /// making that at the same time, so the link is asked as hosts ask for each other.
    pub is_shared: bool,
}

/// What an announcement has to know of the target and of the host.
pub trait Announced {
    /// On what the target stands at this moment, if it is ours to ask for and to announce.
    fn footing(&self, target: Ipv6Addr, now: Time) -> Option<Footing>;
    /// Whether the route of the target is on its way into the kernel.
    fn is_route_under_way(&self, target: Ipv6Addr) -> bool;
    /// The provider's routers on this upstream.
    fn routers(&self, upstream: IfIndex) -> Vec<Ipv6Addr>;
    /// The host's interfaces and addresses.
    fn links(&self) -> &Links;
    /// The live target at this number or behind it, if there is one at that place, and the number to go on with.
    fn live_at(&self, number: u32) -> Option<(u32, Option<Ipv6Addr>)>;
    /// The live target of this number.
    fn guest(&self, number: u32) -> Option<Ipv6Addr>;
    /// The number of a live target.
    fn number(&self, target: Ipv6Addr) -> Option<u32>;
}
