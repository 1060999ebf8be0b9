//! Which ranges the programs in the kernel answer for as a whole: those of `always` in which a question for any address
//! would be answered at once. What would not be is passed on: addresses of the upstream, routers, what a rival has, what
//! is excluded, other ranges inside, and what routes lead back out of the upstream. Where routes may lead all of a range
//! back, and where it stands by, it is passed on altogether.

use std::collections::BTreeSet;

use ipnet::Ipv6Net;

use super::Desk;
use crate::engine::facts::IfIndex;
use crate::engine::house::House;
use crate::engine::plan::RangeId;
use crate::engine::policy::Answer;
use crate::engine::time::Time;

impl Desk {
    /// Tells the programs, if something has happened to a range or to who has an address of one.
    pub(super) fn mirror_ranges(&mut self, is_disputed: bool, now: Time) {
        let mirror = &mut self.house.keep.mirror;
        let is_disputed = is_disputed && mirror.ranges.are_any();
        if !mirror.ranges.take_touched() && !is_disputed {
            return;
        }
        for link in self.house.keep.mirror.links_on() {
            let (answered, passed_on) = self.house.answered_as_a_whole_on(link);
            self.house.keep.mirror.want_ranges(link, answered, passed_on, now);
        }
    }
}

impl House {
    /// How many ranges the program of this upstream answers for as a whole.
    pub fn count_mirrored_ranges_on(&self, link: IfIndex) -> usize {
        self.keep.mirror.ranges.count_on(link)
    }

    /// The prefixes of this upstream of which every address is answered for, and those of which not: the longer prefix
    /// says.
    fn answered_as_a_whole_on(&self, link: IfIndex) -> (BTreeSet<Ipv6Net>, BTreeSet<Ipv6Net>) {
        let Self { plan, host, manners, keep, .. } = self;
        let led_back = |id: RangeId| plan.led_back(id, host, keep.routes.ours());
        let is_whole = |id: RangeId| {
            plan.place(id).upstream == Some(link)
                && plan.range(id).answer == Answer::Always
                // What is claimed of it, the daemon answers for.
                && !plan.range(id).standby
                && plan.check_downstream(id, host).is_ok()
                && led_back(id).is_some()
        };
        let all = (0..plan.policy.ranges.len()).map(RangeId);
        let (whole, others): (Vec<_>, Vec<_>) = all.partition(|id| is_whole(*id));
        let prefix = |id: &RangeId| plan.range(*id).prefix;
        let mut answered: BTreeSet<_> = whole.iter().map(prefix).collect();
        if answered.is_empty() {
            return (answered, BTreeSet::new());
        }
        let of_host = answered.iter().flat_map(|range| host.links.addresses_inside(range));
        let of_upstreams = of_host.filter(|address| plan.bindings.is_on_an_upstream(address.link));
        let of_rivals = manners.rivals.iter().filter(|(.., stands)| *stands).map(|(target, ..)| target);
        let addresses = of_upstreams
            .map(|address| address.address)
            .chain(plan.routers(host))
            .chain(of_rivals)
            .map(Ipv6Net::from);
        let excluded = whole.iter().flat_map(|id| &plan.range(*id).exclude).copied();
        let led_back = whole.iter().filter_map(|id| led_back(*id)).flatten();
        let is_inside = |prefix: &Ipv6Net| answered.iter().any(|range| range.contains(prefix));
        let passed_on = others.iter().map(prefix).chain(excluded).chain(led_back).chain(addresses);
        let passed_on: BTreeSet<_> = passed_on.filter(is_inside).collect();
        answered.retain(|range| !passed_on.contains(range));
        (answered, passed_on)
    }

    /// Where all targets are that are answered for on this upstream.
    pub(super) fn answered_within(&self, link: IfIndex) -> Vec<Ipv6Net> {
        let served = self.plan.served();
        let answered = served
            .filter(|(range, place)| place.upstream == Some(link) && range.answer != Answer::Never)
            .map(|(range, _)| range.prefix);
        answered.collect()
    }
}
