//! A host of systemd-networkd's, which deletes routes that are not its own, unless it is told not to.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::PATIENCE;
use crate::guide::Guide;
use crate::machine::Machine;
use crate::namespace::{Namespace, eventually};
use crate::plugged;
use crate::provider::{BEYOND, Provider};
use crate::traffic::Traffic;

crate::cases![
    a_restart_of_networkd_leaves_routes_alone_where_it_is_told_to,
    routes_that_networkd_deletes_are_put_back,
    a_default_route_that_networkd_has_by_advertisement_worries_nobody,
];

const GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 5);

fn a_restart_of_networkd_leaves_routes_alone_where_it_is_told_to() {
    let (provider, host, _guest) = followed();
    let pid = host.main_pid("lone64");
    let traffic = Traffic::start(&provider.router, GUEST);
    let changes = Changes::of(&host);
    host.type_in("systemctl stop systemd-networkd.socket systemd-networkd\nip -6 route delete default");
    host.type_in("systemctl start systemd-networkd");
    // It sets routes after it has deleted those of others.
    changes.follow("Deleted default ", &["default via fe80::1 dev eth0"]);
    has_configured(&host);
    changes.end_here(&host);
    let ours: Vec<_> = changes.all().into_iter().filter(|line| line.contains("2001:db8:1:2:c::")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    traffic.flows();
    println!("a restart of networkd interrupted it for {:?}", traffic.longest_gap());
    assert_eq!(host.main_pid("lone64"), pid);
}

fn routes_that_networkd_deletes_are_put_back() {
    let (provider, host, _guest) = followed();
    host.type_in("rm /etc/systemd/networkd.conf.d/zz-lone64.conf");
    let said = host.ask("lone64 doctor");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("whenever it starts it deletes routes that are not its own"), "{said}");
    let traffic = Traffic::start(&provider.router, GUEST);
    let changes = Changes::of(&host);
    host.type_in("systemctl restart systemd-networkd");
    for ours in [format!("{GUEST} dev br0"), "unreachable 2001:db8:1:2:c::/112".to_owned()] {
        changes.follow(&format!("Deleted {ours}"), &[&ours]);
    }
    has_configured(&host);
    has_two_routes(&host);
    traffic.flows();
    println!("a restart of networkd interrupted it for {:?}", traffic.longest_gap());
}

fn a_default_route_that_networkd_has_by_advertisement_worries_nobody() {
    let (provider, host, guest) = followed();
    let _radvd = Radvd::start(&provider.router);
    host.type_in(
        "sed -i s/Gateway=.*/IPv6AcceptRA=yes/ /etc/systemd/network/10-eth0.network
         networkctl reload
         networkctl reconfigure eth0",
    );
    eventually("the default route came by router advertisement", PATIENCE, || {
        let shown = host.ask("ip -6 route show default");
        (shown.contains("proto ra") && !shown.contains("proto static")).then_some(())
    });
    assert_eq!(host.type_in("sysctl -n net.ipv6.conf.eth0.accept_ra"), "0\n");
    let said = host.type_in("lone64 doctor --json");
    assert!(!said.contains("accept_ra"), "{said}");
    host.type_in("systemctl restart lone64");
    provider.pings(GUEST);
    guest.ping(BEYOND);
    let said = host.warnings();
    assert!(!said.contains("advertisement"), "{said}");
}

/// The guide; each guest of the range has a route here, so that there is one to lose on `br0` too.
fn followed() -> (Provider, Machine, Namespace) {
    let provider = Provider::new();
    let host = Machine::boot("host", provider.plug(2));
    // This machine has no udev, which would tell networkd of each interface that it is ready.
    host.type_in("mkdir -p /run/udev/data\nfor n in {1..9}; do echo I:1 >/run/udev/data/n$n; done");
    let start = || plugged::start(&host, "veth5", 5, "br0");
    let guest = plugged::follow(&Guide::read("networkd"), &provider, &host, &start);
    host.type_in("echo 'routes = \"guests\"' >>/etc/lone64/lone64.toml\nlone64 reload");
    has_two_routes(&host);
    (provider, host, guest)
}

/// By the name that the guide gives to their protocol.
fn has_two_routes(host: &Machine) {
    eventually("there is a route to the guest, and the backstop", PATIENCE, || {
        let shown = host.type_in("ip -6 route show proto lone64");
        (shown.contains(&format!("{GUEST} dev br0")) && shown.contains("unreachable 2001:db8:1:2:c::/112"))
            .then_some(())
    });
    let shown = host.type_in("ip -6 route show");
    assert!(shown.contains("proto lone64") && !shown.contains("proto 64"), "{shown}");
}

fn has_configured(host: &Machine) {
    for link in ["eth0", "br0"] {
        eventually("networkd is done with the interface", PATIENCE, || {
            host.ask(&format!("networkctl list --no-legend {link}")).contains("configured").then_some(())
        });
    }
}

/// What happens to the routes of a host, as `ip monitor` prints it.
struct Changes {
    monitor: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Changes {
    /// Starts, and waits until it sees something.
    fn of(host: &Machine) -> Self {
        let mut command = Command::new("ip");
        command.args(["-6", "monitor", "route"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut monitor = host.namespace.spawn(&mut command);
        let printed = BufReader::new(monitor.stdout.take().expect("piped")).lines();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        thread::spawn(move || {
            for line in printed.map_while(Result::ok) {
                seen.lock().expect("nobody panics with it").push(line);
            }
        });
        let changes = Self { monitor, lines };
        eventually("changes of routes are seen", PATIENCE, || {
            host.type_in("ip -6 route replace unreachable 2001:db8:fffe::/64");
            (!changes.all().is_empty()).then_some(())
        });
        changes
    }

    fn all(&self) -> Vec<String> {
        self.lines.lock().expect("nobody panics with it").clone()
    }

    /// Waits for one that begins so, and then each of the others behind it.
    fn follow(&self, first: &str, then: &[&str]) {
        eventually(first, PATIENCE, || {
            _ = Command::new("true").status();
            let all = self.all();
            let mut behind = all.iter().skip_while(|line| !line.starts_with(first));
            behind.next()?;
            then.iter().all(|wanted| behind.clone().any(|line| line.starts_with(wanted))).then_some(())
        });
    }

    /// Whatever has happened up to now is seen.
    fn end_here(&self, host: &Machine) {
        host.type_in("ip -6 route add unreachable 2001:db8:ffff::/64");
        self.follow("unreachable 2001:db8:ffff::/64", &[]);
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        _ = self.monitor.kill();
        _ = self.monitor.wait();
    }
}

/// A provider's router that announces itself, and no addresses.
struct Radvd {
    process: Child,
    file: PathBuf,
}

impl Radvd {
    fn start(router: &Namespace) -> Self {
        let file = std::env::temp_dir().join(format!("lone64-radvd-{}", std::process::id()));
        let text = "interface rt0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; };\n";
        fs::write(&file, text).expect("a temporary file");
        let mut command = Command::new("radvd");
        command.args(["--nodaemon", "--logmethod", "stderr", "--config"]).arg(&file);
        command.arg("--pidfile").arg(file.with_extension("pid"));
        let process = router.spawn(command.stdin(Stdio::null()).stderr(Stdio::null()));
        Self { process, file }
    }
}

impl Drop for Radvd {
    fn drop(&mut self) {
        // Its child, which has the privileges, ends with it only if it is asked to.
        _ = kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGTERM);
        _ = self.process.wait();
        _ = fs::remove_file(&self.file);
    }
}
