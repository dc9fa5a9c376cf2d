//! The ECM driver's manifest and the grouping of interfaces against real devices and mutations of them: what the driver can drive must be
//! offered to it, whole.

use outboard_core::manifest::{Expected, Function, Manifest, Subject, decide, functions, parse};
use outboard_core::usb::Speed;
use outboard_core::usb::descriptor::DeviceDescriptors;
use outboard_tests::data::DESCRIPTORS;
use outboard_tests::fuzz::seeds;
use outboard_tests::mutate;
use outboard_usb_ecm::matching::{MANIFEST, probe};
use outboard_usb_ecm::proto::function::{self, EcmFunction};
use outboard_usb_ecm::proto::quirks::Quirks;

fn manifest() -> Manifest {
    parse(MANIFEST, &Expected::default()).unwrap()
}

/// What the driver finds by itself.
fn found(device: &DeviceDescriptors) -> Vec<EcmFunction> {
    let quirks = Quirks::of(device.device.vendor_id, device.device.product_id);
    let candidates = function::find(device, &quirks, None);
    candidates.into_iter().filter_map(|candidate| candidate.verdict.ok()).collect()
}

/// The functions that it wins.
fn won(manifest: &Manifest, device: &DeviceDescriptors) -> Vec<Function> {
    let subject = Subject { port: "1-1", serial_number: None, speed: Speed::High, descriptors: device };
    functions(device, None)
        .into_iter()
        .filter(|function| {
            let ask = |_: &Manifest, function: &Function, interface| probe(device, function, interface);
            decide([manifest], &subject, function, ask).winner().is_some()
        })
        .collect()
}

fn sorted(function: &EcmFunction) -> Vec<u8> {
    let mut interfaces: Vec<u8> = function.interfaces().collect();
    interfaces.sort_unstable();
    interfaces
}

#[test]
fn on_real_devices_the_manifest_offers_exactly_what_the_driver_finds() {
    let manifest = manifest();
    let mut count = 0;
    for sample in DESCRIPTORS {
        let device = DeviceDescriptors::parse(&sample.bytes()).unwrap();
        let won: Vec<_> = won(&manifest, &device)
            .into_iter()
            .map(|function| (function.configuration, function.interfaces))
            .collect();
        let found: Vec<_> =
            found(&device).iter().map(|function| (function.configuration, sorted(function))).collect();
        assert_eq!(won, found, "{}", sample.name);
        count += won.len();
    }
    assert_eq!(count, 6);
}

#[test]
fn on_mutated_devices_nothing_is_offered_that_the_driver_does_not_find() {
    let manifest = manifest();
    let seeds = seeds::devices();
    let (mut offered, mut hidden) = (0, 0);
    for round in 0..5000 {
        let mut random = mutate::Random::new(round + 1);
        let mut bytes = seeds[random.below(seeds.len())].clone();
        mutate::mutate(&mut bytes, &seeds[0], &mut random);
        let Ok(device) = DeviceDescriptors::parse(&bytes) else { continue };
        let found = found(&device);
        let won = won(&manifest, &device);
        let serves = |function: &Function, ecm: &EcmFunction| {
            function.configuration == ecm.configuration
                && ecm.interfaces().all(|number| function.interfaces.contains(&number))
        };
        for function in &won {
            assert!(found.iter().any(|ecm| serves(function, ecm)), "{function:?} of {bytes:02x?}");
        }
        offered += won.len();
        hidden += found.iter().filter(|ecm| !won.iter().any(|function| serves(function, ecm))).count();
    }
    // Two functions of a device can only then be at odds over an interface when it lies.
    assert!(offered > 500 && hidden * 20 < offered, "{offered} {hidden}");
}
