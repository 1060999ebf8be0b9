//! Live guests: where the kernel sends what is for them and what they send, and whether they reply past their own link.
//!
//! May touch: the kernel's lookups, which change nothing; one ICMPv6 echo request (RFC 4443 §4.1) to each of a few
//! guests from an address of their link, and one from an address behind it.

use std::io::{self, ErrorKind, Read};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use super::checks::path::FAR_AWAY;
use super::{Host, has_neighbors};
use crate::engine::facts::{IfIndex, NeighborState};
use crate::kernel::netlink::{NetlinkError, Requests, WayTo};

/// A live guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its address.
    pub address: Ipv6Addr,
    /// The interface that it is behind.
    pub link: IfIndex,
    /// Whether it is a neighbor there, and not behind a router or a tunnel.
    pub is_neighbor: bool,
    /// On which link routers ask for it, or by which its packets come.
    pub upstream: IfIndex,
    /// Where the kernel sends what is for it.
    pub inward: WayTo,
    /// Where the kernel sends what it sends to an address far away.
    pub outward: WayTo,
    /// What it replies to.
    pub replies: Replies,
}

/// From where a guest is reached by echo requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    /// Nobody knows: it was not asked, or it replies to no echo request at all.
    Unknown,
    /// From its own link, and not from this address of the host behind it.
    OnLinkOnly(Ipv6Addr),
    /// From behind its link too.
    Everywhere,
}

impl Guest {
    /// Whether the kernel sends to it what is for it.
    pub fn is_led_to(&self) -> bool {
        match self.inward {
            WayTo::Link { link, .. } => link == self.link,
            WayTo::Host | WayTo::HostPrefix | WayTo::Nowhere => false,
        }
    }

    /// Whether what it sends leaves by its upstream.
    pub fn is_led_out(&self) -> bool {
        matches!(self.outward, WayTo::Link { link, .. } if link == self.upstream)
    }

    /// Whether it is reached, as far as routing decides.
    pub fn is_reached(&self) -> bool {
        self.is_led_to() && self.is_led_out()
    }
}

/// The live guests that there are, up to a number at which nothing new is to be learned: those that a running daemon
/// names, or else those that the kernel's neighbor table has.
pub(super) async fn look(host: &Host, requests: &Requests) -> Result<Vec<Guest>, NetlinkError> {
    let known = host.daemon.as_ref().map_or_else(|| by_neighbors(host), |status| by_daemon(host, status));
    let mut guests = Vec::new();
    for (address, link, is_neighbor) in known.into_iter().take(MOST) {
        let Some(upstream) = upstream_of(host, address) else { continue };
        let inward = requests.way_out(address, FAR_AWAY, Some(upstream)).await?;
        let outward = requests.way_out(FAR_AWAY, address, Some(link)).await?;
        let replies = Replies::Unknown;
        guests.push(Guest { address, link, is_neighbor, upstream, inward, outward, replies });
    }
    ask(host, &mut guests);
    Ok(guests)
}

fn by_daemon(host: &Host, status: &Value) -> Vec<(Ipv6Addr, IfIndex, bool)> {
    let targets = status["targets"].as_array().into_iter().flatten();
    let live = targets.filter(|target| target["state"] == "live");
    let known = live.filter_map(|target| {
        let name = target["interface"].as_str()?.parse().ok()?;
        let link = host.links().named(&name)?;
        Some((target["address"].as_str()?.parse().ok()?, link.index, target["mac"].is_string()))
    });
    // The host's own addresses lead to the host, and those that another station has to the upstream's link.
    let conflicts: Vec<_> =
        status["conflicts"].as_array().into_iter().flatten().map(|one| &one["address"]).collect();
    let is_theirs =
        |address: &Ipv6Addr| conflicts.iter().any(|other| **other == address.to_string().as_str());
    known.filter(|(address, ..)| !host.links().is_of_host(*address) && !is_theirs(address)).collect()
}

fn by_neighbors(host: &Host) -> Vec<(Ipv6Addr, IfIndex, bool)> {
    let is_alive = |state| matches!(state, NeighborState::Reachable | NeighborState::Stale);
    let alive = host.neighbors.iter().filter(|known| known.mac.is_some() && is_alive(known.state));
    let here = alive.filter(|known| {
        let around = host.ranges().filter(|(range, _)| range.prefix.contains(&known.address));
        let decides = around.max_by_key(|(range, _)| range.prefix.prefix_len());
        decides.is_some_and(|(_, place)| place.downstreams.contains(&known.link))
    });
    here.map(|known| (known.address, known.link, true)).collect()
}

