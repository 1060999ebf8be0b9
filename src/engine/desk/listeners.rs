//! Who listens to which groups behind downstreams, so that guests are asked for there first: when somebody asks for them,
//! and before that, where the group says enough of their addresses.

use std::time::Duration;

use super::{Desk, Phase};
use crate::engine::effect::Output;
use crate::engine::facts::IfIndex;
use crate::engine::hints::Reporter;
use crate::engine::house::House;
use crate::engine::leads::Lead;
use crate::engine::liveness::Ground as _;
use crate::engine::plan::RangeId;
use crate::engine::time::Time;
use crate::engine::work::Work;
use crate::wire::{MldQuery, MldRecordKind, MldReport, MldVersion, group_suffix};

impl Desk {
    /// Somebody says to which groups it listens. On an upstream that is nobody's guest.
    pub fn reported(&mut self, link: IfIndex, report: &MldReport, now: Time) {
        if self.house.plan.upstream(link).is_some() {
            return;
        }
        let House { budget, leads, .. } = &mut self.house;
        let (hints, reporter) = (&mut budget.hints, Reporter::Station(report.source_mac));
        for record in report.records.iter().take(MOST_OF_REPORT) {
            let suffix = group_suffix(record.group);
            match record.kind {
                MldRecordKind::IsListened | MldRecordKind::Begin => {
                    hints.begin(link, reporter, suffix);
                    leads.add(link, reporter, suffix, now);
                }
                MldRecordKind::End => hints.end(link, reporter, suffix),
            }
        }
    }

    /// A bridge has heard that somebody behind this port listens to a group.
    pub fn bridge_reported(&mut self, (bridge, port): (IfIndex, IfIndex), suffix: u32, now: Time) {
        if self.house.plan.upstream(bridge).is_none() {
            self.house.budget.hints.begin(bridge, Reporter::Port(port), suffix);
            self.house.leads.add(bridge, Reporter::Port(port), suffix, now);
        }
    }

    /// Nobody there does any more.
    pub fn bridge_forgot(&mut self, (bridge, port): (IfIndex, IfIndex), suffix: u32) {
        self.house.budget.hints.end(bridge, Reporter::Port(port), suffix);
    }

    /// Asks for guests that have reported their groups and that nobody has asked for yet, for at most so many. False if
    /// there are more. What is not known of them by then, the first question for them finds out.
    pub fn follow_leads(&mut self, most: usize, now: Time) -> bool {
        match self.phase {
            Phase::Learning => self.house.leads.wait(now),
            Phase::Stopping => self.house.leads.clear(),
            Phase::Serving => {
                let mut here = (IfIndex(0), Vec::new());
                for _ in 0..most {
                    let Some(lead) = self.house.leads.first(now) else { break };
                    if here.0 != lead.link {
                        here = (lead.link, self.house.plan.looked_for_on(lead.link));
                    }
                    match self.follow_lead(&lead, &here.1, now) {
                        Followed::Yes => self.house.leads.done(),
                        Followed::NotYet => self.house.leads.put_off(now),
                        Followed::Wait => self.house.leads.wait(now),
                    }
                }
            }
        }
        self.house.leads.first(now).is_none()
    }

    fn follow_lead(&mut self, lead: &Lead, ranges: &[RangeId], now: Time) -> Followed {
        let House { host, plan, keep, budget, .. } = &self.house;
        let link = lead.link;
        if ranges.is_empty() || !budget.hints.known(lead.suffix).any(|known| known == link) {
            return Followed::Yes;
        }
        let targets = ranges.iter().filter_map(|range| lead.target_in(plan.range(*range).prefix));
        let targets: Vec<_> = targets.filter(|target| plan.may_live(*target, link, host)).collect();
        let is_heard = keep.hears_guests_on(link);
        let (guests, ground, budget) = self.house.guests();
        let can_ask = is_heard && ground.can_ask(link);
        if !can_ask && !targets.is_empty() {
            return Followed::NotYet;
        }
        match targets.into_iter().all(|target| guests.follow(target, link, budget, now)) {
            true => Followed::Yes,
            false => Followed::Wait,
        }
    }

    /// Asks the guest at the other end of a downstream to which groups it listens, once, when it can be asked: it may have
    /// said so before anybody heard it. Not behind a bridge: that would believe that there is a querier from then on,
    /// and it has heard its guests itself.
    pub fn ask_listeners(&mut self, link: IfIndex) {
        let links = &self.house.host.links;
        let leads_to_one = |link: &crate::engine::facts::Link| link.leads_to_one && link.peer.is_none();
        if !links.get(link).is_some_and(leads_to_one) || !self.house.keep.hears_guests_on(link) {
            return;
        }
        // RFC 3810 §5.1.14: "all MLDv2 Queries MUST be sent with a valid IPv6 link-local source address".
        let (Some(source_mac), Some(source)) = (links.mac(link), links.link_local(link)) else { return };
        if links.is_up(link) && self.house.budget.hints.is_first_query(link) {
            let (version, group, max_response) = (MldVersion::V2, None, MAX_RESPONSE);
            let query = MldQuery { source_mac, source, version, group, max_response };
            self.outputs.push_back(Output::Query(link, query));
        }
    }

    /// The link is down or gone: what was behind it is to be ended.
    pub fn end_link(&mut self, link: IfIndex) -> Work {
        self.house.budget.hints.end_link(link);
        Work::EndLink(link)
    }
}

/// What became of a lead.
enum Followed {
    /// There is nothing more to do for it.
    Yes,
    /// Its link cannot be asked yet.
    NotYet,
    /// There are not enough probes, or many others are being asked.
    Wait,
}

/// Guests answer within this time, each at a moment of its own.
const MAX_RESPONSE: Duration = Duration::from_secs(1);
/// As many records of one report are looked at: more do not fit into a packet of 1,280 bytes, and a few more into others.
const MOST_OF_REPORT: usize = 256;
