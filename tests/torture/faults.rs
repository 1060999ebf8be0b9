//! What is done to lone64, its host and its neighbors, and how it is put right again.

use std::fs;
use std::io::Write;
use std::net::Ipv6Addr;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::chance::Chance;
use crate::claims;
use crate::daemon::Config;
use crate::lab::{GUEST, UPSTREAM_LINK_LOCAL, c};
use crate::namespace::{PATIENCE, in_time};
use crate::solicitation::{Checksum, Solicitation, option};
use crate::world::{ELSEWHERE, HOUSES, LIAR, World, guest_mac, house};

type Fault = (&'static str, fn(&mut World, &mut Chance));

/// Does one thing, and says what it is called.
pub(crate) fn inject(world: &mut World, chance: &mut Chance) -> &'static str {
    let (name, fault) = *chance.of(FAULTS).expect("there are some");
    if std::env::var_os("LONE64_TIMES").is_some() {
        eprintln!("torture: {name}");
    }
    fault(world, chance);
    has_it_ended(world, name);
    name
}

fn has_it_ended(world: &mut World, during: &str) {
    let Some(status) = world.daemon.has_ended() else { return };
    match world.daemon.may_end_of(&status) {
        true => world.measured.aborted += 1,
        false => world.findings.violated(&format!("lone64 has ended by itself, during `{during}`: {status}")),
    }
    world.daemon.launch(&world.lab);
}

