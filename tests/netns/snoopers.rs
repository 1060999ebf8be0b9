//! What switches that snoop MLD cannot be told by reports, and how a multicast router helps (RFC 4286).

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lone64::wire::{Mac, MldQuery, MldVersion, MulticastRouterSolicitation};
use serde_json::json;

use crate::client::{ask, lone64, status};
use crate::daemon::{BINARY, Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, target_of};
use crate::lab::{C, GUEST, Lab, ROUTER, UPSTREAM_MAC, c};
use crate::namespace::eventually;
use crate::solicitation::Solicitation;
use crate::switch::{group, groups, neighbor, ten_queries};

crate::cases![
    an_old_querier_knows_its_groups_as_long_and_as_short,
    says_which_guests_a_switch_cannot_be_told_of,
    says_of_a_range_that_is_too_wide_what_helps,
    reaches_any_of_65_536_guests_where_a_multicast_router_is_advertised,
    tells_a_switch_that_starts_again_of_the_multicast_router,
    names_the_querier_until_it_is_proved_that_all_questions_come,
];

fn an_old_querier_knows_its_groups_as_long_and_as_short() {
    let lab = Lab::switched();
    lab.switch().ip("link set sw0 type bridge mcast_mld_version 1 mcast_membership_interval 300");
    let before = groups(&lab);
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").without_sentinels());
    let mut switch = Endpoint::open(lab.switch(), "p1");
    lab.host.ip(&(0x100..0x140).map(|number| neighbor(c(number), "br0")).collect::<String>());
    let mut all: BTreeSet<_> = (0x100..0x140).map(group).collect();
    switch.receive_until("a report of the first version", PATIENCE, |frame| {
        is_ours(frame, 131, &[0xff, 0, 1, 0x20]).then_some(())
    });
    eventually("all are known", PATIENCE, || groups(&lab).is_superset(&all).then_some(()));
    ten_queries(&lab);
    assert!(groups(&lab).is_superset(&all), "{:?}", groups(&lab));
    daemon.stop();
    switch.receive_until("an end of the first version", PATIENCE, |frame| {
        is_ours(frame, 132, &[0xff, 0, 1, 0x3f]).then_some(())
    });
    eventually("all have ended", PATIENCE, || {
        all.retain(|group| groups(&lab).contains(group));
        all.is_empty().then_some(())
    });
    assert_eq!(groups(&lab), before);
}

