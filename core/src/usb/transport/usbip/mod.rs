//! The transport to a device that a USB/IP server exports: another machine's, or a virtual one in another process. It needs nothing of
//! this machine but a connected stream socket, and must not know what is transferred.
//!
//! Submissions of one turn of the queue leave by one system call, straight from their buffers (`send`); one read brings many ends back
//! (`receive`). The server is not trusted: whatever it sends that cannot be ends the connection, and a connection that ends is an
//! unplug, of which [`Fate`] tells the reason.

mod describe;
mod handshake;
mod loss;
mod message;
mod outstanding;
mod receive;
mod send;
mod stream;
#[doc(hidden)]
pub mod testing;

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::Shutdown;
use tokio::time::Sleep;

pub use describe::REQUEST_TIMEOUT;
pub use handshake::{ANSWER_TIMEOUT, IMPORT, LIST, list};
pub use loss::{Fate, Loss};

use self::describe::{Layout, describe};
use self::outstanding::{MOST, MOST_UNLINKS, OWN, Outstanding, Transfer};
use self::receive::Receiver;
use self::send::Sender;
use self::stream::Stream;
use super::{DeviceInfo, Reaped, Transport};
use crate::buffer::RawBuffer;
use crate::error::{Error, ErrorKind, Result};
use crate::usb::Direction;
use crate::usb::transfer::{Done, Operation, Token, TransferError, Urb};
use crate::usb::usbip::speed_of;
use crate::usb::usbip::urb::Submit;

/// Ends taken per turn, so that one busy device leaves room for the other sources of its queue.
const BATCH: usize = 64;

/// How long a server may take to end a transfer early. One that does not is of no use: the driver waits for its buffer.
pub const UNLINK_TIMEOUT: Duration = Duration::from_secs(10);

/// A device at the other end of a connection.
pub struct UsbIp {
    info: DeviceInfo,
    stream: Stream,
    devid: u32,
    layout: Layout,
    table: Outstanding,
    sender: Sender,
    receiver: Receiver,
    claimed: Vec<u8>,
    /// Interfaces with another alternate setting than 0, which a reset forgets.
    alternates: Vec<(u8, u8)>,
    /// The first error in restoring them.
    restoring: Option<TransferError>,
    /// What was cancelled before it was sent, on its way back.
    finished: Vec<Done>,
    waker: Option<Waker>,
    /// Until when the server has to answer an unlink, and how many it had answered when that began.
    unlink_timer: Option<(Pin<Box<Sleep>>, u64)>,
    fate: Fate,
    over: bool,
}

/// A socket with its options set, on which nothing was said yet: for a process that may set none once it talks to the server.
#[derive(Debug)]
pub struct Prepared(Stream);

impl Prepared {
    /// Takes over a connected stream socket. On a queue.
    ///
    /// # Errors
    /// System: it is none, or cannot be watched.
    pub fn new(fd: OwnedFd) -> Result<Self> {
        stream::prepare(fd).map(Self).map_err(|error| Error::os(IMPORT, error))
    }
}

impl UsbIp {
    /// Imports the device that the server calls `bus_id` and reads its descriptors. `name` names it in errors and logs. On a queue.
    ///
    /// # Errors
    /// NotFound: the server has no such device, or `bus_id` is none. Busy: another client has it. Refused: the server does not want to.
    /// Unsupported: it speaks another version. TimedOut: it did not answer within [`ANSWER_TIMEOUT`], or the device not within
    /// [`REQUEST_TIMEOUT`]. Malformed: server or device say what makes no sense. Unplugged: the connection ended. System: `fd` is no
    /// stream socket, or the device is in a bad state.
    pub async fn import(fd: OwnedFd, bus_id: &str, name: &str) -> Result<Self> {
        let prepared = Prepared::new(fd).map_err(|error| error.device(name))?;
        Self::import_over(prepared, bus_id, name).await
    }

    /// The same over a socket that was prepared before.
    ///
    /// # Errors
    /// As [`import`](Self::import).
    pub async fn import_over(Prepared(stream): Prepared, bus_id: &str, name: &str) -> Result<Self> {
        Self::import_unnamed(stream, bus_id, name).await.map_err(|error| error.device(name))
    }

    async fn import_unnamed(stream: Stream, bus_id: &str, name: &str) -> Result<Self> {
        let exported = handshake::import(&stream, bus_id).await?;
        let Some(speed) = speed_of(exported.speed) else {
            let reason = format!("is {}; 1 to 6 are known", exported.speed);
            return Err(Error::new(ErrorKind::Malformed, IMPORT, reason).field("speed"));
        };
        let info =
            DeviceInfo { name: name.to_owned(), speed, descriptors: Vec::new(), configuration: Some(0) };
        let mut this = Self {
            info,
            stream,
            devid: exported.devid(),
            layout: Layout::default(),
            table: Outstanding::new(),
            sender: Sender::default(),
            receiver: Receiver::new(),
            claimed: Vec::new(),
            alternates: Vec::new(),
            restoring: None,
            finished: Vec::new(),
            waker: None,
            unlink_timer: None,
            fate: Fate::default(),
            over: false,
        };
        let (descriptors, configuration) = describe(&mut this).await?;
        this.info.descriptors = descriptors;
        this.info.configuration = Some(configuration);
        this.learn_layout();
        Ok(this)
    }

