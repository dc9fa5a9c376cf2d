//! A computer on the other end of the wire: a TCP/IP stack that answers neighbours and pings, leases addresses by DHCP, has a page about the
//! device in front of it, and TCP services for tests. It must not know how that device is attached to anything: it is
//! [told](Wire::told). The stack is smoltcp's; no clock is looked at.
//!
//! IPv6 addresses are not assigned: no router is advertised, since there is none. Every station has its link-local address, by which it
//! reaches this host's; an address in this host's global prefix ([`HostOptions::ipv6`]) is set by hand
//! (`ip address add fd00:0:0:2::2/64 dev ecm0`).

mod datagram;
pub mod dhcp;
pub mod http;
mod medium;
mod services;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use outboard_core::MacAddr;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::Device;
use smoltcp::socket::udp;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

use crate::observed::Observed;
use crate::wire::Wire;
use datagram::End;
use dhcp::{DhcpCounters, DhcpOptions};
use http::{AboutHost, Http, Status};
use medium::Medium;
use services::Service;
pub use services::{DISCARD, ECHO, SOURCE, ServiceCounters, source_byte};

/// What the computer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOptions {
    /// Its station address.
    pub mac: MacAddr,
    /// Its IPv4 address and prefix length, 0 to 32.
    pub ipv4: (Ipv4Addr, u8),
    /// Its global IPv6 address and prefix length, 0 to 128. It has the link-local address of its station address as well.
    pub ipv6: (Ipv6Addr, u8),
    /// Its MTU in bytes, 1280 to 65,535.
    pub mtu: u16,
    /// TCP connections that each service takes at a time.
    pub connections: usize,
    /// Bytes of each connection's buffers, one for each direction.
    pub buffer: usize,
    /// What it leases by DHCP; `None`: nothing.
    pub dhcp: Option<DhcpOptions>,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            mac: MacAddr::new([0x52, 0x54, 0x00, 0xe0, 0xcc, 0xfe]),
            ipv4: (Ipv4Addr::new(10, 0, 2, 1), 24),
            ipv6: (Ipv6Addr::new(0xfd00, 0, 0, 2, 0, 0, 0, 1), 64),
            mtu: 1500,
            connections: 4,
            buffer: 64 * 1024,
            dhcp: Some(DhcpOptions::default()),
        }
    }
}

/// A TCP/IP host. Answers ARP, neighbour discovery, pings and DHCP; HTTP on port 80; TCP echo on port 7, discard on 9, and on 19 a
/// source that sends [`source_byte`] after byte until its peer closes.
pub struct Host {
    mac: MacAddr,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    mtu: u16,
    interface: Interface,
    sockets: SocketSet<'static>,
    medium: Medium,
    services: Vec<Service>,
    dhcp: Option<(SocketHandle, dhcp::Server)>,
    http: Http,
    /// What the device told of itself and nobody has read.
    device: Option<Observed>,
    epoch: Instant,
    /// Something came, or time passed, since the stack was last asked.
    asked: Option<Instant>,
}

/// Turns of stack and services for one question: enough for any burst that fits in the queues.
const MOST_TURNS: usize = 64;
/// DHCP's datagrams that wait, and their bytes: a client sends one at a time.
const DHCP_QUEUE: (usize, usize) = (8, 8 * 1024);

