//! The messages and their bytes. It knows no socket.

use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::registry::Sandbox;
use crate::{Error, ErrorKind, MacAddr, Result};

/// Both sides are one program in most cases; a driver that is another program says by this which messages it knows.
pub const VERSION: u16 = 2;
/// The longest message, in bytes.
pub const MOST_BYTES: usize = 4096;
/// The most descriptors with a message: the device, those of a TAP, and a trace.
pub const MOST_FDS: usize = 6;
/// How often a driver that serves says that it is alive. A sleeping machine is woken by it, so it is no shorter than it has to be.
pub const BEAT: Duration = Duration::from_millis(100);
/// After so long without a word from a driver that serves, its manager looks whether it hangs.
pub const HANG: Duration = Duration::from_millis(250);

/// From the manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToDriver {
    /// Drive this device. With it come its descriptor, those of the interface that it is to vend (a TAP's four), and that of the trace's file, if
    /// there is to be a trace: the driver receives no descriptor once it is locked down.
    Start {
        /// What names the device in every error: `1-2.3`.
        device: String,
        /// What the descriptor is.
        transport: TransportKind,
        /// The bInterfaceNumber by which the function was matched; `None`: the driver chooses among those of the device.
        interface: Option<u8>,
        /// How the interface was when the process before this one died; `None`: there was none, or it did not serve.
        resumes: Option<EthernetStatus>,
        /// What is to be traced.
        trace: Option<Trace>,
    },
    /// The interface is as the driver wants it.
    Family,
    /// It cannot be had.
    Refused(Failure),
    /// Stop and end.
    Stop,
}

/// How a device is reached over its descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransportKind {
    /// A node of usbfs that was opened afresh.
    UsbFs {
        /// bConfigurationValue of the active configuration, if it is known.
        configuration: Option<u8>,
        /// The driver may reset the port: it drives all of the device.
        reset: bool,
    },
    /// A stream socket to a USB/IP server, on which nothing was said yet.
    UsbIp {
        /// The device to import.
        bus_id: String,
    },
}

/// A trace of every transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// What the file is called in a warning.
    pub name: String,
    /// How many bytes of each transfer's data it keeps; `None`: all.
    pub payload: Option<u32>,
}

/// From the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToManager {
    /// It has given up all that it needs no more, and has not read a byte of its device yet.
    LockedDown(Sandbox),
    /// Nothing has changed, and it is alive; every [`BEAT`] while it serves.
    Alive,
    /// Make the interface so. Answered by [`ToDriver::Family`] or [`ToDriver::Refused`].
    Vend(Ethernet),
    /// How the interface is doing, when it was started and whenever that changes.
    Status(EthernetStatus),
    /// The driver ends, and why; its process exits after that.
    Ended(Failure),
}

/// A network interface that a driver wants to vend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ethernet {
    /// The station address.
    #[serde(with = "octets")]
    pub mac: MacAddr,
    /// The MTU to begin with, in bytes of payload.
    pub mtu: u32,
}

/// How a network interface is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EthernetStatus {
    /// There is a link.
    pub link_up: bool,
    /// The station address now.
    #[serde(with = "octets")]
    pub mac: MacAddr,
    /// The MTU now, in bytes of payload.
    pub mtu: u32,
    /// Towards the host, in Mbit/s.
    pub down_mbit: u32,
    /// From the host, in Mbit/s.
    pub up_mbit: u32,
}

/// An [`Error`] as it crosses the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// [`ErrorKind::as_str`].
    kind: String,
    text: String,
    device: Option<String>,
}

/// More of a text is of no use to anyone, and a message has its limit.
const MOST_TEXT: usize = 1024;

impl Failure {
    /// The error as this side has it.
    pub fn error(&self, operation: &'static str) -> Error {
        let kind = ErrorKind::from_word(&self.kind).unwrap_or(ErrorKind::Bug);
        let error = Error::new(kind, operation, self.text.clone());
        match &self.device {
            Some(device) => error.device(device.clone()),
            None => error,
        }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let mut text = error.to_string();
        // The place is in a field of its own.
        if let Some(device) = error.device_name()
            && let Some(rest) = text.strip_prefix(device)
        {
            text = rest.trim_start_matches([',', ':', ' ']).to_owned();
        }
        text.truncate(text.floor_char_boundary(MOST_TEXT));
        let device = error.device_name().map(|name| name.chars().take(64).collect());
        Self { kind: error.kind().as_str().to_owned(), text, device }
    }
}

