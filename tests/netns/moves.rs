//! A guest that moves between two hosts on one upstream, while the router sends it a hundred packets a second.
//!
//! ```text
//! router rt0 ─┬─ up0 first host  br0 ── tap0 ── wa ┐
//!             └─ up0 second host br0 ── tap0 ── wb ┴ wire ── ww ── eth0 guest
//! ```
//!
//! The port `wa` or `wb` is one of the wire: that is where the guest runs. Both taps are there all the time, as those of a
//! guest that is being moved are.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{lone64, status};
use crate::daemon::{Daemon, Settings};
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, Mac, mac, sender, target_of};
use crate::lab::{C, D, Lab, ROUTER, UPSTREAM_MAC, c, d};
use crate::namespace::{Namespace, eventually, took};
use crate::solicitation::Solicitation;

crate::cases![
    a_guest_is_here_by_rarp_and_gratuitous_arp_and_not_by_ordinary_arp,
    a_guest_moves_under_traffic_by_what_its_tap_says,
    a_guest_moves_under_traffic_by_claims_of_hooks,
    a_guest_with_a_fixed_entry_of_its_gateway_moves_between_bridges_with_one_mac,
];

pub(crate) const GUEST: Ipv6Addr = c(0x55);
const GUEST_MAC: Mac = mac(0x55);
pub(crate) const SECOND_MAC: Mac = mac(0x22);
const GATEWAY: &str = "fe80::1";

/// Two hosts, and the guest that is behind one of them.
pub(crate) struct Cluster {
    pub(crate) first: Lab,
    pub(crate) second: Lab,
    wire: Namespace,
    pub(crate) guest: Namespace,
    eth0: Endpoint,
    pub(crate) daemons: [Daemon; 2],
    /// What runs beside the daemons.
    pub(crate) programs: Vec<Program>,
}

/// A program that runs beside them, and its directory; killed and removed when dropped.
pub(crate) struct Program(pub(crate) Child, pub(crate) PathBuf);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = fs::remove_dir_all(&self.1);
    }
}

impl Cluster {
    /// One whose guest has [`GUEST`].
    pub(crate) fn new(keys: &str, guest: &str) -> Self {
        Self::with(keys, &format!("addresses = [\"{GUEST}\"]\n{guest}"))
    }

    /// The keys of the range, and those of the guest.
    pub(crate) fn with(keys: &str, guest: &str) -> Self {
        Self::on("up0", keys, guest)
    }

