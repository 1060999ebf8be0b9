//! Guests behind many downstreams, each with a route of its own: who is known, and how soon.

use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::Mac;
use crate::lab::{ROUTER, ROUTER_AT_LARGE, UPSTREAM_MAC};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::{Asker, Solicitation};
use crate::veths::{VETH_GATEWAY, Veths, e, probes};

crate::cases![
    keeps_a_route_for_each_live_guest_and_no_other,
    loses_no_packet_to_a_guest_that_nobody_knew,
    withdraws_a_guest_whose_veth_is_deleted_or_down,
    serves_a_downstream_that_appears_while_it_runs,
    fills_no_neighbor_table_while_its_range_is_scanned,
    knows_a_guest_after_its_dad_without_asking_it,
    knows_a_guest_that_talks_to_its_gateway_without_asking_it,
    knows_the_kernel_s_neighbors_when_it_starts,
    leaves_an_equal_route_of_somebody_else_in_its_place,
    puts_back_the_route_of_a_guest_that_somebody_removed,
    follows_a_guest_that_moves_to_another_veth,
    follows_a_guest_that_moves_and_only_talks_to_its_gateway,
    finds_a_guest_that_moves_without_a_word,
    answers_at_once_for_the_guests_of_a_killed_predecessor,
];

/// No scheduled probe is sent within the time of a test: what is known was heard, not asked for.
const SLOW: &str = "[timers]\nretransmit = \"1h\"\n";

fn keeps_a_route_for_each_live_guest_and_no_other() {
    let veths = Veths::new(3);
    let daemon = Daemon::start(&veths.lab, Veths::settings());
    assert_eq!(veths.routes(), Veths::wanted(&[]), "only the backstop");
    let mut link = Link::open(&veths.lab);
    let live = [(e(5), 0), (e(6), 1), (e(7), 2)];
    for (address, number) in live {
        veths.give(number, address);
        link.answered(&Solicitation::multicast(ROUTER, address));
    }
    link.unanswered(&Solicitation::multicast(ROUTER, e(8)));
    veths.routed(&live);
    for (address, _) in live {
        veths.lab.router.ping(&address.to_string());
        link.settle();
    }
    daemon.stop();
    assert!(veths.routes().is_empty(), "{:?}", veths.routes());
}

fn loses_no_packet_to_a_guest_that_nobody_knew() {
    let veths = Veths::new(2);
    let _daemon = Daemon::start(&veths.lab, Veths::settings());
    // An answer before the guest's route is in would send the first packet into the backstop.
    for last in 0..40 {
        let number = usize::from(last % 2);
        veths.give(number, e(0x100 + last));
        veths.lab.router.ping(&format!("{}", e(0x100 + last)));
    }
}

fn withdraws_a_guest_whose_veth_is_deleted_or_down() {
    let veths = Veths::new(2);
    let _daemon = Daemon::start(&veths.lab, Veths::settings());
    let mut link = Link::open(&veths.lab);
    for (number, address) in [e(5), e(6)].into_iter().enumerate() {
        veths.give(number, address);
        link.answered(&Solicitation::multicast(ROUTER, address));
    }
    veths.routed(&[(e(5), 0), (e(6), 1)]);
    veths.lab.host.ip("link del vg0");
    eventually("the guest is without answer and route", PATIENCE, || {
        let answers = link.advertisements(&Solicitation::multicast(ROUTER, e(5)));
        (answers.is_empty() && veths.routes() == Veths::wanted(&[(e(6), 1)])).then_some(())
    });
    link.answered(&Solicitation::multicast(ROUTER, e(6)));
    // Down is no better than gone.
    veths.lab.host.ip("link set vg1 down");
    eventually("the other one is, too", PATIENCE, || {
        let answers = link.advertisements(&Solicitation::multicast(ROUTER, e(6)));
        (answers.is_empty() && veths.routes() == Veths::wanted(&[])).then_some(())
    });
}

fn serves_a_downstream_that_appears_while_it_runs() {
    let veths = Veths::new(2);
    veths.give(1, e(6));
    veths.lab.host.rename("vg1", "other1", "");
    let _daemon = Daemon::start(&veths.lab, Veths::settings());
    let mut link = Link::open(&veths.lab);
    let question = Solicitation::multicast(ROUTER, e(6));
    link.unanswered(&question);
    veths.lab.host.rename("other1", "vg1", &format!("addr add {VETH_GATEWAY}/64 dev vg1 nodad"));
    eventually("the guest behind it is found", PATIENCE, || {
        (!link.advertisements(&question).is_empty()).then_some(())
    });
    // What is late from before waits for the route, and then is out of the way.
    veths.routed(&[(e(6), 1)]);
    link.settle();
    link.answered(&question);
}

