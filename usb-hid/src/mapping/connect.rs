//! The order in which reports become nodes, and usages codes: as Linux's hid-input connects a device. It knows no page's meaning.

use super::plan::{DeviceFlags, FieldPlan, Mapping, MappingFinding, ReportPlan, Target, TouchPlan, ValueRef};
use super::resolution::resolution;
use super::usage::{Choice, Place};
use super::{Options, limit, multiplier, touch, trait_};
use crate::proto::Usage;
use crate::proto::class::ReportKind;
use crate::proto::report::{CollectionKind, Field, Flags, Report, ReportDescriptor};
use crate::proto::usage::page;
use outboard_core::family::hid::codes::*;
use outboard_core::family::hid::{Absolute, CodeSet, Node, Repeat};

/// Those that are handled before others of a report, the first before the second and so on.
const FIRST: [Usage; 5] =
    [Usage::ERASER, Usage::INVERT, Usage::TIP_SWITCH, Usage::TIP_PRESSURE, Usage::IN_RANGE];

/// A node in the making.
struct Input {
    node: Node,
    application: Usage,
    /// If each report is a node of its own: which.
    report_id: Option<u8>,
    reports: Vec<usize>,
}

struct Connect<'a> {
    descriptor: &'a ReportDescriptor,
    options: &'a Options,
    applications: usize,
    multi_input: bool,
    by_application: bool,
    inputs: Vec<Input>,
    plans: Vec<ReportPlan>,
    device: DeviceFlags,
    touch: Option<TouchPlan>,
    findings: Vec<MappingFinding>,
    controls_left: u32,
}

pub(super) fn connect(descriptor: &ReportDescriptor, options: &Options) -> Mapping {
    let touch = touch::new(descriptor, options);
    let force_multi = touch.as_ref().is_some_and(|touch| touch.class.traits & trait_::FORCE_MULTI_INPUT != 0);
    let uncertified = touch.as_ref().is_some_and(|touch| !touch.certified);
    let quirks = options.quirks;
    let device =
        DeviceFlags { x_invert: quirks.x_invert, y_invert: quirks.y_invert, ..DeviceFlags::default() };
    let mut this = Connect {
        descriptor,
        options,
        applications: descriptor.applications(),
        multi_input: quirks.multi_input || force_multi || uncertified,
        by_application: !force_multi,
        inputs: Vec::new(),
        plans: vec![ReportPlan::default(); descriptor.reports.len()],
        device,
        touch,
        findings: Vec::new(),
        controls_left: limit::CONTROLS,
    };
    this.plan_fields();
    if quirks.force_input || is_for_input(descriptor) {
        this.map_reports();
        multiplier::apply(descriptor, options, &mut this.plans);
    }
    this.finish()
}

/// Whether any application or physical collection is one that input comes from.
fn is_for_input(descriptor: &ReportDescriptor) -> bool {
    descriptor.collections.iter().any(|collection| {
        let usage = collection.usage;
        matches!(collection.kind, CollectionKind::APPLICATION | CollectionKind::PHYSICAL)
            && ((Usage::new(page::GENERIC_DESKTOP, 0)..=Usage::MULTI_AXIS).contains(&usage)
                || (Usage::PEN..=Usage::WHITEBOARD).contains(&usage)
                || [Usage::SYSTEM_CONTROL, Usage::CONSUMER_CONTROL, Usage::WIRELESS_RADIO_CONTROLS]
                    .contains(&usage))
    })
}

