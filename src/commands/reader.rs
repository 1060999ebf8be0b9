//! Who reads what a command prints again and again, and may go away at any time (`| head -1`).
//!
//! May touch: standard output, and a socket that something is waited for on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::terminal::put;

/// Whether anybody reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    There,
    Gone,
}

/// Shows a text at once.
pub(super) fn show(text: &str) -> io::Result<Reader> {
    match put(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        result => result.map(|()| Reader::There),
    }
}

/// Waits so long, but no longer than there is somebody who reads.
pub(super) fn wait(time: Duration) -> io::Result<Reader> {
    wait_at_most(None, PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX))
}

/// Waits until there is something to be read here, or nobody to read it.
pub(super) fn wait_for(input: BorrowedFd<'_>) -> io::Result<Reader> {
    wait_at_most(Some(input), PollTimeout::NONE)
}

fn wait_at_most(input: Option<BorrowedFd<'_>>, time: PollTimeout) -> io::Result<Reader> {
    let out = io::stdout();
    // That the other end is closed is told without being asked for.
    let mut waiting = vec![PollFd::new(out.as_fd(), PollFlags::empty())];
    waiting.extend(input.map(|input| PollFd::new(input, PollFlags::POLLIN)));
    loop {
        match poll(&mut waiting, time) {
            Err(Errno::EINTR) => continue,
            result => _ = result?,
        }
        let is_gone = waiting[0].any().unwrap_or(false);
        return Ok(if is_gone { Reader::Gone } else { Reader::There });
    }
}
