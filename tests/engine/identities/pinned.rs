//! Pins: permanent neighbor entries for the addresses of a guest, put back when another program overwrites them.

mod others;

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use lone64::engine::bindings::Problem;
use lone64::engine::facts::{Fact, IfIndex, LinkState, Mark, Neighbor, NeighborState};
use lone64::engine::guests::{Claim, Object};
use lone64::engine::policy::{GuestPolicy, OnStop, Policy};
use lone64::engine::{Claiming, Event, Input, NeighborChange, Outcome, Output, Over, Pin};
use lone64::wire::Mac;

use super::{TAP, identity, on_two_links, policy, tap};
use crate::host::{BRIDGE, Host, bridge, guest, guest_mac, millis, seconds, usual_facts};

const OURS: Option<Mark> = Some(Mark { protocol: 64, is_external: false });
const ZEBRA: Option<Mark> = Some(Mark { protocol: 11, is_external: true });
const OTHER: Mac = Mac([2, 9, 9, 9, 9, 9]);

/// A host with the kernel's neighbor table.
struct Lab {
    host: Host,
    table: BTreeMap<(IfIndex, Ipv6Addr), (Mac, Option<Mark>)>,
    /// What was asked for.
    asked: Vec<NeighborChange>,
    events: Vec<Event>,
}

impl Lab {
    fn around(host: Host) -> Self {
        let mut lab = Self { host, table: BTreeMap::new(), asked: Vec::new(), events: Vec::new() };
        // What was asked for at the start was taken by the host.
        lab.host.input(Input::Timeout);
        lab
    }

    /// Nothing was told before this.
    fn started(policy: Policy, facts: Vec<Fact>) -> Self {
        let mut lab = Self::around(Host::bare(policy));
        lab.host.facts([usual_facts(), facts].concat());
        lab.host.input(Input::Synced);
        lab.settle();
        lab
    }

    fn input(&mut self, input: Input) {
        self.host.input(input);
        self.settle();
    }

    /// The kernel carries out what was asked for, and tells of it.
    fn settle(&mut self) {
        loop {
            let outputs = self.host.take();
            let mut is_done = true;
            for output in outputs {
                match output {
                    Output::ChangeNeighbor(change @ (NeighborChange::Pin(..) | NeighborChange::Unpin(_))) => {
                        is_done = false;
                        self.asked.push(change);
                        self.carry_out(change);
                    }
                    Output::Event(event) => self.events.push(event),
                    _ => {}
                }
            }
            if is_done {
                return;
            }
        }
    }

    fn carry_out(&mut self, change: NeighborChange) {
        let (outcome, facts) = match change {
            NeighborChange::Pin(Pin { link, address, mac, protocol }, over) => {
                let there = self.table.get(&(link, address));
                let is_other = |(other, mark): &(Mac, Option<Mark>)| mark.is_none() && *other != mac;
                match over == Over::Learnt && there.is_some_and(is_other) {
                    true => (Outcome::Exists, Vec::new()),
                    false => {
                        let mark = Mark { protocol, is_external: false };
                        self.table.insert((link, address), (mac, Some(mark)));
                        (Outcome::Done, vec![entry(link, address, mac, Some(mark))])
                    }
                }
            }
            NeighborChange::Unpin(Pin { link, address, .. }) => {
                let is_ours = self.table.get(&(link, address)).is_some_and(|(_, mark)| *mark == OURS);
                let gone = is_ours.then(|| self.table.remove(&(link, address)));
                let gone = gone.map(|_| Fact::NeighborGone { link, address });
                (Outcome::Done, gone.into_iter().collect())
            }
            _ => return,
        };
        self.host.input(Input::NeighborChanged(change, outcome));
        self.host.input(Input::Facts(facts));
    }

    /// Another program writes an entry.
    fn write(&mut self, address: Ipv6Addr, mac: Mac, mark: Option<Mark>) {
        self.table.insert((BRIDGE, address), (mac, mark));
        self.input(Input::Facts(vec![entry(BRIDGE, address, mac, mark)]));
    }

    fn remove(&mut self, address: Ipv6Addr) {
        self.table.remove(&(BRIDGE, address));
        self.input(Input::Facts(vec![Fact::NeighborGone { link: BRIDGE, address }]));
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.host.now + duration;
        while self.host.now < end {
            self.host.pass(millis(50));
            self.settle();
        }
    }

