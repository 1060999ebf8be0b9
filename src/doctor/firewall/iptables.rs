//! `ip6tables-save` into chains and rules, for both the nft and the legacy variant.

use super::nftables::{MISSING, obscure};
use super::rules::{Base, Chain, Family, Hook, Keeper, Policy, Rule, Step, Table, Verdict};
use super::value::{Field, Match, Sense, Value, icmp_type, protocol};

/// The chains of a listing, with their rules.
pub fn chains(text: &str, keeper: Keeper) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut table = Table { family: Family::Ip6, name: String::new(), keeper };
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            name.trim().clone_into(&mut table.name);
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            if let (Some(name), Some(policy)) = (words.next(), words.next()) {
                let base = base(&table.name, name, policy);
                chains.push(Chain { table: table.clone(), name: name.to_owned(), base, rules: Vec::new() });
            }
        } else if line.starts_with("-A ") {
            let words = words(line);
            let Some(name) = words.get(1) else { continue };
            let is_chain =
                |target: &str| chains.iter().any(|chain| chain.table == table && chain.name == target);
            let steps = steps(&words[2..], is_chain);
            let rule = Rule { text: line.to_owned(), handle: None, steps };
            let of = |chain: &&mut Chain| chain.table == table && chain.name == *name;
            if let Some(chain) = chains.iter_mut().find(of) {
                chain.rules.push(rule);
            }
        }
    }
    chains
}

fn base(table: &str, name: &str, policy: &str) -> Option<Base> {
    let hook = Hook::parse(name).filter(|_| policy != "-")?;
    // The kernel's NF_IP6_PRI_*.
    let priority = match (table, hook) {
        ("raw", _) => -300,
        ("mangle", _) => -150,
        ("nat", Hook::Prerouting | Hook::Output) => -100,
        ("security", _) => 50,
        ("nat", _) => 100,
        _ => 0,
    };
    let policy = if policy == "DROP" { Policy::Drop } else { Policy::Accept };
    Some(Base { hook, priority, policy, devices: Vec::new() })
}

/// Words, of which some are in quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => word.extend(letters.next()),
            ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
            letter => word.push(letter),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn steps(words: &[String], is_chain: impl Fn(&str) -> bool) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut words = words.iter().map(String::as_str).peekable();
    let (mut protocol_name, mut sense) = ("", Sense::Among);
    while let Some(word) = words.next() {
        if word == "!" {
            sense = Sense::NotAmong;
            continue;
        }
        let mut arguments = Vec::new();
        // What people write may look like an option.
        if word == "--comment" {
            words.next();
        }
        while let Some(argument) = words.next_if(|next| !next.starts_with('-') && *next != "!") {
            arguments.push(argument);
        }
        match (word, arguments.as_slice()) {
            ("-j" | "-g", [target, ..]) => {
                steps.extend(verdict(word, target, &is_chain, &words.collect::<Vec<_>>()));
                return steps;
            }
            ("-m", ["rpfilter"]) => {
                let values = vec![Value::Name("exists".to_owned())];
                steps.push(Step::Match(Match { field: Field::Reverse, sense: Sense::Among, values }));
            }
            ("--invert", _) => invert(&mut steps),
            ("--loose", _) => {
                // Any route is enough, and a default route is one.
                steps.retain(|step| !is_reverse(step));
                steps.push(Step::Unknown("rpfilter --loose".to_owned()));
            }
            // An ordinary packet is within the limit.
            ("-m" | "--validmark" | "--accept-local" | "--comment" | "--limit" | "--limit-burst", _) => {}
            (option, [argument]) => {
                if option == "-p" {
                    protocol_name = argument;
                }
                steps.push(match comparison(option, argument, protocol_name) {
                    Some((field, values)) => Step::Match(Match { field, sense, values }),
                    None if LOOKS_INSIDE.contains(&option) => obscure(format!("{option} {argument}")),
                    None => Step::Unknown(format!("{option} {argument}")),
                });
            }
            (option, arguments) => steps.push(Step::Unknown(format!("{option} {}", arguments.join(" ")))),
        }
        sense = Sense::Among;
    }
    steps
}

