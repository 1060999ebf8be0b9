//! What the provider's router does with a guest's packets, as far as it can be told from outside: which filter, on which
//! leg, and which line of the configuration, or what to ask the provider for. Touches nothing.

use std::net::Ipv6Addr;

use super::journey::Journey;
use super::sighting::Reply;
use super::verdict::Case;
use crate::doctor::checks::addresses::has_other_link_local;
use crate::doctor::{Finding, Remedy};
use crate::engine::policy::Source;

impl Case<'_> {
    /// The gateway does not answer, or not as it has to.
    pub(super) fn gateway_fault(&self) -> Option<Finding> {
        let Journey { gateway, has_left, .. } = *self.journey;
        let (gateway, upstream) = (gateway?, self.upstream());
        if !self.trials.gateway_is_deaf {
            return None;
        }
        let from = self.journey.gateway_asked_from.or(self.spot.upstream.link_local)?;
        let asked = format!("{upstream}: {from} asked for {gateway}, without an answer");
        if self.trials.gateway_hears_global {
            let sentence = match has_left {
                true => format!(
                    "the gateway {gateway} answers no question from a link-local address, and from no other does the \
                     kernel ask for guests: their packets leave only as long as the host's own packets keep its \
                     neighbor entry"
                ),
                false => format!(
                    "the gateway {gateway} answers no question from a link-local address, and from no other does the \
                     kernel ask when it forwards"
                ),
            };
            let finding = Finding::fault(sentence)
                .seen(asked)
                .seen(format!("{upstream}: the same from a global address was answered"));
            return Some(self.with_link_local(finding).remedy(self.key("gateway-source", "global")));
        }
        if has_left {
            return None;
        }
        if let Some(router) = self.trials.router_at {
            let finding = Finding::fault(format!(
                "Neighbor Discovery of link-local addresses is dropped, both ways: the gateway {gateway} cannot be found, \
                 so nothing leaves by {upstream}"
            ))
            .seen(asked)
            .seen(format!("{upstream}: a router answers for {router}, from a global address to a global one"));
            return Some(self.with_link_local(finding).remedy(Remedy::Advice(format!(
                "ask the provider for a global address for the gateway, and make it the default route \
                 (`ip -6 route replace default via ADDRESS dev {upstream}`)"
            ))));
        }
        let finding = Finding::fault(format!(
            "the gateway {gateway} does not answer, so that nothing can leave by {upstream}"
        ))
        .seen(asked);
        Some(self.with_link_local(finding).remedy(Remedy::Advice(format!(
            "see whether the default route is right (`ip -6 route show default`), and ask the provider which gateway it \
             is; `ping -c1 {gateway}%{upstream}` shows whether it is there"
        ))))
    }

    pub(super) fn not_asked(&self) -> Finding {
        let (guest, upstream, range) = (self.address(), self.upstream(), self.spot.range);
        if let Some(mac) = self.journey.misled_to {
            return Finding::fault(format!(
                "the router does not ask for {guest}: it holds an old entry, and sends to {mac}, which is not {upstream}"
            ))
            .seen(format!("{upstream}: the reply is addressed to {mac}; {upstream} is {}", self.journey.station))
            .remedy(Remedy::Advice(format!(
                "have the provider clear the neighbor entry of {guest}, or wait until it has aged"
            )));
        }
        let seen = format!("{upstream}: no solicitation for {guest}, and no reply");
        match self.trials.host_is_answered {
            Some(true) => Finding::fault(format!(
                "the packet left, and nobody asked for {guest} on {upstream}: the router drops what comes from {guest}, or \
                 its answer goes elsewhere, while what the host itself sends comes back. It filters by source: by a list \
                 of addresses, by so many addresses for one MAC, or by the reverse path, where it does not have {range} \
                 on this link"
            ))
            .seen(seen)
            .seen(self.own_came_back())
            .remedy(Remedy::Advice(format!(
                "ask the provider whether {range} is on-link at this host's port, or routed elsewhere; which addresses, \
                 and how many, may be used with the MAC {}; and for a prefix that is routed to {}, which needs no \
                 neighbor entries at all",
                self.journey.station,
                self.own()
            )))
            .remedy(Remedy::Advice(snooping_advice())),
            Some(false) => self.nothing_for_anybody(seen),
            None => Finding::fault(format!(
                "the packet left, and nobody asked for {guest} on {upstream}: it is dropped on its way, or its \
                 answer goes elsewhere, or the questions do not reach this host"
            ))
            .seen(seen)
            .remedy(Remedy::Advice(format!(
                "ask the provider whether {range} is on-link at this host's port, or routed to another host; whether \
                 it filters source addresses; and, for a virtual switch, whether its MLD snooping lets \
                 solicitations through"
            ))),
        }
    }

    pub(super) fn not_replied(&self) -> Finding {
        let Journey { gateway, rival, refused, near, request, .. } = *self.journey;
        let (guest, upstream, range) = (self.address(), self.upstream(), self.spot.range);
        if let Some(mac) = rival {
            return Finding::fault(format!(
                "another station, {mac}, says that it has {guest}, and gets the reply"
            ))
            .remedy(Remedy::Advice(format!(
                "find {mac} on the link of {upstream}, and take {guest} from it"
            )));
        }
        if self.journey.is_not_taken() {
            return self.not_taken();
        }
        // A host that reaches the destination from another address was not refused for what the destination is.
        let is_filtered =
            |refused: Reply| refused.is_prohibition() || self.trials.host_is_answered == Some(true);
        if let Some(refused) = refused.filter(|refused| is_filtered(*refused)) {
            let finding = Finding::fault(format!(
                "{} refuses the packet from {guest}: {}",
                refused.source,
                refused.as_str()
            ))
            .seen(format!("{upstream}: the router reaches {guest}, to which it says so"));
            return match self.trials.host_is_answered {
                Some(true) => finding.seen(self.own_came_back()).remedy(Remedy::Advice(format!(
                    "ask the provider to admit {range} as a source at this host's port, or for a prefix that is routed \
                     to {}",
                    self.own()
                ))),
                _ => finding.remedy(Remedy::Advice(elsewhere())),
            };
        }
        let Some(near) = near.or(refused) else {
            return self.nothing_for_anybody(format!("{upstream}: no reply"));
        };
        let seen = format!("{upstream}: {} said: {}", near.source, near.as_str());
        if gateway == Some(request.to) {
            return Finding::fault(format!(
                "{} is on the link of {upstream}, so that the router has nothing to forward to {guest}",
                request.to
            ))
            .seen(seen)
            .remedy(Remedy::Advice(elsewhere()));
        }
        if self.trials.host_is_answered != Some(true) {
            return self.nothing_for_anybody(seen);
        }
        Finding::fault(format!(
            "the router finds {guest}, and does not hand on to it what comes from behind: what comes for the host itself \
             does arrive. It filters what it forwards: a firewall that knows only the host's address or only connections of its \
             own side, or a list of addresses"
        ))
        .seen(seen)
        .seen(self.own_came_back())
        .remedy(Remedy::Advice(format!(
            "ask the provider to let {range} pass as it does {}, both ways, in the firewall in front of this host (also the \
             one in its control panel)",
            self.own()
        )))
    }

    fn not_taken(&self) -> Finding {
        let Journey { advertised, asked, questions, reply, near, .. } = *self.journey;
        let (guest, upstream) = (self.address(), self.upstream());
        let address = |known: Option<Ipv6Addr>| known.unwrap_or(Ipv6Addr::UNSPECIFIED);
        let (from, asker) = (address(advertised.map(|one| one.source)), address(asked.map(|one| one.source)));
        let times = if questions == 1 { "once".to_owned() } else { format!("{questions} times") };
        let end = match (reply.or(near), self.journey.was_announced) {
            (Some(_), _) => {
                ": what comes back does so only because of the announcement of the guest, and no more when that has aged"
            }
            (None, true) => ", nor the announcement: nothing comes back",
            (None, false) => ": nothing comes back",
        };
        let finding = Finding::fault(format!(
            "the router does not take the answer that {guest} is here{end}"
        ))
        .seen(format!("{upstream}: {asker} asked for {guest}, {times}, and was answered from {from}"));
        let Some(source) = self.trials.source else {
            let finding = finding.seen("the same from the target, a global and a link-local address");
            return self.with_link_local(finding).remedy(Remedy::Advice(format!(
                "ask the provider which addresses, and how many, may be used with the MAC {} at the port of {upstream}, and \
                 for a routed prefix, which needs no answers",
                self.journey.station
            )));
        };
        let name = match source {
            Source::Target => "target",
            Source::LinkLocal => "link-local",
            _ => "global",
        };
        finding
            .seen(format!("{upstream}: with source = \"{name}\" it comes"))
            .remedy(self.key("source", name))
    }

    /// Guests have no part in it.
    fn nothing_for_anybody(&self, seen: String) -> Finding {
        let to = self.journey.request.to;
        let (guest, who) = (
            self.address(),
            match self.trials.host_is_answered {
                Some(_) => ", and for the host itself neither",
                None => "",
            },
        );
        Finding::fault(format!(
            "nothing comes from behind the router for {guest}{who}: {to} is silent, or the way to it"
        ))
        .seen(seen)
        .remedy(Remedy::Advice(elsewhere()))
    }

    fn with_link_local(&self, finding: Finding) -> Finding {
        let own = self.spot.upstream.link_local;
        match has_other_link_local(&self.upstream(), own, self.journey.station) {
            Some(evidence) => finding.seen(evidence),
            None => finding,
        }
    }

    fn own_came_back(&self) -> String {
        format!("{}: a reply from behind the router, to the same packet from {}", self.upstream(), self.own())
    }

    /// The host's own address on the upstream.
    fn own(&self) -> String {
        self.spot.upstream.global.map_or_else(|| "this host".to_owned(), |own| own.to_string())
    }

    fn key(&self, key: &str, value: &str) -> Remedy {
        let upstream = self.upstream();
        Remedy::Config(format!("[[upstream]]\ninterface = \"{upstream}\"\n{key} = \"{value}\"\n"))
    }
}

fn elsewhere() -> String {
    "name a destination behind the router that answers pings: `lone64 doctor --live --to ADDRESS`".to_owned()
}

fn snooping_advice() -> String {
    "or a switch in between snoops MLD and keeps the questions from this host: mld = \"router\" tells it to deliver them \
     all, where it knows that"
        .to_owned()
}
