//! The answer in full, on devices and folders of our own.

use std::num::NonZeroU8;

use outboard_core::usb::descriptor::{
    AlternateSetting, Configuration, DeviceDescriptor, DeviceDescriptors, Endpoint, kind,
};
use outboard_core::usb::discovery::{Bound, Found};
use outboard_core::usb::{Speed, class};
use outboard_usb_ecm::proto::functional::{EthernetNetworking, MulticastFilters};
use serde_json::json;

use super::*;
use crate::testing::Root;

const ACME: &str = include_str!("../../../tests/data/acme-gigabit.toml");

/// An ECM function of interfaces 0 and 1.
fn ecm(value: u8) -> Configuration {
    let mut configuration = Configuration::new(value);
    let mut control = AlternateSetting::new(0, 0, class::COMMUNICATIONS, 6, 0);
    control.extra.append(kind::CS_INTERFACE, &[0x00, 0x10, 0x01]);
    control.extra.append(kind::CS_INTERFACE, &[0x06, 0, 1]);
    let ethernet = EthernetNetworking {
        mac_string: NonZeroU8::new(3),
        statistics: 0,
        max_segment_size: 1514,
        multicast: MulticastFilters::default(),
        power_filters: 0,
    };
    control.extra.append(kind::CS_INTERFACE, &ethernet.to_content());
    control.endpoints.push(Endpoint::interrupt(0x83, 16, 8));
    configuration.push(control);
    configuration.push(AlternateSetting::new(1, 0, class::CDC_DATA, 0, 0));
    let mut data = AlternateSetting::new(1, 1, class::CDC_DATA, 0, 0);
    data.endpoints = vec![Endpoint::bulk(0x81, 512), Endpoint::bulk(0x02, 512)];
    configuration.push(data);
    configuration
}

/// An ECM function and a keyboard.
fn composite() -> Configuration {
    let mut configuration = ecm(1);
    let mut keyboard = AlternateSetting::new(2, 0, class::HID, 1, 1);
    keyboard.endpoints.push(Endpoint::interrupt(0x84, 8, 8));
    configuration.push(keyboard);
    configuration
}

fn found(configurations: Vec<Configuration>, drivers: &[(u8, Option<&str>, &[&str])]) -> Found {
    let descriptors = DeviceDescriptors::new(DeviceDescriptor::new(0x0525, 0xa4a2), configurations);
    Found {
        name: "1-2.3".into(),
        bus: 1,
        address: 7,
        vendor_id: 0x0525,
        product_id: 0xa4a2,
        manufacturer: Some("Linux".into()),
        product: Some("Gadget\u{1b}[2J".into()),
        serial: Some("A1".into()),
        speed: Speed::High,
        node: "/nowhere/bus/usb/001/007".into(),
        sysfs: "/nowhere".into(),
        configuration: descriptors.configurations.first().map(|first| first.value),
        descriptors: descriptors.to_bytes(Speed::High),
        drivers: drivers
            .iter()
            .map(|(interface, driver, networks)| Bound {
                interface: *interface,
                driver: driver.map(str::to_owned),
                networks: networks.iter().map(ToString::to_string).collect(),
            })
            .collect(),
    }
}

fn shown(root: &Root, found: &Found) -> String {
    let drivers = Drivers::read_below(root.path());
    let answer = Answer::new(found, &drivers, root.path().join("proc")).unwrap();
    root.without(&text::render(&answer))
}

const KERNEL: [(u8, Option<&str>, &[&str]); 3] =
    [(0, Some("cdc_ether"), &["usb0"]), (1, Some("cdc_ether"), &[]), (2, None, &[])];

#[test]
fn a_composite_device_has_an_answer_for_each_function() {
    let root = Root::new("why-composite");
    assert_eq!(
        shown(&root, &found(vec![composite()], &KERNEL)),
        "\
1-2.3  0525:a4a2  Linux Gadget?[2J, 480 Mbit/s

Interfaces 0, 1 of configuration 1, one function by their Union
    interface 0: Ethernet (ECM), class 02/06/00
    interface 1: CDC data, class 0a/00/00
  Now: the kernel's driver cdc_ether has it, as network interface usb0.
  usb-ecm wins: CDC Ethernet (ECM) 0.1.0, built in.
      holds: interface-class 0x02, interface-subclass 0x06, interface-protocol 0x00 (interface 0)
  usb-serial-ftdi does not match: product-id is 0xa4a2 instead of 0x0000, 0x0011, 0x4f50 or 253 others, vendor-id is 0x0525 instead of 0x0403 (the closest of its 66 alternatives).

Interface 2 of configuration 1
    interface 2: keyboard (HID), class 03/01/01
  Now: nobody has it.
  No driver gets it.
  usb-ecm does not match: interface-class is 0x03 instead of 0x02, interface-subclass is 0x01 instead of 0x06, interface-protocol is 0x01 instead of 0x00 \
(the closest of its 3 alternatives).
  usb-serial-ftdi does not match: product-id is 0xa4a2 instead of 0x0000, 0x0011, 0x4f50 or 253 others, vendor-id is 0x0525 instead of 0x0403 (the closest of its 66 alternatives).
"
    );
}