impl Connect<'_> {
    /// Copies of what a field says that may be changed, for as many fields as are looked at.
    fn plan_fields(&mut self) {
        let reports = self.descriptor.reports.iter().zip(&mut self.plans);
        for (report, plan) in reports.filter(|(report, _)| report.kind != ReportKind::Feature) {
            for field in &report.fields {
                match self.controls_left.checked_sub(field.controls()) {
                    Some(left) => self.controls_left = left,
                    None => {
                        self.findings.push(MappingFinding::TooManyControls { offset: field.offset });
                        return;
                    }
                }
                let mut fields = FieldPlan::new(field);
                if report.kind == ReportKind::Input
                    && self.touch.as_ref().is_some_and(|touch| touch.repairs(field))
                {
                    fields.flags.0 = fields.flags.0 & !Flags::CONSTANT | Flags::VARIABLE;
                }
                plan.fields.push(fields);
            }
        }
    }

    fn map_reports(&mut self) {
        let mut current = None;
        for kind in [ReportKind::Input, ReportKind::Output] {
            if kind == ReportKind::Output && self.options.quirks.skip_output_reports {
                continue;
            }
            let descriptor = self.descriptor;
            let reports = descriptor.reports.iter().enumerate();
            for (index, report) in
                reports.filter(|(_, report)| report.kind == kind && !report.fields.is_empty())
            {
                if self.multi_input {
                    current = self.inputs.iter().position(|input| input.report_id == Some(report.id));
                } else if self.applications > 1 && self.by_application {
                    current = self.same_application(report.application);
                }
                let input = current.unwrap_or_else(|| self.add_input(report.application));
                self.map_report(input, index, report);
                if self.multi_input {
                    self.inputs[input].report_id = Some(report.id);
                }
                self.inputs[input].reports.push(index);
                current = Some(input);
            }
        }
    }

    fn same_application(&self, application: Usage) -> Option<usize> {
        // Controls of the system and the media stay with the keyboard that they are on.
        let joins_keyboard = [Usage::SYSTEM_CONTROL, Usage::CONSUMER_CONTROL].contains(&application);
        self.inputs.iter().position(|input| {
            input.application == application || joins_keyboard && input.application == Usage::KEYBOARD
        })
    }

    fn add_input(&mut self, application: Usage) -> usize {
        let suffix = match application {
            _ if !self.by_application || self.applications <= 1 => None,
            Usage::KEYBOARD => Some("Keyboard"),
            Usage::KEYPAD => Some("Keypad"),
            Usage::MOUSE => Some("Mouse"),
            // The two are the wrong way round, as Linux has them for compatibility.
            Usage::PEN => Some("Stylus"),
            Usage::STYLUS => Some("Pen"),
            Usage::TOUCH_SCREEN => Some("Touchscreen"),
            Usage::TOUCH_PAD => Some("Touchpad"),
            Usage::SYSTEM_CONTROL => Some("System Control"),
            Usage::CONSUMER_CONTROL => Some("Consumer Control"),
            Usage::WIRELESS_RADIO_CONTROLS => Some("Wireless Radio Control"),
            Usage::SYSTEM_MULTI_AXIS => Some("System Multi Axis"),
            _ => None,
        };
        let name = &self.options.name;
        let name = match suffix {
            Some(suffix) if !name.ends_with(suffix) => format!("{name} {suffix}"),
            _ => name.clone(),
        };
        let node = Node::new(name, self.options.id);
        self.inputs.push(Input { node, application, report_id: None, reports: Vec::new() });
        self.inputs.len() - 1
    }

    fn map_report(&mut self, input: usize, index: usize, report: &Report) {
        let slots = slot_numbers(report);
        if let Some(touch) = &mut self.touch {
            // Before a field is taken out.
            touch.report(index, report, &self.plans[index].fields);
        }
        for (at, field) in report.fields.iter().enumerate() {
            if self.plans[index].fields.len() <= at {
                return;
            }
            // Taken out, so that it can be changed beside the rest of the report.
            let mut plan = std::mem::replace(&mut self.plans[index].fields[at], FieldPlan::new(field));
            self.map_field(input, (index, report), (at, field), &mut plan, slots[at]);
            self.plans[index].fields[at] = plan;
        }
    }

    fn map_field(
        &mut self,
        input: usize,
        (index, report): (usize, &Report),
        (at, field): (usize, &Field),
        plan: &mut FieldPlan,
        slot: u32,
    ) {
        plan.node = Some(input);
        if plan.flags.has(Flags::CONSTANT) || field.count == 0 {
            return;
        }
        // The later a contact is in the report, the later it is handled.
        plan.priority = 0xffu32.wrapping_sub(slot) << 16;
        let mut pad = 0;
        let last = field.usages.get(u32::MAX).unwrap_or(Usage::NONE);
        let usages = field.usages.iter().chain(std::iter::repeat(last));
        for (control, usage) in (0..plan.controls).zip(usages) {
            let mut target = Target { usage, ..Target::default() };
            let value = ValueRef { report: index, field: at, index: control };
            self.map_control(input, report, field, plan, &mut pad, &mut target, value);
            if target.kind != 0 {
                plan.targets.resize(control as usize, Target::default());
                plan.targets.push(target);
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the context of one usage; a type for it would be built and taken apart here only"
    )]
    fn map_control(
        &mut self,
        input: usize,
        report: &Report,
        field: &Field,
        plan: &mut FieldPlan,
        pad: &mut u16,
        target: &mut Target,
        at: ValueRef,
    ) {
        let usage = target.usage;
        let is_led = usage.page() == page::LED;
        if plan.flags.has(Flags::CONSTANT) || field.count < 1 || report.kind == ReportKind::Output && !is_led
        {
            return;
        }
        if let Some(place) = FIRST.iter().position(|first| *first == usage) {
            plan.ranks.push((at.index, ((FIRST.len() - place) as u32) << 8));
        }
        let mut owned_by_touch = false;
        let mut choice = None;
        if let Some(touch) = &mut self.touch {
            let known = touch.report(at.report, report, &self.plans[at.report].fields);
            let application = &touch.applications[known.application];
            if !touch.exports(field.application, application) {
                return;
            }
            let node = &mut self.inputs[input].node;
            let has_media_keys = application.traits & trait_::ASUS_MEDIA_KEYS != 0;
            if has_media_keys && field.application == Usage::ASUS_MEDIA_KEYS && usage.page() == page::CUSTOM {
                choice = Some(touch::asus_key(usage, node, plan, target));
            } else if known.has_contacts {
                owned_by_touch = true;
                match touch.control(known.application, field, plan, usage, at, node) {
                    touch::Verdict::General => {}
                    touch::Verdict::Ignore | touch::Verdict::Done => return,
                    touch::Verdict::Code(kind, code) => {
                        choice = Some(Choice::Code { kind, code, shared: false });
                    }
                }
            } else if field.physical == Usage::STYLUS {
                // Some touch screens have their pens in the same application.
                self.inputs[input].application = Usage::STYLUS;
            }
        }
        let node = &mut self.inputs[input].node;
        let choice = choice.unwrap_or_else(|| {
            let (descriptor, kind, device) = (self.descriptor, report.kind, &mut self.device);
            Place { descriptor, kind, field, plan, pad, target, node, device }.choose(usage)
        });
        let node = &mut self.inputs[input].node;
        let Choice::Code { kind, code, shared } = choice else {
            if choice == Choice::Battery {
                target.kind = EV_PWR;
            }
            return;
        };
        let Some((codes, most)) = codes_of(node, kind) else { return };
        if code > u32::from(most) {
            return;
        }
        if shared {
            codes.remove(code as u16);
        }
        (target.kind, target.code) = (kind, code as u16);
        // What touch has taken over is not announced here; its values are passed on if something else announces them.
        if owned_by_touch {
            return;
        }
        self.announce(input, field, plan, pad, target);
    }

    fn announce(
        &mut self,
        input: usize,
        field: &Field,
        plan: &mut FieldPlan,
        pad: &mut u16,
        target: &mut Target,
    ) {
        let (node, quirks) = (&mut self.inputs[input].node, self.options.quirks);
        node.kinds.insert(target.kind);
        let Some((codes, most)) = codes_of(node, target.kind) else { return };
        if !codes.insert(target.code) {
            let free = (target.code..=most).find(|code| !codes.contains(*code));
            match free.filter(|_| quirks.increment_on_duplicate) {
                Some(free) => {
                    codes.insert(free);
                    target.code = free;
                }
                None => {
                    (target.kind, target.code) = (0, 0);
                    return;
                }
            }
        }
        if target.kind == EV_ABS {
            if quirks.bad_pad && matches!(target.code, ABS_X | ABS_Y) {
                (plan.minimum, plan.maximum) = (0, 255);
            }
            let (minimum, maximum) = (plan.minimum, plan.maximum);
            let extent = maximum.wrapping_sub(minimum);
            let is_game = matches!(field.application, Usage::GAMEPAD | Usage::JOYSTICK);
            let (fuzz, flat) = if is_game { (extent >> 8, extent >> 4) } else { (0, 0) };
            let resolution = resolution(field, (minimum, maximum), target.code);
            node.add_axis(target.code, Absolute { minimum, maximum, fuzz, flat, resolution });
            if target.hat.0 < target.hat.1 || target.direction != 0 {
                for code in target.code..=target.code.saturating_add(1).min(ABS_MAX) {
                    let resolution = node.axes[usize::from(code)].resolution;
                    node.add_axis(
                        code,
                        Absolute { minimum: -1, maximum: 1, resolution, ..Absolute::default() },
                    );
                }
                if target.direction != 0 && *pad == 0 {
                    *pad = target.code;
                }
            }
            // A relative volume is played as so many presses of its keys.
            if plan.flags.has(Flags::RELATIVE) && target.code == ABS_VOLUME {
                node.keys.insert(KEY_VOLUMEUP);
                node.keys.insert(KEY_VOLUMEDOWN);
            }
        }
        if target.kind == EV_KEY {
            node.add(EV_MSC, MSC_SCAN);
        }
    }

    /// Names, slots, and which nodes there are in the end.
    fn finish(mut self) -> Mapping {
        let mut slots = vec![None; self.inputs.len()];
        if let Some(touch) = &mut self.touch {
            for (input, slots) in self.inputs.iter_mut().zip(&mut slots) {
                for report in &input.reports {
                    let known =
                        touch.report(*report, &self.descriptor.reports[*report], &self.plans[*report].fields);
                    if known.has_contacts {
                        touch.make_slots(known.application, &mut input.node, slots);
                    }
                }
                rename(input, &self.options.name);
            }
        }
        let mut nodes = Vec::new();
        let mut numbers = Vec::new();
        let mut kept_slots = Vec::new();
        for (input, slots) in self.inputs.into_iter().zip(slots) {
            let mut node = input.node;
            if !is_populated(&node) {
                numbers.push(None);
                continue;
            }
            register(&mut node);
            numbers.push(Some(nodes.len()));
            nodes.push(node);
            kept_slots.push(slots);
        }
        for field in self.plans.iter_mut().flat_map(|plan| &mut plan.fields) {
            field.node = field.node.and_then(|input| numbers[input]);
        }
        if let Some(touch) = &mut self.touch {
            touch.slots = kept_slots;
        }
        Mapping { nodes, findings: self.findings, reports: self.plans, touch: self.touch, flags: self.device }
    }
}

