//! A serial port of this machine as a driver sees it: bytes in, bytes out, and what the host asks of the line. It knows nothing of the
//! device behind the driver.
//!
//! An end is one of the ways in which an application reaches the port. [`pty::Pty`] is a terminal device, [`memory::MemoryPort`] one for
//! tests; a socket that speaks RFC 2217 and a CUSE tty are further implementations of [`SerialPort`], and need nothing else of a driver.
//!
//! All bytes for the reader go through the end's [`ring`](mod@ring), which holds a megabyte, so that a reader may stand still for a while
//! before anything is lost or the sender is stopped.

mod line;
pub mod memory;
pub mod pty;
pub mod ring;

use std::os::fd::BorrowedFd;

pub use line::{
    Applied, DataBits, FlowControl, LineErrors, LineSettings, ModemInputs, ModemOutputs, Parity, StopBits,
};

use crate::Result;

/// Something that the host asks of the port, in the order in which it asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// An application opened the port, which nobody had open.
    Opened {
        /// The settings that it finds.
        settings: LineSettings,
        /// Raise DTR and RTS, as a terminal does.
        raise: bool,
    },
    /// The last application closed it. [`SerialPort::transmit`] goes on to give what it had written, which is to be sent first.
    Closed {
        /// Drop DTR and RTS then (HUPCL).
        drop: bool,
    },
    /// Other line settings. What was written before is to be sent with the old ones.
    Settings(LineSettings),
    /// Modem lines to set; `None` leaves one as it is.
    Lines {
        /// Data Terminal Ready.
        dtr: Option<bool>,
        /// Request To Send.
        rts: Option<bool>,
    },
    /// Begin or end a break.
    Break(bool),
    /// Throw away what was received and not read, or written and not sent, wherever it is.
    Purge {
        /// What was received. The end has emptied its own ring.
        received: bool,
        /// What was written. The end gives nothing of it any more.
        written: bool,
    },
    /// Tell by [`SerialPort::drained`] when all that was written is on the line.
    Drain,
}

/// What went over a port since it was made. "Received" is from the line to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Bytes from the device that the end took.
    pub received_bytes: u64,
    /// Bytes from the device for which the ring had no room: the reader was too slow, and no flow control stopped the sender.
    pub received_overruns: u64,
    /// Bytes from the device while nobody had the port open, or that were purged.
    pub received_unread: u64,
    /// Bytes that the host wrote and the driver took.
    pub transmitted_bytes: u64,
    /// Times that an application opened the port.
    pub opens: u64,
}

/// A serial port of the host that a driver serves.
///
/// It belongs to one thread. All calls return at once. The driver calls [`poll`](Self::poll) until there is nothing more,
/// then [`transmit`](Self::transmit) until there is nothing more, whenever [`readiness`](Self::readiness) is readable.
pub trait SerialPort {
    /// The name by which a person opens the port, such as `/dev/outboard/ttyFTDI-A50285BI`.
    fn name(&self) -> &str;

    /// What becomes readable when the host asks or writes something, when a reader made room, or when the port is gone.
    fn readiness(&self) -> Option<BorrowedFd<'_>>;

    /// The next thing that the host asks; `None`: nothing at the moment. Also moves what waits in the ring on to the reader.
    ///
    /// # Errors
    /// The port is gone.
    fn poll(&mut self) -> Result<Option<Request>>;

    /// Bytes that the host wrote, into `space`; 0: none at the moment, and readiness will tell of the next. What was written before a
    /// request comes before it where the end can tell.
    ///
    /// # Errors
    /// The port is gone.
    fn transmit(&mut self, space: &mut [u8]) -> Result<usize>;

    /// Throws away what the host has written and nobody has taken: the line was held for too long after the last close.
    fn discard(&mut self);

    /// Takes bytes from the device; how many it took. Less than all only if the ring is full: those were counted as overruns and are
    /// lost.
    ///
    /// # Errors
    /// The port is gone.
    fn receive(&mut self, bytes: &[u8]) -> Result<usize>;

    /// Bytes that the ring has room for. A driver whose flow control is on stops reading the device before it comes to an end.
    fn room(&self) -> usize;

    /// What became of the settings that were asked for; the rate may differ from the one asked for.
    fn applied(&mut self, applied: &Applied);

    /// The modem inputs have changed.
    fn modem_changed(&mut self, inputs: ModemInputs);

    /// So many errors came with the bytes that are received next.
    fn line_errors(&mut self, errors: LineErrors);

    /// A [`Request::Drain`] has ended. `complete`: all that was written before is on the line; otherwise flow control, or the device, kept it for
    /// too long.
    fn drained(&mut self, complete: bool);

    /// What went over the port.
    fn counters(&self) -> &Counters;
}
