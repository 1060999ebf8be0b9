//! Packet filters in the way.

use crate::lab::{C, D, GATEWAY, GUEST, Lab, PLAIN};
use crate::namespace::Namespace;

use super::Patient;

crate::cases![
    finds_a_forward_chain_whose_policy_drops,
    finds_a_rule_that_rejects_one_range_on_its_way_in,
    finds_a_rule_that_drops_what_guests_send,
    finds_nothing_in_a_careful_ruleset,
    is_content_with_a_filter_that_opens_a_port_of_a_guest,
    finds_a_filter_that_opens_nothing_but_pings,
    finds_the_policy_that_docker_sets,
    finds_the_policy_that_ufw_sets,
    names_the_commands_of_firewalld,
    finds_rules_of_iptables_by_their_number,
    finds_rules_of_the_legacy_iptables,
    finds_what_is_dropped_before_routing,
    finds_guests_that_are_masqueraded,
    finds_what_docker_masquerades,
    finds_guests_that_iptables_masquerades,
    finds_a_reverse_path_filter_on_an_upstream_without_a_default_route,
    finds_that_packet_too_big_is_dropped,
    finds_an_input_chain_that_drops_advertisements,
    finds_an_input_chain_that_accepts_nothing,
    finds_a_drop_at_the_ingress_of_the_upstream,
    passes_over_our_own_table,
];

/// Loads rules into the host.
fn nft(patient: &Patient, rules: &str) {
    patient.shell(&format!("nft -f - <<'END'\n{rules}\nEND"));
}

/// Whether one can reach the other; asked once, and given a second.
fn reaches(from: &Namespace, to: &str) -> bool {
    let mut ping = std::process::Command::new("ping");
    ping.args(["-c", "1", "-W", "1", to]).stdout(std::process::Stdio::null());
    from.spawn(&mut ping).wait().expect("ping ends").success()
}

/// The lab's router needs a route, because no daemon answers here.
fn with_a_route(patient: &Patient) {
    patient.lab.router.ip("route add 2001:db8:1:2:c::/112 via fe80::2 dev rt0");
}

fn finds_a_forward_chain_whose_policy_drops() {
    let patient = Patient::healthy();
    with_a_route(&patient);
    nft(
        &patient,
        "table inet filter { chain forward { type filter hook forward priority 0; policy drop; }; }",
    );
    assert!(!reaches(&patient.lab.router, &GUEST.to_string()), "the fault is one");
    patient.is_healed(
        "forward-filter",
        "fault",
        &["chain forward of nft's table inet filter", "drops", C, D],
    );
    assert!(reaches(&patient.lab.router, &GUEST.to_string()), "healed");
}

fn finds_a_rule_that_rejects_one_range_on_its_way_in() {
    let patient = Patient::healthy();
    with_a_route(&patient);
    nft(
        &patient,
        &format!(
            "table ip6 guard {{
               set guests {{ type ipv6_addr; flags interval; elements = {{ {C} }} }}
               chain inwards {{ ip6 daddr @guests reject; }}
               chain way {{ type filter hook forward priority 10; iifname up0 jump inwards; }}
             }}"
        ),
    );
    assert!(!reaches(&patient.lab.router, &GUEST.to_string()), "the fault is one");
    let words = ["rule 1 of chain inwards of nft's table ip6 guard", C];
    patient.is_healed("forward-filter", "fault", &words);
    assert!(reaches(&patient.lab.router, &GUEST.to_string()), "healed");
}

fn finds_a_rule_that_drops_what_guests_send() {
    let patient = Patient::healthy();
    nft(
        &patient,
        "table inet filter { chain forward { type filter hook forward priority 0; iifname { br0, gv1 } drop; }; }",
    );
    patient.is_healed("forward-filter", "fault", &["drops what guests in", C, D, "send"]);
    // Only replies may leave: guests are reached, and reach nobody.
    nft(
        &patient,
        "flush ruleset
         table inet filter { chain forward { type filter hook forward priority 0;
           ct state established,related accept; oifname up0 drop; }; }",
    );
    patient.is_healed("forward-filter", "warning", &["send"]);
}

