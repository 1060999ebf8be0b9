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

fn wish(routes: &mut Routes, wish: &[&KernelRoute]) -> Vec<Change> {
    routes.set_wish(wish.iter().copied().cloned().collect());
    routes.reconcile()
}

#[test]
fn adds_what_is_missing_once_and_removes_what_is_unwanted_once() {
    let (wanted, left_over) = (our("2001:db8::/112", 3, 1024), our("2001:db8:1::/112", 3, 1024));
    let mut routes = routes();
    routes.insert(left_over.clone());
    let changes = [Change::Add(wanted.clone()), Change::Remove(left_over)];
    assert_eq!(wish(&mut routes, &[&wanted]), changes);
    assert_eq!(wish(&mut routes, &[&wanted]), [], "they are under way");
    for change in &changes {
        routes.changed(change, &Outcome::Done);
    }
    assert_eq!(wish(&mut routes, &[&wanted]), [], "they are done");
    assert_eq!(routes.wanted().collect::<Vec<_>>(), [(&wanted, RouteState::Installed)]);
}

#[test]
fn adopts_what_a_predecessor_left() {
    let route = our("2001:db8::/112", 3, 1024);
    let mut routes = routes();
    routes.insert(route.clone());
    assert_eq!(wish(&mut routes, &[&route]), []);
}

#[test]
fn puts_back_what_somebody_removed() {
    let route = our("2001:db8::/112", 3, 1024);
    let mut routes = routes();
    routes.insert(route.clone());
    wish(&mut routes, &[&route]);
    routes.remove(&route);
    assert_eq!(routes.reconcile(), [Change::Add(route)]);
}

#[test]
fn waits_for_a_foreign_route_in_the_way_and_tries_again_when_it_goes() {
    let (route, other) = (our("2001:db8::/112", 3, 1024), foreign("2001:db8::/112", 4, 1024));
    let mut routes = routes();
    routes.insert(other.clone());
    assert_eq!(wish(&mut routes, &[&route]), [Change::Add(route.clone())]);
    routes.changed(&Change::Add(route.clone()), &Outcome::Exists);
    assert!(routes.is_kept_out(&route));
    routes.insert(foreign("2001:db8::/112", 4, 7));
    assert_eq!(routes.reconcile(), [], "it is still in the way");
    assert_eq!(routes.in_the_way_of(&route), Some(&other));
    routes.remove(&other);
    assert_eq!(routes.reconcile(), [Change::Add(route)]);
}

#[test]
fn tries_again_when_all_is_told_and_nothing_is_in_the_way() {
    // The word of the foreign one was lost, and so nobody will tell that it goes.
    let route = our("2001:db8::/112", 3, 1024);
    let mut routes = routes();
    assert_eq!(wish(&mut routes, &[&route]), [Change::Add(route.clone())]);
    routes.changed(&Change::Add(route.clone()), &Outcome::Exists);
    assert_eq!(routes.reconcile(), []);
    routes.told_all();
    assert_eq!(routes.reconcile(), [Change::Add(route.clone())]);
    // One that is known to be there is waited for, as before.
    routes.changed(&Change::Add(route.clone()), &Outcome::Exists);
    routes.insert(foreign("2001:db8::/112", 4, 1024));
    routes.told_all();
    assert_eq!(routes.reconcile(), []);
}

#[test]
fn tries_again_what_the_kernel_refused_when_a_link_changes_and_not_before() {
    let route = our("2001:db8::/112", 3, 1024);
    let mut routes = routes();
    wish(&mut routes, &[&route]);
    routes.changed(&Change::Add(route.clone()), &Outcome::Failed("down".to_owned()));
    assert_eq!(routes.reconcile(), []);
    routes.retry_refused();
    assert_eq!(routes.reconcile(), [Change::Add(route)]);
}

#[test]
fn a_guest_that_moves_has_its_old_route_removed_before_the_new_one_is_added() {
    let mut routes = routes();
    let target = "2001:db8::5".parse().expect("an address");
    let (old, new) = (routes.guest(target, IfIndex(3)), routes.guest(target, IfIndex(4)));
    routes.want(old.clone());
    routes.reconcile();
    routes.changed(&Change::Add(old.clone()), &Outcome::Done);
    routes.unwant(&old);
    routes.want(new.clone());
    assert_eq!(routes.reconcile(), [Change::Remove(old), Change::Add(new)]);
}

#[test]
fn removes_what_was_still_on_its_way_in_when_it_is_not_wanted_any_more() {
    let route = our("2001:db8::/112", 3, 1024);
    let mut routes = routes();
    wish(&mut routes, &[&route]);
    routes.unwant_all();
    assert_eq!(routes.reconcile(), []);
    routes.changed(&Change::Add(route.clone()), &Outcome::Done);
    assert_eq!(routes.reconcile(), [Change::Remove(route)]);
}

#[test]
fn the_backstop_is_the_last_to_go() {
    let mut routes = routes();
    let backstop = KernelRoute { kind: RouteKind::Unreachable, ..our("2001:db8::/112", 0, 9) };
    let guest = our("2001:db8::5/128", 3, 1024);
    routes.insert(backstop.clone());
    routes.insert(guest.clone());
    routes.unwant_all();
    assert_eq!(routes.reconcile(), [Change::Remove(guest), Change::Remove(backstop)]);
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
    assert_eq!(routes.inherited_guests().count(), 0);
}

#[test]
fn knows_the_guests_of_a_predecessor_and_the_gateway() {
    let mut routes = routes();
    let gateway = "2001:db8::1".parse().expect("an address");
    routes.insert(our("2001:db8::5/128", 3, 1024));
    routes.insert(foreign("2001:db8::6/128", 3, 1024));
    routes.insert(KernelRoute { next_hop: NextHop::Via(gateway), ..foreign("::/0", 2, 1024) });
    let inherited: Vec<_> = routes.inherited_guests().collect();
    assert_eq!(inherited, [("2001:db8::5".parse().expect("an address"), IfIndex(3))]);
    assert!(routes.is_gateway(gateway));
}

#[test]
fn leaves_a_guest_to_an_equal_foreign_route_until_that_goes() {
    let (route, equal) = (our("2001:db8::5/128", 3, 1024), foreign("2001:db8::5/128", 3, 1024));
    let mut routes = routes();
    routes.insert(equal.clone());
    routes.want(route.clone());
    assert_eq!(routes.reconcile(), []);
    assert_eq!(routes.wanted().collect::<Vec<_>>(), [(&route, RouteState::Installed)]);
    routes.remove(&equal);
    assert_eq!(routes.reconcile(), [Change::Add(route.clone())]);
    // One that leads elsewhere does not do.
    routes.changed(&Change::Add(route.clone()), &Outcome::Exists);
    routes.insert(foreign("2001:db8::5/128", 4, 1024));
    assert_eq!(routes.reconcile(), []);
    assert!(routes.is_kept_out(&route));
}
