//! Follows one packet: places the guest, sends, watches, tries, and takes the guest away again.
//!
//! May touch: whatever `guest` and `rig` touch; randomness.

use std::hash::{BuildHasher, RandomState};
use std::net::Ipv6Addr;
use std::time::Duration;

use tokio::time::Instant;

use super::guest::Guest;
use super::journey::Journey;
use super::rig::{Own, Rig, Seen};
use super::sighting::{Request, What};
use super::spot::{Seat, Spot, best_route};
use super::trial;
use super::verdict::{Case, Trials, broken};
use super::{Leg, Live, LiveError, Options};
use crate::doctor::{Host, gather};
use crate::engine::facts::{KernelRoute, NextHop};
use crate::kernel::netlink::Requests;
use crate::wire::{Mac, Solicitation};

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
        let guest = Guest::place(&spot.seat, random() as u32, &requests).await?;
        let mut address = None;
        let outcome = follow(host, &spot, &guest, options, &mut address).await;
        guest.remove(address, &requests).await;
        outcome
    })
}

async fn follow(
    host: &Host,
    spot: &Spot,
    guest: &Guest,
    options: &Options<'_>,
    address: &mut Option<Ipv6Addr>,
) -> Result<Live, LiveError> {
    let mut rig = Rig::open(&spot.upstream, guest)?;
    let free = free_address(host, spot, guest, options, &mut rig).await?;
    *address = Some(free);
    rig.take_guest(guest.settle(free)?)?;
    let [a, b, ..] = random().to_be_bytes();
    let request = Request { guest: free, to: options.to, identifier: [a, b] };
    let gateway = best_route(&host.routes, options.to).map(|route: &KernelRoute| match route.next_hop {
        NextHop::Via(router) => router,
        NextHop::OnLink => options.to,
    });
    let mut journey = Journey::new(request, spot.upstream.mac, guest.mac(), gateway);
    travel(&mut rig, &mut journey).await?;
    let mut trials = Trials::default();
    let Some(leg) = broken(&journey) else {
        let ask = || super::Daemon::Absent;
        return Ok(Case { host, spot, journey: &journey, trials: &trials, daemon: &ask }.report());
    };
    match leg {
        Leg::Request if !journey.gateway_answered => {
            let from_link_local = journey.gateway_asked_from.filter(Ipv6Addr::is_unicast_link_local);
            if let (Some(_), Some(gateway), Some(global)) = (from_link_local, gateway, spot.upstream.global) {
                trials.gateway_hears_global = trial::is_answered(&mut rig, &journey, global, gateway).await?;
            }
        }
        Leg::Reply if journey.rival.is_none() => {
            let hop_limit = hop_limit(&journey, 0);
            trials.source = trial::sources(&mut rig, &spot.upstream, &journey, hop_limit).await?;
        }
        _ => {}
    }
    // As it is now, with the guest.
    let now = gather::host(host.config.clone(), &options.root).await?;
    let ask = || (options.ask)(free);
    Ok(Case { host: &now, spot, journey: &journey, trials: &trials, daemon: &ask }.report())
}

/// Sends the packet until it has come back, a few times at most, and no fewer after it has left.
async fn travel(rig: &mut Rig, journey: &mut Journey) -> Result<(), LiveError> {
    let mut rounds = HOPS.len();
    let mut round = 0;
    while round < rounds {
        // An error is what the kernel has to say of an earlier one; what leaves is seen.
        let _ = rig.send(&journey.request, u16::try_from(round).unwrap_or(0), hop_limit(journey, round));
        let until = Instant::now() + BETWEEN_PACKETS;
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
            rounds = round + HOPS.len();
        }
        round += 1;
    }
    Ok(())
}

fn hop_limit(journey: &Journey, round: usize) -> u32 {
    // The host takes one off what it forwards.
    HOPS[round % HOPS.len()] + u32::from(journey.guest.is_some())
}

/// An address that nobody has, neither on the guests' side nor on the upstream.
async fn free_address(
    host: &Host,
    spot: &Spot,
    guest: &Guest,
    options: &Options<'_>,
    rig: &mut Rig,
) -> Result<Ipv6Addr, LiveError> {
    let mut taken = LiveError::NoneFree(spot.range);
    for _ in 0..MOST_ADDRESSES {
        let address = match options.address {
            Some(address) => address,
            None => spot.address(host, random).ok_or(LiveError::NoneFree(spot.range))?,
        };
        let is_own = matches!(spot.seat, Seat::Host { address: Some(own), .. } if own == address);
        match owner(host, spot, guest, address, rig).await? {
            Some((mac, interface)) if !is_own => taken = LiveError::Taken { address, mac, interface },
            _ => return Ok(address),
        }
        if options.address.is_some() {
            break;
        }
    }
    Err(taken)
}

/// Who has an address, and where.
async fn owner(
    host: &Host,
    spot: &Spot,
    guest: &Guest,
    address: Ipv6Addr,
    rig: &mut Rig,
) -> Result<Option<(Mac, String)>, LiveError> {
    for _ in 0..QUESTIONS {
        ask(spot, guest, address, rig);
        if let Some(owner) = objection(host, spot, guest, address, rig).await? {
            return Ok(Some(owner));
        }
    }
    Ok(None)
}

/// Asks on both sides who has an address.
fn ask(spot: &Spot, guest: &Guest, address: Ipv6Addr, rig: &Rig) {
    let upstream = &spot.upstream;
    if let Some(source) = upstream.global.or(upstream.link_local) {
        rig.tell(Own::Solicitation(trial::question(upstream.mac, source, address)));
    }
    if let Some(mac) = guest.mac() {
        let dad = trial::question(mac, Ipv6Addr::UNSPECIFIED, address);
        rig.tell_host(Own::Solicitation(Solicitation { source_mac: mac, ..dad }));
    }
}

async fn objection(
    host: &Host,
    spot: &Spot,
    guest: &Guest,
    address: Ipv6Addr,
    rig: &mut Rig,
) -> Result<Option<(Mac, String)>, LiveError> {
    let request = Request { guest: address, to: Ipv6Addr::UNSPECIFIED, identifier: [0, 0] };
    let until = Instant::now() + TIME_TO_OBJECT;
    loop {
        let seen = rig.watch(&request, until).await?;
        if seen.is_empty() {
            return Ok(None);
        }
        for seen in seen {
            let (sighting, own, interface) = match seen {
                Seen::Upstream(sighting) => {
                    (sighting, Some(spot.upstream.mac), host.name(spot.upstream.link))
                }
                Seen::Guest(sighting) => (sighting, guest.mac(), "the guests' side".to_owned()),
                Seen::Received(_) => continue,
            };
            if matches!(sighting.what, What::Advertisement(answer) if answer.target == address)
                && Some(sighting.from) != own
            {
                return Ok(Some((sighting.from, interface)));
            }
        }
    }
}

/// Of no use to anybody who could guess it.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// The bits of capabilities(7).
const CAPABILITIES: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (21, "CAP_SYS_ADMIN")];
/// The packet's way ends at the first router, which has to tell the guest so. If that says nothing,
/// the next may, and the destination.
const HOPS: [u32; 5] = [1, 1, 2, 64, 1];
/// Five packets: some seconds for the three questions of a router.
const BETWEEN_PACKETS: Duration = Duration::from_secs(1);
/// RFC 4862 §5.1 waits a second for one question; somebody who is there needs less for one of two.
const TIME_TO_OBJECT: Duration = Duration::from_millis(500);
const QUESTIONS: u32 = 2;
const MOST_ADDRESSES: usize = 3;