fn finds_nothing_in_a_careful_ruleset() {
    let patient = Patient::healthy();
    nft(
        &patient,
        &format!(
            "table inet filter {{
               set banned {{ type ipv6_addr; flags timeout; }}
               chain input {{ type filter hook input priority 0; policy drop;
                 ct state vmap {{ established : accept, related : accept, invalid : drop }}
                 iif lo accept
                 icmpv6 type {{ echo-request, nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert }} accept
                 tcp dport 22 accept; }}
               chain forward {{ type filter hook forward priority 0; policy drop;
                 ip6 saddr @banned drop
                 tcp dport 25 drop
                 ct state {{ established, related }} accept
                 iifname {{ br0, \"gv*\" }} accept
                 ip6 daddr {{ {C}, {D} }} tcp dport {{ 22, 443 }} accept; }}
               chain pre {{ type filter hook prerouting priority raw; fib saddr . iif oif missing drop; }}
               chain nat {{ type nat hook postrouting priority srcnat; ip6 saddr fd00::/8 masquerade; }}
             }}"
        ),
    );
    patient.is_well();
}

/// Guests begin connections, and of all that comes from outside one thing passes.
fn stateful(opened: &str) -> String {
    format!(
        "flush ruleset
         table inet filter {{
           chain web {{ tcp dport 8443 accept; }}
           chain forward {{ type filter hook forward priority 0; policy drop;
             ct state vmap {{ established : accept, related : accept, invalid : drop }}
             iifname {{ br0, gv1 }} accept
             {opened}
           }}
         }}"
    )
}

fn is_content_with_a_filter_that_opens_a_port_of_a_guest() {
    let patient = Patient::healthy();
    with_a_route(&patient);
    for opened in [
        format!("ip6 daddr {{ {GUEST}, {PLAIN} }} accept"),
        format!("ip6 daddr {{ {GUEST}, {PLAIN} }} tcp dport 80 accept"),
        format!("ip6 daddr {{ {GUEST}-2001:db8:1:2:c::9, {PLAIN} }} jump web"),
        "tcp dport 8000-8099 accept".to_owned(),
        "iifname up0 udp dport vmap { 51820 : accept, 53 : drop }".to_owned(),
    ] {
        nft(&patient, &stateful(&opened));
        patient.is_well();
    }
    nft(&patient, &stateful(&format!("ip6 daddr {GUEST} accept")));
    assert!(reaches(&patient.lab.router, &GUEST.to_string()), "it passes");
    // Nothing of the other range is opened.
    let finding = patient.suffers_from("forward-filter", "fault", &[D, "nobody outside reaches them"]);
    assert!(!finding.text.contains(C), "{finding:#?}");
}

fn finds_a_filter_that_opens_nothing_but_pings() {
    let patient = Patient::healthy();
    for opened in ["meta l4proto ipv6-icmp accept", "ip6 daddr 2001:db8:1:2:e::5 tcp dport 80 accept"] {
        nft(&patient, &stateful(opened));
        patient.suffers_from("forward-filter", "fault", &[C, D]);
    }
}

fn finds_the_policy_that_docker_sets() {
    let patient = Patient::healthy();
    with_a_route(&patient);
    patient.shell(
        "ip6tables-nft -P FORWARD DROP
         ip6tables-nft -N DOCKER-USER
         ip6tables-nft -N DOCKER-FORWARD
         ip6tables-nft -A FORWARD -j DOCKER-USER
         ip6tables-nft -A FORWARD -j DOCKER-FORWARD
         ip6tables-nft -A DOCKER-FORWARD -i docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    );
    assert!(!reaches(&patient.lab.router, &GUEST.to_string()), "the fault is one");
    let finding = patient.suffers_from("forward-filter", "fault", &["the policy of chain FORWARD", C]);
    let is_there = |part: &str| finding.remedies.iter().any(|remedy| remedy.text.contains(part));
    assert!(is_there("-I DOCKER-USER -d 2001:db8:1:2:c::/112 -j ACCEPT"), "{finding:#?}");
    patient.is_healed("forward-filter", "fault", &[]);
    assert!(reaches(&patient.lab.router, &GUEST.to_string()), "healed");
}

