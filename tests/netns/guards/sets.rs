//! Named sets for the rules of the administrator: live addresses and guests, in a table in which the administrator's chains
//! stay.

use super::{eventually_guarded, guest};
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER_AT_LARGE};
use crate::namespace::{Namespace, eventually};

crate::cases![
    named_sets_follow_what_is_live_and_a_rule_of_the_administrator_uses_them,
    named_sets_are_put_back_and_go_with_the_daemon,
];

const SETS: &str = "[export]\nnft-sets = true\n";

/// As the documentation has it: the file loads whether or not lone64 runs.
const RULES: &str = "table inet lone64 {
    set live { type ipv6_addr; }
    set guests { type ipv6_addr; }
    set delegated { type ipv6_addr; flags interval; }
    chain forward {
        type filter hook forward priority filter; policy accept;
        iifname \"up0\" ip6 daddr != @guests counter drop
    }
}
";

fn load(host: &Namespace, rules: &str) {
    let file = crate::daemon::directory().join("rules.nft");
    std::fs::write(&file, rules).unwrap();
    host.output("nft", &format!("-f {}", file.display()));
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
}

fn set(lab: &Lab, name: &str) -> String {
    lab.host.output("nft", &format!("list set inet lone64 {name}"))
}

fn eventually_in(lab: &Lab, name: &str, words: &str) {
    eventually(&format!("{words} in {name}"), PATIENCE, || {
        let tables = lab.host.output("nft", "list tables");
        (tables.contains("inet lone64") && set(lab, name).contains(words)).then_some(())
    });
}

fn settings() -> Settings {
    Settings::default()
        .range(C, "br0", "routes = \"guests\"")
        .range(D, "gv1", "")
        .rest(&guest("a", 5, "br0", GUEST, "delegate = [\"2001:db8:1:2:c::4000/116\"]"))
        .rest(SETS)
}

fn named_sets_follow_what_is_live_and_a_rule_of_the_administrator_uses_them() {
    let lab = Lab::veth();
    load(&lab.host, RULES);
    let daemon = Daemon::start(&lab, settings());
    eventually_guarded(&daemon, &[]);
    eventually_in(&lab, "guests", &GUEST.to_string());
    // One that is live and no guest with an identity is not let through by the rule.
    lab.plain.ping("fe80::b1%eth0");
    lab.host.ping(&PLAIN.to_string());
    eventually_in(&lab, "live", &PLAIN.to_string());
    lab.guest.ping("fe80::b0%eth0");
    eventually_in(&lab, "delegated", "2001:db8:1:2:c::4000/116");
    lab.router.ping(&GUEST.to_string());
    let child = lab.router.spawn(std::process::Command::new("ping").args([
        "-n",
        "-c",
        "1",
        "-W",
        "1",
        &PLAIN.to_string(),
    ]));
    assert!(!child.wait_with_output().unwrap().status.success(), "the rule drops it");
    assert!(lab.host.output("nft", "list chain inet lone64 forward").contains("counter packets 1 "));
    // A guest whose link is gone is not live.
    lab.host.ip("link set gv1 down");
    eventually("it is not live any more", PATIENCE, || {
        (!set(&lab, "live").contains(&PLAIN.to_string())).then_some(())
    });
    daemon.stop();
    let left = lab.host.output("nft", "list table inet lone64");
    assert!(left.contains("chain forward") && !left.contains("elements"), "{left}");
    assert!(lab.router.ping(&ROUTER_AT_LARGE.address.to_string()).contains("1 received"));
}

fn named_sets_are_put_back_and_go_with_the_daemon() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings());
    eventually_in(&lab, "guests", &GUEST.to_string());
    lab.host.output("nft", "flush ruleset");
    eventually_in(&lab, "guests", &GUEST.to_string());
    load(&lab.host, RULES);
    lab.host.output("nft", "flush set inet lone64 guests");
    eventually_in(&lab, "guests", &GUEST.to_string());
    assert!(lab.host.output("nft", "list table inet lone64").contains("chain forward"), "chains stay");
    daemon.kill();
    lab.host.output("nft", "delete chain inet lone64 forward");
    let daemon = Daemon::start(&lab, settings());
    eventually_in(&lab, "live", &GUEST.to_string());
    daemon.stop();
    assert!(!lab.host.output("nft", "list tables").contains("lone64"), "nothing is left");
}
