//! How long a frame takes on the dongle's link. It knows no frame's content.

use std::time::Duration;

/// Bytes on the wire that no host sees: preamble and delimiter, FCS, gap (IEEE 802.3, 3.1.1 and 4.4.2).
const OVERHEAD: usize = 8 + 4 + 12;
/// The shortest frame without FCS (IEEE 802.3, 4A.4.2); shorter ones are filled up on the wire.
const SHORTEST: usize = 60;

/// How long a frame of this length takes at this rate. A rate of 0 is taken for 1 bit per second.
pub(super) fn duration(length: usize, bits_per_second: u64) -> Duration {
    let bits = (length.max(SHORTEST) + OVERHEAD) as u64 * 8;
    Duration::from_nanos(bits.saturating_mul(1_000_000_000) / bits_per_second.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_frame_takes_what_the_standard_says() {
        // 1,538 bytes at 10 Mbit/s, 84 at 100 Mbit/s.
        assert_eq!(duration(1514, 10_000_000), Duration::from_nanos(1_230_400));
        assert_eq!(duration(14, 100_000_000), Duration::from_nanos(6_720));
    }
}
