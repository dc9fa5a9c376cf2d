//! From physical units to the resolution that applications know: units per mm for lengths, per radian for angles (HID 1.11, 6.2.2.7).
//! With the arithmetic of Linux, 32 bits wide, so that the same devices have the same resolution. It knows no event but the axis's code.

use crate::proto::report::Field;
use outboard_core::family::hid::codes::*;

const CENTIMETERS: u32 = 0x11;
const RADIANS: u32 = 0x12;
const INCHES: u32 = 0x13;
const DEGREES: u32 = 0x14;

/// The resolution of this axis from the field's units; 0 if they say nothing about it.
pub(super) fn resolution(field: &Field, (minimum, maximum): (i32, i32), code: u16) -> i32 {
    let logical = maximum.wrapping_sub(minimum);
    let physical = field.physical_maximum.wrapping_sub(field.physical_minimum);
    if logical <= 0 || physical <= 0 {
        return 0;
    }
    compute(logical, physical, field.unit, field.unit_exponent, code).unwrap_or(0)
}

fn compute(mut logical: i32, mut physical: i32, unit: u32, mut exponent: i32, code: u16) -> Option<i32> {
    match code {
        ABS_X | ABS_Y | ABS_Z | ABS_MT_POSITION_X | ABS_MT_POSITION_Y | ABS_MT_TOOL_X | ABS_MT_TOOL_Y
        | ABS_MT_TOUCH_MAJOR | ABS_MT_TOUCH_MINOR => match unit {
            CENTIMETERS => exponent = exponent.wrapping_add(1),
            INCHES => {
                // 25.4 mm.
                physical = times(physical, 254)?;
                exponent = exponent.wrapping_sub(1);
            }
            _ => return None,
        },
        ABS_RX | ABS_RY | ABS_RZ | ABS_WHEEL | ABS_TILT_X | ABS_TILT_Y => match unit {
            DEGREES => {
                // 57.3 degrees.
                logical = times(logical, 573)?;
                exponent = exponent.wrapping_add(1);
            }
            RADIANS => {}
            _ => return None,
        },
        _ => return None,
    }
    // Each step multiplies by ten: it is over after ten, since the numbers have 32 bits.
    while exponent < 0 {
        logical = times(logical, 10)?;
        exponent += 1;
    }
    while exponent > 0 {
        physical = times(physical, 10)?;
        exponent -= 1;
    }
    logical.wrapping_add(physical / 2).checked_div(physical)
}

/// `None` if the product, cut to 32 bits, is smaller than what was multiplied: that is how Linux notices that it was too large.
fn times(value: i32, factor: i32) -> Option<i32> {
    let product = value.wrapping_mul(factor);
    (product >= value).then_some(product)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_become_units_per_mm_and_angles_units_per_radian() {
        // 32000 over 32.0 cm; 32767 over 12.50 in; 255 over 360 degrees.
        assert_eq!(compute(32_000, 320, CENTIMETERS, -1, ABS_X), Some(100));
        assert_eq!(compute(32_767, 1250, INCHES, -2, ABS_Y), Some(103));
        assert_eq!(compute(255, 360, DEGREES, 0, ABS_RZ), Some(41));
        assert_eq!(compute(100, 100, RADIANS, 0, ABS_TILT_X), Some(1));
        assert_eq!(compute(100, 100, CENTIMETERS, 0, ABS_TILT_X), None);
        assert_eq!(compute(100, 100, CENTIMETERS, 0, ABS_PRESSURE), None);
    }

    #[test]
    fn too_large_is_unknown_and_ends() {
        assert_eq!(compute(i32::MAX, 1, CENTIMETERS, i32::MIN, ABS_X), None);
        assert_eq!(compute(1, i32::MAX, CENTIMETERS, i32::MAX - 1, ABS_X), None);
        assert_eq!(compute(1, 1, CENTIMETERS, i32::MAX, ABS_X), None);
        assert_eq!(compute(1, i32::MAX, INCHES, 0, ABS_X), None);
    }
}
