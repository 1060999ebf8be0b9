//! In step with the kernel: what it routes, and what prefix the upstream has, is what is served.

use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::{Daemon, Settings};
use crate::endpoint::PATIENCE;
use crate::frame::{ADVERTISEMENT, target_of};
use crate::lab::{GUEST, Lab, ROUTER, c};
use crate::link::Link;
use crate::namespace::{Namespace, eventually};
use crate::solicitation::Solicitation;

crate::cases![
    serves_what_the_kernel_routes_without_any_configuration,
    follows_a_bridge_that_comes_and_goes,
    leaves_alone_what_it_is_told_to_ignore,
    waits_where_nothing_is_routed_yet,
    puts_a_suffix_under_the_prefix_of_a_router_s_advertisements_and_takes_it_away,
];

const AUTOMATIC: &str = "automatic = true\n";

/// A guest behind a bridge that somebody makes while the daemon runs.
const NEW: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xe, 0, 0, 5);

/// What `docker network create` and a container come down to.
fn make_bridge(lab: &Lab) -> Namespace {
    let guest = Namespace::new();
    lab.host.ip(&format!(
        "link add br9 type bridge forward_delay 0 mcast_snooping 0
         link add gp9 type veth peer name eth0 netns {}
         link set gp9 master br9
         link set gp9 up
         link set br9 up
         addr add fe80::b9/64 dev br9 nodad
         addr add 2001:db8:1:2:e::1/112 dev br9 nodad",
        guest.path()
    ));
    guest.ip(&format!(
        "link set eth0 up
         addr add {NEW}/112 dev eth0 nodad
         route add default via 2001:db8:1:2:e::1 dev eth0"
    ));
    guest
}

fn ours(lab: &Lab) -> String {
    lab.host.show("-o route show table all proto 64")
}

fn is_answered(link: &mut Link, target: Ipv6Addr) -> bool {
    let heard = link.advertisements(&Solicitation::multicast(ROUTER, target));
    heard.iter().any(|frame| target_of(frame, ADVERTISEMENT) == Some(target))
}

fn eventually_answered(link: &mut Link, target: Ipv6Addr) {
    eventually("it is answered for", PATIENCE, || is_answered(link, target).then_some(()));
}

fn eventually_silent(link: &mut Link, target: Ipv6Addr) {
    eventually("it is not answered for", PATIENCE, || (!is_answered(link, target)).then_some(()));
}

fn serves_what_the_kernel_routes_without_any_configuration() {
    for options in ["--upstream up0", "--config /dev/null"] {
        let lab = Lab::veth();
        let daemon = Daemon::start_with_options(&lab, options);
        lab.router.ping(&GUEST.to_string());
        assert_eq!(ours(&lab), "", "the kernel's own routes are enough");
        let said = daemon.stop();
        assert!(said.contains("serving 2001:db8:1:2:c::/112 on up0 for br0 (live, automatic)"), "{said}");
    }
}

fn follows_a_bridge_that_comes_and_goes() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, Settings::default().upstream(AUTOMATIC));
    let mut link = Link::open(&lab);
    link.unanswered(&Solicitation::multicast(ROUTER, NEW));
    for _ in 0..2 {
        let guest = make_bridge(&lab);
        eventually_answered(&mut link, NEW);
        lab.router.ping(&NEW.to_string());
        // Another range goes on undisturbed.
        link.answered(&Solicitation::multicast(ROUTER, GUEST));
        lab.host.ip("link del br9\nlink del gp9");
        eventually_silent(&mut link, NEW);
        drop(guest);
    }
    assert_eq!(ours(&lab), "");
    let said = daemon.stop();
    let why = "serving 2001:db8:1:2:e::/112 behind br9: the kernel routes it there";
    assert_eq!(said.matches(why).count(), 2, "{said}");
    assert_eq!(said.matches("no longer serving 2001:db8:1:2:e::/112").count(), 2, "{said}");
}

fn leaves_alone_what_it_is_told_to_ignore() {
    let lab = Lab::veth();
    let settings = Settings::default().upstream(AUTOMATIC).upstream("ignore = [\"br9\", \"gv*\"]\n");
    let daemon = Daemon::start(&lab, settings);
    let mut link = Link::open(&lab);
    lab.host.ip("route add 2001:db8:1:2:d::/112 dev gv1");
    let _guest = make_bridge(&lab);
    // What was told before a route of another bridge has been taken in when that one is served.
    lab.host.ip("route add 2001:db8:1:2:f::/112 via fe80::5 dev br0");
    eventually_answered(&mut link, Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xf, 0, 0, 7));
    link.unanswered(&Solicitation::multicast(ROUTER, NEW));
    link.unanswered(&Solicitation::multicast(ROUTER, crate::lab::PLAIN));
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    daemon.stop();
}

