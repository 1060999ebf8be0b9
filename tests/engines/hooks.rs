//! Programs that are told of guests.

use std::net::Ipv6Addr;

use crate::PATIENCE;
use crate::guide::Guide;
use crate::machine::Machine;
use crate::namespace::eventually;
use crate::plugged::{self, has_checked};
use crate::provider::Provider;

crate::cases![hooks_are_told_of_guests_that_are_there_that_come_and_that_go];

fn hooks_are_told_of_guests_that_are_there_that_come_and_that_go() {
    let provider = Provider::new();
    let host = provider.host("host", 2);
    host.namespace
        .ip("link add br0 type bridge\nlink set br0 up\naddr add 2001:db8:1:2:c::1/112 dev br0 nodad");
    host.type_in("sysctl -w net.ipv6.conf.all.forwarding=1\nsystemctl enable --now lone64");
    let [before, after] =
        [5, 6].map(|number| (number, Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xc, 0, 0, number)));
    let start = |(number, address): (u16, Ipv6Addr)| {
        let number = u8::try_from(number).expect("a small number");
        let guest = plugged::start(&host, &format!("veth{number}"), number, "br0");
        guest.ip(&format!("addr add {address}/112 dev eth0\nroute add default via 2001:db8:1:2:c::1"));
        has_checked(&guest, address);
        provider.pings(address);
        guest
    };
    let _before = start(before);
    Guide::read("hooks").follow_on(&host);
    is_told(&host, &format!("live {} on br0, bc:24:11:00:00:05", before.1));
    let _after = start(after);
    is_told(&host, &format!("live {} on br0, bc:24:11:00:00:06", after.1));

    // They outlive the daemon, and a program that fails is told of and stops nobody.
    let again = format!("live {} on br0, bc:24:11:00:00:06", after.1);
    let told = times_told(&host, &again);
    host.type_in("ln -s /bin/false /etc/lone64/hooks.d/fails\nsystemctl restart lone64");
    eventually("hooks are told of it again", PATIENCE, || (times_told(&host, &again) > told).then_some(()));
    host.type_in("ip link set br0 down");
    is_told(&host, &format!("gone {} on br0, -", before.1));
    is_told(&host, &format!("gone {} on br0, -", after.1));
    let said = host.ask("journalctl -q --no-pager -u lone64-hooks -o cat");
    assert!(said.contains(&format!("/etc/lone64/hooks.d/fails gone {}: status 1", before.1)), "{said}");
}

fn is_told(host: &Machine, line: &str) {
    eventually(line, PATIENCE, || (times_told(host, line) > 0).then_some(()));
}

fn times_told(host: &Machine, line: &str) -> usize {
    let said = host.ask("journalctl -q --no-pager -t guests -o cat");
    said.lines().filter(|other| *other == line).count()
}
