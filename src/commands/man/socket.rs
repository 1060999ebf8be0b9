//! The section of lone64(8) about the control socket. A test holds it to what the daemon says there.

use super::page::{Term, Writer};

/// Writes it.
pub(super) fn describe(page: &mut Writer) {
    page.section("CONTROL SOCKET").text(ABOUT).code(EXCHANGE).text(REPLIES).terms(CODES).text(CAPS);
    page.subsection("status").text(STATUS).terms(STATUS_PARAMS);
    page.text(STATUS_RESULT).terms(STATUS_FIELDS).text(PAGING).code(PAGED);
    page.subsection("explain").text(EXPLAIN).terms(EXPLAIN_PARAMS);
    page.text("The result:").terms(EXPLAIN_FIELDS).code(EXPLAINED);
    page.subsection("reload").text(RELOAD).code(RELOADED);
    page.subsection("watch").text(WATCH).code(WATCHED).text(EVENTS_ABOUT).terms(EVENTS).text(DROPPED);
}

const ABOUT: &str = "\
A running daemon listens on the Unix stream socket /run/lone64/control.sock, or on the one that [control] \
socket or --socket names. Its directory is made, with mode 0755, if it is missing. The socket has mode \
0660: its owner and its group may ask for everything; nothing else is checked. A daemon whose socket \
cannot be made serves without one; but it does not start where another one has it, nor where another one serves in \
its network namespace, whatever the socket.

One line of the socket is one JSON object. A request has a method and, where it takes some, params; a \
field that is not known is an error. A connection may ask again and again; each request has one line of \
reply, in order (long ones are broken in these examples, never on the socket):";

const EXCHANGE: &str = r#"
{"method":"status","params":{"limit":10}}
{"version":1,"result":{...}}
{"method":"stats"}
{"version":1,"error":{"code":"unknown_method","message":"..."}}"#;

const REPLIES: &str = "\
The version is that of the protocol: it grows when something that a client relies on changes its meaning. \
New fields, methods and events can come without that: ignore those you do not know. An error has a code \
for programs, a message for people and, where a configuration is refused, problems: a list of objects with \
origin (the file), line, column, message and help. The codes:";

const CODES: &[Term] = &[
    ("not_a_request", "The line is not a JSON object with a method."),
    ("unknown_method", "There is no such method."),
    ("wrong_params", "The params are not those of the method."),
    ("too_long", "The line is longer than 64 KiB. The connection is closed."),
    ("busy", "32 clients are connected, or 16 watch. In the first case the connection is closed."),
    ("refused", "The configuration stays as it was."),
    ("internal", "The reply could not be written: a bug."),
];

const CAPS: &str = "\
At most 32 clients are served at a time, of which 16 may watch. A line of a request has at most 64 KiB. A \
client that sends no whole request within 10 seconds of connecting or of the last reply, or does not read \
a line within 10 seconds, is disconnected. Clients get a fifth of the daemon's time at most: answers to \
the link come first.";

const STATUS: &str = "\
What there is; lone64 status --json prints all its pages as one object. The params, none of which is \
needed:";

const STATUS_PARAMS: &[Term] = &[
    ("after", "An address: only targets behind it."),
    ("routes_after", "A prefix: only routes to destinations behind it."),
    ("limit", "At most so many targets, and as many routes; 1000 is the default and the most."),
    ("live_only", "true: only targets that are live."),
    ("differing_only", "true: only routes that are not installed as they should be."),
    ("keys", "true: config has every key of the configuration, too; lone64 status --json asks for them."),
];

const STATUS_RESULT: &str = "\
The result; what is not known is null:";

