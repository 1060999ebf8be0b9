//! A range that is all of the upstream's own link: its guests are reached both ways, and the router and the neighbors
//! on the link are as before.

use std::net::Ipv6Addr;
use std::process::{Command, Stdio};

use crate::client::{lone64, status};
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::Lab;
use crate::namespace::{Namespace, eventually};
use crate::pings::Pings;

crate::cases![
    a_suffix_serves_guests_anywhere_in_the_64_and_leaves_the_link_alone,
    a_prefix_serves_them_as_well,
    an_upstream_with_a_single_address_has_the_64_on_the_bridge,
    one_route_over_the_link_is_told_and_not_made,
    a_guest_with_the_address_of_a_neighbor_takes_nothing_away,
    a_part_with_the_router_in_it_takes_nothing_away,
    another_prefix_takes_the_routes_along,
    check_says_what_it_will_do,
];

const WHOLE: &str = "2001:db8:1:2::/64";
const SUFFIX: &str = "[[range]]\nsuffix = \"::/64\"\ninterface = \"br0\"\n";
/// The provider's router.
const ROUTER: &str = "2001:db8:1:2::1";
/// Somewhere behind the router.
const ELSEWHERE: &str = "2001:db8:ffff::1";
/// Another customer on the link.
const NEIGHBOR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 9);
/// The guest.
const ANYWHERE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xa00, 0xff, 0xfe00, 5);

/// The lab with a neighbor, and with nothing of the /64 behind the host but a guest with a /128.
fn lab() -> (Lab, Namespace) {
    let lab = Lab::macvlan();
    let neighbor = lab.rival(NEIGHBOR);
    lab.host.ip("addr del 2001:db8:1:2:c::1/112 dev br0");
    lab.guest.ip(&format!(
        "addr flush dev eth0 scope global
         addr add {ANYWHERE}/128 dev eth0 nodad
         route replace default via fe80::b0 dev eth0"
    ));
    (lab, neighbor)
}

fn whole(tables: &str) -> Settings {
    Settings::default().without_sentinels().rest(tables)
}

fn prefix(keys: &str) -> Settings {
    Settings::default().without_sentinels().range(WHOLE, "br0", keys)
}

fn routes(lab: &Lab) -> String {
    lab.host.show("-o route show table all proto 64")
}

/// Packets arrive, the very first one too. A busy machine may take its time over that one.
fn is_reached(from: &Namespace, arguments: &str) {
    from.ping(arguments);
    Pings::start(from, 5, arguments).lose_none();
}

/// Everybody reaches everybody.
fn reach(lab: &Lab, neighbor: &Namespace) {
    let guest = ANYWHERE.to_string();
    is_reached(&lab.router, &guest);
    let own = routes(lab);
    assert!(own.lines().count() == 1 && own.contains(&format!("{guest} dev br0")), "{own}");
    is_reached(&lab.guest, ROUTER);
    is_reached(neighbor, &guest);
    is_reached(&lab.guest, &NEIGHBOR.to_string());
    // What is no guest's.
    for from in [&lab.host, &lab.router] {
        is_reached(from, &NEIGHBOR.to_string());
    }
    is_reached(&lab.host, ROUTER);
    is_reached(&lab.host, &guest);
}

fn problems(daemon: &Daemon) -> String {
    status(daemon)["problems"].to_string()
}

fn serves(settings: Settings) {
    let (lab, neighbor) = lab();
    let daemon = Daemon::start(&lab, settings);
    assert_eq!(routes(&lab), "");
    reach(&lab, &neighbor);
    assert_eq!(problems(&daemon), "[]");
    let explained = lone64(&daemon.socket(), &format!("explain {ANYWHERE}"));
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains("packets for it leave by br0"), "{explained}");
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
    assert_eq!(routes(&lab), "");
}

fn a_suffix_serves_guests_anywhere_in_the_64_and_leaves_the_link_alone() {
    serves(whole(SUFFIX));
}

fn a_prefix_serves_them_as_well() {
    serves(prefix(""));
}

