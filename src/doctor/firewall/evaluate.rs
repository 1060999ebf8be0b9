//! What becomes of a packet in the packet filters.
//!
//! Each base chain of a hook is asked on its own, also behind one that has dropped the packet: one who
//! removes an obstacle wants to know of the next.

use std::net::Ipv6Addr;

use super::nftables::MISSING;
use super::rules::{Base, Chain, Family, Hook, Policy, Rule, Ruleset, Step, Verdict};
use super::value::{Actual, Field, Match, Truth, Value};

/// A packet on its way.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// The interface that it came by; empty if the host sends it.
    pub input: &'a str,
    /// The interface that it leaves by; empty where that is not known yet.
    pub output: &'a str,
    /// Where it comes from.
    pub source: Ipv6Addr,
    /// Where it goes.
    pub destination: Ipv6Addr,
    /// What is in it.
    pub body: Body,
    /// What conntrack says.
    pub state: State,
    /// Whether there is a way back by the interface that it came by.
    pub reverse: Reverse,
}

/// What is in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// An ICMPv6 message of this type.
    Icmp(u8),
    /// A segment to this port.
    Tcp(u16),
    /// A datagram to this port.
    Udp(u16),
}

/// What conntrack says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The first of a connection.
    New,
    /// Another one.
    Established,
    /// An error that belongs to one.
    Related,
    /// Not tracked, as all of Neighbor Discovery and MLD.
    Untracked,
}

/// Whether there is a way back by the interface that a packet came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reverse {
    /// There is.
    Routed,
    /// There is not.
    Missing,
}

/// What a packet meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is thrown away.
    Dropped,
    /// It may be thrown away, because of something that is not known.
    PerhapsDropped(String),
    /// It keeps its addresses, whatever later chains translate.
    Kept,
    /// It gets another address: `masquerade`, `snat`, …
    Translated(String),
}

/// A base chain that does not let a packet pass as it is.
#[derive(Debug, Clone)]
pub struct Objection<'a> {
    /// What it does to it.
    pub fate: Fate,
    /// The base chain.
    pub base: &'a Chain,
    /// The chain with the rule: the base chain, or one that it leads to.
    pub chain: &'a Chain,
    /// The rule and its place in the chain; none if it is the policy.
    pub rule: Option<(usize, &'a Rule)>,
    /// The names of all chains of the table: how the program that made it is recognized.
    pub siblings: Vec<&'a str>,
}

impl Packet<'_> {
    /// Neighbor Discovery: solicitations and advertisements of routers and neighbors, redirects.
    pub fn is_discovery(&self) -> bool {
        matches!(self.body, Body::Icmp(133..=137))
    }
}

impl Ruleset {
    /// Every base chain of the hook that objects to the packet. `device` is the interface of an
    /// `ingress` or `egress` hook.
    pub fn objections<'a>(
        &'a self,
        hook: Hook,
        families: &[Family],
        device: &str,
        packet: &Packet<'_>,
    ) -> Vec<Objection<'a>> {
        // A chain of an interface that is not there sees nothing.
        let is_here = |base: &Base| {
            !matches!(hook, Hook::Ingress | Hook::Egress) || base.devices.iter().any(|one| one == device)
        };
        let chains = self.at(hook, families).into_iter().filter(|(_, base)| is_here(base));
        let mut all: Vec<_> =
            chains.filter_map(|(chain, base)| Walk::new(self, packet).judge(chain, base)).collect();
        // The first rule that says which addresses a connection has is the only one.
        if let Some(kept) = all.iter().position(|one| one.fate == Fate::Kept) {
            let later = all.split_off(kept);
            all.extend(later.into_iter().filter(|one| !matches!(one.fate, Fate::Kept | Fate::Translated(_))));
        }
        all
    }
}

/// One way through one base chain.
struct Walk<'a, 'p> {
    rules: &'a Ruleset,
    packet: &'p Packet<'p>,
    /// Rules that may let it pass, and what is not known of them.
    may_pass: Option<String>,
    /// The first rule that may not, and names the packet's addresses, or looks at its bytes.
    may_stop: Option<(Site<'a>, Fate)>,
    /// Rules that are still looked at: where chains jump to each other, few of them can make a way without an end.
    left: usize,
}

type Site<'a> = (&'a Chain, usize, &'a Rule);

/// What a chain has decided.
enum End<'a> {
    Passed,
    Stopped(Site<'a>, Fate),
    /// Nothing.
    Through,
}

/// How sure it is that a rule is reached, and matches.
#[derive(Clone)]
enum Certainty {
    Sure,
    Doubtful(String),
}

impl<'a, 'p> Walk<'a, 'p> {
    fn new(rules: &'a Ruleset, packet: &'p Packet<'p>) -> Self {
        Self { rules, packet, may_pass: None, may_stop: None, left: MOST_RULES }
    }

