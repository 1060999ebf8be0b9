//! Who is there and who is not: guests that are down, that come up, that leave.

use lone64::wire::Mac;

use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{mac, target_of};
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, ROUTER_AT_LARGE, UPSTREAM_MAC, c};
use crate::link::Link;
use crate::namespace::{Namespace, eventually};
use crate::solicitation::Solicitation;
use crate::veths::{E, e};

crate::cases![
    answers_for_no_guest_that_is_down,
    answers_for_a_guest_at_the_first_question_once_it_is_up,
    forgets_that_a_silent_guest_was_absent,
    answers_for_no_guest_that_is_gone,
    notices_a_guest_that_leaves_its_bridge_without_asking_by_the_clock,
    makes_the_kernel_forget_the_station_that_had_a_new_guest_s_address,
    hears_a_guest_that_checks_its_address_before_its_interface_is_listened_to,
];

fn answers_for_no_guest_that_is_down() {
    let lab = Lab::veth();
    lab.guest.ip("link set eth0 down");
    let _daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").range(D, "gv1", ""));
    let mut link = Link::open(&lab);
    link.unanswered(&Solicitation::multicast(ROUTER, GUEST));
    link.unanswered(&Solicitation::unicast(ROUTER_AT_LARGE, GUEST, UPSTREAM_MAC));
    link.unanswered(&Solicitation::dad(mac(0x61), GUEST));
    link.answered(&Solicitation::multicast(ROUTER, PLAIN));
    link.unanswered(&Solicitation::multicast(ROUTER, GUEST));
}

fn answers_for_a_guest_at_the_first_question_once_it_is_up() {
    let lab = Lab::veth();
    // What is known of absence must not stand in the way of the guest, however long it is kept.
    let settings = Settings::default()
        .range(C, "br0", "answer = \"live\"")
        .rest("[timers]\nretransmit = \"500ms\"\nabsent = \"1h\"\n");
    let _daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    let target = c(0x70);
    let question = Solicitation::multicast(ROUTER, target);
    link.unanswered(&question);
    for _ in 0..3 {
        guest.receive_until("three probes", PATIENCE, |frame| {
            (target_of(frame, 135)? == target).then_some(())
        });
    }
    lab.guest.sysctls(&[("net/ipv6/conf/eth0/accept_dad", "1"), ("net/ipv6/conf/eth0/dad_transmits", "1")]);
    lab.guest.ip(&format!("addr add {target}/112 dev eth0"));
    eventually("the guest's DAD is over", PATIENCE, || {
        let addresses = lab.guest.show("-o addr show dev eth0");
        let line = addresses.lines().find(|line| line.contains(&target.to_string()))?;
        (!line.contains("tentative")).then_some(())
    });
    // Were the guest quicker than the last probe, the first question would have its answer now.
    link.settle();
    link.answered(&question);
}

fn forgets_that_a_silent_guest_was_absent() {
    let lab = Lab::veth();
    let settings = Settings::default()
        .range(C, "br0", "answer = \"live\"")
        .rest("[timers]\nretransmit = \"100ms\"\nabsent = \"500ms\"\n");
    let _daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    let target = c(0x71);
    let question = Solicitation::multicast(ROUTER, target);
    link.unanswered(&question);
    for _ in 0..3 {
        guest.receive_until("three probes", PATIENCE, |frame| {
            (target_of(frame, 135)? == target).then_some(())
        });
    }
    // Without DAD nothing tells of the new address.
    lab.guest.ip(&format!("addr add {target}/112 dev eth0 nodad"));
    eventually("the router's questions are answered", PATIENCE, || {
        (!link.advertisements(&question).is_empty()).then_some(())
    });
    link.answered(&question);
}

fn answers_for_no_guest_that_is_gone() {
    let lab = Lab::veth();
    let settings = Settings::default().range(C, "br0", "answer = \"live\"").rest(
        "[timers]\nreachable = \"100ms\"\nretransmit = \"100ms\"\nabsent = \"60s\"\nkeepalive = \"200ms\"\n",
    );
    let _daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    let question = Solicitation::multicast(ROUTER, GUEST);
    link.answered(&question);
    lab.guest.ip(&format!("addr del {GUEST}/112 dev eth0"));
    eventually("the guest is known to be gone", PATIENCE, || {
        link.advertisements(&question).is_empty().then_some(())
    });
    link.unanswered(&question);
}

