//! What happens to all routes of ours at once, in slices: another policy for them, and the end.

use core::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::keeper::{Keeper, Manner};
use super::routes::Routes;
use super::wishes::our;
use crate::engine::facts::{IfIndex, RouteKind};
use crate::engine::host::Host;
use crate::engine::policy::RoutePolicy;
use crate::engine::seed::Seed;

/// What is still as the policy before wanted it.
#[derive(Debug)]
pub(super) struct Former {
    policy: RoutePolicy,
    /// The guests whose routes the kernel has.
    guests: Keeper<Ipv6Addr, IfIndex>,
    /// Routes to destinations up to this one have been looked at.
    looked_at: Option<Ipv6Net>,
}

impl Routes {
    /// How ours are installed.
    pub fn policy(&self) -> &RoutePolicy {
        &self.policy
    }

    /// From here on ours are installed like this. Those that are there become unwanted, also under a protocol
    /// number that is not ours any more: in slices, by [`Self::hand_over`]. Until that is done no range may
    /// want anything new.
    pub fn set_policy(&mut self, policy: RoutePolicy, seed: Seed, host: &mut Host) {
        let before = std::mem::replace(&mut self.policy, policy);
        if before.looks_like(&policy) {
            return;
        }
        while self.former.is_some() {
            self.hand_over(host, usize::MAX);
        }
        let guests = std::mem::replace(&mut self.guests, Keeper::new(Manner::Confirmed, seed));
        let route = |(target, link): (&Ipv6Addr, &IfIndex)| {
            our(&before, Ipv6Net::from(*target), RouteKind::Unicast(*link), before.metric)
        };
        self.overtaken.extend(guests.adding().map(route));
        for kept in guests.open_and_there() {
            host.routes.insert(route(kept));
        }
        self.former = Some(Former { policy: before, guests, looked_at: None });
        self.shadowed.clear();
        self.singles.clear();
        self.by_range.clear();
        self.ranges.want_nothing_open();
        self.ours.change(policy.protocol);
    }

    /// Goes on with what follows from another policy, for at most so many routes. How many they were; fewer where
    /// nothing is left.
    pub fn hand_over(&mut self, host: &mut Host, most: usize) -> usize {
        let Some(mut former) = self.former.take() else { return 0 };
        // Under the old policy these were guests' routes; under the new one they are some of ours.
        let guests = former.guests.take_at_rest(most);
        let mut left = most - guests.len();
        for (target, link) in guests {
            let (destination, kind) = (Ipv6Net::from(target), RouteKind::Unicast(link));
            host.routes.insert(our(&former.policy, destination, kind, former.policy.metric));
        }
        left -= self.ranges.want_less(left);
        while left > 0 {
            let Some(next) = host.routes.destination_after(former.looked_at.as_ref()) else {
                return most - left;
            };
            self.touch(next, host);
            former.looked_at = Some(next);
            left = left.saturating_sub(LOOK);
        }
        self.former = Some(former);
        most
    }

    /// Wants nothing new any more, and [`Self::want_less`] until nothing is left.
    pub fn want_nothing_new(&mut self) {
        self.by_range.clear();
        self.ways.clear();
        self.shadowed.clear();
        self.ranges.want_nothing_open();
        self.guests.want_nothing_open();
    }

    /// As many of the routes that are there are not wanted any more. How many they were; fewer where nothing
    /// is left.
    pub fn want_less(&mut self, host: &mut Host, most: usize) -> usize {
        let former = self.hand_over(host, most);
        let guests = self.guests.want_less(most - former);
        former + guests + self.ranges.want_less(most - former - guests)
    }
}

/// What a look at a destination counts for in a slice.
const LOOK: usize = 4;
