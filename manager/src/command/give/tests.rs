//! What the two commands do and tell, on a machine of our own.

use outboard_core::usb::descriptor::{AlternateSetting, Configuration, DeviceDescriptor, DeviceDescriptors};
use outboard_core::usb::discovery::{Bound, Found};
use outboard_core::usb::{Speed, class};

use super::*;
use crate::command::give_back::{give_back, not_given};
use crate::matching::Drivers;
use crate::testing::Root;

/// A driver for whatever has this class and subclass.
const MANIFEST: &str = r#"
name = "acme-net"
version = "1.0.0"
display-name = "ACME"
usage-description = "Makes a network interface of ACME's adapters."
program = "/usr/libexec/outboard/acme-net"
family = "ethernet"
entitlements = ["transport.usb", "family.ethernet"]
[[match]]
interface-class = [0xff, 0x03]
interface-subclass = 1
"#;

/// Interface 0 is for `acme-net`, interface 1 for nobody, interface 2 a keyboard and for `acme-net` too.
fn device(name: &str, drivers: [Option<&str>; 3]) -> Found {
    let mut configuration = Configuration::new(1);
    configuration.push(AlternateSetting::new(0, 0, class::VENDOR, 1, 0));
    configuration.push(AlternateSetting::new(1, 0, class::VENDOR, 2, 0));
    configuration.push(AlternateSetting::new(2, 0, class::HID, 1, 1));
    let mut other = Configuration::new(2);
    other.push(AlternateSetting::new(0, 0, class::VENDOR, 1, 0));
    let descriptors = DeviceDescriptors::new(DeviceDescriptor::new(0x1209, 1), vec![configuration, other]);
    let bound = |(interface, driver): (u8, &Option<&str>)| Bound {
        interface,
        driver: driver.map(str::to_owned),
        networks: if interface == 0 { vec!["usb0".to_owned()] } else { Vec::new() },
    };
    Found {
        name: name.to_owned(),
        bus: 1,
        address: 7,
        vendor_id: 0x1209,
        product_id: 1,
        manufacturer: None,
        product: None,
        serial: None,
        speed: Speed::Full,
        node: "/nowhere".into(),
        sysfs: format!("/nowhere/{name}").into(),
        configuration: Some(1),
        descriptors: descriptors.to_bytes(Speed::Full),
        drivers: (0..).zip(&drivers).map(bound).collect(),
    }
}

struct Bench {
    root: Root,
    machine: Machine,
}

impl Bench {
    fn new(test: &str) -> Self {
        let root = Root::new(test);
        root.put("etc/outboard/drivers.d/acme-net.toml", MANIFEST);
        let machine = Machine {
            drivers: Drivers::read_below(root.path()),
            proc: root.path().join("proc"),
            sysfs: root.path().join("sys"),
        };
        Self { root, machine }
    }

    fn give(&self, text: &str, devices: &[Found]) -> (String, Value) {
        let rule: Rule = text.parse().unwrap();
        let (before, given) = give(self.root.path(), &rule).unwrap();
        let outlook = self.machine.outlook(devices, &given, &rule);
        let (changed, before) = (before.is_none(), before.as_ref());
        let told = Told {
            verb: "give",
            rule: &rule,
            changed,
            before,
            change: Change::Given,
            notice: self.machine.notice(&rule),
        };
        (told.text(Ok(&outlook)), told.json(Ok(&outlook)))
    }

    fn give_back(&self, text: &str, devices: &[Found]) -> Result<(String, Value), Failure> {
        let rule: Rule = text.parse().unwrap();
        let (was, given) = give_back(self.root.path(), &rule).unwrap();
        if !was {
            return Err(not_given(&self.machine, devices, &given, &rule));
        }
        let outlook = self.machine.outlook(devices, &given, &rule);
        let told = Told {
            verb: "return",
            rule: &rule,
            changed: true,
            before: None,
            change: Change::Returned,
            notice: None,
        };
        Ok((told.text(Ok(&outlook)), told.json(Ok(&outlook))))
    }
}

