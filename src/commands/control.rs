//! The other end of the control socket: asks a running daemon, and says why it cannot.
//!
//! May touch: the control socket, who holds its lock, and whether anybody reads standard output.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::reader::{self, Reader};
use crate::daemon::socket::holder;

/// A connection to a daemon.
pub(super) struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

/// What comes of waiting for an event.
pub(super) enum Next {
    Line(String),
    /// The daemon has ended.
    End,
    /// Nobody reads what is printed.
    Unread,
}

/// Why there is no answer, or none that helps.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
    /// Nobody is there.
    #[error("no lone64 answers at {}: is it running? `systemctl status lone64` shows it", .0.display())]
    NotRunning(PathBuf),
    /// One is there, and not to be reached.
    #[error("lone64 runs (process {pid}), but its socket {} is gone: `kill -HUP {pid}` has it made again", .path.display())]
    Removed {
        /// The socket.
        path: PathBuf,
        /// The daemon.
        pid: i32,
    },
    /// Not for everybody.
    #[error("permission denied on {}: run as root, or join the group of the socket", .0.display())]
    Forbidden(PathBuf),
    /// It said nothing, or went away.
    #[error("lone64 does not answer at {}; `journalctl -u lone64` may show why", .path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// What happened instead.
        source: io::Error,
    },
    /// It said something else.
    #[error("the program that answers at {} is not lone64, or is another version of it; restart lone64 after an \
             update", .0.display())]
    Foreign(PathBuf),
    /// It said no.
    #[error("{}", .0["message"].as_str().unwrap_or("lone64 refuses, and gives no reason"))]
    Refused(Value),
}

impl ControlError {
    /// For programs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NotRunning(_) => "not_running",
            Self::Forbidden(_) => "forbidden",
            Self::Silent { .. } | Self::Removed { .. } => "silent",
            Self::Foreign(_) => "foreign",
            Self::Refused(_) => "refused",
        }
    }
}

impl Client {
    /// Connects to the daemon behind this socket.
    pub(super) fn connect(path: &Path) -> Result<Self, ControlError> {
        let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => match holder(path) {
                Some(pid) => ControlError::Removed { path: path.to_owned(), pid },
                None => ControlError::NotRunning(path.to_owned()),
            },
            ErrorKind::PermissionDenied => ControlError::Forbidden(path.to_owned()),
            _ => ControlError::Silent { path: path.to_owned(), source: error },
        })?;
        let client = Self { path: path.to_owned(), stream: BufReader::new(stream) };
        client.wait_at_most(Some(PATIENCE))?;
        Ok(client)
    }

    /// Asks for something, and returns the result.
    pub(super) fn ask(&mut self, method: &str, params: Value) -> Result<Value, ControlError> {
        let request = json!({ "method": method, "params": params });
        let sent = writeln!(self.stream.get_mut(), "{request}");
        // A daemon that has no room says so before it reads.
        let line =
            self.line().and_then(|line| line.ok_or_else(|| self.silent(ErrorKind::UnexpectedEof.into())));
        let line = match (line, sent) {
            (Ok(line), _) => line,
            (Err(_), Err(source)) => return Err(self.silent(source)),
            (Err(error), Ok(())) => return Err(error),
        };
        let mut reply: Value =
            serde_json::from_str(&line).map_err(|_| ControlError::Foreign(self.path.clone()))?;
        if reply["version"] != 1 {
            return Err(ControlError::Foreign(self.path.clone()));
        }
        match reply.get_mut("error").map(Value::take) {
            Some(fault) => Err(ControlError::Refused(fault)),
            None => Ok(reply["result"].take()),
        }
    }

    /// The next line, for as long as that takes; none when the daemon has ended, or when nobody reads standard output
    /// any more.
    pub(super) fn next_event(&mut self) -> Result<Next, ControlError> {
        self.wait_at_most(None)?;
        let has_line = self.stream.buffer().contains(&b'\n');
        if !has_line {
            let waited = reader::wait_for(self.stream.get_ref().as_fd());
            if waited.map_err(|source| self.silent(source))? == Reader::Gone {
                return Ok(Next::Unread);
            }
        }
        Ok(self.line()?.map_or(Next::End, Next::Line))
    }

    fn line(&mut self) -> Result<Option<String>, ControlError> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(line)),
            Err(source) => Err(self.silent(source)),
        }
    }

    fn wait_at_most(&self, time: Option<Duration>) -> Result<(), ControlError> {
        let stream = self.stream.get_ref();
        stream
            .set_read_timeout(time)
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
            .map_err(|source| self.silent(source))
    }

    fn silent(&self, source: io::Error) -> ControlError {
        ControlError::Silent { path: self.path.clone(), source }
    }
}

/// A reload reads a file, and a busy daemon serves its guests first.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_that_nobody_is_there_and_how_to_find_out() {
        let error = Client::connect(Path::new("/nonexistent/control.sock")).err().unwrap();
        assert_eq!(
            error.to_string(),
            "no lone64 answers at /nonexistent/control.sock: is it running? `systemctl status lone64` shows it"
        );
    }
}
