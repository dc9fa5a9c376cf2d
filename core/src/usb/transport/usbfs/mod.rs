//! The transport of this machine: usbfs, `/dev/bus/usb/BBB/DDD`. It reaps in batches on the driver's own queue, transfers from mapped
//! memory without copying, and gives interfaces back to the kernel's drivers. It must not know what is transferred.
//!
//! nusb finds devices ([`discovery`](crate::usb::discovery)), but transfers through a global thread that reaps one request a wakeup,
//! about five system calls and two thread switches for each; here it is one reap and one submit.

pub mod grant;
mod reset;
mod sys;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::task::{Context, Poll, Waker, ready};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use self::reset::{Calls, Claim};
use self::sys::Node;
use super::{DeviceInfo, MAX_DESCRIPTORS, Reaped, Transport};
use crate::buffer::RawBuffer;
use crate::buffer::sys::Mapping;
use crate::error::{Error, ErrorKind, Result};
use crate::usb::descriptor::DeviceDescriptors;
use crate::usb::transfer::{Done, Operation, Token, TransferError, Urb};
use crate::usb::{Direction, Speed};

/// The ioctls of a driver that was given an open node, by name and number.
pub(crate) const DRIVER_IOCTLS: &[(&str, u32)] = &sys::DRIVER_IOCTLS;

/// The one that resets the port.
pub(crate) const RESET_IOCTL: (&str, u32) = sys::RESET_IOCTL;

/// Completions taken per turn, so that one busy device leaves room for the other sources of its queue.
const BATCH: usize = 64;

/// Bytes per mapping. The kernel backs each by contiguous memory, which it has in this size on a machine that has run for long.
const MAPPING: usize = 128 * 1024;

/// A device of this machine.
pub struct UsbFs {
    info: DeviceInfo,
    node: AsyncFd<Node>,
    capabilities: u32,
    claims: Vec<Claim>,
    /// Interfaces that the kernel's drivers get back when nothing is claimed any more: a driver that wants two interfaces must find
    /// both of them free.
    reconnect: Vec<u8>,
    /// The configuration that we found, if we changed it.
    original_configuration: Option<u8>,
    /// Operations that the kernel did at once, on their way back.
    finished: Vec<Done>,
    waker: Option<Waker>,
}

impl UsbFs {
    /// Opens a node such as `/dev/bus/usb/001/004` for a device that the kernel calls `name` (`1-2.3`). On a queue.
    ///
    /// # Errors
    /// Refused: the right to write to the node is missing. NotFound, Unplugged: there is no such device any more.
    pub fn open(node: &Path, name: &str, configuration: Option<u8>) -> Result<Self> {
        let operation = format!("open {}", node.display());
        let fd = rustix::fs::open(node, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
            .map_err(|error| Error::os(operation, error.into()).device(name))?;
        Self::from_fd(fd, name, configuration)
    }

    /// Takes over a freshly opened node, as a driver process gets it from the manager. Nobody else may submit on the same open
    /// file description: a successor must be given a node opened afresh. On a queue.
    ///
    /// # Errors
    /// Unplugged; System: this is no usbfs node, or the calling thread runs no queue.
    pub fn from_fd(fd: OwnedFd, name: &str, configuration: Option<u8>) -> Result<Self> {
        let os =
            |operation: &'static str| move |error: Errno| Error::os(operation, error.into()).device(name);
        let capabilities = sys::capabilities(fd.as_fd()).map_err(os("ask usbfs for its capabilities"))?;
        if capabilities & sys::CAP_REAP_AFTER_DISCONNECT == 0 {
            let reason = "the kernel cannot return transfers after an unplug; it is older than 4.0";
            return Err(Error::new(ErrorKind::Unsupported, "open the device", reason).device(name));
        }
        let speed = match sys::speed(fd.as_fd()).map_err(os("ask for the speed"))? {
            1 => Speed::Low,
            3 | 4 => Speed::High,
            5 => Speed::Super,
            6 => Speed::SuperPlus,
            // Unknown is what the kernel says before it has asked; full speed is what every device can do.
            _ => Speed::Full,
        };
        let descriptors = read_descriptors(&fd).map_err(os("read the descriptors"))?;
        let info = DeviceInfo { name: name.to_owned(), speed, descriptors, configuration };
        let node =
            Node::new(fd).watch().map_err(|error| Error::os("watch the device", error).device(name))?;
        Ok(Self {
            info,
            node,
            capabilities,
            claims: Vec::new(),
            reconnect: Vec::new(),
            original_configuration: None,
            finished: Vec::with_capacity(4),
            waker: None,
        })
    }

    /// Gives up, for this open node and whoever it is passed to, everything but the interfaces that are claimed now.
    ///
    /// # Errors
    /// Unsupported: the kernel is older than 4.5.
    pub fn drop_privileges(&self) -> Result<()> {
        let mask = self
            .claims
            .iter()
            .filter(|claim| claim.interface < 32)
            .fold(0, |mask, claim| mask | 1 << claim.interface);
        sys::drop_privileges(self.fd(), mask)
            .map_err(|error| Error::os("drop privileges", error.into()).device(&self.info.name))
    }

    /// The kernel driver bound to an interface ("usbfs" if a program has it).
    ///
    /// # Errors
    /// Unplugged; System: there is no such interface in the active configuration.
    pub fn driver_of(&self, interface: u8) -> Result<Option<String>> {
        sys::driver_of(self.fd(), interface).map_err(|error| {
            Error::os("ask for the driver", error.into()).device(&self.info.name).interface(interface)
        })
    }

    fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.node.get_ref().as_fd()
    }

