//! The data path: frames between the bulk pipes and the interface. It asks the machine nothing and decides nothing but where a buffer goes
//! next; it does not know control requests, notifications or repair.
//!
//! Per frame there is no allocation, lock or task switch. Completions of one batch gather in a vector that was made for all buffers, then
//! the interface gets them in one call. Before it does, spare buffers are submitted in their place, so the device's queue stays full
//! while the interface works.

use std::rc::Rc;

use outboard_core::MacAddr;
use outboard_core::action::{Action, Completion, Outcome};
use outboard_core::buffer::BufferDescriptor;
use outboard_core::family::ethernet::{EthernetInterface, Transmit};
use outboard_core::service::Context;
use outboard_core::source::{Drained, InterruptSource};
use outboard_core::usb::{Bulk, In, Interface, Out, Pipe, TransferError};
use outboard_core::{Error, ErrorKind, Result};

use super::{Drops, EcmDriver, start};
use crate::machine::{Role, Trouble};
use crate::proto::frame::{BadFrame, FrameRules};
use crate::proto::function::EcmFunction;

/// Transfers queued each way at full speed: the bus needs 10 ms for so many full frames, several turns of any scheduler. (Linux: 4.)
pub const DEPTH_FULL_SPEED: usize = 8;
/// At high speed: 2 ms of full frames. (Linux: 60.)
pub const DEPTH_HIGH_SPEED: usize = 64;
/// At SuperSpeed and above: 0.4 ms of full frames, and as much again in the spares. (Linux: 300; but ours are resubmitted in batches
/// from user space, and usbfs has 16 MiB for all devices together.)
pub const DEPTH_SUPER_SPEED: usize = 128;
/// Buffers each way are at most this many bytes together, however long the device says that its frames are.
pub const MEMORY: usize = 1 << 20;
/// Spare receive buffers: as many as one turn of the transport completes.
pub const BATCH: usize = 64;

type InBuffer = BufferDescriptor<In>;
type OutBuffer = BufferDescriptor<Out>;

pub(super) struct DataPath<E> {
    pub(super) interface: E,
    pub(super) drops: Drops,
    pub(super) receive: Receive,
    pub(super) send: Send,
    rules: FrameRules,
    /// Quirk: received frames for a made-up local station are meant for this one.
    rewrite: Option<MacAddr>,
}

pub(super) struct Receive {
    pub(super) pipe: Rc<Pipe<Bulk, In>>,
    action: Action<InBuffer>,
    depth: usize,
    /// Frames of the present batch.
    batch: Vec<InBuffer>,
    spare: Vec<InBuffer>,
    /// Transfers of the present batch that went well, with a frame or without.
    good: u32,
    /// The last transfer filled its buffer, so what follows, up to a short transfer, is more of the same overlong frame.
    overlong: bool,
    enabled: bool,
}

pub(super) struct Send {
    pub(super) pipe: Rc<Pipe<Bulk, Out>>,
    action: Action<OutBuffer>,
    source: Option<Rc<InterruptSource>>,
    free: Vec<OutBuffer>,
    ready: Vec<OutBuffer>,
    /// Frames that failed or were aborted; they are sent again first, in their old order.
    again: Vec<OutBuffer>,
    /// The mark of the frame that failed last: failing again, it is dropped.
    suspect: u64,
    next_mark: u64,
    good: u32,
    /// Buffers there are, wherever they are now.
    depth: usize,
    /// The host was left with frames for want of buffers; no readiness may tell of them.
    host_has_more: bool,
    enabled: bool,
}

impl Send {
    /// Half of the buffers are back: enough to take a whole superframe without copying, while the other half keeps the device busy.
    fn has_room(&self) -> bool {
        self.free.len() >= self.depth / 2
    }
}

/// What the data path met that control has to deal with.
pub(super) enum Event {
    Trouble(Role, Trouble),
    /// The interface was deleted.
    Ended(Error),
}

