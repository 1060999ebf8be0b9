//! Follows one packet: places the guest, sends, watches, tries, and takes the guest away again.
//!
//! May touch: whatever `guest` and `rig` touch; the kernel's neighbor entries that this test has caused.

use std::net::Ipv6Addr;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::Instant;

use super::free::{Addresses, random};
use super::guest::Guest;
use super::journey::Journey;
use super::rig::{Rig, interruption};
use super::sighting::Request;
use super::spot::{Spot, best_route};
use super::trial::{self, Trials};
use super::verdict::{Case, broken};
use super::{Daemon, Leg, Live, LiveError, Options};
use crate::doctor::{Host, gather};
use crate::engine::facts::{IfIndex, KernelRoute, NextHop};
use crate::engine::policy::GatewaySource;
use crate::kernel::netlink::Requests;

/// Follows one packet out and back, and leaves nothing behind. Takes some seconds where something is
/// broken.
pub fn run(host: &Host, options: &Options<'_>) -> Result<Live, LiveError> {
    for (bit, name) in CAPABILITIES {
        if host.capabilities >> bit & 1 == 0 {
            return Err(LiveError::Privilege(name));
        }
    }
    let spot = Spot::choose(host, options.address)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| LiveError::Guest("runtime", error))?;
    runtime.block_on(async {
        let requests = Requests::open()?;
        let interrupted = interruption()?;
        let guest = Guest::place(&spot.seat, random() as u32, &requests).await?;
        let mut addresses = Addresses::new(host, &spot, &guest, options.address);
        let outcome = tokio::select! {
            biased;
            () = interrupted => Err(LiveError::Interrupted),
            outcome = async {
                let outcome = follow(host, &spot, &mut addresses, options, &requests).await;
                // What came while other programs ran, with which it looks at the host, is heard now.
                yield_now().await;
                outcome
            } => outcome,
        };
        let used = addresses.used;
        guest.remove(&used, &requests).await;
        forget(&unknown_before(host, &spot, options.to), &requests).await;
        outcome
    })
}

async fn follow(
    host: &Host,
    spot: &Spot,
    addresses: &mut Addresses<'_>,
    options: &Options<'_>,
    requests: &Requests,
) -> Result<Live, LiveError> {
    let guest = addresses.guest();
    let mut rig = Rig::open(&spot.upstream, guest)?;
    let first = addresses.move_in(&mut rig).await?;
    let [a, b, ..] = random().to_be_bytes();
    let request = Request { guest: first, to: options.to, identifier: [a, b] };
    let gateway = best_route(&host.routes, options.to).map(|route| next_hop(route, options.to));
    let mut journey = Journey::new(request, spot.upstream.mac, guest.mac(), gateway);
    // The doctor has asked for a gateway that it did not know. What came of that helps no guest.
    forget(&host.asked_for, requests).await;
    travel(&mut rig, &mut journey).await?;
    for _ in 1..MOST_JOURNEYS {
        if !journey.is_open() || !addresses.has_further() {
            break;
        }
        journey = journey.again_for(addresses.move_in(&mut rig).await?);
        travel(&mut rig, &mut journey).await?;
    }
    let is_lost = !journey.has_come_back() && journey.misled_to.is_none();
    if journey.has_left && journey.asked.is_none() && is_lost {
        let near = trial::near(&mut rig, &journey, addresses).await?;
        if near.near.is_some() && !near.was_announced {
            journey = near;
        }
    }
    let trials = try_out(&mut rig, spot, &journey, addresses, host).await?;
    let silent = || Daemon::Absent;
    let case = Case { host, spot, journey: &journey, trials: &trials, guest: first, daemon: &silent };
    if broken(&journey, &trials).is_none() {
        return Ok(case.report());
    }
    // As it is now, with the guest.
    let (examined, daemon) = (host.examined.clone(), host.daemon.clone());
    let now = gather::host(host.config.clone(), &options.root, examined, daemon).await?;
    let ask = || (options.ask)(journey.request.guest);
    Ok(Case { host: &now, daemon: &ask, ..case }.report())
}

