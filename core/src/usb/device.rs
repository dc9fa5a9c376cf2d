//! A device that a driver has been given: its descriptors, its configuration, its interfaces. It must not know what its
//! interfaces are for.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU8;
use std::rc::Rc;

use super::core::DeviceCore;
use super::descriptor::{DeviceDescriptors, Languages, StringDescriptor, kind};
use super::interface::Interface;
use super::transfer::{Operation, TransferError};
use super::transport::{DeviceInfo, Transport};
use super::{Direction, Recipient, RequestKind, SetupPacket, Speed, standard};
use crate::buffer::RawBuffer;
use crate::error::{Error, ErrorKind, Result};

/// GET_CONFIGURATION (USB 2.0, 9.4.2).
const GET_CONFIGURATION: SetupPacket = SetupPacket::new(
    Direction::In,
    RequestKind::Standard,
    Recipient::Device,
    standard::GET_CONFIGURATION,
    0,
    0,
    1,
);

/// An open device. Clones are the same device; it is let go when the last clone, interface and pipe is dropped.
#[derive(Clone)]
pub struct Device {
    shared: Rc<Shared>,
}

struct Shared {
    core: Rc<DeviceCore>,
    info: DeviceInfo,
    descriptors: DeviceDescriptors,
    configuration: Cell<u8>,
    /// The language that strings are asked for in, once it is known.
    language: Cell<Option<u16>>,
}

impl Device {
    /// Opens the device behind `transport` on the calling thread's queue.
    ///
    /// # Errors
    /// Malformed: its device descriptor or all of its configurations make no sense. Else as [`request_in`](Self::request_in), if
    /// the active configuration had to be asked for.
    pub async fn open(transport: impl Transport + 'static) -> Result<Self> {
        let info = transport.info().clone();
        let descriptors = DeviceDescriptors::parse_at(&info.descriptors, info.speed)
            .map_err(|malformed| Error::from(malformed).device(&info.name))?;
        let core = DeviceCore::start(Box::new(transport));
        let known = info.configuration;
        let configuration = Cell::new(known.unwrap_or(0));
        let shared = Shared { core, info, descriptors, configuration, language: Cell::new(None) };
        let device = Self { shared: Rc::new(shared) };
        if known.is_none() {
            let answer = device.request_in(GET_CONFIGURATION).await?;
            device.shared.configuration.set(answer.first().copied().unwrap_or(0));
        }
        Ok(device)
    }

    /// Where it is plugged in, as the kernel names it (`1-2.3`).
    pub fn name(&self) -> &str {
        &self.shared.info.name
    }

    /// The speed it was enumerated at.
    pub fn speed(&self) -> Speed {
        self.shared.info.speed
    }

    /// Everything that it says of itself.
    pub fn descriptors(&self) -> &DeviceDescriptors {
        &self.shared.descriptors
    }

    /// bConfigurationValue of the active configuration, 0 if it is not configured.
    pub fn configuration(&self) -> u8 {
        self.shared.configuration.get()
    }

    /// Selects a configuration (USB 2.0, 9.4.7). All interfaces must have been given back before.
    ///
    /// # Errors
    /// Busy: an interface of the present configuration is in use, here or elsewhere. Stalled, Unplugged, TimedOut.
    pub async fn set_configuration(&self, value: u8) -> Result<()> {
        let _configuring = self.core().reconfigure()?;
        self.core()
            .perform(Operation::SetConfiguration(value), RawBuffer::heap(0))
            .await
            .map_err(|error| self.error("set the configuration", error))?;
        self.shared.configuration.set(value);
        Ok(())
    }

    /// Takes an interface of the active configuration.
    ///
    /// # Errors
    /// NotFound: the active configuration has no such interface. Busy: somebody else has it. Unplugged.
    pub fn interface(&self, number: u8) -> Result<Interface> {
        Interface::open(self.clone(), number)
    }

    /// Resets the port. The device keeps its address and its configuration, and its interfaces their claims and alternate settings; all
    /// else that it was told it has forgotten. What is in flight ends as [`Cancelled`](crate::action::Outcome::Cancelled), requests with
    /// an error of that kind. Pipes stay open, without their halts.
    ///
    /// On this machine an interface is nobody's while the port is reset: in these milliseconds another program could take it. A
    /// driver of the kernel can only if it is loaded just then, and it is taken from that one again. May wait for the kernel for some
    /// seconds, and the queue with it, if the device does not answer.
    ///
    /// # Errors
    /// Unplugged: it did not come back as the same device. Refused: privileges were dropped, and somebody else uses another interface of
    /// the device; it was not reset. Busy: an interface was lost to another program. Stalled, Faulted, TimedOut: it refused or did not answer when
    /// its configuration and alternate settings were selected again. But for Refused, open the device anew after an error: which interfaces it
    /// still has, and in which setting, is not known.
    pub async fn reset(&self) -> Result<()> {
        self.core().reset().await.map_err(|error| self.error("reset the device", error))
    }

