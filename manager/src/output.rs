//! What `outboard` prints for people: short, one fact a line, the same words everywhere. It must not know where the facts come from.

use outboard_core::MacAddr;
use outboard_core::usb::discovery::Found;

/// What a driver vends, in one line: `ecm0, 52:54:00:12:34:56, 480 Mbit/s, link up`.
pub(crate) fn interface_line(name: &str, mac: MacAddr, mbit: u32, link_up: bool) -> String {
    let link = if link_up { "link up" } else { "link down" };
    format!("{name}, {mac}, {mbit} Mbit/s, {link}")
}

/// A device's name for people: what it calls itself, without control characters, cut to a readable length.
pub(crate) fn product_name(device: &Found) -> String {
    let parts: Vec<String> = [&device.manufacturer, &device.product]
        .into_iter()
        .flatten()
        .map(|text| printable(text))
        .filter(|text| !text.is_empty())
        .collect();
    if parts.is_empty() { "(no name)".into() } else { parts.join(" ") }
}

/// Strings from a device end up on a terminal: nothing in them may steer it.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_cannot_steer_the_terminal() {
        assert_eq!(printable("Dongle\u{1b}[2J\r\n evil\u{9b}"), "Dongle?[2J?? evil?");
        assert_eq!(printable(&"x".repeat(500)).len(), 80);
    }

    #[test]
    fn the_line_is_what_scripts_read() {
        let mac = MacAddr::new([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        assert_eq!(
            interface_line("ecm0", mac, 480, true),
            "ecm0, 52:54:00:12:34:56, 480 Mbit/s, link up"
        );
    }
}
