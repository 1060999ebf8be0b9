//! The lab with containers, each on a veth of its own: no bridge, no layer 2 in common.
//!
//! ```text
//! router rt0 ──── up0 host vg0 ──── eth0 first guest     (range E, on every vg*)
//!                          vg1 ──── eth0 second guest
//!                          …
//! ```

use std::net::Ipv6Addr;
use std::process::{Command, Stdio};

use crate::daemon::Settings;
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{IP, Mac, SOLICITATION, mac, sender, target_of};
use crate::lab::Lab;
use crate::namespace::{Namespace, eventually};

/// The range behind the veths.
pub(crate) const E: &str = "2001:db8:1:2:e::/112";
/// The gateway of every guest, an address of the host's end of each veth.
pub(crate) const VETH_GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xe);

/// An address in E.
pub(crate) const fn e(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xe, 0, 0, last)
}

/// The namespaces of one test.
pub(crate) struct Veths {
    pub(crate) lab: Lab,
    pub(crate) guests: Vec<Namespace>,
}

impl Veths {
    /// So many guests, which have no address in E yet.
    pub(crate) fn new(count: usize) -> Self {
        let veths = Self::without_gateway(count, VETH_GATEWAY);
        let all = (0..count).map(|number| format!("addr add {VETH_GATEWAY}/64 dev vg{number} nodad\n"));
        veths.lab.host.ip(&all.collect::<String>());
        veths
    }

    /// The same, with this gateway; the host's ends of the veths have no address at all.
    pub(crate) fn without_gateway(count: usize, gateway: Ipv6Addr) -> Self {
        let lab = Lab::veth();
        let guests: Vec<_> = (0..count).map(|_| Namespace::new()).collect();
        for (number, guest) in guests.iter().enumerate() {
            lab.host.ip(&format!(
                "link add vg{number} address 02:00:00:00:00:{:02x} type veth peer name eth0 \
                 address 02:00:00:00:00:{:02x} netns {}",
                Self::host_mac(number)[5],
                Self::guest_mac(number)[5],
                guest.path()
            ));
            guest.ip("link set eth0 up");
            lab.host.ip(&format!("link set vg{number} up"));
            guest.ip(&format!(
                "addr add fe80::a{number}/64 dev eth0 nodad\nroute add default via {gateway} dev eth0"
            ));
        }
        Self { lab, guests }
    }

    /// A live range over all of them, and the timers of `rest`.
    pub(crate) fn settings() -> Settings {
        Settings::default().range(E, "vg*", "")
    }

    /// The MAC of the host's end.
    pub(crate) fn host_mac(number: usize) -> Mac {
        mac(0xe0 + u8::try_from(number).expect("few guests"))
    }

    /// The MAC of the guest's end.
    pub(crate) fn guest_mac(number: usize) -> Mac {
        mac(0xa0 + u8::try_from(number).expect("few guests"))
    }

    /// The guest has an address from here on, without a word.
    pub(crate) fn give(&self, number: usize, address: Ipv6Addr) {
        self.guests[number].ip(&format!("addr add {address}/128 dev eth0 nodad"));
    }

    /// The guest has an address no more.
    pub(crate) fn take(&self, number: usize, address: Ipv6Addr) {
        self.guests[number].ip(&format!("addr del {address}/128 dev eth0"));
    }

    /// The guest gets an address as every ordinary one does: it asks whether anybody has it, and
    /// uses it when nobody answered.
    pub(crate) fn give_with_dad(&self, number: usize, address: Ipv6Addr) {
        let guest = &self.guests[number];
        guest.sysctls(&[("net/ipv6/conf/eth0/accept_dad", "1"), ("net/ipv6/conf/eth0/dad_transmits", "1")]);
        guest.ip(&format!("addr add {address}/128 dev eth0"));
        eventually("the guest's DAD is over", PATIENCE, || {
            let addresses = guest.show("-o addr show dev eth0");
            let line = addresses.lines().find(|line| line.contains(&address.to_string()))?;
            assert!(!line.contains("dadfailed"), "{line}");
            (!line.contains("tentative")).then_some(())
        });
    }

    /// The guest sends something to its gateway, from this address; a reply may have no way back.
    pub(crate) fn talk(&self, number: usize, address: Ipv6Addr) {
        let gateway = format!("{VETH_GATEWAY}%eth0");
        let mut ping = Command::new("ping");
        ping.args(["-c", "1", "-W", "0.1", "-I", &address.to_string(), &gateway]).stdout(Stdio::null());
        self.guests[number].spawn(&mut ping).wait().expect("ping ends");
    }

    /// The routes of protocol 64 in E, `destination interface` each, in order.
    pub(crate) fn routes(&self) -> Vec<String> {
        let text = self.lab.host.show("-o route show table all proto 64");
        let mut routes: Vec<_> = text
            .lines()
            .filter(|line| line.contains("2001:db8:1:2:e:"))
            .map(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                let device = words.iter().position(|word| *word == "dev").map_or("", |at| words[at + 1]);
                let destination = usize::from(words[0] == "unreachable");
                format!("{} {device}", words[destination])
            })
            .collect();
        routes.sort();
        routes
    }

    /// The routes that there are once these guests and no others are live.
    pub(crate) fn wanted(live: &[(Ipv6Addr, usize)]) -> Vec<String> {
        let mut routes: Vec<_> =
            live.iter().map(|(address, number)| format!("{address} vg{number}")).collect();
        routes.push(format!("{E} lo"));
        routes.sort();
        routes
    }

    /// Waits until these guests and no others have routes, and the range its backstop.
    pub(crate) fn routed(&self, live: &[(Ipv6Addr, usize)]) {
        let wanted = Self::wanted(live);
        let mut seen = Vec::new();
        eventually(&format!("the routes are {wanted:?}"), PATIENCE, || {
            let routes = self.routes();
            if seen.last() != Some(&routes) {
                seen.push(routes);
            }
            (seen.last() == Some(&wanted)).then_some(())
        });
    }

    /// How many entries the host's neighbor table has.
    pub(crate) fn neighbors(&self) -> usize {
        self.lab.host.show("neigh show").lines().count()
    }
}

/// The solicitations for a target, by unicast or multicast, that the host sent into a veth.
pub(crate) fn probes(guest: &mut Endpoint, number: usize, target: Ipv6Addr) -> Vec<Vec<u8>> {
    let is_probe = |frame: &Vec<u8>| {
        sender(frame) == Veths::host_mac(number)
            && target_of(frame, SOLICITATION) == Some(target)
            && frame[IP + 7] == 255
    };
    guest.heard().into_iter().filter(is_probe).collect()
}
