//! Which ranges a program answers for as a whole: what its trie holds, and how that becomes something else while the
//! program is at work.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv6Net;

use super::{BpfError, ProgramMap};
use crate::wire::program::{daemon_key, range_key};

/// What is in the trie beside the daemon's own entry.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// By prefix, until when it is answered for; 0: never.
    there: BTreeMap<Ipv6Net, u64>,
}

impl Ranges {
    /// What a predecessor has left there.
    pub(super) fn adopt(map: &ProgramMap) -> Result<Self, BpfError> {
        let mut there = BTreeMap::new();
        for key in map.keys()?.into_iter().filter(|key| key[..] != daemon_key()) {
            // A prefix, in which the kernel looks for nothing else: the one that is as long, as it is.
            if let (Some(until), Some(prefix)) = (map.get(&key)?, prefix(&key)) {
                there.insert(prefix, until);
            }
        }
        Ok(Self { there })
    }

    /// From here on every address of `answered` is answered for until that moment, but for those of which a longer prefix
    /// is among `passed_on`. At no time anything is answered that neither was before nor is to be.
    pub(super) fn change(
        &mut self,
        map: &ProgramMap,
        (answered, passed_on): (&BTreeSet<Ipv6Net>, &BTreeSet<Ipv6Net>),
        until: u64,
    ) -> Result<(), BpfError> {
        // First what is passed on, so that what it is left out of may come; and what is not answered for any more goes
        // before that which was left out of it.
        for prefix in passed_on {
            if self.there.get(prefix) != Some(&0) {
                self.set(map, *prefix, 0)?;
            }
        }
        self.retain(map, |prefix, until| until == 0 || answered.contains(prefix))?;
        for prefix in answered {
            self.set(map, *prefix, until)?;
        }
        self.retain(map, |prefix, until| until != 0 || passed_on.contains(prefix))
    }

    /// Nothing is answered for any more.
    pub(super) fn clear(&mut self, map: &ProgramMap) -> Result<(), BpfError> {
        self.retain(map, |_, until| until == 0)?;
        self.retain(map, |_, _| false)
    }

    fn set(&mut self, map: &ProgramMap, prefix: Ipv6Net, until: u64) -> Result<(), BpfError> {
        map.set(&range_key(prefix), until)?;
        self.there.insert(prefix, until);
        Ok(())
    }

    fn retain(&mut self, map: &ProgramMap, stays: impl Fn(&Ipv6Net, u64) -> bool) -> Result<(), BpfError> {
        let going = self.there.iter().filter(|(prefix, until)| !stays(prefix, **until));
        for prefix in going.map(|(prefix, _)| *prefix).collect::<Vec<_>>() {
            map.remove(&range_key(prefix))?;
            self.there.remove(&prefix);
        }
        Ok(())
    }
}

/// What [`range_key`] made the key of.
fn prefix(key: &[u8]) -> Option<Ipv6Net> {
    let (length, address) = key.split_at_checked(4)?;
    let length = u32::from_ne_bytes(length.try_into().ok()?);
    let address: [u8; 16] = address.try_into().ok()?;
    Ipv6Net::new(address.into(), u8::try_from(length).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_prefix_that_it_was_made_of() {
        for text in ["2001:db8::/33", "::/0", "2001:db8::5/128"] {
            let net: Ipv6Net = text.parse().expect("a prefix");
            assert_eq!(prefix(&range_key(net)), Some(net));
        }
        assert_eq!(prefix(&[0; 3]), None);
    }
}
