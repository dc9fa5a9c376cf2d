//! A second TCP/IP stack, which talks through the dongle with the host behind it, in virtual time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use outboard_virtual_devices::ecm::EcmOptions;
use outboard_virtual_devices::ecm::requests::filter;
use outboard_virtual_devices::host::{Host, HostOptions};
use outboard_virtual_devices::wire::Wire;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, IpCidr};

use super::{ByHand, STATION};

pub struct Card<W>(pub ByHand<W>);
pub struct Received(Vec<u8>);
pub struct Room<'a, W>(&'a mut ByHand<W>);

impl<W: Wire> Device for Card<W> {
    type RxToken<'a>
        = Received
    where
        W: 'a;
    type TxToken<'a>
        = Room<'a, W>
    where
        W: 'a;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received, Room<'_, W>)> {
        let frame = self.0.receive()?;
        Some((Received(frame), Room(&mut self.0)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Room<'_, W>> {
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

impl<W: Wire> TxToken for Room<'_, W> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        // A wire that is busy is what resending is for.
        self.0.transfer_out(&frame, true);
        result
    }
}

pub struct Client<W = Host> {
    pub card: Card<W>,
    pub interface: Interface,
    pub sockets: SocketSet<'static>,
    epoch: Instant,
}

pub const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 1));
pub const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 2, 0, 0, 0, 1));

impl Client {
    pub fn new(options: EcmOptions) -> Self {
        Self::on(options, Host::new(&HostOptions::default(), Instant::now()))
    }
}

impl<W: Wire> Client<W> {
    /// With this behind the dongle.
    pub fn on(options: EcmOptions, wire: W) -> Self {
        let bits = filter::DIRECTED | filter::BROADCAST | filter::ALL_MULTICAST;
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

    pub fn time(&self) -> smoltcp::time::Instant {
        smoltcp::time::Instant::from_micros((self.card.0.now - self.epoch).as_micros() as i64)
    }

    /// Lets this much time pass, for both.
    pub fn wait(&mut self, time: Duration) {
        let until = self.card.0.now + time;
        self.run(|this| {
            // Whoever has nothing to do would have it no sooner than this.
            let wake = this.interface.poll_at(this.time(), &this.sockets);
            let idle =
                wake.is_none_or(|at| this.epoch + Duration::from_micros(at.total_micros() as u64) > until);
            let device = this.card.0.turn().is_none_or(|at| at > until);
            this.card.0.now >= until || idle && device && this.card.0.dongle().waiting() == 0
        });
        self.card.0.now = self.card.0.now.max(until);
        self.card.0.turn();
    }

    /// Runs until `done`, jumping to whatever comes next; panics when nothing does or a minute passes.
    pub fn run(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
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

    pub fn connect(&mut self, to: IpAddr, port: u16) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 64 * 1024]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.connect(self.interface.context(), (to, port), 50_000 + port).unwrap();
        let handle = self.sockets.add(socket);
        self.run(|this| this.socket(handle).may_send());
        handle
    }

    pub fn socket(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub fn no_faults(&mut self) {
        assert_eq!(self.card.0.dongle().faults(), []);
        assert_eq!(self.card.0.dongle().unfinished(), 0);
    }
}
