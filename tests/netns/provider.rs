//! What a provider lets through, found out by itself: real routers with packet filters, and nothing configured.

use std::net::Ipv6Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::client::{ask, lone64};
use crate::daemon::{Daemon, Settings, directory};
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, FAR, GUEST, Lab, PLAIN, UPSTREAM_GLOBAL, UPSTREAM_LINK_LOCAL};
use crate::namespace::{Namespace, eventually};

crate::cases![
    finds_the_source_of_answers_that_a_router_takes_and_remembers_it,
    finds_it_where_announcements_bring_an_entry_that_cannot_be_confirmed,
    says_which_guests_a_router_takes_and_which_not,
    asks_for_the_gateway_from_a_global_address_as_long_as_link_local_questions_are_dropped,
];

/// The lab with a router that drops what matches, and somebody behind it.
fn lab(rule: &str) -> (Lab, Namespace) {
    let lab = Lab::veth();
    let far = lab.far();
    lab.router.output("nft", "add table ip6 provider");
    lab.router.output("nft", "add chain ip6 provider in { type filter hook prerouting priority -300 ; }");
    lab.router.output("nft", &format!("add rule ip6 provider in iifname \"rt0\" {rule} drop"));
    (lab, far)
}

fn settings(socket: &Path) -> Settings {
    let control = format!("[control]\nsocket = \"{}\"\n", socket.display());
    Settings::default().range(C, "br0", "").range(D, "gv1", "").rest(&control)
}

