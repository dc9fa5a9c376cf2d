//! One connection as a server sees it: bytes in, bytes out, the time passed in. It must not know sockets, clocks or other connections.
//!
//! What an unlink means is the kernel's idea of it (drivers/usb/usbip/stub_rx.c and vhci_rx.c): a transfer that is still in flight is taken
//! back, is never returned, and its unlink is answered by -ECONNRESET; one that was returned before is answered by 0, behind its return.

use std::time::Instant;

use outboard_core::usb::transfer::{Done, Operation, Urb};
use outboard_core::usb::usbip::BadMessage;
use outboard_core::usb::usbip::operation::{self, BUS_ID, Exported, Request, Status};
use outboard_core::usb::usbip::urb::{Command, HEADER, Reply, Returned, Submit, flags, status_of};
use outboard_core::usb::{Direction, SetupPacket, TransferError, TransferType, standard};

use super::exports::{AnyPort, Exports};
use super::flight::Flight;
use super::input::Input;
use super::output::Output;
use super::{MOST_UNREAD, PeerError, REQUEST_TIMEOUT};

/// Bytes that are read at a time: many commands, and room for some frames.
const INPUT: usize = 128 * 1024;
/// The longest request of a fresh connection.
const REQUEST: usize = operation::HEADER + BUS_ID;
/// Turns of the device before the connection is looked at again: what a device answers may let it do more.
const MOST_TURNS: usize = 16;
/// USB_RT_PORT: class request to a port, by which the kernel's client asks its server for a reset (stub_rx.c, `is_reset_device_cmd`).
const PORT_REQUEST: u8 = 0x23;
/// USB_PORT_FEAT_RESET (USB 2.0, Table 11-17).
const PORT_RESET: u16 = 4;
/// -EREMOTEIO, the status of a short transfer that must not be one; and -ENOMEM.
const SHORT: TransferError = TransferError::Refused(121);
const NO_MEMORY: TransferError = TransferError::Refused(12);

/// What a connection turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It was for the list of devices.
    Listed,
    /// It has the device with this bus id.
    Imported(String),
    /// It was refused the device with this bus id.
    Refused(String, Status),
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    exports: Exports,
    phase: Phase,
    input: Input,
    output: Output,
    /// When it must have said what it wants.
    deadline: Instant,
    news: Option<News>,
    now: Instant,
}

enum Phase {
    /// The operation is to come.
    Request,
    /// The bus id of an import is to come.
    BusId,
    /// A device's transfers.
    Attached(Box<Attached>),
    /// Nothing more is read; what is due is still to be sent.
    Over,
}

/// The imported device.
struct Attached {
    about: Exported,
    port: AnyPort,
    flight: Flight,
    receiving: Receiving,
    done: Vec<Done>,
}

/// What the next bytes are.
enum Receiving {
    Header,
    /// Data of an OUT transfer, behind so many bytes that are there.
    Data(Urb, usize),
    /// Data of a transfer that was refused: so many bytes more.
    Refused(usize),
}

impl Session {
    /// A connection that was made just now.
    pub fn new(exports: Exports, now: Instant) -> Self {
        Self {
            exports,
            phase: Phase::Request,
            input: Input::default(),
            output: Output::default(),
            deadline: now + REQUEST_TIMEOUT,
            news: None,
            now,
        }
    }

    /// Where to put the peer's next bytes; [`received`](Self::received) says how many there were. Empty while nothing is to be read: too
    /// much of the output is unread, or the connection is [over](Self::is_over).
    pub fn space(&mut self) -> &mut [u8] {
        let most = match self.phase {
            Phase::Request | Phase::BusId => REQUEST,
            Phase::Attached(_) if !self.is_held() => INPUT,
            Phase::Attached(_) | Phase::Over => 0,
        };
        self.input.space(most)
    }

    /// So many bytes were put into [`space`](Self::space).
    pub fn received(&mut self, count: usize) {
        self.input.received(count);
    }

