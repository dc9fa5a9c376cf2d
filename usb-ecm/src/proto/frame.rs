//! How frames and transfers belong together: one frame is one transfer, ended by a short packet (ECM120, 3.3.1). It knows
//! lengths and no frame's content.

/// Destination, source and EtherType (IEEE 802.3, 3.1.1): no frame is shorter.
pub const HEADER: usize = 14;
/// A VLAN tag (IEEE 802.1Q, 9.3). Devices that name 1514 bytes pass tagged frames of 1518.
pub const VLAN_TAG: usize = 4;
/// The shortest receive buffer: a page holds two, and no VLAN frame of a usual device overflows it.
pub const SHORTEST_BUFFER: usize = 2048;

/// The rules for one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameRules {
    longest: usize,
    in_packet: usize,
    out_packet: usize,
}

/// Why a frame does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadFrame {
    /// A transfer without data, as some devices send when idle.
    #[error("the transfer is empty")]
    Empty,
    /// Shorter than a header.
    #[error("the frame is shorter than its header")]
    Runt,
    /// Longer than the device's longest frame with a VLAN tag.
    #[error("the frame is longer than wMaxSegmentSize and a VLAN tag")]
    Oversize,
}

/// How an OUT transfer has to end, so that the device sees where the frame ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its last packet is short.
    ShortPacket,
    /// Its last packet is full: a packet without data has to follow (USB 2.0, 5.8.3).
    ZeroLengthPacket,
}

impl FrameRules {
    /// For frames of at most `max_segment_size` bytes over endpoints of these packet sizes. A packet size of 0, which no
    /// function has, counts as 1.
    pub fn new(max_segment_size: u16, in_packet: u16, out_packet: u16) -> Self {
        Self {
            longest: usize::from(max_segment_size) + VLAN_TAG,
            in_packet: usize::from(in_packet.max(1)),
            out_packet: usize::from(out_packet.max(1)),
        }
    }

    /// The longest frame in bytes, header and VLAN tag included, FCS not.
    pub const fn longest(&self) -> usize {
        self.longest
    }

    /// How long receive buffers are: the longest frame and a byte of padding, whole packets, at least
    /// [`SHORTEST_BUFFER`]. A transfer that fills it was longer than any frame.
    pub const fn receive_buffer(&self) -> usize {
        let least = self.longest + 1;
        let least = if least > SHORTEST_BUFFER { least } else { SHORTEST_BUFFER };
        least.next_multiple_of(self.in_packet)
    }

    /// How many of a received transfer's bytes are the frame.
    ///
    /// Where a frame fills its last packet, some devices send one byte of padding instead of a ZLP. It cannot be told
    /// from a frame of that length, so it stays, as in Linux: what is behind a packet's own length field is ignored.
    /// Only where it makes the longest frame too long it is taken off.
    ///
    /// # Errors
    /// If there is no frame, or none of a possible length.
    pub const fn received(&self, length: usize) -> Result<usize, BadFrame> {
        if length == 0 {
            Err(BadFrame::Empty)
        } else if length < HEADER {
            Err(BadFrame::Runt)
        } else if length <= self.longest {
            Ok(length)
        } else if length == self.longest + 1 && self.longest.is_multiple_of(self.in_packet) {
            Ok(self.longest)
        } else {
            Err(BadFrame::Oversize)
        }
    }

    /// How the transfer of a frame of this length has to end.
    ///
    /// # Errors
    /// If the device must not be sent such a frame.
    pub const fn sent(&self, length: usize) -> Result<Ending, BadFrame> {
        if length == 0 {
            Err(BadFrame::Empty)
        } else if length < HEADER {
            Err(BadFrame::Runt)
        } else if length > self.longest {
            Err(BadFrame::Oversize)
        } else if length.is_multiple_of(self.out_packet) {
            Ok(Ending::ZeroLengthPacket)
        } else {
            Ok(Ending::ShortPacket)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_of_every_kind_of_length() {
        let rules = FrameRules::new(1514, 512, 512);
        assert_eq!(rules.received(0), Err(BadFrame::Empty));
        assert_eq!(rules.received(13), Err(BadFrame::Runt));
        assert_eq!(rules.received(14), Ok(14));
        assert_eq!(rules.received(513), Ok(513), "padding cannot be told from a frame");
        assert_eq!(rules.received(1518), Ok(1518), "a full frame with a VLAN tag");
        assert_eq!(rules.received(1519), Err(BadFrame::Oversize));
        assert_eq!(rules.receive_buffer(), 2048);
        // 1532 and the tag fill three packets exactly, so one byte more can only be padding.
        assert_eq!(FrameRules::new(1532, 512, 512).received(1537), Ok(1536));
        assert_eq!(FrameRules::new(1532, 512, 512).received(1538), Err(BadFrame::Oversize));
    }

    #[test]
    fn a_full_last_packet_is_followed_by_an_empty_one() {
        let rules = FrameRules::new(1514, 512, 64);
        assert_eq!(rules.sent(64), Ok(Ending::ZeroLengthPacket));
        assert_eq!(rules.sent(65), Ok(Ending::ShortPacket));
        assert_eq!(rules.sent(1514), Ok(Ending::ShortPacket));
        assert_eq!(rules.sent(1519), Err(BadFrame::Oversize));
        assert_eq!(rules.sent(0), Err(BadFrame::Empty));
    }

    proptest! {
        #[test]
        fn whatever_the_device_says(segment: u16, in_packet: u16, out_packet: u16, length in 0usize..200_000) {
            let rules = FrameRules::new(segment, in_packet, out_packet);
            let buffer = rules.receive_buffer();
            prop_assert!(buffer > rules.longest() && buffer.is_multiple_of(usize::from(in_packet.max(1))));
            if let Ok(frame) = rules.received(length) {
                prop_assert!((HEADER..=rules.longest()).contains(&frame) && frame <= length && length <= buffer);
            }
            if let Ok(ending) = rules.sent(length) {
                let full = length.is_multiple_of(usize::from(out_packet.max(1)));
                prop_assert_eq!(ending == Ending::ZeroLengthPacket, full);
            }
        }
    }
}