#[test]
fn what_is_given_is_told_for_each_function() {
    let bench = Bench::new("give-told");
    let devices = [device("1-2", [Some("cdc_ether"), None, Some("usbhid")]), device("1-3", [None; 3])];
    let (text, json) = bench.give("1209:1", &devices);
    assert_eq!(
        text,
        "\
1209:0001 is given.
  1-2 interface 0 (vendor-specific, class ff/01/00): cdc_ether has it now, as network interface usb0; the manager starts acme-net for it at once if it runs.
  1-2 interface 1 (vendor-specific, class ff/02/00): no driver of Outboard gets it (`outboard why` tells why); nothing changes.
  1-2 interface 2 (keyboard (HID), class 03/01/01): stays as it is. It is the last keyboard of this machine, and 1209:0001 does not name the place where it is plugged in. Give that place, if you can do without it.
  1-3 interface 0 (vendor-specific, class ff/01/00): nobody has it now; the manager starts acme-net for it at once if it runs.
  1-3 interface 1 (vendor-specific, class ff/02/00): no driver of Outboard gets it (`outboard why` tells why); nothing changes.
  1-3 interface 2 (keyboard (HID), class 03/01/01): nobody has it now; the manager starts acme-net for it at once if it runs.
"
    );
    assert_eq!(json["changed"], true);
    let decisions: Vec<&Value> =
        json["functions"].as_array().unwrap().iter().map(|one| &one["decision"]).collect();
    assert_eq!(json!(decisions), json!(["take", null, "leave", "take", null, "take"]));
    let (text, json) = bench.give("1-2#2", &devices);
    assert!(
        text.contains(
            "1-2 interface 2 (keyboard (HID), class 03/01/01): usbhid has it now; the manager starts"
        ),
        "{text}"
    );
    assert_eq!(json["functions"].as_array().unwrap().len(), 1);
    let (text, json) = bench.give("1-2#2", &devices);
    assert!(text.starts_with("1-2#2 was given already, since 20"), "{text}");
    assert_eq!(json["changed"], false);
    let (text, json) = bench.give("driver=usb-emc", &devices);
    assert!(
        text.contains("\n  There is no driver usb-emc now; `outboard drivers` shows those there are.\n"),
        "{text}"
    );
    assert!(json["notice"].is_string());
    let (text, _) = bench.give("driver=usb-ecm", &devices);
    assert_eq!(
        text,
        "driver=usb-ecm is given.\n  Nothing is attached that it means. It counts as soon as one is plugged in.\n"
    );
}

#[test]
fn what_is_taken_back_is_told_too() {
    let bench = Bench::new("give-back");
    let devices = [device("1-2", [Some("cdc_ether"), None, None])];
    for rule in ["1-2", "1209:1#0"] {
        bench.give(rule, &devices);
    }
    let (text, _) = bench.give_back("1-2", &devices).unwrap();
    assert_eq!(
        text,
        "\
1-2 is given no more.
  1-2 interface 0 (vendor-specific, class ff/01/00): still given by 1209:0001#0.
  1-2 interface 1 (vendor-specific, class ff/02/00): no driver of Outboard gets it (`outboard why` tells why); nothing changes.
  1-2 interface 2 (keyboard (HID), class 03/01/01): no driver of the kernel serves it, so that acme-net gets it all the same.
"
    );
    let failure = bench.give_back("1-2", &devices).unwrap_err();
    assert_eq!(failure.to_string(), "1-2 was not given");
    assert_eq!(
        failure.hint().unwrap(),
        "What it means is given by 1209:0001#0; take that back instead: outboard return 1209:0001#0"
    );
    let (text, json) = bench.give_back("1209:1#0", &devices).unwrap();
    assert!(
        text.ends_with("stays as it is. The kernel's driver cdc_ether serves it, and it was not given.\n"),
        "{text}"
    );
    assert_eq!((&json["changed"], &json["functions"][0]["decision"]), (&json!(true), &json!("leave")));
    assert_eq!(bench.give_back("1-2", &devices).unwrap_err().hint(), Some("`outboard give` shows what was."));
}

