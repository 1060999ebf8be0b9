//! Guards: what guests are held to follows the configuration, the host and what is heard.

mod own;

use std::net::Ipv6Addr;

use std::sync::Arc;

use lone64::engine::facts::{Fact, IfIndex, Link, LinkLayer};
use lone64::engine::guests::{Breach, Family, GuardKey, Guarded, Guarding};
use lone64::engine::policy::{GuestAddresses, GuestPolicy, OnStop, Policy, RangeRoutes};
use lone64::engine::{Event, Input, Outcome, Output, Time};
use lone64::wire::Mac;

use crate::host::{
    BRIDGE, Host, address, dad, events, guest, guest_mac, link, net, seconds, usual_facts, with,
};

const PORT: IfIndex = IfIndex(11);

fn identity(number: u16) -> GuestPolicy {
    GuestPolicy {
        name: format!("web{number}"),
        mac: Some(guest_mac(number)),
        interface: "lxcbr0".parse().ok(),
        addresses: GuestAddresses::Listed(vec![guest(number)]),
        delegate: Vec::new(),
        pin: false,
        guard: Some(true),
    }
}

fn on_port(number: u16) -> GuestPolicy {
    GuestPolicy { interface: "tap0".parse().ok(), ..identity(number) }
}

fn policy(guests: Vec<GuestPolicy>) -> Policy {
    with(|policy| {
        policy.ranges[0].routes = RangeRoutes::Guests;
        policy.guests = guests.into_iter().map(Arc::new).collect();
    })
}

/// The usual host, whose downstream is a bridge.
fn host(guests: Vec<GuestPolicy>) -> (Host, Vec<Output>) {
    let mut host = Host::bare(policy(guests));
    let facts = usual_facts().into_iter().map(|fact| match fact {
        Fact::Link(known) if known.index == BRIDGE => Fact::Link(Link { is_bridge: true, ..known }),
        other => other,
    });
    host.facts(facts.collect());
    host.input(Input::Synced);
    let outputs = host.take();
    (host, outputs)
}

fn tap() -> Fact {
    port(PORT, "tap0")
}

fn port(index: IfIndex, name: &str) -> Fact {
    let layer = LinkLayer::Ethernet(guest_mac(0x77));
    Fact::Link(Link { master: Some(BRIDGE), leads_to_one: true, ..link(index, name, layer) })
}

/// The transactions that were asked for.
fn transactions(outputs: &[Output]) -> Vec<Vec<(GuardKey, Option<Guarding>)>> {
    let guards = |output: &Output| match output {
        Output::Guard(guards) => Some(guards.clone()),
        _ => None,
    };
    outputs.iter().filter_map(guards).collect()
}

/// The only guest that was said something of, and what.
fn only(outputs: &[Output]) -> Option<Guarded> {
    let all: Vec<_> = transactions(outputs).into_iter().flatten().collect();
    let guests: Vec<_> = all.into_iter().filter(|(key, _)| *key != GuardKey::Reserved).collect();
    assert_eq!(guests.len(), 1, "{guests:?}");
    match guests.into_iter().next() {
        Some((_, Some(Guarding::Guest(guarded)))) => Some(Guarded::clone(&guarded)),
        _ => None,
    }
}

/// The administrator says that this guest has the address, behind this interface or any.
fn claim<'i>(host: &mut Host, address: Ipv6Addr, number: u16, interface: impl Into<Option<&'i str>>) {
    let claim = lone64::engine::guests::Claim {
        object: lone64::engine::guests::Object::Prefix(address.into()),
        interface: interface.into().map(|name| name.parse().unwrap()),
        mac: Some(guest_mac(number)),
        via: None,
        until: None,
    };
    host.input(Input::Claiming(lone64::engine::Claiming::Claim(claim)));
}

fn link_local(mac: Mac) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(mac.interface_id()))
}

#[test]
fn five_thousand_go_in_one_transaction_and_a_reload_changes_one() {
    let all = |last: u16| -> Vec<GuestPolicy> {
        let of = |number: u16| GuestPolicy {
            addresses: GuestAddresses::Listed(vec![guest(if number == 1 { last } else { number })]),
            ..identity(number)
        };
        (1..=5_000).map(of).collect()
    };
    let (mut host, outputs) = host(all(1));
    let first = transactions(&outputs);
    assert_eq!((first.len(), first[0].len()), (1, 5_001), "and the addresses that nobody may take");
    host.input(Input::Reload(Box::new(policy(all(6_000)))));
    let guarded = only(&host.take()).unwrap();
    assert_eq!(guarded.addresses, [guest(6_000), link_local(guest_mac(1))]);
}