    /// The bus that the device is on at the server, and its address there.
    pub fn place(&self) -> (u16, u16) {
        ((self.devid >> 16) as u16, self.devid as u16)
    }

    /// Tells later why the connection was lost.
    pub fn fate(&self) -> Fate {
        self.fate.clone()
    }

    fn learn_layout(&mut self) {
        self.layout = Layout::of(&self.info.descriptors, self.info.speed, self.info.configuration);
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn send(&mut self, urb: Urb, submit: Submit, stage: usize) {
        let seqnum = self.table.add(urb, submit, stage);
        self.sender.push(seqnum);
    }

    /// A transfer has ended at the server. What is one operation to us may take another message.
    fn ended(&mut self, transfer: Transfer, status: Result<usize, TransferError>, done: &mut Vec<Done>) {
        let Transfer { urb, stage, unlinked, .. } = transfer;
        if urb.token == OWN {
            if let Err(error) = status {
                tracing::debug!(device = %self.info.name, %error, "alternate setting 0 could not be selected");
            }
            return;
        }
        let status = match urb.operation {
            Operation::SetInterface { interface, alternate } if status.is_ok() => {
                self.remember(interface, alternate);
                status
            }
            Operation::SetConfiguration(value) if status.is_ok() => {
                self.info.configuration = Some(value);
                self.alternates.clear();
                self.learn_layout();
                status
            }
            Operation::Reset => match self.reset_stage(stage, status, unlinked) {
                Ok(next) => return self.send(urb, next, stage + 1),
                Err(status) => status,
            },
            _ => status,
        };
        done.push(Done { urb, status });
    }

    fn remember(&mut self, interface: u8, alternate: u8) {
        self.alternates.retain(|(known, _)| *known != interface);
        if alternate != 0 {
            self.alternates.push((interface, alternate));
        }
    }

    /// The next request of a reset after the answer to the one of `stage` (0: the reset itself; then one alternate setting each), or how
    /// the reset ended.
    fn reset_stage(
        &mut self,
        stage: usize,
        status: Result<usize, TransferError>,
        unlinked: bool,
    ) -> Result<Submit, Result<usize, TransferError>> {
        match (stage, status) {
            (0, Ok(_)) => self.restoring = None,
            // Linux resets the device, and then also hands it the request (stub_rx.c, "harmless?"). It is none of a device that is no hub.
            (0, Err(TransferError::Stall)) => {
                tracing::debug!(device = %self.info.name, "the device itself refuses the request that reset it");
                self.restoring = None;
            }
            (0, Err(error)) => return Err(Err(error)),
            (_, Ok(_)) => {}
            (_, Err(error)) => {
                self.restoring.get_or_insert(error);
            }
        }
        match self.alternates.get(stage) {
            Some((interface, alternate)) if !unlinked => {
                Ok(message::set_interface(self.devid, *interface, *alternate))
            }
            Some(_) => Err(Err(TransferError::Cancelled)),
            None => Err(self.restoring.take().map_or(Ok(0), Err)),
        }
    }

    /// Sends what the socket takes.
    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), Loss> {
        while !self.sender.is_empty() {
            let Poll::Ready(ready) = self.stream.poll_write_ready(context) else { return Ok(()) };
            let Ok(mut ready) = ready else { return Ok(()) };
            let fd = ready.get_inner();
            match self.sender.flush(&mut self.table, |pieces| stream::write(fd, pieces)) {
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(stream::lost(error)),
            }
        }
        Ok(())
    }

    /// Takes in what has come, up to a batch.
    fn receive(&mut self, context: &mut Context<'_>, done: &mut Vec<Done>) -> Result<(), Loss> {
        let most = done.len() + BATCH;
        loop {
            while done.len() < most {
                let Some((transfer, status)) = self.receiver.next(&mut self.table)? else { break };
                self.ended(transfer, status, done);
            }
            if done.len() == most {
                return Ok(());
            }
            let Poll::Ready(ready) = self.stream.poll_read_ready(context) else { return Ok(()) };
            let Ok(mut ready) = ready else { return Ok(()) };
            let fd = ready.get_inner();
            match self.receiver.fill(&mut self.table, |pieces| rustix::io::readv(fd, pieces)) {
                Ok(0) if self.receiver.is_between_messages() => return Err(Loss::Closed),
                Ok(0) => return Err(Loss::Cut),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(stream::lost(error)),
            }
        }
    }

