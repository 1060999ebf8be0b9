//! The packages, on a Debian with nothing but systemd: installed, used, upgraded under traffic, purged. And OpenRC.

use std::fs;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::guide::Guide;
use crate::machine::Machine;
use crate::namespace::{Namespace, eventually};
use crate::plugged;
use crate::provider::Provider;
use crate::questions::Questions;
use crate::traffic::Traffic;
use crate::{PATIENCE, typed};

crate::cases![
    a_package_brings_the_first_minute_an_upgrade_under_traffic_and_leaves_nothing,
    an_upgrade_leaves_a_daemon_alone_whose_configuration_the_new_one_refuses,
    a_package_is_installed_and_enabled_where_there_is_no_network_yet,
    an_rpm_is_installed_upgraded_and_erased,
    openrc_starts_it_again_reloads_and_stops_it,
    debians_own_test_of_the_package_passes,
];

const GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 5);
const APT: &str = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y";

fn a_package_brings_the_first_minute_an_upgrade_under_traffic_and_leaves_nothing() {
    let provider = Provider::new();
    let host = provider.host_over(bare(), "bare", 2);
    let (before, sysctls) = (files(&host), forwarding(&host));
    install(&host, "1.0");
    assert_eq!(host.type_in("systemctl is-active lone64 || true").trim(), "inactive", "it is not started");
    let start = || plugged::start(&host, "veth5", 5, "br0");
    let guest = plugged::follow(&Guide::first_minute(), &provider, &host, &start);

    let pid = host.main_pid("lone64");
    let traffic = Traffic::start(&provider.router, GUEST);
    let questions = Questions::start(&provider.router, &[GUEST]);
    install(&host, "1.1");
    questions.go_on();
    traffic.flows();
    let count = questions.end();
    println!("an upgrade under {count}");
    assert_eq!((count.unanswered, count.twice), (0, 0), "every solicitation has one answer");
    let kept = host.type_in("systemctl show --value -p NFileDescriptorStore lone64");
    assert_eq!(kept.trim(), "0", "systemd keeps no socket of a daemon that runs");
    let (lost, replied) = traffic.lost();
    println!(
        "an upgrade interrupted a guest for {:?}; {lost} pings were lost, and {replied} not",
        traffic.longest_gap()
    );
    assert_ne!(host.main_pid("lone64"), pid, "the new version runs");
    provider.pings(GUEST);
    guest.ping("2001:7fd::1");
    assert!(host.type_in("cat /etc/lone64/lone64.toml").contains("br0"), "the configuration is kept");

    host.type_in(&format!("{APT} remove lone64"));
    assert_eq!(host.type_in("ip -6 route show proto 64"), "");
    assert!(host.type_in("cat /etc/lone64/lone64.toml").contains("br0"), "the configuration is kept");
    host.type_in(&format!("{APT} purge lone64"));
    assert_eq!(host.type_in("pgrep -x lone64 || true"), "");
    // Of the first minute itself.
    host.type_in(&format!("sysctl -w net.ipv6.conf.all.forwarding={sysctls}"));
    let left: Vec<_> = files(&host).into_iter().filter(|file| !before.contains(file)).collect();
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(host.type_in("getent passwd lone64 || getent group lone64 || true"), "");
}

fn an_upgrade_leaves_a_daemon_alone_whose_configuration_the_new_one_refuses() {
    let provider = Provider::new();
    let host = provider.host_over(bare(), "bare", 2);
    install(&host, "1.0");
    host.type_in("systemctl enable --now lone64");
    let pid = host.main_pid("lone64");
    host.type_in("echo 'frobnicate = true' >>/etc/lone64/lone64.toml");
    let said = install(&host, "1.1");
    assert!(said.contains("lone64 is not restarted") && said.contains("unknown key `frobnicate`"), "{said}");
    assert_eq!(host.main_pid("lone64"), pid);
    // Neither where its user may not read it, though root may.
    host.type_in("echo >/etc/lone64/lone64.toml\nchmod 600 /etc/lone64/lone64.toml");
    let said = install(&host, "1.2");
    assert!(said.contains("let its user read the file"), "{said}");
    assert_eq!(host.main_pid("lone64"), pid);
    host.type_in(&format!("chmod 644 /etc/lone64/lone64.toml\n{APT} reinstall ./lone64_1.2_*.deb"));
    assert_ne!(host.main_pid("lone64"), pid);
}

fn a_package_is_installed_and_enabled_where_there_is_no_network_yet() {
    let host = Machine::boot_over(bare(), "alone", Namespace::untouched());
    install(&host, "1.0");
    host.type_in("systemctl enable --now lone64\nsystemctl is-active lone64");
    let status = || host.type_in("systemctl show --value -p StatusText lone64");
    assert!(status().contains("waiting for a default route"), "{}", status());
    install(&host, "1.1");
    eventually("it waits again", PATIENCE, || status().contains("waiting").then_some(()));
    host.type_in(&format!("{APT} purge lone64"));
}

