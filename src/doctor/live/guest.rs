//! The temporary guest: a network namespace with one wire to the host, or the host itself.
//!
//! The wire is made inside the namespace, and the host's end of it then handed out. So there is no
//! moment at which the death of this process would leave one of its ends behind.

use std::fs::File;
use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsFd;
use std::time::Duration;

use ipnet::Ipv6Net;
use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};

use super::LiveError;
use super::spot::Seat;
use crate::doctor::checks::addresses::link_local;
use crate::engine::facts::{Fact, IfIndex, IfName, KernelRoute, LinkState, NextHop, RouteKind};
use crate::kernel::netlink::{Monitor, NetlinkError, Notice, Requests, RouteError};
use crate::kernel::netns::Namespace;
use crate::kernel::packet::PacketSocket;
use crate::kernel::sysctl;
use crate::wire::{Mac, filter};

/// The temporary guest. It is gone when this is dropped.
pub(super) struct Guest {
    /// `None`: it is the host itself.
    wire: Option<Wire>,
}

struct Wire {
    namespace: Namespace,
    /// The host's end.
    host_end: IfIndex,
    /// Where the kernel learns of the guest as a neighbor.
    neighbors: IfIndex,
    mac: Mac,
    gateway: Ipv6Addr,
}

impl Guest {
    /// Makes it, without an address yet. `tag` keeps its MAC apart from others'.
    pub(super) async fn place(seat: &Seat, tag: u32, requests: &Requests) -> Result<Self, LiveError> {
        let (name, mtu) = match seat {
            Seat::Host { .. } => return Ok(Self { wire: None }),
            Seat::Port { mtu, .. } => (port_name(), Some(*mtu)),
            Seat::Beside(name) => (*name, None),
        };
        let [a, b, c, d] = tag.to_be_bytes();
        // A bridge takes the lowest MAC of its ports for its own: this one is never it.
        let (host_mac, mac) = (Mac([0xfe, 0x64, a, b, c, d]), Mac([0x02, 0x64, a, b, c, d]));
        let namespace = Namespace::create().map_err(|error| LiveError::Guest("network namespace", error))?;
        let host =
            File::open("/proc/thread-self/ns/net").map_err(|error| LiveError::Guest("/proc", error))?;
        within(&namespace, async |inside| {
            for (key, value) in SETTINGS {
                // Where /proc is read-only it goes on without; the first leg would show it.
                let _ = sysctl::write(&format!("conf/default/{key}"), value);
            }
            inside.add_veth(&name, &inner_name()).await?;
            let (outer, inner) = (index(name.as_str())?, index(INNER)?);
            inside.set_mac(outer, host_mac).await?;
            inside.set_mac(inner, mac).await?;
            if let Some(mtu) = mtu {
                inside.set_mtu(outer, mtu).await?;
                inside.set_mtu(inner, mtu).await?;
            }
            inside.set_up(inner).await?;
            Ok(inside.move_to(outer, host.as_fd()).await?)
        })?;
        let host_end = index(name.as_str())?;
        let (neighbors, gateway) = match seat {
            Seat::Port { bridge, gateway, .. } => {
                requests.set_master(host_end, Some(*bridge)).await?;
                (*bridge, *gateway)
            }
            Seat::Beside(_) | Seat::Host { .. } => {
                requests.add_address(host_end, GATEWAY, 64).await?;
                (host_end, GATEWAY)
            }
        };
        until_up(host_end, requests).await?;
        Ok(Self { wire: Some(Wire { namespace, host_end, neighbors, mac, gateway }) })
    }

    /// Its own MAC; `None` if it is the host itself.
    pub(super) fn mac(&self) -> Option<Mac> {
        self.wire.as_ref().map(|wire| wire.mac)
    }

    /// An observer at its end of the wire; `None` if it has none.
    pub(super) fn observe(&self) -> Result<Option<PacketSocket>, LiveError> {
        let Some(wire) = &self.wire else { return Ok(None) };
        let socket = wire
            .namespace
            .run(|| PacketSocket::observe(index(INNER)?, &filter::observer()).map_err(no_socket));
        socket.map(Some)
    }

    /// Its link-local address; `None` if it is the host itself.
    pub(super) fn link_local(&self) -> Option<Ipv6Addr> {
        self.mac().map(link_local)
    }

