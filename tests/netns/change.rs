//! rules.md "Change": interfaces that flap, go, come back and change, and routes that others remove.
//!
//! One daemon each lives through everything that happens to one interface. Whatever happens, the
//! range on the other interface is answered all the while.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::frame::{ADVERTISEMENT, Mac, mac, sender, target_of};
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, ROUTER_MAC, UPSTREAM_GLOBAL, UPSTREAM_MAC, d};
use crate::link::Link;
use crate::namespace::{Namespace, eventually, in_time};
use crate::solicitation::{Asker, Solicitation};

crate::cases![
    lives_through_whatever_happens_to_its_upstream,
    lives_through_whatever_happens_to_a_downstream,
    puts_its_routes_back_whoever_removes_them,
    computes_next_to_nothing_while_its_interfaces_are_missing,
];

/// Asks again and again until the target is answered for, from this MAC.
fn answered_again(link: &mut Link, what: &str, target: Ipv6Addr, from: Mac) {
    let question = Solicitation::multicast(ROUTER, target);
    eventually(&format!("{target} is answered for again: {what}"), PATIENCE, || {
        link.send(&question);
        let deadline = Instant::now() + Duration::from_millis(20);
        while let Some(frame) = link.receive(deadline) {
            if target_of(&frame, ADVERTISEMENT) == Some(target) && sender(&frame) == from {
                return Some(());
            }
        }
        None
    });
    // And what is late from before is out of the way.
    link.settle();
}

type Held = (String, usize, String, usize);

/// What the host has of ours: routes, packet sockets, groups; and the descriptors of the daemon.
fn held(lab: &Lab, daemon: &Daemon) -> Held {
    let (sockets, groups) = lab.host.run(|| {
        let read =
            |file: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).expect("/proc");
        // The index of an interface that was made again is another.
        let groups: Vec<_> = read("igmp6")
            .lines()
            .map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "))
            .collect();
        (read("packet").lines().count(), groups)
    });
    let mut groups = groups;
    groups.sort();
    (lab.host.show("route show table all proto 64"), sockets, groups.join("\n"), daemon.descriptors())
}

/// The same, once both guests are answered for, and the socket of all interfaces is closed, which takes its time: nobody
/// is expected on other interfaces than the three that there are.
fn held_for_both(lab: &Lab, daemon: &Daemon, link: &mut Link) -> Held {
    for guest in [PLAIN, GUEST] {
        link.answered(&Solicitation::multicast(ROUTER, guest));
    }
    eventually("two sockets for each interface", PATIENCE, || {
        let all = held(lab, daemon);
        // The first line is a heading.
        (all.1 == 1 + 2 * 3).then_some(all)
    })
}

/// Waits until the host has of ours what it had before.
fn holds(lab: &Lab, daemon: &Daemon, before: &Held) {
    let is_back = || (held(lab, daemon) == *before).then_some(());
    if in_time("it holds what it held", PATIENCE, is_back).is_none() {
        assert_eq!(held(lab, daemon), *before, "addresses: {}", lab.host.show("addr"));
    }
}

/// The macvlan that is the upstream of [`Lab::macvlan`], with everything that it needs.
fn make_upstream(lab: &Lab) {
    let parent = lab.parent.as_ref().expect("a lab with macvlans");
    parent.ip(&format!(
        "link add link p0 name up0 address 02:00:00:00:00:02 netns {} type macvlan mode bridge",
        lab.host.path()
    ));
    lab.host.ip("link set up0 up");
    give_addresses(lab);
}

fn give_addresses(lab: &Lab) {
    lab.host.ip(&addresses());
}

/// What the upstream has, in the words of ip(8).
fn addresses() -> String {
    format!(
        "addr add fe80::2/64 dev up0 nodad
         addr add {UPSTREAM_GLOBAL}/64 dev up0 nodad
         route replace default via fe80::1 dev up0"
    )
}

fn lives_through_whatever_happens_to_its_upstream() {
    let lab = Lab::macvlan();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").range(D, "gv1", ""));
    let mut link = Link::open(&lab);
    let other = mac(0x22);
    let before = held_for_both(&lab, &daemon, &mut link);
    let mut again = |what: &str, from: Mac| {
        answered_again(&mut link, what, PLAIN, from);
        answered_again(&mut link, what, GUEST, from);
    };

    lab.host.ip("link set up0 down");
    lab.host.ip("link set up0 up");
    give_addresses(&lab);
    again("down and up", UPSTREAM_MAC);

    lab.parent.as_ref().expect("macvlans").ip("link set p0 down\nlink set p0 up");
    again("carrier lost and back", UPSTREAM_MAC);

    lab.host.ip("link del up0");
    make_upstream(&lab);
    again("deleted and made anew", UPSTREAM_MAC);

    lab.host.rename("up0", "away0", "");
    lab.host.rename("away0", "up0", &addresses());
    again("renamed away and back", UPSTREAM_MAC);

    lab.host.ip("link set up0 address 02:00:00:00:00:22");
    again("another MAC", other);
    lab.host.ip("link set up0 address 02:00:00:00:00:02");
    again("the old MAC", UPSTREAM_MAC);

    lab.host.ip("addr flush dev up0");
    give_addresses(&lab);
    again("addresses flushed and given", UPSTREAM_MAC);

    lab.host.ip("route del default");
    again("without a default route", UPSTREAM_MAC);
    lab.host.ip("route add default via fe80::1 dev up0");

    let elsewhere = Namespace::new();
    lab.host.ip(&format!("link set up0 netns {}", elsewhere.path()));
    elsewhere.ip(&format!("link set up0 netns {}", lab.host.path()));
    lab.host.ip("link set up0 up");
    give_addresses(&lab);
    again("in another namespace and back", UPSTREAM_MAC);

    holds(&lab, &daemon, &before);
    daemon.stop();
}

