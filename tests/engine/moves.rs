//! Guests with an identity that move between two hosts on one upstream.

mod often;
mod on_link;

use std::sync::Arc;
use std::time::Duration;

use lone64::engine::facts::{AddressState, Fact, LinkLayer, LinkState};
use lone64::engine::guests::{Missing, Object};
use lone64::engine::policy::{Announce, GuestAddresses, GuestPolicy, Policy, RangeRoutes};
use lone64::engine::{Claiming, Event, GuestMove, Input, Output};
use lone64::wire::{Advertisement, Flags, Mac};

use crate::host::{
    BRIDGE, BRIDGE_MAC, Host, UP, address, bridge, dad, default_route, events, guest, has, link, millis,
    probes, reply, seconds, with,
};

const OTHER: Mac = Mac([0x52, 0x54, 0, 0, 0, 0x02]);
const MAC: Mac = Mac([2, 0, 0, 0, 0, 5]);

/// A guest that is found by its MAC, on a bridge that stays up when it leaves.
fn policy() -> Policy {
    with(|policy| {
        policy.upstreams[0].announce = Announce::Yes;
        policy.ranges[0].routes = RangeRoutes::Guests;
        policy.guests = vec![Arc::new(GuestPolicy {
            name: "web5".to_owned(),
            mac: Some(MAC),
            interface: None,
            addresses: GuestAddresses::Listed(vec![guest(5)]),
            delegate: Vec::new(),
            pin: false,
            guard: None,
        })];
    })
}

/// Two hosts, and what is sent to all on their upstream.
struct Cluster([Host; 2]);

impl Cluster {
    fn new() -> Self {
        let facts = vec![
            Fact::Link(link(UP, "up0", LinkLayer::Ethernet(OTHER))),
            Fact::Link(link(BRIDGE, "lxcbr0", LinkLayer::Ethernet(BRIDGE_MAC))),
            has(UP, "fe80::5054:ff:fe00:2/64"),
            has(UP, "2001:db8:1:2::3/64"),
            has(BRIDGE, "fe80::5054:ff:fe00:b0/64"),
            Fact::Route(default_route(UP)),
        ];
        let mut second = Host::bare(policy());
        second.facts(facts);
        second.input(Input::Synced);
        second.take();
        Self([Host::new(policy()), second])
    }

    /// Time goes by on both, and each hears what the other sends.
    fn pass(&mut self, duration: Duration) -> [Vec<Output>; 2] {
        let mut all = [Vec::new(), Vec::new()];
        let end = self.0[0].now + duration;
        loop {
            for from in [0, 1] {
                for output in self.0[from].take() {
                    match &output {
                        Output::Advertise(UP, said) => {
                            self.0[1 - from].input(Input::Advertisement(UP, *said));
                        }
                        Output::Solicit(UP, asked) => self.0[1 - from].input(Input::Solicitation(UP, *asked)),
                        _ => {}
                    }
                    all[from].push(output);
                }
            }
            if self.0[0].now >= end {
                return all;
            }
            self.0.iter_mut().for_each(|host| host.pass(millis(5)));
        }
    }

    /// The guest runs here from now on, and nowhere else, and QEMU says so.
    fn move_to(&mut self, at: usize) {
        self.0[1 - at].guests.remove(&guest(5));
        self.0[at].guests.insert(guest(5), MAC);
        self.0[at].input(Input::Arrived(BRIDGE, MAC));
    }

    /// Which of them answer the router.
    fn answering(&mut self) -> [bool; 2] {
        self.0.each_mut().map(|host| host.answers_for(guest(5)))
    }
}

fn announcements(outputs: &[Output]) -> usize {
    let said = |output: &&Output| {
        matches!(output, Output::Advertise(UP, said)
            if said.target == guest(5) && said.flags.override_entry && !said.flags.solicited)
    };
    outputs.iter().filter(said).count()
}

fn moves(outputs: &[Output]) -> Vec<GuestMove> {
    let told = events(outputs).into_iter().filter_map(|event| match event {
        Event::GuestMoved(name, what) => {
            assert_eq!(name, "web5");
            Some(what)
        }
        _ => None,
    });
    told.collect()
}

/// The other host announces the guest.
fn announced_elsewhere() -> Advertisement {
    Advertisement {
        destination: address("ff02::1"),
        flags: Flags { router: false, solicited: false, override_entry: true },
        ..reply(guest(5), OTHER)
    }
}

fn missing(host: &Host) -> Option<Missing> {
    host.engine.identified().iter().next()?.missing.cloned()
}

