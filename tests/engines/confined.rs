//! The units with their limits: not root, two capabilities, a filter of system calls; and everything works.

use std::net::Ipv6Addr;

use crate::PATIENCE;
use crate::machine::Machine;
use crate::namespace::eventually;
use crate::plugged::{self, has_checked};
use crate::provider::Provider;

crate::cases![
    every_feature_works_within_the_limits_of_the_unit,
    a_drop_in_lets_a_program_in_the_kernel_answer,
    guards_and_sets_hold_within_the_limits_of_the_unit,
];

const GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 5);
const CONFIGURATION: &str = r#"
[[upstream]]
interface = "eth0"
suppress-kernel = true
mld = true
[[range]]
prefix = "2001:db8:1:2:c::/112"
interface = "br*"
routes = "guests"
gateway = "fe80::1"
[sysctl]
manage = true
[control]
metrics = "[::1]:9164"
"#;

fn every_feature_works_within_the_limits_of_the_unit() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    host.type_in(&format!(
        "mkdir -p /etc/lone64
         cat >/etc/lone64/lone64.toml <<'END'\n{CONFIGURATION}\nEND
         lone64 check
         ip link add br0 type bridge
         ip link set br0 up
         mkdir /run/lone64
         touch /run/lone64/control.sock.lock
         systemctl enable --now lone64"
    ));
    is_confined(&host);

    // Sysctls, the gateway's address, routes, the table of nftables, reports.
    assert_eq!(forwarding(&host), "1");
    let guest = plugged::start(&host, "veth5", 5, "br0");
    guest.ip(&format!("addr add {GUEST}/112 dev eth0\nroute add default via fe80::1 dev eth0"));
    has_checked(&guest, GUEST);
    provider.pings(GUEST);
    guest.ping("2001:db8:1:2::1");
    assert!(host.type_in("ip -6 addr show dev br0").contains("fe80::1/64"));
    let routes = host.type_in("ip -6 route show proto 64");
    assert!(routes.contains(&GUEST.to_string()) && routes.contains("unreachable"), "{routes}");
    assert!(host.type_in("nft list table ip6 lone64").contains("2001:db8:1:2:c::/112 drop"));
    let status = host.type_in("lone64 status --json");
    assert!(status.contains("\"groups\": 1,"), "{status}");

    // Everyone who may: root, the group, metrics on this host.
    let metrics = "exec 3<>/dev/tcp/::1/9164; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
    assert!(host.type_in(metrics).contains("lone64_targets"));
    host.type_in("setpriv --reuid nobody --regid nogroup --groups lone64 lone64 status");
    let refused = host.ask("setpriv --reuid nobody --regid nogroup --clear-groups lone64 status");
    assert!(refused.contains("permission denied on"), "{refused}");
    let said = host.ask("lone64 doctor");
    assert!(!said.contains("error"), "{said}");

    // A reload, a crash, and an end.
    host.type_in(
        "sed -i 's/^gateway/exclude = [\"2001:db8:1:2:c::99\"]\\n&/' /etc/lone64/lone64.toml
         systemctl reload lone64",
    );
    eventually("nft is run again", PATIENCE, || {
        host.type_in("nft list table ip6 lone64").contains("2001:db8:1:2:c::99 return").then_some(())
    });
    metrics_move_out_of_the_filter(&host);
    let pid = host.main_pid("lone64");
    host.type_in("systemctl kill -s KILL lone64");
    eventually("it is started again", PATIENCE, || {
        let again = host.main_pid("lone64");
        (again != "0" && again != pid && is_active(&host)).then_some(())
    });
    provider.pings(GUEST);
    // A restart takes nothing out of the kernel, and a stop everything.
    let routes = host.type_in("ip -6 route show proto 64");
    host.type_in("ip -6 monitor route >/run/monitor 2>&1 & echo $! >/run/monitor.pid");
    host.type_in("systemctl restart lone64");
    provider.pings(GUEST);
    assert_eq!(host.type_in("ip -6 route show proto 64"), routes);
    let said = host.type_in("kill $(cat /run/monitor.pid); cat /run/monitor");
    assert!(!said.lines().any(|line| line.contains("Deleted") && line.contains("proto 64")), "{said}");
    assert_eq!(hand_overs(&host), 1);
    assert_eq!(forwarding(&host), "1");
    host.type_in("systemctl stop lone64");
    assert_eq!(hand_overs(&host), 1);
    assert_eq!(forwarding(&host), "0", "as before the first start");
    assert_eq!(host.type_in("ip -6 route show proto 64"), "");
    assert!(!host.ask("nft list tables").contains("ip6 lone64"));
    assert_eq!(host.warnings(), "", "warnings of lone64");

    // "Exposure and functions, printed."
    for unit in ["lone64", "lone64-hooks"] {
        println!("{}", host.type_in(&format!("systemd-analyze security --no-pager {unit} | tail -1")).trim());
    }
}

