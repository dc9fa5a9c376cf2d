//! Endpoint descriptors and their SuperSpeed companions (USB 2.0, 9.6.6; USB 3.2, 9.6.6 to 9.6.8). It knows no interface.

use super::{Extra, kind};
use crate::usb::{Direction, Speed, TransferType, endpoint_number};

/// An endpoint of an alternate setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// bEndpointAddress: number 1 to 15, and the direction in bit 7. From the parser, reserved bits are clear.
    pub address: u8,
    /// bmAttributes, bits 1..0.
    pub transfer_type: TransferType,
    /// bmAttributes, bits 7..2: synchronisation and usage of isochronous endpoints, in their places in the byte.
    pub usage: u8,
    /// The most bytes of payload in a packet, at most 1024: wMaxPacketSize without the transactions, cut to what the
    /// speed allows. 0 where the device says so: nothing can be transferred.
    pub max_packet_size: u16,
    /// Packets in a microframe, 1 to 3; more than 1 only for periodic endpoints at high speed (USB 2.0, Table 9-13).
    pub transactions: u8,
    /// bInterval as the device says it: frames, or at high speed and above the exponent of 2^(n-1) microframes.
    pub interval: u8,
    /// bRefresh and bSynchAddress, which audio endpoints have (Audio 1.0, 4.6.1.1).
    pub audio: Option<[u8; 2]>,
    /// The SuperSpeed companion.
    pub companion: Option<EndpointCompanion>,
    /// Other descriptors behind it.
    pub extra: Extra,
}

/// What SuperSpeed adds to an endpoint (USB 3.2, 9.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndpointCompanion {
    /// bMaxBurst: packets in a burst, less one; 0 to 15.
    pub max_burst: u8,
    /// bmAttributes: streams of a bulk endpoint, Mult of an isochronous one.
    pub attributes: u8,
    /// wBytesPerInterval: what a periodic endpoint transfers in a service interval.
    pub bytes_per_interval: u16,
    /// dwBytesPerInterval of a SuperSpeedPlus isochronous companion (USB 3.2, 9.6.8).
    pub isochronous_bytes: Option<u32>,
}

impl EndpointCompanion {
    /// bLength (USB 3.2, Table 9-28).
    pub const LENGTH: usize = 6;
    /// bLength of the isochronous one (USB 3.2, Table 9-29).
    pub const ISOCHRONOUS_LENGTH: usize = 8;
}

impl Endpoint {
    /// bLength (USB 2.0, Table 9-13).
    pub const LENGTH: usize = 7;
    /// bLength of audio's (Audio 1.0, Table 4-20).
    pub const AUDIO_LENGTH: usize = 9;

    /// An endpoint without anything behind it, for the device side and tests.
    pub const fn new(address: u8, transfer_type: TransferType, max_packet_size: u16, interval: u8) -> Self {
        Self {
            address,
            transfer_type,
            usage: 0,
            max_packet_size,
            transactions: 1,
            interval,
            audio: None,
            companion: None,
            extra: Extra::new(),
        }
    }

    /// A bulk endpoint.
    pub const fn bulk(address: u8, max_packet_size: u16) -> Self {
        Self::new(address, TransferType::Bulk, max_packet_size, 0)
    }

    /// An interrupt endpoint.
    pub const fn interrupt(address: u8, max_packet_size: u16, interval: u8) -> Self {
        Self::new(address, TransferType::Interrupt, max_packet_size, interval)
    }

    /// The same with a SuperSpeed companion.
    #[must_use]
    pub const fn with_companion(mut self, companion: EndpointCompanion) -> Self {
        self.companion = Some(companion);
        self
    }

    /// Which way it transfers.
    pub const fn direction(&self) -> Direction {
        Direction::of(self.address)
    }

    /// Its number, 1 to 15.
    pub const fn number(&self) -> u8 {
        endpoint_number(self.address)
    }

    /// Appends the endpoint and what is behind it, as it goes over the bus.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let length = if self.audio.is_some() { Self::AUDIO_LENGTH } else { Self::LENGTH };
        let transactions = u16::from(self.transactions.clamp(1, 3) - 1);
        let [size0, size1] = (self.max_packet_size & 0x07ff | transactions << 11).to_le_bytes();
        let attributes = self.transfer_type.bits() | self.usage & 0xfc;
        bytes.extend_from_slice(&[
            length as u8,
            kind::ENDPOINT,
            self.address,
            attributes,
            size0,
            size1,
            self.interval,
        ]);
        bytes.extend_from_slice(self.audio.as_ref().map_or(&[], |audio| audio));
        if let Some(companion) = self.companion {
            let [per0, per1] = companion.bytes_per_interval.to_le_bytes();
            bytes.extend_from_slice(&[
                EndpointCompanion::LENGTH as u8,
                kind::ENDPOINT_COMPANION,
                companion.max_burst,
                companion.attributes,
                per0,
                per1,
            ]);
            if let Some(isochronous) = companion.isochronous_bytes {
                bytes.extend_from_slice(&[
                    EndpointCompanion::ISOCHRONOUS_LENGTH as u8,
                    kind::ISOCHRONOUS_COMPANION,
                    0,
                    0,
                ]);
                bytes.extend_from_slice(&isochronous.to_le_bytes());
            }
        }
        bytes.extend_from_slice(self.extra.bytes());
    }
}

/// The most bytes in a packet (USB 2.0, 5.5.3, 5.6.3, 5.7.3, 5.8.3; USB 3.2, Table 9-27). High-speed bulk must be 512,
/// but devices with 1024 exist and Linux lets them. An unknown speed is judged as the fastest.
pub(super) const fn max_packet_size(speed: Option<Speed>, transfer_type: TransferType) -> u16 {
    use TransferType::{Bulk, Control, Interrupt, Isochronous};
    match (speed, transfer_type) {
        (Some(Speed::Low), Control | Interrupt) => 8,
        (Some(Speed::Low), Isochronous | Bulk) => 0,
        (Some(Speed::Full), Control | Bulk | Interrupt) => 64,
        (Some(Speed::Full), Isochronous) => 1023,
        (Some(Speed::High), Control) => 64,
        (Some(Speed::Super | Speed::SuperPlus) | None, Control) => 512,
        (_, Isochronous | Bulk | Interrupt) => 1024,
    }
}

/// The values that bInterval may have (USB 2.0, Table 9-13). Only the periodic types have a range.
pub(super) const fn interval_range(speed: Option<Speed>, transfer_type: TransferType) -> (u8, u8) {
    match (transfer_type, speed) {
        (TransferType::Isochronous, _) => (1, 16),
        (TransferType::Interrupt, Some(Speed::High | Speed::Super | Speed::SuperPlus)) => (1, 16),
        (TransferType::Interrupt, _) => (1, 255),
        (TransferType::Control | TransferType::Bulk, _) => (0, 255),
    }
}
