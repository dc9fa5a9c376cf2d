//! Matching and ranking.

use super::super::*;
use super::devices::*;
use super::manifest;
use crate::usb::descriptor::{AlternateSetting, DeviceDescriptors};
use crate::usb::{Speed, class};
use proptest::prelude::*;

/// An ECM function and a keyboard, with everything that can be asked for.
fn composite() -> DeviceDescriptors {
    let settings = vec![with_union(interface(0, ECM), &[0, 1]), interface(1, DATA), interface(2, KEYBOARD)];
    let mut device = device(vec![configuration(1, settings, &[])]);
    device.device.class = class::MISCELLANEOUS;
    device.device.subclass = 2;
    device.device.protocol = 1;
    device.device.device_version = 0x0310;
    device
}

fn subject(descriptors: &DeviceDescriptors) -> Subject<'_> {
    Subject { port: "1-2.3", serial_number: Some("A1"), speed: Speed::High, descriptors }
}

fn willing(_: &Manifest, _: &Function, _: u8) -> Result<Notes, Refused> {
    Ok(Notes::new())
}

/// The ECM function's decision.
fn decision<'m>(manifests: &'m [Manifest], device: &DeviceDescriptors) -> Decision<'m> {
    decide(manifests, &subject(device), &functions(device, None)[0], willing)
}

fn winner(manifests: &[Manifest]) -> Option<String> {
    decision(manifests, &composite()).winner().map(|winner| winner.manifest.name.clone())
}

/// For each criterion a text that the composite device's ECM function satisfies, and one that it does not.
const CRITERIA: [(Criterion, &str, &str); 14] = [
    (Criterion::SerialNumber, "\"A1\"", "[\"a1\", \"A12\"]"),
    (Criterion::Port, "[\"1-2\", \"1-2.3\"]", "\"1-2\""),
    (Criterion::ProductId, "[1, 0xa4a2]", "0xa4a1"),
    (Criterion::DeviceVersion, "{ min = 0x0310 }", "{ max = 0x030f }"),
    (Criterion::InterfaceNumber, "0", "[2, 3]"),
    (Criterion::Configuration, "1", "2"),
    (Criterion::InterfaceClass, "0x02", "0x03"),
    (Criterion::VendorId, "0x0525", "0x0526"),
    (Criterion::InterfaceSubclass, "0x06", "0x0d"),
    (Criterion::InterfaceProtocol, "0x00", "0xff"),
    (Criterion::DeviceClass, "0xef", "0"),
    (Criterion::DeviceSubclass, "2", "1"),
    (Criterion::DeviceProtocol, "1", "2"),
    (Criterion::Speed, "[\"high\", \"super\"]", "\"full\""),
];

/// The criteria of a bit set, with those that they need and one that identifies, as TOML.
fn alternative(bits: u16) -> Vec<Criterion> {
    let mut chosen: Vec<_> =
        CRITERIA.iter().map(|row| row.0).filter(|c| bits & 1 << (*c as u16) != 0).collect();
    if chosen.iter().all(|criterion| *criterion == Criterion::Speed) {
        chosen.push(Criterion::InterfaceClass);
    }
    let mut at = 0;
    while let Some(criterion) = chosen.get(at) {
        let needed = criterion.needs().filter(|needed| !chosen.contains(needed));
        chosen.extend(needed);
        at += 1;
    }
    chosen
}

fn text(criteria: &[Criterion], failing: Option<Criterion>) -> String {
    let line = |(criterion, holds, fails): &(Criterion, &str, &str)| {
        let value = if Some(*criterion) == failing { fails } else { holds };
        criteria.contains(criterion).then(|| format!("{criterion} = {value}\n"))
    };
    CRITERIA.iter().filter_map(line).collect()
}

