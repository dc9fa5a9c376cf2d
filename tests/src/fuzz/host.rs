//! The fuzz targets of the host behind the virtual dongle: DHCP messages, HTTP connections, and whole frames. They know its promises, not its
//! ways.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use outboard_core::MacAddr;
use outboard_virtual_devices::ecm::{EcmDongle, EcmOptions};
use outboard_virtual_devices::host::dhcp::{DhcpOptions, Server};
use outboard_virtual_devices::host::http::{Content, Exchange, HTTP, LONGEST_HEAD};
use outboard_virtual_devices::host::{DISCARD, ECHO, Host, HostOptions, SOURCE};
use outboard_virtual_devices::wire::{Tester, Wire};

const SERVER: [u8; 4] = [10, 0, 2, 1];
const PEER: [u8; 4] = [10, 0, 2, 9];
const HOST_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0xe0, 0xcc, 0xfe];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// Pieces of the input, each behind a byte of its own meaning and two that say how long it is (up to 2047 bytes).
fn pieces(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let [meaning, low, high, rest @ ..] = data else { return None };
        let length = usize::from(u16::from_le_bytes([*low, *high]) & 0x7ff);
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        data = behind;
        Some((*meaning, piece))
    })
}

/// Datagrams for the DHCP server; the byte before each is the hours between them, in sixteenths.
pub fn host_dhcp(data: &[u8]) {
    let mut now = Instant::now();
    let options = DhcpOptions { pool: (Ipv4Addr::new(10, 0, 2, 100), 3), ..DhcpOptions::default() };
    let mut server = Server::new(&options, (SERVER.into(), 24), 1500, now);
    for (hours, payload) in pieces(data) {
        now += Duration::from_secs(225 * u64::from(hours));
        if let Ok(Some(reply)) = server.handle(payload, now) {
            assert!((300..=548).contains(&reply.payload.len()));
            let unicast = reply.address.octets()[..3] == SERVER[..3] && reply.station.is_valid_station();
            assert!(unicast || (reply.station, reply.address) == (MacAddr::BROADCAST, Ipv4Addr::BROADCAST));
        }
        let mut leases: Vec<_> = server.leases(now).map(|lease| lease.address).collect();
        leases.sort();
        leases.dedup();
        assert_eq!(leases.len(), server.leases(now).count(), "an address is leased once");
        assert!(leases.len() <= 3);
    }
}

/// Pieces of a connection to the HTTP server; the byte before each says how much of the answer is sent, in units of 16 bytes.
pub fn host_http(data: &[u8]) {
    let mut exchange = Exchange::new();
    for (sent, piece) in pieces(data) {
        let room = exchange.room();
        assert!(room == usize::MAX || room <= LONGEST_HEAD);
        exchange.feed(&piece[..piece.len().min(room)]);
        if exchange.asks().is_some() {
            let content = Content { media_type: "text/plain", bytes: vec![b'x'; 3000] };
            exchange.answer((sent & 1 == 0).then_some(content));
        }
        assert!(exchange.unsent().len() < 4000);
        let begins = exchange.unsent().starts_with(b"HTTP/1.1 ");
        exchange.advance(usize::from(sent) * 16);
        assert!(exchange.answers() > 0 || !begins);
    }
}

/// Frames for the host, and what it does with them and in the time between. The byte before each says what the piece is: a frame as it
/// is, one whose lengths and checksums are put right, or the flags and payload of a segment that continues a connection.
pub fn host_frames(data: &[u8]) {
    let mut now = Instant::now();
    let mut host = Host::new(&HostOptions { buffer: 2048, ..HostOptions::default() }, now);
    let observed = EcmDongle::new(EcmOptions::default(), Tester::new()).observed();
    let mut flows = [HTTP, ECHO, DISCARD, SOURCE].map(Flow::new);
    let mut frame = Vec::new();
    for (meaning, piece) in pieces(data) {
        let to_host = match meaning & 3 {
            0 => piece.to_vec(),
            1 => mended(piece),
            _ => {
                let [flags, payload @ ..] = piece else { continue };
                flows[usize::from(meaning >> 2 & 3)].segment(*flags, payload)
            }
        };
        host.to_wire(&to_host, now);
        let mut count = 0;
        loop {
            while host.from_wire(&mut frame, now) {
                flows.iter_mut().for_each(|flow| flow.see(&frame));
                count += 1;
                assert!(count < 4096, "it never stops");
            }
            if !host.asks() {
                break;
            }
            host.told(observed.clone());
        }
        // Either a moment, or until the host wants to do something.
        let wake = host.next_wake(now).filter(|_| meaning & 0x40 != 0);
        now = wake.unwrap_or(now).max(now + Duration::from_micros(100 << (meaning >> 4 & 3)));
        assert!(host.leases(now).len() <= 16);
    }
}

