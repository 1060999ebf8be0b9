//! One client: one request, one response, and the end of the connection.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Scrape;
use super::request::{Body, LONGEST_HEAD, Refusal, Reply, Verdict, is_complete, reply};

/// A connection, whatever it goes over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// Answers one request, unless the client is too slow.
pub(super) async fn serve(mut stream: impl Stream, scrapes: mpsc::Sender<Scrape>) {
    // Whatever becomes of it, the connection ends here.
    let _ = timeout(PATIENCE, exchange(&mut stream, &scrapes)).await;
}

async fn exchange(stream: &mut impl Stream, scrapes: &mpsc::Sender<Scrape>) -> Option<()> {
    let Reply { verdict, body } = asked(stream).await?;
    let response = match verdict {
        Verdict::Metrics(format) => {
            let (answer, text) = oneshot::channel();
            scrapes.send(Scrape { format, answer }).await.ok()?;
            // A cache between the two keeps the formats apart.
            response("200 OK", "Vary: Accept\r\n", format.content_type(), &text.await.ok()?, body)
        }
        Verdict::Refused(refusal) => {
            let allow = if refusal == Refusal::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
            response(refusal.status(), allow, "text/plain; charset=utf-8", REFUSED, body)
        }
    };
    stream.write_all(response.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()?;
    linger(stream).await
}

/// What the client asks for, when it has asked; none if it goes before.
async fn asked(stream: &mut impl Stream) -> Option<Reply> {
    let mut head = Vec::with_capacity(CHUNK);
    let mut chunk = [0; CHUNK];
    loop {
        let searched = head.len();
        let length = stream.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
        head.extend_from_slice(&chunk[..length]);
        if is_complete(&head, searched) {
            return Some(reply(&head));
        }
        if head.len() > LONGEST_HEAD {
            return Some(Reply::refused(Refusal::TooLarge));
        }
    }
}

/// A connection that is closed with bytes unread is reset, and the response may be lost with it.
async fn linger(stream: &mut impl Stream) -> Option<()> {
    let mut chunk = [0; CHUNK];
    for _ in 0..MOST_CHUNKS_UNHEARD {
        stream.read(&mut chunk).await.ok().filter(|length| *length > 0)?;
    }
    Some(())
}

/// `more` are further header lines. The length is that of the text, also where that is left out.
fn response(status: &str, more: &str, kind: &str, text: &str, body: Body) -> String {
    let length = text.len();
    let text = if body == Body::Sent { text } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n\
         {text}"
    )
}

/// For everything; a scraper takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes; read at once.
const CHUNK: usize = 1 << 10;
const MOST_CHUNKS_UNHEARD: usize = 64;
const REFUSED: &str = "only GET and HEAD of /metrics are served here\n";
