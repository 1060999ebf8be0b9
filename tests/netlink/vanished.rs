//! What goes when a link goes down, loses its carrier, is removed or moves, and what the kernel says of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;

use libtest_mimic::Failed;
use lone64::engine::facts::{
    Address, AddressState, Fact, IfIndex, KernelRoute, LinkState, NextHop, RouteKind,
};
use lone64::kernel::netns::Namespace;

use crate::lab::{LOOPBACK, Lab, in_namespace, index, ip, name, net};

type Trials = &'static [(&'static str, fn() -> Result<(), Failed>)];

pub(crate) const TRIALS: Trials = &[
    ("a_link_that_is_switched_off_takes_its_routes_along_with_a_word", switched_off_with_a_word),
    ("a_link_that_is_switched_off_may_take_its_routes_along_without_a_word", switched_off_without_a_word),
    ("a_link_without_carrier_keeps_its_routes", a_link_without_carrier_keeps_its_routes),
    ("unreachable_routes_go_with_lo", unreachable_routes_go_with_lo),
    ("ipv6_switched_off_takes_routes_along_and_leaves_the_link", ipv6_switched_off),
    ("a_removed_link_takes_next_hops_along", a_removed_link_takes_next_hops_along),
    ("a_link_that_moves_away_is_gone_and_may_come_back_with_its_number", a_link_that_moves_away_is_gone),
    ("a_number_used_anew_is_told_as_gone_and_new", a_number_used_anew_is_told_as_gone_and_new),
    ("a_renamed_link_is_told_with_its_new_name", a_renamed_link_is_told_with_its_new_name),
    ("an_address_that_changes_is_told_as_it_is_then", an_address_that_changes_is_told_as_it_is_then),
    ("neighbors_are_told_as_they_are_then", neighbors_are_told_as_they_are_then),
    ("neighbors_go_with_the_carrier_and_permanent_ones_with_the_link", neighbors_go_with_the_carrier),
    ("a_station_that_moves_is_no_station_gone", a_station_that_moves_is_no_station_gone),
];

fn switched_off_with_a_word() -> Result<(), Failed> {
    trial(async |mut lab, v1| {
        let before = lab.dumped().await?;
        let told = lab.ip("link set v1 down")?;
        assert!(
            matches!(&told[0], Fact::Link(link) if link.state == LinkState::Down),
            "the link first: {told:?}"
        );
        let after = lab.dumped().await?;
        assert_eq!(gone(&told), before.difference(&after).cloned().collect());
        assert_eq!(left_on(&after, v1), [via(v1, "2001:db8:a::2")], "a next hop stays, beside one elsewhere");
        assert!(!told.contains(&Fact::RouteGone(via(v1, "2001:db8:a::2"))));
        // It comes back alone, and without a word.
        let told = lab.ip("link set v1 up")?;
        assert!(!told.iter().any(|fact| matches!(fact, Fact::Route(_) | Fact::RouteReplaced(_))), "{told:?}");
        assert_eq!(lab.dumped().await?, after);
        Ok(())
    })
}

fn switched_off_without_a_word() -> Result<(), Failed> {
    trial(async |mut lab, v1| {
        set("net/ipv6/route/skip_notify_on_dev_down", "1")?;
        let before = lab.dumped().await?;
        let told = lab.ip("link set v1 down")?;
        assert_eq!(gone(&told), BTreeSet::new(), "of no route");
        assert!(
            told.iter().any(|fact| matches!(fact, Fact::AddressGone { .. })),
            "of addresses all the same"
        );
        let after = lab.dumped().await?;
        // What whoever hears of a link that is down has to forget by himself: everything on it, but for a
        // next hop beside one on another link.
        let key = |route: &KernelRoute| (route.destination, route.table, route.metric);
        let stays = |route: &KernelRoute| {
            let has_sibling = |other: &KernelRoute| {
                key(other) == key(route) && other.next_hop != NextHop::OnLink && other.link() != Some(v1)
            };
            route.link() != Some(v1) || (route.next_hop != NextHop::OnLink && before.iter().any(has_sibling))
        };
        assert_eq!(after, before.iter().filter(|route| stays(route)).cloned().collect());
        let told = lab.ip("link set v1 up\nlink del v1")?;
        assert_eq!(gone(&told), BTreeSet::new());
        assert_eq!(left_on(&lab.dumped().await?, v1), [], "the next hop too, once the link is removed");
        Ok(())
    })
}

