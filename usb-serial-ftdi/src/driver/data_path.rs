//! The data path: bytes between the bulk pipes and the host's end. It decides nothing but where a buffer goes next; it does not know
//! control requests, settings or repair.
//!
//! Per transfer there is no allocation, lock or task switch: from the chip, the status bytes are taken out in place and the rest goes to the
//! host in one write; to the chip, the host's bytes are read straight into the transfer's buffer.

use std::rc::Rc;

use outboard_core::Result;
use outboard_core::action::{Action, Completion, Outcome};
use outboard_core::buffer::BufferDescriptor;
use outboard_core::family::serial::SerialPort;
use outboard_core::service::Context;
use outboard_core::usb::{Bulk, In, Interface, Out, Pipe, Speed, TransferError};

use super::FtdiDriver;
use crate::machine::Machine;
use crate::proto::chip::Chip;
use crate::proto::function::Port;
use crate::proto::status::{self, Stripped};

/// Transfers queued from a full-speed chip, and the bytes of each: 27 ms at the most that the bus carries.
pub const READS_FULL_SPEED: (usize, usize) = (8, 4096);
/// From a high-speed chip: 218 ms at 12 MBd.
pub const READS_HIGH_SPEED: (usize, usize) = (16, 16_384);
/// Transfers queued to a chip: one on the bus, one behind it, two at the application.
pub const WRITES: usize = 4;
/// Bytes of one transfer to a chip at most.
pub const WRITE_LIMIT: usize = 4096;
/// A transfer to a chip is as long as the line takes in this time, in milliseconds: what has been submitted can hardly be taken back.
const WRITE_TIME: u64 = 20;
/// The shortest that one is, however slow the line.
const WRITE_LEAST: usize = 64;
/// The SIO's packets to it, with their first byte, which says how many follow and to which port.
const SIO_PACKET: usize = 64;

type InBuffer = BufferDescriptor<In>;
type OutBuffer = BufferDescriptor<Out>;

pub(super) struct DataPath<P> {
    pub(super) port: P,
    pub(super) faults: u64,
    pub(super) receive: Receive,
    pub(super) send: Send,
}

pub(super) struct Receive {
    pub(super) pipe: Rc<Pipe<Bulk, In>>,
    action: Action<InBuffer>,
    packet_size: usize,
    idle: Vec<InBuffer>,
    good: u32,
    /// Transfers in flight that began before the port was closed: what they bring is for nobody.
    stale: usize,
    /// Bytes that were for nobody.
    unread: u64,
    enabled: bool,
}

pub(super) struct Send {
    pub(super) pipe: Rc<Pipe<Bulk, Out>>,
    action: Action<OutBuffer>,
    free: Vec<OutBuffer>,
    /// What failed or was aborted for a repair; it is sent again first, in its old order.
    again: Vec<OutBuffer>,
    next_mark: u64,
    good: u32,
    frames: bool,
    enabled: bool,
    /// What comes back is not to be sent any more.
    discard: bool,
}

/// What [`DataPath::pull`] ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulled {
    /// The host has nothing, or a request first.
    Nothing,
    /// There is no free buffer.
    NoBuffers,
    /// A transfer was not taken.
    Trouble,
}

