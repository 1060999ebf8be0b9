//! The program's place at the ingress of an interface: tcx, from Linux 6.6 on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{BpfError, LoadedProgram, call, look};
use crate::engine::facts::IfIndex;
use crate::kernel::netlink::{Classifier, Hook};

/// A program that is attached to an interface. It is detached with the last descriptor, unless the link is pinned.
#[derive(Debug)]
pub struct TcxLink {
    fd: OwnedFd,
}

impl TcxLink {
    /// Attaches a program behind all that are there, in the network namespace of this thread.
    pub fn attach(program: &LoadedProgram, interface: IfIndex) -> Result<Self, BpfError> {
        match call::create_link(program.as_fd(), interface.0) {
            Ok(fd) => Ok(Self { fd }),
            // An older kernel does not know this kind of place, or this kind of link.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(BpfError::NoTcx),
            Err(error) => Err(BpfError::Attach(error)),
        }
    }

    /// Puts another program in the place of the present one. No frame comes between them.
    pub fn replace(&self, program: &LoadedProgram) -> Result<(), BpfError> {
        call::update_link(self.fd.as_fd(), program.as_fd()).map_err(gone)
    }

    /// The interface that it is attached to; none if that has gone, or somebody has detached it.
    pub fn interface(&self) -> Result<Option<IfIndex>, BpfError> {
        look::attached_to(self.fd.as_fd()).map_err(BpfError::Attach)
    }

    /// Detaches the program at once, pinned or not, also if another process has a descriptor: a process that was just
    /// forked has one until it runs another program. If the interface is gone, this is done already.
    pub fn detach(self) -> Result<(), BpfError> {
        match call::detach_link(self.fd.as_fd()) {
            Err(error) if error.raw_os_error() != Some(libc::ENOLINK) => Err(BpfError::Attach(error)),
            _ => Ok(()),
        }
    }

    pub(super) fn from_pin(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl AsFd for TcxLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The programs that tcx has at the ingress and egress of these links, ours among them. Empty where that is not to be
/// had: it takes CAP_NET_ADMIN, and Linux 6.6. Their names take CAP_SYS_ADMIN.
pub fn tcx_programs(links: &[IfIndex]) -> Vec<Classifier> {
    let mut all = Vec::new();
    for link in links {
        for (hook, place) in [(Hook::Ingress, call::TCX_INGRESS), (Hook::Egress, call::TCX_EGRESS)] {
            let numbers = call::attached(link.0, place).unwrap_or_default();
            all.extend(numbers.into_iter().map(|number| Classifier {
                link: *link,
                hook,
                kind: Classifier::TCX.to_owned(),
                program: call::program_name(number).ok().filter(|name| !name.is_empty()),
                // What a program does cannot be read from it.
                may_drop: true,
            }));
        }
    }
    all
}

fn gone(error: io::Error) -> BpfError {
    if error.raw_os_error() == Some(libc::ENOLINK) { BpfError::LinkGone } else { BpfError::Attach(error) }
}
