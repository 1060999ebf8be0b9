//! What the engine asks of the kernel, under way, and what became of it: routes, addresses, neighbor entries,
//! groups, and the table of nftables. Every kind has an outcome that goes back to the engine.

mod complaints;

use std::collections::{BTreeSet, VecDeque};
use std::io;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesOrdered, FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::Error;
use super::error::describe;
use super::exports::{Exports, News as ExportNews};
use super::guards::{Guards, News as GuardNews};
use super::programs::{self, Ended, News as ProgramNews, Programs};
use super::suppressor::{News, Suppressor};
use super::turn::Turn;
use crate::engine::facts::IfIndex;
use crate::engine::policy::Policy;
use crate::engine::{
    AddressChange, AddressOutcome, Change, House, Input, Links, NeighborChange, Outcome, Output, Time,
};
use crate::kernel::netlink::{NetlinkError, Requests, RouteError};
use crate::kernel::nft::NftError;

/// Changes that are under way.
pub(super) struct Effects {
    requests: Requests,
    /// Routes and addresses, in the order in which the kernel takes them.
    changes: FuturesOrdered<BoxFuture<'static, Done>>,
    /// They have been many: room for so many is not needed for long.
    have_been_many: bool,
    neighbors: FuturesUnordered<BoxFuture<'static, Done>>,
    programs: Programs,
    /// What waits until a program is in its place, or gone: no route of a guest goes that is answered for.
    held: VecDeque<Output>,
    /// Outcomes of what was done at once.
    ready: Vec<Input>,
    suppressor: Suppressor,
    guards: Guards,
    exports: Exports,
    failure: Option<Error>,
    mode: Mode,
    /// What has failed and was told of.
    complaints: BTreeSet<Object>,
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A missing privilege is the reason not to start. Everything else can heal: it is as later.
    Starting,
    /// It is told, and what asked for it tries again.
    Serving,
    /// Something is left in the kernel.
    Leaving,
}

/// Something that has ended, and the kernel's verdict.
pub(super) enum Done {
    Route(Change, Result<(), RouteError>),
    Address(AddressChange, AddressOutcome),
    Neighbor(NeighborChange, Result<(), NetlinkError>),
    Ears(Vec<(IfIndex, io::Result<()>)>),
    Suppression(News),
    Guards(GuardNews),
    Exports(ExportNews),
    Program(Ended),
    Outcomes(Vec<Input>),
}

/// What a failure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Object {
    Ear(IfIndex),
    Table,
    GuardTables,
    Program(IfIndex),
    Ranges(IfIndex),
    Guests(IfIndex),
}

impl Effects {
    pub(super) fn new(requests: Requests) -> Self {
        Self {
            changes: FuturesOrdered::new(),
            have_been_many: false,
            neighbors: FuturesUnordered::new(),
            programs: Programs::new(requests.clone()),
            held: VecDeque::new(),
            ready: Vec::new(),
            suppressor: Suppressor::default(),
            guards: Guards::default(),
            exports: Exports::default(),
            failure: None,
            mode: Mode::Starting,
            complaints: BTreeSet::new(),
            requests,
        }
    }

    /// How far the daemon's life has come.
    pub(super) fn enter(&mut self, mode: Mode) {
        self.mode = mode;
        if mode == Mode::Serving {
            self.suppressor.sweep();
            self.guards.sweep();
            self.exports.sweep();
            self.programs.sweep();
        }
    }

    /// The first failure that there is no way around.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// At the time `now`.
    pub(super) fn carry_out(&mut self, effect: Output, house: &House, now: Time) {
        match effect {
            Output::ChangeRoute(_) | Output::ChangeAddress(_) if self.programs.is_changing() => {
                self.held.push_back(effect);
            }
            other => self.carry_out_now(other, house.written().limits.targets, now),
        }
    }

    /// What has waited for programs, if it need not wait any more.
    pub(super) fn release(&mut self, now: Time) {
        if !self.programs.is_changing() {
            std::mem::take(&mut self.held).into_iter().for_each(|effect| self.carry_out_now(effect, 0, now));
        }
    }

