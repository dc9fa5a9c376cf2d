//! Which input nodes come of a report descriptor, and what each control in a report is there: the choices of Linux's hid-input and
//! hid-multitouch (6.1), so that an application finds the same nodes as with the kernel's drivers. It knows no report's content and does no I/O.

mod connect;
mod features;
mod multiplier;
mod plan;
mod resolution;
pub mod start;
mod tables;
mod touch;
mod touch_class;
mod usage;

pub use features::FeatureValues;
pub(crate) use plan::{
    DeviceFlags, FieldPlan, ReportPlan, Slot, Target, TouchApplication, TouchPlan, TouchReport, ValueRef,
    slot_flag,
};
pub use plan::{Mapping, MappingFinding};
pub(crate) use touch::tool as touch_tool;
pub use touch_class::TouchClass;
pub(crate) use touch_class::trait_;

use crate::proto::report::ReportDescriptor;
use outboard_core::family::hid::InputId;

/// Bounds on what one device can make us store and look at.
pub mod limit {
    /// Controls of all its fields together: values or usages, whichever are more. Real devices have a few thousand.
    pub const CONTROLS: u32 = 1 << 16;
}

/// What is known about a device beyond its descriptor.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Its name, as a node's name begins.
    pub name: String,
    /// Its identity, as nodes have it.
    pub id: InputId,
    /// How it deviates.
    pub quirks: Quirks,
    /// How its touch reports are to be read; `None` for what its descriptor suggests.
    pub touch: Option<TouchClass>,
    /// What it answered to GET_REPORT of its features.
    pub features: FeatureValues,
    /// It refused to have its resolution multipliers switched on.
    pub multipliers_refused: bool,
}

/// How a device deviates from what its descriptor says, as Linux knows such deviations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quirks {
    /// Its X and Y go from 0 to 255 whatever it says (`HID_QUIRK_BADPAD`).
    pub bad_pad: bool,
    /// Each report is a node of its own (`HID_QUIRK_MULTI_INPUT`).
    pub multi_input: bool,
    /// Its X axis is the wrong way round (`HID_QUIRK_X_INVERT`).
    pub x_invert: bool,
    /// Its Y axis is the wrong way round (`HID_QUIRK_Y_INVERT`).
    pub y_invert: bool,
    /// Its output reports are to be left alone (`HID_QUIRK_SKIP_OUTPUT_REPORTS`).
    pub skip_output_reports: bool,
    /// A usage that is there twice gets the next free code (`HID_QUIRK_INCREMENT_USAGE_ON_DUPLICATE`).
    pub increment_on_duplicate: bool,
    /// It has nodes although no application of its descriptor is one for input (`HID_QUIRK_HIDINPUT_FORCE`).
    pub force_input: bool,
}

impl Mapping {
    /// Decides.
    pub fn new(descriptor: &ReportDescriptor, options: &Options) -> Self {
        connect::connect(descriptor, options)
    }
}