    fn judge(mut self, base: &'a Chain, properties: &Base) -> Option<Objection<'a>> {
        let end = self.walk(base, &Certainty::Sure, 0);
        let siblings: Vec<_> = self.rules.of_table(&base.table).map(|chain| chain.name.as_str()).collect();
        let objection = |(chain, number, rule), fate| Objection {
            fate,
            base,
            chain,
            rule: Some((number, rule)),
            siblings: siblings.clone(),
        };
        match (end, properties.policy) {
            (End::Stopped(site, fate), _) => Some(objection(site, self.doubted(fate))),
            (End::Through, Policy::Drop) => {
                let fate = self.doubted(Fate::Dropped);
                Some(Objection { fate, base, chain: base, rule: None, siblings })
            }
            (End::Passed | End::Through, _) => self.may_stop.map(|(site, fate)| objection(site, fate)),
        }
    }

    fn doubted(&self, fate: Fate) -> Fate {
        match (&self.may_pass, fate) {
            (Some(why), Fate::Dropped) => Fate::PerhapsDropped(why.clone()),
            (_, fate) => fate,
        }
    }

    fn walk(&mut self, chain: &'a Chain, certainty: &Certainty, depth: usize) -> End<'a> {
        if depth == DEEPEST {
            return End::Through;
        }
        for (number, rule) in chain.rules.iter().enumerate() {
            let Some(left) = self.left.checked_sub(1) else {
                self.may_pass.get_or_insert_with(|| "rules that are too many to follow".to_owned());
                return End::Through;
            };
            self.left = left;
            for (verdict, certainty, names_it) in self.verdicts(rule, certainty) {
                let site = (chain, number, rule);
                match self.apply(verdict, &certainty, names_it, site, depth) {
                    Next::Rule => {}
                    Next::Leave => return End::Through,
                    Next::End(end) => return end,
                }
            }
        }
        End::Through
    }

    /// What a rule decides on the packet; several things only where it is not known which.
    fn verdicts(&self, rule: &'a Rule, certainty: &Certainty) -> Vec<(&'a Verdict, Certainty, bool)> {
        let mut certainty = certainty.clone();
        let mut names_it = false;
        for step in &rule.steps {
            match step {
                Step::Unknown(what) => certainty = Certainty::Doubtful(what.clone()),
                Step::Match(condition) => match condition.holds(self.actual(&condition.field)) {
                    Truth::No => return Vec::new(),
                    Truth::Yes => names_it |= names_addresses(condition),
                    Truth::Perhaps => {
                        certainty = Certainty::Doubtful(described(&condition.field));
                        names_it |= self.looks_inside(&condition.field);
                    }
                },
                Step::Verdict(verdict) => return vec![(verdict, certainty, names_it)],
                Step::Map(field, elements) => {
                    let actual = self.actual(field);
                    let truths: Vec<_> =
                        elements.iter().map(|(value, verdict)| (value.is(actual), verdict)).collect();
                    if let Some((_, verdict)) = truths.iter().find(|(truth, _)| *truth == Truth::Yes) {
                        return vec![(verdict, certainty, names_it)];
                    }
                    let doubt = Certainty::Doubtful(described(field));
                    let perhaps = truths.into_iter().filter(|(truth, _)| *truth == Truth::Perhaps);
                    return perhaps.map(|(_, verdict)| (verdict, doubt.clone(), names_it)).collect();
                }
            }
        }
        Vec::new()
    }

    fn apply(
        &mut self,
        verdict: &'a Verdict,
        certainty: &Certainty,
        names_it: bool,
        site: Site<'a>,
        depth: usize,
    ) -> Next<'a> {
        match (verdict, certainty) {
            (Verdict::Jump(name) | Verdict::Goto(name), _) => {
                let Some(chain) = self.rules.chain(&site.0.table, name) else { return Next::Rule };
                match (self.walk(chain, certainty, depth + 1), verdict, certainty) {
                    (_, _, Certainty::Doubtful(_)) | (End::Through, Verdict::Jump(_), _) => Next::Rule,
                    (End::Through, ..) => Next::Leave,
                    (end, ..) => Next::End(end),
                }
            }
            // Within a chain that may not have been entered at all, this ends only that chain.
            (Verdict::Return, _) => {
                if is_sure(certainty) {
                    Next::Leave
                } else {
                    Next::Rule
                }
            }
            (Verdict::Accept, Certainty::Sure) => Next::End(End::Passed),
            (Verdict::Accept, Certainty::Doubtful(why)) => {
                self.may_pass.get_or_insert_with(|| why.clone());
                Next::Rule
            }
            (Verdict::Keep, Certainty::Sure) => Next::End(End::Stopped(site, Fate::Kept)),
            (Verdict::Keep, Certainty::Doubtful(_)) => Next::Rule,
            (verdict, certainty) => {
                let fate = match (verdict, certainty) {
                    (Verdict::Translate(how), _) => Fate::Translated(how.clone()),
                    (Verdict::Queue, _) => Fate::PerhapsDropped("a program decides".to_owned()),
                    (_, Certainty::Doubtful(why)) => Fate::PerhapsDropped(why.clone()),
                    _ => Fate::Dropped,
                };
                if is_sure(certainty) {
                    return Next::End(End::Stopped(site, fate));
                }
                // Block lists and the like may always match; that alone is no reason to worry.
                if names_it {
                    self.may_stop.get_or_insert((site, fate));
                }
                Next::Rule
            }
        }
    }

    fn actual(&self, field: &Field) -> Actual<'p> {
        let Packet { input, output, source, destination, body, state, reverse } = *self.packet;
        let is_discovery = self.packet.is_discovery();
        match field {
            Field::Input => Actual::Name(input),
            Field::Output => Actual::Name(output),
            Field::Source => Actual::Address(source),
            Field::Destination => Actual::Address(destination),
            Field::Version => Actual::Name("ipv6"),
            Field::HopLimit if is_discovery => Actual::Number(255),
            Field::HopLimit => Actual::Unknown,
            Field::Protocol => Actual::Number(match body {
                Body::Icmp(_) => 58,
                Body::Tcp(_) => 6,
                Body::Udp(_) => 17,
            }),
            Field::IcmpType => match body {
                Body::Icmp(kind) => Actual::Number(kind.into()),
                _ => Actual::Absent,
            },
            Field::TcpPort | Field::UdpPort | Field::Port => match (field, body) {
                (Field::TcpPort | Field::Port, Body::Tcp(port))
                | (Field::UdpPort | Field::Port, Body::Udp(port)) => Actual::Number(port.into()),
                _ => Actual::Absent,
            },
            Field::State => Actual::Name(match state {
                State::New => "new",
                State::Established => "established",
                State::Related => "related",
                State::Untracked => "untracked",
            }),
            Field::Status => Actual::Name("untranslated"),
            Field::Reverse => Actual::Name(match reverse {
                Reverse::Routed => "exists",
                Reverse::Missing => MISSING,
            }),
            Field::Foreign => Actual::Absent,
            Field::Raw(bits) => bits.of(self.packet).map_or(Actual::Unknown, Actual::Bits),
            Field::Obscure(_) | Field::Unknown(_) => Actual::Unknown,
        }
    }