    /// Programs have room for so many targets.
    fn carry_out_now(&mut self, effect: Output, targets: usize, now: Time) {
        match effect {
            // The request is queued here, so that the order of the changes is the kernel's order.
            Output::ChangeRoute(change) => {
                let under_way: BoxFuture<'static, Result<(), RouteError>> = match &change {
                    Change::Add(route) => Box::pin(self.requests.add_route(route)),
                    Change::Remove(route) => Box::pin(self.requests.remove_route(route)),
                };
                self.changes.push_back(Box::pin(async move { Done::Route(change, under_way.await) }));
            }
            Output::ChangeAddress(change) => {
                let under_way = self.requests.change_address(&change);
                self.changes.push_back(Box::pin(async move { Done::Address(change, under_way.await) }));
            }
            Output::ChangeNeighbor(change) => {
                let under_way = self.requests.change_neighbor(&change);
                self.neighbors.push(Box::pin(async move { Done::Neighbor(change, under_way.await) }));
            }
            Output::Suppress(suppressions) => self.suppressor.ask(suppressions),
            Output::Guard(guards) => self.guards.ask(guards),
            Output::Export(changes) => self.exports.ask(changes),
            Output::ExportEnds => self.exports.end(),
            // Frames, and what is the loop's own affair.
            Output::Advertise(..)
            | Output::Solicit(..)
            | Output::Report(..)
            | Output::Query(..)
            | Output::AdvertiseRouter(..) => {}
            Output::Listen(..) | Output::Unlisten(_) => {}
            Output::HearNewcomers(_) | Output::HearArrivals(_) => {}
            Output::Program(link, program) => self.programs.ask(link, program, targets),
            Output::Mirror(link, guests) => {
                let (outcomes, refusal) = self.programs.mirror(link, guests, now);
                self.ready.extend(outcomes);
                match refusal {
                    None => self.succeeded(Object::Guests(link)),
                    Some(refusal) => self.failed(Object::Guests(link), Error::Guests(link, refusal)),
                }
            }
            Output::MirrorRanges(link, ranges) => {
                let (outcome, refusal) = self.programs.mirror_ranges(link, &ranges, now);
                self.ready.push(outcome);
                match refusal {
                    None => self.succeeded(Object::Ranges(link)),
                    Some(refusal) => self.failed(Object::Ranges(link), Error::Ranges(link, refusal)),
                }
            }
            Output::Event(_) | Output::Resync => {}
            Output::Remember(_) | Output::RememberClaims(_) => {}
        }
    }

    /// Whether something is under way that a start waits for.
    pub(super) fn is_busy(&self) -> bool {
        self.owes_routes() || self.suppressor.is_busy() || self.guards.is_busy()
    }

    /// Whether something is under way that an exit waits for.
    pub(super) fn is_giving_back(&self) -> bool {
        self.owes_routes() || self.suppressor.is_busy() || self.guards.is_busy() || self.exports.is_ending()
    }

    /// Whether the kernel has not answered yet for a route, an address or a neighbor entry; or a program, behind which
    /// they come.
    pub(super) fn owes_routes(&self) -> bool {
        !self.changes.is_empty() || !self.neighbors.is_empty() || self.programs.is_changing()
    }

    /// Removes the programs that a predecessor has left, where none is wanted. Otherwise the new ones come first.
    pub(super) async fn sweep_programs(&self, policy: &Policy) {
        if !policy.upstreams.iter().any(|upstream| upstream.backend.wants_program()) {
            programs::sweep(BTreeSet::new(), self.requests.clone()).await;
        }
    }

    /// No daemon looks after the programs that stay.
    pub(super) fn depart(&mut self) {
        self.programs.depart();
    }

    /// Looks after the programs, if it is time. When it is to be done again.
    pub(super) fn look(&mut self, now: Instant, turn: &Turn) -> Option<Instant> {
        if self.programs.look(now) {
            turn.look();
        }
        self.programs.due()
    }

    /// The next one that has ended. Cancel-safe.
    pub(super) async fn next(&mut self) -> Done {
        if !self.ready.is_empty() {
            return Done::Outcomes(std::mem::take(&mut self.ready));
        }
        tokio::select! {
            ended = self.programs.next() => Done::Program(ended),
            Some(done) = self.changes.next() => done,
            Some(done) = self.neighbors.next() => done,
            news = self.suppressor.news() => Done::Suppression(news),
            news = self.guards.news() => Done::Guards(news),
            news = self.exports.news() => Done::Exports(news),
        }
    }

    /// One more that has ended by now, of those of which there may be thousands. Never waits.
    pub(super) fn try_next(&mut self) -> Option<Done> {
        self.have_been_many |= self.changes.len() > MANY;
        let next = self.changes.next().now_or_never().flatten();
        if self.changes.is_empty() && std::mem::take(&mut self.have_been_many) {
            self.changes = FuturesOrdered::new();
        }
        next
    }

    /// What has ended, as the engine takes it. The house is for what is told.
    pub(super) fn outcomes(&mut self, done: Done, house: &House, now: Time) -> Vec<Input> {
        let links = house.links();
        match done {
            Done::Outcomes(outcomes) => outcomes,
            Done::Program(ended) => self.program(ended, links, now),
            Done::Route(change, result) => vec![self.route(change, result, links)],
            Done::Address(change, outcome) => vec![Input::AddressChanged(change, outcome)],
            Done::Neighbor(change, result) => vec![neighbor(change, result)],
            Done::Ears(tuned) => {
                tuned.into_iter().map(|(link, result)| self.tuned(link, result, house)).collect()
            }
            Done::Suppression(News::Changed(result)) => {
                let outcome = outcome(&result);
                match result {
                    Ok(()) => self.succeeded(Object::Table),
                    Err(error) => self.failed(Object::Table, Error::Suppress(error)),
                }
                vec![Input::SuppressionChanged(outcome)]
            }
            Done::Suppression(News::Lost) => {
                tracing::warn!("another program changed or removed the table ip6 lone64");
                vec![Input::SuppressionLost]
            }
            Done::Guards(news) => self.guarded(news),
            Done::Exports(ExportNews::Changed(result)) => vec![Input::ExportChanged(outcome(&result))],
            Done::Exports(ExportNews::Nothing) => Vec::new(),
            Done::Suppression(News::Nothing) => Vec::new(),
        }
    }

    fn guarded(&mut self, news: GuardNews) -> Vec<Input> {
        match news {
            GuardNews::Changed(keys, result) => {
                let outcome = outcome(&result);
                match result {
                    Ok(()) => self.succeeded(Object::GuardTables),
                    // Of everything else the engine tells.
                    Err(error) if self.mode != Mode::Leaving && !matches!(error, NftError::Denied(..)) => {}
                    Err(error) => self.failed(Object::GuardTables, Error::Suppress(error)),
                }
                vec![Input::GuardChanged(keys, outcome)]
            }
            GuardNews::Lost => {
                tracing::warn!(
                    "another program changed or removed the tables lone64_guard; they are put back"
                );
                vec![Input::GuardLost]
            }
            GuardNews::Dropped(dropped) => vec![Input::GuardDropped(dropped)],
            GuardNews::Nothing => Vec::new(),
        }
    }

    fn route(&mut self, change: Change, result: Result<(), RouteError>, links: &Links) -> Input {
        let outcome = match (&change, result) {
            (_, Ok(())) | (Change::Remove(_), Err(RouteError::Missing)) => Outcome::Done,
            (Change::Add(_), Err(RouteError::Exists)) => Outcome::Exists,
            (Change::Add(route) | Change::Remove(route), Err(source)) => {
                let said = source.to_string();
                let error = Error::Route { route: describe(route, links), source };
                // Of everything else the engine tells.
                if self.mode == Mode::Starting && error.is_of_privilege() {
                    self.failure.get_or_insert(error);
                }
                Outcome::Failed(said)
            }
        };
        Input::RouteChanged(change, outcome)
    }

    fn program(&mut self, ended: Ended, links: &Links, now: Time) -> Vec<Input> {
        let (inputs, news) = self.programs.ended(ended, now);
        match news {
            None => {}
            Some(ProgramNews::Left(link, failure)) => {
                let error = Error::ProgramLeft { link: links.name(link), said: failure.to_string() };
                self.failed(Object::Program(link), error);
            }
            Some(ProgramNews::Lost(link)) if self.programs.tells_of_loss() => {
                let link = links.name(link);
                tracing::warn!("another program removed the program of lone64 from {link}; it is put back");
            }
            Some(ProgramNews::Lost(link)) => tracing::debug!(%link, "the program was removed again"),
        }
        inputs
    }

    fn tuned(&mut self, link: IfIndex, result: io::Result<()>, house: &House) -> Input {
        let outcome = outcome(&result);
        match result {
            Ok(()) => self.succeeded(Object::Ear(link)),
            // The engine hears of that in a moment.
            Err(error) if is_gone(&error) => tracing::debug!(%link, %error, "cannot listen on an interface"),
            Err(source) => {
                let error = Error::Listen { link: house.links().name(link), source };
                // Of an upstream the engine tells.
                let is_told = house.upstream_links().any(|upstream| upstream == link);
                if !is_told || self.mode == Mode::Starting && error.is_of_privilege() {
                    self.failed(Object::Ear(link), error);
                }
            }
        }
        Input::EarChanged(link, outcome)
    }
}

/// Changes of routes.
const MANY: usize = 1_024;

/// An entry that the kernel has made by itself meanwhile, or lost again, is no mistake.
fn neighbor(change: NeighborChange, result: Result<(), NetlinkError>) -> Input {
    let outcome = match result {
        Ok(()) => Outcome::Done,
        Err(error) => {
            tracing::debug!(?change, %error, "cannot change a neighbor entry");
            match error {
                NetlinkError::Refused { source, .. } if source.raw_os_error() == Some(libc::EEXIST) => {
                    Outcome::Exists
                }
                NetlinkError::Refused { source, .. } => Outcome::Failed(source.to_string()),
                other => Outcome::Failed(other.to_string()),
            }
        }
    };
    Input::NeighborChanged(change, outcome)
}

fn outcome<E: std::fmt::Display>(result: &Result<(), E>) -> Outcome {
    match result {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO | libc::EADDRNOTAVAIL))
}
