//! The requests of the Ethernet Control Model (ECM120, 6.2) as setup packets with their data. It sends nothing.

use super::functional::MulticastFilters;
use super::statistics::Statistic;
use outboard_core::MacAddr;
use outboard_core::usb::{Direction, Recipient, RequestKind, SetupPacket};
use std::ops::{BitOr, BitOrAssign};

/// bRequest (ECM120, Table 6).
pub mod code {
    /// SetEthernetMulticastFilters (ECM120, 6.2.1).
    pub const SET_ETHERNET_MULTICAST_FILTERS: u8 = 0x40;
    /// SetEthernetPowerManagementPatternFilter (ECM120, 6.2.2).
    pub const SET_ETHERNET_POWER_MANAGEMENT_PATTERN_FILTER: u8 = 0x41;
    /// GetEthernetPowerManagementPatternFilter (ECM120, 6.2.3).
    pub const GET_ETHERNET_POWER_MANAGEMENT_PATTERN_FILTER: u8 = 0x42;
    /// SetEthernetPacketFilter (ECM120, 6.2.4).
    pub const SET_ETHERNET_PACKET_FILTER: u8 = 0x43;
    /// GetEthernetStatistic (ECM120, 6.2.5).
    pub const GET_ETHERNET_STATISTIC: u8 = 0x44;
}

/// Which received frames the device passes on: wValue of SetEthernetPacketFilter (ECM120, Table 8). Selecting an
/// alternate setting resets it in the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PacketFilter(u16);

impl PacketFilter {
    //  15                     5      4         3         2         1          0
    // +-----------------------+---------+---------+--------+-----------+-----------+
    // | reserved, 0           |MULTICAST|BROADCAST|DIRECTED|    ALL_   |PROMISCUOUS|
    // |                       |(by list)|         |        | MULTICAST |           |
    // +-----------------------+---------+---------+--------+-----------+-----------+

    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Every frame on the wire.
    pub const PROMISCUOUS: Self = Self(1 << 0);
    /// Every frame to a group address.
    pub const ALL_MULTICAST: Self = Self(1 << 1);
    /// Frames to the device's own address.
    pub const DIRECTED: Self = Self(1 << 2);
    /// Frames to everyone.
    pub const BROADCAST: Self = Self(1 << 3);
    /// Frames to the group addresses that SetEthernetMulticastFilters listed.
    pub const MULTICAST: Self = Self(1 << 4);

    /// As wValue.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// From wValue, for the device side; reserved bits are dropped.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & 0x1f)
    }

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for PacketFilter {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for PacketFilter {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// A request from the host to the device with what its data stage carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutRequest {
    /// The setup packet; wLength is the length of `data`.
    pub setup: SetupPacket,
    /// The data stage; it may be empty.
    pub data: Vec<u8>,
}

/// Something that a request cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// More addresses than the device has filters.
    #[error("{wanted} multicast addresses are wanted, and the device has {offered} filters")]
    TooManyFilters {
        /// How many are wanted.
        wanted: usize,
        /// How many there are.
        offered: u16,
    },
    /// A number beyond bNumberPowerFilters.
    #[error("power filter {number} is wanted, and the device has {offered}")]
    NoSuchPowerFilter {
        /// Its number.
        number: u8,
        /// How many there are.
        offered: u8,
    },
    /// A pattern that does not fit in a request, or whose mask selects bytes beyond it.
    #[error("the wake-up pattern does not fit its mask or its request")]
    BadPattern,
}