fn a_link_without_carrier_keeps_its_routes() -> Result<(), Failed> {
    trial(async |mut lab, v1| {
        let before = lab.dumped().await?;
        lab.requests.set_down(index("w1")).await?;
        let told = lab
            .until(|fact| matches!(fact, Fact::Link(l) if l.index == v1 && l.state == LinkState::NoCarrier))
            .await;
        assert_eq!(gone(&told), BTreeSet::new());
        let has_lost_one = |fact: &Fact| matches!(fact, Fact::AddressGone { link, .. } if *link == v1);
        assert!(!told.iter().any(has_lost_one), "{told:?}");
        assert_eq!(lab.dumped().await?, before);
        Ok(())
    })
}

fn unreachable_routes_go_with_lo() -> Result<(), Failed> {
    for silent in ["0", "1"] {
        trial(async |mut lab, _| {
            set("net/ipv6/route/skip_notify_on_dev_down", silent)?;
            let backstop = KernelRoute { kind: RouteKind::Unreachable, ..plain("2001:db8:7::/64") };
            assert!(lab.dumped().await?.contains(&backstop));
            let told = lab.ip("link set lo down")?;
            assert_eq!(gone(&told).contains(&backstop), silent == "0");
            assert!(!lab.dumped().await?.contains(&backstop));
            Ok(())
        })?;
    }
    Ok(())
}

fn ipv6_switched_off() -> Result<(), Failed> {
    trial(async |mut lab, v1| {
        set("net/ipv6/route/skip_notify_on_dev_down", "1")?;
        set("net/ipv6/conf/v1/disable_ipv6", "1")?;
        let told = lab.heard();
        let is_of_an_address = |fact: &Fact| matches!(fact, Fact::AddressGone { link, .. } if *link == v1);
        assert!(!told.is_empty() && told.iter().all(is_of_an_address), "none of the link: {told:?}");
        assert_eq!(left_on(&lab.dumped().await?, v1), [via(v1, "2001:db8:a::2")]);
        Ok(())
    })
}

fn a_removed_link_takes_next_hops_along() -> Result<(), Failed> {
    trial(async |mut lab, v1| {
        let before = lab.dumped().await?;
        let told = lab.ip("link del v1")?;
        let after = lab.dumped().await?;
        assert_eq!(gone(&told), before.difference(&after).cloned().collect());
        assert!(gone(&told).contains(&via(v1, "2001:db8:a::2")));
        let place = |wanted: &dyn Fn(&Fact) -> bool| told.iter().rposition(wanted);
        let last = place(&|fact| *fact == Fact::LinkGone(v1));
        assert!(last > place(&|fact| matches!(fact, Fact::RouteGone(_))), "the link last: {told:?}");
        Ok(())
    })
}

fn a_link_that_moves_away_is_gone() -> Result<(), Failed> {
    trial(async |mut lab, v1| {
        let before = lab.dumped().await?;
        let (home, other) = (fs::File::open("/proc/thread-self/ns/net")?, Namespace::create()?);
        let there = other.run(|| fs::File::open("/proc/thread-self/ns/net"))?;
        lab.requests.move_to(v1, there.as_fd()).await?;
        let told = lab.heard();
        assert!(told.contains(&Fact::LinkGone(v1)), "{told:?}");
        let after = lab.dumped().await?;
        assert_eq!(gone(&told), before.difference(&after).cloned().collect());
        other.run(|| -> Result<(), Failed> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let requests = lone64::kernel::netlink::Requests::open()?;
                Ok(requests.move_to(v1, home.as_fd()).await?)
            })
        })?;
        let link = lab.link(|link| link.index == v1).await;
        assert_eq!((link.name, link.state), (name("v1"), LinkState::Down));
        Ok(())
    })
}

fn a_number_used_anew_is_told_as_gone_and_new() -> Result<(), Failed> {
    trial(async |mut lab, v1| {
        let told = lab.ip(&format!(
            "link del v1\nlink add name z1 index {v1} type veth peer name z2\nlink set z1 up"
        ))?;
        let about: Vec<_> = told
            .iter()
            .filter_map(|fact| match fact {
                Fact::LinkGone(index) if *index == v1 => Some(None),
                Fact::Link(link) if link.index == v1 => Some(Some(link.name.to_string())),
                _ => None,
            })
            .collect();
        let z1 = || Some("z1".to_owned());
        assert_eq!(about, [Some("v1".to_owned()), None, z1(), z1()], "{told:?}");
        assert_eq!(left_on(&lab.dumped().await?, v1), []);
        Ok(())
    })
}