impl<E: EthernetInterface + 'static> DataPath<E> {
    pub(super) fn open(
        context: &Context<EcmDriver<E>>,
        bulk: &Interface,
        function: &EcmFunction,
        interface: E,
        rewrite: Option<MacAddr>,
    ) -> Result<Self> {
        let rules = function.frame_rules();
        let depth = start::depth(bulk.device().speed()).min(MEMORY / rules.receive_buffer()).max(2);
        let pipe = Rc::new(bulk.pipe::<Bulk, In>(function.bulk_in.address)?);
        let count = depth + BATCH.min(depth);
        let receive = Receive {
            spare: pipe.buffers(rules.receive_buffer(), count),
            pipe,
            action: context.action(EcmDriver::received),
            depth,
            batch: Vec::with_capacity(count),
            good: 0,
            overlong: false,
            enabled: false,
        };
        let pipe = Rc::new(bulk.pipe::<Bulk, Out>(function.bulk_out.address)?);
        let source = match interface.readiness() {
            Some(fd) => Some(context.interrupt_source(fd, EcmDriver::host_ready)?),
            None => None,
        };
        let send = Send {
            free: pipe.buffers(rules.longest(), depth),
            pipe,
            action: context.action(EcmDriver::sent),
            source,
            ready: Vec::with_capacity(depth),
            again: Vec::with_capacity(depth),
            suspect: 0,
            next_mark: 1,
            good: 0,
            depth,
            host_has_more: true,
            enabled: false,
        };
        Ok(Self { interface, drops: Drops::default(), receive, send, rules, rewrite })
    }

    /// Another station address, for the quirk.
    pub(super) fn set_station(&mut self, mac: MacAddr) {
        if self.rewrite.is_some() {
            self.rewrite = Some(mac);
        }
    }

    pub(super) fn stop_receiving(&mut self) {
        self.receive.enabled = false;
    }

    pub(super) fn stop_sending(&mut self) {
        self.send.enabled = false;
    }

    /// Takes one completion; the batch's last calls [`deliver`](Self::deliver).
    fn take_received(&mut self, mut done: Completion<InBuffer>) -> Option<TransferError> {
        let error = match done.outcome {
            Outcome::Completed(Ok(length)) => {
                self.receive.good += 1;
                // Buffers are longer than any frame, so only an overlong one fills them; its first part was counted.
                let went_on = std::mem::replace(&mut self.receive.overlong, length == done.buffer.capacity());
                match self.rules.received(length) {
                    _ if went_on => {}
                    Ok(length) => {
                        done.buffer.set_len(length);
                        if let Some(station) = self.rewrite {
                            rewrite_destination(done.buffer.data_mut(), station);
                        }
                        self.receive.batch.push(done.buffer);
                        return None;
                    }
                    Err(BadFrame::Empty) => self.drops.received_empty += 1,
                    Err(BadFrame::Runt) => self.drops.received_runts += 1,
                    Err(BadFrame::Oversize) => self.drops.received_oversize += 1,
                }
                None
            }
            Outcome::Completed(Err(error)) => Some(error),
            Outcome::Cancelled | Outcome::Aborted(_) => None,
        };
        match error {
            None => {}
            Some(TransferError::Overflow) => self.drops.received_overflow += 1,
            Some(_) => self.drops.received_faults += 1,
        }
        self.receive.spare.push(done.buffer);
        error
    }

    /// Hands the batch to the host. Returns how many transfers went well and how many frames they had.
    fn deliver(&mut self) -> Result<(u32, u32), Event> {
        self.fill()?;
        let good = std::mem::take(&mut self.receive.good);
        let frames = self.receive.batch.len() as u32;
        let delivered =
            if frames == 0 { Ok(()) } else { self.interface.receive(&mut self.receive.batch).map(drop) };
        self.receive.spare.append(&mut self.receive.batch);
        delivered.map_err(Event::Ended)?;
        self.fill()?;
        Ok((good, frames))
    }

    /// Submits spare buffers until the queue is as deep as it should be.
    fn fill(&mut self) -> Result<(), Event> {
        let Receive { pipe, action, depth, spare, enabled, .. } = &mut self.receive;
        if !*enabled {
            return Ok(());
        }
        for _ in pipe.in_flight()..*depth {
            let Some(buffer) = spare.pop() else { break };
            if let Err(rejected) = pipe.async_io(buffer, action) {
                spare.push(rejected.buffer);
                return refused(Role::Receive, rejected.error);
            }
        }
        Ok(())
    }

    /// The receive pipe works (again).
    pub(super) fn resume_receiving(&mut self) -> Result<(), Event> {
        self.receive.enabled = true;
        // The device begins with a new frame after what was repaired.
        self.receive.overlong = false;
        self.fill()
    }

    /// The same for the other one. Frames that wait are sent first.
    pub(super) fn resume_sending(&mut self) -> Result<(), Event> {
        self.send.enabled = true;
        self.send.again.sort_unstable_by_key(|buffer| buffer.mark());
        std::mem::swap(&mut self.send.ready, &mut self.send.again);
        self.submit_ready()
    }

    /// Takes frames from the host and submits them. True: the host may have more, and nothing else will tell.
    ///
    /// Without a link they are dropped: old frames must not surprise whoever is met when it comes back, and Linux drops them too.
    pub(super) fn pull(&mut self, link: bool) -> Result<bool, Event> {
        if !self.send.enabled {
            self.send.host_has_more = true;
            return Ok(false);
        }
        let transmitted = self.interface.transmit(&mut self.send.free, &mut self.send.ready);
        if link {
            self.submit_ready()?;
        } else {
            self.drops.sent_without_link += self.send.ready.len() as u64;
            self.send.free.append(&mut self.send.ready);
        }
        self.send.host_has_more = transmitted.map_err(Event::Ended)? == Transmit::NoBuffers;
        Ok(self.send.host_has_more && !self.send.free.is_empty())
    }

    /// Submits what is ready, in order.
    fn submit_ready(&mut self) -> Result<(), Event> {
        let Send { pipe, action, free, ready, again, next_mark, enabled, .. } = &mut self.send;
        let mut failed = Ok(());
        for mut buffer in ready.drain(..) {
            if self.rules.sent(buffer.len()).is_err() {
                self.drops.sent_unfit += 1;
                free.push(buffer);
                continue;
            }
            if buffer.mark() == 0 {
                buffer.set_mark(*next_mark);
                *next_mark += 1;
            }
            if failed.is_err() || !*enabled {
                again.push(buffer);
            } else if let Err(rejected) = pipe.async_io(buffer, action) {
                again.push(rejected.buffer);
                failed = refused(Role::Transmit, rejected.error);
            }
        }
        failed
    }

    /// Takes one completion of a sent frame.
    fn take_sent(&mut self, mut done: Completion<OutBuffer>) -> Option<TransferError> {
        let send = &mut self.send;
        match done.outcome {
            Outcome::Completed(Ok(_)) => {
                send.good += 1;
                done.buffer.set_mark(0);
                send.free.push(done.buffer);
                None
            }
            Outcome::Completed(Err(error)) => {
                if send.suspect == done.buffer.mark() {
                    self.drops.sent_failed += 1;
                    done.buffer.set_mark(0);
                    send.free.push(done.buffer);
                } else {
                    // Those behind it failed with it.
                    if send.enabled {
                        send.suspect = done.buffer.mark();
                    }
                    send.again.push(done.buffer);
                }
                Some(error)
            }
            Outcome::Cancelled | Outcome::Aborted(_) => {
                send.again.push(done.buffer);
                None
            }
        }
    }
}

