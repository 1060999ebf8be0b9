//! Hostile guests and rivals: what is claimed is not thereby had.

use std::net::Ipv6Addr;

use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, Mac, mac};
use crate::lab::{C, GUEST, ROUTER, d};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::{Asker, Solicitation, option};
use crate::veths::{VETH_GATEWAY, Veths, e, probes};

crate::cases![
    gives_no_guest_the_address_of_another,
    gives_no_guest_the_address_of_the_host_or_its_gateway,
    gives_no_guest_an_address_outside_its_ranges,
    survives_a_guest_that_announces_twenty_thousand_addresses,
    finds_new_guests_while_another_announces_thousands,
    gives_way_to_a_rival_on_the_upstream_until_it_is_silent,
];

/// Every way in which a guest can say that an address is its own.
pub(crate) fn claims(from: Mac, target: Ipv6Addr) -> [Solicitation; 4] {
    let me = Asker { mac: from, address: target };
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let advertisement = |flags: u32| {
        Solicitation::multicast(me, target).with(|q| {
            q.icmp_type = ADVERTISEMENT;
            q.reserved = flags;
            q.options = option(2, &from);
            (q.destination, q.eth_dst) = (all_nodes, [0x33, 0x33, 0, 0, 0, 1]);
        })
    };
    let reply = advertisement(0x6000_0000).with(|q| {
        // As if it had been asked.
        (q.destination, q.eth_dst) = (VETH_GATEWAY, Veths::host_mac(1));
    });
    [
        advertisement(0x2000_0000),
        reply,
        Solicitation::dad(from, target),
        Solicitation::multicast(me, VETH_GATEWAY),
    ]
}

fn gives_no_guest_the_address_of_another() {
    let veths = Veths::new(2);
    veths.give(0, e(5));
    let settings = Veths::settings().range(C, "br0", "").rest("[timers]\nretransmit = \"400ms\"\n");
    let daemon = Daemon::start(&veths.lab, settings);
    let mut link = Link::open(&veths.lab);
    link.answered(&Solicitation::multicast(ROUTER, e(5)));
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    veths.routed(&[(e(5), 0)]);
    let mut victim = Endpoint::open(&veths.guests[0], "eth0");
    let mut thief = Endpoint::open(&veths.guests[1], "eth0");
    for claim in claims(Veths::guest_mac(1), e(5)) {
        victim.heard();
        thief.send(&claim.frame());
        // The one who was there is asked, and replies; the claim is refuted before it is due.
        eventually("the victim is asked", PATIENCE, || {
            link.answered(&Solicitation::multicast(ROUTER, e(5)));
            (!probes(&mut victim, 0, e(5)).is_empty()).then_some(())
        });
        link.settle();
        assert_eq!(veths.routes(), Veths::wanted(&[(e(5), 0)]), "after {claim:?}");
    }
    // A range on another downstream is none of its business at all.
    for claim in claims(Veths::guest_mac(1), GUEST) {
        thief.send(&claim.frame());
    }
    // Whatever was to come of any of it has come when this one, claimed later, is withdrawn again.
    thief.send(&Solicitation::dad(Veths::guest_mac(1), e(9)).frame());
    veths.routed(&[(e(5), 0), (e(9), 1)]);
    veths.routed(&[(e(5), 0)]);
    link.answered(&Solicitation::multicast(ROUTER, e(5)));
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    veths.lab.router.ping(&format!("{}", e(5)));
    let said = daemon.stop();
    assert_eq!(said.matches("the claim failed").count(), 4, "{said}");
    assert!(!said.contains(" moved "), "{said}");
}

fn gives_no_guest_the_address_of_the_host_or_its_gateway() {
    let veths = Veths::new(2);
    let (of_the_host, of_the_gateway) = (e(2), e(1));
    veths.lab.host.ip(&format!(
        "addr add {of_the_host}/128 dev lo
         route add default via {of_the_gateway} dev up0 metric 7"
    ));
    let _daemon = Daemon::start(&veths.lab, Veths::settings());
    let mut link = Link::open(&veths.lab);
    let mut thief = Endpoint::open(&veths.guests[1], "eth0");
    for target in [of_the_host, of_the_gateway] {
        for claim in claims(Veths::guest_mac(1), target) {
            // Unasked, and while it is looked for.
            thief.send(&claim.frame());
            link.send(&Solicitation::multicast(ROUTER, target));
            thief.send(&claim.frame());
        }
    }
    let heard = link.settle();
    let for_gateway =
        heard.iter().filter(|frame| crate::frame::target_of(frame, ADVERTISEMENT) == Some(of_the_gateway));
    assert_eq!(for_gateway.count(), 0, "the gateway answers for itself");
    // The host's own address is answered for, by right.
    link.answered(&Solicitation::multicast(ROUTER, of_the_host));
    link.unanswered(&Solicitation::multicast(ROUTER, of_the_gateway));
    assert!(veths.routes().is_empty(), "no guest has a route, and the router is not shut out by a backstop");
    veths.lab.host.ip(&format!("route del default via {of_the_gateway} dev up0 metric 7"));
    veths.routed(&[]);
    // Its claims are heard, where there is nothing against them.
    thief.send(&Solicitation::dad(Veths::guest_mac(1), e(9)).frame());
    veths.routed(&[(e(9), 1)]);
}

