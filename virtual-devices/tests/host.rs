//! Pings and the TCP services of the host behind the dongle, in virtual time.

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::client::{Client, V4, V6};
use common::{PEER, STATION};
use outboard_core::usb::Speed;
use outboard_virtual_devices::ecm::{EcmOptions, Link};
use outboard_virtual_devices::host::{self, DISCARD, ECHO, SOURCE, source_byte};
use smoltcp::socket::icmp;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr};

#[test]
fn the_host_answers_pings_of_both_families() {
    const IDENT: u16 = 0x4242;
    let mut client = Client::new(EcmOptions::default());
    for address in [V4, V6] {
        let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
        let mut socket = icmp::Socket::new(buffer(), buffer());
        socket.bind(icmp::Endpoint::Ident(IDENT)).unwrap();
        let data = &[0x5a; 600];
        let checksums = smoltcp::phy::ChecksumCapabilities::default();
        let source = client.interface.get_source_address(&address.into()).unwrap();
        match address {
            IpAddr::V4(_) => {
                let ping = Icmpv4Repr::EchoRequest { ident: IDENT, seq_no: 1, data };
                let space = socket.send(ping.buffer_len(), address.into()).unwrap();
                ping.emit(&mut Icmpv4Packet::new_unchecked(space), &checksums);
            }
            IpAddr::V6(to) => {
                let smoltcp::wire::IpAddress::Ipv6(source) = source else { panic!() };
                let ping = Icmpv6Repr::EchoRequest { ident: IDENT, seq_no: 1, data };
                let space = socket.send(ping.buffer_len(), address.into()).unwrap();
                ping.emit(&source, &to, &mut Icmpv6Packet::new_unchecked(space), &checksums);
            }
        }
        let handle = client.sockets.add(socket);
        client.run(|this| this.sockets.get_mut::<icmp::Socket<'_>>(handle).can_recv());
        let socket = client.sockets.get_mut::<icmp::Socket<'_>>(handle);
        let (answer, from) = socket.recv().unwrap();
        assert_eq!(IpAddr::from(from), address);
        assert!(answer.ends_with(data));
    }
    client.no_faults();
}

#[test]
fn echo_gives_back_what_it_gets_over_both_families_and_at_each_speed() {
    for (speed, address) in [(Speed::Full, V4), (Speed::High, V6), (Speed::Super, V4)] {
        let mut client = Client::new(EcmOptions::at(speed));
        let handle = client.connect(address, ECHO);
        let data: Vec<u8> = (0..300_000u32).map(|at| ((at * 7) >> 3) as u8).collect();
        let (mut sent, mut received) = (0, Vec::new());
        client.run(|this| {
            let socket = this.socket(handle);
            sent += socket.send_slice(&data[sent..]).unwrap();
            while socket.can_recv() {
                socket.recv(|bytes| (bytes.len(), received.extend_from_slice(bytes))).unwrap();
            }
            received.len() >= data.len()
        });
        assert!(received == data, "content differs at {speed}");
        client.socket(handle).close();
        client.run(|this| this.card.0.dongle().wire().counters(ECHO).connections == 1);
        client.no_faults();
    }
}

#[test]
fn the_source_sends_its_pattern_and_discard_counts() {
    let mut client = Client::new(EcmOptions::default());
    let handle = client.connect(V4, SOURCE);
    let mut offset = 0;
    client.run(|this| {
        let socket = this.socket(handle);
        while socket.can_recv() {
            let check = |bytes: &mut [u8]| {
                for byte in bytes.iter() {
                    assert_eq!(*byte, source_byte(offset));
                    offset += 1;
                }
                (bytes.len(), ())
            };
            socket.recv(check).unwrap();
        }
        offset >= 2_000_000
    });
    client.socket(handle).abort();
    let handle = client.connect(V6, DISCARD);
    let mut sent = 0;
    client.run(|this| {
        sent += this.socket(handle).send_slice(&[1; 4096]).unwrap();
        sent >= 500_000
    });
    client.socket(handle).close();
    client.run(|this| this.card.0.dongle().wire().counters(DISCARD).connections == 1);
    let counters: host::ServiceCounters = client.card.0.dongle().wire().counters(DISCARD);
    assert_eq!(counters.received, sent as u64);
    client.no_faults();
}

#[test]
fn a_service_takes_one_connection_after_the_other() {
    let mut client = Client::new(EcmOptions::default());
    for round in 1..=10 {
        let handle = client.connect(V4, ECHO);
        client.socket(handle).send_slice(b"again").unwrap();
        client.run(|this| this.socket(handle).recv_queue() == 5);
        client.socket(handle).close();
        client.run(|this| this.card.0.dongle().wire().counters(ECHO).connections == round);
        client.sockets.remove(handle);
        // A port that was just used is not used again at once.
        client.card.0.wait(Duration::from_millis(100));
    }
}

#[test]
fn tcp_gets_through_a_slow_link_that_loses() {
    let options = EcmOptions {
        paced: true,
        link: Link { up: true, downlink: 2_000_000, uplink: 1_000_000 },
        receive_queue: 6,
        ..EcmOptions::at(Speed::Full)
    };
    let mut client = Client::new(options);
    let handle = client.connect(V4, SOURCE);
    let mut received = 0;
    let begin = client.card.0.now;
    client.run(|this| {
        let socket = this.socket(handle);
        while socket.can_recv() {
            received += socket.recv(|bytes| (bytes.len(), bytes.len())).unwrap();
        }
        received >= 500_000
    });
    let took = client.card.0.now - begin;
    let most = 500_000.0 * 8.0 / 2_000_000.0;
    assert!(took.as_secs_f64() > most * 0.95, "{took:?} is faster than the link");
    assert_eq!(client.card.0.dongle().station().octets(), STATION);
    assert_ne!(STATION, PEER);
}
