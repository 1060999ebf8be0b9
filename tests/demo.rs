//! `lone64 demo`, and its lab with the kernel's own proxy in the place of the daemon. Needs no root.

use std::process::{Command, ExitCode};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use lone64::commands::demo::ping::{Echo, ping};
use lone64::commands::demo::topology::{GUEST, HOST, Lab};
use lone64::commands::demo::trace::{Trace, time_to_answer};
use lone64::engine::facts::{IfIndex, KernelRoute, NextHop, RouteKind};
use lone64::kernel::{netns, sysctl};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Before libtest-mimic starts threads: the kernel refuses a user namespace to a process of several.
    let obstacle = netns::enter_user_namespace().err();
    if let Some(error) = &obstacle {
        eprintln!("ignored: {error}");
    }
    let trials = vec![
        Trial::test("the_guest_is_reached_once_somebody_answers_for_it", reached_once_answered_for)
            .with_ignored_flag(obstacle.is_some()),
        Trial::test("the_demo_shows_the_guest_unreachable_then_reachable", shows_the_difference)
            .with_ignored_flag(obstacle.is_some()),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn shows_the_difference() -> Result<(), Failed> {
    let demo = Command::new(env!("CARGO_BIN_EXE_lone64")).arg("demo").output()?;
    let shown = String::from_utf8(demo.stdout)?;
    assert!(demo.status.success(), "{shown}\n{}", String::from_utf8_lossy(&demo.stderr));
    let unreachable = shown.find("no reply within 1 s").expect("the first ping failed");
    let started = shown.find("proto 64").expect("the daemon has routes");
    let answered = shown.find("2001:db8:1:2:c::5 is at 02:00:00:00:00:02").expect("the daemon answered");
    assert!(unreachable < started && started < answered, "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    Ok(())
}

fn reached_once_answered_for() -> Result<(), Failed> {
    let lab = Lab::build()?;
    lab.wait_until_ready()?;
    let from_router = |target, patience| lab.router.run(|| ping(target, 1, patience));
    assert!(matches!(from_router(HOST, PATIENCE)?, Echo::Reply(_)));
    let trace = Trace::start(&lab.router, "rt0")?;
    assert_eq!(from_router(GUEST, Duration::from_secs(1))?, Echo::Silence);
    let asked = trace.stop();
    assert!(!asked.is_empty());
    assert_eq!(time_to_answer(&asked), None);

    lab.within(&lab.host, async |requests| {
        sysctl::write("conf/up0/proxy_ndp", "1")?;
        sysctl::write("neigh/up0/proxy_delay", "0")?;
        let up0 = nix::net::if_::if_nametoindex("up0").expect("the lab's upstream");
        let lxcbr0 = nix::net::if_::if_nametoindex("lxcbr0").expect("the lab's downstream");
        let route = KernelRoute {
            destination: GUEST.into(),
            kind: RouteKind::Unicast(IfIndex(lxcbr0)),
            next_hop: NextHop::OnLink,
            table: 254,
            protocol: 4,
            metric: 1024,
            source: None,
        };
        requests.add_route(&route).await.expect("nothing is in the way");
        Ok(requests.add_proxy(IfIndex(up0), GUEST).await?)
    })?;
    lab.router_forgets_guest()?;
    let trace = Trace::start(&lab.router, "rt0")?;
    assert!(matches!(from_router(GUEST, PATIENCE)?, Echo::Reply(_)));
    let seen = trace.stop();
    assert!(time_to_answer(&seen).is_some(), "{seen:?}");
    for sighting in &seen {
        println!("{}", sighting.describe(seen[0].at));
    }
    assert_eq!(lab.routes_of_lone64()?, []);
    Ok(())
}

/// Longer than a reply takes, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);
