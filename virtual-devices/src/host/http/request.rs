//! The head of an HTTP request: what is asked for, or why it is refused (RFC 9110, RFC 9112). It keeps nothing and knows no answer.

use httparse::{EMPTY_HEADER, Error, Status};

/// Bytes of a head that is too long.
pub const LONGEST_HEAD: usize = 4096;
/// Header fields of a head that has too many.
const FIELDS: usize = 64;

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `/`: the page for people.
    Page,
    /// `/status.json`: the same for programs.
    Status,
}

/// A request that was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// `None`: another one than there is.
    pub(super) resource: Option<Resource>,
    /// `None`: neither GET nor HEAD.
    pub(super) head_only: Option<bool>,
    /// The connection stays for another request.
    pub(super) keep: bool,
    /// Bytes of the head.
    pub(super) length: usize,
}

/// Why a request is refused; the connection is closed with it, since where the next request begins is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 400.
    Malformed,
    /// 431 (RFC 6585, 5).
    TooLong,
    /// 505.
    Version,
}

/// The request at the beginning of these bytes; `None`: its head is not whole yet.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Request>, Refusal> {
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) if length <= LONGEST_HEAD => length,
        Ok(Status::Partial) if bytes.len() < LONGEST_HEAD => return Ok(None),
        Ok(_) | Err(Error::TooManyHeaders) => return Err(Refusal::TooLong),
        Err(Error::Version) => return Err(Refusal::Version),
        Err(_) => return Err(Refusal::Malformed),
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Refusal::Malformed);
    };
    let named = |name: &'static str| {
        let of_name = move |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(name);
        request.headers.iter().filter(of_name).map(|field| field.value)
    };
    // RFC 9112, 3.2: one Host, or none before HTTP/1.1.
    let hosts = named("host").count();
    if hosts > 1 || hosts == 0 && minor > 0 {
        return Err(Refusal::Malformed);
    }
    let has_body = has_body(named("content-length"), named("transfer-encoding").next().is_some())?;
    let options = || named("connection").flat_map(|value| value.split(|byte| *byte == b','));
    let says =
        |option: &str| options().any(|value| value.trim_ascii().eq_ignore_ascii_case(option.as_bytes()));
    let keep = !says("close") && (minor > 0 || says("keep-alive"));
    Ok(Some(Request {
        resource: resource(target),
        head_only: match method {
            "GET" => Some(false),
            "HEAD" => Some(true),
            _ => None,
        },
        // What nobody asked for is not read.
        keep: keep && !has_body,
        length,
    }))
}

/// Whether a body follows. Lengths that contradict each other or are none are refused (RFC 9112, 6.3).
fn has_body<'a>(lengths: impl Iterator<Item = &'a [u8]>, encoded: bool) -> Result<bool, Refusal> {
    let mut body = encoded;
    let mut first = None;
    for length in lengths {
        let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
        if !is_number || *first.get_or_insert(length) != length || encoded {
            return Err(Refusal::Malformed);
        }
        body |= length.iter().any(|digit| *digit != b'0');
    }
    Ok(body)
}

/// The resource of a target in origin form or absolute form (RFC 9112, 3.2).
fn resource(target: &str) -> Option<Resource> {
    let scheme = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let path = match scheme {
        Some(_) => target[7..].find(['/', '?']).map_or("/", |at| &target[7 + at..]),
        None => target,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    match path {
        "/" | "/index.html" => Some(Resource::Page),
        "" if scheme.is_some() => Some(Resource::Page),
        "/status.json" => Some(Resource::Status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(head: &str) -> Result<Option<Request>, Refusal> {
        parse(head.as_bytes())
    }

    #[test]
    fn targets_lead_to_resources() {
        for (target, expected) in [
            ("/", Some(Resource::Page)),
            ("/?refresh", Some(Resource::Page)),
            ("/status.json?x=/", Some(Resource::Status)),
            ("http://10.0.2.1", Some(Resource::Page)),
            ("HTTP://[fd00::1]:80/status.json", Some(Resource::Status)),
            ("http://10.0.2.1?x", Some(Resource::Page)),
            ("/status.json/", None),
            ("*", None),
            ("/favicon.ico", None),
            ("/../status.json", None),
        ] {
            let request = ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).unwrap().unwrap();
            assert_eq!((request.resource, request.head_only), (expected, Some(false)), "{target}");
        }
    }

    #[test]
    fn connections_are_kept_as_the_version_and_the_peer_say() {
        for (head, keep) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nhost:\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: x\r\nConnection: a, CLOSE\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", false),
            ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 00\r\n\r\n", true),
            ("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", false),
        ] {
            assert_eq!(ask(head).unwrap().unwrap().keep, keep, "{head}");
        }
    }

    #[test]
    fn nonsense_is_refused_and_half_a_head_is_waited_for() {
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(LONGEST_HEAD));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
        for (head, refusal) in [
            ("\x16\x03\x01\x02\0\x01\0", Refusal::Malformed),
            ("GET / HTTP/1.1\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", Refusal::Malformed),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                Refusal::Malformed,
            ),
            (
                "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Refusal::Malformed,
            ),
            ("GET / HTTP/2.0\r\nHost: x\r\n\r\n", Refusal::Version),
            (&long, Refusal::TooLong),
            (&many, Refusal::TooLong),
        ] {
            assert_eq!(ask(head), Err(refusal), "{head}");
        }
        assert_eq!(ask("GET / HTTP/1.1\r\nHost: x\r\n"), Ok(None));
        assert_eq!(ask(""), Ok(None));
    }
}