    fn has_pin(&self, link: IfIndex, number: u16) -> bool {
        self.table.get(&(link, guest(number))) == Some(&(guest_mac(number), OURS))
    }

    fn count_asked(&self) -> usize {
        self.asked.len()
    }
}

fn entry(link: IfIndex, address: Ipv6Addr, mac: Mac, mark: Option<Mark>) -> Fact {
    let neighbor = Neighbor { link, address, mac: Some(mac), state: NeighborState::Permanent };
    mark.map_or(Fact::Neighbor(neighbor), |mark| Fact::Marked(neighbor, mark))
}

fn pinned(number: u16) -> GuestPolicy {
    GuestPolicy { pin: true, ..identity(number) }
}

fn with_pins(numbers: &[u16]) -> Policy {
    policy(numbers.iter().map(|number| pinned(*number)).collect())
}

#[test]
fn a_guest_is_pinned_while_it_is_written_and_its_interface_is_up() {
    let mut lab = Lab::started(policy(vec![pinned(5), identity(6)]), Vec::new());
    assert!(lab.has_pin(BRIDGE, 5) && lab.table.len() == 1, "only the one that wants it: {:?}", lab.table);
    assert_eq!(lab.host.engine.pins().kept, 1);
    // The kernel forgets what is on an interface that is down.
    lab.table.clear();
    let gone = Fact::NeighborGone { link: BRIDGE, address: guest(5) };
    lab.input(Input::Facts(vec![bridge(LinkState::Down), gone]));
    lab.pass(seconds(3));
    assert!(lab.table.is_empty());
    lab.input(Input::Facts(vec![bridge(LinkState::Up)]));
    assert!(lab.has_pin(BRIDGE, 5));
    lab.input(Input::Reload(Box::new(policy(vec![identity(5), pinned(6)]))));
    assert!(lab.has_pin(BRIDGE, 6) && lab.table.len() == 1, "{:?}", lab.table);
    lab.input(Input::Reload(Box::new(policy(Vec::new()))));
    assert!(lab.table.is_empty());
}

#[test]
fn a_pin_makes_nobody_live_and_is_no_sign_of_life() {
    let mut lab = Lab::started(with_pins(&[5]), Vec::new());
    lab.input(Input::Reload(Box::new(policy(Vec::new()))));
    lab.pass(seconds(60));
    assert!(!lab.host.is_live(guest(5)));
    // Word of one of ours that came late, or of a predecessor.
    lab.write(guest(5), guest_mac(5), OURS);
    assert!(!lab.host.is_live(guest(5)) && lab.table.is_empty(), "and what nobody wants is removed");
}

#[test]
fn one_that_is_overwritten_is_back_at_once_and_not_more_than_once_a_second() {
    let mut lab = Lab::started(with_pins(&[5]), Vec::new());
    lab.pass(seconds(10));
    let before = lab.count_asked();
    lab.write(guest(5), OTHER, ZEBRA);
    assert!(lab.has_pin(BRIDGE, 5), "at once");
    assert!(matches!(lab.asked.last(), Some(NeighborChange::Pin(_, Over::Anything))));
    assert!(lab.events.contains(&Event::PinOverwritten(guest(5), BRIDGE, Some(OTHER))));
    // A routing daemon that follows each change: for ten seconds, whenever it is ours again.
    let (mut longest, mut since) = (Duration::ZERO, None);
    for _ in 0..200 {
        if lab.has_pin(BRIDGE, 5) {
            lab.write(guest(5), OTHER, ZEBRA);
            since = Some(lab.host.now);
        }
        lab.pass(millis(50));
        if let Some(since) = since.filter(|_| lab.has_pin(BRIDGE, 5)) {
            longest = longest.max(lab.host.now.since(since));
        }
    }
    let times = lab.count_asked() - before;
    assert!((9..=12).contains(&times), "{times} times in ten seconds");
    assert!(longest <= seconds(1), "{longest:?}");
    let told = lab.events.iter().filter(|event| matches!(event, Event::PinOverwritten(..))).count();
    assert_eq!(told, 1, "it is told once a minute");
    assert!(lab.host.engine.is_pin_overwritten(BRIDGE, guest(5)));
    assert_eq!(lab.host.engine.pins().put_back as usize, times);
    lab.pass(seconds(1));
    assert!(lab.has_pin(BRIDGE, 5));
    lab.pass(seconds(61));
    assert!(!lab.host.engine.is_pin_overwritten(BRIDGE, guest(5)));
}

