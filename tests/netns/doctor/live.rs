//! `lone64 doctor --live`: every leg broken once, named, and repaired by what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::traveller::{Traveller, bridge};
use crate::daemon::Settings;
use crate::endpoint::PATIENCE;
use crate::lab::{C, D, Lab, c};
use crate::namespace::eventually;
use crate::veths::{E, Veths};

crate::cases![
    follows_a_packet_out_and_back_and_leaves_nothing_behind,
    puts_a_guest_on_an_interface_of_its_own_for_a_pattern,
    takes_the_host_for_a_guest_where_none_can_be_put,
    finds_that_forwarded_packets_are_dropped_on_either_way,
    finds_that_forwarding_is_off_by_the_packet,
    finds_that_guests_are_masqueraded,
    finds_the_table_of_a_rule_that_leads_replies_away,
    finds_that_the_gateway_answers_global_addresses_only,
    finds_that_the_gateway_is_silent,
    finds_that_the_router_never_asks,
    finds_that_the_router_holds_an_old_entry,
    finds_that_no_daemon_answers,
    finds_why_the_daemon_does_not_answer,
    finds_the_source_that_the_router_accepts,
    refuses_an_address_that_is_taken,
    refuses_without_privileges,
    leaves_the_bridge_its_address_and_its_mtu,
    leaves_nothing_behind_when_it_is_killed,
    leaves_nothing_behind_when_it_is_interrupted,
    is_interrupted_also_while_it_looks_at_the_host_once_more,
];

fn follows_a_packet_out_and_back_and_leaves_nothing_behind() {
    let traveller = Traveller::usual();
    let before = traveller.state();
    let live = traveller.holds(&[]);
    assert_eq!(live["behind"], "behind br0");
    let values = live["legs"].to_string();
    for word in ["echo reply", "asked for", "this host answered from"] {
        assert!(values.contains(word), "{word} is missing: {live:#}");
    }
    assert_eq!(traveller.state(), before);
}

fn puts_a_guest_on_an_interface_of_its_own_for_a_pattern() {
    let Veths { lab, guests } = Veths::new(1);
    let settings = Settings::default().without_sentinels().range(E, "vg*", "");
    let traveller = Traveller::new(lab, &settings);
    let before = traveller.state();
    let live = traveller.holds(&[]);
    assert!(live["behind"].as_str().expect("text").starts_with("behind vg"), "{live:#}");
    // The daemon's own route to the guest goes with the guest.
    eventually("everything is as before", PATIENCE, || (traveller.state() == before).then_some(()));
    drop(guests);
}

fn takes_the_host_for_a_guest_where_none_can_be_put() {
    let mut traveller =
        Traveller::new(Lab::veth(), &Settings::default().without_sentinels().range(D, "gv1", ""));
    let live = traveller.holds(&[]);
    assert!(live["behind"].as_str().expect("text").contains("no guest can be put behind gv1"), "{live:#}");
    traveller.restart(&Settings::default().without_sentinels().range("2001:db8:1:2:a::/112", "lo", ""));
    let live = traveller.holds(&[]);
    assert_eq!(live["behind"], "the host itself");
}

fn finds_that_forwarded_packets_are_dropped_on_either_way() {
    let traveller = Traveller::usual();
    let host = &traveller.patient.lab.host;
    traveller.nft(
        host,
        "add table inet t\nadd chain inet t f { type filter hook forward priority 0; policy drop; }",
    );
    let remedies = traveller.is_lost(&[], "request", &["chain f of nft's table inet t"]);
    let accept = |way: &str| format!("nft add rule inet t f ip6 {way} {C} accept");
    assert_eq!(remedies, [accept("daddr"), accept("saddr")]);
    traveller.patient.shell(&remedies[1]);
    let remedies = traveller.is_lost(&[], "delivery", &["chain f of nft's table inet t"]);
    assert_eq!(remedies, [accept("daddr")]);
    traveller.patient.shell(&remedies[0]);
    traveller.holds(&[]);
}

fn finds_that_forwarding_is_off_by_the_packet() {
    let traveller = Traveller::usual();
    traveller.patient.lab.host.sysctls(&[("net/ipv6/conf/all/forwarding", "0")]);
    let remedies = traveller.is_lost(&[], "request", &["forwarding is off"]);
    remedies.iter().for_each(|command| traveller.patient.shell(command));
    traveller.holds(&[]);
}

