//! A host whose packets are followed, and what `lone64 doctor --live` says of them.

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::Patient;
use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, Lab};
use crate::namespace::{Namespace, eventually};

/// A host whose router forwards, and what follows a packet there.
pub(crate) struct Traveller {
    pub(crate) patient: Patient,
    pub(crate) daemon: Option<Daemon>,
    /// Behind the router: the Internet, at [`TO`].
    pub(crate) world: Namespace,
}

impl Traveller {
    pub(crate) fn new(lab: Lab, settings: &Settings) -> Self {
        lab.router.sysctls(&[("net/ipv6/conf/all/forwarding", "1")]);
        let world = Namespace::new();
        lab.router.ip(&format!(
            "link add rt1 type veth peer name w0 netns {}
             link set rt1 up
             addr add fe80::a/64 dev rt1 nodad
             addr add 2001:db8:f::a/64 dev rt1 nodad",
            world.path()
        ));
        world.ip(&format!(
            "link set w0 up
             addr add fe80::b/64 dev w0 nodad
             addr add {TO}/64 dev w0 nodad
             route add default via 2001:db8:f::a dev w0"
        ));
        // So that the gateway is among the neighbors before and after.
        for router in ["2001:db8:1:2::1", "fe80::1%up0"] {
            // All namespaces of a machine share the room for neighbors, and a test beside this one
            // may be filling it.
            eventually("the host reaches its router", PATIENCE, || {
                let mut ping = Command::new("ping");
                ping.args(["-c", "1", "-W", "0.5", router]).stdout(Stdio::null());
                lab.host.spawn(&mut ping).wait().expect("ping ends").success().then_some(())
            });
        }
        let daemon = Daemon::start(&lab, settings.clone());
        let patient = Patient::with(lab, "");
        let traveller = Self { patient, daemon: Some(daemon), world };
        traveller.configure(settings);
        traveller
    }

    /// The usual lab with one range on the bridge.
    pub(crate) fn usual() -> Self {
        Self::new(Lab::veth(), &bridge())
    }

    pub(crate) fn configure(&self, settings: &Settings) {
        let socket = self.daemon.as_ref().expect("it runs").socket();
        let control = format!("[control]\nsocket = \"{}\"\n", socket.display());
        self.patient.configure(&settings.clone().rest(&control).text());
    }

    /// Another daemon, with further lines.
    pub(crate) fn restart(&mut self, settings: &Settings) {
        self.daemon = None;
        self.daemon = Some(Daemon::start(&self.patient.lab, settings.clone()));
        self.configure(settings);
    }

    pub(crate) fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lone64"));
        let directory = &self.patient.directory;
        command.args(["doctor", "--live", "--json", "--to", TO]).args(options);
        command.arg("--config").arg(directory.join("lone64.toml")).arg("--root").arg(directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn spawn(&self, options: &[&str]) -> Child {
        self.patient.lab.host.spawn(&mut self.command(options))
    }

    pub(crate) fn output(&self, options: &[&str]) -> Output {
        self.spawn(options).wait_with_output().expect("it ends")
    }

    pub(crate) fn live(&self, options: &[&str]) -> Value {
        let output = self.output(options);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        let is_healthy = report["healthy"] == true;
        assert_eq!(output.status.code(), Some(i32::from(!is_healthy)), "{said}");
        report["live"].clone()
    }

    pub(crate) fn holds(&self, options: &[&str]) -> Value {
        let live = self.live(options);
        assert_eq!(live["holds"], true, "{live:#}");
        live
    }

    /// The packet is lost at this leg, and what is said of it has these words. Returns its remedies.
    pub(crate) fn is_lost(&self, options: &[&str], leg: &str, words: &[&str]) -> Vec<String> {
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

    /// Begins one that would go on for seconds, and returns once its guest is there.
    pub(crate) fn in_the_middle(&self, bridge: &str) -> Child {
        let child = self.spawn(&[]);
        let name = format!("lone64-{}", child.id());
        eventually("the guest is there", PATIENCE, || {
            let ports = self.patient.lab.host.show(&format!("-o link show up master {bridge}"));
            ports.contains(&name).then_some(())
        });
        child
    }

    /// What must be the same before and after.
    pub(crate) fn state(&self) -> String {
        let host = &self.patient.lab.host;
        let neighbors = host.show("neigh show");
        let mut neighbors: Vec<_> = neighbors
            .lines()
            .map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
            .collect();
        neighbors.sort();
        format!("{}\n{}", self.configured(), neighbors.join("\n"))
    }

    /// The same without what the kernel has learned.
    pub(crate) fn configured(&self) -> String {
        let host = &self.patient.lab.host;
        [host.show("-o link show"), host.show("-o addr show"), host.show("route show table all")].join("\n")
    }

    /// Router and host know nothing of each other any more, and neither asks to keep what it knew.
    pub(crate) fn forget(&self) {
        self.patient.lab.router.ip("neigh flush dev rt0");
        self.patient.lab.host.ip("neigh flush dev up0");
    }

    pub(crate) fn nft(&self, who: &Namespace, rules: &str) {
        for rule in rules.lines() {
            who.output("nft", rule.trim());
        }
    }
}

/// One range, on the bridge.
pub(crate) fn bridge() -> Settings {
    Settings::default().without_sentinels().range(C, "br0", "")
}

/// Where the packet is sent.
pub(crate) const TO: &str = "2001:db8:f::1";
