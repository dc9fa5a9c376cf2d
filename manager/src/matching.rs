//! Which driver fits a device, and why the others do not. It must not know how a driver works.

use outboard_core::usb::descriptor::DeviceDescriptors;
use outboard_core::usb::discovery::Found;
use outboard_usb_ecm::proto::function::{self, Candidate, EcmFunction};
use outboard_usb_ecm::proto::quirks::Quirks;

use crate::serial;

/// What the drivers say of a device.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The network function that a driver serves, if one does.
    pub(crate) function: Option<EcmFunction>,
    /// It has serial ports that a driver serves.
    pub(crate) serial: bool,
    /// One line per configuration or interface that was looked at, the best first.
    pub(crate) reasons: Vec<String>,
}

impl Verdict {
    /// The driver that fits.
    pub(crate) fn driver(&self) -> Option<&'static str> {
        match self {
            Self { serial: true, .. } => Some(serial::DRIVER),
            Self { function: Some(_), .. } => Some("usb-ecm"),
            _ => None,
        }
    }
}

/// Asks the drivers.
pub(crate) fn look_at(device: &Found) -> Verdict {
    let descriptors = match DeviceDescriptors::parse_at(&device.descriptors, device.speed) {
        Ok(descriptors) => descriptors,
        Err(malformed) => {
            return Verdict { function: None, serial: false, reasons: vec![malformed.to_string()] };
        }
    };
    let ports = serial::look_at(&descriptors, device.configuration);
    if !ports.is_empty() {
        let serial = ports.iter().any(|port| port.verdict.is_ok());
        let reasons = ports.iter().map(ToString::to_string).collect();
        return Verdict { function: None, serial, reasons };
    }
    let quirks = Quirks::of(device.vendor_id, device.product_id);
    let candidates = function::find(&descriptors, &quirks, device.configuration);
    let mut reasons: Vec<String> = candidates.iter().map(|candidate| reason(candidate, device)).collect();
    reasons.extend(descriptors.malformed.iter().map(ToString::to_string));
    Verdict { function: function::best(&candidates).cloned(), serial: false, reasons }
}

fn reason(candidate: &Candidate, device: &Found) -> String {
    let mut text = candidate.to_string();
    if let Ok(function) = &candidate.verdict {
        if device.configuration != Some(function.configuration) {
            text.push_str(" (the configuration has to be switched)");
        }
        for finding in &function.findings {
            text.push_str(&format!("; {finding}"));
        }
    }
    text
}