/// SetEthernetMulticastFilters (ECM120, 6.2.1): the group addresses that `PacketFilter::MULTICAST` lets through, all at
/// once; the earlier ones are forgotten.
///
/// # Errors
/// If the device has fewer filters than there are addresses; then ask for `PacketFilter::ALL_MULTICAST`.
pub fn set_multicast_filters(
    interface: u8,
    filters: MulticastFilters,
    addresses: &[MacAddr],
) -> Result<OutRequest, BadRequest> {
    // 10,922 addresses of 6 bytes are what wLength can express.
    let most = filters.count.min(u16::MAX / 6);
    let count = u16::try_from(addresses.len()).ok().filter(|count| *count <= most);
    let count =
        count.ok_or(BadRequest::TooManyFilters { wanted: addresses.len(), offered: filters.count })?;
    let data = addresses.iter().flat_map(|address| address.octets()).collect();
    let code = code::SET_ETHERNET_MULTICAST_FILTERS;
    Ok(OutRequest { setup: setup(Direction::Out, code, count, interface, count * 6), data })
}

/// SetEthernetPacketFilter (ECM120, 6.2.4). Without data stage. Many devices answer STALL, which is no error.
pub const fn set_packet_filter(interface: u8, filter: PacketFilter) -> SetupPacket {
    setup(Direction::Out, code::SET_ETHERNET_PACKET_FILTER, filter.bits(), interface, 0)
}

/// GetEthernetStatistic (ECM120, 6.2.5). The answer is read by [`statistic_value`].
pub const fn statistic(interface: u8, statistic: Statistic) -> SetupPacket {
    setup(Direction::In, code::GET_ETHERNET_STATISTIC, statistic.selector(), interface, 4)
}

/// The answer to GetEthernetStatistic: the counter since the device was started, modulo 2^32. `None` if it is too short.
pub fn statistic_value(answer: &[u8]) -> Option<u32> {
    answer.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// A pattern of received bytes that wakes the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternFilter<'a> {
    /// A bit for each byte of the frame, from its first on and from bit 0 of the first byte on: whether it must match.
    pub mask: &'a [u8],
    /// The bytes of the frame from its first on; at least up to the last that must match, at most 8 for a byte of mask.
    pub pattern: &'a [u8],
}

/// SetEthernetPowerManagementPatternFilter (ECM120, 6.2.2 and Table 7): `None` clears it.
///
/// # Errors
/// If there is no filter of that number (they count from 0), or the pattern cannot be expressed.
pub fn set_power_filter(
    interface: u8,
    number: u8,
    offered: u8,
    filter: Option<PatternFilter<'_>>,
) -> Result<OutRequest, BadRequest> {
    if number >= offered {
        return Err(BadRequest::NoSuchPowerFilter { number, offered });
    }
    let mut data = Vec::new();
    if let Some(PatternFilter { mask, pattern }) = filter {
        let size = u16::try_from(mask.len()).map_err(|_| BadRequest::BadPattern)?;
        let last = mask.iter().rposition(|byte| *byte != 0).ok_or(BadRequest::BadPattern)?;
        let needed = last * 8 + 8 - mask[last].leading_zeros() as usize;
        if pattern.len() < needed || pattern.len() > mask.len() * 8 {
            return Err(BadRequest::BadPattern);
        }
        data.extend_from_slice(&size.to_le_bytes());
        data.extend_from_slice(mask);
        data.extend_from_slice(pattern);
    }
    let length = u16::try_from(data.len()).map_err(|_| BadRequest::BadPattern)?;
    let code = code::SET_ETHERNET_POWER_MANAGEMENT_PATTERN_FILTER;
    Ok(OutRequest { setup: setup(Direction::Out, code, number.into(), interface, length), data })
}

/// GetEthernetPowerManagementPatternFilter (ECM120, 6.2.3). The answer is read by [`power_filter_is_active`].
pub const fn power_filter(interface: u8, number: u8) -> SetupPacket {
    let code = code::GET_ETHERNET_POWER_MANAGEMENT_PATTERN_FILTER;
    setup(Direction::In, code, number as u16, interface, 2)
}

/// The answer to GetEthernetPowerManagementPatternFilter. `None` if it is too short.
pub fn power_filter_is_active(answer: &[u8]) -> Option<bool> {
    answer.first_chunk().map(|bytes| u16::from_le_bytes(*bytes) != 0)
}

