//! The options `--trace` and `--trace-payload`, for every command that drives a device, and the file that comes of them. It must not know
//! which device is traced, nor over what.

use std::fs::File;
use std::path::{Path, PathBuf};

use outboard_core::host;
use outboard_core::usb::trace::{Address, Options, Payload, TraceFile};
use outboard_core::usb::transport::Transport;
use outboard_core::usb::transport::record::Recorded;
use outboard_core::{Error, ErrorKind};

use crate::exit::{Cause, Failure};

/// What the command line says of traces.
#[derive(Debug, clap::Args)]
pub(crate) struct TraceArguments {
    /// Write every USB transfer to this file, which must not exist yet, for Wireshark: pcapng, in the format of the kernel's usbmon.
    ///
    /// It holds what goes over the bus (traffic, keystrokes), and only its owner can read it. It is written to at least four times a
    /// second and may grow without limit; when the disk is full the trace ends with a warning, and the device goes on.
    #[arg(long = "trace", value_name = "FILE")]
    file: Option<PathBuf>,
    /// How much of each transfer's data the trace keeps; setup packets and descriptors are always kept.
    #[arg(
        long = "trace-payload",
        value_name = "all | none | BYTES",
        default_value = "all",
        requires = "file"
    )]
    payload: Payload,
}

impl TraceArguments {
    /// Makes the file, if a trace was asked for.
    pub(crate) fn make(&self) -> Result<Option<Trace>, Failure> {
        let Some(path) = &self.file else { return Ok(None) };
        let file = TraceFile::make(path).map_err(|error| match error.kind() {
            ErrorKind::Busy => Failure::new(Cause::Busy, error.to_string())
                .with_hint("Name another file, or remove that one if nobody needs it."),
            // Whatever right is missing, it is not one to the device.
            _ => Failure::new(Cause::Other, error.to_string()),
        })?;
        Ok(Some(Trace { file, path: path.clone(), payload: self.payload }))
    }
}

/// A file that transfers are written to. A device that comes back is another section of it.
#[derive(Debug)]
pub(crate) struct Trace {
    file: File,
    path: PathBuf,
    payload: Payload,
}

impl Trace {
    /// The same transport, traced. `place` is the device's bus and its address there.
    ///
    /// # Errors
    /// The file cannot be written to.
    pub(crate) fn wrap(
        &self,
        transport: impl Transport + 'static,
        place: (u16, u16),
    ) -> Result<Box<dyn Transport>, Error> {
        // An address has 7 bits (USB 2.0, 8.3.2.1); other transports may number otherwise.
        let address = Address { bus: place.0, device: u8::try_from(place.1).unwrap_or(0) };
        let options = Options { address, payload: self.payload };
        let trace = self
            .file
            .try_clone()
            .and_then(|file| TraceFile::on(file, &self.path, transport.info(), &options))
            .map_err(|error| Error::os(format!("write the trace {}", self.path.display()), error))?;
        Ok(Box::new(Recorded::new(transport, trace)))
    }

    /// For a driver in a process of its own.
    pub(crate) fn to_message(&self) -> host::Trace {
        let payload = match self.payload {
            Payload::All => None,
            Payload::None => Some(0),
            Payload::First(bytes) => Some(u32::try_from(bytes).unwrap_or(u32::MAX)),
        };
        host::Trace { name: self.path.display().to_string(), payload }
    }

    /// In that process.
    pub(crate) fn from_message(file: File, message: &host::Trace) -> Self {
        let payload = match message.payload {
            None => Payload::All,
            Some(0) => Payload::None,
            Some(bytes) => Payload::First(bytes as usize),
        };
        Self { file, path: Path::new(&message.name).to_owned(), payload }
    }

    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}
