//! The namespaces, the guests, and what is not lone64's in the host.
//!
//! The guests are frames: one thread replies for all of them on one port of the host's bridge, each with a MAC of its own.

use std::collections::{HashMap, HashSet};
use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::endpoint::Endpoint;
use crate::frame::{ICMP, IP, Mac, SOLICITATION, address, mac, sender, target_of};
use crate::lab::{GUEST, Lab, PLAIN, c, d};
use crate::solicitation::{Asker, Solicitation, option};
use crate::watch::{self, Findings};

/// Everything.
pub(crate) struct World {
    pub(crate) daemon: Daemon,
    pub(crate) lab: Lab,
    pub(crate) village: Village,
    pub(crate) findings: Findings,
    /// Sends on the upstream.
    pub(crate) router: Endpoint,
    /// Sends on the guests' link.
    pub(crate) port: Endpoint,
    pub(crate) measured: Measured,
    pub(crate) askers: u16,
    /// Whose address a station of the upstream has claimed or checked in this round.
    pub(crate) disputed: HashSet<Ipv6Addr>,
}

/// What the report says beside faults.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) answered: u32,
    pub(crate) slowest: Duration,
    /// Of the guests whose address another station of the upstream has claimed or checked in the same round.
    pub(crate) slowest_disputed: Duration,
    pub(crate) memory: u64,
    /// How often it aborted because it got no memory.
    pub(crate) aborted: u32,
    pub(crate) descriptors: usize,
}

impl World {
    pub(crate) fn new(backend: &'static str) -> Self {
        let lab = Lab::veth();
        lab.host.ip(&FOREIGN.join("\n"));
        lab.host.output("nft", "add table ip6 torture");
        lab.host.output("nft", "add chain ip6 torture mine");
        let village = Village::settle(&lab);
        for number in 0..HOUSES / 3 {
            village.bring(house(number), guest_mac(number, 0));
        }
        let findings = watch::begin(&lab, village.clone());
        let daemon = Daemon::start(&lab, backend);
        let (router, port) = (Endpoint::open(&lab.router, "rt0"), Endpoint::open(&lab.guest, "eth0"));
        Self {
            daemon,
            lab,
            village,
            findings,
            router,
            port,
            measured: Measured::default(),
            askers: 0,
            disputed: HashSet::new(),
        }
    }

    /// Somebody who asks; every question has another one.
    pub(crate) fn asker(&mut self) -> Asker {
        self.askers = self.askers.wrapping_add(1);
        Asker { mac: crate::lab::ROUTER_MAC, address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa, self.askers) }
    }
}

/// The guests, and who was one.
#[derive(Clone)]
pub(crate) struct Village(Arc<Mutex<Houses>>);

#[derive(Default)]
pub(crate) struct Houses {
    /// Who replies, with which MAC.
    pub(crate) alive: HashMap<Ipv6Addr, Mac>,
    /// When an address last was somebody's, or was said to be.
    vouched: HashMap<Ipv6Addr, Instant>,
    /// What is claimed; `false`: or is not, because the reply was not heard.
    claimed: HashMap<Ipv6Addr, bool>,
}

impl Village {
    fn settle(lab: &Lab) -> Self {
        let village = Self(Arc::default());
        let houses = village.clone();
        let mut endpoint = Endpoint::open(&lab.guest, "eth0");
        thread::spawn(move || {
            loop {
                let Some(frame) = endpoint.receive(Instant::now() + Duration::from_secs(1)) else { continue };
                let Some(target) = target_of(&frame, SOLICITATION) else { continue };
                let Some(mac) = houses.houses().alive.get(&target).copied() else { continue };
                // Its own check, sent from this port, is none of its business.
                if sender(&frame) == mac || address(&frame, IP + 8).is_unspecified() {
                    continue;
                }
                endpoint.send(&reply(&frame, target, mac));
            }
        });
        village
    }