const STATUS_FIELDS: &[Term] = &[
    ("version", "The version of the program."),
    ("pid", "Its process."),
    ("uptime_seconds", "Since it started."),
    (
        "upstreams",
        "Each with interface, ifindex, mac, state (up, no-carrier, down or missing), backend, gateway_source \
         (who keeps the gateway's neighbor entry now: kernel or global), announced_again_seconds (how often every guest is \
         announced again, because the provider forgets; else null), mld: \
         querier (the address of one that was heard, or null), delivers_all (true if a solicitation came for which \
         nobody had reported a group; null without a querier), groups (how many are reported), waiting (for how many \
         more there is no room); and counters: answered, and dropped, a number for each reason that there was.",
    ),
    (
        "ranges",
        "Each with prefix, upstream, interfaces (the first 64 of its downstreams), interface_count, follows_kernel, \
         answer, routes, gateway (or null), proxy_downstream, origin (config, suffix or automatic) and state (serving \
         or waiting).",
    ),
    (
        "problems",
        "What keeps it from serving, or is waited for, each with scope (upstream, range or passing) and message. It is \
         healthy without any.",
    ),
    (
        "notes",
        "Sentences, each about something that does harm only behind a switch that snoops MLD: which guests it cannot be \
         told of. It is healthy with them.",
    ),
    (
        "conflicts",
        "Targets that another station on the upstream has, or wanted a moment ago, each with address, mac and answered \
         (false where it has it, so that it is not answered for).",
    ),
    (
        "wide_masks",
        "of each downstream the last guest that took an address of the upstream's for a neighbor of its own: \
         interface, guest, asked_for.",
    ),
    (
        "next_hops",
        "The routers on the links of guests that the kernel routes a part of a range to (the first 256), each with address, \
         interface, state (live, probing, absent or unknown: nobody has asked yet), mac and last_seen_seconds. What is \
         behind one is answered for while it is live.",
    ),
    (
        "askers",
        "Askers on upstreams for which a source of answers was found, or that do not take every answer: each with interface, \
         address, mac, source (of its answers), trying (true while others are tried), taken (how many targets it takes, of \
         those it asked for lately), not_taken (a list of those that it does not) and message (what is wrong, or null). It \
         is healthy with them.",
    ),
    (
        "not_admitted",
        "Targets that the provider does not admit: its gateway answers questions from the host, and none from them (the \
         first 256), each with address, interface (of the upstream), gateway and message. It is healthy with them.",
    ),
    (
        "unserved",
        "Networks that the kernel routes inside an on-link prefix of an upstream, and that nobody serves (the first 256): \
         each with prefix, interface, upstream, lines (of the configuration, which serve it) and instead (what else can \
         be done). It is healthy with them.",
    ),
    (
        "config",
        "What is in force: file (null without one), files (with its drop-ins), loaded_seconds (ago), changed_since \
         (whether the files say something else now; null where they do not say so within two seconds), last_refusal \
         (null, or seconds (ago), message and problems of the last reload that was refused, until one is taken); with \
         the param keys also keys, the first 10000 of them, and keys_left_out. A key has table, of (the prefix of the \
         range, or the interface of the upstream), key, value and origin: default, automatic (the host tells it, or other keys), file \
         or drop-in (with file and line), command-line (with option) or environment (with variable).",
    ),
    (
        "totals",
        "targets: how many are live, probing and absent, and their limit; routes: how many are installed, in \
         conflict, pending and refused; unserved: how many networks nobody serves; not_admitted: how many targets the provider does not \
         admit; probes, downstream_answers (to guests on their own link), \
         rival_advertisements and netlink_resyncs since the start.",
    ),
    (
        "targets",
        "By address, each with address, state (live, probing or absent), interface, mac, evidence (probe, neighbor, \
         dad or route: how it is known), guest (kept for its name; null in this version), answered (how often), \
         last_seen_seconds (ago) and upstream (not admitted, where the provider does not admit it; else null).",
    ),
    (
        "routes",
        "By destination, each with destination, interface, kind (unicast, local, unreachable or other) and state \
         (installed, conflict, pending or refused).",
    ),
    ("more", "What to ask for to get the next page: after and routes_after; null where there is no more."),
];

const PAGING: &str = "\
A first page, one without after and routes_after, has all of that; the pages behind it have no upstreams, \
ranges, problems, conflicts, wide_masks, next_hops, askers, not_admitted, unserved, config and totals. The next one is asked for with both: what more says \
or, where that is null, the last address or destination that was listed (:: or ::/0 if none was), so that this list does \
not begin again. The last page has null for both:";

const PAGED: &str = r#"
{"method":"status","params":{"after":"2001:db8::1f",
 "routes_after":"2001:db8::/112"}}
{"version":1,"result":{"version":"...","pid":1234,
 "uptime_seconds":60,"targets":[...],"routes":[...],
 "more":{"after":null,"routes_after":null}}}"#;

const EXPLAIN: &str = "\
Why an address is answered for, or not. The params:";

const EXPLAIN_PARAMS: &[Term] = &[
    ("address", "The address; it is needed."),
    (
        "probe",
        "true: its downstreams are asked for it now. The result does not wait for them; ask again, without it, until \
         the outcome is not probing any more.",
    ),
];

const EXPLAIN_FIELDS: &[Term] = &[
    ("address", "The address."),
    (
        "outcome",
        "What a solicitation of the router comes to at this moment: answered, probed (its guest is asked first), \
         probing (it is being asked) or dropped.",
    ),
    ("upstream", "The interface on which it is asked for, or null."),
    ("reason", "Why it is dropped, in the words of the counters: no_range, say; else null."),
    (
        "steps",
        "The decision, up to the step that ends it, each with subject, holds (yes, no or open), value (what was \
         found) and remedy (what would repair it, or null).",
    ),
    ("answered", "How often it was answered for since it is known."),
];

