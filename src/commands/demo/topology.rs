//! The lab: router, host and guest, each a network namespace, joined by virtual Ethernet.

use std::fmt::Write as _;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};
use std::{fmt, io};

use ipnet::Ipv6Net;

use super::DemoError;
use super::ping::{Echo, ping};
use crate::engine::facts::{Fact, IfIndex, IfName, KernelRoute, NextHop, RouteKind};
use crate::engine::policy::RoutePolicy;
use crate::kernel::netlink::{Monitor, NetlinkError, Requests, RouteError};
use crate::kernel::netns::Namespace;
use crate::kernel::{interface_name, sysctl};
use crate::wire::Mac;

/// Router, host and guest. All gone when dropped.
pub struct Lab {
    /// The provider's router, with the link `rt0`.
    pub router: Namespace,
    /// Where `lone64` runs, with the upstream `up0` and the bridge `lxcbr0`.
    pub host: Namespace,
    /// What nobody on the upstream knows of, with the link `eth0`.
    pub guest: Namespace,
}

/// A route as `ip -6 route` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownRoute {
    destination: Ipv6Net,
    interface: Option<String>,
    protocol: u8,
    metric: u32,
}

impl Lab {
    /// Builds it. Needs the rights that [`crate::kernel::netns::enter_user_namespace`] gives.
    pub fn build() -> Result<Self, DemoError> {
        let create = || Namespace::create().map_err(|e| DemoError::Lab("no network namespace", e));
        let lab = Self { router: create()?, host: create()?, guest: create()? };
        for namespace in [&lab.router, &lab.host, &lab.guest] {
            namespace.run(without_dad)?;
        }
        lab.within(&lab.host, async |requests| {
            sysctl::write("conf/all/forwarding", "1")?;
            requests.add_veth(&name("up0"), &name("rt0")).await?;
            requests.add_veth(&name("port5"), &name("eth0")).await?;
            requests.add_bridge(&name("lxcbr0")).await?;
            requests.set_mac(index("rt0")?, Mac([2, 0, 0, 0, 0, 1])).await?;
            requests.set_mac(index("up0")?, Mac([2, 0, 0, 0, 0, 2])).await?;
            requests.set_mac(index("lxcbr0")?, Mac([2, 0, 0, 0, 0, 3])).await?;
            requests.set_mac(index("eth0")?, Mac([2, 0, 0, 0, 0, 5])).await?;
            requests.set_master(index("port5")?, Some(index("lxcbr0")?)).await?;
            requests.move_to(index("rt0")?, lab.router.fd()).await?;
            requests.move_to(index("eth0")?, lab.guest.fd()).await?;
            for link in ["up0", "port5", "lxcbr0"] {
                requests.set_up(index(link)?).await?;
            }
            requests.add_address(index("up0")?, HOST, 64).await?;
            requests.add_address(index("lxcbr0")?, GATEWAY, 128).await?;
            add_default(&requests, "up0", ROUTER).await
        })?;
        lab.within(&lab.router, async |requests| {
            requests.set_up(index("rt0")?).await?;
            Ok(requests.add_address(index("rt0")?, ROUTER, 64).await?)
        })?;
        lab.within(&lab.guest, async |requests| {
            requests.set_up(index("eth0")?).await?;
            requests.add_address(index("eth0")?, GUEST, 112).await?;
            add_default(&requests, "eth0", GATEWAY).await
        })?;
        Ok(lab)
    }

    /// Waits until the host reaches its router. Its guest it cannot reach yet: the way there is the
    /// daemon's to install.
    pub fn wait_until_ready(&self) -> Result<(), DemoError> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let attempt = || ping(ROUTER, 0, Duration::from_millis(200));
        while self.host.run(attempt).map_err(|e| DemoError::Lab("no ICMPv6 socket", e))? == Echo::Silence {
            if Instant::now() > deadline {
                return Err(DemoError::Unexpected(format!("in the lab, the host cannot reach {ROUTER}")));
            }
        }
        Ok(())
    }

    /// The routes in the host that bear the protocol number of `lone64`.
    pub fn routes_of_lone64(&self) -> Result<Vec<ShownRoute>, DemoError> {
        self.within(&self.host, async |_| {
            let (monitor, _) = Monitor::start()?;
            let ours = RoutePolicy::default().protocol;
            let routes = monitor.dump().await?.into_iter().filter_map(|fact| match fact {
                Fact::Route(route) if route.protocol == ours => Some(ShownRoute::from(route)),
                _ => None,
            });
            Ok(routes.collect())
        })
    }

    /// Makes the router ask afresh, instead of waiting for its failed attempt to end.
    pub fn router_forgets_guest(&self) -> Result<(), DemoError> {
        self.within(&self.router, async |requests| {
            match requests.remove_neighbor(index("rt0")?, GUEST).await {
                Err(NetlinkError::Refused { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => {
                    Ok(())
                }
                other => Ok(other?),
            }
        })
    }

    /// Runs requests in a namespace, on a runtime that ends with them.
    pub fn within<T: Send>(
        &self,
        namespace: &Namespace,
        work: impl AsyncFnOnce(Requests) -> Result<T, DemoError> + Send,
    ) -> Result<T, DemoError> {
        namespace.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| DemoError::Lab("no runtime", e))?;
            runtime.block_on(async { work(Requests::open()?).await })
        })
    }
}

