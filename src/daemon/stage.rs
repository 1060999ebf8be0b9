//! Where the engine's effects are carried out: sockets, frames on their way, route changes under way.

use std::io;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};

use super::Error;
use super::suppressor::Suppressor;
use crate::engine::facts::IfIndex;
use crate::engine::{AddressChange, AddressOutcome, Change, Input, NeighborChange, Outcome, Output};
use crate::kernel::ears::Ears;
use crate::kernel::groups::Groups;
use crate::kernel::netlink::{NetlinkError, Requests, RouteError};
use crate::kernel::nft::NftError;
use crate::kernel::packet::{RecvBatch, SendBatch, Stamps};
use crate::wire::{DropReason, Mac, Message};

/// Sockets, and whatever is on its way in or out.
pub(super) struct Stage {
    pub(super) ears: Ears,
    /// The interfaces that had frames when they were last looked at.
    pub(super) ready: Vec<IfIndex>,
    requests: Requests,
    /// The changes of routes and addresses that are under way.
    pub(super) changes: FuturesOrdered<BoxFuture<'static, Done>>,
    /// The changes of gateways' neighbor entries that are under way.
    pub(super) neighbors: FuturesUnordered<BoxFuture<'static, NeighborDone>>,
    pub(super) groups: Groups,
    pub(super) suppressor: Suppressor,
    received: Option<RecvBatch>,
    /// Apart, because they leave by different interfaces, turn by turn.
    advertisements: Outbox,
    solicitations: Outbox,
    failure: Option<Error>,
    is_strict: bool,
}

/// A change, and the kernel's verdict.
pub(super) enum Done {
    Route(Change, Result<(), RouteError>),
    Address(AddressChange, AddressOutcome),
}

/// A change of a neighbor entry, and the kernel's verdict.
pub(super) type NeighborDone = (NeighborChange, Result<(), NetlinkError>);

/// Frames that came on one interface.
pub(super) struct Received {
    link: IfIndex,
    mac: Mac,
    batch: RecvBatch,
}

/// Frames that are to leave by one interface.
struct Outbox {
    link: IfIndex,
    batch: SendBatch,
}

impl Stage {
    pub(super) fn new(requests: Requests) -> Result<Self, Error> {
        Ok(Self {
            ears: Ears::new().map_err(Error::Wait)?,
            ready: Vec::new(),
            requests,
            changes: FuturesOrdered::new(),
            neighbors: FuturesUnordered::new(),
            groups: Groups::default(),
            suppressor: Suppressor::default(),
            received: Some(RecvBatch::new()),
            advertisements: Outbox::new(),
            solicitations: Outbox::new(),
            failure: None,
            is_strict: true,
        })
    }

    /// From now on an interface that cannot be listened on is told, and no reason to end.
    pub(super) fn be_lenient(&mut self) {
        self.is_strict = false;
    }

    /// From now on frames come with the moment at which the kernel received them, or without.
    pub(super) fn stamp(&mut self, stamps: Stamps) {
        self.ears.stamp(stamps);
        self.received = Some(RecvBatch::with(stamps));
    }

