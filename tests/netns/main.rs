//! The daemon as a black box on the real kernel: frames in, frames out, routes, flags.
//!
//! Runs as root or as an ordinary user. Every test has namespaces of its own and leaves nothing
//! behind. What is shown is rules.md; whoever changes a rule finds its test by the rule's words:
//!
//! * `answers`: An answer; DAD; Reachability probes
//! * `silence`: Silence
//! * `next_hops`: guests behind a router of their own
//! * `offload`: checksums that are not computed yet
//! * `addresses`: Whose addresses
//! * `liveness`, `probing`: Probing
//! * `proxy_downstream`: guests that take the whole /64 for their own link
//! * `guests`: a range over many downstreams, with a route for each live guest
//! * `guards`: what guests send that is another's
//! * `identities`: guests with an identity, and what is claimed
//! * `pinned`: permanent neighbor entries of guests
//! * `moves`, `bgp`: guests that move between two hosts, also with FRR
//! * `standby`, `keepalived`: hosts that stand by, also with keepalived itself
//! * `hook_scripts`: the scripts that claim and release for other programs
//! * `guests_gateway`: the address that every downstream gets as its guests' gateway
//! * `hints`: the groups that guests report, and who is asked first
//! * `hostile`: what guests and rivals claim, and floods of it
//! * `change`: Change
//! * `upheaval`: killed, crowded, flooded with changes
//! * `in_kernel`: a program in the kernel beside the daemon (`backend`); `answers with a program` and so on are the rooms of
//!   the same name with one
//! * `doctor`: what `lone64 doctor` finds, and whether its remedies heal; where `--live` loses a packet
//! * `load`: Load
//! * `turns`: a flood holds up nothing else; sockets of interfaces that go down
//! * `crowd`: thousands of downstreams, and a scan
//! * `metrics`, `metrics_socket`: the numbers, and who asks for them
//! * `control`, `reload`: the control socket, and what others do to it; a new configuration
//! * `resident`: memory that is not needed now
//! * `explain`: why an address is answered for, or not, as `lone64 explain` tells it
//! * `sysctls`: what is changed in the kernel, and changed back
//! * `confinement`: what the daemon gives up at the start, and that it serves all the same
//! * `shipped`: the configurations under `config/`
//! * `follow`: the kernel's routes and the upstream's prefix decide what is served
//! * `unserved`: networks that nobody serves, and what says so
//! * `routes`, `startup`: what is owned in the kernel, and what stands in the way
//! * `waiting`: what is not there yet at the start, and comes later
//! * `alone`: one lone64 in a network namespace
//! * `hand_over`: what stays, where another daemon follows
//! * `kinds`: interfaces and links that not every kernel has
//! * `vlan`: the program on a VLAN interface, where the kernel has those
//! * `way_out`: what is given back, whatever ends the daemon
//! * `record`: `--record`, and what the engine is told of what became of its effects
//! * `import`: imported configurations answer as those that they were made from
//! * `in_force`: which configuration is in force, and how it is told
//! * `announce`: what is sent unasked, and what a router makes of it
//! * `gateway`: routers that drop link-local Neighbor Discovery, or are off-link
//! * `snoopers`: Delivery, where reports of groups do not reach, and with a multicast router
//! * `admitted`: which guests the provider's switch lets through, and what is said of the others
//! * `routers`: routers that take little, keep old entries, or take over from each other
//! * `provider`: which answers a router takes, and which questions it answers, found out by itself
//! * `switch`: Delivery, behind a switch that snoops MLD; the kinds of upstream
//! * `own_link`: Harm nobody: what is on the upstream's own link, and links without Neighbor Discovery
//! * `situations`: networks that people really have, and that work
//! * `two_upstreams`: guests leave by the upstream that their address is from, or `check` says what is missing
//! * `own_bridge`: guests on the upstream's own bridge, told from strangers by the port that they are behind
//! * `upstream_bridge`: an upstream that is a bridge, with guests on it or elsewhere
//! * `whole_64`: a range that is all of the upstream's own link
//! * `tables`: rules of the kernel, and tables beside `main`
//! * `suppress`: what the kernel makes of unicast solicitations, and our table of nftables
//! * `traffic`: ordinary programs and the kernel's own neighbors; Delivery

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is the verdict")]
#![allow(clippy::disallowed_methods, reason = "this is no pure room")]

