//! Which frames the device shall pass on: from what the host wants of its interface to requests, one at a time. It knows no device and
//! sends nothing.

use outboard_core::MacAddr;
use outboard_core::family::ethernet::HostWish;

use crate::proto::functional::MulticastFilters;
use crate::proto::request::PacketFilter;

/// A request of the filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterRequest {
    /// SetEthernetMulticastFilters with these groups (ECM120, 6.2.1).
    Multicast(Vec<MacAddr>),
    /// SetEthernetPacketFilter (ECM120, 6.2.4).
    Packet(PacketFilter),
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The device took it.
    Done,
    /// STALL: the device does not know the request.
    Refused,
    /// Anything else.
    Failed,
}

#[derive(Debug, Clone)]
pub(super) struct Filter {
    offered: MulticastFilters,
    station: MacAddr,
    wanted: Wanted,
    /// What the device has, as far as we know; `None`: it has to be told.
    packet: Option<PacketFilter>,
    groups: Option<Vec<MacAddr>>,
    asked: Option<FilterRequest>,
    /// The device forgot while it was asked: the answer says nothing.
    stale: bool,
    lists_refused: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wanted {
    packet: PacketFilter,
    groups: Vec<MacAddr>,
}

impl Filter {
    pub(super) fn new(offered: MulticastFilters, station: MacAddr) -> Self {
        let packet = PacketFilter::DIRECTED | PacketFilter::BROADCAST;
        let wanted = Wanted { packet, groups: Vec::new() };
        Self {
            offered,
            station,
            wanted,
            packet: None,
            groups: None,
            asked: None,
            stale: false,
            lists_refused: false,
        }
    }

    /// The host's wish is another one.
    pub(super) fn wish(&mut self, wish: &HostWish) {
        let mut packet = PacketFilter::DIRECTED | PacketFilter::BROADCAST;
        // The device passes its own address only; an interface in memory may have none.
        let unknown = self.station == MacAddr::ZERO;
        let foreign = wish.mac != self.station && wish.mac != MacAddr::ZERO;
        let stations = wish.multicast.iter().any(|address| !address.is_multicast());
        if wish.promiscuous || unknown || foreign || stations {
            packet |= PacketFilter::PROMISCUOUS;
        }
        let mut groups: Vec<_> = wish
            .multicast
            .iter()
            .copied()
            .filter(|group| group.is_multicast() && !group.is_broadcast())
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let fits = !self.lists_refused && groups.len() <= usize::from(self.offered.count);
        if wish.all_multicast || !fits {
            packet |= PacketFilter::ALL_MULTICAST;
            groups.clear();
        } else if !groups.is_empty() {
            packet |= PacketFilter::MULTICAST;
        }
        self.wanted = Wanted { packet, groups };
    }

    /// The device has forgotten everything: its alternate setting was selected anew.
    pub(super) fn forget(&mut self) {
        self.packet = None;
        self.groups = None;
        self.stale = self.asked.is_some();
    }

    /// The device has been told what is wanted, as far as it listens.
    pub(super) fn is_settled(&self) -> bool {
        self.asked.is_none() && self.next().is_none()
    }

    fn next(&self) -> Option<FilterRequest> {
        let Wanted { packet, groups } = &self.wanted;
        // The list first, so that the device never filters by an old one.
        if packet.contains(PacketFilter::MULTICAST) && self.groups.as_ref() != Some(groups) {
            return Some(FilterRequest::Multicast(groups.clone()));
        }
        (self.packet != Some(*packet)).then_some(FilterRequest::Packet(*packet))
    }

    pub(super) fn poll(&mut self) -> Option<FilterRequest> {
        if self.asked.is_some() {
            return None;
        }
        self.asked = self.next();
        self.asked.clone()
    }

