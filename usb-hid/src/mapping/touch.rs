//! What touch devices have of their own: contacts with positions, sizes and states, the slots that show them, and what Linux's hid-multitouch
//! leaves to the general rules. It reads no report.

use super::plan::{FieldPlan, Slot, Target, TouchApplication, TouchPlan, TouchReport, ValueRef, slot_flag};
use super::resolution::resolution;
use super::trait_;
use super::usage::Choice;
use super::{Options, TouchClass};
use crate::proto::Usage;
use crate::proto::class::ReportKind;
use crate::proto::report::{Field, Flags, Report, ReportDescriptor, TouchGroup};
use crate::proto::usage::page;
use outboard_core::family::hid::codes::*;
use outboard_core::family::hid::{Absolute, Node};

/// How many contacts a device has that does not say it.
const DEFAULT_CONTACTS: u8 = 10;
/// The most that is believed of a descriptor.
const MOST_CONTACTS: i32 = 250;
/// The greatest tracking id.
const TRACKING_ID_MAX: i32 = 0xffff;

/// Values of `ABS_MT_TOOL_TYPE`.
pub(crate) mod tool {
    /// `MT_TOOL_FINGER`.
    pub(crate) const FINGER: i32 = 0;
    /// `MT_TOOL_PALM`.
    pub(crate) const PALM: i32 = 2;
    /// `MT_tool::DIAL`.
    pub(crate) const DIAL: i32 = 0x0a;
}

/// Input Mode (HUT 1.5, 16.7).
const MODE_TOUCH_SCREEN: u8 = 2;
const MODE_TOUCH_PAD: u8 = 3;

/// What becomes of a usage.
pub(super) enum Verdict {
    /// The general rules decide.
    General,
    /// Nothing.
    Ignore,
    /// It is done.
    Done,
    /// It has this code.
    Code(u16, u32),
}

pub(super) fn new(descriptor: &ReportDescriptor, options: &Options) -> Option<TouchPlan> {
    let suggested = match descriptor.touch {
        TouchGroup::None => return None,
        TouchGroup::Touch => TouchClass::DEFAULT,
        TouchGroup::Certified => TouchClass::WIN_8,
    };
    let mut class = options.touch.unwrap_or(suggested);
    if options.quirks.x_invert != options.quirks.y_invert {
        class.traits = trait_::ORIENTATION_INVERT;
    }
    let mut plan = TouchPlan {
        class,
        certified: descriptor.touch == TouchGroup::Certified,
        guessed: options.touch.is_none(),
        most_contacts: 0,
        is_buttonpad: false,
        applications: Vec::new(),
        reports: vec![None; descriptor.reports.len()],
        slots: Vec::new(),
        input_mode: MODE_TOUCH_SCREEN,
    };
    plan.read_features(descriptor, options);
    Some(plan)
}

impl TouchPlan {
    fn read_features(&mut self, descriptor: &ReportDescriptor, options: &Options) {
        for report in descriptor.reports(ReportKind::Feature) {
            for field in report.fields.iter().filter(|field| field.count >= 1) {
                for (index, usage) in (0..).zip(field.usages.iter()) {
                    let value = |index| options.features.value(report, field, index);
                    match usage {
                        Usage::CONTACT_COUNT_MAXIMUM => {
                            self.most_contacts = value(0) as u8;
                            if self.most_contacts == 0 && field.logical_maximum <= MOST_CONTACTS {
                                self.most_contacts = field.logical_maximum as u8;
                            }
                            if self.class.most_contacts != 0 {
                                self.most_contacts = self.class.most_contacts;
                            }
                        }
                        // 0 is a pad that is a button as a whole; a device that does not answer is one.
                        Usage::PAD_TYPE if index < field.count && value(index) == 0 => {
                            self.is_buttonpad = true
                        }
                        _ => {}
                    }
                }
                // The last usage counts for all values behind it.
                let mut behind = field.usages.declared()..field.count;
                let last = field.usages.get(u32::MAX);
                if last == Some(Usage::PAD_TYPE)
                    && behind.any(|index| options.features.value(report, field, index) == 0)
                {
                    self.is_buttonpad = true;
                }
            }
        }
    }

    /// Fields whose constant contact id is none.
    pub(super) fn repairs(&self, field: &Field) -> bool {
        self.class.traits & trait_::FIX_CONSTANT_CONTACT_ID != 0
            && field.flags.has(Flags::CONSTANT)
            && field.usages.get(0) == Some(Usage::CONTACT_ID)
    }

