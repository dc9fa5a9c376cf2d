//! A pipe: one endpoint, opened with its transfer type and direction in the type, and buffers in flight on it. It must not know
//! what is in the buffers.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use super::core::DeviceCore;
use super::descriptor::Endpoint;
use super::transfer::{Operation, TransferError};
use super::{Direction, TransferType};
use crate::action::{Action, Completion, Outcome};
use crate::buffer::{BufferDescriptor, RawBuffer};
use crate::error::{Error, ErrorKind, Result};

mod sealed {
    pub trait Sealed {}
}

/// The direction of a pipe, as a type: [`In`] or [`Out`].
pub trait PipeDirection: sealed::Sealed + 'static {
    /// The same as a value.
    const DIRECTION: Direction;
}

/// The transfer type of a pipe, as a type: [`Bulk`] or [`Interrupt`].
pub trait PipeType: sealed::Sealed + 'static {
    /// The same as a value.
    const TYPE: TransferType;
}

/// From the device to the host.
#[derive(Debug)]
pub enum In {}
/// From the host to the device.
#[derive(Debug)]
pub enum Out {}
/// Bulk transfers (USB 2.0, 5.8).
#[derive(Debug)]
pub enum Bulk {}
/// Interrupt transfers (USB 2.0, 5.7).
#[derive(Debug)]
pub enum Interrupt {}

impl sealed::Sealed for In {}
impl sealed::Sealed for Out {}
impl sealed::Sealed for Bulk {}
impl sealed::Sealed for Interrupt {}

impl PipeDirection for In {
    const DIRECTION: Direction = Direction::In;
}
impl PipeDirection for Out {
    const DIRECTION: Direction = Direction::Out;
}
impl PipeType for Bulk {
    const TYPE: TransferType = TransferType::Bulk;
}
impl PipeType for Interrupt {
    const TYPE: TransferType = TransferType::Interrupt;
}

/// An open endpoint. Made by [`Interface::pipe`](super::Interface::pipe), which checks that the endpoint exists in the current
/// alternate setting with this type and direction and a packet size; stale once another alternate setting is selected.
pub struct Pipe<T: PipeType, D: PipeDirection> {
    core: Rc<DeviceCore>,
    interface: u8,
    generation: u32,
    address: u8,
    max_packet_size: usize,
    kind: PhantomData<(T, D)>,
}

/// A submission that was not taken; the buffer is back. Turns into its [`Error`] for `?`.
#[derive(Debug)]
pub struct Rejected<B> {
    /// What was to be submitted.
    pub buffer: B,
    /// Why it was not.
    pub error: Error,
}

impl<B> From<Rejected<B>> for Error {
    fn from(rejected: Rejected<B>) -> Self {
        rejected.error
    }
}

impl<T: PipeType, D: PipeDirection> Pipe<T, D> {
    pub(super) fn open(
        core: Rc<DeviceCore>,
        interface: u8,
        generation: u32,
        endpoint: &Endpoint,
    ) -> Result<Self> {
        let error = |kind, field, reason: String| {
            Err(Error::new(kind, "open pipe", reason)
                .device(core.name())
                .interface(interface)
                .endpoint(endpoint.address)
                .field(field))
        };
        if endpoint.direction() != D::DIRECTION {
            return error(
                ErrorKind::NotFound,
                "bEndpointAddress",
                format!("is an {} endpoint; {} was asked for", endpoint.direction(), D::DIRECTION),
            );
        }
        if endpoint.transfer_type != T::TYPE {
            return error(
                ErrorKind::NotFound,
                "bmAttributes",
                format!("says {}; {} was asked for", endpoint.transfer_type, T::TYPE),
            );
        }
        let max_packet_size = usize::from(endpoint.max_packet_size);
        if max_packet_size == 0 {
            return error(
                ErrorKind::Malformed,
                "wMaxPacketSize",
                "is 0, so nothing can be transferred".into(),
            );
        }
        let address = endpoint.address;
        Ok(Self { core, interface, generation, address, max_packet_size, kind: PhantomData })
    }

