//! A host as the checks see it: read once, and not touched again.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use crate::config::Config;
use crate::engine::bindings::{Place, Upstream};
use crate::engine::facts::{IfIndex, KernelRoute, Neighbour};
use crate::engine::policy::RangePolicy;
use crate::engine::{Bindings, Engine, Links};
use crate::kernel::netlink::Make;

use super::Firewall;

/// Everything that was read of a host.
pub struct Host {
    /// What is configured.
    pub config: Config,
    /// The engine, which was told what there is and nothing else: what would be served.
    pub engine: Engine,
    /// Every IPv6 route of every table.
    pub routes: Vec<KernelRoute>,
    /// The kernel's IPv6 neighbour table.
    pub neighbours: Vec<Neighbour>,
    /// The kernel's own proxy entries.
    pub proxies: Vec<(IfIndex, Ipv6Addr)>,
    /// What the links are made of.
    pub makes: Vec<Make>,
    /// Sysctls by their path below `/proc/sys`.
    pub settings: BTreeMap<String, String>,
    /// The packet filters; `None` if they cannot be read.
    pub firewall: Firewall,
    /// The processes in this network namespace, as far as they can be seen.
    pub processes: Vec<Process>,
    /// Files that set what is checked: sysctl.d, systemd-networkd.
    pub files: Vec<Text>,
    /// What the process may do, as the bits of capabilities(7).
    pub capabilities: u64,
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
}

/// A text file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Where it is.
    pub path: String,
    /// What it says.
    pub content: String,
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
        self.links().get(link).map_or_else(|| format!("#{link}"), |link| link.name.to_string())
    }

    /// What a link is made of.
    pub fn make(&self, link: IfIndex) -> Option<&Make> {
        self.makes.iter().find(|make| make.link == link)
    }

    /// The default routes.
    pub fn default_routes(&self) -> impl Iterator<Item = &KernelRoute> {
        self.routes.iter().filter(|route| {
            route.destination.prefix_len() == 0 && route.table == MAIN && route.unicast_link().is_some()
        })
    }
}

const MAIN: u32 = 254;
