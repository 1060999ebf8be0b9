//! The responder's program at the ingress of a link by way of `clsact`, where there is no tcx (before Linux 6.6).
//!
//! The qdisc is made if there is none, and never removed: others may use it. Of its filters only one is ever changed or
//! removed: the one of kind `bpf` whose program has the name [`Requests::RESPONDER`].

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
};

use super::{Hook, NetlinkError, Requests};
use crate::engine::facts::IfIndex;

/// A filter at the ingress of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    handle: TcHandle,
    /// Preference and ethertype, as the kernel has them.
    info: u32,
    is_ours: bool,
}

impl Requests {
    /// The name of our program in `tc filter show`.
    pub const RESPONDER: &str = "lone64";

    /// Puts the program at the ingress of the link, in the place of the one of ours that may be there, between two frames;
    /// else behind all others.
    pub async fn put_responder(&self, link: IfIndex, program: BorrowedFd<'_>) -> Result<(), NetlinkError> {
        let mut qdisc = at(link, TcHandle::CLSACT);
        qdisc.header.handle = TcHandle { major: TcHandle::CLSACT.major, minor: 0 };
        qdisc.attributes = vec![TcAttribute::Kind("clsact".to_owned())];
        let made =
            self.submit(RouteNetlinkMessage::NewQueueDiscipline(qdisc), NLM_F_CREATE | NLM_F_EXCL).await;
        match made {
            // It is there, or an `ingress` is, which does as well.
            Err(error) if error.raw_os_error() != Some(libc::EEXIST) => {
                return Err(refused("add a qdisc clsact to", link, error));
            }
            _ => {}
        }
        let places = self.ingress(link).await?;
        let (mut filter, flags) = match places.iter().find(|place| place.is_ours) {
            Some(place) => (at_place(link, place), NLM_F_CREATE | NLM_F_REPLACE),
            None => {
                let last = places.iter().map(|place| place.info >> 16).max().unwrap_or(0);
                let info = (last.max(FIRST) + 1).min(LAST) << 16 | u32::from(IPV6.to_be());
                // The kernel chooses the handle, so this is nobody else's.
                let place = Place { handle: TcHandle::UNSPEC, info, is_ours: true };
                (at_place(link, &place), NLM_F_CREATE | NLM_F_EXCL)
            }
        };
        let fd = u32::try_from(program.as_raw_fd()).expect("a descriptor that is open is not negative");
        let options = [
            TcFilterBpfOption::ProgFd(fd),
            TcFilterBpfOption::ProgName(Self::RESPONDER.to_owned()),
            TcFilterBpfOption::Flags(TcBpfFlags::DirectAction),
        ];
        filter.attributes.push(TcAttribute::Options(options.map(TcOption::Bpf).into()));
        let put = self.submit(RouteNetlinkMessage::NewTrafficFilter(filter), flags).await;
        put.map_err(|error| refused("add a filter to", link, error))
    }

    /// Removes our program from the ingress of the link. Where there is none that is done already.
    pub async fn remove_responder(&self, link: IfIndex) -> Result<(), NetlinkError> {
        for place in self.ingress(link).await?.iter().filter(|place| place.is_ours) {
            let message = RouteNetlinkMessage::DelTrafficFilter(at_place(link, place));
            match self.submit(message, 0).await {
                Err(error) if !is_gone(&error) => return Err(refused("remove a filter from", link, error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether our program is at the ingress of the link.
    pub async fn has_responder(&self, link: IfIndex) -> Result<bool, NetlinkError> {
        Ok(self.ingress(link).await?.iter().any(|place| place.is_ours))
    }

    /// The links that have our program at their ingress.
    pub async fn responders(&self) -> Result<Vec<IfIndex>, NetlinkError> {
        let mut found = Vec::new();
        for (link, hook) in self.places_of_filters().await? {
            if hook == Hook::Ingress && self.has_responder(link).await? {
                found.push(link);
            }
        }
        Ok(found)
    }

    /// The filters at the ingress of the link.
    async fn ingress(&self, link: IfIndex) -> Result<Vec<Place>, NetlinkError> {
        let question = RouteNetlinkMessage::GetTrafficFilter(at(link, INGRESS));
        let listed = self.table("filters of tc", question, |message| match message {
            RouteNetlinkMessage::NewTrafficFilter(message) => place(&message),
            _ => None,
        });
        match listed.await {
            // No qdisc, no filters.
            Err(NetlinkError::Refused { source, .. }) if is_gone(&source) => Ok(Vec::new()),
            listed => listed,
        }
    }
}

/// None for what stands for a whole preference, which has no handle.
fn place(message: &TcMessage) -> Option<Place> {
    let is_bpf = message.attributes.contains(&TcAttribute::Kind("bpf".to_owned()));
    let is_named = message.attributes.iter().any(|attribute| match attribute {
        TcAttribute::Options(options) => options.iter().any(|option| match option {
            TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => name == Requests::RESPONDER,
            _ => false,
        }),
        _ => false,
    });
    let place =
        Place { handle: message.header.handle, info: message.header.info, is_ours: is_bpf && is_named };
    (place.handle != TcHandle::UNSPEC).then_some(place)
}

fn at(link: IfIndex, parent: TcHandle) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = i32::try_from(link.0).unwrap_or(0);
    message.header.parent = parent;
    message
}

fn at_place(link: IfIndex, place: &Place) -> TcMessage {
    let mut message = at(link, INGRESS);
    (message.header.handle, message.header.info) = (place.handle, place.info);
    message.attributes = vec![TcAttribute::Kind("bpf".to_owned())];
    message
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::EINVAL))
}

fn refused(what: &str, link: IfIndex, source: io::Error) -> NetlinkError {
    NetlinkError::Refused { what: format!("{what} link {link}"), source }
}

const INGRESS: TcHandle = TcHandle { major: TcHandle::CLSACT.major, minor: TcHandle::MIN_INGRESS };
/// Where `tc` itself begins to count preferences; those of people are below.
const FIRST: u32 = 0xc000;
const LAST: u32 = 0xffff;
const IPV6: u16 = 0x86dd;

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(kind: &str, name: &str) -> TcMessage {
        let place = Place { handle: 1.into(), info: 49153 << 16, is_ours: false };
        let mut message = at_place(IfIndex(2), &place);
        let options = vec![TcOption::Bpf(TcFilterBpfOption::ProgName(name.to_owned()))];
        message.attributes = vec![TcAttribute::Kind(kind.to_owned()), TcAttribute::Options(options)];
        message
    }

    #[test]
    fn only_a_program_of_our_name_is_ours() {
        let is_ours = |kind, name| place(&filter(kind, name)).unwrap().is_ours;
        assert!(is_ours("bpf", "lone64"));
        assert!(!is_ours("bpf", "lone6") && !is_ours("bpf", "lone64.o:[x]") && !is_ours("flower", "lone64"));
    }

    #[test]
    fn what_stands_for_a_whole_preference_is_no_place() {
        let mut message = filter("bpf", "lone64");
        message.header.handle = TcHandle::UNSPEC;
        assert_eq!(place(&message), None);
    }
}
