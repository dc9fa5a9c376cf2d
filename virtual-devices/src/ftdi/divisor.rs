//! The rate that a divisor makes, as the chips' clocks do it. It knows no driver's formula.

use std::time::Duration;

use super::Kind;

/// A rate: a clock by a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineRate {
    clock: u32,
    divisor: u32,
}

/// A divisor that the chip has no rate for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadDivisor(
    /// All of its bits.
    pub u32,
);

/// Eighths of a divisor's integer, by the code of the fraction (AN_120, the table of sub-integer divisors).
const EIGHTHS: [u32; 8] = [0, 4, 2, 1, 3, 5, 6, 7];

impl LineRate {
    /// 9600 baud, which chips begin with.
    pub(super) const fn first() -> Self {
        Self { clock: 9600, divisor: 1 }
    }

    /// From wValue and the bits of wIndex that belong to it.
    pub(super) fn decode(kind: Kind, bits: u32) -> Result<Self, BadDivisor> {
        const SIO: [u32; 10] = [300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200];
        if kind == Kind::Sio {
            return match SIO.get(bits as usize) {
                Some(baud) => Ok(Self { clock: *baud, divisor: 1 }),
                None => Err(BadDivisor(bits)),
            };
        }
        // 3 MHz, or 12 MHz with the bit by which H types leave the prescaler of 2.5 out.
        let clock = if kind.is_fast() && bits >> 17 & 1 == 1 { 12_000_000 } else { 3_000_000 };
        let (integer, fraction) = (bits & 0x3fff, EIGHTHS[(bits >> 14 & 7) as usize]);
        let eighths = match (integer, fraction) {
            (0, 0) => 8,
            (1, 0) => 12,
            // Between 0 and 2 there are no others.
            (0 | 1, _) => return Err(BadDivisor(bits)),
            _ => integer * 8 + fraction,
        };
        Ok(Self { clock: clock * 8, divisor: eighths })
    }

    /// In baud, rounded.
    pub const fn baud(self) -> u32 {
        (self.clock + self.divisor / 2) / self.divisor
    }

    pub(super) fn half_bits(self, count: u32) -> Duration {
        let nanoseconds = u64::from(count) * u64::from(self.divisor) * 500_000_000 / u64::from(self.clock);
        Duration::from_nanos(nanoseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisors_of_the_application_note() {
        let baud = |kind, bits| LineRate::decode(kind, bits).map(LineRate::baud);
        for (bits, rate) in [
            (0, 3_000_000),
            (1, 2_000_000),
            (2, 1_500_000),
            (0x4138, 9600),
            (0x001a, 115_385),
            (0x2710, 300),
            (0x1_ffff, 183),
        ] {
            assert_eq!(baud(Kind::R, bits), Ok(rate), "{bits:#x}");
        }
        for (bits, rate) in [(0x20000, 12_000_000), (0x20001, 8_000_000), (0x204e2, 9600), (0x2710, 300)] {
            assert_eq!(baud(Kind::H2, bits), Ok(rate), "{bits:#x}");
        }
        assert_eq!(baud(Kind::R, 0x4001), Err(BadDivisor(0x4001)));
        assert_eq!((baud(Kind::Sio, 9), baud(Kind::Sio, 10)), (Ok(115_200), Err(BadDivisor(10))));
        assert_eq!(LineRate::decode(Kind::R, 0).unwrap().half_bits(20), Duration::from_nanos(3333));
    }
}
