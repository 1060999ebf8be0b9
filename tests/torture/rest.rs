//! What holds when nothing is broken: guests are answered for, what is wanted in the kernel is there and nothing else is,
//! what belongs to others is untouched, and nothing has grown.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::chance::Chance;
use crate::lab::c;
use crate::namespace::in_time;
use crate::solicitation::Solicitation;
use crate::world::World;

/// Looks at all of it.
pub(crate) fn look(world: &mut World, chance: &mut Chance) {
    if let Some(status) = world.daemon.has_ended() {
        world.findings.violated(&format!("lone64 has ended by itself: {status}"));
        world.daemon.launch(&world.lab);
    }
    let Some(_) = in_time("it answers its control socket", WHILE, || world.daemon.ask(STATUS)) else {
        return world.findings.violated("the control socket is silent");
    };
    // Those who never were there; an answer is a violation that the watch finds.
    for _ in 0..5 {
        let nobody = c(0xf000 + chance.between(0, 0xfff) as u16);
        let question = Solicitation::multicast(world.asker(), nobody);
        world.router.send(&question.frame());
    }
    for guest in world.village.living().into_iter().chain(world.village.claimed()) {
        is_answered(world, guest);
    }
    world.disputed.clear();
    is_as_wanted(world);
    is_untouched(world);
    if let Some((memory, descriptors)) = world.daemon.size() {
        world.measured.memory = world.measured.memory.max(memory);
        world.measured.descriptors = world.measured.descriptors.max(descriptors);
        if memory > MOST_MEMORY {
            world.findings.violated(&format!("lone64 has grown to {memory} KiB"));
        }
        if descriptors > MOST_DESCRIPTORS {
            world.findings.violated(&format!("lone64 has {descriptors} descriptors open"));
        }
    }
    let log = fs::read_to_string(world.daemon.log()).unwrap_or_default();
    if let Some(line) = log.lines().find(|line| line.contains("panicked")) {
        world.findings.violated(line);
        let _ = fs::remove_file(world.daemon.log());
    }
}

/// Ends it, and looks whether the kernel has everything back.
pub(crate) fn end(world: &mut World) {
    if let Err(why) = world.daemon.end(Signal::SIGTERM) {
        world.findings.violated(&why);
    }
    let left = world.lab.host.show("route show proto 64");
    if !left.is_empty() {
        world.findings.violated(&format!("routes are left: {left}"));
    }
    let tables = world.lab.host.output("nft", "list tables");
    if tables.contains("lone64") {
        world.findings.violated("the table of nftables is left");
    }
    let links = world.lab.host.output("ip", "-d -o link show");
    // Those of the bridge's port are the bridge's.
    for line in links.lines().filter(|line| [" up0", " br0", " gv1"].iter().any(|name| line.contains(name))) {
        let is_as_before = line.contains("promiscuity 0 ") && line.contains("allmulti 0 ");
        if !is_as_before && !line.contains("bridge_slave") {
            world.findings.violated(&format!("a flag of an interface is left: {line}"));
        }
    }
    is_untouched(world);
}

/// As a router does, it is asked again each second.
fn is_answered(world: &mut World, guest: Ipv6Addr) {
    let start = Instant::now();
    let asker = world.asker();
    let question = Solicitation::multicast(asker, guest);
    while start.elapsed() < WHILE {
        world.router.send(&question.frame());
        let answered = in_time("it is answered", Duration::from_secs(1), || {
            world.findings.is_answered(asker.address, guest).then_some(())
        });
        if answered.is_some() {
            world.measured.answered += 1;
            let measured = &mut world.measured;
            let slowest = match world.disputed.contains(&guest) {
                true => &mut measured.slowest_disputed,
                false => &mut measured.slowest,
            };
            *slowest = (*slowest).max(start.elapsed());
            return;
        }
    }
    let explained = world.daemon.ask(&format!(r#"{{"method":"explain","params":{{"address":"{guest}"}}}}"#));
    let explained = explained.map(|reply| reply.to_string()).unwrap_or_default();
    world.findings.violated(&format!("{guest} lives and is not answered for: {explained}"));
}

/// The routes of the status are those of the kernel, and none of them waits.
fn is_as_wanted(world: &mut World) {
    let mut seen = String::new();
    let is_so = in_time("wanted is actual", WHILE, || {
        let reply = world.daemon.ask(STATUS)?;
        let routes = reply["result"]["routes"].as_array()?;
        let installed = routes.iter().filter(|route| route["state"] == "installed");
        let wanted: BTreeSet<(String, String)> = installed
            .clone()
            .filter_map(|route| {
                let destination = route["destination"].as_str()?.trim_end_matches("/128");
                Some((route["kind"].as_str()?.to_owned(), destination.to_owned()))
            })
            .collect();
        let shown = world.lab.host.show("route show proto 64");
        let actual: BTreeSet<(String, String)> = shown.lines().filter_map(route_of).collect();
        let lacks: Vec<_> = wanted.difference(&actual).collect();
        let more: Vec<_> = actual.difference(&wanted).collect();
        let waiting = routes.len() - installed.count();
        seen = format!("wanted and not there: {lacks:?}; there and not wanted: {more:?}; {waiting} wait");
        (wanted == actual && waiting == 0).then_some(())
    });
    if is_so.is_none() {
        world.findings.violated(&format!("at rest the routes are not those that are wanted: {seen}"));
    }
    // What failed again and again, while descriptors were scarce, is tried again within 64 seconds.
    let has_table = in_time("the table is there", 3 * WHILE, || {
        world.lab.host.output("nft", "list tables").contains("table ip6 lone64").then_some(())
    });
    if has_table.is_none() {
        world.findings.violated("at rest the table of suppress-kernel is not there");
    }
}

/// Kind and destination of a line of ip-route(8).
fn route_of(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    let first = words.next()?;
    let (kind, destination) = match first {
        "unreachable" | "local" => (first, words.next()?),
        destination => ("unicast", destination),
    };
    Some((kind.to_owned(), destination.to_owned()))
}

fn is_untouched(world: &mut World) {
    let routes = world.lab.host.show("route show proto 99");
    let rules = world.lab.host.show("rule show");
    let tables = world.lab.host.output("nft", "list table ip6 torture");
    if !routes.contains("2001:db8:77::/48") || !routes.contains("unreachable 2001:db8:1:2:c::bad") {
        world.findings.violated(&format!("a foreign route has gone: {routes}"));
    }
    if !rules.contains("7777:") || !tables.contains("chain mine") {
        world.findings.violated(&format!("a foreign rule or table has gone: {rules}"));
    }
}

const STATUS: &str = r#"{"method":"status"}"#;
/// A machine under load needs it.
const WHILE: Duration = Duration::from_secs(30);
/// KiB; a build with debug assertions, 48 guests and 16 MB of headroom (rules.md, Load).
const MOST_MEMORY: u64 = 64 << 10;
const MOST_DESCRIPTORS: usize = 200;
