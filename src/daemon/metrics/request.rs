//! The head of an HTTP request (RFC 9112), as far as it matters: method and path.

use httparse::{EMPTY_HEADER, Status};

/// What a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The metrics.
    Metrics,
    /// A refusal: its status and its reason.
    Refused(Refusal),
}

/// Why a client does not get metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// This is no HTTP request.
    BadRequest,
    /// There is nothing under this path.
    NotFound,
    /// Metrics can only be read.
    MethodNotAllowed,
    /// The request is too long.
    TooLarge,
}

impl Refusal {
    /// As in the status line.
    pub(super) const fn status(self) -> &'static str {
        match self {
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::TooLarge => "431 Request Header Fields Too Large",
        }
    }
}

/// Whether the head ends in `bytes`, of which the first `searched` have been looked at before.
pub(super) fn is_complete(bytes: &[u8], searched: usize) -> bool {
    let rest = &bytes[searched.saturating_sub(LONGEST_END - 1)..];
    rest.windows(2).any(|end| end == b"\n\n") || rest.windows(3).any(|end| end == b"\n\r\n")
}

/// What is to be said to a whole head.
pub(super) fn verdict(head: &[u8]) -> Verdict {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) => return Verdict::Refused(Refusal::BadRequest),
        Err(httparse::Error::TooManyHeaders) => return Verdict::Refused(Refusal::TooLarge),
        Err(_) => return Verdict::Refused(Refusal::BadRequest),
    }
    let path = request.path.and_then(|path| path.split('?').next());
    match (path, request.method) {
        (Some("/metrics"), Some("GET")) => Verdict::Metrics,
        (Some("/metrics"), _) => Verdict::Refused(Refusal::MethodNotAllowed),
        _ => Verdict::Refused(Refusal::NotFound),
    }
}

/// Bytes.
pub(super) const LONGEST_HEAD: usize = 4 << 10;
const MOST_HEADERS: usize = 64;
/// Bytes, of what ends a head.
const LONGEST_END: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_get_of_metrics_and_nothing_else() {
        for (head, wanted) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n", Verdict::Metrics),
            ("GET /metrics HTTP/1.0\n\n", Verdict::Metrics),
            ("GET /metrics?name[]=x HTTP/1.1\r\n\r\n", Verdict::Metrics),
            ("GET / HTTP/1.1\r\n\r\n", Verdict::Refused(Refusal::NotFound)),
            ("GET /metrics/ HTTP/1.1\r\n\r\n", Verdict::Refused(Refusal::NotFound)),
            ("POST /else HTTP/1.1\r\n\r\n", Verdict::Refused(Refusal::NotFound)),
            ("POST /metrics HTTP/1.1\r\n\r\n", Verdict::Refused(Refusal::MethodNotAllowed)),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", Verdict::Refused(Refusal::MethodNotAllowed)),
            ("get /metrics HTTP/1.1\r\n\r\n", Verdict::Refused(Refusal::MethodNotAllowed)),
            ("\u{16}\u{3}\u{1}\n\n", Verdict::Refused(Refusal::BadRequest)),
            ("GET /metrics\r\n\r\n", Verdict::Refused(Refusal::BadRequest)),
            ("GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", Verdict::Refused(Refusal::BadRequest)),
            ("\r\n\r\n", Verdict::Refused(Refusal::BadRequest)),
        ] {
            assert_eq!(verdict(head.as_bytes()), wanted, "{head:?}");
        }
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS + 1));
        assert_eq!(verdict(many.as_bytes()), Verdict::Refused(Refusal::TooLarge));
    }

    #[test]
    fn sees_the_end_wherever_a_read_has_cut_it() {
        let head = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        for cut in 0..head.len() {
            assert!(!is_complete(&head[..cut], 0), "{cut}");
            assert!(is_complete(head, cut), "{cut}");
        }
    }
}
