//! What real guests report of their groups: they are asked there before anybody wants them, where the group says which
//! address that is; else with the first question, and found while somebody scans.

use std::net::Ipv6Addr;

use lone64::engine::facts::Fact;
use lone64::wire::group_suffix;

use crate::client::lone64;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{SOLICITATION, target_of};
use crate::guests_gateway::facts;
use crate::lab::{C, D, Lab, PLAIN, ROUTER, c};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    finds_guests_before_anybody_asks_for_them,
    knows_from_the_start_to_which_groups_a_guest_at_the_end_of_a_pair_listens,
    hears_to_which_groups_a_new_guest_listens,
    reads_what_a_bridge_has_heard_of_its_guests_before_the_start_and_later,
    finds_guests_at_the_first_question_where_a_scan_has_used_up_all_probes,
];

/// In ranges of 48 bits the group of an address does not say which it is.
fn settings() -> Settings {
    Settings::default().range("2001:db8:1:2:c::/80", "br0", "").range("2001:db8:1:2:d::/80", "gv1", "")
}

/// An address of the bridge's range that nobody can guess.
const fn far_c(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0xfa, 0x7000, last)
}

/// The same of the bare pair's range.
const fn far_d(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xd, 0xfa, 0x7000, last)
}

/// What `lone64 explain` says, without the breaks of its lines.
fn explained(lab: &Lab, daemon: &Daemon, target: Ipv6Addr) -> String {
    let socket = daemon.socket();
    let output = lab.host.run(|| lone64(&socket, &format!("explain {target}")));
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Until `lone64 explain` says on which interface somebody listens to the group of this address, or nobody any more.
fn wait_for_hint(lab: &Lab, daemon: &Daemon, target: Ipv6Addr, interface: Option<&str>) {
    let says = || explained(lab, daemon, target);
    eventually(&format!("a hint for {target}"), PATIENCE, || {
        let text = says();
        let is_there = match interface {
            Some(name) => text.contains(&format!("somebody on {name} listens to its multicast group")),
            None => !text.contains("listens to its multicast group"),
        };
        is_there.then_some(())
    });
}

fn finds_guests_before_anybody_asks_for_them() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").range(D, "gv1", ""));
    // One that was there before the start, and one that comes without a check for duplicates.
    lab.guest.ip(&format!("addr add {}/128 dev eth0 nodad", c(0x77)));
    for guest in [PLAIN, c(0x77)] {
        eventually(&format!("{guest} is live"), PATIENCE, || {
            explained(&lab, &daemon, guest).contains("live: 02:").then_some(())
        });
    }
}

fn knows_from_the_start_to_which_groups_a_guest_at_the_end_of_a_pair_listens() {
    let lab = Lab::veth();
    lab.plain.ip(&format!("addr add {}/128 dev eth0 nodad", far_d(5)));
    // Whatever it has reported so far, nobody has heard.
    let daemon = Daemon::start(&lab, settings());
    wait_for_hint(&lab, &daemon, far_d(5), Some("gv1"));
}

fn hears_to_which_groups_a_new_guest_listens() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings());
    // One that has no duplicate address detection, so that nothing else is heard of it.
    for (namespace, interface) in [(&lab.plain, "gv1"), (&lab.guest, "br0")] {
        let new = if interface == "br0" { far_c(0x77) } else { far_d(0x77) };
        namespace.ip(&format!("addr add {new}/128 dev eth0 nodad"));
        wait_for_hint(&lab, &daemon, new, Some(interface));
        namespace.ip(&format!("addr del {new}/128 dev eth0"));
        wait_for_hint(&lab, &daemon, new, None);
    }
}

fn reads_what_a_bridge_has_heard_of_its_guests_before_the_start_and_later() {
    let lab = Lab::veth();
    // With a querier that counts, a bridge keeps reports to itself.
    lab.host.ip("link set br0 type bridge mcast_snooping 1 mcast_query_response_interval 10 \
         mcast_startup_query_interval 100 mcast_query_interval 100
         link set br0 type bridge mcast_querier 1");
    let suffix = |target: Ipv6Addr| format!("ff02::1:ff00:{:x}", target.segments()[7]);
    let bridge_knows = |target: Ipv6Addr| {
        eventually("the bridge knows its guest's group", PATIENCE, || {
            lab.host.output("bridge", "mdb show dev br0").contains(&suffix(target)).then_some(())
        });
    };
    lab.guest.ip(&format!("addr add {}/128 dev eth0 nodad", far_c(0x76)));
    bridge_knows(far_c(0x76));
    // This alone: a daemon may also hear a report, as long as the bridge keeps none to itself.
    let facts = facts(&lab.host);
    let is_guests =
        |fact: &Fact| matches!(fact, Fact::Group { suffix, .. } if *suffix == group_suffix(far_c(0x76)));
    assert!(facts.iter().any(is_guests), "{facts:?}");
    let daemon = Daemon::start(&lab, settings());
    wait_for_hint(&lab, &daemon, far_c(0x76), Some("br0"));
    lab.guest.ip(&format!("addr add {}/128 dev eth0 nodad", far_c(0x78)));
    bridge_knows(far_c(0x78));
    wait_for_hint(&lab, &daemon, far_c(0x78), Some("br0"));
}

fn finds_guests_at_the_first_question_where_a_scan_has_used_up_all_probes() {
    let lab = Lab::veth();
    lab.plain.ip(&format!("addr add {}/128 dev eth0 nodad", far_d(5)));
    let daemon = Daemon::start(&lab, settings().rest("[limits]\nprobes-per-second = 1\n"));
    wait_for_hint(&lab, &daemon, far_d(5), Some("gv1"));
    let mut link = Link::open(&lab);
    let mut guest = Endpoint::open(&lab.guest, "eth0");
    for dead in 0..200 {
        link.send(&Solicitation::multicast(ROUTER, c(0x1000 + dead)));
    }
    link.answered(&Solicitation::multicast(ROUTER, far_d(5)));
    // The scan itself was held to what there is of probes.
    let is_probe = |frame: &Vec<u8>| target_of(frame, SOLICITATION).is_some_and(|target| target >= c(0x1000));
    let probes = guest.heard().iter().filter(|frame| is_probe(frame)).count();
    assert!(probes < 100, "{probes} probes");
}
