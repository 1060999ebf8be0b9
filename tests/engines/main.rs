//! Real engines: every guide under `contrib/guides/`, typed by its test into a fresh host.
//!
//! A host is a whole Debian with systemd as its init, in namespaces of its own ([`machine`]), on the
//! link of a provider ([`provider`]). Docker, LXC, libvirt and the others are Debian's packages, which
//! `tests/run` installs. Nothing is left behind ([`trace`]).
//!
//! It needs root, because systemd and the engines do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is the verdict")]
#![allow(clippy::disallowed_methods, reason = "this is no pure room")]

mod anyip;
mod busybox;
mod confined;
mod docker;
mod findings;
mod first_minute;
mod guide;
mod hooks;
mod ifupdown;
mod k3s;
mod libvirt;
mod lxc;
mod lxd;
mod machine;
#[path = "../netns/namespace.rs"]
mod namespace;
mod networkd;
mod nspawn;
mod oci;
mod openvpn;
mod own_bridge;
mod packages;
mod peer;
mod plugged;
mod podman;
mod provider;
mod proxmox;
mod questions;
mod roaming;
mod routing;
mod slaac;
mod trace;
mod traffic;
#[path = "../netns/trials.rs"]
mod trials;
mod tun;
mod two_upstreams;
mod wireguard;

use std::fs;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Arguments;
use nix::unistd::geteuid;

use crate::trials::{Case, cases, in_rooms, trials};

pub(crate) use namespace::PATIENCE;

/// How long a busy machine may take to boot a host.
pub(crate) const BOOT: Duration = Duration::from_secs(180);

fn main() {
    let mut arguments = Arguments::from_args();
    // Whole hosts, which share two processors and the kernel's table of neighbors.
    arguments.test_threads.get_or_insert(2);
    const ROOMS: &[(&str, &[Case])] = &[
        ("anyip", anyip::CASES),
        ("confined", confined::CASES),
        ("docker", docker::CASES),
        ("first_minute", first_minute::CASES),
        ("hooks", hooks::CASES),
        ("ifupdown", ifupdown::CASES),
        ("k3s", k3s::CASES),
        ("libvirt", libvirt::CASES),
        ("lxc", lxc::CASES),
        ("lxd", lxd::CASES),
        ("networkd", networkd::CASES),
        ("nspawn", nspawn::CASES),
        ("openvpn", openvpn::CASES),
        ("oci", oci::CASES),
        ("podman", podman::CASES),
        ("proxmox", proxmox::CASES),
        ("roaming", roaming::CASES),
        ("own_bridge", own_bridge::CASES),
        ("packages", packages::CASES),
        ("routing", routing::CASES),
        ("slaac", slaac::CASES),
        ("trace", trace::CASES),
        ("tun", tun::CASES),
        ("two_upstreams", two_upstreams::CASES),
        ("wireguard", wireguard::CASES),
    ];
    let trials = trials(in_rooms(ROOMS), refusal().as_ref());
    libtest_mimic::run(&arguments, trials).exit();
}

/// Why no host can be made here.
fn refusal() -> Option<String> {
    if !geteuid().is_root() {
        return Some("a host with systemd needs root".to_owned());
    }
    let mounts = fs::read_to_string("/proc/mounts").expect("/proc is mounted");
    let has_cgroup2 = mounts.lines().any(|line| line.split(' ').nth(2) == Some("cgroup2"));
    (!has_cgroup2).then(|| "systemd needs cgroup2, which is mounted nowhere here".to_owned())
}

/// Runs a shell that types lines; it has to succeed. Returns what it prints.
pub(crate) fn typed(place: &str, lines: &str, shell: &mut Command) -> String {
    let output = shell.output().unwrap_or_else(|error| panic!("{place}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "typed at {place}:\n{lines}\nit printed:\n{printed}{complaint}");
    printed
}