/// On a port for everyone the unit keeps other hosts away, and that is said; a socket is for those who may.
fn metrics_move_out_of_the_filter(host: &Machine) {
    let moved = |from: &str, to: &str| {
        host.type_in(&format!(
            "sed -i 's#^metrics = .*#metrics = \"{to}\"#' /etc/lone64/lone64.toml; systemctl reload lone64"
        ));
        let line = format!("metrics are at {from}");
        eventually("they have moved", PATIENCE, || {
            host.type_in("journalctl -u lone64 --no-pager").contains(&line).then_some(())
        });
    };
    moved("http://[::]:9165/metrics", "[::]:9165");
    eventually("the filter is seen", PATIENCE, || {
        let said = host.type_in("journalctl -u lone64 --no-pager");
        said.contains("of other hosts, only those in IPAddressAllow= of the unit can read").then_some(())
    });
    let said = host.ask("lone64 doctor").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("no other host can read the metrics at [::]:9165: lone64.service drops"), "{said}");
    assert!(said.contains("IPAddressAllow= with the address of the Prometheus"), "{said}");
    moved("http://localhost/metrics on the socket", "/run/lone64/metrics.sock");
    let read = "curl -sf --unix-socket /run/lone64/metrics.sock http://localhost/metrics";
    assert!(host.type_in(read).contains("lone64_targets"));
    assert_eq!(host.type_in("stat -c '%a %U %G' /run/lone64/metrics.sock").trim(), "660 lone64 lone64");
    let nobody =
        host.ask(&format!("setpriv --reuid nobody --regid nogroup --clear-groups {read} || echo ended $?"));
    assert!(nobody.contains("ended 7"), "{nobody}");
}

fn a_drop_in_lets_a_program_in_the_kernel_answer() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    host.type_in(
        "mkdir -p /etc/lone64 /etc/systemd/system/lone64.service.d
         printf '[[upstream]]\nbackend = \"tc\"\n[[range]]\nprefix = \"2001:db8:1:2:c::/112\"\ninterface = \"br0\"\ngateway = \"fe80::1\"\n' \
             >/etc/lone64/lone64.toml
         cp /root/lone64/contrib/systemd/kernel-program.conf /etc/systemd/system/lone64.service.d/
         ip link add br0 type bridge
         ip link set br0 up
         sysctl -qw net.ipv6.conf.all.forwarding=1
         findmnt /sys/fs/bpf >/dev/null || mount -t bpf -o mode=700 bpf /sys/fs/bpf
         systemctl enable --now lone64",
    );
    let guest = plugged::start(&host, "veth5", 5, "br0");
    guest.ip(&format!("addr add {GUEST}/112 dev eth0\nroute add default via fe80::1 dev eth0"));
    has_checked(&guest, GUEST);
    provider.pings(GUEST);
    let backend = || {
        let status = host.type_in("lone64 status --json");
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        let upstream = &status["upstreams"][0];
        (upstream["backend"].clone(), upstream["known_in_kernel"].clone(), upstream["no_program"].clone())
    };
    let known = (serde_json::json!("tc"), serde_json::json!(1), serde_json::Value::Null);
    eventually("the kernel knows the guest", PATIENCE, || (backend() == known).then_some(()));
    // The program stays where it is while the daemon is started again, and goes when that stops.
    let pinned =
        || host.type_in("find /sys/fs/bpf/lone64 -name link -o -name targets | wc -l").trim().to_owned();
    assert_ne!(pinned(), "0");
    host.type_in("systemctl restart lone64");
    assert_eq!(hand_overs(&host), 1);
    provider.pings(GUEST);
    eventually("the kernel knows the guest again", PATIENCE, || (backend() == known).then_some(()));
    host.type_in("systemctl stop lone64");
    assert_eq!(pinned(), "0");
    assert_eq!(host.warnings(), "", "warnings of lone64");
}

/// As the kernel has it of the process.
fn is_confined(host: &Machine) {
    let pid = host.main_pid("lone64");
    let status = host.type_in(&format!("cat /proc/{pid}/status"));
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("{key}: {status}")).trim().to_owned()
    };
    let user = host.type_in("id -u lone64").trim().to_owned();
    assert_ne!(user, "0");
    assert_eq!(value("Uid").split_whitespace().collect::<Vec<_>>(), [user.as_str(); 4]);
    // CAP_NET_ADMIN is 12, CAP_NET_RAW is 13.
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(value(set), "0000000000003000", "{set}");
    }
    // What the child process nft gets.
    assert_eq!(value("CapAmb"), "0000000000001000");
    assert_eq!((value("NoNewPrivs"), value("Seccomp")), ("1".to_owned(), "2".to_owned()));
    let mounts = host.type_in(&format!("cat /proc/{pid}/mounts"));
    let options = |place: &str| {
        let mut of_place = mounts.lines().filter(|line| line.split(' ').nth(1) == Some(place));
        let last = of_place.next_back().unwrap_or_else(|| panic!("{place}: {mounts}"));
        last.split(' ').nth(3).unwrap_or_default().to_owned()
    };
    assert!(options("/proc/sys").starts_with("ro"), "{mounts}");
    assert!(options("/proc/sys/net/ipv6/conf").starts_with("rw"), "{mounts}");
    assert!(options("/").starts_with("ro"), "{mounts}");
}

