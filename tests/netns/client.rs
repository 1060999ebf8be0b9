//! Clients of the control socket: the program's own, and those that no program would be.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;

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

/// The status of a child that is about to end; if it does not, it is killed.
pub(crate) fn ended(mut child: Child) -> Option<i32> {
    let (told, ending) = channel();
    // Its standard error closes with it.
    let mut pipe = child.stderr.take().expect("piped");
    thread::spawn(move || {
        let _ = io::copy(&mut pipe, &mut io::sink());
        let _ = told.send(());
    });
    if ending.recv_timeout(PATIENCE).is_err() {
        let _ = child.kill();
        panic!("still there");
    }
    child.wait().expect("our child").code()
}

fn command(socket: &Path, arguments: &str) -> Command {
    let mut command = Command::new(BINARY);
    // Its marks are not those of every locale.
    command.env("LC_ALL", "C.UTF-8");
    command.args(arguments.split_whitespace()).arg("--socket").arg(socket).stdin(Stdio::null());
    command
}
