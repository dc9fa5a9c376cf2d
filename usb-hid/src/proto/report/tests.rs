//! The parser against the specification's examples, against what devices get wrong, and against any bytes.

use super::*;
use proptest::prelude::*;

/// HID 1.11, E.6: the boot keyboard.
pub(super) const KEYBOARD: &[u8] = &[
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75,
    0x01, 0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x01, 0x95, 0x05, 0x75, 0x01, 0x05, 0x08,
    0x19, 0x01, 0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01, 0x95, 0x06, 0x75, 0x08, 0x15,
    0x00, 0x25, 0x65, 0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00, 0xc0,
];

fn parse(bytes: &[u8]) -> ReportDescriptor {
    ReportDescriptor::parse(bytes).unwrap()
}

fn problem(bytes: &[u8]) -> (usize, Problem) {
    let error = ReportDescriptor::parse(bytes).unwrap_err();
    (error.offset, error.problem)
}

fn oddities(descriptor: &ReportDescriptor) -> Vec<Oddity> {
    descriptor.findings.iter().map(|finding| finding.oddity).collect()
}

fn only(descriptor: &ReportDescriptor) -> &Field {
    assert_eq!(descriptor.reports.len(), 1);
    assert_eq!(descriptor.reports[0].fields.len(), 1);
    &descriptor.reports[0].fields[0]
}

#[test]
fn the_keyboard_of_the_specification() {
    let keyboard = parse(KEYBOARD);
    assert_eq!(keyboard.findings, []);
    assert_eq!(keyboard.collections[0].usage, Usage::KEYBOARD);
    let [input, output] = &keyboard.reports[..] else { panic!("{keyboard:?}") };
    assert_eq!((input.kind, input.id, input.bits, input.fields.len()), (ReportKind::Input, 0, 64, 2));
    assert_eq!((output.kind, output.bits, output.fields.len()), (ReportKind::Output, 8, 1));
    let [modifiers, keys] = &input.fields[..] else { panic!("{input:?}") };
    assert_eq!((modifiers.count, modifiers.bits, modifiers.bit_offset), (8, 1, 0));
    assert_eq!(modifiers.usages.get(7), Some(Usage(0x7_00e7)));
    assert_eq!((keys.count, keys.bits, keys.bit_offset, keys.flags.has(Flags::VARIABLE)), (6, 8, 16, false));
    assert_eq!((keys.usages.declared(), keys.controls(), keys.logical_range()), (0x66, 0x66, (0, 0x65)));
    assert_eq!(keys.value(&[2, 0, 4, 5, 0, 0, 0, 9], 5), 9);
    assert_eq!((keyboard.longest(ReportKind::Input), keyboard.is_numbered(ReportKind::Input)), (8, false));
}

#[test]
fn push_and_pop_keep_the_global_state() {
    // Push with 8-bit size, change it, pop: 8 again.
    let bytes = [0x05, 1, 0x75, 8, 0x95, 1, 0xa4, 0x75, 16, 0x09, 0x30, 0x81, 2, 0xb4, 0x09, 0x31, 0x81, 2];
    let descriptor = parse(&bytes);
    let fields = &descriptor.reports[0].fields;
    assert_eq!((fields[0].bits, fields[1].bits, fields[1].bit_offset), (16, 8, 16));
    assert_eq!(problem(&[0xb4]), (0, Problem::PopUnderflow));
    assert_eq!(problem(&[0xa4; 17]), (16, Problem::PushOverflow));
}

#[test]
fn a_usage_takes_the_last_page_and_an_extended_one_its_own() {
    // The page comes behind the usage, and one usage says its page itself.
    let descriptor = parse(&[0x09, 0x30, 0x0b, 0x38, 2, 0x0c, 0, 0x05, 1, 0x75, 8, 0x95, 3, 0x81, 2]);
    let field = only(&descriptor);
    assert_eq!(field.usages.iter().collect::<Vec<_>>(), [Usage::X, Usage::AC_PAN]);
    // The last usage counts for the controls behind it.
    assert_eq!((field.usages.get(2), field.usages.get(9)), (Some(Usage::AC_PAN), Some(Usage::AC_PAN)));
    // A usage that has had its page keeps it if a later one of the new page follows.
    let descriptor = parse(&[0x05, 1, 0x09, 0x30, 0x05, 12, 0x0a, 0x38, 2, 0x75, 8, 0x95, 2, 0x81, 2]);
    assert_eq!(only(&descriptor).usages.iter().collect::<Vec<_>>(), [Usage::X, Usage::AC_PAN]);
}

