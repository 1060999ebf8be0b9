//! The guests' gateway: `gateway` of `[[range]]`, an address for every downstream of the range.
//!
//! May touch: nothing.

use std::net::{IpAddr, Ipv6Addr};

use super::downstreams::Downstreams;
use super::mirror::Range;
use super::problem::Report;
use super::section::{Field, Section, kind, refuse};

/// Reads it.
pub(super) fn read(section: &Section<'_>, report: &mut Report<'_>) -> Field<Ipv6Addr> {
    let Some((value, place)) = section.entry(KEY) else { return Field::Absent };
    let Some(text) = value.as_str() else {
        return refuse(report, &place, format!("`{KEY}` is {}", kind(value)), REMEDY);
    };
    let bare = text.split(['/', '%']).next().unwrap_or_default();
    let address = match bare.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => address,
        Ok(IpAddr::V4(_)) => {
            return refuse(
                report,
                &place,
                format!("\"{text}\" is IPv4, and lone64 serves IPv6 only"),
                REMEDY,
            );
        }
        Err(_) => {
            let sentence = format!("`{KEY}` is not an IPv6 address: \"{}\"", text.escape_default());
            return refuse(report, &place, sentence, REMEDY);
        }
    };
    if let Some(why) = unusable(address) {
        return refuse(report, &place, format!("the gateway {address} {why}"), REMEDY);
    }
    if bare != text {
        let sentence = format!("`{KEY}` is one address, without a length and without an interface");
        return refuse(report, &place, sentence, format!("write \"{address}\""));
    }
    Field::Is(address, place)
}

/// There are guests that could use it.
pub(super) fn check(range: &Range, report: &mut Report<'_>) {
    let Field::Is(_, place) = &range.gateway else { return };
    if let Field::Is(Downstreams::Named(name), _) = &range.interface
        && name.is_loopback()
    {
        let sentence = "`lo` has no guests behind it, so it needs no `gateway`";
        report.push(place, sentence).help("remove it, or name the interface behind which the guests are");
    }
}

/// Why the guests of every downstream could not all have it as their gateway, if so.
fn unusable(address: Ipv6Addr) -> Option<&'static str> {
    if !address.is_unicast_link_local() {
        return Some("is not link-local, and every downstream must be able to have the same one");
    }
    let is_anycast = address.to_bits() & u128::from(u64::MAX) == 0;
    is_anycast.then_some(
        "is the anycast address of all routers on the link (RFC 4291 §2.6.1), and no host may have \
                          it",
    )
}

const KEY: &str = "gateway";
const REMEDY: &str = "write a link-local address inside fe80::/10, such as \"fe80::1\"";
