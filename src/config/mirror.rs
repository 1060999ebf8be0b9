//! The mirror of the file: every value with its place, nothing yet compared with anything else.
//!
//! May touch: nothing. The rooms that read (`file`, `tables`) fill it, and the one that judges
//! (`validate`) takes it.

use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;

use super::configuration::{Control, Log, Sysctl};
use super::downstreams::Downstreams;
use super::problem::Place;
use super::section::Field;
use super::written::Written;
use crate::engine::facts::IfName;
use crate::engine::policy::{
    Announce, Answer, Backend, GatewaySource, IfPattern, Limits, Mld, ON_CRASH_ANSWER, Override, RangeRoutes,
    RoutePolicy, Source, Timers,
};
use crate::wire::Mac;

/// A whole file, or several as one.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Of each table that is there once.
    pub(super) written: HashMap<&'static str, Written>,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) ranges: Vec<Range>,
    pub(super) guests: Vec<Guest>,
    pub(super) routes: RoutePolicy,
    pub(super) timers: Timers,
    pub(super) limits: Limits,
    pub(super) sysctl: Sysctl,
    pub(super) control: Control,
    pub(super) nft_sets: bool,
    pub(super) log: Log,
}

/// One `[[upstream]]`.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub(super) place: Place,
    pub(super) written: Written,
    pub(super) interface: Field<IfName>,
    pub(super) automatic: Field<bool>,
    pub(super) ignore: Field<Vec<IfPattern>>,
    pub(super) router: bool,
    pub(super) override_flag: Override,
    pub(super) source: Source,
    pub(super) announce: Announce,
    pub(super) gateway_source: GatewaySource,
    pub(super) mld: Mld,
    pub(super) suppress_kernel: bool,
    pub(super) backend: Backend,
    pub(super) on_crash_answer: Duration,
}

/// One `[[range]]`.
#[derive(Debug, Clone)]
pub(super) struct Range {
    pub(super) place: Place,
    pub(super) written: Written,
    pub(super) prefix: Field<Ipv6Net>,
    pub(super) suffix: Field<Ipv6Net>,
    pub(super) upstream: Field<IfName>,
    pub(super) interface: Field<Downstreams>,
    pub(super) answer: Field<Answer>,
    pub(super) routes: Field<RangeRoutes>,
    pub(super) backstop: bool,
    pub(super) gateway: Field<Ipv6Addr>,
    pub(super) exclude: Field<Vec<(Ipv6Net, Place)>>,
    pub(super) proxy_downstream: Field<bool>,
    pub(super) guard: Field<bool>,
    pub(super) standby: Field<bool>,
}

/// `addresses` of a guest.
#[derive(Debug, Clone)]
pub(super) enum Addresses {
    Listed(Vec<(Ipv6Addr, Place)>),
    Eui64,
}

/// One `[[guest]]`.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub(super) place: Place,
    pub(super) written: Written,
    pub(super) name: Field<String>,
    pub(super) mac: Field<Mac>,
    pub(super) interface: Field<IfName>,
    pub(super) addresses: Field<Addresses>,
    pub(super) delegate: Field<Vec<(Ipv6Net, Place)>>,
    pub(super) pin: Field<bool>,
    pub(super) guard: Field<bool>,
}

impl Upstream {
    /// With the default for everything.
    pub(super) fn new(place: Place, interface: Field<IfName>) -> Self {
        Self {
            place,
            written: Written::default(),
            interface,
            automatic: Field::Absent,
            ignore: Field::Absent,
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

impl Range {
    /// With the default for everything.
    pub(super) fn new(place: Place, prefix: Field<Ipv6Net>, interface: Field<Downstreams>) -> Self {
        Self {
            place,
            written: Written::default(),
            prefix,
            suffix: Field::Absent,
            upstream: Field::Absent,
            interface,
            answer: Field::Absent,
            routes: Field::Absent,
            backstop: true,
            gateway: Field::Absent,
            exclude: Field::Absent,
            proxy_downstream: Field::Absent,
            guard: Field::Absent,
            standby: Field::Absent,
        }
    }
}
