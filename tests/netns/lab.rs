//! Router, host and guests: the topologies of the tests.
//!
//! ```text
//! veth:     router rt0 ──── up0 host br0 ──── eth0 guest      (range C, on a bridge)
//!                                host gv1 ──── eth0 plain     (range D, on a bare veth)
//! macvlan:  router rt0 ─┐
//!           host   up0 ─┴── p0 parent                         (the rest as above)
//! switched, behind_a_switch: router rt0 ── p0 sw0 p1 ── up0 host   (the rest as above)
//! ```

use std::net::Ipv6Addr;
use std::path::Path;

use lone64::kernel::bpf::Pins;

use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{Mac, SOLICITATION, mac, target_of};
use crate::namespace::{Namespace, eventually};
use crate::solicitation::{Asker, Solicitation};

/// The range behind the bridge.
pub(crate) const C: &str = "2001:db8:1:2:c::/112";
/// The range behind the bare veth.
pub(crate) const D: &str = "2001:db8:1:2:d::/112";
/// A range in which every question is answered: how silence is shown ([`crate::link::Link`]).
pub(crate) const SENTINELS: &str = "2001:db8:1:2:5e::/112";

/// The router's MAC.
pub(crate) const ROUTER_MAC: Mac = mac(1);
/// The upstream's MAC.
pub(crate) const UPSTREAM_MAC: Mac = mac(2);
/// The bridge's MAC.
pub(crate) const BRIDGE_MAC: Mac = mac(0xb0);
/// The MAC of the guest behind the bridge.
pub(crate) const GUEST_MAC: Mac = mac(0x05);
/// The MAC of the bare veth downstream.
pub(crate) const PLAIN_MAC: Mac = mac(0xb1);

/// The link-local address of the upstream.
pub(crate) const UPSTREAM_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
/// The global address of the upstream.
pub(crate) const UPSTREAM_GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 2);
/// The gateway of the guests in C, an address of the bridge.
pub(crate) const GATEWAY: Ipv6Addr = c(1);
/// The guest behind the bridge.
pub(crate) const GUEST: Ipv6Addr = c(5);
/// The guest behind the bare veth.
pub(crate) const PLAIN: Ipv6Addr = d(5);

/// The router, asking from its link-local address.
pub(crate) const ROUTER: Asker =
    Asker { mac: ROUTER_MAC, address: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1) };
/// The router, asking from its global address.
pub(crate) const ROUTER_AT_LARGE: Asker =
    Asker { mac: ROUTER_MAC, address: Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 1) };

/// Somewhere behind the router. For whom its packets go to the router asks from its link-local address.
pub(crate) const FAR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1);

/// An address in C.
pub(crate) const fn c(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, last)
}

/// An address in D.
pub(crate) const fn d(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xd, 0, 0, last)
}

/// The namespaces of one test.
pub(crate) struct Lab {
    pub(crate) router: Namespace,
    pub(crate) host: Namespace,
    /// Behind `br0`, at [`GUEST`].
    pub(crate) guest: Namespace,
    /// Behind `gv1`, at [`PLAIN`].
    pub(crate) plain: Namespace,
    /// Under the macvlans, or the switch.
    pub(crate) parent: Option<Namespace>,
}

/// What a killed daemon has left pinned goes with the lab.
impl Drop for Lab {
    fn drop(&mut self) {
        let file_system = Path::new(Pins::FILE_SYSTEM);
        if file_system.join("lone64").exists() {
            let left = self.host.run(|| Pins::all(file_system)).unwrap_or_default();
            left.iter().for_each(|(_, pins)| _ = pins.remove());
        }
    }
}

impl Lab {
    /// The upstream is one end of a veth, the router is at the other.
    pub(crate) fn veth() -> Self {
        let lab = Self::without_upstream();
        lab.router.ip(&format!(
            "link add rt0 address 02:00:00:00:00:01 type veth peer name up0 address 02:00:00:00:00:02 netns {}",
            lab.host.path()
        ));
        lab.configure()
    }

