//! The scripts under contrib/hooks that claim and release, each called as its program calls it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::status;
use crate::daemon::{BINARY, Daemon, Settings, directory};
use crate::lab::{C, Lab};

crate::cases![
    openvpn_claims_the_address_of_a_client,
    kea_claims_addresses_and_prefixes_for_their_time,
    dnsmasq_claims_ipv6_leases_alone,
    keepalived_claims_while_it_is_master,
    libvirt_claims_the_guest_of_a_domain,
    proxmox_claims_a_guest_while_it_runs,
    incus_is_followed_by_its_events,
    wireguard_claims_what_its_peers_may_have,
];

const A: &str = "2001:db8:1:2:c::71";
const B: &str = "2001:db8:1:2:c::72";
const PREFIX: &str = "2001:db8:1:2:c::1000/116";

/// A daemon, and a directory in which `lone64` asks it.
struct Scene {
    daemon: Daemon,
    programs: PathBuf,
    _lab: Lab,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::veth();
        let guest = "[[guest]]\nname = \"web1\"\ninterface = \"br0\"\naddresses = [\"2001:db8:1:2:c::99\"]\n";
        let settings = Settings::default().range(C, "br0", "routes = \"guests\"").rest(guest);
        let daemon = Daemon::start(&lab, settings);
        let scene = Self { daemon, programs: directory(), _lab: lab };
        let socket = scene.daemon.socket();
        scene.program(
            "lone64",
            &format!("command=$1; shift; exec {BINARY} \"$command\" --socket {} \"$@\"", socket.display()),
        );
        scene
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.programs.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Calls a script; it ends well.
    fn call(&self, script: &str, arguments: &[&str], environment: &[(&str, &str)]) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/hooks").join(script);
        let programs = format!("{}:{}", self.programs.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(path);
        command.args(arguments).env("PATH", programs).envs(environment.iter().copied());
        let output = command.output().expect("a script");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script} {arguments:?}: {said}");
    }

    /// What is claimed, and for how many seconds.
    fn claims(&self) -> Vec<(String, Option<u64>)> {
        let told = status(&self.daemon);
        let claim = |one: &serde_json::Value| {
            (one["object"].as_str().unwrap().to_owned(), one["seconds_left"].as_u64())
        };
        told["claims"].as_array().unwrap().iter().map(claim).collect()
    }

    fn objects(&self) -> Vec<String> {
        self.claims().into_iter().map(|(object, _)| object).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.programs);
    }
}

fn openvpn_claims_the_address_of_a_client() {
    let scene = Scene::new();
    let call = |kind, address| {
        let environment = [("script_type", kind), ("dev", "br0"), ("ifconfig_pool_remote_ip6", address)];
        scene.call("openvpn", &["/tmp/openvpn_cc_1.tmp"], &environment);
    };
    call("client-connect", A);
    assert_eq!(scene.objects(), [A]);
    call("client-connect", "");
    call("client-disconnect", A);
    assert_eq!(scene.objects(), [""; 0]);
    // Outside every range: the client is let in all the same.
    call("client-connect", "fd00::7");
    assert_eq!(scene.objects(), [""; 0]);
}