mod octets {
    use super::{Deserialize, MacAddr, Serialize};

    pub(super) fn serialize<S: serde::Serializer>(mac: &MacAddr, to: S) -> Result<S::Ok, S::Error> {
        mac.octets().serialize(to)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<MacAddr, D::Error> {
        <[u8; 6]>::deserialize(from).map(MacAddr::new)
    }
}

/// Writes a message into `space` and returns its length.
pub(super) fn encode(
    message: &impl Serialize,
    generation: u64,
    space: &mut [u8; MOST_BYTES],
) -> Result<usize> {
    let whole = (VERSION, generation, message);
    let written = postcard::to_slice(&whole, space)
        .map_err(|error| Error::new(ErrorKind::Bug, "write a message", error.to_string()))?;
    Ok(written.len())
}

/// Reads a message of this generation.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], generation: u64) -> Result<T> {
    let malformed = |field: &'static str, reason: String| {
        Error::new(ErrorKind::Malformed, "read a message", reason).field(field)
    };
    let broken = |error: postcard::Error| malformed("message", format!("makes no sense: {error}"));
    let (version, rest) = postcard::take_from_bytes::<u16>(bytes).map_err(broken)?;
    if version != VERSION {
        return Err(malformed("version", format!("is {version}; {VERSION} is spoken here")));
    }
    let (found, rest) = postcard::take_from_bytes::<u64>(rest).map_err(broken)?;
    if found != generation {
        return Err(malformed("generation", format!("is {found}; this is generation {generation}")));
    }
    let (message, rest) = postcard::take_from_bytes(rest).map_err(broken)?;
    if !rest.is_empty() {
        return Err(malformed("message", format!("is followed by {} more bytes", rest.len())));
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(message: &impl Serialize, generation: u64) -> Vec<u8> {
        let mut space = [0; MOST_BYTES];
        let length = encode(message, generation, &mut space).unwrap();
        space[..length].to_vec()
    }

    #[test]
    fn messages_come_back_and_only_in_their_generation() {
        let vend = ToManager::Vend(Ethernet { mac: MacAddr::new([2, 0, 0, 0, 0, 1]), mtu: 1500 });
        let sent = bytes(&vend, 7);
        assert_eq!(decode::<ToManager>(&sent, 7), Ok(vend));
        assert_eq!(decode::<ToManager>(&sent, 8).unwrap_err().field_name(), Some("generation"));
        assert_eq!(
            decode::<ToManager>(&sent[..sent.len() - 1], 7).unwrap_err().field_name(),
            Some("message")
        );
        let longer = [&sent[..], &[0]].concat();
        assert_eq!(decode::<ToManager>(&longer, 7).unwrap_err().field_name(), Some("message"));
        let mut other = sent;
        other[0] += 1;
        assert_eq!(decode::<ToManager>(&other, 7).unwrap_err().field_name(), Some("version"));
    }

    #[test]
    fn an_error_keeps_its_kind_and_its_text() {
        let error = Error::new(ErrorKind::Stalled, "select the setting", "the device refuses")
            .device("1-2")
            .interface(1);
        let ended = ToManager::Ended(Failure::from(&error));
        let Ok(ToManager::Ended(failure)) = decode(&bytes(&ended, 0), 0) else { panic!() };
        let again = failure.error("drive the device");
        assert_eq!(again.kind(), ErrorKind::Stalled);
        assert_eq!(
            again.to_string(),
            "1-2: drive the device: interface 1: select the setting: the device refuses"
        );
        let endless = Error::new(ErrorKind::Bug, "x", "ä".repeat(5000)).device("ä".repeat(5000));
        assert!(bytes(&ToManager::Ended(Failure::from(&endless)), u64::MAX).len() < MOST_BYTES);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let with_head = [&[VERSION as u8, 0], &bytes[..]].concat();
            for bytes in [bytes, with_head] {
                let _ = (decode::<ToManager>(&bytes, 0), decode::<ToDriver>(&bytes, 0));
            }
        }
    }
}
