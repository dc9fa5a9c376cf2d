//! A second TCP/IP stack talks through the dongle with the host behind it, in virtual time.

mod common;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use common::{ByHand, PEER, STATION};
use outboard_core::usb::Speed;
use outboard_virtual_devices::ecm::requests::filter;
use outboard_virtual_devices::ecm::{EcmOptions, Link};
use outboard_virtual_devices::host::{self, DISCARD, ECHO, Host, HostOptions, SOURCE, source_byte};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{icmp, tcp};
use smoltcp::wire::{EthernetAddress, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpCidr};

struct Card(ByHand<Host>);
struct Received(Vec<u8>);
struct Room<'a>(&'a mut ByHand<Host>);

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received, Room<'_>)> {
        let frame = self.0.receive()?;
        Some((Received(frame), Room(&mut self.0)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Room<'_>> {
        Some(Room(&mut self.0))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        // A wire that is busy is what resending is for.
        self.0.transfer_out(&frame, true);
        result
    }
}

struct Client {
    card: Card,
    interface: Interface,
    sockets: SocketSet<'static>,
    epoch: Instant,
}

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 1));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 2, 0, 0, 0, 1));

impl Client {
    fn new(options: EcmOptions) -> Self {
        let bits = filter::DIRECTED | filter::BROADCAST | filter::ALL_MULTICAST;
        let wire = Host::new(&HostOptions::default(), Instant::now());
        let mut card = Card(ByHand::started(options, wire, bits));
        let config = Config::new(EthernetAddress(STATION).into());
        let mut interface = Interface::new(config, &mut card, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|list| {
            list.push(IpCidr::new(Ipv4Addr::new(10, 0, 2, 2).into(), 24)).unwrap();
            list.push(IpCidr::new(Ipv6Addr::new(0xfd00, 0, 0, 2, 0, 0, 0, 2).into(), 64)).unwrap();
            list.push(IpCidr::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2).into(), 64)).unwrap();
        });
        let epoch = card.0.now;
        Self { card, interface, sockets: SocketSet::new(Vec::new()), epoch }
    }

    fn time(&self) -> smoltcp::time::Instant {
        smoltcp::time::Instant::from_micros((self.card.0.now - self.epoch).as_micros() as i64)
    }

    /// Runs until `done`, jumping to whatever comes next; panics when nothing does or a minute passes.
    fn run(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        loop {
            let time = self.time();
            self.interface.poll(time, &mut self.card, &mut self.sockets);
            if done(self) {
                return;
            }
            let device = self.card.0.turn();
            // What was sent last may be what it takes.
            if done(self) {
                return;
            }
            let here = self
                .interface
                .poll_at(time, &self.sockets)
                .map(|at| self.epoch + Duration::from_micros(at.total_micros() as u64));
            let waiting = self.card.0.dongle().waiting() > 0;
            let now = self.card.0.now;
            let next = if waiting { Some(now) } else { device.into_iter().chain(here).min() };
            let next = next.expect("nobody has anything to do");
            self.card.0.now = next.max(now + Duration::from_micros(if waiting { 0 } else { 1 }));
            assert!(self.card.0.now - self.epoch < Duration::from_secs(60), "it takes too long");
        }
    }

    fn connect(&mut self, to: IpAddr, port: u16) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 64 * 1024]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.connect(self.interface.context(), (to, port), 50_000 + port).unwrap();
        let handle = self.sockets.add(socket);
        self.run(|this| this.socket(handle).may_send());
        handle
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    fn no_faults(&mut self) {
        assert_eq!(self.card.0.dongle().faults(), []);
        assert_eq!(self.card.0.dongle().unfinished(), 0);
    }
}

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
