//! The packet filters that can stop the packets of a journey. Touches nothing.

use ipnet::Ipv6Net;

use crate::doctor::checks::path::{self, Direction, ROUTED, exceptions};
use crate::doctor::firewall::{Body, Exception, Fate, Hook, Objection, State, Unread};
use crate::doctor::{Finding, Host};

/// Names every rule that can drop what goes this way, with the command that lets this range pass.
pub(super) fn blame(mut finding: Finding, host: &Host, range: Ipv6Net, direction: Direction) -> Finding {
    let (body, state, exception) = match direction {
        Direction::FromGuests => (Body::Icmp(ECHO_REQUEST), State::New, Exception::From(range)),
        Direction::ToGuests => (Body::Icmp(TIME_EXCEEDED), State::Established, Exception::To(range)),
    };
    let ways = path::Way::all(host);
    let mut objections: Vec<Objection<'_>> = Vec::new();
    for way in ways.iter().filter(|way| way.range == range) {
        for hook in [Hook::Prerouting, Hook::Forward, Hook::Postrouting] {
            let packet = way.packet(direction, body, state);
            let met = host.firewall.rules.objections(hook, &ROUTED, "", &packet);
            let met = met.into_iter().filter(|one| !matches!(one.fate, Fate::Translated(_)));
            for objection in met {
                if !objections.iter().any(|known| known.is_same(&objection)) {
                    objections.push(objection);
                }
            }
        }
    }
    for objection in &objections {
        finding = finding.seen(objection.place());
    }
    let commands = exceptions(objections.iter().map(|objection| (objection, exception.clone())));
    finding = commands.into_iter().fold(finding, Finding::run);
    host.firewall.unread.iter().fold(finding, |finding, unread| {
        let (Unread::Nftables(why) | Unread::Legacy(_, why)) = unread;
        finding.seen(format!("the packet filters cannot be read: {why}"))
    })
}

// RFC 4443 §4.1 and §3.3.
const ECHO_REQUEST: u8 = 128;
const TIME_EXCEEDED: u8 = 3;
