//! rules.md "Whose addresses".

use std::net::Ipv6Addr;
use std::process::{Command, Stdio};

use crate::advertisement::Advertisement;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, mac, sender, target_of};
use crate::lab::{
    BRIDGE_MAC, C, D, GATEWAY, GUEST, GUEST_MAC, Lab, ROUTER, ROUTER_AT_LARGE, UPSTREAM_GLOBAL,
    UPSTREAM_LINK_LOCAL, UPSTREAM_MAC, c, d,
};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::{Asker, Solicitation};

crate::cases![
    answers_nothing_outside_the_ranges,
    answers_nothing_that_is_excluded,
    lets_the_longest_range_decide,
    leaves_upstream_addresses_to_the_kernel,
    leaves_an_address_to_the_kernel_as_soon_as_the_upstream_gets_it,
    answers_for_addresses_of_the_host_on_other_interfaces,
    answers_for_the_whole_of_a_range_on_lo,
    answers_nothing_that_the_host_itself_asks,
    answers_nothing_that_is_asked_downstream,
    takes_nothing_for_live_because_of_an_advertisement_upstream,
    loses_against_a_real_owner_upstream,
];

fn answers_nothing_outside_the_ranges() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "answer = \"always\""));
    let mut link = Link::open(&lab);
    for inside in ["c::0", "c::2", "c::ffff"] {
        link.answered(&Solicitation::multicast(ROUTER, address(inside)));
    }
    for outside in ["b:ffff:ffff:ffff", "c:0:1:0", "c:1:0:5", "d::5", "5", "ffff:ffff:ffff:ffff"] {
        link.unanswered(&Solicitation::multicast(ROUTER, address(outside)));
        link.unanswered(&Solicitation::unicast(ROUTER, address(outside), UPSTREAM_MAC));
        link.unanswered(&Solicitation::dad(mac(0x61), address(outside)));
    }
    let other_network = Ipv6Addr::new(0x2001, 0xdb8, 1, 3, 0xc, 0, 0, 5);
    link.unanswered(&Solicitation::multicast(ROUTER, other_network));
    link.unanswered(&Solicitation::unicast(ROUTER, other_network, UPSTREAM_MAC));
}

fn answers_nothing_that_is_excluded() {
    let lab = Lab::veth();
    let keys = "answer = \"always\"\nexclude = [\"2001:db8:1:2:c::7\", \"2001:db8:1:2:c::10/124\"]";
    let _daemon = Daemon::start(&lab, Settings::default().range(C, "br0", keys));
    let mut link = Link::open(&lab);
    for inside in [c(6), c(8), c(0xf), c(0x20)] {
        link.answered(&Solicitation::multicast(ROUTER, inside));
    }
    for excluded in [c(7), c(0x10), c(0x1f)] {
        link.unanswered(&Solicitation::multicast(ROUTER, excluded));
        link.unanswered(&Solicitation::unicast(ROUTER, excluded, UPSTREAM_MAC));
        link.unanswered(&Solicitation::dad(mac(0x61), excluded));
    }
}

fn lets_the_longest_range_decide() {
    let lab = Lab::veth();
    let settings = Settings::default()
        .range(C, "br0", "answer = \"always\"")
        .range("2001:db8:1:2:c::4000/116", "br0", "answer = \"never\"")
        .range("2001:db8:1:2:c::4400/120", "br0", "answer = \"always\"");
    let _daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    for answered in [c(0x3fff), c(0x5000), c(0x4400), c(0x44ff)] {
        link.answered(&Solicitation::multicast(ROUTER, answered));
    }
    for never in [c(0x4000), c(0x43ff), c(0x4500), c(0x4fff)] {
        link.unanswered(&Solicitation::multicast(ROUTER, never));
    }
}

