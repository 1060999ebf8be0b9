//! `backend = "tc"`: the daemon with a program in the kernel beside it. Exactly one of both answers, whatever happens.
//!
//! bpf(2) is not to be had in a user namespace: these tests need root.

use std::net::Ipv6Addr;
use std::path::Path;

use lone64::engine::facts::IfIndex;
use lone64::kernel::bpf::{Maps, Pins};
use lone64::wire::program::target_key;

use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::lab::{C, GUEST, Lab, ROUTER, UPSTREAM_MAC};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![answers_in_the_kernel_and_nowhere_else,];

/// The usual configuration, with a program on the upstream.
fn settings() -> Settings {
    Settings::default().upstream("backend = \"tc\"\nsource = \"scope\"\n").range(C, "br0", "")
}

/// The index of an interface of the host.
fn index(lab: &Lab, name: &str) -> IfIndex {
    lab.host.run(|| IfIndex(nix::net::if_::if_nametoindex(name).unwrap()))
}

/// The maps of the program on this interface, as they are pinned.
fn maps(lab: &Lab, name: &str) -> Option<Maps> {
    let index = index(lab, name);
    let pins = lab.host.run(|| Pins::of(Path::new(Pins::FILE_SYSTEM), index)).unwrap();
    pins.maps().unwrap()
}

/// How often the program has answered for the target, if it knows it.
fn hits(lab: &Lab, target: Ipv6Addr) -> Option<u64> {
    let entry = maps(lab, "up0")?.targets.get(&target_key(target)).unwrap()?;
    Some(entry.hits)
}

/// Asks for the guest until the program knows it.
fn until_known(lab: &Lab, link: &mut Link, guest: Ipv6Addr) {
    link.answered(&Solicitation::multicast(ROUTER, guest));
    eventually("the program knows the guest", PATIENCE, || hits(lab, guest));
}

fn answers_in_the_kernel_and_nowhere_else() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings());
    let mut link = Link::open(&lab);
    until_known(&lab, &mut link, GUEST);
    let before = hits(&lab, GUEST).unwrap();
    for n in 1..=10 {
        link.answered(&Solicitation::multicast(ROUTER, GUEST));
        link.answered(&Solicitation::unicast(ROUTER, GUEST, UPSTREAM_MAC));
        assert_eq!(hits(&lab, GUEST).unwrap(), before + 2 * n);
    }
    // What is not plain the daemon answers.
    let nonce = Solicitation::multicast(ROUTER, GUEST)
        .with(|q| q.options.extend(crate::solicitation::option(14, &[7; 6])));
    link.answered(&nonce);
    assert_eq!(hits(&lab, GUEST).unwrap(), before + 20);
    daemon.stop();
    assert!(maps(&lab, "up0").is_none());
    assert!(!lab.host.output("tc", "filter show dev up0 ingress").contains("lone64"));
}