#[test]
fn a_device_that_outboard_has_is_kept_or_returned() {
    let bench = Bench::new("give-ours");
    // The driver's program has the node open.
    for file in ["usr/libexec/outboard/acme-net", "dev/bus/usb/001/007"] {
        bench.root.put(file, file);
    }
    let root = bench.root.path();
    std::fs::create_dir_all(root.join("proc/70/fd")).unwrap();
    std::fs::write(root.join("proc/70/comm"), "acme-net\n").unwrap();
    std::fs::create_dir_all(root.join("proc/self")).unwrap();
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(root.join(to), root.join(at)).unwrap();
    link("usr/libexec/outboard/acme-net", "proc/self/exe");
    link("usr/libexec/outboard/acme-net", "proc/70/exe");
    link("dev/bus/usb/001/007", "proc/70/fd/3");
    let mut found = device("1-2", [Some("usbfs"), None, None]);
    found.node = root.join("dev/bus/usb/001/007");
    let devices = [found];
    let (text, json) = bench.give("1-2#0", &devices);
    assert!(text.ends_with("Outboard has it already; it stays acme-net's.\n"), "{text}");
    assert_eq!(json["functions"][0]["decision"], "keep");
    bench.give("1209:1", &devices);
    let (text, json) = bench.give_back("1-2#0", &devices).unwrap();
    assert!(text.ends_with("Outboard has it, and it is still given by 1209:0001.\n"), "{text}");
    assert_eq!(json["functions"][0]["decision"], "keep");
    let (text, json) = bench.give_back("1209:1", &devices).unwrap();
    let ends = "Outboard has it; the manager ends acme-net at once if it runs, and the kernel's driver gets it, if there is one.\n";
    assert!(text.lines().nth(1).is_some_and(|line| line.ends_with(ends.trim_end())), "{text}");
    assert_eq!(json["functions"][0]["decision"], "return");
}

#[test]
fn the_list_has_dates_and_users() {
    assert_eq!(
        list_text(&Given::default()),
        "Nothing is given: Outboard takes only what no driver of the kernel serves.\n"
    );
    let mut given = Given::default();
    for (rule, at, by) in [("1-2.3", 1_795_590_279, 0), ("driver=usb-ecm", 951_782_400, 1000)] {
        given.add(Entry { rule: rule.parse().unwrap(), at, by }).unwrap();
    }
    assert_eq!(
        list_text(&given),
        "\
1-2.3                    since 2026-11-25 07:04 UTC, by root
driver=usb-ecm           since 2000-02-29 00:00 UTC, by user 1000
"
    );
    assert_eq!(
        list_json(&given)["given"][1],
        json!({"rule": "driver=usb-ecm", "at": 951_782_400, "by": 1000})
    );
    // Any number is some date.
    let dates = [
        (0, "1970-01-01 00:00 UTC"),
        (4_107_542_399, "2100-02-28 23:59 UTC"),
        (4_107_542_400, "2100-03-01 00:00 UTC"),
    ];
    assert!(dates.into_iter().all(|(at, expected)| date(at) == expected));
    assert!(date(i64::MAX as u64).ends_with("UTC"));
}

#[test]
fn another_configuration_is_only_looked_at_if_the_active_one_gets_no_driver() {
    let bench = Bench::new("give-configuration");
    let mut found = device("1-2", [None; 3]);
    found.configuration = Some(2);
    found.drivers.truncate(1);
    let (_, json) = bench.give("1-2", std::slice::from_ref(&found));
    let configurations = |json: &Value| -> Vec<Value> {
        json["functions"].as_array().unwrap().iter().map(|one| one["configuration"].clone()).collect()
    };
    assert_eq!(configurations(&json), [2]);
    // The kernel selected one that is for nobody.
    let mut nobodys = Configuration::new(3);
    nobodys.push(AlternateSetting::new(0, 0, class::VENDOR, 9, 0));
    let mut descriptors = DeviceDescriptors::parse_at(&found.descriptors, Speed::Full).unwrap();
    descriptors.configurations.insert(0, nobodys);
    found.descriptors = descriptors.to_bytes(Speed::Full);
    found.configuration = Some(3);
    let (text, json) = bench.give("1-2", &[found]);
    assert_eq!(configurations(&json), [1, 1, 1]);
    assert!(
        text.contains("configuration 1 has to be selected for it; the manager starts acme-net"),
        "{text}"
    );
}
