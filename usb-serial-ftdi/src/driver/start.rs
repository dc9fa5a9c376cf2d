//! The start: what the device is, which ports it has, and one port's claim and pipes. It ends where the first byte begins.

use std::rc::Rc;

use outboard_core::family::serial::SerialPort;
use outboard_core::service::Context;
use outboard_core::source::Drained;
use outboard_core::usb::Device;
use outboard_core::{Error, ErrorKind, Result};

use super::data_path::DataPath;
use super::{FtdiDriver, Provider, Vended};
use crate::machine::{Machine, Overlay, Parameters};
use crate::proto::chip::Chip;
use crate::proto::function::{self, Candidate, Port};
use crate::proto::quirks::Quirks;
use crate::proto::request::Channel;

/// A device with an FTDI chip, looked at: what it is and which ports it has. Nothing is claimed yet.
#[derive(Debug, Clone)]
pub struct Adapter {
    pub(super) device: Device,
    /// The chip.
    pub chip: Chip,
    /// Its serial ports; at least one.
    pub ports: Vec<Port>,
    /// Its serial number, if it has one; safe to show.
    pub serial: Option<String>,
    /// Its own name, if it has one; safe to show.
    pub product: Option<String>,
    pub(super) quirks: Quirks,
    /// Interfaces that it has, ports or not.
    interfaces: usize,
}

impl Adapter {
    /// Looks at a device. That its ids are known is not asked: whoever calls this has decided that it is one.
    ///
    /// # Errors
    /// NotFound: none of its interfaces is a serial port. Unplugged, TimedOut.
    pub async fn open(device: Device) -> Result<Self> {
        let descriptor = device.descriptors().device;
        let (vendor, product_id) = (descriptor.vendor_id, descriptor.product_id);
        let mut strings = [None, None, None];
        let indices = [descriptor.manufacturer, descriptor.product, descriptor.serial_number];
        for (string, index) in strings.iter_mut().zip(indices) {
            let Some(index) = index else { continue };
            match device.string(index).await {
                Ok(text) => *string = Some(text).filter(|text| !text.is_empty()),
                Err(error) if is_final(&error) => return Err(error),
                Err(_) => {}
            }
        }
        let [manufacturer, product, serial] = strings;
        let mut quirks = Quirks::of(vendor, product_id);
        if Quirks::depend_on_names(vendor, product_id) {
            quirks = quirks.with_names(manufacturer.as_deref(), product.as_deref());
        }
        let active = device.configuration();
        if active == 0 {
            let first = device.descriptors().configurations.first().map_or(1, |first| first.value);
            device.set_configuration(first).await?;
        }
        let candidates = function::find(device.descriptors(), &quirks, Some(device.configuration()));
        let ports: Vec<Port> = candidates.iter().filter_map(|candidate| candidate.verdict.ok()).collect();
        if ports.is_empty() {
            let reasons: Vec<_> = candidates.iter().map(Candidate::to_string).collect();
            let error = Error::new(ErrorKind::NotFound, "look for an FTDI serial port", reasons.join("; "));
            return Err(error.device(device.name()));
        }
        let mut chip = function::chip(device.descriptors());
        let has_serial = descriptor.serial_number.is_some();
        if Chip::may_be_bm(descriptor.device_version, has_serial) {
            match device.request_in(Channel(0).get_latency()).await {
                Ok(_) => chip = Chip::Bm,
                Err(error) if is_final(&error) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(Self { device, chip, ports, serial, product, quirks, interfaces: candidates.len() })
    }

    /// What is known of a port when its end on the host has to be made.
    fn vended(&self, port: Port) -> Vended {
        let interface = (self.interfaces > 1).then_some(port.interface);
        Vended {
            name: function::port_name(self.serial.as_deref(), self.device.name(), interface),
            chip: self.chip,
            serial: self.serial.clone(),
            product: self.product.clone(),
            device: self.device.name().to_owned(),
            interface: port.interface,
        }
    }
}

pub(super) async fn start<P: SerialPort + 'static>(
    context: &Context<FtdiDriver<P>>,
    provider: Provider<P>,
) -> Result<FtdiDriver<P>> {
    let Provider { adapter, port, vend, watch, overlay } = provider;
    let Adapter { device, chip, quirks, interfaces, .. } = &adapter;
    let interface = Rc::new(device.interface(port.interface)?);
    if !quirks.reason.is_empty() {
        tracing::info!(device = device.name(), interface = port.interface, "{}", quirks.reason);
    }
    let overlay = Overlay { latency: overlay.latency.map(|latency| latency.max(1)), ..overlay };
    let machine = Machine::new(Parameters {
        chip: *chip,
        channel: port.channel,
        quirks: *quirks,
        overlay,
        may_reset: *interfaces == 1,
    });
    let end = vend(&adapter.vended(port))?;
    let path = DataPath::open(context, &interface, &port, *chip, end)?;
    let timer = context.timer(|driver: &mut FtdiDriver<P>| driver.time());
    if let Some(fd) = path.port.readiness() {
        // The context keeps it.
        context.interrupt_source(fd, |driver: &mut FtdiDriver<P>| {
            driver.serve();
            Drained::Yes
        })?;
    }
    let gone = device.clone();
    context.spawn(async move { gone.gone().await }, |driver, ()| driver.unplugged());
    let (device, chip) = (device.clone(), *chip);
    let mut driver = FtdiDriver {
        context: context.clone(),
        device,
        interface,
        chip,
        ids: port,
        machine,
        path,
        timer,
        watch,
        told: None,
        applied: None,
    };
    driver.tell();
    // What was asked before anybody watched the port.
    driver.serve();
    Ok(driver)
}

/// No other attempt can help: the device is gone, or does not answer at all.
pub(super) fn is_final(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unplugged | ErrorKind::TimedOut)
}