#[test]
fn winners_losers_and_those_not_asked_are_told() {
    let root = Root::new("why-losers");
    root.put("etc/outboard/drivers.d/acme-gigabit.toml", ACME);
    let generic = ACME
        .replace("acme-gigabit", "any-ecm")
        .replace("vendor-id = 0x0525\n", "")
        .replace("= 0x02\n", "= 0x02\ninterface-subclass = 6\ninterface-protocol = 0\n");
    root.put(
        "usr/lib/outboard/drivers.d/any-ecm.toml",
        &generic.replace("family =", "priority = 5\nfamily ="),
    );
    root.put("usr/lib/outboard/drivers.d/any-ecm-old.toml", &generic.replace("any-ecm", "any-ecm-old"));
    root.put("etc/outboard/drivers.d/masked.toml", "");
    root.put("etc/outboard/drivers.d/wrong.toml", "?");
    let taken = [(0, Some("usbfs"), &[][..]), (1, None, &[])];
    assert_eq!(
        shown(&root, &found(vec![ecm(1)], &taken)),
        "\
1-2.3  0525:a4a2  Linux Gadget?[2J, 480 Mbit/s

Interfaces 0, 1 of configuration 1, one function by their Union
    interface 0: Ethernet (ECM), class 02/06/00
    interface 1: CDC data, class 0a/00/00
  Now: a program has interface 0 through usbfs; as root you see which.
  Now: nobody has interface 1.
  acme-gigabit wins: ACME Gigabit Adapter 1.2.0, /etc/outboard/drivers.d/acme-gigabit.toml.
      holds: interface-class 0x02, vendor-id 0x0525 (interface 0)
  any-ecm fits too, but acme-gigabit is more specific: it names vendor-id.
      holds: interface-class 0x02, interface-subclass 0x06, interface-protocol 0x00 (interface 0)
  any-ecm-old fits too, but acme-gigabit is more specific: it names vendor-id.
      holds: interface-class 0x02, interface-subclass 0x06, interface-protocol 0x00 (interface 0)
  usb-ecm fits too, but acme-gigabit is more specific: it names vendor-id.
      holds: interface-class 0x02, interface-subclass 0x06, interface-protocol 0x00 (interface 0)
  usb-serial-ftdi does not match: product-id is 0xa4a2 instead of 0x0000, 0x0011, 0x4f50 or 253 others, vendor-id is 0x0525 instead of 0x0403 (the closest of its 66 alternatives).

masked was not asked: it is masked by /etc/outboard/drivers.d/masked.toml.
wrong was not asked: its manifest is broken (`outboard drivers` tells how).
"
    );
    // Without the winner, priority decides, and then the name.
    root.put("etc/outboard/drivers.d/acme-gigabit.toml", "");
    let text = shown(&root, &found(vec![ecm(1)], &taken));
    let lines: Vec<_> =
        text.lines().filter(|line| line.starts_with("  any") || line.starts_with("  usb-ecm")).collect();
    assert_eq!(
        lines,
        [
            "  any-ecm wins: ACME Gigabit Adapter 1.2.0, /usr/lib/outboard/drivers.d/any-ecm.toml.",
            "  any-ecm-old fits too, but any-ecm is as specific and has priority 5, this one 0.",
            "  usb-ecm fits too, but any-ecm is as specific and has priority 5, this one 0.",
        ]
    );
}

#[test]
fn a_driver_that_refuses_says_why_and_another_configuration_is_nobodys() {
    let root = Root::new("why-refuses");
    let mut rndis = Configuration::new(2);
    rndis.push(AlternateSetting::new(0, 0, class::COMMUNICATIONS, 2, 0xff));
    let mut broken = ecm(1);
    broken.interfaces[1].alternates.truncate(1);
    let text = shown(&root, &found(vec![rndis, broken], &[(0, Some("rndis_host"), &[])]));
    assert_eq!(
        text,
        "\
1-2.3  0525:a4a2  Linux Gadget?[2J, 480 Mbit/s

Interface 0 of configuration 2
    interface 0: Ethernet (RNDIS), class 02/02/ff
  Now: the kernel's driver rndis_host has it.
  No driver gets it.
  usb-ecm does not match: vendor-id is 0x0525 instead of 0x12d1, interface-subclass is 0x02 instead of 0x06 (the closest of its 3 alternatives).
  usb-serial-ftdi does not match: product-id is 0xa4a2 instead of 0x0000, 0x0011, 0x4f50 or 253 others, vendor-id is 0x0525 instead of 0x0403 (the closest of its 66 alternatives).

Interfaces 0, 1 of configuration 1, one function by their Union
    interface 0: Ethernet (ECM), class 02/06/00
    interface 1: CDC data, class 0a/00/00
  Now: nobody has it, its configuration is not the active one.
  No driver gets it.
  usb-ecm matches, but its driver refuses: interface 1: bNumEndpoints has no bulk IN endpoint among them.
      holds: interface-class 0x02, interface-subclass 0x06, interface-protocol 0x00 (interface 0)
  usb-serial-ftdi does not match: product-id is 0xa4a2 instead of 0x0000, 0x0011, 0x4f50 or 253 others, vendor-id is 0x0525 instead of 0x0403 (the closest of its 66 alternatives).
"
    );
}