    /// Nobody compares bytes of Neighbor Discovery by chance.
    fn looks_inside(&self, field: &Field) -> bool {
        self.packet.is_discovery() && matches!(field, Field::Raw(_) | Field::Obscure(_))
    }
}

/// Where it goes on behind a rule.
enum Next<'a> {
    Rule,
    /// Behind the rule that led into this chain.
    Leave,
    End(End<'a>),
}

const fn is_sure(certainty: &Certainty) -> bool {
    matches!(certainty, Certainty::Sure)
}

fn names_addresses(condition: &Match) -> bool {
    let is_narrow = |value: &Value| match value {
        Value::Net(net) => net.prefix_len() > 3,
        Value::Between(..) => true,
        _ => false,
    };
    matches!(condition.field, Field::Source | Field::Destination) && condition.values.iter().any(is_narrow)
}

fn described(field: &Field) -> String {
    match field {
        Field::Unknown(what) | Field::Obscure(what) => what.clone(),
        Field::Raw(bits) => bits.to_string(),
        field => format!("its {field:?}").to_lowercase(),
    }
}

/// The kernel's own limit (NFT_JUMP_STACK_SIZE).
const DEEPEST: usize = 16;
/// A kernel that looked at so many would pass some hundred packets per second.
const MOST_RULES: usize = 300_000;

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
