//! Which of both answers where there is a program in the kernel.

use core::net::Ipv6Addr;

use super::{Explainer, Step, Subject, yes};
use crate::engine::facts::IfIndex;

impl Explainer<'_> {
    /// Nothing where no program answers: then the daemon does.
    pub(super) fn tell_backend(&self, upstream: IfIndex, target: Ipv6Addr) -> Option<Step> {
        let mirror = &self.keep.mirror;
        if !mirror.is_on(upstream) {
            return None;
        }
        let value = match (mirror.answers_on(target), mirror.ranges.answers_on(target)) {
            (Some(link), _) if link == upstream => {
                "the program in the kernel answers plain solicitations for it, the daemon all others"
            }
            (None, Some(link)) if link == upstream => {
                "the program in the kernel answers plain solicitations for its range, the daemon all others"
            }
            _ => "the daemon answers; the program in the kernel passes its solicitations on",
        };
        Some(yes(Subject::Backend, value.to_owned()))
    }
}
