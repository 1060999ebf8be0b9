//! lone64 in a container of its own: the image and the line that runs it, as contrib/docs/packages.md has them.

use std::net::Ipv6Addr;

use crate::PATIENCE;
use crate::namespace::eventually;
use crate::plugged::{self, has_checked};
use crate::podman;
use crate::provider::Provider;

crate::cases![serves_with_two_capabilities_and_a_root_that_it_cannot_write];

const GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 5);

fn serves_with_two_capabilities_and_a_root_that_it_cannot_write() {
    let page = include_str!("../../contrib/docs/packages.md");
    let section = page.split_once("## In a container").expect("it is in the page").1;
    let commands =
        section.split_once("```sh\n").and_then(|(_, rest)| rest.split_once("```")).expect("a block").0;
    let (build, run) = commands.split_once("podman run").expect("both commands");
    let provider = Provider::new();
    let host = provider.host("host", 2);
    podman::configure(&host);
    host.type_in(
        "mkdir -p /etc/lone64 /run/lone64
         printf '[[range]]\\nprefix = \"2001:db8:1:2:c::/112\"\\ninterface = \"br0\"\\nroutes = \"guests\"\\ngateway = \"fe80::1\"\\n' \
             >/etc/lone64/lone64.toml
         ip link add br0 type bridge
         ip link set br0 up
         sysctl -qw net.ipv6.conf.all.forwarding=1",
    );
    let build = build.replace("target/release/lone64", "$(command -v lone64)");
    host.type_in(&format!("cd /root/lone64\n{build}"));
    host.type_in(&format!("podman run{run}"));
    let guest = plugged::start(&host, "veth5", 5, "br0");
    guest.ip(&format!("addr add {GUEST}/112 dev eth0\nroute add default via fe80::1 dev eth0"));
    has_checked(&guest, GUEST);
    provider.pings(GUEST);
    let routes = || host.type_in("ip -6 route show proto 64");
    assert!(routes().contains(&GUEST.to_string()), "{}", routes());
    // The program outside speaks to it by the same socket.
    assert!(host.type_in("lone64 status").contains("1 live guest"));
    let held = host.type_in("grep CapPrm /proc/$(podman inspect -f '{{.State.Pid}}' lone64)/status");
    // CAP_NET_ADMIN is 12, CAP_NET_RAW is 13.
    assert!(held.trim().ends_with("0000000000003000"), "{held}");
    host.type_in("podman stop -t 60 lone64");
    eventually("its routes are gone", PATIENCE, || routes().is_empty().then_some(()));
}
