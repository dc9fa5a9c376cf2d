//! A UDP datagram as a frame, for a receiver that has no address yet and so cannot be found by ARP. It must not know what is in it.

use std::net::Ipv4Addr;

use outboard_core::MacAddr;
use smoltcp::phy::{ChecksumCapabilities, TxToken};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr,
    UdpPacket, UdpRepr,
};

/// Where a datagram comes from or goes to.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) station: MacAddr,
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
}

/// Sends it.
pub(super) fn send(room: impl TxToken, from: End, to: End, payload: &[u8]) {
    let checksums = ChecksumCapabilities::default();
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(from.station.octets()),
        dst_addr: EthernetAddress(to.station.octets()),
        ethertype: EthernetProtocol::Ipv4,
    };
    let udp = UdpRepr { src_port: from.port, dst_port: to.port };
    let ip = Ipv4Repr {
        src_addr: from.address,
        dst_addr: to.address,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + payload.len(),
        hop_limit: 64,
    };
    let headers = ethernet.buffer_len() + ip.buffer_len();
    room.consume(headers + ip.payload_len, |bytes| {
        ethernet.emit(&mut EthernetFrame::new_unchecked(&mut *bytes));
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[ethernet.buffer_len()..]), &checksums);
        udp.emit(
            &mut UdpPacket::new_unchecked(&mut bytes[headers..]),
            &from.address.into(),
            &to.address.into(),
            payload.len(),
            |space| space.copy_from_slice(payload),
            &checksums,
        );
    });
}