#[test]
fn a_delimited_set_is_one_control_with_aliases() {
    // Two sets of two usages each: two controls (HID 1.11, 6.2.2.8).
    let set = |a, b| [0xa9, 1, 0x09, a, 0x09, b, 0xa9, 0];
    let bytes = [&[0x05, 1, 0x75, 8, 0x95, 2][..], &set(0x30, 0x33), &set(0x31, 0x34), &[0x81, 2]].concat();
    let descriptor = parse(&bytes);
    let field = only(&descriptor);
    assert_eq!(field.usages.iter().collect::<Vec<_>>(), [Usage::X, Usage::Y]);
    let aliases: Vec<_> = field.aliases.iter().map(|alias| (alias.index, alias.usages.get(0))).collect();
    assert_eq!(aliases, [(0, Usage::RX), (1, Usage::RY)]);
    assert_eq!(problem(&[0xa9, 0]), (0, Problem::Delimiter));
    assert_eq!(problem(&[0xa9, 1, 0xa9, 1]), (2, Problem::Delimiter));
    assert_eq!(oddities(&parse(&[0xa9, 1, 0x09, 1, 0x81, 2])), [Oddity::OpenDelimiter]);
}

#[test]
fn a_range_is_not_stored_usage_by_usage() {
    let descriptor = parse(&[0x06, 0, 0xff, 0x19, 0, 0x2a, 0xff, 0xff, 0x75, 8, 0x95, 1, 0x81, 0]);
    let field = only(&descriptor);
    assert_eq!((field.usages.declared(), field.usages.runs().len()), (limit::USAGES, 1));
    assert_eq!(oddities(&descriptor), [Oddity::TooManyUsages]);
    // As Linux takes it: a reversed range is too long.
    let descriptor = parse(&[0x05, 9, 0x19, 5, 0x29, 3, 0x75, 1, 0x95, 1, 0x81, 2]);
    assert_eq!(oddities(&descriptor), [Oddity::ReversedRange, Oddity::TooManyUsages]);
    assert_eq!(only(&descriptor).usages.declared(), limit::USAGES);
    // The id runs over within its page.
    let descriptor = parse(&[0x05, 9, 0x1a, 0xff, 0xff, 0x29, 1, 0x75, 1, 0x95, 1, 0x81, 2]);
    assert_eq!(only(&descriptor).usages.get(1), Some(Usage::new(9, 0)));
}

#[test]
fn what_is_unambiguous_is_repaired_and_said() {
    let end = KEYBOARD.len();
    let open = parse(&KEYBOARD[..end - 1]);
    assert_eq!(open.findings, [Finding { offset: end - 1, oddity: Oddity::MissingEnd { count: 1 } }]);
    let cut = parse(&[KEYBOARD, &[0x26, 1]].concat());
    assert_eq!(cut.findings, [Finding { offset: end, oddity: Oddity::CutOff { bytes: 2 } }]);
    let extra = parse(&[KEYBOARD, &[0xc0]].concat());
    assert_eq!(extra.findings, [Finding { offset: end, oddity: Oddity::ExtraEnd }]);
    let long = parse(&[KEYBOARD, &[0xfe, 2, 0xf0, 1, 2]].concat());
    assert_eq!(long.findings, [Finding { offset: end, oddity: Oddity::LongItem }]);
    for repaired in [open, cut, extra, long] {
        assert_eq!(repaired.reports, parse(KEYBOARD).reports);
    }
    assert_eq!(oddities(&parse(&[0xd0, 0xcd, 0])), [Oddity::Reserved; 2]);
    assert_eq!(oddities(&parse(&[0x0c; 100])).len(), limit::FINDINGS + 1);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    assert_eq!(problem(&[]), (0, Problem::Empty));
    assert_eq!(problem(&[0x26, 1]), (0, Problem::Empty));
    assert_eq!(problem(&[0x85, 0]), (0, Problem::ReportId(0)));
    assert_eq!(problem(&[0x86, 0, 1]), (0, Problem::ReportId(256)));
    assert_eq!(problem(&[0x05, 1, 0x76, 1, 1]), (2, Problem::ReportSize(257)));
    assert_eq!(problem(&[0x97, 0xff, 0xff, 0xff, 0xff]), (0, Problem::ReportCount(u32::MAX)));
    assert_eq!(problem(&[0x15, 5, 0x25, 3, 0x81, 0]), (4, Problem::LogicalRange { minimum: 5, maximum: 3 }));
    let long = [0x75, 8, 0x96, 0xff, 0x2f, 0x81, 1, 0x81, 1];
    assert_eq!(problem(&long), (7, Problem::ReportLength(16_384)));
    let options = ParseOptions { report_bytes: 4096 };
    let error = ReportDescriptor::parse_with(&long, &options).unwrap_err();
    assert_eq!(error.to_string(), "offset 5: a report has more than 4096 bytes");
    assert_eq!(problem(&vec![0; 65_536]), (65_535, Problem::TooLong));
}

