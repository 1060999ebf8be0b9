//! The host that a command runs on, for those that need no daemon.
//!
//! May touch: the kernel's tables, which it only reads.

use std::net::Ipv6Addr;

use crate::doctor::checks::path::programs::{self, Program};
use crate::engine::facts::{Fact, IfIndex};
use crate::engine::policy::Policy;
use crate::engine::{Engine, Input, Time};
use crate::kernel::bpf::tcx_programs;
use crate::kernel::netlink::{Monitor, NetlinkError, WayTo};

/// Everything that the kernel says.
pub(super) fn facts() -> Result<Vec<Fact>, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let facts: Result<_, NetlinkError> = runtime.block_on(async {
        let (monitor, _requests) = Monitor::start()?;
        monitor.dump().await
    });
    Ok(facts?)
}

/// Where the kernel sends a packet for `target` that arrives on the interface `from`.
pub(super) fn way_to(target: Ipv6Addr, from: IfIndex) -> Result<WayTo, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let way: Result<_, NetlinkError> = runtime.block_on(async {
        let (_monitor, requests) = Monitor::start()?;
        requests.way_to(target, from).await
    });
    Ok(way?)
}

/// Where the kernel sends a packet from `source`, which arrives on the interface `from`, to `target`.
pub(super) fn way_out(
    target: Ipv6Addr,
    source: Ipv6Addr,
    from: IfIndex,
) -> Result<WayTo, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let way: Result<_, NetlinkError> = runtime.block_on(async {
        let (_monitor, requests) = Monitor::start()?;
        requests.way_out(target, source, Some(from)).await
    });
    Ok(way?)
}

/// The programs on a link that see its frames before the daemon does. What cannot be read is not known.
pub(super) fn programs(link: IfIndex, name: &str) -> Vec<Program> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
        return Vec::new();
    };
    let read: Result<_, NetlinkError> = runtime.block_on(async {
        let (_monitor, requests) = Monitor::start()?;
        Ok((requests.makes().await?, requests.classifiers(&[link]).await?))
    });
    let (makes, mut classifiers) = read.unwrap_or_default();
    classifiers.extend(tcx_programs(&[link]));
    let xdp: Vec<_> = makes.iter().filter_map(|make| Some((make.link, make.xdp?))).collect();
    programs::programs(&[link], &xdp, &classifiers, |_| name.to_owned())
}

/// What a daemon with this policy would know on such a host. Nothing of what it wants done is done.
pub(super) fn engine(policy: Policy, facts: Vec<Fact>) -> Engine {
    let mut engine = Engine::new(policy, [0, 0]);
    engine.handle(Input::Facts(facts), Time::ORIGIN);
    engine.handle(Input::Synced, Time::ORIGIN);
    // What takes long is done in slices.
    while engine.is_behind() {
        engine.handle(Input::Timeout, Time::ORIGIN);
    }
    engine
}
