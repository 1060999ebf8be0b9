//! Remedies of explanations that depend on what the kernel's routes say.

use lone64::engine::Subject;
use lone64::engine::facts::{Fact, KernelRoute, KernelRule, RouteKind};

use crate::host::{Host, UP, address, live, route};

#[test]
fn are_none_for_neighbors_on_the_upstream_link() {
    let connected = KernelRoute { protocol: 2, ..route("2001:db8:1:2::/64", RouteKind::Unicast(UP)) };
    let mut host = Host::new(live());
    host.facts(vec![Fact::Route(connected)]);
    let remedy = |target: &str| {
        let explanation = host.engine.explain(address(target), host.now);
        let step = explanation.steps.into_iter().find(|step| step.subject == Subject::Range);
        step.and_then(|step| step.remedy).unwrap()
    };
    let neighbor = remedy("2001:db8:1:2::66");
    assert!(neighbor.starts_with("nothing, if it is itself on the link of up0; "), "{neighbor}");
    // A range would not help: nobody asks for it.
    let elsewhere = remedy("2001:db8:1:3::5");
    assert!(elsewhere.contains("nobody asks for it here") && !elsewhere.contains("[[range]]"), "{elsewhere}");
}

#[test]
fn name_a_range_where_nothing_is_known_of_the_link() {
    let host = Host::new(live());
    let explanation = host.engine.explain(address("2001:db8:9::5"), host.now);
    let step = explanation.steps.into_iter().find(|step| step.subject == Subject::Range);
    let remedy = step.and_then(|step| step.remedy).unwrap();
    assert!(remedy.starts_with("add a [[range]] "), "{remedy}");
}

/// It may be in a table of its own, as those of systemd-networkd's VRFs and of VPNs are.
#[test]
fn count_what_a_table_says_that_a_rule_names_and_no_other() {
    let connected =
        KernelRoute { protocol: 2, table: 52, ..route("2001:db8:1:2::/64", RouteKind::Unicast(UP)) };
    let mut host = Host::new(live());
    host.facts(vec![Fact::Route(connected)]);
    let remedy = |host: &Host| {
        let steps = host.engine.explain(address("2001:db8:1:2::66"), host.now).steps;
        steps.into_iter().find(|step| step.subject == Subject::Range).and_then(|step| step.remedy).unwrap()
    };
    assert!(remedy(&host).starts_with("add a [[range]] "), "{}", remedy(&host));
    host.facts(vec![Fact::Rule(KernelRule::lookup(5_270, 52))]);
    assert!(remedy(&host).starts_with("nothing, if it is itself on the link"), "{}", remedy(&host));
}
