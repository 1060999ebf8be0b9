//! The head of an HTTP request (RFC 9112), as far as it matters: method, path, and `Accept`.

use httparse::{EMPTY_HEADER, Status};

use super::accept::Format;

/// What a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) verdict: Verdict,
    pub(super) body: Body,
}

/// Whether it gets metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The metrics, in this format.
    Metrics(Format),
    /// A refusal: its status and its reason.
    Refused(Refusal),
}

/// RFC 9110 §9.3.2: "The HEAD method is identical to GET except that the server MUST NOT send content in the response."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Sent,
    LeftOut,
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
pub(super) fn reply(head: &[u8]) -> Reply {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Reply::refused(Refusal::TooLarge),
        Ok(Status::Partial) | Err(_) => return Reply::refused(Refusal::BadRequest),
    }
    let path = request.path.and_then(|path| path.split('?').next());
    let verdict = match (path, request.method) {
        (Some("/metrics"), Some("GET" | "HEAD")) => Verdict::Metrics(Format::preferred(accepts(&request))),
        (Some("/metrics"), _) => Verdict::Refused(Refusal::MethodNotAllowed),
        _ => Verdict::Refused(Refusal::NotFound),
    };
    let body = if request.method == Some("HEAD") { Body::LeftOut } else { Body::Sent };
    Reply { verdict, body }
}

/// Each value of `Accept`; a client may send several.
fn accepts<'a>(request: &'a httparse::Request<'_, '_>) -> impl Iterator<Item = &'a str> {
    let accepts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("accept"));
    accepts.filter_map(|header| str::from_utf8(header.value).ok())
}

impl Reply {
    pub(super) const fn refused(refusal: Refusal) -> Self {
        Self { verdict: Verdict::Refused(refusal), body: Body::Sent }
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
    fn serves_get_and_head_of_metrics_and_nothing_else() {
        let good = Verdict::Metrics(Format::Text);
        for (head, wanted) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n", good),
            ("GET /metrics HTTP/1.0\n\n", good),
            ("GET /metrics?name[]=x HTTP/1.1\r\n\r\n", good),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", good),
            ("GET / HTTP/1.1\r\n\r\n", Verdict::Refused(Refusal::NotFound)),
            ("GET /metrics/ HTTP/1.1\r\n\r\n", Verdict::Refused(Refusal::NotFound)),
            ("POST /else HTTP/1.1\r\n\r\n", Verdict::Refused(Refusal::NotFound)),
            ("POST /metrics HTTP/1.1\r\n\r\n", Verdict::Refused(Refusal::MethodNotAllowed)),
            ("OPTIONS /metrics HTTP/1.1\r\n\r\n", Verdict::Refused(Refusal::MethodNotAllowed)),
            ("get /metrics HTTP/1.1\r\n\r\n", Verdict::Refused(Refusal::MethodNotAllowed)),
            ("\u{16}\u{3}\u{1}\n\n", Verdict::Refused(Refusal::BadRequest)),
            ("GET /metrics\r\n\r\n", Verdict::Refused(Refusal::BadRequest)),
            ("GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", Verdict::Refused(Refusal::BadRequest)),
            ("\r\n\r\n", Verdict::Refused(Refusal::BadRequest)),
        ] {
            let body = if head.starts_with("HEAD") { Body::LeftOut } else { Body::Sent };
            assert_eq!(reply(head.as_bytes()), Reply { verdict: wanted, body }, "{head:?}");
        }
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS + 1));
        assert_eq!(reply(many.as_bytes()), Reply::refused(Refusal::TooLarge));
    }

    #[test]
    fn reads_every_accept_of_a_request() {
        let format =
            |headers: &str| reply(format!("GET /metrics HTTP/1.1\r\n{headers}\r\n").as_bytes()).verdict;
        let open = "application/openmetrics-text";
        assert_eq!(format(&format!("ACCEPT: {open}\r\n")), Verdict::Metrics(Format::OpenMetrics));
        let two = format!("Accept: text/plain;q=0.2\r\nAccept: {open};q=0.3\r\n");
        assert_eq!(format(&two), Verdict::Metrics(Format::OpenMetrics));
        assert_eq!(format(&format!("Accept-Language: {open}\r\n")), Verdict::Metrics(Format::Text));
        assert_eq!(format("Accept: \u{ff}\r\n"), Verdict::Metrics(Format::Text));
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
