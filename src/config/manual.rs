//! What each key means, for people: the source of lone64.toml(5).
//!
//! May touch: nothing.

mod guest;
mod told;

use super::schema::{TABLES, Table};
use told::{EXPORT, LOG};

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

/// Every table with every key.
pub fn tables() -> Vec<TableHelp> {
    let described = |table: &Table| {
        let about = ABOUT.iter().find(|(name, ..)| *name == table.name);
        let (_, help, keys) = about.copied().unwrap_or_default();
        let keys = keys.iter().map(|&(name, default, help)| KeyHelp { name, default, help }).collect();
        TableHelp { header: table.header(), help, keys }
    };
    TABLES.into_iter().map(described).collect()
}

type Key = (&'static str, Option<&'static str>, &'static str);

const ABOUT: [(&str, &str, &[Key]); 10] = [
    (
        "range",
        "A prefix that lone64 serves. If several ranges cover a target, the one with the longest prefix decides.",
        RANGE,
    ),
    (
        "upstream",
        "An interface on which solicitations arrive. Without any, it is the interface of the IPv6 default route.",
        UPSTREAM,
    ),
    (
        "guest",
        "A guest that exists because you say so: lone64 answers for its addresses while its interface is up, also if \
         the guest is silent. Each file in the directory guests.d beside the configuration has one [[guest]]; lone64 \
         reads it as soon as it appears, and forgets the guest when it is removed. A mistake in one of these files \
         concerns only its guest.",
        guest::KEYS,
    ),
    ("routes", "How the routes look that lone64 adds to the kernel.", ROUTES),
    ("timers", "Durations.", TIMERS),
    ("limits", "Limits: what a scan of a whole /64 can cost at most.", LIMITS),
    ("sysctl", "Which sysctls lone64 may change.", SYSCTL),
    ("control", "Where other programs ask the daemon.", CONTROL),
    ("export", "What other programs of this host can use.", EXPORT),
    ("log", "What is logged, and in which form.", LOG),
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
        "Instead of prefix: a suffix that is put under the current /64 of the upstream and follows it when it \
         changes, such as \"::c:0:0:0/112\". \"::/64\" is the whole /64. An upstream with a single address and \
         without an on-link prefix has the /64 around that address.",
    ),
    (
        "upstream",
        None,
        "The upstream to answer on. Without it, it is the one whose on-link prefix covers the range, else the only \
         one.",
    ),
    (
        "interface",
        None,
        "The interface behind which the guests are: a name, a pattern such as \"veth*\", or a list of both. \"lo\": \
         the host itself owns every address of the range. Without it, the kernel's routes say where the guests are. \
         A macvlan, macvtap or ipvlan of the upstream, and a port of the bridge that is the upstream, are on the \
         upstream's own link: guests there answer for themselves, so a pattern leaves these interfaces out, and a \
         name is refused. The upstream itself is possible if it is a bridge, for a provider that accepts only one \
         MAC: the guests are on its other ports, and hosts behind the uplink (the port towards the router) get \
         answers with the host's MAC. There the default of routes is \"none\", \"range\" means the same, and there \
         is no backstop; see contrib/guides/upstream-bridge.md for what else is needed.",
    ),
    (
        "answer",
        None,
        "For which addresses lone64 answers. \"live\": only for guests that exist; a guest that the kernel routes \
         through a router on the guests' link counts as live while that router is. \"always\": for every address. \
         \"never\": for none; the range has only routes, a /128 for each guest if routes is \"guests\". Use \
         \"never\" if the prefix is routed to this host, by a tunnel broker, a VPN or a routing daemon: then nobody \
         sends solicitations for it, and the range needs no upstream. \"always\" does not answer for the router of a \
         default route. If the range is the whole of the upstream's link, or if lone64 keeps its route, \"always\" \
         does not answer either for what the kernel routes back out of the upstream: such an address answers for \
         itself. The default is \"live\", and \"always\" for \"lo\".",
    ),
    (
        "routes",
        None,
        "Which routes lone64 adds: \"range\", one for the whole range to its interface; \"guests\", a /128 for each \
         live guest; \"none\". The default is \"range\" for one interface, \"guests\" for a pattern or a list, and \
         \"none\" without an interface. If the range is the whole of the upstream's own link, or contains the router \
         of a default route, one route would cut off the router and its neighbors: there the default is \"guests\", \
         and \"range\" is refused. A guest whose address another host on that link has gets no route.",
    ),
    (
        "backstop",
        Some("true"),
        "Add an unreachable route for the whole range, so that packets for unknown addresses do not loop between the \
         router and this host. Write false if a route for more than the range leads to its guests. There is none where \
         it would cut off what is not behind this host: if the range covers, alone or with others, an on-link prefix of \
         the upstream or half of one; if an address of the upstream or a router of a default route is inside it; in a \
         table without the upstream's own prefix; and with answer = \"always\" and no interface.",
    ),
    ("exclude", Some("[]"), "Addresses and prefixes inside the range that lone64 never answers for."),
    (
        "gateway",
        None,
        "A link-local address that lone64 adds to every downstream of the range as the guests' gateway, such as \
         \"fe80::1\": all guests have the same gateway. lone64 adds it when the interface appears, without duplicate \
         address detection, and again when something removes it. From Linux 5.18 on it has the protocol number of \
         [routes]: ip -6 addr show proto 64 lists it, and the next daemon adopts what a killed one left; before 5.18 \
         such addresses stay. An equal address that lone64 did not add is used and never removed. Not with \"lo\", on \
         ports of a bridge or on interfaces without Neighbor Discovery (tun, WireGuard).",
    ),
    (
        "proxy-downstream",
        Some("false"),
        "Answer the guests on their own link, too, for guests that see the whole /64 as on-link: for the gateway of the \
         default route (also a link-local one), and if they exist for other addresses of the host, guests behind other \
         interfaces and the upstream's neighbors. Never for a guest's own duplicate address detection or for what is on \
         its own link. Not with \"lo\", and without effect where there is no Neighbor Discovery (tun, WireGuard).",
    ),
    (
        "guard",
        Some("false"),
        "Guard every [[guest]] in the range that does not say guard = false (see [[guest]]).",
    ),
    (
        "standby",
        Some("false"),
        "Another host serves the range until this one takes it over: only what is claimed is answered for, announced or \
         defended (the prefix or a part of it, an address, a guest by its name). Routes and guests are kept.",
    ),
];

