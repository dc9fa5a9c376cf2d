//! Drivers' manifests.

use outboard_core::manifest::{
    self, Criterion, Entitlement, Expected, Function, Joined, Manifest, Notes, Subject, Wanted, is_name,
};
use outboard_core::usb::Speed;
use outboard_core::usb::descriptor::{AlternateSetting, Configuration, DeviceDescriptor, DeviceDescriptors};

/// A driver's manifest, as a file's content.
pub fn file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines = text.matches('\n').count() + 1;
    match manifest::parse(text, &Expected::default()) {
        Ok(manifest) => check_manifest(&manifest),
        Err(faults) => {
            assert!((1..=manifest::limit::FAULTS).contains(&faults.len()));
            for fault in faults {
                assert!(fault.line.is_none_or(|line| (1..=lines).contains(&(line as usize))), "{fault}");
                // It is printed on terminals.
                assert!(!fault.to_string().chars().any(char::is_control), "{fault:?}");
            }
        }
    }
}

fn check_manifest(manifest: &Manifest) {
    use manifest::limit;
    assert!(is_name(&manifest.name));
    assert!((-limit::PRIORITY..=limit::PRIORITY).contains(&manifest.priority));
    assert!(manifest.is_entitled(Entitlement::TransportUsb));
    assert!(manifest.is_entitled(Entitlement::Family(manifest.family)));
    for text in [&manifest.display_name, &manifest.usage_description] {
        assert!(!text.chars().any(char::is_control) && text.chars().count() <= limit::USAGE_DESCRIPTION);
    }
    assert!((1..=limit::ALTERNATIVES).contains(&manifest.alternatives.len()));
    for alternative in &manifest.alternatives {
        assert!(alternative.criteria().any(|(criterion, _)| criterion != Criterion::Speed));
        for (criterion, wanted) in alternative.criteria() {
            assert!(alternative.score().has(criterion));
            assert!(criterion.needs().is_none_or(|needed| alternative.score().has(needed)));
            let count = match wanted {
                Wanted::Numbers(numbers) => numbers.len(),
                Wanted::Texts(texts) => texts.len(),
                Wanted::Speeds(speeds) => speeds.len(),
                Wanted::Range(least, most) => usize::from(least <= most),
            };
            assert!((1..=limit::VALUES).contains(&count));
        }
    }
    // Whatever it asks, every device is answered, and the winner's score is that of its alternative.
    let mut configuration = Configuration::new(1);
    configuration.push(AlternateSetting::new(0, 0, 2, 6, 0));
    let descriptors = DeviceDescriptors::new(DeviceDescriptor::new(0x0525, 0xa4a2), vec![configuration]);
    let subject =
        Subject { port: "1-1", serial_number: Some("A"), speed: Speed::High, descriptors: &descriptors };
    let function = Function { configuration: 1, interfaces: vec![0], joined: Joined::Alone };
    let decision = manifest::decide([manifest], &subject, &function, |_, _, _| Ok(Notes::new()));
    if let Some(matched) = decision.winner().and_then(|winner| winner.matched()) {
        assert_eq!(matched.score, manifest.alternatives[matched.alternative].score());
        assert!(matched.checks.iter().all(|check| check.holds));
    }
}
