//! A device of this machine: found, judged, and taken from the kernel's driver if nothing else of it is in use. It must not know what is
//! done with it.

use outboard_core::usb::discovery::{self, Found, SelectError, Selector};
use outboard_core::usb::transport::usbfs::UsbFs;

use super::source::Opened;
use crate::exit::{Cause, Failure};
use crate::matching::{Drivers, Seen, Which};
use crate::output::product_name;

/// An attached device that a driver fits.
pub(super) struct Local {
    found: Found,
    driver: Which,
}

impl Local {
    /// The device that is meant, and its driver; with `forced`, that one.
    pub(super) fn find(text: &str, forced: Option<Which>) -> Result<Self, Failure> {
        let selector =
            Selector::parse(text).map_err(|error| Failure::new(Cause::NoSuchDevice, error.to_string()))?;
        let devices = discovery::list()?;
        let found = select(&devices, &selector)?;
        if let Some(driver) = forced {
            return Ok(Self { found: found.clone(), driver });
        }
        let verdict = Drivers::read().look_at(&Seen::from(found));
        let (Some(function), Some(driver)) = (verdict.function, verdict.which) else {
            let text = format!("{}: no driver fits {}", found.name, product_name(found));
            return Err(Failure::new(Cause::NoDriver, text).with_hint(verdict.reasons.join("\n  ")));
        };
        check_in_use(found, function.configuration)?;
        Ok(Self { found: found.clone(), driver })
    }

    pub(super) fn driver(&self) -> Which {
        self.driver
    }

    pub(super) fn name(&self) -> &str {
        &self.found.name
    }

    pub(super) fn open(&self) -> Result<Opened, Failure> {
        let Found { node, name, configuration, bus, address, .. } = &self.found;
        let transport = UsbFs::open(node, name, *configuration)?;
        Ok(Opened {
            driver: self.driver,
            transport: Box::new(transport),
            place: (*bus, *address),
            fate: None,
        })
    }
}

/// The one device that is meant.
pub(crate) fn select<'a>(devices: &'a [Found], selector: &Selector) -> Result<&'a Found, Failure> {
    discovery::select(devices, selector).map_err(|error| match &error {
        SelectError::NotFound { .. } => Failure::new(Cause::NoSuchDevice, error.to_string())
            .with_hint("`outboard list` shows what is attached."),
        SelectError::Ambiguous { .. } => Failure::new(Cause::Ambiguous, error.to_string())
            .with_hint("Name the one you mean by its place, such as 1-2.3."),
    })
}

/// Taking a network interface's driver away is what was asked for; taking away anything else of the device is not.
fn check_in_use(found: &Found, needed: u8) -> Result<(), Failure> {
    if found.configuration == Some(needed) {
        return Ok(());
    }
    let other = found.drivers.iter().find(|bound| {
        bound.driver.is_some() && bound.networks.is_empty() && !is_companion(found, bound.interface)
    });
    let Some(other) = other else { return Ok(()) };
    let text = format!(
        "{}: its function is in configuration {needed}, and switching to it would take interface {} from {}",
        found.name,
        other.interface,
        other.driver.as_deref().unwrap_or("its driver"),
    );
    Err(Failure::new(Cause::Busy, text).with_hint(format!(
        "If it is not needed, release it first: echo {}:{}.{} | sudo tee /sys/bus/usb/drivers/{}/unbind",
        found.name,
        found.configuration.unwrap_or(0),
        other.interface,
        other.driver.as_deref().unwrap_or("DRIVER"),
    )))
}

/// The second interface of a network function has the same driver as the first, but no network interface of its own.
fn is_companion(found: &Found, interface: u8) -> bool {
    let driver = found
        .drivers
        .iter()
        .find(|bound| bound.interface == interface)
        .and_then(|bound| bound.driver.as_deref());
    found.drivers.iter().any(|bound| !bound.networks.is_empty() && bound.driver.as_deref() == driver)
}
