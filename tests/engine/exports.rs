//! Named sets for other programs: live addresses, guests with an identity, and the prefixes that are routed to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use lone64::engine::guests::{Claim, Object};
use lone64::engine::policy::{GuestAddresses, GuestPolicy, Policy};
use lone64::engine::{Claiming, Exported, Input, Outcome, Output};

use crate::host::{BRIDGE, Host, address, guest, guest_mac, live, net, question_from, seconds, with};

const PREFIX: &str = "2001:db8:1:2:c::1000/116";

/// The sets, as the kernel has them.
#[derive(Default)]
struct Sets(BTreeSet<Exported>, bool);

impl Sets {
    fn follow(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Export(changes) => {
                    self.1 = true;
                    for (exported, is_there) in changes {
                        let _ = if *is_there { self.0.insert(*exported) } else { self.0.remove(exported) };
                    }
                }
                Output::ExportEnds => *self = Self::default(),
                _ => {}
            }
        }
    }
}

fn written() -> Policy {
    with(|policy| {
        policy.nft_sets = true;
        policy.guests = vec![Arc::new(GuestPolicy {
            name: "web5".to_owned(),
            mac: Some(guest_mac(5)),
            interface: "lxcbr0".parse().ok(),
            addresses: GuestAddresses::Listed(vec![guest(5)]),
            delegate: vec![net(PREFIX)],
            pin: false,
            guard: None,
        })];
    })
}

fn heard(host: &mut Host) {
    let asked = question_from(address("fe80::55"), guest_mac(5), address("fe80::1"));
    host.input(Input::Solicitation(BRIDGE, asked));
}

#[test]
fn follow_what_comes_and_goes() {
    let mut sets = Sets::default();
    let mut host = Host::new(with(|policy| policy.nft_sets = true)).with_guest(guest(7), guest_mac(7));
    host.ask(guest(7));
    sets.follow(&host.take());
    host.ask(guest(7));
    host.pass(seconds(1));
    sets.follow(&host.take());
    let mut host = Host::bare(written()).with_guest(guest(7), guest_mac(7));
    host.facts(crate::host::usual_facts());
    host.input(Input::Synced);
    sets.follow(&host.take());
    let own = BTreeSet::from([Exported::Guest(guest(5)), Exported::Live(guest(5))]);
    assert_eq!(sets.0, own);
    heard(&mut host);
    host.guests.insert(address("fe80::55"), guest_mac(5));
    host.solicit(crate::host::question(guest(7)));
    sets.follow(&host.take());
    let more = BTreeSet::from([Exported::Live(guest(7)), Exported::Delegated(net(PREFIX))]);
    assert_eq!(sets.0, &own | &more);
    let claim = Claim {
        object: Object::Prefix(guest(9).into()),
        interface: "lxcbr0".parse().ok(),
        mac: Some(guest_mac(9)),
        via: None,
        until: None,
    };
    host.input(Input::Claiming(Claiming::Claim(claim.clone())));
    sets.follow(&host.take());
    assert!(sets.0.contains(&Exported::Guest(guest(9))));
    host.input(Input::Claiming(Claiming::Release(claim.object)));
    // The policy has no guest any more.
    host.input(Input::Reload(Box::new(with(|policy| policy.nft_sets = true))));
    host.guests.clear();
    host.pass(seconds(600));
    sets.follow(&host.take());
    assert_eq!(sets.0, BTreeSet::new());
}

#[test]
fn have_all_that_is_there_when_they_are_switched_on_and_end_when_they_are_switched_off() {
    let mut host = Host::new(Policy { nft_sets: false, ..written() });
    heard(&mut host);
    for number in 100..400 {
        host.make_live(guest(number), guest_mac(number));
    }
    let mut sets = Sets::default();
    host.input(Input::Reload(Box::new(written())));
    host.pass(seconds(1));
    sets.follow(&host.take());
    let mut all: BTreeSet<_> = (100..400).map(|number| Exported::Live(guest(number))).collect();
    all.extend([Exported::Live(guest(5)), Exported::Guest(guest(5)), Exported::Delegated(net(PREFIX))]);
    assert_eq!(sets.0, all);
    host.input(Input::Reload(Box::new(Policy { nft_sets: false, ..written() })));
    host.pass(seconds(1));
    let outputs = host.take();
    assert!(outputs.contains(&Output::ExportEnds));
    sets.follow(&outputs);
    assert!(!sets.1);
}

#[test]
fn are_a_problem_while_the_kernel_refuses_them_and_nobody_hears_of_them_where_they_are_not_wanted() {
    let mut host = Host::new(written());
    host.input(Input::ExportChanged(Outcome::Failed("there is no nft".to_owned())));
    let said: Vec<_> = host.engine.problems().iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|problem| problem.contains("there is no nft")), "{said:?}");
    host.input(Input::ExportChanged(Outcome::Done));
    let said: Vec<_> = host.engine.problems().iter().map(ToString::to_string).collect();
    assert!(!said.iter().any(|problem| problem.contains("there is no nft")), "{said:?}");
    let mut host = Host::new(live()).with_guest(guest(5), guest_mac(5));
    host.solicit(crate::host::question(guest(5)));
    assert!(!host.take().iter().any(|output| matches!(output, Output::Export(_) | Output::ExportEnds)));
}
