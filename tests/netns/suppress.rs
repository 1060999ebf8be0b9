//! What the kernel makes of unicast solicitations for our ranges, and the table that keeps it from them.

use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{IP, SOLICITATION, target_of};
use crate::lab::{C, D, GATEWAY, GUEST, Lab, ROUTER, ROUTER_AT_LARGE, UPSTREAM_MAC, c};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    neither_refuses_nor_forwards_unicast_solicitations,
    leaves_the_upstreams_own_addresses_to_the_kernel,
    the_table_is_replaced_after_a_crash_and_removed_on_exit,
    needs_no_more_privilege_than_the_unit_grants,
    serves_and_says_what_to_install_where_nft_is_missing,
    runs_no_nft_unless_it_is_asked_for,
    removes_the_table_of_one_that_crashed_where_it_is_not_asked_for_any_more,
];

const SUPPRESS: &str = "suppress-kernel = true\n";

/// What the kernel does with unicast solicitations, besides what we do.
struct Strays {
    /// ICMPv6 errors to whoever asked.
    errors: usize,
    /// Solicitations that arrived at the guest with the router's hop limit, less one.
    forwarded: usize,
}

fn neither_refuses_nor_forwards_unicast_solicitations() {
    let lab = Lab::veth();
    let settings = Settings::default().range(C, "br0", "");
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    // Both are in the host's neighbor table, so that nothing of the kernel's waits for an address.
    lab.host.ping(&GUEST.to_string());
    lab.host.ping("fe80::1%up0");

    let daemon = Daemon::start(&lab, settings.clone());
    eventually("the kernel does both where it is let", PATIENCE, || {
        let strays = strays(&mut link, &mut guest);
        (strays.errors > 0 && strays.forwarded > 0).then_some(())
    });
    daemon.stop();

    let daemon = Daemon::start(&lab, settings.upstream(SUPPRESS));
    for _ in 0..20 {
        let strays = strays(&mut link, &mut guest);
        assert_eq!((strays.errors, strays.forwarded), (0, 0));
    }
    // The guests' gateway is an address of the host; we answer for it all the same.
    for asker in [ROUTER, ROUTER_AT_LARGE] {
        link.answered(&Solicitation::unicast(asker, GATEWAY, UPSTREAM_MAC));
    }
    daemon.stop();
}

/// An ICMPv6 error (types below 128) about a solicitation, which it quotes (RFC 4443 §3.1). The
/// router's reply to an announcement is none, and is refused by the kernel where it is link-local.
fn is_refusal(frame: &[u8]) -> bool {
    let quoted = frame.get(IP + 40 + 8 + 40);
    frame[IP + 6] == 58 && frame[IP + 40] < 128 && quoted == Some(&SOLICITATION)
}

/// Asks for the guest from everywhere, is answered once for each, and looks for what else came of it.
fn strays(link: &mut Link, guest: &mut Endpoint) -> Strays {
    let mut strays = Strays { errors: 0, forwarded: 0 };
    for asker in [ROUTER, ROUTER_AT_LARGE] {
        link.send(&Solicitation::unicast(asker, GUEST, UPSTREAM_MAC));
        let heard = link.settle_all();
        strays.errors += heard.iter().filter(|frame| is_refusal(frame)).count();
        let answers =
            heard.iter().filter(|frame| target_of(frame, crate::frame::ADVERTISEMENT) == Some(GUEST));
        assert_eq!(answers.count(), 1);
    }
    let is_forwarded =
        |frame: &&Vec<u8>| target_of(frame, SOLICITATION) == Some(GUEST) && frame[IP + 7] == 254;
    strays.forwarded = guest.heard().iter().filter(is_forwarded).count();
    strays
}

