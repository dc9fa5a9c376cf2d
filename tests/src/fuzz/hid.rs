//! The bodies of the fuzz targets for HID: report descriptors, and what comes of them. They know no corpus.

use outboard_core::family::hid::Node;
use outboard_core::family::hid::codes::*;
use outboard_usb_hid::mapping::{Mapping, Options, Quirks, TouchClass};
use outboard_usb_hid::proto::report::{ReportDescriptor, limit};

/// A report descriptor: bounded answers, values at every edge of every field, and nodes that make sense.
pub fn hid_descriptor(data: &[u8]) {
    let Ok(descriptor) = ReportDescriptor::parse(data) else { return };
    assert!(descriptor.findings.len() <= limit::FINDINGS + 1);
    assert!(
        descriptor
            .findings
            .iter()
            .all(|finding| !finding.to_string().is_empty() && finding.offset <= data.len())
    );
    assert!(descriptor.collections.len() <= data.len());
    for (index, collection) in descriptor.collections.iter().enumerate() {
        assert!(collection.parent.is_none_or(|parent| parent < index));
    }
    for report in &descriptor.reports {
        assert!(report.body_bytes() < limit::REPORT_BYTES as usize && report.fields.len() <= limit::FIELDS);
        let mut body = vec![0xa5; report.body_bytes()];
        for field in &report.fields {
            assert!(field.bit_offset + field.bits * field.count <= report.bits);
            assert!((1..=limit::USAGES).contains(&field.usages.declared()));
            assert!(field.usages.runs().len() + field.aliases.len() <= data.len());
            for index in [0, field.count.saturating_sub(1), field.count] {
                let value = field.value(&body, index);
                field.set_value(&mut body, index, value);
                assert_eq!(field.value(&body, index), value, "what was read can be written");
            }
        }
        // Bits beyond 64 are written as 0; all else stayed as it was.
        if report.fields.iter().all(|field| field.bits <= 64) {
            assert!(body.iter().all(|byte| *byte == 0xa5));
        }
    }
    let choice = usize::from(data.last().copied().unwrap_or(0));
    let quirks = Quirks {
        bad_pad: choice & 1 != 0,
        multi_input: choice & 2 != 0,
        x_invert: choice & 4 != 0,
        increment_on_duplicate: choice & 8 != 0,
        force_input: choice & 16 != 0,
        ..Quirks::default()
    };
    let touch = TouchClass::ALL.get(choice).copied();
    for options in [Options::default(), Options { name: "fuzz".into(), quirks, touch, ..Options::default() }]
    {
        Mapping::new(&descriptor, &options).nodes.iter().for_each(check_node);
    }
}

fn check_node(node: &Node) {
    assert!(node.kinds.contains(EV_SYN) && !node.keys.contains(0));
    for kind in [EV_KEY, EV_REL, EV_ABS, EV_MSC, EV_LED] {
        let codes = node.codes(kind).expect("a kind that nodes have");
        assert!(codes.is_empty() || node.kinds.contains(kind), "{node:?}");
    }
    let most = |codes: &outboard_core::family::hid::CodeSet| codes.iter().last().unwrap_or(0);
    assert!(
        most(&node.absolute) <= ABS_MAX && most(&node.relative) <= REL_MAX && most(&node.leds) <= LED_MAX
    );
    assert_eq!(node.repeat.is_some(), node.kinds.contains(EV_REP));
}
