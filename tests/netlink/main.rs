//! The netlink room against the real kernel, in namespaces of its own. Needs no root.

mod filters;
mod lab;
mod lookups;
mod replaced;
mod rules;
mod vanished;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use lone64::engine::facts::{Fact, IfIndex, KernelRoute, LinkState, NextHop, RouteKind};
use lone64::kernel::netlink::{Notice, RouteError};
use lone64::kernel::netns;

use lab::{LOOPBACK, in_namespace, index, ip, name, net, numbered, ours};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Before libtest-mimic starts threads: the kernel refuses a user namespace to a process of several.
    let obstacle = netns::enter_user_namespace().err();
    if let Some(error) = &obstacle {
        eprintln!("ignored: {error}");
    }
    let trial =
        |name, run: fn() -> Result<(), Failed>| Trial::test(name, run).with_ignored_flag(obstacle.is_some());
    let mut trials = vec![
        trial("tells_of_links_that_come_rise_and_go", tells_of_links_that_come_rise_and_go),
        trial("tells_of_addresses_that_come_and_go", tells_of_addresses_that_come_and_go),
        trial("a_port_that_leaves_its_bridge_stays_a_link", a_port_that_leaves_its_bridge_stays_a_link),
        trial("a_route_is_told_of_as_it_was_asked_for", a_route_is_told_of_as_it_was_asked_for),
        trial("a_route_added_twice_exists", a_route_added_twice_exists),
        trial("a_foreign_route_is_never_removed", a_foreign_route_is_never_removed),
        trial("the_backstop_is_removed_alone", the_backstop_is_removed_alone),
        trial("a_route_to_a_missing_interface_is_refused", a_route_to_a_missing_interface_is_refused),
        trial("requests_keep_the_order_of_their_calls", requests_keep_the_order_of_their_calls),
        trial(
            "thousands_of_requests_are_each_answered_in_order",
            thousands_of_requests_are_each_answered_in_order,
        ),
        trial("a_dump_holds_all_that_there_is", a_dump_holds_all_that_there_is),
        trial("an_overrun_is_told_and_a_dump_mends_it", an_overrun_is_told_and_a_dump_mends_it),
    ];
    let others = replaced::TRIALS
        .iter()
        .chain(vanished::TRIALS)
        .chain(lookups::TRIALS)
        .chain(rules::TRIALS)
        .chain(filters::TRIALS);
    trials.extend(others.map(|(name, run)| trial(name, *run)));
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

/// With `LONE64_ROUTES=20000` and `--nocapture`, this is the measure of what an exit has to remove.
fn thousands_of_requests_are_each_answered_in_order() -> Result<(), Failed> {
    let count = std::env::var("LONE64_ROUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000);
    in_namespace(async |mut lab| {
        let a = lab.veth_up().await?;
        let clock = std::time::Instant::now();
        let adding: Vec<_> = (1..=count).map(|n| lab.requests.add_route(&numbered(n, a))).collect();
        for added in adding {
            added.await?;
        }
        let added = clock.elapsed();
        // Some are gone already: a refusal in the middle is told of the right one.
        for number in (1..=count).step_by(1_000) {
            lab.requests.remove_route(&numbered(number, a)).await?;
        }
        let clock = std::time::Instant::now();
        let removing: Vec<_> = (1..=count).map(|n| lab.requests.remove_route(&numbered(n, a))).collect();
        for (number, removed) in (1..=count).zip(removing) {
            let result = removed.await;
            match number % 1_000 {
                1 => assert!(matches!(result, Err(RouteError::Missing)), "{number}: {result:?}"),
                _ => result?,
            }
        }
        eprintln!("{count} routes: added in {added:.1?}, removed in {:.1?}", clock.elapsed());
        assert!(lab.routes().await?.iter().all(|route| route.protocol != 64));
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
