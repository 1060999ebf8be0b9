//! What is heard of guests, on links that are there or not, and what it is worth.

use super::super::*;
use crate::engine::policy::GuestAddresses;
use core::time::Duration;

const BR0: IfIndex = IfIndex(3);
const BR1: IfIndex = IfIndex(4);
const TUN: IfIndex = IfIndex(5);
const MAC: Mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const OTHER_MAC: Mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x57]);
const RANGE: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 64);
const ROUTED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 1, 0, 0), 96);

/// Two bridges and a tunnel with one range; those that are in `down` are down. Nothing is live.
#[derive(Default)]
struct Ground {
    down: Vec<IfIndex>,
}

impl Terrain for Ground {
    fn named(&self, name: &IfName) -> Option<IfIndex> {
        [BR0, BR1, TUN].into_iter().find(|link| self.name(*link).as_ref() == Some(name))
    }

    fn name(&self, link: IfIndex) -> Option<IfName> {
        let name = match link {
            BR0 => "br0",
            BR1 => "br1",
            _ => "tun0",
        };
        name.parse().ok()
    }

    fn is_up(&self, link: IfIndex) -> bool {
        !self.down.contains(&link)
    }

    fn is_layer_3(&self, link: IfIndex) -> bool {
        link == TUN
    }

    fn only_downstream(&self, _: &Ipv6Net) -> Result<IfIndex, Missing> {
        Ok(BR0)
    }

    fn check_address(&self, address: Ipv6Addr, link: IfIndex) -> Result<(), Missing> {
        self.check_prefix(&address.into(), link)
    }

    fn check_prefix(&self, prefix: &Ipv6Net, _: IfIndex) -> Result<(), Missing> {
        if RANGE.contains(prefix) { Ok(()) } else { Err(Missing::Range(*prefix)) }
    }

    fn slash_64s(&self, _: IfIndex) -> Vec<Ipv6Net> {
        vec![RANGE]
    }

    fn stands_by(&self, _: &Ipv6Net) -> bool {
        false
    }

    fn is_upstream(&self, _: IfIndex) -> bool {
        false
    }

    fn is_answered_as_a_whole(&self, _: &Ipv6Net) -> bool {
        false
    }

    fn is_live_on(&self, _: Ipv6Addr, _: IfIndex) -> bool {
        false
    }
}

fn address(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
}

fn link_local(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last)
}

/// A guest with a MAC, and an address of the range; where it is has to be heard.
fn heard(name: &str) -> GuestPolicy {
    GuestPolicy {
        name: name.to_owned(),
        mac: Some(MAC),
        interface: None,
        addresses: GuestAddresses::Listed(vec![address(1)]),
        delegate: Vec::new(),
        pin: false,
        guard: None,
    }
}

fn on(interface: &str) -> GuestPolicy {
    GuestPolicy { interface: interface.parse().ok(), ..heard("a") }
}

fn routed(guest: GuestPolicy) -> GuestPolicy {
    GuestPolicy { delegate: vec![ROUTED], ..guest }
}

fn claim(prefix: impl Into<Ipv6Net>) -> Claim {
    Claim { object: Object::Prefix(prefix.into()), interface: None, mac: None, via: None, until: None }
}

fn settle(guests: &mut Guests, ground: &Ground) -> Vec<Out> {
    let mut next = Some(Cursor::first());
    while let Some(from) = next {
        next = guests.settle(from, 2, ground);
    }
    guests.take_out()
}

fn written(policies: &[GuestPolicy], ground: &Ground) -> Guests {
    let mut guests = Guests::default();
    guests.write(policies);
    settle(&mut guests, ground);
    guests
}

fn link_of(guests: &Guests, name: &str) -> Option<IfIndex> {
    guests.iter().find(|seen| seen.policy.name == name).and_then(|seen| seen.link)
}

fn missing(guests: &Guests, name: &str) -> Option<Missing> {
    guests.iter().find(|seen| seen.policy.name == name).and_then(|seen| seen.missing.cloned())
}

#[test]
fn the_first_place_where_a_mac_is_heard_counts_as_long_as_it_is_up() {
    let mut ground = Ground::default();
    let mut guests = written(&[heard("a")], &ground);
    guests.hear((BR0, MAC), address(1), &ground);
    guests.hear((BR1, MAC), address(1), &ground);
    assert_eq!(link_of(&guests, "a"), Some(BR0));
    ground.down = vec![BR0];
    guests.hear((BR1, MAC), address(1), &ground);
    assert_eq!(link_of(&guests, "a"), Some(BR1));
}