#[test]
fn a_device_without_interfaces_and_a_broken_configuration_are_told() {
    let root = Root::new("why-empty");
    let mut device = found(vec![ecm(1)], &[]);
    device.descriptors[18] = 8;
    assert_eq!(
        shown(&root, &device),
        "\
1-2.3  0525:a4a2  Linux Gadget?[2J, 480 Mbit/s
A configuration makes no sense and is left out: bLength of a configuration descriptor is 8; it has 9 bytes.
It has no interface that a driver could be for.
"
    );
    device.descriptors.clear();
    assert!(Answer::new(&device, &Drivers::read_below(root.path()), "/nowhere".into()).is_err());
}

#[test]
fn the_json_says_the_same() {
    let root = Root::new("why-json");
    root.put("etc/outboard/drivers.d/acme-gigabit.toml", ACME);
    root.put("etc/outboard/drivers.d/masked.toml", "");
    let drivers = Drivers::read_below(root.path());
    let found = found(vec![composite()], &KERNEL);
    let answer = Answer::new(&found, &drivers, root.path().join("proc")).unwrap();
    let value = json::render(&answer);
    assert_eq!(value["device"], "1-2.3");
    assert_eq!(value["not_asked"][0]["state"], "masked");
    let function = &value["functions"][0];
    assert_eq!(function["joined_by"], "union");
    assert_eq!(function["winner"], "acme-gigabit");
    assert_eq!(function["interfaces"][1], json!({"number": 1, "class": 10, "subclass": 0, "protocol": 0}));
    assert_eq!(
        function["now"],
        json!([{"holder": "kernel", "kernel_driver": "cdc_ether", "processes": [], "interfaces": [0, 1], "networks": ["usb0"]}])
    );
    assert_eq!(function["drivers"][0]["verdict"], "wins");
    assert_eq!(
        function["drivers"][0]["match"]["criteria"][1],
        json!({"criterion": "vendor-id", "wanted": "0x0525", "found": "0x0525", "holds": true})
    );
    assert_eq!(function["drivers"][0]["match"]["alternative"], 1);
    assert_eq!(function["drivers"][1]["verdict"], "fits");
    assert_eq!(function["drivers"][1]["behind"], "less-specific");
    assert_eq!(function["drivers"][1]["criterion"], "vendor-id");
    let keyboard = &value["functions"][1];
    assert_eq!(keyboard["winner"], json!(null));
    assert_eq!(keyboard["now"][0]["holder"], "nobody");
    assert_eq!(keyboard["drivers"][0]["verdict"], "differs");
    assert_eq!(keyboard["drivers"][0]["closest"]["criteria"][0]["holds"], false);
}

#[test]
fn what_attach_and_list_need_follows_from_it() {
    let root = Root::new("why-verdict");
    let mut rndis = Configuration::new(2);
    rndis.push(AlternateSetting::new(0, 0, class::COMMUNICATIONS, 2, 0xff));
    let device = found(vec![rndis, composite()], &[]);
    let verdict = Drivers::read_below(root.path()).look_at(&Seen::from(&device));
    assert_eq!(verdict.driver.as_deref(), Some("usb-ecm"));
    let function = verdict.function.unwrap();
    assert_eq!((function.configuration, function.interfaces), (1, vec![0, 1]));
    assert_eq!(
        verdict.reasons,
        [
            "configuration 1, interfaces 0, 1: Ethernet (ECM), class 02/06/00 (the configuration has to be switched)",
            "configuration 2, interface 0: Ethernet (RNDIS), class 02/02/ff; no driver's manifest matches",
            "configuration 1, interface 2: keyboard (HID), class 03/01/01; no driver's manifest matches",
        ]
    );
    // A program of its own wins: this one cannot run it.
    root.put("etc/outboard/drivers.d/acme-gigabit.toml", ACME);
    let verdict = Drivers::read_below(root.path()).look_at(&Seen::from(&found(vec![ecm(1)], &[])));
    assert_eq!((verdict.driver, verdict.function), (None, None));
    assert_eq!(
        verdict.reasons,
        [
            "configuration 1, interfaces 0, 1: Ethernet (ECM), class 02/06/00; acme-gigabit wins, a program of its own (/usr/libexec/outboard/acme-gigabit)"
        ]
    );
    // Masked, there is no driver.
    root.put("etc/outboard/drivers.d/acme-gigabit.toml", "");
    root.put("etc/outboard/drivers.d/usb-ecm.toml", "");
    let verdict = Drivers::read_below(root.path()).look_at(&Seen::from(&found(vec![ecm(1)], &[])));
    assert_eq!((verdict.driver, verdict.function), (None, None));
}
