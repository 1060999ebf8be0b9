//! One client: one request, one response, and the end of the connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Scrape;
use super::request::{LONGEST_HEAD, Refusal, Verdict, is_complete, verdict};

/// Answers one request, unless the client is too slow.
pub(super) async fn serve(mut stream: TcpStream, scrapes: mpsc::Sender<Scrape>) {
    // Whatever becomes of it, the connection ends here.
    let _ = timeout(PATIENCE, exchange(&mut stream, &scrapes)).await;
}

async fn exchange(stream: &mut TcpStream, scrapes: &mpsc::Sender<Scrape>) -> Option<()> {
    let response = match asked(stream).await? {
        Verdict::Metrics => {
            let (scrape, text) = oneshot::channel();
            scrapes.send(scrape).await.ok()?;
            response("200 OK", OPEN_METRICS, &text.await.ok()?)
        }
        Verdict::Refused(refusal) => {
            response(refusal.status(), "text/plain; charset=utf-8", "only GET /metrics is served here\n")
        }
    };
    stream.write_all(response.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()?;
    linger(stream).await
}

/// What the client asks for, when it has asked; none if it goes before.
async fn asked(stream: &mut TcpStream) -> Option<Verdict> {
    let mut head = Vec::with_capacity(CHUNK);
    let mut chunk = [0; CHUNK];
    loop {
        let searched = head.len();
        let length = stream.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
        head.extend_from_slice(&chunk[..length]);
        if is_complete(&head, searched) {
            return Some(verdict(&head));
        }
        if head.len() > LONGEST_HEAD {
            return Some(Verdict::Refused(Refusal::TooLarge));
        }
    }
}

/// A connection that is closed with bytes unread is reset, and the response may be lost with it.
async fn linger(stream: &mut TcpStream) -> Option<()> {
    let mut chunk = [0; CHUNK];
    for _ in 0..MOST_CHUNKS_UNHEARD {
        stream.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
    }
    Some(())
}

fn response(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    let allow = if status.starts_with("405") { "Allow: GET\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n\
         {body}"
    )
}

/// For everything; a scraper takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes; read at once.
const CHUNK: usize = 1 << 10;
const MOST_CHUNKS_UNHEARD: usize = 64;
/// The form of the OpenMetrics specification, as IANA knows it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
