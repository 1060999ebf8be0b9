//! The section of lone64(8) about the control socket. A test holds it to what the daemon says there.

use super::page::{Term, Writer};

/// Writes it.
pub(super) fn describe(page: &mut Writer) {
    page.section("CONTROL SOCKET").text(ABOUT).code(EXCHANGE).text(REPLIES).terms(CODES).text(CAPS);
    page.subsection("status").text(STATUS).terms(STATUS_PARAMS);
    page.text(STATUS_RESULT).terms(STATUS_FIELDS).text(PAGING).code(PAGED);
    page.subsection("explain").text(EXPLAIN).terms(EXPLAIN_PARAMS);
    page.text("The result:").terms(EXPLAIN_FIELDS).code(EXPLAINED);
    super::claims::describe(page);
    page.subsection("reload").text(RELOAD).code(RELOADED);
    page.subsection("hand_over").text(HAND_OVER).code(HANDED_OVER);
    page.subsection("watch").text(WATCH).code(WATCHED).text(EVENTS_ABOUT).terms(EVENTS).text(DROPPED);
}

const ABOUT: &str = "\
A running daemon listens on the Unix stream socket /run/lone64/control.sock, or on the path in [control] socket or \
--socket. If the directory is missing, the daemon makes it with mode 0755. The socket has mode 0660: its owner and \
its group may ask for everything, and nothing else is checked. If the daemon cannot make the socket, it serves \
without one. It does not start if another lone64 has the socket, or if another one serves in the same network \
namespace.

One line on the socket is one JSON object. A request has a method and, for some methods, params. An unknown field is \
an error. A client may send many requests on one connection; each gets one line as reply, in order (long lines are \
broken in these examples, never on the socket):";

const EXCHANGE: &str = r#"
{"method":"status","params":{"limit":10}}
{"version":1,"result":{...}}
{"method":"stats"}
{"version":1,"error":{"code":"unknown_method","message":"..."}}"#;

const REPLIES: &str = "\
version is the version of the protocol. It grows when the meaning of something changes that clients rely on. New \
fields, methods and events can appear without that: ignore those you do not know. An error has a code for programs, \
a message for people and, if a configuration is refused, problems: a list of objects with origin (the file), line, \
column, message and help. The codes:";

const CODES: &[Term] = &[
    ("not_a_request", "The line is not a JSON object with a method."),
    ("unknown_method", "There is no such method."),
    ("wrong_params", "The params do not fit the method."),
    ("too_long", "The line is longer than 64 KiB. The daemon closes the connection."),
    ("busy", "32 clients are connected, or 16 watch. In the first case the daemon closes the connection."),
    ("refused", "The configuration stays as it was."),
    ("internal", "The reply could not be written: a bug."),
];

const CAPS: &str = "\
At most 32 clients are served at a time, and 16 of them may watch. A request has at most 64 KiB. The daemon \
disconnects a client that sends no whole request within 10 seconds of connecting or of the last reply, or that does \
not read a line within 10 seconds. Clients get at most a fifth of the daemon's time: answers on the link come first.";

const STATUS: &str = "\
Returns the state of the daemon; lone64 status --json prints all pages as one object. The params are all optional:";

const STATUS_PARAMS: &[Term] = &[
    ("after", "An address: only targets after it."),
    ("routes_after", "A prefix: only routes to destinations after it."),
    (
        "limit",
        "At most this many targets and this many routes. The default is 1000, which is also the maximum.",
    ),
    ("live_only", "true: only targets that are live."),
    ("differing_only", "true: only routes that are not installed as they should be."),
    ("keys", "true: config also has every key of the configuration; lone64 status --json asks for them."),
];

const STATUS_RESULT: &str = "\
The result (unknown values are null):";

