//! The netlink room against the real kernel, in namespaces of its own. Needs no root.

use std::future::Future;
use std::net::Ipv6Addr;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use lone64::engine::facts::{Fact, IfIndex, IfName, KernelRoute, Link, LinkState, NextHop, RouteKind};
use lone64::kernel::netlink::{Monitor, Notice, Requests, RouteError};
use lone64::kernel::netns::{self, Namespace};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Before libtest-mimic starts threads: the kernel refuses a user namespace to a process of several.
    let obstacle = netns::enter_user_namespace().err();
    if let Some(error) = &obstacle {
        eprintln!("ignored: {error}");
    }
    let trial =
        |name, run: fn() -> Result<(), Failed>| Trial::test(name, run).with_ignored_flag(obstacle.is_some());
    let trials = vec![
        trial("tells_of_links_that_come_rise_and_go", tells_of_links_that_come_rise_and_go),
        trial("tells_of_addresses_that_come_and_go", tells_of_addresses_that_come_and_go),
        trial("a_port_that_leaves_its_bridge_stays_a_link", a_port_that_leaves_its_bridge_stays_a_link),
        trial("a_route_is_told_of_as_it_was_asked_for", a_route_is_told_of_as_it_was_asked_for),
        trial("a_route_added_twice_exists", a_route_added_twice_exists),
        trial("a_foreign_route_is_never_removed", a_foreign_route_is_never_removed),
        trial("the_backstop_is_removed_alone", the_backstop_is_removed_alone),
        trial("a_route_to_a_missing_interface_is_refused", a_route_to_a_missing_interface_is_refused),
        trial("requests_keep_the_order_of_their_calls", requests_keep_the_order_of_their_calls),
        trial("a_dump_holds_all_that_there_is", a_dump_holds_all_that_there_is),
        trial("an_overrun_is_told_and_a_dump_mends_it", an_overrun_is_told_and_a_dump_mends_it),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn tells_of_links_that_come_rise_and_go() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        lab.requests.add_veth(&name("a"), &name("b")).await?;
        // The kernel tells of the peer first.
        let b = lab.link(|link| link.name == name("b")).await;
        let a = lab.link(|link| link.name == name("a")).await;
        assert_eq!(a.state, LinkState::Down);
        lab.requests.set_up(a.index).await?;
        lab.requests.set_up(b.index).await?;
        lab.link(|link| link.index == a.index && link.state == LinkState::Up).await;
        lab.requests.remove_link(b.index).await?;
        lab.fact(|fact| *fact == Fact::LinkGone(a.index)).await;
        Ok(())
    })
}

fn tells_of_addresses_that_come_and_go() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        let address = ip("2001:db8:1:2::1");
        lab.requests.add_address(LOOPBACK, address, 64).await?;
        lab.fact(|fact| matches!(fact, Fact::Address(a) if a.address == address && a.prefix_len == 64)).await;
        lab.requests.remove_address(LOOPBACK, address, 64).await?;
        lab.fact(|fact| *fact == Fact::AddressGone { link: LOOPBACK, address }).await;
        Ok(())
    })
}

fn a_port_that_leaves_its_bridge_stays_a_link() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        lab.requests.add_bridge(&name("br0")).await?;
        lab.requests.add_veth(&name("a"), &name("b")).await?;
        let bridge = lab.link(|link| link.name == name("br0")).await;
        let port = lab.link(|link| link.name == name("a")).await;
        lab.requests.set_master(port.index, Some(bridge.index)).await?;
        lab.link(|link| link.index == port.index && link.master == Some(bridge.index)).await;
        lab.requests.set_master(port.index, None).await?;
        let told = lab
            .until(|fact| matches!(fact, Fact::Link(l) if l.index == port.index && l.master.is_none()))
            .await;
        assert!(!told.contains(&Fact::LinkGone(port.index)), "{told:?}");
        lab.requests.set_up(port.index).await?;
        let told = lab.until(|fact| matches!(fact, Fact::Link(l) if l.index == port.index)).await;
        assert!(!told.contains(&Fact::LinkGone(port.index)), "{told:?}");
        Ok(())
    })
}

