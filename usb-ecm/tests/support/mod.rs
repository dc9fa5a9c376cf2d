//! The smallest ECM device that a driver can be tested against: what the host does is kept in a log, what the device does is said by the
//! test. It must not know the driver.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU8;
use std::time::Instant;

use outboard_core::usb::descriptor::{
    AlternateSetting, Configuration, DeviceDescriptor, DeviceDescriptors, Endpoint, encode_languages,
    encode_string, kind,
};
use outboard_core::usb::transport::in_process::{DeviceModel, Handshake};
use outboard_core::usb::{SetupPacket, Speed, class};
use outboard_usb_ecm::proto::function::subclass;
use outboard_usb_ecm::proto::functional::{EthernetNetworking, MulticastFilters};
use outboard_usb_ecm::proto::notification::Notification;

pub(crate) const BULK_IN: u8 = 0x81;
pub(crate) const BULK_OUT: u8 = 0x02;
pub(crate) const NOTIFY: u8 = 0x83;
pub(crate) const MAC: &str = "525400123456";

/// What the host did, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Configured(u8),
    Alternate(u8, u8),
    /// A class request: bRequest, wValue, data.
    Request(u8, u16, Vec<u8>),
    /// The first packet asked for on this endpoint since the alternate setting was selected.
    Polled(u8),
}

/// The device.
#[derive(Debug, Clone)]
pub(crate) struct Ecm {
    pub(crate) speed: Speed,
    pub(crate) vendor: u16,
    pub(crate) product: u16,
    pub(crate) mac: Option<String>,
    pub(crate) ethernet: EthernetNetworking,
    pub(crate) notifies: bool,
    pub(crate) notify_packet: u16,
    /// A first configuration that is not ECM.
    pub(crate) decoy: bool,
    pub(crate) log: Vec<Seen>,
    /// Packets to come from each endpoint; an `Err` is a STALL.
    pub(crate) frames: VecDeque<Result<Vec<u8>, ()>>,
    pub(crate) notifications: VecDeque<Result<Vec<u8>, ()>>,
    /// Frames that came, each with the sizes of its packets.
    pub(crate) sent: Vec<(Vec<u8>, Vec<usize>)>,
    pub(crate) partial: (Vec<u8>, Vec<usize>),
    pub(crate) stall_requests: BTreeSet<u8>,
    /// How many more OUT packets are answered with STALL.
    pub(crate) stall_out: u32,
    /// How many more IN packets are answered with STALL.
    pub(crate) stall_in: u32,
    /// OUT packets are refused for the moment.
    pub(crate) deaf_out: bool,
    pub(crate) stall_everything: bool,
    /// Alternate settings are refused.
    pub(crate) fixed: bool,
    pub(crate) polled: BTreeSet<u8>,
    /// Bytes of the first frame in the queue that have been sent.
    pub(crate) position: usize,
}

impl Default for Ecm {
    fn default() -> Self {
        Self {
            speed: Speed::High,
            vendor: 0x1209,
            product: 0x0001,
            mac: Some(MAC.into()),
            ethernet: EthernetNetworking {
                mac_string: NonZeroU8::new(1),
                statistics: 0,
                max_segment_size: 1514,
                multicast: MulticastFilters { count: 0, perfect: true },
                power_filters: 0,
            },
            notifies: true,
            notify_packet: 16,
            decoy: false,
            log: Vec::new(),
            frames: VecDeque::new(),
            notifications: VecDeque::new(),
            sent: Vec::new(),
            partial: Default::default(),
            stall_requests: BTreeSet::new(),
            stall_out: 0,
            stall_in: 0,
            deaf_out: false,
            stall_everything: false,
            fixed: false,
            polled: BTreeSet::new(),
            position: 0,
        }
    }
}

impl Ecm {
    pub(crate) fn notify(&mut self, notification: Notification) {
        let (bytes, length) = notification.to_bytes(0);
        for packet in bytes[..length].chunks(self.notify_packet.into()) {
            self.notifications.push_back(Ok(packet.to_vec()));
        }
    }

    pub(crate) fn frame(&mut self, frame: impl Into<Vec<u8>>) {
        self.frames.push_back(Ok(frame.into()));
    }

    pub(crate) fn payloads(&self) -> Vec<Vec<u8>> {
        self.sent.iter().map(|(frame, _)| frame.clone()).collect()
    }

