//! A touch report becomes contacts in slots: as Linux's hid-multitouch does it. It knows no report's layout, only where values are.

use super::Sink;
use super::node::NodeState;
use super::report::InputReport;
use crate::mapping::{Slot, TouchApplication, TouchPlan, ValueRef, touch_tool, trait_};
use crate::proto::Usage;
use outboard_core::family::hid::codes::*;
use std::time::Duration;

/// After so long without a report, the device's and the host's clock have nothing to do with each other.
const RESYNC: Duration = Duration::from_secs(1);
/// After so long without a mention, a contact is lifted: devices must mention it at the screen's rate.
const STALE: Duration = Duration::from_millis(100);

/// A set of slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct SlotSet([u64; 4]);

impl SlotSet {
    fn set(&mut self, slot: usize, on: bool) {
        let bit = 1 << (slot % 64);
        let word = &mut self.0[slot / 64 % 4];
        *word = if on { *word | bit } else { *word & !bit };
    }

    fn has(&self, slot: usize) -> bool {
        self.0[slot / 64 % 4] & 1 << (slot % 64) != 0
    }
}

#[derive(Debug, Clone)]
struct Application {
    plan: TouchApplication,
    /// Contacts so far in this frame, which may span reports, and in all of it.
    received: usize,
    expected: usize,
    left_button: i32,
    scan_time: i32,
    last_report: Option<Duration>,
    timestamp: i32,
    /// Slots whose palms have been shown and are to be lifted.
    palms: SlotSet,
}

#[derive(Debug, Clone)]
pub(super) struct Touch {
    most_contacts: usize,
    applications: Vec<Application>,
    active: SlotSet,
    x_invert: bool,
    y_invert: bool,
    pub(super) release_at: Option<Duration>,
}

/// All input reports' last values, by the report's place in the descriptor.
struct Values<'a> {
    reports: &'a [InputReport],
    by_place: &'a [Option<usize>],
}

impl Values<'_> {
    fn get(&self, at: Option<ValueRef>) -> i32 {
        let value = at.and_then(|at| self.reports[self.by_place[at.report]?].value(at.field, at.index));
        value.unwrap_or(0)
    }

    /// Linux reads these as one byte.
    fn is_set(&self, at: Option<ValueRef>) -> bool {
        self.get(at) as u8 != 0
    }
}

/// Whether a contact counts as received.
enum Received {
    Yes,
    No,
}

impl Touch {
    pub(super) fn new(plan: &TouchPlan, x_invert: bool, y_invert: bool) -> Self {
        let applications = plan.applications.iter().map(|plan| Application {
            plan: plan.clone(),
            received: 0,
            expected: 0,
            left_button: 0,
            scan_time: 0,
            last_report: None,
            timestamp: 0,
            palms: SlotSet::default(),
        });
        Self {
            most_contacts: plan.most_contacts.into(),
            applications: applications.collect(),
            active: SlotSet::default(),
            x_invert,
            y_invert,
            release_at: None,
        }
    }

    pub(super) fn report<S: Sink + ?Sized>(
        &mut self,
        nodes: &mut [NodeState],
        sink: &mut S,
        (reports, by_place): (&[InputReport], &[Option<usize>]),
        (index, application): (usize, usize),
        now: Duration,
    ) {
        let values = Values { reports, by_place };
        let report = &reports[index];
        let Some(number) = report.first_node() else { return };
        let app = &mut self.applications[application];
        let has_buttons = app.plan.traits & trait_::TOUCHPAD_BUTTONS != 0;
        let scan_time = values.get(app.plan.scan_time.map(|(at, _)| at));
        app.keep_time(scan_time, now);
        // A frame may span reports: the first says how many contacts there are, the others 0.
        if let Some(count) = app.plan.contact_count {
            let count = values.get(Some(count));
            let is_first = has_buttons && app.received == 0 && app.scan_time != scan_time;
            if count >= 0 && (is_first || count != 0) {
                app.expected = usize::from(count as u8);
            }
        }
        app.scan_time = scan_time;
        let is_first = app.received == 0;
        for slot in 0..app.plan.slots.len() {
            if let Received::Yes = self.contact(&mut nodes[number], sink, &values, application, slot) {
                self.applications[application].received += 1;
            }
        }
        let app = &mut self.applications[application];
        for (node, target, value) in report.variables() {
            if has_buttons {
                if !is_first {
                    continue;
                }
                if (target.kind, target.code) == (EV_KEY, BTN_LEFT) {
                    app.left_button |= value;
                    continue;
                }
            }
            if let Some(node) = nodes.get_mut(node) {
                node.event(sink, target.kind, target.code, value);
            }
        }
        if app.received >= app.expected {
            self.end_frame(&mut nodes[number], sink, application);
        }
        if self.applications[application].plan.traits & trait_::STICKY_FINGERS != 0 {
            self.release_at = (self.active != SlotSet::default()).then(|| now.saturating_add(STALE));
        }
    }

