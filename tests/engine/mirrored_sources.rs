//! `source = "auto"` behind a program: the program of the engine is run over the router's frames, and the engine sees
//! only what that passes on.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use lone64::engine::policy::{Backend, Policy, RangeRoutes, Source};
use lone64::engine::{Asker, Event, Input, Output, Remembered};
use lone64::wire::program::{Exception, Responder, Treatment, Verdict};
use lone64::wire::{Advertisement, MAX_EMITTED, Message, Solicitation};

use crate::host::{
    BRIDGE, Host, ROUTER_MAC, UP, UP_MAC, address, advertisements, events, guest, guest_mac, has, question,
    question_from, seconds, usual_facts, with,
};
use crate::machine::{Machine, bytes, rows};

const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const ROUTER: Asker = Asker { link: UP, mac: ROUTER_MAC, address: GATEWAY };
const GLOBAL: &str = "2001:db8:1:2::2";

fn policy() -> Policy {
    with(|policy| {
        policy.ranges[0].routes = RangeRoutes::Guests;
        policy.upstreams[0].backend = Backend::Tc;
        policy.upstreams[0].source = Source::Auto;
    })
}

/// A host with its kernel, and a router behind a provider's switch.
struct Link {
    host: Host,
    machine: Machine,
    responder: Option<Responder>,
    takes: Box<dyn Fn(&Advertisement) -> bool>,
    known: BTreeSet<Ipv6Addr>,
    events: Vec<Event>,
    /// How many questions came to the daemon.
    passed_on: usize,
}

impl Link {
    /// With six live guests.
    fn new(takes: impl Fn(&Advertisement) -> bool + 'static) -> Self {
        let mut host = Host::bare(policy());
        host.facts(usual_facts());
        host.input(Input::Synced);
        for number in 1..=6 {
            host.guests.insert(guest(number), guest_mac(number));
            host.advertise(guest(number), guest_mac(number));
        }
        let mut link = Self {
            host,
            machine: Machine::new(0),
            responder: None,
            takes: Box::new(takes),
            known: BTreeSet::new(),
            events: Vec::new(),
            passed_on: 0,
        };
        // The daemon is there.
        link.machine.insert_range("::/128".parse().unwrap(), u64::MAX);
        link.pass(10);
        link
    }

    fn pass(&mut self, so_many: u64) {
        self.host.pass(seconds(so_many));
        let outputs = self.host.take();
        self.obey(&outputs);
    }

    fn obey(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Program(UP, program) => {
                    self.responder = program.as_ref().map(|program| program.responder.clone());
                }
                Output::Mirror(UP, changes) => {
                    for (guest, until) in changes {
                        match until {
                            Some(_) => self.machine.insert_target(*guest, u64::MAX),
                            None => self.machine.remove_target(*guest),
                        }
                    }
                }
                _ => {}
            }
        }
        let is_of_answers = |event: &Event| {
            matches!(event, Event::SourceFound(..) | Event::NotTaken(_) | Event::TakenAgain(_))
        };
        self.events.extend(events(outputs).into_iter().filter(is_of_answers));
        self.hear(advertisements(outputs));
    }

    fn hear(&mut self, answers: impl IntoIterator<Item = Advertisement>) {
        for answer in answers.into_iter().filter(|answer| answer.destination == GATEWAY) {
            if (self.takes)(&answer) {
                self.known.insert(answer.target);
            }
        }
    }

    /// The router asks. What the kernel answers by itself.
    fn ask(&mut self, solicitation: Solicitation) -> Option<Advertisement> {
        let program = self.responder.as_ref().expect("a program").program(&rows()).unwrap();
        let mut buffer = [0; MAX_EMITTED];
        let length = solicitation.emit(&mut buffer);
        let mut frame = buffer[..length].to_vec();
        self.machine.now =
            u64::try_from((self.host.now.since(lone64::engine::Time::ORIGIN)).as_nanos()).unwrap();
        if self.machine.run(&bytes(&program), &mut frame, false) == 7 {
            let Ok(Message::Advertisement(answer)) = Message::parse(&frame, ROUTER_MAC) else { panic!() };
            self.hear([answer]);
            return Some(answer);
        }
        self.passed_on += 1;
        self.host.solicit(solicitation);
        let outputs = self.host.take();
        self.obey(&outputs);
        None
    }

    /// So many seconds, in each of which the router asks for what it does not know; in those alone that `asks` names.
    fn run(&mut self, targets: &[Ipv6Addr], so_many: u64, asks: impl Fn(u64) -> bool) {
        for second in 0..so_many {
            for target in targets {
                if asks(second) && !self.known.contains(target) {
                    self.ask(question(*target));
                }
            }
            self.pass(1);
        }
    }

    fn exceptions(&self) -> Vec<Exception> {
        self.responder.as_ref().expect("a program").askers.clone()
    }
}

#[test]
fn a_router_that_takes_its_answers_never_wakes_the_daemon() {
    let mut link = Link::new(|_| true);
    for _ in 0..60 {
        link.run(&[guest(1), guest(2)], 1, |_| true);
        // A minute later it checks what it knows, and a while after that it has forgotten it.
        link.pass(30);
        let check = Solicitation { destination_mac: UP_MAC, destination: guest(1), ..question(guest(1)) };
        assert!(link.ask(check).is_some());
        link.known.clear();
        link.pass(30);
    }
    assert_eq!((link.passed_on, link.events.len(), link.exceptions().len()), (0, 0, 0));
    assert_eq!(link.machine.count(Verdict::Target), 180);
}

