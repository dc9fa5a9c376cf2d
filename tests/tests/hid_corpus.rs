//! Report descriptors of real devices: every one is understood or refused exactly as Linux does it.

use outboard_tests::hid::{corpus, verdicts};
use outboard_usb_hid::proto::report::{ParseOptions, ReportDescriptor};

#[test]
fn linux_and_we_refuse_the_same_descriptors() {
    // The kernel got them through uhid, which carries reports of up to 4096 bytes.
    let options = ParseOptions { report_bytes: 4096 };
    let (samples, verdicts) = (corpus(), verdicts());
    assert_eq!((samples.len(), verdicts.len()), (596, 596));
    let mut refused = 0;
    for (sample, verdict) in samples.iter().zip(&verdicts) {
        assert_eq!(sample.id, verdict.id);
        assert!(
            !sample.source.is_empty() && !sample.licence.is_empty(),
            "{} has no source or licence",
            sample.id
        );
        let parsed = ReportDescriptor::parse_with(&sample.descriptor, &options);
        assert_eq!(parsed.is_ok(), verdict.started == 1, "{} from {}: {parsed:?}", sample.id, sample.source);
        refused += u32::from(parsed.is_err());
    }
    assert_eq!(refused, 17);
}
