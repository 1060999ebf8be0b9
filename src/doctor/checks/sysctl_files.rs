//! What the files under sysctl.d set, against what is in force: a fault that waits for the next boot.

use crate::doctor::sysctl_file::{Line, decisive, lines};
use crate::doctor::{Check, Command, Finding, Group, Host, Text};

use super::forwarding::{self, has_advertised_route, of, switched_on, would_be_deaf};

/// The check.
pub static CHECK: Check = Check {
    name: "sysctl-files",
    group: Group::Host,
    asks: "the files that set sysctls are read, and set what is in force",
    examine,
};

fn examine(host: &Host) -> Vec<Finding> {
    let is_sysctl = |file: &&Text| file.path.contains("sysctl.d/") || file.path.ends_with("/sysctl.conf");
    let (read, ignored): (Vec<_>, Vec<_>) =
        host.files.iter().filter(is_sysctl).partition(|file| file.path.ends_with(".conf"));
    let in_force: Vec<Line<'_>> = read.into_iter().flat_map(lines).collect();
    let mut findings = Vec::new();
    for file in ignored {
        findings.extend(misspelt_name(host, file, &in_force));
    }
    for line in &in_force {
        findings.extend(misspelt_key(host, line));
        findings.extend(without_effect(host, line, &in_force));
    }
    for (key, good) in wanted(host) {
        findings.extend(against_wish(host, &key, good, &in_force));
    }
    findings
}

/// The settings that have to have a certain value on this host.
fn wanted(host: &Host) -> Vec<(String, &'static str)> {
    let mut wanted = vec![(forwarding::ALL.to_owned(), "1"), (of("all", "disable_ipv6"), "0")];
    for upstream in host.upstreams() {
        let name = host.name(upstream.link);
        wanted.push((of(&name, "disable_ipv6"), "0"));
        let accepts = of(&name, "accept_ra");
        // Where a program takes advertisements itself, 0 is right.
        if has_advertised_route(host, upstream.link)
            && (host.setting(&accepts) == Some("2") || would_be_deaf(host, &accepts))
        {
            wanted.push((accepts, "2"));
        }
    }
    let downstreams = host.downstreams().into_iter().filter(|link| !link.name.is_loopback());
    wanted.extend(downstreams.map(|link| (of(link.name.as_str(), "disable_ipv6"), "0")));
    wanted
}

/// systemd-sysctl and `sysctl --system` read what ends in `.conf`, and nothing else.
fn misspelt_name(host: &Host, file: &Text, in_force: &[Line<'_>]) -> Option<Finding> {
    let name = file.path.rsplit('/').next()?;
    if KEPT_ASIDE.iter().any(|ending| name.ends_with(ending)) {
        return None;
    }
    let lost = lines(file).find(|line| {
        let is_ours = wanted(host).iter().any(|(key, good)| line.sets(key) && line.value == Some(good));
        let is_set =
            |line: &Line<'_>| decisive(in_force, &line.key).and_then(|other| other.value) == line.value;
        is_ours && !is_set(line)
    })?;
    let sentence =
        format!("{name} is never read, because its name does not end in .conf, so what it sets is lost");
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let directory = file.path.strip_suffix(name)?;
    let finding = graded(host, &lost.key, lost.value, sentence).seen(lost.shown());
    let finding = finding.run(Command::new(format!("mv {} {directory}{stem}.conf", file.path)).lasting());
    Some(set_now(finding, host, &lost.key, lost.value?))
}

/// A key that is almost one of those that matter here, and none.
fn misspelt_key(host: &Host, line: &Line<'_>) -> Option<Finding> {
    let right = corrected(host, &line.key)?;
    let sentence = format!("there is no sysctl {}; {right} is probably meant", line.key);
    let finding = graded(host, &right, line.value, sentence).seen(line.shown());
    let finding = finding.run(
        Command::new(format!("sed -i '{}s|.*|{right} = {}|' {}", line.number, line.value?, line.file.path))
            .lasting(),
    );
    Some(set_now(finding, host, &right, line.value?))
}

fn corrected(host: &Host, key: &str) -> Option<String> {
    let path = key.strip_prefix("net/ipv6/")?;
    if host.settings.contains_key(key) || is_pattern(key) {
        return None;
    }
    let (place, setting) = path.rsplit_once('/').unwrap_or(("", path));
    // A dot in the name of an interface separates, if dots do (sysctl.d(5)).
    let dotted = place.strip_prefix("conf/").map(|name| name.replace('/', "."));
    if let Some(name) = dotted.filter(|name| place.matches('/').count() > 1 && is_link(host, name)) {
        return Some(of(&name, setting)).filter(|right| host.settings.contains_key(right));
    }
    if REAL.contains(&setting) {
        return None;
    }
    let near = |known: &&&str| strsim::levenshtein(known, setting) <= 2;
    let meant = MEANT.iter().find(near).or_else(|| ALIASES.contains(&setting).then_some(&"forwarding"))?;
    let place = if place.is_empty() { "conf/all" } else { place };
    Some(format!("net/ipv6/{place}/{meant}")).filter(|right| host.settings.contains_key(right))
}

fn is_pattern(key: &str) -> bool {
    key.contains(['*', '?', '['])
}

fn is_link(host: &Host, name: &str) -> bool {
    host.links().iter().any(|link| link.name.as_str() == name)
}

/// For `accept_ra`, neither `all` nor, once an interface exists, `default` does anything.
fn without_effect(host: &Host, line: &Line<'_>, in_force: &[Line<'_>]) -> Option<Finding> {
    let is_general = line.key == of("all", "accept_ra") || line.key == of("default", "accept_ra");
    if !is_general || line.value != Some("2") {
        return None;
    }
    let upstream = host.upstreams().iter().find(|upstream| {
        let key = of(&host.name(upstream.link), "accept_ra");
        decisive(in_force, &key).is_none() && host.setting(&key).is_some_and(|value| value != "2")
    })?;
    let key = of(&host.name(upstream.link), "accept_ra");
    let sentence = format!("{} does nothing for interfaces that exist: each has its own", line.key);
    let seen = format!("{key} = {}", host.setting(&key).unwrap_or_default());
    let finding = Finding::warning(sentence).seen(line.shown()).seen(seen);
    Some(finding.run(format!("echo '{key} = 2' >> {}", line.file.path)).set(key, "2"))
}

