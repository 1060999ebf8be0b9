//! Whether somebody has taken a filter of `tc` away: the kernel tells of that where it is one of clsact. Of programs that are
//! attached by tcx it tells nothing.

use std::future::poll_fn;
use std::io;

use rtnetlink::packet_core::NetlinkBuffer;
use rtnetlink::sys::{AsyncSocket, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};

use super::NetlinkError;
use super::connection::LONGEST_DATAGRAM;
use crate::engine::facts::IfIndex;

/// Hears of every filter and every queueing discipline that is taken away in its network namespace.
pub struct FilterWatch {
    socket: TokioSocket,
    buffer: Vec<u8>,
}

/// Where something was taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// On these links.
    Links(Vec<IfIndex>),
    /// On any link: what the kernel said was lost.
    Any,
}

impl FilterWatch {
    /// Begins to listen, in the network namespace of this thread. Must be called within a Tokio runtime with I/O.
    pub fn open() -> Result<Self, NetlinkError> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(NetlinkError::Open)?;
        let group = 1 << (RTNLGRP_TC - 1);
        socket.socket_mut().bind(&SocketAddr::new(0, group)).map_err(NetlinkError::Open)?;
        Ok(Self { socket, buffer: Vec::with_capacity(LONGEST_DATAGRAM) })
    }

    /// Waits until something was taken away, by us or by another program. Cancel-safe.
    pub async fn touched(&mut self) -> Result<Touched, NetlinkError> {
        loop {
            self.buffer.clear();
            match poll_fn(|cx| self.socket.poll_recv_from(cx, &mut self.buffer)).await {
                Ok(sender) if sender.port_number() == 0 => {
                    let links = links(&self.buffer);
                    if !links.is_empty() {
                        return Ok(Touched::Links(links));
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(Touched::Any),
                Err(_) => return Err(NetlinkError::Closed),
            }
        }
    }
}

/// The links on which something was taken away, as one datagram tells it.
pub(super) fn links(mut datagram: &[u8]) -> Vec<IfIndex> {
    let mut links = Vec::new();
    while let Ok(message) = NetlinkBuffer::new_checked(datagram) {
        let length = message.length() as usize;
        // struct tcmsg: a family, padding, the link.
        let link = datagram.get(HEADER + 4..HEADER + 8).filter(|_| length >= HEADER + 8);
        if let (RTM_DELQDISC | RTM_DELTFILTER | RTM_DELCHAIN, Some(link)) = (message.message_type(), link) {
            links.push(IfIndex(u32::from_ne_bytes(link.try_into().expect("four bytes"))));
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    links
}

/// struct nlmsghdr, in bytes.
const HEADER: usize = 16;
// linux/rtnetlink.h
const RTNLGRP_TC: u32 = 4;
const RTM_DELQDISC: u16 = 37;
const RTM_DELTFILTER: u16 = 45;
const RTM_DELCHAIN: u16 = 101;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, link: u32, length: usize) -> Vec<u8> {
        let mut message = vec![0; length];
        message[..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
        message[4..6].copy_from_slice(&kind.to_ne_bytes());
        if length >= HEADER + 8 {
            message[HEADER + 4..HEADER + 8].copy_from_slice(&link.to_ne_bytes());
        }
        message
    }

    #[test]
    fn tells_the_links_of_what_was_taken_away_and_of_nothing_else() {
        let made = message(RTM_DELTFILTER - 1, 3, 36);
        let all = [message(RTM_DELTFILTER, 7, 37), vec![0; 3], made, message(RTM_DELQDISC, 9, 36)].concat();
        assert_eq!(links(&all), [IfIndex(7), IfIndex(9)]);
        for cut in 0..all.len() {
            links(&all[..cut]);
        }
        assert_eq!(links(&message(RTM_DELQDISC, 9, 20)), []);
    }
}
