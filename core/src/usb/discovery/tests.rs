//! Discovery in a tree of our own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::*;
use crate::queue::{self, Clock, DispatchQueue};

/// A tree like the kernel's, removed with the value.
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn new(test: &str) -> Self {
        let root = std::env::temp_dir().join(format!("outboard-discovery-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("sys/bus/usb/devices")).unwrap();
        fs::create_dir_all(root.join("dev/bus/usb")).unwrap();
        Self { root }
    }

    fn roots(&self) -> Roots {
        Roots { sysfs: self.root.join("sys"), devices: self.root.join("dev") }
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.root.join("sys/devices").join(name)
    }

    fn set(&self, name: &str, attribute: &str, content: impl AsRef<[u8]>) {
        fs::write(self.directory(name).join(attribute), content).unwrap();
    }

    fn plug(&self, name: &str, bus: u16, address: u16, ids: (&str, &str)) {
        let directory = self.directory(name);
        fs::create_dir_all(&directory).unwrap();
        for (attribute, value) in [
            ("busnum", bus.to_string()),
            ("devnum", address.to_string()),
            ("idVendor", ids.0.to_owned()),
            ("idProduct", ids.1.to_owned()),
            ("speed", "480".to_owned()),
            ("bConfigurationValue", "1".to_owned()),
        ] {
            self.set(name, attribute, format!("{value}\n"));
        }
        symlink(&directory, self.link(name)).unwrap();
    }

    fn unplug(&self, name: &str) {
        fs::remove_file(self.link(name)).unwrap();
        fs::remove_dir_all(self.directory(name)).unwrap();
    }

    fn link(&self, name: &str) -> PathBuf {
        self.root.join("sys/bus/usb/devices").join(name)
    }

    fn bind(&self, name: &str, interface: &str, number: &str, driver: Option<&str>, networks: &[&str]) {
        let directory = self.directory(name).join(interface);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("bInterfaceNumber"), format!("{number}\n")).unwrap();
        if let Some(driver) = driver {
            symlink(Path::new("../../../bus/usb/drivers").join(driver), directory.join("driver")).unwrap();
        }
        for network in networks {
            fs::create_dir_all(directory.join("net").join(network)).unwrap();
        }
        symlink(&directory, self.link(interface)).unwrap();
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

#[test]
fn a_device_is_read_with_everything_the_kernel_knows_of_it() {
    let tree = Tree::new("whole");
    tree.plug("1-2.3", 1, 7, ("0525", "a4a2"));
    tree.set("1-2.3", "manufacturer", "Linux\n");
    tree.set("1-2.3", "product", b"Gadg\xFFet\n");
    tree.set("1-2.3", "serial", "\n");
    tree.set("1-2.3", "descriptors", [18, 1, 0, 2]);
    tree.bind("1-2.3", "1-2.3:1.1", "01", Some("cdc_ether"), &[]);
    tree.bind("1-2.3", "1-2.3:1.0", "00", Some("cdc_ether"), &["usb0"]);
    tree.bind("1-2.3", "1-2.3:1.10", "0a", None, &[]);
    let found = tree.roots().scan().unwrap();
    let bound = |interface, driver: Option<&str>, networks: &[&str]| Bound {
        interface,
        driver: driver.map(str::to_owned),
        networks: networks.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(
        found,
        [Found {
            name: "1-2.3".into(),
            bus: 1,
            address: 7,
            vendor_id: 0x0525,
            product_id: 0xa4a2,
            manufacturer: Some("Linux".into()),
            product: Some("Gadg\u{fffd}et".into()),
            serial: None,
            speed: Speed::High,
            node: tree.root.join("dev/bus/usb/001/007"),
            sysfs: tree.directory("1-2.3").canonicalize().unwrap(),
            configuration: Some(1),
            descriptors: vec![18, 1, 0, 2],
            drivers: vec![
                bound(0, Some("cdc_ether"), &["usb0"]),
                bound(1, Some("cdc_ether"), &[]),
                bound(10, None, &[]),
            ],
        }]
    );
}

#[test]
fn only_devices_are_listed_in_the_order_of_their_ports() {
    let tree = Tree::new("order");
    for (address, name) in ["1-10", "2-1", "1-2.1", "1-2"].into_iter().enumerate() {
        tree.plug(name, 1, address as u16 + 2, ("1d6b", "0002"));
    }
    tree.plug("usb1", 1, 1, ("1d6b", "0002"));
    tree.bind("1-2", "1-2:1.0", "00", Some("hub"), &[]);
    let names: Vec<_> = tree.roots().scan().unwrap().into_iter().map(|found| found.name).collect();
    assert_eq!(names, ["1-2", "1-2.1", "1-10", "2-1"]);
}

#[test]
fn a_device_that_vanishes_while_it_is_read_is_left_out() {
    let tree = Tree::new("vanishing");
    tree.plug("1-1", 1, 2, ("1111", "2222"));
    // A link whose device has just gone; directories that lose what they need.
    symlink(tree.directory("gone"), tree.link("1-9")).unwrap();
    for (name, attribute) in [("1-2", "devnum"), ("1-3", "busnum"), ("1-4", "idVendor"), ("1-5", "idProduct")]
    {
        tree.plug(name, 1, 3, ("3333", "4444"));
        fs::remove_file(tree.directory(name).join(attribute)).unwrap();
    }
    tree.plug("1-6", 1, 9, ("what", "ever"));
    let names: Vec<_> = tree.roots().scan().unwrap().into_iter().map(|found| found.name).collect();
    assert_eq!(names, ["1-1"]);
}

#[test]
fn what_a_device_says_is_bounded_and_what_is_missing_is_replaced() {
    let tree = Tree::new("bounded");
    tree.plug("1-1", 1, 2, ("1111", "2222"));
    tree.set("1-1", "product", "x".repeat(1 << 20));
    tree.set("1-1", "descriptors", vec![9; 1 << 20]);
    tree.set("1-1", "speed", "unknown\n");
    tree.set("1-1", "bConfigurationValue", "\n");
    // Sysfs has none here, the node has them.
    tree.plug("1-2", 1, 3, ("1111", "2222"));
    fs::create_dir_all(tree.root.join("dev/bus/usb/001")).unwrap();
    fs::write(tree.root.join("dev/bus/usb/001/003"), [18, 1]).unwrap();
    tree.plug("1-3", 1, 4, ("1111", "2222"));
    let found = tree.roots().scan().unwrap();
    assert_eq!(found[0].product.as_ref().unwrap().len(), 1024);
    assert_eq!(found[0].descriptors.len(), 256 * 1024);
    assert_eq!((found[0].speed, found[0].configuration), (Speed::Full, None));
    assert_eq!(found[1].descriptors, [18, 1]);
    assert_eq!(found[2].descriptors, []);
}

#[test]
fn a_kernel_without_usb_is_said_to_be_one() {
    let tree = Tree::new("none");
    fs::remove_dir(tree.root.join("sys/bus/usb/devices")).unwrap();
    let error = tree.roots().scan().unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
    assert!(error.to_string().contains("the kernel has no USB support loaded"), "{error}");
}

#[test]
fn selectors_are_places_or_ids() {
    for (text, expected) in [
        ("1-2.3", Ok(Selector::Place("1-2.3".into()))),
        (" 12-1\n", Ok(Selector::Place("12-1".into()))),
        ("0525:a4a2", Ok(Selector::Ids { vendor_id: 0x0525, product_id: 0xa4a2 })),
        ("525:A4A2", Ok(Selector::Ids { vendor_id: 0x0525, product_id: 0xa4a2 })),
        ("", Err(())),
        ("usb1", Err(())),
        ("1-", Err(())),
        ("-1", Err(())),
        ("1-2.", Err(())),
        ("1-+2", Err(())),
        ("1-2:1.0", Err(())),
        ("+525:a4a2", Err(())),
        ("0525:", Err(())),
        ("00525:a4a2", Err(())),
        ("99999-1", Err(())),
    ] {
        assert_eq!(Selector::parse(text).map_err(|_| ()), expected, "{text:?}");
    }
    let error = Selector::parse("eth0").unwrap_err();
    assert!(error.to_string().starts_with("'eth0' names no device"), "{error}");
}

#[test]
fn one_device_is_selected_or_it_is_said_why_not() {
    let tree = Tree::new("select");
    tree.plug("1-1", 1, 2, ("0403", "6001"));
    tree.plug("1-2", 1, 3, ("0403", "6001"));
    tree.plug("1-3", 1, 4, ("0525", "a4a2"));
    let found = tree.roots().scan().unwrap();
    let pick = |text: &str| {
        let selector = Selector::parse(text).unwrap();
        select(&found, &selector).map(|device| device.name.as_str()).map_err(|error| error.to_string())
    };
    assert_eq!(pick("0525:a4a2"), Ok("1-3"));
    assert_eq!(pick("1-2"), Ok("1-2"));
    assert_eq!(pick("403:6001"), Err("2 devices are 0403:6001: 1-1, 1-2".into()));
    assert_eq!(pick("2-1"), Err("no device is attached that is 2-1".into()));
}

#[test]
fn arrivals_and_departures_are_each_told_once_also_without_events() {
    let tree = Tree::new("watch");
    let roots = tree.roots();
    tree.plug("1-1", 1, 2, ("1111", "2222"));
    let told = DispatchQueue::run("watch", Clock::Virtual, |_| async {
        let mut watch = Watch::new(roots, false);
        let mut told = Vec::new();
        let tell = |event: Event| match event {
            Event::Arrived(found) => format!("+{}/{}", found.name, found.address),
            Event::Departed(found) => format!("-{}/{}", found.name, found.address),
        };
        told.push(tell(watch.next().await));
        // Nothing changes: nothing is told, however often it looks; and stopping to wait loses nothing.
        assert!(tokio::time::timeout(RESCAN * 100, watch.next()).await.is_err());
        let begin = queue::now();
        tree.plug("1-2", 1, 3, ("1111", "2222"));
        told.push(tell(watch.next().await));
        assert!(queue::now() - begin <= RESCAN);
        // Plugged in again before anybody looked: another address says so.
        tree.unplug("1-2");
        tree.plug("1-2", 1, 4, ("1111", "2222"));
        tree.unplug("1-1");
        for _ in 0..3 {
            told.push(tell(watch.next().await));
        }
        // The whole tree goes with the kernel's module.
        fs::remove_dir_all(tree.root.join("sys")).unwrap();
        told.push(tell(watch.next().await));
        told
    });
    assert_eq!(told.unwrap(), ["+1-1/2", "+1-2/3", "-1-1/2", "-1-2/3", "+1-2/4", "-1-2/4"]);
}

#[test]
fn watching_works_whether_or_not_the_system_sends_events() {
    let tree = Tree::new("events");
    let roots = tree.roots();
    tree.plug("1-1", 1, 2, ("1111", "2222"));
    let first = DispatchQueue::run("watch", Clock::Real, |_| async {
        // The socket may be refused here, or stay silent.
        Watch::new(roots, true).next().await
    });
    assert!(matches!(first.unwrap(), Event::Arrived(found) if found.name == "1-1"));
}
