//! Routes wanted against routes there are.

use super::*;

fn foreign(text: &str, link: u32, metric: u32) -> KernelRoute {
    KernelRoute { protocol: 3, ..our(text, link, metric) }
}

fn our(text: &str, link: u32, metric: u32) -> KernelRoute {
    KernelRoute {
        destination: text.parse().expect("a prefix"),
        kind: RouteKind::Unicast(IfIndex(link)),
        next_hop: NextHop::OnLink,
        table: MAIN,
        protocol: 64,
        metric,
    }
}

fn routes() -> Routes {
    Routes::new(RoutePolicy::default())
}

#[test]
fn adds_what_is_missing_once_and_removes_what_is_unwanted_once() {
    let (wanted, left_over) = (our("2001:db8::/112", 3, 1024), our("2001:db8:1::/112", 3, 1024));
    let mut routes = routes();
    routes.insert(left_over.clone());
    let wish = BTreeSet::from([wanted.clone()]);
    let changes = [Change::Add(wanted.clone()), Change::Remove(left_over.clone())];
    assert_eq!(routes.reconcile(&wish), changes);
    assert_eq!(routes.reconcile(&wish), [], "they are under way");
    for change in &changes {
        routes.changed(change, &Outcome::Done);
    }
    assert_eq!(routes.reconcile(&wish), [], "they are done");
    assert_eq!(routes.wanted().collect::<Vec<_>>(), [(&wanted, RouteState::Installed)]);
}

#[test]
fn adopts_what_a_predecessor_left() {
    let route = our("2001:db8::/112", 3, 1024);
    let mut routes = routes();
    routes.insert(route.clone());
    assert_eq!(routes.reconcile(&BTreeSet::from([route])), []);
}

#[test]
fn puts_back_what_somebody_removed() {
    let route = our("2001:db8::/112", 3, 1024);
    let mut routes = routes();
    routes.insert(route.clone());
    routes.reconcile(&BTreeSet::from([route.clone()]));
    routes.remove(&route);
    assert_eq!(routes.reconcile(&BTreeSet::from([route.clone()])), [Change::Add(route)]);
}

#[test]
fn waits_for_a_foreign_route_in_the_way_and_tries_again_when_it_goes() {
    let (route, other) = (our("2001:db8::/112", 3, 1024), foreign("2001:db8::/112", 4, 1024));
    let wish = BTreeSet::from([route.clone()]);
    let mut routes = routes();
    routes.insert(other.clone());
    assert_eq!(routes.reconcile(&wish), [Change::Add(route.clone())]);
    routes.changed(&Change::Add(route.clone()), &Outcome::Exists);
    assert_eq!(routes.reconcile(&wish), []);
    assert_eq!(routes.in_the_way_of(&route), Some(&other));
    routes.remove(&other);
    assert_eq!(routes.reconcile(&wish), [Change::Add(route)]);
}

#[test]
fn a_route_of_another_metric_is_not_in_the_way() {
    let mut routes = routes();
    routes.insert(foreign("2001:db8::/112", 4, 256));
    assert_eq!(routes.in_the_way_of(&our("2001:db8::/112", 3, 1024)), None);
}

#[test]
fn the_longest_prefix_and_then_the_lowest_metric_lead() {
    let mut routes = routes();
    routes.insert(foreign("::/0", 2, 1024));
    routes.insert(foreign("2001:db8::/64", 3, 1024));
    routes.insert(foreign("2001:db8::/64", 4, 256));
    routes.insert(KernelRoute { kind: RouteKind::Unreachable, ..foreign("2001:db8::c:0/112", 0, 1) });
    let lead = |text: &str| routes.leads_to(text.parse().expect("an address"));
    assert_eq!(lead("2001:db8::5"), Some(IfIndex(4)));
    assert_eq!(lead("2001:db8::c:5"), None);
    assert_eq!(lead("2001:db8:1::5"), Some(IfIndex(2)));
    assert_eq!(routes.default_links(), [IfIndex(2)]);
}

#[test]
fn a_link_that_goes_takes_its_routes_along() {
    let mut routes = routes();
    routes.insert(our("2001:db8::/112", 3, 1024));
    routes.insert(foreign("2001:db8::/112", 4, 256));
    routes.remove_link(IfIndex(3));
    assert_eq!(routes.leads_to("2001:db8::5".parse().expect("an address")), Some(IfIndex(4)));
    assert!(routes.ours.is_empty());
}
