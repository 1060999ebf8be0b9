//! The host answers for guests, and its own packet filter throws their packets away.

use std::collections::BTreeSet;

use ipnet::Ipv6Net;

use super::docker::{self, Opened};
use super::{Direction, ORDINARY, Obstacles, ROUTED, Way, exceptions, listed, opened};
use crate::doctor::firewall::{Chain, Exception, Fate, Hook, Objection, State};
use crate::doctor::{Check, Finding, Group, Host, Severity};

/// The check.
pub static CHECK: Check = Check {
    name: "forward-filter",
    group: Group::Path,
    asks: "the packet filters forward what goes to guests and comes from them",
    examine,
};

/// What is lost: of a range, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    range: Ipv6Net,
    direction: Direction,
    /// Whether replies are lost too, and not only what begins a connection.
    state: State,
    /// What is not, all the same.
    opened: Opened,
}

fn examine(host: &Host) -> Vec<Finding> {
    findings(host, &[Hook::Forward])
}

/// A finding for each base chain of these hooks in which all that is ordinary is lost.
pub fn findings(host: &Host, hooks: &[Hook]) -> Vec<Finding> {
    let ways = Way::all(host);
    let obstacles = obstacles(host, &ways, hooks);
    let mut bases: Vec<&Chain> = Vec::new();
    for (objection, _) in &obstacles.all {
        if !bases.contains(&objection.base) {
            bases.push(objection.base);
        }
    }
    bases.into_iter().map(|base| finding(base, &obstacles)).collect()
}

/// The rules because of which nothing ordinary passes some base chain of these hooks.
pub fn obstacles<'a>(host: &'a Host, ways: &[Way], hooks: &[Hook]) -> Obstacles<'a, Loss> {
    let mut obstacles = Obstacles::none();
    let rules = &host.firewall.rules;
    for way in ways {
        for (direction, state) in [
            (Direction::ToGuests, State::New),
            (Direction::FromGuests, State::New),
            (Direction::FromGuests, State::Established),
        ] {
            for hook in hooks {
                let met: Vec<Vec<Objection<'_>>> = ORDINARY
                    .iter()
                    .map(|body| {
                        let mut packet = way.packet(direction, *body, state);
                        if *hook == Hook::Prerouting {
                            packet.output = "";
                        }
                        let all = rules.objections(*hook, &ROUTED, "", &packet);
                        all.into_iter().filter(|one| !matches!(one.fate, Fate::Translated(_))).collect()
                    })
                    .collect();
                // What Docker opens is told apart below.
                let opens = |objection: &Objection<'_>| {
                    !objection.is_of_docker() && opened::opens(rules, *hook, way, objection.base)
                };
                for objection in met.iter().flatten() {
                    let is_met = |all: &Vec<Objection<'_>>| all.iter().any(|one| one.base == objection.base);
                    // A chain that lets something pass was made to be choosy.
                    if !met.iter().all(is_met) || (direction == Direction::ToGuests && opens(objection)) {
                        continue;
                    }
                    let what = match (direction, hook) {
                        (Direction::ToGuests, Hook::Forward) => docker::opened(rules, way, objection),
                        _ => Opened::Nothing,
                    };
                    if what != Opened::AsIntended {
                        obstacles.add(
                            objection.clone(),
                            Loss { range: way.range, direction, state, opened: what },
                        );
                    }
                }
            }
        }
    }
    obstacles
}

fn finding(base: &Chain, obstacles: &Obstacles<'_, Loss>) -> Finding {
    let here: Vec<_> = obstacles.all.iter().filter(|(objection, _)| objection.base == base).collect();
    let losses = || here.iter().flat_map(|(_, losses)| losses);
    let of = |direction| {
        let ranges: BTreeSet<_> =
            losses().filter(|loss| loss.direction == direction).map(|loss| loss.range).collect();
        listed(ranges.iter().map(Ipv6Net::to_string))
    };
    let is_certain = here.iter().any(|(objection, _)| objection.fate == Fate::Dropped);
    let drops = if is_certain { "drops" } else { "may drop" };
    let (to, from) = (of(Direction::ToGuests), of(Direction::FromGuests));
    let is_choosy = losses().all(|loss| loss.opened == Opened::Something);
    let sentence = match (to.as_str(), from.as_str()) {
        (to, "") if is_choosy => {
            format!("{base} {drops} what is sent to guests in {to}, but for what is published")
        }
        (to, "") => format!("{base} {drops} what is sent to guests in {to}, so nobody outside reaches them"),
        ("", from) => format!("{base} {drops} what guests in {from} send"),
        (to, from) if to == from => {
            format!("{base} {drops} what is sent to guests in {to}, and what they send")
        }
        (to, from) => {
            format!("{base} {drops} what is sent to guests in {to}, and what guests in {from} send")
        }
    };
    let is_deaf = losses().any(|loss| (loss.direction, loss.state) != (Direction::FromGuests, State::New));
    let mut finding = Finding::fault(sentence);
    if !(is_certain && is_deaf) || is_choosy {
        finding.severity = Severity::Warning;
    }
    for (objection, _) in &here {
        finding = finding.seen(objection.place());
        if let Fate::PerhapsDropped(why) = &objection.fate {
            finding = finding.seen(format!("it depends on {why}"));
        }
    }
    let wanted = here.iter().flat_map(|(objection, losses)| {
        losses.iter().map(move |loss| {
            let exception = match loss.direction {
                Direction::ToGuests => Exception::To(loss.range),
                Direction::FromGuests => Exception::From(loss.range),
            };
            (objection, exception)
        })
    });
    let finding = exceptions(wanted).into_iter().fold(finding, Finding::run);
    if here.iter().any(|(objection, _)| objection.is_of_docker()) {
        return finding.remedy(docker::for_good());
    }
    finding
}
