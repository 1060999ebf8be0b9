//! The guests of a configuration, and those of `guests.d`.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Effective, GuestKeys, Origins};
use crate::config::mirror::{File, Guest};
use crate::config::problem::Report;
use crate::engine::policy::GuestPolicy;

impl Effective {
    /// Of a file of `guests.d`, which has these guests.
    pub(in crate::config) fn of_guests(
        file: &File,
        guests: &[Arc<GuestPolicy>],
        report: &Report<'_>,
    ) -> Vec<GuestKeys> {
        Origins { report, main: None }.guests(file, guests)
    }

    /// These are the guests of `guests.d`, in the place of those before.
    pub(in crate::config) fn take<'a>(&mut self, guests: impl Iterator<Item = &'a GuestKeys>) {
        self.guests.retain(|guest| !guest.is_in_guests_d());
        self.guests.extend(guests.cloned());
        self.guests.shrink_to_fit();
    }

    /// Every guest.
    pub(in crate::config) fn guests(&self) -> impl Iterator<Item = &Arc<GuestPolicy>> {
        self.guests.iter().map(GuestKeys::policy)
    }

    /// Keeps each guest as this value.
    pub(in crate::config) fn share(&mut self, share: impl Fn(&mut Arc<GuestPolicy>)) {
        self.guests.iter_mut().for_each(|guest| guest.share(&share));
    }

    /// The same with those guests alone that are others, or not there, in `other`.
    pub(in crate::config) fn without_guests_of(&self, other: &Self) -> Self {
        let there: HashMap<_, _> =
            other.guests.iter().map(|guest| (guest.policy().name.as_str(), guest.policy())).collect();
        let is_other = |guest: &&GuestKeys| there.get(guest.policy().name.as_str()) != Some(&guest.policy());
        Self { keys: self.keys.clone(), guests: self.guests.iter().filter(is_other).cloned().collect() }
    }
}

impl Origins<'_, '_> {
    /// Those of each guest that was written, of which these policies were made.
    pub(super) fn guests(&self, file: &File, policies: &[Arc<GuestPolicy>]) -> Vec<GuestKeys> {
        let mut origin: Option<Arc<str>> = None;
        let keys = |(guest, policy): (&Guest, &Arc<GuestPolicy>)| {
            let place = |key: &str| self.report.line(guest.written.place(key)?);
            // Every guest has a name, which is written.
            let name = place("name").map_or("", |(name, _)| name);
            if origin.as_deref() != Some(name) {
                origin = Some(Arc::from(name));
            }
            let file = origin.clone().unwrap_or_else(|| Arc::from(name));
            let is_drop_in = self.main != Some(name);
            GuestKeys::new(Arc::clone(policy), (file, is_drop_in), |key| place(key).map(|(_, line)| line))
        };
        file.guests.iter().zip(policies).map(keys).collect()
    }
}
