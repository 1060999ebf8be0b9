//! The first minute of README.md, on a host that has nothing yet but its address.

use std::net::Ipv6Addr;

use crate::PATIENCE;
use crate::guide::Guide;
use crate::machine::Machine;
use crate::namespace::eventually;
use crate::plugged::{self, has_checked};
use crate::provider::Provider;

crate::cases![reaches_a_guest_as_the_readme_says, is_enabled_before_there_is_anything_to_serve];

const GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 5);

fn reaches_a_guest_as_the_readme_says() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    let start = || plugged::start(&host, "veth5", 5, "br0");
    plugged::follow(&Guide::first_minute(), &provider, &host, &start);
    assert_eq!(status(&host), "1 range, 1 guest live");
}

fn is_enabled_before_there_is_anything_to_serve() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    host.type_in(
        "mkdir -p /etc/lone64
         printf '[[range]]\\nprefix = \"2001:db8:1:2:c::/112\"\\ninterface = \"lxcbr0\"\\n' > /etc/lone64/lone64.toml
         sysctl -w net.ipv6.conf.all.forwarding=1
         lone64 check
         systemctl enable --now lone64",
    );
    assert_eq!(status(&host), "waiting for lxcbr0");
    // A second one, with options and a socket of its own.
    let said =
        host.ask("lone64 run --upstream eth0 --range 2001:db8:1:2:d::/112=eth9 --socket /run/second.sock");
    let pid = host.main_pid("lone64");
    assert!(said.contains(&format!("another lone64 is running (pid {pid})")), "{said}");
    // LXC makes its bridge.
    host.type_in(
        "ip link add lxcbr0 type bridge
         ip link set lxcbr0 up
         ip -6 addr add 2001:db8:1:2:c::1/112 dev lxcbr0 nodad",
    );
    let guest = plugged::start(&host, "veth5", 5, "lxcbr0");
    guest.ip(&format!("addr add {GUEST}/112 dev eth0\nroute add default via 2001:db8:1:2:c::1"));
    has_checked(&guest, GUEST);
    provider.pings(GUEST);
    eventually("its status is well", PATIENCE, || (status(&host) == "1 range, 1 guest live").then_some(()));
    assert_eq!(host.main_pid("lone64"), pid, "it has not been started again");
    let warnings = host.warnings();
    assert_eq!(warnings.matches("there is no interface lxcbr0").count(), 1, "{warnings}");
    // Where it cannot heal, it says so at once.
    host.type_in("systemctl stop lone64\necho 'frobnicate = true' >> /etc/lone64/lone64.toml");
    let said = host.ask(
        "systemctl start lone64 || journalctl -q --no-pager -u lone64 -o cat -n 20; systemctl stop lone64",
    );
    assert!(said.contains("Job for lone64.service failed") && said.contains("frobnicate"), "{said}");
}

fn status(host: &Machine) -> String {
    host.type_in("systemctl show --value -p StatusText lone64").trim().to_owned()
}