    /// Is an unlink overdue? The time runs anew with each that is answered.
    fn check_unlinks(&mut self, context: &mut Context<'_>) -> Result<(), Loss> {
        if self.table.unlinks() == 0 {
            self.unlink_timer = None;
            return Ok(());
        }
        if self.table.unlinks() > MOST_UNLINKS {
            return Err(Loss::Unanswered);
        }
        let answered = self.table.answered_unlinks();
        let begin = || (Box::pin(tokio::time::sleep(UNLINK_TIMEOUT)), answered);
        let (timer, before) = self.unlink_timer.get_or_insert_with(begin);
        if *before != answered {
            *before = answered;
            timer.as_mut().reset(tokio::time::Instant::now() + UNLINK_TIMEOUT);
        }
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Err(Loss::Unanswered),
            Poll::Pending => Ok(()),
        }
    }

    fn turn(&mut self, context: &mut Context<'_>, done: &mut Vec<Done>) -> Result<(), Loss> {
        done.append(&mut self.finished);
        self.flush(context)?;
        self.receive(context, done)?;
        // A reset goes on with another message.
        self.flush(context)?;
        self.check_unlinks(context)
    }

    /// Ends everything that is out; there will be nothing more.
    fn end_all(&mut self, error: TransferError, done: &mut Vec<Done>) {
        self.over = true;
        self.sender.clear();
        done.append(&mut self.finished);
        let all = self.table.take_all().into_iter();
        done.extend(all.map(|transfer| Done { urb: transfer.urb, status: Err(error) }));
        // The server need not wait for its own time limits. It fails if the connection is gone already.
        let _ = rustix::net::shutdown(self.stream.get_ref(), Shutdown::Both);
    }
}

impl Transport for UsbIp {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn submit(&mut self, urb: Urb) -> Result<(), (TransferError, Urb)> {
        if self.over {
            return Err((TransferError::Unplugged, urb));
        }
        if self.table.transfers() == MOST {
            return Err((TransferError::Refused(Errno::NOBUFS.raw_os_error()), urb));
        }
        match message::of(&urb, self.devid, &self.layout) {
            Ok(submit) => {
                self.send(urb, submit, 0);
                self.wake();
                Ok(())
            }
            Err(error) => Err((TransferError::Refused(error.raw_os_error()), urb)),
        }
    }

    fn cancel(&mut self, token: Token) {
        let Some(seqnum) = self.table.named(token) else { return };
        if self.sender.withdraw(seqnum) {
            if let Some(transfer) = self.table.take(seqnum) {
                self.finished.push(Done { urb: transfer.urb, status: Err(TransferError::Cancelled) });
            }
        } else if let Some(transfer) = self.table.transfer(seqnum)
            && !std::mem::replace(&mut transfer.unlinked, true)
        {
            let unlink = self.table.add_unlink(self.devid, seqnum);
            self.sender.push(unlink);
        }
        self.wake();
    }

    fn poll_reap(&mut self, context: &mut Context<'_>, done: &mut Vec<Done>) -> Poll<Reaped> {
        if self.over {
            return Poll::Ready(Reaped::Gone);
        }
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(context.waker())) {
            self.waker = Some(context.waker().clone());
        }
        let before = done.len();
        if let Err(loss) = self.turn(context, done) {
            tracing::info!(device = %self.info.name, reason = %loss, "the connection to the USB/IP server was lost");
            self.fate.set(loss);
            self.end_all(TransferError::Unplugged, done);
            return Poll::Ready(Reaped::Gone);
        }
        if done.len() > before { Poll::Ready(Reaped::Some) } else { Poll::Pending }
    }

    fn abandon(&mut self, done: &mut Vec<Done>) {
        self.end_all(TransferError::Cancelled, done);
    }

    fn allocate(&mut self, _: Direction, capacity: usize, count: usize) -> Vec<RawBuffer> {
        (0..count).map(|_| RawBuffer::heap(capacity)).collect()
    }

    /// The server has taken the whole device from its machine's drivers, for us alone.
    fn claim(&mut self, interface: u8) -> Result<()> {
        if self.claimed.contains(&interface) {
            return Err(Error::new(ErrorKind::Busy, "claim", "this program has it already")
                .device(&self.info.name)
                .interface(interface));
        }
        self.claimed.push(interface);
        // Whoever had it before, here or as another client, may have left another setting.
        self.remember(interface, 0);
        if self.layout.has_alternates(interface) && !self.over {
            let operation = Operation::SetInterface { interface, alternate: 0 };
            let submit = message::set_interface(self.devid, interface, 0);
            self.send(Urb { token: OWN, operation, buffer: RawBuffer::heap(0) }, submit, 0);
            self.wake();
        }
        Ok(())
    }

    fn release(&mut self, interface: u8) {
        self.claimed.retain(|claimed| *claimed != interface);
    }
}
