//! What the driver says before it is started: the manifest that it comes with, and its closer look at a function that the manifest matches. It must
//! not know who asks, and asks no device.

use outboard_core::manifest::{Function, Notes, Refused};
use outboard_core::usb::descriptor::DeviceDescriptors;

use crate::proto::function;
use crate::proto::quirks::Quirks;

/// The manifest, as it would be in a file.
pub const MANIFEST: &str = include_str!("../manifest.toml");

/// Looks closer: do the descriptors make an ECM function that can be driven, on this interface (bInterfaceNumber), without any interface
/// of another function?
///
/// # Errors
/// They do not, and why.
pub fn probe(device: &DeviceDescriptors, wanted: &Function, interface: u8) -> Result<Notes, Refused> {
    let refused = |reason: String| Err(Refused { reason });
    let quirks = Quirks::of(device.device.vendor_id, device.device.product_id);
    let candidates = function::find(device, &quirks, Some(wanted.configuration));
    let candidate = candidates.iter().find(|candidate| {
        candidate.configuration == wanted.configuration && candidate.interface == Some(interface)
    });
    let found = match candidate.map(|candidate| &candidate.verdict) {
        Some(Ok(found)) => found,
        Some(Err(refusal)) => return refused(refusal.to_string()),
        None => return refused("no interface is an Ethernet function".to_owned()),
    };
    if let Some(other) = found.interfaces().find(|number| !wanted.interfaces.contains(number)) {
        return refused(format!("needs interface {other}, which belongs to another function"));
    }
    let mut notes: Notes = found.findings.iter().map(ToString::to_string).collect();
    if let Some(driver) = quirks.better_driver {
        notes.push(format!("the kernel's {driver} does more for this device ({})", quirks.reason));
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_core::manifest::{Expected, Family, parse};

    #[test]
    fn the_manifest_is_that_of_this_version() {
        let manifest =
            parse(MANIFEST, &Expected { name: Some("usb-ecm"), built_in: Some(&["usb-ecm"]) }).unwrap();
        assert_eq!(manifest.version.to_string(), env!("CARGO_PKG_VERSION"));
        assert_eq!(manifest.family, Family::Ethernet);
    }
}
