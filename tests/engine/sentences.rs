//! What is said of problems, and when they are over: each names what it is about, and what to do.

use lone64::engine::facts::IfName;
use lone64::engine::policy::Answer;
use lone64::engine::{Ended, NoProgram, Note, Problem};

use crate::host::{live, net, with};

fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

#[test]
fn a_problem_that_is_over_says_so_with_the_name_that_it_had() {
    let up = name("up0");
    assert_eq!(Problem::UpstreamMissing(up).solved(), "upstream up0 exists now");
    assert_eq!(Problem::NoDefaultRoute.solved(), "there is an IPv6 default route again");
}

#[test]
fn an_interface_for_guests_that_is_the_upstream_is_told_from_one_on_its_link() {
    let prefix = net("2001:db8:1:2:c::/112");
    let said = |text: &str| Problem::AlsoOnUpstream(prefix, name(text), name("up0")).to_string();
    assert!(said("up0").contains("is the upstream, and guests cannot be on an upstream"), "{}", said("up0"));
    assert!(said("mv0").contains("is on the own link of the upstream up0"), "{}", said("mv0"));
}

#[test]
fn a_range_that_is_the_whole_link_is_told_with_what_a_route_to_its_interface_would_do() {
    let prefix = net("2001:db8:1:2::/64");
    let said = |text: &str| Problem::AlwaysOverLink(prefix, name(text), name("up0")).to_string();
    assert!(said("lo").contains("take their packets for its own"), "{}", said("lo"));
    assert!(
        !said("br0").contains("for its own") && said("br0").contains("no route to br0"),
        "{}",
        said("br0")
    );
}

#[test]
fn an_upstream_is_needed_where_something_is_answered_on_it() {
    assert!(live().needs_upstream());
    assert!(!with(|policy| policy.ranges[0].answer = Answer::Never).needs_upstream());
}

#[test]
fn a_network_that_nobody_serves_is_told_to_be_served_or_gone() {
    let of = lone64::engine::Unserved {
        prefix: net("2001:db8:1:2:d::/80"),
        interface: name("docker0"),
        upstream: name("up0"),
        guests: lone64::engine::Guests::OnInterface,
        names_upstream: false,
        is_one_of_several: false,
        around: None,
    };
    assert_eq!(of.ended(Ended::Served), "2001:db8:1:2:d::/80 on docker0 is served now");
    assert_eq!(of.ended(Ended::Gone), "2001:db8:1:2:d::/80 on docker0 is gone, or is ignored now");
}

#[test]
fn a_note_says_why_no_program_answers_and_what_is_over_then() {
    let up = name("up0");
    let of = |why| Note::NoProgram(up, why).to_string();
    assert!(of(NoProgram::OwnBridge).contains("guests are on its own bridge"));
    assert!(of(NoProgram::NoAddress).contains("no address for the answers"));
    assert!(of(NoProgram::SeveralAddresses).contains("several global addresses"));
    assert!(of(NoProgram::Refused("no room".to_owned())).ends_with("no room"));
    assert!(Note::NoProgram(up, NoProgram::OwnBridge).over().ends_with("answering on up0 is over"));
    assert!(Note::GroupsFull(up, 2).over().ends_with("fit into the limit on up0 again"));
    let wide = net("2001:db8:1:2:c::/112");
    assert!(Note::TooWideForGroups(wide, 2).over().contains("groups of 2001:db8:1:2:c::/112"));
    assert!(Note::OneSided(up).over().contains("arrive on up0 too"));
}