fn gives_no_guest_an_address_outside_its_ranges() {
    let veths = Veths::new(2);
    let settings =
        Settings::default().range(crate::veths::E, "vg*", "exclude = [\"2001:db8:1:2:e::60/124\"]");
    let _daemon = Daemon::start(&veths.lab, settings);
    let mut link = Link::open(&veths.lab);
    let mut thief = Endpoint::open(&veths.guests[1], "eth0");
    let outside = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xe, 0, 1, 0);
    for target in [outside, d(5), e(0x66), ROUTER.address] {
        for claim in claims(Veths::guest_mac(1), target) {
            thief.send(&claim.frame());
            link.unanswered(&Solicitation::multicast(Asker { mac: mac(0x71), ..ROUTER }, target));
        }
    }
    thief.send(&Solicitation::dad(Veths::guest_mac(1), e(9)).frame());
    veths.routed(&[(e(9), 1)]);
}

/// What a guest costs that is nobody.
const SMALL: &str = "[timers]\nretransmit = \"100ms\"\n[limits]\npending = 512\n";

fn survives_a_guest_that_announces_twenty_thousand_addresses() {
    let veths = Veths::new(2);
    veths.give(0, e(5));
    let daemon = Daemon::start(&veths.lab, Veths::settings().rest(SMALL));
    let mut link = Link::open(&veths.lab);
    link.answered(&Solicitation::multicast(ROUTER, e(5)));
    let mut flooder = Endpoint::open(&veths.guests[1], "eth0");
    let before = daemon.memory();
    // Where the machine is busy the first are forgotten again before the last have come.
    let mut routes = 0;
    for round in 0..20_u16 {
        for n in 0..1000 {
            flooder.send(&Solicitation::dad(Veths::guest_mac(1), e(0x1000 + round * 1000 + n)).frame());
        }
        link.answered(&Solicitation::multicast(ROUTER, e(5)));
        routes = routes.max(veths.routes().len());
    }
    assert!(routes > 2, "announcements are heard");
    assert!(routes <= 512 + 2, "{routes} routes");
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown < 16 << 10, "memory grew by {grown} KiB");
    veths.routed(&[(e(5), 0)]);
    link.answered(&Solicitation::multicast(ROUTER, e(5)));
    daemon.stop();
}

fn finds_new_guests_while_another_announces_thousands() {
    let veths = Veths::new(2);
    let settings = Veths::settings().rest("[limits]\npending = 512\nprobes-per-second = 100\n");
    let _daemon = Daemon::start(&veths.lab, settings);
    let mut link = Link::open(&veths.lab);
    let mut flooder = Endpoint::open(&veths.guests[1], "eth0");
    for round in 0..10_u16 {
        for n in 0..1000 {
            flooder.send(&Solicitation::dad(Veths::guest_mac(1), e(0x1000 + round * 1000 + n)).frame());
        }
        // Nobody has heard of this one yet.
        veths.give(0, e(0x10 + round));
        let question = Solicitation::multicast(ROUTER, e(0x10 + round));
        eventually("a new guest is answered for", PATIENCE, || {
            (!link.advertisements(&question).is_empty()).then_some(())
        });
    }
}

fn gives_way_to_a_rival_on_the_upstream_until_it_is_silent() {
    let veths = Veths::new(1);
    veths.give(0, e(5));
    let settings = Veths::settings().rest("[timers]\nreachable = \"1s\"\n");
    let daemon = Daemon::start(&veths.lab, settings);
    let mut link = Link::open(&veths.lab);
    let question = Solicitation::multicast(ROUTER, e(5));
    link.answered(&question);
    let [rival, ..] = claims(mac(3), e(5));
    link.send(&rival);
    link.unanswered(&question);
    // It goes on saying so, and is warned of once.
    for _ in 0..50 {
        link.send(&rival);
    }
    link.unanswered(&Solicitation::dad(mac(0x61), e(5)));
    eventually("it has been silent long enough", PATIENCE, || {
        (!link.advertisements(&question).is_empty()).then_some(())
    });
    link.answered(&question);
    assert_eq!(veths.routes(), Veths::wanted(&[(e(5), 0)]), "the guest is where it was");
    let said = daemon.stop();
    let warnings: Vec<_> = said.lines().filter(|line| line.contains("conflict: ")).collect();
    assert_eq!(warnings.len(), 1, "{said}");
    assert!(warnings[0].contains("02:00:00:00:00:03") && warnings[0].contains("WARN"), "{said}");
}
