//! Why the daemon cannot start, or cannot go on: what is wrong, and what to do.

use std::io;
use std::net::Ipv6Addr;

use crate::engine::Links;
use crate::engine::facts::{IfIndex, KernelRoute, RouteKind};
use crate::kernel::bpf::BpfError;
use crate::kernel::netlink::{NetlinkError, RouteError};
use crate::kernel::nft::NftError;
use crate::kernel::sysctl::SysctlError;

/// Why the daemon cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another one serves in this network namespace; its process id, where it is in sight.
    #[error("another lone64 is running{} in this network namespace, and both would answer every solicitation; {}", with_pid(*.0), stop(*.0))]
    Another(Option<i32>),
    /// The privilege to hear and send frames is missing.
    #[error("no permission to open packet sockets; run lone64 as root or with CAP_NET_RAW and CAP_NET_ADMIN")]
    NoPackets(#[source] io::Error),
    /// The privilege to change routes is missing.
    #[error(
        "no permission to change routes and addresses; run lone64 as root or with CAP_NET_RAW and CAP_NET_ADMIN"
    )]
    NoChanges(#[source] RouteError),
    /// An interface cannot be listened on.
    #[error("cannot open a packet socket on {link}{}", remedy(.source, "CAP_NET_RAW"))]
    Listen {
        /// The interface's name.
        link: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// An interface that was listened on fails.
    #[error("cannot read from the packet socket of {link}")]
    Receive {
        /// The interface's name.
        link: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A route cannot be installed.
    #[error("cannot install the route '{route}'")]
    Route {
        /// The route, as `ip -6 route` prints it.
        route: String,
        /// What the kernel said.
        source: RouteError,
    },
    /// A multicast group cannot be joined or left.
    #[error("cannot join or leave the multicast group {group} on {link}")]
    Group {
        /// The interface's name.
        link: String,
        /// The group.
        group: Ipv6Addr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The program that is to answer in the kernel cannot be had on this host.
    #[error(
        "`backend = \"tc\"` in [[upstream]] is not possible here: {0}{remedy}; or write `backend = \"auto\"`, and \
         the daemon answers where the kernel cannot",
        remedy = remedy_for(.0)
    )]
    NoProgram(BpfError),
    /// The program in the kernel cannot be taken away.
    #[error("the program in the kernel cannot be removed from {link}: {said}")]
    ProgramLeft {
        /// The interface's name.
        link: String,
        /// What the kernel said.
        said: String,
    },
    /// A guest cannot be made known to the program in the kernel.
    #[error("the program in the kernel cannot be told of a guest, so the daemon answers for it: {1}")]
    Guests(IfIndex, BpfError),
    /// A program does not know the ranges that it is to answer for as a whole.
    #[error("the program in the kernel cannot be told of ranges, so the daemon answers for them: {1}")]
    Ranges(IfIndex, BpfError),
    /// The kernel cannot be kept from solicitations.
    #[error(transparent)]
    Suppress(#[from] NftError),
    /// The kernel cannot be asked.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A setting that is ours to change cannot be changed.
    #[error(
        "[sysctl] has `manage = true`, but lone64 cannot set it; set it yourself and write `manage = false`"
    )]
    Sysctl(#[from] SysctlError),
    /// What tells us to stop is broken.
    #[error("lone64 can no longer receive signals to stop")]
    Deaf(#[source] io::Error),
    /// The kernel tells nothing any more.
    #[error("the netlink socket was closed; start lone64 again, and please report this")]
    MonitorClosed,
    /// The kernel did not confirm in time that our routes are gone.
    #[error("the kernel did not confirm in time that the routes are removed; `{}` removes them", flush(*.protocol, *.table))]
    RoutesLeft {
        /// What marks them as ours.
        protocol: u8,
        /// Where they are.
        table: u32,
    },
    /// nft did not confirm in time that our table is gone.
    #[error(
        "nft did not confirm in time that the table is removed; `nft delete table ip6 lone64` removes it"
    )]
    TableLeft,
}