fn says_which_guests_a_switch_cannot_be_told_of() {
    let lab = Lab::switched();
    // Without the lab's own guest, which is found by its report at a moment that nobody knows.
    let exclude = format!("exclude = [\"{GUEST}/128\"]");
    let settings = || Settings::default().range(C, "br0", &exclude).without_sentinels();
    let few = settings().rest("[limits]\ngroups = 5\n");
    let daemon = Daemon::start(&lab, few.clone().upstream("announce = false\n"));
    let notes = || status(&daemon)["notes"].clone();
    assert_eq!(notes(), json!([]));
    lab.host.ip(&(0x100..0x108).map(|number| neighbor(c(number), "br0")).collect::<String>());
    let said = eventually("it is said", PATIENCE, || notes()[0].as_str().map(str::to_owned));
    assert!(said.starts_with("5 multicast groups are reported on up0"), "{said}");
    assert!(said.contains("mld = \"router\"") && said.contains("all multicast of the link"), "{said}");
    let shown = lone64(&daemon.socket(), "status");
    let text = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.status.code(), Some(0), "{text}");
    assert!(text.contains("note: 5 multicast groups"), "{text}");
    let mld = &status(&daemon)["upstreams"][0]["mld"];
    assert_eq!((&mld["groups"], &mld["waiting"]), (&json!(5), &json!(4)));
    // The first have room, and so has the host's own address.
    eventually("the switch knows the first", PATIENCE, || groups(&lab).contains(&group(0x103)).then_some(()));
    let mut router = Endpoint::open(&lab.router, "rt0");
    answered(&mut router, c(0x103));
    assert!(!groups(&lab).contains(&group(0x107)));
    // What it says helps.
    let reload = |settings: Settings| {
        settings.write(&daemon.config());
        assert!(ask(&daemon.socket(), r#"{"method":"reload"}"#)["result"].is_object());
    };
    reload(few.upstream("announce = false\nmld = \"router\"\n"));
    eventually("the last one is reached", PATIENCE, || {
        router.send(&Solicitation::multicast(ROUTER, c(0x107)).frame());
        (notes() == json!([])).then_some(())
    });
    answered(&mut router, c(0x107));
    reload(settings().rest("[limits]\ngroups = 9\n").upstream("announce = false\n"));
    assert_eq!(notes(), json!([]));
    eventually("the switch knows the last", PATIENCE, || groups(&lab).contains(&group(0x107)).then_some(()));
    let log = daemon.stop();
    assert_eq!(log.matches("which is the limit (`groups` in [limits])").count(), 1, "{log}");
    assert_eq!(log.matches("all multicast groups fit into the limit on up0 again").count(), 1, "{log}");
}

fn says_of_a_range_that_is_too_wide_what_helps() {
    let lab = Lab::switched();
    let settings = Settings::default().range(C, "br0", "answer = \"always\"").without_sentinels();
    let daemon = Daemon::start(&lab, settings.clone());
    let said = status(&daemon)["notes"][0].as_str().unwrap().to_owned();
    assert!(said.starts_with(&format!("range {C}: lone64 answers for every address")), "{said}");
    assert!(said.contains("mld = \"router\"") && !said.contains("raise `groups`"), "{said}");
    let checked = lone64_check(&daemon.config());
    assert!(checked.contains(&format!("note: range {C}: lone64 answers")), "{checked}");
    daemon.stop();
    let daemon = Daemon::start(&lab, settings.upstream("mld = \"router\"\n"));
    assert_eq!(status(&daemon)["notes"], json!([]));
    assert!(!lone64_check(&daemon.config()).contains("note: range"));
    let mut router = Endpoint::open(&lab.router, "rt0");
    for number in (0..0xffff).step_by(0x1111) {
        answered(&mut router, c(number));
    }
    daemon.stop();
}

fn reaches_any_of_65_536_guests_where_a_multicast_router_is_advertised() {
    let lab = Lab::switched();
    let settings = Settings::default().range(C, "br0", "").without_sentinels();
    let daemon = Daemon::start(&lab, settings.upstream("mld = \"router\"\nannounce = false\n"));
    // The first is the host's own.
    lab.host.ip(&(2..=0xffff).map(|number| neighbor(c(number), "br0")).collect::<String>());
    eventually("all are live", PATIENCE, || {
        let live = status(&daemon)["totals"]["targets"]["live"].as_u64();
        (live >= Some(0xfffe)).then_some(())
    });
    assert_eq!(status(&daemon)["notes"], json!([]));
    let mut router = Endpoint::open(&lab.router, "rt0");
    for number in (3..0xffff).step_by(0xfed).chain([0xffff]) {
        answered(&mut router, c(number));
    }
    daemon.stop();
}

fn tells_a_switch_that_starts_again_of_the_multicast_router() {
    let lab = Lab::switched();
    let settings = Settings::default().range(C, "br0", "").without_sentinels();
    let daemon = Daemon::start(&lab, settings.upstream("mld = \"router\"\n"));
    let mut port = Endpoint::open(lab.switch(), "p1");
    let source_mac = Mac([2, 0, 0, 0, 0, 9]);
    let asked = MulticastRouterSolicitation { source_mac, source: "fe80::9".parse().unwrap() };
    let mut frame = [0; 66];
    asked.emit(&mut frame);
    // By itself it would take five minutes to say so sixteen times.
    for _ in 0..16 {
        port.send(&frame);
        port.receive_until("the multicast router", PATIENCE, |frame| {
            (frame.get(20) == Some(&0) && frame.get(62) == Some(&151)).then_some(())
        });
    }
    daemon.stop();
}

fn names_the_querier_until_it_is_proved_that_all_questions_come() {
    let lab = Lab::switched();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").without_sentinels());
    let mld = || status(&daemon)["upstreams"][0]["mld"].clone();
    eventually("the querier is heard", PATIENCE, || (mld()["querier"] == "fe80::9").then_some(()));
    assert_eq!(mld()["delivers_all"], false);
    let text = String::from_utf8(lone64(&daemon.socket(), "status").stdout).unwrap();
    assert!(
        text.contains("MLD querier fe80::9; ") && text.contains("; no solicitation for another"),
        "{text}"
    );
    // A link that passes everything on, as a switch that does not snoop.
    lab.switch().ip("link set sw0 type bridge mcast_snooping 0");
    let mut switch = Endpoint::open(lab.switch(), "p1");
    let query = MldQuery {
        source_mac: Mac([2, 0, 0, 0, 0, 9]),
        source: "fe80::9".parse().unwrap(),
        version: MldVersion::V2,
        group: None,
        max_response: Duration::from_secs(1),
    };
    let mut frame = [0; 90];
    let length = query.emit(&mut frame);
    let mut router = Endpoint::open(&lab.router, "rt0");
    eventually("it is proved that all come", 2 * PATIENCE, || {
        switch.send(&frame[..length]);
        router.send(&Solicitation::multicast(ROUTER, c(0x77)).frame());
        (mld()["delivers_all"] == true).then_some(())
    });
    daemon.stop();
}

/// The router asks by multicast, and there is an answer.
fn answered(router: &mut Endpoint, target: Ipv6Addr) {
    router.send(&Solicitation::multicast(ROUTER, target).frame());
    router.receive_until("the answer", PATIENCE, |frame| {
        (target_of(frame, ADVERTISEMENT) == Some(target)).then_some(())
    });
}

/// A message of this type that the daemon sends about listeners, with this end.
fn is_ours(frame: &[u8], kind: u8, end: &[u8]) -> bool {
    frame.get(20) == Some(&0)
        && frame.get(62) == Some(&kind)
        && frame.get(6..12) == Some(&UPSTREAM_MAC[..])
        && frame.ends_with(end)
}

/// What `lone64 check` says of a configuration, in one line.
fn lone64_check(config: &Path) -> String {
    let output = Command::new(BINARY).arg("check").arg(config).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}