fn fills_no_neighbor_table_while_its_range_is_scanned() {
    let veths = Veths::new(3);
    veths.give(0, e(5));
    let _daemon = Daemon::start(&veths.lab, Veths::settings());
    let mut link = Link::open(&veths.lab);
    link.answered(&Solicitation::multicast(ROUTER, e(5)));
    veths.routed(&[(e(5), 0)]);
    for last in 0x1000..0x1000 + 2000 {
        // The question, and the packet of somebody who does not wait for an answer.
        link.send(&Solicitation::multicast(ROUTER, e(last)));
        link.send_frame(&echo_request(e(last)));
    }
    link.answered(&Solicitation::multicast(ROUTER, e(5)));
    assert!(veths.neighbors() < 64, "{}", veths.lab.host.show("neigh show"));
    assert_eq!(veths.routes(), Veths::wanted(&[(e(5), 0)]));
}

fn knows_a_guest_after_its_dad_without_asking_it() {
    let veths = Veths::new(2);
    let _daemon = Daemon::start(&veths.lab, Veths::settings().rest(SLOW));
    let mut link = Link::open(&veths.lab);
    let mut guest = Endpoint::open(&veths.guests[0], "eth0");
    veths.give_with_dad(0, e(5));
    // Before its check it has reported the group, and was asked for whether it has the address already.
    link.settle();
    probes(&mut guest, 0, e(5));
    link.answered(&Solicitation::multicast(ROUTER, e(5)));
    assert_eq!(probes(&mut guest, 0, e(5)), Vec::<Vec<u8>>::new());
    veths.routed(&[(e(5), 0)]);
}

fn knows_a_guest_that_talks_to_its_gateway_without_asking_it() {
    let veths = Veths::new(2);
    let _daemon = Daemon::start(&veths.lab, Veths::settings().rest(SLOW));
    let mut link = Link::open(&veths.lab);
    let mut guest = Endpoint::open(&veths.guests[1], "eth0");
    // The frame alone: the guest's kernel has not this address and reports no group for it, and ours has no reason to look
    // for the guest by itself.
    let asker = Asker { mac: Veths::guest_mac(1), address: e(6) };
    guest.send(&Solicitation::multicast(asker, VETH_GATEWAY).frame());
    link.settle();
    link.answered(&Solicitation::multicast(ROUTER, e(6)));
    assert_eq!(probes(&mut guest, 1, e(6)), Vec::<Vec<u8>>::new());
    veths.routed(&[(e(6), 1)]);
    // An ordinary one, all the way: the answer comes back only if the router is answered.
    veths.give(0, e(5));
    veths.guests[0].ping(&format!("-I {} {}", e(5), ROUTER_AT_LARGE.address));
}

fn knows_the_kernel_s_neighbors_when_it_starts() {
    let veths = Veths::new(2);
    veths.give(0, e(5));
    veths.talk(0, e(5));
    let mut guest = Endpoint::open(&veths.guests[0], "eth0");
    let _daemon = Daemon::start(&veths.lab, Veths::settings().rest(SLOW));
    veths.routed(&[(e(5), 0)]);
    Link::open(&veths.lab).answered(&Solicitation::multicast(ROUTER, e(5)));
    assert_eq!(probes(&mut guest, 0, e(5)), Vec::<Vec<u8>>::new());
}

fn leaves_an_equal_route_of_somebody_else_in_its_place() {
    let veths = Veths::new(1);
    veths.give(0, e(5));
    // As container engines do that route by themselves.
    veths.lab.host.ip(&format!("route add {}/128 dev vg0 proto boot", e(5)));
    let daemon = Daemon::start(&veths.lab, Veths::settings());
    let mut link = Link::open(&veths.lab);
    link.answered(&Solicitation::multicast(ROUTER, e(5)));
    link.settle();
    assert_eq!(veths.routes(), Veths::wanted(&[]));
    veths.lab.host.ip(&format!("route del {}/128 dev vg0 proto boot", e(5)));
    veths.routed(&[(e(5), 0)]);
    let said = daemon.stop();
    assert!(!said.contains("kept out"), "{said}");
}

fn puts_back_the_route_of_a_guest_that_somebody_removed() {
    let veths = Veths::new(1);
    veths.give(0, e(5));
    let _daemon = Daemon::start(&veths.lab, Veths::settings());
    Link::open(&veths.lab).answered(&Solicitation::multicast(ROUTER, e(5)));
    veths.routed(&[(e(5), 0)]);
    veths.lab.host.ip(&format!("route del {}/128 dev vg0 proto 64", e(5)));
    veths.routed(&[(e(5), 0)]);
}