/// That of the longest range, or the way out where none is needed.
fn upstream_of(host: &Host, guest: Ipv6Addr) -> Option<IfIndex> {
    let around = host.ranges().filter(|(range, _)| range.prefix.contains(&guest));
    let (range, place) = around.max_by_key(|(range, _)| range.prefix.prefix_len())?;
    place.upstream.or_else(|| host.way_out(&range.prefix).filter(|_| !range.needs_upstream()))
}

/// Sends to each of the first guests one request from their link, and one from behind it.
fn ask(host: &Host, guests: &mut [Guest]) {
    let forwards = |guest: &Guest| guest.is_neighbor && guest.is_reached();
    let mut asked: Vec<_> = (0..)
        .zip(guests.iter_mut())
        .filter(|(_, guest)| forwards(guest))
        .filter_map(|(number, guest)| Asked::begin(host, guest, number).map(|asked| (guest, asked)))
        .take(MOST_ASKED)
        .collect();
    let deadline = Instant::now() + PATIENCE;
    while asked.iter().any(|(_, asked)| asked.is_open()) && Instant::now() < deadline {
        asked.iter_mut().for_each(|(_, asked)| asked.hear());
        std::thread::sleep(BETWEEN_LOOKS);
    }
    for (guest, asked) in asked {
        guest.replies = match (asked.near.has_replied, asked.far.has_replied) {
            (_, true) => Replies::Everywhere,
            (true, false) => Replies::OnLinkOnly(asked.far.source),
            (false, false) => Replies::Unknown,
        };
    }
}

struct Asked {
    near: Question,
    far: Question,
}

struct Question {
    socket: Socket,
    source: Ipv6Addr,
    identifier: [u8; 2],
    has_replied: bool,
}

impl Asked {
    fn begin(host: &Host, guest: &Guest, number: u16) -> Option<Self> {
        let links = host.links();
        links.get(guest.link).filter(|link| has_neighbors(link))?;
        let near = links.link_local(guest.link).or_else(|| links.global(guest.link))?;
        // One that the guest takes for a neighbor's tells nothing of its gateway.
        let is_beyond = |address: &Ipv6Addr| !links.is_on_link(guest.link, &(*address).into());
        let far = links.global(guest.upstream).filter(is_beyond)?;
        let send = |source, side| Question::send(source, guest, number << 1 | side).ok();
        Some(Self { near: send(near, 0)?, far: send(far, 1)? })
    }

    /// Whether something is still to be learned.
    fn is_open(&self) -> bool {
        !self.far.has_replied
    }

    fn hear(&mut self) {
        self.near.hear();
        self.far.hear();
    }
}

impl Question {
    fn send(source: Ipv6Addr, guest: &Guest, number: u16) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        socket.set_nonblocking(true)?;
        let scope = if source.is_unicast_link_local() { guest.link.0 } else { 0 };
        socket.bind(&SocketAddrV6::new(source, 0, 0, scope).into())?;
        socket.connect(&SocketAddrV6::new(guest.address, 0, 0, 0).into())?;
        let identifier = number.wrapping_add(u16::try_from(std::process::id() & 0x7fff).unwrap_or_default());
        let [high, low] = identifier.to_be_bytes();
        // The kernel fills the checksum in (RFC 3542 §3.1).
        socket.send(&[ECHO_REQUEST, 0, 0, 0, high, low, 0, 1])?;
        Ok(Self { socket, source, identifier: [high, low], has_replied: false })
    }

    fn hear(&mut self) {
        let mut buffer = [0; 64];
        for _ in 0..MOST_READ {
            match (&self.socket).read(&mut buffer) {
                // Without the IPv6 header (RFC 3542 §3).
                Ok(length) => {
                    let reply = &buffer[..length];
                    self.has_replied |=
                        reply.first() == Some(&ECHO_REPLY) && reply.get(4..6) == Some(&self.identifier);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

/// Guests that are looked up.
const MOST: usize = 64;
/// Guests that are asked.
const MOST_ASKED: usize = 16;
/// For their replies. A guest that is alive needs a millisecond; one that has to be found on its link, a second.
const PATIENCE: Duration = Duration::from_millis(1_200);
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// Messages that are read at once: others may come from the same guest.
const MOST_READ: usize = 16;
/// RFC 4443 §4.1 and §4.2.
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
