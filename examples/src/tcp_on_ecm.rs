//! TCP on an ECM dongle without any network interface, privilege or kernel: the host's end of the driver is smoltcp's network card. It
//! must not know USB.
//!
//! [`link`] makes both ends: a [`DriverEnd`] for the driver, as its network interface, and a [`StackEnd`] for the stack, as its card.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use outboard_core::family::ethernet::{
    Counters, EthernetInterface, FrameBuffer, HostWish, Received, Transmit,
};
use outboard_core::service::{Ending, Service};
use outboard_core::usb::Device;
use outboard_core::{Error, ErrorKind, MacAddr, Result, queue};
use outboard_usb_ecm::{EcmDriver, Provider};
use rustix::event::{EventfdFlags, eventfd};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};
use tokio::sync::Notify;

/// Frames that wait in each direction; what comes beyond is lost, as on any card.
const QUEUE: usize = 256;
/// Bytes of an Ethernet header and a VLAN tag.
const HEADERS: usize = 18;

/// What both ends share. They are on one queue, so there is no lock.
struct Link {
    to_device: RefCell<VecDeque<Vec<u8>>>,
    to_stack: RefCell<VecDeque<Vec<u8>>>,
    /// Readable while the stack has frames for the device.
    sending: OwnedFd,
    /// Something came, or the carrier changed.
    changed: Notify,
    carrier: RefCell<bool>,
    mac: MacAddr,
    mtu: u32,
}

/// The driver's end.
pub struct DriverEnd {
    link: Rc<Link>,
    counters: Counters,
}

/// The stack's end.
pub struct StackEnd {
    link: Rc<Link>,
}

/// A link of no length between a driver and a stack.
///
/// # Errors
/// System: no descriptor is left.
pub fn link(mac: MacAddr, mtu: u32) -> Result<(DriverEnd, StackEnd)> {
    let sending = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|error| Error::os("make an eventfd", error.into()))?;
    let link = Rc::new(Link {
        to_device: RefCell::default(),
        to_stack: RefCell::default(),
        sending,
        changed: Notify::new(),
        carrier: RefCell::new(false),
        mac,
        mtu,
    });
    Ok((DriverEnd { link: link.clone(), counters: Counters::default() }, StackEnd { link }))
}

impl EthernetInterface for DriverEnd {
    fn name(&self) -> &str {
        "smoltcp"
    }

    fn receive<B: FrameBuffer>(&mut self, frames: &mut [B]) -> Result<Received> {
        let mut queue = self.link.to_stack.borrow_mut();
        let delivered = frames.len().min(QUEUE - queue.len());
        for frame in &frames[..delivered] {
            self.counters.received_frames += 1;
            self.counters.received_bytes += frame.frame().len() as u64;
            queue.push_back(frame.frame().to_vec());
        }
        let dropped = frames.len() - delivered;
        self.counters.received_overruns += dropped as u64;
        self.link.changed.notify_one();
        Ok(Received { delivered, dropped })
    }

    fn transmit<B: FrameBuffer>(&mut self, free: &mut Vec<B>, ready: &mut Vec<B>) -> Result<Transmit> {
        let mut queue = self.link.to_device.borrow_mut();
        while let Some(frame) = queue.front() {
            let Some(mut buffer) = free.pop() else { return Ok(Transmit::NoBuffers) };
            match buffer.space().get_mut(..frame.len()) {
                Some(space) => {
                    space.copy_from_slice(frame);
                    buffer.set_len(frame.len());
                    self.counters.transmitted_frames += 1;
                    self.counters.transmitted_bytes += frame.len() as u64;
                    ready.push(buffer);
                }
                None => {
                    self.counters.transmitted_oversize += 1;
                    free.push(buffer);
                }
            }
            queue.pop_front();
        }
        // Nothing to read means that it was lowered before.
        let _ = rustix::io::read(&self.link.sending, &mut [0; 8]);
        Ok(Transmit::Drained)
    }

    fn readiness(&self) -> Option<BorrowedFd<'_>> {
        Some(self.link.sending.as_fd())
    }

    fn set_carrier(&mut self, up: bool) -> Result<()> {
        self.link.carrier.replace(up);
        self.link.changed.notify_one();
        Ok(())
    }

    fn set_speed(&mut self, _: u32, _: bool) -> Result<()> {
        Ok(())
    }

    fn wish(&mut self) -> Result<HostWish> {
        // smoltcp joins no group here but those of its own addresses.
        let Link { mac, mtu, .. } = *self.link;
        Ok(HostWish { up: true, all_multicast: true, mtu, mac, ..HostWish::default() })
    }

    fn wish_readiness(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn wish_may_have_changed(&self) -> bool {
        false
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// A received frame on its way into the stack.
pub struct RxToken(Vec<u8>);

/// Room for a frame on its way out.
pub struct TxToken<'a>(&'a Link);

impl phy::RxToken for RxToken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        self.0.to_device.borrow_mut().push_back(frame);
        // It fails only when it is as high as it can be.
        let _ = rustix::io::write(&self.0.sending, &1u64.to_ne_bytes());
        result
    }
}

