//! Baud rates as divisors, for every chip: which rate a chip can do, how it is asked for, and what it then really does. It sends nothing.
//!
//! Rates are kept exact, as a clock divided by a whole number of eighths. AN_120: the divisor's integer part has 14 bits; its fraction is a
//! number of eighths (on the FT8U232AM 0, 1/8, 1/4 or 1/2); of the divisors below 2 only 1 and 1.5 exist, which are asked for as 0 and 1.

use std::fmt;

use super::chip::Chip;

/// How far a rate may be off before a receiver reads wrong bits, in per mille: AN232B-05 allows 3 %.
pub const TOLERANCE: u32 = 30;

/// Eighths of the base clock of full-speed chips: 3 MHz (48 MHz by 16).
const CLOCK: u32 = 24_000_000;
/// The same for high-speed chips: 12 MHz (120 MHz by 10).
const FAST_CLOCK: u32 = 96_000_000;
/// Below this rate, in baud, high-speed chips use the slow clock.
const FAST_FROM: u32 = 1200;
/// Bit 17 of the divisor: the fast clock.
const FAST: u32 = 1 << 17;
/// The largest divisor: 14 bits and seven eighths.
const LARGEST: u32 = (0x3fff << 3) | 7;
/// What the fraction is called, in eighths (AN_120).
const FRACTION: [u32; 8] = [0, 3, 2, 4, 1, 5, 6, 7];
/// The SIO's rates, by their code.
const SIO: [u32; 10] = [300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200];

/// A rate that a chip can do, and how it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The divisor as it goes over the bus: 18 bits, over wValue and wIndex.
    pub code: u32,
    clock: u32,
    divisor: u32,
}

/// A rate that a chip cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{asked} baud is not to be had: the nearest of the {chip} is {nearest} baud")]
pub struct BadRate {
    /// What was asked for.
    pub asked: u32,
    /// By which chip.
    pub chip: Chip,
    /// The nearest that it can.
    pub nearest: Rate,
}

impl Rate {
    /// The rate in baud, rounded.
    pub const fn baud(self) -> u32 {
        (self.clock + self.divisor / 2) / self.divisor
    }

    /// How far it is from `asked`, in per mille of that, rounded up. What is beyond measure is `u32::MAX`.
    pub fn error(self, asked: u32) -> u32 {
        if asked == 0 {
            return u32::MAX;
        }
        // clock/divisor - asked, times divisor.
        let (clock, asked_by_divisor) = (u64::from(self.clock), u64::from(asked) * u64::from(self.divisor));
        let per_mille = (clock.abs_diff(asked_by_divisor) * 1000).div_ceil(asked_by_divisor);
        u32::try_from(per_mille).unwrap_or(u32::MAX)
    }

    /// How long this many half bits take, in nanoseconds, rounded up.
    pub fn nanoseconds(self, half_bits: u64) -> u64 {
        let bits = u128::from(half_bits) * u128::from(self.divisor) * 500_000_000;
        u64::try_from(bits.div_ceil(u128::from(self.clock))).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.baud())
    }
}

/// The rate within [`TOLERANCE`] of `asked`.
///
/// # Errors
/// There is none; the error has the nearest.
pub fn rate(chip: Chip, asked: u32) -> Result<Rate, BadRate> {
    let nearest = nearest(chip, asked);
    if nearest.error(asked) <= TOLERANCE { Ok(nearest) } else { Err(BadRate { asked, chip, nearest }) }
}

/// The rate nearest to `asked`, however far that is.
pub fn nearest(chip: Chip, asked: u32) -> Rate {
    match chip {
        Chip::Sio => {
            let at = (0..SIO.len()).min_by_key(|at| SIO[*at].abs_diff(asked)).unwrap_or(0);
            Rate { code: at as u32, clock: SIO[at], divisor: 1 }
        }
        Chip::Am => {
            let divisor =
                divisor(CLOCK, asked, |eighths| matches!(eighths & 7, 0 | 1 | 2 | 4) && eighths != 12);
            let code = match divisor & 7 {
                1 => 0xc000,
                2 => 0x8000,
                4 => 0x4000,
                _ => 0,
            };
            let code = if divisor == 8 { 0 } else { divisor >> 3 | code };
            Rate { code, clock: CLOCK, divisor }
        }
        chip if chip.is_high_speed() && asked >= FAST_FROM => {
            let divisor = divisor(FAST_CLOCK, asked, |_| true);
            Rate { code: code(divisor) | FAST, clock: FAST_CLOCK, divisor }
        }
        _ => {
            let divisor = divisor(CLOCK, asked, |_| true);
            Rate { code: code(divisor), clock: CLOCK, divisor }
        }
    }
}

