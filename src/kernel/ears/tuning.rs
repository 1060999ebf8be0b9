//! How a socket gets the filter of its role.

use std::io;
use std::sync::Arc;

use crate::engine::Role;
use crate::engine::facts::IfIndex;
use crate::kernel::packet::{PacketSocket, Stamps};
use crate::wire::filter::{self, Instruction};

/// Gives the old socket another filter; where there is none, or that fails, opens a new one.
pub(super) fn tune(
    link: IfIndex,
    role: &Role,
    old: Option<Arc<PacketSocket>>,
    stamps: Stamps,
) -> io::Result<Arc<PacketSocket>> {
    let tune_with = |program: &[Instruction]| -> io::Result<_> {
        if let Some(old) = old.as_ref().filter(|old| old.attach(program).is_ok()) {
            return Ok(Arc::clone(old));
        }
        let socket = match role {
            Role::Upstream { .. } => PacketSocket::open_with_ring(link, program),
            Role::Downstream => PacketSocket::open(link, program),
        }?;
        stamp(&socket, stamps);
        Ok(Arc::new(socket))
    };
    match (tune_with(&program(role)), role) {
        (Err(error), Role::Upstream { ranges, neighbors }) if error.raw_os_error() == Some(libc::ENOMEM) => {
            tune_with(&filter::upstream_in_brief(ranges, neighbors))
        }
        (result, _) => result,
    }
}

fn program(role: &Role) -> Vec<Instruction> {
    match role {
        Role::Upstream { ranges, neighbors } => filter::upstream(ranges, neighbors),
        Role::Downstream => filter::downstream(),
    }
}

/// A kernel that cannot say when frames came says nothing. They are answered without it.
pub(super) fn stamp(socket: &PacketSocket, stamps: Stamps) {
    if let Err(error) = socket.stamp(stamps) {
        tracing::debug!(%error, "frames have no time stamps");
    }
}
