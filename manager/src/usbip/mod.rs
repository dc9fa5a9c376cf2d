//! USB/IP servers as the command meets them: connecting, and what an error of theirs means to a person. It must not know what is done with
//! their devices.

mod url;

use std::os::fd::OwnedFd;
use std::time::Duration;

use outboard_core::usb::transport::usbip::{IMPORT, LIST, UsbIp};
use outboard_core::{Error, ErrorKind};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::exit::{Cause, Failure};

pub(crate) use url::Url;

/// How long connecting may take, the look-up of the name included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads what is meant to be a server.
pub(crate) fn parse(text: &str) -> Result<Url, Failure> {
    Url::parse(text).map_err(|error| {
        Failure::new(Cause::CommandLine, error.to_string())
            .with_hint("Write usbip://HOST[:PORT]/BUS-ID, an IPv6 address in brackets.")
    })
}

/// Connects to a server, at the first of its addresses that answers. On a queue.
pub(crate) async fn connect(url: &Url) -> Result<OwnedFd, Failure> {
    let unreachable = |text: String| Failure::new(Cause::Server, text);
    let connected = timeout(CONNECT_TIMEOUT, async {
        let addresses: Vec<_> = lookup_host((&*url.host, url.port))
            .await
            .map_err(|error| unreachable(format!("no address is known of {}: {error}", url.host)))?
            .collect();
        let mut failure = unreachable(format!("{} has no address", url.host));
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    failure = unreachable(format!("nobody listens at {address}")).with_hint(
                        "Start the server there (on Linux: modprobe usbip-host; usbipd -D), or name its port.",
                    );
                }
                Err(error) => failure = unreachable(format!("connect to {address}: {error}")),
            }
        }
        Err(failure)
    });
    let stream = connected.await.unwrap_or_else(|_| {
        let seconds = CONNECT_TIMEOUT.as_secs();
        Err(unreachable(format!("no answer from {} within {seconds} s", url.server())))
    })?;
    let stream = stream.into_std().map_err(|error| Error::os("connect", error))?;
    Ok(stream.into())
}

/// Connects, and has the server give its device away. On a queue.
pub(crate) async fn import(url: &Url, bus_id: &str) -> Result<UsbIp, Failure> {
    let socket = connect(url).await?;
    UsbIp::import(socket, bus_id, &url.to_string()).await.map_err(|error| failure(url, error))
}

/// What a server's or its device's refusal means.
pub(crate) fn failure(url: &Url, error: Error) -> Failure {
    let text = error.to_string();
    let server = url.with(None);
    if !matches!(error.operation(), IMPORT | LIST) && error.kind() != ErrorKind::Unplugged {
        // The device's own fault.
        return error.into();
    }
    match error.kind() {
        ErrorKind::NotFound => Failure::new(Cause::NoSuchDevice, text)
            .with_hint(format!("`outboard list {server}` shows what it exports.")),
        ErrorKind::Busy => Failure::new(Cause::Busy, text)
            .with_hint("Detach it where it is in use (on Linux: usbip detach)."),
        ErrorKind::Refused => Failure::new(Cause::Server, text).with_hint(
            "Servers refuse so what is not bound to usbip-host, and what is in use; their log says more.",
        ),
        ErrorKind::Unsupported => Failure::new(Cause::Server, text)
            .with_hint("What listens there speaks another version of USB/IP, or something else."),
        ErrorKind::Malformed | ErrorKind::TimedOut | ErrorKind::Unplugged => Failure::new(
            Cause::Server,
            text,
        )
        .with_hint(format!("Is it a USB/IP server that listens at {}? Its log may say more.", url.server())),
        ErrorKind::System => Failure::new(Cause::Server, text),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use outboard_core::queue::{Clock, DispatchQueue};
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

    use super::*;

    #[test]
    fn nobody_listens() {
        // Held, so that nobody else can take the port, and without listening.
        let holder = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&holder, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = SocketAddrV4::try_from(getsockname(&holder).unwrap()).unwrap().port();
        let url = Url::parse(&format!("usbip://127.0.0.1:{port}/1-1")).unwrap();
        let failure = DispatchQueue::run("test", Clock::Real, |_| async { connect(&url).await.unwrap_err() });
        let failure = failure.unwrap();
        assert_eq!((failure.cause(), failure.code()), (Cause::Server, 10));
        assert_eq!(failure.to_string(), format!("nobody listens at 127.0.0.1:{port}"));
        assert!(failure.hint().is_some_and(|hint| hint.contains("usbipd")));
    }

    #[test]
    fn refusals_have_exit_codes_of_their_own() {
        let url = Url::parse("usbip://far/1-1").unwrap();
        for (operation, kind, code) in [
            ("import", ErrorKind::NotFound, 4),
            ("import", ErrorKind::Busy, 8),
            ("import", ErrorKind::Refused, 10),
            ("import", ErrorKind::Unsupported, 10),
            ("import", ErrorKind::Malformed, 10),
            ("import", ErrorKind::TimedOut, 10),
            ("import", ErrorKind::Unplugged, 10),
            ("read the descriptors", ErrorKind::Malformed, 9),
            ("read the descriptors", ErrorKind::TimedOut, 9),
            ("read the descriptors", ErrorKind::Unplugged, 10),
        ] {
            let failure = failure(&url, Error::new(kind, operation, "why").device("usbip://far/1-1"));
            assert_eq!(failure.code(), code, "{operation}, {kind}");
            assert_eq!(failure.to_string(), format!("usbip://far/1-1: {operation}: why"));
        }
    }
}