fn a_renamed_link_is_told_with_its_new_name() -> Result<(), Failed> {
    trial(async |mut lab, v1| {
        // Before Linux 6.2 one that is up gets no other name.
        lab.ip("link set v1 down")?;
        let told = lab.ip("link set v1 name x1")?;
        assert!(
            matches!(&told[..], [Fact::Link(link)] if link.index == v1 && link.name == name("x1")),
            "{told:?}"
        );
        Ok(())
    })
}

fn an_address_that_changes_is_told_as_it_is_then() -> Result<(), Failed> {
    trial(async |mut lab, v1| {
        let address = Address {
            link: v1,
            address: ip("2001:db8:a::1"),
            prefix_len: 64,
            state: AddressState::Preferred,
            protocol: 0,
        };
        let deprecated = Address { state: AddressState::Deprecated, ..address };
        for (command, end) in [
            ("addr change 2001:db8:a::1/64 dev v1 valid_lft 1000 preferred_lft 0", deprecated),
            ("addr replace 2001:db8:a::1/64 dev v1", address),
            // Its length cannot be changed: the kernel changes the address that is there.
            ("addr replace 2001:db8:a::1/80 dev v1", address),
            ("addr change 2001:db8:a::1/64 dev v1 noprefixroute", address),
            ("addr change 2001:db8:a::1 peer 2001:db8:a::9/64 dev v1", address),
        ] {
            let told = lab.ip(command)?;
            assert!(told.contains(&Fact::Address(end)), "{command}: {told:?}");
            assert!(!told.iter().any(|fact| matches!(fact, Fact::AddressGone { .. })), "{command}: {told:?}");
            assert!(lab.monitor.dump().await?.contains(&Fact::Address(end)), "{command}");
        }
        let told = lab.ip("addr del 2001:db8:a::1/64 dev v1")?;
        assert!(told.contains(&Fact::AddressGone { link: v1, address: address.address }), "{told:?}");
        Ok(())
    })
}

fn neighbors_are_told_as_they_are_then() -> Result<(), Failed> {
    trial(async |mut lab, v1| {
        let neighbor = "2001:db8:a::77 dev v1";
        for command in [
            format!("neigh add {neighbor} lladdr 02:00:00:00:00:03 nud reachable extern_learn"),
            format!("neigh change {neighbor} lladdr 02:00:00:00:00:13 nud stale"),
            format!("neigh replace {neighbor} lladdr 02:00:00:00:00:13 nud reachable router"),
            format!("neigh change {neighbor} lladdr 02:00:00:00:00:13 nud noarp"),
            format!("neigh change {neighbor} lladdr 02:00:00:00:00:14 nud permanent"),
            format!("neigh replace {neighbor} lladdr 02:00:00:00:00:15 nud permanent proto 64"),
        ] {
            let told = lab.ip(&command)?;
            let about = |fact: &Fact| match fact {
                Fact::Neighbor(n) | Fact::Marked(n, _) => n.address == ip("2001:db8:a::77"),
                _ => false,
            };
            let last = told.iter().rfind(|fact| about(fact)).ok_or(format!("{command}: {told:?}"))?;
            let dump = lab.monitor.dump().await?;
            assert_eq!(dump.iter().find(|fact| about(fact)), Some(last), "{command}");
        }
        let gone = Fact::NeighborGone { link: v1, address: ip("2001:db8:a::77") };
        assert_eq!(lab.ip(&format!("neigh del {neighbor}"))?.last(), Some(&gone));
        // The kernel keeps silent about an entry that is added without knowledge, and its dump leaves it out.
        assert_eq!(lab.ip(&format!("neigh add {neighbor} nud none"))?, []);
        Ok(())
    })
}

