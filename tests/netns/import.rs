//! What `lone64 import` prints answers as the configuration did: the real ndppd and npd6 are asked
//! first, then lone64 with the same questions in the same lab. Also the kernel's proxy entries.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lone64::config;
use lone64::engine::policy::{Answer, Downstream};

use crate::daemon::Daemon;
use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, ICMP, SOLICITATION, receiver, sender, target_of};
use crate::lab::{C, D, GUEST, Lab, PLAIN, ROUTER, ROUTER_MAC, SENTINELS, UPSTREAM_MAC, c, d};
use crate::namespace::{eventually, took};
use crate::solicitation::Solicitation;

crate::cases![
    answers_as_ndppd_did,
    answers_as_ndppd_did_where_rules_overlap,
    answers_as_npd6_did,
    answers_as_npd6_did_with_a_whitelist,
    imports_what_the_kernel_answers_for,
    answers_as_the_kernel_did_whatever_the_way_to_each_address,
    imports_and_serves_all_that_the_kernel_may_answer_for,
];

/// An answered target, and whether the R flag was set.
type Answered = BTreeSet<(Ipv6Addr, bool)>;

fn answers_as_ndppd_did() {
    let conf = format!(
        "proxy up0 {{\n router no\n rule {C} {{\n iface br0\n }}\n rule {D} {{\n static\n }}\n \
         rule {SENTINELS} {{\n static\n }}\n}}\n"
    );
    // Behind the bridge one is live and one is dead; a static rule does not care; the rest is outside.
    let expected = [GUEST, PLAIN, d(9)].map(|target| (target, false));
    compare("ndppd", &conf, &[GUEST, c(6), PLAIN, d(9), OUTSIDE, OTHER_LINK], &expected);
}

fn answers_as_ndppd_did_where_rules_overlap() {
    let conf = format!(
        "proxy up0 {{\n rule 2001:db8:1:2:c::/80 {{\n iface br0\n }}\n rule {} {{\n static\n }}\n \
         rule 2001:db8:1:2:d::/80 {{\n static\n }}\n rule {D} {{\n iface br0\n }}\n \
         rule {SENTINELS} {{\n static\n }}\n}}\n",
        c(6)
    );
    let expected = [GUEST, c(6), d(9)].map(|target| (target, true));
    compare("ndppd", &conf, &[GUEST, c(6), c(7), d(9), OUTSIDE, OTHER_LINK], &expected);
}

fn answers_as_npd6_did() {
    let conf = format!("prefix=2001:db8:1:2:\ninterface=up0\nlisttype=black\naddrlist={}\n", d(9));
    let expected = [GUEST, c(6), PLAIN, OUTSIDE].map(|target| (target, true));
    let targets = [GUEST, c(6), PLAIN, d(9), OUTSIDE, OTHER_LINK];
    // npd6 also takes what the kernel looks for on the link itself from the station that has it.
    let routes = format!("route add {D} dev gv1\nroute add {SENTINELS} dev br0");
    compare_but_for(&[OUTSIDE], &routes, ("npd6", &conf), &targets, &expected);
}

fn answers_as_npd6_did_with_a_whitelist() {
    let conf = format!(
        "prefix=2001:db8:1:2:\ninterface=up0\nrouterNA=false\nlisttype=white\naddrlist={GUEST}\n\
         addrlist={OTHER_LINK}\naddrlist={SENTINEL}\n"
    );
    compare("npd6", &conf, &[GUEST, c(6), PLAIN, OUTSIDE, OTHER_LINK], &[(GUEST, false)]);
}

fn imports_what_the_kernel_answers_for() {
    let lab = Lab::veth();
    lab.host.ip(&format!("neigh add proxy {GUEST} dev up0 router\nneigh add proxy {} dev up0 router", c(6)));
    let toml = lab.host.output(LONE64, "import --kernel");
    let policy = config::parse(&toml, "printed").unwrap_or_else(|problems| panic!("{problems}")).policy;
    let prefixes: Vec<String> = policy.ranges.iter().map(|range| range.prefix.to_string()).collect();
    assert_eq!(prefixes, [format!("{GUEST}/128"), format!("{}/128", c(6))]);

    lab.host.ip(&format!("neigh del proxy {GUEST} dev up0\nneigh del proxy {} dev up0", c(6)));
    let file = Directory::new();
    let toml = format!(
        "{toml}\n[[range]]\nprefix = \"{SENTINELS}\"\nanswer = \"always\"\nbackstop = false\nroutes = \"none\"\n"
    );
    let daemon = Daemon::start_with_options(&lab, &format!("--config {}", file.write("lone64.toml", &toml)));
    // The one that nobody has was answered by the kernel all the same.
    assert_eq!(answered(&lab, &[GUEST, c(6)], 1), BTreeSet::from([(GUEST, true)]));
    lab.router.ping(&GUEST.to_string());
    daemon.stop();
}

