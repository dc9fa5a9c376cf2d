//! What `outboard` prints for people: short, one fact a line, the same words everywhere. It must not know where the facts come from.

use std::fmt;
use std::io::Write;

use outboard_core::usb::discovery::Found;

/// Prints a line at once, as `println!` formats it. Where nobody reads any more (`outboard demo | head`), it is nobody's loss: a driver must
/// not end for it.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
pub(crate) use say;

/// See [`say!`].
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let _nobody_reads = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A device's name for people: what it calls itself, without control characters, cut to a readable length.
pub(crate) fn product_name(device: &Found) -> String {
    name(&device.manufacturer, &device.product)
}

/// The same from the strings of iManufacturer and iProduct.
pub(crate) fn name(manufacturer: &Option<String>, product: &Option<String>) -> String {
    let parts: Vec<String> = [manufacturer, product]
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
}
