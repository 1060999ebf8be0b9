//! A container of systemd-nspawn on a bridge.

use std::net::Ipv6Addr;

use crate::guide::Guide;
use crate::machine::Machine;
use crate::namespace::eventually;
use crate::provider::Provider;
use crate::traffic::Traffic;
use crate::{PATIENCE, busybox};

crate::cases![a_container_that_is_restarted_is_reached_again];

const WEB: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, 5);

fn a_container_that_is_restarted_is_reached_again() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    busybox::may_map_users(&host);
    busybox::root(&host, "/var/lib/machines/web");
    let guide = Guide::read("nspawn");
    guide.follow(&provider, &host, &|place, lines| {
        assert_eq!(place, "guest");
        inside(&host, lines);
    });
    provider.pings(WEB);

    let pid = host.main_pid("lone64");
    let traffic = Traffic::start(&provider.router, WEB);
    host.type_in("systemctl restart systemd-nspawn@web");
    inside(&host, guide.lines("guest"));
    eventually("its address is valid", PATIENCE, || {
        let shown = inside(&host, "ip -6 address show dev host0 scope global");
        (shown.contains(&format!("{WEB}/")) && !shown.contains("tentative")).then_some(())
    });
    provider.pings(WEB);
    traffic.flows();
    println!("a restart of the container interrupted it for {:?}", traffic.longest_gap());
    host.type_in("systemctl stop systemd-nspawn@web");
    eventually("the address is nobody's any more", PATIENCE, || {
        (!host.ask("lone64 status").contains(&format!("  {WEB}  "))).then_some(())
    });
    assert_eq!(host.main_pid("lone64"), pid);
    assert_eq!(host.warnings(), "", "warnings of lone64");
}

/// Types lines in the container.
fn inside(host: &Machine, lines: &str) -> String {
    let enter = "nsenter --target $(machinectl show -p Leader --value web) --mount --net --root";
    host.type_in(&format!("{enter} sh -ec '{lines}'"))
}
