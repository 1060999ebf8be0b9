//! Memberships in multicast groups: what makes the kernel send MLD reports (RFC 3810) for us.
//!
//! The sockets receive nothing, being bound to nothing; the packet socket hears the solicitations. As
//! many are open as it takes: one holds some 2,340 memberships (`net.core.optmem_max`), then ENOMEM.
//! The kernel ends them all when the process ends, however it does.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::Ipv6Addr;

use socket2::{Domain, Protocol, Socket, Type};

use crate::engine::facts::IfIndex;

/// The groups that we are in, and those that we are about to join or leave.
#[derive(Debug, Default)]
pub struct Groups {
    /// Which socket holds each membership.
    held: HashMap<Membership, usize>,
    holders: Vec<Option<Holder>>,
    /// What was asked for last, and has not been done.
    asked: BTreeMap<Membership, Wish>,
}

type Membership = (IfIndex, Ipv6Addr);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Join,
    Leave,
}

#[derive(Debug)]
struct Holder {
    socket: Socket,
    count: usize,
    is_full: bool,
}

impl Groups {
    /// To be a member from the next turns on.
    pub fn join(&mut self, link: IfIndex, group: Ipv6Addr) {
        self.ask((link, group), Wish::Join);
    }

    /// To be a member no more.
    pub fn leave(&mut self, link: IfIndex, group: Ipv6Addr) {
        self.ask((link, group), Wish::Leave);
    }

    /// Whether there is something for [`Self::turn`] to do.
    pub fn is_busy(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Does a little of what was asked for, so that a thousand of it holds up no answer. Returns the
    /// last failure; what failed is not tried again before it is asked for again.
    pub fn turn(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        for _ in 0..AT_ONCE {
            let Some((membership, wish)) = self.asked.pop_first() else { break };
            let done = match wish {
                Wish::Join => self.join_now(membership),
                Wish::Leave => self.leave_now(membership),
            };
            result = done.and(result);
        }
        result
    }

    /// How many memberships are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// True if none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many sockets hold them.
    pub fn sockets(&self) -> usize {
        self.holders.iter().flatten().count()
    }

    fn ask(&mut self, membership: Membership, wish: Wish) {
        let is_so = self.held.contains_key(&membership) == (wish == Wish::Join);
        if is_so {
            self.asked.remove(&membership);
        } else {
            self.asked.insert(membership, wish);
        }
    }

    fn join_now(&mut self, (link, group): Membership) -> io::Result<()> {
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

/// Joins and leaves in one turn of the loop; each takes 30 to 60 µs where some thousand groups are.
const AT_ONCE: usize = 16;