fn a_route_is_told_of_as_it_was_asked_for() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        let a = lab.veth_up().await?;
        lab.requests.add_address(a, ip("2001:db8:1:2::1"), 64).await?;
        let via = KernelRoute {
            destination: net("2001:db8:9::/48"),
            next_hop: NextHop::Via(ip("2001:db8:1:2::2")),
            ..ours(RouteKind::Unicast(a))
        };
        let wanted = [
            ours(RouteKind::Unicast(a)),
            KernelRoute { metric: 1025, table: 100_000, ..ours(RouteKind::Unreachable) },
            KernelRoute { destination: net("2001:db8:1:2:d::/112"), ..ours(RouteKind::Local(LOOPBACK)) },
            KernelRoute { destination: net("::/0"), ..via.clone() },
            via,
        ];
        for route in wanted {
            lab.requests.add_route(&route).await?;
            lab.fact(|fact| *fact == Fact::Route(route.clone())).await;
            assert!(lab.routes().await?.contains(&route), "{route:?}");
            lab.requests.remove_route(&route).await?;
            lab.fact(|fact| *fact == Fact::RouteGone(route.clone())).await;
            assert!(matches!(lab.requests.remove_route(&route).await, Err(RouteError::Missing)));
        }
        Ok(())
    })
}

fn a_route_added_twice_exists() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        let a = lab.veth_up().await?;
        let route = ours(RouteKind::Unicast(a));
        lab.requests.add_route(&route).await?;
        assert!(matches!(lab.requests.add_route(&route).await, Err(RouteError::Exists)));
        let foreign = KernelRoute { protocol: 4, ..route };
        assert!(matches!(lab.requests.add_route(&foreign).await, Err(RouteError::Exists)));
        Ok(())
    })
}

fn a_foreign_route_is_never_removed() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        let a = lab.veth_up().await?;
        let foreign = KernelRoute { protocol: 4, ..ours(RouteKind::Unicast(a)) };
        lab.requests.add_route(&foreign).await?;
        let removed = lab.requests.remove_route(&ours(RouteKind::Unicast(a))).await;
        assert!(matches!(removed, Err(RouteError::Missing)), "{removed:?}");
        assert!(lab.routes().await?.contains(&foreign));
        Ok(())
    })
}

fn the_backstop_is_removed_alone() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        let a = lab.veth_up().await?;
        let (range, backstop) = (ours(RouteKind::Unicast(a)), ours(RouteKind::Unreachable));
        lab.requests.add_route(&range).await?;
        let removed = lab.requests.remove_route(&backstop).await;
        assert!(matches!(removed, Err(RouteError::Missing)), "{removed:?}");
        assert!(lab.routes().await?.contains(&range));
        Ok(())
    })
}

fn a_route_to_a_missing_interface_is_refused() -> Result<(), Failed> {
    in_namespace(async |lab| {
        let route = ours(RouteKind::Unicast(IfIndex(4711)));
        let added = lab.requests.add_route(&route).await;
        assert!(matches!(added, Err(RouteError::NoDevice)), "{added:?}");
        let removed = lab.requests.remove_route(&route).await;
        assert!(matches!(removed, Err(RouteError::Missing)), "{removed:?}");
        lab.requests.add_veth(&name("a"), &name("b")).await?;
        let a = index("a");
        let added = lab.requests.add_route(&ours(RouteKind::Unicast(a))).await;
        assert!(matches!(added, Err(RouteError::NoDevice)), "{added:?}");
        Ok(())
    })
}

fn requests_keep_the_order_of_their_calls() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        let route = ours(RouteKind::Unicast(lab.veth_up().await?));
        let first = lab.requests.add_route(&route);
        let second = lab.requests.remove_route(&route);
        let third = lab.requests.add_route(&route);
        let fourth = lab.requests.add_route(&route);
        assert!(matches!(fourth.await, Err(RouteError::Exists)));
        third.await?;
        second.await?;
        first.await?;
        Ok(())
    })
}

fn a_dump_holds_all_that_there_is() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        let a = lab.veth_up().await?;
        let address = ip("2001:db8:1:2::1");
        lab.requests.add_address(a, address, 64).await?;
        for metric in 1..=500 {
            lab.requests.add_route(&KernelRoute { metric, ..ours(RouteKind::Unicast(a)) }).await?;
        }
        let dump = lab.monitor.dump().await?;
        let links = dump.iter().filter(|fact| matches!(fact, Fact::Link(_))).count();
        assert_eq!(links, 3, "lo, a, b");
        assert!(dump.iter().any(|fact| matches!(fact, Fact::Address(x) if x.address == address)));
        assert!(dump.iter().any(|fact| matches!(fact, Fact::Neighbor(_) | Fact::Route(_))));
        let ours = dump.iter().filter(|fact| matches!(fact, Fact::Route(r) if r.protocol == 64)).count();
        assert_eq!(ours, 500);
        Ok(())
    })
}

