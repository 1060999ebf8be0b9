//! The keys of a guest. There may be thousands of guests, so the keys are made when they are asked for.
//!
//! May touch: nothing.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::key::{Key, KeyOrigin};
use crate::engine::policy::{GuestAddresses, GuestPolicy};

/// A guest, and where its keys were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GuestKeys {
    policy: Arc<GuestPolicy>,
    file: Arc<str>,
    is_drop_in: bool,
    /// Of each key, in the order of [`values`]; 0 is none.
    lines: [u32; KEYS],
}

impl GuestKeys {
    /// Of this guest, whose file is a drop-in or not. `line` says where a key is.
    pub(super) fn new(
        policy: Arc<GuestPolicy>,
        (file, is_drop_in): (Arc<str>, bool),
        line: impl Fn(&str) -> Option<usize>,
    ) -> Self {
        let line = |key: &str| line(key).and_then(|line| u32::try_from(line).ok()).unwrap_or_default();
        let lines = values(&policy).map(|(key, _)| line(key));
        Self { policy, file, is_drop_in, lines }
    }

    /// The guest.
    pub(super) fn policy(&self) -> &Arc<GuestPolicy> {
        &self.policy
    }

    /// Keeps the guest as this value.
    pub(super) fn share(&mut self, share: impl Fn(&mut Arc<GuestPolicy>)) {
        share(&mut self.policy);
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

    /// Whether its file is one of those that come and go by themselves.
    pub(super) fn is_in_guests_d(&self) -> bool {
        let directory = Path::new(&*self.file).parent().and_then(Path::file_name);
        self.is_drop_in && directory.is_some_and(|directory| directory == "guests.d")
    }
}

/// Of a guest.
const KEYS: usize = 7;

fn values(guest: &GuestPolicy) -> [(&'static str, Value); KEYS] {
    let addresses = match &guest.addresses {
        GuestAddresses::Listed(addresses) => json!(addresses),
        GuestAddresses::Eui64 => json!("eui64"),
    };
    [
        ("name", json!(guest.name)),
        ("mac", json!(guest.mac.map(|mac| mac.to_string()))),
        ("interface", json!(guest.interface.map(|name| name.to_string()))),
        ("addresses", addresses),
        ("delegate", json!(guest.delegate)),
        ("pin", json!(guest.pin)),
        ("guard", json!(guest.guard)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They stay as long as the configuration does. An allocation of its own for the lines, made while thousands of other
    /// things are read, kept the pages around it after each reload.
    #[test]
    fn the_keys_of_a_guest_are_one_value() {
        assert!(size_of::<GuestKeys>() <= 64, "{}", size_of::<GuestKeys>());
    }
}
