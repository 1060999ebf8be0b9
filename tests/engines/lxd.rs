//! LXD: containers on its bridge, and routed without one.

use std::net::Ipv6Addr;

use crate::findings::findings;
use crate::guide::{Guide, nowhere};
use crate::machine::Machine;
use crate::namespace::eventually;
use crate::provider::Provider;
use crate::{PATIENCE, busybox};

crate::cases![containers_on_the_bridge_and_routed_ones_are_reached];

const WEB: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 5);
const DB: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 1, 0, 5);

fn containers_on_the_bridge_and_routed_ones_are_reached() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    has_an_image(&host);
    Guide::read("lxd").follow(&provider, &host, &nowhere);
    let pid = host.main_pid("lone64");
    provider.pings(WEB);
    provider.pings(DB);
    assert_eq!(findings(&host), [], "of the doctor");

    // LXD makes another veth for it.
    host.type_in("lxc restart -f db");
    has_its_address(&host, "db", DB);
    provider.pings(DB);
    host.type_in("lxc delete -f db");
    eventually("the routed one is served no longer", PATIENCE, || {
        (!host.ask("lone64 status").contains(&DB.to_string())).then_some(())
    });
    provider.pings(WEB);
    assert_eq!(host.main_pid("lone64"), pid);
    assert_eq!(host.warnings(), "", "warnings of lone64");
}

/// The container has checked its address.
fn has_its_address(host: &Machine, name: &str, address: Ipv6Addr) {
    eventually("the container's address is valid", PATIENCE, || {
        let shown = host.ask(&format!("lxc exec {name} -- ip -6 address show dev eth0 scope global"));
        (shown.contains(&format!("{address}/")) && !shown.contains("tentative")).then_some(())
    });
}

/// The one image that cannot be fetched here.
fn has_an_image(host: &Machine) {
    busybox::may_map_users(host);
    busybox::root(host, "/tmp/image");
    host.type_in(
        "printf 'architecture: x86_64\\ncreation_date: 1700000000\\n' >/tmp/metadata.yaml
         tar -C /tmp -cJf /tmp/metadata.tar.xz metadata.yaml
         tar -C /tmp/image -cJf /tmp/image.tar.xz .
         systemctl start lxd
         lxc image import /tmp/metadata.tar.xz /tmp/image.tar.xz --alias guest",
    );
}
