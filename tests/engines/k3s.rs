//! The links and routes that k3s makes. Debian has no k3s, so what it makes is typed here in its place.

use std::net::Ipv6Addr;

use crate::PATIENCE;
use crate::findings::findings_but_of_bridges;
use crate::namespace::eventually;
use crate::plugged::{self, has_checked};
use crate::provider::Provider;

crate::cases![a_node_answers_for_its_own_pods_and_for_no_others];

const POD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xa, 0, 0, 5);
/// On the other node.
const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xa, 0, 1, 5);

fn a_node_answers_for_its_own_pods_and_for_no_others() {
    let provider = Provider::new();
    let nodes = [provider.host("one", 2), provider.host("two", 3)];
    // The bridge of the node's pods, and flannel's route (host-gw) to those of the other node.
    let pods = [POD, OTHER];
    let guests: Vec<_> = (0..2)
        .map(|this| {
            let (node, other) = (&nodes[this], 1 - this);
            node.namespace.ip(&format!(
                "link add cni0 type bridge
                 link set cni0 up
                 addr add 2001:db8:1:2:a:0:{this}:1/112 dev cni0 nodad
                 route add 2001:db8:1:2:a:0:{other}:0/112 via 2001:db8:1:2::{} dev eth0",
                other + 2
            ));
            node.type_in("sysctl -w net.ipv6.conf.all.forwarding=1\nsystemctl enable --now lone64");
            let number = u8::try_from(this).expect("one of two") + 5;
            let guest = plugged::start(node, "veth1234", number, "cni0");
            guest.ip(&format!(
                "addr add {}/112 dev eth0
                 route add default via 2001:db8:1:2:a:0:{this}:1",
                pods[this]
            ));
            has_checked(&guest, pods[this]);
            guest
        })
        .collect();
    for (this, node) in nodes.iter().enumerate() {
        provider.pings(pods[this]);
        guests[this].ping(crate::provider::BEYOND);
        guests[this].ping(&pods[1 - this].to_string());
        let explained = node.ask(&format!("lone64 explain {}", pods[1 - this]));
        assert!(explained.contains("not answered for"), "{explained}");
        assert_eq!(findings_but_of_bridges(node), [], "of the doctor");
        assert_eq!(node.warnings(), "", "warnings of lone64");
    }

    // What flannel does with vxlan is refused, as the guide says.
    let said = nodes[0].ask(
        "ip link add flannel-v6.1 type vxlan id 1 dev eth0 dstport 8472 nolearning
         ip link set flannel-v6.1 up
         ip -6 route del 2001:db8:1:2:a:0:1:0/112
         ip -6 route add 2001:db8:1:2:a:0:1:0/112 via 2001:db8:1:2:a:0:1:0 dev flannel-v6.1 onlink",
    );
    assert!(said.contains("Nexthop has invalid gateway or device mismatch"), "{said}");

    // The pod is started again on the other node, and has an address of that one.
    nodes[0].namespace.ip("link del veth1234");
    eventually("the address is nobody's any more", PATIENCE, || {
        (!nodes[0].ask("lone64 status").contains(&format!("  {POD}  "))).then_some(())
    });
    provider.pings(OTHER);
}
