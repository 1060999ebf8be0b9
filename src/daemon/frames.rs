//! Frames on their way in and out: a batch of those that came, and what waits to leave.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use crate::engine::facts::IfIndex;
use crate::engine::{Input, Output};
use crate::kernel::ears::Ears;
use crate::kernel::packet::{RecvBatch, SendBatch, Stamps};
use crate::kernel::ready::Queue;
use crate::wire::{Advertisement, DropReason, Message, MldQuery, MldReport, MulticastRouter};

/// Sockets, and the frames of this moment.
pub(super) struct Frames {
    pub(super) ears: Ears,
    received: Option<(RecvBatch, Vec<Input>)>,
    /// Apart, because they leave by different interfaces, turn by turn.
    advertisements: Outbox,
    solicitations: Outbox,
    /// Links of which guests were asked just now, [`MOST_ASKED`] of them.
    asked: Vec<IfIndex>,
    /// Reports and the like.
    deferred: Vec<(IfIndex, Vec<u8>)>,
    /// What waits in `advertisements`, in its order.
    leaving: Vec<Advertisement>,
    /// Advertisements that an interface did not take, to be told to the engine.
    unsent: VecDeque<(IfIndex, Advertisement)>,
    /// What is to leave by interfaces whose sockets are being opened.
    waiting: BTreeMap<IfIndex, Vec<Output>>,
}

/// Frames that came on one interface.
pub(super) struct Received {
    link: IfIndex,
    batch: RecvBatch,
    /// Each frame, as the engine takes it.
    inputs: Vec<Input>,
}

/// Frames that are to leave by one interface.
struct Outbox {
    link: IfIndex,
    batch: SendBatch,
}

