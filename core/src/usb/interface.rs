//! An interface that a driver has taken: its alternate settings and its pipes. It must not know its class.

use std::cell::Cell;
use std::fmt;

use super::descriptor::AlternateSetting;
use super::device::Device;
use super::pipe::{Pipe, PipeDirection, PipeType};
use super::transfer::Operation;
use super::{Direction, SetupPacket};
use crate::buffer::RawBuffer;
use crate::error::{Error, ErrorKind, Result};

/// A claimed interface. Dropped, it goes back to the kernel's driver if it was taken from one.
pub struct Interface {
    device: Device,
    number: u8,
    alternate: Cell<u8>,
}

impl Interface {
    pub(super) fn open(device: Device, number: u8) -> Result<Self> {
        let this = Self { device, number, alternate: Cell::new(0) };
        this.setting(0, "claim")?;
        this.device.core().claim(number)?;
        Ok(this)
    }

    /// bInterfaceNumber.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// bAlternateSetting of the selected setting.
    pub fn alternate(&self) -> u8 {
        self.alternate.get()
    }

    /// The device that it belongs to.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The descriptor of the selected alternate setting.
    pub fn descriptor(&self) -> &AlternateSetting {
        self.setting(self.alternate.get(), "look up").expect("only settings that exist are selected")
    }

    fn setting(&self, alternate: u8, operation: &'static str) -> Result<&AlternateSetting> {
        let configuration = self.device.configuration();
        self.device
            .descriptors()
            .configuration(configuration)
            .and_then(|configuration| configuration.alternate(self.number, alternate))
            .ok_or_else(|| {
                let reason =
                    format!("configuration {configuration} has no such alternate setting ({alternate})");
                self.error(operation, ErrorKind::NotFound, reason)
            })
    }

    /// Selects an alternate setting. Everything in flight on the interface is ended first, and its pipes become stale.
    ///
    /// # Errors
    /// NotFound: the descriptors have no such setting. Stalled, Unplugged, TimedOut.
    pub async fn select_alternate(&self, alternate: u8) -> Result<()> {
        self.setting(alternate, "select the alternate setting")?;
        let core = self.device.core();
        core.renew_interface(self.number);
        for endpoint in &self.descriptor().endpoints {
            core.abort_endpoint(endpoint.address).await;
        }
        core.perform(Operation::SetInterface { interface: self.number, alternate }, RawBuffer::heap(0))
            .await
            .map_err(|error| {
                self.device.error("select the alternate setting", error).interface(self.number)
            })?;
        self.alternate.set(alternate);
        Ok(())
    }

    /// Opens the endpoint with this address of the selected alternate setting.
    ///
    /// # Errors
    /// NotFound: there is none, or its type or direction is another. Malformed: its packet size is 0.
    pub fn pipe<T: PipeType, D: PipeDirection>(&self, address: u8) -> Result<Pipe<T, D>> {
        let Some(endpoint) = self.descriptor().endpoints.iter().find(|endpoint| endpoint.address == address)
        else {
            let reason = format!("alternate setting {} has no such endpoint", self.alternate.get());
            return Err(self.error("open pipe", ErrorKind::NotFound, reason).endpoint(address));
        };
        let core = self.device.core();
        let generation = core.interface_generation(self.number).unwrap_or_default();
        Pipe::open(core.clone(), self.number, generation, endpoint)
    }

    /// Opens the first endpoint of this type and direction in the selected alternate setting.
    ///
    /// # Errors
    /// NotFound: there is none. Malformed: its packet size is 0.
    pub fn first_pipe<T: PipeType, D: PipeDirection>(&self) -> Result<Pipe<T, D>> {
        let endpoints = &self.descriptor().endpoints;
        let endpoint = endpoints
            .iter()
            .find(|endpoint| endpoint.transfer_type == T::TYPE && endpoint.direction() == D::DIRECTION)
            .ok_or_else(|| {
                let reason = format!("there is no {:?} {:?} endpoint", T::TYPE, D::DIRECTION);
                self.error("open pipe", ErrorKind::NotFound, reason)
            })?;
        self.pipe(endpoint.address)
    }

    /// A control request to this interface with an answer; `setup.index` is set to the interface's number.
    ///
    /// # Errors
    /// As [`Device::request_in`].
    pub async fn request_in(&self, setup: SetupPacket) -> Result<Vec<u8>> {
        let setup = SetupPacket { index: u16::from(self.number), ..setup };
        self.device.request_in(setup).await.map_err(|error| error.interface(self.number))
    }

    /// A control request to this interface that carries data; `setup.index` and `setup.length` are set here.
    ///
    /// # Errors
    /// As [`Device::request_out`].
    pub async fn request_out(&self, setup: SetupPacket, data: &[u8]) -> Result<()> {
        let setup = SetupPacket { index: u16::from(self.number), ..setup };
        debug_assert_eq!(setup.direction(), Direction::Out);
        self.device.request_out(setup, data).await.map_err(|error| error.interface(self.number))
    }

    fn error(&self, operation: &'static str, kind: ErrorKind, reason: String) -> Error {
        Error::new(kind, operation, reason).device(self.device.name()).interface(self.number)
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        self.device.core().release(self.number);
    }
}

impl fmt::Debug for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interface({}, {}.{})", self.device.name(), self.number, self.alternate.get())
    }
}
