//! A plain tun interface, with a peer outside.

use std::net::Ipv6Addr;

use crate::PATIENCE;
use crate::guide::Guide;
use crate::namespace::eventually;
use crate::peer::{peer, sends};
use crate::provider::Provider;
use crate::traffic::Traffic;

crate::cases![a_peer_behind_a_tun];

const PEER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xf, 0, 0, 5);
/// No peer has it.
const NOBODY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xf, 0, 0, 6);

fn a_peer_behind_a_tun() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    let peer = peer(&provider);
    Guide::read("tun").follow(&provider, &host, &|place, lines| {
        assert_eq!(place, "peer");
        peer.type_in(lines);
    });
    provider.pings(PEER);
    assert!(host.ask(&format!("lone64 explain {NOBODY}")).contains("not answered for (no_range)"));

    let pid = host.main_pid("lone64");
    let traffic = Traffic::start(&provider.router, PEER);
    sends(&peer, "2001:db8:1:2:f::1");
    host.type_in("systemctl restart tunnel");
    traffic.flows();
    println!("a restart of the tunnel interrupted it for {:?}", traffic.longest_gap());
    assert_eq!(host.main_pid("lone64"), pid);
    assert_eq!(host.warnings(), "");

    host.type_in("systemctl stop tunnel");
    eventually("lone64 answers no more, and says why", PATIENCE, || {
        let explained = host.ask(&format!("lone64 explain {PEER}"));
        explained.contains("tun0 has no carrier: no program holds the tunnel").then_some(())
    });
    host.type_in("ip link del tun0");
    eventually("nothing is served any more", PATIENCE, || {
        (!host.ask("lone64 status").contains("range ")).then_some(())
    });
}