#[test]
fn each_criterion_alone_decides() {
    assert_eq!(CRITERIA.map(|row| row.0), Criterion::ALL);
    for (criterion, ..) in CRITERIA {
        let all = alternative(1 << criterion as u16);
        let good = manifest("acme", 0, &[&text(&all, None)]);
        assert_eq!(winner(&[good]).as_deref(), Some("acme"), "{criterion}");
        let bad = [manifest("acme", 0, &[&text(&all, Some(criterion))])];
        let device = composite();
        let decision = decision(&bad, &device);
        let Verdict::Differs(difference) = &decision.ranked[0].verdict else { panic!("{criterion}") };
        let failed: Vec<_> = difference.checks.iter().filter(|check| !check.holds).collect();
        assert_eq!(failed.iter().map(|check| check.criterion).collect::<Vec<_>>(), [criterion]);
        assert_eq!(decision.winner(), None);
    }
}

#[test]
fn the_order_of_the_common_class_specification_holds() {
    let product = "vendor-id = 0x0525\nproduct-id = 0xa4a2";
    // From strong to weak, each beats all below it whatever their names and priorities.
    let order = [
        format!("{product}\nserial-number = \"A1\""),
        "port = \"1-2.3\"".to_owned(),
        format!("{product}\ndevice-version = 0x0310\nconfiguration = 1\ninterface-number = 0"),
        format!("{product}\ndevice-version = 0x0310"),
        format!("{product}\nconfiguration = 1\ninterface-number = 0"),
        format!(
            "{product}\ninterface-class = 2\ninterface-subclass = 6\ninterface-protocol = 0\nspeed = \"high\""
        ),
        product.to_owned(),
        "vendor-id = 0x0525\ninterface-class = 2\ninterface-subclass = 6\ninterface-protocol = 0".to_owned(),
        "vendor-id = 0x0525\ninterface-class = 2\ninterface-subclass = 6".to_owned(),
        "vendor-id = 0x0525\ninterface-class = 2".to_owned(),
        "interface-class = 2\ninterface-subclass = 6\ninterface-protocol = 0\ndevice-class = 0xef".to_owned(),
        "interface-class = 2\ninterface-subclass = 6\ninterface-protocol = 0".to_owned(),
        "interface-class = 2\ninterface-subclass = 6".to_owned(),
        "interface-class = 2".to_owned(),
        "vendor-id = 0x0525".to_owned(),
        "device-class = 0xef\ndevice-subclass = 2\ndevice-protocol = 1".to_owned(),
        "device-class = 0xef\ndevice-subclass = 2".to_owned(),
        "device-class = 0xef".to_owned(),
    ];
    let count = order.len();
    let manifests: Vec<_> =
        (0..count).map(|n| manifest(&format!("z{:02}", count - n), n as i16, &[&order[n]])).collect();
    for first in 0..count {
        assert_eq!(winner(&manifests[first..]), Some(manifests[first].name.clone()), "{}", order[first]);
    }
}

#[test]
fn ties_are_broken_by_priority_and_then_by_name() {
    let ecm = "interface-class = 2";
    let manifests = [manifest("c", 5, &[ecm]), manifest("b", 5, &[ecm]), manifest("a", 0, &[ecm])];
    let device = composite();
    let decision = decision(&manifests, &device);
    let names: Vec<_> = decision.ranked.iter().map(|one| one.manifest.name.as_str()).collect();
    assert_eq!(names, ["b", "c", "a"]);
    let winner = decision.winner().unwrap();
    let reasons: Vec<_> = decision.runners_up().map(|loser| behind(winner, loser).unwrap()).collect();
    assert_eq!(reasons, [Behind::LaterName, Behind::LowerPriority]);
    assert_eq!(behind(&decision.ranked[2], winner), None);
}

