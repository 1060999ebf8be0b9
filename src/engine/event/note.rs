//! What switches that snoop MLD may keep from this host, in words and with a remedy. Whether there is such a switch
//! cannot be seen from here, so a note is no problem: a host that has one may be healthy.

use std::fmt;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::engine::facts::IfName;
use crate::engine::policy::{addresses_of, most_of_prefix};

/// Something that does harm only behind a switch that snoops MLD.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Note {
    /// On this interface as many multicast groups are reported as may be, and others wait for room.
    GroupsFull(IfName, usize),
    /// Every address of the prefix is answered for, and so many groups may be reported on a link, which are fewer.
    TooWideForGroups(Ipv6Net, usize),
    /// A querier is on this upstream, and for long no question has come but by unicast or for a reported group.
    OneSided(IfName),
}

impl Note {
    /// What to say when it is over.
    pub fn over(&self) -> String {
        match self {
            Self::GroupsFull(name, _) => format!("there is room for all multicast groups on {name} now"),
            Self::TooWideForGroups(prefix, _) => {
                format!("no multicast groups are missing for {prefix} any more")
            }
            Self::OneSided(name) => format!(
                "solicitations come on {name} also where no multicast group is reported, or there is no querier any more"
            ),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GroupsFull(name, most) => write!(
                f,
                "{most} multicast groups are reported on {name}, as many as `groups` in [limits] allows, and more are \
                 answered for: behind a switch that snoops MLD, solicitations for those do not arrive; raise `groups` \
                 as far as the switch has room (a Linux bridge gives up at 4096), or {ROUTER}"
            ),
            Self::TooWideForGroups(prefix, most) => {
                let of_prefix = most_of_prefix(*most);
                write!(
                    f,
                    "range {prefix}: every address is answered for, and no multicast groups are reported, as they \
                     would be more than {of_prefix}: behind a switch that snoops MLD, solicitations for them do not \
                     arrive; {ROUTER}, or write a longer prefix",
                )?;
                match addresses_of(prefix) <= most_of_prefix(usize::MAX) as u128 {
                    true => write!(f, ", or raise `groups` in [limits] (it is {most})"),
                    false => Ok(()),
                }
            }
            Self::OneSided(name) => write!(
                f,
                "on {name} there is an MLD querier, and for ten minutes and more solicitations came for guests whose \
                 multicast groups are reported, and none for others: if a switch there snoops MLD, a guest that nobody \
                 has heard of is not reached until it says that it exists; in that case {ROUTER}"
            ),
        }
    }
}

/// The remedy, with its price.
const ROUTER: &str =
    "write mld = \"router\" in [[upstream]], which lets all multicast of the link arrive at this host";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_limit_is_a_remedy_only_where_one_helps() {
        let helps = |prefix: &str, most| {
            let note = Note::TooWideForGroups(prefix.parse().expect("a prefix"), most).to_string();
            assert!(
                note.contains("mld = \"router\"") && note.contains("all multicast of the link"),
                "{note}"
            );
            note.contains("raise `groups`")
        };
        assert!(helps("2001:db8::/116", 1_024));
        assert!(!helps("2001:db8::/115", 1_024) && !helps("2001:db8::/64", 8_192));
    }
}
