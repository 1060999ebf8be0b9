//! Clients of the control socket: the program's own, and those that no program would be.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::{BINARY, Daemon};
use crate::endpoint::PATIENCE;

/// Sends a line, and returns the line that comes back.
pub(crate) fn ask(socket: &Path, request: &str) -> Value {
    let mut stream = connect(socket);
    writeln!(stream, "{request}").expect("it reads");
    reply(&stream)
}

/// The status, as one page.
pub(crate) fn status(daemon: &Daemon) -> Value {
    ask(&daemon.socket(), r#"{"method":"status"}"#)["result"].take()
}

/// The next line that comes.
pub(crate) fn reply(stream: &UnixStream) -> Value {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("it answers");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

pub(crate) fn connect(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
    stream
}

/// Runs `lone64 COMMAND --socket …` to its end.
pub(crate) fn lone64(socket: &Path, arguments: &str) -> Output {
    command(socket, arguments).output().expect("it starts")
}

/// Starts `lone64 COMMAND --socket …`; its standard output can be read.
pub(crate) fn start(socket: &Path, arguments: &str) -> Child {
    command(socket, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

/// The status of a child, within two seconds; it is killed then.
pub(crate) fn ended(mut child: Child) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("our child") {
            return status.code();
        }
        std::thread::yield_now();
    }
    let _ = child.kill();
    panic!("still there");
}

fn command(socket: &Path, arguments: &str) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments.split_whitespace()).arg("--socket").arg(socket).stdin(Stdio::null());
    command
}
