//! All that one datagram of the kernel's says, as values. Touches nothing: bytes in, values out.
//!
//! The fuzzers hand bytes in here, and nobody else outside this room does.

use rtnetlink::packet_core::{NLM_F_CREATE, NetlinkBuffer, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;

use super::classifiers::{self, Classifier, Hook};
use super::connection::messages;
use super::groups::group_facts;
use super::{convert, filter_watch};
use crate::engine::facts::{Fact, IfIndex};

/// The facts, those about groups of bridges first.
pub fn facts(datagram: &[u8]) -> Vec<Fact> {
    let mut facts = group_facts(datagram);
    for message in messages(datagram) {
        let flags = message.header.flags;
        if let NetlinkPayload::InnerMessage(message) = message.payload {
            facts.extend(convert::facts(&message, flags));
        }
    }
    facts
}

/// Whether it is about a group of nexthop objects that was neither made nor replaced: of those the kernel tells the routes.
pub fn has_shrunk_group(datagram: &[u8]) -> bool {
    kinds(datagram).any(|(kind, flags)| kind == RTM_NEWNEXTHOP && flags & NLM_F_CREATE == 0)
}

/// The links on which a filter of `tc` was taken away.
pub fn links_with_fewer_filters(datagram: &[u8]) -> Vec<IfIndex> {
    filter_watch::links(datagram)
}

/// The filters of `tc`, as if all of them were at this place.
pub fn classifiers(datagram: &[u8], link: IfIndex, hook: Hook) -> Vec<Classifier> {
    let of = |message| match message {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewTrafficFilter(message)) => {
            classifiers::classifier(link, hook, &message)
        }
        _ => None,
    };
    messages(datagram).filter_map(|message| of(message.payload)).collect()
}

/// What kind each message of one datagram is, and its flags.
fn kinds(mut datagram: &[u8]) -> impl Iterator<Item = (u16, u16)> {
    std::iter::from_fn(move || {
        let header = NetlinkBuffer::new_checked(datagram).ok()?;
        let (kind, length) = ((header.message_type(), header.flags()), header.length() as usize);
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(kind)
    })
}

/// Of which the library has no type (linux/rtnetlink.h).
const RTM_NEWNEXTHOP: u16 = 104;
