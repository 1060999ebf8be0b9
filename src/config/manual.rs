//! What each key means, for people: the source of lone64.toml(5).
//!
//! May touch: nothing. Keys that are only planned are described too, so that one which becomes
//! supported is in the manual at once; [`tables`] leaves them out until then.

use super::schema::TABLES;

/// A table of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableHelp {
    /// As it is written, brackets included.
    pub header: String,
    /// What it is about.
    pub help: &'static str,
    /// Its keys, in the order in which they are explained.
    pub keys: Vec<KeyHelp>,
}

/// A key of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHelp {
    /// Its name.
    pub name: &'static str,
    /// The default as it is written; `None` if it depends on the rest, or if there is none.
    pub default: Option<&'static str>,
    /// What it means, and which values it can have.
    pub help: &'static str,
}

/// Every table with every key that is read.
pub fn tables() -> Vec<TableHelp> {
    let read = TABLES.into_iter().filter(|table| !table.keys.is_empty());
    read.map(|table| {
        let about = ABOUT.iter().find(|(name, ..)| *name == table.name);
        let (_, help, keys) = about.copied().unwrap_or_default();
        let keys = keys.iter().filter(|(name, ..)| table.keys.contains(name));
        let keys = keys.map(|&(name, default, help)| KeyHelp { name, default, help }).collect();
        TableHelp { header: table.header(), help, keys }
    })
    .collect()
}

