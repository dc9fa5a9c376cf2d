//! All descriptors of a device: its own and those of every configuration. It knows where one configuration ends and
//! the next begins, also when the device lies about it.

use super::parse::{self, Findings};
use super::{
    Configuration, Descriptors, DeviceDescriptor, Finding, Malformed, Oddity, RawDescriptor, kind, limit,
    u16_at,
};
use crate::usb::Speed;
use std::ops::Range;

/// What a device says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceDescriptors {
    /// The device descriptor.
    pub device: DeviceDescriptor,
    /// The configurations that can be understood, in the device's order, at most [`limit::CONFIGURATIONS`].
    pub configurations: Vec<Configuration>,
    /// Why others cannot.
    pub malformed: Vec<Malformed>,
    /// What was tolerated, at most [`limit::FINDINGS`] and one that says that there were more.
    pub findings: Vec<Finding>,
}

impl DeviceDescriptors {
    /// A device with these configurations, for the device side and tests; bNumConfigurations is set to their number.
    pub fn new(mut device: DeviceDescriptor, configurations: Vec<Configuration>) -> Self {
        device.num_configurations = u8::try_from(configurations.len()).unwrap_or(u8::MAX);
        Self { device, configurations, malformed: Vec::new(), findings: Vec::new() }
    }

    /// Reads the device descriptor and all configurations behind it, as sysfs's `descriptors` and a usbfs node contain
    /// them. (On a big-endian machine usbfs has the device descriptor's words in the machine's order: read sysfs there.)
    ///
    /// Packet sizes are judged as for the fastest bus; where the speed is known use [`parse_at`](Self::parse_at).
    ///
    /// # Errors
    /// Only if the device descriptor cannot be understood. A configuration that cannot is listed in `malformed`.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::parse_with(bytes, None)
    }

    /// The same for a device that is attached at this speed.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_at(bytes: &[u8], speed: Speed) -> Result<Self, Malformed> {
        Self::parse_with(bytes, Some(speed))
    }

    fn parse_with(bytes: &[u8], speed: Option<Speed>) -> Result<Self, Malformed> {
        let device = DeviceDescriptor::parse(bytes)?;
        let speed = speed.or(device.assumed_speed());
        let mut findings = Findings::default();
        let mut this =
            Self { device, configurations: Vec::new(), malformed: Vec::new(), findings: Vec::new() };
        if device.control_packet_size().is_none() {
            findings.add("bMaxPacketSize0", Oddity::Invalid { value: device.max_packet_size_0.into() });
        }
        if bytes.len() > limit::BYTES {
            findings.add("descriptors", Oddity::TooMany { limit: limit::BYTES as u32 });
        }
        let bytes = &bytes[..bytes.len().min(limit::BYTES)];
        let mut at = usize::from(bytes[0]);
        let mut count = 0;
        while at < bytes.len() {
            if count == limit::CONFIGURATIONS {
                findings.configuration = None;
                findings.add("bNumConfigurations", Oddity::TooMany { limit: limit::CONFIGURATIONS as u32 });
                break;
            }
            count += 1;
            let more = count < usize::from(device.num_configurations);
            let range = extent(bytes, at, more);
            match parse::configuration(&bytes[range.clone()], speed, &mut findings) {
                Ok(configuration) => this.keep(configuration, &mut findings),
                Err(malformed) => this.malformed.push(malformed),
            }
            at = range.end;
            let next = next_header(bytes, at);
            if next > at && next < bytes.len() {
                findings.configuration = None;
                findings.add("bLength", Oddity::Garbage { bytes: (next - at) as u32 });
            }
            at = next;
        }
        findings.configuration = None;
        if count != usize::from(device.num_configurations) || count == 0 {
            let declared = device.num_configurations.into();
            findings.add("bNumConfigurations", Oddity::Differs { declared, found: count as u32 });
        }
        this.findings = findings.list;
        Ok(this)
    }

    fn keep(&mut self, configuration: Configuration, findings: &mut Findings) {
        if self.configuration(configuration.value).is_some() {
            // Only the first can be selected, whichever that is for the device.
            findings.add("bConfigurationValue", Oddity::Duplicate);
        } else {
            self.configurations.push(configuration);
        }
    }

    /// The configuration with this bConfigurationValue.
    pub fn configuration(&self, value: u8) -> Option<&Configuration> {
        self.configurations.iter().find(|configuration| configuration.value == value)
    }

    /// All of it one behind the other, as sysfs's `descriptors` contains it for a device at this speed.
    pub fn to_bytes(&self, speed: Speed) -> Vec<u8> {
        let mut bytes = self.device.to_bytes().to_vec();
        for configuration in &self.configurations {
            bytes.extend(configuration.to_bytes(speed));
        }
        bytes
    }
}

/// Whether a configuration descriptor can begin here.
fn is_header(bytes: &[u8], at: usize) -> bool {
    bytes
        .get(at..)
        .and_then(RawDescriptor::first)
        .is_some_and(|raw| raw.kind() == kind::CONFIGURATION && raw.length() >= Configuration::LENGTH)
}

/// Where the configuration that begins at `at` ends. What wTotalLength says is believed if another configuration or the end
/// is there and none begins before it although more are to come; otherwise it ends where the next one begins.
fn extent(bytes: &[u8], at: usize, more: bool) -> Range<usize> {
    let declared = at + usize::from(u16_at(bytes, at + 2).unwrap_or(0)).max(Configuration::LENGTH);
    let mut walk = Descriptors::new(&bytes[at..]);
    let mut position = at;
    for raw in walk.by_ref() {
        let (begin, past) = (position, position >= declared);
        position += raw.length();
        let is_next =
            begin > at && raw.kind() == kind::CONFIGURATION && raw.length() >= Configuration::LENGTH;
        if is_next && (more || past) {
            return at..begin;
        }
    }
    let walked = bytes.len() - walk.rest().len();
    if declared <= bytes.len() && (declared == bytes.len() || is_header(bytes, declared)) {
        return at..declared;
    }
    // Either the tail is cut off, or garbage inside hides where it ends: then up to the next that looks like a header.
    at..if walk.rest().is_empty() { bytes.len() } else { next_header(bytes, walked) }
}

/// Where the next configuration begins at or behind `at`, or the end. Anything but a header right there is garbage, in
/// which a header has to look like one in every field that has fixed bits.
fn next_header(bytes: &[u8], at: usize) -> usize {
    if is_header(bytes, at) {
        return at;
    }
    (at..bytes.len())
        .find(|&at| match bytes.get(at..at + Configuration::LENGTH) {
            Some(&[9, kind::CONFIGURATION, low, high, 1..=32, 1..=255, _, attributes, _]) => {
                u16::from_le_bytes([low, high]) >= 18 && attributes & 0x9f == 0x80
            }
            _ => false,
        })
        .unwrap_or(bytes.len())
}
