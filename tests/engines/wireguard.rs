//! WireGuard: a peer somewhere outside, with a /128 and a /116 of the host's /64.

use std::net::Ipv6Addr;

use crate::findings::warnings_but_of_an_idle_start;
use crate::guide::Guide;
use crate::machine::Machine;
use crate::namespace::eventually;
use crate::peer::{peer, sends};
use crate::provider::Provider;
use crate::traffic::Traffic;
use crate::{BOOT, PATIENCE};

crate::cases![a_peer_with_an_address_and_a_prefix];

const LAPTOP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xe, 0, 0, 5);
/// In the peer's /116.
const BEHIND: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xe, 0, 0, 0x1234);
/// No peer has it.
const NOBODY: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xe, 0, 0, 6);

fn a_peer_with_an_address_and_a_prefix() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    let peer = peer(&provider);
    Guide::read("wireguard").follow(&provider, &host, &|place, lines| {
        assert_eq!(place, "peer");
        if lines.contains("systemctl enable") {
            carry_configuration(&host, &peer);
        }
        peer.type_in(lines);
    });
    provider.pings(LAPTOP);
    peer.type_in(&format!("ip -6 addr add {BEHIND}/128 dev lo"));
    provider.pings(BEHIND);
    assert!(host.ask(&format!("lone64 explain {NOBODY}")).contains("not answered for (no_range)"));

    let pid = host.main_pid("lone64");
    restarts_under_traffic(&provider, &host, &peer);
    assert_eq!(host.main_pid("lone64"), pid);
    assert_eq!(warnings_but_of_an_idle_start(&host), "");

    // The whole prefix instead, whoever has it.
    host.type_in("install -D -m 644 config/wireguard.toml /etc/lone64/lone64.toml\nlone64 check");
    host.type_in("systemctl restart lone64");
    provider.pings(LAPTOP);
    provider.pings(BEHIND);
    assert!(host.ask(&format!("lone64 explain {NOBODY}")).contains("it is answered for"));

    host.type_in("systemctl stop wg-quick@wg0");
    eventually("lone64 answers no more", PATIENCE, || {
        host.ask(&format!("lone64 explain {LAPTOP}")).contains("(no_downstream)").then_some(())
    });
    let routes = host.type_in("ip -6 route show table all proto 64");
    assert!(routes.starts_with("unreachable 2001:db8:1:2:e::/112 "), "{routes}");
    assert_eq!(routes.lines().count(), 1, "{routes}");
}

/// As somebody would with a USB stick.
fn carry_configuration(host: &Machine, peer: &Machine) {
    let configuration = host.type_in("cat /etc/wireguard/laptop.conf");
    peer.type_in(&format!("install -m 600 /dev/stdin /etc/wireguard/wg0.conf <<END\n{configuration}END"));
}

/// A peer that sends finds out by itself, after some fifteen seconds, that the server has forgotten it.
fn restarts_under_traffic(provider: &Provider, host: &Machine, peer: &Machine) {
    let traffic = Traffic::start(&provider.router, LAPTOP);
    sends(peer, "2001:db8:1:2:e::1");
    host.type_in("systemctl restart wg-quick@wg0");
    eventually("the peer has shaken hands anew", BOOT, || {
        let shaken = host.type_in("wg show wg0 latest-handshakes");
        (!shaken.trim().ends_with("\t0")).then_some(())
    });
    traffic.flows();
    println!("a restart of wg-quick interrupted it for {:?}", traffic.longest_gap());
}
