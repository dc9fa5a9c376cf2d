//! Reports for any HID device, made from its descriptor: the edges of every field, and plausible ones with a seed. The same in every run.

use crate::mutate::Random;
use outboard_usb_hid::proto::Usage;
use outboard_usb_hid::proto::class::ReportKind;
use outboard_usb_hid::proto::report::{Field, Report, ReportDescriptor};

/// Fields beyond these get no reports of their own; the plausible ones fill them all the same.
const MOST_FIELDS: usize = 24;
/// Plausible reports of each kind of report.
const PLAUSIBLE: usize = 40;

/// Reports, each with its number if the device numbers them.
pub fn reports(descriptor: &ReportDescriptor, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    let mut all = Vec::new();
    let numbered = descriptor.is_numbered(ReportKind::Input);
    let whole = |report: &Report, body: &[u8]| {
        if numbered { [&[report.id][..], body].concat() } else { body.to_vec() }
    };
    // A report of nothing arrives nowhere.
    let inputs: Vec<&Report> = descriptor
        .reports(ReportKind::Input)
        .filter(|report| !report.fields.is_empty() && report.bits > 0)
        .collect();
    for report in &inputs {
        let length = report.body_bytes();
        for fill in [0, 0xff, 0] {
            all.push(whole(report, &vec![fill; length]));
        }
        for field in report.fields.iter().take(MOST_FIELDS) {
            let (least, greatest) = field.logical_range();
            for value in [least, greatest, least - 1, greatest + 1, (least + greatest) / 2] {
                let mut body = vec![0; length];
                for index in [0, field.count.saturating_sub(1)] {
                    field.set_value(&mut body, index, value);
                }
                all.push(whole(report, &body));
            }
        }
        all.push(whole(report, &vec![0; length]));
    }
    if inputs.is_empty() {
        return all;
    }
    // Kinds of reports mixed, as devices send them.
    for _ in 0..PLAUSIBLE * inputs.len().min(4) {
        let report = inputs[random.below(inputs.len())];
        let mut body = vec![0; report.body_bytes()];
        for field in &report.fields {
            fill(field, &mut body, &mut random);
        }
        all.push(whole(report, &body));
    }
    // A report of none of its kinds, one that is too short, and nothing.
    all.extend([vec![0xfe; 8], vec![inputs.first().map_or(0, |report| report.id)], vec![0; 1]]);
    all
}

fn fill(field: &Field, body: &mut [u8], random: &mut Random) {
    let (least, greatest) = field.logical_range();
    let extent = (greatest - least).clamp(0, i64::from(i32::MAX)) as usize;
    for index in 0..field.count {
        let usage = field.usages.get(index).unwrap_or(Usage::NONE);
        let value = match usage {
            // Few contacts, so that they come back, and mostly as many as there are.
            Usage::CONTACT_ID => random.below(4) as i64,
            Usage::CONTACT_COUNT => random.below(6) as i64,
            _ => match random.below(8) {
                0 => least,
                1 => greatest,
                2 => random.number() as i64 >> (64 - field.bits.clamp(1, 63)),
                3 => 0,
                _ => least + random.below(extent.saturating_add(1)) as i64,
            },
        };
        // Arrays of thousands of values have little to say.
        if index > 64 {
            return;
        }
        field.set_value(body, index, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hid::corpus;
    use outboard_usb_hid::machine::Machine;
    use outboard_usb_hid::mapping::{Mapping, Options};

    /// What the lab compares must be worth comparing: most devices with nodes have events from these reports.
    #[test]
    fn the_reports_make_events_of_most_devices() {
        let (mut devices, mut lively, mut events) = (0, 0, 0u64);
        for sample in corpus() {
            let Ok(descriptor) = ReportDescriptor::parse(&sample.descriptor) else { continue };
            let mapping = Mapping::new(&descriptor, &Options::default());
            if mapping.nodes.is_empty() {
                continue;
            }
            devices += 1;
            let mut machine = Machine::new(&descriptor, &mapping);
            let before = events;
            for report in reports(&descriptor, 1) {
                let _ = machine.input(&report, std::time::Duration::ZERO, &mut |_, _| events += 1);
            }
            lively += u64::from(events - before > 50);
        }
        assert!(
            devices > 500 && lively * 10 > devices * 9 && events > 100_000,
            "{devices} {lively} {events}"
        );
    }
}
