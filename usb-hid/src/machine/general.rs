//! One control's value becomes events: keys, axes, wheels, hats, pens; as Linux's hid-input does it. It knows neither the rest of the report
//! nor contacts.

use super::Sink;
use super::node::NodeState;
use crate::mapping::{DeviceFlags, Target};
use crate::proto::Usage;
use crate::proto::report::Flags;
use outboard_core::family::hid::codes::*;

/// x and y of a hat's directions; 0 is the middle, 1 is up, and on clockwise.
const HAT: [(i32, i32); 9] = [(0, 0), (0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1)];

/// A wheel's detent (HUT 1.5, 4.3.1 leaves it open; applications count in 120 since Windows does).
const DETENT: i32 = 120;

/// So many presses of a volume key one value can stand for. Linux has no limit, and a hostile device keeps it busy.
const MOST_PRESSES: u32 = 255;

/// Which tool a pen's report says is there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tool {
    /// Its `BTN_TOOL_*`; 0 for none.
    current: u16,
    /// Something in this report says that a tool is there.
    is_active: bool,
}

/// What a field says about all its values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) flags: Flags,
    pub(super) minimum: i32,
    pub(super) maximum: i32,
    pub(super) multiplier: i8,
}

fn release_tool<S: Sink + ?Sized>(node: &mut NodeState, sink: &mut S, tool: &mut Tool, which: u16) {
    if !node.down.contains(which) {
        return;
    }
    node.event(sink, EV_KEY, BTN_TOUCH, 0);
    node.event(sink, EV_KEY, which, 0);
    node.sync(sink);
    tool.current = 0;
}

fn set_tool<S: Sink + ?Sized>(node: &mut NodeState, sink: &mut S, tool: &mut Tool, new: u16) {
    if tool.current != new {
        release_tool(node, sink, tool, tool.current);
    }
    node.event(sink, EV_KEY, new, 1);
    tool.current = new;
}

/// What a control's value is, and was if its field has a value for each control.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) value: i32,
    pub(super) known: Option<i32>,
}

pub(super) fn control<S: Sink + ?Sized>(
    node: &mut NodeState,
    sink: &mut S,
    device: &DeviceFlags,
    tool: &mut Tool,
    kind: Kind,
    target: &mut Target,
    Reading { mut value, known }: Reading,
) {
    let Kind { flags, minimum, maximum, multiplier } = kind;
    if target.kind == 0 || target.kind == EV_PWR {
        return;
    }
    if target.hat.0 < target.hat.1 || target.direction != 0 {
        let (x, y) = direction(target, value);
        node.event(sink, target.kind, target.code, x);
        node.event(sink, target.kind, target.code + 1, y);
        return;
    }
    let is_relative = flags.has(Flags::RELATIVE);
    if flags.has(Flags::VARIABLE) && minimum < maximum {
        let is_outside = value < minimum || value > maximum;
        // Out of range means nothing, or the nearest that means something.
        if is_outside && flags.has(Flags::NULL_STATE) {
            return;
        }
        value = value.clamp(minimum, maximum);
    }
    match target.usage {
        Usage::ERASER => {
            tool.is_active |= value != 0;
            if value != 0 {
                set_tool(node, sink, tool, BTN_TOOL_RUBBER);
            } else if tool.current != BTN_TOOL_RUBBER {
                return;
            } else if device.no_invert && !node.down.contains(BTN_TOUCH) {
                release_tool(node, sink, tool, BTN_TOOL_RUBBER);
                return;
            }
        }
        Usage::INVERT => {
            tool.is_active |= value != 0;
            if value != 0 {
                set_tool(node, sink, tool, BTN_TOOL_RUBBER);
            } else if !tool.is_active {
                release_tool(node, sink, tool, BTN_TOOL_RUBBER);
            }
            return;
        }
        Usage::IN_RANGE => {
            tool.is_active |= value != 0;
            if tool.is_active {
                if tool.current == 0 {
                    tool.current = target.code;
                }
                set_tool(node, sink, tool, tool.current);
            } else {
                release_tool(node, sink, tool, target.code);
            }
            tool.is_active = false;
            return;
        }
        Usage::TIP_SWITCH => {
            tool.is_active |= value != 0;
            if tool.current == BTN_TOOL_RUBBER {
                return;
            }
        }
        Usage::TIP_PRESSURE if device.pressure_is_touch => {
            let light = minimum.wrapping_add(maximum.wrapping_sub(minimum) >> 3);
            if value > light {
                node.event(sink, EV_KEY, BTN_TOUCH, 1);
                tool.is_active = true;
            }
        }
        _ => {}
    }
    match target.kind {
        EV_KEY if target.code == 0 => return,
        EV_REL if matches!(target.code, REL_WHEEL_HI_RES | REL_HWHEEL_HI_RES) => {
            scroll(node, sink, multiplier, target, value);
            return;
        }
        EV_ABS if is_relative && target.code == ABS_VOLUME => {
            let key = if value > 0 { KEY_VOLUMEUP } else { KEY_VOLUMEDOWN };
            for _ in 0..value.unsigned_abs().min(MOST_PRESSES) {
                for pressed in [1, 0] {
                    node.event(sink, EV_KEY, key, pressed);
                    node.sync(sink);
                }
            }
            return;
        }
        EV_ABS if device.x_invert && target.code == ABS_X || device.y_invert && target.code == ABS_Y => {
            value = maximum.wrapping_sub(value);
        }
        _ => {}
    }
    // Two controls may be one key, of which one is never pressed and must not release the other.
    if !is_relative && !flags.has(Flags::BUFFERED_BYTES) && known == Some(value) {
        return;
    }
    let is_key = target.kind == EV_KEY;
    if is_key && i32::from(!node.down.contains(target.code)) == value {
        node.event(sink, EV_MSC, MSC_SCAN, target.usage.0 as i32);
    }
    node.event(sink, target.kind, target.code, value);
    if is_relative && is_key && value != 0 {
        node.sync(sink);
        node.event(sink, target.kind, target.code, 0);
    }
}

fn direction(target: &Target, value: i32) -> (i32, i32) {
    let (least, greatest) = (i32::from(target.hat.0), i32::from(target.hat.1));
    let direction = match target.direction {
        0 => (value.wrapping_sub(least).wrapping_mul(8) / (greatest - least + 1)).wrapping_add(1),
        direction => direction.into(),
    };
    HAT[usize::try_from(direction).ok().filter(|direction| *direction < HAT.len()).unwrap_or(0)]
}

fn scroll<S: Sink + ?Sized>(
    node: &mut NodeState,
    sink: &mut S,
    multiplier: i8,
    target: &mut Target,
    value: i32,
) {
    if value == 0 {
        return;
    }
    let coarse = if target.code == REL_WHEEL_HI_RES { REL_WHEEL } else { REL_HWHEEL };
    let fine = value.wrapping_mul(DETENT).wrapping_div(i32::from(multiplier));
    let sum = i32::from(target.wheel).wrapping_add(fine) as i16;
    let detents = i32::from(sum) / DETENT;
    target.wheel = (i32::from(sum) - detents * DETENT) as i16;
    node.event(sink, EV_REL, coarse, detents);
    node.event(sink, EV_REL, target.code, fine);
}
