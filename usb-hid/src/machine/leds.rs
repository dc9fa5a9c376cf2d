//! LEDs that applications switch, as output reports for the device. It sends nothing.

use crate::mapping::Mapping;
use crate::proto::class::ReportKind;
use crate::proto::report::{Field, ReportDescriptor};
use outboard_core::family::hid::codes::EV_LED;

#[derive(Debug, Clone)]
struct Led {
    code: u16,
    report: usize,
    field: Field,
    index: u32,
}

#[derive(Debug, Clone)]
struct Output {
    id: u8,
    is_numbered: bool,
    bytes: Vec<u8>,
}

/// A report for the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputReport<'a> {
    /// Its number; 0 if it has none.
    pub id: u8,
    /// All of it, its number first if it has one.
    pub bytes: &'a [u8],
}

#[derive(Debug, Clone, Default)]
pub(super) struct Leds {
    leds: Vec<Led>,
    outputs: Vec<Output>,
}

impl Leds {
    pub(super) fn new(descriptor: &ReportDescriptor, mapping: &Mapping) -> Self {
        let mut this = Self::default();
        let is_numbered = descriptor.is_numbered(ReportKind::Output);
        let reports = descriptor.reports.iter().zip(&mapping.reports);
        for (report, plan) in reports.filter(|(report, _)| report.kind == ReportKind::Output) {
            let before = this.leds.len();
            for (field, plan) in report.fields.iter().zip(&plan.fields) {
                for (index, target) in (0..field.count).zip(&plan.targets) {
                    if target.kind == EV_LED && plan.node.is_some() {
                        let report = this.outputs.len();
                        this.leds.push(Led { code: target.code, report, field: field.clone(), index });
                    }
                }
            }
            if this.leds.len() > before {
                let number = usize::from(is_numbered);
                let mut bytes = vec![0; report.body_bytes() + number];
                if is_numbered {
                    bytes[0] = report.id;
                }
                this.outputs.push(Output { id: report.id, is_numbered, bytes });
            }
        }
        this
    }

    pub(super) fn set(&mut self, code: u16, on: bool) -> Option<OutputReport<'_>> {
        let led = self.leds.iter().find(|led| led.code == code)?;
        let output = &mut self.outputs[led.report];
        let body = &mut output.bytes[usize::from(output.is_numbered)..];
        led.field.set_value(body, led.index, on.into());
        Some(OutputReport { id: output.id, bytes: &output.bytes })
    }

    /// All reports with LEDs, as they are now.
    pub(super) fn reports(&self) -> impl Iterator<Item = OutputReport<'_>> {
        self.outputs.iter().map(|output| OutputReport { id: output.id, bytes: &output.bytes })
    }
}
