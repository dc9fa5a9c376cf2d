//! What one usage is on a node, by its page: the choices of Linux's hid-input. Some usages change the node or the device on their way.

use super::plan::{DeviceFlags, FieldPlan, Target};
use super::tables::{self, find};
use crate::proto::Usage;
use crate::proto::class::ReportKind;
use crate::proto::report::{CollectionKind, Field, Flags, ReportDescriptor};
use crate::proto::usage::page;
use outboard_core::family::hid::Node;
use outboard_core::family::hid::codes::*;

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// Nothing.
    Ignore,
    /// It says how charged a battery is.
    Battery,
    /// This code; if another usage has it already, it is nothing.
    Code {
        kind: u16,
        /// It may be beyond what the kind has: then it is nothing.
        code: u32,
        /// Another usage may have it as well.
        shared: bool,
    },
}

const fn own(kind: u16, code: u16) -> Choice {
    Choice::Code { kind, code: code as u32, shared: false }
}

const fn shared(kind: u16, code: u16) -> Choice {
    Choice::Code { kind, code: code as u32, shared: true }
}

fn listed(kind: u16, table: &[(u16, u16)], id: u16) -> Choice {
    find(table, id).map_or(Choice::Ignore, |code| shared(kind, code))
}

/// Where a usage is.
pub(super) struct Place<'a> {
    pub(super) descriptor: &'a ReportDescriptor,
    pub(super) kind: ReportKind,
    pub(super) field: &'a Field,
    pub(super) plan: &'a mut FieldPlan,
    /// The first axis of the hat that the field's directional pad has become; 0 for none.
    pub(super) pad: &'a mut u16,
    pub(super) target: &'a mut Target,
    pub(super) node: &'a mut Node,
    pub(super) device: &'a mut DeviceFlags,
}