impl Host {
    /// Switches a host on.
    pub fn new(options: &HostOptions, now: Instant) -> Self {
        let mtu = options.mtu.max(1280);
        let mut medium = Medium::new(mtu);
        let mac = EthernetAddress(options.mac.octets());
        let mut config = Config::new(HardwareAddress::Ethernet(mac));
        // Sequence numbers need not be secret here, but the same in every run.
        config.random_seed = 0x0b0a_7d0d;
        let mut interface = Interface::new(config, &mut medium, smoltcp::time::Instant::ZERO);
        let addresses = [
            IpCidr::new(options.ipv4.0.into(), options.ipv4.1.min(32)),
            IpCidr::new(options.ipv6.0.into(), options.ipv6.1.min(128)),
            IpCidr::new(link_local(options.mac).into(), 64),
        ];
        interface.update_ip_addrs(|list| {
            for address in addresses {
                // There is room for four.
                list.push(address).ok();
            }
        });
        let mut sockets = SocketSet::new(Vec::new());
        let services = Service::all(&mut sockets, options.connections, options.buffer);
        let dhcp = options.dhcp.as_ref().map(|dhcp| {
            let (count, bytes) = DHCP_QUEUE;
            let queue = |count, bytes| {
                udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; count], vec![0; bytes])
            };
            let mut socket = udp::Socket::new(queue(count, bytes), queue(0, 0));
            // Only port 0 and an open socket are refused.
            socket.bind(dhcp::SERVER_PORT).ok();
            (sockets.add(socket), dhcp::Server::new(dhcp, options.ipv4, mtu, now))
        });
        let http = Http::new(&mut sockets, now);
        Self {
            mac: options.mac,
            ipv4: options.ipv4.0,
            ipv6: options.ipv6.0,
            mtu,
            interface,
            sockets,
            medium,
            services,
            dhcp,
            http,
            device: None,
            epoch: now,
            asked: None,
        }
    }

    /// What its DHCP server did; nothing where there is none.
    pub fn dhcp_counters(&self) -> DhcpCounters {
        self.dhcp.as_ref().map(|(_, server)| server.counters()).unwrap_or_default()
    }

    /// What is leased now.
    pub fn leases(&self, now: Instant) -> Vec<dhcp::Lease> {
        self.dhcp.iter().flat_map(|(_, server)| server.leases(now)).collect()
    }

    /// What the service on this port did; nothing where there is none.
    pub fn counters(&self, port: u16) -> ServiceCounters {
        let service = self.services.iter().find(|service| service.port() == port);
        service.map(Service::counters).unwrap_or_default()
    }

    /// Frames that were lost because the host had no room for them.
    pub fn lost(&self) -> u64 {
        self.medium.lost
    }

    fn stack_time(&self, now: Instant) -> smoltcp::time::Instant {
        let micros = now.saturating_duration_since(self.epoch).as_micros();
        smoltcp::time::Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    fn turn(&mut self, now: Instant) {
        if self.asked == Some(now) {
            return;
        }
        self.asked = Some(now);
        let time = self.stack_time(now);
        let status = self.device.take().map(|device| Status::new(&device, self.about(now), now));
        for _ in 0..MOST_TURNS {
            let moved = self.interface.poll(time, &mut self.medium, &mut self.sockets);
            let mut served = false;
            for service in &mut self.services {
                served |= service.serve(&mut self.sockets);
            }
            served |= self.serve_dhcp(now);
            served |= self.http.serve(&mut self.sockets, status.as_ref(), now);
            if moved == PollResult::None && !served {
                break;
            }
        }
    }

    fn serve_dhcp(&mut self, now: Instant) -> bool {
        let Some((socket, server)) = &mut self.dhcp else { return false };
        let socket = self.sockets.get_mut::<udp::Socket<'static>>(*socket);
        let mut served = false;
        while let Ok((payload, _)) = socket.recv() {
            served = true;
            // An answer that there is no room for is lost, as on any wire; the client asks again.
            let Ok(Some(reply)) = server.handle(payload, now) else { continue };
            let Some(room) = self.medium.transmit(smoltcp::time::Instant::ZERO) else { continue };
            let from = End { station: self.mac, address: self.ipv4, port: dhcp::SERVER_PORT };
            let to = End { station: reply.station, address: reply.address, port: dhcp::CLIENT_PORT };
            datagram::send(room, from, to, &reply.payload);
        }
        served
    }

    fn about(&self, now: Instant) -> AboutHost {
        let service = |service: &Service| (service.name(), service.port(), service.counters());
        let dhcp = self.dhcp.as_ref();
        AboutHost {
            since: self.epoch,
            station: self.mac,
            ipv4: self.ipv4,
            ipv6: [self.ipv6, link_local(self.mac)],
            mtu: self.mtu,
            lost_frames: self.medium.lost,
            http_answers: self.http.answers(),
            services: self.services.iter().map(service).collect(),
            dhcp: dhcp
                .map(|(_, server)| (server.addresses(), server.counters(), server.leases(now).collect())),
        }
    }
}

impl Wire for Host {
    fn to_wire(&mut self, frame: &[u8], _: Instant) {
        self.medium.put(frame);
        self.asked = None;
    }

    fn from_wire(&mut self, frame: &mut Vec<u8>, now: Instant) -> bool {
        if self.medium.take(frame) {
            // The room may let the stack go on.
            self.asked = None;
            return true;
        }
        self.turn(now);
        self.medium.take(frame)
    }

    fn next_wake(&mut self, now: Instant) -> Option<Instant> {
        if self.medium.has_frames() {
            return Some(now);
        }
        let time = self.stack_time(now);
        let stack = self.interface.poll_at(time, &self.sockets).map(|at| {
            let micros = u64::try_from(at.total_micros()).unwrap_or(0);
            self.epoch + std::time::Duration::from_micros(micros)
        });
        stack.into_iter().chain(self.http.next_wake()).min()
    }

    fn asks(&self) -> bool {
        self.http.asks() && self.device.is_none()
    }

    fn told(&mut self, device: Observed) {
        self.device = Some(device);
        self.asked = None;
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Host({:?})", self.interface.ip_addrs())
    }
}

/// The address that a station gives itself (RFC 4291, 2.5.6 and appendix A).
fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.octets().map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
}