fn leaves_the_upstreams_own_addresses_to_the_kernel() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().upstream(SUPPRESS).range(C, "br0", ""));
    lab.host.ip(&format!("addr add {}/128 dev up0 nodad", c(0x99)));
    eventually("the table leaves it alone", PATIENCE, || {
        table(&lab).contains(&format!("{} return", c(0x99))).then_some(())
    });
    let mut link = Link::open(&lab);
    let question = Solicitation::unicast(ROUTER, c(0x99), UPSTREAM_MAC);
    assert_eq!(link.advertisements(&question).len(), 1, "the kernel's alone");
    daemon.stop();
}

fn the_table_is_replaced_after_a_crash_and_removed_on_exit() {
    let lab = Lab::veth();
    lab.host.output("nft", "add table inet foreign");
    lab.host.output("nft", "add chain inet foreign in { type filter hook prerouting priority raw; }");
    lab.host.output("nft", "add rule inet foreign in iifname up0 counter");
    lab.host.output("nft", "add table ip6 foreign");
    let before = lab.host.output("nft", "--stateless list ruleset");

    let settings = Settings::default().upstream(SUPPRESS);
    Daemon::start(&lab, settings.clone().range(C, "br0", "")).kill();
    assert!(table(&lab).contains(&format!("{C} drop")), "{}", table(&lab));

    let daemon = Daemon::start(&lab, settings.range(D, "gv1", "exclude = [\"2001:db8:1:2:d::7\"]"));
    let now = table(&lab);
    assert!(!now.contains(C) && now.contains(&format!("{D} drop")), "{now}");
    assert!(now.contains("2001:db8:1:2:d::7 return") && now.contains("iif \"up0\""), "{now}");
    daemon.stop();
    assert_eq!(lab.host.output("nft", "--stateless list ruleset"), before);
}

fn needs_no_more_privilege_than_the_unit_grants() {
    let lab = Lab::veth();
    let unit = include_str!("../../contrib/systemd/lone64.service");
    assert!(unit.contains("CapabilityBoundingSet=CAP_NET_RAW CAP_NET_ADMIN") && unit.contains("AF_INET6"));
    let wrapper = ["setpriv", "--no-new-privs", "--bounding-set=-all,+net_raw,+net_admin", "--"];
    let settings = Settings::default().upstream(SUPPRESS).range(C, "br0", "");
    let daemon = Daemon::start_under(&lab, &wrapper, settings);
    assert!(table(&lab).contains(&format!("{C} drop")));
    daemon.stop();
}

fn serves_and_says_what_to_install_where_nft_is_missing() {
    let lab = Lab::veth();
    // A mount namespace in which the directories of nft are empty.
    let hide = "for d in /usr/sbin /usr/local/sbin /sbin; do mount -t tmpfs none $d || exit 9; done; \
                exec \"$0\" \"$@\"";
    let settings = Settings::default().upstream(SUPPRESS).range(C, "br0", "");
    let daemon = Daemon::start_under(&lab, &["unshare", "--mount", "sh", "-c", hide], settings);
    // It can be installed at any time, and answers do not depend on it.
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    let said = daemon.stop();
    assert!(said.contains("suppress-kernel") && said.contains("Debian package nftables"), "{said}");
    assert_eq!(lab.host.show("-o route show table all proto 64"), "", "left behind: {said}");
}

fn runs_no_nft_unless_it_is_asked_for() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    assert_eq!(lab.host.output("nft", "list ruleset"), "");
    daemon.stop();
}

fn removes_the_table_of_one_that_crashed_where_it_is_not_asked_for_any_more() {
    let lab = Lab::veth();
    lab.host.output("nft", "add table ip6 foreign");
    Daemon::start(&lab, Settings::default().upstream(SUPPRESS).range(C, "br0", "")).kill();
    assert!(table(&lab).contains(&format!("{C} drop")));
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", ""));
    eventually("it is removed", PATIENCE, || {
        (lab.host.output("nft", "list tables") == "table ip6 foreign\n").then_some(())
    });
    let said = daemon.stop();
    assert!(said.contains("that a crashed lone64 left"), "{said}");
}

/// Our table.
fn table(lab: &Lab) -> String {
    lab.host.output("nft", "list table ip6 lone64")
}