    /// What is known about a report, the first time it is asked for.
    pub(super) fn report(&mut self, index: usize, report: &Report, fields: &[FieldPlan]) -> TouchReport {
        if let Some(known) = self.reports[index] {
            return known;
        }
        let separate = self.class.traits & trait_::SEPARATE_REPORTS != 0;
        let known = self.applications.iter().position(|known| {
            known.usage == report.application && (!separate || known.report_id == report.id)
        });
        let application = known.unwrap_or_else(|| {
            self.applications.push(self.application(report));
            self.applications.len() - 1
        });
        if known.is_none() && report.application == Usage::TOUCH_PAD {
            self.input_mode = MODE_TOUCH_PAD;
        }
        let has_contacts = report.fields.iter().zip(fields).any(|(field, plan)| {
            plan.is_variable()
                && (field.logical == Usage::FINGER || !self.certified)
                && (0..field.count.min(plan.controls))
                    .any(|index| field.usages.get(index) == Some(Usage::CONTACT_ID))
        });
        *self.reports[index].insert(TouchReport { application, has_contacts })
    }

    fn application(&self, report: &Report) -> TouchApplication {
        TouchApplication {
            usage: report.application,
            report_id: report.id,
            traits: self.class.traits,
            slots: Vec::new(),
            scan_time: None,
            contact_count: None,
            slot_flags: match report.application {
                Usage::TOUCH_SCREEN => slot_flag::DIRECT,
                Usage::TOUCH_PAD => slot_flag::POINTER,
                _ => 0,
            },
            buttons: 0,
        }
    }

    /// Whether anything of this application is passed on.
    pub(super) fn exports(&self, application: Usage, of: &TouchApplication) -> bool {
        let usual = [
            Usage::TOUCH_SCREEN,
            Usage::PEN,
            Usage::TOUCH_PAD,
            Usage::KEYBOARD,
            Usage::SYSTEM_CONTROL,
            Usage::CONSUMER_CONTROL,
            Usage::WIRELESS_RADIO_CONTROLS,
            Usage::SYSTEM_MULTI_AXIS,
        ];
        self.class.exports_all
            || usual.contains(&application)
            || application == Usage::ASUS_MEDIA_KEYS && of.traits & trait_::ASUS_MEDIA_KEYS != 0
    }

    /// A control of a report with contacts.
    pub(super) fn control(
        &mut self,
        application: usize,
        field: &Field,
        plan: &FieldPlan,
        usage: Usage,
        at: ValueRef,
        node: &mut Node,
    ) -> Verdict {
        let class = self.class;
        let app = &mut self.applications[application];
        match usage.page() {
            page::BUTTON => {
                if field.application == Usage::TOUCH_SCREEN {
                    // A touch screen with buttons is a touch pad.
                    app.slot_flags |= slot_flag::POINTER;
                    self.input_mode = MODE_TOUCH_PAD;
                }
                app.buttons += 1;
                button(app, field, usage, node)
            }
            page::GENERIC_DESKTOP => {
                let previous = at.index.checked_sub(1).and_then(|index| field.usages.get(index));
                let is_center = previous == Some(usage);
                let (code, place): (u16, fn(&mut Slot) -> &mut Option<ValueRef>) = match (usage, is_center) {
                    (Usage::X, false) => (ABS_MT_POSITION_X, |slot| &mut slot.x),
                    (Usage::X, true) => (ABS_MT_TOOL_X, |slot| &mut slot.center_x),
                    (Usage::Y, false) => (ABS_MT_POSITION_Y, |slot| &mut slot.y),
                    (Usage::Y, true) => (ABS_MT_TOOL_Y, |slot| &mut slot.center_y),
                    _ => return Verdict::General,
                };
                store(app, at, place);
                add_axis(node, code, field, plan, class.noise_position);
                if usage == Usage::X && field.application == Usage::SYSTEM_MULTI_AXIS {
                    // It is put onto the surface.
                    node.properties.insert(INPUT_PROP_DIRECT);
                    add_plain(node, ABS_MT_TOOL_TYPE, tool::DIAL, tool::DIAL);
                }
                Verdict::Done
            }
            page::DIGITIZER => digitizer(app, class, field, plan, usage, at, node),
            page::VENDOR => Verdict::Ignore,
            _ => Verdict::General,
        }
    }

