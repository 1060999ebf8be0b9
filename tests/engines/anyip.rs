//! AnyIP: a prefix that is the host's own.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr, TcpStream};

use crate::PATIENCE;
use crate::guide::{Guide, nowhere};
use crate::machine::Machine;
use crate::provider::Provider;

crate::cases![every_address_of_a_prefix];

fn every_address_of_a_prefix() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    Guide::read("anyip").follow(&provider, &host, &nowhere);
    provider.pings(address(0x77));

    for number in 0..ADDRESSES {
        if number % ROOM == 0 {
            // The kernel's room for neighbors is shared by all of this machine's namespaces.
            provider.router.show("neigh flush dev rt0");
        }
        is_reached(&provider, address(0x1_0001 * number));
    }
    assert_eq!(host.warnings(), "");

    stops(&provider, &host);
}

/// Nobody listens there, as only the host itself can say.
fn is_reached(provider: &Provider, address: Ipv6Addr) {
    let said = provider
        .router
        .run(|| TcpStream::connect_timeout(&SocketAddr::from((address, DISCARD)), PATIENCE))
        .expect_err("nobody listens");
    assert_eq!(said.kind(), ErrorKind::ConnectionRefused, "{address}: {said}");
}

/// Neither answers nor the route outlive lone64.
fn stops(provider: &Provider, host: &Machine) {
    host.type_in("systemctl stop lone64");
    assert_eq!(host.type_in("ip -6 route show table all proto 64"), "");
    provider.router.show("neigh flush dev rt0");
    let unanswered = provider
        .router
        .run(|| TcpStream::connect_timeout(&SocketAddr::from((address(0x77), DISCARD)), PATIENCE))
        .expect_err("nobody is there");
    assert_eq!(unanswered.kind(), ErrorKind::HostUnreachable, "{unanswered}");
}

/// In 2001:db8:1:2:a::/80.
fn address(number: u32) -> Ipv6Addr {
    let (high, low) = ((number >> 16) as u16, (number & 0xffff) as u16);
    Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xa, low, high, low)
}

const ADDRESSES: u32 = 2_000;
const ROOM: u32 = 100;
const DISCARD: u16 = 9;
