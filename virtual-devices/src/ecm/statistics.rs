//! The counters that GetEthernetStatistic reads (ECM120, Table 9). They count what the dongle tells them to.

use crate::observed::ByDestination;

/// What the dongle counts. Transmitted is from the host to the wire, received from the wire to the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// XMIT_OK and the six that divide it.
    pub transmitted: ByDestination,
    /// RCV_OK and the six that divide it: frames that passed the filter and were kept for the host.
    pub received: ByDestination,
    /// XMIT_ERROR: frames of the host that were not sent.
    pub transmit_errors: u64,
    /// RCV_ERROR: frames from the wire that are no frames.
    pub receive_errors: u64,
    /// RCV_NO_BUFFER: frames that were lost because the queue to the host was full.
    pub no_buffer: u64,
    /// Frames that the filter held back. No request reads it.
    pub filtered: u64,
}

impl Statistics {
    /// The counter of this feature selector, 1 to 29, as the 32 bits that go over the bus. What the dongle cannot have (collisions,
    /// CRC errors) is 0. `None`: no such selector.
    pub fn selected(&self, selector: u16, transmit_queue: usize) -> Option<u32> {
        let (sent, received) = (&self.transmitted, &self.received);
        let value = match selector {
            1 => sent.frames(),
            2 => received.frames(),
            3 => self.transmit_errors,
            4 => self.receive_errors,
            5 => self.no_buffer,
            6 => sent.directed.bytes,
            7 => sent.directed.frames,
            8 => sent.multicast.bytes,
            9 => sent.multicast.frames,
            10 => sent.broadcast.bytes,
            11 => sent.broadcast.frames,
            12 => received.directed.bytes,
            13 => received.directed.frames,
            14 => received.multicast.bytes,
            15 => received.multicast.frames,
            16 => received.broadcast.bytes,
            17 => received.broadcast.frames,
            19 => transmit_queue as u64,
            18 | 20..=29 => 0,
            _ => return None,
        };
        // They wrap, as a chip's do.
        Some(value as u32)
    }
}
