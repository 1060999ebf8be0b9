//! What is claimed is here at once, and until its time is over.

use std::time::Duration;

use lone64::engine::facts::{Fact, LinkLayer, LinkState};
use lone64::engine::guests::{Claim, Ended, Missing, Object};
use lone64::engine::policy::{Announce, Downstream, GuestAddresses, GuestPolicy};
use lone64::engine::{Claiming, Event, Input, Loss, Output};
use lone64::wire::{Advertisement, Mac};

use super::{TAP, has_route, identity, on_two_links, place, policy, tap};
use crate::host::{
    BRIDGE, Host, UP, address, bridge, events, guest, guest_mac, has, link, net, probes, range, reply,
    seconds, usual_facts, with,
};

fn claim(object: &str) -> Claim {
    let object = match object.contains([':', '/']) {
        true => Object::Prefix(object.parse().unwrap_or_else(|_| net(&format!("{object}/128")))),
        false => Object::Guest(object.to_owned()),
    };
    Claim { object, interface: None, mac: None, via: None, until: None }
}

fn of(number: u16) -> Claim {
    claim(&guest(number).to_string())
}

fn claimed(host: &mut Host, claim: Claim) -> Vec<Output> {
    assert_eq!(host.engine.may_claim(&claim), Ok(()));
    host.take();
    host.input(Input::Claiming(Claiming::Claim(claim)));
    host.take()
}

fn refused(host: &Host, claim: &Claim) -> Option<Missing> {
    host.engine.may_claim(claim).err()
}

fn announcing() -> Host {
    let mut policy = policy(Vec::new());
    policy.upstreams[0].announce = Announce::Yes;
    Host::new(policy)
}

fn overriding(outputs: &[Output], number: u16) -> usize {
    let said = |output: &&Output| {
        matches!(output, Output::Advertise(UP, said)
            if said.target == guest(number) && said.flags.override_entry && !said.flags.solicited)
    };
    outputs.iter().filter(said).count()
}

fn for_an_hour(host: &Host, claim: Claim) -> Claim {
    Claim { until: Some(host.now + Duration::from_secs(3_600)), ..claim }
}

#[test]
fn an_address_is_live_routed_and_announced_at_once_with_override_and_nobody_is_asked() {
    let mut host = announcing();
    let outputs = claimed(&mut host, of(5));
    assert!(host.is_live(guest(5)) && has_route(&host, guest(5), BRIDGE));
    assert!(events(&outputs).contains(&Event::Claimed(Object::Prefix(guest(5).into()), Some(BRIDGE))));
    host.pass(Duration::from_millis(100));
    let outputs: Vec<_> = outputs.into_iter().chain(host.take()).collect();
    assert!(overriding(&outputs, 5) > 0, "{outputs:?}");
    assert!(!probes(&outputs).iter().any(|asked| asked.is_dad()), "{outputs:?}");
    assert!(host.answers_for(guest(5)));
}

#[test]
fn a_rival_from_before_the_claim_has_lost() {
    let mut host = announcing();
    host.make_live(guest(5), guest_mac(5));
    let other = Mac([2, 9, 9, 9, 9, 9]);
    host.input(Input::Advertisement(UP, Advertisement { source_mac: other, ..reply(guest(5), other) }));
    assert!(!host.answers_for(guest(5)));
    claimed(&mut host, of(5));
    assert!(host.answers_for(guest(5)));
    host.pass(Duration::from_millis(100));
    assert!(overriding(&host.take(), 5) > 0);
}

#[test]
fn one_that_was_live_before_is_announced_again() {
    let mut host = announcing();
    host.make_live(guest(5), guest_mac(5));
    host.pass(seconds(30));
    claimed(&mut host, of(5));
    host.pass(Duration::from_millis(100));
    assert!(overriding(&host.take(), 5) > 0);
}

#[test]
fn it_ends_at_its_time_and_not_before() {
    let mut host = announcing();
    let claim = for_an_hour(&host, of(5));
    claimed(&mut host, claim);
    host.pass(seconds(3_599));
    assert!(host.is_live(guest(5)) && has_route(&host, guest(5), BRIDGE));
    host.take();
    host.pass(seconds(2));
    let told = host.events();
    assert!(told.contains(&Event::Released(Object::Prefix(guest(5).into()), Ended::Over)), "{told:?}");
    assert!(told.contains(&Event::Gone(guest(5), BRIDGE, Loss::Released)), "{told:?}");
    assert!(!host.is_live(guest(5)) && !has_route(&host, guest(5), BRIDGE));
    assert_eq!(host.engine.identified().count(), (0, 0, 0));
}

#[test]
fn a_later_claim_of_the_same_has_the_later_time() {
    let mut host = announcing();
    let short = Claim { until: Some(host.now + seconds(10)), ..of(5) };
    claimed(&mut host, short);
    let long = for_an_hour(&host, of(5));
    claimed(&mut host, long);
    host.pass(seconds(60));
    assert!(host.is_live(guest(5)));
    claimed(&mut host, of(5));
    host.pass(seconds(7_200));
    assert!(host.is_live(guest(5)), "without a time it ends by no time");
}

#[test]
fn released_it_is_gone_at_once_and_found_again_if_it_is_there_all_the_same() {
    let mut host = announcing();
    claimed(&mut host, of(5));
    host.input(Input::Claiming(Claiming::Release(Object::Prefix(guest(5).into()))));
    assert!(!host.is_live(guest(5)) && !has_route(&host, guest(5), BRIDGE));
    host.guests.insert(guest(5), guest_mac(5));
    assert!(host.answers_for(guest(5)));
}

