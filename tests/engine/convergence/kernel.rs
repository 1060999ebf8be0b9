//! A kernel that is asked for routes and addresses, and tells of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv6Addr;

use lone64::engine::facts::{Address, AddressState, Fact, IfIndex, KernelRoute, Link, LinkState};
use lone64::engine::{AddressChange, AddressOutcome, Obstacle, Outcome};

/// The kernel, as far as it matters.
#[derive(Debug, Clone, Default)]
pub struct Kernel {
    pub links: BTreeMap<IfIndex, Link>,
    pub addresses: BTreeMap<(IfIndex, Ipv6Addr), Address>,
    /// Those of them that were told to nobody yet.
    pub untold: BTreeSet<(IfIndex, Ipv6Addr)>,
    pub routes: BTreeSet<KernelRoute>,
    /// Of the routes that go with a link that is switched off, nothing is told
    /// (`net.ipv6.route.skip_notify_on_dev_down`).
    pub skips_notify: bool,
}

impl Kernel {
    pub fn dump(&self) -> Vec<Fact> {
        let links = self.links.values().cloned().map(Fact::Link);
        let addresses = self.addresses.values().copied().map(Fact::Address);
        links.chain(addresses).chain(self.routes.iter().cloned().map(Fact::Route)).collect()
    }

    pub fn remove_routes(&mut self, goes: impl Fn(&KernelRoute) -> bool, facts: &mut VecDeque<Fact>) {
        let gone: Vec<_> = self.routes.iter().filter(|route| goes(route)).cloned().collect();
        for route in gone {
            self.routes.remove(&route);
            facts.push_back(Fact::RouteGone(route));
        }
    }

    /// The routes over a link go when it is switched off.
    pub fn routes_go_down(&mut self, link: IfIndex, facts: &mut VecDeque<Fact>) {
        let mut untold = VecDeque::new();
        let facts = if self.skips_notify { &mut untold } else { facts };
        self.remove_routes(|route| route.link() == Some(link), facts);
    }

    pub fn remove_link_locals(&mut self, link: IfIndex, facts: &mut VecDeque<Fact>) {
        let all = self.addresses.keys().copied();
        let gone: Vec<_> =
            all.filter(|(on, address)| *on == link && address.is_unicast_link_local()).collect();
        for (link, address) in gone {
            self.addresses.remove(&(link, address));
            facts.push_back(Fact::AddressGone { link, address });
        }
    }

    pub fn change_address(&mut self, change: &AddressChange, facts: &mut VecDeque<Fact>) -> AddressOutcome {
        let (AddressChange::Add(ours) | AddressChange::Remove(ours)) = *change;
        let (link, address, protocol) = (ours.link, ours.address, ours.protocol);
        match change {
            AddressChange::Add(_) if !self.links.contains_key(&link) => {
                return AddressOutcome::Refused(Obstacle::NoDevice);
            }
            AddressChange::Add(_) if self.addresses.contains_key(&(link, address)) => {
                return AddressOutcome::Exists;
            }
            AddressChange::Add(_) => {
                let new = Address { link, address, prefix_len: 64, state: AddressState::Preferred, protocol };
                self.addresses.insert((link, address), new);
                // Without DAD it is told when the link has a carrier, and not before.
                match self.links[&link].state {
                    LinkState::Up => facts.push_back(Fact::Address(new)),
                    _ => _ = self.untold.insert((link, address)),
                }
            }
            AddressChange::Remove(_) if self.addresses.remove(&(link, address)).is_some() => {
                facts.push_back(Fact::AddressGone { link, address });
            }
            AddressChange::Remove(_) => {}
        }
        AddressOutcome::Done
    }

    pub fn add(&mut self, route: &KernelRoute) -> Outcome {
        if self.cannot_lead(route) {
            return Outcome::Failed("Network is down".to_owned());
        }
        if self.routes.iter().any(|known| key(known) == key(route)) {
            return Outcome::Exists;
        }
        self.routes.insert(route.clone());
        Outcome::Done
    }

    /// The route is there afterwards, and no other with its destination, table and metric. Of that other
    /// nothing is told; where there was none, the route is new like any other.
    pub fn replace(&mut self, route: KernelRoute, facts: &mut VecDeque<Fact>) {
        if self.cannot_lead(&route) {
            return;
        }
        let before = self.routes.len();
        self.routes.retain(|known| key(known) != key(&route));
        let has_replaced = self.routes.len() < before;
        self.routes.insert(route.clone());
        facts.push_back(if has_replaced { Fact::RouteReplaced(route) } else { Fact::Route(route) });
    }

    /// Routes lead to links that are there and not switched off.
    fn cannot_lead(&self, route: &KernelRoute) -> bool {
        let is_down = |link: Option<&Link>| link.is_none_or(|link| link.state == LinkState::Down);
        route.link().map(|link| self.links.get(&link)).is_some_and(is_down)
    }
}

/// The kernel takes no two routes with the same.
fn key(route: &KernelRoute) -> (ipnet::Ipv6Net, u32, u32) {
    (route.destination, route.table, route.metric)
}
