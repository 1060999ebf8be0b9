//! What a provider gives: a link with a router, one on-link /64 on it, and the Internet behind.
//!
//! ```text
//! beyond ──── router rt0 ─┬── eth0 host
//! 2001:7fd::1             └── eth0 another host
//! ```

use std::net::Ipv6Addr;
use std::path::Path;

use crate::machine::Machine;
use crate::namespace::Namespace;

/// Somebody on the Internet: a DNS root server, as in the guides.
pub(crate) const BEYOND: &str = "2001:7fd::1";

/// The router and what is behind it.
pub(crate) struct Provider {
    pub(crate) router: Namespace,
    pub(crate) beyond: Namespace,
}

impl Provider {
    pub(crate) fn new() -> Self {
        let (router, beyond) = (Namespace::new(), Namespace::new());
        router.sysctls(&[("net/ipv6/conf/all/forwarding", "1")]);
        // A bridge, so that a link has room for several hosts.
        router.ip(&format!(
            "link add rt0 address 02:00:00:00:00:01 type bridge forward_delay 0 mcast_snooping 0
             link set rt0 up
             addr add fe80::1/64 dev rt0 nodad
             addr add 2001:db8:1:2::1/64 dev rt0 nodad
             link add wan type veth peer name eth0 netns {}
             link set wan up
             addr add fe80::1/64 dev wan nodad
             route add default via fe80::2 dev wan",
            beyond.path()
        ));
        beyond.ip(&format!(
            "link set eth0 up
             addr add fe80::2/64 dev eth0 nodad
             addr add {BEYOND}/128 dev eth0 nodad
             route add default via fe80::1 dev eth0"
        ));
        Self { router, beyond }
    }

    /// A rented host with the address `2001:db8:1:2::NUMBER/64` on eth0.
    pub(crate) fn host(&self, name: &str, number: u8) -> Machine {
        Machine::boot(name, self.rented(number))
    }

    /// The same with another tree than this machine's, and without lone64.
    pub(crate) fn host_over(&self, tree: &Path, name: &str, number: u8) -> Machine {
        Machine::boot_over(tree, name, self.rented(number))
    }

    fn rented(&self, number: u8) -> Namespace {
        let namespace = self.plug(number);
        namespace.ip(&format!(
            "link set eth0 up
             addr add 2001:db8:1:2::{number:x}/64 dev eth0 nodad
             route add default via fe80::1 dev eth0"
        ));
        namespace
    }

    /// The router as a machine, for what it has to run. Its links and routes are those of `router`.
    pub(crate) fn router_machine(&self) -> Machine {
        Machine::boot("router", self.router.clone())
    }

    /// A host whose eth0 has its cable and nothing else yet.
    pub(crate) fn plug(&self, number: u8) -> Namespace {
        let namespace = Namespace::untouched();
        namespace.ip("link set lo up");
        self.router.ip(&format!(
            "link add port{number} type veth peer name eth0 address 02:00:00:00:01:{number:02x} netns {}
             link set port{number} master rt0
             link set port{number} up",
            namespace.path()
        ));
        namespace
    }

    /// The router reaches a guest, with its first packet to it.
    pub(crate) fn pings(&self, guest: Ipv6Addr) {
        self.router.ping(&guest.to_string());
    }
}