mod addresses;
mod admitted;
mod advertisement;
mod alone;
mod announce;
mod answers;
mod bgp;
mod change;
mod claims;
mod client;
mod confinement;
mod control;
mod crowd;
mod daemon;
mod defence;
mod doctor;
mod endpoint;
mod explain;
mod follow;
mod frame;
#[path = "../frames/mod.rs"]
mod frames;
mod gateway;
mod guards;
mod guests;
mod guests_gateway;
mod hand_over;
mod hints;
mod hook_scripts;
mod hostile;
mod identities;
mod import;
mod in_force;
mod in_kernel;
mod ingress;
mod keepalived;
mod kinds;
mod lab;
mod link;
mod liveness;
mod load;
#[path = "../machine/mod.rs"]
mod machine;
mod metrics;
mod metrics_socket;
mod moves;
mod namespace;
mod next_hops;
mod offload;
mod own_bridge;
mod own_link;
mod pings;
mod pinned;
mod probing;
mod program;
mod provider;
mod proxy_downstream;
mod record;
mod reload;
mod rename;
mod resident;
mod ring;
mod routers;
mod routes;
mod shipped;
mod silence;
mod situations;
mod snoopers;
mod solicitation;
mod standby;
mod startup;
mod suppress;
mod switch;
mod sysctls;
mod tables;
mod traffic;
mod trials;
mod turns;
mod two_upstreams;
mod unserved;
mod upheaval;
mod upstream_bridge;
mod veths;
mod vlan;
mod waiting;
mod way_out;
mod whole_64;

use std::fs;

use libtest_mimic::Arguments;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::trials::{Case, cases, in_rooms};

/// Why tests cannot run here, if so.
type Refusal = fn() -> Option<String>;