/// Matches of bytes (iptables-extensions(8): u32, bpf).
const LOOKS_INSIDE: [&str; 3] = ["--u32", "--bytecode", "--object-pinned"];

fn is_reverse(step: &Step) -> bool {
    matches!(step, Step::Match(Match { field: Field::Reverse, .. }))
}

fn invert(steps: &mut [Step]) {
    for step in steps {
        if let Step::Match(Match { field: Field::Reverse, values, .. }) = step {
            *values = vec![Value::Name(MISSING.to_owned())];
        }
    }
}

fn comparison(option: &str, argument: &str, protocol_name: &str) -> Option<(Field, Vec<Value>)> {
    let name = |text: &str| match text.strip_suffix('+') {
        Some(beginning) => Value::Name(format!("{beginning}*")),
        None => Value::Name(text.to_owned()),
    };
    let number = |number: Option<u64>| number.map_or(Value::Unknown, |number| Value::Number(number, number));
    let ports = || {
        let port = |port: &str| {
            let (from, to) = port.split_once(':').unwrap_or((port, port));
            match (from.parse(), to.parse()) {
                (Ok(from), Ok(to)) => Value::Number(from, to),
                _ => Value::Unknown,
            }
        };
        argument.split(',').map(port).collect()
    };
    let net = || match argument
        .parse()
        .or_else(|_| argument.parse().map(|address: std::net::Ipv6Addr| address.into()))
    {
        Ok(net) => Value::Net(net),
        Err(_) => Value::Unknown,
    };
    Some(match option {
        "-i" => (Field::Input, vec![name(argument)]),
        "-o" => (Field::Output, vec![name(argument)]),
        "-s" => (Field::Source, vec![net()]),
        "-d" => (Field::Destination, vec![net()]),
        "-p" => (Field::Protocol, vec![number(protocol(argument))]),
        "--icmpv6-type" => {
            let (kind, code) = argument.split_once('/').unwrap_or((argument, ""));
            let kind = if code.is_empty() { number(icmp_type(kind)) } else { Value::Unknown };
            (Field::IcmpType, vec![kind])
        }
        "--hl-eq" => (Field::HopLimit, vec![number(argument.parse().ok())]),
        "--dport" | "--dports" => match protocol_name {
            "tcp" => (Field::TcpPort, ports()),
            "udp" => (Field::UdpPort, ports()),
            _ => return None,
        },
        "--ctstate" | "--state" => {
            let state = |state: &str| Value::Name(state.to_ascii_lowercase());
            (Field::State, argument.split(',').map(state).collect())
        }
        _ => return None,
    })
}

fn verdict(option: &str, name: &str, is_chain: impl Fn(&str) -> bool, rest: &[&str]) -> Option<Step> {
    let verdict = match name {
        "ACCEPT" => Verdict::Accept,
        "DROP" => Verdict::Drop,
        "REJECT" => Verdict::Reject,
        "RETURN" => Verdict::Return,
        "NFQUEUE" if rest.contains(&"--queue-bypass") => Verdict::Accept,
        "NFQUEUE" | "QUEUE" => Verdict::Queue,
        "MASQUERADE" | "SNAT" | "NETMAP" | "DNAT" | "REDIRECT" => {
            Verdict::Translate(name.to_ascii_lowercase())
        }
        chain if is_chain(chain) && option == "-g" => Verdict::Goto(chain.to_owned()),
        chain if is_chain(chain) => Verdict::Jump(chain.to_owned()),
        // LOG, MARK, TCPMSS and the like decide nothing.
        _ => return None,
    };
    Some(Step::Verdict(verdict))
}

#[cfg(test)]
#[path = "iptables_tests.rs"]
mod tests;
