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

use std::io::Write;

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

/// Prints a picture or a line, for a command that goes on: false if nobody reads any more (`outboard log -f | head`), and it may end.
pub(crate) fn put(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::sample;
    use outboard_core::registry::{Holder, Vended};
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    /// The sample with this text wherever there is one.
    fn all_called(text: &str) -> Registry {
        let mut registry = sample::registry();
        for device in &mut registry.devices {
            device.name = text.into();
            for own in [&mut device.manufacturer, &mut device.product, &mut device.serial] {
                *own = Some(text.into());
            }
            for function in &mut device.functions {
                function.class = text.into();
                function.driver = Some(text.into());
                if let Holder::Kernel(holder) = &mut function.holder {
                    *holder = text.into();
                }
                let Some(instance) = function.instance_mut() else { continue };
                instance.last_error = Some(text.into());
                if let Some(Vended::Network { name, mac, .. }) = &mut instance.vends {
                    *name = text.into();
                    *mac = text.into();
                }
            }
        }
        registry
    }

    proptest! {
        #[test]
        fn no_text_of_a_picture_steers_the_terminal(text in "\\PC{0,3}[\u{0}-\u{1f}\u{7f}-\u{9f}/-]{0,6}\\PC{0,90}") {
            let registry = all_called(&text);
            let (now, plain) = (UNIX_EPOCH, Style::plain());
            let full: Vec<String> = registry.devices.iter().map(|device| status(device, now, plain)).collect();
            for said in [tree(&registry, plain), table(&registry, now, plain), full.concat()] {
                prop_assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
            }
            prop_assert_eq!(tree(&registry, plain).lines().filter(|line| line.contains("└─ ") || line.contains("├─ ")).count(), 13);
        }
    }

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