fn follows_a_guest_that_moves_to_another_veth() {
    let veths = Veths::new(2);
    veths.give(0, e(5));
    let _daemon = Daemon::start(&veths.lab, Veths::settings());
    let mut link = Link::open(&veths.lab);
    let question = Solicitation::multicast(ROUTER, e(5));
    link.answered(&question);
    veths.routed(&[(e(5), 0)]);
    for (from, to) in [(0, 1), (1, 0)] {
        veths.take(from, e(5));
        veths.give_with_dad(to, e(5));
        eventually("its route has followed", PATIENCE, || {
            let routes = veths.routes();
            assert!(routes.len() <= 2, "never two routes to one guest: {routes:?}");
            link.answered(&question);
            (routes == Veths::wanted(&[(e(5), to)])).then_some(())
        });
        veths.lab.router.ping(&format!("{}", e(5)));
        link.settle();
    }
}

fn follows_a_guest_that_moves_and_only_talks_to_its_gateway() {
    let veths = Veths::new(2);
    veths.give(0, e(5));
    veths.talk(0, e(5));
    let _daemon = Daemon::start(&veths.lab, Veths::settings());
    let mut link = Link::open(&veths.lab);
    link.answered(&Solicitation::multicast(ROUTER, e(5)));
    veths.routed(&[(e(5), 0)]);
    veths.take(0, e(5));
    veths.give(1, e(5));
    veths.talk(1, e(5));
    eventually("its route has followed", PATIENCE, || {
        (veths.routes() == Veths::wanted(&[(e(5), 1)])).then_some(())
    });
    link.answered(&Solicitation::multicast(ROUTER, e(5)));
}

/// Nobody asks for it, and it says nothing: its veth leaves one bridge for another.
fn finds_a_guest_that_moves_without_a_word() {
    let veths = Veths::new(1);
    veths.lab.host.ip("link add br8 type bridge forward_delay 0 mcast_snooping 0
         link add br9 type bridge forward_delay 0 mcast_snooping 0
         addr flush dev vg0
         link set vg0 master br8
         link set br8 up
         link set br9 up
         addr add fe80::b8/64 dev br8 nodad
         addr add fe80::b9/64 dev br9 nodad");
    veths.give(0, e(5));
    let bridges = "[[range]]\nprefix = \"2001:db8:1:2:e::/112\"\ninterface = [\"br8\", \"br9\"]\n";
    let daemon = Daemon::start(&veths.lab, Settings::default().rest(bridges));
    Link::open(&veths.lab).answered(&Solicitation::multicast(ROUTER, e(5)));
    for bridge in ["br9", "br8"] {
        veths.lab.host.ip(&format!("link set vg0 master {bridge}"));
        eventually("its route has followed", PATIENCE, || {
            veths.routes().contains(&format!("{} {bridge}", e(5))).then_some(())
        });
    }
    daemon.stop();
}

fn answers_at_once_for_the_guests_of_a_killed_predecessor() {
    let veths = Veths::new(2);
    let live = [(e(5), 0), (e(6), 1)];
    let daemon = Daemon::start(&veths.lab, Veths::settings());
    let mut link = Link::open(&veths.lab);
    for (address, number) in live {
        veths.give(number, address);
        link.answered(&Solicitation::multicast(ROUTER, address));
    }
    veths.routed(&live);
    daemon.kill();
    assert_eq!(veths.routes(), Veths::wanted(&live), "nobody has removed them");
    // One is gone meanwhile; and the kernel has forgotten what it knew of both.
    veths.take(1, e(6));
    veths.lab.host.ip("neigh flush dev vg0\nneigh flush dev vg1");
    let settings = Veths::settings().rest("[timers]\nretransmit = \"2s\"\n");
    let _daemon = Daemon::start(&veths.lab, settings);
    assert_eq!(veths.routes(), Veths::wanted(&live), "adopted");
    // Nobody could have replied for the one that is gone: this is what the route says.
    link.answered(&Solicitation::multicast(ROUTER, e(6)));
    link.answered(&Solicitation::unicast(ROUTER, e(5), UPSTREAM_MAC));
    // And then it is asked.
    veths.routed(&[(e(5), 0)]);
    link.unanswered(&Solicitation::multicast(ROUTER, e(6)));
    link.answered(&Solicitation::multicast(ROUTER, e(5)));
}

/// A ping from the router to an address in E, whether the host has answered for it or not.
fn echo_request(to: std::net::Ipv6Addr) -> Vec<u8> {
    let asker = Asker { mac: ROUTER.mac, address: ROUTER_AT_LARGE.address };
    let host: Mac = UPSTREAM_MAC;
    let request = Solicitation::unicast(asker, to, host);
    request
        .with(|q| {
            q.icmp_type = 128;
            q.hop_limit = 64;
            q.options.clear();
        })
        .frame()
}