fn codes_of(node: &mut Node, kind: u16) -> Option<(&mut CodeSet, u16)> {
    let most = match kind {
        EV_KEY => KEY_MAX,
        EV_REL => REL_MAX,
        EV_ABS => ABS_MAX,
        EV_MSC => MSC_MAX,
        EV_LED => LED_MAX,
        _ => return None,
    };
    node.codes_mut(kind).map(|codes| (codes, most))
}

/// Which contact of a report each field belongs to; 0 for none. A contact's fields are the ones in the collection of its Contact ID.
fn slot_numbers(report: &Report) -> Vec<u32> {
    let mut slots = vec![0; report.fields.len()];
    let (mut first, mut slot) = (0, 0);
    let (mut slot_collection, mut previous) = (None, None);
    for (at, field) in report.fields.iter().enumerate() {
        let collection = Some(field.collection.unwrap_or(0));
        if previous != collection {
            (previous, first) = (collection, at);
        }
        if slot_collection == collection {
            slots[at] = slot;
        } else if field.usages.iter().any(|usage| usage == Usage::CONTACT_ID) {
            slot_collection = collection;
            slot += 1;
            slots[first..=at].fill(slot);
        }
    }
    slots
}

fn rename(input: &mut Input, name: &str) {
    match input.application {
        Usage::KEYBOARD
        | Usage::KEYPAD
        | Usage::MOUSE
        | Usage::TOUCH_PAD
        | Usage::SYSTEM_CONTROL
        | Usage::CONSUMER_CONTROL
        | Usage::WIRELESS_RADIO_CONTROLS
        | Usage::SYSTEM_MULTI_AXIS
        | Usage::PEN => {}
        Usage::TOUCH_SCREEN => input.node.name = name.to_owned(),
        Usage::ASUS_MEDIA_KEYS => input.node.name = format!("{name} Custom Media Keys"),
        // By that button others know a tablet.
        Usage::STYLUS => drop(input.node.keys.insert(BTN_STYLUS)),
        _ => input.node.name = format!("{name} UNKNOWN"),
    }
}

fn is_populated(node: &Node) -> bool {
    let sets = [&node.kinds, &node.keys, &node.relative, &node.absolute, &node.misc, &node.leds];
    sets.iter().any(|set| !set.is_empty())
}

/// What the input core does when a node appears: codes of kinds that the node does not have are dropped, and axes with them.
fn register(node: &mut Node) {
    node.kinds.insert(EV_SYN);
    node.keys.remove(0);
    for kind in [EV_KEY, EV_REL, EV_ABS, EV_MSC, EV_LED] {
        let has = node.kinds.contains(kind);
        if let Some(codes) = node.codes_mut(kind).filter(|_| !has) {
            *codes = CodeSet::EMPTY;
        }
    }
    for code in 0..=ABS_MAX {
        if !node.absolute.contains(code) {
            node.axes[usize::from(code)] = Absolute::default();
        }
    }
    node.repeat = node.kinds.contains(EV_REP).then_some(Repeat { delay: 250, period: 33 });
}
