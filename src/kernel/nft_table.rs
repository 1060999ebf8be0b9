//! What the kernel itself says of our nftables tables: whether one is there, what it holds, and that it was changed
//! (NETLINK_NETFILTER, linux/netfilter/nfnetlink.h and nf_tables.h).
//!
//! nft(8) changes the tables. These small requests need no child process. To hear of changes would need a process
//! that runs all the time.

use std::future::poll_fn;
use std::io;

use rtnetlink::sys::{AsyncSocket, Socket, SocketAddr, TokioSocket, protocols::NETLINK_NETFILTER};

/// A table of nftables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table {
    family: u8,
    /// Its name, with a zero at its end, as the kernel writes it.
    name: &'static str,
}

impl Table {
    /// Of `suppress-kernel`.
    pub const SUPPRESS: Self = Self { family: NFPROTO_IPV6, name: "lone64\0" };
    /// Of `guard`, for ports of bridges.
    pub const GUARD_BRIDGE: Self = Self { family: NFPROTO_BRIDGE, name: "lone64_guard\0" };
    /// Of `guard`, for interfaces that are routed.
    pub const GUARD_ROUTED: Self = Self { family: NFPROTO_IPV6, name: "lone64_guard\0" };
    /// Of `nft-sets`.
    pub const SETS: Self = Self { family: NFPROTO_INET, name: "lone64\0" };
}

/// Hears of every change of nftables in its network namespace.
pub struct TableWatch {
    socket: TokioSocket,
    buffer: Vec<u8>,
    tables: &'static [Table],
}

impl TableWatch {
    /// Begins to listen, in the network namespace of this thread. Must be called within a Tokio runtime with I/O.
    pub fn open(tables: &'static [Table]) -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        socket.socket_mut().bind(&SocketAddr::new(0, 1 << (NFNLGRP_NFTABLES - 1)))?;
        Ok(Self { socket, buffer: Vec::with_capacity(LONGEST_DATAGRAM), tables })
    }

    /// Waits until one of these tables was changed, or perhaps was; by us, or by another program. Cancel-safe.
    pub async fn touched(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            match poll_fn(|cx| self.socket.poll_recv_from(cx, &mut self.buffer)).await {
                Ok(sender) if sender.port_number() == 0 && self.is_touched() => {
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Changes were lost; one of them may have been it.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn is_touched(&self) -> bool {
        self.tables.iter().any(|table| is_told_of(*table, &self.buffer))
    }
}

/// Whether the table is there, in the network namespace of this thread. Needs CAP_NET_ADMIN.
pub fn is_there(table: Table) -> io::Result<bool> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.send_to(&request(NFT_MSG_GETTABLE, NLM_F_REQUEST, table, &[]), &SocketAddr::new(0, 0), 0)?;
    let mut answer = Vec::with_capacity(LONGEST_DATAGRAM);
    // The kernel has answered before it comes back from the question.
    socket.recv(&mut answer, libc::MSG_DONTWAIT)?;
    Ok(messages(&answer).any(|message| is_about(table, message)))
}

/// Whether one datagram is about this table.
#[doc(hidden)]
pub fn is_told_of(table: Table, datagram: &[u8]) -> bool {
    messages(datagram).any(|message| is_about(table, message))
}

/// A request of nf_tables about this table, with these attributes behind its name.
pub(super) fn request(kind: u16, flags: u16, table: Table, attributes: &[(u16, &str)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (kind, value) in [(NFTA_TABLE_NAME, table.name)].iter().chain(attributes) {
        all.extend((4 + value.len() as u16).to_ne_bytes());
        all.extend(kind.to_ne_bytes());
        all.extend(value.as_bytes());
        all.resize(all.len().next_multiple_of(4), 0);
    }
    let mut message = Vec::new();
    message.extend(((HEADER + all.len()) as u32).to_ne_bytes());
    message.extend((NFNL_SUBSYS_NFTABLES << 8 | kind).to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence and port, then the family, and a version and a number that are zero.
    message.extend([0; 8]);
    message.extend([table.family, 0, 0, 0]);
    message.extend(all);
    message
}

/// The messages of a datagram, each with its header.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*datagram.first_chunk()?) as usize;
        let message = datagram.get(..length).filter(|_| length >= NLMSGHDR)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Tables, chains, rules, sets and their elements, objects and flow tables all name their table in their first
/// kind of attribute, and all have an even number of at most 24 or so. The generation (15) names none.
pub(super) fn is_about(table: Table, message: &[u8]) -> bool {
    let kind = u16::from_ne_bytes([message[4], message[5]]);
    if kind >> 8 != NFNL_SUBSYS_NFTABLES || kind & 0xff == NFT_MSG_NEWGEN {
        return false;
    }
    let Some((header, rest)) = message[NLMSGHDR..].split_at_checked(HEADER - NLMSGHDR) else {
        return false;
    };
    header[0] == table.family
        && attributes(rest)
            .find(|(kind, _)| *kind == NFTA_TABLE_NAME)
            .is_some_and(|(_, name)| name == table.name.as_bytes())
}

/// Attributes one behind the other, each with its kind; flags of the kind are left out.
pub(super) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & !NLA_F, value))
    })
}

/// Bytes of `struct nlmsghdr`, and with `struct nfgenmsg` behind it.
pub(super) const NLMSGHDR: usize = 16;
pub(super) const HEADER: usize = 20;
pub(super) const LONGEST_DATAGRAM: usize = 64 << 10;
pub(super) const NLM_F_REQUEST: u16 = 1;
/// NLA_F_NESTED and NLA_F_NET_BYTEORDER.
const NLA_F: u16 = 3 << 14;
const NFPROTO_INET: u8 = 1;
const NFPROTO_BRIDGE: u8 = 7;
const NFPROTO_IPV6: u8 = 10;
const NFNLGRP_NFTABLES: u32 = 7;
pub(super) const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_GETTABLE: u16 = 1;
const NFT_MSG_NEWGEN: u16 = 15;
const NFTA_TABLE_NAME: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Table = Table::SUPPRESS;

    fn question() -> Vec<u8> {
        request(NFT_MSG_GETTABLE, NLM_F_REQUEST, OURS, &[])
    }

    fn is_about_ours(message: &[u8]) -> bool {
        is_about(OURS, message)
    }

    #[test]
    fn knows_its_own_table_and_no_other() {
        let ours = question();
        assert!(messages(&ours).all(is_about_ours) && messages(&ours).count() == 1);
        let change = |at: usize, to: u8| {
            let mut other = question();
            other[at] = to;
            other
        };
        for other in [change(HEADER + 4, b'L'), change(16, 2), change(5, 3), change(4, 15)] {
            assert!(!messages(&other).any(is_about_ours), "{other:?}");
        }
        for table in [Table::GUARD_BRIDGE, Table::GUARD_ROUTED, Table::SETS] {
            let other = request(NFT_MSG_GETTABLE, NLM_F_REQUEST, table, &[]);
            assert!(!messages(&other).any(is_about_ours) && messages(&other).all(|one| is_about(table, one)));
        }
    }

    #[test]
    fn takes_any_bytes() {
        let whole = question();
        for length in 0..whole.len() {
            assert!(!messages(&whole[..length]).any(is_about_ours));
        }
        for at in 0..whole.len() {
            for value in [0, 1, 3, 255] {
                let mut broken = whole.clone();
                broken[at] = value;
                let _ = messages(&broken).any(is_about_ours);
            }
        }
    }
}
