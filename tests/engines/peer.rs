//! Somebody at home, with a whole Debian, who is on the Internet by the provider's router.

use crate::machine::Machine;
use crate::namespace::Namespace;
use crate::provider::Provider;

/// Boots it, with the address 2001:db8:ff::2.
pub(crate) fn peer(provider: &Provider) -> Machine {
    let namespace = Namespace::untouched();
    provider.router.ip(&format!(
        "link add home type veth peer name eth0 netns {}
         link set home up
         addr add fe80::1/64 dev home nodad
         addr add 2001:db8:ff::1/64 dev home nodad",
        namespace.path()
    ));
    namespace.ip("link set lo up
         link set eth0 up
         addr add 2001:db8:ff::2/64 dev eth0 nodad
         route add default via fe80::1 dev eth0");
    Machine::boot("peer", namespace)
}

/// Has it send through its tunnel from now on, because a server that was restarted knows no peer that
/// is silent.
pub(crate) fn sends(peer: &Machine, to: &str) {
    peer.type_in(&format!("systemd-run --unit=sending ping -q -i 0.2 {to}"));
}
