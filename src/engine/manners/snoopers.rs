//! A multicast router is advertised to switches (RFC 4286), so that they pass every solicitation on, also for guests
//! that nobody has heard of, however many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::reports::{Ground, Station};
use crate::engine::effect::Output;
use crate::engine::facts::IfIndex;
use crate::engine::time::Time;
use crate::wire::MulticastRouter;

/// The links on which one is advertised.
#[derive(Debug, Default)]
pub struct Snoopers {
    links: BTreeMap<IfIndex, Advertised>,
}

#[derive(Debug, Clone, Copy)]
struct Advertised {
    station: Station,
    due: Time,
    /// So many more at the short interval of the beginning.
    initial: u8,
}

impl Snoopers {
    /// One is advertised on these links, where they are up, and on no others.
    pub fn settle(
        &mut self,
        wanted: &BTreeSet<IfIndex>,
        ground: &impl Ground,
        out: &mut Vec<Output>,
        now: Time,
    ) {
        for (link, ended) in self.links.extract_if(.., |link, _| !wanted.contains(link)) {
            // On one that is gone nothing can be said.
            if ground.station(link).is_some() {
                out.push(advertisement(link, ended.station, None));
            }
        }
        for link in wanted {
            // RFC 4286 §3.2: the source is link-local. Without one it waits.
            let station = ground.station(*link).filter(|(_, source)| !source.is_unspecified());
            let Some(station) = station else {
                self.links.remove(link);
                continue;
            };
            if self.links.get(link).is_none_or(|known| known.station != station) {
                let initial = MAX_INITIAL_ADVERTISEMENTS;
                self.links.insert(*link, Advertised { station, due: now, initial });
            }
        }
    }

    /// Whether one is advertised on this link.
    pub fn are_told_on(&self, link: IfIndex) -> bool {
        self.links.contains_key(&link)
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Time> {
        self.links.values().map(|advertised| advertised.due).min()
    }

    /// Advertises where that is due.
    pub fn tick(&mut self, out: &mut Vec<Output>, now: Time) {
        for (link, advertised) in self.links.iter_mut().filter(|(_, advertised)| advertised.due <= now) {
            out.push(advertisement(*link, advertised.station, Some(INTERVAL)));
            advertised.initial = advertised.initial.saturating_sub(1);
            advertised.due =
                now + if advertised.initial > 0 { MAX_INITIAL_ADVERTISEMENT_INTERVAL } else { INTERVAL };
        }
    }
}

fn advertisement(link: IfIndex, (source_mac, source): Station, interval: Option<Duration>) -> Output {
    Output::AdvertiseRouter(link, MulticastRouter { source_mac, source, interval })
}

/// RFC 4286 §4.2: "Default: 20 seconds".
const INTERVAL: Duration = Duration::from_secs(20);
/// RFC 4286 §4.2.
const MAX_INITIAL_ADVERTISEMENT_INTERVAL: Duration = Duration::from_secs(2);
/// RFC 4286 §4.2.
const MAX_INITIAL_ADVERTISEMENTS: u8 = 3;