#[test]
fn the_runner_up_learns_what_it_lacks() {
    let manifests = [
        manifest("generic", 1000, &["interface-class = 2\ninterface-subclass = 6\ninterface-protocol = 0"]),
        manifest("special", -1000, &["vendor-id = 0x0525\ninterface-class = 2"]),
    ];
    let device = composite();
    let decision = decision(&manifests, &device);
    assert_eq!(decision.winner().unwrap().manifest.name, "special");
    let loser = decision.runners_up().next().unwrap();
    let reason = behind(decision.winner().unwrap(), loser).unwrap();
    assert_eq!(reason, Behind::LessSpecific(Criterion::VendorId));
}

#[test]
fn a_refusal_makes_way_for_the_next_and_keeps_its_reason() {
    let manifests = [
        manifest("first", 0, &["vendor-id = 0x0525\nproduct-id = 0xa4a2"]),
        manifest("second", 0, &["interface-class = 2"]),
    ];
    let device = composite();
    let decision =
        decide(&manifests, &subject(&device), &functions(&device, None)[0], |manifest, _, interface| {
            assert_eq!(interface, 0);
            match manifest.name.as_str() {
                "first" => Err(Refused { reason: "iMACAddress is no address".to_owned() }),
                _ => Ok(vec!["odd".to_owned()]),
            }
        });
    assert_eq!(decision.winner().unwrap().manifest.name, "second");
    assert_eq!(decision.runners_up().count(), 0);
    let Verdict::Refused { refused, .. } = &decision.ranked[1].verdict else { panic!() };
    assert_eq!(refused.to_string(), "iMACAddress is no address");
}

#[test]
fn what_is_asked_of_an_interface_must_hold_for_one_interface() {
    let device = composite();
    // Interface 0 has the class, interface 1 the subclass.
    let mixed = [manifest("acme", 0, &["interface-class = 2\ninterface-subclass = 0"])];
    assert_eq!(decision(&mixed, &device).winner(), None);
    let data = [manifest("acme", 0, &["interface-class = 10"])];
    let decision = decision(&data, &device);
    assert_eq!(decision.winner().unwrap().matched().unwrap().interface, 1);
    // The keyboard is another function.
    let keyboard = [manifest("acme", 0, &["interface-class = 3"])];
    assert_eq!(winner(&keyboard), None);
    let decision = decide(&keyboard, &subject(&device), &functions(&device, None)[1], willing);
    assert_eq!(decision.winner().unwrap().matched().unwrap().interface, 2);
}

#[test]
fn the_best_alternative_counts_and_else_the_closest_is_told() {
    let manifest = [manifest(
        "acme",
        0,
        &["interface-class = 2", "vendor-id = 0x0525\nproduct-id = 0xa4a2", "vendor-id = 1"],
    )];
    let device = composite();
    assert_eq!(decision(&manifest, &device).winner().unwrap().matched().unwrap().alternative, 1);
    let other = [super::manifest(
        "acme",
        0,
        &["interface-class = 3\ninterface-subclass = 1", "interface-class = 2\ninterface-subclass = 0xd"],
    )];
    let decision = decision(&other, &device);
    let Verdict::Differs(difference) = &decision.ranked[0].verdict else { panic!() };
    assert_eq!(difference.alternative, 1);
    let told: Vec<_> = difference
        .checks
        .iter()
        .map(|check| (check.criterion.key(), check.wanted.as_str(), check.found.as_str(), check.holds))
        .collect();
    assert_eq!(
        told,
        [("interface-class", "0x02", "0x02", true), ("interface-subclass", "0x0d", "0x06", false)]
    );
}

#[test]
fn the_alternate_setting_that_is_in_force_at_first_counts() {
    let mut settings = vec![interface(0, (class::MASS_STORAGE, 6, 0x50))];
    settings.push(AlternateSetting::new(0, 1, class::MASS_STORAGE, 6, 0x62));
    let device = device(vec![configuration(1, settings, &[])]);
    let uas = "interface-class = 8\ninterface-subclass = 6\ninterface-protocol = 0x62";
    assert_eq!(decision(&[manifest("uas", 0, &[uas])], &device).winner(), None);
    assert!(decision(&[manifest("bot", 0, &[&uas.replace("62", "50")])], &device).winner().is_some());
}

