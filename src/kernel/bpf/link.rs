//! The program's place at the ingress of an interface: tcx, from Linux 6.6 on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{BpfError, LoadedProgram, call};
use crate::engine::facts::IfIndex;

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

    pub(super) fn from_pin(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl AsFd for TcxLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn gone(error: io::Error) -> BpfError {
    if error.raw_os_error() == Some(libc::ENOLINK) { BpfError::LinkGone } else { BpfError::Attach(error) }
}
