//! Changes to the gateways' addresses: exclusively added, and marked as ours.

use std::future::Future;
use std::io;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressAttribute;

use super::Requests;
use super::lab::address_message;
use crate::engine::{AddressChange, AddressOutcome, GatewayAddress, Obstacle};

impl Requests {
    /// Adds or removes the address of a gateway.
    ///
    /// It is added for use at once, without DAD, and never in the place of another. The kernel looks at
    /// interface, address and length when it removes one, not at whose it is: who asks has to know.
    pub fn change_address(
        &self,
        change: &AddressChange,
    ) -> impl Future<Output = AddressOutcome> + Send + use<> {
        let (AddressChange::Add(ours) | AddressChange::Remove(ours)) = change;
        let mut message = address_message(ours.link, ours.address, GatewayAddress::PREFIX_LEN);
        // A kernel before 5.18 does not look at it.
        message.attributes.push(AddressAttribute::Protocol(ours.protocol.into()));
        let (message, flags) = match change {
            AddressChange::Add(_) => (RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL),
            AddressChange::Remove(_) => (RouteNetlinkMessage::DelAddress(message), 0),
        };
        let reply = self.submit(message, flags);
        let change = *change;
        async move { reply.await.map_or_else(|error| outcome(&change, error), |()| AddressOutcome::Done) }
    }
}

fn outcome(change: &AddressChange, error: io::Error) -> AddressOutcome {
    let obstacle = match (change, error.raw_os_error()) {
        (AddressChange::Add(_), Some(libc::EEXIST)) => return AddressOutcome::Exists,
        // It was not there, or went with its interface.
        (AddressChange::Remove(_), Some(libc::EADDRNOTAVAIL | libc::ENODEV | libc::ENXIO)) => {
            return AddressOutcome::Done;
        }
        (_, Some(libc::ENODEV | libc::ENXIO)) => Obstacle::NoDevice,
        (_, Some(libc::EACCES)) => Obstacle::SwitchedOff,
        (AddressChange::Add(_), Some(libc::EINVAL)) => Obstacle::NoIpv6,
        (_, Some(libc::EPERM)) => Obstacle::Other("run lone64 as root or with CAP_NET_ADMIN".to_owned()),
        _ => Obstacle::Other(error.to_string()),
    };
    AddressOutcome::Refused(obstacle)
}