const UPSTREAM: &[Key] = &[
    ("interface", None, "The name of the interface. Without it, that of the IPv6 default route."),
    (
        "automatic",
        None,
        "Serve every prefix that the kernel routes to another interface and that is inside an on-link prefix of this \
         upstream, and the host's own addresses there, also those on lo. The default is true if the upstream has no \
         range: the first range turns it off, and then run, check, status and doctor name the networks that no range \
         serves, each with the lines that serve it. true serves them beside the ranges; false ignores them silently.",
    ),
    ("ignore", Some("[]"), "Names or patterns of interfaces that are not served automatically."),
    ("router", Some("false"), "Set the R flag in answers: this host is a router."),
    (
        "override",
        Some("\"takeover\""),
        "The O flag. \"takeover\": 0 in answers, so that a real owner on the link wins, and 1 in announcements. \"always\": 1. \"never\": 0.",
    ),
    (
        "source",
        Some("\"auto\""),
        "The IPv6 source of answers. \"scope\": link-local to a link-local asker, global to a global one. \
         \"target\": the address that was asked for. \"link-local\" or \"global\": an address of the upstream. Or \
         one such address. \"auto\": as \"scope\", until an asker does not accept that: it asks again by multicast \
         three times, each time within two seconds of an answer. Then lone64 tries an address in the asker's own \
         prefix, the target, a link-local and a global address. It keeps the one that works for that asker, writes \
         it to control.sources beside the control socket, and logs it. If none works, the log, status and doctor say \
         so, with the targets.",
    ),
    (
        "announce",
        Some("true"),
        "When a target becomes live, when the upstream comes up and when its MAC changes: check that no other host \
         on the link has the address (duplicate address detection), announce it one second later, and ask the \
         gateway from the target's address. If the gateway answers the host and not the target, lone64 sends the \
         target's duplicate address detection once more, from which switches learn; where a switch forgets, lone64 \
         announces everything again at a period; a target that the gateway still does not answer is not admitted, \
         and `lone64 status` says so. \"dad\": check the link every time. A period from \"10s\" to \"24h\", \
         such as \"5m\": as true, and lone64 checks and announces every live target again in each period, for \
         switches and routers whose entries expire; not a target that another host has. announcements-per-second \
         limits the rate: if a round takes longer than the period, the next round follows at once, and this is \
         logged once. false: no announcements.",
    ),
    (
        "gateway-source",
        Some("\"auto\""),
        "Who keeps the gateway's neighbor entry fresh. \"kernel\": the kernel, which sends solicitations from its \
         link-local address when it forwards. \"global\": lone64, with solicitations from a global address, for \
         providers that filter link-local ones. \"auto\": the kernel, until its entry fails several times and the \
         gateway answers solicitations from a global address but none from a link-local one; then as \"global\", \
         until it answers both again.",
    ),
    (
        "mld",
        Some("true"),
        "Report the solicited-node groups of live targets, so that switches with MLD snooping deliver solicitations \
         for them. \"router\": also advertise a multicast router (RFC 4286), so that switches deliver all multicast, \
         also solicitations for any number of guests that nobody has heard of. Then all multicast of the link \
         arrives at this host. A switch that asks for multicast routers gets a reply within two seconds. false: \
         neither.",
    ),
    (
        "suppress-kernel",
        Some("false"),
        "Own an nftables table that keeps unicast solicitations for our ranges from the kernel, which would answer \
         them with errors.",
    ),
    (
        "backend",
        Some("\"packet\""),
        "What answers. \"packet\": the daemon, by a packet socket. \"tc\": a BPF program in the kernel, which lone64 \
         writes and attaches to the upstream by tcx, or by clsact before Linux 6.6. It answers plain solicitations for \
         live guests and for ranges with answer = \"always\", and passes everything else on to the daemon. It needs CAP_BPF and CAP_NET_ADMIN, Linux 5.8 and the \
         BPF file system; without one of them lone64 does not start, and says which. On a bridge with guests there is \
         no program, and the daemon answers. \"auto\": as \"tc\" where that is possible, else as \"packet\".",
    ),
    (
        "on-crash-answer",
        Some("\"5m\""),
        "How long the program goes on answering for each live guest and range when the daemon was killed or is restarted. The next start takes it \
         over. With on-stop = \"keep\" it also answers from the stop to the next start. \"0s\": it ends with the daemon.",
    ),
];

