//! Podman: a network with global addresses, and what netavark does to packets.

use std::net::{IpAddr, Ipv6Addr, TcpListener};
use std::thread;

use crate::findings::{findings_but_of_bridges, warnings_but_of_an_idle_start};
use crate::guide::{Guide, nowhere};
use crate::machine::Machine;
use crate::namespace::eventually;
use crate::provider::{BEYOND, Provider};
use crate::{PATIENCE, busybox};

crate::cases![containers_of_a_network_keep_their_addresses];

const WEB: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xd, 0, 0, 5);
const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xd, 0, 0, 6);
const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 2);

fn containers_of_a_network_keep_their_addresses() {
    let provider = Provider::new();
    let host = with_an_image(&provider);
    Guide::read("podman").follow(&provider, &host, &nowhere);
    let pid = host.main_pid("lone64");
    provider.pings(WEB);
    assert_eq!(source(&provider, &host), WEB);
    assert_eq!(findings_but_of_bridges(&host), [], "of the doctor");
    host.type_in("podman restart -t 0 web");
    provider.pings(WEB);
    assert_eq!(source(&provider, &host), WEB);

    host.type_in("podman rm -f -t 0 web");
    run(&host, OTHER);
    provider.pings(OTHER);
    eventually("the address is nobody's any more", PATIENCE, || {
        (!host.ask("lone64 status").contains(&format!("  {WEB}  "))).then_some(())
    });
    assert_eq!(host.main_pid("lone64"), pid);
    assert_eq!(warnings_but_of_an_idle_start(&host), "", "warnings of lone64");

    // Without the table of the guide.
    host.type_in("nft delete table ip6 guests");
    assert_eq!(source(&provider, &host), HOST);
    let found = findings_but_of_bridges(&host);
    assert!(found.iter().any(|finding| finding.check == "masquerade"), "{found:#?}");
    host.type_in("systemctl restart nftables");
    assert_eq!(source(&provider, &host), OTHER);
}

/// A host with the one image that cannot be fetched here.
fn with_an_image(provider: &Provider) -> Machine {
    let host = provider.host("host", 2);
    busybox::root(&host, "/tmp/image");
    configure(&host);
    host.type_in("tar -C /tmp/image -c . | podman import - busybox");
    host
}

/// Podman has no overlay on an overlay, and the host's cgroup counts no processes.
pub(crate) fn configure(host: &Machine) {
    host.type_in(
        "cat >/etc/containers/storage.conf <<END
[storage]
driver = \"vfs\"
runroot = \"/run/containers/storage\"
graphroot = \"/var/lib/containers/storage\"
END
cat >/etc/containers/containers.conf <<END
[containers]
pids_limit = 0
[engine]
runtime = \"runc\"
[network]
network_backend = \"netavark\"
END",
    );
}

fn run(host: &Machine, address: Ipv6Addr) {
    host.type_in(&format!("podman run -d --name web --network guests --ip6 {address} busybox httpd -f"));
}

/// Which address the container appears with outside.
fn source(provider: &Provider, host: &Machine) -> Ipv6Addr {
    let listener = provider.beyond.run(|| TcpListener::bind((BEYOND, 0))).expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    // nc goes on until the connection is closed here.
    let accepted = thread::spawn(move || listener.accept().expect("a connection").1.ip());
    host.type_in(&format!("podman exec web nc -w 60 {BEYOND} {port} </dev/null"));
    match accepted.join().expect("it has connected") {
        IpAddr::V6(address) => address,
        IpAddr::V4(address) => panic!("{address} on an IPv6 socket"),
    }
}