#[test]
fn a_mac_that_is_heard_elsewhere_than_is_written_says_nothing_of_where_its_guest_is() {
    let ground = Ground::default();
    let mut guests = written(&[on("gone0")], &ground);
    guests.hear((BR1, MAC), address(1), &ground);
    let claim = Claim { mac: Some(MAC), ..claim(address(9)) };
    guests.claim(claim.clone(), &ground);
    assert_eq!(guests.claim_of(&claim.object).and_then(|seen| seen.link), Some(BR0));
}

#[test]
fn one_without_prefixes_has_the_link_local_address_that_was_heard_last() {
    let ground = Ground::default();
    let mut guests = written(&[on("br0")], &ground);
    guests.hear((BR0, MAC), link_local(5), &ground);
    guests.hear((BR0, MAC), link_local(7), &ground);
    assert!(!guests.take_out().iter().any(|out| matches!(out, Out::Doubt(..))), "nothing leads there");
    guests.write(&[routed(on("br0"))]);
    settle(&mut guests, &ground);
    assert_eq!(guests.words().way(&ROUTED), Some(Way::Via(BR0, link_local(7))));
}

#[test]
fn another_next_hop_that_was_heard_is_kept_where_the_guest_is_written_differently() {
    let ground = Ground::default();
    let mut guests = written(&[routed(on("br0"))], &ground);
    guests.hear((BR0, MAC), link_local(5), &ground);
    guests.hear((BR0, MAC), link_local(7), &ground);
    assert!(guests.take_out().contains(&Out::Doubt(BR0, link_local(5))));
    guests.write(&[GuestPolicy { pin: true, ..routed(on("br0")) }]);
    settle(&mut guests, &ground);
    guests.hop_is_gone(BR0, link_local(5), &ground);
    assert_eq!(guests.words().way(&ROUTED), Some(Way::Via(BR0, link_local(7))));
}

#[test]
fn a_next_hop_that_was_heard_on_another_link_leads_nowhere_and_a_tunnel_needs_none() {
    let ground = Ground::default();
    let mut guests = written(&[routed(on("br0"))], &ground);
    guests.hear((BR0, MAC), link_local(5), &ground);
    guests.write(&[routed(on("br1"))]);
    settle(&mut guests, &ground);
    let lacks = Missing::LinkLocal(MAC, "br1".parse().expect("a name"));
    assert_eq!((guests.words().way(&ROUTED), missing(&guests, "a")), (None, Some(lacks)));
    guests.write(&[routed(on("tun0"))]);
    settle(&mut guests, &ground);
    assert_eq!(guests.words().way(&ROUTED), Some(Way::Direct(TUN)));
}

#[test]
fn a_mac_that_a_guest_does_not_have_any_more_says_nothing_of_it() {
    let ground = Ground::default();
    let mut guests = written(&[heard("a")], &ground);
    guests.write(&[GuestPolicy { mac: Some(OTHER_MAC), ..heard("a") }]);
    settle(&mut guests, &ground);
    guests.hear((BR0, MAC), address(1), &ground);
    assert_eq!(link_of(&guests, "a"), None);
    guests.hear((BR0, OTHER_MAC), address(1), &ground);
    assert_eq!(link_of(&guests, "a"), Some(BR0));
}

#[test]
fn what_is_claimed_does_not_move_its_guest() {
    let ground = Ground::default();
    let mut guests = written(&[heard("a")], &ground);
    guests.hear((BR0, MAC), address(1), &ground);
    guests.claim(claim(address(1)), &ground);
    guests.moved(address(1), BR1, &ground);
    assert_eq!(link_of(&guests, "a"), Some(BR0));
    guests.release(&claim(address(1)).object);
    guests.moved(address(1), BR1, &ground);
    assert_eq!(link_of(&guests, "a"), Some(BR1));
}

#[test]
fn a_prefix_with_the_address_of_another_guest_is_not_routed() {
    let ground = Ground::default();
    let inside = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 1, 0, 9);
    let of = |name: &str| GuestPolicy {
        addresses: GuestAddresses::Listed(vec![inside]),
        mac: None,
        name: name.to_owned(),
        ..on("br0")
    };
    let mut guests = written(&[routed(on("tun0")), of("b")], &ground);
    // The one with the address is looked at later, so once more.
    settle(&mut guests, &ground);
    let covers = Missing::Covers(ROUTED, Covered::Guest("b".to_owned()));
    assert_eq!((guests.words().way(&ROUTED), missing(&guests, "a")), (None, Some(covers.clone())));
    let claimed = Claim { via: Some(link_local(5)), ..claim(ROUTED) };
    assert_eq!(guests.check(&claimed, &ground), Err(covers));
    // Its own is no other's.
    let own = GuestPolicy { delegate: vec![ROUTED], interface: "tun0".parse().ok(), ..of("b") };
    let mut guests = written(&[own], &ground);
    settle(&mut guests, &ground);
    assert_eq!(guests.words().around(inside), Some((ROUTED, Way::Direct(TUN), guests.named("b"))));
    assert!(guests.named("b").is_some() && guests.named("c").is_none());
    assert_eq!(guests.words().around(address(1)), None);
}

