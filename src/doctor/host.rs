//! A host as the checks see it: read once, and not touched again.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use ipnet::Ipv6Net;

use serde_json::Value;

use crate::config::Config;
use crate::engine::bindings::{Place, Upstream};
use crate::engine::facts::{
    Condition, IfIndex, IfName, KernelRoute, KernelRule, Link, LinkLayer, Neighbor, RuleAction,
};
use crate::engine::policy::RangePolicy;
use crate::engine::{Bindings, Engine, Links};
use crate::kernel::netlink::{Classifier, Make};

use super::{Firewall, Guest, Service};

/// Everything that was read of a host.
pub struct Host {
    /// What is configured.
    pub config: Config,
    /// The engine, which was told what there is and nothing else: what would be served.
    pub engine: Engine,
    /// Every IPv6 route of every table.
    pub routes: Vec<KernelRoute>,
    /// The kernel's IPv6 neighbor table.
    pub neighbors: Vec<Neighbor>,
    /// The gateways that the kernel was made to ask for, because it knew nothing of them.
    pub asked_for: Vec<(IfIndex, Ipv6Addr)>,
    /// The kernel's own proxy entries.
    pub proxies: Vec<(IfIndex, Ipv6Addr)>,
    /// Addresses that another station has too, so that the kernel does not use them.
    pub duplicates: Vec<(IfIndex, Ipv6Addr)>,
    /// Neighbors that said that they are routers.
    pub routers: Vec<(IfIndex, Ipv6Addr)>,
    /// What the links are made of.
    pub makes: Vec<Make>,
    /// What `tc` has put on the upstreams, and on what is under them.
    pub classifiers: Vec<Classifier>,
    /// Sysctls by their path below `/proc/sys`.
    pub settings: BTreeMap<String, String>,
    /// The packet filters.
    pub firewall: Firewall,
    /// The processes in this network namespace, as far as they can be seen.
    pub processes: Vec<Process>,
    /// Files that set what is checked: sysctl.d, systemd-networkd.
    pub files: Vec<Text>,
    /// Where the files are; `/`, but for tests.
    pub root: PathBuf,
    /// What the process may do, as the bits of capabilities(7).
    pub capabilities: u64,
    /// What a running daemon says of itself, if one answers.
    pub daemon: Option<Value>,
    /// Whether the kernel has packet sockets (CONFIG_PACKET).
    pub has_packet_sockets: bool,
    /// lone64's unit, where systemd runs.
    pub service: Option<Service>,
    /// Which configuration was examined.
    pub examined: Examined,
    /// Live guests, and where the kernel sends what is for them and from them.
    pub guests: Vec<Guest>,
    /// The AllowedIPs of WireGuard's peers, each with the name of its interface; `None`: they cannot be read.
    pub allowed: Option<Vec<(String, Vec<Ipv6Net>)>>,
    /// The destinations that an IPsec policy takes on their way out.
    pub tunnelled: Vec<Ipv6Net>,
    /// Why no program can answer in the kernel, where one is wanted.
    pub program_refused: Option<String>,
    /// Whether the program nft is installed.
    pub has_nft: bool,
    /// Bridges whose MAC nobody has set, so that it is that of one of their ports.
    pub random_macs: Vec<IfIndex>,
}

/// Which configuration was examined.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Examined {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// The control socket at which a running daemon was asked for.
    pub socket: PathBuf,
    /// Whether there is something at its path.
    pub has_socket: bool,
    /// The daemon whose socket that is, where somebody has removed it.
    pub removed_from: Option<i32>,
    /// Whether it is what the running daemon serves by, and not what a file says.
    pub is_in_force: bool,
    /// Why the file cannot be taken, although a daemon runs that has read it before.
    pub mistakes: Option<String>,
}

/// A running program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name, as in `/proc/PID/comm`.
    pub name: String,
    /// Its words.
    pub command: Vec<String>,
    /// The systemd service that it belongs to.
    pub unit: Option<String>,
}

/// A text file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Where it is.
    pub path: String,
    /// What it says.
    pub content: String,
}

impl Process {
    /// Whether it serves as lone64, or is about to.
    pub fn is_daemon(&self) -> bool {
        self.name == "lone64" && self.command.iter().any(|word| word == "run")
    }
}

