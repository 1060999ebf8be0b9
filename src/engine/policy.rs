//! What the administrator asked for, in a form in which impossible states cannot be written.
//!
//! The configuration room makes these values from text; the engine only reads them. Names of
//! interfaces stay names here: the engine binds them to indices as links come and go.

mod backend;
mod guest;
mod limits;
mod mld;
mod provider;

use core::net::Ipv6Addr;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use super::facts::IfName;
pub use super::pattern::{IfPattern, ParseIfPatternError};
pub use backend::{Backend, ON_CRASH_ANSWER};
pub use guest::{GuestAddresses, GuestPolicy, eui64};
pub use limits::Limits;
pub use mld::{Mld, addresses_of, most_of_prefix};
pub use provider::{GatewaySource, Source};

/// Everything that the engine has to know about the administrator's wishes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Never empty: without any in the configuration, one that follows the default route.
    pub upstreams: Vec<UpstreamPolicy>,
    /// No two with the same prefix; a longer one inside a shorter one is allowed and wins.
    pub ranges: Vec<RangePolicy>,
    /// Each stands for a range in every /64 of an upstream: its prefix, and what it excludes, has 64
    /// zero bits where that /64 goes.
    pub suffixes: Vec<RangePolicy>,
    /// Where and how routes are installed.
    pub routes: RoutePolicy,
    /// How long things take.
    pub timers: Timers,
    /// How many there may be.
    pub limits: Limits,
    /// Guests with an identity. There may be thousands, and policies that differ in one.
    #[serde(default, with = "guest::shared")]
    pub guests: Vec<Arc<GuestPolicy>>,
    /// Whether live addresses and guests are kept as named sets of nftables.
    #[serde(default)]
    pub nft_sets: bool,
}

/// How solicitations that arrive on one upstream are answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamPolicy {
    /// Which interface this is.
    pub interface: UpstreamInterface,
    /// Whether the kernel's routes make ranges.
    pub automatic: Option<Automatic>,
    /// Where automatic is off: what becomes of the networks that it would serve.
    #[serde(default)]
    pub left_out: LeftOut,
    /// The R flag of answers (RFC 4861 §4.4).
    pub router: bool,
    /// When the O flag is set.
    pub override_flag: Override,
    /// Which IPv6 source answers carry.
    pub source: Source,
    /// What is sent of our own accord when a target becomes live or moves.
    pub announce: Announce,
    /// Who keeps the gateway's neighbor entry fresh.
    pub gateway_source: GatewaySource,
    /// What switches that snoop MLD are told.
    pub mld: Mld,
    /// Whether the kernel is kept from seeing unicast solicitations for our ranges.
    pub suppress_kernel: bool,
    /// What answers.
    #[serde(default)]
    pub backend: Backend,
    /// How long a program in the kernel goes on answering for each guest without a daemon. Zero: not at all.
    #[serde(default = "on_crash_answer")]
    pub on_crash_answer: Duration,
}

fn on_crash_answer() -> Duration {
    ON_CRASH_ANSWER
}

impl UpstreamPolicy {
    /// With the default for everything.
    pub fn new(interface: UpstreamInterface) -> Self {
        Self {
            interface,
            automatic: None,
            left_out: LeftOut::default(),
            router: false,
            override_flag: Override::default(),
            source: Source::default(),
            announce: Announce::default(),
            gateway_source: GatewaySource::default(),
            mld: Mld::default(),
            suppress_kernel: false,
            backend: Backend::default(),
            on_crash_answer: ON_CRASH_ANSWER,
        }
    }
}

/// The kernel's routes make ranges: every prefix that it routes to another interface, and that lies
/// inside an on-link prefix of the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Automatic {
    /// Interfaces that are left alone.
    pub ignore: Vec<IfPattern>,
}

/// What becomes of networks that automatic would serve, where it is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LeftOut {
    /// They are named: a range that is written turns automatic off, and that is easily overlooked.
    #[default]
    Named,
    /// Nothing is said of them: automatic was turned off in so many words.
    OnPurpose,
}

/// What is sent of our own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Announce {
    /// Unsolicited advertisements, and a solicitation for the gateway from the target's address.
    #[default]
    Yes,
    /// These, and a solicitation like that of Duplicate Address Detection, for access switches that
    /// learn from nothing else.
    Dad,
    /// As `Yes`, and each again after this long, for switches and routers that age entries out.
    Every(Duration),
    /// Nothing.
    No,
}

impl Announce {
    /// The shortest period.
    pub const SHORTEST: Duration = Duration::from_secs(10);

    /// The period at which everything is announced again, if that is wanted.
    pub const fn period(self) -> Option<Duration> {
        match self {
            Self::Every(period) => Some(period),
            Self::Yes | Self::Dad | Self::No => None,
        }
    }
}

/// How an upstream is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpstreamInterface {
    /// Every interface that an IPv6 default route leaves by.
    DefaultRoute,
    /// The interface of this name.
    Named(IfName),
}

/// The O flag of advertisements (RFC 4861 §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Override {
    /// 0 in answers, so that a real owner on the link wins; 1 in announcements.
    #[default]
    Takeover,
    /// Always 1.
    Always,
    /// Always 0.
    Never,
}

