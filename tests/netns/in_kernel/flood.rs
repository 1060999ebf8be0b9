//! Questions without a pause, each by an asker of its own: so each answer is told from every other.

use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::endpoint::{Endpoint, PATIENCE};
use crate::frame::{ADVERTISEMENT, address, target_of};
use crate::lab::{Lab, ROUTER};
use crate::solicitation::{Asker, Solicitation};

/// A router that asks and asks.
pub(crate) struct Flood<'a> {
    router: Endpoint,
    /// Each question for these has to be answered.
    stable: &'a [Ipv6Addr],
    /// Those for these may be.
    fickle: &'a [Ipv6Addr],
    /// Which target each asker has asked for, and whether it was answered.
    asked: HashMap<Ipv6Addr, (Ipv6Addr, bool)>,
}

impl<'a> Flood<'a> {
    pub(crate) fn open(lab: &Lab, stable: &'a [Ipv6Addr], fickle: &'a [Ipv6Addr]) -> Self {
        Self { router: Endpoint::open(&lab.router, "rt0"), stable, fickle, asked: HashMap::new() }
    }

    /// Asks until it is over: a round, and the next when all of it is answered that has to be. No question is answered
    /// twice. How many of those that may be answered were, and how many were not.
    pub(crate) fn until(mut self, is_over: &AtomicBool) -> (u32, u32) {
        while !is_over.load(Ordering::Relaxed) {
            for target in self.stable.iter().chain(self.fickle) {
                let number = u32::try_from(self.asked.len()).unwrap();
                let address = Ipv6Addr::from_bits(0xfe80_0000_0000_0000_0002 << 48 | u128::from(number));
                self.asked.insert(address, (*target, false));
                self.router.send(&Solicitation::multicast(Asker { address, ..ROUTER }, *target).frame());
            }
            let mut left = self.stable.len();
            let (asked, stable) = (&mut self.asked, self.stable);
            self.router.receive_until("an answer for every asker", PATIENCE, |frame| {
                left -= usize::from(heard(asked, stable, frame));
                (left == 0).then_some(())
            });
        }
        for frame in self.router.heard() {
            heard(&mut self.asked, self.stable, &frame);
        }
        let fickle = self.asked.values().filter(|(target, _)| self.fickle.contains(target));
        fickle.fold((0, 0), |(yes, no), (_, is_answered)| {
            (yes + u32::from(*is_answered), no + u32::from(!is_answered))
        })
    }
}

/// Whether the frame is an answer for one of those that have to be answered.
fn heard(asked: &mut HashMap<Ipv6Addr, (Ipv6Addr, bool)>, stable: &[Ipv6Addr], frame: &[u8]) -> bool {
    let Some(target) = target_of(frame, ADVERTISEMENT) else { return false };
    let Some((asked_for, is_answered)) = asked.get_mut(&address(frame, 38)) else { return false };
    assert_eq!(*asked_for, target);
    assert!(!*is_answered, "a second answer for {target}: {frame:02x?}");
    *is_answered = true;
    stable.contains(&target)
}
