//! The chains and sets of guards, as text for nft(8).
//!
//! Every packet that is not IPv6, and every station that is no guarded guest's, leaves at the first rules. There are no
//! registers to compare with one another, so whatever is to be equal to the sender's MAC is looked up together with it.

use std::fmt::Write;

use crate::engine::guests::Breach;

/// How the text of nft calls the tables.
pub(super) const TABLE: &str = "lone64_guard";
/// RFC 4861 §4.6: options are so many bytes, and have their length in such units.
const UNIT: usize = 8;
/// Options of solicitations and advertisements begin here (RFC 4861 §4.3, §4.4), and are read so many units far.
const NEIGHBOR: (usize, usize) = (24, 6);
/// The same for Router Solicitations (§4.1).
const ROUTER: (usize, usize) = (8, 4);
/// Stations that were counted for one reason, at most.
const MOST_COUNTED: usize = 65_536;

/// The table of this family, with its chains and with sets that are still empty.
pub(super) fn table(family: &str) -> String {
    let mut text = format!("table {family} {TABLE} {{\n");
    text += "set ports { type ifname; }\n\
             set places { type ifname . ether_addr; }\n\
             set macs { type ether_addr; }\n\
             set fresh { type ether_addr; }\n\
             set reserved { typeof @th,64,128; }\n\
             set own { typeof ether saddr . @th,64,128; }\n\
             set prefixes { typeof ether saddr . @th,64,128; flags interval; }\n\
             set pairs { typeof ether saddr . @th,208,48; }\n";
    for breach in Breach::ALL {
        let name = breach.as_str();
        let (kind, key) = match breach {
            // A guest that sends with other MACs has as many as it likes.
            Breach::Mac => ("ifname", "iifname"),
            _ => ("ifname . ether_addr", "iifname . ether saddr"),
        };
        // Also what finds no room to be counted is dropped.
        let _ = write!(
            text,
            "set dropped_{name} {{ type {kind}; flags dynamic; size {MOST_COUNTED}; }}\n\
             chain drop_{name} {{\nupdate @dropped_{name} {{ {key} counter }}\ndrop\n}}\n"
        );
    }
    options(&mut text, "neighbor", NEIGHBOR);
    options(&mut text, "router", ROUTER);
    text += CHAINS;
    // The usual name of this priority is not known in every family.
    text += "chain prerouting {\ntype filter hook prerouting priority -300; policy accept;\n";
    if family == "bridge" {
        // The kernel has taken the first tag off, and nft finds no ICMPv6 in such a packet. The number in a second one
        // is 0 where stations take that off as well.
        for from in ["iifname @ports", "ether saddr @macs"] {
            let _ = write!(
                text,
                "meta protocol ip6 @ll,96,16 {{ 0x8100, 0x88a8 }} {from} goto drop_tag\n\
                 meta protocol {{ 8021q, 8021ad }} @nh,4,12 0 {from} goto drop_tag\n"
            );
        }
    }
    text += "meta protocol != ip6 accept\n\
             iifname @ports iifname . ether saddr != @places goto drop_mac\n\
             ether saddr @macs goto guest\n}\n}\n";
    text
}

/// "The source link-layer address option", "the target link-layer address option" (RFC 4861 §4.6.1): whatever stands
/// there has to be the sender's own MAC. One chain for each place at which an option can begin.
fn options(text: &mut String, name: &str, (first, most): (usize, usize)) {
    for at in (0..=most).rev() {
        let (kind, length) = (8 * (first + UNIT * at), 8 * (first + UNIT * at + 1));
        let _ = writeln!(text, "chain {name}_option_{at} {{");
        if at == most {
            // More options than anybody sends: nobody knows what is behind them. Where the packet ends, there is no byte.
            let _ =
                writeln!(text, "@th,{length},8 != 0 goto drop_option\n@th,{length},8 0 goto drop_option\n}}");
            continue;
        }
        // "The value 0 is invalid" (RFC 4861 §4.6).
        let _ = writeln!(text, "@th,{length},8 0 goto drop_option");
        let _ = writeln!(text, "@th,{length},8 > {} goto drop_option", most - at);
        let _ = writeln!(text, "@th,{kind},8 {{ 1, 2 }} @th,{length},8 != 1 goto drop_option");
        let address = kind + 16;
        let _ = writeln!(
            text,
            "@th,{kind},8 {{ 1, 2 }} ether saddr . @th,{address},48 != @pairs goto drop_option"
        );
        let next: Vec<_> =
            (1..=most - at).map(|units| format!("{units} : goto {name}_option_{}", at + units)).collect();
        let _ = writeln!(text, "@th,{length},8 vmap {{ {} }}\n}}", next.join(", "));
    }
}

/// What a guest sends. A packet that is let pass here goes on to the tables of others.
///
/// `fresh` has guests of which no link-local address is known: the first that nobody else has (`reserved`) passes. It is
/// fe80::/10 by the ten bits 0x3fa.
const CHAINS: &str = "\
chain own_target {
ether saddr . @th,64,128 @own return
ether saddr . @th,64,128 @prefixes return
ether saddr @fresh @th,64,10 0x3fa @th,64,128 != @reserved return
icmpv6 type nd-neighbor-advert goto drop_target
goto drop_dad
}
chain unspecified {
icmpv6 type { 131, 132, 143, nd-router-solicit } accept
icmpv6 type nd-neighbor-solicit jump own_target
icmpv6 type nd-neighbor-solicit accept
goto drop_source
}
chain guest {
icmpv6 type nd-router-advert goto drop_router_advertisement
icmpv6 type nd-redirect goto drop_redirect
icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } exthdr frag exists goto drop_fragment
icmpv6 type nd-router-solicit jump router_option_0
icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } jump neighbor_option_0
icmpv6 type nd-neighbor-advert jump own_target
ip6 saddr :: goto unspecified
ether saddr . @nh,64,128 @own accept
ether saddr . @nh,64,128 @prefixes accept
ether saddr @fresh @nh,64,10 0x3fa @nh,64,128 != @reserved accept
goto drop_source
}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defines_every_chain_before_it_is_used() {
        let text = table("bridge");
        for (at, _) in text.match_indices("goto ").chain(text.match_indices("jump ")) {
            let name = text[at + 5..].split(['\n', ' ', ',']).next().unwrap_or_default();
            let defined = text.find(&format!("chain {name} {{"));
            assert!(defined.is_some_and(|defined| defined < at), "{name}");
        }
    }

    #[test]
    fn looks_behind_tags_on_bridges_only() {
        assert!(table("bridge").contains("goto drop_tag") && !table("ip6").contains("goto drop_tag"));
    }

    #[test]
    fn has_a_set_and_a_chain_for_every_reason() {
        let text = table("ip6");
        for breach in Breach::ALL {
            let name = breach.as_str();
            let is_used = text.contains(&format!("goto drop_{name}\n")) || breach == Breach::Tag;
            assert!(is_used, "nothing is dropped for {name}");
            assert!(text.contains(&format!("update @dropped_{name} {{ ")), "{name} is not counted");
        }
    }
}
