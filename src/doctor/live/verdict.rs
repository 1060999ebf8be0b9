//! What was seen becomes five legs, and the first that is broken gets its remedy; of what is beyond this host `provider`
//! speaks. Touches nothing.

use std::net::Ipv6Addr;

use super::filters::blame;
use super::journey::Journey;
use super::spot::{LOOPBACK, Seat, Spot, best_route};
use super::trial::Trials;
use super::{Daemon, Leg, Live, Step};
use crate::doctor::checks::path::Direction;
use crate::doctor::{Command, Finding, Group, Host, MAIN, Remedy, Severity, examine};
use crate::engine::facts::{IfIndex, KernelRoute, KernelRule, NeighborState, TableName};

/// Everything that is known.
pub(super) struct Case<'a> {
    pub(super) host: &'a Host,
    pub(super) spot: &'a Spot,
    pub(super) journey: &'a Journey,
    pub(super) trials: &'a Trials,
    /// The address that the guest has had first.
    pub(super) guest: Ipv6Addr,
    /// Asks the daemon, which is worth it only where it matters.
    pub(super) daemon: &'a dyn Fn() -> Daemon,
}

/// The first leg that the packet did not come through, or would not without something that guests do not have.
pub(super) fn broken(journey: &Journey, trials: &Trials) -> Option<Leg> {
    let Journey { has_left, asked, advertised, reply, is_delivered, .. } = journey;
    if trials.gateway_is_deaf && trials.gateway_hears_global {
        return Some(Leg::Request);
    }
    match (has_left, reply) {
        (false, None) => Some(Leg::Request),
        (_, Some(_)) if !is_delivered => Some(Leg::Delivery),
        // The router has been told, and it has not asked: nothing is wrong, and nothing is shown.
        (_, Some(_)) if !journey.was_announced || asked.is_none() => None,
        (true, None) if journey.has_come_back() && !journey.was_announced => Some(Leg::Reply),
        (true, None) if asked.is_none() => Some(Leg::Solicitation),
        _ if advertised.is_none() => Some(Leg::Advertisement),
        _ => Some(Leg::Reply),
    }
}

