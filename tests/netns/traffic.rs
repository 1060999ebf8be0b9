//! Ordinary programs and the kernels' own neighbor entries: the guests are reachable, and stay so.
//! Also rules.md "Delivery": a macvlan keeps out every group that was not asked for.

use std::process::{Command, Stdio};

use crate::daemon::{Daemon, Settings};
use crate::endpoint::Endpoint;
use crate::frame::{IP, SOLICITATION, receiver, target_of};
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, ROUTER_AT_LARGE, UPSTREAM_MAC};
use crate::link::Link;
use crate::namespace::Namespace;
use crate::pings::Pings;
use crate::solicitation::Solicitation;

crate::cases![
    makes_guests_reachable_that_were_not,
    loses_no_ping_while_the_neighbors_probe_each_other,
    hears_every_group_on_a_macvlan,
];

fn makes_guests_reachable_that_were_not() {
    for lab in [Lab::veth(), Lab::macvlan()] {
        let lost = ping(&lab.router, &format!("-c 1 -W 1 {PLAIN}")).wait_with_output().unwrap();
        assert!(!lost.status.success(), "reachable without a daemon: nothing can be shown here");
        let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").range(D, "gv1", ""));
        for guest in [GUEST, PLAIN] {
            lab.router.ping(&guest.to_string());
        }
        for guest in [&lab.guest, &lab.plain] {
            guest.ping(&ROUTER_AT_LARGE.address.to_string());
        }
        daemon.stop();
    }
}

fn loses_no_ping_while_the_neighbors_probe_each_other() {
    // By hand, with LONE64_PING_SECONDS=60, this is the promise of the issue.
    let seconds: u32 =
        std::env::var("LONE64_PING_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let lab = Lab::veth();
    for (namespace, interface) in
        [(&lab.router, "rt0"), (&lab.host, "up0"), (&lab.host, "br0"), (&lab.guest, "eth0")]
    {
        let key = |name: &str| format!("net/ipv6/neigh/{interface}/{name}");
        namespace.sysctls(&[
            (&key("base_reachable_time_ms"), "1000"),
            (&key("delay_first_probe_time"), "1"),
            (&key("gc_stale_time"), "5"),
        ]);
    }
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "").range(D, "gv1", ""));
    let entries = Monitor::start(&lab.router);
    let mut router = Endpoint::open(&lab.router, "rt0");
    let count = seconds * 10;
    // Whoever runs ping confirms its neighbor with every reply (MSG_CONFIRM); whoever replies does
    // not. So the router probes only the guest that it does not itself ping.
    let (to_router, to_guest) = (ROUTER_AT_LARGE.address, GUEST);
    let pings = [
        Pings::start(&lab.router, count, &to_guest.to_string()),
        Pings::start(&lab.guest, count, &to_router.to_string()),
        Pings::start(&lab.plain, count, &to_router.to_string()),
    ];
    pings.into_iter().for_each(Pings::lose_none);
    let probes = router
        .heard()
        .iter()
        .filter(|frame| target_of(frame, SOLICITATION) == Some(PLAIN))
        .filter(|frame| receiver(frame) == UPSTREAM_MAC && frame[IP + 24] == 0x20)
        .count();
    assert!(probes > 0, "the router never probed by unicast: nothing was shown");
    let changes = entries.stop();
    assert!(changes.contains(&PLAIN.to_string()), "no change of an entry was seen: nothing was shown");
    assert!(!changes.contains("FAILED"), "{changes}");
    daemon.stop();
}

fn hears_every_group_on_a_macvlan() {
    let lab = Lab::macvlan();
    let daemon = Daemon::start(&lab, Settings::default().range(C, "br0", "answer = \"always\""));
    let mut link = Link::open(&lab);
    // 24 groups: a hashed filter lets some through by chance, never all.
    for last in 0..24 {
        let question = Solicitation::multicast(ROUTER, crate::lab::c(0x1234 + 977 * last));
        link.answered(&question);
    }
    link.answered(&Solicitation::unicast(ROUTER, GUEST, UPSTREAM_MAC));
    daemon.stop();
}

/// `ip monitor`, which prints every state that a neighbor entry comes to.
struct Monitor(std::process::Child);

impl Monitor {
    fn start(namespace: &Namespace) -> Self {
        let mut command = Command::new("ip");
        command.args(["-6", "monitor", "neigh"]).stdin(Stdio::null()).stdout(Stdio::piped());
        Self(namespace.spawn(command.stderr(Stdio::null())))
    }

    fn stop(mut self) -> String {
        self.0.kill().unwrap();
        String::from_utf8_lossy(&self.0.wait_with_output().unwrap().stdout).into_owned()
    }
}

fn ping(namespace: &Namespace, arguments: &str) -> std::process::Child {
    namespace.spawn(
        Command::new("ping")
            .args(arguments.split(' '))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    )
}