    /// bEndpointAddress.
    pub fn address(&self) -> u8 {
        self.address
    }

    /// wMaxPacketSize: payload bytes of a full packet.
    pub fn max_packet_size(&self) -> usize {
        self.max_packet_size
    }

    /// Submissions whose handler has not been called yet.
    pub fn in_flight(&self) -> usize {
        self.core.in_flight(self.address)
    }

    /// A buffer of at least `capacity` bytes, rounded up to whole packets for [`In`] (a device may fill its last packet).
    pub fn buffer(&self, capacity: usize) -> BufferDescriptor<D> {
        self.buffers(capacity, 1).pop().unwrap_or_else(|| BufferDescriptor::heap(self.rounded(capacity)))
    }

    /// `count` such buffers, side by side in the memory that the transport moves best, as far as the system gives it; the rest on the heap.
    pub fn buffers(&self, capacity: usize, count: usize) -> Vec<BufferDescriptor<D>> {
        let capacity = self.rounded(capacity);
        let mut buffers = self.core.allocate(D::DIRECTION, capacity, count);
        buffers.truncate(count);
        buffers.resize_with(count, || RawBuffer::heap(capacity));
        buffers.into_iter().map(BufferDescriptor::from_raw).collect()
    }

    fn rounded(&self, capacity: usize) -> usize {
        match D::DIRECTION {
            Direction::In => capacity.max(1).next_multiple_of(self.max_packet_size),
            Direction::Out => capacity,
        }
    }

    /// Submits a transfer; `action` is called with the same buffer when it ends. An [`Out`] pipe sends the buffer's contents and, if they
    /// end on a packet's boundary, a zero-length packet to say so; an [`In`] pipe asks for as many whole packets as the buffer holds.
    ///
    /// # Errors
    /// Cancelled: the action is. Unplugged. NotFound: another alternate setting was selected since, or the interface given back. System: the kernel has no memory for it.
    pub fn async_io(
        &self,
        buffer: BufferDescriptor<D>,
        action: &Action<BufferDescriptor<D>>,
    ) -> Result<(), Rejected<BufferDescriptor<D>>> {
        self.submit(buffer, action, true)
    }

    /// As [`async_io`](Self::async_io), without the zero-length packet: for protocols that know the length otherwise, and for one
    /// transfer that is sent in parts.
    ///
    /// # Errors
    /// As `async_io`.
    pub fn async_io_unterminated(
        &self,
        buffer: BufferDescriptor<D>,
        action: &Action<BufferDescriptor<D>>,
    ) -> Result<(), Rejected<BufferDescriptor<D>>> {
        self.submit(buffer, action, false)
    }

    /// Submits buffers from the end of `buffers` until it is empty or one is not taken; that one is back in `buffers`.
    ///
    /// # Errors
    /// As [`async_io`](Self::async_io), for the first that was not taken.
    pub fn async_io_bundled(
        &self,
        buffers: &mut Vec<BufferDescriptor<D>>,
        action: &Action<BufferDescriptor<D>>,
    ) -> Result<()> {
        while let Some(buffer) = buffers.pop() {
            if let Err(rejected) = self.async_io(buffer, action) {
                buffers.push(rejected.buffer);
                return Err(rejected.error);
            }
        }
        Ok(())
    }

    /// Transfers one buffer and waits for its end: for protocols of question and answer, not for the data path.
    pub async fn io(&self, buffer: BufferDescriptor<D>) -> Completion<BufferDescriptor<D>> {
        let (send, receive) = tokio::sync::oneshot::channel();
        let mut send = Some(send);
        let action = Action::new(move |done| {
            if let Some(send) = send.take() {
                // The caller may have stopped waiting.
                drop(send.send(done));
            }
        });
        if let Err(Rejected { buffer, error }) = self.async_io(buffer, &action) {
            let status = match error.kind() {
                ErrorKind::Unplugged => TransferError::Unplugged,
                _ => TransferError::Refused(error.raw_os_error().unwrap_or(0)),
            };
            return Completion { buffer, outcome: Outcome::Completed(Err(status)), more: false };
        }
        // If the caller stops waiting, the transfer must not go on behind its back.
        let _guard = CancelOnDrop(action);
        receive.await.unwrap_or_else(|_| unreachable!("a submission always ends"))
    }