/// Behind the bridge, behind a router of the guests, by a rule, without a route.
fn answers_as_the_kernel_did_whatever_the_way_to_each_address() {
    let lab = Lab::veth();
    let [routed, unrouted, refused, far, anyip] = [0xf, 0xa, 0xb, 7, 9].map(behind);
    lab.host.sysctls(&[("net/ipv6/conf/up0/proxy_ndp", "1"), ("net/ipv6/neigh/up0/proxy_delay", "0")]);
    lab.host.ip(&format!(
        "route add {routed} via {GUEST} dev br0
         rule add to {D} lookup 100
         route add {D} dev gv1 table 100
         route add unreachable {refused}
         rule add iif up0 to {far} lookup 101
         route add default via {} dev br0 table 101
         route add local {anyip} dev lo
         route add local {SENTINELS} dev lo",
        c(7)
    ));
    lab.guest.ip(&format!("addr add {routed}/128 dev lo"));
    let on_bridge = d(1);
    let targets = [GUEST, PLAIN, routed, unrouted, refused, far, anyip, on_bridge];
    let each = |verb: &str| {
        let line = |address: &Ipv6Addr| format!("neigh {verb} proxy {address} dev up0\n");
        targets.iter().chain([&SENTINEL]).map(line).collect::<String>()
    };
    lab.host.ip(&each("add"));
    // The kernel sets the R flag only for what was added with `router`.
    let all: Answered = targets.iter().map(|target| (*target, false)).collect();
    assert_eq!(answered(&lab, &targets, all.len()), all, "the kernel");

    let toml = lab.host.output(LONE64, "import --kernel");
    lab.host.ip(&each("del"));
    let policy = config::parse(&toml, "printed").unwrap_or_else(|problems| panic!("{problems}")).policy;
    let written = |address: Ipv6Addr| {
        let range = policy.ranges.iter().find(|range| range.prefix.addr() == address).unwrap();
        (range.answer, range.downstream.clone())
    };
    let by_routes = Downstream::Kernel;
    assert_eq!(written(GUEST), (Answer::Live, by_routes.clone()), "{toml}");
    assert_eq!(written(on_bridge), (Answer::Live, by_routes.clone()), "{toml}");
    assert_eq!(written(PLAIN), (Answer::Live, by_routes.clone()), "{toml}");
    assert_eq!(written(routed), (Answer::Live, by_routes.clone()), "{toml}");
    for address in [unrouted, refused, far, anyip] {
        assert_eq!(written(address), (Answer::Always, by_routes.clone()), "{address}: {toml}");
    }
    for why in [
        format!("behind the router {GUEST} on br0"),
        format!("goes through the router {} on br0", c(7)),
        "leads back out of up0".to_owned(),
    ] {
        assert!(toml.replace("\n# ", " ").contains(&why), "{why}: {toml}");
    }

    let file = Directory::new();
    let daemon = Daemon::start_with_options(&lab, &format!("--config {}", file.write("lone64.toml", &toml)));
    assert_eq!(answered(&lab, &targets, all.len()), all, "lone64 in the place of the kernel\n{toml}");
    for target in [GUEST, PLAIN, routed, anyip] {
        lab.router.ping(&target.to_string());
    }
    daemon.stop();
}

/// Each is looked up, and then answered for by lone64.
fn imports_and_serves_all_that_the_kernel_may_answer_for() {
    let lab = Lab::veth();
    let address = |number: u16| {
        let group = if number.is_multiple_of(2) { 0xc } else { 0xf };
        Ipv6Addr::new(0x2001, 0xdb8, 1, 2, group, 0, 1, number)
    };
    lab.host.ip(&format!(
        "route add 2001:db8:1:2:c:0:1:0/112 dev br0
         route add 2001:db8:1:2:f:0:1:0/112 via {GUEST} dev br0"
    ));
    let lines: Vec<String> =
        (0..ENTRIES).map(|number| format!("neigh add proxy {} dev up0", address(number))).collect();
    lab.host.ip(&lines.join("\n"));
    let start = Instant::now();
    let toml = lab.host.output(LONE64, "import --kernel");
    took(&format!("{ENTRIES} entries were imported"), start.elapsed());
    let policy = config::parse(&toml, "printed").unwrap_or_else(|problems| panic!("{problems}")).policy;
    assert_eq!(policy.ranges.len(), usize::from(ENTRIES));
    assert!(policy.ranges.iter().all(|range| range.answer == Answer::Live), "{toml}");

    // And served, as the kernel did: those on the bridge are live, the others are behind a router that is.
    let on_bridge = (0..ENTRIES).filter(|number| number.is_multiple_of(2));
    let batch: Vec<String> =
        on_bridge.map(|number| format!("addr add {}/128 dev eth0 nodad", address(number))).collect();
    lab.guest.ip(&batch.join("\n"));
    lab.host.ip(&lines.join("\n").replace("neigh add", "neigh del"));
    let file = Directory::new();
    let toml = format!(
        "{toml}\n[[range]]\nprefix = \"{SENTINELS}\"\nanswer = \"always\"\nbackstop = false\nroutes = \"none\"\n"
    );
    let start = Instant::now();
    let daemon = Daemon::start_with_options(&lab, &format!("--config {}", file.write("lone64.toml", &toml)));
    took(&format!("{ENTRIES} ranges were served"), start.elapsed());
    let targets: Vec<_> = (0..ENTRIES).map(address).collect();
    assert_eq!(answered(&lab, &targets, targets.len()).len(), targets.len());
    daemon.stop();
}

