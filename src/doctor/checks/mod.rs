//! The checks, one file for each subject.

mod forwarding;
mod other_responders;

use super::Check;

/// Every check, in the order of the report.
pub static ALL: &[&Check] = &[&forwarding::CHECK, &other_responders::CHECK];