const FAULTS: &[Fault] = &[
    ("guests come, and are asked for", |world, chance| {
        for _ in 0..4 {
            comes(world, chance);
        }
    }),
    ("a guest comes, and checks its address", |world, chance| {
        let guest = comes(world, chance);
        let mac = world.village.houses().alive[&guest];
        world.port.send(&Solicitation::dad(mac, guest).frame());
    }),
    ("a guest comes, and announces itself", |world, chance| {
        let guest = comes(world, chance);
        let mac = world.village.houses().alive[&guest];
        let owner = crate::solicitation::Asker { mac, address: guest };
        world.port.send(&Solicitation::defence(owner, guest, true).frame());
    }),
    ("an address is claimed", claims::claim),
    ("a claim is released", claims::release),
    ("a guest moves to another host", |world, chance| {
        if let Some(guest) = chance.of(&world.village.living()).copied() {
            world.village.bury(guest);
            world.disputed.insert(guest);
            let there = crate::solicitation::Asker { mac: ELSEWHERE, address: guest };
            world.router.send(&Solicitation::defence(there, guest, true).frame());
        }
    }),
    ("a guest dies", |world, chance| {
        if let Some(guest) = chance.of(&world.village.living()) {
            world.village.bury(*guest);
        }
    }),
    ("a guest has another MAC", |world, chance| {
        if let Some(guest) = chance.of(&world.village.living()).copied() {
            let number = u64::from(guest.segments()[7]) - 0x100;
            world.village.bring(guest, guest_mac(number, chance.between(0, 4)));
        }
    }),
    ("a guest lies about an address of the range", |world, chance| {
        let victim = house(chance.between(0, HOUSES));
        world.village.vouch(victim);
        let liar = crate::solicitation::Asker { mac: LIAR, address: victim };
        world.port.send(&Solicitation::defence(liar, victim, true).frame());
    }),
    ("a guest lies about addresses that are none of its range", |world, _| {
        for victim in [
            UPSTREAM_LINK_LOCAL,
            "2001:db8:1:2::1".parse().expect("an address"),
            "2001:db8:1:2:e::5".parse().expect("an address"),
        ] {
            let liar = crate::solicitation::Asker { mac: LIAR, address: victim };
            world.port.send(&Solicitation::defence(liar, victim, true).frame());
        }
    }),
    ("a station of the upstream lies about a guest", |world, chance| {
        if let Some(victim) = chance.of(&world.village.living()).copied() {
            let liar = crate::solicitation::Asker { mac: LIAR, address: victim };
            world.disputed.insert(victim);
            world.router.send(&Solicitation::defence(liar, victim, false).frame());
        }
    }),
    ("a station of the upstream checks a guest's address", |world, chance| {
        if let Some(victim) = chance.of(&world.village.living()).copied() {
            world.disputed.insert(victim);
            world.router.send(&Solicitation::dad(LIAR, victim).frame());
        }
    }),
    ("an interface flaps", |world, chance| {
        let name = *chance.of(&["up0", "br0", "gv1", "gp0"]).expect("four");
        world.lab.host.output("ip", &format!("link set {name} down"));
        pause(chance, 300);
        world.lab.host.output("ip", &format!("link set {name} up"));
        readdress(world);
    }),
    ("all of our routes are deleted", |world, _| {
        quietly(world, "ip -6 route flush proto 64");
    }),
    ("one of our routes is deleted", |world, chance| {
        if let Some(guest) = chance.of(&world.village.living()) {
            quietly(world, &format!("ip -6 route del {guest}/128 proto 64"));
        }
    }),
    ("a foreign route is in the way", |world, chance| {
        let place = house(chance.between(0, HOUSES));
        quietly(
            world,
            &format!(
                "ip -6 route add {place}/128 dev gv1 proto 98; sleep 0.2; ip -6 route del {place}/128 proto 98"
            ),
        );
    }),
    ("rules of others come and go", |world, _| {
        quietly(world, "ip -6 rule add pref 90 from 2001:db8:99::/48 lookup 99; ip -6 rule del pref 90");
    }),
    ("our table of nftables is deleted", |world, _| quietly(world, "nft delete table ip6 lone64")),
    ("the interface's filter for groups is closed", |world, _| {
        quietly(world, "ip link set up0 allmulticast on; ip link set up0 allmulticast off");
    }),
    ("an interface comes and goes", |world, _| {
        quietly(world, "ip link add tt0 type veth peer name tt1; ip link set tt0 up; ip link del tt0");
    }),
    ("netlink overflows", |world, chance| {
        world.daemon.signal(Signal::SIGSTOP);
        let many = 500 + chance.between(0, 1_500);
        let batch: String = (0..many)
            .map(|n| format!("route add 2001:db8:88:{n:x}::/64 dev gv1 proto 97\nroute del 2001:db8:88:{n:x}::/64 dev gv1 proto 97\n"))
            .collect();
        world.lab.host.ip(batch.trim_end());
        world.daemon.signal(Signal::SIGCONT);
    }),
    ("lone64 is killed", |world, chance| {
        let _ = world.daemon.end(Signal::SIGKILL);
        pause(chance, 300);
        world.daemon.launch(&world.lab);
    }),
    ("lone64 is stopped", |world, chance| {
        if let Err(why) = world.daemon.end(Signal::SIGTERM) {
            world.findings.violated(&why);
        }
        pause(chance, 300);
        world.daemon.launch(&world.lab);
    }),
    ("lone64 is held up", |world, chance| {
        world.daemon.signal(Signal::SIGSTOP);
        pause(chance, 3_000);
        world.daemon.signal(Signal::SIGCONT);
    }),
    ("the configuration changes", |world, chance| {
        world.daemon.write(*chance.of(&[Config::Good, Config::Other, Config::Broken]).expect("three"));
        reload(world);
        // It may be started again before the next of these.
        world.daemon.write(Config::Good);
    }),
    ("the disk beside the sockets is full", |world, _| {
        // It ends where there is no more room.
        if let Ok(mut file) = fs::File::create(world.daemon.run_directory().join("full")) {
            while file.write_all(&[0; 1024]).is_ok() {}
        }
        reload(world);
    }),
    ("descriptors are scarce", |world, _| {
        // One that is starting would end, as it may; systemd starts it again.
        if world.daemon.ask(r#"{"method":"status"}"#).is_none() {
            return;
        }
        world.daemon.limit_descriptors(true);
    }),
    ("memory is scarce", |world, chance| {
        if world.daemon.ask(r#"{"method":"status"}"#).is_none() {
            return;
        }
        let more = chance.between(0, 1_000) << 10;
        world.daemon.limit_memory(Some(more));
        for _ in 0..200 {
            let question = Solicitation::multicast(world.asker(), house(chance.between(0, 0x4000)));
            world.router.send(&question.frame());
        }
        reload(world);
    }),
    ("the wall clock is set", |world, chance| {
        world.daemon.set_clock(chance.of(&["+400d", "-3000d", "+59m", "-2h", "+0"]).expect("five"));
    }),
    ("clients of the sockets are rude", |world, chance| {
        for name in ["control.sock", "metrics.sock"] {
            let clients: Vec<_> = (0..40)
                .filter_map(|_| UnixStream::connect(world.daemon.run_directory().join(name)).ok())
                .collect();
            for mut client in clients {
                let _ = client.set_write_timeout(Some(Duration::from_millis(100)));
                let _ = client.write_all(&chance.bytes(64));
            }
        }
    }),
    ("a flood of questions for dead addresses", |world, chance| {
        for _ in 0..500 {
            let dead = c(0x8000 + chance.between(0, 0x4000) as u16);
            let question = Solicitation::multicast(world.asker(), dead);
            world.router.send(&question.frame());
        }
    }),
    ("a flood of questions for addresses outside", |world, chance| {
        for _ in 0..1_000 {
            let outside =
                Ipv6Addr::from(0x2001_0db8_0001_0002_dead_0000_0000_0000 | u128::from(chance.next() >> 16));
            let question = Solicitation::multicast(world.asker(), outside);
            world.router.send(&question.frame());
        }
    }),
    ("a flood of invalid questions", |world, chance| {
        for _ in 0..500 {
            let question = Solicitation::multicast(world.asker(), GUEST);
            let question = match chance.between(0, 4) {
                0 => question.with(|q| q.hop_limit = 254),
                1 => question.with(|q| q.checksum = Checksum::Wrong),
                2 => question.with(|q| q.code = 1),
                _ => question.with(|q| q.options.extend([7, 0, 0, 0, 0, 0, 0, 0])),
            };
            world.router.send(&question.frame());
        }
    }),
    ("a flood of mutated frames", |world, chance| {
        for _ in 0..500 {
            let mut frame = Solicitation::multicast(world.asker(), GUEST)
                .with(|q| q.options.extend(option(14, &[1; 6])))
                .frame();
            // The length stays the truth or becomes too short; so does everything else.
            for _ in 0..chance.between(1, 4) {
                let at = chance.between(14, frame.len() as u64) as usize;
                // Not the target: who has the address that it becomes is not known here.
                if !(62..78).contains(&at) {
                    frame[at] ^= chance.next() as u8;
                }
            }
            frame.truncate(chance.between(20, frame.len() as u64 + 1) as usize);
            world.router.send(&frame);
        }
    }),
    ("a flood of random frames", |world, chance| {
        for _ in 0..500 {
            let length = chance.between(14, 1_500) as usize;
            let mut frame = chance.bytes(length);
            frame[0] &= 0xfe;
            if length.is_multiple_of(2) {
                frame[12..14].copy_from_slice(&[0x86, 0xdd]);
            }
            world.router.send(&frame);
            world.port.send(&frame);
        }
    }),
];