impl<P: SerialPort + 'static> DataPath<P> {
    pub(super) fn open(
        context: &Context<FtdiDriver<P>>,
        interface: &Interface,
        ids: &Port,
        chip: Chip,
        port: P,
    ) -> Result<Self> {
        let (depth, bytes) = match interface.device().speed() {
            Speed::Low | Speed::Full => READS_FULL_SPEED,
            _ => READS_HIGH_SPEED,
        };
        let pipe = Rc::new(interface.pipe::<Bulk, In>(ids.bulk_in)?);
        let receive = Receive {
            idle: pipe.buffers(bytes, depth),
            pipe,
            action: context.action(FtdiDriver::received),
            packet_size: usize::from(ids.packet_size),
            good: 0,
            stale: 0,
            unread: 0,
            enabled: false,
        };
        let pipe = Rc::new(interface.pipe::<Bulk, Out>(ids.bulk_out)?);
        let send = Send {
            free: pipe.buffers(WRITE_LIMIT, WRITES),
            pipe,
            action: context.action(FtdiDriver::sent),
            again: Vec::with_capacity(WRITES),
            next_mark: 1,
            good: 0,
            frames: chip.frames_packets(),
            enabled: true,
            discard: false,
        };
        Ok(Self { port, faults: 0, receive, send })
    }

    pub(super) fn stop(&mut self) {
        self.receive.enabled = false;
        self.send.enabled = false;
    }

    pub(super) fn set_receiving(&mut self, enabled: bool) {
        self.receive.enabled = enabled;
    }

    pub(super) fn set_sending(&mut self, enabled: bool) {
        self.send.enabled = enabled;
    }

    /// The port was closed: what is in flight from the chip is for nobody.
    pub(super) fn forget_reads(&mut self) {
        self.receive.enabled = false;
        self.receive.stale = self.receive.pipe.in_flight();
    }

    /// Bytes from the chip that were for nobody.
    pub(super) fn unread(&self) -> u64 {
        self.receive.unread
    }

    /// Submits reads until the queue is as deep as it should be. With flow control only as many as the host's ring could hold if all of them came
    /// back full: the chip's own memory fills up behind, and stops the sender.
    pub(super) fn fill(&mut self, stops_sender: bool) -> Result<(), TransferError> {
        let Receive { pipe, action, idle, enabled, .. } = &mut self.receive;
        if !*enabled {
            return Ok(());
        }
        while let Some(buffer) = idle.pop() {
            if stops_sender && self.port.room() < (pipe.in_flight() + 1) * buffer.capacity() {
                idle.push(buffer);
                break;
            }
            if let Err(rejected) = pipe.async_io(buffer, action) {
                idle.push(rejected.buffer);
                return refused(&rejected.error);
            }
        }
        Ok(())
    }

    /// Takes one completion: the data go to the host. What was in it, or how it failed.
    fn take_received(
        &mut self,
        mut done: Completion<InBuffer>,
        machine: &Machine,
    ) -> Result<Taken, outboard_core::Error> {
        let mut taken = Taken::default();
        // Before an error there may have been good packets.
        let stripped = status::strip(done.buffer.data_mut(), self.receive.packet_size, machine.status());
        match done.outcome {
            Outcome::Completed(Ok(_)) => self.receive.good += 1,
            Outcome::Completed(Err(error)) => {
                self.faults += 1;
                taken.error = Some(error);
            }
            Outcome::Cancelled | Outcome::Aborted(_) => {}
        }
        let is_stale = self.receive.stale > 0;
        self.receive.stale = self.receive.stale.saturating_sub(1);
        let result = match stripped.data {
            0 => Ok(0),
            // The last one has closed the port, and the next one, who may have it open already, is not to get what was for him.
            count if is_stale || !machine.is_open() || machine.is_closing() => {
                self.receive.unread += count as u64;
                Ok(0)
            }
            count => {
                if !stripped.errors.is_empty() {
                    self.port.line_errors(stripped.errors);
                }
                self.port.receive(&done.buffer.data()[..count])
            }
        };
        done.buffer.set_len(0);
        self.receive.idle.push(done.buffer);
        taken.stripped = stripped;
        result.map(|_| taken)
    }

    /// Bytes of one transfer at this rate.
    fn chunk(&self, machine: &Machine) -> usize {
        let bytes = u64::from(machine.rate().baud()) / 10 * WRITE_TIME / 1000;
        usize::try_from(bytes).unwrap_or(WRITE_LIMIT).clamp(WRITE_LEAST, WRITE_LIMIT)
    }

    /// Takes bytes from the host and submits them.
    pub(super) fn pull(&mut self, machine: &mut Machine) -> Result<Pulled, outboard_core::Error> {
        let chunk = self.chunk(machine);
        while machine.may_pull() && self.send.enabled && self.send.again.is_empty() {
            let Some(mut buffer) = self.send.free.pop() else { return Ok(Pulled::NoBuffers) };
            let taken = match self.send.frames {
                false => self.port.transmit(&mut buffer.space_mut()[..chunk]),
                true => self.port.transmit(&mut buffer.space_mut()[1..SIO_PACKET]),
            };
            match taken {
                Ok(0) => {
                    self.send.free.push(buffer);
                    machine.handle_nothing();
                    return Ok(Pulled::Nothing);
                }
                Ok(count) if self.send.frames => {
                    // At most 63, of which the upper six bits are the length.
                    buffer.space_mut()[0] = (count as u8) << 2 | 1;
                    buffer.set_len(count + 1);
                }
                Ok(count) => buffer.set_len(count),
                Err(error) => {
                    self.send.free.push(buffer);
                    return Err(error);
                }
            }
            if self.submit(buffer, machine).is_err() {
                return Ok(Pulled::Trouble);
            }
        }
        Ok(Pulled::Nothing)
    }

    fn submit(&mut self, mut buffer: OutBuffer, machine: &mut Machine) -> Result<(), TransferError> {
        let send = &mut self.send;
        if buffer.mark() == 0 {
            buffer.set_mark(send.next_mark);
            send.next_mark += 1;
        }
        let count = buffer.len();
        // The chip takes a stream: where a transfer ends means nothing to it.
        match send.pipe.async_io_unterminated(buffer, &send.action) {
            Ok(()) => {
                machine.handle_submitted(count, FtdiDriver::<P>::now());
                Ok(())
            }
            Err(rejected) => {
                send.again.push(rejected.buffer);
                refused(&rejected.error)
            }
        }
    }

    /// Sends again what a repair interrupted.
    pub(super) fn resend(&mut self, machine: &mut Machine) -> Result<(), TransferError> {
        self.send.enabled = true;
        self.send.again.sort_unstable_by_key(|buffer| std::cmp::Reverse(buffer.mark()));
        while let Some(buffer) = self.send.again.pop() {
            let before = self.send.again.len();
            self.submit(buffer, machine)?;
            if self.send.again.len() > before {
                break;
            }
        }
        Ok(())
    }

    /// What comes back from now on, and what waits, is thrown away.
    pub(super) fn discard(&mut self, discard: bool) {
        self.send.discard = discard;
        if discard {
            let Send { free, again, .. } = &mut self.send;
            again.iter_mut().for_each(|buffer| buffer.set_mark(0));
            free.append(again);
        }
    }

    fn take_sent(&mut self, mut done: Completion<OutBuffer>, machine: &mut Machine) -> Option<TransferError> {
        machine.handle_written(done.buffer.len());
        let send = &mut self.send;
        let error = match done.outcome {
            Outcome::Completed(Ok(_)) => {
                send.good += 1;
                None
            }
            Outcome::Completed(Err(error)) => Some(error),
            Outcome::Cancelled | Outcome::Aborted(_) => None,
        };
        if matches!(done.outcome, Outcome::Completed(Ok(_))) || send.discard {
            done.buffer.set_mark(0);
            send.free.push(done.buffer);
        } else {
            send.again.push(done.buffer);
        }
        self.faults += u64::from(error.is_some());
        error
    }
}

