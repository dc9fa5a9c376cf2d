//! The parsers on real devices' descriptors, and on thousands of mutations of them.

use outboard_core::usb::Speed;
use outboard_core::usb::descriptor::DeviceDescriptors;
use outboard_tests::data::{DESCRIPTORS, descriptors};
use outboard_tests::fuzz::TARGETS;
use outboard_tests::{mutate, seeds};
use outboard_usb_ecm::proto::function::{self, EcmFunction, Finding};
use outboard_usb_ecm::proto::quirks::Quirks;

fn speed(name: &str) -> Speed {
    match name {
        "qemu-usb-net" | "motorola-like" => Speed::Full,
        name if name.ends_with("super") => Speed::Super,
        _ => Speed::High,
    }
}

fn parse(name: &str) -> DeviceDescriptors {
    DeviceDescriptors::parse_at(&descriptors(name), speed(name)).unwrap()
}

fn ecm(name: &str) -> Option<EcmFunction> {
    let device = parse(name);
    let quirks = Quirks::of(device.device.vendor_id, device.device.product_id);
    let candidates = function::find(&device, &quirks, Some(device.configurations[0].value));
    function::best(&candidates).cloned()
}

#[test]
fn every_sample_is_without_findings_and_written_back_byte_for_byte() {
    for sample in DESCRIPTORS {
        let bytes = sample.bytes();
        let device = DeviceDescriptors::parse_at(&bytes, speed(sample.name)).unwrap();
        assert_eq!((&device.findings, &device.malformed), (&vec![], &vec![]), "{}", sample.name);
        assert_eq!(device.configurations.len(), usize::from(device.device.num_configurations));
        assert_eq!(device.to_bytes(speed(sample.name)), bytes, "{}", sample.name);
    }
}

#[test]
fn ecm_is_found_behind_another_configuration() {
    let qemu = ecm("qemu-usb-net").unwrap();
    assert_eq!(
        (qemu.configuration, qemu.control_interface, qemu.data_interface, qemu.data_alternate),
        (1, 0, 1, 1)
    );
    assert_eq!((qemu.bulk_in.address, qemu.bulk_out.address), (0x82, 0x02));
    assert_eq!((qemu.bulk_in.max_packet_size, qemu.max_segment_size), (64, 1514));
    assert_eq!(qemu.notification.unwrap().interval, 32);
    assert_eq!(qemu.mac_string.unwrap().get(), 3);
    for (name, configuration, packet) in [("rtl8152b-high", 2, 512), ("rtl8153-super", 2, 1024)] {
        let found = ecm(name).unwrap();
        assert_eq!((found.configuration, found.bulk_in.max_packet_size), (configuration, packet), "{name}");
        assert_eq!(found.findings, [], "{name}");
    }
}

#[test]
fn each_configuration_says_why() {
    let device = parse("qemu-usb-net");
    let texts: Vec<_> =
        function::find(&device, &Quirks::default(), Some(2)).iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        ["configuration 2, interface 0: speaks RNDIS, not ECM", "configuration 1, interface 0: ECM"]
    );
    let device = parse("iphone-like");
    let texts: Vec<_> =
        function::find(&device, &Quirks::default(), None).iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "configuration 1: no interface is an Ethernet function",
            "configuration 4: no interface is an Ethernet function"
        ]
    );
}

#[test]
fn the_gadget_is_found_at_both_speeds() {
    for (name, packet) in [("linux-gadget-ecm-high", 512), ("linux-gadget-ecm-super", 1024)] {
        let found = ecm(name).unwrap();
        assert_eq!((found.configuration, found.bulk_out.max_packet_size), (1, packet));
        assert_eq!((found.multicast.count, found.idle_alternate, found.findings), (0, Some(0), vec![]));
    }
}

#[test]
fn descriptors_on_the_configuration_are_found() {
    let found = ecm("motorola-like").unwrap();
    assert_eq!(found.findings, [Finding::DescriptorsOnConfiguration]);
    assert_eq!(found.notification, None);
}

#[test]
fn every_target_survives_mutations_of_its_seeds() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        mutate::feed(target.body, &seeds, target.rounds);
    }
}

/// libFuzzer runs what has a file, and this test what is in the table.
#[test]
fn every_target_has_its_file() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/fuzz_targets");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    let mut names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    assert_eq!(files, names);
}

/// Most mutations must leave a device, and many an ECM function, or the two tests above would test nothing.
#[test]
fn mutations_reach_what_they_are_for() {
    let (mut devices, mut functions, mut refusals) = (0, 0, 0);
    let seeds = seeds::devices();
    for round in 0..2000 {
        let mut random = mutate::Random::new(round + 1);
        let mut bytes = seeds[random.below(seeds.len())].clone();
        mutate::mutate(&mut bytes, &seeds[0], &mut random);
        let Ok(device) = DeviceDescriptors::parse(&bytes) else { continue };
        devices += 1;
        let candidates = function::find(&device, &Quirks::default(), None);
        functions += u32::from(function::best(&candidates).is_some());
        refusals += u32::from(
            candidates
                .iter()
                .any(|candidate| matches!(candidate.verdict, Err(function::Refusal::Malformed(_)))),
        );
    }
    assert!(devices > 1000 && functions > 300 && refusals > 100, "{devices} {functions} {refusals}");
}
