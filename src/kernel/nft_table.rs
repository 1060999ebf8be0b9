//! What the kernel itself says of the nftables table `ip6 lone64`: whether it is there, and that it was changed
//! (NETLINK_NETFILTER, linux/netfilter/nfnetlink.h and nf_tables.h).
//!
//! nft(8) changes the table. These two small requests need no child process. The second one would need a process
//! that runs all the time.

use std::future::poll_fn;
use std::io;

use rtnetlink::sys::{AsyncSocket, Socket, SocketAddr, TokioSocket, protocols::NETLINK_NETFILTER};

/// Hears of every change of nftables in its network namespace.
pub struct TableWatch {
    socket: TokioSocket,
    buffer: Vec<u8>,
}

impl TableWatch {
    /// Begins to listen, in the network namespace of this thread. Must be called within a Tokio runtime with I/O.
    pub fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        socket.socket_mut().bind(&SocketAddr::new(0, 1 << (NFNLGRP_NFTABLES - 1)))?;
        Ok(Self { socket, buffer: Vec::with_capacity(LONGEST_DATAGRAM) })
    }

    /// Waits until our table was changed, or perhaps was; by us, or by another program. Cancel-safe.
    pub async fn touched(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            match poll_fn(|cx| self.socket.poll_recv_from(cx, &mut self.buffer)).await {
                Ok(sender) if sender.port_number() == 0 && messages(&self.buffer).any(is_about_ours) => {
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
}

/// Whether there is a table of our name, in the network namespace of this thread. Needs CAP_NET_ADMIN.
pub fn is_there() -> io::Result<bool> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.send_to(&question(), &SocketAddr::new(0, 0), 0)?;
    let mut answer = Vec::with_capacity(LONGEST_DATAGRAM);
    // The kernel has answered before it comes back from the question.
    socket.recv(&mut answer, libc::MSG_DONTWAIT)?;
    Ok(messages(&answer).any(is_about_ours))
}

/// NFT_MSG_GETTABLE for `ip6 lone64`.
fn question() -> Vec<u8> {
    let mut attribute = Vec::new();
    attribute.extend((4 + TABLE.len() as u16).to_ne_bytes());
    attribute.extend(NFTA_TABLE_NAME.to_ne_bytes());
    attribute.extend(TABLE);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    let mut message = Vec::new();
    message.extend(((HEADER + attribute.len()) as u32).to_ne_bytes());
    message.extend((NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE).to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence and port, then the family, and a version and a number that are zero.
    message.extend([0; 8]);
    message.extend([NFPROTO_IPV6, 0, 0, 0]);
    message.extend(attribute);
    message
}

/// The messages of a datagram, each with its header.
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*datagram.first_chunk()?) as usize;
        let message = datagram.get(..length).filter(|_| length >= NLMSGHDR)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Tables, chains, rules, sets and their elements, objects and flow tables all name their table in their first
/// kind of attribute, and all have an even number of at most 24 or so. The generation (15) names none.
fn is_about_ours(message: &[u8]) -> bool {
    let kind = u16::from_ne_bytes([message[4], message[5]]);
    if kind >> 8 != NFNL_SUBSYS_NFTABLES || kind & 0xff == NFT_MSG_NEWGEN {
        return false;
    }
    let Some((header, mut rest)) = message[NLMSGHDR..].split_at_checked(HEADER - NLMSGHDR) else {
        return false;
    };
    if header[0] != NFPROTO_IPV6 {
        return false;
    }
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_ne_bytes(*length));
        let (Some(kind), Some(value)) = (tail.first_chunk::<2>(), rest.get(4..length)) else { return false };
        if u16::from_ne_bytes(*kind) == NFTA_TABLE_NAME {
            return value == TABLE;
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

/// As the kernel writes it, with its end.
const TABLE: &[u8] = b"lone64\0";
/// Bytes of `struct nlmsghdr`, and with `struct nfgenmsg` behind it.
const NLMSGHDR: usize = 16;
const HEADER: usize = 20;
const LONGEST_DATAGRAM: usize = 64 << 10;
const NLM_F_REQUEST: u16 = 1;
const NFPROTO_IPV6: u8 = 10;
const NFNLGRP_NFTABLES: u32 = 7;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_GETTABLE: u16 = 1;
const NFT_MSG_NEWGEN: u16 = 15;
const NFTA_TABLE_NAME: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

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
