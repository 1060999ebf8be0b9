//! What could not be read cannot be judged, and a report must not look as if it had been.

use crate::doctor::firewall::Unread;
use crate::doctor::{Check, Finding, Group, Host, Remedy};

/// The check.
pub static CHECK: Check =
    Check { name: "packet-filters", group: Group::Path, asks: "the packet filters can be read", examine };

fn examine(host: &Host) -> Vec<Finding> {
    host.firewall.unread.iter().filter_map(|unread| finding(unread, host.capabilities)).collect()
}

fn finding(unread: &Unread, capabilities: u64) -> Option<Finding> {
    let sentence = "the packet filters cannot be read, so nobody knows what they drop";
    match unread {
        Unread::Nftables(why) if capabilities & CAP_NET_ADMIN == 0 => {
            let advice = Remedy::Advice("run `lone64 doctor` as root".to_owned());
            Some(Finding::warning(sentence).seen(why.as_str()).remedy(advice))
        }
        // Who has no nft has hardly any rules of nftables.
        Unread::Nftables(why) if why.ends_with("is not installed") => None,
        Unread::Nftables(why) => Some(Finding::warning(sentence).seen(why.as_str())),
        Unread::Legacy(tables, why) => {
            let sentence =
                "the legacy ip6tables has rules that cannot be read, so nobody knows what they drop";
            let evidence = format!("its tables: {}; {why}", tables.join(", "));
            let advice = "install ip6tables-legacy-save (Debian: iptables), and run `lone64 doctor` as root";
            Some(Finding::warning(sentence).seen(evidence).remedy(Remedy::Advice(advice.to_owned())))
        }
    }
}

const CAP_NET_ADMIN: u64 = 1 << 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_root_where_the_rules_are_hidden_from_others() {
        let unread = Unread::Nftables("nft: Operation not permitted (you must be root)".to_owned());
        let found = finding(&unread, 0).expect("a warning");
        assert_eq!(found.remedies, [Remedy::Advice("run `lone64 doctor` as root".to_owned())]);
    }

    #[test]
    fn says_nothing_where_there_is_no_nft() {
        let unread = Unread::Nftables("nft is not installed".to_owned());
        assert_eq!(finding(&unread, CAP_NET_ADMIN), None);
    }
}
