//! The keys of guests: those of the configuration, and those of `guests.d`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::{Effective, Key, KeyOrigin, Origins};
use crate::config::GuestFiles;
use crate::config::mirror::{File, Guest};
use crate::config::problem::Report;
use crate::engine::policy::{GuestAddresses, GuestPolicy};

impl Effective {
    /// Of a file of `guests.d`, which has these guests.
    pub(in crate::config) fn of_guests(file: &File, guests: &[GuestPolicy], report: &Report<'_>) -> Vec<Key> {
        Origins { report, main: None }.guests(file, guests)
    }

    /// These are the guests of `guests.d`, in the place of those before.
    pub fn take_guests(&mut self, files: &GuestFiles) {
        let is_of_guest = |key: &Key| key.table == "guest";
        let gone: BTreeSet<_> = self
            .0
            .iter()
            .filter(|key| is_of_guest(key) && is_in_guests_d(key))
            .map(|key| key.of.clone())
            .collect();
        self.0.retain(|key| !is_of_guest(key) || !gone.contains(&key.of));
        let many = |key: &Key| matches!(key.table, "guest" | "range" | "upstream");
        let at = self.0.iter().rposition(many).map_or(0, |last| last + 1);
        self.0.splice(at..at, files.keys().cloned());
    }
}

impl Origins<'_, '_> {
    /// Those of each guest that was written, of which these policies were made.
    pub(super) fn guests(&self, file: &File, policies: &[GuestPolicy]) -> Vec<Key> {
        let keys = |(guest, policy): (&Guest, &GuestPolicy)| {
            self.keys("guest", Some(policy.name.clone()), values(policy), Some(&guest.written))
        };
        file.guests.iter().zip(policies).flat_map(keys).collect()
    }
}

/// Every guest there has a name, which is written.
fn is_in_guests_d(key: &Key) -> bool {
    let KeyOrigin::DropIn { file, .. } = &key.origin else { return false };
    Path::new(file).parent().and_then(Path::file_name).is_some_and(|directory| directory == "guests.d")
}

fn values(guest: &GuestPolicy) -> Vec<(&'static str, Value)> {
    let addresses = match &guest.addresses {
        GuestAddresses::Listed(addresses) => json!(addresses),
        GuestAddresses::Eui64 => json!("eui64"),
    };
    vec![
        ("name", json!(guest.name)),
        ("mac", json!(guest.mac.map(|mac| mac.to_string()))),
        ("interface", json!(guest.interface.map(|name| name.to_string()))),
        ("addresses", addresses),
        ("delegate", json!(guest.delegate)),
        ("pin", json!(guest.pin)),
        ("guard", json!(guest.guard)),
    ]
}