/// What one completion brought.
#[derive(Debug, Default)]
pub(super) struct Taken {
    stripped: Stripped,
    error: Option<TransferError>,
}

impl<P: SerialPort + 'static> FtdiDriver<P> {
    /// ReadComplete of the bulk IN pipe.
    fn received(&mut self, done: Completion<InBuffer>) {
        let more = done.more;
        let taken = match self.path.take_received(done, &self.machine) {
            Ok(taken) => taken,
            Err(error) => return self.fail(error),
        };
        let news = self.machine.handle_received(&taken.stripped);
        if let Some(error) = taken.error {
            self.trouble(crate::machine::Role::Receive, error);
        }
        if !more {
            let good = std::mem::take(&mut self.path.receive.good);
            self.machine.handle_completed(crate::machine::Role::Receive, good);
            self.refill();
        }
        if news {
            self.drive();
        }
    }

    /// WriteComplete of the bulk OUT pipe.
    fn sent(&mut self, done: Completion<OutBuffer>) {
        let more = done.more;
        let error = self.path.take_sent(done, &mut self.machine);
        if let Some(error) = error {
            self.trouble(crate::machine::Role::Transmit, error);
        }
        if !more {
            let good = std::mem::take(&mut self.path.send.good);
            self.machine.handle_completed(crate::machine::Role::Transmit, good);
            self.pull();
        }
    }
}

/// What to make of a transfer that was not taken.
fn refused(error: &outboard_core::Error) -> Result<(), TransferError> {
    use outboard_core::ErrorKind;
    match error.kind() {
        // The action is cancelled, or the pipe is being replaced: the buffer waits. An unplug is told by the device.
        ErrorKind::Cancelled | ErrorKind::NotFound | ErrorKind::Unplugged => Ok(()),
        _ => {
            tracing::debug!(%error, "a transfer was not taken");
            Err(TransferError::Fault)
        }
    }
}
