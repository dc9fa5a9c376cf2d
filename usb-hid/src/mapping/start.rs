//! What a device is asked and told before its reports mean what they are taken for: how many contacts it has, wheels in fractions of a detent, touch
//! as touch. In the order in which Linux does it. It sends nothing.

use super::{FeatureValues, Mapping, TouchPlan, trait_};
use crate::proto::Usage;
use crate::proto::class::ReportKind;
use crate::proto::report::{Field, Report, ReportDescriptor};

/// A feature report to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureReport {
    /// Its number; 0 if it has none.
    pub id: u8,
    /// All of it, its number first if it has one.
    pub bytes: Vec<u8>,
}

/// The feature reports that are worth asking for, by number, each once. The answers belong into [`Options::features`](super::Options::features)
/// before the mapping is made. A device that must not be asked is taken as one that answers nothing.
pub fn reports_to_read(descriptor: &ReportDescriptor) -> Vec<u8> {
    let is_touch = descriptor.touch != crate::proto::report::TouchGroup::None;
    let mut ids = Vec::new();
    for report in descriptor.reports(ReportKind::Feature) {
        let has = |wanted: &dyn Fn(Usage) -> bool| {
            let mut fields = report.fields.iter().filter(|field| field.count >= 1);
            fields.any(|field| field.usages.iter().any(wanted))
        };
        // Reading the certification wakes some devices up.
        let for_touch = is_touch
            && has(&|usage| {
                matches!(usage, Usage::CONTACT_COUNT_MAXIMUM | Usage::PAD_TYPE | Usage::TOUCH_CERTIFICATION)
            });
        // What else is in a report must stay as it is when the multiplier is set.
        let beside = report.fields.len() > 1 && has(&|usage| usage == Usage::RESOLUTION_MULTIPLIER);
        if (for_touch || beside) && !ids.contains(&report.id) {
            ids.push(report.id);
        }
    }
    ids
}

/// The feature reports to be set when the device starts, and again after it was reset. `features` is what it answered, as for the mapping.
///
/// A device that refuses those of the multipliers is to be mapped again with
/// [`Options::multipliers_refused`](super::Options::multipliers_refused).
pub fn reports_to_set(
    descriptor: &ReportDescriptor,
    mapping: &Mapping,
    features: &FeatureValues,
) -> StartReports {
    let numbered = descriptor.is_numbered(ReportKind::Feature);
    let mut this = StartReports::default();
    let mut mode_is_set = false;
    for report in descriptor.reports(ReportKind::Feature) {
        let mut body = features.body(report);
        let fields = report.fields.iter().filter(|field| field.count == 1);
        let multipliers =
            fields.filter(|field| field.usages.iter().any(|usage| usage == Usage::RESOLUTION_MULTIPLIER));
        let mut changed = false;
        for field in multipliers {
            field.set_value(&mut body, 0, field.logical_range().1);
            changed = true;
        }
        if changed {
            this.multipliers.push(whole(report, numbered, &body));
        }
        if let Some(touch) = &mapping.touch {
            let mut changed = false;
            for field in report.fields.iter().filter(|field| field.count >= 1) {
                for (index, usage) in (0..field.count).zip(field.usages.iter()) {
                    changed |= set_mode(touch, field, index, usage, &mut body, &mut mode_is_set);
                }
            }
            if changed {
                this.modes.push(whole(report, numbered, &body));
            }
        }
    }
    this
}

/// What [`reports_to_set`] says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartReports {
    /// They switch resolution multipliers on.
    pub multipliers: Vec<FeatureReport>,
    /// They make a touch device behave as one.
    pub modes: Vec<FeatureReport>,
}