const STATUS_FIELDS: &[Term] = &[
    ("version", "The version of the program."),
    ("pid", "Its process."),
    ("uptime_seconds", "Since it started."),
    (
        "upstreams",
        "Each with interface, ifindex, mac, state (up, no-carrier, down or missing), backend (tc where a program in the kernel answers, else packet), \
         no_program (why there is none, though [[upstream]] asks for one, or null), known_in_kernel (for how many guests \
         it answers), ranges_in_kernel (for how many ranges it answers for every address), gateway_source (who \
         keeps the gateway's neighbor entry fresh now: kernel or global), announced_again_seconds (the period at \
         which lone64 announces every guest again, because the provider forgets guests; else null), mld: querier (the address of an MLD \
         querier that was heard, or null), delivers_all (true if a solicitation arrived for a group that nobody \
         reported; null without a querier), groups (how many are reported), waiting (how many more do not fit into \
         the limit); and counters: answered, and dropped, with a number for each reason that occurred.",
    ),
    (
        "ranges",
        "Each with prefix, upstream, interfaces (its first 64 downstreams), interface_count, follows_kernel, \
         answer, routes, gateway (or null), proxy_downstream, standby, origin (config, suffix or automatic) and state (serving \
         or waiting).",
    ),
    (
        "problems",
        "What lone64 cannot serve, or waits for; each with scope (upstream, range or passing) and message. The \
         daemon is healthy if there are none.",
    ),
    (
        "notes",
        "Sentences about guests that a switch with MLD snooping may hide, which matter only behind such a switch, and \
         about upstreams where the daemon answers because no program in the kernel can. The daemon is healthy with them.",
    ),
    (
        "conflicts",
        "Targets that another host on the upstream has or wanted a moment ago, each with address, mac and answered \
         (false if that host has it, so that lone64 does not answer for it).",
    ),
    (
        "wide_masks",
        "For each downstream the last guest that took an address of the upstream for an on-link neighbor: interface, \
         guest, asked_for.",
    ),
    (
        "next_hops",
        "Routers on the guests' links to which the kernel routes a part of a range (the first 256), each with \
         address, interface, state (live, probing, absent or unknown: not asked yet), mac and last_seen_seconds. \
         lone64 answers for the addresses behind a router while the router is live.",
    ),
    (
        "guests",
        "The guests of [[guest]] (the first 256), each with name, mac, interface (where it is, or null), addresses and \
         delegated (what lone64 serves for it now), pinned (whether it has pin = true), overwritten (its addresses whose \
         pins another program overwrote within the last minute), state (here, or waiting), flapping (true if it comes \
         and goes too often to be announced at once), missing (the first thing that it lacks, as a sentence, or null), \
         code (the same for programs), guard (on, waiting or off) and dropped (how many packets its guard dropped, by \
         reason: mac, source, target, dad, option, router_advertisement, redirect, fragment, tag). The daemon is \
         healthy with them.",
    ),
    ("claims", "What is claimed (the first 256), with the fields of the result of claim."),
    (
        "askers",
        "Askers on upstreams for which lone64 found a source of answers, or that do not accept every answer: each \
         with interface, address, mac, gateway (true for a router of a default route; these come first), source (of the \
         answers), trying (true while lone64 tries others), taken (for \
         how many targets it accepts answers, of those it asked for lately), not_taken (a list of those that it does \
         not accept) and message (what is wrong, or null). The daemon is healthy with them.",
    ),
    (
        "not_admitted",
        "Targets that the provider does not admit: its gateway answers questions from the host, and none from them (the \
         first 256), each with address, interface (of the upstream), gateway and message. It is healthy with them.",
    ),
    (
        "unserved",
        "Networks that the kernel routes inside an on-link prefix of an upstream and that no range serves (the first \
         256): each with prefix, interface, upstream, lines (of the configuration, which serve it) and instead (what \
         else helps). The daemon is healthy with them.",
    ),
    (
        "idle",
        "Null, or that nothing is served: message (with what helps) and lines (of the configuration, which serve; null where \
         the host has no interface for guests). It is healthy with it.",
    ),
    (
        "config",
        "The configuration in force: file (null without one), files (with its drop-ins), loaded_seconds (ago), \
         changed_since (true if the files are different now; null if they cannot be read within two seconds), \
         unreadable (null, or the file for which they cannot be compared: file, message, and gone, which is true if the \
         configuration is no longer there), \
         last_refusal (null, or seconds (ago), message and problems of the last refused reload, until a reload \
         succeeds), metrics_gone (null, or \
         the socket of the metrics where it was removed; a reload has it made again), guest_files (what is wrong with files of guests.d, the first 16). With the param keys it also has keys, the first 10000 of them, and keys_left_out. A key has \
         table, of (the prefix of the range, or the interface of the upstream), key, value and origin: default, \
         automatic (the host or other keys decide), file or drop-in (with file and line), command-line (with option) \
         or environment (with variable).",
    ),
    (
        "totals",
        "targets: how many are live, probing and absent, and their limit; routes: how many are installed, in \
         conflict, pending and refused; guests: how many are known and here; claims: how many there are; pins: how many are kept, kept_out (by another program) and refused, and how often one \
         was put_back; unserved: how many networks no range serves; not_admitted: how many targets the provider does not admit; probes, downstream_answers (to \
         guests on their own link), rival_advertisements and netlink_resyncs since the start.",
    ),
    (
        "targets",
        "Sorted by address, each with address, state (live, probing or absent), interface, mac, evidence (probe, \
         neighbor, dad, route, guest or claim: how lone64 knows it), guest (the name in [[guest]], or null), answered \
         (how often), last_seen_seconds (ago) and upstream (\"not admitted\" if the provider does not admit it, else \
         null).",
    ),
    (
        "routes",
        "Sorted by destination, each with destination, interface, kind (unicast, local, unreachable or other) and \
         state (installed, conflict, pending or refused).",
    ),
    ("more", "What to send to get the next page: after and routes_after; null at the end of a list."),
];