/// By Debian's rpm: what a dependency is called elsewhere is not looked at.
fn an_rpm_is_installed_upgraded_and_erased() {
    let provider = Provider::new();
    let host = provider.host_over(bare(), "bare", 2);
    let before = files(&host);
    rpm(&host, "1.0", "--install");
    assert_eq!(host.type_in("systemctl is-active lone64 || true").trim(), "inactive", "it is not started");
    let _guest = serves(&provider, &host, "systemctl enable --now lone64");
    let pid = host.main_pid("lone64");
    rpm(&host, "1.1", "--upgrade");
    let again = host.main_pid("lone64");
    assert!(again != pid && again != "0", "the new version runs");
    provider.pings(GUEST);
    host.type_in("echo 'frobnicate = true' >>/etc/lone64/lone64.toml");
    let said = rpm(&host, "1.2", "--upgrade");
    assert!(said.contains("lone64 is not restarted") && said.contains("unknown key `frobnicate`"), "{said}");
    assert_eq!(host.main_pid("lone64"), again);
    host.type_in("rm /etc/lone64/lone64.toml\nrpm --erase lone64");
    assert_eq!(host.type_in("pgrep -x lone64 || true"), "");
    assert_eq!(host.type_in("ip -6 route show proto 64"), "");
    let is_left = |file: &String| !before.contains(file) && !file.contains("/.rpmdb");
    // As with every RPM, the user stays, because files may be its own.
    let left: Vec<_> = files(&host).into_iter().filter(is_left).collect();
    assert_eq!(left, Vec::<String>::new());
}

fn openrc_starts_it_again_reloads_and_stops_it() {
    let provider = Provider::new();
    let host = provider.host_over(bare(), "bare", 2);
    host.install(Path::new(env!("CARGO_BIN_EXE_lone64")), "/usr/local/sbin/lone64", "755");
    host.type_in(
        "install -D -m 755 contrib/openrc/lone64 /etc/init.d/lone64
         install -D -m 644 contrib/packages/lone64.toml /etc/lone64/lone64.toml
         mkdir -p /run/openrc/exclusive /run/openrc/starting /run/openrc/started /run/openrc/stopping
         mkdir -p /run/openrc/daemons /run/openrc/options /run/openrc/failed /run/openrc/inactive
         touch /run/openrc/softlevel",
    );
    let _guest = serves(&provider, &host, "rc-service --nodeps lone64 start");
    let pid = || host.type_in("pgrep -x -f '/usr/local/sbin/lone64 run' || true").trim().to_owned();
    let first = pid();
    assert!(!first.is_empty());
    host.type_in("rc-service --nodeps lone64 reload");
    assert!(host.type_in("rc-service --nodeps lone64 status").contains("started"));
    host.type_in(&format!("kill -KILL {first}"));
    eventually("it is started again", PATIENCE, || {
        let again = pid();
        (!again.is_empty() && again != first && host.ask("lone64 status").contains("serving")).then_some(())
    });
    provider.pings(GUEST);
    host.type_in("rc-service --nodeps lone64 stop");
    assert_eq!(pid(), "");
    assert_eq!(host.type_in("ip -6 route show proto 64"), "");
    // A restart takes no route away.
    host.type_in("rc-service --nodeps lone64 start");
    provider.pings(GUEST);
    host.type_in("ip -6 monitor route >/run/monitor 2>&1 & echo $! >/run/monitor.pid");
    host.type_in("rc-service --nodeps lone64 restart");
    provider.pings(GUEST);
    let said = host.type_in("kill $(cat /run/monitor.pid); cat /run/monitor");
    assert!(!said.lines().any(|line| line.contains("Deleted") && line.contains("proto 64")), "{said}");
    // OpenRC does not wait for it, and one that is stopped before it has begun takes nothing away.
    eventually("it serves again", PATIENCE, || host.ask("lone64 status").contains("serving").then_some(()));
    // After a restart OpenRC takes every supervised program for stopped, on a host that it has not booted.
    host.type_in("RC_SVCNAME=lone64 supervise-daemon lone64 --stop --pidfile /run/supervise-lone64.pid");
    eventually("it has ended", PATIENCE, || pid().is_empty().then_some(()));
    assert_eq!(host.type_in("ip -6 route show proto 64"), "");
    host.type_in("echo 'frobnicate = true' >>/etc/lone64/lone64.toml");
    let said = host.ask("rc-service --nodeps lone64 start");
    assert!(said.contains("unknown key `frobnicate`"), "{said}");
    assert_eq!(pid(), "");
}

fn debians_own_test_of_the_package_passes() {
    let host = Machine::boot_over(bare(), "autopkgtest", Namespace::untouched());
    let name = put(&host, "deb", "1.0");
    // The host is thrown away.
    let said = host.type_in(&format!(
        "contrib/packages/autopkgtest ./{name} --ignore-restrictions=isolation-container -- null 2>&1"
    ));
    let verdict = said.lines().find(|line| line.starts_with("serves ")).unwrap_or_default();
    assert!(verdict.ends_with(" PASS"), "{said}");
}

