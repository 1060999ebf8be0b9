//! A whole table of the kernel, read in one dump: all of it, or an error.

use std::future::Future;
use std::io;

use rtnetlink::packet_core::{NLM_F_DUMP_INTR, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use tokio::sync::oneshot;

use super::connection::{Message, Request};
use super::{NetlinkError, Requests};

/// A dump that is under way: hears what it brings, where the connection is served.
pub(super) struct Dump {
    sequence: u32,
    completeness: Completeness,
    listener: Listener,
}

/// Hears what a dump brings. It is dropped without [`Told::End`] if the connection breaks.
pub(super) type Listener = Box<dyn FnMut(Told) + Send>;

/// What a dump brings.
pub(super) enum Told {
    /// One entry of the table.
    Entry(RouteNetlinkMessage),
    /// That was all, or the kernel refuses.
    End(io::Result<Completeness>),
}

/// Whether a dump is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completeness {
    /// It holds everything.
    Whole,
    /// The table changed meanwhile, so that the kernel may have left something out.
    Torn,
}

impl Requests {
    /// What `pick` makes of every entry of a table, on the thread of the connection. Dumps again when a change has
    /// overtaken the dump, because the kernel may have left something out then.
    pub(super) fn table<T, P, F>(
        &self,
        name: &'static str,
        question: RouteNetlinkMessage,
        pick: F,
    ) -> impl Future<Output = Result<Vec<T>, NetlinkError>> + Send + use<T, P, F>
    where
        T: Send + 'static,
        P: IntoIterator<Item = T>,
        F: Fn(RouteNetlinkMessage) -> P + Send + Copy + 'static,
    {
        let requests = self.clone();
        async move {
            for _ in 0..ATTEMPTS {
                let (end, ended) = oneshot::channel();
                requests.hand_in(Request::Dump(question.clone(), collect(pick, end)))?;
                let result = ended.await.map_err(|_| NetlinkError::Closed)?;
                let refused = |source| NetlinkError::Refused { what: format!("list its {name}"), source };
                if let (all, Completeness::Whole) = result.map_err(refused)? {
                    return Ok(all);
                }
            }
            Err(NetlinkError::Unsettled(name))
        }
    }
}

impl Dump {
    /// One that was asked for under this number.
    pub(super) fn new(sequence: u32, listener: Listener) -> Self {
        Self { sequence, completeness: Completeness::Whole, listener }
    }

    /// The number of its replies.
    pub(super) fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Some of it was lost.
    pub(super) fn tear(mut self) {
        (self.listener)(Told::End(Ok(Completeness::Torn)));
    }

    /// Returns itself if more is to come.
    pub(super) fn take_in(mut self, message: Message) -> Option<Self> {
        if message.header.flags & NLM_F_DUMP_INTR != 0 {
            self.completeness = Completeness::Torn;
        }
        let end = match message.payload {
            NetlinkPayload::InnerMessage(entry) => {
                (self.listener)(Told::Entry(entry));
                return Some(self);
            }
            NetlinkPayload::Done(done) if done.code == 0 => Ok(self.completeness),
            NetlinkPayload::Done(done) => Err(io::Error::from_raw_os_error(done.code.abs())),
            NetlinkPayload::Error(error) => Err(error.to_io()),
            _ => return Some(self),
        };
        (self.listener)(Told::End(end));
        None
    }
}

/// Sends what `pick` makes of all entries, at the end.
fn collect<T, P>(
    pick: impl Fn(RouteNetlinkMessage) -> P + Send + 'static,
    end: oneshot::Sender<io::Result<(Vec<T>, Completeness)>>,
) -> Listener
where
    T: Send + 'static,
    P: IntoIterator<Item = T>,
{
    let (mut all, mut end) = (Vec::new(), Some(end));
    Box::new(move |told| match told {
        Told::Entry(entry) => all.extend(pick(entry)),
        Told::End(result) => {
            if let Some(end) = end.take() {
                // It may be that nobody waits for it any more.
                let _ = end.send(result.map(|completeness| (std::mem::take(&mut all), completeness)));
            }
        }
    })
}

/// How often a table that changes meanwhile is read.
const ATTEMPTS: usize = 8;

#[cfg(test)]
mod tests {
    use rtnetlink::packet_core::{DoneMessage, NetlinkHeader};
    use rtnetlink::packet_route::link::LinkMessage;

    use super::*;

    fn entry(index: u32, flags: u16) -> Message {
        let mut link = LinkMessage::default();
        link.header.index = index;
        reply(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)), flags)
    }

    fn done(code: i32) -> Message {
        let mut done = DoneMessage::default();
        done.code = code;
        reply(NetlinkPayload::Done(done), 0)
    }

    fn reply(payload: NetlinkPayload<RouteNetlinkMessage>, flags: u16) -> Message {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        Message::new(header, payload)
    }

    /// What comes of these replies; `None` if there is no end.
    fn read(replies: Vec<Message>) -> Option<io::Result<(Vec<u32>, Completeness)>> {
        let pick = |message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(link.header.index),
            _ => None,
        };
        let (end, mut ended) = oneshot::channel();
        let dump = Some(Dump::new(1, collect(pick, end)));
        drop(replies.into_iter().fold(dump, |dump, reply| dump?.take_in(reply)));
        ended.try_recv().ok()
    }

    #[test]
    fn takes_a_dump_that_ends_well() {
        let read = read(vec![entry(1, 0), entry(2, 0), done(0)]).unwrap().unwrap();
        assert_eq!(read, (vec![1, 2], Completeness::Whole));
    }

    #[test]
    fn does_not_take_a_dump_that_a_change_has_overtaken() {
        let read = read(vec![entry(1, NLM_F_DUMP_INTR), entry(2, 0), done(0)]).unwrap().unwrap();
        assert_eq!(read.1, Completeness::Torn);
    }

    #[test]
    fn does_not_take_a_dump_that_ends_with_an_error_or_without_an_end() {
        let error = read(vec![entry(1, 0), done(-libc::ENOBUFS)]).unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS));
        assert!(read(vec![entry(1, 0)]).is_none());
    }
}