#[test]
fn a_guard_on_a_port_is_there_before_the_port_is() {
    let (mut host, outputs) = host(vec![on_port(5)]);
    let before = only(&outputs).unwrap();
    assert_eq!((before.family, before.port, before.is_fresh), (Family::Either, None, true));
    host.facts(vec![tap()]);
    let outputs = host.take();
    let there = only(&outputs).unwrap();
    assert_eq!((there.family, there.port), (Family::Bridge, "tap0".parse().ok()));
    // And the guest is behind the bridge: it is answered for.
    assert!(host.answers_for(guest(5)));
    host.facts(vec![Fact::LinkGone(PORT)]);
    assert_eq!(only(&host.take()).unwrap().family, Family::Either);
}

#[test]
fn the_first_port_counts_on_which_a_guest_is_heard_where_only_the_bridge_is_named() {
    let (mut host, outputs) = host(vec![identity(5)]);
    assert_eq!(only(&outputs).unwrap().port, None);
    host.facts(vec![tap()]);
    host.take();
    let heard = |port| Fact::Station { bridge: BRIDGE, mac: guest_mac(5), port };
    host.facts(vec![heard(PORT)]);
    assert_eq!(only(&host.take()).unwrap().port, "tap0".parse().ok());
    // Another port says later that it has the MAC.
    host.facts(vec![port(IfIndex(12), "tap1")]);
    host.facts(vec![heard(IfIndex(12))]);
    assert_eq!(transactions(&host.take()), [] as [Vec<_>; 0]);
    host.facts(vec![Fact::LinkGone(PORT)]);
    assert_ne!(only(&host.take()).unwrap().port, "tap0".parse().ok());
}

#[test]
fn the_first_link_local_address_counts_and_none_that_another_has() {
    let (mut host, _) = host(vec![identity(5), identity(6)]);
    let hear = |host: &mut Host, number: u16, target: &str| {
        host.input(Input::Solicitation(BRIDGE, dad(guest_mac(number), address(target))));
        host.take()
    };
    assert_eq!(transactions(&hear(&mut host, 5, &link_local(guest_mac(6)).to_string())), [] as [Vec<_>; 0]);
    let first = only(&hear(&mut host, 5, "fe80::1234")).unwrap();
    assert!(first.addresses.contains(&address("fe80::1234")) && !first.is_fresh);
    assert_eq!(transactions(&hear(&mut host, 5, "fe80::9")), [] as [Vec<_>; 0], "the first one counts");
    assert_eq!(transactions(&hear(&mut host, 6, "fe80::1234")), [] as [Vec<_>; 0], "it is the other's");
    assert!(only(&hear(&mut host, 6, "fe80::9")).unwrap().addresses.contains(&address("fe80::9")));
}

#[test]
fn the_address_made_of_its_mac_is_not_the_first_that_is_heard() {
    let (mut host, _) = host(vec![identity(5)]);
    let mut hear = |target: Ipv6Addr| {
        host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), target)));
        host.take()
    };
    // What loads its system has this one, and the system then has another.
    assert_eq!(transactions(&hear(link_local(guest_mac(5)))), [] as [Vec<_>; 0]);
    assert!(only(&hear(address("fe80::1234"))).unwrap().addresses.contains(&address("fe80::1234")));
}

#[test]
fn what_was_heard_of_a_mac_is_not_of_the_next_that_the_guest_has() {
    let (mut host, _) = host(vec![identity(5), identity(6)]);
    host.facts(vec![tap(), port(IfIndex(12), "tap1")]);
    let heard = |number, port| Fact::Station { bridge: BRIDGE, mac: guest_mac(number), port };
    host.facts(vec![heard(5, PORT), heard(6, IfIndex(12))]);
    host.input(Input::Solicitation(BRIDGE, dad(guest_mac(5), address("fe80::1234"))));
    host.take();
    let with = |number, mac| GuestPolicy { mac: Some(guest_mac(mac)), ..identity(number) };
    host.input(Input::Reload(Box::new(policy(vec![with(5, 6), with(6, 5)]))));
    let guards: Vec<_> = transactions(&host.take()).into_iter().flatten().collect();
    let ports = guards.iter().filter_map(|(_, guarding)| match guarding {
        Some(Guarding::Guest(guest)) => {
            assert!(!guest.addresses.contains(&address("fe80::1234")), "{guest:?}");
            Some((guest.mac, guest.port.map(|port| port.to_string())))
        }
        _ => None,
    });
    let own = [(guest_mac(5), Some("tap0".to_owned())), (guest_mac(6), Some("tap1".to_owned()))];
    assert_eq!(ports.collect::<std::collections::BTreeMap<_, _>>(), own.into());
}

