//! `lone64 doctor --live`: every leg broken once, named, and mended by what it says.

use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::Patient;
use crate::daemon::{Daemon, Settings};
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
    finds_that_the_gateway_answers_global_addresses_only,
    finds_that_the_gateway_is_silent,
    finds_that_the_router_never_asks,
    finds_that_the_router_holds_an_old_entry,
    finds_that_no_daemon_answers,
    finds_why_the_daemon_does_not_answer,
    finds_the_source_that_the_router_accepts,
    refuses_an_address_that_is_taken,
    refuses_without_privileges,
    leaves_nothing_behind_when_it_is_killed,
    leaves_nothing_behind_when_it_is_interrupted,
];

const TO: &str = "2001:db8:f::1";

/// A host whose router forwards, and what follows a packet there.
struct Traveller {
    patient: Patient,
    daemon: Option<Daemon>,
}

impl Traveller {
    fn new(lab: Lab, settings: &Settings) -> Self {
        lab.router.sysctls(&[("net/ipv6/conf/all/forwarding", "1")]);
        lab.router.ip("route add default via fe80::99 dev rt0");
        // So that the gateway is among the neighbours before and after.
        for router in ["2001:db8:1:2::1", "fe80::1%up0"] {
            // All namespaces of a machine share the room for neighbours, and a test beside this one
            // may be filling it.
            eventually("the host reaches its router", PATIENCE, || {
                let mut ping = Command::new("ping");
                ping.args(["-c", "1", "-W", "0.5", router]).stdout(Stdio::null());
                lab.host.spawn(&mut ping).wait().expect("ping ends").success().then_some(())
            });
        }
        let daemon = Daemon::start(&lab, settings.clone());
        let patient = Patient::with(lab, "");
        let traveller = Self { patient, daemon: Some(daemon) };
        traveller.configure(settings);
        traveller
    }

    /// The usual lab with one range on the bridge.
    fn usual() -> Self {
        Self::new(Lab::veth(), &bridge())
    }

    fn configure(&self, settings: &Settings) {
        let socket = self.daemon.as_ref().expect("it runs").socket();
        let control = format!("[control]\nsocket = \"{}\"\n", socket.display());
        self.patient.configure(&settings.clone().rest(&control).text());
    }