    /// The request that was polled last has ended. A packet filter that the device refuses is tolerated: such devices pass everything.
    pub(super) fn answered(&mut self, answer: Answer) {
        let asked = self.asked.take();
        if std::mem::take(&mut self.stale) {
            return;
        }
        match (asked, answer) {
            (Some(FilterRequest::Packet(packet)), _) => self.packet = Some(packet),
            (Some(FilterRequest::Multicast(groups)), Answer::Done) => self.groups = Some(groups),
            (Some(FilterRequest::Multicast(_)), _) => {
                self.lists_refused = true;
                if self.wanted.packet.contains(PacketFilter::MULTICAST) {
                    self.wanted.packet =
                        PacketFilter::from_bits(self.wanted.packet.bits() & !PacketFilter::MULTICAST.bits());
                    self.wanted.packet |= PacketFilter::ALL_MULTICAST;
                    self.wanted.groups.clear();
                }
            }
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATION: MacAddr = MacAddr::new([0x52, 0x54, 0, 0, 0, 1]);
    const ALL: PacketFilter = PacketFilter::ALL_MULTICAST;

    fn group(n: u8) -> MacAddr {
        MacAddr::new([0x01, 0, 0x5e, 0, 0, n])
    }

    fn filter(count: u16) -> Filter {
        Filter::new(MulticastFilters { count, perfect: true }, STATION)
    }

    fn wish(groups: impl IntoIterator<Item = u8>) -> HostWish {
        HostWish {
            up: true,
            mac: STATION,
            multicast: groups.into_iter().map(group).collect(),
            ..HostWish::default()
        }
    }

    fn settle(filter: &mut Filter, answer: Answer) -> Vec<FilterRequest> {
        let mut asked = Vec::new();
        while let Some(request) = filter.poll() {
            assert_eq!(filter.poll(), None, "one at a time");
            asked.push(request);
            filter.answered(answer);
        }
        assert!(filter.is_settled());
        asked
    }

    #[test]
    fn a_list_that_fits_is_sent_before_its_filter() {
        let mut filter = filter(2);
        filter.wish(&wish([2, 1, 2]));
        let basic = PacketFilter::DIRECTED | PacketFilter::BROADCAST;
        assert_eq!(
            settle(&mut filter, Answer::Done),
            [
                FilterRequest::Multicast(vec![group(1), group(2)]),
                FilterRequest::Packet(basic | PacketFilter::MULTICAST)
            ]
        );
        filter.wish(&wish([1, 2, 3]));
        assert_eq!(settle(&mut filter, Answer::Done), [FilterRequest::Packet(basic | ALL)]);
        filter.wish(&wish([]));
        assert_eq!(settle(&mut filter, Answer::Done), [FilterRequest::Packet(basic)]);
        filter.wish(&wish([]));
        assert_eq!(settle(&mut filter, Answer::Done), []);
    }

    #[test]
    fn a_device_that_refuses_lists_gets_all_multicast() {
        let mut filter = filter(8);
        filter.wish(&wish([1]));
        let asked = settle(&mut filter, Answer::Refused);
        assert!(
            matches!(asked[..], [FilterRequest::Multicast(_), FilterRequest::Packet(packet)] if packet.contains(ALL))
        );
        filter.wish(&wish([1, 2]));
        assert_eq!(settle(&mut filter, Answer::Refused), []);
    }

    #[test]
    fn another_station_address_needs_every_frame() {
        let mut filter = filter(0);
        filter.wish(&HostWish { mac: MacAddr::new([2, 0, 0, 0, 0, 9]), ..wish([]) });
        let asked = settle(&mut filter, Answer::Done);
        assert!(
            matches!(asked[..], [FilterRequest::Packet(packet)] if packet.contains(PacketFilter::PROMISCUOUS))
        );
        filter.wish(&HostWish { mac: MacAddr::ZERO, ..wish([]) });
        let asked = settle(&mut filter, Answer::Done);
        assert!(
            matches!(asked[..], [FilterRequest::Packet(packet)] if !packet.contains(PacketFilter::PROMISCUOUS))
        );
    }

    #[test]
    fn wishes_that_change_meanwhile_are_sent_afterwards() {
        let mut filter = filter(8);
        filter.wish(&wish([1]));
        assert_eq!(filter.poll(), Some(FilterRequest::Multicast(vec![group(1)])));
        filter.wish(&wish([2]));
        assert_eq!(filter.poll(), None);
        filter.answered(Answer::Done);
        assert_eq!(filter.poll(), Some(FilterRequest::Multicast(vec![group(2)])));
        filter.answered(Answer::Done);
        assert!(matches!(filter.poll(), Some(FilterRequest::Packet(_))));
    }
}
