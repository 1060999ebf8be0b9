//! Entries of other programs: they stay, and are told of as long as they are in the way.

use lone64::engine::policy::GuestAddresses;

use super::*;

fn of(number: u16, mac: Mac, state: NeighborState, mark: Option<Mark>) -> Fact {
    let neighbor = Neighbor { link: BRIDGE, address: guest(number), mac: Some(mac), state };
    mark.map_or(Fact::Neighbor(neighbor), |mark| Fact::Marked(neighbor, mark))
}

#[test]
fn what_nobody_wants_is_removed_only_where_it_bears_our_mark() {
    use NeighborState::{Permanent, Reachable};
    let mut lab = Lab::started(with_pins(&[5]), Vec::new());
    lab.asked.clear();
    let another = Some(Mark { protocol: 65, is_external: false });
    let learnt = Some(Mark { protocol: 64, is_external: true });
    for (state, mark) in
        [(Permanent, None), (Permanent, ZEBRA), (Permanent, another), (Permanent, learnt), (Reachable, OURS)]
    {
        lab.input(Input::Facts(vec![of(9, OTHER, state, mark)]));
        lab.pass(seconds(2));
        assert_eq!(lab.asked, [], "{state:?} {mark:?}");
    }
    lab.input(Input::Facts(vec![of(9, OTHER, Permanent, OURS)]));
    assert!(matches!(lab.asked[..], [NeighborChange::Unpin(Pin { address, .. })] if address == guest(9)));
}

/// A host where another program has an entry for guest 5, and we want to pin that.
fn kept_out() -> Lab {
    let mut lab = Lab::around(Host::new(policy(Vec::new())));
    lab.table.insert((BRIDGE, guest(5)), (OTHER, None));
    lab.input(Input::Reload(Box::new(with_pins(&[5]))));
    assert_eq!(lab.host.engine.pins().kept_out, 1);
    lab.asked.clear();
    lab
}

fn asked_for(lab: &Lab, number: u16) -> usize {
    let is_it = |change: &&NeighborChange| matches!(change, NeighborChange::Pin(pin, _) if pin.address == guest(number));
    lab.asked.iter().filter(is_it).count()
}

#[test]
fn one_that_is_kept_out_is_tried_again_when_something_else_is_there_or_wanted() {
    let mut lab = kept_out();
    lab.input(Input::Reload(Box::new(with_pins(&[5, 6]))));
    assert_eq!((asked_for(&lab, 5), asked_for(&lab, 6)), (0, 1), "nothing is new about it");
    let third = Mac([2, 9, 9, 9, 9, 8]);
    lab.write(guest(5), third, None);
    assert_eq!(asked_for(&lab, 5), 0, "the other program has written it again");
    let mut other = with_pins(&[5, 6]);
    std::sync::Arc::make_mut(&mut other.guests[0]).mac = Some(guest_mac(7));
    lab.input(Input::Reload(Box::new(other)));
    assert_eq!(asked_for(&lab, 5), 1, "it has another MAC");
    assert_eq!(lab.table[&(BRIDGE, guest(5))], (third, None));
    let mut lab = kept_out();
    // What the kernel learns makes way.
    lab.table.remove(&(BRIDGE, guest(5)));
    lab.input(Input::Facts(vec![of(5, OTHER, NeighborState::Reachable, None)]));
    assert!(lab.has_pin(BRIDGE, 5));
}

#[test]
fn one_that_is_not_wanted_any_more_is_no_problem_any_more() {
    let mut lab = kept_out();
    lab.input(Input::Reload(Box::new(policy(vec![identity(5)]))));
    assert_eq!((lab.host.engine.pins().kept_out, lab.host.engine.problems().len()), (0, 0));
    lab.remove(guest(5));
    lab.pass(seconds(40));
    assert_eq!((lab.asked.as_slice(), lab.table.len()), (&[][..], 0), "and is not put there later");
}

#[test]
fn each_is_put_back_once_a_second_at_most_also_where_all_are_overwritten() {
    let mut lab = Lab::started(with_pins(&[5, 6]), Vec::new());
    lab.pass(seconds(10));
    lab.asked.clear();
    for round in 0..200 {
        let number = 5 + round % 2;
        if lab.has_pin(BRIDGE, number) {
            lab.write(guest(number), OTHER, ZEBRA);
        }
        lab.pass(millis(50));
    }
    for number in [5, 6] {
        assert!((8..=12).contains(&asked_for(&lab, number)), "{number}: {}", asked_for(&lab, number));
    }
}

#[test]
fn they_are_counted_by_what_became_of_them() {
    let mut host = Host::bare(with_pins(&[5, 6, 7, 8]));
    host.facts(usual_facts());
    host.input(Input::Synced);
    let outcomes = [
        (5, Outcome::Exists),
        (6, Outcome::Failed("No buffer space available".to_owned())),
        (7, Outcome::Done),
        (8, Outcome::Done),
    ];
    for output in host.take() {
        let Output::ChangeNeighbor(change @ NeighborChange::Pin(pin, _)) = output else { continue };
        let outcome = outcomes.iter().find(|(number, _)| guest(*number) == pin.address).unwrap();
        host.input(Input::NeighborChanged(change, outcome.1.clone()));
    }
    let seen = host.engine.pins();
    assert_eq!((seen.kept, seen.kept_out, seen.refused, seen.put_back), (2, 1, 1, 0));
}

/// What is given back goes by slices, and pins count as routes do.
#[test]
fn routes_are_given_back_behind_pins() {
    let many = GuestPolicy {
        mac: None,
        addresses: GuestAddresses::Listed((0x1000..0x1300).map(guest).collect()),
        ..identity(6)
    };
    let mut host = Host::new(policy(vec![GuestPolicy { pin: true, ..identity(5) }, many]));
    let routes = |host: &Host| {
        host.kernel
            .iter()
            .filter(|route| route.protocol == 64 && route.destination.prefix_len() == 128)
            .count()
    };
    assert_eq!(routes(&host), 0x301);
    host.input(Input::Stop);
    assert_eq!(routes(&host), 0);
}
