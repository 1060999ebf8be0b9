//! What the provider lets through, as its routers show it: from which source they take answers, and from which
//! address they answer questions.

use core::net::Ipv6Addr;
use std::collections::BTreeMap;
use std::time::Duration;

use super::Desk;
use crate::engine::answer;
use crate::engine::asker::Asker;
use crate::engine::effect::Output;
use crate::engine::event::{Event, NotTaken};
use crate::engine::facts::{IfIndex, IfName};
use crate::engine::host::Host;
use crate::engine::house::House;
use crate::engine::manners::admission::{self, Standing};
use crate::engine::manners::filtered::{Own, Verdict};
use crate::engine::manners::sources::{Acquaintance, Cast, News, Notable, Outcome, Sight};
use crate::engine::plan::bindings::Upstream;
use crate::engine::policy::Source;
use crate::engine::time::Time;
use crate::wire::{Advertisement, Solicitation};

impl Desk {
    /// A question has arrived on an upstream, and may say what its asker makes of the answers before. It counts only if
    /// it comes from the station that gets the answer: a stranger may name another's in its option.
    pub(super) fn note_question(&mut self, asker: &Asker, solicitation: &Solicitation, now: Time) {
        let House { plan, manners, host, keep, .. } = &mut self.house;
        let Some(upstream) = plan.upstream(asker.link).filter(|upstream| upstream.source == Source::Auto)
        else {
            return;
        };
        if solicitation.source_mac != asker.mac {
            return;
        }
        let cast = if solicitation.destination.is_multicast() { Cast::Multicast } else { Cast::Unicast };
        let target = solicitation.target;
        let ways = || answer::ways(upstream, asker, target, &host.links);
        // What the kernel answers by itself comes to us where it is asked for again soon.
        let sight = if keep.mirror.answers(asker, target) { Sight::Repeats } else { Sight::All };
        let asks_again = manners.sources.ask(*asker, target, (cast, sight), ways, now);
        // A switch that has lost its table keeps our answers from the router. A stranger's word says nothing of that.
        if asks_again && host.gateways.have(asker.link, asker.mac) {
            let number = self.house.guests.number(target);
            self.house.manners.admission.doubt(target, number, now);
            self.house.look_again();
        }
        self.tell_sources();
    }

    /// What an answer takes from its link, with the source that the asker takes.
    pub(super) fn face_for(&mut self, asker: &Asker, target: Ipv6Addr, now: Time) -> Option<Upstream> {
        let face = self.house.face_towards(asker, target)?;
        if face.source != Source::Auto {
            return Some(face);
        }
        let House { manners, host, .. } = &mut self.house;
        let source = manners.sources.answer(*asker, target, &Acquainted { host }, now);
        Some(answer::with_source(&face, source, &host.links))
    }

    /// The interface did not take an advertisement: an answer that was counted is none.
    pub fn unsent(&mut self, link: IfIndex, advertisement: &Advertisement) {
        let &Advertisement { destination_mac, destination, target, flags, .. } = advertisement;
        if flags.solicited {
            self.house.counters.unsent(link);
            let asker = Asker { link, mac: destination_mac, address: destination };
            self.house.manners.sources.unsend(&asker, target);
        }
    }

    /// An advertisement on an upstream, which may be a router's answer.
    pub(super) fn hear_gateway(&mut self, upstream: &Upstream, advertisement: &Advertisement, now: Time) {
        let link = upstream.link;
        let manners = &mut self.house.manners;
        let change = manners.routers.heard(link, upstream.global, advertisement, now);
        let verdict = own(upstream).and_then(|own| manners.filtered.heard(link, own, advertisement, now));
        self.outputs.extend(change.map(Output::ChangeNeighbor));
        if let Some(verdict) = verdict {
            self.follow_verdicts([verdict], now);
        }
        self.hear_verdict(upstream, advertisement, now);
    }

    /// A router answers a question from the address of a target, or of the host: the provider lets that through.
    fn hear_verdict(&mut self, upstream: &Upstream, advertisement: &Advertisement, now: Time) {
        let &Advertisement { target: router, destination, flags, .. } = advertisement;
        let mac = advertisement.owner_mac();
        let House { manners, host, guests, .. } = &mut self.house;
        let is_answer = flags.solicited && mac.is_station() && mac != upstream.mac;
        if !is_answer || !host.routes.routers(upstream.link).contains(&router) {
            return;
        }
        let is_hosts = upstream.link_local == Some(destination) || upstream.global == Some(destination);
        let to = (destination, guests.number(destination), is_hosts);
        let is_new = manners.admission.heard(upstream.link, router, to, now);
        if is_new && manners.announcements.spare(upstream.link, destination) {
            manners.admission.look_later(upstream.link, router, destination, now);
        }
        self.tell_admission(now);
    }

    /// Tells what has come of the provider's verdicts, and follows it.
    pub(super) fn tell_admission(&mut self, now: Time) {
        for news in self.house.manners.admission.take_news() {
            let event = match news {
                admission::News::Refused(target, link, router) => Event::NotAdmitted(target, link, router),
                admission::News::Admitted(target, link) => Event::Admitted(target, link),
                admission::News::Bound(target) => {
                    self.house.manners.sources.forgive(target);
                    continue;
                }
                admission::News::Forgets(link, period) => {
                    let House { manners, plan, .. } = &mut self.house;
                    manners.settle_rounds(plan, &BTreeMap::new(), now);
                    Event::Forgets(link, period)
                }
                admission::News::Forgot(link) => {
                    self.house.manners.announcements.hasten(link, now.next());
                    continue;
                }
            };
            self.tell(event);
        }
    }

