//! Reads Ethernet, VLAN, IPv4, IPv6 and TCP headers as far as offloads need them, from bytes that anybody may have
//! sent. It changes nothing and knows no interface.

use super::checksum::Sum;

/// Bytes of an Ethernet header (IEEE 802.3, 3.1.1).
pub const ETHERNET_HEADER: usize = 14;

/// The longest frame header that we look into: Ethernet, two tags, IPv6 with some extension headers, TCP with all
/// its options. Superframes with longer headers are refused.
pub const MAX_HEADERS: usize = 256;

/// EtherType of IPv4 (RFC 894).
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6 (RFC 2464).
pub const IPV6: u16 = 0x86dd;
/// EtherType of a customer VLAN tag (IEEE 802.1Q, 9.5).
pub const CTAG: u16 = 0x8100;
/// EtherType of a service VLAN tag (IEEE 802.1Q, 9.5).
pub const STAG: u16 = 0x88a8;

const ICMPV6: u8 = 58;
const IGMP: u8 = 2;
/// IANA protocol number of TCP.
pub const TCP: u8 = 6;

/// TCP flags (RFC 9293, 3.1; RFC 3168, 6.1) as they stand in the fourteenth byte.
pub mod flags {
    /// No more data follows.
    pub const FIN: u8 = 0x01;
    /// Opens a connection.
    pub const SYN: u8 = 0x02;
    /// Aborts a connection.
    pub const RST: u8 = 0x04;
    /// The receiver shall not wait for more.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
    /// The sender reduced its congestion window.
    pub const CWR: u8 = 0x80;
}

/// The 16-bit field at `at`.
#[inline]
pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The 32-bit field at `at`.
#[inline]
pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Where the network header begins and what it is, behind up to two VLAN tags.
#[inline]
pub fn network(frame: &[u8]) -> Option<(usize, u16)> {
    let mut at = ETHERNET_HEADER;
    let mut ethertype = be16(frame, at - 2)?;
    for _ in 0..2 {
        if ethertype != CTAG && ethertype != STAG {
            break;
        }
        at += 4;
        ethertype = be16(frame, at - 2)?;
    }
    Some((at, ethertype))
}

/// A frame as a coalescer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A plain TCP segment, with data or without.
    Tcp(TcpFrame),
    /// TCP, or perhaps TCP, that must not be merged; nothing of its flow may pass it or be passed by it.
    Barrier,
    /// No TCP at all.
    Other,
}

/// Where the parts of a TCP segment lie. All offsets were checked against the frame that they were read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpFrame {
    /// Where the IP header begins.
    pub l3: usize,
    /// Where the TCP header begins.
    pub l4: usize,
    /// Where the payload begins; the frame ends with it.
    pub payload: usize,
    /// IPv6, not IPv4.
    pub v6: bool,
}

impl TcpFrame {
    /// The pseudo header (RFC 9293, 3.1; RFC 8200, 8.1) for `length` bytes of TCP header and payload.
    #[inline]
    pub fn pseudo_header(&self, frame: &[u8], length: usize) -> Sum {
        let addresses =
            if self.v6 { &frame[self.l3 + 8..self.l3 + 40] } else { &frame[self.l3 + 12..self.l3 + 20] };
        Sum::of(addresses).word(u16::from(TCP)).long(length as u32)
    }

    /// Whether the TCP checksum is right.
    #[inline]
    pub fn is_intact(&self, frame: &[u8]) -> bool {
        self.pseudo_header(frame, frame.len() - self.l4).and(Sum::of(&frame[self.l4..])).is_valid()
    }
}

/// Sorts a frame. [`Class::Tcp`] is only what a kernel's GRO would consider too: no IP options, extension headers
/// or fragments, lengths that agree exactly, an intact IPv4 header.
#[inline]
pub fn classify(frame: &[u8]) -> Class {
    match network(frame) {
        Some((l3, IPV4)) => classify_ipv4(frame, l3).unwrap_or(Class::Barrier),
        Some((l3, IPV6)) => classify_ipv6(frame, l3).unwrap_or(Class::Barrier),
        _ => Class::Other,
    }
}

fn classify_ipv4(frame: &[u8], l3: usize) -> Option<Class> {
    let header: &[u8; 20] = frame.get(l3..)?.first_chunk()?;
    if header[9] != TCP {
        return Some(Class::Other);
    }
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // Only DF may be set: RFC 791, 3.1.
    if header[0] != 0x45
        || fragment & !0x4000 != 0
        || length != frame.len() - l3
        || !Sum::of(header).is_valid()
    {
        return Some(Class::Barrier);
    }
    tcp(frame, l3, l3 + 20, false)
}

fn classify_ipv6(frame: &[u8], l3: usize) -> Option<Class> {
    let header: &[u8; 40] = frame.get(l3..)?.first_chunk()?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    match header[6] {
        TCP => {}
        // Hop-by-hop options, routing, fragment and destination options may have TCP behind them (RFC 8200, 4.1).
        0 | 43 | 44 | 60 => return Some(Class::Barrier),
        _ => return Some(Class::Other),
    }
    if header[0] >> 4 != 6 || length != frame.len() - l3 - 40 {
        return Some(Class::Barrier);
    }
    tcp(frame, l3, l3 + 40, true)
}