/// A prefix that is answered for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangePolicy {
    /// Without host bits.
    pub prefix: Ipv6Net,
    /// The upstream to answer on; `None`: the one whose on-link prefix covers it, else the only one.
    pub upstream: Option<IfName>,
    /// Where the guests are.
    pub downstream: Downstream,
    /// For which targets there are answers.
    pub answer: Answer,
    /// Which routes are kept in the kernel.
    pub routes: RangeRoutes,
    /// Whether these are what the administrator wrote. If not, a range that is all of an upstream's link has a /128 for
    /// each guest instead of one route.
    #[serde(default)]
    pub has_written_routes: bool,
    /// Whether an `unreachable` route for the whole range is kept, so that nothing leaks upstream.
    pub backstop: bool,
    /// The guests' gateway: a link-local address that is kept on every downstream.
    pub gateway: Option<Ipv6Addr>,
    /// Never answered; each inside `prefix`.
    pub exclude: Vec<Ipv6Net>,
    /// Whether guests are answered on their own link for who is not there (RFC 4389).
    pub proxy_downstream: bool,
    /// Whether guests with an identity in it are held to their own addresses.
    #[serde(default)]
    pub guard: bool,
    /// Whether only what is claimed of it is answered for: another host has it meanwhile.
    #[serde(default)]
    pub standby: bool,
    /// Where it comes from.
    pub origin: Origin,
}

impl RangePolicy {
    /// Whether its addresses may be translated, or be behind an IPsec policy: all of them are answered for, and there
    /// is no interface.
    pub fn may_be_translated(&self) -> bool {
        self.answer == Answer::Always && self.downstream == Downstream::Kernel
    }

    /// Its guests are on the upstream's own bridge. The bridge's own route leads to them already; and the guests are on
    /// one link with the router, so that there is nothing to shield it from, nor its address to be put there, nor
    /// anybody to answer for to them.
    pub fn share_the_upstream(&mut self) {
        if self.routes == RangeRoutes::Range {
            self.routes = RangeRoutes::None;
        }
        self.backstop = false;
        self.gateway = None;
        self.proxy_downstream = false;
    }
}

/// Where a range comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The configuration.
    Config,
    /// The configuration has its suffix, and an upstream its /64.
    Suffix,
    /// The kernel's routes.
    Automatic,
}

impl Origin {
    /// The name in events and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Suffix => "suffix",
            Self::Automatic => "automatic",
        }
    }
}

/// Behind what the guests of a range live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Downstream {
    /// Wherever the kernel's own routes lead, unless that is an upstream.
    Kernel,
    /// The interface of this name; `lo` means that the host owns the whole range.
    Named(IfName),
    /// Every interface whose name matches one of these; each target is on one of them.
    Matching(Vec<IfPattern>),
}

/// As people write it.
impl fmt::Display for Downstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.pad("the kernel's routes"),
            Self::Named(name) => name.fmt(f),
            Self::Matching(patterns) => {
                let patterns: Vec<_> = patterns.iter().map(IfPattern::as_str).collect();
                f.pad(&patterns.join(", "))
            }
        }
    }
}

/// For which targets of a range there are answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Only for targets that exist.
    Live,
    /// For every address of the range.
    Always,
    /// For none: the range has routes only.
    Never,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Live => "live",
            Self::Always => "always",
            Self::Never => "never",
        })
    }
}

/// Which routes a range keeps in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RangeRoutes {
    /// One for the whole range, to its downstream.
    Range,
    /// One for each live target, to the downstream that it is on.
    Guests,
    /// None.
    None,
}

impl fmt::Display for RangeRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Range => "range",
            Self::Guests => "guests",
            Self::None => "none",
        })
    }
}

/// Where and how routes are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutePolicy {
    /// `rtm_protocol`: what marks a route as ours.
    pub protocol: u8,
    /// The table's number; 254 is `main`.
    pub table: u32,
    /// Below 2^24, because FRR reads the top byte as its distance. The backstop's is
    /// [`RoutePolicy::BACKSTOP_METRIC`].
    pub metric: u32,
    /// What happens to our routes on exit.
    pub on_stop: OnStop,
}

impl RoutePolicy {
    /// Behind every other route for the same prefix that somebody could have installed.
    pub const BACKSTOP_METRIC: u32 = (1 << 24) - 1;

    /// Whether routes of both look the same in the kernel.
    pub fn looks_like(&self, other: &Self) -> bool {
        (self.protocol, self.table, self.metric) == (other.protocol, other.table, other.metric)
    }
}

impl Default for RoutePolicy {
    fn default() -> Self {
        Self { protocol: 64, table: 254, metric: 1024, on_stop: OnStop::Remove }
    }
}

/// What happens to our routes on exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnStop {
    /// They are removed.
    #[default]
    Remove,
    /// They stay, and the next start adopts them.
    Keep,
}

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timers {
    /// Knowledge older than this is confirmed behind the answer.
    pub reachable: Duration,
    /// Between two probes for one target (RFC 4861 §10, RETRANS_TIMER).
    pub retransmit: Duration,
    /// Probes without a reply before a target is absent (RFC 4861 §10, MAX_MULTICAST_SOLICIT).
    pub retries: u8,
    /// How long a target stays absent without a sign of life.
    pub absent: Duration,
    /// A live target that nobody asks for is confirmed this often.
    pub keepalive: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            reachable: Duration::from_secs(30),
            retransmit: Duration::from_secs(1),
            retries: 3,
            absent: Duration::from_secs(3),
            keepalive: Duration::from_secs(60),
        }
    }
}
