//! Askers of which there is something to say, as text: a source was found for them, or they do not take every answer.

use serde::Deserialize;

/// One of them.
#[derive(Debug, Deserialize)]
pub(super) struct Asker {
    interface: String,
    address: String,
    mac: String,
    source: String,
    trying: bool,
    message: Option<String>,
}

impl Asker {
    /// What there is to say; and whether that is a complaint.
    pub(super) fn sentence(&self) -> (String, bool) {
        let Self { interface, address, mac, source, trying, message } = self;
        let who = format!("{address} ({mac}) on {interface}");
        match (trying, message) {
            (true, _) => (format!("{who} does not accept our answers: lone64 tries other sources"), true),
            (false, Some(message)) => (format!("{who} {message}"), true),
            (false, None) => {
                (format!("{who} accepts answers with source = \"{source}\", and gets these"), false)
            }
        }
    }
}
