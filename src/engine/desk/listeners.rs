//! Who listens to which groups behind downstreams, so that guests are asked for there first.

use std::time::Duration;

use super::Desk;
use crate::engine::effect::Output;
use crate::engine::facts::IfIndex;
use crate::engine::hints::Reporter;
use crate::engine::work::Work;
use crate::wire::{MldQuery, MldRecordKind, MldReport, MldVersion, group_suffix};

impl Desk {
    /// Somebody says to which groups it listens. On an upstream that is nobody's guest.
    pub fn reported(&mut self, link: IfIndex, report: &MldReport) {
        if self.house.plan.upstream(link).is_some() {
            return;
        }
        let (hints, reporter) = (&mut self.house.budget.hints, Reporter::Station(report.source_mac));
        for record in report.records.iter().take(MOST_OF_REPORT) {
            match record.kind {
                MldRecordKind::IsListened | MldRecordKind::Begin => {
                    hints.begin(link, reporter, group_suffix(record.group));
                }
                MldRecordKind::End => hints.end(link, reporter, group_suffix(record.group)),
            }
        }
    }

    /// A bridge has heard that somebody behind this port listens to a group, or that nobody does any more.
    pub fn bridge_reported(&mut self, bridge: IfIndex, port: IfIndex, suffix: u32, is_listened: bool) {
        if self.house.plan.upstream(bridge).is_some() {
            return;
        }
        let hints = &mut self.house.budget.hints;
        match is_listened {
            true => hints.begin(bridge, Reporter::Port(port), suffix),
            false => hints.end(bridge, Reporter::Port(port), suffix),
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

/// Guests answer within this time, each at a moment of its own.
const MAX_RESPONSE: Duration = Duration::from_secs(1);
/// As many records of one report are looked at: more do not fit into a packet of 1,280 bytes, and a few more into others.
const MOST_OF_REPORT: usize = 256;