    /// What is due: routers whose entries are ours to keep are asked, and those that may not answer link-local questions;
    /// and silences are looked at.
    pub fn tick_provider(&mut self, now: Time) {
        self.house.manners.sources.tick(now);
        self.tell_sources();
        let House { plan, manners, .. } = &mut self.house;
        let (asked, verdicts) = manners.filtered.tick(|link| plan.upstream(link).and_then(own), now);
        self.outputs.extend(asked.into_iter().map(|(link, question)| Output::Solicit(link, question)));
        self.follow_verdicts(verdicts, now);
        let House { plan, manners, .. } = &mut self.house;
        let kept = manners.routers.tick(|link| plan.upstream(link).and_then(|up| up.global), now);
        self.outputs.extend(kept.into_iter().map(|(link, question)| Output::Solicit(link, question)));
    }

    fn follow_verdicts(&mut self, verdicts: impl IntoIterator<Item = Verdict>, now: Time) {
        let mut is_any = false;
        for verdict in verdicts {
            is_any = true;
            self.tell(match verdict {
                Verdict::Proved(link, router) => Event::GatewayFiltered(link, router),
                Verdict::Over(link, router) => Event::GatewayAnswers(link, router),
            });
        }
        if is_any {
            let House { plan, manners, host, .. } = &mut self.house;
            let told = manners.settle_routers(plan, host, now);
            self.outputs.extend(told.into_iter().map(Output::ChangeNeighbor));
        }
    }

    fn tell_sources(&mut self) {
        for News { asker, outcome, taking } in self.house.manners.sources.take_news() {
            match outcome {
                Outcome::Found(source) => {
                    let House { manners, host, .. } = &mut self.house;
                    let is_gateway = Acquainted { host }.is_gateway(&asker);
                    if let Some(link) = host.links.get(asker.link) {
                        manners.sources.keep(&asker, link.name, source, is_gateway);
                    }
                    self.tell(Event::SourceFound(asker, source));
                }
                Outcome::NotTaken => {
                    let not_taken = NotTaken { asker, taken: taking.taken, targets: taking.refused };
                    self.tell(Event::NotTaken(Box::new(not_taken)));
                }
                Outcome::Over => self.tell(Event::TakenAgain(asker)),
            }
        }
        if let Some(all) = self.house.manners.sources.take_changed() {
            self.outputs.push_back(Output::Remember(all));
        }
    }
}

/// What is known of askers.
struct Acquainted<'a> {
    host: &'a Host,
}

impl Acquaintance for Acquainted<'_> {
    fn interface(&self, asker: &Asker) -> Option<IfName> {
        self.host.links.get(asker.link).map(|link| link.name)
    }

    fn is_gateway(&self, asker: &Asker) -> bool {
        self.host.gateways.have(asker.link, asker.mac)
    }
}

fn own(upstream: &Upstream) -> Option<Own> {
    Some(Own { link_local: upstream.link_local?, global: upstream.global? })
}

impl House {
    /// Whether the gateway's entry is kept by us on this upstream, because it does not answer link-local questions.
    pub fn has_filtered_gateway(&self, upstream: IfIndex) -> bool {
        let routers = self.host.routes.routers(upstream);
        routers.iter().any(|router| self.manners.filtered.is_proved(upstream, *router))
    }

    /// The askers of which there is something to say: a source was found for them, or is looked for, or they do not
    /// take every answer. Gateways come first.
    pub fn notable_askers(&self, now: Time) -> Vec<Notable> {
        let mut notable = self.manners.sources.notable(now);
        for Notable { asker, is_gateway, .. } in &mut notable {
            *is_gateway |= self.host.gateways.have(asker.link, asker.mac);
        }
        notable.sort_by_key(|notable| !notable.is_gateway);
        notable
    }

    /// Whether the provider's gateway answers the host, and not the target.
    pub fn is_refused(&self, target: Ipv6Addr) -> bool {
        self.manners.admission.standing(target, self.guests.number(target)) == Standing::Refused
    }

    /// How many targets that is so of.
    pub fn count_refused(&self) -> usize {
        self.manners.admission.count_refused()
    }

    /// The first of them, as many as `most`, each with its upstream.
    pub fn refused(&self, most: usize) -> Vec<(Ipv6Addr, IfIndex)> {
        let guest = |number| self.guests.live_at(number).filter(|(next, _)| *next == number + 1)?.1;
        let refused = self.manners.admission.refused(most, guest).into_iter();
        refused.filter_map(|target| Some((target, self.plan.upstream_of(target)?.link))).collect()
    }

    /// The gateway on this upstream that answers the host, and not a target.
    pub fn refusing_gateway(&self, upstream: IfIndex) -> Option<Ipv6Addr> {
        self.manners.admission.refusing(upstream)
    }

    /// The gateway that answers the host, and not this target.
    pub fn refusing(&self, target: Ipv6Addr) -> Option<Ipv6Addr> {
        let upstream = self.plan.upstream_of(target).filter(|_| self.is_refused(target))?;
        self.refusing_gateway(upstream.link)
    }

    /// How often everything is announced again on this upstream, because its provider forgets guests.
    pub fn announces_again(&self, upstream: IfIndex) -> Option<Duration> {
        self.manners.admission.period(upstream)
    }
}