fn notices_a_guest_that_leaves_its_bridge_without_asking_by_the_clock() {
    let lab = Lab::veth();
    // The bridge keeps its carrier by another port, so that it does not go down with the guest.
    lab.host.ip(
        "link add gp1 type veth peer name gp2\nlink set gp1 master br0\nlink set gp1 up\nlink set gp2 up",
    );
    let settings = Settings::default()
        .range(C, "br0", "routes = \"guests\"")
        .rest("[timers]\nreachable = \"1h\"\nkeepalive = \"1h\"\nabsent = \"1h\"\n");
    let _daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    let question = Solicitation::multicast(ROUTER, GUEST);
    link.answered(&question);
    let routes = || lab.host.show("route show proto 64");
    assert!(routes().contains(&format!("{GUEST} dev br0")), "{}", routes());
    lab.router.ping(&GUEST.to_string());
    link.settle();
    let entry = || lab.host.show(&format!("neigh show {GUEST} dev br0"));
    assert!(entry().contains("lladdr"), "{}", entry());
    lab.host.ip("link del gp0");
    eventually("its route is gone", PATIENCE, || (!routes().contains(&GUEST.to_string())).then_some(()));
    // A successor without DAD would be sought where the guest was.
    eventually("the kernel has forgotten it", PATIENCE, || (!entry().contains("lladdr")).then_some(()));
    link.unanswered(&question);
}

fn makes_the_kernel_forget_the_station_that_had_a_new_guest_s_address() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    let (former, new) = (Mac(mac(0x72)), Mac(mac(0x73)));
    let entries = [
        (c(0x71), former, "nud permanent"),
        (c(0x72), former, "nud stale extern_learn"),
        (c(0x73), new, "nud stale"),
        (c(0x74), former, "nud reachable"),
    ];
    for (address, station, state) in entries {
        lab.host.ip(&format!("neigh replace {address} lladdr {station} dev br0 {state}"));
    }
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    for (address, ..) in entries {
        guest.send(&Solicitation::dad(new.0, address).frame());
    }
    let holds = |(address, station, _)| {
        lab.host.show(&format!("neigh show {address} dev br0")).contains(&format!("lladdr {station}"))
    };
    eventually("what the kernel learnt is forgotten", PATIENCE, || (!holds(entries[3])).then_some(()));
    for (entry, whose) in entries.into_iter().zip(["an administrator's", "a routing daemon's", "the guest's"])
    {
        assert!(holds(entry), "{whose} is not: {}", lab.host.show("neigh show dev br0"));
    }
}

/// The daemon learns of the interface when the guest has said all that it will ever say.
fn hears_a_guest_that_checks_its_address_before_its_interface_is_listened_to() {
    let lab = Lab::veth();
    let settings = Settings::default().range(E, "late*", "answer = \"never\"\nroutes = \"guests\"");
    let daemon = Daemon::start(&lab, settings);
    let newcomer = Namespace::new();
    newcomer
        .sysctls(&[("net/ipv6/conf/default/accept_dad", "1"), ("net/ipv6/conf/default/dad_transmits", "1")]);
    daemon.freeze();
    lab.host
        .ip(&format!("link add late0 type veth peer name eth0 netns {}\nlink set late0 up", newcomer.path()));
    newcomer.ip(&format!("link set eth0 up\naddr add {}/112 dev eth0", e(9)));
    eventually("the guest's DAD is over", PATIENCE, || {
        let shown = newcomer.show("-o addr show dev eth0 scope global");
        (shown.contains(&e(9).to_string()) && !shown.contains("tentative")).then_some(())
    });
    daemon.thaw();
    eventually("the guest has its route", PATIENCE, || {
        lab.host.show("route show proto 64").contains(&format!("{} dev late0", e(9))).then_some(())
    });
    drop(daemon);
}
