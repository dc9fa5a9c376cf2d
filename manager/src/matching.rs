//! Which driver fits a device, and why the others do not. It must not know how a driver works.

use outboard_core::usb::Speed;
use outboard_core::usb::descriptor::DeviceDescriptors;
use outboard_usb_ecm::proto::function::{self, Candidate, EcmFunction};
use outboard_usb_ecm::proto::quirks::Quirks;

/// What the drivers say of a device.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// The function that a driver serves, if one does.
    pub(crate) function: Option<EcmFunction>,
    /// One line per configuration or interface that was looked at, the best first.
    pub(crate) reasons: Vec<String>,
}

/// Asks the drivers about a device with these descriptors (its own and all configurations) and this active configuration. There is one driver
/// so far.
pub(crate) fn look_at(descriptors: &[u8], speed: Speed, configuration: Option<u8>) -> Verdict {
    let descriptors = match DeviceDescriptors::parse_at(descriptors, speed) {
        Ok(descriptors) => descriptors,
        Err(malformed) => return Verdict { function: None, reasons: vec![malformed.to_string()] },
    };
    let quirks = Quirks::of(descriptors.device.vendor_id, descriptors.device.product_id);
    let candidates = function::find(&descriptors, &quirks, configuration);
    let mut reasons: Vec<String> =
        candidates.iter().map(|candidate| reason(candidate, configuration)).collect();
    reasons.extend(descriptors.malformed.iter().map(ToString::to_string));
    Verdict { function: function::best(&candidates).cloned(), reasons }
}

fn reason(candidate: &Candidate, configuration: Option<u8>) -> String {
    let mut text = candidate.to_string();
    if let Ok(function) = &candidate.verdict {
        if configuration != Some(function.configuration) {
            text.push_str(" (the configuration has to be switched)");
        }
        for finding in &function.findings {
            text.push_str(&format!("; {finding}"));
        }
    }
    text
}