fn waits_where_nothing_is_routed_yet() {
    let lab = Lab::veth();
    lab.host.ip("link del br0\nlink del gv1");
    let daemon = Daemon::start_with_options(&lab, "--upstream up0");
    let _guest = make_bridge(&lab);
    lab.router.output("ping", &format!("-c 1 -w 10 {NEW}"));
    let said = daemon.stop();
    assert!(said.contains("nothing to serve yet") && said.contains("out of 2001:db8:1:2::/64"), "{said}");
}

/// A router that advertises one prefix, which is gone ten seconds after the last word of it.
struct Advertiser {
    child: Child,
    directory: std::path::PathBuf,
}

impl Advertiser {
    fn start(lab: &Lab) -> Self {
        let directory = std::env::temp_dir().join(format!("lone64-radvd-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a temporary directory");
        let config = directory.join("radvd.conf");
        // Without a default route: the lab has one, and where the kernel cannot add that of an
        // advertisement, it does not look at the prefixes.
        let text = "interface rt0 {
            AdvSendAdvert on;
            AdvDefaultLifetime 0;
            MinRtrAdvInterval 3;
            MaxRtrAdvInterval 4;
            prefix 2001:db8:9:9::/64 { AdvValidLifetime 10; AdvPreferredLifetime 8; };
        };";
        fs::write(&config, text).expect("a temporary file");
        let mut command = Command::new("radvd");
        command.args(["--nodaemon", "--logmethod", "stderr"]);
        command.arg("--config").arg(&config).arg("--pidfile").arg(directory.join("radvd.pid"));
        let child = lab.router.spawn(command.stdin(Stdio::null()).stderr(Stdio::null()));
        Self { child, directory }
    }
}

impl Drop for Advertiser {
    fn drop(&mut self) {
        // It has a child of its own, which it takes along when it is asked to go.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn puts_a_suffix_under_the_prefix_of_a_router_s_advertisements_and_takes_it_away() {
    let lab = Lab::veth();
    lab.host.sysctls(&[
        ("net/ipv6/conf/up0/addr_gen_mode", "0"),
        ("net/ipv6/conf/up0/autoconf", "1"),
        ("net/ipv6/conf/up0/accept_ra", "2"),
    ]);
    // Seconds until the kernel removes a route that has expired; an ordinary user cannot set it.
    if lab.host.run(|| Path::new("/proc/sys/net/ipv6/route/gc_interval").exists()) {
        lab.host.sysctls(&[("net/ipv6/route/gc_interval", "1")]);
    }
    let suffix = "[[range]]\nsuffix = \"::c:0:0:0/112\"\ninterface = \"br0\"\n";
    let daemon = Daemon::start(&lab, Settings::default().rest(suffix));
    let mut link = Link::open(&lab);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));

    let advertiser = Advertiser::start(&lab);
    let advertised = Ipv6Addr::new(0x2001, 0xdb8, 9, 9, 0xc, 0, 0, 5);
    lab.host.ip("addr add 2001:db8:9:9:c::1/112 dev br0 nodad");
    lab.guest.ip(&format!("addr add {advertised}/112 dev eth0 nodad"));
    eventually_answered(&mut link, advertised);
    link.answered(&Solicitation::multicast(ROUTER, GUEST));
    assert!(ours(&lab).contains("unreachable 2001:db8:9:9:c::/112"), "{}", ours(&lab));

    // The old prefix goes.
    lab.host.ip("addr del 2001:db8:1:2::2/64 dev up0");
    eventually_silent(&mut link, GUEST);
    link.unanswered(&Solicitation::multicast(ROUTER, c(7)));
    eventually("the old range's routes are gone", PATIENCE, || {
        (!ours(&lab).contains("2001:db8:1:2:c::/112")).then_some(())
    });
    assert!(is_answered(&mut link, advertised));

    // Nobody advertises the new one any more, and its lifetime ends.
    drop(advertiser);
    let patience = 2 * PATIENCE;
    eventually("nothing of it is left", patience, || ours(&lab).is_empty().then_some(()));
    eventually_silent(&mut link, advertised);
    let said = daemon.stop();
    assert!(said.contains("the suffix ::c:0:0:0/112 is not served"), "{said}");
}