fn an_upstream_with_a_single_address_has_the_64_on_the_bridge() {
    let (lab, _neighbor) = lab();
    lab.host.ip("addr flush dev up0 scope global
         addr add 2001:db8:1:2::10/128 dev up0 nodad
         addr add 2001:db8:1:2::2/64 dev br0 nodad
         route replace default via fe80::1 dev up0");
    // The router has another address than one of that /64, which is all behind the host.
    lab.router.ip(&format!("addr add {ELSEWHERE}/128 dev lo"));
    let daemon = Daemon::start(&lab, whole(SUFFIX));
    is_reached(&lab.router, &format!("-I {ELSEWHERE} {ANYWHERE}"));
    is_reached(&lab.guest, ELSEWHERE);
    assert!(!routes(&lab).contains("unreachable") && !routes(&lab).contains(WHOLE), "{}", routes(&lab));
    assert_eq!(problems(&daemon), "[]");
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn one_route_over_the_link_is_told_and_not_made() {
    let (lab, neighbor) = lab();
    let daemon = Daemon::start(&lab, prefix("routes = \"range\""));
    assert_eq!(routes(&lab), "");
    let told = problems(&daemon);
    assert!(told.contains(WHOLE) && told.contains("write routes = \\\"guests\\\""), "{told}");
    reach(&lab, &neighbor);
    daemon.stop();
}

fn a_guest_with_the_address_of_a_neighbor_takes_nothing_away() {
    let (lab, neighbor) = lab();
    lab.guest.ip(&format!("addr add {NEIGHBOR}/128 dev eth0 nodad"));
    let daemon = Daemon::start(&lab, whole(SUFFIX));
    // The guest is heard: it is found by the router's question, and asks by itself.
    Pings::start(&lab.router, 20, &NEIGHBOR.to_string()).lose_none();
    lab.guest.ping(&format!("-c 1 -I {ANYWHERE} {ROUTER}"));
    let from_neighbors = format!("-c 1 -W 1 -I {NEIGHBOR} fe80::b0%eth0");
    let conflict = || {
        // Its question for the host's address is a sign of life; there may be no reply.
        let mut ping = Command::new("ping");
        lab.guest.spawn(ping.args(from_neighbors.split(' ')).stdout(Stdio::null())).wait().unwrap();
        let told = status(&daemon)["conflicts"].to_string();
        (told.contains(&NEIGHBOR.to_string()) && told.contains("02:00:00:00:00:03")).then_some(())
    };
    eventually("the neighbor has defended its address", PATIENCE, conflict);
    eventually("there is no route to the guest for it", PATIENCE, || {
        (!routes(&lab).contains(&NEIGHBOR.to_string())).then_some(())
    });
    let way = lab.host.show(&format!("route get {NEIGHBOR}"));
    assert!(way.contains("dev up0"), "{way}");
    Pings::start(&lab.host, 10, &NEIGHBOR.to_string()).lose_none();
    is_reached(&neighbor, ROUTER);
    // The same guest's own address is served.
    is_reached(&lab.router, &ANYWHERE.to_string());
    daemon.stop();
}

fn a_part_with_the_router_in_it_takes_nothing_away() {
    let (lab, _neighbor) = lab();
    lab.host.ip(&format!("route replace default via {ROUTER} dev up0"));
    lab.guest.ip("addr add 2001:db8:1:2::77/128 dev eth0 nodad");
    let part = Settings::default().without_sentinels().range("2001:db8:1:2::/80", "br0", "");
    let daemon = Daemon::start(&lab, part);
    is_reached(&lab.router, "2001:db8:1:2::77");
    for station in [ROUTER, &NEIGHBOR.to_string()] {
        is_reached(&lab.host, station);
    }
    let own = routes(&lab);
    assert!(own.lines().count() == 1 && own.contains("2001:db8:1:2::77 dev br0"), "{own}");
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn another_prefix_takes_the_routes_along() {
    let (lab, neighbor) = lab();
    let daemon = Daemon::start(&lab, whole(SUFFIX));
    reach(&lab, &neighbor);
    lab.router.ip("addr add 2001:db8:9:9::1/64 dev rt0 nodad");
    lab.host.ip("addr add 2001:db8:9:9::2/64 dev up0 nodad\naddr del 2001:db8:1:2::2/64 dev up0");
    eventually("the old route goes", PATIENCE, || routes(&lab).is_empty().then_some(()));
    lab.guest.ip("addr add 2001:db8:9:9::77/128 dev eth0 nodad");
    is_reached(&lab.router, "2001:db8:9:9::77");
    assert!(routes(&lab).contains("2001:db8:9:9::77 dev br0"), "{}", routes(&lab));
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn check_says_what_it_will_do() {
    let (lab, _neighbor) = lab();
    let check = |settings: Settings| {
        let file = crate::daemon::directory().join("lone64.toml");
        settings.write(&file);
        lab.host.output(crate::daemon::BINARY, &format!("check --json {}", file.display()))
    };
    for settings in [whole(SUFFIX), prefix("")] {
        let said: serde_json::Value = serde_json::from_str(&check(settings)).unwrap();
        let range = &said["ranges"][0];
        assert_eq!((range["routes"].as_str(), range["backstop"].as_bool()), (Some("guests"), Some(false)));
        assert!(said["notes"].to_string().contains("each live guest gets a /128"), "{said}");
    }
    let refused = check(prefix("routes = \"range\""));
    assert!(refused.contains("write routes = \\\"guests\\\""), "{refused}");
}