fn set_mode(
    touch: &TouchPlan,
    field: &Field,
    index: u32,
    usage: Usage,
    body: &mut [u8],
    mode_is_set: &mut bool,
) -> bool {
    let value = match usage {
        // Some devices have two of them and ignore what is set after the second.
        Usage::INPUT_MODE if !*mode_is_set => {
            *mode_is_set = true;
            touch.input_mode.into()
        }
        Usage::CONTACT_COUNT_MAXIMUM if touch.class.most_contacts != 0 => {
            let most = field.logical_range().1.min(touch.class.most_contacts.into());
            if field.value(body, index) == most {
                return false;
            }
            most
        }
        // Normal latency, and contacts and buttons reported.
        Usage::LATENCY_MODE => 0,
        Usage::SURFACE_SWITCH | Usage::BUTTON_SWITCH => 1,
        _ => return false,
    };
    field.set_value(body, index, value);
    true
}

fn whole(report: &Report, numbered: bool, body: &[u8]) -> FeatureReport {
    let number = if numbered { &[report.id][..] } else { &[] };
    FeatureReport { id: report.id, bytes: [number, body].concat() }
}

impl TouchPlan {
    /// Whether the device must be asked for its mode before that is set, or it forgets it.
    pub(crate) fn asks_before_mode(&self) -> bool {
        self.class.traits & trait_::FORCE_GET_FEATURE != 0
    }
}

impl Mapping {
    /// Whether the device must be asked for each of [`StartReports::modes`] before it is set.
    pub fn asks_before_modes(&self) -> bool {
        self.touch.as_ref().is_some_and(TouchPlan::asks_before_mode)
    }

    /// Whether the device must not wake the machine, whatever it says about itself.
    pub fn must_not_wake(&self) -> bool {
        self.touch.as_ref().is_some_and(|touch| touch.class.traits & trait_::DISABLE_WAKEUP != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Options;

    fn start(bytes: &[u8], answers: &[(u8, &[u8])]) -> (Vec<u8>, StartReports) {
        let descriptor = ReportDescriptor::parse(bytes).unwrap();
        let mut features = FeatureValues::default();
        for (id, answer) in answers {
            features.insert(&descriptor, *id, answer);
        }
        let mapping =
            Mapping::new(&descriptor, &Options { features: features.clone(), ..Options::default() });
        (reports_to_read(&descriptor), reports_to_set(&descriptor, &mapping, &features))
    }

    #[test]
    fn a_multiplier_is_set_and_its_neighbours_stay() {
        // Two multipliers of two bits and four bits of the vendor's in one report.
        let bytes = [
            0x05, 1, 0x09, 2, 0xa1, 1, 0x85, 2, 0x09, 0x48, 0x15, 0, 0x25, 1, 0x75, 2, 0x95, 1, 0xb1, 2,
            0x09, 0x48, 0xb1, 2, 0x06, 0, 0xff, 0x09, 1, 0x25, 15, 0x75, 4, 0xb1, 2, 0xc0,
        ];
        let (read, set) = start(&bytes, &[(2, &[2, 0xa0])]);
        assert_eq!(read, [2]);
        assert_eq!(set.multipliers, [FeatureReport { id: 2, bytes: vec![2, 0xa5] }]);
        assert_eq!(set.modes, []);
        // An answer that is too short, or another report's, is none.
        assert_eq!(start(&bytes, &[(2, &[2]), (2, &[3, 0xa0])]).1.multipliers[0].bytes, [2, 0x05]);
    }

    #[test]
    fn a_touch_pad_is_made_one() {
        let bytes = [
            0x05, 0x0d, 0x09, 5, 0xa1, 1, 0x85, 1, 0x09, 0x51, 0x25, 15, 0x75, 8, 0x95, 1, 0x81, 2, 0x85, 3,
            0x09, 0x55, 0xb1, 2, 0xc0, 0x09, 0x0e, 0xa1, 1, 0x85, 4, 0x09, 0x52, 0x25, 10, 0xb1, 2, 0x85, 5,
            0x09, 0x57, 0x09, 0x58, 0x25, 1, 0x75, 1, 0x95, 2, 0xb1, 2, 0x75, 6, 0x95, 1, 0xb1, 3, 0xc0,
        ];
        let (read, set) = start(&bytes, &[(3, &[3, 5])]);
        assert_eq!(read, [3]);
        let modes: Vec<_> = set.modes.iter().map(|report| &report.bytes[..]).collect();
        assert_eq!(modes, [&[4, 3][..], &[5, 3]]);
    }
}