    /// Takes the peer's next bytes, as many as there is space for; returns how many.
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let count = bytes.len().min(space.len());
        space[..count].copy_from_slice(&bytes[..count]);
        self.received(count);
        count
    }

    /// Serves what can be served now. Returns when to call again, if nothing is received or sent before.
    ///
    /// # Errors
    /// What the peer did wrong. The connection is over then, and the device is free for another one.
    pub fn turn(&mut self, now: Instant) -> Result<Option<Instant>, PeerError> {
        self.now = now;
        self.serve(now).inspect_err(|_| self.end(now))
    }

    /// The peer sends no more. What is in flight is dropped; the device is unplugged from this host and is free for another.
    ///
    /// # Errors
    /// It ended in the middle of a message.
    pub fn closed(&mut self, now: Instant) -> Result<(), PeerError> {
        let within = match &self.phase {
            Phase::Request | Phase::BusId if !self.input.is_empty() => Some("a request"),
            Phase::BusId => Some("a request"),
            Phase::Attached(attached) => match attached.receiving {
                Receiving::Header if self.input.is_empty() => None,
                Receiving::Header => Some("a header"),
                Receiving::Data(..) | Receiving::Refused(_) => Some("a transfer's data"),
            },
            Phase::Request | Phase::Over => None,
        };
        self.end(now);
        within.map_or(Ok(()), |within| Err(PeerError::Cut { within }))
    }

    /// What is due to the peer.
    pub fn output(&self) -> &[u8] {
        self.output.due()
    }

    /// The first `count` bytes of [`output`](Self::output) are sent.
    pub fn sent(&mut self, count: usize) {
        self.output.sent(count);
    }

    /// Nothing more is read; the connection is to be closed when the output is sent.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// More than [`MOST_UNREAD`] is due to the peer: nothing is read or served until some of it is sent.
    pub fn is_held(&self) -> bool {
        self.output.due().len() > MOST_UNREAD
    }

    /// What the connection turned out to be, once.
    pub fn take_news(&mut self) -> Option<News> {
        self.news.take()
    }

    /// Bus id of the device that it has.
    pub fn bus_id(&self) -> Option<&str> {
        match &self.phase {
            Phase::Attached(attached) => Some(&attached.about.bus_id),
            _ => None,
        }
    }

    fn serve(&mut self, now: Instant) -> Result<Option<Instant>, PeerError> {
        if matches!(self.phase, Phase::Request | Phase::BusId) {
            self.serve_request()?;
        }
        match &mut self.phase {
            Phase::Request | Phase::BusId if now >= self.deadline => Err(PeerError::Silent),
            Phase::Request | Phase::BusId => Ok(Some(self.deadline)),
            Phase::Over => Ok(None),
            Phase::Attached(attached) => {
                let mut wake = None;
                for turn in 0..=MOST_TURNS {
                    attached.read(&mut self.input, &mut self.output)?;
                    if self.output.due().len() > MOST_UNREAD {
                        // The peer has to read first. What came stays where it is, and the device stands still.
                        return Ok(None);
                    }
                    if turn == MOST_TURNS {
                        return Ok(Some(now));
                    }
                    wake = attached.port.turn(now, &mut attached.done);
                    if attached.done.is_empty() {
                        break;
                    }
                    attached.answer(&mut self.output);
                }
                Ok(wake)
            }
        }
    }

    fn serve_request(&mut self) -> Result<(), PeerError> {
        if let Phase::Request = self.phase {
            let Some(header) = self.input.take() else { return Ok(()) };
            match Request::parse(&header)? {
                Request::List => {
                    self.output.push(&self.exports.answer_list());
                    self.news = Some(News::Listed);
                    self.phase = Phase::Over;
                    return Ok(());
                }
                Request::Import => self.phase = Phase::BusId,
            }
        }
        let Some(text) = self.input.take::<BUS_ID>() else { return Ok(()) };
        let length = text.iter().position(|byte| *byte == 0);
        let length = length.ok_or_else(|| BadMessage::new("busid", "is not ended by a zero"))?;
        match self.exports.take(&text[..length]) {
            Ok((about, port)) => {
                self.output.push(&operation::import_answer(Ok(&about)));
                self.news = Some(News::Imported(about.bus_id.clone()));
                self.phase = Phase::Attached(Box::new(Attached {
                    about,
                    port,
                    flight: Flight::new(),
                    receiving: Receiving::Header,
                    done: Vec::new(),
                }));
            }
            Err(status) => {
                self.output.push(&operation::import_answer(Err(status)));
                let asked = String::from_utf8_lossy(&text[..length]).into_owned();
                self.news = Some(News::Refused(asked, status));
                self.phase = Phase::Over;
            }
        }
        Ok(())
    }

    /// Gives the device back as after an unplug.
    fn end(&mut self, now: Instant) {
        if let Phase::Attached(attached) = std::mem::replace(&mut self.phase, Phase::Over) {
            let Attached { about, mut port, .. } = *attached;
            port.withdraw_all().for_each(drop);
            port.replug(now);
            self.exports.give_back(&about.bus_id, port);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end(self.now);
    }
}

impl Attached {
    /// Reads what is there, as long as the peer reads too.
    fn read(&mut self, input: &mut Input, output: &mut Output) -> Result<(), PeerError> {
        while output.due().len() <= MOST_UNREAD {
            match &mut self.receiving {
                Receiving::Header => {
                    let Some(header) = input.take::<HEADER>() else { break };
                    self.command(Command::parse(&header)?, output)?;
                }
                Receiving::Data(urb, at) => {
                    let rest = urb.buffer.len() - *at;
                    let data = input.take_up_to(rest);
                    urb.buffer.space_mut()[*at..*at + data.len()].copy_from_slice(data);
                    *at += data.len();
                    if data.len() < rest {
                        break;
                    }
                    if let Receiving::Data(urb, _) = std::mem::replace(&mut self.receiving, Receiving::Header)
                    {
                        self.port.submit(urb);
                    }
                }
                Receiving::Refused(left) => {
                    *left -= input.take_up_to(*left).len();
                    if *left > 0 {
                        break;
                    }
                    self.receiving = Receiving::Header;
                }
            }
        }
        Ok(())
    }