#[test]
fn whoever_overwrites_or_removes_one_it_is_put_back() {
    let mut lab = Lab::started(with_pins(&[5]), Vec::new());
    // By hand, with and without a mark: the mark of ours outlives a change that says nothing.
    for mark in [None, OURS, ZEBRA] {
        lab.pass(seconds(2));
        lab.write(guest(5), OTHER, mark);
        assert!(lab.has_pin(BRIDGE, 5), "{mark:?}");
    }
    lab.pass(seconds(2));
    lab.remove(guest(5));
    assert!(lab.has_pin(BRIDGE, 5));
    assert_eq!(lab.host.engine.pins().put_back, 4);
}

#[test]
fn a_permanent_entry_of_another_program_stays_and_is_told_until_it_goes() {
    let mut lab = Lab::around(Host::new(policy(Vec::new())));
    lab.table.insert((BRIDGE, guest(5)), (OTHER, None));
    lab.input(Input::Reload(Box::new(with_pins(&[5]))));
    assert_eq!(lab.table[&(BRIDGE, guest(5))], (OTHER, None));
    let problem = Problem::PinKeptOut("lxcbr0".parse().unwrap(), guest(5), guest_mac(5));
    assert!(lab.events.contains(&Event::Problem(problem.clone())));
    assert!(lab.host.engine.problems().contains(&problem));
    let before = lab.count_asked();
    lab.pass(seconds(95));
    assert_eq!(lab.count_asked() - before, 3, "it is tried again, for where a message got lost");
    assert_eq!(lab.table[&(BRIDGE, guest(5))], (OTHER, None));
    assert!(!lab.events.contains(&Event::Solved(problem.clone())));
    lab.remove(guest(5));
    assert!(lab.has_pin(BRIDGE, 5) && lab.events.contains(&Event::Solved(problem)));
}

#[test]
fn what_the_kernel_or_a_routing_daemon_has_learnt_makes_way() {
    let mut lab = Lab::around(Host::new(policy(Vec::new())));
    lab.table.insert((BRIDGE, guest(5)), (OTHER, ZEBRA));
    lab.input(Input::Reload(Box::new(with_pins(&[5]))));
    assert!(lab.has_pin(BRIDGE, 5));
}

#[test]
fn pins_of_a_predecessor_are_adopted_and_those_that_nobody_wants_removed() {
    let left = |number| entry(BRIDGE, guest(number), guest_mac(number), OURS);
    let mut lab = Lab::around(Host::bare(with_pins(&[5])));
    for number in [5, 6] {
        lab.table.insert((BRIDGE, guest(number)), (guest_mac(number), OURS));
    }
    lab.host.facts([usual_facts(), vec![left(5), left(6)]].concat());
    lab.settle();
    assert_eq!(lab.asked, [], "nothing is touched before all has been told");
    lab.input(Input::Synced);
    assert!(matches!(lab.asked[..], [NeighborChange::Unpin(Pin { address, .. })] if address == guest(6)));
    assert!(lab.has_pin(BRIDGE, 5) && lab.table.len() == 1);
}

#[test]
fn one_that_is_found_by_its_mac_is_found_by_the_pin_of_a_predecessor() {
    let by_mac = GuestPolicy { interface: None, ..pinned(5) };
    let left = vec![entry(BRIDGE, guest(5), guest_mac(5), OURS)];
    let lab = Lab::started(policy(vec![by_mac]), left);
    assert_eq!(lab.asked, []);
    assert!(lab.host.is_live(guest(5)));
}