    /// The operations that usbfs only has as calls that wait; the kernel bounds each by 5 s.
    fn perform(&mut self, operation: &Operation) -> Result<(), Errno> {
        match *operation {
            Operation::SetConfiguration(value) => self.set_configuration(value),
            Operation::SetInterface { interface, alternate } => {
                sys::set_interface(self.fd(), interface, alternate)?;
                if let Some(claim) = self.claims.iter_mut().find(|claim| claim.interface == interface) {
                    claim.alternate = alternate;
                }
                Ok(())
            }
            Operation::ClearHalt { endpoint } => sys::clear_halt(self.fd(), endpoint),
            Operation::Reset => {
                // The kernel would end them as if the device were gone.
                self.node.get_mut().discard_all();
                reset::reset(self.node.get_mut(), &mut self.claims)
            }
            Operation::Transfer { .. } | Operation::Control(_) => Err(Errno::INVAL),
        }
    }

    /// The kernel refuses while an interface has a driver, so they are detached first; those of the new configuration are attached by
    /// the kernel itself.
    fn set_configuration(&mut self, value: u8) -> Result<(), Errno> {
        if self.info.configuration == Some(value) {
            return Ok(());
        }
        for interface in self.active_interfaces() {
            match sys::driver_of(self.fd(), interface) {
                Ok(Some(driver)) if driver == "usbfs" => return Err(Errno::BUSY),
                Ok(Some(_)) => sys::disconnect(self.fd(), interface)?,
                Ok(None) => {}
                Err(Errno::NODEV) => return Err(Errno::NODEV),
                // The interface is only in the descriptors.
                Err(_) => {}
            }
        }
        sys::set_configuration(self.fd(), value)?;
        if self.original_configuration.is_none() {
            self.original_configuration = self.info.configuration;
        }
        self.info.configuration = Some(value);
        Ok(())
    }

    fn active_interfaces(&self) -> Vec<u8> {
        let Ok(descriptors) = DeviceDescriptors::parse_at(&self.info.descriptors, self.info.speed) else {
            return Vec::new();
        };
        let active = self.info.configuration.and_then(|value| descriptors.configuration(value));
        active.map_or_else(Vec::new, |found| {
            found.interfaces.iter().map(|interface| interface.number).collect()
        })
    }

    /// Lets the kernel's drivers have what was taken from them. Errors mean that the device is gone, or that no driver wants it.
    fn reconnect(&mut self) {
        for interface in std::mem::take(&mut self.reconnect) {
            if let Err(error) = sys::connect(self.fd(), interface) {
                tracing::debug!(device = %self.info.name, interface, %error, "no kernel driver took the interface back");
            }
        }
    }