#[test]
fn what_a_guard_drops_says_nothing_where_it_is_heard_before_that() {
    let tap = |number: u16, name| {
        let layer = LinkLayer::Ethernet(guest_mac(0x70 + number));
        Fact::Link(Link { leads_to_one: true, ..link(IfIndex(20 + u32::from(number)), name, layer) })
    };
    let on = |number: u16| GuestPolicy {
        interface: format!("tap{number}").parse().ok(),
        delegate: vec![net("2001:db8:1:2:c::4000/116")],
        ..identity(number)
    };
    let mut written =
        policy(vec![on(5), GuestPolicy { interface: None, delegate: Vec::new(), ..identity(6) }]);
    let patterns = ["lxcbr0", "tap*"].map(|name| name.parse().unwrap());
    written.ranges[0].downstream = lone64::engine::policy::Downstream::Matching(patterns.to_vec());
    let mut host = Host::bare(written);
    host.facts(usual_facts());
    host.facts(vec![tap(5, "tap5"), crate::host::has(IfIndex(25), "fe80::75/64")]);
    host.input(Input::Synced);
    host.take();
    let mut live_after = |mac, target| {
        host.input(Input::Advertisement(IfIndex(25), crate::host::reply(target, mac)));
        host.input(Input::Solicitation(IfIndex(25), dad(mac, target)));
        host.is_live(target)
    };
    assert!(live_after(guest_mac(5), guest(5)) && live_after(guest_mac(5), guest(0x4001)));
    assert!(!live_after(guest_mac(5), guest(9)), "it is nobody's");
    claim(&mut host, guest(0x77), 5, "tap5");
    let mut live_after = |mac, target| {
        host.input(Input::Advertisement(IfIndex(25), crate::host::reply(target, mac)));
        host.input(Input::Solicitation(IfIndex(25), dad(mac, target)));
        host.is_live(target)
    };
    assert!(live_after(guest_mac(5), guest(0x77)), "it is claimed for it");
    assert!(!live_after(guest_mac(9), guest(10)), "another MAC on its own link");
    assert!(!live_after(guest_mac(6), guest(6)), "and the MAC of another guest");
    host.input(Input::Arrived(IfIndex(25), guest_mac(6)));
    assert!(!host.is_live(guest(6)), "also without IPv6");
}

#[test]
fn prefixes_and_claims_are_its_own_too() {
    let prefix = net("2001:db8:1:2:c::4000/116");
    let (mut host, outputs) = host(vec![GuestPolicy { delegate: vec![prefix], ..identity(5) }]);
    assert_eq!(only(&outputs).unwrap().prefixes, [prefix]);
    let object = lone64::engine::guests::Object::Prefix(guest(0x77).into());
    claim(&mut host, guest(0x77), 5, "lxcbr0");
    assert!(only(&host.take()).unwrap().addresses.contains(&guest(0x77)));
    host.input(Input::Claiming(lone64::engine::Claiming::Release(object)));
    assert!(!only(&host.take()).unwrap().addresses.contains(&guest(0x77)));
}

#[test]
fn the_range_says_it_for_those_that_do_not_and_nobody_else_is_guarded() {
    let quiet = |number| GuestPolicy { guard: None, ..identity(number) };
    let no = GuestPolicy { guard: Some(false), ..identity(6) };
    let mut of_range = policy(vec![quiet(5), no.clone()]);
    let (_, outputs) = host(vec![quiet(5), no]);
    assert_eq!(transactions(&outputs), [] as [Vec<_>; 0]);
    of_range.ranges[0].guard = true;
    let mut host = Host::bare(of_range);
    host.facts(usual_facts());
    host.input(Input::Synced);
    assert_eq!(only(&host.take()).unwrap().mac, guest_mac(5));
}

#[test]
fn what_the_kernel_refuses_is_a_problem_and_tried_again() {
    let (mut host, outputs) = host(vec![identity(5)]);
    let keys: Vec<_> = transactions(&outputs)[0].iter().map(|(key, _)| *key).collect();
    let changed = |outcome| Input::GuardChanged(keys.clone(), outcome);
    host.input(changed(Outcome::Failed("there is no nft".to_owned())));
    let told = events(&host.take());
    assert!(
        told.iter()
            .any(|event| matches!(event, Event::Problem(problem) if problem.to_string().contains("no nft")))
    );
    host.pass(seconds(2));
    assert_eq!(transactions(&host.take()).concat().len(), keys.len());
    host.input(changed(Outcome::Done));
    assert!(host.engine.problems().is_empty(), "{:?}", host.engine.problems());
    // And what somebody removes is put back.
    host.input(Input::GuardLost);
    assert_eq!(transactions(&host.take()).concat().len(), keys.len());
}