fn an_overrun_is_told_and_a_dump_mends_it() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        let a = lab.veth_up().await?;
        let adding: Vec<_> =
            (1..=OVERRUN).map(|number| lab.requests.add_route(&numbered(number, a))).collect();
        for added in adding {
            added.await?;
        }
        let mut told = 0;
        let overrun = std::iter::from_fn(|| lab.monitor.try_next())
            .inspect(|notice| told += u32::from(matches!(notice, Notice::Fact(_))))
            .filter(|notice| *notice == Notice::Overrun)
            .count();
        assert!(overrun >= 1, "{told} events in the buffer, none lost");
        let dumped = lab.routes().await?.into_iter().filter(|route| route.protocol == 64).count();
        assert_eq!(dumped, OVERRUN as usize);
        let route = numbered(1, a);
        lab.requests.remove_route(&route).await?;
        lab.fact(|fact| *fact == Fact::RouteGone(route.clone())).await;
        Ok(())
    })
}

/// More events than fit into any receive buffer that the kernel grants us.
const OVERRUN: u32 = 30_000;

struct Lab {
    monitor: Monitor,
    requests: Requests,
}

impl Lab {
    async fn fact(&mut self, wanted: impl Fn(&Fact) -> bool) -> Fact {
        self.until(wanted).await.pop().expect("until ends with what was wanted")
    }

    async fn until(&mut self, wanted: impl Fn(&Fact) -> bool) -> Vec<Fact> {
        let mut told = Vec::new();
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            match tokio::time::timeout_at(deadline, self.monitor.next()).await {
                Ok(Notice::Fact(fact)) => {
                    let done = wanted(&fact);
                    told.push(fact);
                    if done {
                        return told;
                    }
                }
                Ok(Notice::Overrun) => {}
                Ok(Notice::Closed) => panic!("closed after {told:?}"),
                Err(_) => panic!("waited in vain; told {told:?}"),
            }
        }
    }

    async fn link(&mut self, wanted: impl Fn(&Link) -> bool) -> Link {
        match self.fact(|fact| matches!(fact, Fact::Link(link) if wanted(link))).await {
            Fact::Link(link) => link,
            other => unreachable!("{other:?}"),
        }
    }

    async fn veth_up(&mut self) -> Result<IfIndex, Failed> {
        self.requests.add_veth(&name("a"), &name("b")).await?;
        let (a, b) = (index("a"), index("b"));
        self.requests.set_up(a).await?;
        self.requests.set_up(b).await?;
        Ok(a)
    }

    async fn routes(&self) -> Result<Vec<KernelRoute>, Failed> {
        let facts = self.monitor.dump().await?;
        Ok(facts
            .into_iter()
            .filter_map(|fact| match fact {
                Fact::Route(route) => Some(route),
                _ => None,
            })
            .collect())
    }
}

/// Runs a test in a namespace of its own, on a runtime of its own, with a deadline.
fn in_namespace<F>(test: impl FnOnce(Lab) -> F + Send) -> Result<(), Failed>
where
    F: Future<Output = Result<(), Failed>>,
{
    let namespace = Namespace::create()?;
    namespace.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (monitor, requests) = Monitor::start()?;
            tokio::time::timeout(2 * DEADLINE, test(Lab { monitor, requests })).await?
        })
    })
}

fn ours(kind: RouteKind) -> KernelRoute {
    KernelRoute {
        destination: net("2001:db8:1:2:c::/112"),
        kind,
        next_hop: NextHop::OnLink,
        table: 254,
        protocol: 64,
        metric: 1024,
    }
}

fn numbered(number: u32, link: IfIndex) -> KernelRoute {
    let guest = u128::from(ip("2001:db8:1:2:c::")) + u128::from(number);
    KernelRoute { destination: Ipv6Addr::from(guest).into(), ..ours(RouteKind::Unicast(link)) }
}

fn index(link: &str) -> IfIndex {
    IfIndex(nix::net::if_::if_nametoindex(link).expect("a link of this namespace"))
}

fn name(text: &str) -> IfName {
    text.parse().expect("the name of an interface")
}

fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn net(text: &str) -> ipnet::Ipv6Net {
    text.parse().expect("a prefix")
}

const LOOPBACK: IfIndex = IfIndex(1);
/// Longer than anything that works takes, on however busy a machine.
const DEADLINE: Duration = Duration::from_secs(60);
