//! Askers of which there is something to say, as text: a source was found for them, or they do not take every answer.

use serde::Deserialize;

use crate::commands::terminal::{bad, folded, good};

/// One of them.
#[derive(Debug, Deserialize)]
pub(super) struct Asker {
    interface: String,
    address: String,
    mac: String,
    source: String,
    gateway: bool,
    trying: bool,
    message: Option<String>,
}

/// What there is to say of all: of each gateway, and of a few others, which are as many as one neighbor wants.
pub(super) fn lines(askers: &[Asker]) -> String {
    let mut text = String::new();
    let (gateways, others): (Vec<_>, Vec<_>) = askers.iter().partition(|asker| asker.gateway);
    for (sentence, is_complaint) in
        gateways.iter().chain(others.iter().take(MOST_OTHERS)).map(|it| it.sentence())
    {
        let word = if is_complaint { bad("asker: ") } else { good("asker: ") };
        text += &folded(&word, "    ", &sentence);
    }
    let (more, is_one) = (others.len().saturating_sub(MOST_OTHERS), others.len() == MOST_OTHERS + 1);
    if more > 0 {
        let sentence = format!(
            "{more} other neighbor{} like that, none of them a gateway: `lone64 status --json` lists all",
            if is_one { "" } else { "s" }
        );
        text += &folded("askers: ", "    ", &sentence);
    }
    text
}

impl Asker {
    /// What there is to say; and whether that is a complaint.
    fn sentence(&self) -> (String, bool) {
        let Self { interface, address, mac, source, trying, message, .. } = self;
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

/// As many neighbors are named that are no gateways.
const MOST_OTHERS: usize = 3;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_every_gateway_and_a_few_others() {
        let asker = |number: u16, gateway: bool| {
            let asker = json!({
                "interface": "eth0", "address": format!("fe80::{number:x}"), "mac": "02:00:00:00:00:01",
                "source": "scope", "gateway": gateway, "trying": true, "message": null,
            });
            serde_json::from_value::<Asker>(asker).unwrap()
        };
        for (others, said) in
            [(3, None), (4, Some("1 other neighbor like")), (63, Some("60 other neighbors like"))]
        {
            let askers: Vec<_> = (0..others + 2).map(|number| asker(number, number >= others)).collect();
            let text = lines(&askers);
            assert_eq!(text.matches("asker: ").count(), 5, "{text}");
            let gateway = text.find(&format!("fe80::{:x} ", others + 1));
            assert!(gateway.is_some_and(|gateway| gateway < text.find("fe80::0 ").unwrap()), "{text}");
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(text.contains("askers: "), said.is_some());
            assert!(said.is_none_or(|said| text.contains(said)), "{text}");
        }
    }
}