impl<E: EthernetInterface + 'static> EcmDriver<E> {
    /// ReadComplete of the bulk IN pipe.
    fn received(&mut self, done: Completion<InBuffer>) {
        let more = done.more;
        if let Some(error) = self.path.take_received(done) {
            // What went well before it comes first: between trouble and repair it would not count.
            let good = std::mem::take(&mut self.path.receive.good);
            self.progress(Role::Receive, good, 0);
            self.trouble(Role::Receive, error);
        }
        if more {
            return;
        }
        match self.path.deliver() {
            Ok((good, frames)) => self.progress(Role::Receive, good, frames),
            Err(event) => self.event(event),
        }
    }

    /// WriteComplete of the bulk OUT pipe.
    fn sent(&mut self, done: Completion<OutBuffer>) {
        let more = done.more;
        if let Some(error) = self.path.take_sent(done) {
            let good = std::mem::take(&mut self.path.send.good);
            self.progress(Role::Transmit, good, 0);
            self.trouble(Role::Transmit, error);
        }
        if more {
            return;
        }
        let good = std::mem::take(&mut self.path.send.good);
        self.progress(Role::Transmit, good, 0);
        if self.path.send.host_has_more && self.path.send.has_room() {
            self.pull();
        }
    }

    /// The host has frames to send.
    fn host_ready(&mut self) -> Drained {
        self.pull()
    }

    /// Takes what the host has, and arranges for the rest.
    pub(super) fn pull(&mut self) -> Drained {
        let more = match self.path.pull(self.machine.is_up()) {
            Ok(more) => more,
            Err(event) => {
                self.event(event);
                false
            }
        };
        // Without buffers readiness would only keep us busy; their return calls us.
        let wait = self.path.send.host_has_more && !more;
        if let Some(source) = &self.path.send.source {
            source.set_enabled(!wait);
        }
        if self.path.interface.wish_may_have_changed() {
            self.look_at_wish();
        }
        if self.path.send.host_has_more { Drained::No } else { Drained::Yes }
    }
}

pub(super) fn refused(role: Role, error: Error) -> Result<(), Event> {
    match error.kind() {
        // The action is cancelled, or the pipe is being replaced: the buffer waits. An unplug is told by the device.
        ErrorKind::Cancelled | ErrorKind::NotFound | ErrorKind::Unplugged => Ok(()),
        _ => {
            tracing::debug!(%error, "a transfer was not taken");
            Err(Event::Trouble(role, Trouble::Fault))
        }
    }
}

/// Some modems send every frame to an address that they made up.
fn rewrite_destination(frame: &mut [u8], station: MacAddr) {
    if let Some(destination) = frame.first_chunk_mut::<6>() {
        let address = MacAddr::new(*destination);
        if address.is_local() && !address.is_multicast() {
            *destination = station.octets();
        }
    }
}