    /// A string of the device (USB 2.0, 9.6.7), safe to show: in US English if the device has that, else in its first language. A
    /// device that does not tell its languages is asked for US English.
    ///
    /// # Errors
    /// Malformed: the answer is no string descriptor. Else as [`request_in`](Self::request_in).
    pub async fn string(&self, index: NonZeroU8) -> Result<String> {
        let language = match self.shared.language.get() {
            Some(language) => language,
            None => {
                let languages = match self.string_descriptor(0, 0).await {
                    Ok(answer) => Languages::parse(&answer).unwrap_or_default(),
                    Err(error) if matches!(error.kind(), ErrorKind::Unplugged | ErrorKind::TimedOut) => {
                        return Err(error);
                    }
                    Err(_) => Languages::default(),
                };
                self.shared.language.set(Some(languages.preferred()));
                languages.preferred()
            }
        };
        let answer = self.string_descriptor(index.get(), language).await?;
        let string = StringDescriptor::parse(&answer)
            .map_err(|malformed| Error::from(malformed).device(self.name()))?;
        Ok(string.text)
    }

    async fn string_descriptor(&self, index: u8, language: u16) -> Result<Vec<u8>> {
        let value = u16::from_be_bytes([kind::STRING, index]);
        // 255 at once: some devices answer nothing to a request for the header alone.
        let (kind, recipient) = (RequestKind::Standard, Recipient::Device);
        let setup =
            SetupPacket::new(Direction::In, kind, recipient, standard::GET_DESCRIPTOR, value, language, 255);
        self.request_in(setup).await
    }

    /// A control request with an answer, of at most `setup.length` bytes.
    ///
    /// # Errors
    /// Stalled: the device does not know the request. Unplugged, Faulted, TimedOut (5 s). Bug: `setup` says OUT.
    pub async fn request_in(&self, setup: SetupPacket) -> Result<Vec<u8>> {
        self.check_direction(setup, Direction::In)?;
        let buffer = RawBuffer::heap(usize::from(setup.length));
        let answer = self
            .core()
            .perform(Operation::Control(setup), buffer)
            .await
            .map_err(|error| self.error("device request", error))?;
        Ok(answer.space()[..answer.len()].to_vec())
    }

    /// A control request that carries `data` to the device; `setup.length` is taken from it.
    ///
    /// # Errors
    /// As [`request_in`](Self::request_in). Bug: `setup` says IN, or `data` is longer than 65,535 bytes.
    pub async fn request_out(&self, mut setup: SetupPacket, data: &[u8]) -> Result<()> {
        setup.length = u16::try_from(data.len()).map_err(|_| {
            Error::new(ErrorKind::Bug, "device request", "more than 65,535 bytes of data").device(self.name())
        })?;
        self.check_direction(setup, Direction::Out)?;
        let mut buffer = RawBuffer::heap(data.len());
        buffer.space_mut().copy_from_slice(data);
        buffer.set_len(data.len());
        self.core()
            .perform(Operation::Control(setup), buffer)
            .await
            .map(drop)
            .map_err(|error| self.error("device request", error))
    }

    /// Is it gone?
    pub fn is_gone(&self) -> bool {
        self.core().is_gone()
    }

    /// Resolves when the device is gone and all handlers have been told.
    pub async fn gone(&self) {
        self.core().gone().await;
    }

    pub(super) fn core(&self) -> &Rc<DeviceCore> {
        &self.shared.core
    }

    pub(super) fn error(&self, operation: &'static str, error: TransferError) -> Error {
        error.during(operation).device(self.name())
    }

    fn check_direction(&self, setup: SetupPacket, expected: Direction) -> Result<()> {
        // Without a data stage the direction bit says OUT (USB 2.0, 9.3.1).
        if setup.direction() == expected {
            return Ok(());
        }
        let reason = format!("bmRequestType {:#04x} is not of direction {expected}", setup.request_type);
        Err(Error::new(ErrorKind::Bug, "device request", reason).device(self.name()))
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.name())
    }
}
