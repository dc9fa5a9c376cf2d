//! What goes over the dongle's control and interrupt endpoints, seen from the device: codes, bits and notifications (ECM120, 6). It
//! holds no state.

use outboard_core::MacAddr;

/// bRequest of SetEthernetMulticastFilters (ECM120, 6.2.1).
pub const SET_ETHERNET_MULTICAST_FILTERS: u8 = 0x40;
/// bRequest of SetEthernetPacketFilter (ECM120, 6.2.4).
pub const SET_ETHERNET_PACKET_FILTER: u8 = 0x43;
/// bRequest of GetEthernetStatistic (ECM120, 6.2.5).
pub const GET_ETHERNET_STATISTIC: u8 = 0x44;

/// Bits of SetEthernetPacketFilter's wValue (ECM120, Table 8).
pub mod filter {
    /// Every frame.
    pub const PROMISCUOUS: u16 = 1 << 0;
    /// Every frame to a group.
    pub const ALL_MULTICAST: u16 = 1 << 1;
    /// Frames to the dongle's own address.
    pub const DIRECTED: u16 = 1 << 2;
    /// Frames to everyone.
    pub const BROADCAST: u16 = 1 << 3;
    /// Frames to the groups that SetEthernetMulticastFilters listed.
    pub const MULTICAST: u16 = 1 << 4;
}

/// bmRequestType of every notification: class, interface, device to host (CDC120, 6.3).
const NOTIFICATION: u8 = 0xa1;
/// bNotificationCode of NETWORK_CONNECTION (ECM120, 6.3.1).
const NETWORK_CONNECTION: u8 = 0x00;
/// bNotificationCode of CONNECTION_SPEED_CHANGE (ECM120, 6.3.3).
const CONNECTION_SPEED_CHANGE: u8 = 0x2a;
/// Bytes of a notification before its data.
pub const NOTIFICATION_HEADER: usize = 8;

/// NETWORK_CONNECTION: the link came up or went down.
pub fn network_connection(interface: u8, up: bool) -> Vec<u8> {
    vec![NOTIFICATION, NETWORK_CONNECTION, up.into(), 0, interface, 0, 0, 0]
}

/// CONNECTION_SPEED_CHANGE: bit rates towards the host and from it, in bits per second; what does not fit in 32 bits is the most that
/// does.
pub fn connection_speed_change(interface: u8, down: u64, up: u64) -> Vec<u8> {
    let word = |rate: u64| u32::try_from(rate).unwrap_or(u32::MAX).to_le_bytes();
    let header = [NOTIFICATION, CONNECTION_SPEED_CHANGE, 0, 0, interface, 0, 8, 0];
    [&header[..], &word(down), &word(up)].concat()
}

/// A packet filter with its list of groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PacketFilter {
    /// SetEthernetPacketFilter's wValue.
    pub bits: u16,
    /// SetEthernetMulticastFilters' addresses.
    pub groups: Vec<MacAddr>,
    /// It compares hashes of group addresses only.
    pub hashed: bool,
}

impl PacketFilter {
    /// Whether a frame to this address passes, `station` being the dongle's.
    pub fn passes(&self, destination: MacAddr, station: MacAddr) -> bool {
        let has = |bit| self.bits & bit != 0;
        if has(filter::PROMISCUOUS) {
            return true;
        }
        if destination.is_broadcast() {
            return has(filter::BROADCAST);
        }
        if destination.is_multicast() {
            return has(filter::ALL_MULTICAST) || has(filter::MULTICAST) && self.lists(destination);
        }
        has(filter::DIRECTED) && destination == station
    }

    fn lists(&self, group: MacAddr) -> bool {
        self.groups.iter().any(|listed| *listed == group || self.hashed && hash(*listed) == hash(group))
    }
}

/// Six bits, as the 64-bit tables of common chips have them; which function it is a host cannot know.
fn hash(group: MacAddr) -> u8 {
    group.octets().iter().fold(0, |hash, octet| hash ^ octet) & 0x3f
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATION: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
    const OTHER: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 2]);
    const LISTED: MacAddr = MacAddr::new([1, 0, 0x5e, 0, 0, 1]);
    const GROUP: MacAddr = MacAddr::new([1, 0, 0x5e, 0, 0, 2]);
    /// Its octets give LISTED's hash.
    const COLLIDES: MacAddr = MacAddr::new([1, 0, 0x5e, 0, 1, 0]);

    fn passing(bits: u16, hashed: bool) -> Vec<MacAddr> {
        let filter = PacketFilter { bits, groups: vec![LISTED], hashed };
        let all = [STATION, OTHER, MacAddr::BROADCAST, LISTED, GROUP, COLLIDES];
        all.into_iter().filter(|destination| filter.passes(*destination, STATION)).collect()
    }

    #[test]
    fn each_bit_passes_its_own_frames() {
        assert_eq!(passing(0, false), []);
        assert_eq!(passing(filter::DIRECTED, false), [STATION]);
        assert_eq!(passing(filter::BROADCAST, false), [MacAddr::BROADCAST]);
        assert_eq!(passing(filter::MULTICAST, false), [LISTED]);
        assert_eq!(passing(filter::MULTICAST, true), [LISTED, COLLIDES]);
        assert_eq!(passing(filter::ALL_MULTICAST, false), [LISTED, GROUP, COLLIDES]);
        assert_eq!(passing(filter::PROMISCUOUS, false).len(), 6);
    }

    #[test]
    fn notifications_are_as_the_specification_draws_them() {
        assert_eq!(network_connection(0, true), [0xa1, 0, 1, 0, 0, 0, 0, 0]);
        let speed = connection_speed_change(0, 100_000_000, 1 << 40);
        assert_eq!(speed, [0xa1, 0x2a, 0, 0, 0, 0, 8, 0, 0x00, 0xe1, 0xf5, 0x05, 0xff, 0xff, 0xff, 0xff]);
    }
}