    /// Router and upstream are macvlans over one parent, which keeps from each every multicast
    /// group that it has not asked for.
    pub(crate) fn macvlan() -> Self {
        let mut lab = Self::without_upstream();
        let parent = Namespace::new();
        parent.ip(&format!(
            "link add p0 type veth peer name p1
             link set p0 up
             link set p1 up
             link add link p0 name rt0 address 02:00:00:00:00:01 netns {} type macvlan mode bridge
             link add link p0 name up0 address 02:00:00:00:00:02 netns {} type macvlan mode bridge",
            lab.router.path(),
            lab.host.path()
        ));
        lab.parent = Some(parent);
        lab.configure()
    }

    /// Between router and upstream is a switch that snoops MLD, with a querier: it passes multicast on
    /// only to those who have reported the group.
    pub(crate) fn switched() -> Self {
        let mut lab = Self::without_upstream();
        let switch = Namespace::new();
        // The querier counts from one response interval after its start.
        switch.ip(&format!(
            "link add sw0 type bridge forward_delay 0 mcast_snooping 1 \
             mcast_query_response_interval 10 mcast_startup_query_interval 100 mcast_query_interval 100
             link add p0 type veth peer name rt0 address 02:00:00:00:00:01 netns {}
             link add p1 type veth peer name up0 address 02:00:00:00:00:02 netns {}
             link set p0 master sw0
             link set p1 master sw0
             link set p0 up
             link set p1 up
             link set sw0 up
             addr add fe80::9/64 dev sw0 nodad
             link set sw0 type bridge mcast_querier 1",
            lab.router.path(),
            lab.host.path()
        ));
        lab.parent = Some(switch);
        let lab = lab.configure();
        lab.wait_until_snooping();
        lab
    }

    /// Between router and upstream is a switch that a test gives its rules. `p0` is the port of the router, `p1` that of
    /// the host.
    pub(crate) fn behind_a_switch() -> Self {
        let mut lab = Self::without_upstream();
        let switch = Namespace::new();
        switch.ip(&format!(
            "link add sw0 type bridge forward_delay 0 mcast_snooping 0
             link add p0 type veth peer name rt0 address 02:00:00:00:00:01 netns {}
             link add p1 type veth peer name up0 address 02:00:00:00:00:02 netns {}
             link set p0 master sw0
             link set p1 master sw0
             link set p0 up
             link set p1 up
             link set sw0 up",
            lab.router.path(),
            lab.host.path()
        ));
        lab.parent = Some(switch);
        lab.configure()
    }

    /// Somebody behind the router, at [`FAR`].
    pub(crate) fn far(&self) -> Namespace {
        let far = Namespace::new();
        self.router.sysctls(&[("net/ipv6/conf/all/forwarding", "1")]);
        self.router.ip(&format!(
            "link add fa0 type veth peer name eth0 netns {}
             link set fa0 up
             addr add fe80::f0/64 dev fa0 nodad
             route add {FAR}/128 dev fa0",
            far.path()
        ));
        far.ip(&format!(
            "link set eth0 up
             addr add fe80::f1/64 dev eth0 nodad
             addr add {FAR}/128 dev eth0 nodad
             route add default via fe80::f0 dev eth0"
        ));
        far
    }

    /// The switch, if there is one.
    pub(crate) fn switch(&self) -> &Namespace {
        self.parent.as_ref().expect("a lab with a switch")
    }

