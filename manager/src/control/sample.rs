//! A picture for tests, with everything in it that a picture can have. It must not know who looks at it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outboard_core::registry::{
    Device, Function, Holder, Instance, Process, Registry, Sandbox, State, Vended,
};

/// When the picture was made.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

/// The picture.
pub(crate) fn registry() -> Registry {
    Registry {
        devices: vec![
            Device {
                name: "1-2".into(),
                vendor_id: 0x0b95,
                product_id: 0x772a,
                manufacturer: Some("ASIX\u{1b}[2J".into()),
                product: Some("AX88772".into()),
                serial: Some("0001".into()),
                functions: vec![
                    function(vec![0, 1], "CDC Ethernet", Some("usb-ecm"), Holder::Outboard(running())),
                    function(vec![2], "mass storage", None, Holder::Kernel("usb-storage".into())),
                ],
            },
            Device {
                name: "1-2.13".into(),
                functions: vec![function(vec![0], "HID", None, Holder::Nobody)],
                manufacturer: None,
                product: None,
                serial: None,
                vendor_id: 0x046d,
                product_id: 0xc077,
            },
            Device {
                name: "usbip://far/1-1".into(),
                vendor_id: 0x0525,
                product_id: 0xa4a1,
                manufacturer: None,
                product: Some("Gadget".into()),
                serial: None,
                functions: vec![function(
                    vec![0, 1],
                    "CDC Ethernet",
                    Some("usb-ecm"),
                    Holder::Outboard(quarantined()),
                )],
            },
        ],
    }
}

fn function(interfaces: Vec<u8>, class: &str, driver: Option<&str>, holder: Holder) -> Function {
    Function { configuration: 1, interfaces, class: class.into(), driver: driver.map(str::to_owned), holder }
}

fn running() -> Instance {
    Instance {
        state: State::Running,
        process: Some(Process {
            id: 1234,
            user: Some(61_184),
            generation: 2,
            sandbox: Some(Sandbox { system_calls: 31, ioctls: 14, landlock: Some(6) }),
        }),
        vends: Some(Vended::Network {
            name: "ecm0".into(),
            mac: "52:54:00:12:34:56".into(),
            mtu: 1500,
            link_up: true,
            down_mbit: 480,
            up_mbit: 480,
        }),
        restarts: 1,
        last_error: Some("it was killed by signal 9".into()),
        since: now() - Duration::from_secs(3725),
        last_recovery: Some(Duration::from_millis(84)),
    }
}

fn quarantined() -> Instance {
    Instance {
        state: State::Quarantined,
        process: None,
        vends: None,
        restarts: 5,
        last_error: Some("it ended with code 9\u{9b}".into()),
        since: now() - Duration::from_secs(42),
        last_recovery: None,
    }
}
