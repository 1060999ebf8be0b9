//! What the kernel says of the way to an address.

use libtest_mimic::Failed;
use lone64::engine::facts::{LinkLayer, NextHop};
use lone64::kernel::netlink::{NetlinkError, WayTo};

use crate::lab::{in_namespace, index, ip};

type Trials = &'static [(&'static str, fn() -> Result<(), Failed>)];

pub(crate) const TRIALS: Trials = &[
    ("tells_the_way_to_each_address", tells_the_way_to_each_address),
    ("tells_one_way_of_several_that_are_alike", tells_one_way_of_several_that_are_alike),
    ("an_interface_that_is_not_there_is_no_way", an_interface_that_is_not_there_is_no_way),
    ("lists_links_with_their_layers", lists_links_with_their_layers),
];

/// The table main.
const MAIN: u32 = 254;

fn tells_the_way_to_each_address() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        lab.two_links().await?;
        lab.ip("route add 2001:db8:b::/64 via 2001:db8:c::2 dev v2
             route add default via 2001:db8:a::9 dev v1
             route add local 2001:db8:d::/64 dev lo
             route add unreachable 2001:db8:e:1::/64
             route add prohibit 2001:db8:e:2::/64
             route add blackhole 2001:db8:e:3::/64")?;
        let on_link = |link: &str| WayTo::Link { link: index(link), next_hop: NextHop::OnLink, table: MAIN };
        let via = |link: &str, router: &str| WayTo::Link {
            link: index(link),
            next_hop: NextHop::Via(ip(router)),
            table: MAIN,
        };
        let cases = [
            ("2001:db8:c::5", on_link("v2")),
            ("2001:db8:a::5", on_link("v1")),
            ("2001:db8:b::5", via("v2", "2001:db8:c::2")),
            ("2001:db8:f::5", via("v1", "2001:db8:a::9")),
            ("2001:db8:a::1", WayTo::Host),
            ("2001:db8:c::1", WayTo::Host),
            ("2001:db8:d::5", WayTo::HostPrefix),
            ("2001:db8:e:1::5", WayTo::Nowhere),
            ("2001:db8:e:2::5", WayTo::Nowhere),
            ("2001:db8:e:3::5", WayTo::Nowhere),
        ];
        // All are under way at once, as often as it takes to fill several datagrams.
        let asked: Vec<_> = cases
            .iter()
            .cycle()
            .take(400)
            .map(|(target, _)| lab.requests.way_to(ip(target), index("v1")))
            .collect();
        for (reply, (target, wanted)) in asked.into_iter().zip(cases.iter().cycle()) {
            assert_eq!(reply.await?, *wanted, "{target}");
        }
        for (target, wanted) in
            [("2001:db8:b::5", false), ("2001:db8:f::5", true), ("2001:db8:e:1::5", false)]
        {
            assert_eq!(lab.requests.is_by_default(ip(target), index("v1")).await?, wanted, "{target}");
        }
        lab.ip("route del default via 2001:db8:a::9 dev v1")?;
        assert_eq!(lab.requests.way_to(ip("2001:db8:f::5"), index("v1")).await?, WayTo::Nowhere);
        Ok(())
    })
}

fn tells_one_way_of_several_that_are_alike() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        lab.two_links().await?;
        lab.ip("route add 2001:db8:b::/64 nexthop via 2001:db8:c::2 dev v2 nexthop via 2001:db8:c::3 dev v2
             nexthop add id 7 via 2001:db8:c::4 dev v2
             route add 2001:db8:d::/64 nhid 7")?;
        let mut routers = Vec::new();
        for target in ["2001:db8:b::5", "2001:db8:d::5"] {
            match lab.requests.way_to(ip(target), index("v1")).await? {
                WayTo::Link { link, next_hop: NextHop::Via(router), table: MAIN } if link == index("v2") => {
                    routers.push(router);
                }
                other => panic!("{target}: {other:?}"),
            }
        }
        assert!([ip("2001:db8:c::2"), ip("2001:db8:c::3")].contains(&routers[0]), "{routers:?}");
        assert_eq!(routers[1], ip("2001:db8:c::4"));
        Ok(())
    })
}

fn an_interface_that_is_not_there_is_no_way() -> Result<(), Failed> {
    in_namespace(async |lab| {
        let gone = lone64::engine::facts::IfIndex(99);
        let asked = lab.requests.way_to(ip("2001:db8::5"), gone).await;
        assert!(matches!(asked, Err(NetlinkError::Refused { .. })), "{asked:?}");
        Ok(())
    })
}

fn lists_links_with_their_layers() -> Result<(), Failed> {
    in_namespace(async |mut lab| {
        lab.ip("link add v1 type veth peer name w1")?;
        let links = lab.requests.links().await?;
        let layer = |name: &str| links.iter().find(|link| link.name.as_str() == name).map(|link| link.layer);
        assert!(matches!(layer("v1"), Some(LinkLayer::Ethernet(_))), "{links:?}");
        assert_eq!(layer("lo"), Some(LinkLayer::Loopback));
        assert_eq!(layer("t1"), None);
        Ok(())
    })
}