    /// Makes slots of a node whose reports have contacts. The node's earlier slots stay.
    pub(super) fn make_slots(&mut self, application: usize, node: &mut Node, slots: &mut Option<(u8, u8)>) {
        if self.most_contacts == 0 {
            self.most_contacts = DEFAULT_CONTACTS;
        }
        let app = &mut self.applications[application];
        if app.contact_count.is_none() {
            app.traits &= !trait_::CONTACT_COUNT_ACCURATE;
        }
        if self.guessed && app.slots.len() == 1 {
            // It sends one contact at a time, and each means something.
            app.traits |= trait_::ALWAYS_VALID;
            app.traits &= !(trait_::NOT_SEEN_MEANS_UP
                | trait_::VALID_IS_IN_RANGE
                | trait_::VALID_IS_CONFIDENCE
                | trait_::CONTACT_COUNT_ACCURATE);
        }
        if self.class.is_indirect {
            app.slot_flags |= slot_flag::POINTER;
        }
        if app.traits & trait_::NOT_SEEN_MEANS_UP != 0 {
            app.slot_flags |= slot_flag::DROP_UNUSED;
        }
        if app.slot_flags & slot_flag::POINTER != 0 && app.buttons == 1 {
            self.is_buttonpad = true;
        }
        if self.is_buttonpad {
            node.properties.insert(INPUT_PROP_BUTTONPAD);
        }
        if slots.is_none() {
            init_slots(node, self.most_contacts, app.slot_flags);
            *slots = Some((self.most_contacts, app.slot_flags));
        }
        app.slot_flags = 0;
    }
}

fn button(app: &TouchApplication, field: &Field, usage: Usage, node: &mut Node) -> Verdict {
    let number = u32::from(usage.id().wrapping_sub(1));
    let mut code = u32::from(BTN_MOUSE) + number;
    // The certification has external left and right buttons as 2 and 3; 1 is the pad itself.
    if app.traits & trait_::TOUCHPAD_BUTTONS != 0 && field.application == Usage::TOUCH_PAD && usage.id() > 1 {
        code -= 1;
    }
    if field.application == Usage::SYSTEM_MULTI_AXIS {
        code = u32::from(BTN_0) + number;
    }
    if code > u32::from(KEY_MAX) {
        return Verdict::Ignore;
    }
    node.add(EV_KEY, code as u16);
    Verdict::Code(EV_KEY, code)
}

fn digitizer(
    app: &mut TouchApplication,
    class: TouchClass,
    field: &Field,
    plan: &FieldPlan,
    usage: Usage,
    at: ValueRef,
    node: &mut Node,
) -> Verdict {
    let area = app.traits & trait_::NO_AREA == 0;
    match usage {
        Usage::IN_RANGE => {
            if app.traits & trait_::HOVERING != 0 {
                add_plain(node, ABS_MT_DISTANCE, 0, 1);
            }
            store(app, at, |slot| &mut slot.in_range);
        }
        Usage::CONFIDENCE => {
            if class.knows_palms && matches!(field.application, Usage::TOUCH_PAD | Usage::TOUCH_SCREEN) {
                app.traits |= trait_::CONFIDENCE;
            }
            if app.traits & trait_::CONFIDENCE != 0 {
                add_plain(node, ABS_MT_TOOL_TYPE, tool::FINGER, tool::PALM);
            }
            store(app, at, |slot| &mut slot.confidence);
        }
        Usage::TIP_SWITCH => {
            if field.application != Usage::SYSTEM_MULTI_AXIS {
                node.add(EV_KEY, BTN_TOUCH);
            }
            store(app, at, |slot| &mut slot.tip);
        }
        Usage::CONTACT_ID => store(app, at, |slot| &mut slot.contact_id),
        Usage::WIDTH => {
            if area {
                add_axis(node, ABS_MT_TOUCH_MAJOR, field, plan, class.noise_width);
            }
            store(app, at, |slot| &mut slot.width);
        }
        Usage::HEIGHT => {
            if area {
                add_axis(node, ABS_MT_TOUCH_MINOR, field, plan, class.noise_height);
                if !node.absolute.contains(ABS_MT_ORIENTATION) {
                    add_plain(node, ABS_MT_ORIENTATION, 0, 1);
                }
            }
            store(app, at, |slot| &mut slot.height);
        }
        Usage::TIP_PRESSURE => {
            add_axis(node, ABS_MT_PRESSURE, field, plan, class.noise_pressure);
            store(app, at, |slot| &mut slot.pressure);
        }
        Usage::SCAN_TIME => {
            node.add(EV_MSC, MSC_TIMESTAMP);
            app.scan_time = Some((at, plan.maximum));
        }
        Usage::CONTACT_COUNT => app.contact_count = Some(at),
        Usage::AZIMUTH => {
            // A whole turn; orientation goes to a quarter of one either way.
            let quarter = plan.maximum / 4;
            let fuzz = plan.maximum.checked_div(class.noise_position).unwrap_or(0);
            let axis = Absolute {
                minimum: plan.maximum.wrapping_neg() / 4,
                maximum: quarter,
                fuzz,
                ..keep(node, ABS_MT_ORIENTATION)
            };
            node.add_axis(ABS_MT_ORIENTATION, axis);
            store(app, at, |slot| &mut slot.azimuth);
        }
        Usage::CONTACT_COUNT_MAXIMUM | Usage::TOUCH => return Verdict::Ignore,
        _ => return Verdict::General,
    }
    Verdict::Done
}