fn leaves_upstream_addresses_to_the_kernel() {
    let lab = Lab::veth();
    let inside = c(0x99);
    lab.host.ip(&format!("addr add {inside}/128 dev up0 nodad"));
    // A range that holds the upstream's own address as well.
    let settings = Settings::default().range(C, "br0", "answer = \"always\"").range(
        "2001:db8:1:2::/112",
        "br0",
        "answer = \"always\"\nroutes = \"none\"\nbackstop = false",
    );
    // The kernel's defence against DAD overrides, as only our announcements do.
    let _daemon = Daemon::start(&lab, settings.upstream("announce = false"));
    let mut link = Link::open_for_all(&lab);
    for own in [inside, UPSTREAM_GLOBAL, UPSTREAM_LINK_LOCAL] {
        for question in [
            Solicitation::multicast(ROUTER, own),
            Solicitation::multicast(ROUTER_AT_LARGE, own),
            Solicitation::unicast(ROUTER, own, UPSTREAM_MAC),
            Solicitation::dad(mac(0x61), own),
        ] {
            assert_eq!(link.advertisements(&question).len(), 1, "the kernel's alone: {question:?}");
        }
    }
    for beside in [c(0x98), Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 3)] {
        link.answered(&Solicitation::multicast(ROUTER, beside));
    }
}

fn leaves_an_address_to_the_kernel_as_soon_as_the_upstream_gets_it() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "answer = \"always\""));
    let mut link = Link::open(&lab);
    let question = Solicitation::multicast(ROUTER, c(0x99));
    link.answered(&question);
    lab.host.ip(&format!("addr add {}/128 dev up0 nodad", c(0x99)));
    let overrides = |frame: &[u8]| frame[58] & 0x20 != 0;
    // The kernel answers multicast questions with O=1, we with O=0.
    eventually("only the kernel answers", PATIENCE, || {
        let heard = link.advertisements(&question);
        (heard.len() == 1 && overrides(&heard[0])).then_some(())
    });
    for _ in 0..5 {
        assert_eq!(link.advertisements(&question).len(), 1);
    }
    lab.host.ip(&format!("addr del {}/128 dev up0", c(0x99)));
    eventually("only we answer again", PATIENCE, || {
        let heard = link.advertisements(&question);
        (heard.len() == 1 && !overrides(&heard[0])).then_some(())
    });
    link.answered(&question);
}

fn answers_for_addresses_of_the_host_on_other_interfaces() {
    let lab = Lab::veth();
    lab.host.ip(&format!("addr add {}/128 dev lo", c(0x42)));
    let live = Settings::default().range(C, "br0", "answer = \"live\"").range(D, "gv1", "answer = \"live\"");
    let _daemon = Daemon::start(&lab, live);
    let mut link = Link::open(&lab);
    // The guests' gateways, and a service address.
    for own in [GATEWAY, d(1), c(0x42)] {
        link.answered(&Solicitation::multicast(ROUTER, own));
        link.answered(&Solicitation::unicast(ROUTER_AT_LARGE, own, UPSTREAM_MAC));
        link.answered(&Solicitation::dad(mac(0x61), own));
    }
    lab.router.ping(&GATEWAY.to_string());
}

fn answers_for_the_whole_of_a_range_on_lo() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range("2001:db8:1:2:a::/112", "lo", ""));
    let mut link = Link::open(&lab);
    for any in ["a::1", "a::77", "a::ffff"] {
        link.answered(&Solicitation::multicast(ROUTER, address(any)));
        lab.router.ping(&format!("{}", address(any)));
        // What the router's kernel asked for that has been answered too.
        link.settle();
    }
    link.unanswered(&Solicitation::multicast(ROUTER, address("a:0:1:0")));
    daemon.stop();
}

