//! Bridges in the way.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::lab::{C, Lab};
use crate::namespace::Namespace;

use super::Patient;

crate::cases![
    finds_a_bridge_filter_that_drops_discovery_with_the_host,
    finds_a_bridge_filter_that_drops_discovery_among_guests,
    finds_a_bridge_filter_that_drops_mld_where_a_querier_counts_on_it,
    finds_that_the_upstream_is_a_port_of_a_bridge,
    finds_guests_on_the_bridge_towards_the_router,
    finds_redirects_where_a_range_is_on_the_upstreams_own_bridge,
    finds_nothing_on_a_downstream_that_snoops,
];

/// What needs packet filters to see what bridges pass on.
pub(crate) const BY_NETFILTER: &[crate::Case] = &[(
    "finds_that_bridged_traffic_is_dropped_by_the_forward_chain",
    finds_that_bridged_traffic_is_dropped_by_the_forward_chain,
)];

/// Why these cannot run here, if they cannot.
pub(crate) fn refusal() -> Option<String> {
    let is_there = Namespace::untouched().run(|| Path::new("/proc/sys/net/bridge").exists());
    (!is_there).then(|| "the kernel has no br_netfilter, or has not loaded it".to_owned())
}

/// A second guest on the bridge.
fn neighbor(lab: &Lab) -> Namespace {
    let guest = Namespace::new();
    lab.host.ip(&format!(
        "link add gp1 type veth peer name eth0 address 02:00:00:00:00:07 netns {}",
        guest.path()
    ));
    guest.ip("link set eth0 up");
    lab.host.ip("link set gp1 master br0 up");
    guest.ip("addr add 2001:db8:1:2:c::7/112 dev eth0 nodad");
    guest
}

fn reaches(from: &Namespace, to: &str) -> bool {
    let mut ping = Command::new("ping");
    ping.args(["-c", "1", "-W", "1", to]).stdout(Stdio::null());
    from.spawn(&mut ping).wait().expect("ping ends").success()
}

fn finds_a_bridge_filter_that_drops_discovery_with_the_host() {
    let patient = Patient::healthy();
    patient.shell(
        "nft add table bridge guard
         nft 'add chain bridge guard out { type filter hook output priority 0; }'
         nft add rule bridge guard out icmpv6 type nd-neighbor-solicit drop",
    );
    assert!(!reaches(&patient.lab.host, "2001:db8:1:2:c::5"), "the fault is one");
    patient.is_healed("bridge-filter", "fault", &["neighbor solicitations on br0", "bridge guard"]);
    patient.lab.host.ip("neigh flush dev br0");
    assert!(reaches(&patient.lab.host, "2001:db8:1:2:c::5"), "healed");
}

fn finds_a_bridge_filter_that_drops_discovery_among_guests() {
    let patient = Patient::healthy();
    let guest = neighbor(&patient.lab);
    patient.shell(
        "nft add table bridge guard
         nft 'add chain bridge guard fw { type filter hook forward priority 0; }'
         nft add rule bridge guard fw ether type ip6 meta l4proto icmpv6 drop",
    );
    assert!(!reaches(&guest, "2001:db8:1:2:c::5"), "the fault is one");
    patient.is_healed("bridge-filter", "warning", &["guests cannot reach each other", "rule 1 of chain fw"]);
    guest.ip("neigh flush dev eth0");
    let tcp = "neigh get 2001:db8:1:2:c::5 dev eth0";
    reaches(&guest, "2001:db8:1:2:c::5");
    assert!(guest.show(tcp).contains("lladdr"), "healed, as far as Neighbor Discovery goes");
}

fn finds_a_bridge_filter_that_drops_mld_where_a_querier_counts_on_it() {
    let patient = Patient::healthy();
    patient.shell(
        "nft add table bridge guard
         nft 'add chain bridge guard pre { type filter hook prerouting priority 0; }'
         nft add rule bridge guard pre icmpv6 type mld2-listener-report drop",
    );
    patient.is_well();
    patient.lab.host.ip("link set br0 type bridge mcast_snooping 1 mcast_querier 1");
    patient.is_healed("bridge-filter", "fault", &["MLD on br0", "rule 1 of chain pre"]);
}

