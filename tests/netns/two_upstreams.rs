//! Two providers, each with a router and an on-link /64: guests leave by the one that their address is from.
//!
//! ```text
//! router rt0 ──── up0 host br0 ──── eth0 guest      (a range of each provider's)
//! second rt1 ──── up1
//! ```

use std::net::Ipv6Addr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::client::status;
use crate::daemon::{BINARY, Daemon, Settings, directory};
use crate::endpoint::PATIENCE;
use crate::lab::{C, GUEST, Lab, UPSTREAM_GLOBAL};
use crate::namespace::{Namespace, eventually};
use crate::provider::reaches;

crate::cases![
    is_named_by_check_with_the_commands_that_mend_it,
    is_named_where_halves_or_an_eighth_stand_for_the_default_route,
    is_not_named_where_the_host_has_rules_for_it,
    is_not_named_with_one_upstream_or_on_another_host,
    providers_with_different_filters_each_get_the_source_that_they_let_through,
];

/// Of the second provider.
const SECOND: &str = "2001:db8:ffff:2:c::/112";
const SECOND_GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 2, 0xc, 0, 0, 5);
/// Far away, and reached by either provider.
const FAR_AWAY: &str = "2001:7fd::1";

/// The lab, and the second provider's router.
fn two_providers() -> (Lab, Namespace) {
    let lab = Lab::veth();
    let second = Namespace::new();
    lab.host.ip(&format!(
        "link add up1 address 02:00:00:00:00:22 type veth peer name rt1 address 02:00:00:00:00:21 netns {}
         link set up1 up
         addr add fe80::22/64 dev up1 nodad
         addr add 2001:db8:ffff:2::2/64 dev up1 nodad
         route add default via fe80::21 dev up1 metric 2048
         addr add 2001:db8:ffff:2:c::1/112 dev br0 nodad",
        second.path()
    ));
    second.ip("link set rt1 up
         addr add fe80::21/64 dev rt1 nodad
         addr add 2001:db8:ffff:2::1/64 dev rt1 nodad");
    // Each has a way back to its own prefix alone, as the other provider drops what is not its own.
    for router in [&lab.router, &second] {
        router.ip(&format!("addr add {FAR_AWAY}/128 dev lo nodad"));
    }
    lab.guest.ip(&format!("addr add {SECOND_GUEST}/112 dev eth0 nodad"));
    (lab, second)
}

fn both() -> Settings {
    Settings::default()
        .without_sentinels()
        .upstream_named("up0")
        .range(C, "br0", "upstream = \"up0\"")
        .range(SECOND, "br0", "upstream = \"up1\"")
        .rest("[[upstream]]\ninterface = \"up1\"\n")
}

/// What check prints, as text and as an object; the configuration is good.
fn check(host: &Namespace, settings: &Settings) -> (String, Value) {
    let directory = directory();
    let file = directory.join("lone64.toml");
    settings.write(&file);
    let ask = |more: &[&str]| {
        let mut command = Command::new(BINARY);
        command.arg("check").args(more).arg(&file).stdin(Stdio::null()).stdout(Stdio::piped());
        let output = host.spawn(&mut command).wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = (ask(&[]), serde_json::from_str(&ask(&["--json"])).unwrap());
    std::fs::remove_dir_all(directory).unwrap();
    said
}

fn is_named_by_check_with_the_commands_that_mend_it() {
    let (lab, _second) = two_providers();
    let (text, object) = check(&lab.host, &both());
    let sentence = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        sentence.contains(
            "note: guests in 2001:db8:ffff:2::/64 must leave through up1, whose provider gave the prefix, but \
             their packets leave through up0"
        ),
        "{text}"
    );
    assert_eq!(text.matches("note: guests in").count(), 1, "those of the default route are right: {text}");
    let found = object["ways_out"].as_array().unwrap();
    assert_eq!((found.len(), found[0]["leaves_by"].as_str()), (1, Some("up0")), "{object:#}");
    let lines: Vec<_> =
        found[0]["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "ip -6 route add default via fe80::21 dev up1 table 102",
            "ip -6 rule add pref 100 lookup main suppress_prefixlength 0",
            "ip -6 rule add pref 101 from 2001:db8:ffff:2::/64 lookup 102",
        ]
    );
    assert!(lines.iter().all(|line| text.contains(&format!("\n          {line}\n"))), "{text}");

    // Typed as they stand, they put it right.
    let daemon = Daemon::start(&lab, both());
    for line in lines {
        lab.host.ip(line.strip_prefix("ip -6 ").unwrap());
    }
    let (text, object) = check(&lab.host, &both());
    assert!(!text.contains("note: guests in"), "{text}");
    assert_eq!(object["ways_out"], serde_json::json!([]));
    for guest in [GUEST, SECOND_GUEST] {
        lab.guest.ping(&format!("-I {guest} {FAR_AWAY}"));
    }
    crate::doctor::finds_no_fault(&lab.host);
    daemon.stop();
}