#[test]
fn it_is_remembered_and_counts_after_a_restart() {
    let mut host = announcing();
    let claim = for_an_hour(&host, Claim { interface: "lxcbr0".parse().ok(), ..of(5) });
    let outputs = claimed(&mut host, claim.clone());
    let remembered = outputs.iter().find_map(|output| match output {
        Output::RememberClaims(claims) => Some(claims.clone()),
        _ => None,
    });
    assert_eq!(remembered, Some(vec![(claim.object.clone(), Some(claim.clone()))]));
    let object = claim.object.clone();
    let mut next = Host::bare(host.engine.written().clone());
    next.input(Input::Claiming(Claiming::Remembered(vec![claim])));
    next.facts(usual_facts());
    next.input(Input::Synced);
    assert!(next.is_live(guest(5)) && has_route(&next, guest(5), BRIDGE));
    next.pass(seconds(3_601));
    assert!(!next.is_live(guest(5)));
    let told = next.take();
    assert!(told.contains(&Output::RememberClaims(vec![(object, None)])), "{told:?}");
}

#[test]
fn it_waits_for_its_interface_and_comes_back_with_it() {
    let mut host = announcing();
    claimed(&mut host, Claim { interface: "lxcbr0".parse().ok(), ..of(5) });
    host.facts(vec![bridge(LinkState::Down)]);
    assert!(!host.is_live(guest(5)));
    host.facts(vec![bridge(LinkState::Up)]);
    assert!(host.is_live(guest(5)) && has_route(&host, guest(5), BRIDGE));
}

#[test]
fn a_guest_is_claimed_by_its_name_and_is_where_the_claim_says() {
    let mut host = on_two_links(vec![identity(5)]);
    claimed(&mut host, Claim { interface: "tap7".parse().ok(), ..claim("web5") });
    assert_eq!(place(&host, guest(5)), Some(TAP));
    assert!(has_route(&host, guest(5), TAP) && !has_route(&host, guest(5), BRIDGE));
    host.input(Input::Claiming(Claiming::Release(Object::Guest("web5".to_owned()))));
    assert_eq!(place(&host, guest(5)), Some(BRIDGE), "as it is written");
    host.facts(vec![tap(LinkState::Down)]);
    assert!(has_route(&host, guest(5), BRIDGE));
}

#[test]
fn on_a_link_without_neighbor_discovery_it_needs_no_station() {
    let mut host = Host::new(with(|policy| {
        policy.ranges = vec![range("2001:db8:1:2:c::/112", "wg0")];
    }));
    host.facts(vec![Fact::Link(link(TAP, "wg0", LinkLayer::None))]);
    claimed(&mut host, of(5));
    host.pass(seconds(600));
    assert!(host.answers_for(guest(5)));
}

#[test]
fn a_refusal_names_the_object_the_reason_and_the_remedy() {
    let mut guests = vec![identity(5)];
    guests.push(GuestPolicy { addresses: GuestAddresses::Listed(vec![guest(0x106)]), ..identity(6) });
    let mut host = on_two_links(guests);
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112")]);
    let other = "tap9".parse().ok();
    let (with, via) =
        (|claim, interface: &str| Claim { interface: interface.parse().ok(), ..claim }, address("fe80::5"));
    let told = |claim: Claim| {
        refused(&host, &claim).map_or_else(String::new, |missing| {
            let (code, text) = (missing.code(), missing.to_string());
            format!("{code}: {text}")
        })
    };
    for (claim, words) in [
        (claim("2001:db8:5::5"), &["no_range", "2001:db8:5::5", "[[range]]"][..]),
        (claim("2001:db8:5::/112"), &["no_range", "2001:db8:5::/112", "[[range]]"]),
        (Claim { interface: other, ..of(7) }, &["no_interface", "tap9", "ip link"]),
        (with(of(7), "up0"), &["not_served_there", "up0", "lone64 explain"]),
        (of(7), &["several_interfaces", &guest(7).to_string(), "--interface"]),
        (claim("web9"), &["no_guest", "web9", "[[guest]]"]),
        (Claim { mac: Some(guest_mac(9)), ..claim("web5") }, &["other_mac", "web5", "--mac"]),
        (Claim { mac: Some(guest_mac(9)), ..of(5) }, &["other_guest", "web5", "release"]),
        (with(claim("2001:db8:1:2:c::8/125"), "lxcbr0"), &["no_via", "--via", "link-local"]),
        (
            Claim { via: Some(via), ..with(claim("2001:db8:1:2:c::/112"), "lxcbr0") },
            &["covers", "all of the range"],
        ),
        (
            Claim { via: Some(via), ..with(claim("2001:db8:1:2:c::/125"), "lxcbr0") },
            &["covers", "address of this host", "longer prefix"],
        ),
        (
            Claim { via: Some(via), ..with(claim("2001:db8:1:2:c::104/126"), "lxcbr0") },
            &["covers", "the guest web6"],
        ),
        (with(of(1), "lxcbr0"), &["covers", "address of this host"]),
    ] {
        let told = told(claim);
        assert!(words.iter().all(|word| told.contains(word)), "{told}: {words:?}");
    }
}

#[test]
fn without_an_interface_it_is_on_the_only_one_of_its_range() {
    let mut host = Host::new(policy(Vec::new()));
    claimed(&mut host, of(7));
    assert_eq!(place(&host, guest(7)), Some(BRIDGE));
    let mut policy = policy(Vec::new());
    policy.ranges[0].downstream = Downstream::Named("br9".parse().unwrap());
    let host = Host::new(policy);
    assert!(matches!(refused(&host, &of(7)), Some(Missing::AnyInterface(_))));
}
