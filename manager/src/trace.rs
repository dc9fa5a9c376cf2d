//! The options `--trace` and `--trace-payload`, for every command that drives a device. It must not know which device, nor over what.

use std::fs::File;
use std::path::{Path, PathBuf};

use outboard_core::host::Trace;
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
    /// The same transport, traced if that was asked for. `place` is the device's bus and its address there.
    pub(crate) fn wrap(
        &self,
        transport: impl Transport + 'static,
        place: (u16, u16),
    ) -> Result<Box<dyn Transport>, Failure> {
        let Some(file) = &self.file else { return Ok(Box::new(transport)) };
        // An address has 7 bits (USB 2.0, 8.3.2.1); other transports may number otherwise.
        let address = Address { bus: place.0, device: u8::try_from(place.1).unwrap_or(0) };
        let options = Options { address, payload: self.payload };
        let trace = TraceFile::create(file, transport.info(), &options).map_err(failure)?;
        Ok(Box::new(Recorded::new(transport, trace)))
    }

    /// The file and the wish for a driver in a process of its own, if a trace was asked for.
    pub(crate) fn for_driver(&self) -> Result<Option<(File, Trace)>, Failure> {
        let Some(path) = &self.file else { return Ok(None) };
        let file = TraceFile::make(path).map_err(failure)?;
        let payload = match self.payload {
            Payload::All => None,
            Payload::None => Some(0),
            Payload::First(bytes) => Some(u32::try_from(bytes).unwrap_or(u32::MAX)),
        };
        Ok(Some((file, Trace { name: path.display().to_string(), payload })))
    }
}

/// The same transport, traced into a file that was passed.
pub(crate) fn wrap_passed(
    transport: impl Transport + 'static,
    file: File,
    wish: &Trace,
) -> Result<Box<dyn Transport>, Error> {
    let payload = match wish.payload {
        None => Payload::All,
        Some(0) => Payload::None,
        Some(bytes) => Payload::First(bytes as usize),
    };
    let options = Options { payload, ..Options::default() };
    let trace = TraceFile::on(file, Path::new(&wish.name), transport.info(), &options)
        .map_err(|error| Error::os(format!("write the trace {}", wish.name), error))?;
    Ok(Box::new(Recorded::new(transport, trace)))
}

fn failure(error: Error) -> Failure {
    match error.kind() {
        ErrorKind::Busy => Failure::new(Cause::Busy, error.to_string())
            .with_hint("Name another file, or remove that one if nobody needs it."),
        // Whatever right is missing, it is not one to the device.
        _ => Failure::new(Cause::Other, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use outboard_core::queue::{Clock, DispatchQueue};
    use outboard_core::usb::Speed;
    use outboard_core::usb::transport::in_process::{DeviceModel, Handshake, InProcess};

    use super::*;

    /// A device that says nothing.
    struct Mute;

    impl DeviceModel for Mute {
        fn speed(&self) -> Speed {
            Speed::High
        }

        fn descriptors(&self) -> Vec<u8> {
            Vec::new()
        }

        fn string_descriptor(&self, _: u8, _: u16) -> Option<Vec<u8>> {
            None
        }

        fn packet_in(&mut self, _: u8, _: &mut [u8], _: Instant) -> Handshake<usize> {
            Handshake::Nak
        }

        fn packet_out(&mut self, _: u8, _: &[u8], _: Instant) -> Handshake {
            Handshake::Nak
        }
    }

    /// How it fails, if it does: exit code, sentence, hint.
    fn failure(file: PathBuf) -> Option<(u8, String, Option<String>)> {
        let arguments = TraceArguments { file: Some(file), payload: Payload::All };
        let wrap = async || arguments.wrap(InProcess::new("1-2", Mute).0, (1, 2)).err();
        let failure = DispatchQueue::run("test", Clock::Real, |_| wrap()).expect("a queue")?;
        Some((failure.code(), failure.to_string(), failure.hint().map(str::to_owned)))
    }

    #[test]
    fn what_cannot_be_made_is_said_before_the_device_is_taken() {
        let path = std::env::temp_dir().join(format!("outboard-trace-option-{}", std::process::id()));
        assert_eq!(failure(path.clone()), None);
        let (code, text, hint) = failure(path.clone()).expect("it exists now");
        assert_eq!((code, hint.is_some()), (8, true), "{text}");
        assert_eq!(text, format!("make the trace {}: it exists; traces overwrite nothing", path.display()));
        // Not a directory: no right to the device is missing.
        let (code, _, hint) = failure(path.join("below")).expect("there is no such directory");
        assert_eq!((code, hint), (1, None));
        std::fs::remove_file(path).expect("it was made");
    }
}
