//! The way in: what the server sends, cut into ends of transfers. It must not know sockets; whoever reads gives it the bytes.
//!
//! One read brings many messages into a buffer that is used again and again, and short data is copied out of it. Data that was not read
//! along with its header goes straight into its transfer's buffer, and only what follows it into ours.

use std::io::IoSliceMut;

use super::outstanding::{Outstanding, Transfer};
use crate::usb::Direction;
use crate::usb::transfer::TransferError;
use crate::usb::usbip::BadMessage;
use crate::usb::usbip::urb::{self, HEADER, Reply, Returned};

/// Bytes read at a time beyond the data of one transfer: forty full Ethernet frames with their headers.
pub(super) const BUFFER: usize = 64 * 1024;

/// Takes the stream apart.
pub(super) struct Receiver {
    buffer: Box<[u8]>,
    /// What of the buffer was read and not yet looked at.
    start: usize,
    end: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A header is next.
    Header,
    /// Data of this transfer is next.
    Data { seqnum: u32, status: i32, length: usize, filled: usize },
    /// Data that nobody wants any more is next.
    Skip { left: usize },
}

/// A transfer that ended, and how.
pub(super) type Ended = (Transfer, Result<usize, TransferError>);

impl Receiver {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER].into(), start: 0, end: 0, state: State::Header }
    }

    /// Nothing of a message has come yet: the stream may end here.
    pub(super) fn is_between_messages(&self) -> bool {
        self.state == State::Header && self.start == self.end
    }

    /// Lets `read` put bytes where they belong: first into the first slice, then into the second. Returns what it returned. To be called
    /// when [`next`](Self::next) has nothing more.
    pub(super) fn fill<E>(
        &mut self,
        table: &mut Outstanding,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        // At most a part of a header is left.
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let direct = match self.state {
            State::Data { seqnum, length, filled, .. } => table
                .transfer(seqnum)
                .and_then(|transfer| transfer.urb.buffer.space_mut().get_mut(filled..length))
                .unwrap_or_default(),
            State::Header | State::Skip { .. } => &mut [],
        };
        let room = direct.len();
        let count = read(&mut [IoSliceMut::new(direct), IoSliceMut::new(&mut self.buffer[self.end..])])?;
        let straight = count.min(room);
        if let State::Data { filled, .. } = &mut self.state {
            *filled += straight;
        }
        self.end = (self.end + count - straight).min(self.buffer.len());
        Ok(count)
    }

    /// The next transfer that ended; `None`: more bytes are needed.
    ///
    /// # Errors
    /// The server says what cannot be. Nothing that follows can be understood.
    pub(super) fn next(&mut self, table: &mut Outstanding) -> Result<Option<Ended>, BadMessage> {
        loop {
            let available = &self.buffer[self.start..self.end];
            match self.state {
                State::Header => {
                    let Some(header) = available.first_chunk::<HEADER>() else { return Ok(None) };
                    let reply = Reply::parse(header)?;
                    self.start += HEADER;
                    let ended = match reply {
                        Reply::Returned(returned) => self.returned(table, returned)?,
                        Reply::Unlinked { seqnum, status } => unlinked(table, seqnum, status)?,
                    };
                    if ended.is_some() {
                        return Ok(ended);
                    }
                }
                State::Data { seqnum, status, length, filled } => {
                    let Some(transfer) = table.transfer(seqnum) else {
                        self.state = State::Skip { left: length - filled };
                        continue;
                    };
                    let now = available.len().min(length - filled);
                    transfer.urb.buffer.space_mut()[filled..filled + now].copy_from_slice(&available[..now]);
                    self.start += now;
                    if filled + now < length {
                        self.state = State::Data { seqnum, status, length, filled: filled + now };
                        return Ok(None);
                    }
                    self.state = State::Header;
                    if let Some(mut transfer) = table.take(seqnum) {
                        transfer.urb.buffer.set_len(length);
                        return Ok(Some((transfer, urb::result_of(status).map(|()| length))));
                    }
                }
                State::Skip { left } => {
                    let now = available.len().min(left);
                    self.start += now;
                    if now < left {
                        self.state = State::Skip { left: left - now };
                        return Ok(None);
                    }
                    self.state = State::Header;
                }
            }
        }
    }

    fn returned(
        &mut self,
        table: &mut Outstanding,
        Returned { seqnum, status, actual_length }: Returned,
    ) -> Result<Option<Ended>, BadMessage> {
        let Some(transfer) = table.transfer(seqnum) else {
            let Some(ghost) = table.take_ghost(seqnum) else {
                return Err(unknown(seqnum, "RET_SUBMIT"));
            };
            check_length(actual_length, ghost.length)?;
            if ghost.direction == Direction::In {
                self.state = State::Skip { left: actual_length as usize };
            }
            return Ok(None);
        };
        if !transfer.sent {
            return Err(BadMessage::new("seqnum", format!("{seqnum} of a RET_SUBMIT was not sent yet")));
        }
        check_length(actual_length, transfer.submit.length)?;
        let length = actual_length as usize;
        if transfer.submit.direction == Direction::In {
            self.state = State::Data { seqnum, status, length, filled: 0 };
            return Ok(None);
        }
        let ended = table.take(seqnum).map(|transfer| (transfer, urb::result_of(status).map(|()| length)));
        Ok(ended)
    }
}

fn unknown(seqnum: u32, message: &str) -> BadMessage {
    BadMessage::new("seqnum", format!("{seqnum} of a {message} names nothing that is out"))
}

fn check_length(actual: u32, most: u32) -> Result<(), BadMessage> {
    if actual <= most {
        return Ok(());
    }
    Err(BadMessage::new("actual_length", format!("is {actual}; {most} bytes were asked for")))
}

fn unlinked(table: &mut Outstanding, seqnum: u32, status: i32) -> Result<Option<Ended>, BadMessage> {
    let Some(victim) = table.take_unlink(seqnum) else {
        return Err(unknown(seqnum, "RET_UNLINK"));
    };
    // It may have ended before, by itself.
    let Some(mut transfer) = table.take(victim) else { return Ok(None) };
    if transfer.submit.direction == Direction::In {
        transfer.urb.buffer.set_len(0);
    }
    if status == Reply::UNLINKED {
        return Ok(Some((transfer, Err(TransferError::Cancelled))));
    }
    table.forget(&transfer.submit);
    // Ended by itself while it was being unlinked; its data, if it had any, is lost.
    let error = urb::result_of(status).err().unwrap_or(TransferError::Cancelled);
    Ok(Some((transfer, Err(error))))
}
