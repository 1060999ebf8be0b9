//! One target of which it is found out whether the provider admits it: questions from its address and from the
//! host's own, at the same moment.

use core::net::Ipv6Addr;

use crate::engine::facts::IfIndex;
use crate::engine::time::Time;

/// How far it has come with one target.
#[derive(Debug)]
pub struct Exam {
    pub link: IfIndex,
    pub due: Time,
    pub stage: Stage,
    pub occasion: Occasion,
    /// The duplicate address detection has been sent, so that a switch knows the target.
    pub is_bound: bool,
    /// In how many rounds the host was answered, and the target was not.
    proofs: u8,
    routers: Vec<Router>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The routers are asked.
    Ask,
    /// They were asked at that moment, and what they have answered is looked at.
    Look(Time),
}

/// Why it is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The target is new.
    New,
    /// It was admitted before.
    Lost,
    /// It was not, and that may be over.
    Again,
}

#[derive(Debug, Clone, Copy)]
struct Router {
    address: Ipv6Addr,
    /// It has answered the target in this round.
    hears: bool,
}

/// What a round comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Every router that answers the host answers the target.
    Admitted,
    /// A router answers the host alone: the target is made known once more.
    Bind,
    /// The same once more, to be sure.
    Ask,
    /// That has not helped with this router.
    Refused(Ipv6Addr),
    /// No router answers anybody.
    Silent,
}

impl Exam {
    /// One that begins now. `routers` are those of its upstream.
    pub fn new(link: IfIndex, occasion: Occasion, routers: Vec<Ipv6Addr>, now: Time) -> Self {
        let routers = routers.into_iter().take(MOST_ROUTERS).map(|address| Router { address, hears: false });
        Self {
            link,
            due: now,
            stage: Stage::Ask,
            occasion,
            is_bound: false,
            proofs: if occasion == Occasion::Again { PROOFS - 1 } else { 0 },
            routers: routers.collect(),
        }
    }

    /// The routers that are asked. A new round begins.
    pub fn begin_round(&mut self, until: Time, now: Time) -> Vec<Ipv6Addr> {
        (self.stage, self.due) = (Stage::Look(now), until);
        self.routers.iter_mut().for_each(|router| router.hears = false);
        self.routers.iter().map(|router| router.address).collect()
    }

    /// This router has answered the target.
    pub fn heard(&mut self, router: Ipv6Addr) {
        let known = self.routers.iter_mut().filter(|known| known.address == router);
        known.for_each(|known| known.hears = true);
    }

    /// What the round has come to. `hears_host` says whether a router has answered the host meanwhile.
    pub fn look(&mut self, hears_host: impl Fn(Ipv6Addr) -> bool) -> Finding {
        let refusing = self.routers.iter().find(|router| !router.hears && hears_host(router.address));
        match refusing {
            Some(router) => {
                self.proofs += 1;
                match self.proofs {
                    PROOFS.. => Finding::Refused(router.address),
                    _ if self.is_bound => Finding::Ask,
                    _ => Finding::Bind,
                }
            }
            None if self.routers.iter().any(|router| router.hears) => Finding::Admitted,
            None => Finding::Silent,
        }
    }
}

/// Two answers may be lost.
const PROOFS: u8 = 3;
/// As many routers of one upstream are asked.
const MOST_ROUTERS: usize = 4;
