//! Which interfaces are one function.

use super::super::{Joined, functions};
use super::devices::*;
use crate::usb::class;
use crate::usb::descriptor::{AlternateSetting, DeviceDescriptors, InterfaceAssociation, kind};
use proptest::prelude::*;

fn groups(settings: Vec<AlternateSetting>, associations: &[InterfaceAssociation]) -> Vec<(Joined, Vec<u8>)> {
    let device = device(vec![configuration(1, settings, associations)]);
    functions(&device, None).into_iter().map(|function| (function.joined, function.interfaces)).collect()
}

#[test]
fn a_union_joins_control_and_data_and_leaves_the_keyboard_alone() {
    let settings = vec![with_union(interface(0, ECM), &[0, 1]), interface(1, DATA), interface(2, KEYBOARD)];
    assert_eq!(groups(settings, &[]), [(Joined::Union, vec![0, 1]), (Joined::Alone, vec![2])]);
    // Ambit interchanges the two.
    let settings = vec![with_union(interface(0, ECM), &[1, 0]), interface(1, DATA)];
    assert_eq!(groups(settings, &[]), [(Joined::Union, vec![0, 1])]);
    // Several subordinates, out of order.
    let settings = vec![interface(0, DATA), with_union(interface(5, ECM), &[5, 3, 0]), interface(3, DATA)];
    assert_eq!(groups(settings, &[]), [(Joined::Union, vec![0, 3, 5])]);
}

#[test]
fn an_association_joins_its_interfaces() {
    let settings = (0..4).map(|number| interface(number, KEYBOARD)).collect();
    assert_eq!(
        groups(settings, &[association(1, 2)]),
        [(Joined::Alone, vec![0]), (Joined::Association, vec![1, 2]), (Joined::Alone, vec![3])]
    );
}

#[test]
fn a_union_adds_to_an_association_but_takes_nothing_from_another() {
    let settings = || {
        vec![
            with_union(interface(0, ECM), &[0, 1]),
            interface(1, DATA),
            with_union(interface(2, ECM), &[2, 1]),
            interface(3, DATA),
        ]
    };
    assert_eq!(
        groups(settings(), &[association(0, 1), association(2, 2)]),
        [(Joined::Association, vec![0, 1]), (Joined::Association, vec![2, 3])]
    );
    // Two that overlap: the first keeps what it has.
    assert_eq!(
        groups(settings(), &[association(0, 3), association(1, 3)]),
        [(Joined::Association, vec![0, 1, 2]), (Joined::Association, vec![3])]
    );
}

#[test]
fn what_a_union_says_of_others_or_of_nobody_is_not_believed() {
    for members in [&[1, 2][..], &[0, 9], &[0, 0], &[7, 8]] {
        let settings =
            vec![with_union(interface(0, ECM), members), interface(1, KEYBOARD), interface(2, KEYBOARD)];
        let alone: Vec<_> = (0..3).map(|number| (Joined::Alone, vec![number])).collect();
        assert_eq!(groups(settings, &[]), alone, "{members:?}");
    }
    // Audio has a descriptor of the same subtype, the feature unit.
    let settings = vec![with_union(interface(0, (class::AUDIO, 1, 0)), &[0, 1]), interface(1, KEYBOARD)];
    assert_eq!(groups(settings, &[]).len(), 2);
}

#[test]
fn a_data_interface_that_follows_belongs_to_a_control_interface_without_union() {
    let settings = vec![interface(0, ECM), interface(1, DATA)];
    assert_eq!(groups(settings, &[]), [(Joined::Adjacent, vec![0, 1])]);
    let settings = vec![interface(0, ECM), interface(2, DATA)];
    assert_eq!(groups(settings, &[]).len(), 2);
    let settings = vec![interface(255, ECM), interface(0, DATA)];
    assert_eq!(groups(settings, &[]).len(), 2);
}

#[test]
fn a_union_on_the_configuration_counts() {
    let mut configuration = configuration(1, vec![interface(4, ECM), interface(7, DATA)], &[]);
    configuration.extra.append(kind::CS_INTERFACE, &[0x06, 4, 7]);
    let functions = functions(&device(vec![configuration]), None);
    assert_eq!(functions[0].interfaces, [4, 7]);
}

#[test]
fn the_active_configuration_comes_first() {
    let one = |value| configuration(value, vec![interface(0, KEYBOARD)], &[]);
    let device = device(vec![one(1), one(2), one(3)]);
    let order = |active| functions(&device, active).iter().map(|f| f.configuration).collect::<Vec<_>>();
    assert_eq!(order(Some(2)), [2, 1, 3]);
    assert_eq!(order(Some(9)), [1, 2, 3]);
    assert_eq!(order(None), [1, 2, 3]);
}

/// Every interface is in exactly one function, which is sorted.
fn check(device: &DeviceDescriptors) {
    for configuration in &device.configurations {
        let mut all: Vec<u8> = configuration.interfaces.iter().map(|interface| interface.number).collect();
        let mut grouped: Vec<u8> = Vec::new();
        for function in functions(device, None) {
            if function.configuration == configuration.value {
                assert!(!function.interfaces.is_empty() && function.interfaces.is_sorted());
                grouped.extend(function.interfaces);
            }
        }
        all.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(all, grouped);
    }
}

proptest! {
    #[test]
    fn every_interface_is_in_exactly_one_function(
        interfaces in prop::collection::btree_map(0u8..12, (0usize..4, prop::collection::vec(0u8..12, 0..5)), 0..10),
        ranges in prop::collection::vec((0u8..12, any::<u8>()), 0..5),
    ) {
        let codes = [ECM, DATA, KEYBOARD, (class::WIRELESS, 1, 3)];
        let settings = interfaces
            .into_iter()
            .map(|(number, (code, members))| with_union(interface(number, codes[code]), &members))
            .collect();
        let associations: Vec<_> = ranges.into_iter().map(|(first, count)| association(first, count)).collect();
        check(&device(vec![configuration(1, settings, &associations)]));
    }
}
