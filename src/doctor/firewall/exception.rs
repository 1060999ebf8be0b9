//! The line for the shell that makes a chain let a packet pass, in the words of the program that keeps it.

use std::fmt::Write as _;

use ipnet::Ipv6Net;

use super::evaluate::Objection;
use super::rules::{Hook, Keeper};
use crate::doctor::Command;

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
    /// Whatever came by this interface, and leaves by it again.
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
    pub fn except(&self, exception: &Exception) -> Vec<Command> {
        let keeper = match self.chain.table.keeper {
            Keeper::Nft if self.chain.table.name == "firewalld" => Kept::Firewalld,
            Keeper::Nft => Kept::Nft,
            _ if self.is_for_ufw(exception) => Kept::Ufw,
            _ => Kept::Iptables,
        };
        let commands = self.lines(exception).into_iter().map(|line| {
            let command = match (keeper, exception) {
                (Kept::Firewalld, Exception::To(_) | Exception::From(_)) if line == RELOAD => {
                    Command::new(line)
                        .lasting()
                        .disables("what was added to firewalld without --permanent, rules and zones")
                }
                (Kept::Firewalld, Exception::To(_) | Exception::From(_)) | (Kept::Ufw, _) => {
                    Command::new(line).lasting()
                }
                (Kept::Firewalld | Kept::Nft, _) => Command::new(line)
                    .for_good(Some("the same rule in the file that loads this table".to_owned())),
                (Kept::Iptables, _) => Command::new(line).for_good(Some(
                    "`netfilter-persistent save`, or the file that loads these rules".to_owned(),
                )),
            };
            match exception {
                Exception::To(net) if command.line.contains(&net.to_string()) => command.opens(format!(
                    "every port of the guests in {net} to the Internet; to open one alone, {}",
                    keeper.one_port(*net)
                )),
                _ => command,
            }
        });
        commands.collect()
    }

    /// Whether ufw has a word for it.
    fn is_for_ufw(&self, exception: &Exception) -> bool {
        let is_forward = self.base.base.as_ref().is_some_and(|base| base.hook == Hook::Forward);
        let has_word = matches!(exception, Exception::To(_) | Exception::From(_));
        is_forward && self.chain.table.name == "filter" && is_of_ufw(self) && has_word
    }

    fn lines(&self, exception: &Exception) -> Vec<String> {
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
        if self.is_for_ufw(exception) {
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
        RELOAD.to_owned(),
    ]
}

/// Who takes an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nft,
    Iptables,
    Ufw,
    Firewalld,
}

impl Kept {
    /// How one port alone is opened, HTTPS for one.
    fn one_port(self, net: Ipv6Net) -> String {
        match self {
            Self::Nft => "write `tcp dport 443 accept` in place of `accept`".to_owned(),
            Self::Iptables => "write `-p tcp --dport 443 -j ACCEPT` in place of `-j ACCEPT`".to_owned(),
            Self::Ufw => format!("`ufw route allow proto tcp from any to {net} port 443` instead"),
            Self::Firewalld => "write `port port=443 protocol=tcp accept` in place of `accept`".to_owned(),
        }
    }
}

/// firewalld reads its files again, and drops what is in none.
pub const RELOAD: &str = "firewall-cmd --reload";
