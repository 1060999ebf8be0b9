//! What names mean on a host.

use super::*;
use crate::engine::facts::{Address, AddressState, LinkState};
use crate::engine::policy::{Answer, Origin, RangeRoutes};

#[test]
fn leaves_loopback_and_upstreams_out_of_a_pattern() {
    let mut links = Links::default();
    for (index, name) in [(1, "lo"), (2, "veth0"), (3, "veth1"), (4, "br0")] {
        let mac = Mac([2, 0, 0, 0, 0, index]);
        let layer = if index == 1 { LinkLayer::Loopback } else { LinkLayer::Ethernet(mac) };
        let name = name.parse().expect("a name");
        let index = IfIndex(index.into());
        links.insert(Link {
            index,
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
        });
    }
    let address = "2001:db8::1".parse().expect("an address");
    links.insert_address(Address {
        link: IfIndex(2),
        address,
        prefix_len: 64,
        state: AddressState::Preferred,
        protocol: 0,
    });
    let range = |pattern: &str| RangePolicy {
        prefix: "2001:db8::/112".parse().expect("a prefix"),
        upstream: None,
        downstream: Downstream::Matching(vec![pattern.parse().expect("a pattern")]),
        answer: Answer::Live,
        routes: RangeRoutes::Guests,
        has_written_routes: false,
        backstop: true,
        gateway: None,
        exclude: Vec::new(),
        proxy_downstream: false,
        guard: false,
        standby: false,
        origin: Origin::Config,
    };
    let upstreams = [UpstreamPolicy::new(UpstreamInterface::Named("veth0".parse().expect("a name")))];
    let mut bound = Bindings::of_upstreams(&upstreams, |_| true, &links, &[], &[]);
    bound.place_ranges(&[range("*"), range("veth?"), range("l*")], Vec::new(), &links);
    let downstreams: Vec<_> = bound.ranges.iter().map(|place| place.downstreams.clone()).collect();
    assert_eq!(downstreams, [vec![IfIndex(3), IfIndex(4)], vec![IfIndex(3)], vec![]]);
    assert_eq!(bound.problems, []);
}