fn finds_that_guests_are_masqueraded() {
    let traveller = Traveller::usual();
    let host = &traveller.patient.lab.host;
    traveller.nft(
        host,
        "add table ip6 t\nadd chain ip6 t p { type nat hook postrouting priority 100; }\nadd rule ip6 t p oifname up0 masquerade",
    );
    traveller.is_lost(&[], "request", &["2001:db8:1:2::2 instead of", "masquerades"]);
}

fn finds_the_table_of_a_rule_that_leads_replies_away() {
    for keys in ["routes = \"range\"", "routes = \"guests\""] {
        let traveller =
            Traveller::new(Lab::veth(), &Settings::default().without_sentinels().range(C, "br0", keys));
        let host = &traveller.patient.lab.host;
        host.ip("rule add iif up0 lookup 77 priority 100\nroute add unreachable default table 77");
        let remedies = traveller.is_lost(&[], "delivery", &["lookup 77"]);
        let [remedy] = &remedies[..] else { panic!("one remedy: {remedies:?}") };
        traveller.patient.shell(remedy);
        traveller.holds(&[]);
    }
}

fn finds_that_the_gateway_answers_global_addresses_only() {
    // What is announced asks the gateway from a global address: its reply would be evidence enough for the kernel.
    let settings = bridge().upstream("announce = false\ngateway-source = \"kernel\"\n");
    let traveller = Traveller::new(Lab::veth(), &settings);
    let router = &traveller.patient.lab.router;
    traveller.nft(
        router,
        "add table ip6 t\nadd chain ip6 t i { type filter hook input priority 0; }\n\
         add rule ip6 t i icmpv6 type nd-neighbor-solicit ip6 saddr fe80::/10 drop",
    );
    traveller.forget();
    let remedies = traveller.is_lost(&[], "request", &["the gateway fe80::1", "fe80::2 asked for fe80::1"]);
    assert_eq!(remedies, ["[[upstream]]\ninterface = \"up0\"\ngateway-source = \"global\"\n"]);
}

fn finds_that_the_gateway_is_silent() {
    let traveller = Traveller::usual();
    let router = &traveller.patient.lab.router;
    traveller.nft(
        router,
        "add table ip6 t\nadd chain ip6 t i { type filter hook input priority 0; }\n\
         add rule ip6 t i icmpv6 type nd-neighbor-solicit drop",
    );
    traveller.forget();
    traveller.is_lost(&[], "request", &["the gateway fe80::1 does not answer"]);
}

fn finds_that_the_router_never_asks() {
    let traveller = Traveller::usual();
    // What comes back is thrown away, before anybody would ask where the guest is.
    traveller.patient.lab.router.ip(&format!("route add blackhole {C}"));
    traveller.is_lost(&[], "solicitation", &["nobody asked for", C]);
}

fn finds_that_the_router_holds_an_old_entry() {
    let traveller = Traveller::usual();
    let guest = c(0x77);
    traveller
        .patient
        .lab
        .router
        .ip(&format!("neigh add {guest} lladdr 02:00:00:00:00:99 dev rt0 nud permanent"));
    let options = ["--live-address", &guest.to_string()];
    traveller.is_lost(&options, "solicitation", &["old entry", "02:00:00:00:00:99"]);
}

fn finds_that_no_daemon_answers() {
    let mut traveller = Traveller::usual();
    traveller.daemon = None;
    let remedies = traveller.is_lost(&[], "advertisement", &["no lone64 is running", "asked for"]);
    assert_eq!(remedies, ["systemctl start lone64"]);
}

fn finds_why_the_daemon_does_not_answer() {
    let mut traveller = Traveller::usual();
    let guest = c(0x77).to_string();
    for (keys, words, remedy) in [
        (
            format!("exclude = [\"{guest}\"]"),
            "excluded from its range",
            "take it out of `exclude` of the range",
        ),
        (
            "answer = \"never\"".to_owned(),
            "never: the range has routes only",
            "write answer = \"live\" for the range",
        ),
    ] {
        traveller.restart(&Settings::default().without_sentinels().range(C, "br0", &keys));
        let remedies = traveller.is_lost(&["--live-address", &guest], "advertisement", &[words]);
        assert_eq!(remedies, [remedy]);
    }
}

