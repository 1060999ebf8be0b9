//! A whole table of the kernel, read in one dump: all of it, or an error.

use std::io;

use futures_util::{Stream, StreamExt};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;

use super::{NetlinkError, Requests};

impl Requests {
    /// Whatever `pick` makes of every entry of a table. Dumps again when a change has overtaken the dump, because
    /// the kernel may have left something out then.
    pub(super) async fn table<T, P: IntoIterator<Item = T>>(
        &self,
        name: &'static str,
        question: RouteNetlinkMessage,
        pick: impl Fn(RouteNetlinkMessage) -> P,
    ) -> Result<Vec<T>, NetlinkError> {
        for _ in 0..ATTEMPTS {
            if let Some(all) = whole(name, self.dump_stream(question.clone())?, &pick).await? {
                return Ok(all);
            }
        }
        Err(NetlinkError::Unsettled(name))
    }
}

/// What one dump brings; `None` if a change has overtaken it.
async fn whole<T, P: IntoIterator<Item = T>>(
    name: &str,
    replies: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>>,
    pick: &impl Fn(RouteNetlinkMessage) -> P,
) -> Result<Option<Vec<T>>, NetlinkError> {
    let refused = |source| NetlinkError::Refused { what: format!("list its {name}"), source };
    let mut replies = Box::pin(replies);
    let mut all = Vec::new();
    let mut is_torn = false;
    while let Some(reply) = replies.next().await {
        is_torn |= reply.header.flags & NLM_F_DUMP_INTR != 0;
        match reply.payload {
            NetlinkPayload::InnerMessage(message) => all.extend(pick(message)),
            NetlinkPayload::Done(done) if done.code == 0 => return Ok((!is_torn).then_some(all)),
            NetlinkPayload::Done(done) => {
                return Err(refused(io::Error::from_raw_os_error(done.code.abs())));
            }
            NetlinkPayload::Error(error) => return Err(refused(error.to_io())),
            _ => {}
        }
    }
    Err(NetlinkError::Closed)
}

/// Set on the replies of a dump that a change has overtaken; not among the crate's constants.
const NLM_F_DUMP_INTR: u16 = 0x10;

const ATTEMPTS: usize = 8;

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, stream};
    use rtnetlink::packet_core::{DoneMessage, NetlinkHeader};
    use rtnetlink::packet_route::link::LinkMessage;

    use super::*;

    type Reply = NetlinkMessage<RouteNetlinkMessage>;

    fn entry(index: u32, flags: u16) -> Reply {
        let mut link = LinkMessage::default();
        link.header.index = index;
        reply(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)), flags)
    }

    fn done(code: i32) -> Reply {
        let mut done = DoneMessage::default();
        done.code = code;
        reply(NetlinkPayload::Done(done), 0)
    }

    fn reply(payload: NetlinkPayload<RouteNetlinkMessage>, flags: u16) -> Reply {
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        Reply::new(header, payload)
    }

    fn read(replies: Vec<Reply>) -> Result<Option<Vec<u32>>, NetlinkError> {
        let pick = |message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(link.header.index),
            _ => None,
        };
        whole("links", stream::iter(replies), &pick).now_or_never().unwrap()
    }

    #[test]
    fn takes_a_dump_that_ends_well() {
        assert_eq!(read(vec![entry(1, 0), entry(2, 0), done(0)]).unwrap(), Some(vec![1, 2]));
    }

    #[test]
    fn does_not_take_a_dump_that_a_change_has_overtaken() {
        assert_eq!(read(vec![entry(1, NLM_F_DUMP_INTR), entry(2, 0), done(0)]).unwrap(), None);
    }

    #[test]
    fn does_not_take_a_dump_that_ends_with_an_error_or_without_an_end() {
        let error = read(vec![entry(1, 0), done(-libc::ENOBUFS)]).unwrap_err();
        assert_eq!(error.to_string(), "the kernel refuses to list its links");
        assert!(matches!(read(vec![entry(1, 0)]), Err(NetlinkError::Closed)));
    }
}
