//! What is no problem, in words and with a remedy: a host that has a note may be healthy. What switches that snoop MLD may
//! keep from it, because it cannot be seen from here whether there is such a switch; and where the daemon answers, because
//! the kernel cannot.

use std::fmt;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::no_program::NoProgram;
use crate::engine::facts::IfName;
use crate::engine::policy::{addresses_of, most_of_prefix};

/// Something that does harm only behind a switch that snoops MLD, or none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Note {
    /// On this interface as many multicast groups are reported as may be, and others wait for room.
    GroupsFull(IfName, usize),
    /// Every address of the prefix is answered for, and so many groups may be reported on a link, which are fewer.
    TooWideForGroups(Ipv6Net, usize),
    /// A querier is on this upstream, and for long no question has come but by unicast or for a reported group.
    OneSided(IfName),
    /// No program answers in the kernel on this upstream, which is to have one.
    NoProgram(IfName, NoProgram),
}

impl Note {
    /// How those begin that are about programs in the kernel.
    pub const OF_PROGRAMS: &str = "no program answers in the kernel";

    /// What to say when it is over.
    pub fn over(&self) -> String {
        match self {
            Self::GroupsFull(name, _) => format!("all multicast groups fit into the limit on {name} again"),
            Self::TooWideForGroups(prefix, _) => {
                format!("all multicast groups of {prefix} are reported again")
            }
            Self::OneSided(name) => format!(
                "solicitations for groups that are not reported arrive on {name} too, or there is no querier any \
                 more"
            ),
            Self::NoProgram(name, _) => {
                format!("what kept the program in the kernel from answering on {name} is over")
            }
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GroupsFull(name, most) => write!(
                f,
                "{most} multicast groups are reported on {name}, which is the limit (`groups` in [limits]), and \
                 there are more guests: behind a switch with MLD snooping, solicitations for the others do not \
                 arrive; raise `groups` as far as the switch allows (a Linux bridge stops at 4096), or {ROUTER}"
            ),
            Self::TooWideForGroups(prefix, most) => {
                let of_prefix = most_of_prefix(*most);
                write!(
                    f,
                    "range {prefix}: lone64 answers for every address but reports no multicast groups, because they \
                     would be more than {of_prefix}: behind a switch with MLD snooping, solicitations for them do \
                     not arrive; {ROUTER}, or write a longer prefix",
                )?;
                match addresses_of(prefix) <= most_of_prefix(usize::MAX) as u128 {
                    true => write!(f, ", or raise `groups` in [limits] (it is {most})"),
                    false => Ok(()),
                }
            }
            Self::OneSided(name) => write!(
                f,
                "there is an MLD querier on {name}, and for ten minutes only solicitations for reported groups have \
                 arrived: if a switch there does MLD snooping, nobody can reach a guest until the guest sends \
                 something; in that case {ROUTER}"
            ),
            Self::NoProgram(name, why) => {
                write!(f, "{} on {name}, so the daemon answers: {why}", Self::OF_PROGRAMS)
            }
        }
    }
}

/// The remedy, with its price.
const ROUTER: &str =
    "write mld = \"router\" in [[upstream]], so that all multicast of the link arrives at this host";

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