impl phy::Device for StackEnd {
    type RxToken<'a> = RxToken;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, now: Instant) -> Option<(RxToken, TxToken<'_>)> {
        self.transmit(now)?;
        let frame = self.link.to_stack.borrow_mut().pop_front()?;
        Some((RxToken(frame), TxToken(&self.link)))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_>> {
        (self.link.to_device.borrow().len() < QUEUE).then_some(TxToken(&self.link))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.link.mtu as usize + HEADERS - 4;
        capabilities
    }
}

/// Drives the dongle, connects from `address` to `peer`, sends `message`, and returns as many bytes of answer: what an echo service
/// sends back.
///
/// # Errors
/// The driver's; Refused: the peer does not take the connection or ends it; TimedOut: no answer for 30 s.
pub async fn echo(
    device: Device,
    address: (Ipv4Addr, u8),
    peer: (Ipv4Addr, u16),
    message: &[u8],
) -> Result<Vec<u8>> {
    let stack: Rc<RefCell<Option<StackEnd>>> = Rc::default();
    let provider = Provider::new(device, {
        let stack = stack.clone();
        move |vended| {
            let (driver_end, stack_end) = link(vended.mac, vended.mtu)?;
            stack.replace(Some(stack_end));
            Ok(driver_end)
        }
    });
    let service = Service::<EcmDriver<DriverEnd>>::start(provider).await?;
    let stack = stack.take().expect("a driver that started has made its interface");
    let answer = tokio::select! {
        answer = converse(stack, address, peer, message) => answer,
        ending = service.ended() => match ending {
            Ending::Failed(error) => Err(error),
            Ending::Stopped => Err(failure(ErrorKind::Cancelled, "the driver was stopped")),
        },
    };
    service.stop().await;
    answer
}

fn failure(kind: ErrorKind, reason: &'static str) -> Error {
    Error::new(kind, "talk to the peer", reason)
}

async fn converse(
    mut card: StackEnd,
    address: (Ipv4Addr, u8),
    peer: (Ipv4Addr, u16),
    message: &[u8],
) -> Result<Vec<u8>> {
    let link = card.link.clone();
    while !*link.carrier.borrow() {
        link.changed.notified().await;
    }
    let begin = queue::now();
    let now = || Instant::from_micros((queue::now() - begin).as_micros() as i64);
    let station = HardwareAddress::Ethernet(EthernetAddress(link.mac.octets()));
    let mut stack = Interface::new(Config::new(station), &mut card, now());
    stack.update_ip_addrs(|addresses| {
        addresses.push(IpCidr::new(address.0.into(), address.1)).expect("there is room for the first");
    });
    let mut sockets = SocketSet::new(Vec::new());
    let buffer = || tcp::SocketBuffer::new(vec![0; 64 * 1024]);
    let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));
    sockets
        .get_mut::<tcp::Socket<'_>>(handle)
        .connect(stack.context(), peer, 49152)
        .map_err(|_| failure(ErrorKind::Refused, "there is no such address or port"))?;
    let (mut sent, mut answer) = (0, Vec::with_capacity(message.len()));
    while answer.len() < message.len() {
        stack.poll(now(), &mut card, &mut sockets);
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        if !socket.is_open() {
            return Err(failure(ErrorKind::Refused, "it ended the connection"));
        }
        let mut moved = 0;
        if socket.can_send() && sent < message.len() {
            let taken = socket.send_slice(&message[sent..]).unwrap_or(0);
            sent += taken;
            moved += taken;
        }
        while socket.can_recv() {
            let taken = socket.recv(|data| (data.len(), data.to_vec())).unwrap_or_default();
            moved += taken.len();
            answer.extend_from_slice(&taken);
        }
        if moved > 0 {
            continue;
        }
        let delay = stack.poll_delay(now(), &sockets).map_or(Duration::from_secs(30), Into::into);
        if tokio::time::timeout(delay, link.changed.notified()).await.is_err()
            && now().secs() > 30
            && answer.is_empty()
        {
            return Err(failure(ErrorKind::TimedOut, "it does not answer"));
        }
    }
    answer.truncate(message.len());
    Ok(answer)
}