const fn code(divisor: u32) -> u32 {
    match divisor {
        8 => 0,
        12 => 1,
        _ => divisor >> 3 | FRACTION[(divisor & 7) as usize] << 14,
    }
}

/// The divisor, in eighths, that comes nearest to `asked` baud among those that exist.
fn divisor(clock: u32, asked: u32, exists: impl Fn(u32) -> bool) -> u32 {
    let ideal = (clock / asked.max(1)).min(LARGEST);
    let exists = |eighths: u32| {
        let small = eighths >= 16 || eighths == 8 || eighths == 12;
        small && eighths <= LARGEST && exists(eighths)
    };
    // Fractions are at most three eighths apart, and there are two divisors below 2.
    let around = ideal.saturating_sub(8)..=ideal + 8;
    // |clock / divisor - asked|, times divisor; compared between two divisors by the other's.
    let off = |eighths: u32| u64::from(clock).abs_diff(u64::from(asked) * u64::from(eighths));
    around
        .filter(|eighths| exists(*eighths))
        .min_by(|a, b| {
            let (a_off, b_off) = (off(*a) * u64::from(*b), off(*b) * u64::from(*a));
            a_off.cmp(&b_off)
        })
        .unwrap_or(if ideal < 16 { 8 } else { LARGEST })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes of AN232B-05's and AN_120's tables, and what the chips then do.
    #[test]
    fn the_usual_rates_are_as_in_the_application_notes() {
        let rows = [
            // (chip, asked, code, real)
            (Chip::R, 300, 0x2710, 300),
            (Chip::R, 600, 0x1388, 600),
            (Chip::R, 1200, 0x09c4, 1200),
            (Chip::R, 2400, 0x04e2, 2400),
            (Chip::R, 4800, 0x0271, 4800),
            (Chip::R, 9600, 0x4138, 9600),
            (Chip::R, 19_200, 0x809c, 19_200),
            (Chip::R, 38_400, 0xc04e, 38_400),
            (Chip::R, 57_600, 0xc034, 57_554),
            (Chip::R, 115_200, 0x001a, 115_385),
            (Chip::R, 230_400, 0x000d, 230_769),
            (Chip::R, 460_800, 0x4006, 461_538),
            (Chip::R, 921_600, 0x8003, 923_077),
            (Chip::R, 1_500_000, 2, 1_500_000),
            (Chip::R, 2_000_000, 1, 2_000_000),
            (Chip::R, 3_000_000, 0, 3_000_000),
            (Chip::Am, 9600, 0x4138, 9600),
            (Chip::Am, 19_200, 0x809c, 19_200),
            (Chip::Am, 38_400, 0xc04e, 38_400),
            (Chip::Am, 3_000_000, 0, 3_000_000),
            (Chip::H2, 300, 0x2710, 300),
            (Chip::H2, 9600, 0x204e2, 9600),
            (Chip::H2, 115_200, 0x2c068, 115_246),
            (Chip::H2, 3_000_000, 0x20004, 3_000_000),
            (Chip::H, 8_000_000, 0x20001, 8_000_000),
            (Chip::H, 12_000_000, 0x20000, 12_000_000),
            (Chip::Sio, 9600, 5, 9600),
            (Chip::Sio, 115_200, 9, 115_200),
        ];
        for (chip, asked, code, real) in rows {
            let rate = rate(chip, asked).unwrap();
            assert_eq!((rate.code, rate.baud()), (code, real), "{chip} at {asked}");
        }
    }

    /// What Linux's ftdi_sio programs, as its source says it: no bounds are checked, the divisor's high bits fall into its fraction, and the rate that
    /// was asked for is reported.
    fn linux_code(asked: u32) -> u32 {
        let divisor = (CLOCK + asked / 2) / asked;
        let code = divisor >> 3 | FRACTION[(divisor & 7) as usize] << 14;
        match code {
            1 => 0,
            0x4001 => 1,
            code => code,
        }
    }

    /// The rate that a BM's divisor is.
    fn decoded(code: u32) -> u32 {
        let eighths = match code & 0x1_ffff {
            0 => 8,
            1 => 12,
            code => {
                let fraction = FRACTION.iter().position(|name| *name == code >> 14).unwrap() as u32;
                (code & 0x3fff) << 3 | fraction
            }
        };
        (CLOCK + eighths / 2) / eighths
    }

    #[test]
    fn below_183_baud_the_kernel_programs_another_rate_and_we_say_so() {
        let rows = [
            // (asked, what Linux programs, what we do instead)
            (50, 277, 183),
            (75, 415, 183),
            (110, 276, 183),
            (134, 500, 183),
            (150, 830, 183),
            (183, 315_789, 183),
        ];
        for (asked, linux, ours) in rows {
            let programmed = decoded(linux_code(asked));
            assert_eq!(programmed, linux, "Linux at {asked}");
            assert!(
                programmed.abs_diff(asked) * 1000 > asked * TOLERANCE,
                "a receiver at {asked} reads nothing of it"
            );
            match rate(Chip::R, asked) {
                Ok(rate) => assert_eq!((rate.baud(), asked), (ours, 183)),
                Err(error) => {
                    assert_eq!(error.nearest.baud(), ours);
                    assert!(error.to_string().contains("the nearest of the FT232R is 183 baud"));
                }
            }
        }
        // From there on Linux rounds the divisor and we the rate, so that ours is as near or nearer.
        for asked in 184..=100_000 {
            let (linux, ours) = (decoded(linux_code(asked)), decoded(nearest(Chip::R, asked).code));
            assert!(ours.abs_diff(asked) <= linux.abs_diff(asked), "{asked}: {linux}, {ours}");
        }
    }

    #[test]
    fn divisors_that_do_not_exist_are_never_asked_for_and_the_bounds_hold() {
        for chip in Chip::ALL {
            for asked in (0..5000).chain((5000..20_000_000).step_by(997)).chain([u32::MAX]) {
                let rate = nearest(chip, asked);
                assert!(
                    rate.code <= 0x3_ffff && (1..=12_000_000).contains(&rate.baud()),
                    "{chip} at {asked}: {rate:?}"
                );
                assert!(chip == Chip::Sio || (8..=LARGEST).contains(&rate.divisor));
                assert!(chip == Chip::Sio || rate.divisor >= 16 || [8, 12].contains(&rate.divisor));
                assert_eq!(super::rate(chip, asked).is_ok(), rate.error(asked) <= TOLERANCE);
            }
        }
        for (chip, asked) in [
            (Chip::R, 4_000_000),
            (Chip::R, 2_500_000),
            (Chip::H, 10_000_000),
            (Chip::H, 13_000_000),
            (Chip::Sio, 14_400),
            (Chip::Am, 2_000_000),
            (Chip::R, 0),
        ] {
            assert!(rate(chip, asked).is_err(), "{chip} at {asked}");
        }
    }

    #[test]
    fn no_other_divisor_comes_nearer() {
        for asked in [184u32, 1000, 31_250, 76_800, 250_000, 1_000_000, 1_750_000, 2_400_000] {
            let found = nearest(Chip::R, asked);
            let best = (8..=LARGEST)
                .filter(|eighths| *eighths >= 16 || [8, 12].contains(eighths))
                .map(|divisor| Rate { code: 0, clock: CLOCK, divisor }.error(asked))
                .min();
            assert_eq!(Some(found.error(asked)), best, "{asked}");
        }
    }

    #[test]
    fn time_on_the_line() {
        let rate = rate(Chip::R, 3_000_000).unwrap();
        assert_eq!(rate.nanoseconds(20), 3334);
        assert_eq!(nearest(Chip::R, 300).nanoseconds(20), 33_333_334);
        assert!(nearest(Chip::R, 300).nanoseconds(u64::MAX) > 0);
    }
}