#[test]
fn a_guest_without_a_mac_is_told_to_have_one() {
    let (host, outputs) = host(vec![GuestPolicy { mac: None, ..identity(5) }]);
    assert_eq!(transactions(&outputs), [] as [Vec<_>; 0]);
    let said: Vec<_> = host.engine.problems().iter().map(ToString::to_string).collect();
    assert!(
        said.len() == 1 && said[0].contains("guest web5 is not guarded") && said[0].contains("add `mac`"),
        "{said:?}"
    );
}

#[test]
fn drops_are_counted_by_guest_and_reason_and_told() {
    let (mut host, outputs) = host(vec![identity(5)]);
    let id = transactions(&outputs)[0].iter().find_map(|(key, _)| match key {
        GuardKey::Guest(id) => Some(*id),
        GuardKey::Reserved => None,
    });
    for packets in [3, 4] {
        host.input(Input::GuardDropped(vec![(id.unwrap(), Breach::Router, packets)]));
    }
    let told = events(&host.take());
    let last = Event::GuardDropped("web5".to_owned(), Breach::Router, 4);
    assert!(told.contains(&last), "{told:?}");
    let seen = host.engine.identified().iter().next().unwrap();
    assert_eq!(seen.drops.unwrap()[Breach::Router as usize], 7);
    // It is answered for, and its own packets go nowhere.
    let steps = host.engine.explain(guest(5), host.now).steps;
    let told = |step: &&lone64::engine::Step| step.value.contains("guard has dropped");
    assert!(
        steps.iter().find(told).is_some_and(|step| step.value.ends_with("router_advertisement 7")),
        "{steps:?}"
    );
}

#[test]
fn the_end_takes_guards_along_unless_routes_are_kept() {
    for (on_stop, asked) in [(OnStop::Remove, 1), (OnStop::Keep, 0)] {
        let mut wanted = policy(vec![identity(5)]);
        wanted.routes.on_stop = on_stop;
        let mut host = Host::bare(wanted);
        host.facts(usual_facts());
        host.input(Input::Synced);
        host.take();
        host.input(Input::Stop);
        let outputs = host.take();
        assert_eq!(transactions(&outputs).len(), asked);
        assert!(transactions(&outputs).concat().iter().all(|(_, guarding)| guarding.is_none()));
        assert!(host.now > Time::ORIGIN);
    }
}

#[test]
fn a_range_that_is_guarded_guards_computed_guests_of_it_and_no_listed_ones_of_another() {
    let computed = GuestPolicy { addresses: GuestAddresses::Eui64, guard: None, ..identity(5) };
    let elsewhere = GuestPolicy { guard: None, ..identity(6) };
    let mut wanted = policy(vec![computed, elsewhere]);
    let whole = crate::host::range("2001:db8:1:7::/64", "lxcbr0");
    wanted.ranges.push(lone64::engine::policy::RangePolicy { guard: true, ..whole });
    let mut host = Host::bare(wanted);
    host.facts(usual_facts());
    host.input(Input::Synced);
    assert_eq!(only(&host.take()).unwrap().mac, guest_mac(5));
}

#[test]
fn what_a_guest_claims_and_what_was_counted_of_it_outlast_news_of_its_port() {
    let (mut host, outputs) = host(vec![on_port(5)]);
    let id = transactions(&outputs)[0].iter().find_map(|(key, _)| match key {
        GuardKey::Guest(id) => Some(*id),
        GuardKey::Reserved => None,
    });
    host.input(Input::GuardDropped(vec![(id.unwrap(), Breach::Router, 3)]));
    claim(&mut host, guest(0x77), 5, None);
    host.take();
    host.facts(vec![tap()]);
    let there = only(&host.take()).unwrap();
    assert_eq!(there.family, Family::Bridge);
    assert!(there.addresses.contains(&guest(0x77)), "{there:?}");
    let seen = host.engine.identified().iter().next().unwrap();
    assert_eq!(seen.drops.unwrap()[Breach::Router as usize], 3);
}

#[test]
fn one_on_an_interface_whose_name_nft_would_misread_is_told_to_rename_it() {
    for (name, is_told) in [("tap.5-a_b", false), ("tap$5", true), ("tap*", true), ("tap;5", true)] {
        let mut host = Host::bare(policy(vec![GuestPolicy { interface: name.parse().ok(), ..identity(5) }]));
        host.facts(usual_facts());
        let layer = LinkLayer::Ethernet(guest_mac(0x77));
        host.facts(vec![Fact::Link(Link { leads_to_one: true, ..link(PORT, name, layer) })]);
        host.input(Input::Synced);
        let said: Vec<_> = host.engine.problems().iter().map(ToString::to_string).collect();
        assert_eq!(said.iter().any(|said| said.contains("rename it")), is_told, "{name} {said:?}");
    }
}
