//! What is known of a target, and how that changes.

use core::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use crate::engine::asker::Asker;
use crate::engine::facts::IfIndex;
use crate::engine::time::Time;
use crate::wire::Mac;

/// What is known of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It exists.
    Live(Live),
    /// It is being asked for the first time, or after an absence.
    Probing(Probing),
    /// It did not reply a moment ago.
    Absent,
}

/// A target that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// The link that it is on.
    pub link: IfIndex,
    /// Its link-layer address, where it is known.
    pub mac: Option<Mac>,
    /// What was seen of it last.
    pub evidence: Evidence,
    /// Whether anything but its own word speaks for it, where it is now.
    pub proof: Proof,
    /// Whether it was proved since it is live, there or behind another downstream before.
    pub was_proved: bool,
    /// Since when it is live, behind whatever downstream; to some hundredths of a second.
    pub since: Time,
    /// When it was seen last.
    pub seen: Time,
    /// How many probes have gone out since, unanswered.
    pub unanswered: u8,
    /// A station behind another downstream says that it has the address now.
    pub claim: Option<Claim>,
}

/// Whether a target that says that it exists has been asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// It has announced itself; anybody on its downstream could have done that.
    Announced,
    /// It has replied to a question, or the kernel found it.
    Replied,
}

/// A station behind another downstream says that it has the address of a live target now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Where it was heard.
    pub link: IfIndex,
    /// Its link-layer address.
    pub mac: Mac,
    /// How it was heard.
    pub evidence: Evidence,
}

/// A target that may exist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probing {
    /// How many more rounds of questions begin.
    pub left: u8,
    /// How many of its links have been asked in this round; the rest follow as the limit allows.
    pub asked: usize,
    /// How many probes it has cost so far.
    pub spent: u32,
    /// How often in a row there was no probe to begin or go on with.
    pub starved: u8,
    /// Whose share of the probes it counts for.
    pub share: usize,
    /// Who waits for the answer.
    pub askers: Vec<Asker>,
}

/// What showed that a target is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// It replied to a probe, or advertised itself.
    Probe,
    /// It asked for something from its address, or the kernel's neighbor table has it.
    Neighbor,
    /// It checked that nobody else has its address.
    Dad,
    /// A predecessor of this process knew it, and left its route.
    Route,
    /// The administrator's `[[guest]]` says so.
    Guest,
    /// It was claimed.
    Claim,
}

/// What the upstream's link says of who has an address there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owner {
    /// It was not asked.
    #[default]
    Unknown,
    /// It is being asked, or will be.
    Asked,
    /// It was asked, and nobody has said anything.
    Nobody,
}

/// What was heard of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// On which link.
    pub link: IfIndex,
    /// The station that it comes from.
    pub mac: Mac,
    /// What it was.
    pub sign: Sign,
}

/// A sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It advertised itself: the reply to a probe, or not.
    Advertised,
    /// It asked for something else.
    Asked,
    /// It asks whether anybody has its address.
    Dad,
    /// The kernel has found it.
    Found,
    /// The kernel found it some time ago.
    WasFound,
}

/// One change of what is known of a target: the only way to learn of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The target.
    pub target: Ipv6Addr,
    /// What it was.
    pub before: Standing,
    /// What it is.
    pub after: Standing,
    /// Why.
    pub why: Why,
}

/// What a target is, as far as anything follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Nothing is known of it.
    Unknown,
    /// It did not reply a moment ago.
    Absent,
    /// It is being asked.
    Probing,
    /// It exists.
    Live(Place),
}

/// Where a live target is, and how well that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The link that it is on.
    pub link: IfIndex,
    /// Its link-layer address, where it is known.
    pub mac: Option<Mac>,
    /// What was seen of it last.
    pub evidence: Evidence,
    /// Whether anything but its own word speaks for it, where it is now.
    pub proof: Proof,
    /// Whether it was proved since it is live.
    pub was_proved: bool,
}

