//! The devices that a server offers, and who has which. It must not know connections.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use outboard_core::usb::descriptor::{DeviceDescriptor, DeviceDescriptors};
use outboard_core::usb::transport::in_process::{DeviceModel, Port};
use outboard_core::usb::usbip::operation::{self, Exported, Status};
use outboard_core::usb::usbip::speed_code;

/// A device in its port.
pub(super) type AnyPort = Port<Box<dyn DeviceModel>>;

/// The devices on offer. Clones are the same set; it lives on one thread, as its devices do.
#[derive(Clone, Default)]
pub struct Exports {
    shared: Rc<RefCell<Vec<Export>>>,
}

struct Export {
    about: Exported,
    /// Absent while a client has it.
    port: Option<AnyPort>,
}

/// Devices on a bus: 127 addresses (USB 2.0, 8.3.2.1), the first of which the root hub has.
const PORTS: u32 = 126;

impl Exports {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Plugs a device in. Returns its bus id: `1-1` for the first, `1-2` for the second.
    ///
    /// Whoever wants to reach the model later adds an `Rc<RefCell<M>>` and keeps a clone.
    pub fn add(&self, model: impl DeviceModel + 'static) -> String {
        let mut all = self.shared.borrow_mut();
        let count = all.len() as u32;
        let (bus, port) = (1 + count / PORTS, 1 + count % PORTS);
        let bus_id = format!("{bus}-{port}");
        let speed = model.speed();
        let descriptors = model.descriptors();
        // A device may be as broken as a test wants it.
        let device = DeviceDescriptor::parse(&descriptors).unwrap_or(DeviceDescriptor::new(0, 0));
        let configurations = DeviceDescriptors::parse_at(&descriptors, speed).map(|all| all.configurations);
        // No host has selected a configuration; a list is for people who want to see what they would get.
        let interfaces = configurations
            .iter()
            .flatten()
            .take(1)
            .flat_map(|first| &first.interfaces)
            .filter_map(|interface| interface.alternates.first())
            .map(|setting| [setting.class, setting.subclass, setting.protocol])
            .collect();
        let about = Exported {
            path: format!("/outboard/virtual/{bus_id}"),
            bus_id: bus_id.clone(),
            bus,
            device: port + 1,
            speed: speed_code(speed),
            vendor_id: device.vendor_id,
            product_id: device.product_id,
            release: device.device_version,
            class: [device.class, device.subclass, device.protocol],
            configuration: 0,
            configurations: device.num_configurations,
            interfaces,
        };
        all.push(Export { about, port: Some(Port::new(Box::new(model))) });
        bus_id
    }

    /// What is on offer, in use or not.
    pub fn list(&self) -> Vec<Exported> {
        self.shared.borrow().iter().map(|export| export.about.clone()).collect()
    }

    /// Whether a client has the device.
    pub fn is_taken(&self, bus_id: &str) -> bool {
        let all = self.shared.borrow();
        all.iter().any(|export| export.about.bus_id == bus_id && export.port.is_none())
    }

    /// The answer to OP_REQ_DEVLIST. Like the kernel's `usbipd` it leaves out what a client has.
    pub(super) fn answer_list(&self) -> Vec<u8> {
        let all = self.shared.borrow();
        let free: Vec<_> =
            all.iter().filter(|export| export.port.is_some()).map(|export| &export.about).collect();
        operation::list_answer(free.into_iter())
    }

    /// Hands a device out.
    pub(super) fn take(&self, bus_id: &[u8]) -> Result<(Exported, AnyPort), Status> {
        let mut all = self.shared.borrow_mut();
        let export = all.iter_mut().find(|export| export.about.bus_id.as_bytes() == bus_id);
        let export = export.ok_or(Status::NoDevice)?;
        let port = export.port.take().ok_or(Status::Busy)?;
        Ok((export.about.clone(), port))
    }

    /// Takes a device back.
    pub(super) fn give_back(&self, bus_id: &str, port: AnyPort) {
        let mut all = self.shared.borrow_mut();
        if let Some(export) = all.iter_mut().find(|export| export.about.bus_id == bus_id) {
            export.port = Some(port);
        }
    }
}

impl fmt::Debug for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.shared.borrow();
        let ids = all.iter().map(|export| (&export.about.bus_id, export.port.is_none()));
        f.debug_map().entries(ids).finish()
    }
}
