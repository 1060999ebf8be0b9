//! Reads a host: netlink, `/proc`, the packet filters' own listing, a few files.
//!
//! The only file of this room, beside `gateway` and `guests`, that touches anything; it changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use ipnet::Ipv6Net;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::firewall::{Listings, Unread};
use super::host::underneath;
use super::{Examined, Firewall, Host, Process, Service, Text, gateway, guests};

use crate::config::Config;
use crate::daemon::backend_refused;
use crate::engine::facts::Fact;
use crate::engine::{Engine, Input, Links, Time};
use crate::kernel::bpf::tcx_programs;
use crate::kernel::netlink::{Make, Monitor, NetlinkError};
use crate::kernel::nft;

/// Reads the host of this network namespace. `root` is where its files are: `/`, but for tests. `daemon` is what a
/// running one says of itself. Must be called within a Tokio runtime with I/O.
pub async fn host(
    config: Config,
    root: &Path,
    examined: Examined,
    daemon: Option<Value>,
) -> Result<Host, NetlinkError> {
    let (mut monitor, requests) = Monitor::start()?;
    let mut facts = monitor.dump().await?;
    let asked_for = gateway::ask(&mut facts, &mut monitor).await;
    let (mut routes, mut neighbors) = (Vec::new(), Vec::new());
    for fact in &facts {
        match fact {
            Fact::Route(route) => routes.push(route.clone()),
            Fact::Neighbor(neighbor) | Fact::Marked(neighbor, _) => neighbors.push(*neighbor),
            _ => {}
        }
    }
    // The engine's outputs are not carried out, so the seed protects nothing.
    let mut engine = Engine::new(config.policy.clone(), [0, 0]);
    engine.handle(Input::Facts(facts), Time::ORIGIN);
    engine.handle(Input::Synced, Time::ORIGIN);
    let upstreams = engine.bindings().upstreams.iter();
    let links: Vec<_> = upstreams.flat_map(|upstream| underneath(engine.links(), upstream.link)).collect();
    let makes = requests.makes().await?;
    let processes = processes();
    let program_refused = backend_refused(&config.policy).map(|error| error.to_string());
    let mut host = Host {
        config,
        routes,
        neighbors,
        asked_for,
        proxies: requests.proxies().await?.into_iter().map(|proxy| (proxy.link, proxy.address)).collect(),
        duplicates: requests.duplicates().await?,
        routers: requests.routers().await?,
        random_macs: makes
            .iter()
            .filter(|make| has_random_mac(make, engine.links()))
            .map(|make| make.link)
            .collect(),
        makes,
        classifiers: [requests.classifiers(&links).await?, tcx_programs(&links)].concat(),
        settings: settings(),
        firewall: firewall(),
        service: service(root, &processes),
        processes,
        files: files(root),
        root: root.to_owned(),
        capabilities: capabilities(),
        daemon,
        examined,
        has_packet_sockets: has_packet_sockets(),
        allowed: allowed(root),
        tunnelled: tunnelled(),
        program_refused,
        has_nft: nft::is_installed(),
        guests: Vec::new(),
        engine,
    };
    host.guests = guests::look(&host, &requests).await?;
    Ok(host)
}

/// Whether nobody has set the MAC of a bridge (sysfs, `addr_assign_type`). What is mounted at `/sys` may be of another
/// network namespace, and then nothing is known.
fn has_random_mac(make: &Make, links: &Links) -> bool {
    /// NET_ADDR_SET.
    const SET: &str = "3";
    let Some(link) = links.get(make.link).filter(|_| make.bridge.is_some()) else { return false };
    let read = |file: &str| fs::read_to_string(format!("/sys/class/net/{}/{file}", link.name)).ok();
    let is = |file: &str, value: &str| read(file).is_some_and(|text| text.trim() == value);
    let mac = links.mac(link.index).map(|mac| mac.to_string()).unwrap_or_default();
    let is_it = is("ifindex", &link.index.to_string()) && is("address", &mac);
    is_it && read("addr_assign_type").is_some_and(|text| text.trim() != SET)
}

/// What systemd says of the unit that runs lone64, or would.
fn service(root: &Path, processes: &[Process]) -> Option<Service> {
    if !root.join("run/systemd/system").exists() {
        return None;
    }
    let unit =
        processes.iter().filter(|process| process.is_daemon()).find_map(|process| process.unit.clone());
    let unit = unit.unwrap_or_else(|| "lone64.service".to_owned());
    let text =
        tool(root, "systemctl", &["show", &format!("--property={}", Service::PROPERTIES), &unit]).ok()?;
    Some(Service::parse(&unit, &text))
}