fn answers_nothing_that_the_host_itself_asks() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "answer = \"always\""));
    let mut link = Link::open(&lab);
    let mut upstream = Endpoint::open(&lab.host, "up0");
    let host = Asker { mac: UPSTREAM_MAC, address: UPSTREAM_LINK_LOCAL };
    link.answered(&Solicitation::multicast(ROUTER, c(0x44)));
    upstream.send(&Solicitation::multicast(host, c(0x44)).frame());
    // Not even if it had another's address: what counts is that the frame leaves.
    upstream.send(&Solicitation::multicast(ROUTER, c(0x44)).frame());
    assert!(link.settle().is_empty());
    // Sent back by a switch.
    link.unanswered(&Solicitation::multicast(host, c(0x44)));
}

fn answers_nothing_that_is_asked_downstream() {
    let lab = Lab::veth();
    let settings =
        Settings::default().range(C, "br0", "answer = \"always\"").range(D, "gv1", "answer = \"always\"");
    let _daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    let asker = Asker { mac: GUEST_MAC, address: GUEST };
    for target in [c(0x44), d(0x44), Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 1)] {
        guest.send(&Solicitation::multicast(asker, target).frame());
        guest.send(&Solicitation::unicast(asker, target, BRIDGE_MAC).frame());
    }
    assert!(link.settle().is_empty(), "nor upstream");
    let answers: Vec<_> = guest
        .heard()
        .into_iter()
        .filter(|frame| sender(frame) == BRIDGE_MAC && target_of(frame, ADVERTISEMENT).is_some())
        .collect();
    assert!(answers.is_empty(), "{answers:02x?}");
    for target in [c(0x44), d(0x44)] {
        link.answered(&Solicitation::multicast(ROUTER, target));
    }
}

fn takes_nothing_for_live_because_of_an_advertisement_upstream() {
    let lab = Lab::veth();
    let _daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "answer = \"live\""));
    let mut link = Link::open(&lab);
    let target = c(0xdead);
    let question = Solicitation::multicast(ROUTER, target);
    // Before it was ever asked for, while it is probed, and later.
    for _ in 0..3 {
        for flags in [0x2000_0000, 0x6000_0000, 0xe000_0000] {
            let claim = Solicitation::multicast(ROUTER, target).with(|q| {
                q.icmp_type = ADVERTISEMENT;
                q.reserved = flags;
                q.options[0] = 2;
                q.destination = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
                q.eth_dst = [0x33, 0x33, 0, 0, 0, 1];
            });
            link.unanswered(&claim);
            link.unanswered(
                &claim.with(|q| (q.destination, q.eth_dst) = (UPSTREAM_LINK_LOCAL, UPSTREAM_MAC)),
            );
        }
        link.unanswered(&question);
    }
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
}

fn loses_against_a_real_owner_upstream() {
    let lab = Lab::macvlan();
    let _rival = lab.rival(c(0x33));
    let _daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "answer = \"always\""));
    let mut router = Endpoint::open(&lab.router, "rt0");
    // Whether the one ping is answered depends on whose answer is first.
    let mut ping = lab.router.spawn(
        Command::new("ping")
            .args(["-c", "1", "-W", "1", &c(0x33).to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    // Both have answered, in whatever order.
    let (mut ours, mut theirs) = (false, false);
    router.receive_until("both answers", PATIENCE, |frame| {
        if target_of(frame, ADVERTISEMENT)? == c(0x33) {
            ours |= sender(frame) == UPSTREAM_MAC && Advertisement::parse(frame).is_ok();
            theirs |= sender(frame) == mac(3);
        }
        (ours && theirs).then_some(())
    });
    eventually("the owner has won", PATIENCE, || {
        lab.router.show(&format!("neigh show {}", c(0x33))).contains("02:00:00:00:00:03").then_some(())
    });
    ping.wait().unwrap();
}

/// An address of the provider's /64.
fn address(suffix: &str) -> Ipv6Addr {
    match suffix.contains("::") || suffix.matches(':').count() == 3 {
        true => format!("2001:db8:1:2:{suffix}").parse().unwrap(),
        false => format!("2001:db8:1:2::{suffix}").parse().unwrap(),
    }
}