/// Where a leg is broken by what the provider accepts: what it does accept.
async fn try_out(
    rig: &mut Rig,
    spot: &Spot,
    journey: &Journey,
    addresses: &mut Addresses<'_>,
    host: &Host,
) -> Result<Trials, LiveError> {
    let mut trials = Trials::default();
    let upstream = &spot.upstream;
    if let (Some(gateway), Some(link_local)) = (journey.gateway, upstream.link_local) {
        let is_deaf = match journey.has_left {
            // The entry was there. Who else may keep it fresh needs no answer to the kernel's question.
            true => {
                upstream.gateway_source == GatewaySource::Kernel
                    && !journey.kernel_was_answered()
                    && !trial::is_answered(rig, journey, link_local, gateway).await?
            }
            false => journey.gateway_asked_from.is_some() && !journey.gateway_answered,
        };
        if is_deaf {
            trials.gateway_is_deaf = true;
            if let Some(global) = upstream.global {
                trials.gateway_hears_global = trial::is_answered(rig, journey, global, gateway).await?;
                if !trials.gateway_hears_global && gateway.is_unicast_link_local() {
                    let anycast =
                        host.prefixes_of(upstream.link).find(|(_, prefix)| prefix.prefix_len() < 127);
                    // RFC 4291 §2.6.1: "All routers are required to support the Subnet-Router anycast
                    // addresses for the subnets to which they have interfaces."
                    if let Some((_, prefix)) = anycast {
                        let network = prefix.network();
                        let is_there = trial::is_answered(rig, journey, global, network).await?;
                        trials.router_at = is_there.then_some(network);
                    }
                }
            }
        }
    }
    let leg = broken(journey, &trials);
    if matches!(leg, Some(Leg::Solicitation | Leg::Reply)) && !journey.is_open() {
        trials.host_is_answered = trial::host_is_answered(rig, upstream.global, journey).await?;
    }
    if leg == Some(Leg::Reply) && journey.is_not_taken() {
        trials.source = trial::sources(rig, upstream, journey, addresses).await?;
    }
    Ok(trials)
}

/// Sends the packet until it has come back, a few times at most, and no fewer after it has left.
async fn travel(rig: &mut Rig, journey: &mut Journey) -> Result<(), LiveError> {
    let mut rounds = ROUNDS;
    let mut round = 0;
    while round < rounds {
        rig.send(&journey.request, round, u32::from(journey.guest.is_some()));
        let until = Instant::now() + BETWEEN_ROUNDS;
        let had_left = journey.has_left;
        loop {
            let seen = rig.watch(&journey.request, until).await?;
            if seen.is_empty() {
                break;
            }
            seen.into_iter().for_each(|seen| journey.note(seen));
            if journey.is_delivered {
                return Ok(());
            }
        }
        if journey.has_left && !had_left {
            rounds = round + ROUNDS;
        }
        round += 1;
    }
    Ok(())
}

/// The neighbors on the upstream of which the kernel knew nothing before the doctor came.
fn unknown_before(host: &Host, spot: &Spot, to: Ipv6Addr) -> Vec<(IfIndex, Ipv6Addr)> {
    let link = spot.upstream.link;
    let mut asked: Vec<_> = host.asked_for.clone();
    let hop = best_route(&host.routes, to).map(|route| next_hop(route, to));
    let is_known = |address| host.neighbors.iter().any(|one| (one.link, one.address) == (link, address));
    asked.extend(hop.filter(|hop| !is_known(*hop)).map(|hop| (link, hop)));
    asked
}

async fn forget(neighbors: &[(IfIndex, Ipv6Addr)], requests: &Requests) {
    for (link, address) in neighbors {
        // What is gone already is gone.
        let _ = requests.remove_neighbor(*link, *address).await;
    }
}

fn next_hop(route: &KernelRoute, to: Ipv6Addr) -> Ipv6Addr {
    match route.next_hop {
        NextHop::Via(router) => router,
        NextHop::OnLink => to,
    }
}

/// The bits of capabilities(7).
const CAPABILITIES: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (21, "CAP_SYS_ADMIN")];
/// Some seconds for the three questions of a router.
const ROUNDS: u16 = 4;
const BETWEEN_ROUNDS: Duration = Duration::from_secs(1);
/// An answer that comes before the announcement is what a journey is to show. The daemon announces a guest once the link
/// was asked for a second, so a packet that is slow gets another try, with another address.
const MOST_JOURNEYS: u32 = 3;
