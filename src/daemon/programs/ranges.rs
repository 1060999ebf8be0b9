//! The ranges that a program answers for as a whole.

use super::{Programs, nanoseconds};
use crate::engine::facts::IfIndex;
use crate::engine::{Input, MirroredRanges, Outcome, Time};
use crate::kernel::bpf::{BpfError, RangesChanged, boot_time};

impl Programs {
    /// Has a program answer for ranges as a whole, at once. What became of it, as the engine takes it.
    pub(in crate::daemon) fn mirror_ranges(
        &mut self,
        link: IfIndex,
        wanted: &MirroredRanges,
        now: Time,
    ) -> (Input, Option<BpfError>) {
        let mirrored = |outcome| Input::RangesMirrored(link, outcome);
        let Some(table) = self.slots.get_mut(&link).and_then(|slot| slot.table.as_mut()) else {
            return (mirrored(Outcome::Failed("there is no program".to_owned())), None);
        };
        let until = boot_time().saturating_add(nanoseconds(wanted.until.since(now)));
        match table.change_ranges(&wanted.answered, &wanted.passed_on, until) {
            RangesChanged::Done => (mirrored(Outcome::Done), None),
            RangesChanged::Nothing(error) => (mirrored(Outcome::Failed(error.to_string())), Some(error)),
            // It answers without a reason: then nothing is to be answered.
            RangesChanged::Stuck(error) => {
                self.ask(link, None, 0);
                (Input::ProgramChanged(link, Outcome::Failed(error.to_string())), Some(error))
            }
        }
    }
}