fn is_named_where_halves_or_an_eighth_stand_for_the_default_route() {
    for defaults in [["::/1", "8000::/1"].as_slice(), &["2000::/3"]] {
        let (lab, _second) = two_providers();
        lab.host.ip("route del default dev up0\nroute del default dev up1");
        for (metric, via) in [(1024, "via fe80::1 dev up0"), (2048, "via fe80::21 dev up1")] {
            for default in defaults {
                lab.host.ip(&format!("route add {default} {via} metric {metric}"));
            }
        }
        let (text, object) = check(&lab.host, &both());
        assert_eq!(object["ways_out"][0]["leaves_by"], "up0", "{defaults:?}: {object:#}");
        let line = "ip -6 route add default via fe80::21 dev up1 table 102";
        assert!(text.contains(line), "{defaults:?}: {text}");
    }
}

fn is_not_named_where_the_host_has_rules_for_it() {
    for rules in [
        "rule add from 2001:db8:ffff:2::/64 lookup 77\nroute add default via fe80::21 dev up1 table 77",
        // Source-specific, as networkd and babel have it.
        "route add default from 2001:db8:ffff:2::/64 via fe80::21 dev up1 metric 10",
        // By the interface and the prefix, and two halves in the place of the default route.
        "rule add iif br0 from 2001:db8:ffff:2:c::/80 lookup 78
         route add ::/1 via fe80::21 dev up1 table 78
         route add 8000::/1 via fe80::21 dev up1 table 78",
    ] {
        let (lab, _second) = two_providers();
        lab.host.ip(rules);
        let (text, object) = check(&lab.host, &both());
        assert!(!text.contains("note: guests in"), "{rules}: {text}");
        assert_eq!(object["ways_out"], serde_json::json!([]), "{rules}");
    }
}

fn is_not_named_with_one_upstream_or_on_another_host() {
    let (lab, _second) = two_providers();
    let one = Settings::default().without_sentinels().range(C, "br0", "");
    let elsewhere = Namespace::new();
    for (host, settings) in [(&lab.host, one), (&elsewhere, both())] {
        let (text, object) = check(host, &settings);
        assert!(!text.contains("note: guests in"), "{text}");
        assert_eq!(object["ways_out"], serde_json::json!([]));
    }
}

fn drops(router: &Namespace, port: &str, rule: &str) {
    router.output("nft", "add table ip6 provider");
    router.output("nft", "add chain ip6 provider in { type filter hook prerouting priority -300 ; }");
    let rule =
        format!("add rule ip6 provider in iifname \"{port}\" icmpv6 type nd-neighbor-advert {rule} drop");
    router.output("nft", &rule);
    router.sysctls(&[
        (&format!("net/ipv6/neigh/{port}/base_reachable_time_ms"), "2000"),
        (&format!("net/ipv6/neigh/{port}/delay_first_probe_time"), "1"),
    ]);
}

fn providers_with_different_filters_each_get_the_source_that_they_let_through() {
    let (lab, second) = two_providers();
    drops(&lab.router, "rt0", &format!("ip6 saddr {{ fe80::/10, {UPSTREAM_GLOBAL} }}"));
    drops(&second, "rt1", "ip6 saddr != 2001:db8:ffff:2::2");
    let daemon = Daemon::start(&lab, Settings::default().without_upstream().without_sentinels());
    let ways = [(&lab.router, GUEST), (&second, SECOND_GUEST)];
    for (router, guest) in ways {
        eventually("the guest is reached", PATIENCE, || reaches(router, guest).then_some(()));
    }
    // Entries that announcements bring are good for some seconds.
    let found = eventually("both sources are found", PATIENCE, || {
        ways.iter().for_each(|(router, guest)| _ = reaches(router, *guest));
        let askers = status(&daemon)["askers"].take();
        let found = |interface: &str| {
            let mut askers = askers.as_array()?.iter().filter(|asker| asker["interface"] == interface);
            let asker = askers.find(|asker| asker["trying"] == false && asker["source"] != "scope")?;
            Some((asker["source"].clone(), asker["gateway"].clone()))
        };
        Some([found("up0")?, found("up1")?])
    });
    assert_eq!(found, ["target", "global"].map(|source| (source.into(), true.into())));
    daemon.stop();
}
