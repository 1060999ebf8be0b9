//! A step of an explanation: the next hops that a target is behind, and whether one of them is there.

use core::net::Ipv6Addr;

use super::{Expected, Explainer, Step, Subject, no, open, yes};
use crate::engine::liveness::Standing;
use crate::engine::plan::{Hop, RangeId};
use crate::engine::time::Time;
use crate::wire::DropReason;

impl Explainer<'_> {
    /// The target is answered for because this one is there.
    pub(super) fn behind_live_hop(&self, hop: &Hop, now: Time) -> [Step; 2] {
        let seen = match self.scene.routers().live(hop) {
            Some(live) => format!("which was seen {} s ago", now.since(live.seen).as_secs()),
            None => "which is there".to_owned(),
        };
        [
            yes(Subject::Downstream, self.name(hop.link)),
            yes(Subject::Liveness, format!("behind the next hop {}, {seen}", self.hop_named(hop))),
        ]
    }

    /// None of them is known to be there.
    pub(super) fn tell_hops(&self, range: RangeId, target: Ipv6Addr, steps: &mut Vec<Step>) -> Expected {
        let routers = self.scene.routers();
        let hops: Vec<_> = self.scene.plan.hops_towards(range, target, self.scene.host).collect();
        if let (false, Some(first)) = (hops.iter().any(|hop| routers.can_be_asked(hop)), hops.first()) {
            let (value, remedy) = self.out_of_order(first.link, target);
            steps.push(no(Subject::Downstream, value, Some(remedy)));
            return Expected::Dropped(DropReason::NoDownstream);
        }
        let links: std::collections::BTreeSet<_> = hops.iter().map(|hop| self.name(hop.link)).collect();
        steps.push(yes(Subject::Downstream, links.into_iter().collect::<Vec<_>>().join(", ")));
        let mut is_being_asked = false;
        for hop in &hops {
            let what = match routers.standing(hop) {
                Standing::Probing => {
                    is_being_asked = true;
                    "which is being asked at this moment"
                }
                Standing::Absent => "which is silent; the next question asks it once more",
                Standing::Unknown | Standing::Live(_) => {
                    "of which nothing is known; the next question asks it"
                }
            };
            let remedy = "the router at that address has to be up, and to be behind that interface";
            let value = format!("behind the next hop {}, {what}", self.hop_named(hop));
            steps.push(open(Subject::Liveness, value, Some(remedy.to_owned())));
        }
        if is_being_asked { Expected::Probing } else { Expected::Probed }
    }

    fn hop_named(&self, hop: &Hop) -> String {
        format!("{} on {}", hop.address, self.name(hop.link))
    }
}