fn kea_claims_addresses_and_prefixes_for_their_time() {
    let scene = Scene::new();
    let committed = [
        ("LEASES6_SIZE", "2"),
        ("LEASES6_AT0_TYPE", "IA_NA"),
        ("LEASES6_AT0_ADDRESS", A),
        ("LEASES6_AT0_PREFIX_LEN", "128"),
        ("LEASES6_AT0_VALID_LIFETIME", "4000"),
        ("LEASES6_AT1_TYPE", "IA_PD"),
        ("LEASES6_AT1_ADDRESS", "2001:db8:1:2:c::1000"),
        ("LEASES6_AT1_PREFIX_LEN", "116"),
        ("LEASES6_AT1_VALID_LIFETIME", "3000"),
        ("QUERY6_IFACE_NAME", "br0"),
        ("QUERY6_REMOTE_ADDR", "fe80::5"),
    ];
    scene.call("kea", &["leases6_committed"], &committed);
    let claims = scene.claims();
    assert_eq!(scene.objects(), [A, PREFIX]);
    assert!(claims[0].1.is_some_and(|left| (3_000..=4_000).contains(&left)), "{claims:?}");
    assert!(claims[1].1.is_some_and(|left| left <= 3_000), "{claims:?}");
    // A week, and for ever.
    let mut renewed = committed;
    (renewed[4].1, renewed[8].1) = ("604800", "4294967295");
    scene.call("kea", &["leases6_committed"], &renewed);
    let claims = scene.claims();
    assert!(claims[0].1.is_some_and(|left| left > 86_400), "{claims:?}");
    assert_eq!(claims[1].1, None, "{claims:?}");
    let lease = |kind, address, length| {
        [("LEASE6_TYPE", kind), ("LEASE6_ADDRESS", address), ("LEASE6_PREFIX_LEN", length)]
    };
    scene.call("kea", &["lease6_release"], &lease("IA_PD", "2001:db8:1:2:c::1000", "116"));
    assert_eq!(scene.objects(), [A]);
    // It gets another address in the place of the one that it had.
    let replaced = [
        ("LEASES6_SIZE", "1"),
        ("LEASES6_AT0_TYPE", "IA_NA"),
        ("LEASES6_AT0_ADDRESS", B),
        ("LEASES6_AT0_PREFIX_LEN", "128"),
        ("LEASES6_AT0_VALID_LIFETIME", "4000"),
        ("DELETED_LEASES6_SIZE", "1"),
        ("DELETED_LEASES6_AT0_TYPE", "IA_NA"),
        ("DELETED_LEASES6_AT0_ADDRESS", A),
        ("DELETED_LEASES6_AT0_PREFIX_LEN", "128"),
        ("QUERY6_IFACE_NAME", "br0"),
    ];
    scene.call("kea", &["leases6_committed"], &replaced);
    assert_eq!(scene.objects(), [B]);
    scene.call("kea", &["lease6_expire"], &lease("IA_NA", B, "128"));
    assert_eq!(scene.objects(), [""; 0]);
    scene.call("kea", &["load"], &[]);
}

fn dnsmasq_claims_ipv6_leases_alone() {
    let scene = Scene::new();
    let environment = [
        ("DNSMASQ_INTERFACE", "br0"),
        ("DNSMASQ_MAC", "02:00:00:00:00:71"),
        ("DNSMASQ_TIME_REMAINING", "3600"),
    ];
    scene.call("dnsmasq", &["add", "02:00:00:00:00:71", "192.0.2.5", "web"], &environment);
    assert_eq!(scene.objects(), [""; 0]);
    let duid = "00:01:00:01:2a:2b:2c:2d:02:00:00:00:00:71";
    scene.call("dnsmasq", &["add", duid, A, "web"], &environment);
    assert!(matches!(&scene.claims()[..], [(object, Some(..=3_600))] if object == A));
    scene.call("dnsmasq", &["old", duid, A, "web"], &environment);
    scene.call("dnsmasq", &["del", duid, A, "web"], &environment);
    assert_eq!(scene.objects(), [""; 0]);
}

fn keepalived_claims_while_it_is_master() {
    let scene = Scene::new();
    let call = |state| scene.call("keepalived", &[A, B, "INSTANCE", "VI_1", state, "100"], &[]);
    call("BACKUP");
    assert_eq!(scene.objects(), [""; 0]);
    call("MASTER");
    assert_eq!(scene.objects(), [A, B]);
    call("FAULT");
    assert_eq!(scene.objects(), [""; 0]);
    // Of a guest that this host does not know, the others are claimed all the same.
    scene.call("keepalived", &[A, "unknown", B, "INSTANCE", "VI_1", "MASTER", "100"], &[]);
    assert_eq!(scene.objects(), [A, B]);
    scene.call("keepalived", &[A, "unknown", B, "INSTANCE", "VI_1", "BACKUP", "50"], &[]);
    assert_eq!(scene.objects(), [""; 0]);
}

