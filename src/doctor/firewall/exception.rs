//! The line for the shell that makes a chain let a packet pass, in the words of whoever keeps it.

use std::fmt::Write as _;

use ipnet::Ipv6Net;

use super::evaluate::Objection;
use super::rules::{Hook, Keeper};

/// What is to pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exception {
    /// Whatever goes to these addresses.
    To(Ipv6Net),
    /// Whatever comes from these addresses.
    From(Ipv6Net),
    /// Whatever comes from these addresses and leaves by this interface.
    Leaving(Ipv6Net, String),
    /// ICMPv6 messages of these types.
    Icmp(Vec<u8>),
    /// Whatever came by this interface.
    By(String),
    /// Whatever came by this interface, and leaves by it.
    Within(String),
}

impl Objection<'_> {
    /// Where it is, as evidence.
    pub fn place(&self) -> String {
        let Some((number, rule)) = self.rule else { return format!("the policy of {}", self.chain) };
        let mut place = format!("rule {} of {}", number + 1, self.chain);
        if let Some(handle) = rule.handle {
            let _ = write!(place, ", handle {handle}");
        }
        if !rule.text.is_empty() {
            let _ = write!(place, ": {}", rule.text);
        }
        place
    }

    /// Whether both are the same rule, or the same policy.
    pub fn is_same(&self, other: &Self) -> bool {
        let number = |objection: &Self| objection.rule.map(|(number, _)| number);
        self.base == other.base && self.chain == other.chain && number(self) == number(other)
    }

    /// The commands that make an exception, ahead of the rule or the policy that objects.
    pub fn except(&self, exception: &Exception) -> Vec<String> {
        let (table, name) = (&self.chain.table, self.chain.name.as_str());
        match (table.keeper, exception) {
            (Keeper::Nft, Exception::To(net)) if table.name == "firewalld" => firewalld("destination", *net),
            (Keeper::Nft, Exception::From(net)) if table.name == "firewalld" => firewalld("source", *net),
            (Keeper::Nft, _) => {
                let place = format!("{} {} {name}", table.family.as_str(), table.name);
                let what = in_nft(exception);
                vec![match self.rule.and_then(|(_, rule)| rule.handle) {
                    Some(handle) => format!("nft insert rule {place} handle {handle} {what} accept"),
                    None => format!("nft add rule {place} {what} accept"),
                }]
            }
            (keeper, _) => self.except_in_iptables(keeper.as_str(), exception),
        }
    }

    fn except_in_iptables(&self, program: &str, exception: &Exception) -> Vec<String> {
        let (table, chain) = (&self.chain.table, self.chain.name.as_str());
        let is_forward = self.base.base.as_ref().is_some_and(|base| base.hook == Hook::Forward);
        if is_forward && table.name == "filter" && is_of_ufw(self) {
            match exception {
                Exception::To(net) => return vec![format!("ufw route allow from any to {net}")],
                Exception::From(net) => return vec![format!("ufw route allow from {net} to any")],
                _ => {}
            }
        }
        let place = if is_forward && self.has_chain("DOCKER-USER") {
            "-I DOCKER-USER".to_owned()
        } else {
            match self.rule {
                Some((number, _)) => format!("-I {chain} {}", number + 1),
                None => format!("-A {chain}"),
            }
        };
        let line = |what: &str| format!("{program} -t {} {place} {what} -j ACCEPT", table.name);
        match exception {
            Exception::To(net) => vec![line(&format!("-d {net}"))],
            Exception::From(net) => vec![line(&format!("-s {net}"))],
            Exception::Leaving(net, name) => vec![line(&format!("-s {net} -o {name}"))],
            Exception::By(name) => vec![line(&format!("-i {name}"))],
            Exception::Within(name) => vec![line(&format!("-i {name} -o {name}"))],
            Exception::Icmp(kinds) => {
                kinds.iter().map(|kind| line(&format!("-p ipv6-icmp --icmpv6-type {kind}"))).collect()
            }
        }
    }

    /// The commands that remove the rule.
    pub fn remove(&self) -> Option<String> {
        let table = &self.chain.table;
        let (_, rule) = self.rule?;
        match table.keeper {
            Keeper::Nft => Some(format!(
                "nft delete rule {} {} {} handle {}",
                table.family.as_str(),
                table.name,
                self.chain.name,
                rule.handle?
            )),
            keeper => {
                let rest = rule.text.strip_prefix("-A ")?;
                Some(format!("{} -t {} -D {rest}", keeper.as_str(), table.name))
            }
        }
    }

    /// Docker made it: its chains are in the same table.
    pub fn is_of_docker(&self) -> bool {
        self.has_chain("DOCKER") || self.chain.table.name.starts_with("docker")
    }

    fn has_chain(&self, beginning: &str) -> bool {
        self.siblings.iter().any(|name| name.starts_with(beginning))
    }
}

fn is_of_ufw(objection: &Objection<'_>) -> bool {
    objection.has_chain("ufw6-")
}

fn in_nft(exception: &Exception) -> String {
    match exception {
        Exception::To(net) => format!("ip6 daddr {net}"),
        Exception::From(net) => format!("ip6 saddr {net}"),
        Exception::Leaving(net, name) => format!("ip6 saddr {net} oifname {name}"),
        Exception::By(name) => format!("iifname {name}"),
        Exception::Within(name) => format!("iifname {name} oifname {name}"),
        Exception::Icmp(kinds) => {
            let kinds: Vec<_> = kinds.iter().map(u8::to_string).collect();
            format!("icmpv6 type {{ {} }}", kinds.join(", "))
        }
    }
}

/// Its chains are written again whenever it reloads, so it has to be told itself: between zones, only
/// a policy lets packets pass.
fn firewalld(end: &str, net: Ipv6Net) -> Vec<String> {
    let permanent = "firewall-cmd --permanent";
    let policy = format!("{permanent} --policy lone64");
    vec![
        format!(
            "{permanent} --info-policy lone64 >/dev/null 2>&1 || {{ {permanent} --new-policy lone64; \
             {policy} --add-ingress-zone ANY; {policy} --add-egress-zone ANY; }}"
        ),
        format!("{policy} --add-rich-rule 'rule family=ipv6 {end} address={net} accept'"),
        "firewall-cmd --reload".to_owned(),
    ]
}