type Key = (&'static str, Option<&'static str>, &'static str);

const ABOUT: [(&str, &str, &[Key]); 8] = [
    (
        "range",
        "A prefix that is served; written once for each. Of several that cover a target, the longest decides.",
        RANGE,
    ),
    (
        "upstream",
        "An interface on which solicitations arrive. Without any, the one of the IPv6 default route.",
        UPSTREAM,
    ),
    ("routes", "What the routes that lone64 keeps in the kernel look like.", ROUTES),
    ("timers", "How long things take.", TIMERS),
    ("limits", "How many there may be: what a scan of a whole /64 can cost.", LIMITS),
    ("sysctl", "Which of the kernel's settings are lone64's to change.", SYSCTL),
    ("control", "Where the daemon can be asked.", CONTROL),
    ("log", "What is logged, and how.", LOG),
];

const RANGE: &[Key] = &[
    (
        "prefix",
        None,
        "The prefix of the guests, without host bits, such as \"2001:db8:1:2:c::/112\". Required.",
    ),
    (
        "suffix",
        None,
        "Instead of a prefix: what is put under the current /64 of the upstream, and follows it when that changes, such as \"::c:0:0:0/112\". \"::/64\" is all of it. An upstream that has a single address and no prefix on-link has the /64 around that.",
    ),
    (
        "upstream",
        None,
        "The upstream to answer on. Without it: the one whose on-link prefix covers the range, else the only one.",
    ),
    (
        "interface",
        None,
        "The interface behind which the guests are: a name, a pattern such as \"veth*\", or a list of both. \"lo\": the host itself owns every address of the range. Without it, guests are wherever the kernel's own routes lead. A macvlan, macvtap or ipvlan of the upstream, and a port of the bridge that is the upstream, are on the upstream's own link: their guests answer for themselves, a pattern leaves them out, and a name is refused. The upstream itself serves if it is a bridge, for a provider that knows one MAC: guests are on its other ports, and stations behind the uplink, the port behind which the router is, are answered with the host's MAC. There the default of routes is \"none\", \"range\" means the same, and there is no backstop; contrib/guides/upstream-bridge.md says what else it takes.",
    ),
    (
        "answer",
        None,
        "For which addresses there are answers: \"live\", only for guests that exist; one that the kernel routes through a router on the guests' link is taken to exist while that router is there; \"always\", for every address; \"never\", for none: the range has routes only, those of its guests if routes is \"guests\", because its prefix is routed to this host, by a tunnel broker, a VPN or a routing daemon, and nobody asks. Such a range needs no upstream. \"always\" does not answer for the router of a default route, nor, in a range that is all of the upstream's link or whose route lone64 keeps, for what the kernel routes back out of the upstream: the station that has such an address is there, and answers for itself. The default is \"live\", and \"always\" for \"lo\".",
    ),
    (
        "routes",
        None,
        "Which routes lone64 keeps: \"range\", one for the whole range to its interface; \"guests\", a /128 for each live guest; \"none\". The default is \"range\" for one interface, \"guests\" for a pattern or a list, and \"none\" without an interface. Where the range is all of the upstream's own link, one route would take the router and its neighbors away: there the default is \"guests\", and \"range\" is refused; so it is where the range has the router of a default route in it. A guest whose address another station on that link has gets no route.",
    ),
    (
        "backstop",
        Some("true"),
        "Keep an unreachable route for the whole range, so that packets for unknown addresses end here instead of looping to the router and back. Where a route for more than the range leads to its guests, write false. There is none where it would take away what is not behind this host: where the range covers, alone or with others, an on-link prefix of the upstream, or half of one, or has an address of the upstream or a router of a default route in it; in a table in which the upstream's own prefix is not; and with answer = \"always\" and no interface, because such addresses may be translated.",
    ),
    ("exclude", Some("[]"), "Addresses and prefixes inside the range that are never answered."),
    (
        "gateway",
        None,
        "A link-local address that is put on every downstream of the range, as the guests' gateway, such as \"fe80::1\": guests on interfaces of their own then all have the same one. It is there as soon as an interface is, without duplicate address detection, is put back when somebody removes it, and goes when the interface is a downstream no more. From Linux 5.18 on it bears the protocol of [routes], by which a recent ip(8) lists them (ip -6 addr show proto 64, with the default), and those that a killed predecessor left are adopted; before 5.18 those stay. An equal address of somebody else serves as well, and is never removed. Not with \"lo\"; ports of a bridge and interfaces without Neighbor Discovery (tun, WireGuard) get none.",
    ),
    (
        "proxy-downstream",
        Some("false"),
        "Answer the guests on their own link as well, for guests that believe the whole /64 to be on it: for the gateway of the default route (also a link-local one), for the host's other addresses, for guests behind other interfaces and for the upstream's neighbors, as far as they exist. Never for a guest's own duplicate address detection, nor for what is on the guest's own link. Not with \"lo\"; without effect behind interfaces that have no Neighbor Discovery (tun, WireGuard).",
    ),
];

const UPSTREAM: &[Key] = &[
    ("interface", None, "The name of the interface. Without it, that of the IPv6 default route."),
    (
        "automatic",
        None,
        "Serve every prefix that the kernel routes to another interface and that lies inside an on-link prefix of this upstream, and the host's own addresses there, also those on lo. The default is true if no range is configured for it: the first range turns it off, and networks that nobody serves then are named by run, check, status and doctor, each with the lines that serve it. true serves them beside the ranges; false leaves them alone, without a word.",
    ),
    ("ignore", Some("[]"), "Names or patterns of interfaces that are not served automatically."),
    ("router", Some("false"), "Call ourselves a router in answers (the R flag)."),
    (
        "override",
        Some("\"takeover\""),
        "The O flag. \"takeover\": 0 in answers, so that a real owner on the link wins, and 1 in announcements. \"always\": 1. \"never\": 0.",
    ),
    (
        "source",
        Some("\"auto\""),
        "The IPv6 source of answers. \"auto\": as \"scope\", until an asker proves not to take that: it asks again by multicast, three times, within two seconds of an answer each. Then an address in its own prefix, the target, a link-local and a global address are tried for that asker, and the one that helps is kept for it, remembered beside the control socket (control.sources) and logged; where none helps, that is told, by status and doctor too, with the targets. \"scope\": link-local to a link-local asker, global to a global one. \"target\": the address that was asked for. \"link-local\" or \"global\": an address of the upstream. Or one such address.",
    ),
    (
        "announce",
        Some("true"),
        "When a target proves live, when the upstream comes up and when its MAC changes: ask the link whether another station has it (duplicate address detection) and, a second later, tell the neighbors, and ask the gateway from the target's address. If the gateway answers the host and not the target, the target is asked for once more in the form of duplicate address detection, from which switches learn; where a switch forgets, everything is announced again at a period; a target that gets no answer all the same is named: not admitted. \"dad\": ask the link each time. A period, such as \"5m\", from \"10s\" to \"24h\": the same as true, and whatever is live and announced is asked for and told again, once in each period, for switches and routers that age entries out; not what another station has. No more at a time than announcements-per-second: if a round takes longer than the period, the next one follows it, and that is logged once. false: not.",
    ),
    (
        "gateway-source",
        Some("\"auto\""),
        "Who keeps the gateway's neighbor entry fresh. \"kernel\": the kernel, which asks from its link-local address when it forwards. \"global\": lone64, with questions from a global address, for providers that filter link-local ones. \"auto\": the kernel, until its entry fails again and again, and the gateway is proved to answer questions from a global address and none from a link-local one; then as \"global\", until it answers both again.",
    ),
    (
        "mld",
        Some("true"),
        "Report the solicited-node groups of live targets, so that switches with MLD snooping deliver questions for them. \"router\": advertise a multicast router besides (RFC 4286), so that they deliver all multicast, also questions for guests that nobody has heard of, however many: then all multicast of the link arrives at this host. A switch that asks for multicast routers is answered within two seconds. false: neither.",
    ),
    (
        "suppress-kernel",
        Some("false"),
        "Own an nftables table that keeps unicast questions for our ranges from the kernel, which would answer them with errors.",
    ),
    (
        "backend",
        Some("\"packet\""),
        "How questions are heard: \"packet\", a packet socket; \"tc\" or \"xdp\", a BPF program.",
    ),
    ("on-crash-answer", Some("\"5m\""), "How long BPF programs keep answering without a daemon."),
];

const ROUTES: &[Key] = &[
    (
        "protocol",
        Some("64"),
        "What marks a route as ours: `ip -6 route show proto 64`, with the default, lists them, and no other is ever touched. It marks the addresses of gateway, too.",
    ),
    ("table", Some("\"main\""), "\"main\", or the number of a table."),
    ("metric", Some("1024"), "Of every route but the backstop's, which is behind all others."),
    (
        "on-stop",
        Some("\"remove\""),
        "\"remove\" our routes, and the addresses of gateway, on exit, or \"keep\" them for the next start.",
    ),
];

const TIMERS: &[Key] = &[
    (
        "reachable",
        Some("\"30s\""),
        "A target that was alive this recently is answered for without asking it again.",
    ),
    ("retransmit", Some("\"1s\""), "Between two probes for one target."),
    ("retries", Some("3"), "So many probes without a reply make a target absent."),
    ("absent", Some("\"3s\""), "How long a target stays absent before it is probed again."),
    ("keepalive", Some("\"60s\""), "How often a live target that nobody asks for is confirmed."),
];

const LIMITS: &[Key] = &[
    ("targets", Some("65536"), "Targets known at once, in whatever state."),
    ("pending", Some("4096"), "Targets being probed at once."),
    (
        "probes-per-second",
        Some("8000"),
        "Probes sent per second, over all downstreams. One that is replied to does not count, and neither does the first one for an address whose multicast group somebody behind a downstream listens to.",
    ),
    ("announcements-per-second", Some("100"), "Targets announced per second, over all upstreams."),
    (
        "groups",
        Some("1024"),
        "Multicast groups reported on one upstream (`mld`); a Linux bridge gives up snooping at 4096. Where more are wanted, `status` and `doctor` say so.",
    ),
];

const SYSCTL: &[Key] = &[(
    "manage",
    Some("false"),
    "Turn on forwarding, as soon as there is an upstream, and before it accept_ra=2 there, and put both back on exit. Where no range needs an upstream (answer = \"never\"), forwarding comes with the first downstream, and accept_ra=2 on every other link that takes router advertisements.",
)];

const CONTROL: &[Key] = &[
    ("socket", Some("\"/run/lone64/control.sock\""), "The path of the control socket."),
    ("metrics", None, "Address and port of the metrics, such as \"[::1]:9164\". Without it there are none."),
];

const LOG: &[Key] = &[
    (
        "level",
        Some("\"info\""),
        "The least important lines that are written: \"error\", \"warn\", \"info\", \"debug\" or \"trace\". The variable LONE64_LOG and the options -v and -q of `lone64 run` go before it.",
    ),
    (
        "format",
        Some("\"auto\""),
        "\"auto\": \"journal\" under systemd, else \"terminal\". Or \"json\", one object per line.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::Table;

    fn described(table: &Table) -> Vec<&'static str> {
        let about = ABOUT.iter().find(|(name, ..)| *name == table.name);
        about.map(|(_, _, keys)| keys.iter().map(|(name, ..)| *name).collect()).unwrap_or_default()
    }

    #[test]
    fn describes_every_key_and_nothing_else() {
        assert_eq!(ABOUT.len(), TABLES.len());
        for table in TABLES {
            let mut known: Vec<&str> = table.keys.iter().chain(table.later).copied().collect();
            let mut described = described(table);
            known.sort_unstable();
            described.sort_unstable();
            assert_eq!(described, known, "{}", table.header());
        }
    }

    #[test]
    fn shows_exactly_what_is_supported() {
        for (table, shown) in TABLES.into_iter().filter(|table| !table.keys.is_empty()).zip(tables()) {
            assert_eq!(shown.header, table.header());
            assert_eq!(shown.keys.len(), table.keys.len());
            assert!(shown.keys.iter().all(|key| table.keys.contains(&key.name)));
        }
    }

    #[test]
    fn says_of_defaults_what_the_annotated_file_says() {
        let file = include_str!("../../config/lone64.toml");
        for table in tables() {
            let section = file.split_once(&table.header).expect("every table is explained").1;
            let section = section.split("\n# ---").next().unwrap_or_default();
            for key in table.keys {
                if let Some(default) = key.default {
                    let line = format!("\n#{} = {default}\n", key.name);
                    assert!(section.contains(&line), "{}: {line}", table.header);
                }
            }
        }
    }
}