#[test]
fn a_claim_elsewhere_takes_the_pin_along() {
    let mut lab = Lab::around(on_two_links(vec![pinned(5)]));
    lab.input(Input::Facts(vec![tap(LinkState::Up)]));
    lab.table.insert((BRIDGE, guest(5)), (guest_mac(5), OURS));
    let object = Object::Guest("web5".to_owned());
    let claim =
        Claim { object: object.clone(), interface: "tap7".parse().ok(), mac: None, via: None, until: None };
    lab.input(Input::Claiming(Claiming::Claim(claim)));
    assert!(lab.has_pin(TAP, 5) && !lab.has_pin(BRIDGE, 5), "{:?}", lab.table);
    lab.input(Input::Claiming(Claiming::Release(object)));
    assert!(lab.has_pin(BRIDGE, 5) && !lab.has_pin(TAP, 5), "{:?}", lab.table);
}

#[test]
fn one_that_is_lost_without_a_word_is_put_back_after_a_snapshot() {
    let mut lab = Lab::started(with_pins(&[5, 6]), Vec::new());
    lab.pass(seconds(5));
    lab.table.remove(&(BRIDGE, guest(5)));
    let there = entry(BRIDGE, guest(6), guest_mac(6), OURS);
    let before = lab.count_asked();
    lab.input(Input::Snapshot([usual_facts(), vec![there]].concat()));
    assert!(lab.has_pin(BRIDGE, 5) && lab.has_pin(BRIDGE, 6));
    assert_eq!(lab.count_asked() - before, 1);
}

#[test]
fn another_protocol_number_is_given_to_those_that_are_there() {
    let mut lab = Lab::started(with_pins(&[5]), Vec::new());
    let mut other = with_pins(&[5]);
    other.routes.protocol = 65;
    lab.input(Input::Reload(Box::new(other)));
    let mark = Mark { protocol: 65, is_external: false };
    assert_eq!(lab.table[&(BRIDGE, guest(5))], (guest_mac(5), Some(mark)));
    assert_eq!(lab.host.engine.pins().put_back, 0);
}

#[test]
fn a_stop_gives_them_back_unless_everything_is_to_be_kept() {
    let mut lab = Lab::started(with_pins(&[5, 6]), Vec::new());
    lab.input(Input::Stop);
    assert!(lab.table.is_empty());
    let mut keeping = with_pins(&[5]);
    keeping.routes.on_stop = OnStop::Keep;
    let mut lab = Lab::started(keeping, Vec::new());
    lab.input(Input::Stop);
    lab.pass(seconds(2));
    assert!(lab.has_pin(BRIDGE, 5));
}

#[test]
fn what_the_kernel_refuses_is_told_and_tried_again() {
    let mut host = Host::bare(with_pins(&[5]));
    host.facts(usual_facts());
    host.input(Input::Synced);
    let pins = |outputs: Vec<Output>| {
        let of = |output| match output {
            Output::ChangeNeighbor(change @ NeighborChange::Pin(..)) => Some(change),
            _ => None,
        };
        outputs.into_iter().filter_map(of).collect::<Vec<_>>()
    };
    let asked = pins(host.take());
    assert_eq!(asked.len(), 1);
    host.input(Input::NeighborChanged(asked[0], Outcome::Failed("No buffer space available".to_owned())));
    let problem = "2001:db8:1:2:c::5 is not pinned: the kernel refuses the neighbor entry on lxcbr0 (No buffer space \
                   available); lone64 tries again";
    assert_eq!(host.engine.problems().iter().map(ToString::to_string).collect::<Vec<_>>(), [problem]);
    host.take();
    host.pass(seconds(2));
    let again = pins(host.take());
    assert_eq!(again.len(), 1);
    host.input(Input::NeighborChanged(again[0], Outcome::Done));
    assert_eq!((host.engine.problems().len(), host.engine.pins().kept), (0, 1));
}

#[test]
fn a_refusal_is_forgotten_with_the_pin() {
    let mut host = Host::bare(with_pins(&[5]));
    host.facts(usual_facts());
    host.input(Input::Synced);
    let is_pin = |output| match output {
        Output::ChangeNeighbor(change @ NeighborChange::Pin(..)) => Some(change),
        _ => None,
    };
    let asked = host.take().into_iter().find_map(is_pin).expect("it is asked for");
    host.input(Input::NeighborChanged(asked, Outcome::Failed("No buffer space available".to_owned())));
    assert_eq!(host.engine.problems().len(), 1);
    host.input(Input::Reload(Box::new(policy(vec![identity(5)]))));
    host.input(Input::Reload(Box::new(with_pins(&[5]))));
    assert_eq!(host.engine.problems(), []);
}