const fn setup(direction: Direction, code: u8, value: u16, interface: u8, length: u16) -> SetupPacket {
    let recipient = Recipient::Interface;
    SetupPacket::new(direction, RequestKind::Class, recipient, code, value, interface as u16, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGHT: MulticastFilters = MulticastFilters { count: 8, perfect: true };

    #[test]
    fn the_packet_filter_is_as_linux_sends_it() {
        let filter = PacketFilter::DIRECTED | PacketFilter::BROADCAST | PacketFilter::ALL_MULTICAST;
        assert_eq!(set_packet_filter(2, filter).to_bytes(), [0x21, 0x43, 0x0e, 0x00, 0x02, 0x00, 0x00, 0x00]);
        assert_eq!(PacketFilter::from_bits(0xffff).bits(), 0x1f);
        assert!(filter.contains(PacketFilter::BROADCAST) && !filter.contains(PacketFilter::PROMISCUOUS));
    }

    #[test]
    fn multicast_addresses_follow_one_another() {
        let addresses = [MacAddr::new([1, 0, 0x5e, 0, 0, 1]), MacAddr::new([0x33, 0x33, 0, 0, 0, 1])];
        let request = set_multicast_filters(0, EIGHT, &addresses).unwrap();
        assert_eq!(request.setup.to_bytes(), [0x21, 0x40, 2, 0, 0, 0, 12, 0]);
        assert_eq!(request.data, [1, 0, 0x5e, 0, 0, 1, 0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(set_multicast_filters(0, EIGHT, &[]).unwrap().setup.length, 0);
        let all = vec![addresses[0]; 20_000];
        assert!(set_multicast_filters(0, EIGHT, &all[..9]).is_err());
        let most = MulticastFilters { count: 0x7fff, perfect: false };
        assert!(set_multicast_filters(0, most, &all[..10_923]).is_err());
        let request = set_multicast_filters(0, most, &all[..10_922]).unwrap();
        assert_eq!(usize::from(request.setup.length), request.data.len());
    }

    #[test]
    fn a_statistic_is_asked_for_by_selector() {
        let lost = Statistic::named("RCV_NO_BUFFER").unwrap();
        assert_eq!(statistic(1, lost).to_bytes(), [0xa1, 0x44, 5, 0, 1, 0, 4, 0]);
        assert_eq!(statistic_value(&[1, 2, 0, 0]), Some(0x201));
        assert_eq!(statistic_value(&[1, 2, 0]), None);
    }

    #[test]
    fn a_wake_up_pattern_has_its_mask_before_it() {
        let filter =
            PatternFilter { mask: &[0b0000_0011, 0b0000_0001], pattern: &[1, 2, 0, 0, 0, 0, 0, 0, 9] };
        let request = set_power_filter(0, 1, 2, Some(filter)).unwrap();
        assert_eq!(request.setup.to_bytes(), [0x21, 0x41, 1, 0, 0, 0, 13, 0]);
        assert_eq!(request.data[..4], [2, 0, 0b11, 0b1]);
        assert!(set_power_filter(0, 2, 2, None).is_err());
        assert_eq!(set_power_filter(0, 0, 2, None).unwrap().setup.length, 0);
        let short = PatternFilter { pattern: &filter.pattern[..8], ..filter };
        assert_eq!(set_power_filter(0, 0, 2, Some(short)), Err(BadRequest::BadPattern));
        let long = PatternFilter { mask: &[1], pattern: &[0; 9] };
        assert_eq!(set_power_filter(0, 0, 2, Some(long)), Err(BadRequest::BadPattern));
        let nothing = PatternFilter { mask: &[0, 0], pattern: &[] };
        assert_eq!(set_power_filter(0, 0, 2, Some(nothing)), Err(BadRequest::BadPattern));
        assert_eq!(power_filter(0, 1).to_bytes(), [0xa1, 0x42, 1, 0, 0, 0, 2, 0]);
        assert_eq!((power_filter_is_active(&[1, 0]), power_filter_is_active(&[1])), (Some(true), None));
    }
}