/// Everything that a fault may have left, so that what must hold at rest can.
pub(crate) fn put_right(world: &mut World) {
    let _ = fs::remove_file(world.daemon.run_directory().join("full"));
    world.daemon.limit_memory(None);
    world.daemon.limit_descriptors(false);
    world.daemon.signal(Signal::SIGCONT);
    has_it_ended(world, "nothing");
    for name in ["up0", "br0", "gv1", "gp0"] {
        world.lab.host.output("ip", &format!("link set {name} up"));
    }
    readdress(world);
    quietly(world, "ip -6 route flush proto 98; ip -6 route flush proto 97");
    world.daemon.write(Config::Good);
    world.daemon.launch(&world.lab);
    if !is_reloaded(world) {
        // It may have gone on just before it could have more memory.
        let aborted = world.measured.aborted;
        has_it_ended(world, "nothing");
        if world.measured.aborted == aborted || !is_reloaded(world) {
            world.findings.violated("a reload of a good configuration is refused, or never done");
        }
    }
    world.daemon.is_at_rest();
    claims::settle(world);
}

fn is_reloaded(world: &World) -> bool {
    let reloaded =
        || world.daemon.ask(r#"{"method":"reload"}"#).filter(|reply| reply["error"].is_null()).map(drop);
    let answered = in_time("it answers its control socket", PATIENCE / 2, reloaded).or_else(|| {
        // Where the socket could not be had at the start, this brings it back.
        world.daemon.signal(Signal::SIGHUP);
        in_time("it answers its control socket", PATIENCE / 2, reloaded)
    });
    answered.is_some()
}

/// The kernel takes the addresses and routes of an interface away that goes down. The program that has set it up puts them back.
fn readdress(world: &World) {
    quietly(
        world,
        "ip -6 addr replace fe80::2/64 dev up0 nodad; ip -6 addr replace 2001:db8:1:2::2/64 dev up0 nodad
         ip -6 route replace default via fe80::1 dev up0
         ip -6 addr replace fe80::b0/64 dev br0 nodad; ip -6 addr replace 2001:db8:1:2:c::1/112 dev br0 nodad
         ip -6 addr replace fe80::b1/64 dev gv1 nodad; ip -6 addr replace 2001:db8:1:2:d::1/128 dev gv1 nodad
         ip -6 route replace 2001:db8:77::/48 dev gv1 proto 99 metric 77",
    );
}

fn comes(world: &mut World, chance: &mut Chance) -> Ipv6Addr {
    let number = chance.between(0, HOUSES);
    let guest = house(number);
    world.village.bring(guest, guest_mac(number, chance.between(0, 4)));
    let question = Solicitation::multicast(world.asker(), guest);
    world.router.send(&question.frame());
    guest
}

fn reload(world: &World) {
    // It may be refused, or nobody may be there.
    let _ = world.daemon.ask(r#"{"method":"reload"}"#);
}

/// What fails where there is nothing to delete; that is no fault of anybody's.
fn quietly(world: &World, script: &str) {
    let mut command = Command::new("sh");
    let _ = world.lab.host.run(|| command.args(["-c", script]).output());
}

fn pause(chance: &mut Chance, most: u64) {
    thread::sleep(Duration::from_millis(chance.between(0, most)));
}
