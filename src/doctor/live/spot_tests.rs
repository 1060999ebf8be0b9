//! Which of the ranges takes the guest, and how.

use std::collections::BTreeMap;

use super::*;
use crate::config;
use crate::doctor::{Examined, Firewall};
use crate::engine::facts::{Address, AddressState, Fact, Link, LinkLayer, LinkState};
use crate::engine::{Engine, Input, Time};
use crate::kernel::netlink::{Bridge, Make};
use crate::wire::Mac;

/// `up0` (2) with the /64, the bridge `br0` (3) and the plain `gv1` (4), each with a gateway.
fn host(ranges: &str) -> Host {
    let text = format!("[[upstream]]\ninterface = \"up0\"\n{ranges}");
    let config = config::parse(&text, "lone64.toml").unwrap_or_else(|problems| panic!("{problems}"));
    let mut engine = Engine::new(config.policy.clone(), [0, 0]);
    let mut facts = Vec::new();
    for (index, name, address, prefix_len) in
        [(2, "up0", "2001:db8::2", 64), (3, "br0", "2001:db8::c:1", 112), (4, "gv1", "2001:db8::d:1", 128)]
    {
        let (link, layer) = (IfIndex(index), LinkLayer::Ethernet(Mac([2, 0, 0, 0, 0, index as u8])));
        let name = name.parse().unwrap();
        facts.push(Fact::Link(Link {
            index: link,
            name,
            state: LinkState::Up,
            layer,
            master: None,
            lower: None,
            peer: None,
            is_bridge: false,
            leads_to_one: false,
            group: 0,
            vrf: None,
        }));
        let (address, state) = (address.parse().unwrap(), AddressState::Preferred);
        facts.push(Fact::Address(Address { link, address, prefix_len, state, protocol: 0 }));
    }
    engine.handle(Input::Facts(facts), Time::ORIGIN);
    let (link, kind, mtu) = (IfIndex(3), "bridge".to_owned(), 9000);
    Host {
        config,
        engine,
        routes: Vec::new(),
        neighbors: Vec::new(),
        asked_for: Vec::new(),
        proxies: Vec::new(),
        duplicates: Vec::new(),
        routers: Vec::new(),
        root: "/".into(),
        has_packet_sockets: true,
        daemon: None,
        makes: vec![Make {
            link,
            kind,
            mtu,
            bridge: Some(Bridge::default()),
            xdp: None,
            other_names: Vec::new(),
        }],
        classifiers: Vec::new(),
        settings: BTreeMap::new(),
        firewall: Firewall::default(),
        processes: Vec::new(),
        files: Vec::new(),
        capabilities: 0,
        service: None,
        examined: Examined::default(),
        guests: Vec::new(),
        allowed: None,
        tunnelled: Vec::new(),
        program_refused: None,
        has_nft: true,
        random_macs: Vec::new(),
    }
}

fn range(prefix: &str, interface: &str, keys: &str) -> String {
    format!("[[range]]\nprefix = \"{prefix}\"\ninterface = \"{interface}\"\n{keys}\n")
}

const BRIDGE: (&str, &str) = ("2001:db8::c:0/112", "br0");
const PLAIN: (&str, &str) = ("2001:db8::d:0/112", "gv1");

#[test]
fn a_bridge_comes_before_the_host_itself_and_keeps_its_mtu() {
    let host = host(&(range(PLAIN.0, PLAIN.1, "") + &range(BRIDGE.0, BRIDGE.1, "")));
    let spot = Spot::choose(&host, None).unwrap();
    let gateway = "2001:db8::c:1".parse().unwrap();
    assert_eq!(spot.seat, Seat::Port { bridge: IfIndex(3), gateway, mtu: 9000 });
}

#[test]
fn the_host_stands_in_where_there_is_no_bridge_and_for_its_own_address() {
    let host = host(&(range(PLAIN.0, PLAIN.1, "") + &range(BRIDGE.0, BRIDGE.1, "answer = \"never\"")));
    let own = "2001:db8::d:1".parse().unwrap();
    let seat = Seat::Host { link: IfIndex(4), address: Some(own) };
    assert_eq!(Spot::choose(&host, None).unwrap().seat, seat);
    assert_eq!(Spot::choose(&host, Some(own)).unwrap().seat, seat);
    let other = Spot::choose(&host, Some("2001:db8::d:7".parse().unwrap())).unwrap_err();
    assert!(other.to_string().contains("gv1 is no bridge"), "{other}");
}

#[test]
fn a_range_that_is_never_answered_is_taken_only_if_it_is_named() {
    let host = host(&range(BRIDGE.0, BRIDGE.1, "answer = \"never\""));
    let error = Spot::choose(&host, None).unwrap_err().to_string();
    assert!(
        error.contains("no range is answered for; `answer` is \"never\" in each; --live-address"),
        "{error}"
    );
    assert!(Spot::choose(&host, Some("2001:db8::c:7".parse().unwrap())).is_ok());
    let outside = Spot::choose(&host, Some("2001:db8::e:7".parse().unwrap())).unwrap_err();
    assert!(outside.to_string().contains("lies in no range"), "{outside}");
}

#[test]
fn a_pattern_gets_an_interface_that_it_matches() {
    for (pattern, name) in
        [("veth*", "vethlone64live"), ("vethabcdefgh*", "vethabcdefghl64"), ("tap?", "tapl")]
    {
        let host = host(&range(BRIDGE.0, pattern, ""));
        assert_eq!(Spot::choose(&host, None).unwrap().seat, Seat::Beside(name.parse().unwrap()));
    }
}

#[test]
fn the_address_is_one_that_nobody_is_known_to_have() {
    let host = host(
        &(range("2001:db8::c:0/124", "br0", "exclude = [\"2001:db8::c:2\"]")
            + &range("2001:db8::c:8/126", "gv1", "")),
    );
    let spot = Spot::choose(&host, None).unwrap();
    // The first of all, the host's own, the excluded one, one of the longer range, and a free one.
    let mut draws = [0, 1, 2, 9, 3].into_iter();
    let address = spot.address(&host, || draws.next().unwrap());
    assert_eq!(address, "2001:db8::c:3".parse().ok());
    assert_eq!(spot.address(&host, || 1), None);
}

#[test]
fn no_guest_is_put_where_the_kernel_sends_what_is_for_it_to_a_router() {
    let mut host = host(&range(BRIDGE.0, BRIDGE.1, ""));
    let via = |link| KernelRoute {
        destination: BRIDGE.0.parse().unwrap(),
        kind: crate::engine::facts::RouteKind::Unicast(IfIndex(link)),
        next_hop: NextHop::Via("fe80::5".parse().unwrap()),
        table: MAIN,
        protocol: 3,
        metric: 1024,
        source: None,
    };
    host.routes = vec![via(3)];
    let guest = Some("2001:db8::c:7".parse().unwrap());
    let refused = Spot::choose(&host, guest).unwrap_err();
    assert!(format!("{refused:?}").contains("to another router"), "{refused:?}");
    // Ours is to be added in its place.
    host.routes = vec![via(2)];
    assert!(matches!(Spot::choose(&host, guest).unwrap().seat, Seat::Port { .. }));
}