/// Without ufw itself: its chains are enough to recognize it by, and what it does is shown by them.
fn finds_the_policy_that_ufw_sets() {
    let patient = Patient::healthy();
    patient.shell(
        "ip6tables-nft -P FORWARD DROP
         ip6tables-nft -N ufw6-before-forward
         ip6tables-nft -N ufw6-user-forward
         ip6tables-nft -A FORWARD -j ufw6-before-forward
         ip6tables-nft -A ufw6-before-forward -j ufw6-user-forward
         ip6tables-nft -A ufw6-before-forward -p icmpv6 --icmpv6-type packet-too-big -j ACCEPT
         ip6tables-nft -A ufw6-before-forward -p icmpv6 --icmpv6-type echo-request -j ACCEPT",
    );
    let finding = patient.suffers_from("forward-filter", "fault", &["the policy of chain FORWARD"]);
    let commands: Vec<_> = finding.remedies.iter().map(|remedy| remedy.text.as_str()).collect();
    assert!(commands.contains(&format!("ufw route allow from any to {C}").as_str()), "{commands:?}");
    assert!(commands.contains(&format!("ufw route allow from {D} to any").as_str()), "{commands:?}");
}

/// Without firewalld itself, whose table is enough to recognize it by.
fn names_the_commands_of_firewalld() {
    let patient = Patient::healthy();
    nft(
        &patient,
        "table inet firewalld {
           chain filter_FORWARD { type filter hook forward priority 10; ct state established,related accept;
             jump filter_FWD_public; reject with icmpx admin-prohibited; }
           chain filter_FWD_public { icmpv6 type echo-request accept; reject with icmpx admin-prohibited; }; }",
    );
    let finding = patient.suffers_from("forward-filter", "fault", &["rule 2 of chain filter_FWD_public"]);
    let commands: Vec<_> = finding.remedies.iter().map(|remedy| remedy.text.as_str()).collect();
    let rich = |end| {
        format!(
            "firewall-cmd --permanent --policy lone64 --add-rich-rule 'rule family=ipv6 {end} address={C} accept'"
        )
    };
    assert!(commands.contains(&rich("destination").as_str()), "{commands:?}");
    assert!(commands.contains(&rich("source").as_str()), "{commands:?}");
    assert_eq!(commands.last(), Some(&"firewall-cmd --reload"), "{commands:?}");
}

fn finds_rules_of_iptables_by_their_number() {
    let patient = Patient::healthy();
    with_a_route(&patient);
    patient.shell(&format!(
        "ip6tables-nft -A FORWARD -m conntrack --ctstate INVALID -j DROP
         ip6tables-nft -A FORWARD -d {C} -m comment --comment 'no \"guests\" here' -j REJECT
         ip6tables-nft -A FORWARD ! -i up0 -j DROP"
    ));
    assert!(!reaches(&patient.lab.router, &GUEST.to_string()), "the fault is one");
    patient.is_healed(
        "forward-filter",
        "fault",
        &["rule 2 of chain FORWARD", "rule 3 of chain FORWARD", C, D],
    );
    assert!(reaches(&patient.lab.router, &GUEST.to_string()), "healed");
}

fn finds_rules_of_the_legacy_iptables() {
    let patient = Patient::healthy();
    with_a_route(&patient);
    patient.shell(
        "ip6tables-legacy -P FORWARD DROP
         ip6tables-legacy -A FORWARD -i br+ -m conntrack --ctstate ESTABLISHED -j ACCEPT",
    );
    assert!(!reaches(&patient.lab.router, &GUEST.to_string()), "the fault is one");
    patient.is_healed(
        "forward-filter",
        "fault",
        &["the policy of chain FORWARD of ip6tables-legacy's table", C],
    );
    assert!(reaches(&patient.lab.router, &GUEST.to_string()), "healed");
}

fn finds_what_is_dropped_before_routing() {
    let patient = Patient::healthy();
    nft(
        &patient,
        &format!(
            "table inet early {{ chain raw {{ type filter hook prerouting priority raw; ip6 daddr {C} drop; }}; }}"
        ),
    );
    patient.is_healed("prerouting-filter", "fault", &["chain raw of nft's table inet early", C]);
}

fn finds_guests_that_are_masqueraded() {
    let patient = Patient::healthy();
    nft(
        &patient,
        "table ip6 nat { chain out { type nat hook postrouting priority srcnat; oifname up0 masquerade; }; }",
    );
    patient.is_healed("masquerade", "warning", &["appear outside with an address of the host", C, D]);
}

