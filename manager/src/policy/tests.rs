//! The decision by a table, and over several functions.

use outboard_core::manifest::Joined;

use super::*;

fn holding(holder: Holder) -> Holding {
    Holding { holder, interfaces: vec![0], networks: Vec::new() }
}

fn process() -> Vec<Process> {
    vec![Process { id: 50, name: "g\u{1b}db".to_owned() }]
}

fn decided(holders: &[Holder], given: Option<&str>, last_keyboard: bool) -> String {
    let holdings: Vec<Holding> = holders.iter().cloned().map(holding).collect();
    let rule: Option<Rule> = given.map(|text| text.parse().unwrap());
    match decide(&Situation { holdings: &holdings, given: rule.as_ref(), last_keyboard }) {
        Decision::Take(why) => format!("take: {why}"),
        Decision::Leave(reason) => format!("leave: {reason}"),
    }
}

#[test]
fn what_nobody_serves_and_what_was_given_is_taken() {
    let kernel = |name: &str| Holder::Kernel(name.to_owned());
    let ether = kernel("cdc_ether");
    let broad = Some("driver=usb-hid");
    let last = "leave: It is the last keyboard of this machine, and driver=usb-hid does not name the place where it is plugged in. Give that \
                place, if you can do without it.";
    let table: [(&[Holder], Option<&str>, bool, &str); 17] = [
        (&[], None, false, "take: no driver of the kernel serves it"),
        (&[Holder::Nobody], None, false, "take: no driver of the kernel serves it"),
        (&[Holder::Nobody], Some("1-2"), false, "take: 1-2 was given"),
        // A keyboard that nobody serves is of no use to anybody.
        (&[Holder::Nobody], None, true, "take: no driver of the kernel serves it"),
        (
            std::slice::from_ref(&ether),
            None,
            false,
            "leave: The kernel's driver cdc_ether serves it, and it was not given.",
        ),
        (
            &[ether.clone(), Holder::Nobody],
            None,
            false,
            "leave: The kernel's driver cdc_ether serves it, and it was not given.",
        ),
        (
            &[ether.clone(), ether.clone(), kernel("x")],
            Some("1-2#1"),
            false,
            "take: 1-2#1 was given; it is taken from cdc_ether, x",
        ),
        (
            std::slice::from_ref(&ether),
            Some("0525:a4a2"),
            false,
            "take: 0525:a4a2 was given; it is taken from cdc_ether",
        ),
        (
            &[kernel("usbhid")],
            None,
            true,
            "leave: The kernel's driver usbhid serves it, and it was not given.",
        ),
        (&[kernel("usbhid")], broad, false, "take: driver=usb-hid was given; it is taken from usbhid"),
        (&[kernel("usbhid")], broad, true, last),
        (&[kernel("usbhid")], Some("1-2"), true, "take: 1-2 was given; it is taken from usbhid"),
        (
            &[Holder::Inactive],
            None,
            false,
            "leave: It is part of a configuration that is not the active one, and it was not given.",
        ),
        (&[Holder::Inactive], Some("1-2"), false, "take: 1-2 was given"),
        (
            &[Holder::Program(process())],
            Some("1-2"),
            false,
            "leave: Another program has it through usbfs: g?db (process 50). End that first.",
        ),
        (
            &[Holder::Program(Vec::new()), ether.clone()],
            Some("1-2"),
            false,
            "leave: A program has it through usbfs. It has to let go of it first; as root you see which.",
        ),
        (&[Holder::Outboard(process())], None, false, "leave: Outboard has it already: g?db (process 50)."),
    ];
    for (holders, given, last_keyboard, expected) in table {
        assert_eq!(decided(holders, given, last_keyboard), expected);
    }
    for by_specimen in ["0525:a4a2", "0525:a4a2:A", "serial=A"] {
        assert!(decided(&[kernel("usbhid")], Some(by_specimen), true).starts_with("leave: It is the last"));
    }
}

#[test]
fn a_rule_that_gives_all_keyboards_leaves_the_last() {
    let root = crate::testing::Root::new("policy-keyboards");
    let keys = "fffffffffffffffe";
    for (number, name) in [(1, "1-1"), (2, "1-2")] {
        let path = format!("sys/devices/pci0/usb1/{name}/{name}:1.0/input/input{number}");
        root.put(&format!("{path}/capabilities/key"), keys);
        std::fs::create_dir_all(root.path().join("sys/class/input")).unwrap();
        let link = root.path().join(format!("sys/class/input/input{number}"));
        std::os::unix::fs::symlink(root.path().join(path), link).unwrap();
    }
    let devices = ["1-1", "1-2"].map(|name| keyboards::tests::device(&root, name));
    let function = Function { configuration: 1, interfaces: vec![0], joined: Joined::Alone };
    let holdings = [holding(Holder::Kernel("usbhid".to_owned()))];
    let takes = |rules: &[&str]| {
        let mut given = Given::default();
        for rule in rules {
            given.add(given::Entry { rule: rule.parse().unwrap(), at: 0, by: 0 }).unwrap();
        }
        let mut policy = Policy::new(&given, Keyboards::read(&root.path().join("sys")));
        let decide = |found| policy.decide(found, &function, "usb-hid", &holdings);
        devices.each_ref().map(decide).map(|decision| matches!(decision, Decision::Take(_)))
    };
    assert_eq!(takes(&[]), [false, false]);
    assert_eq!(takes(&["driver=usb-hid"]), [true, false]);
    assert_eq!(takes(&["0001:0002"]), [true, false]);
    assert_eq!(takes(&["driver=usb-hid", "1-2"]), [true, true]);
    assert_eq!(takes(&["1-2"]), [false, true]);
}
