//! What the dongle remembers of its host: what it asked, in order, and what it did wrong. For tests to assert on; it judges nothing.

use std::fmt;

use outboard_core::MacAddr;
use outboard_core::usb::SetupPacket;

/// Something that the host did and ECM does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostFault {
    /// A frame longer than wMaxSegmentSize and a VLAN tag. Also what a missing end of the frame before looks like.
    FrameTooLong {
        /// Bytes up to where the dongle gave up.
        length: usize,
    },
    /// A frame without room for its header.
    Runt {
        /// Its bytes.
        length: usize,
    },
    /// A transfer without data.
    EmptyFrame,
    /// Two frames in one transfer: the first filled its last packet, and neither a ZLP nor padding followed (USB 2.0, 5.8.3).
    MissingEnd {
        /// Bytes of the IP packet's frame.
        frame: usize,
        /// Bytes that came.
        length: usize,
    },
    /// The alternate setting or the configuration was changed in the middle of a frame.
    Unfinished {
        /// Bytes that came.
        length: usize,
    },
    /// The filter was set while the alternate setting had no endpoints; selecting the other one resets it.
    FilterTooEarly,
    /// A request that the dongle did not offer, to the wrong interface, or with data of the wrong length. It was stalled.
    BadRequest(SetupPacket),
    /// A frame while the link is down.
    FrameWithoutLink,
}

/// Something that the host asked of the dongle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Selected this configuration.
    Configured(u8),
    /// Selected this alternate setting of an interface.
    Alternate {
        /// bInterfaceNumber.
        interface: u8,
        /// bAlternateSetting.
        alternate: u8,
    },
    /// SetEthernetPacketFilter with this wValue.
    Filter(u16),
    /// SetEthernetMulticastFilters with these addresses.
    Multicast(Vec<MacAddr>),
    /// GetEthernetStatistic with this selector.
    Statistic(u16),
}

/// The first entries of a list, bounded.
#[derive(Debug, Clone)]
pub(super) struct Log<T> {
    list: Vec<T>,
}

/// Entries that are kept: more than any test looks at, too few to fill memory in a soak test.
const MOST: usize = 1024;

impl<T> Log<T> {
    pub(super) const fn new() -> Self {
        Self { list: Vec::new() }
    }

    pub(super) fn add(&mut self, entry: T) {
        if self.list.len() < MOST {
            self.list.push(entry);
        }
    }

    pub(super) fn list(&self) -> &[T] {
        &self.list
    }

    pub(super) fn take(&mut self) -> Vec<T> {
        std::mem::take(&mut self.list)
    }
}

impl fmt::Display for HostFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameTooLong { length } => {
                write!(f, "a frame has {length} bytes or more, which is too long")
            }
            Self::Runt { length } => write!(f, "a frame of {length} bytes has no room for its header"),
            Self::EmptyFrame => f.write_str("a transfer has no data"),
            Self::MissingEnd { frame, length } => {
                write!(f, "a frame of {frame} bytes was not ended: {length} bytes came")
            }
            Self::Unfinished { length } => write!(f, "the interface was stopped {length} bytes into a frame"),
            Self::FilterTooEarly => f.write_str("the filter was set before the alternate setting"),
            Self::BadRequest(setup) => write!(f, "a request was refused ({setup})"),
            Self::FrameWithoutLink => f.write_str("a frame was sent without a link"),
        }
    }
}
