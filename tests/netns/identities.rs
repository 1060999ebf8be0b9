//! Guests with an identity and claims, on the real kernel: what the administrator says counts although nobody has been heard.

use std::fs;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use crate::client::{lone64, status};
use crate::daemon::{Daemon, Settings, directory};
use crate::endpoint::PATIENCE;
use crate::frame::{ADVERTISEMENT, target_of};
use crate::lab::{C, GUEST, Lab, ROUTER, c};
use crate::link::Link;
use crate::namespace::eventually;
use crate::solicitation::Solicitation;

crate::cases![
    a_claim_survives_a_kill_and_ends_at_its_time,
    what_is_released_while_none_runs_is_not_claimed_at_the_next_start,
    a_claim_is_told_and_refused_in_sentences,
    files_in_guests_d_come_and_go_and_a_mistake_in_one_leaves_the_others,
    an_address_by_mac_follows_a_changed_prefix,
    a_prefix_is_routed_through_the_address_that_was_heard,
    one_that_runs_already_is_known_by_the_kernels_neighbor_table,
];

/// Nobody has these.
const SILENT: Ipv6Addr = c(0x77);
const OTHER: Ipv6Addr = c(0x78);

fn settings() -> Settings {
    Settings::default().range(C, "br0", "routes = \"guests\"")
}

fn ours(lab: &Lab) -> String {
    lab.host.show("-o route show proto 64")
}

fn eventually_routed(lab: &Lab, words: &str) {
    eventually(words, PATIENCE, || ours(lab).contains(words).then_some(()));
}

fn eventually_unrouted(lab: &Lab, words: &str) {
    eventually("it is gone", PATIENCE, || (!ours(lab).contains(words)).then_some(()));
}

fn is_answered(link: &mut Link, target: Ipv6Addr) -> bool {
    let heard = link.advertisements(&Solicitation::multicast(ROUTER, target));
    heard.iter().any(|frame| target_of(frame, ADVERTISEMENT) == Some(target))
}

/// Announcements come besides.
fn eventually_answered(link: &mut Link, target: Ipv6Addr) {
    eventually("it is answered for", PATIENCE, || is_answered(link, target).then_some(()));
}

