//! Keyboards in a tree of our own.

use std::os::unix::fs::symlink;

use outboard_core::manifest::Joined;
use outboard_core::usb::Speed;
use outboard_core::usb::descriptor::{AlternateSetting, Configuration, DeviceDescriptor};

use super::*;
use crate::testing::Root;

const KEYBOARD: &str = "1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe\n";
const BUTTON: &str = "10000000000000 0\n";

/// An input device below this place.
fn input(root: &Root, number: u32, place: &str, keys: &str) {
    let path = format!("sys/devices/{place}/input/input{number}");
    root.put(&format!("{path}/capabilities/key"), keys);
    fs::create_dir_all(root.path().join("sys/class/input")).unwrap();
    symlink(root.path().join(path), root.path().join(format!("sys/class/input/input{number}"))).unwrap();
}

/// A device with a boot keyboard as interface 0, and something else as interface 1.
pub(crate) fn device(root: &Root, name: &str) -> Found {
    let mut configuration = Configuration::new(1);
    configuration.push(AlternateSetting::new(0, 0, class::HID, 1, 1));
    configuration.push(AlternateSetting::new(1, 0, class::HID, 0, 0));
    let mut other = Configuration::new(2);
    other.push(AlternateSetting::new(0, 0, class::VENDOR, 0, 0));
    let descriptors = DeviceDescriptors::new(DeviceDescriptor::new(1, 2), vec![configuration, other]);
    let bound = |interface| Bound { interface, driver: Some("usbhid".into()), networks: Vec::new() };
    Found {
        name: name.to_owned(),
        bus: 1,
        address: 7,
        vendor_id: 1,
        product_id: 2,
        manufacturer: None,
        product: None,
        serial: None,
        speed: Speed::Full,
        node: "/nowhere".into(),
        sysfs: root.path().canonicalize().unwrap().join("sys/devices/pci0/usb1").join(name),
        configuration: Some(1),
        descriptors: descriptors.to_bytes(Speed::Full),
        drivers: vec![bound(0), bound(1)],
    }
}

fn function(configuration: u8, interfaces: &[u8]) -> Function {
    Function { configuration, interfaces: interfaces.to_vec(), joined: Joined::Alone }
}

fn read(root: &Root) -> Keyboards {
    Keyboards::read(&root.path().join("sys"))
}

#[test]
fn a_function_is_the_last_keyboard_if_it_is_one_and_there_is_no_other() {
    let root = Root::new("keyboards");
    let one = device(&root, "1-2");
    input(&root, 1, "LNXSYSTM:00/button", BUTTON);
    input(&root, 2, "pci0/usb1/1-2/1-2:1.0/0003:0001:0002.0001", KEYBOARD);
    // What a program made, and another function that has no keys yet.
    input(&root, 3, "virtual", KEYBOARD);
    assert_eq!(read(&root).places.len(), 2);
    assert!(read(&root).needs(&one, &function(1, &[0])));
    assert!(!read(&root).needs(&one, &function(1, &[1])));
    // To select another configuration takes it as well.
    assert!(read(&root).needs(&one, &function(2, &[0])));
    // `1-2` is not `1-20`.
    let far = device(&root, "1-20");
    input(&root, 4, "pci0/usb1/1-20/1-20:1.1/0003:0001:0002.0002", KEYBOARD);
    let mut keyboards = read(&root);
    assert!(!keyboards.needs(&one, &function(1, &[0])) && !keyboards.needs(&far, &function(1, &[1])));
    // One is taken, and so the other is the last.
    keyboards.lose(&one, &function(1, &[0]));
    assert!(keyboards.needs(&far, &function(1, &[1])));
    // With the built-in keyboard none is.
    input(&root, 5, "platform/i8042/serio0", KEYBOARD);
    let mut keyboards = read(&root);
    keyboards.lose(&one, &function(1, &[0]));
    assert!(!keyboards.needs(&far, &function(1, &[1])));
}

#[test]
fn what_cannot_be_read_may_be_the_last() {
    let root = Root::new("keyboards-unknown");
    let one = device(&root, "1-2");
    // No input devices at all: the descriptors say that it is a keyboard, and the kernel has it.
    assert!(read(&root).needs(&one, &function(1, &[0])));
    assert!(!read(&root).needs(&one, &function(1, &[1])));
    let mut free = one.clone();
    free.drivers.iter_mut().for_each(|bound| bound.driver = None);
    assert!(!read(&root).needs(&free, &function(1, &[0])));
    root.put("sys/class/input", "no folder");
    assert!(read(&root).unknown && read(&root).needs(&one, &function(1, &[1])));
    // A device without descriptors, and with keys that are none.
    let root = Root::new("keyboards-odd");
    input(&root, 1, "pci0/usb1/1-2/1-2:1.0", "zzz \u{1b} 11111111111111111111111111");
    let bare = Found { descriptors: Vec::new(), ..one };
    assert!(!read(&root).needs(&bare, &function(1, &[0])));
}