#[test]
fn one_that_comes_is_announced_at_once_and_nobody_is_asked() {
    let mut host = Host::new(policy());
    assert_eq!(missing(&host), Some(Missing::Station(MAC)));
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(millis(100));
    let outputs = host.take();
    assert_eq!((announcements(&outputs), moves(&outputs)), (1, vec![GuestMove::Arrived(BRIDGE)]));
    let on_upstream = |output: &Output| match output {
        Output::Solicit(UP, asked) => Some(asked.is_dad()),
        _ => None,
    };
    assert_eq!(outputs.iter().filter_map(on_upstream).collect::<Vec<_>>(), [false], "the router is told");
    assert!(host.answers_for(guest(5)));
    // QEMU says it five times.
    host.pass(seconds(3));
    host.take();
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(seconds(3));
    assert_eq!(announcements(&host.take()), 0);
}

#[test]
fn every_sign_of_an_arrival_counts_and_only_on_a_downstream() {
    let unsolicited = Advertisement { flags: Flags::default(), ..reply(guest(5), MAC) };
    let station = Fact::Station { bridge: BRIDGE, mac: MAC, port: UP };
    let signs = [
        Input::Arrived(BRIDGE, MAC),
        Input::Solicitation(BRIDGE, dad(MAC, guest(5))),
        Input::Solicitation(BRIDGE, dad(MAC, address("fe80::5"))),
        Input::Advertisement(BRIDGE, unsolicited),
        Input::Facts(vec![station]),
    ];
    for sign in signs {
        let mut host = Host::new(policy());
        host.input(sign.clone());
        host.pass(millis(100));
        assert_eq!(moves(&host.take()), [GuestMove::Arrived(BRIDGE)], "{sign:?}");
    }
    let mut host = Host::new(policy());
    host.input(Input::Arrived(UP, MAC));
    host.input(Input::Arrived(BRIDGE, OTHER));
    host.pass(seconds(5));
    let outputs = host.take();
    assert_eq!(
        (announcements(&outputs), moves(&outputs), missing(&host)),
        (0, vec![], Some(Missing::Station(MAC)))
    );
}

#[test]
fn one_that_has_left_is_away_although_a_reload_writes_it_differently() {
    let mut host = Host::new(policy());
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(seconds(10));
    host.input(Input::Advertisement(UP, announced_elsewhere()));
    host.pass(seconds(1));
    host.take();
    let mut written = policy();
    Arc::make_mut(&mut written.guests[0]).pin = true;
    host.input(Input::Reload(Box::new(written)));
    host.pass(seconds(5));
    assert_eq!((missing(&host), announcements(&host.take())), (Some(Missing::Elsewhere(OTHER)), 0));
}

#[test]
fn the_host_that_it_has_left_asks_it_once_and_lets_go_within_a_second() {
    let mut host = Host::new(policy()).with_guest(guest(5), MAC);
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(seconds(10));
    host.guests.clear();
    host.take();
    host.input(Input::Advertisement(UP, announced_elsewhere()));
    let asked = host.take();
    assert!(probes(&asked).iter().any(|probe| probe.target == guest(5) && probe.destination_mac == MAC));
    assert!(!host.answers_for(guest(5)), "not while it is asked either");
    host.pass(millis(450));
    let outputs = host.take();
    assert_eq!(moves(&outputs), [GuestMove::Left(BRIDGE, OTHER)]);
    assert!(!host.is_live(guest(5)) && missing(&host) == Some(Missing::Elsewhere(OTHER)));
    assert!(!host.kernel.iter().any(|route| route.destination.addr() == guest(5)));
    host.pass(seconds(200));
    assert!(!host.answers_for(guest(5)));
    // What the kernel still knows of it is old.
    let entry = lone64::engine::facts::Neighbor {
        link: BRIDGE,
        address: guest(5),
        mac: Some(MAC),
        state: lone64::engine::facts::NeighborState::Stale,
    };
    host.facts(vec![Fact::Neighbor(entry)]);
    assert!(!host.is_live(guest(5)));
    host.pass(seconds(1));
    assert_eq!(moves(&host.take()), []);
}

#[test]
fn the_last_word_of_the_host_before_does_not_take_it_away_again() {
    let mut host = Host::new(policy()).with_guest(guest(5), MAC);
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(millis(100));
    host.take();
    for left in [1, 0] {
        host.input(Input::Advertisement(UP, announced_elsewhere()));
        host.pass(millis(10));
        assert_eq!((announcements(&host.take()), host.answers_for(guest(5))), (left, left == 1));
    }
}

#[test]
fn one_that_is_here_still_is_won_back_when_the_link_is_silent() {
    let mut host = Host::new(policy()).with_guest(guest(5), MAC);
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(seconds(10));
    host.take();
    host.input(Input::Advertisement(UP, announced_elsewhere()));
    host.pass(seconds(5));
    let outputs = host.take();
    assert_eq!(moves(&outputs), []);
    assert!(probes(&outputs).iter().any(|asked| asked.is_dad() && asked.target == guest(5)), "{outputs:?}");
    assert!(announcements(&outputs) > 0 && host.answers_for(guest(5)));
}

