//! Attached devices and living drivers as the registry's values. It decides nothing.

use outboard_core::registry::{Device, Function, Holder, Instance};

use super::Key;
use super::attached::Attached;

pub(super) fn device(attached: &Attached, instance: impl Fn(&Key) -> Option<Instance>) -> Device {
    let found = &attached.found;
    let functions = match attached.is_remote() {
        true => instance(&(found.name.clone(), Attached::WHOLE))
            .map(|instance| remote(attached, instance))
            .into_iter()
            .collect(),
        false => attached
            .candidates
            .iter()
            .map(|candidate| {
                let holder = match instance(&(found.name.clone(), candidate.key())) {
                    Some(instance) => Holder::Outboard(instance),
                    None => candidate.holder().map_or(Holder::Nobody, Holder::Kernel),
                };
                Function {
                    configuration: candidate.function.configuration,
                    interfaces: candidate.function.interfaces.clone(),
                    class: candidate.class.clone(),
                    driver: candidate.driver.clone(),
                    holder,
                }
            })
            .collect(),
    };
    Device {
        name: found.name.clone(),
        vendor_id: found.vendor_id,
        product_id: found.product_id,
        manufacturer: found.manufacturer.clone(),
        product: found.product.clone(),
        serial: found.serial.clone(),
        functions,
    }
}

/// One driver has all of a device at a server, and what it is may not be known.
fn remote(attached: &Attached, instance: Instance) -> Function {
    let known = attached.candidates.first();
    Function {
        configuration: known.map_or(0, |candidate| candidate.function.configuration),
        interfaces: known.map_or(Vec::new(), |candidate| candidate.function.interfaces.clone()),
        class: known.map_or_else(|| "at a USB/IP server".to_owned(), |candidate| candidate.class.clone()),
        driver: Some("usb-ecm".to_owned()),
        holder: Holder::Outboard(instance),
    }
}
