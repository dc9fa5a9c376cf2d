//! An Ethernet dongle that speaks CDC-ECM (USB CDC 1.2; ECM 1.2, cited as CDC120 and ECM120), and what a test can have wrong about it. It
//! must not know any driver: its constants are its own.

pub mod broken;
mod descriptors;
mod dongle;
mod fault;
mod link;
mod observed;
pub mod requests;
mod statistics;
mod variant;

use outboard_core::MacAddr;
use outboard_core::usb::Speed;

pub use dongle::EcmDongle;
pub use fault::{HostFault, Step};
pub use statistics::Statistics;
pub use variant::{NoSuchVariant, Variant};

pub use crate::observed::Link;

/// bInterfaceNumber of the dongle's communications interface: class requests go there.
pub const CONTROL_INTERFACE: u8 = 0;
/// bInterfaceNumber of the dongle's data interface.
pub const DATA_INTERFACE: u8 = 1;
/// bEndpointAddress of the notifications.
pub const NOTIFICATION_IN: u8 = 0x81;
/// bEndpointAddress of the frames to the host.
pub const FRAMES_IN: u8 = 0x82;
/// bEndpointAddress of the frames from the host.
pub const FRAMES_OUT: u8 = 0x03;

/// What the dongle is. The default is a faultless one at high speed; tests change what they are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcmOptions {
    /// The speed it is attached at; full, high or super.
    pub speed: Speed,
    /// idVendor and idProduct.
    pub id: (u16, u16),
    /// iSerialNumber's text.
    pub serial: Option<String>,
    /// What iMACAddress leads to.
    pub mac: MacString,
    /// The station whose frames are directed to it, where `mac` names none.
    pub station: MacAddr,
    /// The interrupt endpoint, if there is one.
    pub notification: Option<NotificationEndpoint>,
    /// Whether it ever uses the interrupt endpoint.
    pub notifies: bool,
    /// Sends the speeds of CONNECTION_SPEED_CHANGE in a packet of their own.
    pub split_speed: bool,
    /// The Header functional descriptor.
    pub header: Functional,
    /// The Union functional descriptor.
    pub union: Functional,
    /// The Ethernet Networking functional descriptor.
    pub ethernet: Functional,
    /// Where the functional descriptors are.
    pub place: Place,
    /// What else it offers, in a configuration of its own before ECM's.
    pub neighbour: Option<Neighbour>,
    /// wMaxSegmentSize: the longest frame in bytes, without VLAN tag and FCS.
    pub max_segment_size: u16,
    /// wNumberMCFilters without its bit 15: how many group addresses it filters by, 0 to 32,767.
    pub multicast_filters: u16,
    /// Bit 15 of wNumberMCFilters: it filters by a hash, so that other groups' frames pass too.
    pub multicast_hashed: bool,
    /// bmEthernetStatistics.
    pub statistics: u32,
    /// Stalls SetEthernetPacketFilter, and passes everything for its host.
    pub filter_stalls: bool,
    /// wMaxPacketSize of the bulk endpoints; `None`: what the speed has.
    pub packet_size: Option<u16>,
    /// How a frame to the host ends that fills its last packet.
    pub ending: Ending,
    /// Whether the data interface has the alternate setting 0 without endpoints. Without it the endpoints are in setting 0.
    pub idle_alternate: bool,
    /// Whether the link is up when the host starts the dongle, and how fast it is.
    pub link: Link,
    /// Frames take the time on the wire that the link's speed says. Otherwise none.
    pub paced: bool,
    /// Frames to the host that the dongle holds; what comes then is lost and counted.
    pub receive_queue: usize,
    /// Frames stay on the wire when the queue is full, as with pause frames (IEEE 802.3, annex 31B), and none is lost.
    pub flow_control: bool,
}

/// What iMACAddress leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MacString {
    /// A string descriptor of this text.
    Text(String),
    /// These bytes for a string descriptor.
    Raw(Vec<u8>),
    /// A STALL.
    Stalls,
    /// iMACAddress is 0.
    Absent,
}