impl From<KernelRoute> for ShownRoute {
    fn from(route: KernelRoute) -> Self {
        let interface = match route.kind {
            RouteKind::Unicast(link) | RouteKind::Local(link) => {
                Some(interface_name(link).unwrap_or_else(|| format!("#{link}")))
            }
            RouteKind::Unreachable | RouteKind::Throw | RouteKind::Other => None,
        };
        Self { destination: route.destination, interface, protocol: route.protocol, metric: route.metric }
    }
}

impl fmt::Display for ShownRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { destination, interface, protocol, metric } = self;
        match interface {
            Some(name) => write!(f, "{destination} dev {name} proto {protocol} metric {metric}"),
            None => write!(f, "unreachable {destination} proto {protocol} metric {metric}"),
        }
    }
}

/// The lab as a picture, at most 80 columns wide.
pub fn draw() -> String {
    let rows = [
        ["router".to_owned(), "host".to_owned(), "guest".to_owned()],
        ["rt0".to_owned(), "up0".to_owned(), String::new()],
        [format!("{ROUTER}/64"), format!("{HOST}/64"), String::new()],
        [String::new(), format!("{:>WIDTH$}", "lxcbr0"), "eth0".to_owned()],
        [String::new(), format!("{GATEWAY}/128"), format!("{GUEST}/112")],
    ];
    let edge = |left, right| vec![format!("{left}{}{right}", "─".repeat(WIDTH + 2)); 3].join("  ");
    let mut picture = edge('┌', '┐') + "\n";
    for (number, [router, host, guest]) in rows.iter().enumerate() {
        // The wires: rt0 to up0, lxcbr0 to eth0.
        let (first, second) = (wire(number == 1), wire(number == 3));
        writeln!(picture, "│ {router:<WIDTH$} {first} {host:<WIDTH$} {second} {guest:<WIDTH$} │")
            .expect("a String takes everything");
    }
    picture + &edge('└', '┘') + "\n"
}

fn wire(here: bool) -> &'static str {
    if here { "├──┤" } else { "│  │" }
}

/// Nothing waits for DAD, in which nobody here could lose.
fn without_dad() -> Result<(), DemoError> {
    sysctl::write("conf/all/accept_dad", "0")?;
    Ok(sysctl::write("conf/default/accept_dad", "0")?)
}

async fn add_default(requests: &Requests, link: &str, router: Ipv6Addr) -> Result<(), DemoError> {
    let route = KernelRoute {
        destination: Ipv6Net::default(),
        kind: RouteKind::Unicast(index(link)?),
        next_hop: NextHop::Via(router),
        table: 254,
        protocol: 4,
        metric: 1024,
        source: None,
    };
    requests.add_route(&route).await.map_err(|error| {
        let what = format!("add a default route by {link}");
        let source = match error {
            RouteError::Other(source) => source,
            other => io::Error::other(other),
        };
        NetlinkError::Refused { what, source }.into()
    })
}

fn index(link: &str) -> Result<IfIndex, DemoError> {
    nix::net::if_::if_nametoindex(link)
        .map(IfIndex)
        .map_err(|errno| DemoError::Lab("a link that was just made is not there", errno.into()))
}

fn name(text: &str) -> IfName {
    text.parse().expect("the names above are names")
}

/// The provider's router.
pub const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 1);
/// The host, on its upstream.
pub const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 2);
/// The host, on the bridge of its guests.
pub const GATEWAY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 1);
/// The guest.
pub const GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 5);

/// Columns inside a box of the picture; the longest text is the guest's address.
const WIDTH: usize = 21;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_fits_into_80_columns_and_is_straight() {
        let picture = draw();
        let widths: Vec<_> = picture.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0] && *width <= 80), "{widths:?}\n{picture}");
    }

    #[test]
    fn routes_look_as_ip_shows_them() {
        let route = |kind| KernelRoute {
            destination: "2001:db8:1:2:c::/112".parse().expect("a prefix"),
            kind,
            next_hop: NextHop::OnLink,
            table: 254,
            protocol: 64,
            metric: 1024,
            source: None,
        };
        let lo = nix::net::if_::if_nametoindex("lo").expect("every namespace has it");
        assert_eq!(
            ShownRoute::from(route(RouteKind::Unicast(IfIndex(lo)))).to_string(),
            "2001:db8:1:2:c::/112 dev lo proto 64 metric 1024"
        );
        assert_eq!(
            ShownRoute::from(route(RouteKind::Unreachable)).to_string(),
            "unreachable 2001:db8:1:2:c::/112 proto 64 metric 1024"
        );
    }
}