impl Error {
    /// Whether a privilege is missing, which does not come by itself.
    pub(super) fn is_of_privilege(&self) -> bool {
        match self {
            Self::Listen { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::Route { source, .. } => matches!(source, RouteError::Denied),
            Self::Suppress(source) => matches!(source, NftError::Denied(..)),
            _ => false,
        }
    }
}

/// What to do where a program cannot be had.
fn remedy_for(error: &BpfError) -> &'static str {
    let said = match error {
        BpfError::Map(_, source) | BpfError::Load { source, .. } | BpfError::Pin(_, source) => source,
        BpfError::UserNamespace => return "; write `backend = \"packet\"`",
        // It names its own.
        _ => return "",
    };
    match said.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "; run lone64 as root, or give lone64.service the drop-in contrib/systemd/kernel-program.conf"
        }
        Some(libc::ENOSYS) => "; the kernel needs CONFIG_BPF_SYSCALL",
        Some(libc::EINVAL) => "; it takes Linux 5.8",
        _ => "",
    }
}

/// That a foreign route keeps ours out, and what to do.
pub(super) fn kept_out(route: &KernelRoute, other: Option<&KernelRoute>, links: &Links) -> String {
    let wanted = describe(route, links);
    let KernelRoute { destination, metric, .. } = route;
    match other {
        Some(other) => {
            let there = describe(other, links);
            // What the kernel or a program made, it needs, and makes again (rtnetlink(7); 3 and 4 are people's).
            let removal = match other.protocol {
                0 | 3 | 4 => format!(
                    ", or remove it with `ip -6 route del {there}{}` if nothing needs it",
                    in_table(other.table)
                ),
                _ => String::new(),
            };
            format!(
                "the route '{wanted}' is kept out: '{there}' is in the way, and lone64 never replaces foreign \
                 routes; choose another `metric` in [routes]{removal}"
            )
        }
        None => format!(
            "the route '{wanted}' is kept out: another route to {destination} with metric {metric} is in the way, \
             and lone64 never replaces foreign routes; `ip -6 route show{} {destination}` shows it: choose another \
             `metric` in [routes]",
            in_table(route.table)
        ),
    }
}

fn with_pid(pid: Option<i32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

fn stop(pid: Option<i32>) -> String {
    match pid {
        Some(pid) => format!("stop it first, with `systemctl stop lone64` or `kill {pid}`"),
        None => {
            "stop it first; it is in another container, and `ss -xlp src @lone64` shows it to root outside of the \
             containers"
                .to_owned()
        }
    }
}

/// What removes every route of ours.
fn flush(protocol: u8, table: u32) -> String {
    format!("ip -6 route flush{} proto {protocol}", in_table(table))
}

/// What ip(8) has to be told where it is not the main table, which it takes by itself.
fn in_table(table: u32) -> String {
    if table == MAIN { String::new() } else { format!(" table {table}") }
}

/// As `ip -6 route` prints it, and takes it.
pub(super) fn describe(route: &KernelRoute, links: &Links) -> String {
    let mut text = route.to_string();
    if let RouteKind::Unicast(link) | RouteKind::Local(link) = route.kind {
        text = text.replace(&format!("#{link}"), &links.name(link));
    }
    text
}

fn remedy(error: &io::Error, capability: &str) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied {
        format!("; run lone64 as root or with {capability} and CAP_NET_ADMIN")
    } else {
        String::new()
    }
}

/// `RT_TABLE_MAIN`.
const MAIN: u32 = 254;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_has_the_protocol_and_the_table_of_the_configuration() {
        let said = |protocol, table| Error::RoutesLeft { protocol, table }.to_string();
        assert!(said(64, 254).contains("`ip -6 route flush proto 64`"), "{}", said(64, 254));
        assert!(said(65, 100).contains("`ip -6 route flush table 100 proto 65`"), "{}", said(65, 100));
    }
}