/// The veth to the plain guest, with everything that both ends need.
fn make_downstream(lab: &Lab) {
    lab.host.ip(&format!(
        "link add gv1 address 02:00:00:00:00:b1 type veth peer name eth0 address 02:00:00:00:00:06 netns {}",
        lab.plain.path()
    ));
    lab.plain.ip("link set eth0 up");
    lab.host.ip("link set gv1 up");
    lab.host.ip(&format!("addr add fe80::b1/64 dev gv1 nodad\naddr add {}/128 dev gv1 nodad", d(1)));
    lab.plain.ip(&format!(
        "addr add fe80::6/64 dev eth0 nodad
         addr add {PLAIN}/128 dev eth0 nodad
         route add default via fe80::b1 dev eth0"
    ));
}

fn lives_through_whatever_happens_to_a_downstream() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").range(D, "gv1", ""));
    let mut link = Link::open(&lab);
    let before = held_for_both(&lab, &daemon, &mut link);
    let mut again = |what: &str| {
        answered_again(&mut link, what, PLAIN, UPSTREAM_MAC);
        // And the packet finds its way.
        lab.router.ping(&PLAIN.to_string());
        link.settle();
    };
    let mut undisturbed = Link::open(&lab);
    // Each time another station asks. One that asks again although it has its answer would get it from other sources.
    let mut stations = (0x100..).map(|last| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last));
    let mut others = || {
        let asker = Asker { mac: ROUTER_MAC, address: stations.next().expect("enough of them") };
        undisturbed.advertisements(&Solicitation::multicast(asker, d(0x999)));
        undisturbed.answered(&Solicitation::multicast(asker, GUEST));
    };
    let addresses = format!("addr add fe80::b1/64 dev gv1 nodad\naddr add {}/128 dev gv1 nodad", d(1));

    lab.host.ip("link set gv1 down");
    others();
    lab.host.ip("link set gv1 up");
    lab.host.ip(&addresses);
    again("down and up");

    lab.plain.ip("link set eth0 down");
    others();
    lab.plain.ip("link set eth0 up");
    lab.plain.ip(&format!(
        "addr add fe80::6/64 dev eth0 nodad
         addr add {PLAIN}/128 dev eth0 nodad
         route add default via fe80::b1 dev eth0"
    ));
    again("carrier lost and back");

    lab.host.ip("link del gv1");
    others();
    make_downstream(&lab);
    again("deleted and made anew");

    lab.host.rename("gv1", "away1", "");
    others();
    lab.host.rename("away1", "gv1", &addresses);
    again("renamed away and back");

    lab.host.ip("link set gv1 address 02:00:00:00:00:c1");
    lab.plain.ip("neigh flush dev eth0");
    again("another MAC");
    lab.host.ip("link set gv1 address 02:00:00:00:00:b1");
    lab.plain.ip("neigh flush dev eth0");
    again("the old MAC");

    lab.host.ip("addr flush dev gv1");
    others();
    lab.host.ip(&addresses);
    again("addresses flushed and given");

    let elsewhere = Namespace::new();
    lab.host.ip(&format!("link set gv1 netns {}", elsewhere.path()));
    others();
    elsewhere.ip(&format!("link set gv1 netns {}", lab.host.path()));
    lab.host.ip("link set gv1 up");
    lab.host.ip(&addresses);
    again("in another namespace and back");

    lab.host.ip("link add br9 type bridge forward_delay 0\nlink set br9 up\nlink set gv1 master br9");
    others();
    lab.host.ip("link set gv1 nomaster\nlink del br9");
    again("a port of a bridge for a while");

    holds(&lab, &daemon, &before);
    daemon.stop();
}

fn puts_its_routes_back_whoever_removes_them() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").range(D, "gv1", ""));
    let ours = || lab.host.show("-o route show table all proto 64");
    let before = ours();
    assert_eq!(before.lines().count(), 3, "{before}");
    for (who, remove) in [
        ("somebody who cleans up", "route flush proto 64".to_owned()),
        // As systemd-networkd does with routes that it does not know, when it restarts.
        ("a network manager", format!("route del {D} dev gv1 proto 64 metric 1024")),
        ("one who minds the backstop", format!("route del unreachable {C} dev lo proto 64")),
    ] {
        lab.host.ip(&remove);
        eventually(&format!("what {who} removed is back"), PATIENCE, || (ours() == before).then_some(()));
    }
    lab.router.ping(&PLAIN.to_string());
    daemon.stop();
    assert_eq!(ours(), "");
}

fn computes_next_to_nothing_while_its_interfaces_are_missing() {
    let lab = Lab::macvlan();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").range(D, "gv1", ""));
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, PLAIN));
    lab.host.ip("link del up0\nlink del gv1\nlink set br0 down");
    let (cpu, clock) = (daemon.cpu(), Instant::now());
    // Somebody else's pings take as long as they take; the host's clock runs meanwhile.
    lab.router.output("ping", "-c 4 -i 1 ::1");
    let (cpu, lived) = (daemon.cpu() - cpu, clock.elapsed());
    eprintln!("without interfaces: {cpu:.1?} of CPU in {lived:.1?}");
    // A loop that never rests takes all that it gets, and gets a good part also where others want it too.
    assert!(cpu <= lived / 10 + Duration::from_millis(100), "{cpu:?} in {lived:?}");
    lab.host.ip("link set br0 up");
    make_upstream(&lab);
    make_downstream(&lab);
    answered_again(&mut Link::open(&lab), "both are back", PLAIN, UPSTREAM_MAC);
}