    fn submit(
        &self,
        buffer: BufferDescriptor<D>,
        action: &Action<BufferDescriptor<D>>,
        zero_packet: bool,
    ) -> Result<(), Rejected<BufferDescriptor<D>>> {
        const OPERATION: &str = "submit a transfer";
        let generation = self.core.interface_generation(self.interface);
        // That the device is gone matters more to whoever is told.
        if generation != Some(self.generation) && !self.core.is_gone() {
            let reason = match generation {
                Some(_) => {
                    "the pipe is stale: an alternate setting was selected, or the interface taken anew, since it was opened"
                }
                None => "the pipe is stale: its interface was given back",
            };
            return Err(Rejected { buffer, error: self.error(OPERATION, ErrorKind::NotFound, reason) });
        }
        if let Err(cancelled) = action.begin() {
            let error = self.error(OPERATION, ErrorKind::Cancelled, cancelled.to_string());
            return Err(Rejected { buffer, error });
        }
        let request = match D::DIRECTION {
            Direction::Out => 0,
            Direction::In if buffer.capacity() < self.max_packet_size => buffer.capacity(),
            Direction::In => buffer.capacity() - buffer.capacity() % self.max_packet_size,
        };
        let operation =
            Operation::Transfer { endpoint: self.address, transfer_type: T::TYPE, request, zero_packet };
        let mut raw = buffer.into_raw();
        if D::DIRECTION == Direction::In {
            // What the last transfer left is not what this one brings, if it ends before anything arrives.
            raw.set_len(0);
        }
        match self.core.submit(operation, raw, action.as_finish()) {
            Ok(()) => {
                action.add_canceller(&self.core);
                Ok(())
            }
            Err((error, raw)) => {
                action.retract();
                let error = self.transfer_error(OPERATION, error);
                Err(Rejected { buffer: BufferDescriptor::from_raw(raw), error })
            }
        }
    }

    /// Ends everything in flight on this pipe and resolves when the handlers have seen it.
    pub async fn abort(&self) {
        self.core.abort_endpoint(self.address).await;
    }

    /// Clears a halt at both ends, after a [`TransferError::Stall`]. Transfers that wait on the pipe stay queued.
    ///
    /// # Errors
    /// Unplugged; Stalled: the device refuses even this; TimedOut.
    pub async fn clear_stall(&self) -> Result<()> {
        self.core
            .perform(Operation::ClearHalt { endpoint: self.address }, RawBuffer::heap(0))
            .await
            .map(drop)
            .map_err(|error| self.transfer_error("clear the halt", error))
    }

    fn error(&self, operation: &'static str, kind: ErrorKind, reason: impl Into<Cow<'static, str>>) -> Error {
        Error::new(kind, operation, reason)
            .device(self.core.name())
            .interface(self.interface)
            .endpoint(self.address)
    }

    fn transfer_error(&self, operation: &'static str, error: TransferError) -> Error {
        error.during(operation).device(self.core.name()).interface(self.interface).endpoint(self.address)
    }
}

impl<T: PipeType, D: PipeDirection> fmt::Debug for Pipe<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipe<{:?}, {:?}>({}, {:#04x})", T::TYPE, D::DIRECTION, self.core.name(), self.address)
    }
}

/// Cancels the action of an awaited transfer whose waiter went away.
struct CancelOnDrop<B: 'static>(Action<B>);

impl<B> Drop for CancelOnDrop<B> {
    fn drop(&mut self) {
        self.0.begin_cancel();
    }
}
