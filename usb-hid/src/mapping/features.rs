//! What a device answered to GET_REPORT of its feature reports. It asks nothing.

use crate::proto::class::ReportKind;
use crate::proto::report::{Field, Report, ReportDescriptor};

/// The feature reports that are known, by number; the others' values are taken as 0.
#[derive(Debug, Clone, Default)]
pub struct FeatureValues {
    reports: Vec<(u8, Vec<u8>)>,
}

impl FeatureValues {
    /// Keeps an answer: the whole report, with its number if it has one. One that is too short, or has another number than asked for,
    /// is not kept.
    pub fn insert(&mut self, descriptor: &ReportDescriptor, id: u8, answer: &[u8]) {
        let Some(report) = descriptor.reports(ReportKind::Feature).find(|report| report.id == id) else {
            return;
        };
        let body = match (descriptor.is_numbered(ReportKind::Feature), answer) {
            (true, [number, body @ ..]) if *number == id => body,
            (false, body) => body,
            _ => return,
        };
        let Some(body) = body.get(..report.body_bytes()) else { return };
        self.reports.retain(|(known, _)| *known != id);
        self.reports.push((id, body.to_vec()));
    }

    /// A report's bytes behind its number.
    pub(crate) fn body(&self, report: &Report) -> Vec<u8> {
        let known = self.reports.iter().find(|(id, _)| *id == report.id);
        known.map_or_else(|| vec![0; report.body_bytes()], |(_, body)| body.clone())
    }

    /// The value at `index` of a feature report's field.
    pub(crate) fn value(&self, report: &Report, field: &Field, index: u32) -> i32 {
        let known = self.reports.iter().find(|(id, _)| *id == report.id);
        known.filter(|_| index < field.count).map_or(0, |(_, body)| field.value(body, index) as i32)
    }
}
