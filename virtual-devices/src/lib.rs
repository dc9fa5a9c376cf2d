//! Device-side models: what a USB device answers, for tests, the demo and the lab. They know descriptors and requests, and no driver,
//! no transport and no clock: time is passed in. [`usbip`] alone, which serves them to others, has sockets and timers.
//!
//! A model implements [`DeviceModel`](outboard_core::usb::transport::in_process::DeviceModel) and is plugged into a
//! [`Port`](outboard_core::usb::transport::in_process::Port), which any number of transports can be in front of.
//!
//! ```
//! use outboard_core::usb::descriptor::DeviceDescriptors;
//! use outboard_core::usb::transport::in_process::{DeviceModel, Port};
//! use outboard_virtual_devices::ecm::{EcmDongle, EcmOptions};
//! use outboard_virtual_devices::wire::Tester;
//!
//! let dongle = EcmDongle::new(EcmOptions::default(), Tester::new());
//! let says = DeviceDescriptors::parse_at(&dongle.descriptors(), dongle.speed()).unwrap();
//! assert!(says.findings.is_empty());
//! let port = Port::new(dongle);
//! assert_eq!(port.configuration(), 0);
//! ```

pub mod ecm;
pub mod faulty;
pub mod ftdi;
pub mod host;
pub mod observed;
pub mod usbip;
pub mod wire;
