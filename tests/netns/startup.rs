//! What stands in the way of a start is said in a sentence that names it.

use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, c, d};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    serves_the_rest_when_one_downstream_is_missing,
    names_a_missing_capability,
    refuses_a_key_that_it_does_not_know,
    serves_the_rest_where_ipv6_is_off_on_one_downstream_and_that_too_once_it_is_on,
    runs_from_options_alone,
    finds_the_upstream_by_the_default_route,
    writes_a_line_for_each_packet_at_trace_alone,
];

fn serves_the_rest_when_one_downstream_is_missing() {
    let lab = Lab::veth();
    for mode in ["live", "always"] {
        let missing = format!("answer = \"{mode}\"");
        let settings = Settings::default().range(C, "missing0", &missing).range(D, "gv1", "");
        let daemon = Daemon::start(&lab, settings);
        let mut link = Link::open(&lab);
        link.answered(&Solicitation::multicast(ROUTER, PLAIN));
        link.unanswered(&Solicitation::multicast(ROUTER, GUEST));
        link.unanswered(&Solicitation::multicast(ROUTER, c(0xdead)));
        let said = daemon.stop();
        assert!(said.contains("missing0"), "{said}");
    }
}

/// Also where nothing is there yet that it would take a privilege for: what is waited for comes, a privilege does not.
fn names_a_missing_capability() {
    let lab = Lab::veth();
    let here = Settings::default().range(C, "br0", "");
    let to_come = Settings::default().range(C, "missing0", "").upstream_named("missing1").without_sentinels();
    for (set, name) in [("-net_raw", "CAP_NET_RAW"), ("-net_admin", "CAP_NET_ADMIN")] {
        for settings in [&here, &to_come] {
            let bounds = format!("--bounding-set={set}");
            let said = Daemon::refusal(&lab, &["setpriv", &bounds, "--"], settings.clone());
            assert!(said.contains(name) && said.contains("run lone64 as root"), "{said}");
            assert_eq!(ours(&lab), "", "left behind by a start without {name}: {said}");
        }
    }
}

fn refuses_a_key_that_it_does_not_know() {
    let lab = Lab::veth();
    let unknown = Settings::default().range(C, "br0", "frobnicate = true");
    let incomplete = Settings::default().range(C, "br0", "").rest("[[guest]]\nname = \"web\"\n");
    for (settings, word) in [(unknown, "frobnicate"), (incomplete, "guest")] {
        let said = Daemon::refusal(&lab, &[], settings);
        assert!(said.contains(word), "{said}");
    }
}

fn serves_the_rest_where_ipv6_is_off_on_one_downstream_and_that_too_once_it_is_on() {
    let lab = Lab::veth();
    let switch = |value| lab.host.sysctls(&[("net/ipv6/conf/gv1/disable_ipv6", value)]);
    switch("1");
    let settings = Settings::default().range(C, "br0", "").range(D, "gv1", "");
    let daemon = Daemon::start(&lab, settings);
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, GUEST));
    switch("0");
    lab.host.ip("addr add fe80::b1/64 dev gv1 nodad");
    eventually("its route is there", PATIENCE, || {
        lab.host.show("route show proto 64").contains(&format!("{D} dev gv1")).then_some(())
    });
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, PLAIN));
    let said = daemon.stop();
    assert!(said.contains("IPv6 is off on its interface"), "{said}");
}

fn runs_from_options_alone() {
    let lab = Lab::veth();
    let daemon = Daemon::start_with_options(
        &lab,
        &format!("--upstream up0 --range {D}=gv1 --range {}=br0", crate::lab::SENTINELS),
    );
    lab.router.ping(&PLAIN.to_string());
    daemon.stop();
    nothing_left(&lab);
}

fn finds_the_upstream_by_the_default_route() {
    let lab = Lab::veth();
    // No [[upstream]] at all: the three-line configuration of the README.
    let daemon = Daemon::start(&lab, Settings::default().range(D, "gv1", "").without_upstream());
    Link::open(&lab).answered(&Solicitation::multicast(ROUTER, PLAIN));
    daemon.stop();
}

fn nothing_left(lab: &Lab) {
    assert_eq!(ours(lab), "");
}

fn ours(lab: &Lab) -> String {
    lab.host.show("-o route show table all proto 64")
}

fn writes_a_line_for_each_packet_at_trace_alone() {
    for (level, is_written) in [("trace", true), ("debug", false)] {
        let lab = Lab::veth();
        let settings = Settings::default().range(D, "gv1", "").rest(&format!("[log]\nlevel = \"{level}\"\n"));
        let daemon = Daemon::start(&lab, settings);
        let mut link = Link::open(&lab);
        link.answered(&Solicitation::multicast(ROUTER, PLAIN));
        link.unanswered(&Solicitation::multicast(ROUTER, d(0x999)));
        let said = daemon.stop();
        for word in ["solicited", "answered"] {
            let is_there = said.lines().any(|line| line.contains(word) && line.contains(&PLAIN.to_string()));
            assert_eq!(is_there, is_written, "{level} {word}: {said}");
        }
    }
}
