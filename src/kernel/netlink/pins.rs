//! Permanent neighbor entries for guests (`ip -6 neigh replace ADDRESS lladdr MAC dev IF nud permanent proto 64`).
//!
//! The kernel takes no condition with a change of an entry: what is there is looked at first. Where an entry is not known to
//! have been ours, one is added exclusively, and only what was learnt is replaced.

use std::future::Future;
use std::io;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::neighbour::{
    NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState as Nud,
};

use super::Requests;
use super::convert::{mark, station};
use super::lab::neighbor_message;
use super::neighbors::is_missing;
use crate::engine::{Over, Pin};

impl Requests {
    /// Has this permanent entry. EEXIST where another program's keeps it out.
    pub(super) fn pin(&self, pin: Pin, over: Over) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let how = match over {
            Over::Learnt => NLM_F_EXCL,
            Over::Anything => NLM_F_REPLACE,
        };
        // The first request is queued here, so that changes of one entry are made in their order.
        let first = self.submit(RouteNetlinkMessage::NewNeighbour(entry(&pin)), NLM_F_CREATE | how);
        let requests = self.clone();
        async move {
            match first.await {
                Err(error) if over == Over::Learnt && error.raw_os_error() == Some(libc::EEXIST) => {
                    requests.pin_over_learnt(pin).await
                }
                reply => reply,
            }
        }
    }

    async fn pin_over_learnt(self, pin: Pin) -> io::Result<()> {
        if let Some(there) = self.entry_at(&pin).await?
            && is_fixed(&there)
            && !is_ours(&there, &pin)
        {
            // Another program's serves as well.
            let is_equal = station(&there) == Some(pin.mac);
            return if is_equal { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EEXIST)) };
        }
        let message = RouteNetlinkMessage::NewNeighbour(entry(&pin));
        self.submit(message, NLM_F_CREATE | NLM_F_REPLACE).await
    }

    /// Has it no more: only while it is ours.
    pub(super) fn unpin(&self, pin: Pin) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let requests = self.clone();
        let there = self.get(RouteNetlinkMessage::GetNeighbour(neighbor_message(pin.link, pin.address)));
        async move {
            match there.await {
                Ok(Some(RouteNetlinkMessage::NewNeighbour(there)))
                    if is_fixed(&there) && is_ours(&there, &pin) =>
                {
                    requests.remove(pin.link, pin.address).await
                }
                Err(error) if !is_missing(&error) => Err(error),
                _ => Ok(()),
            }
        }
    }

    async fn entry_at(&self, pin: &Pin) -> io::Result<Option<NeighbourMessage>> {
        let question = RouteNetlinkMessage::GetNeighbour(neighbor_message(pin.link, pin.address));
        match self.get(question).await {
            Ok(Some(RouteNetlinkMessage::NewNeighbour(there))) => Ok(Some(there)),
            Ok(_) => Ok(None),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn entry(pin: &Pin) -> NeighbourMessage {
    let mut message = neighbor_message(pin.link, pin.address);
    message.header.state = Nud::Permanent;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(pin.mac.0.to_vec()));
    message.attributes.push(NeighbourAttribute::Protocol(pin.protocol.into()));
    message
}

/// An administrator's word: a routing daemon's is learnt, however long it is to stay.
fn is_fixed(there: &NeighbourMessage) -> bool {
    there.header.state == Nud::Permanent && !there.header.flags.contains(NeighbourFlags::ExtLearned)
}

fn is_ours(there: &NeighbourMessage, pin: &Pin) -> bool {
    mark(there).is_some_and(|mark| mark.protocol == pin.protocol)
}
