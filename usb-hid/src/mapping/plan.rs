//! What was decided: the nodes, and for every control of every report what its values are there. It decides nothing.

use super::TouchClass;
use crate::proto::Usage;
use crate::proto::report::{Field, Flags};
use outboard_core::family::hid::Node;

/// What comes of a report descriptor.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The input nodes, in their order.
    pub nodes: Vec<Node>,
    /// What was left out.
    pub findings: Vec<MappingFinding>,
    /// By the report's place in the descriptor; feature reports have none.
    pub(crate) reports: Vec<ReportPlan>,
    /// If it is a touch device.
    pub(crate) touch: Option<TouchPlan>,
    pub(crate) flags: DeviceFlags,
}

/// Something that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingFinding {
    /// The device has more controls than are looked at.
    #[error(
        "the device has more than {} controls; those from the field at offset {offset} on are left out",
        super::limit::CONTROLS
    )]
    TooManyControls {
        /// Where the first field that was left out is in the descriptor, in bytes.
        offset: usize,
    },
}

/// What holds for the whole device and is found out while its usages are looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DeviceFlags {
    /// A pen has pressure and no tip switch: pressure means touch.
    pub(crate) pressure_is_touch: bool,
    /// A pen has an eraser and no Invert.
    pub(crate) no_invert: bool,
    pub(crate) x_invert: bool,
    pub(crate) y_invert: bool,
}

/// What a control is on its node.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Target {
    pub(crate) usage: Usage,
    /// `EV_*`; 0 (which is `EV_SYN`) for nothing.
    pub(crate) kind: u16,
    pub(crate) code: u16,
    /// The least and the greatest direction of a hat; it is one if they differ.
    pub(crate) hat: (i8, i8),
    /// The direction that a key of a directional pad stands for, 1 to 8; 0 if it is none.
    pub(crate) direction: u8,
    /// What a wheel turned since the last whole detent, in 1/120 of one.
    pub(crate) wheel: i16,
}

/// A field of a report, as the machine needs it.
#[derive(Debug, Clone)]
pub(crate) struct FieldPlan {
    pub(crate) node: Option<usize>,
    pub(crate) flags: Flags,
    pub(crate) minimum: i32,
    pub(crate) maximum: i32,
    /// By the control's index, up to the last that is something.
    pub(crate) targets: Vec<Target>,
    /// How many controls there are, with those that are nothing.
    pub(crate) controls: u32,
    /// Fields with more are handled first.
    pub(crate) priority: u32,
    /// What single controls have more, by their index, ascending.
    pub(crate) ranks: Vec<(u32, u32)>,
    pub(crate) multiplier: i8,
}

impl FieldPlan {
    pub(super) fn new(field: &Field) -> Self {
        Self {
            node: None,
            flags: field.flags,
            minimum: field.logical_minimum,
            maximum: field.logical_maximum,
            targets: Vec::new(),
            controls: field.controls(),
            priority: 0,
            ranks: Vec::new(),
            multiplier: 1,
        }
    }

    pub(crate) fn is_variable(&self) -> bool {
        self.flags.has(Flags::VARIABLE)
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct ReportPlan {
    pub(crate) fields: Vec<FieldPlan>,
}

/// A value of a report: the report's and the field's place in the descriptor, and the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ValueRef {
    pub(crate) report: usize,
    pub(crate) field: usize,
    pub(crate) index: u32,
}

/// Where a contact's values are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slot {
    pub(crate) x: Option<ValueRef>,
    pub(crate) y: Option<ValueRef>,
    pub(crate) center_x: Option<ValueRef>,
    pub(crate) center_y: Option<ValueRef>,
    pub(crate) pressure: Option<ValueRef>,
    pub(crate) width: Option<ValueRef>,
    pub(crate) height: Option<ValueRef>,
    pub(crate) azimuth: Option<ValueRef>,
    pub(crate) contact_id: Option<ValueRef>,
    pub(crate) tip: Option<ValueRef>,
    pub(crate) in_range: Option<ValueRef>,
    pub(crate) confidence: Option<ValueRef>,
}

/// What the slots of a node do beyond keeping values.
pub(crate) mod slot_flag {
    /// It moves a pointer: fingers are counted.
    pub(crate) const POINTER: u8 = 1;
    /// One touches what one sees.
    pub(crate) const DIRECT: u8 = 2;
    /// Contacts that a frame does not mention are lifted.
    pub(crate) const DROP_UNUSED: u8 = 4;
}

/// Contacts that belong together, as one application collection has them.
#[derive(Debug, Clone)]
pub(crate) struct TouchApplication {
    pub(crate) usage: Usage,
    pub(crate) report_id: u8,
    pub(crate) traits: u32,
    pub(crate) slots: Vec<Slot>,
    pub(crate) scan_time: Option<(ValueRef, i32)>,
    pub(crate) contact_count: Option<ValueRef>,
    pub(crate) slot_flags: u8,
    pub(crate) buttons: u32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct TouchReport {
    /// Its place in [`TouchPlan::applications`].
    pub(crate) application: usize,
    /// Whether contacts are in it.
    pub(crate) has_contacts: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct TouchPlan {
    pub(crate) class: TouchClass,
    pub(crate) certified: bool,
    /// Whether the class was guessed from the descriptor.
    pub(crate) guessed: bool,
    pub(crate) most_contacts: u8,
    pub(crate) is_buttonpad: bool,
    pub(crate) applications: Vec<TouchApplication>,
    /// By the report's place in the descriptor.
    pub(crate) reports: Vec<Option<TouchReport>>,
    /// By node: how many slots, and [`slot_flag`]s.
    pub(crate) slots: Vec<Option<(u8, u8)>>,
    /// What the device is to be told that it is: Input Mode's value (HUT 1.5, 16.7).
    pub(crate) input_mode: u8,
}