/// Runs a command, and returns its exit status and what it printed.
fn run(socket: &Path, arguments: &str) -> (Option<i32>, String) {
    let output = lone64(socket, arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A directory for the socket that outlives the daemon; gone when dropped.
struct Place(PathBuf);

impl Place {
    fn socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    fn settings(&self) -> Settings {
        settings().rest(&format!("[control]\nsocket = \"{}\"\n", self.socket().display()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn a_claim_survives_a_kill_and_ends_at_its_time() {
    let lab = Lab::veth();
    let place = Place(directory());
    let daemon = Daemon::start(&lab, place.settings());
    let mut link = Link::open(&lab);
    link.unanswered(&Solicitation::multicast(ROUTER, SILENT));
    assert_eq!(run(&place.socket(), &format!("claim {SILENT} --for 1h")).0, Some(0));
    eventually_answered(&mut link, SILENT);
    eventually_routed(&lab, &format!("{SILENT} dev br0"));
    assert_eq!(run(&place.socket(), &format!("claim {OTHER} --for 5s")).0, Some(0));
    daemon.kill();
    let daemon = Daemon::start(&lab, place.settings());
    link.settle();
    eventually_answered(&mut link, SILENT);
    eventually_routed(&lab, &format!("{SILENT} dev br0"));
    eventually("the other one is over", PATIENCE, || {
        (!ours(&lab).contains(&OTHER.to_string()) && !is_answered(&mut link, OTHER)).then_some(())
    });
    // A stop keeps it for the next start, too.
    daemon.stop();
    let daemon = Daemon::start(&lab, place.settings());
    link.settle();
    eventually_answered(&mut link, SILENT);
    assert_eq!(run(&place.socket(), &format!("release {SILENT}")), (Some(0), format!("released {SILENT}")));
    eventually_unrouted(&lab, &SILENT.to_string());
    assert!(!is_answered(&mut link, SILENT));
    daemon.kill();
    let daemon = Daemon::start(&lab, place.settings());
    link.settle();
    assert!(!is_answered(&mut link, SILENT), "what was released is not remembered");
    daemon.stop();
}

/// A host fails over because its lone64 has crashed: when that is back, the addresses are the other host's.
fn what_is_released_while_none_runs_is_not_claimed_at_the_next_start() {
    let lab = Lab::veth();
    let place = Place(directory());
    let keys = "routes = \"guests\"\nstandby = true";
    let settings = || {
        let socket = format!("[control]\nsocket = \"{}\"\n", place.socket().display());
        Settings::default().range(C, "br0", keys).rest(&socket)
    };
    let daemon = Daemon::start(&lab, settings());
    assert_eq!(run(&place.socket(), &format!("claim {SILENT} {OTHER}")).0, Some(0));
    daemon.kill();
    let (code, text) = run(&place.socket(), &format!("release {SILENT}"));
    assert!(code == Some(0) && text.starts_with(&format!("released {SILENT}: no lone64 answers")), "{text}");
    let (code, text) = run(&place.socket(), &format!("release {SILENT}"));
    assert!(code == Some(1) && text.contains("no lone64 answers"), "{text}");
    let daemon = Daemon::start(&lab, settings());
    let mut link = Link::open(&lab);
    eventually_answered(&mut link, OTHER);
    assert!(!is_answered(&mut link, SILENT));
    let (_, told) = run(&place.socket(), "status --json");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["claims"].as_array().map(Vec::len), Some(1), "{told}");
    daemon.stop();
}

fn a_claim_is_told_and_refused_in_sentences() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings().range("2001:db8:1:2:d::/112", "gv1", ""));
    let socket = daemon.socket();
    let (code, text) = run(&socket, &format!("claim --json {SILENT} --mac 02:00:00:00:00:77 --for 1h"));
    let claimed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &claimed["claimed"][0]["state"]), (Some(0), &Value::from("here")), "{text}");
    let (code, text) = run(&socket, &format!("claim {SILENT} --for 7d"));
    assert!(code == Some(0) && text.contains("for 604"), "{text}");
    let told = status(&daemon);
    assert_eq!(told["claims"][0]["object"], SILENT.to_string());
    let target = told["targets"].as_array().unwrap().iter().find(|one| one["address"] == SILENT.to_string());
    assert_eq!(target.unwrap()["evidence"], "claim");
    let (_, page) = run(&socket, "status");
    assert!(page.contains(&format!("claim {SILENT} dev br0: here, ends in")), "{page}");
    let (_, explained) = run(&socket, &format!("explain {SILENT}"));
    assert!(explained.contains("because it is claimed for"), "{explained}");
    for (arguments, words) in [
        ("claim 2001:db8:9::5", "2001:db8:9::5 is outside every range"),
        ("claim web9", "no guest is called web9"),
        ("claim 2001:db8:1:2:c::9 --interface br7", "there is no interface br7"),
        (
            "claim 2001:db8:1:2:c::9 --interface gv1",
            "no range serves 2001:db8:1:2:c::9 for a guest behind gv1",
        ),
        ("claim 2001:db8:1:2:c::1", "an address of this host"),
        ("claim 2001:db8:1:2:c::", "is the subnet-router anycast address of 2001:db8:1:2:c::/112"),
        ("claim 2001:db8:1:2:c::/113 --via fe80::5", "an address of this host"),
        ("claim 2001:db8:1:2:c::100/120", "--via"),
        ("claim 2001:db8:1:2:c::100/120 --via ff02::1", "ff02::1 cannot be a next hop"),
        ("release 2001:db8:1:2:c::9", "nobody has claimed 2001:db8:1:2:c::9"),
    ] {
        let (code, said) = run(&socket, arguments);
        assert!(code == Some(1) && said.contains(words), "{arguments}: {said}");
    }
    let said = daemon.stop();
    assert!(said.contains("claimed") && said.contains(&SILENT.to_string()), "{said}");
}

fn guest_file(name: &str, addresses: &str) -> String {
    format!("[[guest]]\nname = \"{name}\"\ninterface = \"br0\"\naddresses = {addresses}\n")
}

fn files_in_guests_d_come_and_go_and_a_mistake_in_one_leaves_the_others() {
    let lab = Lab::veth();
    let daemon = Daemon::start(&lab, settings());
    let mut link = Link::open(&lab);
    let folder = daemon.config().with_file_name("guests.d");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("web1.toml"), guest_file("web1", &format!("[\"{SILENT}\"]"))).unwrap();
    eventually_routed(&lab, &format!("{SILENT} dev br0"));
    eventually_answered(&mut link, SILENT);
    // Half of a configuration is in force neither before nor after a mistake elsewhere.
    fs::write(folder.join("web2.toml"), guest_file("web1", &format!("[\"{OTHER}\"]"))).unwrap();
    let bad = folder.join("web2.toml").display().to_string();
    let (code, said) = run(&daemon.socket(), "reload");
    assert!(
        code == Some(1) && said.contains(&bad) && said.contains("two guests with the name `web1`"),
        "{said}"
    );
    assert!(ours(&lab).contains(&SILENT.to_string()) && !ours(&lab).contains(&OTHER.to_string()));
    fs::write(folder.join("web2.toml"), guest_file("web2", &format!("[\"{OTHER}\"]"))).unwrap();
    eventually_routed(&lab, &format!("{OTHER} dev br0"));
    // One that was good stays as it was.
    fs::write(folder.join("web2.toml"), "[[guest]]\nname = ").unwrap();
    fs::remove_file(folder.join("web1.toml")).unwrap();
    eventually_unrouted(&lab, &SILENT.to_string());
    assert!(ours(&lab).contains(&OTHER.to_string()));
    eventually_answered(&mut link, OTHER);
    // A link to a file that is there already, as in sites-enabled.
    let aside = folder.with_file_name("web1.toml");
    fs::write(&aside, guest_file("web1", &format!("[\"{SILENT}\"]"))).unwrap();
    let linked = folder.join("web1.toml");
    for link in [std::os::unix::fs::symlink, fs::hard_link] {
        link(&aside, &linked).unwrap();
        eventually_routed(&lab, &format!("{SILENT} dev br0"));
        fs::remove_file(&linked).unwrap();
        eventually_unrouted(&lab, &SILENT.to_string());
    }
    fs::remove_dir_all(&folder).unwrap();
    eventually_unrouted(&lab, &OTHER.to_string());
    let said = daemon.stop();
    assert!(said.contains(&bad), "{said}");
}

