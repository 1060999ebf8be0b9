//! Docker: a network with global addresses, and what Docker's own filter does to it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::PATIENCE;
use crate::busybox;
use crate::findings::{Finding, findings};
use crate::guide::{Guide, nowhere};
use crate::machine::Machine;
use crate::namespace::eventually;
use crate::provider::{BEYOND, Provider};
use crate::traffic::Traffic;

crate::cases![
    containers_of_a_network,
    restarts_of_docker_and_moves_of_a_container_are_followed,
    what_docker_filters_and_translates_is_found_and_mended,
    a_bridge_with_the_routers_address_takes_it_from_nobody,
];

const WEB: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xd, 0, 0, 5);
const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xd, 0, 0, 6);
const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 2);

fn containers_of_a_network() {
    let (provider, host) = followed();
    provider.pings(WEB);
    connects(&provider, WEB, 80);
    host.type_in("docker exec web httpd -p 81");
    connects(&provider, WEB, 81);
    host.type_in(&format!("nft -f - <<'END'\n{}END", shown_table()));
    assert!(connect(&provider, WEB, 81).is_err(), "the table that the guide shows closes it");
    connects(&provider, WEB, 80);
    provider.pings(WEB);
    assert_eq!(source(&provider, &host, "web"), WEB);
    assert_eq!(findings(&host), [], "of the doctor");
}

fn restarts_of_docker_and_moves_of_a_container_are_followed() {
    let (provider, host) = followed();
    let pid = host.main_pid("lone64");
    for (setting, running) in [("false", "its containers restarted"), ("true", "its containers running on")] {
        host.type_in(&format!(
            "echo '{{ \"live-restore\": {setting} }}' >/etc/docker/daemon.json\nsystemctl reload docker"
        ));
        eventually("Docker has read its settings", PATIENCE, || {
            host.ask("docker info").contains(&format!("Live Restore Enabled: {setting}")).then_some(())
        });
        let traffic = Traffic::start(&provider.router, WEB);
        host.type_in("systemctl restart docker");
        traffic.flows();
        println!("a restart of Docker, {running}, interrupted it for {:?}", traffic.longest_gap());
    }

    // Docker gives the address with `nodad`: it is valid when `docker run` returns.
    host.type_in("docker rm -f web");
    run(&host, "web", OTHER);
    provider.pings(OTHER);
    is_forgotten(&host, WEB);
    host.type_in("docker rm -f web");
    run(&host, "web", WEB);
    provider.pings(WEB);
    is_forgotten(&host, OTHER);

    host.type_in("docker rm -f web\ndocker network rm guests");
    eventually("the network is served no longer", PATIENCE, || {
        (!host.ask("lone64 status").contains("range 2001:db8:1:2:d::/112")).then_some(())
    });
    provider.router.ip("neigh flush dev rt0");
    assert!(!is_reached(&provider, WEB));
    eventually("nobody answers for it", PATIENCE, || {
        provider.router.show(&format!("neigh show {WEB}")).contains("FAILED").then_some(())
    });
    assert_eq!(host.namespace.show("route show proto 64"), "", "routes of lone64");
    assert_eq!(host.main_pid("lone64"), pid);
    assert_eq!(host.warnings(), "", "warnings of lone64");
}

/// Debian's Docker does with these settings what later ones do to every network that is not `routed`.
fn what_docker_filters_and_translates_is_found_and_mended() {
    let provider = Provider::new();
    let host = with_an_image(&provider);
    host.type_in(
        "echo '{ \"experimental\": true, \"ip6tables\": true }' >/etc/docker/daemon.json
         systemctl enable --now docker lone64
         docker network create --ipv6 --subnet 2001:db8:1:2:d::/112 guests",
    );
    run(&host, "other", OTHER);
    // Also waits for the bridge's own address, without which nothing is forwarded at all.
    assert_eq!(source(&provider, &host, "other"), HOST);
    assert!(!is_reached(&provider, OTHER), "the policy of Docker's filter is in the way");
    let found = findings(&host);
    let names = |finding: &Finding| (finding.check.clone(), finding.severity.clone());
    let owned = |(check, severity): (&str, &str)| (check.to_owned(), severity.to_owned());
    let masquerade = owned(("masquerade", "warning"));
    let expected = [owned(("forward-filter", "fault")), masquerade.clone()];
    assert_eq!(found.iter().map(names).collect::<Vec<_>>(), expected, "{found:#?}");

    host.type_in(
        "docker run -d --init --restart always --name web --network guests --ip6 2001:db8:1:2:d::5 \
                  -p 8080:80 busybox httpd -f",
    );
    host.type_in("docker exec web httpd -p 81");
    connects(&provider, WEB, 80);
    connects(&provider, HOST, 8080);
    assert!(connect(&provider, WEB, 81).is_err(), "it is not published");
    let found = findings(&host);
    let expected = [owned(("forward-filter", "warning")), masquerade];
    assert_eq!(found.iter().map(names).collect::<Vec<_>>(), expected, "{found:#?}");

    for command in found.iter().flat_map(|finding| &finding.commands) {
        host.type_in(command);
    }
    let is_mended = || {
        provider.pings(WEB);
        provider.pings(OTHER);
        connects(&provider, HOST, 8080);
        assert_eq!(source(&provider, &host, "web"), WEB);
        assert_eq!(findings(&host), [], "of the doctor");
    };
    is_mended();
    connects(&provider, WEB, 81);
    host.type_in("systemctl restart docker");
    is_mended();
}