/// What WireGuard sends to its peers, peer by peer. Only `wg` tells, and only those that may ask.
fn allowed(root: &Path) -> Option<Vec<(String, Vec<Ipv6Net>)>> {
    let text = tool(root, "wg", &["show", "all", "allowed-ips"]).ok()?;
    // `INTERFACE KEY NETWORK…`, or `(none)` (wg(8)).
    let peer = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        Some((name, words.skip(1).filter_map(|word| word.parse().ok()).collect()))
    };
    Some(text.lines().filter_map(peer).collect())
}

/// What IPsec takes on its way out (ip-xfrm(8)): only who may change it may read it.
fn tunnelled() -> Vec<Ipv6Net> {
    let text = output("ip", &["-6", "-o", "xfrm", "policy"]).unwrap_or_default();
    let policies = text.lines().filter(|line| line.contains("dir out "));
    let destination = |line: &str| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "dst").skip(1);
        words.next()?.parse::<Ipv6Net>().ok()
    };
    policies.filter_map(destination).collect()
}

fn settings() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut read = |key: String| {
        if let Ok(value) = fs::read_to_string(Path::new("/proc/sys").join(&key)) {
            all.insert(key, value.trim_end().to_owned());
        }
    };
    for key in PLAIN {
        read((*key).to_owned());
    }
    for entry in names("/proc/sys/net/ipv6/conf") {
        PER_LINK.iter().for_each(|key| read(format!("net/ipv6/conf/{entry}/{key}")));
    }
    all
}

fn names(directory: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn firewall() -> Firewall {
    let mut listings = Listings::default();
    let mut unread = Vec::new();
    match nftables() {
        Ok(objects) => listings.nftables = objects,
        Err(why) => unread.push(Unread::Nftables(why)),
    }
    if listings.lacks_devices() {
        listings.chains = output("nft", &["list", "chains"]).ok();
    }
    if listings.has_iptables() {
        listings.iptables = output("ip6tables-nft-save", &[]).ok();
    }
    let legacy: Vec<String> = fs::read_to_string("/proc/thread-self/net/ip6_tables_names")
        .map(|text| text.lines().map(str::to_owned).collect())
        .unwrap_or_default();
    if !legacy.is_empty() {
        match output("ip6tables-legacy-save", &[]) {
            Ok(text) => listings.legacy = Some(text),
            Err(why) => unread.push(Unread::Legacy(legacy, why)),
        }
    }
    Firewall { rules: listings.parse(), unread }
}

fn nftables() -> Result<Vec<Value>, String> {
    let text = output("nft", &["--json", "list", "ruleset"])?;
    let mut document: Value = serde_json::from_str(&text).map_err(|error| format!("nft: {error}"))?;
    match document["nftables"].take() {
        Value::Array(objects) => Ok(objects),
        _ => Err("nft: it printed no rules".to_owned()),
    }
}

/// What a program prints. The packet filters have no other way to be read that is as stable.
fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    tool(Path::new("/"), program, arguments)
}

/// The same of a program below this directory.
fn tool(root: &Path, program: &str, arguments: &[&str]) -> Result<String, String> {
    let path = PLACES
        .iter()
        .map(|place| root.join(place).join(program))
        .find(|path| path.exists())
        .ok_or_else(|| format!("{program} is not installed"))?;
    let output = Command::new(path)
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program}: {}", said.lines().next().unwrap_or("it failed")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Those that share our network namespace; others concern other hosts.
pub fn processes() -> Vec<Process> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net"));
    let ours = namespace("thread-self").ok();
    names("/proc")
        .into_iter()
        .filter(|pid| ours.is_some() && namespace(pid).ok() == ours)
        .filter_map(|pid| {
            let read = |file: &str| fs::read(format!("/proc/{pid}/{file}"));
            let words = |bytes: Vec<u8>| {
                let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
                words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
            };
            Some(Process {
                name: String::from_utf8_lossy(&read("comm").ok()?).trim_end().to_owned(),
                command: read("cmdline").map(words).unwrap_or_default(),
                unit: read("cgroup").ok().and_then(|text| unit(&String::from_utf8_lossy(&text))),
                pid: pid.parse().ok()?,
            })
        })
        .collect()
}