/// Starts it for a guest, and reaches that.
fn serves(provider: &Provider, host: &Machine, start: &str) -> Namespace {
    host.type_in(&format!(
        "printf '[[range]]\\nprefix = \"2001:db8:1:2:c::/112\"\\ninterface = \"br0\"\\n' >/etc/lone64/lone64.toml
         ip link add br0 address 02:00:00:00:00:b0 type bridge
         ip link set br0 up
         ip -6 addr add 2001:db8:1:2:c::1/112 dev br0 nodad
         sysctl -w net.ipv6.conf.all.forwarding=1
         {start}"
    ));
    let guest = plugged::start(host, "veth5", 5, "br0");
    guest.ip(&format!("addr add {GUEST}/112 dev eth0\nroute add default via 2001:db8:1:2:c::1"));
    plugged::has_checked(&guest, GUEST);
    provider.pings(GUEST);
    guest
}

/// The same with an RPM.
fn rpm(host: &Machine, version: &str, how: &str) -> String {
    let name = put(host, "rpm", version);
    host.type_in(&format!("rpm {how} --nodeps ./{name} 2>&1"))
}

/// Installs a version of the package, which is the program of this test; returns what was said.
fn install(host: &Machine, version: &str) -> String {
    let name = put(host, "deb", version);
    host.type_in(&format!("{APT} -o Dpkg::Options::=--force-confold install ./{name} 2>&1"))
}

/// A package becomes a file of the host, beside the checkout's own; returns its name.
fn put(host: &Machine, kind: &str, version: &str) -> String {
    let package = package(kind, version);
    let name = package.file_name().and_then(|name| name.to_str()).expect("a name");
    host.install(&package, name, "644");
    name.to_owned()
}

/// The package, built once for each version.
fn package(kind: &str, version: &str) -> PathBuf {
    static BUILDING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_after_the_other = BUILDING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("packages-{}", std::process::id()));
    let built = fs::read_dir(&place).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_it = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.ends_with(kind) && name.contains(version)
    };
    if let Some(package) = built.into_iter().find(is_it) {
        return package;
    }
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/packages");
    let mut script = Command::new(scripts.join(kind));
    // Quickly, and not small.
    script.env("DPKG_DEB_COMPRESSOR_TYPE", "gzip").env("DPKG_DEB_COMPRESSOR_LEVEL", "1");
    script.env("RPM_PAYLOAD", "w1.gzdio");
    script.args(["--binary", env!("CARGO_BIN_EXE_lone64"), "--version", version, "--output"]).arg(&place);
    PathBuf::from(typed("here", kind, &mut script).trim())
}

/// A Debian with systemd, what the first minute of README.md uses, rpm, OpenRC and autopkgtest; made once.
fn bare() -> &'static Path {
    const PACKAGES: &str =
        "systemd,systemd-sysv,dbus,iproute2,iputils-ping,procps,nftables,rpm,openrc,autopkgtest";
    static TREE: OnceLock<PathBuf> = OnceLock::new();
    TREE.get_or_init(|| {
        let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bare-debian");
        let made_of = tree.join("etc/made-of");
        if fs::read_to_string(&made_of).ok().as_deref() != Some(PACKAGES) {
            let _ = fs::remove_dir_all(&tree);
            let mut maker = Command::new("mmdebstrap");
            maker.args(["--quiet", "--variant=minbase", &format!("--include={PACKAGES}"), &release()]);
            typed("here", "mmdebstrap", maker.arg(&tree).args(sources()));
            fs::write(made_of, PACKAGES).expect("it was just made");
        }
        tree
    })
}

/// That of this machine.
fn release() -> String {
    let text = fs::read_to_string("/etc/os-release").expect("Debian has it");
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.expect("a release").to_owned()
}

/// Where this machine has its packages of Debian from.
fn sources() -> Option<&'static str> {
    let file = "/etc/apt/sources.list.d/debian.sources";
    Path::new(file).exists().then_some(file)
}

/// All but what every Debian writes while it runs.
fn files(host: &Machine) -> Vec<String> {
    let skipped =
        ["/proc", "/sys", "/dev", "/run", "/tmp", "/root/lone64", "/var/log", "/var/cache", "/var/lib/apt"];
    let skipped = skipped.map(|path| format!("-path {path}")).join(" -o ");
    let found = host.type_in(&format!("find / \\( {skipped} \\) -prune -o -print"));
    let is_dpkgs =
        |file: &&str| file.starts_with("/var/lib/dpkg/") && !file.starts_with("/var/lib/dpkg/info/");
    let is_backup = |file: &&str| file.starts_with("/etc/") && file.ends_with('-');
    found.lines().filter(|file| !is_dpkgs(file) && !is_backup(file)).map(str::to_owned).collect()
}

fn forwarding(host: &Machine) -> String {
    host.type_in("cat /proc/sys/net/ipv6/conf/all/forwarding").trim().to_owned()
}
