//! Which IPv6 source an answer carries: the policy, the asker, and the addresses that there are.

mod auto;

use std::net::Ipv6Addr;

use lone64::engine::facts::{AddressState, Fact};
use lone64::engine::policy::{Answer, Source};
use lone64::wire::DropReason;

use crate::host::{
    BRIDGE, Host, ROUTER_MAC, UP, address, dad, guest, guest_mac, has, host_address, net, question,
    question_from, with,
};
use crate::proxy_downstream::{GATEWAY, answers_to, proxying};

const LINK_LOCAL: &str = "fe80::5054:ff:fe00:1";
const GLOBAL: &str = "2001:db8:1:2::2";

/// Who asks.
#[derive(Debug, Clone, Copy)]
enum From {
    LinkLocal,
    Global,
    OffLink,
    Nobody,
}

fn host(source: Source) -> Host {
    Host::new(with(|policy| {
        policy.ranges[0].answer = Answer::Always;
        policy.upstreams[0].source = source;
    }))
}

fn without(host: &mut Host, text: &str) {
    host.facts(vec![Fact::AddressGone { link: UP, address: address(text) }]);
}

/// The source of the answer to this asker, if there is an answer.
fn source_for(host: &mut Host, from: From) -> Option<Ipv6Addr> {
    let asked = match from {
        From::LinkLocal => question(guest(5)),
        From::Global => question_from(address("2001:db8:1:2::1"), ROUTER_MAC, guest(5)),
        From::OffLink => question_from(address("2001:db8:ffff::1"), ROUTER_MAC, guest(5)),
        From::Nobody => dad(ROUTER_MAC, guest(5)),
    };
    host.answer_to(asked).map(|answer| answer.source)
}

#[test]
fn every_policy_gives_every_asker_the_source_it_promises() {
    let other = "2001:db8:1:2::dead";
    let table = [
        (Source::Auto, [LINK_LOCAL, GLOBAL, GLOBAL, LINK_LOCAL]),
        (Source::Scope, [LINK_LOCAL, GLOBAL, GLOBAL, LINK_LOCAL]),
        (Source::Target, ["2001:db8:1:2:c::5"; 4]),
        (Source::LinkLocal, [LINK_LOCAL; 4]),
        (Source::Global, [GLOBAL; 4]),
        (Source::Address(address(other)), [other; 4]),
    ];
    for (policy, expected) in table {
        let mut host = host(policy);
        host.facts(vec![has(UP, "2001:db8:1:2::dead/64")]);
        for (from, expected) in
            [From::LinkLocal, From::Global, From::OffLink, From::Nobody].iter().zip(expected)
        {
            assert_eq!(source_for(&mut host, *from), Some(address(expected)), "{policy:?} {from:?}");
        }
    }
}

#[test]
fn by_scope_an_upstream_with_one_address_answers_everybody_from_it() {
    for (gone, left) in [(LINK_LOCAL, GLOBAL), (GLOBAL, LINK_LOCAL)] {
        // Without its global address the upstream covers no range, but it is the only one.
        let mut host = host(Source::Scope);
        without(&mut host, gone);
        for from in [From::LinkLocal, From::Global, From::OffLink, From::Nobody] {
            assert_eq!(source_for(&mut host, from), Some(address(left)), "{from:?}");
        }
    }
}

#[test]
fn a_policy_that_names_a_scope_answers_nobody_while_there_is_no_such_address() {
    for (policy, gone) in [(Source::LinkLocal, LINK_LOCAL), (Source::Global, GLOBAL)] {
        let mut host = host(policy);
        without(&mut host, gone);
        assert_eq!(source_for(&mut host, From::LinkLocal), None, "{policy:?}");
        assert_eq!(host.dropped(DropReason::NoSource), 1);
    }
}

#[test]
fn an_upstream_without_any_address_answers_nobody() {
    let mut host = host(Source::Scope);
    without(&mut host, LINK_LOCAL);
    without(&mut host, GLOBAL);
    assert_eq!(source_for(&mut host, From::LinkLocal), None);
    assert_eq!(host.dropped(DropReason::NoSource), 1);
}

#[test]
fn a_tentative_address_is_no_source_until_its_check_is_over() {
    let mut host = host(Source::LinkLocal);
    host.facts(vec![Fact::Address(host_address(UP, "fe80::5054:ff:fe00:1/64", AddressState::Tentative))]);
    assert_eq!(source_for(&mut host, From::LinkLocal), None);
    host.facts(vec![has(UP, "fe80::5054:ff:fe00:1/64")]);
    assert_eq!(source_for(&mut host, From::LinkLocal), Some(address(LINK_LOCAL)));
}

#[test]
fn a_deprecated_address_is_a_source_only_for_want_of_another() {
    let mut host = host(Source::Global);
    // It sorts before the other one.
    host.facts(vec![
        Fact::Address(host_address(UP, "2001:db8:1:2::2/64", AddressState::Deprecated)),
        has(UP, "2001:db8:1:2::3/64"),
    ]);
    assert_eq!(source_for(&mut host, From::Global), Some(address("2001:db8:1:2::3")));
    without(&mut host, "2001:db8:1:2::3");
    assert_eq!(source_for(&mut host, From::Global), Some(address(GLOBAL)));
}

#[test]
fn an_address_that_comes_while_running_is_the_source_of_the_next_answer() {
    let mut host = host(Source::Global);
    without(&mut host, GLOBAL);
    assert_eq!(source_for(&mut host, From::Global), None);
    host.facts(vec![has(UP, "2001:db8:1:2::77/64")]);
    assert_eq!(source_for(&mut host, From::Global), Some(address("2001:db8:1:2::77")));
}

#[test]
fn addresses_of_other_interfaces_are_never_the_source() {
    let mut host = host(Source::Global);
    without(&mut host, GLOBAL);
    host.facts(vec![
        has(crate::host::BRIDGE, "2001:db8:1:2:c::1/112"),
        has(crate::host::LO, "2001:db8::1/128"),
    ]);
    assert_eq!(source_for(&mut host, From::Global), None);
    assert!(net("2001:db8:1:2:c::/112").contains(&guest(5)));
}

/// `source` is about the provider, and of several addresses RFC 6724 says which.
#[test]
fn of_several_addresses_the_one_answers_that_suits_the_asker_whatever_the_upstream_s_source_is() {
    let mut policy = proxying();
    policy.upstreams[0].source = Source::LinkLocal;
    let mut host = Host::new(policy);
    host.facts(vec![has(BRIDGE, "2001:db8:1:2:c::1/112"), has(BRIDGE, "fd00:1::1/64")]);
    for (asker, source) in [("2001:db8:1:2:c::5", "2001:db8:1:2:c::1"), ("fd00:1::5", "fd00:1::1")] {
        let question = question_from(address(asker), guest_mac(5), GATEWAY);
        assert_eq!(answers_to(&mut host, question)[0].source, address(source));
    }
}
