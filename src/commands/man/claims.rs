//! The part of lone64(8) about claims on the control socket. A test holds it to what the daemon says there.

use super::page::{Term, Writer};

/// Writes it.
pub(super) fn describe(page: &mut Writer) {
    page.subsection("claim").text(CLAIM).terms(CLAIM_PARAMS);
    page.text("The result:").terms(CLAIM_FIELDS).code(CLAIMED).text(CLAIM_REFUSED).terms(CLAIM_CODES);
    page.subsection("release").text(RELEASE).code(RELEASED);
}

const CLAIM: &str = "\
Says that something is here from now on: lone64 answers for it, routes it, and announces it with the override flag, without \
asking the upstream's link first. Either all is claimed or nothing. lone64 writes the claims to a file beside the socket \
before it replies (control.claims beside control.sock), so that they survive a crash and a restart; a claim also ends \
at its time while lone64 is not running. At most 16384 claims are kept. The params:";

const CLAIM_PARAMS: &[Term] = &[
    (
        "what",
        "A list of addresses, prefixes and names of guests; required, at most 1000. A prefix in a range with standby = \
         true needs no via: from then on lone64 answers for all of it as the range says, and announces every live guest in \
         it; of a range with answer = \"always\" every address, if the prefix is a /116 or longer.",
    ),
    (
        "interface",
        "The interface that it is behind. Without it, it is that of the guest, or the only one of the range.",
    ),
    ("mac", "Its MAC, if it is known."),
    (
        "via",
        "The next hop, as a rule the link-local address of the guest. A prefix on a link with Neighbor Discovery needs \
         it, except in a range that stands by. lone64 answers for every address of the prefix while the next hop is reachable.",
    ),
    (
        "for",
        "After this time the claim ends, such as \"90s\", \"1h\" or \"7d\". Without it, release ends it.",
    ),
];

const CLAIM_FIELDS: &[Term] = &[(
    "claimed",
    "A list, each with object, interface, mac, via, seconds_left, state (here, or waiting for its interface) and missing \
     (what it waits for, as a sentence, or null).",
)];

const CLAIMED: &str = r#"
{"method":"claim","params":{"what":["2001:db8::5"],
 "interface":"br0","for":"1h"}}
{"version":1,"result":{"claimed":[{"object":"2001:db8::5",
 "interface":"br0","mac":null,"via":null,"seconds_left":3600,
 "state":"here","missing":null}]}}"#;

const CLAIM_REFUSED: &str = "\
If it is refused, the error has a sentence for each object, with the reason and the remedy, and the code of the first:";

const CLAIM_CODES: &[Term] = &[
    ("no_range", "It is outside every range."),
    ("no_interface", "There is no such interface, or no interface of the range exists."),
    ("several_interfaces", "Its range has several interfaces, and interface is missing."),
    ("not_served_there", "Its range has no guests behind that interface, or excludes it."),
    (
        "covers",
        "It covers an address of this host, an on-link prefix, the router, another guest, or all of a range.",
    ),
    ("no_via", "It is a prefix, and via is missing."),
    ("bad_via", "No packet can be sent through via, such as a multicast address."),
    ("bad_mac", "No guest can have this mac: it is a group's, or all zero."),
    ("no_mac", "The guest has prefixes, and neither a mac nor a via."),
    ("no_guest", "No guest has this name."),
    ("other_guest", "Another guest has the address."),
    ("other_mac", "The guest has another MAC."),
    ("no_64", "The guest has addresses = \"eui64\", and no range there is a /64."),
    ("no_room", "There are too many claims."),
];

const RELEASE: &str = "\
Says that something is no longer here. The only param is what, as it was claimed. lone64 withdraws its answers and its \
route at once. What is claimed is released, also if the rest is not claimed: then the error is no_claim.";

const RELEASED: &str = r#"
{"method":"release","params":{"what":["2001:db8::5"]}}
{"version":1,"result":{"released":["2001:db8::5"]}}"#;
