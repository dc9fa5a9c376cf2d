//! The manager's picture as people see it: a tree, a table, a device in full. It must not know where the picture comes from.

mod status;
mod style;
mod table;
mod tree;
mod words;

pub(crate) use status::status;
pub(crate) use style::{Colour, Style};
pub(crate) use table::table;
pub(crate) use tree::tree;
pub(crate) use words::date;

use outboard_core::registry::{Device, Registry};
use serde::Serialize;

use crate::exit::{Cause, Failure};

/// What is said of an empty picture.
const EMPTY: &str = "No USB device is attached.\n";

/// The one device that is meant: by its name, or as vid:pid.
pub(crate) fn find<'a>(registry: &'a Registry, wanted: &str) -> Result<&'a Device, Failure> {
    if let Some(device) = registry.device(wanted) {
        return Ok(device);
    }
    let ids = |device: &&Device| {
        format!("{:04x}:{:04x}", device.vendor_id, device.product_id).eq_ignore_ascii_case(wanted)
    };
    let mut fitting = registry.devices.iter().filter(ids);
    match (fitting.next(), fitting.next()) {
        (Some(device), None) => Ok(device),
        (None, _) => {
            Err(Failure::new(Cause::NoSuchDevice, format!("the manager knows no device {wanted:?}"))
                .with_hint("`outboard tree` shows those that it knows."))
        }
        (Some(one), Some(other)) => {
            let text = format!("more than one device is {wanted}: {}, {}, ...", one.name, other.name);
            Err(Failure::new(Cause::Ambiguous, text)
                .with_hint("Name the one that you mean: `outboard tree`."))
        }
    }
}

/// JSON in a line. A device's strings are left as they are, but what could steer a terminal is escaped.
pub(crate) fn json(value: &impl Serialize) -> String {
    // What we print has text as its keys, and no numbers that JSON does not have.
    let text = serde_json::to_string(value).unwrap_or_default();
    text.chars()
        .map(|c| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::sample;

    #[test]
    fn a_device_is_meant_by_its_name_or_its_numbers() {
        let mut registry = sample::registry();
        assert_eq!(find(&registry, "1-2").unwrap().name, "1-2");
        assert_eq!(find(&registry, "046D:c077").unwrap().name, "1-2.13");
        assert_eq!(find(&registry, "1-3").unwrap_err().code(), 4);
        registry.devices[0].vendor_id = 0x046d;
        registry.devices[0].product_id = 0xc077;
        assert_eq!(find(&registry, "046d:c077").unwrap_err().code(), 5);
    }

    #[test]
    fn json_steers_no_terminal_and_loses_nothing() {
        let registry = sample::registry();
        let text = json(&registry);
        assert!(!text.contains(char::is_control), "{text}");
        assert_eq!(serde_json::from_str::<Registry>(&text).unwrap(), registry);
    }
}