const PAGING: &str = "\
The first page, without after and routes_after, has all of this. The other pages have no upstreams, ranges, \
problems, conflicts, wide_masks, next_hops, askers, not_admitted, unserved, idle, config and totals. To get the next page, send both \
values of more. If one of them is null, send the last address or destination of that list instead (:: or ::/0 if it \
was empty), so that the list does not begin again. On the last page both are null:";

const PAGED: &str = r#"
{"method":"status","params":{"after":"2001:db8::1f",
 "routes_after":"2001:db8::/112"}}
{"version":1,"result":{"version":"...","pid":1234,
 "uptime_seconds":60,"targets":[...],"routes":[...],
 "more":{"after":null,"routes_after":null}}}"#;

const EXPLAIN: &str = "\
Explains why lone64 answers for an address, or why not. The params:";

const EXPLAIN_PARAMS: &[Term] = &[
    ("address", "The address; required."),
    (
        "probe",
        "true: the daemon probes the address on its downstreams now. The result does not wait for the probes; ask \
         again without probe until the outcome is no longer probing.",
    ),
];

const EXPLAIN_FIELDS: &[Term] = &[
    ("address", "The address."),
    (
        "outcome",
        "What happens to a solicitation of the router now: answered, probed (lone64 probes the guest first), probing \
         (it probes it now) or dropped.",
    ),
    ("upstream", "The upstream on which the solicitation arrives, or null."),
    ("reason", "Why it is dropped: a reason as in the counters, such as no_range; else null."),
    (
        "steps",
        "The steps of the decision, up to the one that ends it, each with subject, holds (yes, no or open), value \
         (what was found) and remedy (what repairs it, or null).",
    ),
    ("answered", "How often lone64 answered for it since it knows it."),
];

const EXPLAINED: &str = r#"
{"method":"explain","params":{"address":"2001:db8::5"}}
{"version":1,"result":{"address":"2001:db8::5",
 "outcome":"dropped","upstream":"eth0","reason":"no_range","steps":[
 {"subject":"range","holds":"no","value":"...","remedy":"..."}],
 "answered":0}}"#;

const RELOAD: &str = "\
Reads the configuration again and takes all of it or, if it has a mistake, none of it: then the error is refused, \
with its problems. It has no params. The result has changes: a list of sentences, empty if nothing changed; and \
keys, the same for programs: each has table, of, key (null if the whole table was added or removed), old and new; and \
problems: the mistakes in the files of guests.d, which concern only their guests.";

const RELOADED: &str = r#"
{"method":"reload"}
{"version":1,"result":{
 "changes":["[timers] absent: \"5s\" -> \"3s\""],
 "keys":[{"table":"timers","of":null,"key":"absent",
 "old":"5s","new":"3s"}],"problems":[]}}"#;

const HAND_OVER: &str = "\
Another daemon takes the place of this one. A stop within the next seconds leaves everything in the kernel, and the next \
start takes it over. It has no params. The result has seconds: for how long this holds.";

const HANDED_OVER: &str = r#"
{"method":"hand_over"}
{"version":1,"result":{"seconds":30}}"#;

const WATCH: &str = "\
Sends every event from now on. It has no params. After the reply, each line is one event, until the client or the \
daemon ends. The daemon ignores what the client sends meanwhile:";

const WATCHED: &str = r#"
{"method":"watch"}
{"version":1,"result":{"watching":true}}
{"event":"live","evidence":"probe","interface":"br0",
 "mac":"02:00:00:00:00:05","target":"2001:db8::5","time":1.25}"#;

const EVENTS_ABOUT: &str = "\
Each event except dropped has time, in seconds since 1970. The events and their other fields:";

