//! The policies that tests begin with.

use lone64::engine::policy::{
    Announce, Answer, Downstream, Limits, Origin, Policy, RangePolicy, RangeRoutes, RoutePolicy, Timers,
    UpstreamInterface, UpstreamPolicy,
};

use super::net;

/// One `live` range on `lxcbr0`, everything else by default.
pub fn live() -> Policy {
    Policy {
        upstreams: vec![upstream(UpstreamInterface::DefaultRoute)],
        ranges: vec![range("2001:db8:1:2:c::/112", "lxcbr0")],
        suffixes: Vec::new(),
        routes: RoutePolicy::default(),
        timers: Timers::default(),
        limits: Limits::default(),
        guests: Vec::new(),
        nft_sets: false,
    }
}

/// The same range, and targets are announced.
pub fn announcing() -> Policy {
    with(|policy| policy.upstreams[0].announce = Announce::Yes)
}

/// The same range, for every address.
pub fn always() -> Policy {
    with(|policy| policy.ranges[0].answer = Answer::Always)
}

/// The policy of [`live`], but for this.
pub fn with(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = live();
    change(&mut policy);
    policy
}

/// One that says nothing unasked, so that whatever it does say is about the question.
pub fn upstream(interface: UpstreamInterface) -> UpstreamPolicy {
    UpstreamPolicy { announce: Announce::No, ..UpstreamPolicy::new(interface) }
}

pub fn range(prefix: &str, downstream: &str) -> RangePolicy {
    RangePolicy {
        prefix: net(prefix),
        upstream: None,
        downstream: Downstream::Named(downstream.parse().unwrap()),
        answer: Answer::Live,
        routes: RangeRoutes::Range,
        has_written_routes: false,
        backstop: true,
        gateway: None,
        exclude: Vec::new(),
        proxy_downstream: false,
        guard: false,
        standby: false,
        origin: Origin::Config,
    }
}