    pub(crate) fn houses(&self) -> MutexGuard<'_, Houses> {
        self.0.lock().expect("no thread panics with it")
    }

    /// The addresses of those who reply, in order.
    pub(crate) fn living(&self) -> Vec<Ipv6Addr> {
        let mut living: Vec<_> = self.houses().alive.keys().copied().collect();
        living.sort();
        living
    }

    /// Somebody says that this address is his.
    pub(crate) fn vouch(&self, address: Ipv6Addr) {
        self.houses().vouched.insert(address, Instant::now());
    }

    pub(crate) fn bring(&self, address: Ipv6Addr, mac: Mac) {
        self.houses().alive.insert(address, mac);
    }

    pub(crate) fn bury(&self, address: Ipv6Addr) {
        self.vouch(address);
        self.houses().alive.remove(&address);
    }

    pub(crate) fn may_be_claimed(&self, address: Ipv6Addr) {
        self.houses().claimed.insert(address, false);
    }

    pub(crate) fn is_claimed(&self, address: Ipv6Addr) {
        self.houses().claimed.insert(address, true);
    }

    pub(crate) fn is_released(&self, address: Ipv6Addr) {
        self.vouch(address);
        self.houses().claimed.remove(&address);
    }

    /// What is claimed for certain, in order.
    pub(crate) fn claimed(&self) -> Vec<Ipv6Addr> {
        self.those_claimed(true)
    }

    /// What may be claimed, in order.
    pub(crate) fn perhaps_claimed(&self) -> Vec<Ipv6Addr> {
        self.those_claimed(false)
    }

    fn those_claimed(&self, for_certain: bool) -> Vec<Ipv6Addr> {
        let houses = self.houses();
        let those = houses.claimed.iter().filter(|(_, certain)| **certain == for_certain);
        let mut those: Vec<_> = those.map(|(address, _)| *address).collect();
        those.sort();
        those
    }

    /// For how long an address has been nobody's; `None`: it never was anybody's.
    pub(crate) fn empty_for(&self, address: Ipv6Addr) -> Option<Duration> {
        let houses = self.houses();
        let is_of_the_lab = [GUEST, PLAIN, c(1), d(1)].contains(&address);
        if is_of_the_lab || houses.alive.contains_key(&address) || houses.claimed.contains_key(&address) {
            return Some(Duration::ZERO);
        }
        houses.vouched.get(&address).map(Instant::elapsed)
    }
}

/// The place of a guest.
pub(crate) const fn house(number: u64) -> Ipv6Addr {
    c(0x100 + number as u16)
}

/// One of a guest's MACs.
pub(crate) const fn guest_mac(number: u64, which: u64) -> Mac {
    [2, 0, 0, 1, which as u8, number as u8]
}

/// What a guest says to a solicitation.
fn reply(frame: &[u8], target: Ipv6Addr, mac: Mac) -> Vec<u8> {
    let asker = Asker { mac, address: target };
    Solicitation {
        eth_dst: sender(frame),
        icmp_type: crate::frame::ADVERTISEMENT,
        reserved: 0x6000_0000,
        destination: address(frame, IP + 8),
        options: option(2, &mac),
        ..Solicitation::multicast(asker, target)
    }
    .frame()
}

/// Whether an address is one of the ranges.
pub(crate) fn is_in_a_range(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    segments[..4] == [0x2001, 0xdb8, 1, 2] && matches!(segments[4], 0xc | 0xd) && segments[5..7] == [0, 0]
}

/// The MAC of another host on the upstream's link.
pub(crate) const ELSEWHERE: Mac = mac(0xbe);
/// A MAC that no guest has.
pub(crate) const LIAR: Mac = mac(0xbd);
/// What nobody but others may touch.
pub(crate) const FOREIGN: [&str; 3] = [
    "route add 2001:db8:77::/48 dev gv1 proto 99 metric 77",
    "route add unreachable 2001:db8:1:2:c::bad/128 proto 99 metric 2000",
    "rule add pref 7777 from 2001:db8:77::/48 table 777",
];
pub(crate) const HOUSES: u64 = 48;
/// Where an ICMPv6 message has its flags.
pub(crate) const FLAGS: usize = ICMP + 4;