/// A TCP connection as far as it takes to continue it: what is next to be said and to be acknowledged.
struct Flow {
    port: u16,
    next: u32,
    acknowledged: u32,
}

impl Flow {
    fn new(port: u16) -> Self {
        Self { port, next: 1000, acknowledged: 0 }
    }

    fn segment(&mut self, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut segment = vec![0; 20];
        segment[..2].copy_from_slice(&40_000u16.to_be_bytes());
        segment[2..4].copy_from_slice(&self.port.to_be_bytes());
        segment[4..8].copy_from_slice(&self.next.to_be_bytes());
        segment[8..12].copy_from_slice(&self.acknowledged.to_be_bytes());
        (segment[12], segment[13], segment[14]) = (0x50, flags, 0x40);
        segment.extend_from_slice(payload);
        self.next = self.next.wrapping_add(payload.len() as u32 + u32::from(flags & 3 != 0));
        let ip = [&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0][..], &PEER, &SERVER].concat();
        mended(&[&HOST_MAC[..], &PEER_MAC, &[8, 0], &ip, &segment].concat())
    }

    fn see(&mut self, frame: &[u8]) {
        let Some(tcp) =
            frame.get(34..).filter(|tcp| tcp.len() >= 20 && frame[12..14] == [8, 0] && frame[23] == 6)
        else {
            return;
        };
        if u16::from_be_bytes([tcp[0], tcp[1]]) == self.port {
            let begins = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
            let length = tcp.len().saturating_sub(usize::from(tcp[12] >> 4) * 4) as u32;
            self.acknowledged = begins.wrapping_add(length + u32::from(tcp[13] & 3 != 0));
        }
    }
}