/// A value that is not in force now, or will not be after the next boot.
fn against_wish(host: &Host, key: &str, good: &str, in_force: &[Line<'_>]) -> Option<Finding> {
    let last = decisive(in_force, key)?;
    let now = host.setting(key)?;
    if last.value == Some(good) {
        // Its own check says what follows; here is where it comes from.
        let sentence =
            format!("{key} is {now}, though a file sets it to {good}: it was not applied, or set back");
        let finding = graded(host, key, Some(good), sentence).seen(last.shown());
        return (now != good).then(|| set_now(finding, host, key, good));
    }
    let earlier = in_force.iter().find(|line| line.sets(key) && line.value == Some(good));
    let sentence = match earlier {
        Some(_) => format!("{key} is set to {good} by one file, and back by a later one: the last wins"),
        None => format!("the next boot sets {key} to {}, and it has to be {good}", last.value?),
    };
    let mut finding = graded(host, key, Some(good), sentence);
    if let Some(earlier) = earlier {
        finding = finding.seen(earlier.shown());
    }
    let path = &last.file.path;
    // Files of packages come back with the next version.
    let is_own = path.contains("/etc/");
    let line = if !is_own {
        let own = host.path("etc/sysctl.d");
        format!("mkdir -p {own} && echo '{key} = {good}' >> {own}/zz-lone64.conf")
    } else if last.is_pattern() {
        // What names the key wins over a pattern, and the pattern is about others too.
        format!("echo '{key} = {good}' >> {path}")
    } else {
        format!("sed -i '{}s|.*|{key} = {good}|' {path}", last.number)
    };
    let finding = finding.seen(last.shown()).run(Command::new(line).lasting());
    Some(set_now(finding, host, key, good))
}

/// It is a fault as soon as the value that is in force is the wrong one.
fn graded(host: &Host, key: &str, value: Option<&str>, sentence: String) -> Finding {
    let is_in_force = host.setting(key) == value;
    if is_in_force { Finding::warning(sentence) } else { Finding::fault(sentence) }
}

fn set_now(finding: Finding, host: &Host, key: &str, value: &str) -> Finding {
    if host.setting(key).is_none_or(|now| now == value) {
        finding
    } else if key == forwarding::ALL {
        switched_on(finding, host)
    } else {
        finding.set(key, value)
    }
}

/// What people and package managers append to a file that is not to be read.
const KEPT_ASIDE: [&str; 13] = [
    "~",
    ".bak",
    ".backup",
    ".old",
    ".orig",
    ".save",
    ".disabled",
    ".off",
    ".dpkg-dist",
    ".dpkg-new",
    ".dpkg-old",
    ".rpmnew",
    ".rpmsave",
];

/// What is often misspelt.
const MEANT: [&str; 3] = ["forwarding", "accept_ra", "disable_ipv6"];

/// What IPv4 calls it, or nobody.
const ALIASES: [&str; 3] = ["ip_forward", "ip6_forward", "forward"];

/// Real, though alike.
const REAL: [&str; 2] = ["accept_dad", "mc_forwarding"];
