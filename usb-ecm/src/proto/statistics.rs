//! The counters that an Ethernet function can keep, as a table. It knows no request.

use std::fmt;

/// What a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Frames.
    Frames,
    /// Bytes.
    Bytes,
}

/// A counter (ECM120, Table 4 and Table 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistic {
    /// Its bit in bmEthernetStatistics, 0 to 28.
    pub bit: u8,
    /// Its name in both tables.
    pub name: &'static str,
    /// What it counts.
    pub unit: Unit,
}

impl Statistic {
    /// The feature selector by which it is asked for (ECM120, Table 9): one more than the bit.
    pub const fn selector(self) -> u16 {
        self.bit as u16 + 1
    }

    /// The counter of this name.
    pub fn named(name: &str) -> Option<Self> {
        STATISTICS.into_iter().find(|statistic| statistic.name == name)
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The counters that this bmEthernetStatistics offers, lowest bit first. Bits 31..29 are reserved and ignored.
pub fn offered(bitmap: u32) -> impl Iterator<Item = Statistic> {
    STATISTICS.into_iter().filter(move |statistic| bitmap >> statistic.bit & 1 == 1)
}

/// All counters; the place in the table is the bit.
pub const STATISTICS: [Statistic; 29] = [
    frames(0, "XMIT_OK"),
    frames(1, "RCV_OK"),
    frames(2, "XMIT_ERROR"),
    frames(3, "RCV_ERROR"),
    frames(4, "RCV_NO_BUFFER"),
    bytes(5, "DIRECTED_BYTES_XMIT"),
    frames(6, "DIRECTED_FRAMES_XMIT"),
    bytes(7, "MULTICAST_BYTES_XMIT"),
    frames(8, "MULTICAST_FRAMES_XMIT"),
    bytes(9, "BROADCAST_BYTES_XMIT"),
    frames(10, "BROADCAST_FRAMES_XMIT"),
    bytes(11, "DIRECTED_BYTES_RCV"),
    frames(12, "DIRECTED_FRAMES_RCV"),
    bytes(13, "MULTICAST_BYTES_RCV"),
    frames(14, "MULTICAST_FRAMES_RCV"),
    bytes(15, "BROADCAST_BYTES_RCV"),
    frames(16, "BROADCAST_FRAMES_RCV"),
    frames(17, "RCV_CRC_ERROR"),
    frames(18, "TRANSMIT_QUEUE_LENGTH"),
    frames(19, "RCV_ERROR_ALIGNMENT"),
    frames(20, "XMIT_ONE_COLLISION"),
    frames(21, "XMIT_MORE_COLLISIONS"),
    frames(22, "XMIT_DEFERRED"),
    frames(23, "XMIT_MAX_COLLISIONS"),
    frames(24, "RCV_OVERRUN"),
    frames(25, "XMIT_UNDERRUN"),
    frames(26, "XMIT_HEARTBEAT_FAILURE"),
    frames(27, "XMIT_TIMES_CRS_LOST"),
    frames(28, "XMIT_LATE_COLLISIONS"),
];

const fn frames(bit: u8, name: &'static str) -> Statistic {
    Statistic { bit, name, unit: Unit::Frames }
}

const fn bytes(bit: u8, name: &'static str) -> Statistic {
    Statistic { bit, name, unit: Unit::Bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_the_table_is_the_bit() {
        for (place, statistic) in STATISTICS.iter().enumerate() {
            assert_eq!(usize::from(statistic.bit), place);
            assert_eq!(statistic.unit == Unit::Bytes, statistic.name.contains("BYTES"));
        }
    }

    #[test]
    fn selectors_are_those_of_the_specification() {
        let selector = |name| Statistic::named(name).unwrap().selector();
        assert_eq!(selector("XMIT_OK"), 0x01);
        assert_eq!(selector("RCV_NO_BUFFER"), 0x05);
        assert_eq!(selector("BROADCAST_FRAMES_RCV"), 0x11);
        assert_eq!(selector("RCV_CRC_ERROR"), 0x12);
        assert_eq!(selector("XMIT_LATE_COLLISIONS"), 0x1d);
    }

    #[test]
    fn reserved_bits_offer_nothing() {
        assert_eq!(offered(0).count(), 0);
        assert_eq!(offered(u32::MAX).count(), 29);
        let names: Vec<_> = offered(0xe000_0003).map(|statistic| statistic.name).collect();
        assert_eq!(names, ["XMIT_OK", "RCV_OK"]);
    }
}
