//! OpenVPN: a client somewhere outside, with an address of the host's /64.

use std::net::Ipv6Addr;

use crate::PATIENCE;
use crate::guide::Guide;
use crate::namespace::eventually;
use crate::peer::{peer, sends};
use crate::provider::Provider;
use crate::traffic::Traffic;

crate::cases![a_client_with_an_address_of_its_own];

const LAPTOP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xe, 0, 0, 5);
/// No client has it.
const NOBODY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xe, 0, 0, 6);

fn a_client_with_an_address_of_its_own() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    let peer = peer(&provider);
    Guide::read("openvpn").follow(&provider, &host, &|place, lines| {
        assert_eq!(place, "peer");
        if lines.contains("systemctl enable") {
            let configuration = host.type_in("cat /etc/openvpn/laptop.conf");
            let file = "/etc/openvpn/client/guests.conf";
            peer.type_in(&format!("install -m 600 /dev/stdin {file} <<'END'\n{configuration}END"));
        }
        peer.type_in(lines);
    });
    provider.pings(LAPTOP);
    assert!(host.ask(&format!("lone64 explain {NOBODY}")).contains("it is answered for"));

    let pid = host.main_pid("lone64");
    let traffic = Traffic::start(&provider.router, LAPTOP);
    sends(&peer, "2001:db8:1:2:e::1");
    host.type_in("systemctl restart openvpn-server@guests");
    traffic.flows();
    println!("a restart of the server interrupted it for {:?}", traffic.longest_gap());
    assert_eq!(host.main_pid("lone64"), pid);
    assert_eq!(host.warnings(), "");

    host.type_in("systemctl stop openvpn-server@guests");
    eventually("nothing is served any more", PATIENCE, || {
        (!host.ask("lone64 status").contains("range ")).then_some(())
    });
}