/// How often a daemon has left everything to the next one.
fn hand_overs(host: &Machine) -> usize {
    host.type_in("journalctl -u lone64 --no-pager").matches("stay in the kernel for the next start").count()
}

fn is_active(host: &Machine) -> bool {
    host.type_in("systemctl is-active lone64 || true").trim() == "active"
}

fn forwarding(host: &Machine) -> String {
    host.type_in("cat /proc/sys/net/ipv6/conf/all/forwarding").trim().to_owned()
}

const GUARDED: &str = r#"
[[range]]
prefix = "2001:db8:1:2:c::/112"
interface = "br0"
guard = true
[[guest]]
name = "web5"
mac = "bc:24:11:00:00:05"
interface = "veth5"
addresses = ["2001:db8:1:2:c::5"]
pin = true
[export]
nft-sets = true
"#;

fn guards_and_sets_hold_within_the_limits_of_the_unit() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    host.type_in(&format!(
        "mkdir -p /etc/lone64
         cat >/etc/lone64/lone64.toml <<'END'\n{GUARDED}\nEND
         ip link add br0 type bridge
         ip link set br0 up
         ip -6 addr add 2001:db8:1:2:c::1/112 dev br0
         sysctl -qw net.ipv6.conf.all.forwarding=1
         systemctl enable --now lone64"
    ));
    is_confined(&host);
    let guest = plugged::start(&host, "veth5", 5, "br0");
    guest.ip(&format!("addr add {GUEST}/112 dev eth0\nroute add default via 2001:db8:1:2:c::1 dev eth0"));
    has_checked(&guest, GUEST);
    let guard = |is: &str| {
        eventually(&format!("the guard is {is}"), PATIENCE, || {
            let told: serde_json::Value =
                serde_json::from_str(&host.type_in("lone64 status --json || true")).ok()?;
            (told["guests"][0]["guard"] == is).then(|| told["guests"][0]["dropped"].clone())
        })
    };
    guard("on");
    provider.pings(GUEST);
    assert!(
        host.type_in("nft list set bridge lone64_guard places").contains("\"veth5\" . bc:24:11:00:00:05")
    );
    assert!(host.type_in("nft list set inet lone64 live").contains(&GUEST.to_string()));
    assert!(host.type_in("ip -6 neigh show proto 64").contains("PERMANENT"));

    // What it drops is read and counted.
    guest.ip("addr add 2001:db8:1:2:c::9/128 dev eth0 nodad");
    let ping = ["-c1", "-W1", "-I", "2001:db8:1:2:c::9", "2001:db8:1:2:c::1"];
    assert!(!guest.run(|| std::process::Command::new("ping").args(ping).output().unwrap().status.success()));
    eventually("it is counted", PATIENCE, || (guard("on")["source"].as_u64() >= Some(1)).then_some(()));

    // A reload, a flush, a crash, a restart, and an end.
    let tables = || host.type_in("nft list tables").lines().filter(|line| line.contains("lone64")).count();
    host.type_in("sed -i 's/^guard = true/guard = false/' /etc/lone64/lone64.toml; systemctl reload lone64");
    guard("off");
    eventually("its table is gone", PATIENCE, || (tables() == 1).then_some(()));
    host.type_in("sed -i 's/^guard = false/guard = true/' /etc/lone64/lone64.toml; systemctl reload lone64");
    guard("on");
    host.type_in("nft flush ruleset");
    eventually("both tables are back", PATIENCE, || (tables() == 2).then_some(()));
    let pid = host.main_pid("lone64");
    host.type_in("systemctl kill -s KILL lone64");
    eventually("it is started again", PATIENCE, || {
        let again = host.main_pid("lone64");
        (again != "0" && again != pid && is_active(&host)).then_some(())
    });
    guard("on");
    host.type_in("systemctl restart lone64");
    guard("on");
    provider.pings(GUEST);
    host.type_in("systemctl stop lone64");
    assert_eq!((tables(), host.type_in("ip -6 neigh show proto 64")), (0, String::new()));
    // What was dropped and flushed is warned of, and nothing else.
    let is_known = |line: &&str| line.contains("dropped by the guard") || line.contains("put back");
    let warnings = host.warnings();
    let others: Vec<_> = warnings.lines().filter(|line| !is_known(line)).collect();
    assert_eq!(others, [""; 0]);
}
