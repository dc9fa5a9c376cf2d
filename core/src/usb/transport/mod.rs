//! What carries requests to a device: usbfs on this machine, USB/IP to another one, a model in this process, a wrapper around another one. A transport
//! lives on a queue and is driven by [`Device`](super::Device) alone; it must not know drivers, actions or families.

pub mod fault;
pub mod in_process;
pub mod record;
pub mod usbfs;
pub mod usbip;

use std::task::{Context, Poll};

use super::transfer::{Done, Token, TransferError, Urb};
use crate::buffer::RawBuffer;
use crate::error::Result;
use crate::usb::{Direction, Speed};

/// The largest descriptors that are taken: a device and 255 configurations of 64 KiB cannot be meant.
const MAX_DESCRIPTORS: usize = 256 * 1024;

/// What is known of a device before anything is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Where it is plugged in, as the kernel names it: `bus-port.port` (`1-2.3`). Names the device in every error.
    pub name: String,
    /// The speed it was enumerated at.
    pub speed: Speed,
    /// The device descriptor followed by all configurations, as the device sent them: not trusted.
    pub descriptors: Vec<u8>,
    /// bConfigurationValue of the active configuration, 0 if unconfigured, `None` if it has to be asked for.
    pub configuration: Option<u8>,
}

/// What [`Transport::poll_reap`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaped {
    /// One or more requests ended.
    Some,
    /// The device is gone: everything that was in flight has been returned, nothing more will come.
    Gone,
}

/// Carries requests to one device.
///
/// The contract, which `Device` and the wrappers build on: each accepted [`Urb`] comes back in exactly one [`Done`], from
/// [`poll_reap`](Self::poll_reap) or [`abandon`](Self::abandon), with its token and its buffer; requests of one endpoint
/// come back in the order in which the device completed them; nothing comes back from within `submit` or `cancel`.
pub trait Transport {
    /// What is known of the device.
    fn info(&self) -> &DeviceInfo;

    /// Sends a request on its way. Does not wait for the device, except where the kernel offers nothing better
    /// (usbfs: alternate setting, configuration, clear halt, reset; each bounded by the kernel's 5 s).
    ///
    /// # Errors
    /// The transport cannot take it now; the request comes straight back.
    fn submit(&mut self, urb: Urb) -> Result<(), (TransferError, Urb)>;

    /// Asks that a request end early. It comes back as usual, as [`TransferError::Cancelled`] or, if it was faster, completed.
    fn cancel(&mut self, token: Token);

    /// Appends requests that ended to `done`, without allocating up to its capacity and a bounded number at a time; wakes the
    /// task when there is something. After [`Reaped::Gone`] it is not called again.
    fn poll_reap(&mut self, context: &mut Context<'_>, done: &mut Vec<Done>) -> Poll<Reaped>;

    /// Ends everything in flight here and now, without waiting for the device, and returns it all.
    fn abandon(&mut self, done: &mut Vec<Done>);

    /// Buffers of `capacity` bytes each, in the memory that this transport moves best. May return fewer than `count`, also none
    /// (limits of the system): heap buffers are taken as well.
    fn allocate(&mut self, direction: Direction, capacity: usize, count: usize) -> Vec<RawBuffer>;

    /// Takes an interface, from the kernel's driver if that has it.
    ///
    /// # Errors
    /// Busy: another program has it. Unplugged; NotFound: there is no such interface.
    fn claim(&mut self, interface: u8) -> Result<()>;

    /// Gives a claimed interface back, also to the kernel's driver if it was taken from one.
    fn release(&mut self, interface: u8);
}

/// So that a program can choose between transports when it runs.
impl<T: Transport + ?Sized> Transport for Box<T> {
    fn info(&self) -> &DeviceInfo {
        (**self).info()
    }

    fn submit(&mut self, urb: Urb) -> Result<(), (TransferError, Urb)> {
        (**self).submit(urb)
    }

    fn cancel(&mut self, token: Token) {
        (**self).cancel(token);
    }

    fn poll_reap(&mut self, context: &mut Context<'_>, done: &mut Vec<Done>) -> Poll<Reaped> {
        (**self).poll_reap(context, done)
    }

    fn abandon(&mut self, done: &mut Vec<Done>) {
        (**self).abandon(done);
    }

    fn allocate(&mut self, direction: Direction, capacity: usize, count: usize) -> Vec<RawBuffer> {
        (**self).allocate(direction, capacity, count)
    }

    fn claim(&mut self, interface: u8) -> Result<()> {
        (**self).claim(interface)
    }

    fn release(&mut self, interface: u8) {
        (**self).release(interface);
    }
}