/// Asks `program` and then lone64 for the targets.
fn compare(program: &str, conf: &str, targets: &[Ipv6Addr], expected: &[(Ipv6Addr, bool)]) {
    compare_but_for(&[], "", (program, conf), targets, expected);
}

/// The same on a host with these routes, where lone64 leaves some of the targets alone.
fn compare_but_for(
    left_alone: &[Ipv6Addr],
    routes: &str,
    (program, conf): (&str, &str),
    targets: &[Ipv6Addr],
    expected: &[(Ipv6Addr, bool)],
) {
    let files = Directory::new();
    let conf = files.write("conf", conf);
    let mut expected: Answered = expected.iter().copied().collect();

    let lab = Lab::veth();
    lab.host.ip(routes);
    let running = Peer::start(&lab, program, &conf);
    assert_eq!(answered(&lab, targets, expected.len()), expected, "{program}");
    drop(running);

    expected.retain(|(target, _)| !left_alone.contains(target));
    let lab = Lab::veth();
    lab.host.ip(routes);
    let toml = lab.host.output(LONE64, &format!("import {conf}"));
    let before = lab.host.show("-o route show table all");
    let toml = files.write("lone64.toml", &toml);
    let daemon = Daemon::start_with_options(&lab, &format!("--config {toml}"));
    assert_eq!(lab.host.show("-o route show table all"), before, "nobody asked for routes");
    assert_eq!(answered(&lab, targets, expected.len()), expected, "lone64 in the place of {program}");
    daemon.stop();
}

/// The targets that are answered for, when so many have been, and each was asked for twice more.
fn answered(lab: &Lab, targets: &[Ipv6Addr], enough: usize) -> Answered {
    let mut router = Endpoint::open(&lab.router, "rt0");
    let mut seen = Answered::new();
    eventually("the responder is there", PATIENCE, || asks(&mut router, &[], &mut seen).then_some(()));
    eventually("the answers are complete", PATIENCE, || {
        asks(&mut router, targets, &mut seen);
        (seen.len() >= enough).then_some(())
    });
    for _ in 0..2 {
        eventually("the responder is still there", PATIENCE, || {
            asks(&mut router, targets, &mut seen).then_some(())
        });
    }
    seen
}

/// One question for each, and one that is always answered; whether it was.
fn asks(router: &mut Endpoint, targets: &[Ipv6Addr], seen: &mut Answered) -> bool {
    for target in targets.iter().chain([&SENTINEL]) {
        router.send(&Solicitation::multicast(ROUTER, *target).frame());
    }
    // Also what a slow guest makes of the question before has its time here.
    let deadline = Instant::now() + Duration::from_millis(500);
    while let Some(frame) = router.receive(deadline) {
        if sender(&frame) != UPSTREAM_MAC || receiver(&frame) != ROUTER_MAC {
            continue;
        }
        match target_of(&frame, ADVERTISEMENT) {
            Some(SENTINEL) => return true,
            Some(target) if targets.contains(&target) => {
                _ = seen.insert((target, frame[ICMP + 4] & 0x80 != 0))
            }
            // The host's own question for the router, which ndppd needs before it can answer.
            _ => assert_ne!(target_of(&frame, SOLICITATION), Some(SENTINEL)),
        }
    }
    false
}

/// ndppd or npd6; killed when dropped.
struct Peer(Child);

impl Peer {
    fn start(lab: &Lab, program: &str, conf: &str) -> Self {
        // Debian keeps daemons where the PATH of an ordinary user does not lead.
        let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
        let path =
            folders.map(|folder| Path::new(folder).join(program)).into_iter().find(|path| path.exists());
        let path = path.unwrap_or_else(|| panic!("no {program} to compare with; apt-get install {program}"));
        let mut command = Command::new(path);
        match program {
            "npd6" => command.args(["-f", "-l", "/dev/null", "-c", conf]),
            _ => command.args(["-c", conf]),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(lab.host.spawn(&mut command))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory for a test's files; removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let unique = format!("lone64-import-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a temporary file");
        path.to_str().expect("an ordinary name").to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// In [`SENTINELS`], where everything is answered.
const SENTINEL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0x5e, 0, 0, 1);
/// On the link, and in no rule but one for the whole of it.
const OUTSIDE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xe, 0, 0, 5);
/// The guest's interface identifier in another /64.
const OTHER_LINK: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 3, 0xc, 0, 0, 5);

/// An address of this group of the link's.
const fn behind(group: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 1, 2, group, 0, 0, 5)
}

/// As many as a host was seen to have.
const ENTRIES: u16 = 1_023;

const LONE64: &str = env!("CARGO_BIN_EXE_lone64");
