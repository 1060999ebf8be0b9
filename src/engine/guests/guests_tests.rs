//! The machine alone: no engine, no plan, no host.

use super::*;
use crate::engine::policy::GuestAddresses;
use core::time::Duration;

const LINK: IfIndex = IfIndex(3);
const MAC: Mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);

/// One link that is up, or not, with one range that is a /64.
struct Ground {
    is_up: bool,
    live: Vec<Ipv6Addr>,
}

impl Terrain for Ground {
    fn named(&self, name: &IfName) -> Option<IfIndex> {
        (name.as_str() == "br0").then_some(LINK)
    }

    fn name(&self, _: IfIndex) -> Option<IfName> {
        "br0".parse().ok()
    }

    fn is_up(&self, _: IfIndex) -> bool {
        self.is_up
    }

    fn is_layer_3(&self, _: IfIndex) -> bool {
        false
    }

    fn only_downstream(&self, _: &Ipv6Net) -> Result<IfIndex, Missing> {
        Ok(LINK)
    }

    fn check_address(&self, address: Ipv6Addr, _: IfIndex) -> Result<(), Missing> {
        self.check_prefix(&address.into(), LINK)
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

    fn is_live_on(&self, address: Ipv6Addr, _: IfIndex) -> bool {
        self.live.contains(&address)
    }
}

const RANGE: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 64);

fn address(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)
}

fn guest(name: &str, addresses: GuestAddresses) -> GuestPolicy {
    let interface = "br0".parse().ok();
    GuestPolicy {
        name: name.to_owned(),
        mac: Some(MAC),
        interface,
        addresses,
        delegate: Vec::new(),
        pin: false,
        guard: None,
    }
}

fn listed(name: &str, last: u16) -> GuestPolicy {
    GuestPolicy { mac: None, ..guest(name, GuestAddresses::Listed(vec![address(last)])) }
}

fn claim(object: Object, until: Option<Time>) -> Claim {
    Claim { object, interface: None, mac: None, via: None, until }
}

fn here(out: &[Out]) -> Vec<(Ipv6Addr, By)> {
    let word = |out: &Out| match out {
        Out::Here(address, word) => Some((*address, word.by)),
        _ => None,
    };
    out.iter().filter_map(word).collect()
}

fn settled(guests: &mut Guests, ground: &Ground) -> Vec<Out> {
    let mut next = Some(Cursor::first());
    while let Some(from) = next {
        next = guests.settle(from, 2, ground);
    }
    guests.take_out()
}

#[test]
fn says_once_what_is_there_and_again_only_what_is_not_known_to_be() {
    let (mut guests, mut ground) = (Guests::default(), Ground { is_up: true, live: Vec::new() });
    guests.write(&(1..=5).map(|last| listed(&format!("g{last}"), last)).collect::<Vec<_>>());
    assert_eq!(here(&settled(&mut guests, &ground)).len(), 5);
    ground.live = (1..=5).map(address).collect();
    assert_eq!(settled(&mut guests, &ground), []);
    ground.live.pop();
    assert_eq!(here(&settled(&mut guests, &ground)), [(address(5), By::Guest)]);
    ground.is_up = false;
    let gone = settled(&mut guests, &ground);
    assert_eq!(gone, (1..=5).map(|last| Out::Gone(address(last), By::Guest)).collect::<Vec<_>>());
}

#[test]
fn a_guest_keeps_what_was_heard_of_it_as_long_as_it_is_written_like_that() {
    let (mut guests, ground) = (Guests::default(), Ground { is_up: true, live: Vec::new() });
    let delegate = vec!["2001:db8::1:0:0/96".parse().expect("a prefix")];
    let routed = GuestPolicy { delegate: delegate.clone(), ..guest("a", GuestAddresses::Eui64) };
    guests.write(std::slice::from_ref(&routed));
    settled(&mut guests, &ground);
    let link_local = "fe80::5".parse().expect("an address");
    guests.hear((LINK, MAC), link_local, &ground);
    let lead = Out::Lead(delegate[0], Some(Way::Via(LINK, link_local)));
    assert!(guests.take_out().contains(&lead));
    guests.write(&[routed.clone(), listed("b", 9)]);
    let out = settled(&mut guests, &ground);
    assert!(!out.iter().any(|out| matches!(out, Out::Lead(..))), "{out:?}");
    guests.write(&[listed("b", 9)]);
    let out = guests.take_out();
    assert!(out.contains(&Out::Lead(delegate[0], None)), "{out:?}");
    assert_eq!(guests.count(), (1, 1, 0));
}