fn neighbors_go_with_the_carrier() -> Result<(), Failed> {
    trial(async |mut lab, v1| {
        lab.ip("neigh add 2001:db8:a::77 dev v1 lladdr 02:00:00:00:00:03 nud stale extern_learn
            neigh add 2001:db8:a::78 dev v1 lladdr 02:00:00:00:00:04 nud permanent")?;
        let gone = |text| Fact::NeighborGone { link: v1, address: ip(text) };
        lab.requests.set_down(index("w1")).await?;
        let told = lab
            .until(|fact| matches!(fact, Fact::Link(l) if l.index == v1 && l.state == LinkState::NoCarrier))
            .await;
        assert!(told.contains(&gone("2001:db8:a::77")), "before the link: {told:?}");
        assert!(!told.contains(&gone("2001:db8:a::78")), "{told:?}");
        let told = lab.ip("link set v1 down")?;
        assert!(told.contains(&gone("2001:db8:a::78")), "{told:?}");
        Ok(())
    })
}

/// A station that is heard behind another port: the kernel says RTM_NEWNEIGH with that port. One that is
/// known nowhere any more: RTM_DELNEIGH.
fn a_station_that_moves_is_no_station_gone() -> Result<(), Failed> {
    trial(async |mut lab, _| {
        lab.ip(
            "link add name br0 type bridge\nlink set br0 up\nlink set v1 master br0\nlink set v2 master br0",
        )?;
        let (bridge, mac) = (index("br0"), lone64::wire::Mac([2, 0, 0, 0, 0, 0x55]));
        let fdb = |verb: &str, rest: &str| -> Result<(), Failed> {
            let mut command = std::process::Command::new("bridge");
            let done = command.args(["fdb", verb]).arg("02:00:00:00:00:55").args(rest.split(' ')).status()?;
            if done.success() { Ok(()) } else { Err(format!("bridge fdb {verb}: {done}").into()) }
        };
        lab.heard();
        fdb("add", "dev v1 master dynamic")?;
        fdb("replace", "dev v2 master dynamic")?;
        let told = lab.heard();
        assert!(!told.iter().any(|fact| matches!(fact, Fact::StationGone { .. })), "{told:?}");
        fdb("del", "dev v2 master")?;
        assert_eq!(lab.heard(), [Fact::StationGone { bridge, mac }]);
        Ok(())
    })
}

/// The routes that are said to be gone.
fn gone(told: &[Fact]) -> BTreeSet<KernelRoute> {
    let gone = |fact: &Fact| match fact {
        Fact::RouteGone(route) => Some(route.clone()),
        _ => None,
    };
    told.iter().filter_map(gone).collect()
}

fn left_on(routes: &BTreeSet<KernelRoute>, link: IfIndex) -> Vec<KernelRoute> {
    routes.iter().filter(|route| route.link() == Some(link)).cloned().collect()
}

/// Routes of every kind on v1, and one with a next hop on v2 too.
fn trial<F>(test: impl FnOnce(Lab, IfIndex) -> F + Send) -> Result<(), Failed>
where
    F: Future<Output = Result<(), Failed>>,
{
    in_namespace(async |mut lab| {
        lab.two_links().await?;
        lab.ip("route add 2001:db8:1::/64 dev v1 proto 64
            route add 2001:db8:2::/64 via 2001:db8:a::2
            route add 2001:db8:3::/64 nexthop via 2001:db8:a::2 nexthop via 2001:db8:c::2
            route add 2001:db8:4::/64 nexthop via 2001:db8:a::3 nexthop via 2001:db8:a::4
            route add local 2001:db8:5::/64 dev v1 table local
            route add local 2001:db8:6::/64 dev lo
            route add unreachable 2001:db8:7::/64")?;
        test(lab, index("v1")).await
    })
}

/// A next hop of the route that has one on each link.
fn via(link: IfIndex, router: &str) -> KernelRoute {
    let (kind, next_hop) = (RouteKind::Unicast(link), NextHop::Via(ip(router)));
    KernelRoute { kind, next_hop, ..plain("2001:db8:3::/64") }
}

fn plain(destination: &str) -> KernelRoute {
    let kind = RouteKind::Unicast(LOOPBACK);
    KernelRoute {
        destination: net(destination),
        kind,
        next_hop: NextHop::OnLink,
        table: 254,
        protocol: 3,
        metric: 1024,
        source: None,
    }
}

fn set(sysctl: &str, value: &str) -> Result<(), Failed> {
    Ok(fs::write(format!("/proc/sys/{sysctl}"), value)?)
}
