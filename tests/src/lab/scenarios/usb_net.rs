//! QEMU's usb-net on an emulated xHCI controller, behind it QEMU's user-mode network and the host's checking peer.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::lab::contender::Vended;
use crate::lab::context::Context;
use crate::lab::netns::{ping, raise, wait_carrier, wait_reachable};
use crate::lab::run::run as command;
use crate::lab::stream::{self, Pattern};
use crate::lab::usb_device::UsbDevice;

/// QEMU's usb-net (hw/usb/dev-network.c).
pub(super) const VENDOR: u16 = 0x0525;
/// See [`VENDOR`].
pub(super) const PRODUCT: u16 = 0xa4a2;

/// QEMU's user network: the guest's usual address, and the host's loopback as the guest sees it.
const ADDRESS: &str = "10.0.2.15/24";
pub(super) const HOST: [u8; 4] = [10, 0, 2, 2];

/// Bytes of each checked TCP transfer. The device is full speed: about 1 MB/s at most.
pub(super) const LENGTH: u64 = 1_000_000;

/// Datagrams, from an empty one to the largest that a frame holds.
const DATAGRAMS: u32 = 120;
/// 1500 bytes of MTU less 28 of IPv4 and UDP.
const LARGEST: usize = 1472;

pub(crate) fn run(context: &mut Context) -> Result<()> {
    plug(context)?;
    let result = plugged(context);
    // Absent when the scenario passed its last unplugging and failed before plugging in again.
    let _absent = context.monitor("device_del dongle");
    result
}

/// Always into the same port; QEMU would take another one each time.
pub(super) fn plug(context: &Context) -> Result<()> {
    context
        .monitor("device_add usb-net,id=dongle,bus=xhci.0,port=1,netdev=lan,mac=52:54:00:12:34:56")
        .map(drop)
}

fn plugged(context: &mut Context) -> Result<()> {
    let device = UsbDevice::wait(VENDOR, PRODUCT)?;
    ensure!(device.speed()? == 12, "usb-net came up at {} Mbit/s, not at full speed", device.speed()?);
    let vended = Vended::take(context, context.contender, &device)?;
    connect(&vended.interface)?;
    let mac = crate::lab::sysfs::read(format!("/sys/class/net/{}/address", vended.interface))?;
    // The MAC of iMACAddress is the host's end; QEMU derives it from the device's by setting the first byte to 0x40.
    context.note(format!("interface {} has the address {mac}", vended.interface));
    let peer = SocketAddr::from((HOST, context.settings.peer_port));
    let start = Instant::now();
    stream::put(TcpStream::connect(peer)?, LENGTH, 1).context("TCP to the peer")?;
    context.sample("usb-net/tcp-to-device", "Mbit/s", mbits(LENGTH, start));
    let start = Instant::now();
    stream::take(TcpStream::connect(peer)?, LENGTH, 2).context("TCP from the peer")?;
    context.sample("usb-net/tcp-from-device", "Mbit/s", mbits(LENGTH, start));
    datagrams(peer)?;
    vended.release().context("give the device back")?;

    let vended =
        Vended::take(context, context.contender, &device).context("take the device a second time")?;
    connect(&vended.interface)?;
    unplug_during_transfer(context, peer)?;
    device.wait_gone()?;
    vended.unplugged()?;

    plug(context)?;
    let device = UsbDevice::wait(VENDOR, PRODUCT).context("plug it in again")?;
    let vended =
        Vended::take(context, context.contender, &device).context("after it was plugged in again")?;
    connect(&vended.interface)?;
    stream::put(TcpStream::connect(peer)?, LENGTH / 10, 3).context("TCP after it was plugged in again")?;
    vended.release()
}

/// Address, carrier, ping.
pub(super) fn connect(interface: &str) -> Result<()> {
    raise(interface, ADDRESS)?;
    reach(interface)
}

/// Carrier, ping.
pub(super) fn reach(interface: &str) -> Result<()> {
    wait_carrier(interface, true)?;
    // Who asked for its address while the link was away failed, and the kernel remembers that for a moment.
    wait_reachable("10.0.2.2", Duration::from_secs(15))?;
    ping("10.0.2.2", 5, 56).context("ping small")?;
    ping("10.0.2.2", 5, LARGEST as u32).context("ping full size")
}

/// Sends datagrams of growing size to the peer and wants each back unchanged.
pub(super) fn datagrams(peer: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(peer)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut answer = [0; 2048];
    for number in 0..DATAGRAMS {
        let length = 1 + (LARGEST - 1) * number as usize / (DATAGRAMS as usize - 1);
        let mut question = vec![0; length];
        Pattern::new(u64::from(number)).fill(&mut question);
        socket.send(&question)?;
        let got = socket.recv(&mut answer).with_context(|| format!("datagram {number} of {length} bytes"))?;
        ensure!(
            answer[..got] == question[..],
            "datagram {number} of {length} bytes came back with {got} other bytes"
        );
    }
    Ok(())
}

/// Starts an endless transfer, waits until it flows, and pulls the plug.
fn unplug_during_transfer(context: &Context, peer: SocketAddr) -> Result<()> {
    let before = received_bytes()?;
    let connection = TcpStream::connect(peer)?;
    let waker = connection.try_clone()?;
    let transfer = std::thread::spawn(move || stream::take(connection, u64::MAX, 4));
    crate::lab::sysfs::wait_until("the transfer to flow", Duration::from_secs(10), || {
        received_bytes().is_ok_and(|now| now > before + 200_000)
    })?;
    context.monitor("device_del dongle")?;
    // The connection itself cannot know that its interface is gone: wake the reader.
    let _reset_already = waker.shutdown(std::net::Shutdown::Both);
    match transfer.join() {
        Ok(Ok(())) => bail!("an endless transfer ended"),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(error).context("while unplugging")
        }
        Ok(Err(_unplugged)) => Ok(()),
        Err(_) => bail!("the transfer panicked"),
    }
}

/// Octets of IPv4 that this machine received.
fn received_bytes() -> Result<u64> {
    let text = command("nstat -a -s -z IpExtInOctets")?;
    let line = text
        .lines()
        .find(|line| line.starts_with("IpExtInOctets"))
        .context("nstat shows no IpExtInOctets")?;
    line.split_whitespace().nth(1).context("nstat's line is short")?.parse().context("nstat's count")
}

pub(super) fn mbits(bytes: u64, since: Instant) -> f64 {
    bytes as f64 * 8.0 / 1e6 / since.elapsed().as_secs_f64()
}
