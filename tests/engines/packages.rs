//! The Debian package, on a Debian with nothing but systemd: installed, used, upgraded under traffic, purged.

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
use crate::traffic::Traffic;
use crate::{PATIENCE, typed};

crate::cases![
    a_package_brings_the_first_minute_an_upgrade_under_traffic_and_leaves_nothing,
    an_upgrade_leaves_a_daemon_alone_whose_configuration_the_new_one_refuses,
    a_package_is_installed_and_enabled_where_there_is_no_network_yet,
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
    install(&host, "1.1");
    traffic.flows();
    println!("an upgrade interrupted a guest for {:?}", traffic.longest_gap());
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

/// Installs a version of the package, which is the program of this test; returns what was said.
fn install(host: &Machine, version: &str) -> String {
    let package = package(version);
    let name = package.file_name().and_then(|name| name.to_str()).expect("a name");
    host.install(&package, name, "644");
    host.type_in(&format!("{APT} -o Dpkg::Options::=--force-confold install ./{name} 2>&1"))
}

/// The package, built once for each version.
fn package(version: &str) -> PathBuf {
    static BUILDING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_after_the_other = BUILDING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("packages-{}", std::process::id()));
    let built = fs::read_dir(&place).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let start = format!("lone64_{version}_");
    let is_it =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start));
    if let Some(package) = built.into_iter().find(is_it) {
        return package;
    }
    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/packages/deb"));
    // Quickly, and not small.
    script.env("DPKG_DEB_COMPRESSOR_TYPE", "gzip").env("DPKG_DEB_COMPRESSOR_LEVEL", "1");
    script.args(["--binary", env!("CARGO_BIN_EXE_lone64"), "--version", version, "--output"]).arg(&place);
    PathBuf::from(typed("here", "contrib/packages/deb", &mut script).trim())
}

/// A Debian with systemd, and what the first minute of README.md uses; made once.
fn bare() -> &'static Path {
    static TREE: OnceLock<PathBuf> = OnceLock::new();
    TREE.get_or_init(|| {
        let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bare-debian");
        let is_whole = tree.join("etc/whole");
        if !is_whole.exists() {
            let _ = fs::remove_dir_all(&tree);
            let mut maker = Command::new("mmdebstrap");
            maker
                .args(["--quiet", "--variant=minbase"])
                .arg("--include=systemd,systemd-sysv,dbus,iproute2,iputils-ping,procps,nftables")
                .arg(release())
                .arg(&tree)
                .args(sources());
            typed("here", "mmdebstrap", &mut maker);
            fs::write(is_whole, "").expect("it was just made");
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
