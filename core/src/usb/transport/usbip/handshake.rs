//! What goes over a connection before the first transfer: the list, or the import. It must not know transfers.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::loss::Loss;
use super::stream::{self, Stream};
use crate::error::{Error, ErrorKind, Result};
use crate::usb::usbip::BadMessage;
use crate::usb::usbip::operation::{
    DEVICE, Exported, HEADER, INTERFACE, Request, Status, device_count, import_reply, list_reply,
};

/// How long a server may take for its answer. The kernel's server resets the device before it gives it away.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The operation that errors of [`list`] name.
pub const LIST: &str = "list the server's devices";
/// The operation that errors of the server name when a device is imported; those of the device name others.
pub const IMPORT: &str = "import";

/// Asks for the devices that the server exports (OP_REQ_DEVLIST). The connection is of no use afterwards. On a queue.
///
/// # Errors
/// Unplugged: the connection ended. TimedOut: no answer within [`ANSWER_TIMEOUT`]. Unsupported: the server speaks another version.
/// Malformed: the answer makes no sense. Refused: the server says no. System: `fd` is no stream socket.
pub async fn list(fd: OwnedFd) -> Result<Vec<Exported>> {
    let stream = stream::prepare(fd).map_err(|error| Error::os(LIST, error))?;
    let exchange = async {
        stream::write_all(&stream, &Request::list()).await?;
        let status = list_reply(&stream::read::<HEADER>(&stream).await?)?;
        if status != Status::Ok {
            return Ok(Err(status));
        }
        let count = device_count(stream::read(&stream).await?)?;
        let mut devices = Vec::new();
        for _ in 0..count {
            let (mut device, interfaces) = Exported::parse(&stream::read::<DEVICE>(&stream).await?)?;
            for _ in 0..interfaces {
                let [class, subclass, protocol, _] = stream::read::<INTERFACE>(&stream).await?;
                device.interfaces.push([class, subclass, protocol]);
            }
            devices.push(device);
        }
        Ok(Ok(devices))
    };
    match stream::in_time(ANSWER_TIMEOUT, exchange).await {
        Ok(Ok(devices)) => Ok(devices),
        Ok(Err(status)) => Err(refused(LIST, status)),
        Err(loss) => Err(failed(LIST, loss)),
    }
}

/// Has the server give a device away; afterwards the connection carries its transfers.
pub(super) async fn import(stream: &Stream, bus_id: &str) -> Result<Exported> {
    let request = Request::import(bus_id)
        .map_err(|bad| Error::new(ErrorKind::NotFound, IMPORT, bad.reason).field(bad.field))?;
    let exchange = async {
        stream::write_all(stream, &request).await?;
        let status = import_reply(&stream::read::<HEADER>(stream).await?)?;
        if status != Status::Ok {
            return Ok(Err(status));
        }
        let (device, _) = Exported::parse(&stream::read::<DEVICE>(stream).await?)?;
        if device.bus_id != bus_id {
            let reason = format!("is {:?}; {bus_id:?} was asked for", device.bus_id);
            return Err(BadMessage::new("busid", reason).into());
        }
        Ok(Ok(device))
    };
    match stream::in_time(ANSWER_TIMEOUT, exchange).await {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(status)) => Err(refused(IMPORT, status)),
        Err(loss) => Err(failed(IMPORT, loss)),
    }
}

fn refused(operation: &'static str, status: Status) -> Error {
    let (kind, reason) = match status {
        Status::Busy => (ErrorKind::Busy, "another client has the device".to_owned()),
        Status::NoDevice => (ErrorKind::NotFound, "the server exports no such device".to_owned()),
        Status::Error => (ErrorKind::System, "the device is in a bad state at the server".to_owned()),
        Status::Refused => (ErrorKind::Refused, "the server refused".to_owned()),
        other => (ErrorKind::System, format!("the server failed (status {})", other.number())),
    };
    Error::new(kind, operation, reason)
}

/// A connection that ends before it carried a transfer.
pub(super) fn failed(operation: &'static str, loss: Loss) -> Error {
    let reason = match &loss {
        Loss::Malformed(bad) if bad.field == "version" => {
            return Error::new(ErrorKind::Unsupported, operation, bad.reason.clone()).field(bad.field);
        }
        Loss::Malformed(bad) => {
            return Error::new(ErrorKind::Malformed, operation, bad.reason.clone()).field(bad.field);
        }
        Loss::Unanswered => {
            return Error::new(ErrorKind::TimedOut, operation, "the server did not answer in time");
        }
        // What usbipd does with a version that it does not speak, and with a request that it does not know.
        Loss::Closed => "the server closed the connection without an answer".to_owned(),
        other => other.to_string(),
    };
    Error::new(ErrorKind::Unplugged, operation, reason)
}
