//! How a person names a USB/IP server and one of its devices: `usbip://host[:port][/bus-id]`. It must not connect to anything.

use std::fmt;
use std::net::Ipv6Addr;

use outboard_core::usb::usbip::PORT;

/// A server, and perhaps one of its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// A name or an address; IPv6 without its brackets, perhaps with a zone (`fe80::1%eth0`).
    pub(crate) host: String,
    /// The TCP port.
    pub(crate) port: u16,
    /// What the server calls the device, such as `1-2`.
    pub(crate) bus_id: Option<String>,
}

/// The text begins like a URL and is none of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseUrlError {
    text: String,
    reason: &'static str,
}

const SCHEME: &str = "usbip://";

/// The longest bus id: the protocol has 32 bytes, and the last is zero.
const LONGEST_BUS_ID: usize = 31;

impl Url {
    /// Whether it is meant to be such a URL.
    pub(crate) fn is_meant(text: &str) -> bool {
        text.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
    }

    /// Reads one.
    ///
    /// # Errors
    /// A part is missing or cannot be.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseUrlError> {
        Self::parse_parts(text).map_err(|reason| ParseUrlError { text: text.to_owned(), reason })
    }

    fn parse_parts(text: &str) -> Result<Self, &'static str> {
        if !Self::is_meant(text) {
            return Err("it does not begin with usbip://");
        }
        let rest = &text[SCHEME.len()..];
        let (server, bus_id) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match server.strip_prefix('[') {
            Some(bracketed) => {
                let (address, port) = bracketed.split_once(']').ok_or("the bracket is not closed")?;
                let (plain, zone) = address.split_once('%').unwrap_or((address, "0"));
                plain.parse::<Ipv6Addr>().map_err(|_| "what is in the brackets is no IPv6 address")?;
                if zone.is_empty() || zone.chars().any(|c| !c.is_ascii_graphic()) {
                    return Err("the IPv6 address has no zone behind the %");
                }
                (address, port)
            }
            None => {
                let at = server.find(':').unwrap_or(server.len());
                let (host, port) = server.split_at(at);
                if port.matches(':').count() > 1 {
                    return Err("an IPv6 address has to be in brackets, as in usbip://[::1]/1-2");
                }
                if host.is_empty() {
                    return Err("there is no host");
                }
                if !host.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_')) {
                    return Err("the host is neither a name nor an address");
                }
                (host, port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => PORT,
            None => return Err("what is behind the bracket is no port"),
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|port| *port != 0 && digits.bytes().all(|byte| byte.is_ascii_digit()))
                .ok_or("the port is no number from 1 to 65535")?,
        };
        let plain = bus_id.chars().all(|c| c.is_ascii_graphic() && c != '/');
        if !plain || bus_id.len() > LONGEST_BUS_ID {
            return Err("what is behind the server is no bus id");
        }
        let bus_id = Some(bus_id.to_owned()).filter(|id| !id.is_empty());
        Ok(Self { host: host.to_owned(), port, bus_id })
    }

    /// The server as people write it: `far:3240`, `[::1]:3240`.
    pub(crate) fn server(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// The same server with another device, or none.
    pub(crate) fn with(&self, bus_id: Option<&str>) -> Self {
        Self { bus_id: bus_id.map(str::to_owned), ..self.clone() }
    }
}

impl fmt::Display for Url {
    /// The shortest that reads the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.server();
        let usual = format!(":{PORT}");
        write!(f, "{SCHEME}{}", server.strip_suffix(&usual).unwrap_or(&server))?;
        match &self.bus_id {
            Some(bus_id) => write!(f, "/{bus_id}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ParseUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' names no USB/IP server: {}", self.text, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_devices_are_read_and_written_again() {
        for (text, host, port, bus_id, again) in [
            ("usbip://far/1-2.3", "far", 3240, Some("1-2.3"), "usbip://far/1-2.3"),
            (
                "usbip://far.example:4000/1-2",
                "far.example",
                4000,
                Some("1-2"),
                "usbip://far.example:4000/1-2",
            ),
            ("usbip://192.0.2.1", "192.0.2.1", 3240, None, "usbip://192.0.2.1"),
            ("usbip://192.0.2.1:3240/", "192.0.2.1", 3240, None, "usbip://192.0.2.1"),
            ("USBIP://[::1]/1-1", "::1", 3240, Some("1-1"), "usbip://[::1]/1-1"),
            ("usbip://[fe80::1%eth0]:99", "fe80::1%eth0", 99, None, "usbip://[fe80::1%eth0]:99"),
            ("usbip://bücher/1-1", "bücher", 3240, Some("1-1"), "usbip://bücher/1-1"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((&*url.host, url.port, url.bus_id.as_deref()), (host, port, bus_id), "{text}");
            assert_eq!(url.to_string(), again);
            assert_eq!(Url::parse(again), Ok(url));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, reason) in [
            ("usb://far/1-2", "usbip://"),
            ("usbip:/far", "usbip://"),
            ("usbip://", "no host"),
            ("usbip:///1-2", "no host"),
            ("usbip://:3240/1-2", "no host"),
            ("usbip://::1/1-2", "brackets"),
            ("usbip://[::1/1-2", "not closed"),
            ("usbip://[far]/1-2", "no IPv6"),
            ("usbip://[fe80::1%]/1-2", "no zone"),
            ("usbip://[::1]3240/1-2", "behind the bracket"),
            ("usbip://far:/1-2", "port"),
            ("usbip://far:0/1-2", "port"),
            ("usbip://far:+1/1-2", "port"),
            ("usbip://far:65536/1-2", "port"),
            ("usbip://me@far/1-2", "neither a name nor an address"),
            ("usbip://far/1-2/3", "no bus id"),
            ("usbip://far/1 2", "no bus id"),
            ("usbip://far/12345678901234567890123456789012", "no bus id"),
        ] {
            let error = Url::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(text), "{text}: {error}");
        }
    }
}
