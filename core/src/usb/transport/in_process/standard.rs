//! The standard requests of a modelled device (USB 2.0, 9.4; USB 3.2, 9.4), answered as a device does that conforms. It must not know
//! endpoints' packets or who asks.

use std::time::Instant;

use super::model::DeviceModel;
use super::port::{Port, endpoint};
use crate::usb::descriptor::{Configuration, Descriptors, kind};
use crate::usb::{Recipient, SetupPacket, Speed, standard};

/// Features of the device that its host set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Features {
    remote_wakeup: bool,
    /// Bits 2 to 4 of a SuperSpeed device's status: U1, U2, LTM (USB 3.2, Figure 9-4).
    link: u8,
}

/// Bytes of the device descriptor (USB 2.0, Table 9-8).
const DEVICE: usize = 18;
/// bcdUSB from which a device has a BOS (USB 2.0 ECN "Link Power Management", 3).
const HAS_BOS: u16 = 0x0201;
/// Bytes of SET_SEL's data (USB 3.2, 9.4.12).
const EXIT_LATENCIES: usize = 6;

impl<M: DeviceModel> Port<M> {
    /// A request with an answer; `None` is a STALL.
    pub(super) fn standard_in(&self, setup: SetupPacket) -> Option<Vec<u8>> {
        let [index, _] = setup.index.to_le_bytes();
        match (setup.request, setup.recipient()) {
            (standard::GET_DESCRIPTOR, Recipient::Device) => self.descriptor(setup),
            (standard::GET_CONFIGURATION, Recipient::Device) => Some(vec![self.configuration]),
            (standard::GET_INTERFACE, Recipient::Interface) => {
                self.active()?.interface(index)?;
                Some(vec![self.alternates.get(&index).copied().unwrap_or(0)])
            }
            (standard::GET_STATUS, Recipient::Device) => Some(vec![self.status(), 0]),
            (standard::GET_STATUS, Recipient::Interface) => {
                self.active()?.interface(index)?;
                Some(vec![0, 0])
            }
            (standard::GET_STATUS, Recipient::Endpoint) if self.has_endpoint(index) => {
                Some(vec![self.halted.contains(&index).into(), 0])
            }
            _ => None,
        }
    }

    /// A request without an answer. False is a STALL.
    pub(super) fn standard_out(&mut self, setup: SetupPacket, data: &[u8], now: Instant) -> bool {
        let ([value, _], [index, _]) = (setup.value.to_le_bytes(), setup.index.to_le_bytes());
        let is_super = self.model.speed().is_super();
        match (setup.request, setup.recipient()) {
            (standard::SET_CONFIGURATION, Recipient::Device) => self.configure(value, now),
            (standard::SET_INTERFACE, Recipient::Interface) => self.select_alternate(index, value, now),
            (standard::CLEAR_FEATURE, _) => self.set_feature(setup, false),
            (standard::SET_FEATURE, _) => self.set_feature(setup, true),
            // What the host tells of the way to the device concerns a link that a model does not have.
            (standard::SET_SEL, Recipient::Device) => is_super && data.len() == EXIT_LATENCIES,
            (standard::SET_ISOCH_DELAY, Recipient::Device) => is_super && data.is_empty(),
            _ => false,
        }
    }

    fn set_feature(&mut self, setup: SetupPacket, on: bool) -> bool {
        let [index, _] = setup.index.to_le_bytes();
        match (setup.recipient(), setup.value) {
            // Endpoint 0 need not have a halt, and this one does not; clearing none is no mistake (USB 2.0, 9.4.5).
            (Recipient::Endpoint, standard::ENDPOINT_HALT) if index & 0x7f == 0 => !on,
            (Recipient::Endpoint, standard::ENDPOINT_HALT) if self.has_endpoint(index) => {
                if on {
                    self.halted.insert(index);
                } else {
                    self.halted.remove(&index);
                }
                true
            }
            (Recipient::Device, standard::DEVICE_REMOTE_WAKEUP)
                if self.attribute(Configuration::REMOTE_WAKEUP) =>
            {
                self.features.remote_wakeup = on;
                true
            }
            (Recipient::Device, standard::U1_ENABLE..=standard::LTM_ENABLE) => {
                // LTM would need a capability that the BOS below does not claim; the others need a configuration (USB 3.2, 9.4.9).
                let offered = setup.value != standard::LTM_ENABLE && self.configuration != 0;
                if !self.model.speed().is_super() || !offered {
                    return false;
                }
                let bit = 1 << (setup.value - standard::U1_ENABLE + 2);
                self.features.link = if on { self.features.link | bit } else { self.features.link & !bit };
                true
            }
            (Recipient::Interface, standard::FUNCTION_SUSPEND) => {
                self.model.speed().is_super()
                    && self.active().is_some_and(|configuration| configuration.interface(index).is_some())
            }
            _ => false,
        }
    }

    /// The low byte of the device's status (USB 2.0, Figure 9-4).
    fn status(&self) -> u8 {
        let self_powered = u8::from(self.attribute(Configuration::SELF_POWERED));
        self_powered | u8::from(self.features.remote_wakeup) << 1 | self.features.link
    }

