//! One connection as a sequence of requests and answers: bytes in, bytes out. It must not know sockets, time, nor what the answers say.

use super::request::{self, LONGEST_HEAD, Refusal, Request, Resource};

/// A resource's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The server's side of a connection. What it holds of the peer's is bounded by [`LONGEST_HEAD`], and of its own by one answer.
#[derive(Debug, Default)]
pub struct Exchange {
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    /// A request whose content is to be had yet.
    waiting: Option<(Resource, bool, bool)>,
    /// No other request is read.
    last: bool,
    answers: u64,
}

/// Which method there is (RFC 9110, 15.5.6).
const ALLOW: &str = "Allow: GET, HEAD\r\n";

impl Exchange {
    /// Nothing said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes it takes now.
    pub fn room(&self) -> usize {
        if self.last { usize::MAX } else { LONGEST_HEAD - self.input.len() }
    }

    /// Bytes of the peer, [`room`](Self::room) at most; what is more is cut off.
    pub fn feed(&mut self, bytes: &[u8]) {
        // Behind the last request nothing is listened to.
        if !self.last {
            self.input.extend_from_slice(&bytes[..bytes.len().min(self.room())]);
            self.next();
        }
    }

    /// What the peer waits for.
    pub fn asks(&self) -> Option<Resource> {
        self.waiting.map(|(resource, ..)| resource)
    }

    /// Answers what the peer waits for, if it does; with `None` that it is not to be had now.
    pub fn answer(&mut self, content: Option<Content>) {
        let Some((_, head_only, keep)) = self.waiting.take() else { return };
        match content {
            Some(content) => {
                let about = format!(
                    "Content-Type: {}\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
                     Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n",
                    content.media_type
                );
                self.write("200 OK", &about, &content.bytes, head_only, keep);
            }
            None => self.tell("503 Service Unavailable", "Retry-After: 1\r\n", head_only, keep),
        }
        self.next();
    }

    /// What is to be sent.
    pub fn unsent(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// So many bytes of [`unsent`](Self::unsent) were sent.
    pub fn advance(&mut self, sent: usize) {
        self.sent = (self.sent + sent).min(self.output.len());
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
            self.next();
        }
    }

    /// The last answer was given and sent: the connection is to be closed.
    pub fn is_over(&self) -> bool {
        self.last && self.unsent().is_empty() && self.waiting.is_none()
    }

    /// The peer has begun a request, and it is not whole.
    pub fn is_in_head(&self) -> bool {
        !self.input.is_empty() && self.waiting.is_none() && self.unsent().is_empty() && !self.last
    }

    /// Answers so far.
    pub fn answers(&self) -> u64 {
        self.answers
    }

    /// Reads the next request, when the answer before is sent.
    fn next(&mut self) {
        if self.last || self.waiting.is_some() || !self.unsent().is_empty() {
            return;
        }
        match request::parse(&self.input) {
            Ok(None) => {}
            Ok(Some(request)) => {
                self.input.drain(..request.length);
                self.take(request);
            }
            Err(refusal) => self.tell(
                match refusal {
                    Refusal::Malformed => "400 Bad Request",
                    Refusal::TooLong => "431 Request Header Fields Too Large",
                    Refusal::Version => "505 HTTP Version Not Supported",
                },
                "",
                false,
                false,
            ),
        }
    }

    fn take(&mut self, request: Request) {
        match (request.resource, request.head_only) {
            (Some(resource), Some(head_only)) => self.waiting = Some((resource, head_only, request.keep)),
            (Some(_), None) => self.tell("405 Method Not Allowed", ALLOW, false, request.keep),
            (None, head_only) => self.tell("404 Not Found", "", head_only.unwrap_or(false), request.keep),
        }
    }

    /// An answer that is its status.
    fn tell(&mut self, status: &str, about: &str, head_only: bool, keep: bool) {
        let about = format!("Content-Type: text/plain; charset=utf-8\r\n{about}");
        self.write(status, &about, format!("{status}\n").as_bytes(), head_only, keep);
    }

    /// There is no Date: a server without a clock sends none (RFC 9110, 6.6.1).
    fn write(&mut self, status: &str, about: &str, body: &[u8], head_only: bool, keep: bool) {
        let connection = if keep { "keep-alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 {status}\r\n{about}Content-Length: {}\r\nConnection: {connection}\r\n\r\n",
            body.len()
        );
        self.output.extend_from_slice(head.as_bytes());
        if !head_only {
            self.output.extend_from_slice(body);
        }
        self.answers += 1;
        self.last = !keep;
        if self.last {
            self.input = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: &str) -> Option<Content> {
        Some(Content { media_type: "text/html; charset=utf-8", bytes: bytes.into() })
    }

    fn sent(exchange: &mut Exchange) -> String {
        let text = String::from_utf8(exchange.unsent().to_vec()).unwrap();
        exchange.advance(text.len());
        text
    }

    #[test]
    fn requests_in_one_piece_are_answered_one_after_the_other() {
        let mut exchange = Exchange::new();
        exchange.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nHEAD /status.json HTTP/1.1\r\nHost: x\r\n\r\nGET /no HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(exchange.asks(), Some(Resource::Page));
        exchange.answer(content("<p>"));
        assert_eq!(exchange.asks(), None, "the answer before is not sent");
        let first = sent(&mut exchange);
        assert!(
            first.starts_with("HTTP/1.1 200 OK\r\n") && first.ends_with("Connection: keep-alive\r\n\r\n<p>")
        );
        assert_eq!(exchange.asks(), Some(Resource::Status));
        exchange.answer(content("0123456789"));
        let second = sent(&mut exchange);
        assert!(second.contains("Content-Length: 10\r\n") && second.ends_with("\r\n\r\n"), "{second}");
        assert!(!exchange.is_over());
        let third = sent(&mut exchange);
        assert!(third.starts_with("HTTP/1.1 404 ") && third.contains("Connection: close\r\n"), "{third}");
        assert!(exchange.is_over());
        assert_eq!(exchange.answers(), 3);
    }

    #[test]
    fn each_refusal_has_its_status() {
        for (request, status) in [
            ("POST / HTTP/1.1\r\nHost: x\r\n\r\n", "405 Method Not Allowed"),
            ("DELETE /no HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found"),
            ("nonsense\r\n\r\n", "400 Bad Request"),
            ("GET / HTTP/3.1\r\n\r\n", "505 HTTP Version Not Supported"),
        ] {
            let mut exchange = Exchange::new();
            exchange.feed(request.as_bytes());
            let answer = sent(&mut exchange);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
            assert_eq!(answer.contains(ALLOW), status.starts_with("405"), "{answer}");
        }
        let mut exchange = Exchange::new();
        exchange.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        exchange.answer(None);
        assert!(sent(&mut exchange).starts_with("HTTP/1.1 503 "));
    }

    #[test]
    fn what_comes_without_end_is_bounded() {
        let mut exchange = Exchange::new();
        while !exchange.is_over() {
            let room = exchange.room();
            assert!((1..=LONGEST_HEAD).contains(&room));
            exchange.feed(&b"GET /".repeat(1000)[..room.min(7)]);
            exchange.advance(usize::MAX >> 1);
        }
        exchange.feed(&[b'x'; 100_000]);
        assert!(exchange.input.capacity() == 0 && exchange.unsent().is_empty());
    }
}