/// `fixed-cidr-v6` over the whole link's first /80 gives docker0 the address that the provider's router has.
fn a_bridge_with_the_routers_address_takes_it_from_nobody() {
    let provider = Provider::new();
    let host = with_an_image(&provider);
    let customer = provider.plug(9);
    customer.ip("link set eth0 up
         addr add 2001:db8:1:2::9/64 dev eth0 nodad
         route add default via 2001:db8:1:2::1 dev eth0");
    customer.ping("2001:db8:1:2::1");
    host.type_in(
        "echo '{ \"ipv6\": true, \"fixed-cidr-v6\": \"2001:db8:1:2::/80\" }' >/etc/docker/daemon.json
         systemctl enable --now docker
         docker run -d --init --name web busybox httpd -f",
    );
    let address = host.type_in("docker inspect -f '{{.NetworkSettings.GlobalIPv6Address}}' web");
    let web: Ipv6Addr = address.trim().parse().unwrap_or_else(|_| panic!("no address: {address}"));
    assert!(host.namespace.show("addr show docker0").contains("2001:db8:1:2::1/80"));

    let mut ping = Command::new("ping");
    ping.args(["-n", "-i", "0.1", "-c", "40", "-w", "60", BEYOND]).stdout(Stdio::piped());
    let pings = customer.spawn(&mut ping);
    host.type_in("systemctl start lone64");
    eventually("the conflict is told", PATIENCE, || {
        let output = host.command("lone64 status --json").output().expect("nsenter");
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        let is_told =
            |conflict: &Value| conflict["address"] == "2001:db8:1:2::1" && conflict["answered"] == false;
        status["conflicts"].as_array()?.iter().any(is_told).then_some(())
    });
    // From somewhere else than the address that docker0 has, too.
    provider.beyond.ping(&web.to_string());
    host.type_in("systemctl stop lone64");
    let output = pings.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("40 received"), "another customer has lost packets:\n{said}");
    let entry = customer.show("neigh show 2001:db8:1:2::1 dev eth0");
    assert!(entry.contains("02:00:00:00:00:01"), "{entry}");
}

fn followed() -> (Provider, Machine) {
    let provider = Provider::new();
    let host = with_an_image(&provider);
    Guide::read("docker").follow(&provider, &host, &nowhere);
    (provider, host)
}

/// The table of nftables in the guide.
fn shown_table() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/guides/docker.md");
    let guide = fs::read_to_string(file).expect("the guide");
    let (_, behind) = guide.split_once("```text\n").expect("a block");
    behind.split_once("```").expect("its end").0.to_owned()
}

/// A host with the one image that cannot be fetched here, and Docker not running yet.
fn with_an_image(provider: &Provider) -> Machine {
    let host = provider.host("host", 2);
    busybox::root(&host, "/tmp/image");
    host.type_in(
        "systemctl start docker
         tar -C /tmp/image -c . | docker import - busybox
         systemctl stop docker docker.socket",
    );
    host
}

fn run(host: &Machine, name: &str, address: Ipv6Addr) {
    host.type_in(&format!(
        "docker run -d --init --restart always --name {name} --network guests --ip6 {address} \
         busybox httpd -f"
    ));
}

/// lone64 shows the guest no longer.
fn is_forgotten(host: &Machine, guest: Ipv6Addr) {
    eventually("the address is nobody's any more", PATIENCE, || {
        (!host.ask("lone64 status").contains(&format!("  {guest}  "))).then_some(())
    });
}

/// Whether somebody outside is replied to.
fn is_reached(provider: &Provider, guest: Ipv6Addr) -> bool {
    let mut ping = Command::new("ping");
    ping.args(["-c", "1", "-W", "1", &guest.to_string()]).stdout(Stdio::null());
    provider.beyond.spawn(&mut ping).wait().expect("ping ends").success()
}

fn connect(provider: &Provider, address: Ipv6Addr, port: u16) -> io::Result<TcpStream> {
    let to = SocketAddrV6::new(address, port, 0, 0).into();
    provider.beyond.run(|| TcpStream::connect_timeout(&to, Duration::from_secs(5)))
}

/// A server that was started just now listens at the address.
fn connects(provider: &Provider, address: Ipv6Addr, port: u16) {
    eventually("it listens", PATIENCE, || connect(provider, address, port).ok());
}

/// Which address a container appears with outside.
fn source(provider: &Provider, host: &Machine, container: &str) -> Ipv6Addr {
    let listener = provider.beyond.run(|| TcpListener::bind((BEYOND, 0))).expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    // nc goes on until the connection is closed here.
    let accepted = thread::spawn(move || listener.accept().expect("a connection").1.ip());
    host.type_in(&format!("docker exec {container} nc -w 60 {BEYOND} {port} </dev/null"));
    match accepted.join().expect("it has connected") {
        IpAddr::V6(address) => address,
        IpAddr::V4(address) => panic!("{address} on an IPv6 socket"),
    }
}