    fn contact<S: Sink + ?Sized>(
        &mut self,
        node: &mut NodeState,
        sink: &mut S,
        values: &Values<'_>,
        application: usize,
        slot: usize,
    ) -> Received {
        let app = &mut self.applications[application];
        let slot = app.plan.slots[slot];
        let traits = app.plan.traits;
        let has = |trait_| traits & trait_ != 0;
        if has(trait_::CONTACT_COUNT_ACCURATE) && app.received >= app.expected {
            return Received::No;
        }
        let is_confident = slot.confidence.is_none() || values.is_set(slot.confidence);
        let in_range = values.is_set(slot.in_range);
        let tip = values.is_set(slot.tip);
        if !has(trait_::ALWAYS_VALID) {
            let mut is_valid = true;
            if has(trait_::VALID_IS_IN_RANGE) {
                is_valid = in_range;
            }
            if has(trait_::NOT_SEEN_MEANS_UP) {
                is_valid = tip;
            }
            if has(trait_::VALID_IS_CONFIDENCE) {
                is_valid = is_confident;
            }
            if !is_valid {
                return Received::Yes;
            }
        }
        let id = values.get(slot.contact_id);
        let number = if has(trait_::SLOT_IS_CONTACT_ID) {
            usize::try_from(id).ok()
        } else if has(trait_::SLOT_IS_CONTACT_NUMBER) {
            Some(app.received)
        } else if has(trait_::SLOT_IS_CONTACT_ID_MINUS_ONE) {
            usize::try_from(id.wrapping_sub(1)).ok()
        } else {
            node.slots.as_mut().and_then(|slots| slots.by_key(id))
        };
        let Some(number) = number.filter(|number| *number < self.most_contacts) else { return Received::Yes };
        let was_active = node.slots.as_ref().is_some_and(|slots| slots.is_active(number));
        if has(trait_::IGNORE_DUPLICATES)
            && was_active
            && node.slots.as_ref().is_some_and(|slots| slots.is_used(number))
        {
            return Received::No;
        }
        let mut active = tip || has(trait_::HOVERING) && in_range;
        let mut tool = touch_tool::FINGER;
        if app.plan.usage == Usage::SYSTEM_MULTI_AXIS {
            tool = touch_tool::DIAL;
        } else if has(trait_::CONFIDENCE) && !is_confident {
            tool = touch_tool::PALM;
            if !active && was_active {
                // A contact that turns out to be a palm and lifts at once: first it is shown as one, then lifted.
                active = true;
                app.palms.set(number, true);
            }
        }
        node.event(sink, EV_ABS, ABS_MT_SLOT, number as i32);
        node.report_contact(sink, tool, active);
        self.active.set(number, active);
        if active {
            self.shape(node, sink, values, &slot, traits, tip);
        }
        Received::Yes
    }

