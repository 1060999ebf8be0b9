//! Has the kernel ask for a gateway of which it knows nothing: whether it answers cannot be read
//! anywhere, only seen.
//!
//! May touch: one UDP datagram to the discard port (RFC 863) of each gateway, from an ordinary
//! socket, and netlink events for as long as the kernel asks.

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::engine::facts::{Fact, IfIndex, LinkLayer, LinkState, Neighbor, NeighborState, NextHop};
use crate::kernel::netlink::{Monitor, Notice};

type Gateway = (IfIndex, Ipv6Addr);

/// Asks, adds to `facts` what came of it, and returns of whom nothing was known.
pub(super) async fn ask(facts: &mut Vec<Fact>, monitor: &mut Monitor) -> Vec<Gateway> {
    let mut open = unknown(facts);
    let asked = open.iter().copied().collect();
    // What happened so far is in the dump, or older than the question.
    while monitor.try_next().is_some() {}
    open.retain(|gateway| knock(gateway).is_ok());
    let deadline = Instant::now() + PATIENCE;
    while !open.is_empty() {
        match timeout_at(deadline, monitor.next()).await {
            Ok(Notice::Fact(Fact::Neighbor(neighbor) | Fact::Marked(neighbor, _))) => {
                let is_settled = neighbor.state != NeighborState::Incomplete;
                if open.contains(&(neighbor.link, neighbor.address)) && is_settled {
                    open.remove(&(neighbor.link, neighbor.address));
                    learn(facts, neighbor);
                }
            }
            Ok(Notice::Fact(_) | Notice::GroupShrunk) => {}
            Ok(Notice::Overrun | Notice::Closed) | Err(_) => break,
        }
    }
    for (link, address) in open {
        learn(facts, Neighbor { link, address, mac: None, state: NeighborState::Failed });
    }
    asked
}

fn learn(facts: &mut Vec<Fact>, new: Neighbor) {
    facts.retain(|fact| match fact {
        Fact::Neighbor(old) | Fact::Marked(old, _) => (old.link, old.address) != (new.link, new.address),
        _ => true,
    });
    facts.push(Fact::Neighbor(new));
}

/// The gateways on links that carry traffic whose link-layer address the kernel does not know.
fn unknown(facts: &[Fact]) -> BTreeSet<Gateway> {
    let asks = |at: IfIndex| {
        facts.iter().any(|fact| match fact {
            Fact::Link(link) => {
                link.index == at
                    && link.state == LinkState::Up
                    && matches!(link.layer, LinkLayer::Ethernet(_))
            }
            _ => false,
        })
    };
    let gateways = facts.iter().filter_map(|fact| match fact {
        Fact::Route(route) if route.leads_everywhere() => match (route.unicast_link(), route.next_hop) {
            (Some(link), NextHop::Via(gateway)) if asks(link) => Some((link, gateway)),
            _ => None,
        },
        _ => None,
    });
    let is_known = |gateway: &Gateway| {
        facts.iter().any(|fact| match fact {
            Fact::Neighbor(known) | Fact::Marked(known, _) => {
                (known.link, known.address) == *gateway && known.mac.is_some()
            }
            _ => false,
        })
    };
    gateways.filter(|gateway| !is_known(gateway)).take(MOST).collect()
}

fn knock((link, gateway): &Gateway) -> std::io::Result<usize> {
    let scope = if gateway.is_unicast_link_local() { link.0 } else { 0 };
    UdpSocket::bind("[::]:0")?.send_to(&[], SocketAddrV6::new(*gateway, DISCARD, 0, scope))
}

/// A little more than the kernel takes: MAX_MULTICAST_SOLICIT times RETRANS_TIMER (RFC 4861 §10).
const PATIENCE: Duration = Duration::from_millis(3_500);

/// Gateways that are asked for, at most.
const MOST: usize = 16;

const DISCARD: u16 = 9;
