//! Prefixes and addresses as they are written, and which of them can be served at all.
//!
//! May touch: nothing.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;

/// Why a text is no prefix: a sentence, and a remedy if there is one.
pub(super) type Refusal = (String, Option<String>);

/// Why a prefix cannot be used: a sentence and a remedy.
pub(super) type Objection = (String, String);

/// What a text without a length means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bare {
    /// Nothing: the length is required.
    Refused,
    /// The one address.
    OneAddress,
}

/// Reads a prefix as it is written, host bits included.
pub(super) fn parse(text: &str, bare: Bare) -> Result<Ipv6Net, Refusal> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address = match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => address,
        Ok(IpAddr::V4(_)) => return Err((format!("\"{text}\" is IPv4, and lone64 serves IPv6 only"), None)),
        Err(_) => {
            let example = if bare == Bare::Refused {
                "write one like \"2001:db8:1:2:c::/112\""
            } else {
                "write one like \"2001:db8:1:2:c::1\" or \"2001:db8:1:2:c::/120\""
            };
            return Err((format!("\"{text}\" is not an IPv6 prefix"), Some(example.to_owned())));
        }
    };
    let length = match length {
        None if bare == Bare::OneAddress => 128,
        None => {
            let remedy = format!("write \"{address}/128\" for the one address, or the length of the range");
            return Err((format!("\"{text}\" has no prefix length"), Some(remedy)));
        }
        Some(length) => match length.parse::<u8>() {
            Ok(length) if length <= 128 => length,
            _ => {
                let sentence = format!("\"{text}\" has an impossible prefix length");
                return Err((sentence, Some("write a length from 0 to 128".to_owned())));
            }
        },
    };
    Ok(Ipv6Net::new_assert(address, length))
}

/// Why a prefix has host bits, if it has any.
pub(super) fn host_bits(prefix: Ipv6Net) -> Option<Objection> {
    let sentence = format!("the prefix {prefix} has host bits");
    (prefix.trunc() != prefix).then(|| (sentence, format!("write \"{}\"", prefix.trunc())))
}

/// Why a range with this prefix could never work, if so.
pub(super) fn unservable(prefix: Ipv6Net) -> Option<Objection> {
    let inside = |outer: &str| outer.parse::<Ipv6Net>().is_ok_and(|outer| outer.contains(&prefix));
    let why = match prefix {
        _ if inside("ff00::/8") => "is multicast, and lone64 never answers for multicast",
        _ if inside("fe80::/10") => "is link-local, and never leaves its link",
        _ if inside("::1/128") => "is the loopback address",
        _ if inside("::/128") => "is the unspecified address",
        _ if inside("::ffff:0:0/96") => "is an IPv4 address in IPv6 form, which no link carries",
        // A provider's own allocation; no host is given more.
        _ if prefix.prefix_len() < 32 => {
            "is shorter than /32, which is more than a provider gives to one host"
        }
        _ => return None,
    };
    let remedy = "use a prefix of the addresses that your provider gave you";
    Some((format!("the range {prefix} {why}"), remedy.to_owned()))
}

/// Why this cannot be put under a /64, if so.
pub(super) fn unplaceable(suffix: Ipv6Net) -> Option<Objection> {
    const UPPER: u128 = !0 << 64;
    let bits = suffix.network().to_bits();
    let lower = Ipv6Net::new_assert(Ipv6Addr::from_bits(bits & !UPPER), suffix.prefix_len());
    if suffix.prefix_len() < 64 {
        let sentence = format!("the suffix {suffix} has no room for the /64 of the upstream");
        return Some((
            sentence,
            "write a length from 64 to 128, as in \"::c:0:0:0/112\"; \"::/64\" is the whole /64".to_owned(),
        ));
    }
    (bits & UPPER != 0).then(|| {
        let sentence = format!("the suffix {suffix} has more than the lower 64 bits");
        (sentence, format!("write suffix = \"{lower}\", or prefix = \"{suffix}\" if it never changes"))
    })
}

/// Why answers could never come from this address, if so.
pub(super) fn unusable_source(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_multicast() {
        Some("is multicast, which is never a source (RFC 4291 §2.7)")
    } else if address.is_unspecified() {
        Some("is the unspecified address, which only a DAD solicitation comes from")
    } else if address.is_loopback() {
        Some("is the loopback address, which never leaves the host")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv6Net {
        parse(text, Bare::Refused).unwrap()
    }

    #[test]
    fn takes_a_bare_address_only_where_one_address_makes_sense() {
        assert_eq!(parse("2001:db8::1", Bare::OneAddress), Ok(net("2001:db8::1/128")));
        let (_, remedy) = parse("2001:db8::1", Bare::Refused).unwrap_err();
        assert!(remedy.unwrap().contains("2001:db8::1/128"));
    }

    #[test]
    fn refuses_what_is_not_a_prefix() {
        for text in ["", "/", "2001:db8::/129", "2001:db8::/-1", "2001:db8::/", "eth0", "fe80::1%eth0/64"] {
            assert!(parse(text, Bare::OneAddress).is_err(), "{text:?}");
        }
        assert!(parse("192.0.2.0/24", Bare::Refused).unwrap_err().0.contains("IPv4"));
    }

    #[test]
    fn tells_the_prefix_without_host_bits() {
        assert_eq!(host_bits(net("2001:db8::/112")), None);
        assert_eq!(host_bits(net("2001:db8::7/112")).unwrap().1, "write \"2001:db8::/112\"");
    }

    #[test]
    fn takes_suffixes_of_the_lower_64_bits_only() {
        for text in ["::/63", "::/0", "2001:db8:1:2:c::/112", "2001:db8::/64", "0:0:0:1::/80"] {
            assert!(unplaceable(net(text)).is_some(), "{text}");
        }
        for text in ["::c:0:0:0/112", "::/64", "::/65", "::5/128"] {
            assert_eq!(unplaceable(net(text)), None, "{text}");
        }
        let (_, remedy) = unplaceable(net("2001:db8:1:2:c::/112")).unwrap();
        assert!(remedy.starts_with("write suffix = \"::c:0:0:0/112\""), "{remedy}");
    }

    #[test]
    fn refuses_ranges_that_could_never_work() {
        for text in ["::/0", "2000::/3", "ff02::/16", "fe80::/64", "::1/128", "::/128", "::ffff:0:0/96"] {
            assert!(unservable(net(text)).is_some(), "{text}");
        }
        for text in ["2001:db8::/32", "2001:db8::/64", "fd00::/48", "2001:db8::1/128", "64:ff9b::/96"] {
            assert_eq!(unservable(net(text)), None, "{text}");
        }
    }
}