    fn shape<S: Sink + ?Sized>(
        &self,
        node: &mut NodeState,
        sink: &mut S,
        values: &Values<'_>,
        slot: &Slot,
        traits: u32,
        tip: bool,
    ) {
        let most = |node: &NodeState, code: u16| node.node.axes[usize::from(code)].maximum;
        let (width, height) = (values.get(slot.width), values.get(slot.height));
        let (mut major, mut minor) = (width.max(height), width.min(height));
        let mut orientation = i32::from(width > height);
        if slot.azimuth.is_some() {
            // Counter-clockwise from 0 to a whole turn, to clockwise around 0.
            let mut azimuth = values.get(slot.azimuth);
            let quarter = most(node, ABS_MT_ORIENTATION);
            if azimuth > quarter.wrapping_mul(2) {
                azimuth = azimuth.wrapping_sub(quarter.wrapping_mul(4));
            }
            let invert = traits & trait_::ORIENTATION_INVERT != 0;
            orientation = if invert { azimuth } else { azimuth.wrapping_neg() };
        }
        if traits & trait_::TOUCH_SIZE_SCALING != 0 {
            (major, minor) = (major >> 1, minor >> 1);
        }
        let flip = |invert: bool, code: u16, value: i32| {
            if invert { most(node, code).wrapping_sub(value) } else { value }
        };
        let x = |at| flip(self.x_invert, ABS_MT_POSITION_X, values.get(at));
        let y = |at| flip(self.y_invert, ABS_MT_POSITION_Y, values.get(at));
        let all = [
            (ABS_MT_POSITION_X, x(slot.x)),
            (ABS_MT_POSITION_Y, y(slot.y)),
            (ABS_MT_TOOL_X, x(slot.center_x)),
            (ABS_MT_TOOL_Y, y(slot.center_y)),
            (ABS_MT_DISTANCE, i32::from(!tip)),
            (ABS_MT_ORIENTATION, orientation),
            (ABS_MT_PRESSURE, values.get(slot.pressure)),
            (ABS_MT_TOUCH_MAJOR, major),
            (ABS_MT_TOUCH_MINOR, minor),
        ];
        for (code, value) in all {
            node.event(sink, EV_ABS, code, value);
        }
    }

    fn end_frame<S: Sink + ?Sized>(&mut self, node: &mut NodeState, sink: &mut S, application: usize) {
        let app = &mut self.applications[application];
        if app.plan.traits & trait_::TOUCHPAD_BUTTONS != 0 {
            node.event(sink, EV_KEY, BTN_LEFT, app.left_button);
        }
        node.end_frame(sink);
        node.event(sink, EV_MSC, MSC_TIMESTAMP, app.timestamp);
        node.sync(sink);
        let palms = std::mem::take(&mut app.palms);
        (app.received, app.left_button) = (0, 0);
        if palms != SlotSet::default() {
            for slot in (0..self.most_contacts).filter(|slot| palms.has(*slot)) {
                self.active.set(slot, false);
                node.event(sink, EV_ABS, ABS_MT_SLOT, slot as i32);
                node.report_contact(sink, touch_tool::FINGER, false);
            }
            node.end_frame(sink);
            node.sync(sink);
        }
    }

    /// Lifts what has not been mentioned for too long.
    pub(super) fn release_stale<S: Sink + ?Sized>(&mut self, nodes: &mut [NodeState], sink: &mut S) {
        self.release_at = None;
        self.active = SlotSet::default();
        for node in nodes.iter_mut().filter(|node| node.slots.is_some()) {
            for slot in 0..node.slots.as_ref().map_or(0, super::slots::Slots::len) {
                node.event(sink, EV_ABS, ABS_MT_SLOT, slot as i32);
                node.report_contact(sink, touch_tool::FINGER, false);
            }
            node.end_frame(sink);
            node.sync(sink);
        }
        self.forget_frames();
    }

    /// Frames that have begun will not be completed.
    pub(super) fn forget_frames(&mut self) {
        self.applications.iter_mut().for_each(|app| app.received = 0);
    }
}

impl Application {
    /// The frame's time by the device's clock, in us, which counts in 100 us and rolls over.
    fn keep_time(&mut self, scan_time: i32, now: Duration) {
        let since = self.last_report.replace(now).map(|last| now.saturating_sub(last));
        // With the widths of Linux: the difference has 32 bits, the sum is cut to them.
        let mut delta = i64::from(scan_time.wrapping_sub(self.scan_time));
        if delta < 0 {
            delta += self.plan.scan_time.map_or(0, |(_, maximum)| i64::from(maximum));
        }
        self.timestamp = match since {
            Some(since) if since <= RESYNC => (i64::from(self.timestamp) + delta * 100) as i32,
            _ => 0,
        };
    }
}