const ROUTES: &[Key] = &[
    (
        "protocol",
        Some("64"),
        "The protocol number of our routes: `ip -6 route show proto 64` lists them with the default. lone64 never \
         touches other routes. It also marks the addresses of gateway.",
    ),
    ("table", Some("\"main\""), "\"main\", or the number of a table."),
    ("metric", Some("1024"), "The metric of every route except the backstop, which has the lowest priority."),
    (
        "on-stop",
        Some("\"remove\""),
        "\"remove\" our routes and the addresses of gateway on exit, or \"keep\" them for the next start. A restart by the \
         service manager keeps them in any case.",
    ),
];

const TIMERS: &[Key] = &[
    (
        "reachable",
        Some("\"30s\""),
        "For this long after a sign of life, lone64 answers for a target without probing it again.",
    ),
    ("retransmit", Some("\"1s\""), "The time between two probes for one target."),
    ("retries", Some("3"), "After this many probes without a reply, a target is absent."),
    ("absent", Some("\"3s\""), "How long a target stays absent before it is probed again."),
    ("keepalive", Some("\"60s\""), "How often lone64 probes a live target that nobody asks for."),
];

const LIMITS: &[Key] = &[
    ("targets", Some("65536"), "Targets known at the same time, in any state."),
    ("pending", Some("4096"), "Targets probed at the same time."),
    (
        "probes-per-second",
        Some("8000"),
        "Probes sent per second, on all downstreams. A probe that gets a reply does not count. Neither does the \
         first probe for an address whose multicast group a guest has reported.",
    ),
    ("announcements-per-second", Some("100"), "Targets announced per second, on all upstreams."),
    (
        "groups",
        Some("1024"),
        "Multicast groups reported on one upstream (`mld`). A Linux bridge stops snooping at 4096. If more are \
         needed, `status` and `doctor` say so.",
    ),
];

const SYSCTL: &[Key] = &[(
    "manage",
    Some("false"),
    "Turn on forwarding as soon as there is an upstream, set accept_ra=2 there before that, and restore both on \
     exit. If no range needs an upstream (answer = \"never\"), forwarding is turned on with the first downstream, \
     and accept_ra=2 is set on every other link that accepts router advertisements.",
)];

const CONTROL: &[Key] = &[
    ("socket", Some("\"/run/lone64/control.sock\""), "The path of the control socket."),
    (
        "metrics",
        None,
        "Where metrics are served: the path of a Unix socket, such as \"/run/lone64/metrics.sock\", with the permissions of \
         the control socket, or an address and a port, such as \"[::1]:9164\". Without it, no metrics are served.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn described(table: &Table) -> Vec<&'static str> {
        let about = ABOUT.iter().find(|(name, ..)| *name == table.name);
        about.map(|(_, _, keys)| keys.iter().map(|(name, ..)| *name).collect()).unwrap_or_default()
    }

    #[test]
    fn describes_every_key_and_nothing_else() {
        assert_eq!(ABOUT.len(), TABLES.len());
        for table in TABLES {
            let mut known: Vec<&str> = table.keys.to_vec();
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