/// Remembers where a contact's value is. A second one of its kind belongs to the next contact, if this one can be told and placed.
fn store(app: &mut TouchApplication, at: ValueRef, place: fn(&mut Slot) -> &mut Option<ValueRef>) {
    if app.slots.is_empty() {
        app.slots.push(Slot::default());
    }
    let Some(last) = app.slots.last_mut() else { return };
    if place(last).is_some() {
        if last.contact_id.is_none() || last.x.is_none() || last.y.is_none() {
            return;
        }
        app.slots.push(Slot::default());
    }
    if let Some(last) = app.slots.last_mut() {
        *place(last) = Some(at);
    }
}

/// What an axis keeps when it is set again: its resolution.
fn keep(node: &Node, code: u16) -> Absolute {
    Absolute { resolution: node.axes[usize::from(code)].resolution, ..Absolute::default() }
}

fn add_plain(node: &mut Node, code: u16, minimum: i32, maximum: i32) {
    let axis = Absolute { minimum, maximum, ..keep(node, code) };
    node.add_axis(code, axis);
}

fn add_axis(node: &mut Node, code: u16, field: &Field, plan: &FieldPlan, noise: i32) {
    let (minimum, maximum) = (plan.minimum, plan.maximum);
    let fuzz = maximum.wrapping_sub(minimum).checked_div(noise).unwrap_or(0);
    let resolution = resolution(field, (minimum, maximum), code);
    node.add_axis(code, Absolute { minimum, maximum, fuzz, flat: 0, resolution });
}

fn init_slots(node: &mut Node, count: u8, flags: u8) {
    add_plain(node, ABS_MT_SLOT, 0, i32::from(count) - 1);
    add_plain(node, ABS_MT_TRACKING_ID, 0, TRACKING_ID_MAX);
    if flags & (slot_flag::POINTER | slot_flag::DIRECT) != 0 {
        node.add(EV_KEY, BTN_TOUCH);
        for (to, from) in
            [(ABS_X, ABS_MT_POSITION_X), (ABS_Y, ABS_MT_POSITION_Y), (ABS_PRESSURE, ABS_MT_PRESSURE)]
        {
            if node.absolute.contains(from) {
                let axis = Absolute { fuzz: 0, ..node.axes[usize::from(from)] };
                node.absolute.insert(to);
                node.axes[usize::from(to)] = axis;
            }
        }
    }
    if flags & slot_flag::POINTER != 0 {
        let taps =
            [BTN_TOOL_FINGER, BTN_TOOL_DOUBLETAP, BTN_TOOL_TRIPLETAP, BTN_TOOL_QUADTAP, BTN_TOOL_QUINTTAP];
        for (tap, least) in taps.into_iter().zip([0, 0, 3, 4, 5]) {
            if count >= least {
                node.keys.insert(tap);
            }
        }
        node.properties.insert(INPUT_PROP_POINTER);
    }
    if flags & slot_flag::DIRECT != 0 {
        node.properties.insert(INPUT_PROP_DIRECT);
    }
}

/// Media keys on Asus's page, which its touch pads have among the contacts.
pub(super) fn asus_key(usage: Usage, node: &mut Node, plan: &mut FieldPlan, target: &mut Target) -> Choice {
    node.kinds.insert(EV_REP);
    // They are said as an array is, whatever the descriptor says.
    plan.flags.0 &= !Flags::VARIABLE;
    target.usage = usage;
    let code = match usage.id() {
        0x10 => KEY_BRIGHTNESSDOWN,
        0x20 => KEY_BRIGHTNESSUP,
        0x35 => KEY_DISPLAY_OFF,
        0x6b => KEY_F21,
        0x6c => KEY_SLEEP,
        _ => return Choice::Ignore,
    };
    Choice::Code { kind: EV_KEY, code: code.into(), shared: true }
}
