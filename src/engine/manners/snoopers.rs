//! A multicast router is advertised to switches (RFC 4286), so that they pass every solicitation on, also for guests
//! that nobody has heard of, however many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::reports::{Ground, Station, drawn};
use crate::engine::effect::Output;
use crate::engine::facts::IfIndex;
use crate::engine::seed::Seed;
use crate::engine::time::Time;
use crate::wire::MulticastRouter;

/// The links on which one is advertised.
#[derive(Debug)]
pub struct Snoopers {
    links: BTreeMap<IfIndex, Advertised>,
    seed: Seed,
    drawn: u64,
}

#[derive(Debug, Clone, Copy)]
struct Advertised {
    station: Station,
    due: Time,
    /// So many more at the short interval of the beginning.
    initial: u8,
    /// The last one left at this time.
    sent: Option<Time>,
    /// A switch has asked, and the next one is the answer.
    is_asked: bool,
}

impl Snoopers {
    /// None yet.
    pub fn new(seed: Seed) -> Self {
        Self { links: BTreeMap::new(), seed, drawn: 0 }
    }

    /// One is advertised on these links, where they are up, and on no others.
    pub fn settle(
        &mut self,
        wanted: &BTreeSet<IfIndex>,
        ground: &impl Ground,
        out: &mut Vec<Output>,
        now: Time,
    ) {
        self.links.retain(|link, ended| {
            let stays = wanted.contains(link);
            // On one that is gone nothing can be said.
            if !stays && ground.station(*link).is_some() {
                out.push(advertisement(*link, ended.station, None));
            }
            stays
        });
        for link in wanted {
            // RFC 4286 §3.2: the source is link-local. Without one it waits.
            let station = ground.station(*link).filter(|(_, source)| !source.is_unspecified());
            let Some(station) = station else {
                self.links.remove(link);
                continue;
            };
            if self.links.get(link).is_none_or(|known| known.station != station) {
                let initial = MAX_INITIAL_ADVERTISEMENTS;
                let new = Advertised { station, due: now, initial, sent: None, is_asked: false };
                self.links.insert(*link, new);
            }
        }
    }

    /// A switch on this link asks for multicast routers: one that has started again knows of none.
    ///
    /// RFC 4286 §3: the answer waits for a random time below MAX_RESPONSE_DELAY, and who asks while one is pending is
    /// ignored. It comes no sooner than a second after the last one either, however often a stranger asks.
    pub fn asked(&mut self, link: IfIndex, now: Time) {
        let Some(advertised) = self.links.get_mut(&link).filter(|advertised| !advertised.is_asked) else {
            return;
        };
        self.drawn += 1;
        let due = now + drawn(self.seed, self.drawn, MAX_RESPONSE_DELAY);
        let due = advertised.sent.map_or(due, |sent| due.max(sent + MIN_GAP));
        advertised.due = advertised.due.min(due);
        advertised.is_asked = true;
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
            (advertised.sent, advertised.is_asked) = (Some(now), false);
            // RFC 4286 §3.1.2: jitter keeps the routers of a link from advertising all at the same time.
            self.drawn += 1;
            let interval = INTERVAL - drawn(self.seed, self.drawn, ADVERTISEMENT_JITTER);
            let is_initial = advertised.initial > 0;
            advertised.due = now + if is_initial { MAX_INITIAL_ADVERTISEMENT_INTERVAL } else { interval };
        }
    }
}

fn advertisement(link: IfIndex, (source_mac, source): Station, interval: Option<Duration>) -> Output {
    Output::AdvertiseRouter(link, MulticastRouter { source_mac, source, interval })
}

/// RFC 4286 §3.1.1, AdvertisementInterval: "Default: 20 seconds".
const INTERVAL: Duration = Duration::from_secs(20);
/// RFC 4286 §3.1.2: a fortieth of the interval. It only makes the interval shorter, so that no switch waits longer than
/// it was told.
const ADVERTISEMENT_JITTER: Duration = Duration::from_millis(500);
/// RFC 4286 §3.1.3.
const MAX_INITIAL_ADVERTISEMENT_INTERVAL: Duration = Duration::from_secs(2);
/// RFC 4286 §3.1.4.
const MAX_INITIAL_ADVERTISEMENTS: u8 = 3;
/// RFC 4286 §3, for the answer to a switch that asks.
const MAX_RESPONSE_DELAY: Duration = Duration::from_secs(2);
/// From one advertisement to one that somebody has asked for.
const MIN_GAP: Duration = Duration::from_secs(1);