/// The system service whose control group a process is in (cgroups(7), `/proc/PID/cgroup`).
fn unit(cgroup: &str) -> Option<String> {
    let paths = cgroup.lines().filter_map(|line| line.rsplit_once(':'));
    let services = paths.filter_map(|(_, path)| path.strip_prefix("/system.slice/"));
    let mut names = services.filter_map(|path| path.split('/').find(|part| part.ends_with(".service")));
    names.next().map(str::to_owned)
}

/// A kernel without them says so before it asks for a privilege.
fn has_packet_sockets() -> bool {
    let refused = Socket::new(Domain::PACKET, Type::RAW, None).err();
    refused.is_none_or(|error| error.raw_os_error() != Some(libc::EAFNOSUPPORT))
}

/// In the order in which systemd reads them: by name, and one in `/etc` instead of its namesake.
fn files(root: &Path) -> Vec<Text> {
    let mut all = Vec::new();
    for (directories, ending) in DIRECTORIES {
        let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
        for directory in directories.iter().rev() {
            let directory = root.join(directory);
            let listed = names(&directory).into_iter().filter(|name| name.ends_with(ending));
            found.extend(listed.map(|name| (name.clone(), directory.join(name))));
        }
        all.extend(found.into_values());
    }
    all.extend(beside_networks(root));
    all.extend(FILES.iter().map(|file| root.join(file)));
    let text = |path: PathBuf| -> io::Result<Text> {
        let content = fs::read_to_string(&path)?;
        Ok(Text { path: path.display().to_string(), content })
    };
    all.into_iter().filter_map(|path| text(path).ok()).collect()
}

/// What adds to a file of systemd.network(5): the files in `NAME.network.d`.
fn beside_networks(root: &Path) -> Vec<PathBuf> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for place in NETWORKS.iter().rev() {
        let place = root.join(place);
        for directory in names(&place).into_iter().filter(|name| name.ends_with(".network.d")) {
            let listed = names(place.join(&directory)).into_iter().filter(|name| name.ends_with(".conf"));
            found.extend(
                listed.map(|name| (format!("{directory}/{name}"), place.join(&directory).join(name))),
            );
        }
    }
    found.into_values().collect()
}

fn capabilities() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

const PLACES: [&str; 4] = ["usr/sbin", "sbin", "usr/bin", "bin"];

const PLAIN: &[&str] = &[
    "net/bridge/bridge-nf-call-ip6tables",
    "net/core/bpf_jit_enable",
    "net/core/optmem_max",
    "net/core/rmem_max",
    "net/ipv6/neigh/default/gc_thresh1",
    "net/ipv6/neigh/default/gc_thresh2",
    "net/ipv6/neigh/default/gc_thresh3",
    "net/netfilter/nf_conntrack_count",
    "net/netfilter/nf_conntrack_max",
];

const PER_LINK: &[&str] = &[
    "accept_dad",
    "accept_ra",
    "accept_ra_defrtr",
    "addr_gen_mode",
    "autoconf",
    "disable_ipv6",
    "drop_unsolicited_na",
    "force_forwarding",
    "forwarding",
    "proxy_ndp",
    "rpf_check",
];

type Directories = (&'static [&'static str], &'static str);

/// The first wins.
const DIRECTORIES: [Directories; 4] = [
    (&["etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d"], ""),
    (
        &["etc/systemd/networkd.conf.d", "run/systemd/networkd.conf.d", "usr/lib/systemd/networkd.conf.d"],
        ".conf",
    ),
    (&NETWORKS, ".network"),
    (&["etc/network/interfaces.d"], ""),
];

const NETWORKS: [&str; 3] = ["etc/systemd/network", "run/systemd/network", "usr/lib/systemd/network"];

const FILES: [&str; 4] =
    ["etc/sysctl.conf", "etc/systemd/networkd.conf", "etc/network/interfaces", "proc/cmdline"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_service_of_a_process() {
        assert_eq!(unit("0::/system.slice/ndppd.service\n").as_deref(), Some("ndppd.service"));
        assert_eq!(
            unit("1:name=systemd:/system.slice/system-x.slice/x@1.service/a\n").as_deref(),
            Some("x@1.service")
        );
        assert_eq!(unit("0::/user.slice/user-0.slice/session-1.scope\n"), None);
    }
}