impl Frames {
    pub(super) fn new(ready: Queue) -> Self {
        Self {
            ears: Ears::start(ready),
            received: Some((RecvBatch::new(), Vec::new())),
            advertisements: Outbox::new(),
            solicitations: Outbox::new(),
            asked: Vec::new(),
            deferred: Vec::new(),
            leaving: Vec::new(),
            unsent: VecDeque::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// From now on frames come with the moment at which the kernel received them, or without.
    pub(super) fn stamp(&mut self, stamps: Stamps) {
        self.ears.stamp(stamps);
    }

    /// Sends a frame with those that follow, or listens; everything else is not of this room, and comes back.
    pub(super) fn carry_out(&mut self, effect: Output) -> Option<Output> {
        match effect {
            Output::Advertise(link, _)
            | Output::Solicit(link, _)
            | Output::Report(link, _)
            | Output::Query(link, _)
            | Output::AdvertiseRouter(link, _)
                if self.ears.is_busy() && self.ears.is_coming(link) =>
            {
                let waiting = self.waiting.entry(link).or_default();
                if waiting.len() < MOST_WAITING {
                    waiting.push(effect);
                } else {
                    self.not_sent(effect);
                }
            }
            Output::Advertise(link, advertisement) => {
                if !self.advertisements.takes(link) {
                    self.flush_advertisements();
                }
                self.leaving.push(advertisement);
                self.advertisements.push(link, |buffer| advertisement.emit(buffer));
            }
            Output::Solicit(link, solicitation) => {
                if !self.solicitations.takes(link) {
                    self.flush_solicitations();
                }
                self.solicitations.push(link, |buffer| solicitation.emit(buffer));
            }
            // Few and long: they go behind the answers of this moment.
            Output::Report(link, report) => {
                self.defer(link, MldReport::MAX_EMITTED, |frame| report.emit(frame))
            }
            Output::Query(link, query) => self.defer(link, MldQuery::MAX_EMITTED, |frame| query.emit(frame)),
            Output::AdvertiseRouter(link, router) => {
                self.defer(link, MulticastRouter::MAX_EMITTED, |frame| router.emit(frame));
            }
            Output::HearArrivals(are_heard) => self.ears.expect_arrivals(are_heard),
            Output::HearNewcomers(are_heard) => self.ears.expect_newcomers(are_heard),
            Output::Listen(link, ear) => self.ears.listen(link, ear),
            Output::Unlisten(link) => {
                self.ears.unlisten(link);
                let waiting = self.waiting.remove(&link).unwrap_or_default();
                waiting.into_iter().for_each(|effect| self.not_sent(effect));
            }
            other => return Some(other),
        }
        None
    }

    /// These sockets are open now, or are not to be had. What has waited for them leaves, or has not been sent.
    pub(super) fn release(&mut self, tuned: &[(IfIndex, io::Result<()>)]) {
        for (link, _) in tuned {
            for effect in self.waiting.remove(link).into_iter().flatten() {
                self.carry_out(effect);
            }
        }
    }

    /// What was heard on these interfaces before their sockets were open, as the engine takes it.
    pub(super) fn heard_before(&mut self, tuned: &[(IfIndex, io::Result<()>)]) -> Vec<Input> {
        let mut inputs = Vec::new();
        for link in tuned.iter().filter(|(_, result)| result.is_ok()).map(|(link, _)| *link) {
            let frames = self.ears.take_newcomers(link);
            let Some(ear) = self.ears.get(link) else { continue };
            inputs.extend(frames.iter().map(|frame| input(link, Message::parse(frame, ear.mac))));
        }
        inputs
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) {
        self.flush_advertisements();
        self.flush_solicitations();
        for (link, frame) in std::mem::take(&mut self.deferred) {
            self.send(link, &frame);
        }
    }

    /// Whether there are advertisements that no interface took, and that the engine has not been told of.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Those, as the engine takes them.
    pub(super) fn take_unsent(&mut self) -> Vec<Input> {
        self.unsent.drain(..).map(|(link, advertisement)| Input::Unsent(link, advertisement)).collect()
    }

    /// One batch of frames of this interface, if there are any.
    pub(super) fn receive(&mut self, link: IfIndex) -> io::Result<Option<Received>> {
        let Some(ear) = self.ears.get(link) else { return Ok(None) };
        let (mut batch, mut inputs) = self.received.take().unwrap_or_default();
        match ear.receive(&mut batch) {
            Ok(()) => {
                inputs.extend(batch.frames().map(|frame| {
                    let message = frame.ok_or(DropReason::FrameTooLong);
                    input(link, message.and_then(|(frame, sum)| Message::parse_with(sum, frame, ear.mac)))
                }));
                return Ok(Some(Received { link, batch, inputs }));
            }
            // Down or deleted for now; the kernel's events say what becomes of it.
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
        self.received = Some((batch, inputs));
        Ok(None)
    }

    /// The buffers of a batch, to be used for the next.
    pub(super) fn take_back(&mut self, received: Received) {
        let Received { batch, mut inputs, .. } = received;
        inputs.clear();
        self.received = Some((batch, inputs));
    }

    fn flush_advertisements(&mut self) {
        let sent = self.advertisements.flush(&self.ears);
        let link = self.advertisements.link;
        let unsent: Vec<_> = self.leaving.drain(..).skip(sent).collect();
        unsent.into_iter().for_each(|advertisement| self.not_sent(Output::Advertise(link, advertisement)));
    }

    fn flush_solicitations(&mut self) {
        let link = self.solicitations.link;
        if self.solicitations.flush(&self.ears) > 0 && self.asked.len() < MOST_ASKED {
            self.asked.push(link);
        }
    }

    /// The links of which guests were asked since the last call, some of them. A guest on this host, behind a veth or a
    /// bridge, has replied before the system call that asked it returned.
    pub(super) fn take_asked(&mut self) -> [Option<IfIndex>; MOST_ASKED] {
        let mut links = [None; MOST_ASKED];
        links.iter_mut().zip(self.asked.drain(..)).for_each(|(to, from)| *to = Some(from));
        links
    }

    /// A frame of at most so many bytes, to be sent when the answers of this moment have left.
    fn defer(&mut self, link: IfIndex, most: usize, emit: impl FnOnce(&mut [u8]) -> usize) {
        let mut frame = vec![0; most];
        let length = emit(&mut frame);
        frame.truncate(length);
        self.deferred.push((link, frame));
    }

    /// One frame, at once.
    fn send(&self, link: IfIndex, frame: &[u8]) {
        if let Some(ear) = self.ears.get(link)
            && let Err(error) = ear.socket().send(frame)
        {
            tracing::trace!(%link, %error, "cannot send a frame");
        }
    }

    /// The newest of all is worth most; an asker of an older one has asked again by now.
    fn not_sent(&mut self, effect: Output) {
        let Output::Advertise(link, advertisement) = effect else { return };
        if self.unsent.len() == MOST_UNSENT {
            self.unsent.pop_front();
        }
        self.unsent.push_back((link, advertisement));
    }
}

impl Received {
    /// The interface that they came on.
    pub(super) fn link(&self) -> IfIndex {
        self.link
    }

    /// Each frame, as the engine takes it.
    pub(super) fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The same one by one, and when the kernel received each, where it said so.
    pub(super) fn take_inputs(&mut self) -> impl Iterator<Item = (Input, Option<Duration>)> {
        self.inputs.drain(..).zip(self.batch.stamps())
    }
}

fn input(link: IfIndex, message: Result<Message, DropReason>) -> Input {
    match message {
        Ok(Message::Solicitation(solicitation)) => Input::Solicitation(link, solicitation),
        Ok(Message::Advertisement(advertisement)) => Input::Advertisement(link, advertisement),
        Ok(Message::Query(query)) => Input::Query(link, query),
        Ok(Message::RouterSolicitation(asked)) => Input::RouterSolicitation(link, asked),
        Ok(Message::Report(report)) => Input::Report(link, report),
        Err(reason) => Input::Discarded(link, reason),
    }
}

impl Outbox {
    fn new() -> Self {
        Self { link: IfIndex(0), batch: SendBatch::new() }
    }

    /// Whether one more for this interface can leave together with those that wait.
    fn takes(&self, link: IfIndex) -> bool {
        self.batch.is_empty() || self.link == link && !self.batch.is_full()
    }

    fn push(&mut self, link: IfIndex, emit: impl FnOnce(&mut [u8]) -> usize) {
        self.link = link;
        self.batch.push(emit);
    }

    /// Returns how many were sent; they are the first of those that waited.
    fn flush(&mut self, ears: &Ears) -> usize {
        if self.batch.is_empty() {
            return 0;
        }
        let Some(ear) = ears.get(self.link) else {
            self.batch.clear();
            return 0;
        };
        ear.socket().send_batch(&mut self.batch).unwrap_or_else(|error| {
            tracing::trace!(link = %self.link, %error, "cannot send frames");
            0
        })
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

/// Advertisements that were not sent and are remembered until the engine is told, in the next turn.
const MOST_UNSENT: usize = 1_024;
/// Links that are read at once after their guests were asked.
const MOST_ASKED: usize = 4;
/// Frames that wait for the socket of one interface: its first announcements and probes.
const MOST_WAITING: usize = 64;