/// One packet, which is replied to within a second, or not.
pub(crate) fn reaches(from: &Namespace, target: Ipv6Addr) -> bool {
    let mut command = Command::new("ping");
    command.args(["-c", "1", "-W", "1", &target.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
    from.spawn(&mut command).wait().unwrap().success()
}

fn askers(socket: &Path) -> Vec<Value> {
    let mut status = ask(socket, r#"{"method":"status"}"#)["result"].take();
    serde_json::from_value(status["askers"].take()).unwrap()
}

/// The source that was found for the router's link-local address.
fn found(socket: &Path) -> Option<Value> {
    let mut askers = askers(socket).into_iter();
    let asker = askers.find(|asker| asker["address"] == "fe80::1" && asker["trying"] == false)?;
    Some(asker["source"].clone()).filter(|source| source != "scope")
}

fn finds_the_source_of_answers_that_a_router_takes_and_remembers_it() {
    let advertisement = "icmpv6 type nd-neighbor-advert";
    for (rule, source) in [
        (format!("{advertisement} ip6 saddr fe80::/10"), "target"),
        (format!("{advertisement} ip6 saddr != 2001:db8:1:2::/64"), "target"),
        (format!("{advertisement} ip6 saddr != {UPSTREAM_GLOBAL}"), "global"),
    ] {
        let (lab, far) = lab(&rule);
        let directory = directory();
        let socket = directory.join("control.sock");
        // Without announcements: the solicitation from the guest's address would be let in.
        let daemon = Daemon::start(&lab, settings(&socket).upstream("announce = false\n"));
        eventually("the router reaches the guest", PATIENCE, || reaches(&far, GUEST).then_some(()));
        assert_eq!(eventually("the source is found", PATIENCE, || found(&socket)), source, "{rule}");
        // Another guest at once.
        far.ping(&PLAIN.to_string());
        let said = daemon.stop();
        let written = format!("source = \"{source}\" in the [[upstream]] sends them");
        assert!(said.contains(&written), "{said}");

        lab.router.ip("neigh flush dev rt0");
        let daemon = Daemon::start(&lab, settings(&socket).upstream("announce = false\n"));
        far.ping(&GUEST.to_string());
        assert_eq!(found(&socket), Some(json!(source)), "it was remembered");
        let said = daemon.stop();
        assert!(!said.contains("says the same"), "and is no news: {said}");
        std::fs::remove_dir_all(directory).unwrap();
    }
}

fn finds_it_where_announcements_bring_an_entry_that_cannot_be_confirmed() {
    let (lab, far) = lab("icmpv6 type nd-neighbor-advert ip6 saddr fe80::/10");
    lab.router.sysctls(&[
        ("net/ipv6/neigh/rt0/base_reachable_time_ms", "4000"),
        ("net/ipv6/neigh/rt0/delay_first_probe_time", "3"),
    ]);
    let directory = directory();
    let socket = directory.join("control.sock");
    let daemon = Daemon::start(&lab, settings(&socket));
    let source = eventually("the source is found", PATIENCE, || {
        reaches(&far, GUEST);
        found(&socket)
    });
    assert_eq!(source, "target");
    far.ping(&GUEST.to_string());
    daemon.stop();
    std::fs::remove_dir_all(directory).unwrap();
}

fn says_which_guests_a_router_takes_and_which_not() {
    // Targets outside the first range: their fifth group is another.
    let (lab, far) = lab("icmpv6 type nd-neighbor-advert @th,128,16 != 0x000c");
    let directory = directory();
    let socket = directory.join("control.sock");
    let daemon = Daemon::start(&lab, settings(&socket).upstream("announce = false\n"));
    far.ping(&GUEST.to_string());
    let complaint = eventually("it is told", PATIENCE, || {
        assert!(!reaches(&far, PLAIN));
        askers(&socket)
            .into_iter()
            .find(|asker| asker["not_taken"] == json!([PLAIN]) && asker["trying"] == false)
    });
    assert_eq!((&complaint["taken"], &complaint["source"]), (&json!(1), &json!("scope")));
    let text = String::from_utf8(lone64(&socket, "status").stdout).unwrap();
    let text: Vec<_> = text.split_whitespace().collect();
    assert!(
        text.join(" ").contains(&format!("accepts answers for 1 of 2 guests, and not for {PLAIN}")),
        "{text:?}"
    );
    // The first one is served as before, and the second one as soon as the provider admits it.
    lab.router.ip("neigh flush dev rt0");
    far.ping(&GUEST.to_string());
    eventually("it is told in the log", PATIENCE, || {
        reaches(&far, PLAIN);
        askers(&socket).iter().any(|asker| asker["message"].is_string()).then_some(())
    });
    lab.router.output("nft", "delete table ip6 provider");
    // An answer to the last question of a row says nothing: the router would be silent anyway. So it forgets what it
    // knows, and asks once for what it has packets for.
    eventually("the complaint is over", PATIENCE, || {
        far.ping(&format!("-c 4 {PLAIN}"));
        let is_over = askers(&socket).is_empty();
        if !is_over {
            lab.router.ip("neigh flush dev rt0");
        }
        is_over.then_some(())
    });
    daemon.stop();
    std::fs::remove_dir_all(directory).unwrap();
}

fn asks_for_the_gateway_from_a_global_address_as_long_as_link_local_questions_are_dropped() {
    let (lab, _far) = lab("icmpv6 type nd-neighbor-solicit ip6 saddr fe80::/10");
    // What the router asks would tell the host where the router is.
    for known in [GUEST, PLAIN, UPSTREAM_GLOBAL, UPSTREAM_LINK_LOCAL] {
        lab.router.ip(&format!("neigh replace {known} lladdr 02:00:00:00:00:02 dev rt0 nud permanent"));
    }
    let entry = || lab.host.show("neigh show fe80::1 dev up0");
    let directory = directory();
    let socket = directory.join("control.sock");
    let kept_by = || {
        let status = ask(&socket, r#"{"method":"status"}"#);
        status["result"]["upstreams"][0]["gateway_source"].as_str().map(str::to_owned)
    };
    // Without announcements: the gateway's answer to one for an address of the host's own would be
    // one to the kernel's question.
    let daemon = Daemon::start(&lab, settings(&socket).upstream("announce = false\n"));
    assert_eq!(kept_by().as_deref(), Some("kernel"));
    eventually("the guest gets out", PATIENCE, || reaches(&lab.guest, FAR).then_some(()));
    eventually("it is known why", PATIENCE, || (kept_by().as_deref() == Some("global")).then_some(()));
    lab.host.ip("neigh del fe80::1 dev up0");
    eventually("the kernel is told again", PATIENCE, || {
        entry().contains("lladdr 02:00:00:00:00:01").then_some(())
    });
    lab.router.output("nft", "delete table ip6 provider");
    eventually("it is the kernel's business again", PATIENCE, || {
        (kept_by().as_deref() == Some("kernel")).then_some(())
    });
    lab.guest.ping(&FAR.to_string());
    let said = daemon.stop();
    assert!(said.contains("gateway-source = \"global\" in the [[upstream]] does so"), "{said}");
    assert!(said.contains("answers solicitations from link-local addresses again"), "{said}");
    std::fs::remove_dir_all(directory).unwrap();
}