#[test]
fn computes_the_address_of_a_mac() {
    let (mut guests, ground) = (Guests::default(), Ground { is_up: true, live: Vec::new() });
    guests.write(&[guest("a", GuestAddresses::Eui64)]);
    let out = settled(&mut guests, &ground);
    let computed = "2001:db8::5054:ff:fe12:3456".parse().expect("an address");
    assert_eq!(here(&out), [(computed, By::Guest)]);
    assert_eq!(guests.words().of(computed).and_then(|word| guests.name(word.guest?)), Some("a"));
}

#[test]
fn a_claim_goes_before_the_configuration_and_gives_back_to_it() {
    let (mut guests, mut ground) = (Guests::default(), Ground { is_up: true, live: Vec::new() });
    guests.write(&[listed("a", 1)]);
    settled(&mut guests, &ground);
    ground.live.push(address(1));
    let object = Object::Prefix(address(1).into());
    guests.claim(claim(object.clone(), None), &ground);
    assert_eq!(here(&guests.take_out()), [(address(1), By::Claim)]);
    assert!(guests.release(&object).is_some() && guests.release(&object).is_none());
    assert_eq!(here(&guests.take_out()), [(address(1), By::Guest)]);
    assert_eq!(guests.take_changed(), [(object, None)]);
    assert_eq!(guests.take_changed(), []);
}

#[test]
fn claims_end_in_the_order_of_their_times() {
    let (mut guests, ground) = (Guests::default(), Ground { is_up: true, live: Vec::new() });
    let at = |seconds| Time::at(Duration::from_secs(seconds));
    for (last, until) in [(1, 30), (2, 10), (3, 20)] {
        guests.claim(claim(Object::Prefix(address(last).into()), Some(at(until))), &ground);
    }
    // The second one has longer now.
    guests.claim(claim(Object::Prefix(address(2).into()), Some(at(25))), &ground);
    let mut ended = Vec::new();
    while let Some(due) = guests.next_due() {
        assert_eq!(guests.take_over(Time::ORIGIN), None);
        ended.extend(guests.take_over(due).map(|object| object.to_string()));
    }
    assert_eq!(ended, ["2001:db8::3", "2001:db8::2", "2001:db8::1"]);
}

#[test]
fn refuses_a_next_hop_and_a_mac_that_nobody_can_have() {
    let (guests, ground) = (Guests::default(), Ground { is_up: true, live: Vec::new() });
    let prefix = Object::Prefix("2001:db8::1:0:0/96".parse().expect("a prefix"));
    let through = |via: &str| Claim { via: via.parse().ok(), ..claim(prefix.clone(), None) };
    for via in ["ff02::1", "::", "::1", "::ffff:192.0.2.1"] {
        let refused = guests.check(&through(via), &ground).expect_err(via);
        assert_eq!(refused.code(), "bad_via", "{refused}");
    }
    assert_eq!(guests.check(&through("fe80::5"), &ground), Ok(()));
    let with = |mac| Claim { mac: Some(mac), ..claim(Object::Prefix(address(1).into()), None) };
    for mac in [Mac([1, 0, 0x5e, 0, 0, 1]), Mac([0xff; 6]), Mac([0; 6])] {
        assert_eq!(guests.check(&with(mac), &ground), Err(Missing::NoStation(mac)));
    }
    assert_eq!(guests.check(&with(MAC), &ground), Ok(()));
}

