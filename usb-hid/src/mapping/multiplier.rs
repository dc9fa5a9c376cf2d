//! Resolution multipliers (HUT 1.5, 4.3.1): what a wheel's values are to be divided by. It sends nothing.

use super::{Options, ReportPlan};
use crate::proto::Usage;
use crate::proto::class::ReportKind;
use crate::proto::report::{CollectionKind, Field, Report, ReportDescriptor};

fn is_multiplier(field: &Field) -> bool {
    field.count >= 1 && field.usages.iter().any(|usage| usage == Usage::RESOLUTION_MULTIPLIER)
}

/// The multiplier's fields, in their order.
fn multipliers(descriptor: &ReportDescriptor) -> impl Iterator<Item = (&Report, &Field)> {
    let features = descriptor.reports(ReportKind::Feature);
    features
        .flat_map(|report| report.fields.iter().map(move |field| (report, field)))
        .filter(|(_, field)| is_multiplier(field))
}

/// Gives every field of the input reports its multiplier.
pub(super) fn apply(descriptor: &ReportDescriptor, options: &Options, plans: &mut [ReportPlan]) {
    for (report, field) in multipliers(descriptor) {
        // After a refusal Linux keeps what it took before it asked: 0.
        let value = match options.multipliers_refused {
            true => 0,
            false if field.count == 1 => field.logical_maximum,
            false => options.features.value(report, field, 0),
        };
        let effective = effective(field, value);
        // It applies to the controls in the same logical collection, or to all if there is none.
        let scope = descriptor.enclosing(field.collection.or(Some(0)));
        let scope = { scope }
            .find(|(_, collection)| collection.kind == CollectionKind::LOGICAL)
            .map(|(index, _)| index);
        for (report, plan) in descriptor.reports.iter().zip(plans.iter_mut()) {
            if report.kind != ReportKind::Input {
                continue;
            }
            for (field, plan) in report.fields.iter().zip(&mut plan.fields) {
                // As Linux sees it, the outermost collection is in no scope.
                let within = |scope| {
                    let mut around = descriptor.enclosing(field.collection.or(Some(0)));
                    around.any(|(index, collection)| index == scope && collection.parent.is_some())
                };
                if scope.is_none_or(within) {
                    plan.multiplier = effective;
                }
            }
        }
    }
}

fn effective(field: &Field, value: i32) -> i8 {
    let (least, greatest) = (field.logical_minimum, field.logical_maximum);
    let Some(steps) = value.wrapping_sub(least).checked_div(greatest.wrapping_sub(least)) else { return 1 };
    let extent = field.physical_maximum.wrapping_sub(field.physical_minimum);
    let multiplier = steps.wrapping_mul(extent).wrapping_add(field.physical_minimum);
    if multiplier == 0 || !(-255..=255).contains(&multiplier) { 1 } else { multiplier as i8 }
}
