//! What the daemon may do, asked of the kernel before anything else: what is waited for comes, a privilege does not.
//!
//! May touch: a packet socket that hears nothing, a request that changes nothing, and a program that is not attached.

use core::net::Ipv6Addr;
use std::io;

use ipnet::Ipv6Net;
use socket2::{Domain, Socket, Type};
use tokio::task::spawn_blocking;

use super::Error;
use crate::config::Config;
use crate::engine::facts::{KernelRoute, NextHop, RouteKind};
use crate::engine::policy::{Backend, Policy, RangePolicy, RangeRoutes};
use crate::kernel::bpf::{Outlives, check_available};
use crate::kernel::netlink::{Requests, RouteError};

/// An error that names what is missing, and the remedy. Must be called within a Tokio runtime.
pub(super) async fn check(config: &Config, requests: &Requests) -> Result<(), Error> {
    match Socket::new(Domain::PACKET, Type::RAW, None) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(Error::NoPackets(error)),
        // Whatever else there is to say, each socket says for its interface.
        Err(_) => {}
        // To close one takes the kernel a while.
        Ok(socket) => drop(spawn_blocking(move || drop(socket))),
    }
    let policy = config.policy.clone();
    if let Ok(Some(error)) = spawn_blocking(move || backend_refused(&policy)).await {
        return Err(error);
    }
    if changes_something(config)
        && let Err(source @ RouteError::Denied) = requests.remove_route(&nobodys(config)).await
    {
        return Err(Error::NoChanges(source));
    }
    Ok(())
}

/// Why programs in the kernel are not to be had, where they are wanted whatever there is. Takes some milliseconds.
pub fn backend_refused(policy: &Policy) -> Option<Error> {
    let mut wanted = policy.upstreams.iter().filter(|upstream| upstream.backend == Backend::Tc).peekable();
    wanted.peek()?;
    let outlives = wanted.any(|upstream| !upstream.on_crash_answer.is_zero());
    let outlives = if outlives { Outlives::Yes } else { Outlives::No };
    check_available(outlives).err().map(Error::NoProgram)
}

/// Automatic puts nothing into the kernel, and needs no privilege for it.
fn changes_something(config: &Config) -> bool {
    let policy = &config.policy;
    let changes =
        |range: &RangePolicy| range.routes != RangeRoutes::None || range.backstop || range.gateway.is_some();
    policy.ranges.iter().chain(&policy.suffixes).any(changes)
        || policy.upstreams.iter().any(|upstream| upstream.suppress_kernel)
        || config.sysctl.manage
}

/// A route that there cannot be. The kernel looks at the privilege first, and then finds nothing to remove.
fn nobodys(config: &Config) -> KernelRoute {
    let routes = &config.policy.routes;
    KernelRoute {
        destination: Ipv6Net::from(Ipv6Addr::UNSPECIFIED),
        kind: RouteKind::Unreachable,
        next_hop: NextHop::OnLink,
        table: routes.table,
        metric: routes.metric,
        protocol: routes.protocol,
        source: None,
    }
}
