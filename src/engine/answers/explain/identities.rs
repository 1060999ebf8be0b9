//! Steps of an explanation: whose address it is by the administrator's word, and what that lacks.

use core::net::Ipv6Addr;

use super::{Explainer, Step, Subject, alive, no, open, yes};
use crate::engine::guests::{Breach, By, GuestId, Object};
use crate::engine::liveness::Live;
use crate::engine::plan::RangeId;
use crate::engine::time::Time;

impl Explainer<'_> {
    /// By which word a live target is there, or what was seen of it.
    pub(super) fn vouched(&self, target: Ipv6Addr, live: &Live, now: Time) -> String {
        let words = self.identities.words();
        let Some(word) = words.of(target).filter(|word| word.link == live.link) else {
            return alive(live, now);
        };
        let mac = live.mac.map_or_else(String::new, |mac| format!("{mac}, "));
        let dropped = word.guest.map(|id| self.dropped(id)).unwrap_or_default();
        let name = word.guest.and_then(|id| self.identities.name(id)).unwrap_or_default();
        let live = match word.by {
            By::Guest => format!("live: {mac}because the [[guest]] {name} has it"),
            By::NamedClaim => {
                format!(
                    "live: {mac}because {name} is claimed{}",
                    self.left(&Object::Guest(name.to_owned()), now)
                )
            }
            By::Claim => {
                format!("live: {mac}because it is claimed{}", self.left(&Object::Prefix(target.into()), now))
            }
        };
        live + &dropped
    }

    /// What the guard of a guest has dropped, so that it may be reached and cannot reply.
    fn dropped(&self, id: GuestId) -> String {
        let (true, Some(drops)) = self.identities.guard(id) else { return String::new() };
        let reasons = Breach::ALL.into_iter().zip(drops).filter(|(_, packets)| **packets > 0);
        let reasons: Vec<_> =
            reasons.map(|(breach, packets)| format!("{} {packets}", breach.as_str())).collect();
        format!("; its guard has dropped packets of it: {}", reasons.join(", "))
    }

    fn left(&self, object: &Object, now: Time) -> String {
        let until = self.identities.claim_of(object).and_then(|seen| seen.claim.until);
        until.map_or_else(String::new, |until| format!(" for {} s more", until.since(now).as_secs()))
    }

    /// Another host has it.
    pub(super) fn stands_by(&self, range: RangeId) -> Step {
        let prefix = self.scene.plan.range(range).prefix;
        let value = format!("the range {prefix} stands by, and this is not claimed");
        no(Subject::Mode, value, Some(format!("`lone64 claim {prefix}` takes the range over")))
    }

    /// Whose prefix the address is in; or whose it is, where that one is not here.
    pub(super) fn tell_identity(&self, target: Ipv6Addr) -> Option<Step> {
        let words = self.identities.words();
        if let Some((prefix, _, guest)) = words.around(target) {
            let name = guest.and_then(|id| self.identities.name(id));
            let whose = name.map_or_else(|| "it is claimed".to_owned(), |name| format!("routed to {name}"));
            let dropped = guest.map(|id| self.dropped(id)).unwrap_or_default();
            return Some(yes(Subject::Downstream, format!("inside {prefix}: {whose}{dropped}")));
        }
        if words.of(target).is_some() {
            return None;
        }
        let (name, missing) = self.identities.lacking(target)?;
        let value = format!("the [[guest]] {name} has it, and is not here");
        Some(open(Subject::Liveness, value, Some(missing.to_string())))
    }
}