/// The interrupt endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotificationEndpoint {
    /// wMaxPacketSize. Below 16, CONNECTION_SPEED_CHANGE does not fit in one packet.
    pub packet_size: u16,
    /// bInterval; `None`: 32 ms at the dongle's speed.
    pub interval: Option<u8>,
}

/// A functional descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Functional {
    /// As it should be.
    Present,
    /// Not there.
    Absent,
    /// As it should be, and once more.
    Twice,
    /// This instead of what follows bDescriptorType: bDescriptorSubtype first, at most 253 bytes.
    Odd(Vec<u8>),
}

/// Where the functional descriptors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Behind the communications interface's descriptor, where they belong.
    Interface,
    /// Behind the configuration's descriptor (Motorola SB4100).
    Configuration,
    /// Behind the interrupt endpoint's descriptor (2Wire).
    Endpoint,
}

/// What a dongle offers in its first configuration, before ECM in the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// RNDIS with bConfigurationValue 2, ECM with 1, like QEMU's usb-net.
    Rndis,
    /// The vendor's own with bConfigurationValue 1, ECM with 2, like RTL8152 and RTL8153.
    Vendor,
}

/// How a frame to the host ends that fills its last packet (USB 2.0, 5.8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By a packet of no bytes.
    ZeroLengthPacket,
    /// By a packet of one byte that is not part of the frame.
    Padding,
}

impl Default for EcmOptions {
    fn default() -> Self {
        Self {
            speed: Speed::High,
            id: (0x1209, 0x0ecc),
            serial: Some("1".into()),
            mac: MacString::Text("525400E0CC01".into()),
            station: MacAddr::new([0x52, 0x54, 0x00, 0xe0, 0xcc, 0x01]),
            notification: Some(NotificationEndpoint { packet_size: 16, interval: None }),
            notifies: true,
            split_speed: false,
            header: Functional::Present,
            union: Functional::Present,
            ethernet: Functional::Present,
            place: Place::Interface,
            neighbour: None,
            max_segment_size: 1514,
            multicast_filters: 32,
            multicast_hashed: false,
            // What it counts: XMIT_OK to BROADCAST_FRAMES_RCV, and TRANSMIT_QUEUE_LENGTH (ECM120, Table 4).
            statistics: 0x0005_ffff,
            filter_stalls: false,
            packet_size: None,
            ending: Ending::ZeroLengthPacket,
            idle_alternate: true,
            link: Link::up(100_000_000),
            paced: false,
            receive_queue: 256,
            flow_control: false,
        }
    }
}

impl EcmOptions {
    /// The default at this speed, with a link such as dongles of this speed have: 10, 100 or 1000 Mbit/s.
    pub fn at(speed: Speed) -> Self {
        let link = Link::up(match speed {
            Speed::Low | Speed::Full => 10_000_000,
            Speed::High => 100_000_000,
            Speed::Super | Speed::SuperPlus => 1_000_000_000,
        });
        Self { speed, link, ..Self::default() }
    }

    /// bConfigurationValue of ECM.
    pub const fn configuration(&self) -> u8 {
        match self.neighbour {
            None | Some(Neighbour::Rndis) => 1,
            Some(Neighbour::Vendor) => 2,
        }
    }

    /// bAlternateSetting of the data interface that has the endpoints.
    pub const fn data_alternate(&self) -> u8 {
        self.idle_alternate as u8
    }

    /// wMaxPacketSize of the bulk endpoints.
    pub fn bulk_packet_size(&self) -> u16 {
        self.packet_size.unwrap_or(match self.speed {
            Speed::Low | Speed::Full => 64,
            Speed::High => 512,
            Speed::Super | Speed::SuperPlus => 1024,
        })
    }

    /// The longest frame that the dongle takes, in bytes: wMaxSegmentSize and a VLAN tag.
    pub fn longest_frame(&self) -> usize {
        usize::from(self.max_segment_size) + 4
    }
}
