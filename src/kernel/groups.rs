//! Memberships in multicast groups: what makes the kernel send MLD reports (RFC 3810) for us.
//!
//! The sockets receive nothing, being bound to nothing; the packet socket hears the solicitations. As
//! many are open as it takes: one holds some 2,340 memberships (`net.core.optmem_max`), then ENOMEM.
//! The kernel ends them all when the process ends, however it does.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::io;
use std::net::Ipv6Addr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::engine::facts::IfIndex;

/// The groups that we are in, and those that we are about to join or leave.
///
/// A thread of Tokio's joins and leaves them: while the kernel writes reports for thousands of groups it
/// holds their lock, and a join stands still for some 200 ms, a leave for 700 (measured at 4,096).
#[derive(Debug, Default)]
pub struct Groups {
    /// Elsewhere while something is under way.
    members: Members,
    under_way: Option<UnderWay>,
    /// What was asked for last, and is not under way.
    asked: BTreeMap<Membership, Wish>,
}

type Membership = (IfIndex, Ipv6Addr);

/// What became of joining or leaving a group.
pub type Grouped = (IfIndex, Ipv6Addr, io::Result<()>);

#[derive(Debug)]
struct UnderWay {
    batch: Vec<Membership>,
    thread: JoinHandle<(Members, Vec<Grouped>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Join,
    Leave,
}

/// The memberships that are held.
#[derive(Debug, Default)]
struct Members {
    /// Which socket holds each.
    held: HashMap<Membership, usize>,
    holders: Vec<Option<Holder>>,
}

#[derive(Debug)]
struct Holder {
    socket: Socket,
    count: usize,
    is_full: bool,
}

impl Groups {
    /// To be a member soon. Must be called within a Tokio runtime whose threads began in the network
    /// namespace of this one.
    pub fn join(&mut self, link: IfIndex, group: Ipv6Addr) {
        self.ask((link, group), Wish::Join);
    }

    /// To be a member no more.
    pub fn leave(&mut self, link: IfIndex, group: Ipv6Addr) {
        self.ask((link, group), Wish::Leave);
    }

    /// Whether something is under way.
    pub fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// What became of what is under way. What failed is not tried again before it is asked for again.
    /// Cancel-safe.
    pub async fn done(&mut self) -> Vec<Grouped> {
        let Some(under_way) = &mut self.under_way else { return pending().await };
        let ended = (&mut under_way.thread).await;
        let batch = self.under_way.take().map(|under_way| under_way.batch).unwrap_or_default();
        let grouped = match ended {
            Ok((members, grouped)) => {
                self.members = members;
                grouped
            }
            Err(error) => {
                let failed = |(link, group)| (link, group, Err(io::Error::other(error.to_string())));
                batch.into_iter().map(failed).collect()
            }
        };
        self.start_next();
        grouped
    }

    fn ask(&mut self, membership: Membership, wish: Wish) {
        self.asked.insert(membership, wish);
        self.start_next();
    }

    fn start_next(&mut self) {
        if self.under_way.is_some() || self.asked.is_empty() {
            return;
        }
        let wishes: Vec<_> = std::iter::from_fn(|| self.asked.pop_first()).take(AT_ONCE).collect();
        let batch = wishes.iter().map(|(membership, _)| *membership).collect();
        let mut members = std::mem::take(&mut self.members);
        let thread = spawn_blocking(move || {
            let grouped = wishes.into_iter().map(|(membership, wish)| {
                let done = match wish {
                    Wish::Join => members.join_now(membership),
                    Wish::Leave => members.leave_now(membership),
                };
                (membership.0, membership.1, done)
            });
            let grouped = grouped.collect();
            (members, grouped)
        });
        self.under_way = Some(UnderWay { batch, thread });
    }
}

impl Members {
    fn join_now(&mut self, (link, group): Membership) -> io::Result<()> {
        if self.held.contains_key(&(link, group)) {
            return Ok(());
        }
        for (position, holder) in self.holders.iter_mut().enumerate() {
            let Some(holder) = holder.as_mut().filter(|holder| !holder.is_full) else { continue };
            match holder.socket.join_multicast_v6(&group, link.0) {
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => holder.is_full = true,
                result => {
                    result?;
                    holder.count += 1;
                    self.held.insert((link, group), position);
                    return Ok(());
                }
            }
        }
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
        socket.join_multicast_v6(&group, link.0)?;
        let holder = Some(Holder { socket, count: 1, is_full: false });
        let position = match self.holders.iter().position(Option::is_none) {
            Some(free) => {
                self.holders[free] = holder;
                free
            }
            None => {
                self.holders.push(holder);
                self.holders.len() - 1
            }
        };
        self.held.insert((link, group), position);
        Ok(())
    }

    /// Also where the interface is gone: the membership went with it, but not its place in the socket.
    fn leave_now(&mut self, (link, group): Membership) -> io::Result<()> {
        let Some(position) = self.held.remove(&(link, group)) else { return Ok(()) };
        let Some(holder) = &mut self.holders[position] else { return Ok(()) };
        let left = holder.socket.leave_multicast_v6(&group, link.0);
        holder.count -= 1;
        holder.is_full = false;
        if holder.count == 0 {
            self.holders[position] = None;
        }
        match left {
            Err(error) if !is_left_already(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_left_already(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV | libc::ENXIO))
}

/// Joins and leaves that go together; an exit waits for as many.
const AT_ONCE: usize = 256;