    fn command(&mut self, command: Command, output: &mut Output) -> Result<(), BadMessage> {
        let (Command::Submit(Submit { seqnum, devid, .. }) | Command::Unlink { seqnum, devid, .. }) = command;
        if devid != self.about.devid() {
            let reason = format!("is {devid:#x}; {:#x} was imported", self.about.devid());
            return Err(BadMessage::new("devid", reason));
        }
        if self.flight.contains(seqnum) {
            return Err(BadMessage::new("seqnum", format!("is {seqnum}, which is still in flight")));
        }
        match command {
            Command::Submit(submit) => self.submit(&submit, output),
            Command::Unlink { victim, .. } => {
                let status = if self.withdraw(victim) { Reply::UNLINKED } else { 0 };
                output.push(&Reply::Unlinked { seqnum, status }.to_bytes());
                Ok(())
            }
        }
    }

    fn submit(&mut self, submit: &Submit, output: &mut Output) -> Result<(), BadMessage> {
        let operation = operation_of(submit)?;
        let Some((token, mut buffer)) = self.flight.admit(submit) else {
            // Whoever has so much in flight may do better when some of it is back.
            let returned = Returned { seqnum: submit.seqnum, status: status_of(NO_MEMORY), actual_length: 0 };
            output.push(&Reply::Returned(returned).to_bytes());
            self.receiving = Receiving::Refused(submit.data_length());
            return Ok(());
        };
        buffer.set_len(submit.data_length());
        let urb = Urb { token, operation, buffer };
        if submit.data_length() > 0 {
            self.receiving = Receiving::Data(urb, 0);
        } else {
            self.port.submit(urb);
        }
        Ok(())
    }

    /// Takes a transfer back. False: it is not in flight.
    fn withdraw(&mut self, seqnum: u32) -> bool {
        let Some(token) = self.flight.token(seqnum) else { return false };
        let Some((urb, _)) = self.port.withdraw(token) else { return false };
        self.flight.end(token);
        self.flight.recycle(urb.buffer);
        true
    }

    /// Returns what the device has ended.
    fn answer(&mut self, output: &mut Output) {
        for Done { urb, status } in self.done.drain(..) {
            if let Some(entry) = self.flight.end(urb.token) {
                let is_in = entry.direction == Direction::In;
                let length = urb.buffer.len().min(entry.length as usize);
                let (data, moved) = match (is_in, status) {
                    // What came before an error is the host's as well.
                    (true, _) => (&urb.buffer.space()[..length], length),
                    (false, Ok(moved)) => (&[][..], moved),
                    (false, Err(_)) => (&[][..], 0),
                };
                let short = is_in && length < entry.length as usize && entry.flags & flags::SHORT_NOT_OK != 0;
                let status = match status {
                    Ok(_) if short => status_of(SHORT),
                    Ok(_) => 0,
                    Err(error) => status_of(error),
                };
                let returned = Returned { seqnum: entry.seqnum, status, actual_length: moved as u32 };
                output.push(&Reply::Returned(returned).to_bytes());
                output.push(data);
            }
            self.flight.recycle(urb.buffer);
        }
    }
}

/// What the device is asked to do.
fn operation_of(submit: &Submit) -> Result<Operation, BadMessage> {
    if submit.endpoint != 0 {
        // A port asks its device's descriptors, not the peer, what the endpoint is; only periodic transfers have an interval.
        let transfer_type = if submit.interval == 0 { TransferType::Bulk } else { TransferType::Interrupt };
        return Ok(Operation::Transfer {
            endpoint: submit.address(),
            transfer_type,
            request: submit.length as usize,
            zero_packet: submit.direction == Direction::Out && submit.flags & flags::ZERO_PACKET != 0,
        });
    }
    let SetupPacket { request_type, request, value, length, .. } = submit.setup;
    if (request_type, request, value) == (PORT_REQUEST, standard::SET_FEATURE, PORT_RESET) {
        return Ok(Operation::Reset);
    }
    // Without a data stage the transfer is OUT for the kernel, whatever bmRequestType says.
    if length > 0 && submit.setup.direction() != submit.direction {
        let reason = format!("is not that of bmRequestType, {request_type:#04x}");
        return Err(BadMessage::new("direction", reason));
    }
    if submit.direction == Direction::Out && submit.length != u32::from(length) {
        let reason = format!("is {}; wLength of the setup packet is {length}", submit.length);
        return Err(BadMessage::new("transfer_buffer_length", reason));
    }
    let most = u16::try_from(submit.length).unwrap_or(u16::MAX);
    Ok(Operation::Control(SetupPacket { length: length.min(most), ..submit.setup }))
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Request => f.write_str("Request"),
            Self::BusId => f.write_str("BusId"),
            Self::Attached(attached) => {
                write!(f, "Attached({}, {:?})", attached.about.bus_id, attached.flight)
            }
            Self::Over => f.write_str("Over"),
        }
    }
}