    /// The upstream is this bridge on both hosts, of which the card is a port, as Proxmox has it; unless it is `up0`.
    pub(crate) fn on(upstream: &str, keys: &str, guest: &str) -> Self {
        let first = Lab::macvlan();
        let [second, wire, guest_space] = [(); 3].map(|()| Namespace::new());
        first.parent.as_ref().expect("macvlans").ip(&format!(
            "link add link p0 name up0 address 02:00:00:00:00:22 netns {} type macvlan mode bridge",
            second.path()
        ));
        second.sysctls(&[("net/ipv6/conf/all/forwarding", "1")]);
        second.ip("link set up0 up
             addr add fe80::22/64 dev up0 nodad
             addr add 2001:db8:1:2::22/64 dev up0 nodad
             route add default via fe80::1 dev up0
             link add br0 address 02:00:00:00:00:b2 type bridge forward_delay 0 mcast_snooping 0
             link set br0 up
             addr add fe80::b2/64 dev br0 nodad");
        wire.ip(&format!(
            "link add sw0 type bridge forward_delay 0 mcast_snooping 0
             link add wa type veth peer name tap0 netns {}
             link add wb type veth peer name tap0 netns {}
             link add ww type veth peer name eth0 address 02:00:00:00:00:55 netns {}
             link set wa master sw0
             link set wb master sw0
             link set ww master sw0
             link set wa up
             link set wb up
             link set ww up
             link set sw0 up",
            first.host.path(),
            second.path(),
            guest_space.path()
        ));
        for host in [&first.host, &second] {
            host.ip("link set tap0 master br0\nlink set tap0 up");
        }
        if upstream != "up0" {
            for (host, number) in [(&first.host, "2"), (&second, "22")] {
                host.ip(&format!(
                    "addr flush dev up0
                     link add {upstream} address 02:00:00:00:00:{number:0>2} type bridge forward_delay 0 mcast_snooping 0
                     link set up0 master {upstream}
                     link set {upstream} up
                     addr add fe80::{number}/64 dev {upstream} nodad
                     addr add 2001:db8:1:2::{number}/64 dev {upstream} nodad
                     route replace default via fe80::1 dev {upstream}"
                ));
            }
        }
        guest_space.ip(&format!(
            "link set eth0 up
             addr add fe80::55/64 dev eth0 nodad
             addr add {GUEST}/128 dev eth0 nodad
             route add default via {GATEWAY} dev eth0"
        ));
        eventually("the taps have their carriers", PATIENCE, || {
            let is_up = |host: &Namespace| host.show("-o link show tap0").contains("state UP");
            (is_up(&first.host) && is_up(&second)).then_some(())
        });
        wire.ip("link set wa nomaster\nlink set wb nomaster");
        let settings = || {
            let keys = format!("gateway = \"{GATEWAY}\"\n{keys}");
            let guest = format!("[[guest]]\nname = \"web\"\n{guest}\n");
            Settings::default()
                .upstream_named(upstream)
                .range(C, "br0", &keys)
                .without_sentinels()
                .rest(&guest)
        };
        let spare = [(); 3].map(|()| Namespace::new());
        let [router, guest, plain] = spare;
        let second = Lab { router, host: second, guest, plain, parent: None };
        let daemons = [Daemon::start(&first, settings()), Daemon::start(&second, settings())];
        let eth0 = Endpoint::open(&guest_space, "eth0");
        Self { first, second, wire, guest: guest_space, eth0, daemons, programs: Vec::new() }
    }

    /// The guest runs behind this host from now on. How long its tap was silent.
    fn switch(&mut self, to: usize) -> Duration {
        let (from, to) = (["wb", "wa"][to], ["wa", "wb"][to]);
        let begin = Instant::now();
        self.wire.ip(&format!("link set {from} nomaster\nlink set {to} master sw0"));
        begin.elapsed()
    }

    /// What QEMU sends for it.
    pub(crate) fn announce(&mut self) {
        self.eth0.send(&rarp(GUEST_MAC));
    }

    /// One host has the guest, and the other says that it has not.
    fn has(&self, at: usize) {
        eventually("the one host has the guest, and the other has not", PATIENCE, || {
            let state = |at: usize| {
                let mut status = status(&self.daemons[at]);
                match status["ranges"][0]["standby"] == true {
                    true => status["claims"].as_array().map_or(0, Vec::len) == 1,
                    false => status["guests"][0].take()["state"] == "here",
                }
            };
            (state(at) && !state(1 - at)).then_some(())
        });
    }

    /// The only station that answers for the guest.
    fn answering(&self) -> Mac {
        let mut router = Endpoint::open(&self.first.router, "rt0");
        let question = Solicitation::multicast(ROUTER, GUEST);
        let mut stations = BTreeSet::new();
        for _ in 0..3 {
            router.send(&question.frame());
            let station = |frame: &[u8]| (target_of(frame, ADVERTISEMENT)? == GUEST).then(|| sender(frame));
            stations.insert(router.receive_until("an answer", PATIENCE, station));
        }
        assert_eq!(stations.len(), 1, "{stations:02x?}");
        stations.into_iter().next().expect("one")
    }

    fn run(&self, at: usize, arguments: &str) {
        let output = lone64(&self.daemons[at].socket(), arguments);
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A frame of ARP (0x0806) or RARP (0x8035) from this station.
fn arp(ethertype: [u8; 2], operation: u8, sender: (Mac, [u8; 4]), target: (Mac, [u8; 4])) -> Vec<u8> {
    let head = [&[0xff; 6][..], &sender.0, &ethertype, &[0, 1, 8, 0, 6, 4, 0, operation]].concat();
    let pair = |(mac, ip): (Mac, [u8; 4])| [&mac[..], &ip].concat();
    let mut frame = [head, pair(sender), pair(target)].concat();
    frame.resize(60, 0);
    frame
}

/// As QEMU sends it.
pub(crate) fn rarp(mac: Mac) -> Vec<u8> {
    arp([0x80, 0x35], 3, (mac, [0; 4]), (mac, [0; 4]))
}

/// On a veth of its own, where no bridge learns anything.
fn a_guest_is_here_by_rarp_and_gratuitous_arp_and_not_by_ordinary_arp() {
    let lab = Lab::veth();
    let guest = |number: u8| {
        format!(
            "[[guest]]\nname = \"g{number}\"\nmac = \"02:00:00:00:00:{number:02x}\"\naddresses = [\"{}\"]\n",
            d(number.into())
        )
    };
    let settings = Settings::default().range(D, "gv1", "").rest(&[0x71, 0x72, 0x73].map(guest).concat());
    let daemon = Daemon::start(&lab, settings);
    let mut router = Endpoint::open(&lab.router, "rt0");
    let mut eth0 = Endpoint::open(&lab.plain, "eth0");
    let (own, other) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    eth0.send(&arp([8, 6], 1, (mac(0x71), own), ([0; 6], other)));
    eth0.send(&arp([8, 6], 1, (mac(0x72), own), ([0; 6], own)));
    let announced = |target: Ipv6Addr| {
        move |frame: &[u8]| (target_of(frame, ADVERTISEMENT)? == target).then(|| sender(frame))
    };
    assert_eq!(router.receive_until("by ARP", PATIENCE, announced(d(0x72))), UPSTREAM_MAC);
    eth0.send(&rarp(mac(0x73)));
    assert_eq!(router.receive_until("by RARP", PATIENCE, announced(d(0x73))), UPSTREAM_MAC);
    let told = status(&daemon);
    let states: Vec<_> =
        told["guests"].as_array().expect("a list").iter().map(|guest| &guest["state"]).collect();
    assert_eq!(states, ["waiting", "here", "here"]);
    let said = daemon.stop();
    assert_eq!(said.matches("the guest has come to this host").count(), 2, "{said}");
}

/// Replies to a hundred pings a second, each when it came.
struct Stream {
    child: Child,
    replies: Arc<Mutex<Vec<Instant>>>,
}

impl Stream {
    fn start(from: &Namespace) -> Self {
        let mut command = Command::new("ping");
        command.args(["-n", "-i", "0.01", &GUEST.to_string()]);
        let mut child = from.spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()));
        let (lines, replies) = (BufReader::new(child.stdout.take().expect("piped")), Arc::default());
        let into: Arc<Mutex<Vec<Instant>>> = Arc::clone(&replies);
        thread::spawn(move || {
            for _ in lines.lines().map_while(Result::ok).filter(|line| line.contains(" bytes from ")) {
                into.lock().unwrap().push(Instant::now());
            }
        });
        Self { child, replies }
    }

    /// Waits for so many more replies.
    fn flows(&self, count: usize) {
        let before = self.replies.lock().unwrap().len();
        eventually("the guest replies", PATIENCE, || {
            (self.replies.lock().unwrap().len() >= before + count).then_some(())
        });
    }

    /// The longest time without a reply between these moments, but for the pause between two pings.
    fn outage(&self, from: Instant, to: Instant) -> Duration {
        let replies = self.replies.lock().unwrap();
        let pairs = replies.windows(2).filter(|pair| pair[1] > from && pair[0] < to);
        let longest = pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        longest.saturating_sub(Duration::from_millis(10))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often it moves: LONE64_MOVES of them by hand. Each [`MOST`] have two hosts of their own, where all but the first
/// ten are more than the five arrivals in three minutes from which on a guest flaps.
fn moves() -> usize {
    std::env::var("LONE64_MOVES").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

const MOST: usize = 50;

/// Moves the guest back and forth, and prints what was lost beside the silence of the tap itself.
pub(crate) fn measure(
    what: &str,
    cluster: impl Fn() -> Cluster,
    follow: impl Fn(&mut Cluster, usize),
    settles: impl Fn(&Cluster, usize),
) {
    let mut outages = Vec::new();
    let mut left = moves();
    while left > 0 {
        let mut cluster = cluster();
        cluster.switch(0);
        follow(&mut cluster, 0);
        settles(&cluster, 0);
        let stream = Stream::start(&cluster.first.router);
        stream.flows(20);
        for turn in 1..=left.min(MOST) {
            let (to, begin) = (turn % 2, Instant::now());
            let gap = cluster.switch(to);
            follow(&mut cluster, to);
            cluster.has(to);
            settles(&cluster, to);
            stream.flows(30);
            outages.push(stream.outage(begin, Instant::now()).saturating_sub(gap));
            assert_eq!(cluster.answering(), [UPSTREAM_MAC, SECOND_MAC][to]);
        }
        left -= left.min(MOST);
        drop(stream);
        let Cluster { daemons, programs: _programs, .. } = cluster;
        let logs = daemons.map(Daemon::stop);
        let worst = outages.iter().rev().take(MOST).max().copied().unwrap_or_default();
        if worst > Duration::from_secs(1) && std::env::var_os("LONE64_TIMES").is_some() {
            eprintln!("{worst:.1?} in one of these:\n{}", logs.join("---\n"));
        }
    }
    outages.sort_unstable();
    let count = outages.len();
    took(&format!("a guest is reachable again: {what}, median of {count}"), outages[count / 2]);
    took(&format!("a guest is reachable again: {what}, worst of {count}"), outages[count - 1]);
}

fn a_guest_moves_under_traffic_by_what_its_tap_says() {
    let guest = || Cluster::new("routes = \"guests\"", "mac = \"02:00:00:00:00:55\"");
    measure("a move by its tap", guest, |cluster, _| cluster.announce(), |_, _| {});
}

/// Nothing of the range is answered for but what is claimed, so that the tap alone brings nothing about.
fn a_guest_moves_under_traffic_by_claims_of_hooks() {
    let keys = "routes = \"guests\"\nstandby = true";
    let guest = || Cluster::new(keys, "mac = \"02:00:00:00:00:55\"\ninterface = \"br0\"");
    let claim = |cluster: &mut Cluster, to: usize| {
        cluster.run(to, "claim web");
        // At the beginning nobody has claimed it.
        let _ = lone64(&cluster.daemons[1 - to].socket(), "release web");
    };
    measure("a move by hooks", guest, claim, |_, _| {});
}

/// Where all bridges have one MAC, a guest finds its gateway after a move without being told.
fn a_guest_with_a_fixed_entry_of_its_gateway_moves_between_bridges_with_one_mac() {
    let cluster = || {
        let cluster = Cluster::new("routes = \"guests\"", "mac = \"02:00:00:00:00:55\"");
        cluster.second.host.ip("link set br0 address 02:00:00:00:00:b0");
        cluster.guest.ip("neigh replace fe80::1 lladdr 02:00:00:00:00:b0 nud permanent dev eth0");
        cluster
    };
    measure("a move between bridges with one MAC", cluster, |cluster, _| cluster.announce(), |_, _| {});
}