    /// Another daemon, with further lines.
    fn restart(&mut self, settings: &Settings) {
        self.daemon = None;
        self.daemon = Some(Daemon::start(&self.patient.lab, settings.clone()));
        self.configure(settings);
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lone64"));
        let directory = &self.patient.directory;
        command.args(["doctor", "--live", "--json", "--to", TO]).args(options);
        command.arg("--config").arg(directory.join("lone64.toml")).arg("--root").arg(directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn spawn(&self, options: &[&str]) -> Child {
        self.patient.lab.host.spawn(&mut self.command(options))
    }

    fn output(&self, options: &[&str]) -> Output {
        self.spawn(options).wait_with_output().expect("it ends")
    }

    fn live(&self, options: &[&str]) -> Value {
        let output = self.output(options);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        let is_healthy = report["healthy"] == true;
        assert_eq!(output.status.code(), Some(i32::from(!is_healthy)), "{said}");
        report["live"].clone()
    }

    fn holds(&self, options: &[&str]) -> Value {
        let live = self.live(options);
        assert_eq!(live["holds"], true, "{live:#}");
        live
    }

    /// The packet is lost at this leg, and what is said of it has these words. Returns its remedies.
    fn is_lost(&self, options: &[&str], leg: &str, words: &[&str]) -> Vec<String> {
        let live = self.live(options);
        let legs = live["legs"].as_array().expect("legs").clone();
        let crosses: Vec<_> = legs.iter().filter(|step| step["holds"] == "no").collect();
        assert!(crosses.len() == 1 && crosses[0]["leg"] == leg, "{live:#}");
        let text = crosses[0].to_string().replace("\\\"", "\"");
        for word in words {
            assert!(text.contains(word), "{word} is missing: {live:#}");
        }
        let after = legs.iter().skip_while(|step| step["leg"] != leg).skip(1);
        assert!(after.clone().all(|step| step["holds"] == "open"), "{live:#}");
        let remedies = crosses[0]["remedies"].as_array().expect("remedies");
        remedies.iter().map(|remedy| remedy["text"].as_str().expect("text").to_owned()).collect()
    }

    /// What must be the same before and after.
    fn state(&self) -> String {
        let host = &self.patient.lab.host;
        let neighbours = host.show("neigh show");
        let mut neighbours: Vec<_> = neighbours
            .lines()
            .map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
            .collect();
        neighbours.sort();
        format!("{}\n{}", self.configured(), neighbours.join("\n"))
    }

    /// The same without what the kernel has learned.
    fn configured(&self) -> String {
        let host = &self.patient.lab.host;
        [host.show("-o link show"), host.show("-o addr show"), host.show("route show table all")].join("\n")
    }

    /// Router and host know nothing of each other any more, and neither asks to keep what it knew.
    fn forget(&self) {
        self.patient.lab.router.ip("neigh flush dev rt0");
        self.patient.lab.host.ip("neigh flush dev up0");
    }

    fn nft(&self, who: &crate::namespace::Namespace, rules: &str) {
        for rule in rules.lines() {
            who.output("nft", rule.trim());
        }
    }
}

fn bridge() -> Settings {
    Settings::default().without_sentinels().range(C, "br0", "")
}

fn follows_a_packet_out_and_back_and_leaves_nothing_behind() {
    let traveller = Traveller::usual();
    let before = traveller.state();
    let live = traveller.holds(&[]);
    assert_eq!(live["behind"], "behind br0");
    let values = live["legs"].to_string();
    for word in ["hop limit exceeded", "asked for", "this host answered from"] {
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
    for (leg, way) in [("request", "saddr"), ("delivery", "daddr")] {
        let remedies = traveller.is_lost(&[], leg, &["chain inet t f"]);
        assert_eq!(remedies, [format!("nft insert rule inet t f ip6 {way} {C} accept")]);
        remedies.iter().for_each(|command| traveller.patient.shell(command));
    }
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

fn finds_that_the_gateway_answers_global_addresses_only() {
    let traveller = Traveller::usual();
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
            Traveller::new(Lab::veth(), &bridge().upstream(&format!("source = \"{configured}\"\n")));
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
        traveller.restart(&bridge().upstream(&line));
        traveller.holds(&[]);
    }
}

fn refuses_an_address_that_is_taken() {
    let traveller = Traveller::usual();
    let output = traveller.output(&["--live-address", &c(5).to_string()]);
    let said = String::from_utf8_lossy(&output.stderr);
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
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("needs CAP_NET_RAW; run it as root"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

/// Begins one that would go on for seconds, and returns once its guest is there.
fn in_the_middle(traveller: &Traveller) -> Child {
    let child = traveller.spawn(&[]);
    let name = format!("lone64-{}", child.id());
    eventually("the guest is there", PATIENCE, || {
        traveller.patient.lab.host.show("-o link show up master br0").contains(&name).then_some(())
    });
    child
}

fn leaves_nothing_behind_when_it_is_killed() {
    let mut traveller = Traveller::usual();
    traveller.daemon = None;
    let before = traveller.configured();
    let mut child = in_the_middle(&traveller);
    child.kill().expect("it runs");
    child.wait().expect("our child");
    eventually("everything is as before", PATIENCE, || (traveller.configured() == before).then_some(()));
}

fn leaves_nothing_behind_when_it_is_interrupted() {
    let mut traveller = Traveller::usual();
    traveller.daemon = None;
    let before = traveller.state();
    let child = in_the_middle(&traveller);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    // Before it listens for signals the default is just as clean.
    assert!(output.status.code().is_none() || said.contains("interrupted"), "{said}");
    eventually("everything is as before", PATIENCE, || (traveller.state() == before).then_some(()));
}