fn libvirt_claims_the_guest_of_a_domain() {
    let scene = Scene::new();
    let call = |domain, what, when| scene.call("libvirt", &[domain, what, when, "-"], &[]);
    call("web1", "prepare", "begin");
    assert_eq!(scene.objects(), [""; 0]);
    call("web1", "started", "begin");
    assert_eq!(scene.objects(), ["web1"]);
    call("unknown", "started", "begin");
    call("web1", "stopped", "end");
    assert_eq!(scene.objects(), [""; 0]);
}

fn proxmox_claims_a_guest_while_it_runs() {
    let scene = Scene::new();
    // Its number is the name of the [[guest]]; here that is web1.
    let call = |number, phase| scene.call("proxmox", &[number, phase], &[]);
    call("web1", "pre-start");
    assert_eq!(scene.objects(), [""; 0]);
    call("web1", "post-start");
    assert_eq!(scene.objects(), ["web1"]);
    call("102", "post-start");
    call("web1", "pre-stop");
    assert_eq!(scene.objects(), ["web1"]);
    call("web1", "post-stop");
    assert_eq!(scene.objects(), [""; 0]);
}

fn incus_is_followed_by_its_events() {
    let scene = Scene::new();
    // As its API tells of them: https://linuxcontainers.org/incus/docs/main/events
    let event = |action: &str, source: &str| {
        format!(
            r#"{{"location":"none","metadata":{{"action":"{action}","source":"{source}"}},"project":"default","timestamp":"2026-01-01T00:00:00Z","type":"lifecycle"}}"#
        )
    };
    let incus = |running: &str, events: &[String]| {
        let (list, monitor) = ("list --format json status=running", "monitor --type lifecycle --format json");
        let script = format!(
            "case \"$*\" in\n'{list}') echo '{running}' ;;\n'{monitor}') printf '%s\\n' {} ;;\n*) exit 2 ;;\nesac",
            events.iter().map(|event| format!("'{event}'")).collect::<Vec<_>>().join(" ")
        );
        scene.program("incus", &script);
        scene.call("incus", &[], &[]);
        scene.objects()
    };
    let started = event("instance-started", "/1.0/instances/web1");
    let stopped = event("instance-shutdown", "/1.0/instances/web1?project=default");
    let others = [
        event("network-updated", "/1.0/networks/incusbr0"),
        event("instance-created", "/1.0/instances/web1"),
        event("instance-started", "/1.0/instances/unknown"),
    ];
    assert_eq!(incus("[]", &others), [""; 0]);
    assert_eq!(incus("[]", std::slice::from_ref(&started)), ["web1"]);
    assert_eq!(incus("[]", &[started, stopped]), [""; 0]);
    // One that ran before.
    assert_eq!(incus(r#"[{"name":"web1","status":"Running"},{"name":"unknown"}]"#, &others), ["web1"]);
}

fn wireguard_claims_what_its_peers_may_have() {
    let scene = Scene::new();
    // As wg(8) prints it: a peer, and what it may have.
    let peers = format!("key1=\\t{A}/128 192.0.2.1/32\\nkey2=\\t(none)\\nkey3=\\t{B}/128 fd00::/64\\n");
    scene.program("wg", &format!("test \"$*\" = \"show br0 allowed-ips\" && printf '{peers}'"));
    scene.call("wireguard", &["up", "br0"], &[]);
    assert_eq!(scene.objects(), [A, B]);
    scene.call("wireguard", &["down", "br0"], &[]);
    assert_eq!(scene.objects(), [""; 0]);
}
