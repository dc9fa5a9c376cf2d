//! A computer on the other end of the wire: a TCP/IP stack that answers neighbours and pings and has TCP services. It must not know
//! what is at this end. The stack is smoltcp's; no clock is looked at.

mod medium;
mod services;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use outboard_core::MacAddr;
use smoltcp::iface::{Config, Interface, PollResult, SocketSet};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

use crate::wire::Wire;
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
        }
    }
}

/// A TCP/IP host. Answers ARP, neighbour discovery and pings; TCP echo on port 7, discard on 9, and on 19 a source that sends
/// [`source_byte`] after byte until its peer closes.
pub struct Host {
    interface: Interface,
    sockets: SocketSet<'static>,
    medium: Medium,
    services: Vec<Service>,
    epoch: Instant,
    /// Something came, or time passed, since the stack was last asked.
    asked: Option<Instant>,
}

/// Turns of stack and services for one question: enough for any burst that fits in the queues.
const MOST_TURNS: usize = 64;

impl Host {
    /// Switches a host on.
    pub fn new(options: &HostOptions, now: Instant) -> Self {
        let mut medium = Medium::new(options.mtu.max(1280));
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
        Self { interface, sockets, medium, services, epoch: now, asked: None }
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
        for _ in 0..MOST_TURNS {
            let moved = self.interface.poll(time, &mut self.medium, &mut self.sockets);
            let mut served = false;
            for service in &mut self.services {
                served |= service.serve(&mut self.sockets);
            }
            if moved == PollResult::None && !served {
                break;
            }
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
        let at = self.interface.poll_at(time, &self.sockets)?;
        let micros = u64::try_from(at.total_micros()).unwrap_or(0);
        Some(self.epoch + std::time::Duration::from_micros(micros))
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
