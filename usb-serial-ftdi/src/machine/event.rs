//! What goes into the machine and comes out of it, as types. They have no behaviour.

use outboard_core::family::serial::{Applied, LineErrors, ModemInputs};
use outboard_core::usb::SetupPacket;
use outboard_core::usb::health::Trouble;

use super::Overlay;
use crate::proto::chip::Chip;
use crate::proto::quirks::Quirks;
use crate::proto::request::Channel;

/// What a pipe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// From the line: bulk IN.
    Receive,
    /// To the line: bulk OUT.
    Transmit,
}

/// What a machine has to know of its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// The chip.
    pub chip: Chip,
    /// Which of its ports.
    pub channel: Channel,
    /// What is known of the device.
    pub quirks: Quirks,
    /// What holds whatever the host asks for.
    pub overlay: Overlay,
    /// A reset of the device would end no other port's work.
    pub may_reset: bool,
}

impl Parameters {
    /// Without quirks, for a chip of one port.
    pub fn new(chip: Chip, channel: Channel) -> Self {
        Self { chip, channel, quirks: Quirks::default(), overlay: Overlay::default(), may_reset: true }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send this request; [`Machine::handle_answer`](super::Machine::handle_answer) when it has ended. None follows before.
    Request(SetupPacket),
    /// Keep transfers queued on the pipe from the chip, or abort them.
    Read(bool),
    /// Take bytes from the host.
    Pull,
    /// Abort what is in flight to the chip and forget it; [`Machine::handle_aborted`](super::Machine::handle_aborted) when done.
    AbortWrites,
    /// Have the host's end throw away what is left of what was written before the last close.
    Discard,
    /// Tell the host's end what became of its settings.
    Applied(Applied),
    /// Tell it the modem inputs.
    Modem(ModemInputs),
    /// Tell it that a drain has ended.
    Drained {
        /// All is on the line. False: the other side's flow control, or the device, kept it longer than could be waited for.
        complete: bool,
    },
    /// Abort what is in flight on this pipe and clear its halt; [`Machine::handle_cleared`](super::Machine::handle_cleared) when done.
    ClearHalt(Role),
    /// Submit transfers on this pipe again.
    Resume(Role),
    /// Abort everything, reset the device, open the pipes anew; [`Machine::handle_reset`](super::Machine::handle_reset) when done.
    Reset,
    /// The device is beyond repair.
    Fail {
        /// The pipe that does not work.
        role: Role,
        /// How its last transfer failed.
        trouble: Trouble,
    },
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The chip did it.
    Done,
    /// It does not know it.
    Refused,
    /// The bus failed, or a reset cut it off.
    Failed,
}

/// What came over the line, and what the modem lines did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LineCounters {
    /// Errors of characters, a packet's once each.
    pub errors: LineErrors,
    /// Edges of CTS.
    pub cts: u64,
    /// Edges of DSR.
    pub dsr: u64,
    /// Edges of RI.
    pub ri: u64,
    /// Edges of DCD.
    pub dcd: u64,
    /// Packets without their status bytes.
    pub runts: u64,
}