impl Case<'_> {
    /// The five legs.
    pub(super) fn report(&self) -> Live {
        let broken = broken(self.journey, self.trials);
        let step = |leg: Leg| match (broken, self.not_needed(leg)) {
            (Some(first), _) if leg == first => Step::no(leg, self.fault(leg)),
            (Some(first), _) if leg > first => Step::open(leg, "the packet did not come this far"),
            (_, Some(why)) => Step::open(leg, why),
            _ => Step::yes(leg, self.seen(leg)),
        };
        let to = self.journey.request.to;
        Live {
            guest: self.guest,
            behind: self.behind(),
            upstream: self.upstream(),
            to,
            steps: Leg::ALL.into_iter().map(step).collect(),
        }
    }

    fn fault(&self, leg: Leg) -> Finding {
        match leg {
            Leg::Request => self.not_sent(),
            Leg::Solicitation => self.not_asked(),
            Leg::Advertisement => self.not_advertised(),
            Leg::Reply => self.not_replied(),
            Leg::Delivery => self.not_delivered(),
        }
    }

    /// Why nothing is shown of a part of the way that the packet came through.
    fn not_needed(&self, leg: Leg) -> Option<String> {
        let Journey { asked, advertised, was_announced, reply, .. } = self.journey;
        let guest = self.address();
        match leg {
            Leg::Solicitation if asked.is_none() => Some(if *was_announced {
                format!("the router was told of {guest} by an announcement before it had to ask")
            } else if reply.is_some() && self.is_stand_in() {
                format!(
                    "the router did not ask for {guest}: it knows it from before, or the prefix is routed to this host"
                )
            } else {
                format!("the router did not ask for {guest}: the prefix is routed to this host, it seems")
            }),
            Leg::Advertisement if asked.is_none() || advertised.is_none() => {
                Some("the router needed no answer of this host".to_owned())
            }
            _ => None,
        }
    }

    fn seen(&self, leg: Leg) -> String {
        let Journey { asked, advertised, reply, questions, .. } = self.journey;
        let (guest, upstream) = (self.address(), self.upstream());
        match leg {
            Leg::Request => format!("the packet from {guest} left by {upstream}"),
            Leg::Solicitation => match asked {
                Some(asked) if asked.is_dad() => format!("somebody checks whether {guest} is free"),
                Some(asked) => {
                    let times = if *questions == 1 { "once" } else { "more than once" };
                    format!("{} asked for {guest} on {upstream}, {times}", asked.source)
                }
                None => "nobody asked".to_owned(),
            },
            Leg::Advertisement => match advertised {
                Some(answer) => format!("this host answered from {}", answer.source),
                None => "nobody answered".to_owned(),
            },
            Leg::Reply => match reply {
                Some(reply) => format!("{} said: {}", reply.source, reply.as_str()),
                None => "it arrived".to_owned(),
            },
            Leg::Delivery => format!("it reached {guest}, {}", self.behind()),
        }
    }

    fn not_sent(&self) -> Finding {
        let Journey { is_sent, disguise, request, .. } = self.journey;
        let (guest, upstream) = (self.address(), self.upstream());
        if !is_sent {
            let name = self.behind();
            return Finding::fault(format!(
                "the guest, {name}, gets no answer from its gateway, which is this host"
            ))
            .remedy(Remedy::Advice(
                "look whether the bridge keeps its ports waiting (`ip -d link` shows stp_state and \
                 vlan_filtering), and whether a packet filter drops ICMPv6 on the host"
                    .to_owned(),
            ));
        }
        if let Some(source) = disguise {
            return Finding::fault(format!(
                "the packet left by {upstream} from {source} instead of {guest}: the host hides its guests \
                 behind its own address, and nobody outside learns of them"
            ))
            .remedy(Remedy::Advice(format!(
                "take the rule that masquerades {} out of the packet filter (`nft list ruleset`), or make the \
                 exception from Docker's that the check `masquerade` above names",
                self.spot.range
            )));
        }
        if let Some(finding) = self.gateway_fault() {
            return finding;
        }
        if let Some(known) = self.known_fault() {
            return known;
        }
        let route = best_route(&self.host.routes, request.to).and_then(KernelRoute::unicast_link);
        if let Some(link) = route.filter(|link| *link != self.spot.upstream.link) {
            let name = self.host.name(link);
            return Finding::fault(format!(
                "the host sends packets to {} by {name}, and not by {upstream}",
                request.to
            ))
            .remedy(Remedy::Advice(format!(
                "name {name} as the upstream, or give --to an address that is reached by {upstream}"
            )));
        }
        if route.is_none() {
            return Finding::fault(format!("the host has no route to {}", request.to)).remedy(
                Remedy::Advice(
                    "add an IPv6 default route, to the gateway that the provider names".to_owned(),
                ),
            );
        }
        self.lost("the packet from the guest came to the host, and did not leave it", Direction::FromGuests)
    }

    fn not_advertised(&self) -> Finding {
        let (guest, upstream) = (self.address(), self.upstream());
        let asked = self.journey.asked.map(|asked| asked.source);
        let asker = asked.map_or_else(String::new, |asker| format!(", which {asker} asked for"));
        let finding = |why: &str| {
            Finding::fault(format!("this host does not say that it has {guest}{asker}: {why}"))
                .seen(format!("{upstream}: a solicitation for {guest}, and no advertisement"))
        };
        match (self.daemon)() {
            Daemon::Absent => finding("no lone64 is running").run(
                Command::new("systemctl start lone64").for_good(Some("`systemctl enable lone64`".to_owned())),
            ),
            Daemon::Mute(why) => finding("the running lone64 cannot be asked why").seen(why),
            Daemon::Says(explained) => {
                let speaks_against = |holds: &str| explained.steps.iter().find(|step| step.holds == holds);
                let step = speaks_against("no").or_else(|| speaks_against("open"));
                let Some(step) = step else {
                    return blame(
                        finding("the running lone64 answers, and nothing is seen of it"),
                        self.host,
                        self.spot.range,
                        Direction::FromGuests,
                    );
                };
                let finding = finding(&format!("{}: {}", step.subject, step.value))
                    .seen(format!("lone64 explain {guest}"));
                match &step.remedy {
                    Some(remedy) => finding.remedy(Remedy::Advice(remedy.clone())),
                    None => finding,
                }
            }
        }
    }

    /// Whether the range has the upstream's own link in it.
    fn covers_link(&self) -> bool {
        let mut on_link = self.host.prefixes_of(self.spot.upstream.link);
        on_link.any(|(_, prefix)| self.spot.range.contains(&prefix))
    }

    fn not_delivered(&self) -> Finding {
        let guest = self.address();
        if let Some(known) = self.known_fault() {
            return known;
        }
        let (link, name) = self.downstream();
        let (route, rule) = self.host.engine.way(guest, self.spot.upstream.link);
        if let (Some(link), false) = (link, route.and_then(KernelRoute::link) == link) {
            let way = route.map_or_else(|| "no route".to_owned(), |route| format!("the route {route}"));
            let finding =
                Finding::fault(format!("the reply comes to the host, which does not send it to {name}"))
                    .seen(format!("for {guest} the kernel has {way}; {name} is #{link}"));
            let ours = self.host.config.policy.routes.table;
            if let Some(rule) = rule.filter(|rule| rule.table().is_none_or(|it| ![MAIN, ours].contains(&it)))
            {
                return self.led_away_by(rule, finding);
            }
            return match self.spot.seat {
                // Over all of the upstream's link it would take that away.
                Seat::Port { .. } if !self.covers_link() => {
                    finding.run(format!("ip -6 route add {} dev {name}", self.spot.range))
                }
                Seat::Port { .. } | Seat::Beside(_) | Seat::Host { .. } => {
                    finding.run(Command::new("systemctl restart lone64").lasting())
                }
            };
        }
        let failed =
            |state: NeighborState| matches!(state, NeighborState::Failed | NeighborState::Incomplete);
        let neighbors = &self.host.neighbors;
        if neighbors.iter().any(|known| known.address == guest && failed(known.state)) {
            return Finding::fault(format!(
                "the reply comes to the host, and its question for the guest on {name} gets no answer"
            ))
            .seen(format!("ip -6 neigh show dev {name}: {guest} does not reply"))
            .remedy(Remedy::Advice(format!(
                "see what the bridge does with multicast (`bridge -d link show`, mcast_snooping of {name})"
            )));
        }
        self.lost("the reply comes to the host, and does not reach the guest", Direction::ToGuests)
    }

    /// A rule has another table read than that of our routes: one of ours would change nothing.
    fn led_away_by(&self, rule: &KernelRule, finding: Finding) -> Finding {
        let finding = finding.seen(format!("ip -6 rule: {rule}"));
        let priority = rule.priority.checked_sub(1).filter(|priority| *priority > 0);
        // For guests alone, so it cuts nobody else's way.
        match priority {
            Some(priority) => {
                let (range, table) = (self.spot.range, TableName(self.host.config.policy.routes.table));
                finding.run(format!("ip -6 rule add to {range} lookup {table} priority {priority}"))
            }
            None => finding.remedy(Remedy::Advice(
                "change that rule, or add one before it that names the table of its route".to_owned(),
            )),
        }
    }

    /// What the host's own settings say, where that explains it.
    fn known_fault(&self) -> Option<Finding> {
        let results = examine(self.host);
        let relevant =
            results.into_iter().filter(|(check, _)| matches!(check.group, Group::Host | Group::Path));
        relevant.flat_map(|(_, findings)| findings).find(|finding| finding.severity == Severity::Fault)
    }

    fn lost(&self, sentence: &str, way: Direction) -> Finding {
        let mut finding = Finding::fault(format!("{sentence}: something on the host drops it"));
        if let Some(refusal) = self.journey.refusal {
            finding = finding.seen(format!("the host told the guest: {}", refusal.as_str()));
        }
        let finding = blame(finding, self.host, self.spot.range, way);
        if finding.remedies.is_empty() {
            return finding.remedy(Remedy::Advice(
                "`nft monitor trace` and `nstat -az | grep Ip6` tell what drops it".to_owned(),
            ));
        }
        finding
    }

    pub(super) fn address(&self) -> Ipv6Addr {
        self.journey.request.guest
    }

    pub(super) fn upstream(&self) -> String {
        self.host.name(self.spot.upstream.link)
    }

    fn downstream(&self) -> (Option<IfIndex>, String) {
        match &self.spot.seat {
            Seat::Port { bridge, .. } => (Some(*bridge), self.host.name(*bridge)),
            Seat::Beside(name) => (self.host.links().named(name).map(|link| link.index), name.to_string()),
            // An address of another interface is on `lo` in the kernel's own table, and everywhere else not.
            Seat::Host { link, .. } => (None, self.host.name(*link)),
        }
    }

    /// The host itself stands in for a guest.
    fn is_stand_in(&self) -> bool {
        matches!(self.spot.seat, Seat::Host { .. })
    }

    fn behind(&self) -> String {
        match &self.spot.seat {
            Seat::Host { link: LOOPBACK, .. } => "the host itself".to_owned(),
            Seat::Host { link, .. } => {
                format!("the host itself, because no guest can be put behind {}", self.host.name(*link))
            }
            Seat::Port { .. } | Seat::Beside(_) => format!("behind {}", self.downstream().1),
        }
    }
}