#[test]
fn a_guest_that_is_claimed_by_its_name_keeps_its_prefixes() {
    let (mut guests, ground) = (Guests::default(), Ground { is_up: true, live: Vec::new() });
    let prefix: Ipv6Net = "2001:db8::1:0:0/96".parse().expect("a prefix");
    guests.write(&[GuestPolicy { delegate: vec![prefix], ..guest("a", GuestAddresses::Eui64) }]);
    settled(&mut guests, &ground);
    let [heard, named] = ["fe80::5", "fe80::7"].map(|text| text.parse().expect("an address"));
    guests.hear((LINK, MAC), heard, &ground);
    settled(&mut guests, &ground);
    let object = Object::Guest("a".to_owned());
    for (via, through) in [(None, heard), (Some(named), named)] {
        guests.claim(Claim { via, ..claim(object.clone(), None) }, &ground);
        for _ in 0..3 {
            settled(&mut guests, &ground);
            assert_eq!(guests.words().way(&prefix), Some(Way::Via(LINK, through)));
            assert_eq!(guests.claim_of(&object).and_then(|seen| seen.missing), None);
            assert!(guests.iter().all(|seen| seen.missing.is_none()));
        }
        assert!(guests.release(&object).is_some());
        assert_eq!(guests.words().way(&prefix), Some(Way::Via(LINK, heard)));
    }
}

#[test]
fn a_guest_with_prefixes_and_no_mac_is_told_to_have_one() {
    let (mut guests, ground) = (Guests::default(), Ground { is_up: true, live: Vec::new() });
    let delegate = vec!["2001:db8::1:0:0/96".parse().expect("a prefix")];
    guests.write(&[GuestPolicy { delegate, ..listed("a", 1) }]);
    settled(&mut guests, &ground);
    let missing: Vec<_> = guests.iter().filter_map(|seen| seen.missing.map(ToString::to_string)).collect();
    assert!(missing.len() == 1 && missing[0].contains("add its `mac`"), "{missing:?}");
}

#[test]
fn a_guest_that_may_have_none_of_its_addresses_is_not_here() {
    let (mut guests, ground) = (Guests::default(), Ground { is_up: true, live: Vec::new() });
    let outside = "2001:db8:1::5".parse().expect("an address");
    let of = |name, addresses| GuestPolicy { mac: None, ..guest(name, GuestAddresses::Listed(addresses)) };
    guests.write(&[of("a", vec![outside]), of("b", vec![outside, address(1)])]);
    settled(&mut guests, &ground);
    let here: Vec<_> = guests.iter().filter(Seen::is_here).map(|seen| seen.policy.name.as_str()).collect();
    assert_eq!((here, guests.count()), (vec!["b"], (2, 1, 0)));
}

#[test]
fn guests_that_are_written_as_before_are_not_looked_at_again() {
    let (mut guests, ground) = (Guests::default(), Ground { is_up: true, live: Vec::new() });
    guests.write(&[listed("a", 1), listed("b", 2)]);
    settled(&mut guests, &ground);
    guests.take_out();
    // Nothing is live on this ground, so every guest that is looked at is told again.
    let walk = |guests: &mut Guests| {
        let mut cursor = Some(Cursor::changed());
        while let Some(from) = cursor {
            cursor = guests.settle(from, 10, &ground);
        }
        here(&guests.take_out())
    };
    guests.write(&[listed("a", 1), listed("b", 3)]);
    assert_eq!(walk(&mut guests), [(address(3), By::Guest)]);
    // An address goes from one to another, and a guest goes.
    guests.write(&[listed("a", 3)]);
    assert_eq!(walk(&mut guests), [(address(3), By::Guest)]);
    assert_eq!(guests.owner(address(3)).map(|known| known.policy.name.as_str()), Some("a"));
    assert!(guests.owner(address(1)).is_none() && guests.names.len() == 1);
    assert_eq!(walk(&mut guests), []);
}

/// Of 5,000 guests with an address, a /116 and a guard each: with them the heap of a release build has 9.4 MB in use
/// (heaptrack); it was 12.3 MB.
#[test]
fn what_is_known_of_a_guest_takes_as_little_as_when_it_was_measured() {
    assert!(size_of::<Known>() <= 264, "{}", size_of::<Known>());
    assert!(size_of::<Guarding>() <= 24, "{}", size_of::<Guarding>());
    assert!(size_of::<GuestPolicy>() <= 112, "{}", size_of::<GuestPolicy>());
}

#[path = "heard_tests.rs"]
mod heard;
