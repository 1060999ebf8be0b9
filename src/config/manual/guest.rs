//! The keys of `[[guest]]`.
//!
//! May touch: nothing.

use super::Key;

pub(super) const KEYS: &[Key] = &[
    (
        "name",
        None,
        "A name of your choice, for `lone64 claim`, `lone64 status` and the log. Required, and different for each \
         guest.",
    ),
    (
        "mac",
        None,
        "Its MAC, such as \"52:54:00:12:34:56\". It says which addresses the guest computes, on which interface it is, \
         through which link-local address its prefixes are reached, and that it has moved to this host.",
    ),
    (
        "interface",
        None,
        "The interface that it is behind, one of the range's. Without it, the guest is on the interface where lone64 \
         hears its MAC.",
    ),
    (
        "addresses",
        None,
        "A list of addresses, each inside a range; or \"eui64\": the address that its MAC computes to in each range \
         that is a /64 (`lone64 guest address` prints it). It follows a suffix and a prefix that changes.",
    ),
    (
        "delegate",
        None,
        "Prefixes that are routed to the guest, each inside a range. The next hop is the link-local address that \
         lone64 has heard from its MAC on its interface. lone64 answers for every address of the prefix while the next \
         hop is reachable. A prefix that covers an address of this host, an on-link prefix, the router or another guest \
         is refused.",
    ),
    (
        "pin",
        None,
        "true: keep a permanent neighbor entry with its MAC for every address while its interface is up, marked with the \
         protocol number of [routes]. An entry that another program overwrites or removes is put back within a second. A \
         permanent entry of another program that is there first stays and is reported. Needs the mac.",
    ),
    (
        "guard",
        None,
        "Drop IPv6 packets that it sends with the address or the MAC of another, or as a router. It needs the `mac`. \
         Without this key, as its [[range]] says.",
    ),
];