fn tcp(frame: &[u8], l3: usize, l4: usize, v6: bool) -> Option<Class> {
    let header: &[u8; 20] = frame.get(l4..)?.first_chunk()?;
    let payload = l4 + usize::from(header[12] >> 4) * 4;
    if payload < l4 + 20 || payload > frame.len() {
        return None;
    }
    Some(Class::Tcp(TcpFrame { l3, l4, payload, v6 }))
}

/// Whether this frame tells routers which multicast groups its sender wants: IGMP (RFC 9776, 4) or an MLD report or
/// done message (RFC 9777, 5.2; RFC 2710, 3). The list of the interface that sent it has just changed, or is being asked for.
#[inline]
pub fn is_membership_report(frame: &[u8]) -> bool {
    // All of them go to group addresses, which most traffic does not.
    frame.first().is_some_and(|octet| octet & 1 != 0) && membership(frame).unwrap_or(false)
}

fn membership(frame: &[u8]) -> Option<bool> {
    match network(frame)? {
        (l3, IPV4) => Some(*frame.get(l3 + 9)? == IGMP),
        (l3, IPV6) if *frame.get(l3 + 6)? == 0 => {
            // One hop-by-hop header with the router alert, then ICMPv6 131, 132 or 143.
            let next = *frame.get(l3 + 40)?;
            let icmp = l3 + 40 + (usize::from(*frame.get(l3 + 41)?) + 1) * 8;
            Some(next == ICMPV6 && matches!(*frame.get(icmp)?, 131 | 132 | 143))
        }
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Family, TcpTemplate};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tcp_is_found_behind_tags_and_options() {
        for (tags, l3) in [(0, 14), (1, 18), (2, 22)] {
            for (family, ip) in [(Family::V4, 20), (Family::V6, 40)] {
                let template = TcpTemplate { tags, family, options: 12, ..TcpTemplate::default() };
                let frame = template.frame(0, b"data");
                let l4 = l3 + ip;
                let expected = TcpFrame { l3, l4, payload: l4 + 32, v6: family == Family::V6 };
                assert_eq!(classify(&frame), Class::Tcp(expected));
                assert!(expected.is_intact(&frame));
            }
        }
    }

    #[test]
    fn what_may_not_be_merged_is_a_barrier() {
        let good = TcpTemplate::default().frame(0, b"data");
        let change = |at: usize, value: u8| {
            let mut frame = good.clone();
            frame[at] = value;
            // The header checksum is made right again, so that only the change can be the reason.
            frame[24..26].fill(0);
            let check = Sum::of(&frame[14..34]).checksum();
            frame[24..26].copy_from_slice(&check);
            classify(&frame)
        };
        assert!(matches!(change(22, 3), Class::Tcp(_)), "another time to live");
        assert_eq!(change(14, 0x46), Class::Barrier, "options");
        assert_eq!(change(20, 0x20), Class::Barrier, "more fragments");
        assert_eq!(change(21, 0x01), Class::Barrier, "a later fragment");
        assert_eq!(change(17, 0), Class::Barrier, "a length that is not the frame's");
        assert_eq!(change(46, 0x40), Class::Barrier, "a TCP header too short");
        assert_eq!(change(46, 0xf0), Class::Barrier, "a TCP header beyond the end");
        assert_eq!(change(23, 17), Class::Other, "UDP");
        let mut frame = good.clone();
        frame[25] ^= 1;
        assert_eq!(classify(&frame), Class::Barrier, "a broken header checksum");
    }

    #[test]
    fn membership_reports_are_seen() {
        let mut igmp = vec![0; 60];
        igmp[0..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, 0x16]);
        igmp[12..14].copy_from_slice(&IPV4.to_be_bytes());
        igmp[14] = 0x46;
        igmp[23] = IGMP;
        assert!(is_membership_report(&igmp));
        igmp[23] = 17;
        assert!(!is_membership_report(&igmp));
        let mut mld = vec![0; 90];
        mld[0..2].copy_from_slice(&[0x33, 0x33]);
        mld[12..14].copy_from_slice(&IPV6.to_be_bytes());
        mld[14 + 40] = ICMPV6;
        mld[14 + 48] = 143;
        assert!(is_membership_report(&mld));
        mld[14 + 48] = 135;
        assert!(!is_membership_report(&mld));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), ethertype in 0..5_usize) {
            let mut bytes = bytes;
            if let Some(field) = bytes.get_mut(12..14) {
                field.copy_from_slice(&[IPV4, IPV6, CTAG, STAG, 0x0806][ethertype].to_be_bytes());
            }
            if let Class::Tcp(tcp) = classify(&bytes) {
                prop_assert!(tcp.l3 < tcp.l4 && tcp.l4 + 20 <= tcp.payload && tcp.payload <= bytes.len());
                tcp.is_intact(&bytes);
            }
            is_membership_report(&bytes);
        }
    }
}