impl Host {
    /// A sysctl, by its path below `/proc/sys`.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str)
    }

    /// The host's interfaces and addresses.
    pub fn links(&self) -> &Links {
        self.engine.links()
    }

    /// What the configuration means on this host.
    pub fn bindings(&self) -> &Bindings {
        self.engine.bindings()
    }

    /// The upstreams that are there.
    pub fn upstreams(&self) -> &[Upstream] {
        &self.bindings().upstreams
    }

    /// The ranges, and where each is served.
    pub fn ranges(&self) -> impl Iterator<Item = (&RangePolicy, &Place)> {
        self.engine.policy().ranges.iter().zip(&self.bindings().ranges)
    }

    /// The name of an interface; its number if it has none.
    pub fn name(&self, link: IfIndex) -> String {
        self.links().name(link)
    }

    /// The interfaces behind which guests are, each once: those that ranges name or match. An upstream whose own bridge
    /// they are on is looked at as an upstream.
    pub fn downstreams(&self) -> Vec<&Link> {
        let mut links: Vec<_> = self.ranges().flat_map(|(_, place)| place.downstreams.clone()).collect();
        links.sort_unstable();
        links.dedup();
        links.retain(|link| self.bindings().upstream(*link).is_none());
        links.into_iter().filter_map(|link| self.links().get(link)).collect()
    }

    /// The interface that has this as another name.
    pub fn also_named(&self, name: &IfName) -> Option<&Link> {
        let is_it = |make: &&Make| make.other_names.iter().any(|other| other == name.as_str());
        self.makes.iter().find(is_it).and_then(|make| self.links().get(make.link))
    }

    /// The live guests of a range that has no longer one inside it around them.
    pub fn guests_of(&self, range: &RangePolicy) -> impl Iterator<Item = &Guest> {
        let decides = move |guest: &&Guest| {
            let around = self.ranges().filter(|(other, _)| other.prefix.contains(&guest.address));
            let longest = around.max_by_key(|(other, _)| other.prefix.prefix_len());
            longest.is_some_and(|(other, _)| other.prefix == range.prefix)
        };
        self.guests.iter().filter(decides)
    }

    /// Whether all live guests of a range are reached, and there are some: proof against whatever seems to be in their
    /// way.
    pub fn reaches(&self, range: &RangePolicy) -> bool {
        let mut guests = self.guests_of(range).peekable();
        guests.peek().is_some() && guests.all(Guest::is_reached)
    }

    /// The processes that serve as lone64 in this network namespace, as far as they can be seen.
    pub fn daemons(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|process| process.is_daemon())
    }

    /// The path of a file of the host, for a line of shell.
    pub fn path(&self, below_root: &str) -> String {
        self.root.join(below_root).display().to_string()
    }

    /// Whether the process has this capability, by its number.
    pub fn may(&self, capability: u32) -> bool {
        self.capabilities & (1 << capability) != 0
    }

    /// A router on this link that made itself known.
    pub fn router_on(&self, link: IfIndex) -> Option<Ipv6Addr> {
        let mut on_link = self.routers.iter().filter(|(at, _)| *at == link).map(|(_, router)| *router);
        on_link.next()
    }

    /// The prefixes of the addresses of a link that are of more than link-local scope.
    pub fn prefixes_of(&self, link: IfIndex) -> impl Iterator<Item = (Ipv6Addr, Ipv6Net)> {
        let addresses = self.links().addresses_of(link);
        let wide = addresses.filter(|known| !known.address.is_unicast_link_local());
        wide.filter_map(|known| {
            Some((known.address, Ipv6Net::new(known.address, known.prefix_len).ok()?.trunc()))
        })
    }

    /// The links on which what is for an upstream comes and goes, itself first: what it is on top of, and the ports of a
    /// bridge or bond.
    pub fn underneath(&self, upstream: IfIndex) -> Vec<IfIndex> {
        underneath(self.links(), upstream)
    }

    /// What a link is made of.
    pub fn make(&self, link: IfIndex) -> Option<&Make> {
        self.makes.iter().find(|make| make.link == link)
    }

    /// Where what guests of this prefix send leaves by, where no upstream says it: by the first rule that has a default
    /// route for it.
    pub fn way_out(&self, prefix: &Ipv6Net) -> Option<IfIndex> {
        let by_table = |table: u32| {
            let is_default = |route: &&KernelRoute| route.table == table && route.leads_everywhere();
            let routes = self.routes.iter().filter(is_default).filter(|route| route.unicast_link().is_some());
            routes.min_by_key(|route| route.metric).and_then(KernelRoute::unicast_link)
        };
        let is_for_guests = |rule: &&KernelRule| {
            rule.from.contains(prefix)
                && rule.to.prefix_len() == 0
                && rule.condition == Condition::None
                && rule.arrives_on.is_none()
                && !rule.is_inverted
        };
        let tables = self.engine.rules().filter(is_for_guests).filter_map(|rule| match rule.action {
            RuleAction::Lookup { table, longer_than: None, not_group: None } => Some(table),
            _ => None,
        });
        tables.chain([MAIN]).find_map(by_table)
    }

    /// The default routes: those of the main table, or of the tables that rules name instead.
    pub fn default_routes(&self) -> impl Iterator<Item = &KernelRoute> {
        self.engine.default_routes().filter(|route| route.unicast_link().is_some())
    }
}

/// See [`Host::underneath`].
pub fn underneath(links: &Links, upstream: IfIndex) -> Vec<IfIndex> {
    let mut all = vec![upstream];
    let mut next = 0;
    while let Some(link) = all.get(next).copied() {
        next += 1;
        let ports = links.iter().filter(|port| port.master == Some(link));
        let under = links.get(link).and_then(|link| link.lower).filter(|lower| lower.namespace.is_none());
        let under = under.map(|lower| lower.link).into_iter();
        for found in under.chain(ports.map(|port| port.index)) {
            if !all.contains(&found) && all.len() < MOST_UNDERNEATH {
                all.push(found);
            }
        }
    }
    all
}

/// Whether there is Neighbor Discovery on a link, and an address that it needs.
pub fn has_neighbors(link: &Link) -> bool {
    matches!(link.layer, LinkLayer::Ethernet(_))
}

/// The table that packets are routed by unless rules say otherwise.
pub const MAIN: u32 = 254;

/// At which nothing new is to be learned.
const MOST_UNDERNEATH: usize = 16;