    /// Frames to a group that nobody has reported do not arrive at the host any more.
    fn wait_until_snooping(&self) {
        let mut router = Endpoint::open(&self.router, "rt0");
        let mut host = Endpoint::open(&self.host, "up0");
        let nobodys = Solicitation::multicast(ROUTER, Ipv6Addr::from_bits(0xdead));
        let ours = Solicitation::unicast(ROUTER, Ipv6Addr::from_bits(0xbeef), UPSTREAM_MAC);
        // On two processors the second frame may overtake the first, so one quiet round shows nothing.
        let mut quiet_rounds = 0;
        eventually("the switch snoops", 2 * PATIENCE, || {
            router.send(&nobodys.frame());
            router.send(&ours.frame());
            let mut was_flooded = false;
            host.receive_until("a frame for us alone", PATIENCE, |frame| {
                was_flooded |= target_of(frame, SOLICITATION) == Some(nobodys.target);
                (target_of(frame, SOLICITATION) == Some(ours.target)).then_some(())
            });
            quiet_rounds = if was_flooded { 0 } else { quiet_rounds + 1 };
            (quiet_rounds == 5).then_some(())
        });
    }

    /// A third station on the upstream link of [`Lab::macvlan`], with the MAC 02::03.
    pub(crate) fn rival(&self, address: Ipv6Addr) -> Namespace {
        let rival = Namespace::new();
        self.parent.as_ref().expect("a lab with macvlans").ip(&format!(
            "link add link p0 name rv0 address 02:00:00:00:00:03 netns {} type macvlan mode bridge",
            rival.path()
        ));
        rival.ip(&format!(
            "link set rv0 up
             addr add fe80::3/64 dev rv0 nodad
             addr add {address}/64 dev rv0 nodad"
        ));
        rival
    }

    fn without_upstream() -> Self {
        let host = Namespace::new();
        host.sysctls(&[("net/ipv6/conf/all/forwarding", "1")]);
        Self {
            router: Namespace::new(),
            host,
            guest: Namespace::new(),
            plain: Namespace::new(),
            parent: None,
        }
    }

    fn configure(self) -> Self {
        // What is announced makes entries in the router's kernel, which would ask for them by itself
        // some seconds later, in the middle of a test's own questions.
        self.router.sysctls(&[("net/ipv6/neigh/rt0/delay_first_probe_time", "3600")]);
        self.router.ip("link set rt0 up
             addr add fe80::1/64 dev rt0 nodad
             addr add 2001:db8:1:2::1/64 dev rt0 nodad");
        // The ports come up before the bridge, so that the bridge has its carrier from the start.
        self.host.ip(&format!(
            "link set up0 up
             addr add fe80::2/64 dev up0 nodad
             addr add 2001:db8:1:2::2/64 dev up0 nodad
             route add default via fe80::1 dev up0
             link add br0 address 02:00:00:00:00:b0 type bridge forward_delay 0 mcast_snooping 0
             link add gp0 type veth peer name eth0 address 02:00:00:00:00:05 netns {guest}
             link set gp0 master br0
             link add gv1 address 02:00:00:00:00:b1 type veth peer name eth0 address 02:00:00:00:00:06 netns {plain}",
            guest = self.guest.path(),
            plain = self.plain.path(),
        ));
        self.guest.ip("link set eth0 up");
        self.plain.ip("link set eth0 up");
        self.host.ip(&format!(
            "link set gp0 up
             link set gv1 up
             link set br0 up
             addr add fe80::b0/64 dev br0 nodad
             addr add {GATEWAY}/112 dev br0 nodad
             addr add fe80::b1/64 dev gv1 nodad
             addr add {gateway}/128 dev gv1 nodad",
            gateway = d(1),
        ));
        self.guest.ip(&format!(
            "addr add fe80::5/64 dev eth0 nodad
             addr add {GUEST}/112 dev eth0 nodad
             route add default via {GATEWAY} dev eth0"
        ));
        self.plain.ip(&format!(
            "addr add fe80::6/64 dev eth0 nodad
             addr add {PLAIN}/128 dev eth0 nodad
             route add default via fe80::b1 dev eth0"
        ));
        eventually("every link has its carrier", PATIENCE, || {
            let links = self.host.show("-o link show up");
            ["up0", "br0", "gv1"]
                .iter()
                .all(|name| {
                    links.lines().any(|line| line.contains(&format!(" {name}")) && line.contains("state UP"))
                })
                .then_some(())
        });
        self
    }
}
