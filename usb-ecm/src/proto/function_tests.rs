//! The search for the function, on devices that are right, odd and wrong.

use super::super::functional::subtype;
use super::*;
use outboard_core::usb::Speed;
use outboard_core::usb::descriptor::{DeviceDescriptor, InterfaceAssociation, RawDescriptor, kind};
use std::num::NonZeroU8;

const ETHERNET: EthernetNetworking = EthernetNetworking {
    mac_string: NonZeroU8::new(3),
    statistics: 0,
    max_segment_size: 1514,
    multicast: MulticastFilters { count: 0, perfect: true },
    power_filters: 0,
};

fn functional(ethernet: EthernetNetworking, union: Option<(u8, u8)>) -> Extra {
    let mut extra = Extra::new();
    extra.append(kind::CS_INTERFACE, &[subtype::HEADER, 0x10, 0x01]);
    if let Some((control, subordinate)) = union {
        extra.append(kind::CS_INTERFACE, &[subtype::UNION, control, subordinate]);
    }
    extra.append(kind::CS_INTERFACE, &ethernet.to_content());
    extra
}

/// An ECM function like the Linux gadget's: control interface 0, data interface 1 with alternates 0 and 1.
fn configuration(extra: Extra) -> Configuration {
    let mut this = Configuration::new(1);
    let mut control = AlternateSetting::new(0, 0, class::COMMUNICATIONS, subclass::ETHERNET, 0);
    control.extra = extra;
    control.endpoints.push(Endpoint::interrupt(0x82, 16, 9));
    this.push(control);
    this.push(AlternateSetting::new(1, 0, class::CDC_DATA, 0, 0));
    let mut data = AlternateSetting::new(1, 1, class::CDC_DATA, 0, 0);
    data.endpoints = vec![Endpoint::bulk(0x81, 512), Endpoint::bulk(0x01, 512)];
    this.push(data);
    this
}

fn usual() -> Configuration {
    configuration(functional(ETHERNET, Some((0, 1))))
}

/// Through the bytes, as from a device.
fn device(configurations: Vec<Configuration>) -> DeviceDescriptors {
    let device = DeviceDescriptors::new(DeviceDescriptor::new(0x0525, 0xa4a1), configurations);
    DeviceDescriptors::parse_at(&device.to_bytes(Speed::High), Speed::High).unwrap()
}

fn verdict(configuration: Configuration) -> Result<EcmFunction, Refusal> {
    let mut candidates = find(&device(vec![configuration]), &Quirks::default(), None);
    assert_eq!(candidates.len(), 1, "{candidates:?}");
    candidates.remove(0).verdict
}

/// What is reported of a usual configuration with this change.
fn findings(change: impl FnOnce(&mut Configuration)) -> Vec<Finding> {
    let mut configuration = usual();
    change(&mut configuration);
    verdict(configuration).unwrap().findings
}

fn refusal(change: impl FnOnce(&mut Configuration)) -> String {
    let mut configuration = usual();
    change(&mut configuration);
    verdict(configuration).unwrap_err().to_string()
}

fn endpoints(configuration: &mut Configuration) -> &mut Vec<Endpoint> {
    &mut configuration.interfaces[1].alternates[1].endpoints
}

fn control(configuration: &mut Configuration) -> &mut AlternateSetting {
    &mut configuration.interfaces[0].alternates[0]
}

#[test]
fn a_good_function_is_found_with_all_that_it_says() {
    let ethernet = EthernetNetworking {
        statistics: 0x1fff_ffff,
        multicast: MulticastFilters { count: 64, perfect: false },
        power_filters: 4,
        ..ETHERNET
    };
    let found = verdict(configuration(functional(ethernet, Some((0, 1))))).unwrap();
    assert_eq!(
        found,
        EcmFunction {
            configuration: 1,
            control_interface: 0,
            data_interface: 1,
            data_alternate: 1,
            idle_alternate: Some(0),
            bulk_in: BulkEndpoint { address: 0x81, max_packet_size: 512 },
            bulk_out: BulkEndpoint { address: 0x01, max_packet_size: 512 },
            notification: Some(NotificationEndpoint { address: 0x82, max_packet_size: 16, interval: 9 }),
            mac_string: NonZeroU8::new(3),
            statistics: 0x1fff_ffff,
            max_segment_size: 1514,
            multicast: MulticastFilters { count: 64, perfect: false },
            power_filters: 4,
            findings: Vec::new(),
        }
    );
    assert_eq!((found.max_mtu(), found.interfaces().collect::<Vec<_>>()), (1500, vec![0, 1]));
}