#[test]
fn values_are_signed_if_the_least_is_below_zero() {
    let descriptor = parse(&[0x05, 1, 0x09, 0x30, 0x15, 0x81, 0x25, 0x7f, 0x75, 12, 0x95, 2, 0x81, 6]);
    let field = only(&descriptor);
    let mut body = [0; 3];
    field.set_value(&mut body, 1, -5);
    field.set_value(&mut body, 0, 100_000);
    field.set_value(&mut body, 2, 1);
    assert_eq!((field.value(&body, 0), field.value(&body, 1), body), (2047, -5, [0xff, 0xb7, 0xff]));
    // 0xff in one byte is 255 if the least value is not below 0.
    let descriptor = parse(&[0x05, 1, 0x09, 0x30, 0x15, 0, 0x25, 0xff, 0x75, 8, 0x95, 1, 0x81, 2]);
    assert_eq!((only(&descriptor).logical_range(), only(&descriptor).value(&[0xff], 0)), ((0, 255), 255));
    // 64 bits, and more.
    let descriptor = parse(&[0x09, 0x30, 0x15, 0xff, 0x25, 1, 0x75, 64, 0x95, 1, 0x81, 2]);
    assert_eq!(only(&descriptor).value(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 0), -2);
    let descriptor = parse(&[0x09, 0x30, 0x75, 65, 0x95, 1, 0x81, 2]);
    assert_eq!(oddities(&descriptor), [Oddity::WideField { bits: 65 }]);
    let mut body = [0xff; 9];
    only(&descriptor).set_value(&mut body, 0, 1);
    assert_eq!((only(&descriptor).value(&body, 0), body[8]), (1, 0xfe));
}

#[test]
fn the_unit_exponent_is_a_nibble_or_a_number() {
    for (item, exponent) in
        [(&[0x55, 0x0e][..], -2), (&[0x55, 0xfe], -2), (&[0x55, 7], 7), (&[0x56, 0xfd, 0xff], -3)]
    {
        let descriptor = parse(&[item, &[0x09, 0x30, 0x75, 1, 0x95, 1, 0x81, 2]].concat());
        assert_eq!(only(&descriptor).unit_exponent, exponent, "{item:x?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_give_bounded_answers(bytes: Vec<u8>) {
        check(&bytes);
    }

    /// Items that follow one another properly get further.
    #[test]
    fn any_items_give_bounded_answers(items in prop::collection::vec((any::<u8>(), any::<[u8; 4]>()), 0..200)) {
        let bytes: Vec<u8> = items
            .iter()
            .flat_map(|(prefix, data)| {
                let size = [0, 1, 2, 4][usize::from(prefix & 3)];
                std::iter::once(*prefix).chain(data.iter().copied().take(size))
            })
            .collect();
        check(&bytes);
    }
}

fn check(bytes: &[u8]) {
    let Ok(descriptor) = ReportDescriptor::parse(bytes) else { return };
    assert!(descriptor.findings.len() <= limit::FINDINGS + 1);
    assert!(descriptor.collections.len() <= bytes.len());
    for report in &descriptor.reports {
        assert!(report.body_bytes() < limit::REPORT_BYTES as usize && report.fields.len() <= limit::FIELDS);
        let mut body = vec![0xa5; report.body_bytes()];
        for field in &report.fields {
            assert!(field.bit_offset + field.bits * field.count <= report.bits);
            assert!((1..=limit::USAGES).contains(&field.usages.declared()));
            assert!(field.usages.runs().len() + field.aliases.len() <= bytes.len());
            for index in [0, field.count.saturating_sub(1), field.count, u32::MAX] {
                field.value(&body, index);
                field.set_value(&mut body, index, -1);
            }
        }
    }
}
