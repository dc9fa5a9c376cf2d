//! Numbers at any bit of a report: little-endian, the lowest bit first (HID 1.11, 5.6 and 8). It knows no fields.

/// The unsigned number of `size` bits at bit `offset`; of a number longer than 64 bits, its lowest 64. What is behind the end of the report
/// is 0.
pub fn extract(report: &[u8], offset: usize, size: u32) -> u64 {
    let size = size.min(64) as usize;
    let (mut value, mut filled, mut at) = (0u64, 0usize, offset);
    while filled < size {
        let byte = report.get(at / 8).copied().unwrap_or(0);
        let here = (8 - at % 8).min(size - filled);
        let piece = u64::from(byte >> (at % 8)) & ((1 << here) - 1);
        value |= piece << filled;
        filled += here;
        at += here;
    }
    value
}

/// `value`, a number of `size` bits, as a signed one.
pub const fn sign_extend(value: u64, size: u32) -> i64 {
    match size {
        0 => 0,
        1..64 => (value << (64 - size)) as i64 >> (64 - size),
        _ => value as i64,
    }
}

/// Writes the lowest `size` bits of `value` at bit `offset`; bits beyond 64 become 0, and those behind the end of the report are dropped.
pub fn insert(report: &mut [u8], offset: usize, size: u32, value: u64) {
    let (mut left, mut at, size) = (value, offset, size as usize);
    let end = offset.saturating_add(size);
    while at < end {
        let here = (8 - at % 8).min(end - at);
        let Some(byte) = report.get_mut(at / 8) else { return };
        let mask = (((1u16 << here) - 1) as u8) << (at % 8);
        *byte = *byte & !mask | ((left << (at % 8)) as u8 & mask);
        left = left.checked_shr(here as u32).unwrap_or(0);
        at += here;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_lowest_bit_comes_first() {
        let report = [0b1010_0101, 0b0000_1111, 0xff];
        assert_eq!(extract(&report, 0, 4), 0b0101);
        assert_eq!(extract(&report, 4, 8), 0b1111_1010);
        assert_eq!(extract(&report, 16, 32), 0xff);
        assert_eq!((extract(&report, 900, 8), extract(&report, 0, 0)), (0, 0));
        assert_eq!((sign_extend(0xf, 4), sign_extend(7, 4), sign_extend(1, 1)), (-1, 7, -1));
        assert_eq!((sign_extend(5, 0), sign_extend(u64::MAX, 64), sign_extend(u64::MAX, 256)), (0, -1, -1));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_nothing_else_changes(
            mut report: [u8; 40], offset in 0usize..200, size in 0u32..=64, value: u64,
        ) {
            let before = report;
            insert(&mut report, offset, size, value);
            let mask = if size == 64 { u64::MAX } else { (1 << size) - 1 };
            prop_assert_eq!(extract(&report, offset, size), value & mask);
            insert(&mut report, offset, size, extract(&before, offset, size));
            prop_assert_eq!(report, before);
        }

        #[test]
        fn any_place_is_safe(mut report: Vec<u8>, offset: u16, size in 0u32..300, value: u64) {
            insert(&mut report, offset.into(), size, value);
            extract(&report, offset.into(), size);
        }
    }
}