fn finds_what_docker_masquerades() {
    let patient = Patient::healthy();
    patient.shell(&format!(
        "ip6tables-nft -t nat -N DOCKER
         ip6tables-nft -t nat -A POSTROUTING -s {C} ! -o br0 -j MASQUERADE"
    ));
    let finding = patient.suffers_from("masquerade", "warning", &[C]);
    assert!(finding.remedies[1].text.contains("gateway_mode_ipv6=routed"), "{finding:#?}");
    patient.is_healed("masquerade", "warning", &[]);
}

fn finds_guests_that_iptables_masquerades() {
    let patient = Patient::healthy();
    patient.shell("ip6tables-nft -t nat -A POSTROUTING -o up0 -j MASQUERADE");
    patient.is_healed("masquerade", "warning", &["rule 1 of chain POSTROUTING", C]);
}

fn finds_a_reverse_path_filter_on_an_upstream_without_a_default_route() {
    let patient = Patient::with(
        Lab::veth(),
        &format!("[[upstream]]\ninterface = \"up0\"\n[[range]]\nprefix = \"{C}\"\ninterface = \"br0\"\n"),
    );
    nft(
        &patient,
        "table inet rpf { chain pre { type filter hook prerouting priority raw; fib saddr . iif oif missing drop; }; }",
    );
    patient.is_well();
    patient.lab.host.ip("link add wan0 type veth peer name wan1
         link set wan0 up
         link set wan1 up
         addr add fe80::77/64 dev wan0 nodad
         route replace default via fe80::78 dev wan0");
    patient.is_healed("reverse-path", "warning", &["drops what arrives by up0"]);
}

fn finds_that_packet_too_big_is_dropped() {
    let patient = Patient::healthy();
    for hook in ["forward", "input"] {
        nft(
            &patient,
            &format!(
                "flush ruleset
                 table inet filter {{ chain strict {{ type filter hook {hook} priority 0;
                   icmpv6 type {{ packet-too-big, time-exceeded }} drop; }}; }}"
            ),
        );
        patient.is_healed("packet-too-big", "warning", &["drops Packet Too Big", "chain strict"]);
    }
    patient
        .shell("nft flush ruleset; ip6tables-nft -A FORWARD -p icmpv6 --icmpv6-type packet-too-big -j DROP");
    patient.is_healed("packet-too-big", "warning", &["rule 1 of chain FORWARD"]);
}

fn finds_an_input_chain_that_drops_advertisements() {
    let patient = Patient::healthy();
    let is_found = |patient: &Patient| {
        patient.lab.host.ip(&format!("neigh flush {GUEST} dev br0"));
        reaches(&patient.lab.host, &GUEST.to_string())
    };
    nft(
        &patient,
        "table inet filter { chain input { type filter hook input priority 0; icmpv6 type nd-neighbor-advert drop; }; }",
    );
    assert!(!is_found(&patient), "the fault is one");
    patient.is_healed("neighbor-discovery", "fault", &["drops neighbor advertisements", "up0", "br0"]);
    assert!(is_found(&patient), "healed");
}

fn finds_an_input_chain_that_accepts_nothing() {
    let patient = Patient::healthy();
    nft(
        &patient,
        "table ip6 strict { chain in { type filter hook input priority 0; policy drop; ct state established,related accept; }; }",
    );
    patient.lab.guest.ip("neigh flush dev eth0");
    assert!(!reaches(&patient.lab.guest, &GATEWAY.to_string()), "the fault is one");
    let words = ["neighbor advertisements and neighbor solicitations", "the policy of chain in"];
    patient.is_healed("neighbor-discovery", "fault", &words);
    // Where the default route comes by advertisements, they have to pass too.
    patient.lab.host.ip("route replace default via fe80::1 dev up0 proto ra");
    patient.is_healed("neighbor-discovery", "fault", &["router advertisements"]);
}

fn finds_a_drop_at_the_ingress_of_the_upstream() {
    let patient = Patient::healthy();
    nft(
        &patient,
        "table netdev early { chain up { type filter hook ingress device up0 priority 0; icmpv6 type nd-neighbor-solicit drop; }; }",
    );
    patient.is_healed("neighbor-discovery", "fault", &["neighbor solicitations on up0", "netdev early"]);
}

fn passes_over_our_own_table() {
    let patient = Patient::healthy();
    nft(
        &patient,
        &format!(
            "table ip6 lone64 {{ chain pre {{ type filter hook prerouting priority raw; ip6 daddr {C} drop; }}; }}"
        ),
    );
    patient.is_well();
}