fn finds_that_bridged_traffic_is_dropped_by_the_forward_chain() {
    let patient = Patient::healthy();
    let guest = neighbor(&patient.lab);
    // What is routed passes, what is bridged does not.
    patient.shell(
        "nft add table inet filter
         nft 'add chain inet filter forward { type filter hook forward priority 0; }'
         nft add rule inet filter forward iifname br0 oifname br0 drop",
    );
    // The setting is there only where the kernel has br_netfilter.
    patient.lab.host.ip("link set br0 type bridge nf_call_ip6tables 1");
    assert!(!reaches(&guest, "2001:db8:1:2:c::5"), "the fault is one");
    patient.is_healed("bridged-traffic", "warning", &["guests on br0", "nf_call_ip6tables 1", "inet filter"]);
    guest.ip("neigh flush dev eth0");
    assert!(reaches(&guest, "2001:db8:1:2:c::5"), "healed");
}

fn finds_that_the_upstream_is_a_port_of_a_bridge() {
    let range = format!("[[range]]\nprefix = \"{C}\"\ninterface = \"br0\"\n");
    let patient = Patient::with(Lab::veth(), &format!("[[upstream]]\ninterface = \"up0\"\n{range}"));
    patient.lab.host.ip("link add br9 type bridge forward_delay 0
         link set br9 up
         link set up0 master br9
         addr add 2001:db8:1:2::2/64 dev br9 nodad
         addr del 2001:db8:1:2::2/64 dev up0
         addr add fe80::2/64 dev br9 nodad");
    let finding = patient.suffers_from("upstream", "fault", &["up0 is a port of br9"]);
    patient.configure(&format!("{}\n{range}", finding.remedies[0].text));
    let (left, _) = patient.examine();
    assert!(left.iter().all(|finding| finding.check != "upstream"), "{left:#?}");
}

fn on_a_bridge() -> Patient {
    let config =
        format!("[[upstream]]\ninterface = \"br9\"\n[[range]]\nprefix = \"{C}\"\ninterface = \"br0\"\n");
    let patient = Patient::with(Lab::veth(), &config);
    patient.lab.host.ip("link add br9 type bridge forward_delay 0
         link set br9 up
         link set up0 master br9
         addr flush dev up0
         addr add 2001:db8:1:2::2/64 dev br9 nodad
         addr add fe80::2/64 dev br9 nodad
         route replace default via fe80::1 dev br9");
    patient
}

fn finds_guests_on_the_bridge_towards_the_router() {
    let patient = on_a_bridge();
    patient.is_well();
    patient.lab.host.ip("link set gv1 master br9");
    patient.suffers_from(
        "upstream-bridge",
        "warning",
        &["br9", "ports of br9: up0, gv1", "MACs of their own"],
    );
    patient.lab.host.ip("link set gv1 nomaster");
    patient.is_well();
}

fn finds_redirects_where_a_range_is_on_the_upstreams_own_bridge() {
    let patient = on_a_bridge();
    patient.lab.host.ip("addr flush dev br0
         link set gp0 nomaster
         link set gp0 master br9");
    patient.configure(&format!(
        "[[upstream]]\ninterface = \"br9\"\n[[range]]\nprefix = \"{C}\"\ninterface = \"br9\"\n"
    ));
    patient.is_healed("upstream-bridge", "fault", &["own bridge br9", "type 137"]);
}

/// Measured: without a querier it floods, and with one the guests join their groups.
fn finds_nothing_on_a_downstream_that_snoops() {
    let patient = Patient::healthy();
    for querier in [0, 1] {
        patient.lab.host.ip(&format!("link set br0 type bridge mcast_snooping 1 mcast_querier {querier}"));
        patient.is_well();
    }
}
