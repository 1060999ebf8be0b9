//! What `tc` has put at the ingress and egress of links, where it sees frames before our socket does, and after it.
//!
//! The kernel tells by netlink of what is in a qdisc `clsact` or `ingress`. Of programs that are attached by tcx (Linux 6.6)
//! it does not: only bpf(2) does ([`crate::kernel::bpf::tcx_programs`]).

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{
    TcAction, TcActionAttribute, TcAttribute, TcBpfFlags, TcFilterBpfOption, TcFilterFlowerOption,
    TcFilterMatchAllOption, TcFilterU32Option, TcMessage, TcOption,
};

use super::{NetlinkError, Requests};
use crate::engine::facts::IfIndex;

/// A filter of `tc` on a link, which looks at IPv6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classifier {
    /// The link.
    pub link: IfIndex,
    /// On the way in or out.
    pub hook: Hook,
    /// As in `tc filter`: `bpf`, `flower`, `u32`; or [`Self::TCX`].
    pub kind: String,
    /// The name of a BPF program, if it has one.
    pub program: Option<String>,
    /// Whether it can throw a frame away; otherwise it counts, marks or redirects.
    pub may_drop: bool,
}

impl Classifier {
    /// The kind of a program that is attached by tcx, which `tc filter` does not show.
    pub const TCX: &str = "tcx";
}

/// Where a filter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// What the link has received.
    Ingress,
    /// What it is to send.
    Egress,
}

impl Hook {
    /// Its name in `tc`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// The parent of its filters (linux/pkt_sched.h: TC_H_CLSACT with TC_H_MIN_INGRESS or TC_H_MIN_EGRESS).
    const fn parent(self) -> u32 {
        match self {
            Self::Ingress => 0xffff_fff2,
            Self::Egress => 0xffff_fff3,
        }
    }
}

impl Requests {
    /// The filters at the ingress and egress of these links. Needs no privileges.
    pub async fn classifiers(&self, links: &[IfIndex]) -> Result<Vec<Classifier>, NetlinkError> {
        let mut all = Vec::new();
        for (link, hook) in
            self.places_of_filters().await?.into_iter().filter(|(link, _)| links.contains(link))
        {
            let mut question = TcMessage::default();
            question.header.index = i32::try_from(link.0).unwrap_or(0);
            question.header.parent = hook.parent().into();
            let question = RouteNetlinkMessage::GetTrafficFilter(question);
            let listed = self.table("filters of tc", question, move |message| match message {
                RouteNetlinkMessage::NewTrafficFilter(message) => classifier(link, hook, &message),
                _ => None,
            });
            // A link that has gone meanwhile has none.
            all.extend(listed.await.unwrap_or_default());
        }
        Ok(all)
    }

    /// Where there can be filters, on all links.
    pub(super) async fn places_of_filters(&self) -> Result<Vec<(IfIndex, Hook)>, NetlinkError> {
        let question = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let places = self.table("queueing disciplines", question, |message| match message {
            RouteNetlinkMessage::NewQueueDiscipline(message) => places(&message),
            _ => Vec::new(),
        });
        places.await
    }
}

/// Where filters can be on the link of this qdisc.
fn places(message: &TcMessage) -> Vec<(IfIndex, Hook)> {
    let Ok(link) = u32::try_from(message.header.index) else { return Vec::new() };
    let hooks: &[Hook] = match kind(message) {
        Some("clsact") => &[Hook::Ingress, Hook::Egress],
        Some("ingress") => &[Hook::Ingress],
        _ => &[],
    };
    hooks.iter().map(|hook| (IfIndex(link), *hook)).collect()
}

pub(super) fn classifier(link: IfIndex, hook: Hook, message: &TcMessage) -> Option<Classifier> {
    // The upper half is the preference, the lower one the ethertype, in the order of the network.
    let protocol = u16::from_be((message.header.info & 0xffff) as u16);
    // The first message of each preference stands for all, and has no handle and no filter.
    if u32::from(message.header.handle) == 0 || ![EVERYTHING, IPV6].contains(&protocol) {
        return None;
    }
    let mut found =
        Classifier { link, hook, kind: kind(message)?.to_owned(), program: None, may_drop: false };
    for attribute in &message.attributes {
        let TcAttribute::Options(options) = attribute else { continue };
        for option in options {
            match option {
                // The program's own verdict counts (direct-action).
                TcOption::Bpf(TcFilterBpfOption::Flags(flags)) => {
                    found.may_drop |= flags.contains(TcBpfFlags::DirectAction);
                }
                TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => found.program = Some(name.clone()),
                TcOption::Bpf(TcFilterBpfOption::Other(other)) => {
                    found.may_drop |= rtnetlink::packet_core::Nla::kind(other) == TCA_BPF_ACT;
                }
                TcOption::U32(TcFilterU32Option::Action(actions))
                | TcOption::MatchAll(TcFilterMatchAllOption::Action(actions))
                | TcOption::Flower(TcFilterFlowerOption::Actions(actions)) => {
                    found.may_drop |= actions.iter().any(may_drop);
                }
                // Of a kind whose actions are not known.
                TcOption::Other(_) => found.may_drop = true,
                _ => {}
            }
        }
    }
    Some(found)
}

fn may_drop(action: &TcAction) -> bool {
    action.attributes.iter().any(|attribute| match attribute {
        TcActionAttribute::Kind(kind) => !HARMLESS.contains(&kind.as_str()),
        _ => false,
    })
}

fn kind(message: &TcMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Kind(kind) => Some(kind.as_str()),
        _ => None,
    })
}

/// Actions that pass a frame on, or send it by way of another link (`tc-actions(8)`).
const HARMLESS: [&str; 6] = ["mirred", "skbedit", "connmark", "ctinfo", "sample", "csum"];
/// linux/if_ether.h: ETH_P_ALL.
const EVERYTHING: u16 = 0x0003;
const IPV6: u16 = 0x86dd;
/// linux/pkt_cls.h.
const TCA_BPF_ACT: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(protocol: u16, kind: &str, options: Vec<TcOption>) -> TcMessage {
        let mut message = TcMessage::default();
        message.header.info = 49152 << 16 | u32::from(protocol.to_be());
        message.header.handle = 1.into();
        message.attributes = vec![TcAttribute::Kind(kind.to_owned()), TcAttribute::Options(options)];
        message
    }

    fn action(kind: &str) -> TcAction {
        let attributes = vec![TcActionAttribute::Kind(kind.to_owned())];
        let mut action = TcAction::default();
        action.attributes = attributes;
        action
    }

    fn read(message: &TcMessage) -> Option<bool> {
        classifier(IfIndex(2), Hook::Ingress, message).map(|found| found.may_drop)
    }

    #[test]
    fn fears_what_can_drop_and_not_what_shapes() {
        let u32 = |kind| TcOption::U32(TcFilterU32Option::Action(vec![action(kind)]));
        assert_eq!(read(&filter(IPV6, "u32", vec![u32("gact")])), Some(true));
        assert_eq!(read(&filter(EVERYTHING, "u32", vec![u32("police")])), Some(true));
        // To an ifb, which has queues: how what is received is shaped.
        assert_eq!(read(&filter(EVERYTHING, "u32", vec![u32("mirred")])), Some(false));
        assert_eq!(read(&filter(0x0800, "u32", vec![u32("gact")])), None);
    }

    #[test]
    fn passes_over_what_stands_for_a_whole_preference() {
        let mut message = filter(IPV6, "bpf", Vec::new());
        message.header.handle = 0.into();
        assert_eq!(read(&message), None);
    }
}