    /// Whether the active configuration has this bit in bmAttributes; the first one, where none is active.
    fn attribute(&self, bit: u8) -> bool {
        let first = || self.parsed.as_ref()?.configurations.first();
        self.active().or_else(first).is_some_and(|configuration| configuration.attributes & bit != 0)
    }

    fn has_endpoint(&self, address: u8) -> bool {
        address & 0x7f == 0 || endpoint(self.active(), &self.alternates, address).is_some()
    }

    fn descriptor(&self, setup: SetupPacket) -> Option<Vec<u8>> {
        let [index, wanted] = setup.value.to_le_bytes();
        let speed = self.model.speed();
        match wanted {
            kind::STRING => self.model.string_descriptor(index, setup.index),
            kind::DEVICE => Some(self.descriptors.iter().take(DEVICE).copied().collect()),
            kind::CONFIGURATION => nth_configuration(&self.descriptors, index).map(<[u8]>::to_vec),
            // Only high speed has another speed that the same descriptors are for: a device that is attached at full speed here is one
            // that can do no more (USB 2.0, 9.6.2), and SuperSpeed does not have these (USB 3.2, 9.6).
            kind::DEVICE_QUALIFIER if speed == Speed::High => qualifier(&self.descriptors),
            kind::OTHER_SPEED_CONFIGURATION if speed == Speed::High => {
                nth_configuration(&self.descriptors, index).map(at_full_speed)
            }
            kind::BOS => {
                let version = u16::from_le_bytes(*self.descriptors.get(2..)?.first_chunk()?);
                (version >= HAS_BOS).then(|| bos(speed))
            }
            _ => None,
        }
    }
}

/// The bytes of the configuration with this index, found by their own lengths as a host does.
fn nth_configuration(descriptors: &[u8], index: u8) -> Option<&[u8]> {
    let mut rest = descriptors.get(DEVICE..)?;
    for _ in 0..index {
        let total = usize::from(u16::from_le_bytes([*rest.get(2)?, *rest.get(3)?]));
        rest = rest.get(total.max(1)..)?;
    }
    let total = usize::from(u16::from_le_bytes([*rest.get(2)?, *rest.get(3)?]));
    Some(&rest[..total.min(rest.len())])
}

/// A high-speed device's description of itself at full speed (USB 2.0, Table 9-9).
fn qualifier(descriptors: &[u8]) -> Option<Vec<u8>> {
    let device: &[u8; DEVICE] = descriptors.first_chunk()?;
    let mut bytes = vec![10, kind::DEVICE_QUALIFIER];
    // bcdUSB, class, subclass, protocol, bMaxPacketSize0: 64 at either speed.
    bytes.extend_from_slice(&device[2..8]);
    bytes.extend([device[17], 0]);
    Some(bytes)
}

/// What a configuration of high speed is at full speed: smaller packets, and intervals in frames (USB 2.0, 9.6.4 and Table 9-13).
fn at_full_speed(configuration: &[u8]) -> Vec<u8> {
    let mut bytes = configuration.to_vec();
    if let Some(kind) = bytes.get_mut(1) {
        *kind = kind::OTHER_SPEED_CONFIGURATION;
    }
    let mut at = 0;
    for raw in Descriptors::new(configuration) {
        if raw.kind() == kind::ENDPOINT
            && let Some([_, _, _, attributes, size0, size1, interval, ..]) =
                bytes.get_mut(at..at + raw.length())
        {
            let bulk = *attributes & 3 == 2;
            // wMaxPacketSize's bits 12..11 are for high speed alone.
            let size = (u16::from_le_bytes([*size0, *size1]) & 0x07ff).min(64);
            [*size0, *size1] = size.to_le_bytes();
            *interval = match *interval {
                _ if bulk => 0,
                // 2^(n-1) microframes of 125 us; a frame has eight.
                exponent => (1u32 << (exponent.clamp(1, 16) - 1)).div_ceil(8).min(255) as u8,
            };
        }
        at += raw.length();
    }
    bytes
}

/// The binary device object store: what the device's link can do (USB 3.2, 9.6.2).
fn bos(speed: Speed) -> Vec<u8> {
    /// bDevCapabilityType (USB 3.2, Table 9-14).
    const USB_2_EXTENSION: u8 = 2;
    const SUPERSPEED_USB: u8 = 3;
    // LPM: a SuperSpeed device has it at high speed as well (USB 3.2, 9.6.2.1).
    let lpm = u8::from(speed.is_super()) << 1;
    let mut capabilities = vec![vec![7, kind::DEVICE_CAPABILITY, USB_2_EXTENSION, lpm, 0, 0, 0]];
    if speed.is_super() {
        // Full, high and SuperSpeed; all that it does it does from full speed on; out of U1 in 10 us, out of U2 in 500 us.
        let [u2_low, u2_high] = 500u16.to_le_bytes();
        capabilities.push(vec![
            10,
            kind::DEVICE_CAPABILITY,
            SUPERSPEED_USB,
            0,
            0b1110,
            0,
            1,
            10,
            u2_low,
            u2_high,
        ]);
    }
    let total = 5 + capabilities.iter().map(Vec::len).sum::<usize>();
    let [total_low, total_high] = (total as u16).to_le_bytes();
    let mut bytes = vec![5, kind::BOS, total_low, total_high, capabilities.len() as u8];
    bytes.extend(capabilities.into_iter().flatten());
    bytes
}
