//! Contacts as applications see them (Linux's multi-touch protocol B): each is in a slot and has a tracking id as long as it lasts. And what
//! follows from them for applications that know one pointer. It knows no report.

use super::Sink;
use super::node::{ABS_MT_FIRST, ABS_MT_LAST, NodeState};
use crate::mapping::slot_flag;
use outboard_core::family::hid::codes::*;

const TRACKING_ID_MAX: i32 = 0xffff;
const TRACKING_ID_SIGN: i32 = (TRACKING_ID_MAX + 1) >> 1;
const VALUES: usize = (ABS_MT_LAST - ABS_MT_FIRST + 1) as usize;

#[derive(Debug, Clone)]
struct Slot {
    values: [i32; VALUES],
    /// The frame that mentioned it last.
    frame: u32,
    /// The device's id of the contact.
    key: i32,
}

impl Slot {
    fn get(&self, code: u16) -> i32 {
        self.values[usize::from(code - ABS_MT_FIRST)]
    }

    fn is_active(&self) -> bool {
        self.get(ABS_MT_TRACKING_ID) >= 0
    }
}

#[derive(Debug, Clone)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    flags: u8,
    selected: usize,
    next_tracking_id: i32,
    frame: u32,
}

impl Slots {
    pub(super) fn new(count: u8, flags: u8) -> Self {
        let mut values = [0; VALUES];
        values[usize::from(ABS_MT_TRACKING_ID - ABS_MT_FIRST)] = -1;
        let slots = vec![Slot { values, frame: 0, key: 0 }; count.into()];
        Self { slots, flags, selected: 0, next_tracking_id: 0, frame: 1 }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn select(&mut self, slot: i32) {
        if let Some(slot) = usize::try_from(slot).ok().filter(|slot| *slot < self.slots.len()) {
            self.selected = slot;
        }
    }

    pub(super) fn selected(&self) -> i32 {
        self.selected as i32
    }

    /// The selected contact's value.
    pub(super) fn value_mut(&mut self, code: u16) -> Option<&mut i32> {
        self.slots.get_mut(self.selected)?.values.get_mut(usize::from(code.checked_sub(ABS_MT_FIRST)?))
    }

    pub(super) fn is_active(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(Slot::is_active)
    }

    /// Whether this frame mentioned it.
    pub(super) fn is_used(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(|slot| slot.frame == self.frame)
    }

    /// The slot of the device's contact, or a free one that is its from now on.
    pub(super) fn by_key(&mut self, key: i32) -> Option<usize> {
        if let Some(known) = self.slots.iter().position(|slot| slot.is_active() && slot.key == key) {
            return Some(known);
        }
        let free = self.slots.iter().position(|slot| !slot.is_active() && slot.frame != self.frame)?;
        self.slots[free].key = key;
        Some(free)
    }
}

impl NodeState {
    /// The selected slot's contact is there, as this tool, or is not.
    pub(super) fn report_contact<S: Sink + ?Sized>(&mut self, sink: &mut S, tool: i32, active: bool) {
        let Some(slots) = &mut self.slots else { return };
        let frame = slots.frame;
        let Some(slot) = slots.slots.get_mut(slots.selected) else { return };
        slot.frame = frame;
        if !active {
            self.event(sink, EV_ABS, ABS_MT_TRACKING_ID, -1);
            return;
        }
        let mut id = slot.get(ABS_MT_TRACKING_ID);
        if id < 0 {
            id = slots.next_tracking_id & TRACKING_ID_MAX;
            slots.next_tracking_id = slots.next_tracking_id.wrapping_add(1);
        }
        self.event(sink, EV_ABS, ABS_MT_TRACKING_ID, id);
        self.event(sink, EV_ABS, ABS_MT_TOOL_TYPE, tool);
    }

    /// Ends a frame of contacts.
    pub(super) fn end_frame<S: Sink + ?Sized>(&mut self, sink: &mut S) {
        let Some(slots) = &self.slots else { return };
        let (flags, count) = (slots.flags, slots.len());
        if flags & slot_flag::DROP_UNUSED != 0 {
            for slot in 0..count {
                let stale =
                    self.slots.as_ref().is_some_and(|slots| slots.is_active(slot) && !slots.is_used(slot));
                if stale {
                    self.event(sink, EV_ABS, ABS_MT_SLOT, slot as i32);
                    self.event(sink, EV_ABS, ABS_MT_TRACKING_ID, -1);
                }
            }
        }
        self.emulate_pointer(sink, flags & slot_flag::POINTER != 0);
        if let Some(slots) = &mut self.slots {
            slots.frame = slots.frame.wrapping_add(1);
        }
    }

    /// The oldest contact is the pointer.
    fn emulate_pointer<S: Sink + ?Sized>(&mut self, sink: &mut S, counts_fingers: bool) {
        let Some(slots) = &self.slots else { return };
        let (mut oldest, mut oldest_id, mut count) = (None, slots.next_tracking_id, 0);
        for slot in slots.slots.iter().filter(|slot| slot.is_active()) {
            let id = slot.get(ABS_MT_TRACKING_ID);
            if id.wrapping_sub(oldest_id) & TRACKING_ID_SIGN != 0 {
                (oldest, oldest_id) = (Some(slot), id);
            }
            count += 1;
        }
        let oldest = oldest
            .map(|slot| [ABS_MT_POSITION_X, ABS_MT_POSITION_Y, ABS_MT_PRESSURE].map(|code| slot.get(code)));
        self.event(sink, EV_KEY, BTN_TOUCH, i32::from(count > 0));
        let absolute = self.node.absolute;
        if counts_fingers {
            let hovers = !absolute.contains(ABS_MT_DISTANCE) && absolute.contains(ABS_DISTANCE);
            if count == 0 && hovers && self.axis_value(ABS_DISTANCE) != 0 {
                count = 1;
            }
            let taps = [
                BTN_TOOL_FINGER,
                BTN_TOOL_DOUBLETAP,
                BTN_TOOL_TRIPLETAP,
                BTN_TOOL_QUADTAP,
                BTN_TOOL_QUINTTAP,
            ];
            for (tap, fingers) in taps.into_iter().zip(1..) {
                self.event(sink, EV_KEY, tap, i32::from(count == fingers));
            }
        }
        let has_pressure = absolute.contains(ABS_MT_PRESSURE);
        match oldest {
            Some([x, y, pressure]) => {
                self.event(sink, EV_ABS, ABS_X, x);
                self.event(sink, EV_ABS, ABS_Y, y);
                if has_pressure {
                    self.event(sink, EV_ABS, ABS_PRESSURE, pressure);
                }
            }
            None if has_pressure => self.event(sink, EV_ABS, ABS_PRESSURE, 0),
            None => {}
        }
    }
}