impl Place<'_> {
    fn is_relative(&self) -> bool {
        self.plan.flags.has(Flags::RELATIVE)
    }

    pub(super) fn choose(&mut self, usage: Usage) -> Choice {
        let id = usage.id();
        match usage.page() {
            0 => Choice::Ignore,
            page::KEYBOARD => {
                self.node.kinds.insert(EV_REP);
                match tables::KEYBOARD.get(usize::from(id)) {
                    Some(0) => Choice::Ignore,
                    Some(code) => shared(EV_KEY, *code),
                    None => own(EV_KEY, KEY_UNKNOWN),
                }
            }
            page::BUTTON => self.button(id),
            page::SIMULATION => match find(tables::SIMULATION, id) {
                Some(code) => own(EV_ABS, code),
                None => Choice::Ignore,
            },
            page::GENERIC_DESKTOP => self.generic_desktop(usage),
            page::LED => match find(tables::LEDS, id) {
                Some(code) => own(EV_LED, code),
                None => Choice::Ignore,
            },
            page::DIGITIZER => self.digitizer(id as u8),
            page::TELEPHONY => listed(EV_KEY, tables::TELEPHONY, id),
            page::CONSUMER => self.consumer(id),
            page::GENERIC_DEVICE if usage == Usage::DEVICE_BATTERY_STRENGTH => Choice::Battery,
            page::BATTERY if matches!(usage, Usage::ABSOLUTE_STATE_OF_CHARGE | Usage::CHARGING) => {
                Choice::Battery
            }
            page::HP => {
                self.node.kinds.insert(EV_REP);
                listed(EV_KEY, tables::HP, id)
            }
            page::HP_2 => {
                self.node.kinds.insert(EV_REP);
                listed(EV_KEY, tables::HP_2, id)
            }
            page::CUSTOM => {
                self.node.kinds.insert(EV_REP);
                Choice::Ignore
            }
            page::VENDOR | page::LOGITECH | page::LOGITECH_2 | page::LOGITECH_3 => Choice::Ignore,
            page::PHYSICAL_INPUT if id == 0xa4 => shared(EV_KEY, BTN_DEAD),
            page::PHYSICAL_INPUT => Choice::Ignore,
            _ => self.unknown(),
        }
    }

    /// A usage that nobody gave a meaning is passed on all the same.
    fn unknown(&self) -> Choice {
        match self.field.bits {
            1 if self.kind == ReportKind::Output => own(EV_LED, LED_MISC),
            1 => own(EV_KEY, BTN_MISC),
            _ if self.is_relative() => own(EV_REL, REL_MISC),
            _ => own(EV_ABS, ABS_MISC),
        }
    }

    fn button(&self, id: u16) -> Choice {
        let number = u32::from(id.wrapping_sub(1));
        let game = |first: u16| match number {
            0..=0xf => u32::from(first) + number,
            _ => u32::from(BTN_TRIGGER_HAPPY) + number - 0x10,
        };
        let code = match self.field.application {
            Usage::MOUSE | Usage::POINTER => u32::from(BTN_MOUSE) + number,
            Usage::JOYSTICK => game(BTN_JOYSTICK),
            Usage::GAMEPAD => game(BTN_GAMEPAD),
            Usage::CONSUMER_CONTROL if self.is_programmable() => match number {
                0..=0x1d => u32::from(KEY_MACRO1) + number,
                _ => u32::from(BTN_TRIGGER_HAPPY) + number - 0x1e,
            },
            _ => {
                let first = match self.field.physical {
                    Usage::MOUSE | Usage::POINTER => BTN_MOUSE,
                    Usage::JOYSTICK => BTN_JOYSTICK,
                    Usage::GAMEPAD => BTN_GAMEPAD,
                    _ => BTN_MISC,
                };
                u32::from(first) + number
            }
        };
        Choice::Code { kind: EV_KEY, code, shared: false }
    }

    fn is_programmable(&self) -> bool {
        let collection = self.descriptor.collections.get(self.field.collection.unwrap_or(0));
        collection.is_some_and(|collection| {
            collection.kind == CollectionKind::NAMED_ARRAY && collection.usage == Usage::PROGRAMMABLE_BUTTONS
        })
    }

    fn generic_desktop(&mut self, usage: Usage) -> Choice {
        let id = usage.id();
        match id & 0xf0 {
            0x80 => {
                let key = find(tables::SYSTEM_CONTROL, 0x80 | id & 0xf);
                return key.map_or_else(|| self.unknown(), |code| shared(EV_KEY, code));
            }
            0xa0 if id & 0xf == 0x9 => return shared(EV_KEY, KEY_MICMUTE),
            0xb0 if id & 0xf == 0x5 => return shared(EV_KEY, KEY_SWITCHVIDEOMODE),
            0xa0 | 0xb0 => return Choice::Ignore,
            // Some devices name 255 usages for System Control and mean none of the axes among them.
            _ if self.field.application == Usage::SYSTEM_CONTROL => return Choice::Ignore,
            0x90 => return self.directional_pad(usage),
            _ => {}
        }
        let (relative, low) = (self.is_relative(), id & 0xf);
        match usage {
            Usage::X | Usage::Y | Usage::RX | Usage::RY | Usage::RZ | Usage::Z if relative => {
                own(EV_REL, low)
            }
            Usage::Z if self.is_pen() => shared(EV_ABS, ABS_DISTANCE),
            Usage::X | Usage::Y | Usage::RX | Usage::RY | Usage::RZ | Usage::Z => shared(EV_ABS, low),
            Usage::WHEEL if relative => {
                self.node.relative.insert(REL_WHEEL);
                own(EV_REL, REL_WHEEL_HI_RES)
            }
            Usage::SLIDER | Usage::DIAL if relative => own(EV_REL, low),
            Usage::WHEEL | Usage::SLIDER | Usage::DIAL => own(EV_ABS, low),
            Usage::HAT_SWITCH => {
                self.target.hat = (self.plan.minimum as i8, self.plan.maximum as i8);
                own(EV_ABS, ABS_HAT0X)
            }
            Usage::START => shared(EV_KEY, BTN_START),
            Usage::SELECT => shared(EV_KEY, BTN_SELECT),
            Usage::WIRELESS_RADIO_BUTTON if self.field.application == Usage::WIRELESS_RADIO_CONTROLS => {
                // It is only ever pressed: as a relative one it is released at once.
                self.plan.flags.0 |= Flags::RELATIVE;
                shared(EV_KEY, KEY_RFKILL)
            }
            _ => self.unknown(),
        }
    }

    fn is_pen(&self) -> bool {
        let Field { application, physical, logical, .. } = *self.field;
        matches!(application, Usage::PEN | Usage::DIGITIZER)
            || matches!(physical, Usage::PEN | Usage::STYLUS)
            || logical == Usage::STYLUS
    }

    fn directional_pad(&mut self, usage: Usage) -> Choice {
        self.target.direction = match usage {
            Usage::D_PAD_UP => 1,
            Usage::D_PAD_DOWN => 5,
            Usage::D_PAD_RIGHT => 3,
            Usage::D_PAD_LEFT => 7,
            _ => return self.unknown(),
        };
        // As in Linux, only the first of a field moves the hat.
        if *self.pad == 0 { own(EV_ABS, ABS_HAT0X) } else { Choice::Ignore }
    }

    fn consumer(&mut self, id: u16) -> Choice {
        match id {
            0 => Choice::Ignore,
            0xe0 => shared(EV_ABS, ABS_VOLUME),
            0x238 => {
                self.node.relative.insert(REL_HWHEEL);
                own(EV_REL, REL_HWHEEL_HI_RES)
            }
            _ => shared(EV_KEY, find(tables::CONSUMER, id).unwrap_or(KEY_UNKNOWN)),
        }
    }

    fn digitizer(&mut self, id: u8) -> Choice {
        // By the application's id alone, whatever its page: so does Linux.
        match self.field.application.id() as u8 {
            0x01 => drop(self.node.properties.insert(INPUT_PROP_POINTER)),
            0x02 => drop(self.node.properties.insert(INPUT_PROP_DIRECT)),
            _ => {}
        }
        match id {
            0x00 => Choice::Ignore,
            0x30 => {
                if !self.node.keys.contains(BTN_TOUCH) {
                    self.device.pressure_is_touch = true;
                    self.node.add(EV_KEY, BTN_TOUCH);
                }
                shared(EV_ABS, ABS_PRESSURE)
            }
            0x32 => match (self.field.physical, self.field.application) {
                (Usage::PUCK, _) => own(EV_KEY, BTN_TOOL_MOUSE),
                (Usage::FINGER, _) => own(EV_KEY, BTN_TOOL_FINGER),
                (Usage::NONE, Usage::TOUCH_SCREEN | Usage::TOUCH_PAD) => shared(EV_KEY, BTN_TOOL_FINGER),
                (Usage::NONE, _) => shared(EV_KEY, BTN_TOOL_PEN),
                _ => own(EV_KEY, BTN_TOOL_PEN),
            },
            0x3b => Choice::Battery,
            0x3c => {
                self.device.no_invert = false;
                shared(EV_KEY, BTN_TOOL_RUBBER)
            }
            0x3d => shared(EV_ABS, ABS_TILT_X),
            0x3e => shared(EV_ABS, ABS_TILT_Y),
            0x33 | 0x42 | 0x43 => {
                self.device.pressure_is_touch = false;
                shared(EV_KEY, BTN_TOUCH)
            }
            0x44 => shared(EV_KEY, BTN_STYLUS),
            0x45 => {
                if self.node.keys.insert(BTN_TOOL_RUBBER) {
                    self.device.no_invert = true;
                }
                shared(EV_KEY, BTN_TOUCH)
            }
            0x46 | 0x5a => shared(EV_KEY, BTN_STYLUS2),
            0x5b | 0x6e => own(EV_MSC, MSC_SERIAL),
            _ => self.unknown(),
        }
    }
}
