//! The keys of guests: those of the configuration, and those of `guests.d`. There may be thousands, so they are made when
//! they are asked for.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Effective, Key, KeyOrigin, Origins};
use crate::config::GuestFiles;
use crate::config::mirror::{File, Guest};
use crate::config::problem::Report;
use crate::engine::policy::{GuestAddresses, GuestPolicy};

/// A guest, and where its keys were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct GuestKeys {
    policy: Arc<GuestPolicy>,
    file: Arc<str>,
    is_drop_in: bool,
    /// Of each key, in the order of [`values`]; 0 is none.
    lines: Box<[u32]>,
}

impl GuestKeys {
    /// The guest.
    pub(in crate::config) fn policy(&self) -> &Arc<GuestPolicy> {
        &self.policy
    }

    /// Each key.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        let values = values(&self.policy).into_iter().zip(&self.lines);
        values.map(|((key, value), line)| {
            let (file, line) = (self.file.to_string(), *line as usize);
            let origin = match (line, self.is_drop_in) {
                (0, _) if key == "interface" => KeyOrigin::Automatic,
                (0, _) => KeyOrigin::Default,
                (_, true) => KeyOrigin::DropIn { file, line },
                (_, false) => KeyOrigin::File { file, line },
            };
            Key { table: "guest", of: Some(self.policy.name.clone()), key, value, origin }
        })
    }

    fn is_in_guests_d(&self) -> bool {
        let directory = Path::new(&*self.file).parent().and_then(Path::file_name);
        self.is_drop_in && directory.is_some_and(|directory| directory == "guests.d")
    }
}

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
    pub fn take_guests(&mut self, files: &GuestFiles) {
        self.guests.retain(|guest| !guest.is_in_guests_d());
        self.guests.extend(files.keys().cloned());
        self.guests.shrink_to_fit();
    }

    /// The same with those guests alone that are others, or not there, in `other`.
    pub(in crate::config) fn without_guests_of(&self, other: &Self) -> Self {
        let there: std::collections::HashMap<_, _> =
            other.guests.iter().map(|guest| (guest.policy.name.as_str(), &guest.policy)).collect();
        let is_other = |guest: &&GuestKeys| there.get(guest.policy.name.as_str()) != Some(&&guest.policy);
        Self { keys: self.keys.clone(), guests: self.guests.iter().filter(is_other).cloned().collect() }
    }
}

impl Origins<'_, '_> {
    /// Those of each guest that was written, of which these policies were made.
    pub(super) fn guests(&self, file: &File, policies: &[Arc<GuestPolicy>]) -> Vec<GuestKeys> {
        let mut origin: Option<Arc<str>> = None;
        let keys = |(guest, policy): (&Guest, &Arc<GuestPolicy>)| {
            let mut is_drop_in = true;
            let mut line = |key: &str| {
                let (name, line) = self.report.line(guest.written.place(key)?)?;
                is_drop_in = self.main != Some(name);
                if origin.as_deref() != Some(name) {
                    origin = Some(Arc::from(name));
                }
                u32::try_from(line).ok()
            };
            let lines = values(policy).iter().map(|(key, _)| line(key).unwrap_or_default()).collect();
            let file = origin.clone().unwrap_or_else(|| Arc::from(""));
            GuestKeys { policy: Arc::clone(policy), file, is_drop_in, lines }
        };
        file.guests.iter().zip(policies).map(keys).collect()
    }
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
