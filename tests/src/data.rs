//! Real devices' descriptors, from `tests/data`. It knows no parser but that of its own files.

/// A device's descriptors.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The file's name without its ending.
    pub name: &'static str,
    text: &'static str,
}

impl Sample {
    /// The bytes, as sysfs's `descriptors` contains them.
    ///
    /// # Panics
    /// If the file is not hexadecimal bytes and comments.
    pub fn bytes(&self) -> Vec<u8> {
        self.text
            .lines()
            .flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace())
            .map(|byte| u8::from_str_radix(byte, 16).unwrap_or_else(|_| panic!("{}: {byte:?}", self.name)))
            .collect()
    }
}

macro_rules! samples {
    ($($name:literal),* $(,)?) => {
        /// All devices.
        pub const DESCRIPTORS: &[Sample] = &[
            $(Sample { name: $name, text: include_str!(concat!("../data/descriptors/", $name, ".hex")) }),*
        ];
    };
}

samples!(
    "qemu-usb-net",
    "linux-gadget-ecm-high",
    "linux-gadget-ecm-super",
    "rtl8152b-high",
    "rtl8153-super",
    "iphone-like",
    "motorola-like",
);

/// The device of this name.
///
/// # Panics
/// If there is none.
pub fn descriptors(name: &str) -> Vec<u8> {
    let sample = DESCRIPTORS.iter().find(|sample| sample.name == name);
    sample.unwrap_or_else(|| panic!("no descriptors of {name}")).bytes()
}
