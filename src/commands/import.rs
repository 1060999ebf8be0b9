//! `lone64 import`: another responder's configuration as a lone64.toml.
//!
//! May touch: the file that it is told to read, standard input, output and error, and the kernel's
//! proxy entries with the ways to them.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::Outcome;
use super::print;
use crate::config::bytes;
use crate::engine::facts::{IfIndex, Link, NextHop};
use crate::import::kernel::{self, ProxyEntry, Side, Way};
use crate::import::{self, Format, ImportError, Imported};
use crate::kernel::netlink::{NetlinkError, Proxy, Requests, WayTo};

/// The options of `import`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  lone64 import /etc/ndppd.conf
  lone64 import /etc/npd6.conf > lone64.toml
  lone64 import --kernel | lone64 check -
  ssh host cat /etc/ndppd.conf | lone64 import --from ndppd -

Exit status: 0 done, 1 cannot read it or nothing to serve, 2 wrong usage.")]
pub struct ImportArgs {
    /// The configuration of ndppd (0.2 or 1.0) or npd6, or - for standard input.
    #[arg(value_name = "F", required_unless_present = "kernel", conflicts_with = "kernel")]
    pub file: Option<PathBuf>,
    /// Import the proxy entries of the kernel (`ip -6 neigh show proxy`).
    #[arg(long)]
    pub kernel: bool,
    /// The program of the configuration, if lone64 does not recognize it.
    #[arg(long, value_name = "PROGRAM", conflicts_with = "kernel")]
    pub from: Option<Format>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("cannot read {}: does it exist, and may this user read it?", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("cannot read standard input")]
    Input(#[source] io::Error),
    #[error("cannot read the kernel's proxy entries and the routes to them")]
    Kernel(#[from] NetlinkError),
}

/// Prints one configuration; the status is 1 if there is none.
pub fn run(args: &ImportArgs) -> Outcome {
    let (origin, result) = match args.file.as_deref() {
        None => (String::from("kernel"), kernel::import(&proxies()?)),
        Some(path) => {
            let (bytes, origin) = read(path)?;
            let result = import::import_bytes(bytes, &origin, args.from);
            (origin, result)
        }
    };
    match (result, args.json) {
        (Ok(imported), false) => print(&imported.toml)?,
        (Ok(imported), true) => print(&format!("{:#}\n", described(&origin, &imported)))?,
        // These begin with their places, as a compiler's do.
        (Err(ImportError::Unreadable(problems)), _) => return Err(problems.into()),
        (Err(error), _) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// The bytes, as many as there may be and one more, and what problems call them.
fn read(path: &Path) -> Result<(Vec<u8>, String), ReadError> {
    if path == Path::new("-") {
        let bytes = bytes::read(io::stdin().lock(), import::LONGEST).map_err(ReadError::Input)?;
        return Ok((bytes, "<stdin>".to_owned()));
    }
    let bytes = File::open(path)
        .and_then(|file| bytes::read(file, import::LONGEST))
        .map_err(|error| ReadError::File(path.to_owned(), error))?;
    Ok((bytes, path.display().to_string()))
}

fn proxies() -> Result<Vec<ProxyEntry>, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    Ok(runtime.block_on(entries()).map_err(ReadError::Kernel)?)
}

/// The entries, each with where the kernel sends what comes for it.
async fn entries() -> Result<Vec<ProxyEntry>, NetlinkError> {
    let requests = Requests::open()?;
    let entries = requests.proxies().await?;
    let links = requests.links().await?;
    let links: HashMap<IfIndex, Link> = links.into_iter().map(|link| (link.index, link)).collect();
    // All are asked for before the first reply is waited for: many go in one datagram.
    let ways: Vec<_> = entries
        .iter()
        .map(|entry| (requests.way_to(entry.address, entry.link), requests.way_to(ELSEWHERE, entry.link)))
        .collect();
    let mut found = Vec::new();
    for (Proxy { link, address, is_router }, (way, way_out)) in entries.into_iter().zip(ways) {
        let interface = links.get(&link).map(|link| link.name.to_string());
        let (way, side) = match interface {
            Some(_) => {
                let way = way.await?;
                (named(way, link, &links), side(address, link, way, way_out.await?))
            }
            None => (Way::Nowhere, Side::Upstream),
        };
        let way = match way {
            Way::Router { interface, router } if requests.is_by_default(address, link).await? => {
                Way::Default { interface, router }
            }
            way => way,
        };
        found.push(ProxyEntry { interface, address, way, is_router, side });
    }
    Ok(found)
}

/// Guests are behind an interface if what they send leaves by another one, and the address is there, too. On their
/// link a link-local address can only be that of their gateway.
fn side(address: Ipv6Addr, from: IfIndex, way: WayTo, way_out: WayTo) -> Side {
    let link = |way| match way {
        WayTo::Link { link, .. } => Some(link),
        WayTo::Host | WayTo::HostPrefix | WayTo::Nowhere => None,
    };
    let out = link(way_out).filter(|out| *out != from);
    let is_there = address.is_unicast_link_local() || link(way) == out;
    if out.is_some() && is_there { Side::Downstream } else { Side::Upstream }
}

/// The way in the words of people.
fn named(way: WayTo, from: IfIndex, links: &HashMap<IfIndex, Link>) -> Way {
    match way {
        WayTo::Link { link, .. } if link == from => Way::Back,
        WayTo::Link { link, next_hop, .. } => match (links.get(&link), next_hop) {
            (None, _) => Way::Nowhere,
            (Some(link), NextHop::Via(router)) => Way::Router { interface: link.name.to_string(), router },
            (Some(_), NextHop::OnLink) => Way::Link,
        },
        WayTo::Host => Way::Host,
        WayTo::HostPrefix => Way::HostPrefix,
        WayTo::Nowhere => Way::Nowhere,
    }
}

fn described(origin: &str, imported: &Imported) -> Value {
    json!({
        "origin": origin,
        "from": imported.from,
        "toml": imported.toml,
        "notes": imported.notes,
        "problems": [],
    })
}

/// Some address far away: an address of the documentation's would be this host's in a lab (RFC 3849). Nothing is sent.
const ELSEWHERE: Ipv6Addr = Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 1);
