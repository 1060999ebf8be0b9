//! One client of the control socket: bounded in time, in the length of its lines and in their number.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::event;
use super::method::Method;
use super::reply::Reply;
use super::{Answer, Call};

/// Answers line after line, until the client goes or is too slow.
pub(super) async fn serve(mut stream: UnixStream, calls: mpsc::Sender<Call>) {
    let mut input = Input::default();
    loop {
        let line = match timeout(TIME_TO_ASK, input.line(&mut stream)).await {
            Ok(Line::Is(line)) => line,
            Ok(Line::TooLong) => {
                let message = format!("a request has at most {LONGEST_LINE} bytes");
                let _ = write(&mut stream, &Reply::fault("too_long", message).line()).await;
                return;
            }
            Ok(Line::End) | Err(_) => return,
        };
        match Method::parse(&line) {
            Ok(method) => {
                let (answer, answered) = oneshot::channel();
                // Without the daemon there is nothing to say any more.
                if calls.send(Call { method, answer }).await.is_err() {
                    return;
                }
                let sent = match answered.await {
                    Ok(Answer::Line(reply)) => write(&mut stream, &reply.line()).await,
                    Ok(Answer::Stream(events)) => return stream_events(stream, events).await,
                    Err(_) => return,
                };
                if sent.is_err() {
                    return;
                }
            }
            Err(fault) => {
                if write(&mut stream, &Reply::Fault(fault).line()).await.is_err() {
                    return;
                }
                // Who types needs no more, and who floods gets no more.
                sleep(AFTER_NONSENSE).await;
            }
        }
        // One request each per turn.
        tokio::task::yield_now().await;
    }
}

/// What has come, and has not been made a line of yet.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    is_at_end: bool,
}

enum Line {
    Is(Vec<u8>),
    TooLong,
    End,
}

impl Input {
    /// The next line that is not empty; at the end, also one that is not ended.
    async fn line(&mut self, stream: &mut UnixStream) -> Line {
        let mut searched = 0;
        loop {
            if let Some(length) = self.bytes[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=searched + length).collect();
                searched = 0;
                if !line.trim_ascii().is_empty() {
                    return Line::Is(line);
                }
                tokio::task::yield_now().await;
                continue;
            }
            searched = self.bytes.len();
            if searched > LONGEST_LINE {
                return Line::TooLong;
            }
            if self.is_at_end {
                let rest = std::mem::take(&mut self.bytes);
                return if rest.trim_ascii().is_empty() { Line::End } else { Line::Is(rest) };
            }
            let mut chunk = [0; CHUNK];
            match stream.read(&mut chunk).await {
                Ok(0) => self.is_at_end = true,
                Ok(length) => self.bytes.extend_from_slice(&chunk[..length]),
                Err(_) => return Line::End,
            }
        }
    }
}

/// Whatever happens, until the client goes. What it sends meanwhile says nothing.
async fn stream_events(mut stream: UnixStream, mut events: Receiver<Arc<str>>) {
    let begun = Reply::result(&serde_json::json!({ "watching": true })).line();
    if write(&mut stream, &begun).await.is_err() {
        return;
    }
    let mut chunk = [0; CHUNK];
    loop {
        let line = tokio::select! {
            received = events.recv() => match received {
                Ok(line) => line,
                Err(RecvError::Lagged(count)) => event::dropped(count).into(),
                Err(RecvError::Closed) => return,
            },
            read = stream.read(&mut chunk) => match read {
                Ok(length) if length > 0 => {
                    sleep(AFTER_NONSENSE).await;
                    continue;
                }
                _ => return,
            },
        };
        if write(&mut stream, &line).await.is_err() {
            return;
        }
    }
}

async fn write(stream: &mut UnixStream, line: &str) -> Result<(), ()> {
    match timeout(TIME_TO_READ, stream.write_all(line.as_bytes())).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(()),
    }
}

/// Bytes.
const LONGEST_LINE: usize = 64 << 10;
/// Bytes; read at once.
const CHUNK: usize = 4 << 10;
/// For a whole request, from the end of the one before.
const TIME_TO_ASK: Duration = Duration::from_secs(10);
/// For a whole line of ours.
const TIME_TO_READ: Duration = Duration::from_secs(10);
const AFTER_NONSENSE: Duration = Duration::from_millis(50);