    /// The first failure that there is no way around.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        self.failure.take().map_or(Ok(()), Err)
    }

    pub(super) fn carry_out(&mut self, effect: Output) {
        match effect {
            Output::Advertise(link, advertisement) => {
                self.advertisements.push(link, &self.ears, |buffer| advertisement.emit(buffer));
            }
            Output::Solicit(link, solicitation) => {
                self.solicitations.push(link, &self.ears, |buffer| solicitation.emit(buffer));
            }
            Output::ChangeRoute(change) => self.change_route(change),
            Output::ChangeAddress(change) => {
                let under_way = self.requests.change_address(&change);
                self.changes.push_back(Box::pin(async move { Done::Address(change, under_way.await) }));
            }
            Output::ChangeNeighbor(change) => {
                let under_way = self.requests.change_neighbor(&change);
                self.neighbors.push(Box::pin(async move { (change, under_way.await) }));
            }
            Output::Listen(link, ear) => {
                if let Err(source) = self.ears.listen(link, ear) {
                    self.failed(Error::Listen { link, source });
                }
            }
            Output::Unlisten(link) => self.ears.unlisten(link),
            Output::Join(link, group) => self.groups.join(link, group),
            Output::Leave(link, group) => self.groups.leave(link, group),
            Output::Suppress(suppressions) => self.suppressor.ask(suppressions),
            // The loop's own affair.
            Output::Event(_) | Output::Resync => {}
        }
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) {
        self.advertisements.flush(&self.ears);
        self.solicitations.flush(&self.ears);
    }

    /// One batch of frames of this interface, if there are any.
    pub(super) fn receive(&mut self, link: IfIndex) -> Result<Option<Received>, Error> {
        let Some(ear) = self.ears.get(link) else { return Ok(None) };
        let mut batch = self.received.take().unwrap_or_default();
        match ear.socket.recv_batch(&mut batch) {
            Ok(()) => return Ok(Some(Received { link, mac: ear.mac, batch })),
            // Down or deleted for now; the kernel's events say what becomes of it.
            Err(error) if is_passing(&error) => {}
            Err(source) => return Err(Error::Receive { link, source }),
        }
        self.received = Some(batch);
        Ok(None)
    }

    /// The buffers of a batch, to be used for the next.
    pub(super) fn take_back(&mut self, received: Received) {
        self.received = Some(received.batch);
    }

    /// Some groups were joined or left, or not.
    pub(super) fn grouped(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            // An interface that goes takes its groups along; the engine hears of it in a moment.
            tracing::debug!(%error, "cannot join or leave a multicast group");
        }
    }

    /// The table of nftables was changed, or not.
    pub(super) fn suppressed(&mut self, result: Result<(), NftError>) {
        if let Err(error) = result {
            self.failed(Error::Suppress(error));
        }
    }

    /// What became of a change, as the engine takes it.
    pub(super) fn outcome(&mut self, done: Done) -> Input {
        let (change, result) = match done {
            Done::Route(change, result) => (change, result),
            Done::Address(change, outcome) => return Input::AddressChanged(change, outcome),
        };
        let outcome = match (&change, result) {
            (_, Ok(())) | (Change::Remove(_), Err(RouteError::Missing)) => Outcome::Done,
            (Change::Add(_), Err(RouteError::Exists)) => Outcome::Exists,
            (Change::Add(route) | Change::Remove(route), Err(source)) => {
                let said = source.to_string();
                // One interface's own trouble is no reason to serve nobody behind the others.
                if self.is_strict && !matches!(source, RouteError::SwitchedOff) {
                    self.failed(Error::Route { route: route.clone(), source });
                }
                Outcome::Failed(said)
            }
        };
        Input::RouteChanged(change, outcome)
    }

    fn change_route(&mut self, change: Change) {
        // The request is queued here, so that the order of the changes is the kernel's order.
        let under_way: BoxFuture<'static, Result<(), RouteError>> = match &change {
            Change::Add(route) => Box::pin(self.requests.add_route(route)),
            Change::Remove(route) => Box::pin(self.requests.remove_route(route)),
        };
        self.changes.push_back(Box::pin(async move { Done::Route(change, under_way.await) }));
    }

    fn failed(&mut self, error: Error) {
        if self.is_strict {
            self.failure.get_or_insert(error);
        } else {
            tracing::warn!("{error}");
        }
    }
}

impl Received {
    /// The interface that they came on.
    pub(super) fn link(&self) -> IfIndex {
        self.link
    }

    /// When the kernel received each frame, where it said so.
    pub(super) fn stamps(&self) -> impl Iterator<Item = Option<Duration>> {
        self.batch.stamps()
    }

    /// Each frame, as the engine takes it.
    pub(super) fn inputs(&self) -> impl Iterator<Item = Input> {
        self.batch.frames().map(|frame| {
            let message = frame.ok_or(DropReason::FrameTooLong).and_then(|f| Message::parse(f, self.mac));
            match message {
                Ok(Message::Solicitation(solicitation)) => Input::Solicitation(self.link, solicitation),
                Ok(Message::Advertisement(advertisement)) => Input::Advertisement(self.link, advertisement),
                Err(reason) => Input::Discarded(self.link, reason),
            }
        })
    }
}

impl Outbox {
    fn new() -> Self {
        Self { link: IfIndex(0), batch: SendBatch::new() }
    }

    fn push(&mut self, link: IfIndex, ears: &Ears, emit: impl FnOnce(&mut [u8]) -> usize) {
        if self.link != link || self.batch.is_full() {
            self.flush(ears);
            self.link = link;
        }
        self.batch.push(emit);
    }

    fn flush(&mut self, ears: &Ears) {
        if self.batch.is_empty() {
            return;
        }
        match ears.get(self.link) {
            Some(ear) => {
                if let Err(error) = ear.socket.send_batch(&mut self.batch) {
                    tracing::trace!(link = %self.link, %error, "frames not sent");
                }
            }
            None => self.batch.clear(),
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EAGAIN
                | libc::EINTR
                | libc::ENETDOWN
                | libc::ENODEV
                | libc::ENXIO
                | libc::ENOBUFS
                | libc::ENOMEM
        )
    )
}
