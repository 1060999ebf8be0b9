//! What a program has answered, read from its maps.

use core::net::Ipv6Addr;
use std::collections::HashMap;

use super::job::entries;
use crate::engine::Input;
use crate::engine::facts::IfIndex;
use crate::kernel::bpf::{BpfError, Maps};
use crate::wire::program::Verdict;

/// What was read so far.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Hits {
    of_targets: HashMap<Ipv6Addr, u64>,
    answered: u64,
}

/// What has been answered since the last look.
#[derive(Debug, Default)]
pub(super) struct Read {
    answered: u64,
    targets: Vec<(Ipv6Addr, u32)>,
}

impl Hits {
    /// What these maps say.
    pub(super) fn read(&mut self, maps: &Maps) -> Result<Read, BpfError> {
        let verdicts = maps.verdicts.verdicts()?;
        let answered = verdicts[Verdict::Target as usize] + verdicts[Verdict::Range as usize];
        let mut read = Read { answered: answered.saturating_sub(self.answered), targets: Vec::new() };
        if read.answered == 0 {
            return Ok(read);
        }
        let mut found = HashMap::with_capacity(self.of_targets.len());
        for (target, entry) in entries(maps)?.into_iter().filter(|(_, entry)| entry.hits > 0) {
            let before = self.of_targets.get(&target).copied().unwrap_or_default();
            // One that was forgotten and made known again begins at none.
            let more = if entry.hits >= before { entry.hits - before } else { entry.hits };
            if more > 0 {
                read.targets.push((target, u32::try_from(more).unwrap_or(u32::MAX)));
            }
            found.insert(target, entry.hits);
        }
        (self.of_targets, self.answered) = (found, answered);
        Ok(read)
    }
}

impl Read {
    /// As the engine takes it, some at a time.
    pub(super) fn inputs(self, link: IfIndex) -> Vec<Input> {
        let Self { answered, targets } = self;
        let mut inputs = Vec::new();
        if answered > 0 {
            inputs.push(Input::AnsweredThere(link, answered, Vec::new()));
        }
        inputs.extend(targets.chunks(SOME).map(|some| Input::AnsweredThere(link, 0, some.to_vec())));
        inputs
    }
}

/// As many take the engine some hundred microseconds.
const SOME: usize = 256;
