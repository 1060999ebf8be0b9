//! Whether clients on other hosts can reach the port at all.
//!
//! `IPAddressDeny=` of a unit (systemd.resource-control(5)) drops what others send, so that a scrape times out and
//! nobody is told why. The kernel refuses what this process sends by the same filter, and that can be seen: one byte
//! to an address of this host itself, which leaves by no interface.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Whether a filter of this process's control group is in the way of other hosts. `None`: nobody can tell.
pub(super) fn is_filtered(address: SocketAddr) -> Option<bool> {
    if address.ip().is_loopback() {
        return Some(false);
    }
    let ip = if address.ip().is_unspecified() { own_address(address.ip())? } else { address.ip() };
    let socket = UdpSocket::bind((ip, 0)).ok()?;
    let sent = socket.set_nonblocking(true).and_then(|()| socket.send_to(&[0], socket.local_addr()?));
    match sent {
        Ok(_) => Some(false),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Some(true),
        Err(_) => None,
    }
}

/// The address from which this host would ask others. Nothing is sent for that.
fn own_address(family: IpAddr) -> Option<IpAddr> {
    let far: IpAddr = match family {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let socket = UdpSocket::bind((family, 0)).ok()?;
    socket.connect((far, DISCARD)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback())
}

/// RFC 863.
const DISCARD: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_in_the_way_of_this_host() {
        assert_eq!(is_filtered("[::1]:9164".parse().expect("an address")), Some(false));
        assert_eq!(is_filtered("127.0.0.2:9164".parse().expect("an address")), Some(false));
    }
}