/// Why a target changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Somebody asked for it.
    Asked,
    /// Something was heard of it.
    Heard,
    /// It replied behind another downstream, and no more behind the one before.
    Moved,
    /// A predecessor of this process left its route.
    Inherited,
    /// The administrator says so, or a claim.
    Vouched,
    /// A claim of it was released, or is over.
    Released,
    /// Probes went unanswered.
    Unanswered,
    /// It has been absent for long enough.
    Forgotten,
    /// Its link is down or gone.
    Downstream,
    /// It had to make room.
    NoRoom,
    /// The policy does not serve it there any more.
    Policy,
    /// The host itself has its address now.
    Host,
    /// The provider's router has its address.
    Router,
    /// It is known to be somewhere else: a neighbor on the upstream turned out to be a guest, or the other
    /// way round.
    Elsewhere,
}

impl Transition {
    /// Where it was live.
    pub fn was(&self) -> Option<Place> {
        self.before.live()
    }

    /// Where it is live.
    pub fn is(&self) -> Option<Place> {
        self.after.live()
    }
}

impl Standing {
    /// Where it is live, if it is.
    pub fn live(self) -> Option<Place> {
        match self {
            Self::Live(place) => Some(place),
            Self::Unknown | Self::Absent | Self::Probing => None,
        }
    }
}

impl Place {
    /// True for one that has been proved, where it is now.
    pub fn is_proved(&self) -> bool {
        self.proof == Proof::Replied
    }
}

impl Live {
    /// What follows from it.
    pub fn place(&self) -> Place {
        let Self { link, mac, evidence, proof, was_proved, .. } = *self;
        Place { link, mac, evidence, proof, was_proved }
    }

    /// True for one that is neither being asked nor claimed elsewhere.
    pub fn is_idle(&self) -> bool {
        self.unanswered == 0 && self.claim.is_none()
    }
}

impl State {
    /// What follows from it.
    pub fn standing(&self) -> Standing {
        match self {
            Self::Live(live) => Standing::Live(live.place()),
            Self::Probing(_) => Standing::Probing,
            Self::Absent => Standing::Absent,
        }
    }
}

impl Evidence {
    /// What an entry has room for. Of the administrator's word there is more where that is kept.
    pub(super) fn stored(self) -> Self {
        match self {
            Self::Guest | Self::Claim => Self::Route,
            heard => heard,
        }
    }

    /// The name in events and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Neighbor => "neighbor",
            Self::Dad => "dad",
            Self::Route => "route",
            Self::Guest => "guest",
            Self::Claim => "claim",
        }
    }
}

impl Sign {
    /// What it is worth as evidence.
    pub fn evidence(self) -> Evidence {
        match self {
            Self::Advertised => Evidence::Probe,
            Self::Asked | Self::Found | Self::WasFound => Evidence::Neighbor,
            Self::Dad => Evidence::Dad,
        }
    }

    /// What it proves, if the target was asked or was not.
    pub fn proof(self, was_asked: bool) -> Proof {
        match self {
            Self::Found => Proof::Replied,
            Self::Advertised if was_asked => Proof::Replied,
            Self::Advertised | Self::Asked | Self::Dad | Self::WasFound => Proof::Announced,
        }
    }
}

impl Claim {
    /// The same as it was heard.
    pub fn heard(&self) -> Heard {
        let sign = match self.evidence {
            Evidence::Probe => Sign::Advertised,
            Evidence::Neighbor | Evidence::Route | Evidence::Guest | Evidence::Claim => Sign::Asked,
            Evidence::Dad => Sign::Dad,
        };
        Heard { link: self.link, mac: self.mac, sign }
    }
}

/// The administrator's word for a target: where it is, by which evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouched {
    /// The link that it is on.
    pub link: IfIndex,
    /// Its link-layer address, where that is known.
    pub mac: Option<Mac>,
    /// [`Evidence::Guest`] or [`Evidence::Claim`].
    pub evidence: Evidence,
}

impl Heard {
    /// As a claim to an address that another has.
    pub fn claim(&self) -> Claim {
        Claim { link: self.link, mac: self.mac, evidence: self.sign.evidence() }
    }
}