const EXPLAINED: &str = r#"
{"method":"explain","params":{"address":"2001:db8::5"}}
{"version":1,"result":{"address":"2001:db8::5",
 "outcome":"dropped","upstream":"eth0","reason":"no_range","steps":[
 {"subject":"range","holds":"no","value":"...","remedy":"..."}],
 "answered":0}}"#;

const RELOAD: &str = "\
Reads the configuration again, and takes all of it or, on a mistake, nothing: then the error is refused, \
with its problems. It has no params. The result has changes: a list of sentences, empty if nothing is \
another than before; and keys, the same for programs: each has table, of, key (null if the whole table came or \
went), old and new.";

const RELOADED: &str = r#"
{"method":"reload"}
{"version":1,"result":{"changes":["[timers] absent: \"5s\" -> \"3s\""],
 "keys":[{"table":"timers","of":null,"key":"absent",
 "old":"5s","new":"3s"}]}}"#;

const WATCH: &str = "\
Tells whatever happens from now on. It has no params. Behind the reply, each line is one event, until the \
client or the daemon ends; what the client sends meanwhile is ignored:";

const WATCHED: &str = r#"
{"method":"watch"}
{"version":1,"result":{"watching":true}}
{"event":"live","evidence":"probe","interface":"br0",
 "mac":"02:00:00:00:00:05","target":"2001:db8::5","time":1.25}"#;

const EVENTS_ABOUT: &str = "\
Each event but dropped has time, in seconds since \
1970. The events, each with its further fields:";

/// By their names in `daemon::control::event`.
const EVENTS: &[Term] = &[
    ("solicited", "target, interface, asker, asker_mac: somebody asks."),
    ("answered", "The same: and gets an answer."),
    ("unanswered", "target (null in a frame that has none), interface, reason: and gets none."),
    ("live", "target, interface, mac, evidence: there is a guest."),
    ("gone", "target, interface, why: there is no more."),
    ("moved", "target, from, interface, mac: it is behind another interface than before."),
    (
        "contested",
        "target, interface, by, mac: a claim behind the interface by failed, because the guest that has the \
         address replies.",
    ),
    ("next_hop_live", "address, interface, mac: a router that guests are behind is there."),
    ("next_hop_gone", "address, interface: it is there no more, and what is behind it is not answered for."),
    ("conflict", "target, interface, mac: another station on the upstream says that it has it."),
    ("conflict_over", "target, interface: no other station has it any more."),
    ("defended", "target, interface, mac: another station on the upstream wanted it, and was refused."),
    ("route_installed", "route: it is in the kernel."),
    ("route_removed", "route: it is no more."),
    (
        "wide_mask",
        "target, interface, asked_for: a guest asks its own link for an address that is not on it; its mask is \
         too short.",
    ),
    ("route_conflict", "route, other (or null): another program's keeps it out."),
    ("route_refused", "route, why: the kernel refuses it."),
    ("gateway_added", "address, interface: the guests' gateway is on that downstream."),
    ("gateway_removed", "address, interface: it is taken from there."),
    ("serving", "range, origin, behind: it is served from now on."),
    ("withdrawn", "range: it is not served any more."),
    (
        "round_late",
        "interface, period_seconds, seconds: to announce everything again took longer than the period of announce. Told \
         once.",
    ),
    (
        "unserved",
        "range, interface, message: the kernel routes it inside an on-link prefix, and nobody serves it.",
    ),
    ("unserved_ended", "range, interface, message: that is over."),
    ("many_unserved", "count: there are so many that the others are not told one by one."),
    (
        "source_found",
        "interface, asker, asker_mac, source: it did not take answers, and takes those with this source.",
    ),
    (
        "not_taken",
        "interface, asker, asker_mac, taken (how many), targets: it does not take the answers for these, whatever their \
         source.",
    ),
    ("taken_again", "interface, asker, asker_mac: that is over."),
    (
        "gateway_filtered",
        "interface, address: the gateway answers no question from a link-local address, and is asked from a global one.",
    ),
    ("gateway_answers", "interface, address: it answers link-local ones again."),
    (
        "not_admitted",
        "target, interface, gateway: the gateway answers questions from the host, and none from the target.",
    ),
    ("admitted", "target, interface: that is over."),
    (
        "forgets",
        "interface, period_seconds: the provider has forgotten guests that it knew; all are announced again at this period.",
    ),
    ("problem", "message: something keeps it from serving."),
    ("solved", "message: it does not any more."),
    (
        "note",
        "message: a switch that snoops MLD may keep solicitations back, as it cannot be told of all guests.",
    ),
    ("note_over", "message: it has no reason to any more."),
    ("dropped", "count: so many events are missing before the next line."),
];

const DROPPED: &str = "\
Of solicited, answered and unanswered together at most 1000 a second are told; and a client may be 1024 \
events behind, then the oldest are lost to it. In both cases it is told with dropped how many are missing, \
before the first that is told again.";
