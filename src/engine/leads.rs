//! Leads: where a guest may be that nobody has asked for yet.
//!
//! A guest that reports a group says by that where it is, and how its address ends. In a small range that is all of the
//! address. So it is asked for at once, and is known when the first question comes.

use core::net::Ipv6Addr;
use std::collections::VecDeque;
use std::time::Duration;

use ipnet::Ipv6Net;

use super::facts::IfIndex;
use super::hints::Reporter;
use super::policy::eui64;
use super::time::Time;
use crate::wire::group_suffix;

/// Leads that are still to be followed, in the order in which they came.
#[derive(Debug, Default)]
pub struct Leads {
    queue: VecDeque<Lead>,
}

/// Somebody there listens to the group of the addresses that end like this.
#[derive(Debug, Clone, Copy)]
pub struct Lead {
    /// On this link.
    pub link: IfIndex,
    /// Who says so.
    pub reporter: Reporter,
    /// The low 24 bits of the addresses.
    pub suffix: u32,
    /// It is not looked at before.
    at: Time,
    /// It may be put off so often.
    left: u8,
}

impl Leads {
    /// One more. Where there are too many it is not kept: then the first question finds the guest.
    pub fn add(&mut self, link: IfIndex, reporter: Reporter, suffix: u32, now: Time) {
        if self.queue.len() < MOST {
            self.queue.push_back(Lead { link, reporter, suffix, at: now, left: PATIENCE });
        }
    }

    /// When the first is to be followed.
    pub fn next_due(&self) -> Option<Time> {
        self.queue.front().map(|lead| lead.at)
    }

    /// The first, if it is to be followed by now.
    pub fn first(&self, now: Time) -> Option<Lead> {
        self.queue.front().filter(|lead| lead.at <= now).copied()
    }

    /// The first has been followed.
    pub fn done(&mut self) {
        self.queue.pop_front();
        if self.queue.is_empty() {
            // Thousands may have come at the start, and never again.
            self.queue = VecDeque::new();
        }
    }

    /// The first cannot be followed at its link yet. After some seconds it is given up.
    pub fn put_off(&mut self, now: Time) {
        let Some(lead) = self.queue.pop_front() else { return };
        if let Some(left) = lead.left.checked_sub(1) {
            self.queue.push_back(Lead { at: now + PAUSE, left, ..lead });
        }
    }

    /// None can be followed now.
    pub fn wait(&mut self, now: Time) {
        if let Some(lead) = self.queue.front_mut() {
            lead.at = now + PAUSE;
        }
    }

    /// None is to be followed any more.
    pub fn clear(&mut self) {
        self.queue = VecDeque::new();
    }
}

impl Lead {
    /// The address in this range that the guest most likely has: in a range of at most 24 bits the only one, in a /64
    /// the one that its MAC makes (SLAAC), else the one with nothing but zeros before its end.
    pub fn target_in(&self, range: Ipv6Net) -> Option<Ipv6Addr> {
        if let Reporter::Station(mac) = self.reporter
            && let Some(address) = eui64(range, mac)
            && group_suffix(address) == self.suffix
        {
            return Some(address);
        }
        let address = Ipv6Addr::from_bits(range.network().to_bits() & !SUFFIX | u128::from(self.suffix));
        range.contains(&address).then_some(address)
    }
}

/// The bits of an address that its group has.
const SUFFIX: u128 = 0xff_ffff;
/// As many are kept: what a bridge knows at most by default.
const MOST: usize = 4_096;
/// Until the next look at what could not be followed.
const PAUSE: Duration = Duration::from_millis(250);
/// So often, which makes five seconds: links that come up have an address by then.
const PATIENCE: u8 = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Mac;

    const LINK: IfIndex = IfIndex(3);
    const STATION: Reporter = Reporter::Station(Mac([0x52, 0x54, 0, 1, 2, 3]));
    const PORT: Reporter = Reporter::Port(IfIndex(4));

    fn target(range: &str, reporter: Reporter, suffix: u32) -> Option<String> {
        let lead = Lead { link: LINK, reporter, suffix, at: Time::ORIGIN, left: 0 };
        lead.target_in(range.parse().expect("a prefix")).map(|address| address.to_string())
    }

    #[test]
    fn in_a_small_range_the_end_of_an_address_is_all_of_it() {
        let expected = |text: &str| Some(text.to_owned());
        assert_eq!(target("2001:db8::c:0:0:0/112", PORT, 0x00_1234), expected("2001:db8::c:0:0:1234"));
        assert_eq!(target("2001:db8::c:0:0:0/112", STATION, 0x01_0203), None, "another byte before its end");
        assert_eq!(target("2001:db8::c:0:1:0/112", STATION, 0x01_0203), expected("2001:db8::c:0:1:203"));
        assert_eq!(target("2001:db8::c:0:0:0/104", PORT, 0xff_ffff), expected("2001:db8::c:0:ff:ffff"));
        assert_eq!(target("2001:db8::7/128", PORT, 7), expected("2001:db8::7"));
        assert_eq!(target("2001:db8::7/128", PORT, 8), None);
    }

    #[test]
    fn in_a_wide_range_it_is_the_likeliest_one() {
        let expected = |text: &str| Some(text.to_owned());
        assert_eq!(target("2001:db8::/64", STATION, 0x01_0203), expected("2001:db8::5054:ff:fe01:203"));
        assert_eq!(target("2001:db8::/64", PORT, 0x01_0203), expected("2001:db8::1:203"));
        assert_eq!(target("2001:db8::/64", STATION, 5), expected("2001:db8::5"));
        assert_eq!(target("2001:db8:0:0:d0c::/80", STATION, 0x01_0203), expected("2001:db8::d0c:0:1:203"));
    }

    #[test]
    fn what_cannot_be_followed_comes_back_and_not_for_ever() {
        let mut leads = Leads::default();
        leads.add(LINK, PORT, 7, Time::ORIGIN);
        let mut now = Time::ORIGIN;
        let mut looks = 0;
        while let Some(due) = leads.next_due() {
            now = due;
            assert_eq!(leads.first(now).map(|lead| lead.suffix), Some(7));
            leads.put_off(now);
            looks += 1;
        }
        assert_eq!((looks, now), (21, Time::at(Duration::from_secs(5))));
    }

    #[test]
    fn those_that_wait_stay_in_their_order() {
        let mut leads = Leads::default();
        (0..3).for_each(|suffix| leads.add(LINK, PORT, suffix, Time::ORIGIN));
        leads.wait(Time::ORIGIN);
        assert!(leads.first(Time::ORIGIN).is_none());
        let later = leads.next_due().expect("they wait");
        let mut seen = Vec::new();
        while let Some(lead) = leads.first(later) {
            seen.push(lead.suffix);
            leads.done();
        }
        assert_eq!((seen, leads.next_due()), (vec![0, 1, 2], None));
        (0..10_000).for_each(|suffix| leads.add(LINK, PORT, suffix, Time::ORIGIN));
        assert_eq!(leads.queue.len(), MOST);
    }
}
