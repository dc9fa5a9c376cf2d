//! The bodies of the fuzz targets for HID: report descriptors, and what comes of them. They know no corpus.

use outboard_usb_hid::proto::report::{ReportDescriptor, limit};

/// A report descriptor: bounded answers, and values at every edge of every field.
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
}