fn an_address_by_mac_follows_a_changed_prefix() {
    let lab = Lab::veth();
    let range = "[[range]]\nsuffix = \"::/64\"\ninterface = \"br0\"\n";
    let guest = "[[guest]]\nname = \"web1\"\nmac = \"52:54:00:12:34:56\"\ninterface = \"br0\"\n\
                 addresses = \"eui64\"\n";
    let _daemon = Daemon::start(&lab, Settings::default().without_sentinels().rest(range).rest(guest));
    eventually_routed(&lab, "2001:db8:1:2:5054:ff:fe12:3456 dev br0");
    let start = Instant::now();
    lab.host.ip("addr add 2001:db8:9:9::2/64 dev up0 nodad\naddr del 2001:db8:1:2::2/64 dev up0");
    eventually_routed(&lab, "2001:db8:9:9:5054:ff:fe12:3456 dev br0");
    eprintln!("the address follows the prefix after {:?}", start.elapsed());
    eventually_unrouted(&lab, "2001:db8:1:2:5054:ff:fe12:3456");
}

fn a_prefix_is_routed_through_the_address_that_was_heard() {
    let lab = Lab::veth();
    let guest = "[[guest]]\nname = \"web1\"\nmac = \"02:00:00:00:00:05\"\ninterface = \"br0\"\naddresses = []\n\
                 delegate = [\"2001:db8:1:2:c::1000/116\"]\n";
    let daemon = Daemon::start(&lab, settings().rest(guest));
    let inside = c(0x1001);
    lab.guest.ip(&format!("addr add {inside}/128 dev lo nodad"));
    // It says something from its link-local address.
    lab.guest.ping("fe80::b0%eth0");
    eventually_routed(&lab, "2001:db8:1:2:c::1000/116 via fe80::5 dev br0");
    lab.router.ping(&inside.to_string());
    lab.guest.ip("addr add fe80::55/64 dev eth0 nodad\naddr del fe80::5/64 dev eth0");
    lab.guest.ping("fe80::b0%eth0");
    eventually_routed(&lab, "2001:db8:1:2:c::1000/116 via fe80::55 dev br0");
    lab.router.ping(&inside.to_string());
    let told = status(&daemon);
    assert_eq!(told["guests"][0]["delegated"][0], "2001:db8:1:2:c::1000/116");
    lab.host.ip("link set br0 down");
    eventually_unrouted(&lab, "2001:db8:1:2:c::1000/116");
}

fn one_that_runs_already_is_known_by_the_kernels_neighbor_table() {
    let lab = Lab::veth();
    lab.guest.ping("fe80::b0%eth0");
    let daemon = Daemon::start(&lab, settings());
    let folder = daemon.config().with_file_name("guests.d");
    fs::create_dir(&folder).unwrap();
    let guest = format!(
        "[[guest]]\nname = \"web1\"\nmac = \"02:00:00:00:00:05\"\naddresses = [\"{GUEST}\"]\n\
         delegate = [\"2001:db8:1:2:c::1000/116\"]\n"
    );
    for name in ["web1", "web2"] {
        fs::write(folder.join("web.toml"), guest.replace("web1", name)).unwrap();
        eventually_routed(&lab, "2001:db8:1:2:c::1000/116 via fe80::5 dev br0");
        fs::remove_file(folder.join("web.toml")).unwrap();
        eventually_unrouted(&lab, "2001:db8:1:2:c::1000/116");
    }
}