/// By their names in `daemon::control::event`.
const EVENTS: &[Term] = &[
    ("solicited", "target, interface, asker, asker_mac: a solicitation arrived."),
    ("answered", "The same fields: it was answered."),
    ("unanswered", "target (null if the frame has none), interface, reason: it was not answered."),
    ("live", "target, interface, mac (or null), evidence: the guest exists."),
    ("gone", "target, interface, why: the guest no longer exists."),
    ("moved", "target, from, interface, mac: the guest moved here from the interface in from."),
    (
        "contested",
        "target, interface, by, mac: a guest behind the interface in by claimed the address, but the guest that has \
         it replied.",
    ),
    ("next_hop_live", "address, interface, mac: a router with guests behind it is reachable."),
    (
        "next_hop_gone",
        "address, interface: that router is gone, and lone64 no longer answers for what is behind it.",
    ),
    ("conflict", "target, interface, mac: another host on the upstream has the address."),
    ("conflict_over", "target, interface: no other host has it any more."),
    ("defended", "target, interface, mac: another host on the upstream wanted it and was refused."),
    ("route_installed", "route: it is in the kernel now."),
    ("route_removed", "route: it is no longer in the kernel."),
    (
        "wide_mask",
        "target, interface, asked_for: a guest sent a solicitation on its own link for an address that is not on \
         that link. Its mask is too short.",
    ),
    ("route_conflict", "route, other (or null): a route of another program is in the way."),
    ("route_refused", "route, why: the kernel refused it."),
    ("gateway_added", "address, interface: the guests' gateway is on that downstream now."),
    ("gateway_removed", "address, interface: it was removed from there."),
    (
        "pin_overwritten",
        "address, interface, mac (the one in its place, or null): another program overwrote or removed the permanent \
         neighbor entry of a guest, and lone64 puts it back. Once a minute for each.",
    ),
    ("serving", "range, origin, behind: lone64 serves it from now on."),
    ("withdrawn", "range: lone64 no longer serves it."),
    (
        "round_late",
        "interface, period_seconds, seconds: announcing everything again took longer than the period in announce. \
         Sent once.",
    ),
    (
        "unserved",
        "range, interface, message: the kernel routes it inside an on-link prefix, and no range serves it.",
    ),
    ("unserved_ended", "range, interface, message: this is over."),
    ("many_unserved", "count: there are more of them than are reported one by one."),
    (
        "source_found",
        "interface, asker, asker_mac, source: the asker did not accept answers, and accepts them with this source.",
    ),
    (
        "not_taken",
        "interface, asker, asker_mac, taken (how many), targets: the asker accepts no answer for these targets, from \
         any source.",
    ),
    ("taken_again", "interface, asker, asker_mac: this is over."),
    (
        "gateway_filtered",
        "interface, address: the gateway ignores solicitations from a link-local address, so lone64 asks it from a \
         global one.",
    ),
    ("gateway_answers", "interface, address: the gateway answers link-local solicitations again."),
    (
        "not_admitted",
        "target, interface, gateway: the gateway answers solicitations from the host, and none from the target.",
    ),
    ("admitted", "target, interface: this is over."),
    (
        "forgets",
        "interface, period_seconds: the provider has forgotten guests that it knew, so lone64 announces all of them \
         again at this period.",
    ),
    (
        "claimed",
        "object, interface (null while that is not up, or for a prefix with several): an address, a prefix or a guest is here from now on.",
    ),
    ("released", "object, why: it is no longer claimed."),
    (
        "guard_dropped",
        "guest, reason (as in status), packets: the guard dropped so many packets since the last such event.",
    ),
    (
        "guest_arrived",
        "guest, interface: the [[guest]] of this name has come to this host, and is announced.",
    ),
    (
        "guest_left",
        "guest, interface, by: another host (its MAC) announces the guest, which did not reply here.",
    ),
    (
        "guest_flaps",
        "guest, interface: it comes and goes too often, and is announced only when the link was asked.",
    ),
    ("guest_stays", "guest: this is over."),
    ("problem", "message: lone64 cannot serve something, or waits for it."),
    ("solved", "message: this is over."),
    ("note", "message: a switch with MLD snooping may hide guests."),
    ("note_over", "message: this is over."),
    ("dropped", "count: this many events are missing before the next line."),
];

const DROPPED: &str = "\
solicited, answered and unanswered together are limited to 1000 per second. A client may be 1024 events behind; \
after that it loses the oldest. In both cases dropped says how many are missing, before the next event.";