/// The frame with right lengths and checksums in IPv4 or IPv6 and in TCP, UDP or ICMP, if it has them.
fn mended(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let Some((ethernet, ip)) = frame.split_at_mut_checked(14) else { return frame };
    let length = ip.len();
    let (protocol, addresses, header) = match (&ethernet[12..], ip.first()) {
        ([8, 0], Some(first)) if first >> 4 == 4 && length >= 20 => {
            let header = usize::from(first & 15) * 4;
            ip[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            if header < 20 || header > length {
                return frame;
            }
            ip[10..12].fill(0);
            let check = sum(&ip[..header], 0);
            ip[10..12].copy_from_slice(&check);
            (ip[9], ip[12..20].to_vec(), header)
        }
        ([0x86, 0xdd], Some(first)) if first >> 4 == 6 && length >= 40 => {
            ip[4..6].copy_from_slice(&((length - 40) as u16).to_be_bytes());
            (ip[6], ip[8..40].to_vec(), 40)
        }
        _ => return frame,
    };
    let transport = &mut ip[header..];
    let (at, pseudo) = match protocol {
        6 => (16, true),
        17 => (6, true),
        1 => (2, false),
        58 => (2, true),
        _ => return frame,
    };
    if transport.len() < at + 2 {
        return frame;
    }
    if protocol == 17 {
        let length = transport.len() as u16;
        transport[4..6].copy_from_slice(&length.to_be_bytes());
    }
    transport[at..at + 2].fill(0);
    let pseudo = if pseudo { words(&addresses) + u64::from(protocol) + transport.len() as u64 } else { 0 };
    let check = sum(transport, pseudo);
    transport[at..at + 2].copy_from_slice(&check);
    frame
}

fn words(bytes: &[u8]) -> u64 {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    bytes.chunks(2).map(word).sum()
}

/// The Internet checksum (RFC 1071).
fn sum(bytes: &[u8], before: u64) -> [u8; 2] {
    let mut sum = words(bytes) + before;
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Inputs to start from, for each target.
pub mod seeds {
    use super::{HOST_MAC, PEER, PEER_MAC, SERVER};

    fn piece(meaning: u8, bytes: &[u8]) -> Vec<u8> {
        [&[meaning][..], &(bytes.len() as u16).to_le_bytes(), bytes].concat()
    }

    fn message(kind: u8, address: [u8; 4], options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 236];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[12..16].copy_from_slice(&address);
        bytes[28..34].copy_from_slice(&PEER_MAC);
        bytes.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind]);
        bytes.extend_from_slice(options);
        bytes.push(255);
        bytes
    }

    fn discover() -> Vec<u8> {
        message(1, [0; 4], &[61, 7, 1, 2, 0, 0, 0, 0, 9, 55, 3, 1, 3, 26])
    }

    fn request() -> Vec<u8> {
        message(3, [0; 4], &[50, 4, 10, 0, 2, 100, 54, 4, 10, 0, 2, 1, 61, 7, 1, 2, 0, 0, 0, 0, 9])
    }

    /// A lease from its beginning to its end, and options in other fields.
    pub fn host_dhcp() -> Vec<Vec<u8>> {
        let lease = [piece(0, &discover()), piece(0, &request())].concat();
        let client = [61, 7, 1, 2, 0, 0, 0, 0, 9];
        let renew = piece(8, &message(3, [10, 0, 2, 100], &client));
        let release = piece(1, &message(7, [10, 0, 2, 100], &client));
        let decline = piece(0, &message(4, [0; 4], &[&[50, 4, 10, 0, 2, 100][..], &client].concat()));
        let mut overloaded = message(1, [0; 4], &[52, 1, 3]);
        overloaded[108..115].copy_from_slice(&[50, 4, 10, 0, 2, 102, 255]);
        overloaded[44..50].copy_from_slice(&[51, 4, 0, 0, 2, 0]);
        vec![
            [lease.clone(), renew, release].concat(),
            [lease, decline].concat(),
            piece(0, &overloaded),
            piece(0, &message(8, PEER, &[])),
        ]
    }

    /// Requests in one piece and in several.
    pub fn host_http() -> Vec<Vec<u8>> {
        let get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let head = b"HEAD http://x/status.json?y HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nxx";
        let old = b"GET /no HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        vec![
            [piece(254, get), piece(254, head)].concat(),
            [piece(2, &get[..9]), piece(255, &get[9..]), piece(9, get)].concat(),
            piece(255, post),
            [piece(255, old), piece(255, b"\x16\x03\x01nonsense\r\n\r\n")].concat(),
        ]
    }

    /// Neighbours, pings, leases and connections to each service.
    pub fn host_frames() -> Vec<Vec<u8>> {
        let ethernet = |to: &[u8], kind: [u8; 2]| [to, &PEER_MAC, &kind].concat();
        let arp = [
            &ethernet(&[0xff; 6], [8, 6])[..],
            &[0, 1, 8, 0, 6, 4, 0, 1],
            &PEER_MAC,
            &PEER,
            &[0; 6],
            &SERVER,
        ];
        let arp = piece(0, &arp.concat());
        let ipv4 = |protocol: u8, from: [u8; 4], to: [u8; 4], rest: &[u8]| {
            let mac = if to == SERVER { HOST_MAC } else { [0xff; 6] };
            let header = [&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0][..], &from, &to].concat();
            piece(1, &[&ethernet(&mac, [8, 0])[..], &header, rest].concat())
        };
        let datagram =
            |payload: &[u8]| ipv4(17, [0; 4], [255; 4], &[&[0, 68, 0, 67, 0, 0, 0, 0][..], payload].concat());
        let ping = ipv4(1, PEER, SERVER, &[8, 0, 0, 0, 0, 1, 0, 1, 0x55, 0x55]);
        let mut seeds =
            vec![[arp.clone(), ping].concat(), [datagram(&discover()), datagram(&request())].concat()];
        for service in 0..4 {
            let segment =
                |flags: u8, payload: &[u8]| piece(2 | service << 2, &[&[flags][..], payload].concat());
            let said = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
            let all = [
                arp.clone(),
                segment(2, &[]),
                segment(16, &[]),
                segment(24, said),
                segment(16, &[]),
                segment(17, &[]),
            ];
            seeds.push(all.concat());
        }
        seeds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seeds must get where they are meant to get, or the target tests little.
    #[test]
    fn a_seed_makes_a_connection_and_gets_the_page() {
        let now = Instant::now();
        let mut host = Host::new(&HostOptions::default(), now);
        let mut flow = Flow::new(HTTP);
        let observed = EcmDongle::new(EcmOptions::default(), Tester::new()).observed();
        let mut all = Vec::new();
        for (meaning, piece) in pieces(&seeds::host_frames()[2]) {
            let frame = if meaning & 3 == 0 { piece.to_vec() } else { flow.segment(piece[0], &piece[1..]) };
            host.to_wire(&frame, now);
            let mut frame = Vec::new();
            while host.from_wire(&mut frame, now) || host.asks() {
                if host.asks() {
                    host.told(observed.clone());
                }
                flow.see(&frame);
                all.extend_from_slice(&frame);
            }
        }
        assert!(all.windows(15).any(|text| text == b"HTTP/1.1 200 OK"));
    }
}