fn main() {
    if program::is_inner() {
        return;
    }
    // Before any thread: a process with threads cannot enter a user namespace.
    let refused = enter_namespaces().err();
    let mut arguments = Arguments::from_args();
    // The tests mostly wait for other processes.
    arguments.test_threads.get_or_insert(4);
    const ROOMS: &[(&str, &[Case])] = &[
        ("answers", answers::CASES),
        ("claims", claims::CASES),
        ("defence", defence::CASES),
        ("silence", silence::CASES),
        ("next_hops", next_hops::CASES),
        ("offload", offload::CASES),
        ("addresses", addresses::CASES),
        ("liveness", liveness::CASES),
        ("probing", probing::CASES),
        ("proxy_downstream", proxy_downstream::CASES),
        ("guests", guests::CASES),
        ("identities", identities::CASES),
        ("pinned", pinned::CASES),
        ("moves", moves::CASES),
        ("standby", standby::CASES),
        ("hook_scripts", hook_scripts::CASES),
        ("guests_gateway", guests_gateway::CASES),
        ("hints", hints::CASES),
        ("hostile", hostile::CASES),
        ("load", load::CASES),
        ("metrics", metrics::CASES),
        ("metrics_socket", metrics_socket::CASES),
        ("routes", routes::CASES),
        ("hand_over", hand_over::CASES),
        ("ring", ring::CASES),
        ("way_out", way_out::CASES),
        ("record", record::CASES),
        ("change", change::CASES),
        ("confinement", confinement::CASES),
        ("startup", startup::CASES),
        ("waiting", waiting::CASES),
        ("alone", alone::CASES),
        ("shipped", shipped::CASES),
        ("import", import::CASES),
        ("in_force", in_force::CASES),
        ("suppress", suppress::CASES),
        ("snoopers", snoopers::CASES),
        ("switch", switch::CASES),
        ("control", control::CASES),
        ("reload", reload::CASES),
        ("resident", resident::CASES),
        ("explain", explain::CASES),
        ("sysctls", sysctls::CASES),
        ("follow", follow::CASES),
        ("unserved", unserved::CASES),
        ("own_bridge", own_bridge::CASES),
        ("upstream_bridge", upstream_bridge::CASES),
        ("own_link", own_link::CASES),
        ("situations", situations::CASES),
        ("two_upstreams", two_upstreams::CASES),
        ("whole_64", whole_64::CASES),
        ("tables", tables::CASES),
        ("traffic", traffic::CASES),
        ("announce", announce::CASES),
        ("gateway", gateway::CASES),
        ("turns", turns::CASES),
        ("provider", provider::CASES),
        ("admitted", admitted::CASES),
        ("routers", routers::CASES),
    ];
    // The kernel takes their thousands of links apart long after they have ended, and keeps every other
    // namespace waiting for its lock meanwhile.
    const CROWDED: &[(&str, &[Case])] = &[("upheaval", upheaval::CASES), ("crowd", crowd::CASES)];
    // What loads programs, which is not to be had in a user namespace.
    const IN_KERNEL: &[(&str, &[Case])] = &[("program", program::CASES), ("ingress", ingress::BY_CLSACT)];
    // Once more, with a program in the kernel.
    const CONFORMANCE: &[(&str, &[Case])] = &[
        ("answers", answers::CASES),
        ("silence", silence::CASES),
        ("addresses", addresses::CASES),
        ("liveness", liveness::CASES),
        ("guests", guests::CASES),
        ("change", change::CASES),
        ("load", load::CASES),
    ];
    // With programs of others, and with what not every kernel has.
    const NEEDING: &[(&str, &[Case], Refusal)] = &[
        ("bgp", bgp::CASES, bgp::refusal),
        ("keepalived", keepalived::CASES, keepalived::refusal),
        ("waiting", waiting::BY_LIMIT, waiting::refusal),
        ("doctor", doctor::BY_LIMIT, waiting::refusal),
        ("doctor", doctor::BY_NETFILTER, doctor::refusal),
    ];
    const ON_VLAN: &[(&str, &[Case])] = &[("vlan", vlan::CASES)];
    const BY_TCX: &[(&str, &[Case])] = &[("ingress", ingress::CASES)];
    let doctor = doctor::cases().map(|case| ("doctor", case));
    let doctor = doctor.chain(guards::cases());
    let cases = in_rooms(ROOMS).chain(doctor).chain(in_rooms(CROWDED));
    let mut all = trials::trials(cases, refused.as_ref());
    for (room, cases, refusal) in NEEDING {
        let refused = refused.clone().or_else(refusal);
        all.extend(trials::trials(cases.iter().map(|case| (*room, case)), refused.as_ref()));
    }
    for (kind, case) in kinds::CASES {
        let refused = refused.clone().or_else(|| kinds::refusal(*kind));
        all.extend(trials::trials(std::iter::once(("kinds", case)), refused.as_ref()));
    }
    let refused = refused.or_else(program::refusal);
    all.extend(trials::trials(in_rooms(IN_KERNEL), refused.as_ref()));
    let on_vlan = refused.clone().or_else(|| kinds::refusal(kinds::VLAN));
    all.extend(trials::trials(in_rooms(ON_VLAN), on_vlan.as_ref()));
    let refused = refused.or_else(ingress::refusal);
    all.extend(trials::trials(in_rooms(BY_TCX).chain(in_kernel::cases()), refused.as_ref()));
    all.extend(in_kernel::again::with_a_program(in_rooms(CONFORMANCE), refused.as_ref()));
    libtest_mimic::run(&arguments, all).exit();
}

/// Gets the right to make network namespaces, by being root or by becoming it in a user namespace.
fn enter_namespaces() -> Result<(), String> {
    let (uid, gid) = (geteuid(), getegid());
    if uid.is_root() && unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(|error: Errno| {
        format!(
            "namespaces are forbidden here ({error}): set the sysctls user.max_user_namespaces and \
             kernel.unprivileged_userns_clone or kernel.apparmor_restrict_unprivileged_userns, or be root"
        )
    })?;
    let map = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text).map_err(|error| format!("/proc/self/{file}: {error}"))
    };
    map("setgroups", "deny".to_owned())?;
    map("uid_map", format!("0 {uid} 1"))?;
    map("gid_map", format!("0 {gid} 1"))
}