    fn finish(&mut self, urb: Urb, status: Result<usize, TransferError>) {
        self.finished.push(Done { urb, status });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

fn read_descriptors(fd: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let mut descriptors = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match rustix::io::pread(fd, &mut piece, descriptors.len() as u64) {
            Ok(0) => return Ok(descriptors),
            Ok(n) if descriptors.len() + n <= MAX_DESCRIPTORS => descriptors.extend_from_slice(&piece[..n]),
            Ok(_) => return Ok(descriptors),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

impl Calls for Node {
    fn release(&mut self, interface: u8) -> Result<(), Errno> {
        sys::release_interface(self.as_fd(), interface)
    }

    fn reset(&mut self) -> Result<(), Errno> {
        sys::reset(self.as_fd())
    }

    fn claim(&mut self, interface: u8) -> Result<bool, Errno> {
        let driver = sys::driver_of(self.as_fd(), interface)?;
        sys::disconnect_claim(self.as_fd(), interface)?;
        Ok(driver.as_deref().is_some_and(|driver| driver != "usbfs"))
    }

    fn set_interface(&mut self, interface: u8, alternate: u8) -> Result<(), Errno> {
        sys::set_interface(self.as_fd(), interface, alternate)
    }
}

impl Transport for UsbFs {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn submit(&mut self, urb: Urb) -> Result<(), (TransferError, Urb)> {
        match urb.operation {
            Operation::Transfer { .. } | Operation::Control(_) => {
                self.node.get_mut().submit(urb).map_err(|(error, urb)| match error {
                    Errno::NODEV | Errno::SHUTDOWN => (TransferError::Unplugged, urb),
                    other => (TransferError::Refused(other.raw_os_error()), urb),
                })
            }
            operation => {
                let status = self.perform(&operation).map(|()| 0).map_err(sys::transfer_error);
                self.finish(urb, status);
                Ok(())
            }
        }
    }

    fn cancel(&mut self, token: Token) {
        self.node.get_mut().discard(token);
    }

    fn poll_reap(&mut self, context: &mut Context<'_>, done: &mut Vec<Done>) -> Poll<Reaped> {
        if !self.finished.is_empty() {
            done.append(&mut self.finished);
            return Poll::Ready(Reaped::Some);
        }
        loop {
            if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
                self.waker = Some(context.waker().clone());
            }
            let Ok(mut ready) = ready!(self.node.poll_write_ready_mut(context)) else {
                // The event loop is shutting down, and the queue with it: whoever ends it abandons us.
                return Poll::Pending;
            };
            let before = done.len();
            while done.len() - before < BATCH {
                match ready.get_inner_mut().reap() {
                    Ok(ended) => done.push(ended),
                    Err(Errno::AGAIN) => {
                        ready.clear_ready();
                        break;
                    }
                    Err(Errno::INTR) => {}
                    Err(error) => {
                        if error != Errno::NODEV {
                            tracing::error!(device = %self.info.name, %error, "usbfs failed to return transfers");
                        }
                        ready.get_inner_mut().give_up(done);
                        return Poll::Ready(Reaped::Gone);
                    }
                }
            }
            if done.len() > before {
                return Poll::Ready(Reaped::Some);
            }
        }
    }

    fn abandon(&mut self, done: &mut Vec<Done>) {
        done.append(&mut self.finished);
        let node = self.node.get_mut();
        node.drain(done);
        node.give_up(done);
    }

    fn allocate(&mut self, _: Direction, capacity: usize, count: usize) -> Vec<RawBuffer> {
        let mut buffers = Vec::with_capacity(count);
        if self.capabilities & sys::CAP_MMAP == 0 || capacity == 0 || capacity > MAPPING {
            return buffers;
        }
        // Pieces begin on cache lines: neighbours are written by different transfers.
        let piece = capacity.next_multiple_of(64);
        while buffers.len() < count {
            let wanted =
                ((count - buffers.len()) * piece).next_multiple_of(rustix::param::page_size()).min(MAPPING);
            match Mapping::of_device(self.fd(), wanted) {
                Ok(mapping) => buffers.extend(
                    mapping
                        .pieces(piece)
                        .into_iter()
                        .map(|piece| RawBuffer::mapped(piece.shortened(capacity))),
                ),
                Err(error) => {
                    tracing::debug!(device = %self.info.name, %error, "no more mapped buffers; the rest is on the heap");
                    break;
                }
            }
        }
        buffers
    }

    fn claim(&mut self, interface: u8) -> Result<()> {
        let name = self.info.name.clone();
        let from_kernel_driver = self.node.get_mut().claim(interface).map_err(|error| match error {
            Errno::BUSY => Error::new(ErrorKind::Busy, "claim", "another program has the interface open")
                .device(&name)
                .interface(interface),
            error => Error::os("claim", error.into()).device(&name).interface(interface),
        })?;
        self.claims.push(Claim { interface, from_kernel_driver, alternate: 0 });
        Ok(())
    }

    fn release(&mut self, interface: u8) {
        let Some(at) = self.claims.iter().position(|claim| claim.interface == interface) else { return };
        let claim = self.claims.swap_remove(at);
        // It fails only if the device is gone, and the claim with it.
        let _ = sys::release_interface(self.fd(), interface);
        if claim.from_kernel_driver {
            self.reconnect.push(interface);
        }
        if self.claims.is_empty() {
            self.reconnect();
        }
    }
}

impl Drop for UsbFs {
    fn drop(&mut self) {
        // Everything in flight has been returned by now; `Device` abandons its transport before it drops it.
        while let Some(claim) = self.claims.last() {
            let interface = claim.interface;
            self.release(interface);
        }
        if let Some(original) = self.original_configuration {
            // As we found it; the kernel then looks for drivers by itself.
            if let Err(error) = self.set_configuration(original) {
                tracing::debug!(device = %self.info.name, %error, "the original configuration could not be selected again");
            }
        }
    }
}