fn finds_the_source_that_the_router_accepts() {
    // What the router drops, what the daemon does, what would work.
    for (dropped, configured, works) in [
        ("{ fe80::2, 2001:db8:1:2::2 }", "scope", "target"),
        ("{ fe80::2, 2001:db8:1:2:c::/112 }", "link-local", "global"),
    ] {
        let mut traveller =
            Traveller::new(Lab::veth(), &quiet().upstream(&format!("source = \"{configured}\"\n")));
        traveller.nft(
            &traveller.patient.lab.router,
            &format!(
                "add table ip6 t\nadd chain ip6 t i {{ type filter hook input priority 0; }}\n\
                 add rule ip6 t i icmpv6 type nd-neighbor-advert ip6 saddr {dropped} drop"
            ),
        );
        let remedies = traveller.is_lost(&[], "reply", &["does not take the answer"]);
        let line = format!("source = \"{works}\"\n");
        assert_eq!(remedies, [format!("[[upstream]]\ninterface = \"up0\"\n{line}")]);
        traveller.restart(&quiet().upstream(&line));
        traveller.holds(&[]);
    }
}

/// Without announcements: what the router learns from them, it need not ask for.
fn quiet() -> Settings {
    bridge().upstream("announce = false\n")
}

fn refuses_an_address_that_is_taken() {
    let traveller = Traveller::usual();
    let output = traveller.output(&["--live-address", &c(5).to_string()]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("2001:db8:1:2:c::5 is taken: 02:00:00:00:00:05"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

fn refuses_without_privileges() {
    let traveller = Traveller::usual();
    let command = traveller.command(&[]);
    let mut wrapper = Command::new("setpriv");
    wrapper
        .args(["--inh-caps=-all", "--bounding-set=-net_raw"])
        .arg(command.get_program())
        .args(command.get_args());
    wrapper.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = traveller.patient.lab.host.spawn(&mut wrapper).wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("needs CAP_NET_RAW; run it as root"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

fn leaves_the_bridge_its_address_and_its_mtu() {
    let mut traveller = Traveller::usual();
    let host = &traveller.patient.lab.host;
    // Nobody has set either of this one: the lowest address of its ports, and the lowest MTU.
    host.ip("link add br7 type bridge forward_delay 0
         link add q7 mtu 9000 type veth peer name p7 address 06:00:00:00:00:07 mtu 9000
         link set p7 master br7
         link set p7 up
         link set q7 up
         link set br7 up
         addr add fe80::b7/64 dev br7 nodad");
    let settings = Settings::default().without_sentinels().range("2001:db8:1:2:a::/112", "br7", "");
    traveller.configure(&settings);
    traveller.daemon = None;
    let own = || {
        let link = traveller.patient.lab.host.show("-o link show br7");
        link.split_whitespace()
            .filter(|word| word.starts_with("06:") || *word == "9000")
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(own(), "9000 06:00:00:00:00:07");
    let mut child = traveller.in_the_middle("br7");
    assert_eq!(own(), "9000 06:00:00:00:00:07");
    child.kill().expect("it runs");
    child.wait().expect("our child");
}

fn leaves_nothing_behind_when_it_is_killed() {
    let mut traveller = Traveller::usual();
    traveller.daemon = None;
    let before = traveller.configured();
    let mut child = traveller.in_the_middle("br0");
    child.kill().expect("it runs");
    child.wait().expect("our child");
    eventually("everything is as before", PATIENCE, || (traveller.configured() == before).then_some(()));
}

fn leaves_nothing_behind_when_it_is_interrupted() {
    let mut traveller = Traveller::usual();
    traveller.daemon = None;
    let before = traveller.state();
    // Where other tests take thousands of links apart, the kernel may have one attempt wait for a minute.
    eventually("it is interrupted before it is done", 5 * PATIENCE, || {
        let child = traveller.in_the_middle("br0");
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it runs");
        let output = child.wait_with_output().expect("it ends");
        // Where it stands in the report, or beside it.
        let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).join("");
        // Before it listens for signals the default is just as clean.
        let is_interrupted = output.status.code().is_none() || said.contains("interrupted");
        if !is_interrupted {
            eprintln!("{}, not interrupted: {said}", output.status);
        }
        is_interrupted.then_some(())
    });
    eventually("everything is as before", PATIENCE, || (traveller.state() == before).then_some(()));
}

fn is_interrupted_also_while_it_looks_at_the_host_once_more() {
    let mut traveller = Traveller::usual();
    traveller.daemon = None;
    let before = traveller.state();
    // A program that it asks while it looks at the host, and which interrupts it the second time.
    let patient = &traveller.patient;
    let script = "#!/bin/sh\n[ -e \"$0.seen\" ] && kill -INT $PPID\n: >\"$0.seen\"\n";
    patient.file("usr/bin/wg", script);
    let program = patient.directory().join("usr/bin/wg");
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("our file");
    let output = traveller.output(&[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(output.status.code(), Some(1));
    eventually("everything is as before", PATIENCE, || (traveller.state() == before).then_some(()));
}