#[test]
fn claims_are_looked_at_a_slice_at_a_time_and_one_that_lacks_something_is_not_here() {
    let mut ground = Ground::default();
    let mut guests = Guests::default();
    for last in 1..=5 {
        guests.claim(claim(address(last)), &ground);
        assert_eq!(guests.addresses_of(&claim(address(last)).object), [address(last)]);
    }
    let outside = claim("2001:db8:1::5".parse::<Ipv6Addr>().expect("an address"));
    guests.claim(outside.clone(), &ground);
    let is_here: Vec<_> = guests.claims().map(|seen| (seen.link.is_some(), seen.is_here())).collect();
    assert_eq!(is_here, [[(true, true); 5].as_slice(), &[(true, false)]].concat());
    assert_eq!(guests.addresses_of(&outside.object), [] as [Ipv6Addr; 0]);
    guests.take_out();
    ground.down = vec![BR0];
    let gone = settle(&mut guests, &ground);
    assert_eq!(gone, (1..=5).map(|last| Out::Gone(address(last), By::Claim)).collect::<Vec<_>>());
}

#[test]
fn no_more_is_claimed_than_there_is_room_for() {
    let ground = Ground::default();
    let mut guests = Guests::default();
    guests.remember((0..=u16::MAX).map(|last| claim(address(last))).collect());
    let most = guests.claims.len();
    assert_eq!(guests.check(&claim(address(u16::MAX)), &ground), Err(Missing::Room(most)));
    assert_eq!(guests.check(&claim(address(0)), &ground), Ok(()));
}

#[test]
fn one_that_comes_and_goes_is_counted_and_told_once_each_time() {
    let ground = Ground::default();
    let at = |seconds| Time::at(Duration::from_secs(seconds));
    let mut guests = written(&[on("br0")], &ground);
    let id = guests.named("a").expect("it is written");
    let arrive = |guests: &mut Guests, link, second| {
        guests.sight((link, MAC), Sighting::Arrival, &ground, at(second));
        guests.take_out()
    };
    assert_eq!(arrive(&mut guests, BR1, 1), [], "it is written to be elsewhere");
    assert!(!guests.has_come(address(1)));
    assert_eq!(arrive(&mut guests, BR0, 1), [Out::Arrived(id, BR0)]);
    assert_eq!(arrive(&mut guests, BR0, 2), [Out::Again(id, BR0)]);
    assert!(guests.has_come(address(1)) && !guests.has_come(address(2)));
    let leave = |guests: &mut Guests, second| {
        guests.announced_elsewhere(address(1), OTHER_MAC, Crossed::No, at(second));
        guests.tick_moves(&ground, at(second + 1));
        guests.take_out()
    };
    for turn in 1..=5 {
        assert!(leave(&mut guests, turn * 10).contains(&Out::Left(id, BR0, OTHER_MAC)));
        assert!(!guests.is_flapping(id));
        arrive(&mut guests, BR0, turn * 10 + 5);
    }
    let moves = Moves { arrived: 5, left: 5 };
    assert_eq!((guests.count_moves(), guests.is_flapping(id)), ((moves, 1), true));
}

#[test]
fn what_must_not_be_routed_to_a_guest_is_said_as_an_address_where_it_is_one() {
    let one = Ipv6Net::from(address(1));
    let said = |prefix, covered| Missing::Covers(prefix, covered).to_string();
    let (own, router) = (Covered::Own(address(1)), Covered::Router(address(1)));
    assert_eq!(said(one, own.clone()), "2001:db8::1 is an address of this host; name one of a guest");
    assert_eq!(said(one, router.clone()), "2001:db8::1 is the provider's router; name an address of a guest");
    for covered in [own, router] {
        let text = said(RANGE, covered.clone());
        assert_eq!(text, format!("2001:db8::/64 covers {covered}; take a longer prefix without it"));
    }
}