    fn ecm_configuration(&self) -> Configuration {
        let bulk = match self.speed {
            Speed::Low | Speed::Full => 64,
            Speed::High => 512,
            Speed::Super | Speed::SuperPlus => 1024,
        };
        let mut control = AlternateSetting::new(0, 0, class::COMMUNICATIONS, subclass::ETHERNET, 0);
        control.extra.append(kind::CS_INTERFACE, &[0x00, 0x20, 0x01]);
        control.extra.append(kind::CS_INTERFACE, &[0x06, 0, 1]);
        control.extra.append(kind::CS_INTERFACE, &self.ethernet.to_content());
        if self.notifies {
            control.endpoints.push(Endpoint::interrupt(NOTIFY, self.notify_packet, 4));
        }
        let mut data = AlternateSetting::new(1, 1, class::CDC_DATA, 0, 0);
        data.endpoints.extend([Endpoint::bulk(BULK_IN, bulk), Endpoint::bulk(BULK_OUT, bulk)]);
        let mut configuration = Configuration::new(if self.decoy { 2 } else { 1 });
        configuration.push(control);
        configuration.push(AlternateSetting::new(1, 0, class::CDC_DATA, 0, 0));
        configuration.push(data);
        configuration
    }
}

impl DeviceModel for Ecm {
    fn speed(&self) -> Speed {
        self.speed
    }

    fn descriptors(&self) -> Vec<u8> {
        let mut configurations = vec![self.ecm_configuration()];
        if self.decoy {
            let mut decoy = Configuration::new(1);
            decoy.push(AlternateSetting::new(0, 0, class::COMMUNICATIONS, subclass::ACM, 0xff));
            configurations.insert(0, decoy);
        }
        DeviceDescriptors::new(DeviceDescriptor::new(self.vendor, self.product), configurations)
            .to_bytes(self.speed)
    }

    fn string_descriptor(&self, index: u8, _: u16) -> Option<Vec<u8>> {
        match index {
            _ if self.stall_everything => None,
            0 => Some(encode_languages(&[0x0409])),
            1 => self.mac.as_deref().map(encode_string),
            _ => None,
        }
    }

    fn control_in(&mut self, setup: SetupPacket, _: Instant) -> Handshake<Vec<u8>> {
        if self.stall_everything || self.stall_requests.contains(&setup.request) {
            return Handshake::Stall;
        }
        Handshake::Ack((u32::from(setup.value) * 100).to_le_bytes().to_vec())
    }

    fn control_out(&mut self, setup: SetupPacket, data: &[u8], _: Instant) -> Handshake {
        self.log.push(Seen::Request(setup.request, setup.value, data.to_vec()));
        if self.stall_everything || self.stall_requests.contains(&setup.request) {
            return Handshake::Stall;
        }
        Handshake::Ack(())
    }

    fn configured(&mut self, value: u8, _: Instant) {
        self.log.push(Seen::Configured(value));
        self.polled.clear();
        self.position = 0;
    }

    fn alternate_selected(&mut self, interface: u8, alternate: u8, _: Instant) -> bool {
        self.log.push(Seen::Alternate(interface, alternate));
        self.polled.clear();
        !self.fixed
    }

    fn packet_in(&mut self, endpoint: u8, space: &mut [u8], _: Instant) -> Handshake<usize> {
        if self.polled.insert(endpoint) {
            self.log.push(Seen::Polled(endpoint));
        }
        if self.stall_everything {
            return Handshake::Stall;
        }
        if endpoint == NOTIFY {
            return match self.notifications.pop_front() {
                None => Handshake::Nak,
                Some(Err(())) => Handshake::Stall,
                Some(Ok(packet)) => {
                    space[..packet.len()].copy_from_slice(&packet);
                    Handshake::Ack(packet.len())
                }
            };
        }
        if self.stall_in > 0 {
            self.stall_in -= 1;
            return Handshake::Stall;
        }
        match self.frames.front() {
            None => Handshake::Nak,
            Some(Err(())) => {
                self.frames.pop_front();
                Handshake::Stall
            }
            Some(Ok(frame)) => {
                let rest = &frame[self.position..];
                let n = rest.len().min(space.len());
                space[..n].copy_from_slice(&rest[..n]);
                self.position += n;
                if n < space.len() {
                    self.frames.pop_front();
                    self.position = 0;
                }
                Handshake::Ack(n)
            }
        }
    }

    fn packet_out(&mut self, _: u8, packet: &[u8], _: Instant) -> Handshake {
        if self.deaf_out {
            return Handshake::Nak;
        }
        if self.stall_everything || self.stall_out > 0 {
            self.stall_out = self.stall_out.saturating_sub(1);
            self.partial = Default::default();
            return Handshake::Stall;
        }
        self.partial.0.extend_from_slice(packet);
        self.partial.1.push(packet.len());
        let full = match self.speed {
            Speed::Low | Speed::Full => 64,
            Speed::High => 512,
            Speed::Super | Speed::SuperPlus => 1024,
        };
        if packet.len() < full {
            self.sent.push(std::mem::take(&mut self.partial));
        }
        Handshake::Ack(())
    }
}