#[test]
fn a_stranger_who_announces_it_all_the_time_makes_two_questions_a_second() {
    let mut host = Host::new(policy()).with_guest(guest(5), MAC);
    host.input(Input::Arrived(BRIDGE, MAC));
    host.pass(seconds(10));
    host.take();
    for _ in 0..200 {
        host.input(Input::Advertisement(UP, announced_elsewhere()));
        host.pass(millis(10));
    }
    let asked = probes(&host.take());
    let to_guest = asked.iter().filter(|probe| probe.destination_mac == MAC).count();
    assert!(to_guest <= 8, "{to_guest}");
    assert!(host.is_live(guest(5)));
}

#[test]
fn of_two_hosts_one_answers_from_a_second_after_each_move() {
    let mut cluster = Cluster::new();
    for turn in 0..10 {
        let to = turn % 2;
        cluster.move_to(to);
        let outputs = cluster.pass(millis(20));
        assert!(announcements(&outputs[to]) > 0, "at once");
        assert!(cluster.answering()[to], "turn {turn}: at once");
        let mut outputs = cluster.pass(seconds(1));
        let answering = cluster.answering();
        assert_eq!(answering, [to == 0, to == 1], "turn {turn}");
        outputs.iter_mut().for_each(Vec::clear);
        cluster.pass(seconds(40));
        assert_eq!(cluster.answering(), answering, "turn {turn}: and it stays");
    }
}

#[test]
fn two_guests_with_one_mac_do_not_make_two_hosts_fight() {
    let mut cluster = Cluster::new();
    let mut count = 0;
    for _ in 0..300 {
        for at in [0, 1] {
            cluster.0[at].guests.insert(guest(5), MAC);
            cluster.0[at].input(Input::Arrived(BRIDGE, MAC));
        }
        count += cluster.pass(seconds(1)).iter().map(|outputs| announcements(outputs)).sum::<usize>();
    }
    // Three to each of five turns of each host, and a few after the link was asked.
    assert!(count < 60, "{count} announcements in 300 s");
}

#[test]
fn its_interface_that_comes_again_is_a_new_arrival() {
    let mut host = Host::new(policy());
    for _ in 0..2 {
        host.facts(vec![bridge(LinkState::Up)]);
        host.input(Input::Arrived(BRIDGE, MAC));
        host.pass(seconds(40));
        assert_eq!(moves(&host.take()), [GuestMove::Arrived(BRIDGE)]);
        host.facts(vec![bridge(LinkState::Down)]);
        host.pass(seconds(1));
        assert!(!host.is_live(guest(5)));
    }
}

#[test]
fn its_gateway_is_announced_to_the_guest_that_has_come() {
    let mut host = Host::new(policy());
    let tentative = crate::host::host_address(BRIDGE, "fe80::2/64", AddressState::Tentative);
    host.facts(vec![
        has(BRIDGE, "fe80::1/64"),
        has(BRIDGE, "2001:db8:1:2:c::1/112"),
        Fact::Address(tentative),
    ]);
    host.take();
    host.input(Input::Arrived(BRIDGE, MAC));
    let gateway = |output: &Output| match output {
        Output::Advertise(BRIDGE, said) if said.target == address("fe80::1") => Some(*said),
        _ => None,
    };
    let outputs = host.take();
    let told: Vec<_> = outputs.iter().filter_map(gateway).collect();
    let all = crate::host::advertisements(&outputs);
    let others = all.iter().filter(|said| said.flags.router && said.target != address("fe80::1"));
    let own = address("fe80::5054:ff:fe00:b0");
    assert!(others.map(|said| said.target).eq([own]), "no global address, and none that is being checked");
    let [said] = told.as_slice() else { panic!("{outputs:?}") };
    assert_eq!((said.destination_mac, said.target_link_layer), (MAC, Some(BRIDGE_MAC)));
    assert!(said.flags.override_entry && said.flags.router && !said.flags.solicited);
}

#[test]
fn one_that_was_claimed_stays_until_it_is_released() {
    let mut host = Host::new(policy());
    host.input(Input::Arrived(BRIDGE, MAC));
    let claim = lone64::engine::guests::Claim {
        object: Object::Guest("web5".to_owned()),
        interface: None,
        mac: None,
        via: None,
        until: None,
    };
    host.input(Input::Claiming(Claiming::Claim(claim)));
    host.pass(seconds(10));
    host.input(Input::Advertisement(UP, announced_elsewhere()));
    host.pass(seconds(2));
    assert!(host.is_live(guest(5)) && host.engine.identified().count_moves().0.left == 0);
}

#[test]
fn a_check_for_its_address_is_defended_only_where_it_replies() {
    let stranger = dad(OTHER, guest(5));
    for is_there in [true, false] {
        let mut host = Host::new(policy());
        host.input(Input::Arrived(BRIDGE, MAC));
        host.pass(seconds(10));
        if is_there {
            host.guests.insert(guest(5), MAC);
        }
        assert_eq!(host.answer_to(stranger).is_some(), is_there);
    }
}