    /// Gives it a further address, and a socket to send from it. The first one brings the way out along.
    pub(super) fn settle(&self, address: Ipv6Addr, is_first: bool) -> Result<Socket, LiveError> {
        let Some(Wire { namespace, gateway, .. }) = &self.wire else {
            return raw_socket(address).map_err(no_socket);
        };
        within(namespace, async |inside| {
            let link = index(INNER)?;
            inside.add_address(link, address, 128).await?;
            if !is_first {
                return Ok(());
            }
            let default = Ipv6Net::default();
            for (destination, next_hop) in
                [(Ipv6Net::from(*gateway), NextHop::OnLink), (default, NextHop::Via(*gateway))]
            {
                let kind = RouteKind::Unicast(link);
                let route = KernelRoute {
                    destination,
                    kind,
                    next_hop,
                    table: 254,
                    protocol: 4,
                    metric: 1024,
                    source: None,
                };
                inside.add_route(&route).await.map_err(|error| refused(&route, error))?;
            }
            Ok(())
        })?;
        namespace.run(|| raw_socket(address)).map_err(no_socket)
    }

    /// Takes it away, with what the kernel has learned of it. Dropping it does the same a moment
    /// later, and leaves the neighbor entries to age.
    pub(super) async fn remove(self, addresses: &[Ipv6Addr], requests: &Requests) {
        let Some(Wire { host_end, neighbors, mac, .. }) = &self.wire else { return };
        // What is gone already is gone.
        let _ = requests.remove_link(*host_end).await;
        for address in addresses.iter().copied().chain([link_local(*mac)]) {
            let _ = requests.remove_neighbor(*neighbors, address).await;
        }
    }
}

/// Brings a link up, and waits until it carries traffic: a port of a bridge is deaf before. If that
/// takes too long, the first leg shows it.
async fn until_up(link: IfIndex, requests: &Requests) -> Result<(), LiveError> {
    let (mut monitor, _) = Monitor::start()?;
    requests.set_up(link).await?;
    let is_up = |fact: &Fact| matches!(fact, Fact::Link(known) if known.index == link && known.state == LinkState::Up);
    if monitor.dump().await?.iter().any(is_up) {
        return Ok(());
    }
    let news = async {
        loop {
            match monitor.next().await {
                Notice::Fact(fact) if is_up(&fact) => return,
                Notice::Fact(_) | Notice::GroupShrunk => {}
                Notice::Overrun | Notice::Closed => return,
            }
        }
    };
    let _ = tokio::time::timeout(TIME_TO_COME_UP, news).await;
    Ok(())
}

/// Runs requests inside, on a runtime that ends with them.
fn within(
    namespace: &Namespace,
    work: impl AsyncFnOnce(Requests) -> Result<(), LiveError> + Send,
) -> Result<(), LiveError> {
    namespace.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(|error| LiveError::Guest("runtime", error))?;
        runtime.block_on(async { work(Requests::open()?).await })
    })
}

/// A socket for ICMPv6 from this address, in the network namespace of this thread.
pub(super) fn raw_socket(address: Ipv6Addr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    // A range on `lo` is the host's only while a daemon keeps its route.
    socket.set_freebind_v6(true)?;
    socket.bind(&SocketAddrV6::new(address, 0, 0, 0).into())?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn no_socket(error: impl Into<io::Error>) -> LiveError {
    LiveError::Guest("socket", error.into())
}

fn refused(route: &KernelRoute, error: RouteError) -> NetlinkError {
    let source = match error {
        RouteError::Other(source) => source,
        other => io::Error::other(other),
    };
    NetlinkError::Refused { what: format!("add the guest's route {route}"), source }
}

fn index(name: &str) -> Result<IfIndex, LiveError> {
    if_nametoindex(name)
        .map(IfIndex)
        .map_err(|errno| LiveError::Guest("link that was just made", errno.into()))
}

/// No two processes have the same.
fn port_name() -> IfName {
    format!("lone64-{}", std::process::id()).parse().expect("at most 7 and 7 digits")
}

fn inner_name() -> IfName {
    INNER.parse().expect("a name")
}

const TIME_TO_COME_UP: Duration = Duration::from_secs(2);
const INNER: &str = "eth0";
/// The host's address on an interface that is the guest's alone.
const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x64);
/// Whatever the host's defaults are: IPv6, without waiting and without more addresses than ours.
const SETTINGS: [(&str, &str); 5] = [
    ("disable_ipv6", "0"),
    ("accept_dad", "0"),
    ("accept_ra", "0"),
    ("addr_gen_mode", "0"),
    ("forwarding", "0"),
];
