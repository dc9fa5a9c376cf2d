//! A node's state: which keys are down, where axes and contacts are. It passes on what is a change and drops what is none, as Linux's input core
//! does, so that what comes out is what an application reads. It knows no report.

use super::Sink;
use super::slots::Slots;
use outboard_core::family::hid::codes::*;
use outboard_core::family::hid::{CodeSet, Event, Node};

pub(super) const ABS_MT_FIRST: u16 = ABS_MT_TOUCH_MAJOR;
pub(super) const ABS_MT_LAST: u16 = ABS_MT_TOOL_Y;

/// A packet that is split because it is too long ends with this: the value tells it from a whole one.
const SPLIT: Event = Event::new(EV_SYN, SYN_REPORT, 1);

/// A key's value when it repeats.
const REPEATED: i32 = 2;

#[derive(Debug, Clone)]
pub(super) struct NodeState {
    pub(super) node: Node,
    index: usize,
    /// Keys and buttons that are down.
    pub(super) down: CodeSet,
    leds: CodeSet,
    axes: [i32; 64],
    pub(super) slots: Option<Slots>,
    /// Events since the last packet's end.
    pending: usize,
    /// A packet is split when it has that many.
    longest: usize,
}

impl NodeState {
    /// `slots`: how many, and what they do, if the node has any.
    pub(super) fn new(node: Node, index: usize, slots: Option<(u8, u8)>) -> Self {
        let slots = slots.map(|(count, flags)| Slots::new(count, flags));
        let longest = longest_packet(&node, slots.as_ref().map_or(0, Slots::len));
        let (down, leds) = (CodeSet::EMPTY, CodeSet::EMPTY);
        Self { node, index, down, leds, axes: [0; 64], slots, pending: 0, longest }
    }

    /// An event, if it is a change that the node can have.
    pub(super) fn event<S: Sink + ?Sized>(&mut self, sink: &mut S, kind: u16, code: u16, value: i32) {
        if !self.node.kinds.contains(kind) || !self.node.codes(kind).is_some_and(|codes| codes.contains(code))
        {
            return;
        }
        let value = match kind {
            // The value of a repetition: it is passed on, and the key stays as it is. Controls with more than two values say it.
            EV_KEY if value == REPEATED => value,
            EV_KEY => {
                let changed = if value != 0 { self.down.insert(code) } else { self.down.remove(code) };
                if !changed {
                    return;
                }
                value
            }
            EV_LED => {
                let changed = if value != 0 { self.leds.insert(code) } else { self.leds.remove(code) };
                if !changed {
                    return;
                }
                value
            }
            EV_REL if value == 0 => return,
            EV_ABS => match self.axis(sink, code, value) {
                Some(value) => value,
                None => return,
            },
            _ => value,
        };
        self.put(sink, Event::new(kind, code, value));
        if self.pending >= self.longest {
            self.pending = 0;
            sink.event(self.index, SPLIT);
        }
    }

    fn put<S: Sink + ?Sized>(&mut self, sink: &mut S, event: Event) {
        self.pending += 1;
        sink.event(self.index, event);
    }

    /// An axis's new value after smoothing, if it is one. A contact's slot is said when something of it changes.
    fn axis<S: Sink + ?Sized>(&mut self, sink: &mut S, code: u16, value: i32) -> Option<i32> {
        if code == ABS_MT_SLOT {
            if let Some(slots) = &mut self.slots {
                slots.select(value);
            }
            return None;
        }
        let place = usize::from(code);
        let fuzz = self.node.axes[place].fuzz;
        let is_contact = (ABS_MT_FIRST..=ABS_MT_LAST).contains(&code);
        let known = match (&mut self.slots, is_contact) {
            (_, false) => self.axes.get_mut(place),
            (Some(slots), true) => slots.value_mut(code),
            (None, true) => None,
        };
        let value = match known {
            Some(known) => {
                let value = smooth(value, *known, fuzz);
                if *known == value {
                    return None;
                }
                *known = value;
                value
            }
            None => value,
        };
        if let Some(slots) = self.slots.as_ref().filter(|_| is_contact) {
            let selected = slots.selected();
            if self.axes[usize::from(ABS_MT_SLOT)] != selected {
                self.axes[usize::from(ABS_MT_SLOT)] = selected;
                self.put(sink, Event::new(EV_ABS, ABS_MT_SLOT, selected));
            }
        }
        Some(value)
    }

    /// Ends the packet, if there is anything in it.
    pub(super) fn sync<S: Sink + ?Sized>(&mut self, sink: &mut S) {
        if self.pending > 0 {
            self.pending = 0;
            sink.event(self.index, Event::SYN_REPORT);
        }
    }

    /// Where an axis is that is not a contact's.
    pub(super) fn axis_value(&self, code: u16) -> i32 {
        self.axes.get(usize::from(code)).copied().unwrap_or(0)
    }

    /// Lifts every contact and releases every key.
    pub(super) fn release<S: Sink + ?Sized>(&mut self, sink: &mut S) {
        for slot in 0..self.slots.as_ref().map_or(0, Slots::len) {
            self.event(sink, EV_ABS, ABS_MT_SLOT, slot as i32);
            self.event(sink, EV_ABS, ABS_MT_TRACKING_ID, -1);
        }
        if self.slots.is_some() {
            self.event(sink, EV_ABS, ABS_PRESSURE, 0);
        }
        for code in 0..=KEY_MAX {
            if self.down.contains(code) {
                self.event(sink, EV_KEY, code, 0);
            }
        }
        self.sync(sink);
    }
}

/// How many events Linux's input core expects in one packet.
fn longest_packet(node: &Node, slots: usize) -> usize {
    let per_contact = |code: u16| code == ABS_MT_SLOT || (ABS_MT_FIRST..=ABS_MT_LAST).contains(&code);
    let contacts = if slots > 0 {
        slots
    } else if node.absolute.contains(ABS_MT_TRACKING_ID) {
        let axis = node.axes[usize::from(ABS_MT_TRACKING_ID)];
        axis.maximum.wrapping_sub(axis.minimum).wrapping_add(1).clamp(2, 32) as usize
    } else if node.absolute.contains(ABS_MT_POSITION_X) {
        2
    } else {
        0
    };
    let axes: usize = node.absolute.iter().map(|code| if per_contact(code) { contacts } else { 1 }).sum();
    // The end, and room for keys and others.
    let expected = contacts + 1 + axes + node.relative.len() + 7;
    let wants_more = slots == 0 && node.absolute.contains(ABS_MT_POSITION_X);
    if wants_more { expected.max(60) } else { expected }
}

/// What is left of a change that may be noise.
fn smooth(value: i32, known: i32, fuzz: i32) -> i32 {
    let within = |distance: i32| value > known.wrapping_sub(distance) && value < known.wrapping_add(distance);
    if fuzz == 0 {
        value
    } else if within(fuzz / 2) {
        known
    } else if within(fuzz) {
        known.wrapping_mul(3).wrapping_add(value) / 4
    } else if within(fuzz.wrapping_mul(2)) {
        known.wrapping_add(value) / 2
    } else {
        value
    }
}