#[test]
fn every_configuration_is_searched_and_the_active_one_preferred() {
    let mut vendor = Configuration::new(1);
    vendor.push(AlternateSetting::new(0, 0, class::VENDOR, 0xff, 0));
    let mut rndis = Configuration::new(2);
    rndis.push(AlternateSetting::new(0, 0, class::COMMUNICATIONS, subclass::ACM, 0xff));
    let (mut third, mut fourth) = (usual(), usual());
    (third.value, fourth.value) = (3, 4);
    let device = device(vec![vendor, rndis, third, fourth]);
    let texts = |active| {
        let candidates = find(&device, &Quirks::default(), active);
        let best = best(&candidates).unwrap().configuration;
        (best, candidates.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let (best, all) = texts(Some(1));
    assert_eq!(best, 3);
    assert_eq!(
        all,
        [
            "configuration 1: no interface is an Ethernet function",
            "configuration 2, interface 0: speaks RNDIS, not ECM",
            "configuration 3, interface 0: ECM",
            "configuration 4, interface 0: ECM",
        ]
    );
    assert_eq!(texts(Some(4)).0, 4);
    assert_eq!(texts(None).0, 3);
}

#[test]
fn quirks_refuse() {
    let quirks = Quirks::of(0x04dd, 0x8005);
    let candidates = find(&device(vec![usual()]), &quirks, None);
    assert!(matches!(candidates[0].verdict, Err(Refusal::Quirk(_))));
    assert_eq!(best(&candidates), None);
}

#[test]
fn descriptors_in_the_wrong_place_are_found() {
    let moved = findings(|configuration| {
        configuration.extra = std::mem::take(&mut control(configuration).extra);
    });
    assert_eq!(moved, [Finding::DescriptorsOnConfiguration]);
    let moved = findings(|configuration| {
        let control = control(configuration);
        control.endpoints[0].extra = std::mem::take(&mut control.extra);
    });
    assert_eq!(moved, [Finding::DescriptorsBehindEndpoint(0x82)]);
}

#[test]
fn odd_unions_are_understood() {
    let with_union =
        |union| move |this: &mut Configuration| control(this).extra = functional(ETHERNET, union);
    assert_eq!(findings(with_union(Some((1, 0)))), [Finding::SwappedUnion]);
    assert_eq!(findings(with_union(None)), [Finding::NoUnion { data: 1, associated: false }]);
    let associated = findings(|this| {
        with_union(None)(this);
        this.associations.push(InterfaceAssociation {
            first_interface: 0,
            interface_count: 2,
            class: class::COMMUNICATIONS,
            subclass: subclass::ETHERNET,
            protocol: 0,
            name: None,
        });
    });
    assert_eq!(associated, [Finding::NoUnion { data: 1, associated: true }]);
    let merged = verdict({
        let mut this = usual();
        with_union(Some((0, 0)))(&mut this);
        let data = this.interfaces.pop().unwrap().alternates.pop().unwrap();
        let control = control(&mut this);
        control.endpoints.extend(data.endpoints);
        this
    })
    .unwrap();
    assert_eq!(merged.findings, [Finding::Merged]);
    assert_eq!(merged.notification.unwrap().address, 0x82);
    assert_eq!(merged.interfaces().collect::<Vec<_>>(), [0]);

    assert_eq!(
        refusal(with_union(Some((0, 9)))),
        "interface 0: bSubordinateInterface0 of the Union is 9, and there is no such interface"
    );
    assert_eq!(
        refusal(with_union(Some((9, 1)))),
        "interface 0: bControlInterface of the Union is 9, and there is no such interface"
    );
    assert_eq!(
        refusal(with_union(Some((1, 1)))),
        "interface 0: bControlInterface of the Union is 1; it is on interface 0"
    );
    let lonely = refusal(|this| {
        with_union(None)(this);
        this.interfaces.truncate(1);
    });
    assert_eq!(lonely, "interface 0: bDescriptorSubtype Union is missing, and no data interface follows");
}

#[test]
fn a_data_interface_of_another_class_is_refused() {
    let text = refusal(|this| {
        for setting in &mut this.interfaces[1].alternates {
            setting.class = class::VENDOR;
        }
    });
    assert_eq!(text, "interface 1: bInterfaceClass is 0xff; the data interface of ECM has class 0x0a");
}

#[test]
fn missing_descriptors_are_named() {
    let keep = |kept: &'static [u8]| {
        move |this: &mut Configuration| {
            let all = std::mem::take(&mut control(this).extra);
            let kept = |raw: &RawDescriptor<'_>| kept.contains(&raw.subtype().unwrap());
            all.iter().filter(kept).for_each(|raw| control(this).extra.push(raw));
        }
    };
    let header = refusal(keep(&[subtype::UNION, subtype::ETHERNET]));
    assert_eq!(header, "interface 0: bDescriptorSubtype Header is missing");
    let ethernet = refusal(keep(&[subtype::UNION, subtype::HEADER]));
    assert_eq!(ethernet, "interface 0: bDescriptorSubtype Ethernet Networking is missing");
    let twice = refusal(|this| {
        let extra = &mut control(this).extra;
        extra.append(kind::CS_INTERFACE, &ETHERNET.to_content());
    });
    assert_eq!(twice, "interface 0: bDescriptorSubtype Ethernet Networking is there twice");
}

#[test]
fn endpoints_that_cannot_carry_frames_are_named() {
    assert_eq!(
        refusal(|this| endpoints(this)[0].max_packet_size = 0),
        "interface 1, endpoint 0x81: wMaxPacketSize is 0: no frame fits through"
    );
    assert_eq!(
        refusal(|this| endpoints(this)[1] = Endpoint::interrupt(0x01, 512, 1)),
        "interface 1, endpoint 0x01: bmAttributes says interrupt; frames go over a bulk endpoint"
    );
    assert_eq!(
        refusal(|this| endpoints(this)[1].address = 0x83),
        "interface 1: bNumEndpoints has no bulk OUT endpoint among them"
    );
    assert_eq!(
        refusal(|this| endpoints(this).clear()),
        "interface 1: bNumEndpoints has no bulk IN endpoint among them"
    );
    // A duplicate is left out by the parser below, and so one direction is missing.
    assert_eq!(
        refusal(|this| endpoints(this)[1].address = 0x81),
        "interface 1: bNumEndpoints has no bulk OUT endpoint among them"
    );
    assert_eq!(
        refusal(|this| {
            let out = endpoints(this).pop().unwrap();
            this.interfaces[1].alternates[0].endpoints.push(out);
        }),
        "interface 1: bNumEndpoints has bulk IN and OUT endpoints only in different alternate settings"
    );
}

#[test]
fn a_bad_notification_endpoint_is_done_without() {
    let bad = |change: fn(&mut Endpoint)| {
        let mut this = usual();
        change(&mut control(&mut this).endpoints[0]);
        let found = verdict(this).unwrap();
        assert_eq!(found.notification, None);
        assert_eq!(found.findings.len(), 1);
        found.findings[0].to_string()
    };
    assert!(bad(|endpoint| endpoint.max_packet_size = 7).ends_with("below the 8 bytes of a notification"));
    assert!(bad(|endpoint| endpoint.interval = 0).ends_with("bInterval is 0"));
    assert!(bad(|endpoint| endpoint.address = 0x02).ends_with("it is not interrupt IN"));
    assert!(bad(|endpoint| endpoint.transfer_type = TransferType::Bulk).ends_with("it is not interrupt IN"));
    let mut without = usual();
    control(&mut without).endpoints.clear();
    assert_eq!(verdict(without).unwrap().notification, None);
}

#[test]
fn segment_sizes_are_believed_within_reason() {
    let with = |size| {
        let ethernet = EthernetNetworking { max_segment_size: size, ..ETHERNET };
        verdict(configuration(functional(ethernet, Some((0, 1)))))
    };
    let zero = with(0).unwrap();
    assert_eq!(zero.max_segment_size, 1514);
    assert_eq!(zero.findings, [Finding::SegmentSize { declared: 0, used: 1514 }]);
    let huge = with(65535).unwrap();
    assert_eq!(huge.max_segment_size, LONGEST_SEGMENT);
    assert_eq!(huge.findings, [Finding::SegmentSize { declared: 65535, used: LONGEST_SEGMENT }]);
    assert_eq!(with(9014).unwrap().findings, []);
    assert_eq!(with(60).unwrap().max_mtu(), 46);
    assert_eq!(
        with(59).unwrap_err().to_string(),
        "interface 0: wMaxSegmentSize is 59; a frame of Ethernet has at least 60 bytes"
    );
}

#[test]
fn mdlm_is_ecm_only_with_the_right_guid() {
    let with = |guid: [u8; 16], detail: &[u8]| {
        let mut this = usual();
        let control = control(&mut this);
        control.subclass = subclass::MDLM;
        let content = [&[subtype::MDLM, 0x00, 0x01][..], &guid].concat();
        control.extra.append(kind::CS_INTERFACE, &content);
        control.extra.append(kind::CS_INTERFACE, &[&[subtype::MDLM_DETAIL][..], detail].concat());
        verdict(this)
    };
    assert!(with(MBM_GUID, &[0, 1]).is_ok());
    assert!(with([0; 16], &[0, 1]).unwrap_err().to_string().contains("bGUID"));
    assert!(with(MBM_GUID, &[0]).unwrap_err().to_string().contains("MDLM Detail is 4"));
}

#[test]
fn without_a_mac_string_the_function_is_still_there() {
    let ethernet = EthernetNetworking { mac_string: None, ..ETHERNET };
    let found = verdict(configuration(functional(ethernet, Some((0, 1))))).unwrap();
    assert_eq!(found.findings, [Finding::NoMacString]);
}