#[test]
fn values_are_told_as_people_write_them() {
    let serial = "vendor-id = [1, 2, 3, 4, 5]\nproduct-id = 1\nserial-number = [\"a\", \"b\"]\ndevice-version = { max = 0x99 }";
    let manifests =
        [manifest("acme", 0, &[&format!("{serial}\ninterface-number = [1, 12]\nspeed = \"super-plus\"")])];
    let device = composite();
    let subject = Subject { serial_number: None, ..subject(&device) };
    let decision = decide(&manifests, &subject, &functions(&device, None)[0], willing);
    let Verdict::Differs(difference) = &decision.ranked[0].verdict else { panic!() };
    let told: Vec<_> = difference
        .checks
        .iter()
        .map(|check| format!("{}: {}; {}", check.criterion, check.wanted, check.found))
        .collect();
    assert_eq!(
        told,
        [
            "serial-number: \"a\" or \"b\"; none",
            "product-id: 0x0001; 0xa4a2",
            "device-version: 0x0000 to 0x0099; 0x0310",
            "interface-number: 1 or 12; 1",
            "vendor-id: 0x0001, 0x0002, 0x0003 or 2 others; 0x0525",
            "speed: super-plus; high",
        ]
    );
}

proptest! {
    #[test]
    fn one_more_criterion_that_holds_never_lowers_the_score(bits in 0u16..1 << 14, more in 0usize..14) {
        let few = alternative(bits);
        let many = alternative(bits | few.iter().fold(0, |bits, c| bits | 1 << (*c as u16)) | 1 << more);
        let one = manifest("few", 1000, &[&text(&few, None)]);
        let other = manifest("many", -1000, &[&text(&many, None)]);
        let (low, high) = (one.alternatives[0].score(), other.alternatives[0].score());
        prop_assert!(low <= high);
        prop_assert_eq!(low == high, many.iter().all(|criterion| few.contains(criterion)));
        // And the alternative beside it does no harm.
        let both = manifest("both", 0, &[&text(&many, None), &text(&few, None)]);
        let device = composite();
        let all = [one, both];
        let decided = decision(&all, &device);
        let scores: Vec<_> = decided.ranked.iter().map(|one| one.matched().unwrap().score).collect();
        prop_assert!(scores[0] >= scores[1] && scores.contains(&high));
    }

    #[test]
    fn the_ranking_is_total_and_does_not_depend_on_the_order(
        rows in prop::collection::vec((0u16..1 << 14, -2i16..3, any::<bool>()), 1..8),
        seed in any::<prop::sample::Index>(),
    ) {
        let manifests: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(n, (bits, priority, holds))| {
                let all = alternative(*bits);
                let failing = (!holds).then(|| all[0]);
                manifest(&format!("m{n}"), *priority, &[&text(&all, failing)])
            })
            .collect();
        let device = composite();
        let function = &functions(&device, None)[0];
        let decided = decide(&manifests, &subject(&device), function, willing);
        let mut turned: Vec<&Manifest> = manifests.iter().collect();
        turned.rotate_left(seed.index(manifests.len()));
        turned.reverse();
        let again = decide(turned, &subject(&device), function, willing);
        prop_assert_eq!(&decided, &again);
        // Who is behind whom is told for every pair of those that fit, in one direction only.
        let fitting: Vec<_> = decided.ranked.iter().filter(|one| matches!(one.verdict, Verdict::Fits { .. })).collect();
        prop_assert_eq!(fitting.len(), rows.iter().filter(|row| row.2).count());
        for (n, better) in fitting.iter().enumerate() {
            for worse in &fitting[n + 1..] {
                prop_assert!(behind(better, worse).is_some() && behind(worse, better).is_none());
            }
        }
    }
}