#[test]
fn a_router_that_drops_a_kind_of_source_gets_another_one_and_then_from_the_kernel() {
    type Case = (fn(&Advertisement) -> bool, Source, fn(u64) -> bool, u64);
    let cases: [Case; 4] = [
        (|answer| answer.source == answer.target, Source::Target, |_| true, 12),
        (|answer| answer.source == address(GLOBAL), Source::Global, |_| true, 15),
        // Three questions, and a pause.
        (|answer| answer.source == answer.target, Source::Target, |second| second % 10 < 3, 60),
        (|answer| answer.source == address(GLOBAL), Source::Global, |second| second % 10 < 3, 90),
    ];
    for (takes, expected, asks, within) in cases {
        let mut link = Link::new(takes);
        link.run(&[guest(5)], within, asks);
        // One that took the last answer of a row would have been silent behind it anyway: when it asks once more, it shows.
        if link.events.is_empty() {
            link.known.clear();
            link.run(&[guest(5)], 10, asks);
        }
        assert_eq!(link.events, [Event::SourceFound(ROUTER, expected)]);
        let treatment = match expected {
            Source::Target => Treatment::Target,
            _ => Treatment::Source(address(GLOBAL)),
        };
        assert_eq!(link.exceptions(), [Exception { mac: ROUTER_MAC, address: GATEWAY, treatment }]);
        // From now on by itself, and every other guest at once.
        let passed_on = link.passed_on;
        for target in [guest(1), guest(2)] {
            assert!(link.ask(question(target)).is_some_and(|answer| takes(&answer)));
        }
        assert_eq!(link.passed_on, passed_on);
        // Another router has what goes by scope.
        let other = Solicitation { source: address("fe80::9"), ..question(guest(3)) };
        assert!(link.ask(other).is_some_and(|answer| answer.source.is_unicast_link_local()));
    }
}

#[test]
fn all_questions_are_seen_while_no_source_helps_and_until_one_does_again() {
    let mut link = Link::new(|_| false);
    link.run(&[guest(5)], 60, |_| true);
    assert!(matches!(&link.events[..], [Event::NotTaken(_)]), "{:?}", link.events);
    assert!(matches!(link.exceptions()[..], [Exception { treatment: Treatment::PassOn, .. }]));
    link.takes = Box::new(|_| true);
    link.run(&[guest(5)], 10, |_| true);
    assert_eq!(link.events[1..], [Event::TakenAgain(ROUTER)]);
    assert_eq!(link.exceptions(), []);
}

/// Of several addresses the asker decides which one answers, and that the daemon knows alone: all its questions come.
#[test]
fn an_asker_that_the_program_never_answers_is_counted_as_without_one() {
    let mut link = Link::new(|_| false);
    link.host.facts(vec![has(UP, "2001:db8:1:2::77/64")]);
    link.pass(1);
    let asker = address("2001:db8:1:2::99");
    for second in 0..30 {
        if second % 10 < 3 {
            assert_eq!(link.ask(question_from(asker, ROUTER_MAC, guest(5))), None);
        }
        link.pass(1);
    }
    assert_eq!(link.passed_on, 9);
    assert!(link.exceptions().iter().any(|exception| exception.address == asker), "a source is looked for");
}

#[test]
fn two_routers_that_ask_at_the_same_time_prove_nothing() {
    let mut link = Link::new(|_| true);
    for _ in 0..100 {
        link.ask(question(guest(1)));
        link.pass(1);
        link.ask(Solicitation { source: address("fe80::9"), ..question(guest(1)) });
        link.pass(29);
    }
    assert_eq!((link.events.len(), link.exceptions().len()), (0, 0));
}

#[test]
fn what_was_remembered_is_in_the_first_program() {
    let mut host = Host::bare(policy());
    let interface = "up0".parse().unwrap();
    host.input(Input::Remembered(vec![Remembered {
        interface,
        mac: ROUTER_MAC,
        address: GATEWAY,
        source: Source::Target,
    }]));
    host.facts(usual_facts());
    host.input(Input::Synced);
    let outputs = host.take();
    let askers = outputs.iter().find_map(|output| match output {
        Output::Program(UP, Some(program)) => Some(program.responder.askers.clone()),
        _ => None,
    });
    let expected = Exception { mac: ROUTER_MAC, address: GATEWAY, treatment: Treatment::Target };
    assert_eq!(askers, Some(vec![expected]));
}

/// It is an address of the host.
#[test]
fn what_the_program_does_not_know_is_asked_for_three_times_before_its_answers_are_not_taken() {
    let mut link = Link::new(|_| false);
    link.host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::9/64")]);
    link.pass(1);
    link.run(&[guest(9)], 60, |second| second % 10 < 2);
    assert_eq!((link.passed_on, link.exceptions().len()), (12, 0));
    link.run(&[guest(9)], 60, |second| second % 10 < 3);
    assert_eq!(link.exceptions().len(), 1);
}

#[test]
fn a_question_that_comes_while_all_is_given_back_brings_no_program_back() {
    let mut link = Link::new(|_| false);
    link.host.input(Input::Stop);
    for _ in 0..60 {
        link.host.solicit(question(guest(5)));
        link.host.pass(seconds(1));
    }
    let programs = link.host.take().into_iter().filter_map(|output| match output {
        Output::Program(_, program) => Some(program.is_some()),
        _ => None,
    });
    assert_eq!(programs.collect::<Vec<_>>(), [false]);
}
