//! What the driver says before it is started: the manifest that it comes with, and its closer look at a function that the manifest matches. It must
//! not know who asks, and asks no device.

use outboard_core::manifest::{Function, Notes, Refused};
use outboard_core::usb::descriptor::DeviceDescriptors;

use crate::proto::function;
use crate::proto::quirks::Quirks;

/// The manifest, as it would be in a file.
pub const MANIFEST: &str = include_str!("../manifest.toml");

/// Looks closer: is this interface (bInterfaceNumber) a serial port, with endpoints that a chip can have? Some boards tell only by their names
/// that an interface is JTAG; these show when the driver has opened the device.
///
/// # Errors
/// It is not, and why.
pub fn probe(device: &DeviceDescriptors, wanted: &Function, interface: u8) -> Result<Notes, Refused> {
    let quirks = Quirks::of(device.device.vendor_id, device.device.product_id);
    let candidates = function::find(device, &quirks, Some(wanted.configuration));
    let candidate = candidates.iter().find(|candidate| {
        candidate.configuration == wanted.configuration && candidate.interface == interface
    });
    match candidate.map(|candidate| &candidate.verdict) {
        Some(Ok(_)) if quirks.reason.is_empty() => Ok(Notes::new()),
        Some(Ok(_)) => Ok(vec![quirks.reason.to_owned()]),
        Some(Err(refusal)) => Err(Refused { reason: refusal.to_string() }),
        None => Err(Refused { reason: "no interface is a serial port".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::proto::ids;
    use outboard_core::manifest::{Criterion, Expected, Family, Subject, Wanted, decide, functions, parse};
    use outboard_core::usb::Speed;
    use outboard_core::usb::descriptor::{AlternateSetting, Configuration, DeviceDescriptor, Endpoint};

    fn manifest() -> outboard_core::manifest::Manifest {
        let expected = Expected { name: Some("usb-serial-ftdi"), built_in: Some(&["usb-serial-ftdi"]) };
        parse(MANIFEST, &expected).unwrap()
    }

    #[test]
    fn the_manifest_is_that_of_this_version_and_has_every_known_id() {
        let manifest = manifest();
        assert_eq!(manifest.version.to_string(), env!("CARGO_PKG_VERSION"));
        assert_eq!(manifest.family, Family::Serial);
        let mut told = BTreeSet::new();
        for alternative in &manifest.alternatives {
            let criteria: Vec<_> = alternative.criteria().collect();
            let [
                (Criterion::ProductId, Wanted::Numbers(products)),
                (Criterion::VendorId, Wanted::Numbers(vendors)),
            ] = criteria[..]
            else {
                panic!("{criteria:?}");
            };
            told.extend(vendors.iter().flat_map(|vendor| products.iter().map(|product| (*vendor, *product))));
        }
        let known: BTreeSet<(u16, u16)> = ids::KNOWN
            .iter()
            .flat_map(|(vendor, rows)| rows.iter().map(move |(first, last)| (*vendor, *first..=*last)))
            .flat_map(|(vendor, products)| products.map(move |product| (vendor, product)))
            .collect();
        let differ: Vec<_> = told.symmetric_difference(&known).collect();
        assert!(differ.is_empty(), "{differ:04x?}");
    }

    #[test]
    fn each_port_is_a_function_and_what_is_jtag_is_left_alone() {
        let manifest = manifest();
        let verdicts = |ids: (u16, u16), endpoints: bool| {
            let mut configuration = Configuration::new(1);
            for number in 0..2 {
                let mut setting = AlternateSetting::new(number, 0, 0xff, 0xff, 0xff);
                if endpoints {
                    let (from, to) = (0x81 + 2 * number, 0x02 + 2 * number);
                    setting.endpoints = vec![Endpoint::bulk(from, 512), Endpoint::bulk(to, 512)];
                }
                configuration.push(setting);
            }
            let device = DeviceDescriptors::new(DeviceDescriptor::new(ids.0, ids.1), vec![configuration]);
            let subject =
                Subject { port: "1-2", serial_number: None, speed: Speed::High, descriptors: &device };
            functions(&device, Some(1))
                .iter()
                .map(|function| {
                    let decision = decide([&manifest], &subject, function, |_, function, interface| {
                        probe(&device, function, interface)
                    });
                    decision.winner().is_some()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(verdicts((0x0403, 0x6010), true), [true, true]);
        // Olimex' ARM-USB-OCD: channel A is JTAG.
        assert_eq!(verdicts((0x15ba, 0x0003), true), [false, true]);
        assert_eq!(verdicts((0x0403, 0x6010), false), [false, false]);
        assert_eq!(verdicts((0x0525, 0xa4a2), true), [false, false]);
    }
}
